"""Four hospitals: what to put where a value is missing, with the truth known and with it not.

Chapter 05 draws this table. Known: values are removed from Cleveland's complete patients by three
mechanisms. Not known: Long Beach as it came, where a third of the patients lack something.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

# First: it decides how TensorFlow starts.
from book.studies.hospitals import divide, in_parallel
from medxfer_utils.data import SHARED, encoded, four_hospitals, restricted
from medxfer_utils.missing import IMPUTERS, amputed, complete_rows, rmse

# isort: split
import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medxfer_utils import metrics, results
from medxfer_utils.cohorts import Cohort
from medxfer_utils.models.network import Array

TABLE = "hospitals_gaps"
# Repeat 0 is the one on which the code was tried; it is not reported.
REPEATS, SHARE = range(1, 31), 0.3
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "tensorflow-cpu", "keras", "joblib")
MECHANISMS = ("MCAR", "MAR", "MNAR")
# What a stress test and a blood sample give; age, sex, chest pain and ECG are always known.
LOST = (
    *("resting pressure", "cholesterol", "maximum heart rate", "exercise angina"),
    *("ST depression", "vessels", "thallium scan"),
)
DELETION = "deletion"
Labels = NDArray[np.integer]


def holed(cohort: Cohort, mechanism: str, rng: np.random.Generator) -> Cohort:
    """Complete patients of whom values of `LOST` are removed, then encoded as numbers."""
    columns = [cohort.features.index(name) for name in LOST]
    return encoded(replace(cohort, x=amputed(cohort.x, mechanism, SHARE, rng, columns)))


def filled(train: Array, seed: int) -> Mapping[str, Callable[[Array], Array]]:
    """Each imputer, fitted on training patients, as a function of raw features."""
    return {name: make(seed).fit(train).transform for name, make in IMPUTERS.items()}


def auroc(train: Array, y: Labels, test: Array, truth: Labels) -> float:
    """AUROC of a logistic regression of complete features; of one class nothing is learnt: 0.5."""
    if len(np.unique(y)) < 2:
        return 0.5
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train, y)
    return metrics.auroc(truth, model.decision_function(test))


def compared(
    train: Cohort, test: Cohort, seed: int, truth: Array | None = None, scale: Array | None = None
) -> list[dict[str, Any]]:
    """Every way of dealing with gaps, on one division of the patients.

    Parameters
    ----------
    train, test : Cohort
        Encoded, with gaps.
    seed : int
        Of the imputers.
    truth : ndarray, shape (n, d), optional
        What the test patients' values were, where that is known.
    scale : ndarray, shape (d,), optional
        Standard deviation of each feature, the unit of the error.
    """
    gaps, table = np.isnan(test.x), []
    holed = np.flatnonzero(gaps.any(axis=0))
    for name, fill in filled(train.x, seed).items():
        row: dict[str, Any] = {"imputer": name, "RMSE": np.nan}
        if truth is not None and scale is not None:
            guess = fill(test.x)[:, holed]  # an indicator's columns stand behind the features
            row["RMSE"] = rmse(truth[:, holed], guess, gaps[:, holed], scale[holed])
        row["AUROC"] = auroc(fill(train.x), train.y, fill(test.x), test.y)
        table.append(row | {"train": len(train)})
    whole = complete_rows(train.x)
    median = IMPUTERS["median"](seed).fit(train.x[whole])  # a test patient cannot be deleted
    area = auroc(train.x[whole], train.y[whole], median.transform(test.x), test.y)
    return [*table, {"imputer": DELETION, "RMSE": np.nan, "AUROC": area, "train": int(whole.sum())}]


def known(complete: Cohort, repeat: int) -> list[dict[str, Any]]:
    """All mechanisms on complete patients, and what the AUROC is with nothing missing."""
    train, test = divide(complete, repeat)
    full = [encoded(part) for part in (train, test)]
    area, scale = auroc(full[0].x, train.y, full[1].x, test.y), encoded(complete).x.std(0)
    table: list[dict[str, Any]] = [{"mechanism": "none", "imputer": "nothing missing"}]
    table[0] |= {"RMSE": 0.0, "AUROC": area, "train": len(train)}
    for mechanism in MECHANISMS:
        rng = np.random.default_rng([repeat, *mechanism.encode()])
        # One threshold for both halves: the mechanism does not know who is tested.
        whole = holed(complete, mechanism, rng)
        parts = [whole.of(part.patients) for part in (train, test)]
        rows = compared(parts[0], parts[1], repeat, full[1].x, scale)
        table += [{"mechanism": mechanism} | row for row in rows]
    return [row | {"hospital": complete.name, "repeat": repeat} for row in table]


def real(cohort: Cohort, repeat: int) -> list[dict[str, Any]]:
    """The gaps as they came."""
    train, test = divide(encoded(restricted(cohort, SHARED)), repeat)
    rows = compared(train, test, repeat)
    about = {"mechanism": "as it came", "hospital": cohort.name, "repeat": repeat}
    return [about | row for row in rows]


def main() -> None:
    """Every repeat, stored with its provenance."""
    record = results.provenance(__file__, PACKAGES, repeats=list(REPEATS), share=SHARE)
    start, hospitals = time.perf_counter(), four_hospitals()
    cleveland = hospitals["Cleveland"]
    complete = cleveland.of(cleveland.patient[complete_rows(cleveland.x)])
    jobs = [joblib.delayed(known)(complete, repeat) for repeat in REPEATS]
    jobs += [joblib.delayed(real)(hospitals["Long Beach"], repeat) for repeat in REPEATS]
    results.store(
        TABLE, in_parallel(jobs), record | {"seconds": round(time.perf_counter() - start)}
    )


if __name__ == "__main__":
    main()
