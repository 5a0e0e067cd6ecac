"""What the stand-in of the four heart-disease hospitals is drawn from.

Writes `medxfer_utils/data/hospitals.json`: for each hospital and diagnosis a few quantiles of each
number, the share of each code and how often values are missing together; for each diagnosis the
correlations. No patient can be put together again from them. Run it with `make results`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from medxfer_utils import data, results
from medxfer_utils.cohorts import Cohort

Array = NDArray[np.floating]
LEVELS = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)
FEWEST = 5  # values, below which a hospital has no marginal of its own
FLOOR = 0.01  # of the eigenvalues: correlations of pairs need not fit together
PACKAGES = ("numpy", "scipy")


def marginal(values: Array, feature: str) -> list[float] | dict[str, float]:
    """The quantiles of the measured values of a number, or the share of each code."""
    measured = values[~np.isnan(values)]
    if feature in data.CODES:
        codes = data.CODES[feature]
        return {str(code): round(float(np.mean(measured == code)), 3) for code in codes}
    return [round(float(knot), 1) for knot in np.quantile(measured, LEVELS)]


def marginals(x: Array, fewest: int = 1) -> dict[str, list[float] | dict[str, float]]:
    """The marginal of each feature that has at least so many measured values."""
    enough = (~np.isnan(x)).sum(axis=0) >= fewest
    each = zip(data.HEART_FEATURES, x.T, enough, strict=True)
    return {feature: marginal(values, feature) for feature, values, known in each if known}


def missing(x: Array) -> dict[str, int]:
    """How many patients lack the same values, for instance "0000100000111"."""
    patterns = Counter("".join("01"[gap] for gap in row) for row in np.isnan(x).astype(int))
    return dict(sorted(patterns.items()))


def scores(values: Array) -> Array:
    """Normal scores: the mean of a normal variable over the share that each value takes up.

    The mean over a share, not the score of its middle, so that `correlation` knows how much of
    the variance a coarse code has lost.
    """
    result, measured = np.full(len(values), np.nan), ~np.isnan(values)
    if not measured.any():
        return result
    _, which, counts = np.unique(values[measured], return_inverse=True, return_counts=True)
    shares = counts / counts.sum()
    heights = norm.pdf(norm.ppf(np.concatenate([[0], np.cumsum(shares)[:-1], [1]])))
    result[measured] = ((heights[:-1] - heights[1:]) / shares)[which]
    return result


def correlation(groups: Sequence[Array]) -> Array:
    """Correlations of the normal variables behind the features, pooled over hospitals.

    Scores are within a hospital, lest a difference between hospitals look like a correlation
    within each. If the normal variables behind two features correlate by r, then to first order
    the covariance of their scores is r times both variances: 1 for a number, less for a code. Of
    rare codes, such as a high sugar and three vessels, strong correlations come out too strong.
    """
    above, below = np.zeros((2, len(data.HEART_FEATURES), len(data.HEART_FEATURES)))
    for x in groups:
        z = np.apply_along_axis(scores, 0, x)
        known, z = (~np.isnan(z)).astype(float), np.nan_to_num(z)
        variance = (z**2).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        above += z.T @ z
        below += known.T @ known * np.outer(variance, variance)
    return above / below


def positive_definite(matrix: Array) -> Array:
    """The matrix with unit diagonal whose eigenvalues are at least about `FLOOR`."""
    values, vectors = np.linalg.eigh(matrix - np.diag(np.diag(matrix)) + np.eye(len(matrix)))
    fitted = vectors * np.maximum(values, FLOOR) @ vectors.T
    scale = np.sqrt(np.diag(fitted))
    return np.asarray(fitted / np.outer(scale, scale))


def statistics(cohorts: Mapping[str, Cohort]) -> dict[str, Any]:
    """Everything that `heart_statistics` describes, but the record."""
    diagnoses, hospitals = {}, {name: dict[str, Any]() for name in cohorts}
    for y, diagnosis in enumerate(data.DIAGNOSES):
        groups = {name: cohort.x[cohort.y == y] for name, cohort in cohorts.items()}
        matrix = positive_definite(correlation(list(groups.values())))
        of_all = marginals(np.concatenate(list(groups.values())))
        diagnoses[diagnosis] = {"correlation": matrix.round(3).tolist(), "marginals": of_all}
        for name, x in groups.items():
            own = {"missing": missing(x), "marginals": marginals(x, FEWEST)}
            hospitals[name][diagnosis] = own
    return {"levels": list(LEVELS), "diagnoses": diagnoses, "hospitals": hospitals}


def main() -> None:
    """Compute and write them, with their provenance."""
    cohorts = data.four_hospitals()
    sums = {name: data.sums_of(data.fetch(f))[1] for name, f in data.HEART.items()}
    record = results.provenance(PACKAGES, files=sums, fewest=FEWEST)
    text = json.dumps({"record": record, **statistics(cohorts)}, indent=1)
    data.STATISTICS.write_text(text + "\n", "utf-8")
    print(f"{data.STATISTICS}: {len(text) / 1000:.0f} kB")
