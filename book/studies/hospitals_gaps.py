"""Four hospitals: what to put where a value is missing, with the truth known and with it not.

Lesson 11 draws this table. Known: values are removed from Cleveland's complete patients by three
mechanisms. Not known: Long Beach as it came, where a third of the patients lack something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

# First: it decides how TensorFlow starts.
from book.studies.hospitals import divide
from medxfer_utils.models import Array, Labels, Training, outputs, train
from medxfer_utils.models.architectures import reinitialised

# isort: split
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.linear_model import BayesianRidge, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from book.studies.study import ALL, Only, Study, chosen
from medxfer_utils import metrics
from medxfer_utils.cohorts import Cohort
from medxfer_utils.data import SHARED, encoded, four_hospitals, restricted
from medxfer_utils.missing import amputed, complete_rows

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
KNOWN, REAL = "Cleveland", "Long Beach"


# --- what fills a gap -----------------------------------------------------------------------------


def rmse(truth: Array, filled: Array, was_missing: NDArray[np.bool_], scale: Array) -> float:
    """Root mean squared error of what was filled in, in standard deviations of each column.

    0 is perfect. Filling with each column's mean gives about 1 if values go missing by lot.
    """
    error = ((filled - truth) / scale)[was_missing]
    return float(np.sqrt((error**2).mean()))


def half_hidden(z: Any, seed: Any) -> Any:
    """Half of the entries are set to 0 by lot, at each step others."""
    return z * tf.cast(tf.random.stateless_uniform(tf.shape(z), seed) >= 0.5, tf.float32)


class Denoising:
    """Imputation by a denoising autoencoder [1]_, as in MIDA [2]_, but small: d-32-16-32-d.

    Features are standardised by what is observed of the training patients, and what is missing is
    set to their mean, 0. The network learns to restore all that were observed: so it learns what
    the other measurements tell of one.

    Observed values are returned as they are. A column in which the training patients do not vary
    is not looked at, and filled with their one value, or with 0 if they have none.

    References
    ----------
    .. [1] Vincent, Larochelle, Bengio and Manzagol (2008), Extracting and composing robust features
       with denoising autoencoders. ICML. doi:10.1145/1390156.1390294.
    .. [2] Gondara and Wang (2018), MIDA: multiple imputation using denoising autoencoders. PAKDD.
       doi:10.1007/978-3-319-93040-4_21.
    """

    TRAINING = Training(500, batch=None, loss="squares", augment=half_hidden)

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, x: Array) -> Denoising:
        """Learn from training patients `x`, shape (n, d), NaN where missing."""
        seen = ~np.isnan(x)
        low, high = (np.where(seen, x, np.inf).min(axis=0), np.where(seen, x, -np.inf).max(axis=0))
        self.varies, self.constant = high > low, np.where(high == low, low, 0)
        self.scaler = StandardScaler().fit(np.where(self.varies, x, 0))  # skips NaN
        widths = [keras.layers.Dense(units, activation="tanh") for units in (32, 16, 32)]
        d = x.shape[1]
        layers = [keras.Input((d,)), *widths, keras.layers.Dense(d, name="head")]
        untrained, z = reinitialised(keras.Sequential(layers), self.seed), self._read(x)
        known = np.where(seen, z, np.nan)
        self.network = train(untrained, z, known, self.TRAINING, self.seed)
        return self

    def transform(self, x: Array) -> Array:
        """Fill the NaN of `x`, shape (n, d), and return a complete copy."""
        restored = self.scaler.inverse_transform(outputs(self.network, self._read(x)))
        return np.where(np.isnan(x), np.where(self.varies, restored, self.constant), x)

    def _read(self, x: Array) -> Array:
        """Standardised; 0 for what is missing, and in columns of which nothing was learnt."""
        return np.where(np.isnan(x) | ~self.varies, 0, self.scaler.transform(x))


# From the name of an imputer to a function of a seed that makes one, not yet fitted. All fill a
# column of which the training patients have no value with 0, and so keep the columns they are
# given; the indicator appends one for each column in which a training patient lacks a value.
IMPUTERS: Mapping[str, Callable[[int], Any]] = {
    "median": lambda seed: SimpleImputer(strategy="median", keep_empty_features=True),
    "median + indicator": lambda seed: SimpleImputer(
        strategy="median", keep_empty_features=True, add_indicator=True
    ),
    "iterative": lambda seed: IterativeImputer(
        BayesianRidge(), max_iter=100, keep_empty_features=True, random_state=seed
    ),
    "denoising autoencoder": Denoising,
}


# --- the comparison -------------------------------------------------------------------------------


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


@cache
def cohort_of(hospital: str) -> Cohort:
    """The patients of a hospital; of Cleveland, those who lack nothing."""
    cohort = four_hospitals()[hospital]
    whole = complete_rows(cohort.x) if hospital == KNOWN else np.full(len(cohort), True)
    return cohort.of(cohort.patient[whole])


def known(repeat: int, mechanisms: Sequence[str]) -> list[dict[str, Any]]:
    """Some mechanisms on complete patients, and what the AUROC is with nothing missing."""
    complete = cohort_of(KNOWN)
    train, test = divide(complete, repeat)
    full = [encoded(part) for part in (train, test)]
    area, scale = auroc(full[0].x, train.y, full[1].x, test.y), encoded(complete).x.std(0)
    table: list[dict[str, Any]] = [{"mechanism": "none", "imputer": "nothing missing"}]
    table[0] |= {"RMSE": 0.0, "AUROC": area, "train": len(train)}
    for mechanism in mechanisms:
        rng = np.random.default_rng([repeat, *mechanism.encode()])
        # One threshold for both halves: the mechanism does not know who is tested.
        whole = holed(complete, mechanism, rng)
        parts = [whole.of(part.patients) for part in (train, test)]
        rows = compared(parts[0], parts[1], repeat, full[1].x, scale)
        table += [{"mechanism": mechanism} | row for row in rows]
    return table


def one_hospital(hospital: str, repeat: int, only: Only = ALL) -> list[dict[str, Any]]:
    """Gaps that were made, where the truth is known; or the gaps as they came."""
    if hospital == KNOWN:
        return known(repeat, chosen(only, "mechanism", MECHANISMS))
    whole = encoded(restricted(cohort_of(hospital), SHARED))
    return [{"mechanism": "as it came"} | row for row in compared(*divide(whole, repeat), repeat)]


FACTS = {"repeats": list(REPEATS), "share": SHARE}
EACH = [{"hospital": name, "repeat": k} for name in (KNOWN, REAL) for k in REPEATS]
STUDIES = (Study(TABLE, EACH, one_hospital, ("imputer", "mechanism"), PACKAGES, FACTS),)
