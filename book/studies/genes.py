"""Genes of leukaemia in two cohorts: what moves between laboratories, and selection that leaks."""

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


JOBS = [{"repeat": repeat} for repeat in range(REPEATS)]
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas")
FACTS = {"repeats": REPEATS, "genes": GENES}
STUDIES = (Study("genes", JOBS, one_repeat, ("strategy",), PACKAGES, FACTS),)
