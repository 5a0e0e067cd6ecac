"""Four hospitals: choosing a source before training, and what makes one a good source.

Chapter 05 draws these tables. All models are the course's tabular network, so that scores of
features have features to look at. It has three thousand weights for a few hundred patients, so it
is stopped early: after the 300 steps of chapter 02, the AUROC elsewhere would be .08 lower.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

# First: it decides how TensorFlow starts.
from book.studies.hospitals import divide, in_parallel, store
from medxfer_utils.models.network import Array, Network, Rows, rows, tabular_network

# isort: split
import joblib
import keras
import numpy as np
import pandas as pd
from scipy import stats
from sklearn.pipeline import Pipeline

from medxfer_utils import metrics, missing, results, shifts
from medxfer_utils.cohorts import Cohort, draw, together
from medxfer_utils.transfer import hospitals as sources
from medxfer_utils.transfer import scores
from medxfer_utils.transfer import strategies as transfer

CHOICE, PRINCIPLES = "hospitals_choice", "hospitals_principles"
# Repeats from 101 on are those on which the numbers of steps were chosen; they are not reported.
# Networks of one seed serve the repeats with the same remainder.
REPEATS, SEEDS, LABELS, N = range(1, 31), 5, (20, 40), 20
STEPS, TUNED = 20, 5  # from a fresh start, and from a source
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "tensorflow-cpu", "keras", "joblib")
SHUFFLED = ", labels shuffled"
SCORES = (
    *("proxy A-distance", "MMD", "LogME", "LEEP", "H-score", "TransRate"),
    *("AUROC on the labels", "log loss on the labels"),
)


# --- choosing a source ----------------------------------------------------------------------------


def candidates(hospitals: Mapping[str, Cohort], target: str) -> dict[str, Cohort]:
    """Each other hospital, each pair of them, all three; and each with its labels shuffled."""
    others = [name for name in hospitals if name != target]
    honest = {
        " + ".join(names): together([hospitals[name] for name in names])
        for size in (1, 2, 3)
        for names in combinations(others, size)
    }
    rng = np.random.default_rng(0)
    dealt = {
        name + SHUFFLED: replace(hospitals[name], y=rng.permutation(hospitals[name].y))
        for name in others
    }
    return honest | dealt


class Networks:
    """Source networks, each trained once for a name and a seed."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, int], Network] = {}

    def of(self, name: str, cohort: Cohort, seed: int) -> Network:
        """The network of this source; its ruler is fitted on the source's patients."""
        if (name, seed) not in self.made:
            self.made[name, seed] = trained(cohort, missing.ruler(cohort.x), seed)
        return self.made[name, seed]


def trained(cohort: Cohort, scaler: Pipeline, seed: int, steps: int = STEPS) -> Network:
    """A tabular network, trained on these patients alone."""
    start = Network(scaler, scaler, tabular_network(cohort.x.shape[1], seed))
    return start.minimised(rows(cohort, scaler), steps=steps)


def features(model: Network, x: Array) -> Array:
    """What the last hidden layer says of raw features `x`, shape (n, 32)."""
    inside = keras.Model(model.network.inputs, model.network.get_layer("body_2").output)
    z = model.scaler.transform(x).astype("float32")
    return np.asarray(inside([z])).astype(float)


def distances(model: Network, source: Cohort, x: Array, seed: int) -> dict[str, float]:
    """Scores that look at no label; larger promises more.

    Parameters
    ----------
    model : Network
        Of the source; only its ruler is used.
    source : Cohort
    x : ndarray, shape (n, d)
        Unlabelled target patients.
    seed : int
        Of the folds of the proxy A-distance.
    """
    z_source, z_target = model.scaler.transform(source.x), model.scaler.transform(x)
    width = shifts.median_bandwidth(np.concatenate([z_source, z_target]))
    away = shifts.proxy_a_distance(z_source, z_target, np.random.default_rng(seed))
    return {"proxy A-distance": -away, "MMD": -shifts.mmd2(z_source, z_target, width)}


