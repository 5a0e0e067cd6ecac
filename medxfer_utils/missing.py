"""How values go missing, and how to put something in their place.

A missing value is NaN. Whatever learns what to put there is fitted on training patients only, and
then fills each patient by that patient's own values. Deleting patients is no imputer: a patient
without a measurement still needs a diagnosis. `complete_rows` says how many that would cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.linear_model import BayesianRidge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from medxfer_utils import settle_tensorflow

settle_tensorflow()  # first: it decides how TensorFlow starts, and keeps the start quiet

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

Array = NDArray[np.floating]

SLOPE = 2.0  # how much the log odds of going missing rise with one standard deviation


def amputed(
    x: Array,
    mechanism: str,
    share: float,
    rng: np.random.Generator,
    columns: Sequence[int] | None = None,
) -> Array:
    """Remove values from complete data, by one of Rubin's three mechanisms [1]_.

    Each value of `columns` is removed independently, with probability expit(a + 2 s). The
    mechanisms differ in what s is; a solves, for each column, that the mean probability is `share`.

    - ``"MCAR"`` (missing completely at random): s = 0. By lot.
    - ``"MAR"`` (missing at random): s is the sum of the standardised other columns, standardised.
      They stay complete, so what decides is on record.
    - ``"MNAR"`` (missing not at random): s is the value itself, standardised. High values go
      missing, as when the sick are not exercised, and nothing on record tells.

    Parameters
    ----------
    x : ndarray, shape (n, d)
        Complete and finite; not changed.
    mechanism : {"MCAR", "MAR", "MNAR"}
        Why values go missing.
    share : float
        Expected share of the values of `columns` that go missing, between 0 and 1.
    rng : numpy.random.Generator
        The only source of chance.
    columns : sequence of int, optional
        Where values go missing; everywhere if not given, which "MAR" cannot do.

    Returns
    -------
    ndarray, shape (n, d)
        A copy, with NaN for what is missing.

    Raises
    ------
    ValueError
        If `x` is not complete, or another argument is not one of those above.

    References
    ----------
    .. [1] Rubin (1976), Inference and missing data. Biometrika. doi:10.1093/biomet/63.3.581.
    """
    chosen = np.arange(x.shape[-1]) if columns is None else np.unique(columns)
    _check_amputation(x, mechanism, share, chosen)
    drive = SLOPE * StandardScaler().fit_transform(_drive(x, mechanism, chosen))
    edge = np.abs(drive).max() + 1  # the root lies within this of logit(share)
    level = [
        brentq(lambda a, s=s: expit(a + s).mean() - share, logit(share) - edge, logit(share) + edge)
        for s in drive.T
    ]
    holed = np.array(x, dtype=float)
    holed[:, chosen] = np.where(
        rng.random(drive.shape) < expit(level + drive), np.nan, holed[:, chosen]
    )
    return holed


def _drive(x: Array, mechanism: str, columns: NDArray[np.integer]) -> Array:
    """What decides whether the values of `columns` go missing, shape (n, len(columns))."""
    if mechanism == "MNAR":
        return x[:, columns]
    if mechanism == "MCAR":
        return np.zeros((len(x), len(columns)))
    on_record = StandardScaler().fit_transform(np.delete(x, columns, axis=1)).sum(axis=1)
    return np.repeat(on_record[:, None], len(columns), axis=1)


def _check_amputation(x: Array, mechanism: str, share: float, columns: NDArray[np.integer]) -> None:
    """Refuse what `amputed` cannot do."""
    if x.ndim != 2 or not np.isfinite(x).all():
        raise ValueError(
            f"x has shape {x.shape} and {(~np.isfinite(x)).sum()} NaN or infinite values: remove "
            "values from a complete table (n, d), so that the truth is known; see complete_rows"
        )
    if mechanism not in ("MCAR", "MAR", "MNAR"):
        raise ValueError(f"mechanism {mechanism!r}: choose MCAR, MAR or MNAR")
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, not {share}")
    if not columns.size or not np.isin(columns, np.arange(x.shape[1])).all():
        raise ValueError(f"columns {columns.tolist()}: name some of 0 to {x.shape[1] - 1}")
    if mechanism == "MAR" and np.isin(np.arange(x.shape[1]), columns).all():
        raise ValueError(
            "MAR lets complete columns decide, and none would stay complete: "
            "name fewer columns than x has"
        )


def complete_rows(x: Array) -> NDArray[np.bool_]:
    """Which rows of `x`, shape (n, d), have every value: all that deletion would keep, (n,)."""
    return cast(NDArray[np.bool_], ~np.isnan(x).any(axis=1))


def ruler(x: Array) -> Pipeline:
    """The ruler of a hospital with gaps: fill with the median, then standardise; fitted on `x`.

    It stands where `models.fit_scaler` stands for complete patients: as the `scaler` of a model. A
    column of `x`, shape (n, d), without any value is filled with 0 and stays 0.
    """
    median = SimpleImputer(strategy="median", keep_empty_features=True)
    return make_pipeline(median, StandardScaler()).fit(x)


def rmse(truth: Array, filled: Array, was_missing: NDArray[np.bool_], scale: Array) -> float:
    """Root mean squared error of what was filled in, in standard deviations of each column.

    Parameters
    ----------
    truth, filled : ndarray, shape (n, d)
        The complete table, and what an imputer made of the amputed one.
    was_missing : ndarray of bool, shape (n, d)
        Which entries count.
    scale : ndarray, shape (d,)
        Standard deviation of each column among the training patients, above 0.

    Returns
    -------
    float
        0 is perfect. Filling with each column's mean gives about 1 if values go missing by lot.

    Raises
    ------
    ValueError
        If the shapes do not fit, nothing was missing, a `scale` is not above 0, or a gap is left.
    """
    shapes = [np.shape(a) for a in (truth, filled, was_missing)]
    if len(set(shapes)) > 1 or np.shape(scale) != shapes[0][1:]:
        raise ValueError(
            f"truth, filled and was_missing have shapes {shapes} and scale {np.shape(scale)}: give "
            "three of (n, d) and one of (d,); cut off what an indicator appended, filled[:, :d]"
        )
    if not was_missing.any() or not (np.asarray(scale) > 0).all():
        raise ValueError(
            f"{was_missing.sum()} entries were missing, and the smallest scale is {np.min(scale)}: "
            "at least one entry must be missing, and every scale above 0"
        )
    error = ((filled - truth) / scale)[was_missing]
    if not np.isfinite(error).all():
        raise ValueError(
            f"{(~np.isfinite(error)).sum()} of {error.size} entries that were missing are NaN or "
            "infinite in filled or truth: transform the amputed table, and pass its complete truth"
        )
    return float(np.sqrt((error**2).mean()))


class Denoising(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Imputation by a denoising autoencoder [1]_, as in MIDA [2]_, but small: d-32-16-32-d.

    Features are standardised by what is observed of the training patients, and what is missing is
    set to their mean, 0. At each step more entries are set to 0 by lot, and the network learns to
    restore all that were observed: so it learns what the other measurements tell of one.

    Observed values are returned as they are. A patient is filled by their own values alone. A
    column in which the training patients do not vary teaches nothing: it is not looked at, and
    filled with their one value, or with 0 if they have none.

    Parameters
    ----------
    seed : int
        Of the initial weights and of what is hidden during training; from 0 to 2**30 - 1.

    References
    ----------
    .. [1] Vincent, Larochelle, Bengio and Manzagol (2008), Extracting and composing robust features
       with denoising autoencoders. ICML. doi:10.1145/1390156.1390294.
    .. [2] Gondara and Wang (2018), MIDA: multiple imputation using denoising autoencoders. PAKDD.
       doi:10.1007/978-3-319-93040-4_21.
    """

    STEPS = 500
    HIDDEN = 0.5  # share of the entries that are set to 0 at each step

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, x: Any, y: Any = None) -> Self:
        """Learn from training patients `x`, shape (n, d), NaN where missing; `y` is not used."""
        x = validate_data(self, x, dtype=float, ensure_all_finite="allow-nan")
        seen = ~np.isnan(x)
        low, high = (np.where(seen, x, np.inf).min(axis=0), np.where(seen, x, -np.inf).max(axis=0))
        self.varies_ = high > low
        self.constant_ = np.where(high == low, low, 0)
        self.scaler_ = StandardScaler().fit(np.where(self.varies_, x, 0))  # skips NaN
        self.network_ = _autoencoder(x.shape[1], self.seed)
        train = _trainer(x.shape[1], self.HIDDEN)
        rows = (tf.constant(a, tf.float32) for a in (self._read(x), seen))
        weights = train(self.network_.get_weights(), *rows, self.seed, self.STEPS)
        self.network_.set_weights([w.numpy() for w in weights])
        return self

    def transform(self, x: Any) -> Array:
        """Fill the NaN of `x`, shape (n, d), and return a complete copy."""
        check_is_fitted(self)
        x = validate_data(self, x, dtype=float, ensure_all_finite="allow-nan", reset=False)
        restored = np.asarray(self.network_(self._read(x).astype("float32")), dtype=float)
        guess = np.where(self.varies_, self.scaler_.inverse_transform(restored), self.constant_)
        return cast(Array, np.where(np.isnan(x), guess, x))

    def _read(self, x: Array) -> Array:
        """Standardised; 0 for what is missing, and in columns of which nothing was learnt."""
        return np.where(np.isnan(x) | ~self.varies_, 0, self.scaler_.transform(x))


