"""Genes of leukaemia in two cohorts, and of bladders in five batches.

`genes`: what moves between laboratories, and selection that leaks. `genes_batches`: what
harmonisation takes away where batch and disease go together, and one that leaks.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from book.studies.study import ALL, Only, Study, chosen

Array = NDArray[np.floating]
AS_IS, OWN = "as is", "re-standardised"
OUTSIDE, INSIDE = "shuffled labels, selected on all", "shuffled labels, selected inside folds"
STRATEGIES, REPEATS, GENES = (AS_IS, OWN, OUTSIDE, INSIDE), 20, 50
COUNTS = ((0, 27), (1, 11))  # of the first laboratory's patients, by diagnosis


@cache
def golub() -> tuple[Array, NDArray[np.integer], NDArray[np.bool_]]:
    """Log2 expression, 1 for acute myeloid leukaemia, and who is of the second cohort."""
    path = Path(os.environ["MEDXFER_DATA"]) / "gene" / "golub_leukaemia_7129.npz"
    with np.load(path, allow_pickle=False) as stored:
        x = np.log2(np.clip(stored["x"], 20, 16_000))
        varying = np.ptp(x, axis=0) > 0
        return x[:, varying], stored["y"].astype(int), stored["split"] == 1


def linear(select: bool = False) -> Pipeline:
    """Logistic regression on all genes, or on the fifty that differ most."""
    first = [SelectKBest(f_classif, k=GENES)] if select else []
    return make_pipeline(*first, StandardScaler(), LogisticRegression(max_iter=500))


def between(strategy: str, rng: np.random.Generator) -> dict[str, float]:
    """Learnt from a resample of the first laboratory's patients, judged on the second cohort."""
    x, y, away = golub()
    home = np.concatenate([rng.choice(np.flatnonzero(~away & (y == k)), n) for k, n in COUNTS])
    model = linear().fit(x[home], y[home])
    shown = x[away]
    if strategy == OWN:
        scaler = model[0]
        shown = StandardScaler().fit_transform(shown) * scaler.scale_ + scaler.mean_
    z = model.decision_function(shown)
    right = accuracy_score(y[away], z > 0)
    return {"accuracy": right, "AUROC": roc_auc_score(y[away], z)}


def shuffled(strategy: str, rng: np.random.Generator) -> dict[str, float]:
    """Cross-validation where there is nothing to find."""
    x, y, _ = golub()
    y = rng.permutation(y)
    if strategy == OUTSIDE:
        x = SelectKBest(f_classif, k=GENES).fit_transform(x, y)
    told = {"method": "decision_function", "cv": StratifiedKFold(5)}
    z = cross_val_predict(linear(strategy == INSIDE), x, y, **told)
    return {"accuracy": accuracy_score(y, z > 0), "AUROC": roc_auc_score(y, z)}


def one_repeat(repeat: int, only: Only = ALL) -> list[dict[str, Any]]:
    """Every strategy on one draw."""
    rows = []
    for strategy in chosen(only, "strategy", STRATEGIES):
        judged = between if strategy in (AS_IS, OWN) else shuffled
        rows.append({"strategy": strategy} | judged(strategy, np.random.default_rng(repeat)))
    return rows


PLAIN, BATCH, HARMONISED, KEPT = "as is", "batch alone", "harmonised", "harmonised, class kept"
LEAK, CLEAN = "shuffled, class kept on all", "shuffled, class kept inside folds"
IN_BATCHES, EVERY = (PLAIN, BATCH, HARMONISED, KEPT, LEAK, CLEAN), 4
VARIABLE, PRIOR = 500, 5
Effects = tuple[Array, Array, Array, NDArray[np.integer]]


@cache
def bladder() -> tuple[Array, NDArray[np.integer], NDArray[np.integer]]:
    """Log2 expression of 57 samples, every fourth gene; 1 for cancer; and the batch of each."""
    path = Path(os.environ["MEDXFER_DATA"]) / "gene" / "bladderbatch_22283.npz"
    with np.load(path, allow_pickle=False) as stored:
        x, ill = stored["x"][:, ::EVERY].astype(float), stored["cancer"] == "Cancer"
        return x, ill.astype(int), stored["batch"].astype(int)


