"""What X-rays are worth to ultrasound, ultrasound to X-rays, and photographs to both.

Targets are BreastMNIST and PneumoniaMNIST at 28 pixels, over label budgets of 5 to 100 % of their
official training images, tested on their official test images. Run it with `make results`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, cast

from medxfer_utils.data import KNOWN_COPIES, MedMNIST, medmnist
from medxfer_utils.models.training import ImageModel, Recipe, train, with_body_of

# isort: split
import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medxfer_utils import metrics, results
from medxfer_utils.cohorts import Cohort
from medxfer_utils.experiments import Arm, Predicts, learning_curve

sys.path.append(str(results.ROOT))  # a script's own folder is there already, the root is not
from benchmarks import medmnist_recipe as recipe

Array = NDArray[np.floating]
NAME, SEED = "xray_ultrasound", 0
FRACTIONS = (0.05, 0.1, 0.25, 0.5, 1.0)
REPEATS = {"breastmnist": 10, "pneumoniamnist": 5}
# The same for scratch and fine-tuning, at every budget; not tuned.
FIT = Recipe(steps=300, rate=0.001, batch=64, smoothing=0.1, cosine=True, augment=recipe.moved)
SOURCE_STEPS = 900
PIXELS, SCRATCH = "pixels, logistic regression", "from scratch"
IMAGENET, OTHER = "ImageNet features, logistic regression", "fine-tuned from the other set"
COLUMNS = ("target", "strategy", "fraction", "n", "repeat", "AUROC", "accuracy", "Brier", "seconds")
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "keras")


class Seen:
    """All images of a target, training before test, and what MobileNet makes of them.

    A cohort of the experiment holds positions in these arrays instead of images.
    """

    def __init__(self, data: MedMNIST) -> None:
        first = recipe.each_once(data.train.x)
        self.x = np.concatenate([data.train.x[first], data.test.x])
        self.features = recipe.seen_by_mobilenet(self.x)
        y = np.concatenate([data.train.y[first], data.test.y])
        rows, n = np.arange(len(y), dtype=float), len(first)
        # No patient ids exist: every image counts as a patient.
        self.pool = Cohort(f"{data.name}, train", rows[:n], y[:n], rows[:n])
        self.test = Cohort(f"{data.name}, test", rows[n:], y[n:], rows[n:])


def source_network(data: MedMNIST, seed: int) -> keras.Model:
    """The recipe's network, trained on all training and validation images of the other set."""
    x, y = recipe.training_images(data)
    long = replace(FIT, steps=SOURCE_STEPS, rate=recipe.RATE)
    return train(recipe.network(seed), recipe.grey(x), y, long, seed)


class Looking:
    """A classifier of scikit-learn that is given positions and looks the features up."""

    def __init__(self, fitted: Any, look: Callable[[Array], Array]) -> None:
        self.fitted, self.look = fitted, look

    def probability(self, rows: Array) -> Array:
        """Probability of the disease, shape (n,)."""
        return cast(Array, self.fitted.predict_proba(self.look(rows))[:, 1])


def arms(seen: Seen, source: Callable[[int], keras.Model]) -> dict[str, Arm]:
    """Every strategy; `source` gives the other set's network for a seed."""

    def images(rows: Array) -> Array:
        return recipe.grey(seen.x[rows.astype(int)])

    def pixels(rows: Array) -> Array:
        return images(rows).reshape(len(rows), -1)

    def features(rows: Array) -> Array:
        return cast(
            Array, seen.features[rows.astype(int)].mean(axis=1)
        )  # of the image and its mirror image

    def tuned(start: Callable[[int], keras.Model]) -> Arm:
        return lambda labelled, seed: ImageModel(
            train(start(seed), images(labelled.x), labelled.y, FIT, seed), images
        )

    def regression(look: Callable[[Array], Array]) -> Arm:
        def fit(labelled: Cohort, seed: int) -> Predicts:
            model = make_pipeline(
                StandardScaler(), LogisticRegression(C=recipe.STRENGTH, max_iter=500)
            )
            return Looking(model.fit(look(labelled.x), labelled.y), look)

        return fit

    return {
        PIXELS: regression(pixels),
        SCRATCH: tuned(recipe.network),
        OTHER: tuned(lambda seed: with_body_of(source(seed), recipe.network(seed))),
        IMAGENET: regression(features),
    }


def curve(target: MedMNIST, other: MedMNIST, repeats: int) -> pd.DataFrame:
    """One target over all budgets, one row a fit."""
    seen = Seen(target)
    # A source network for each repeat: it is part of the chance that the intervals speak of.
    source = cache(lambda seed: source_network(other, seed))
    for repeat in range(repeats):
        source(1000 * SEED + repeat)  # before the clock of any arm runs
    sizes = {round(fraction * len(seen.pool)): fraction for fraction in FRACTIONS}
    frame = learning_curve(arms(seen, source), seen.pool, seen.test, list(sizes), repeats, SEED)
    frame.insert(0, "target", target.name)
    frame["fraction"] = frame["n"].map(sizes)
    return frame[list(COLUMNS)]


def gains(frame: pd.DataFrame, measure: str = "AUROC") -> pd.DataFrame:
    """Paired gain of every strategy over `SCRATCH`, mean and 95 % interval over the repeats."""
    wide = frame.pivot(index=["target", "fraction", "repeat"], columns="strategy", values=measure)
    result = []
    for (target, fraction), block in wide.groupby(level=["target", "fraction"]):
        for strategy in (OTHER, IMAGENET, PIXELS):
            mean, low, high = metrics.mean_interval(block[strategy] - block[SCRATCH])
            row = {"target": target, "fraction": fraction, "strategy": strategy}
            result.append(row | {"gain": mean, "low": low, "high": high})
    return pd.DataFrame(result)


def main() -> None:
    """Compute both targets, store the rows with their provenance, print the gains."""
    sets = {name: medmnist(name, also=KNOWN_COPIES) for name in REPEATS}
    facts = {"seed": SEED, "fractions": list(FRACTIONS), "repeats": REPEATS}
    files = {name: recipe.about(data) for name, data in sets.items()}
    record = results.provenance(__file__, PACKAGES, **facts, files=files)
    start, frames = time.perf_counter(), []
    for name, repeats in REPEATS.items():
        (other,) = (data for key, data in sets.items() if key != name)
        frames.append(curve(sets[name], other, repeats))
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    frame = pd.concat(frames, ignore_index=True)
    record["seconds"] = round(time.perf_counter() - start)
    results.store(NAME, frame, record)
    print(gains(frame).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
