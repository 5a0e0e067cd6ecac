"""What a second worker process is worth to `experiments.learning_curve`: T(1) / (2 · T(2)).

Fits of a second or more, each on one thread, of a network and of a classifier of scikit-learn. The
workers are warm: each has had both strategies before the clock runs. One worker is a cluster of
one, so both sides pay for sending. Each number is a median over rounds in which the two take turns;
the machine must have two idle cores.
"""

from __future__ import annotations

import os
import time

os.environ["MEDXFER_THREADS"] = "1"  # before the package: it decides how TensorFlow starts

from medxfer_utils.models import Classical, Model, Strategy, Training, image_network
from medxfer_utils.transfer import fine_tuned

# isort: split
import joblib
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from medxfer_utils.cohorts import Cohort, split
from medxfer_utils.experiments import learning_curve

PATIENTS, PIXELS, LABELLED = 600, 32, 300
ROUNDS, WARM, FITS = 3, 4, 8
TRAINING, TREES = Training(steps=150), 400


def images() -> tuple[Cohort, Cohort]:
    """Training and test patients, of noise: what is seen does not change how long it takes."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((PATIENTS, PIXELS, PIXELS))
    everybody = Cohort("noise", x, np.arange(PATIENTS) % 2, np.arange(PATIENTS))
    pool, test = split(everybody, (0.8, 0.2), rng)
    return pool, test


def flat(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Images as rows of pixels."""
    return x.reshape(len(x), -1)


class Flat(Classical):
    """A classifier of scikit-learn that is given images."""

    def probability(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        """Probability of class 1, shape (n,)."""
        return super().probability(flat(x))


def strategies() -> dict[str, Strategy]:
    """A network of the course, and a forest."""
    network = image_network((PIXELS, PIXELS, 1))
    start = Model(network, lambda x: x[..., None].astype("float32"))
    return {
        "Keras network": lambda labelled, seed: fine_tuned(start, labelled, TRAINING, seed),
        "scikit-learn forest": lambda labelled, seed: Flat(
            RandomForestClassifier(TREES, random_state=seed).fit(flat(labelled.x), labelled.y)
        ),
    }


def run(client: Client, some: dict[str, Strategy], repeats: int) -> tuple[float, pd.DataFrame]:
    """Seconds by the clock for a grid on a cluster, and its rows."""
    pool, test = images()
    start = time.perf_counter()
    with client.as_current(), joblib.parallel_config(backend="dask"):
        frame = learning_curve(some, pool, test, (LABELLED,), repeats, seed=0)
    return time.perf_counter() - start, frame


def main() -> None:
    """Time each strategy on one and on two workers in turn, and print the efficiency."""
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    table = []
    with (
        LocalCluster(n_workers=1, **options) as one,
        LocalCluster(n_workers=2, **options) as two,
        Client(one, set_as_default=False) as alone,
        Client(two, set_as_default=False) as pair,
    ):
        for name, strategy in strategies().items():
            seconds: dict[str, list[float]] = {"1 worker": [], "2 workers": []}
            for turn in range(ROUNDS + 1):
                for client, taken in zip((alone, pair), seconds.values(), strict=True):
                    whole, frame = run(client, {name: strategy}, FITS if turn else WARM)
                    if turn:  # the first one warms up and compiles
                        taken.append(whole)
            t1, t2 = (float(np.median(taken)) for taken in seconds.values())
            row = {"strategy": name, "fits": FITS, "processor s a fit": frame["seconds"].median()}
            row |= {"1 worker, s": t1, "2 workers, s": t2, "T(1) / (2 T(2))": t1 / (2 * t2)}
            table.append(row)
    print(f"median of {ROUNDS} rounds after a warm-up, one thread a worker")
    print(pd.DataFrame(table).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