def promises(model: Network, few: Cohort) -> dict[str, float]:
    """Scores of a source network on labelled target patients; larger promises more."""
    p, inner = model.probability(few.x), features(model, few.x)
    return {
        "LogME": scores.logme(inner, few.y),
        "LEEP": scores.leep(np.column_stack([1 - p, p]), few.y),
        "H-score": scores.h_score(inner, few.y),
        "TransRate": scores.transrate(inner, few.y),
        "AUROC on the labels": metrics.auroc(few.y, model.logit(few.x)),
        "log loss on the labels": -metrics.log_loss(few.y, p),
    }


def one_choice(
    hospitals: Mapping[str, Cohort], target: str, repeat: int, networks: Networks
) -> list[dict[str, Any]]:
    """Every candidate's scores and what it is worth, at one target in one repeat."""
    (pool, test), seed, table = divide(hospitals[target], repeat), repeat % SEEDS, []
    studies = {n: draw(pool, n, np.random.default_rng([repeat, 0])) for n in LABELS}
    alone = {
        n: metrics.auroc(test.y, trained(few, missing.ruler(few.x), seed).logit(test.x))
        for n, few in studies.items()
    }
    for name, source in candidates(hospitals, target).items():
        model = networks.of(name, source, seed)
        away = distances(model, source, pool.x, repeat)
        as_is = metrics.auroc(test.y, model.logit(test.x))
        for n, few in studies.items():
            tuned = transfer.fine_tuned(model, few, TUNED)
            row: dict[str, Any] = {"target": target, "source": name, "n": n, "repeat": repeat}
            row |= away | promises(model, few) | {"as is": as_is}
            row["fine-tuned"] = metrics.auroc(test.y, tuned.logit(test.x))
            table.append(row | {"target only": alone[n]})
    return table


def one_target(hospitals: Mapping[str, Cohort], target: str) -> list[dict[str, Any]]:
    """Every repeat at one target."""
    networks = Networks()
    return [row for repeat in REPEATS for row in one_choice(hospitals, target, repeat, networks)]


def choice(hospitals: Mapping[str, Cohort]) -> pd.DataFrame:
    """Every target."""
    return in_parallel(joblib.delayed(one_target)(hospitals, target) for target in hospitals)


def agreement(frame: pd.DataFrame, worth: str) -> pd.DataFrame:
    """Kendall's τ between each score and what the sources were worth, one row a study.

    A score that is the same for all sources ranks none: its τ is 0.

    Returns
    -------
    DataFrame
        Index target, n and repeat, one column for each of `SCORES`.
    """

    def taus(block: pd.DataFrame) -> pd.Series:
        each = {name: stats.kendalltau(block[name], block[worth]).statistic for name in SCORES}
        return pd.Series(each).fillna(0)

    studies = frame.groupby(["target", "n", "repeat"], sort=False)
    return pd.DataFrame(studies[[*SCORES, worth]].apply(taus))


# --- three principles of similarity ---------------------------------------------------------------

FEW = 120  # source patients in the ablation of the distribution
TARGETS = ("Cleveland", "Budapest", "Long Beach")  # Zurich has eight healthy patients
WIDTHS = {  # of the hidden layers at the target, and what it can take from a 64-32 source
    "same structure, all layers": (64, 32),
    "same structure, all layers, more steps": (64, 32),
    "other width, first layer": (64, 16),
    "other widths, nothing": (48, 24),
}


