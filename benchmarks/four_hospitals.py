"""Four hospitals: accuracy on the division of the FLamby benchmark, and what the gate is worth.

Run it with `make benchmark`; `README.md` beside this file says how to read the tables. The first
needs the four files of the UCI Heart Disease data (`python -m medxfer_utils.data heart`), the
second is drawn from a stored table of the book.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

# First: it decides how TensorFlow starts.
from book.studies import hospitals as four_hospitals

# isort: split
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, train_test_split
from statsmodels.stats.proportion import proportion_confint

from book.studies.study import ALL, Only, Study
from medxfer_utils import metrics, missing, results
from medxfer_utils.cohorts import Cohort
from medxfer_utils.data import HEART, SHARED, fetch

# Accuracy at Cleveland, Budapest, Zurich and Long Beach, as published for this division.
PUBLISHED = {
    "pooled, published": (0.783, 0.764, 0.750, 0.644),
    "FedAvg, published": (0.731, 0.719, 0.650, 0.640),
}
TRAIN, SEED = 0.66, 43  # of the benchmark's own code
STRENGTHS = np.logspace(-3, 1, 9)  # scikit-learn's C
FOLDS, CV_SEED = 10, 0
TABLE = "hospitals_flamby"
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas")
GATED, BASELINES, N = "gated", ("target only", "target only, strong ridge"), 20


def complete(path: Path) -> NDArray[np.bool_]:
    """Return which rows of a hospital's file have the ten shared features, by the benchmark's rule.

    A cholesterol or a pressure of 0 counts as measured there, though nobody measured it.
    """
    table = pd.read_csv(path, header=None, na_values="?")
    return table.iloc[:, : len(SHARED)].notna().all(axis=1).to_numpy()


def flamby_split(cohort: Cohort, rows: NDArray[np.bool_]) -> tuple[Cohort, Cohort]:
    """Training and test patients of the benchmark [1]_, in the order of the file, from its `rows`.

    Stratified by diagnosis where each class has more than two patients, which Zurich's has not.

    References
    ----------
    .. [1] du Terrail et al. (2022), FLamby: datasets and benchmarks for cross-silo federated
       learning in realistic healthcare settings. NeurIPS Datasets and Benchmarks.
    """
    whole = cohort.of(cohort.patient[rows])
    strata = whole.y if np.bincount(whole.y, minlength=2).min() > 2 else None
    train, test = train_test_split(
        np.arange(len(whole)),
        train_size=TRAIN,
        test_size=1 - TRAIN,
        random_state=SEED,
        stratify=strata,
    )
    return whole.of(whole.patient[train]), whole.of(whole.patient[test])


class Pooled:
    """A logistic regression of all hospitals' patients, with or without a column for each."""

    def __init__(self, train: Mapping[str, Cohort], own_intercepts: bool) -> None:
        self.names, self.own = list(train), own_intercepts
        self.scaler = missing.median_scaler(np.concatenate([part.x for part in train.values()]))
        self.z = np.concatenate([self.read(name, part.x) for name, part in train.items()])
        self.y = np.concatenate([part.y for part in train.values()])

    def read(self, name: str, x: Any) -> Any:
        """Standardised features, and which hospital it is."""
        here = np.zeros((len(x), len(self.names) if self.own else 0))
        if self.own:
            here[:, self.names.index(name)] = 1
        return np.column_stack([self.scaler.transform(x), here])

    def fitted(self, c: float) -> LogisticRegression:
        """Fit with scikit-learn's C."""
        return LogisticRegression(C=c, max_iter=2000).fit(self.z, self.y)

    def losses(self) -> Any:
        """Mean held-out log loss, a row for each fold, a column for each of `STRENGTHS`."""
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=CV_SEED)
        table = []
        for inside, outside in folds.split(self.z, self.y):
            row = []
            for c in STRENGTHS:
                model = LogisticRegression(C=c, max_iter=2000).fit(self.z[inside], self.y[inside])
                row.append(log_loss(self.y[outside], model.predict_proba(self.z[outside])))
            table.append(row)
        return np.array(table)


def chosen(losses: Any, cautious: bool) -> float:
    """C with the least held-out loss, or the least C within one standard error of it."""
    mean = losses.mean(axis=0)
    if not cautious:
        return float(STRENGTHS[mean.argmin()])
    error = losses[:, mean.argmin()].std(ddof=1) / np.sqrt(len(losses))
    return float(STRENGTHS[mean <= mean.min() + error].min())


@cache
def halves() -> dict[str, tuple[Cohort, Cohort]]:
    """Training and test patients of each hospital, in the benchmark's division."""
    rows = {name: complete(fetch(file)) for name, file in HEART.items()}
    return {
        name: flamby_split(cohort, rows[name])
        for name, cohort in four_hospitals.hospitals().items()
    }


@cache
def models() -> dict[str, tuple[Pooled, float]]:
    """Each model's columns and its C."""
    train = {name: half[0] for name, half in halves().items()}
    blind, knowing = Pooled(train, own_intercepts=False), Pooled(train, own_intercepts=True)
    losses = knowing.losses()
    return {
        "pooled, C = 1": (blind, 1.0),
        "pooled + hospital, C = 1": (knowing, 1.0),
        "pooled + hospital, least CV loss": (knowing, chosen(losses, cautious=False)),
        "pooled + hospital, one standard error": (knowing, chosen(losses, cautious=True)),
    }


def one_hospital(hospital: str, only: Only = ALL) -> Iterator[Mapping[str, Any]]:
    """Accuracy of each model at a hospital with the counts; the published came without."""
    train, test = halves()[hospital]
    yield _row("majority class", test.y == (train.prevalence > 0.5))
    for title, (design, c) in models().items():
        yield _row(title, design.fitted(c).predict(design.read(hospital, test.x)) == test.y)
    for title, values in PUBLISHED.items():
        yield {"model": title, "accuracy": dict(zip(HEART, values, strict=True))[hospital]}


def _row(model: str, right: Any) -> dict[str, Any]:
    low, high = proportion_confint(right.sum(), len(right), method="wilson")
    row = {"model": model, "accuracy": right.mean()}
    return row | {"low": low, "high": high, "right": int(right.sum()), "patients": len(right)}


def gains(n: int = N) -> pd.DataFrame:
    """What the gated strategy adds to the target's labels alone: paired over repeats."""
    frame = results.load(four_hospitals.SOURCES).query("n == @n")
    rows = []
    for measure, sign in {"AUROC": 1, "log loss": -1}.items():
        wide = frame.pivot(index=["target", "repeat"], columns="strategy", values=measure)
        for target, block in wide.groupby(level="target", sort=False):
            for baseline in BASELINES:
                mean, low, high = metrics.mean_interval(sign * (block[GATED] - block[baseline]))
                row = {"measure": measure, "target": target, "over": baseline}
                rows.append(row | {"gain": mean, "low": low, "high": high})
    return pd.DataFrame(rows)


FACTS, EACH = {"train": TRAIN, "seed": SEED}, [{"hospital": name} for name in HEART]
STUDIES = (Study(TABLE, EACH, one_hospital, ("model",), PACKAGES, FACTS),)


def main() -> None:
    """Store and print the accuracies, then print what the gate is worth."""
    STUDIES[0].store()
    print(results.load(TABLE).round(3).to_string(index=False))
    print(f"\nGated, with {N} labels; a gain is positive\n{gains().round(3).to_string()}")


if __name__ == "__main__":
    from benchmarks import four_hospitals as benchmark  # by its name, for other processes

    benchmark.main()