def batch_effects(x: Array, batch: NDArray[Any], y: NDArray[Any] | None = None) -> Effects:
    """Centre of all; of each batch its shift and scale, and its name. With `y`, the class is kept.

    As in ComBat, scales are drawn towards 1, here as if `PRIOR` samples more had said so.
    """
    names, at = np.unique(batch, return_inverse=True)
    member = np.eye(len(names))[at]
    design = member if y is None else np.column_stack([member, y])
    mean = np.linalg.lstsq(design, x, rcond=None)[0]
    centre = member.sum(0) @ mean[: len(names)] / len(x)
    left = (x - design @ mean) ** 2
    usual, count = left.mean(0), member.sum(0)[:, None]
    usual = np.where(usual > 0, usual, 1)
    scale = np.sqrt((member.T @ left / usual + PRIOR) / (count + PRIOR))
    return centre, mean[: len(names)] - centre, scale, names


def harmonised(x: Array, batch: NDArray[Any], effects: Effects) -> Array:
    """Samples without the shift and scale of their batches; a batch not seen before is an error."""
    centre, shift, scale, names = effects
    if strange := {*batch.tolist()} - {*names.tolist()}:
        raise ValueError(f"Batches {sorted(strange)} were not there when the effects were fitted.")
    at = np.searchsorted(names, batch)
    return np.asarray(centre + (x - shift[at] - centre) / scale[at])


def within(y: NDArray[Any], z: Array, batch: NDArray[Any]) -> float:
    """The share of pairs, one ill and one not of the same batch, that are ranked rightly."""
    ill, well = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    pairs = [(i, j) for i in ill for j in well if batch[i] == batch[j]]
    return float(np.mean([(z[i] > z[j]) + (z[i] == z[j]) / 2 for i, j in pairs]))


def of_fold(strategy: str, rows: Any, test: Any, y: NDArray[Any]) -> Array:
    """Log odds of test samples. Whatever is fitted has seen training samples alone, but `LEAK`."""
    x, _, batch = bladder()
    if strategy == BATCH:
        return np.array([y[rows][batch[rows] == k].mean() for k in batch[test]])
    fit = np.arange(len(y)) if strategy == LEAK else rows
    if strategy != PLAIN:
        kept = None if strategy == HARMONISED else y[fit]
        x = harmonised(x, batch, batch_effects(x[fit], batch[fit], kept))
    some = np.argsort(-x[rows].var(0))[:VARIABLE]
    return np.asarray(linear().fit(x[rows][:, some], y[rows]).decision_function(x[test][:, some]))


def of_batches(repeat: int, only: Only = ALL) -> list[dict[str, Any]]:
    """Cancer or not, by cross-validation; folds share out the batches, so that none is new."""
    _, truth, batch = bladder()
    rows = []
    for strategy in chosen(only, "strategy", IN_BATCHES):
        rng = np.random.default_rng(repeat)
        y = rng.permutation(truth) if strategy in (LEAK, CLEAN) else truth
        z, seed = np.zeros(len(y)), int(rng.integers(1000))
        for fit, test in StratifiedKFold(4, shuffle=True, random_state=seed).split(batch, batch):
            z[test] = of_fold(strategy, fit, test, y)
        inside = np.nan if strategy == BATCH else within(y, z, batch)  # it cannot rank there
        area = {"AUROC": roc_auc_score(y, z), "within a batch": inside}
        rows.append({"strategy": strategy} | area)
    return rows


JOBS = [{"repeat": repeat} for repeat in range(REPEATS)]
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas")
FACTS = {"repeats": REPEATS, "genes": GENES}
STUDIES = (
    Study("genes", JOBS, one_repeat, ("strategy",), PACKAGES, FACTS),
    Study(
        "genes_batches", JOBS, of_batches, ("strategy",), PACKAGES,
        {"repeats": REPEATS, "every": EVERY, "genes": VARIABLE, "prior": PRIOR},
    ),
)  # fmt: skip