def alike(source: Cohort, likeness: Array, which: str, rng: np.random.Generator) -> Cohort:
    """`FEW` of the source's patients, half of them ill: the most alike, the least, or any."""
    chosen = []
    for label in (0, 1):
        members = np.flatnonzero(source.y == label)
        order = members[np.argsort(likeness[members])]
        take = {
            "the most alike": order[-FEW // 2 :],
            "at random": rng.permutation(members)[: FEW // 2],
            "the least alike": order[: FEW // 2],
        }[which]
        chosen.append(source.patient[take])
    return source.of(np.concatenate(chosen))


def distribution(
    source: Cohort, pool: Cohort, few: Cohort, scaler: Pipeline, seed: int
) -> dict[str, Network]:
    """The same number of source patients, more or less like the target's."""
    z, unlabelled = scaler.transform(source.x), scaler.transform(pool.x)
    likeness = shifts.density_ratio(z, unlabelled, np.random.default_rng(seed))
    models = {}
    for which in ("the most alike", "at random", "the least alike"):
        part = alike(source, likeness, which, np.random.default_rng(seed))
        models[which] = transfer.fine_tuned(trained(part, scaler, seed), few, TUNED)
    return models


def network(features: int, widths: tuple[int, int], seed: int) -> keras.Model:
    """An untrained network like `models.tabular_network`, of other widths."""
    layers = [
        keras.layers.Dense(
            size,
            activation=None if k == 2 else "relu",
            name="head" if k == 2 else f"body_{k + 1}",
            kernel_initializer=keras.initializers.GlorotUniform(seed=3 * seed + k),
        )
        for k, size in enumerate((*widths, 1))
    ]
    return keras.Sequential([keras.Input((features,), name="features"), *layers], name="tabular")


def structure(source: Network, few: Cohort, seed: int) -> dict[str, Network]:
    """The same source network, given to target networks that can take more or less of it."""
    given, models = source.network.get_weights(), {}
    for name, widths in WIDTHS.items():
        start = network(source.network.input_shape[1], widths, 100 + seed)
        own = start.get_weights()
        taken = {"all layers": len(own), "first layer": 2, "nothing": 0}[name.split(", ")[1]]
        steps = TUNED if name == "same structure, all layers" else STEPS  # new layers need more
        twin = keras.models.clone_model(start)
        twin.set_weights([*given[:taken], *own[taken:]])
        models[name] = transfer.fine_tuned(replace(source, network=twin), few, steps)
    return models


def scheme(source: Cohort, few: Cohort, scaler: Pipeline, seed: int) -> dict[str, Network]:
    """The same source patients, trained on as the target will be, or otherwise."""
    own = missing.ruler(source.x)
    ill = np.where(source.y == 1, 0.5 / source.y.sum(), 0.5 / (len(source) - source.y.sum()))
    start = Network(scaler, scaler, tabular_network(source.x.shape[1], seed))
    data = rows(source, scaler)
    balanced = start.minimised(Rows(data.z, data.y, ill), steps=STEPS)
    starts = {
        "as at the target": trained(source, scaler, seed),
        "classes weighted equally": balanced,
        "ten times as long": trained(source, scaler, seed, steps=10 * STEPS),
        "another ruler": replace(
            trained(source, own, seed), scaler=missing.ruler(few.x), source_scaler=own
        ),
    }
    return {name: transfer.fine_tuned(model, few, TUNED) for name, model in starts.items()}


def one_ablation(hospitals: Mapping[str, Cohort], target: str, repeat: int) -> list[dict[str, Any]]:
    """All three ablations at one target in one repeat."""
    others = [cohort for name, cohort in hospitals.items() if name != target]
    pool, test = divide(hospitals[target], repeat)
    few = draw(pool, N, np.random.default_rng([repeat, 0]))
    source, scaler = together(others), sources.common_ruler(others, pool.x)
    whole = trained(source, scaler, repeat)
    arms = {
        "data distribution": distribution(source, pool, few, scaler, repeat),
        "model structure": structure(whole, few, repeat),
        "training scheme": scheme(source, few, scaler, repeat),
    }
    return [
        {
            **{"target": target, "repeat": repeat, "principle": principle, "arm": arm},
            "AUROC": metrics.auroc(test.y, model.logit(test.x)),
            "log loss": metrics.log_loss(test.y, model.probability(test.x)),
        }
        for principle, models in arms.items()
        for arm, model in models.items()
    ]


def principles(hospitals: Mapping[str, Cohort]) -> pd.DataFrame:
    """Every target, every repeat."""
    return in_parallel(
        joblib.delayed(one_ablation)(hospitals, target, repeat)
        for target in TARGETS
        for repeat in REPEATS
    )


def main(names: Sequence[str] = ()) -> None:
    """Both tables (or one), each stored with its provenance."""
    facts = {
        "repeats": list(REPEATS),
        "labels": list(LABELS),
        "seeds": SEEDS,
        "steps": [STEPS, TUNED],
    }
    record = results.provenance(__file__, PACKAGES, **facts)
    store(names, {CHOICE: choice, PRINCIPLES: principles}, record)


if __name__ == "__main__":
    main(sys.argv[1:])