def _autoencoder(features: int, seed: int) -> keras.Model:
    """The untrained network d-32-16-32-d."""
    layers = [
        *(keras.layers.Dense(units, activation="tanh") for units in (32, 16, 32)),
        keras.layers.Dense(features),
    ]
    network = keras.Sequential([keras.Input((features,)), *layers])
    for k, layer in enumerate(layers):
        start = keras.initializers.GlorotUniform(seed=len(layers) * seed + k)
        layer.kernel.assign(start(layer.kernel.shape))
    return network


@lru_cache
def _trainer(features: int, hidden: float) -> Callable[..., Any]:
    """Full-batch Adam from weights to weights, compiled once for each width, as in `models`."""
    template = _autoencoder(features, 0)
    moving = template.trainable_variables
    adam = keras.optimizers.Adam(learning_rate=0.003)
    adam.build(moving)
    state, start = [*moving, *adam.variables], [v.numpy() for v in adam.variables]

    def train(weights: Any, z: Any, seen: Any, seed: Any, steps: Any) -> Any:
        for variable, value in zip(state, [*weights, *start], strict=True):
            variable.assign(value)
        for step in tf.range(steps):
            # Stateless: what is hidden depends on the seed and the step, and on nothing else.
            left = tf.random.stateless_uniform(tf.shape(z), [seed, step]) >= hidden
            with tf.GradientTape() as tape:
                wrong = (template(z * tf.cast(left, tf.float32), training=True) - z) * seen
                loss = tf.reduce_sum(wrong**2) / tf.reduce_sum(seen)
            adam.apply(tape.gradient(loss, [v.value for v in moving]))
        return [tf.identity(v) for v in moving]

    rows, scalar = tf.TensorSpec([None, features]), tf.TensorSpec([], tf.int32)
    signature = [[tf.TensorSpec(v.shape) for v in moving], rows, rows, scalar, scalar]
    return cast(Callable[..., Any], tf.function(train, input_signature=signature))


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
