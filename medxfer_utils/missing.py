"""How values go missing, and the simplest thing that can be put in their place.

A missing value is NaN. Whatever learns what to put there is fitted on training patients only, and
then fills each patient by that patient's own values. Deleting patients is no imputer: a patient
without a measurement still needs a diagnosis. `complete_rows` says how many that would cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

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


def median_scaler(x: Array) -> Pipeline:
    """The scaler of a hospital with gaps: fill with the median, then standardise; fitted on `x`.

    It stands where `models.fit_scaler` stands for complete patients: as a model's `prepare`. A
    column of `x`, shape (n, d), without any value is 0 for everybody, also for later patients who
    have a value: nobody knows its mean or spread.
    """
    median = SimpleImputer(strategy="median", keep_empty_features=True)
    scaler = make_pipeline(median, StandardScaler()).fit(x)
    scaler[-1].scale_[np.isnan(x).all(axis=0)] = np.inf
    return scaler
