"""How good a diagnosis is: discrimination, calibration, and how sure one can be of either.

One convention everywhere. ``y`` holds the truth, shape (n,): 1 for the disease, 0 without it.
``score`` has shape (n,), any scale, higher meaning more likely ill. ``p`` is a score that claims
to be the probability of disease, in [0, 1]. Whatever breaks the convention raises ``ValueError``
with the place and the remedy. Nothing here changes its arguments.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, stats
from scipy.special import expit, logit
from sklearn import metrics as sklearn_metrics
from sklearn.linear_model import LogisticRegression

from medxfer_utils import require

Array = npt.NDArray[Any]
Values = npt.ArrayLike


def _checked_scores(
    y: Values, *scores: Values, probability: bool = False, classes: int = 2
) -> tuple[Array, ...]:
    """Check everything once; return `y` as booleans (ill or not), then each score as floats."""
    truth, *rest = (np.asarray(values) for values in (y, *scores))
    rest = [s if np.issubdtype(s.dtype, np.floating) else s.astype(float) for s in rest]
    names = [f"score {i}" if len(rest) > 1 else "score" for i in range(1, len(rest) + 1)]
    n, more = truth.size, "pass one number per patient, for example values[:, -1]"
    for name, values in zip(["y", *names], [truth, *rest], strict=True):
        require(values.ndim == 1, f"{name} has shape {values.shape}, not (n,): {more}")
        rows = f"y has {n} rows but {name} has {len(values)}: pass the same patients in one order"
        require(len(values) == n, rows)
    _check_labels(truth, classes)
    for name, values in zip(names, rest, strict=True):
        _check_values(name, values, probability)
    return (truth == 1, *rest)


def _check_labels(truth: Array, classes: int) -> None:
    """Refuse no labels, labels other than 0 and 1, and fewer than `classes` of them."""
    require(len(truth), "y is empty: there is no patient to judge; check how rows were chosen")
    ill, known = truth == 1, np.isin(truth, (0, 1))
    strange = ", ".join(map(repr, pd.unique(truth[~known])[:5].tolist()))
    require(known.all(), f"y holds labels other than 0 and 1 ({strange}): code the disease as 1")
    one = f"y holds class {int(ill[0])} only ({len(ill)} rows): this measure compares ill with "
    both = classes < 2 or 0 < ill.sum() < len(ill)
    require(both, one + "healthy patients; use more patients or stratify the split")


def _check_values(name: str, values: Array, probability: bool) -> None:
    """Refuse scores that are not finite and probabilities outside [0, 1]."""
    wrong, what = ~np.isfinite(values), "NaN or infinite: find out what the model was fed there"
    if probability and not wrong.any():
        wrong = (values < 0) | (values > 1)
        what = "outside [0, 1]: pass probabilities, for example scipy.special.expit(log odds)"
    first = int(np.argmax(wrong))
    where = f"{wrong.sum()} of {len(values)} values, the first at position {first}"
    require(not wrong.any(), f"{name}: {where} ({values[first]}), are {what}")


def _share(name: str, value: float) -> None:
    """Refuse what does not lie between 0 and 1."""
    require(0 < value < 1, f"{name} must lie between 0 and 1, not {value}")


def auroc(y: Values, score: Values) -> float:
    """Area under the ROC curve: the chance that an ill patient outranks a healthy one.

    Ties count one half (the Mann-Whitney statistic; Hanley & McNeil 1982). Taught in lesson 02.
    """
    ill, values = _checked_scores(y, score)
    high, low = np.sort(values[ill]), np.sort(values[~ill])
    wins = sum(int(np.searchsorted(low, high, side).sum()) for side in ("left", "right"))
    return wins / (2 * len(high) * len(low))


def _placements(ill: Array, score: Array) -> tuple[Array, Array]:
    """For each ill patient the share of healthy ones ranked below, for each healthy of ill above.

    Both average to the AUROC. They come from midranks in O(n log n), as in Sun & Xu (2014).
    """
    m, n = int(ill.sum()), int((~ill).sum())
    enough = f"{m} ill and {n} healthy patients: DeLong's variance needs at least two of each"
    require(min(m, n) > 1, enough)
    overall = stats.rankdata(score)
    below = (overall[ill] - stats.rankdata(score[ill])) / n
    above = 1 - (overall[~ill] - stats.rankdata(score[~ill])) / m
    return below, above


def _delong_variance(below: Array, above: Array) -> float:
    return float(np.var(below, ddof=1) / len(below) + np.var(above, ddof=1) / len(above))


def delong(y: Values, score: Values) -> tuple[float, float]:
    """AUROC and its variance after DeLong, DeLong & Clarke-Pearson (1988). Taught in lesson 03.

    Raises
    ------
    ValueError
        With fewer than two patients of a class.
    """
    ill, values = _checked_scores(y, score)
    below, above = _placements(ill, values)
    return float(below.mean()), _delong_variance(below, above)


def auroc_interval(y: Values, score: Values, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval of the AUROC: DeLong's variance on the logit scale, transformed back.

    Near 1 the plain interval (AUROC ± 1.96 standard errors) leaves [0, 1] and covers too rarely;
    the logit one stays inside (compared by Kottas, Kuss & Zapf 2014). At exactly 1 DeLong's
    variance is 0 and says nothing. k = min(ill, healthy) disjoint pairs were then all ranked
    rightly, which has probability AUROC**k at most: the interval is
    [((1 - level) / 2)**(1 / k), 1], never too short, and its mirror image at 0.

    Returns
    -------
    low, high : float
        Both in [0, 1]; NaN where all scores are equal, which says nothing of other patients.
    """
    _share("level", level)
    area, variance = delong(y, score)
    if area in (0.0, 1.0):
        ill = np.asarray(y) == 1
        bound = float(((1 - level) / 2) ** (1 / min(ill.sum(), (~ill).sum())))
        return (bound, 1.0) if area else (0.0, 1 - bound)
    error = np.sqrt(variance if variance > 1e-24 else np.nan)  # rounding leaves some 1e-32
    half = stats.norm.ppf((1 + level) / 2) * error / (area * (1 - area))
    return float(expit(logit(area) - half)), float(expit(logit(area) + half))


def average_precision(y: Values, score: Values) -> float:
    """Average precision, the area under the precision-recall steps, as scikit-learn defines it."""
    return float(sklearn_metrics.average_precision_score(*_checked_scores(y, score)))


def dice(truth: Values, found: Values) -> Array:
    """Dice coefficient of each pair of masks: twice their overlap by the sum of their areas.

    Parameters
    ----------
    truth, found : array_like, shape (n, height, width)
        0 or 1 for each pixel.

    Returns
    -------
    ndarray, shape (n,)
        1 where both are empty: they agree.

    Raises
    ------
    ValueError
        If the shapes differ, or there are other values than 0 and 1.
    """
    a, b = np.asarray(truth), np.asarray(found)
    sizes = f"masks of shape {a.shape} and {b.shape}"
    require(a.shape == b.shape and a.ndim == 3, f"{sizes}: give both as (n, height, width).")
    marks = np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()
    require(marks, "A mask holds other values than 0 and 1: threshold probabilities first.")
    both, areas = ((a * b.astype(float)).sum((1, 2)), (a.astype(float) + b).sum((1, 2)))
    return np.asarray(np.where(areas > 0, 2 * both / np.maximum(areas, 1), 1.0))


def brier(y: Values, p: Values) -> float:
    """Mean squared distance between probability and truth (Brier 1950): 0 is best, 1 worst."""
    ill, values = _checked_scores(y, p, probability=True, classes=1)
    return float(np.mean((values - ill) ** 2))


def log_loss(y: Values, p: Values) -> float:
    """Mean negative log likelihood in nats; `p` is kept one machine epsilon away from 0 and 1."""
    ill, values = _checked_scores(y, p, probability=True, classes=1)
    epsilon = np.finfo(values.dtype).eps
    return float(-np.log(np.clip(np.where(ill, values, 1 - values), epsilon, 1 - epsilon)).mean())


def net_benefit(y: Values, p: Values, threshold: float, weight: Values | None = None) -> float:
    """Net benefit of treating everybody with ``p >= threshold`` (Vickers & Elkin 2006).

    The ill who are treated, minus the healthy who are, these times threshold / (1 - threshold),
    all as shares of the patients. Nobody treated is worth 0. Taught in lesson 13.

    Parameters
    ----------
    y, p : array of shape (n,)
        Truth and predicted risk.
    threshold : float
        In (0, 1); at 0.2, four needless treatments weigh as much as one ill patient missed.
    weight : array of shape (n,), optional
        How many patients each one stands for, see `known_by`; each for one if not given.
    """
    require(0 < threshold < 1, f"threshold must lie between 0 and 1, not {threshold}")
    ill, values = _checked_scores(y, p, probability=True, classes=1)
    each = np.ones(len(ill)) if weight is None else np.asarray(weight, dtype=float)
    fine = each.shape == ill.shape and np.isfinite(each).all() and (each >= 0).all() and each.any()
    require(fine, f"weight must be one number for each of {len(ill)} patients, none below 0")
    worth = np.where(ill, 1.0, -threshold / (1 - threshold))
    return float(np.average((values >= threshold) * worth, weights=each))


def known_by(time: Values, event: Values, horizon: float) -> tuple[Array, Array]:
    """Who fell ill by the horizon, and how many patients each stands for where some were lost.

    A patient lost before the horizon has weight 0. The others weigh 1 / (share that was still
    followed when they fell ill, or at the horizon), by Kaplan and Meier's estimate of that share:
    inverse probability of censoring weights (Graf et al. 1999). Taught in lesson 13.

    Parameters
    ----------
    time, event : array of shape (n,)
        Until when each was followed, and whether that ended with the event (1) or not (0).
    horizon : float
        In the unit of `time`; somebody must have been followed so long.

    Returns
    -------
    y, weight : array of shape (n,)
    """
    until, seen = np.asarray(time, dtype=float), _checked_scores(event, time, classes=1)[0]
    require((until >= 0).all(), f"time has values below 0 (least {until.min():g}): count from 0")
    last = until.max()
    late = f"horizon is {horizon:g}, and nobody was followed longer than {last:g}: all are unknown"
    require(0 < horizon <= last, f"{late} there; choose one in between")
    lost, left = np.unique(until[~seen], return_counts=True)
    at_risk = np.array([(until > t).sum() + ((until == t) & ~seen).sum() for t in lost])
    share = np.append(1.0, np.cumprod(1 - left / at_risk)) if len(lost) else np.ones(1)
    followed = share[np.searchsorted(lost, np.minimum(until, horizon))]
    y = seen & (until <= horizon)
    return y.astype(int), np.where(y | (until >= horizon), 1 / followed, 0.0)


def operating_point(
    y: Values, score: Values, threshold: float, prevalence: float | None = None
) -> dict[str, float]:
    """Count what happens when every patient with ``score >= threshold`` is called ill.

    With `prevalence`, between 0 and 1, the ill and the healthy are reweighted to it: PPV, NPV and
    accuracy are those of a population with that share of ill (Bayes' rule). Taught in lesson 02.

    Returns
    -------
    dict
        sensitivity, specificity, PPV, NPV, accuracy. A rate of nobody (the PPV when no patient
        is called ill) is NaN.
    """
    _share("prevalence", 0.5 if prevalence is None else prevalence)
    require(not np.isnan(threshold), "threshold is NaN: choose one on validation patients")
    ill, values = _checked_scores(y, score, classes=1 if prevalence is None else 2)
    called, weight = values >= threshold, np.ones(len(ill))
    if prevalence is not None:
        weight = np.where(ill, prevalence / ill.mean(), (1 - prevalence) / (~ill).mean())

    def share(event: Array, among: Array) -> float:
        return float(np.average(event, weights=weight * among)) if among.any() else np.nan

    return {
        "sensitivity": share(called, ill),
        "specificity": share(~called, ~ill),
        "PPV": share(ill, called),
        "NPV": share(~ill, ~called),
        "accuracy": share(ill == called, np.ones(len(ill), dtype=bool)),
    }


def calibration(y: Values, p: Values) -> tuple[float, float]:
    """Intercept and slope of the recalibration model of Cox (1958): 0 and 1 when `p` is right.

    The intercept is calibration in the large: a in logit P(y = 1) = a + logit p. Above 0, the
    model promised too little disease. The slope is b in logit P(y = 1) = a' + b logit p. Below 1,
    the probabilities are too extreme. `p` is kept one machine epsilon away from 0 and 1. Taught in
    lesson 03.

    Returns
    -------
    intercept, slope : float
        The slope is NaN where no finite one exists: when some value of `p` separates the ill from
        the healthy without error, or when all of `p` are equal.
    """
    ill, values = _checked_scores(y, p, probability=True)
    epsilon = np.finfo(values.dtype).eps
    x = logit(np.clip(values, epsilon, 1 - epsilon).astype(float))
    # The likelihood equation falls monotonically in a, and its root lies inside this bracket.
    edge = np.abs(x).max() + np.log(len(x)) + 1
    intercept = float(optimize.brentq(lambda a: float((ill - expit(a + x)).sum()), -edge, edge))
    if x[~ill].max() <= x[ill].min() or x[ill].max() <= x[~ill].min():
        return intercept, np.nan
    # On a scale of its own: extreme log odds would stop Newton's method early.
    scale = x.std()
    free = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-13, max_iter=200)
    return intercept, float(free.fit(x[:, None] / scale, ill).coef_[0, 0] / scale)


def _binned(y: Values, p: Values, bins: int) -> pd.DataFrame:
    """Patients and means of `p` and `y` in each of `bins` bins that holds anybody."""
    require(bins >= 1, f"bins must be at least 1, not {bins}")
    ill, values = _checked_scores(y, p, probability=True, classes=1)
    place = np.digitize(values, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    table = pd.DataFrame({"predicted": values.astype(float), "observed": ill.astype(float)})
    curve = table.groupby(place).mean().rename_axis("bin")
    return curve.assign(patients=np.bincount(place)[curve.index])


def expected_calibration_error(y: Values, p: Values, bins: int = 10) -> float:
    """Mean distance between the observed and the predicted share of ill over the patients' bins.

    The bins have equal width and are closed on the right (Naeini et al. 2015; Guo et al. 2017). It
    is biased upwards in small samples: a perfect model does not reach 0. Taught in lesson 03.
    """
    curve = _binned(y, p, bins)
    gap = (curve["observed"] - curve["predicted"]).abs()
    return float(np.average(gap, weights=curve["patients"]))


def bootstrap_interval(
    statistic: Callable[..., float],
    y: Values,
    *scores: Values,
    groups: Values | None = None,
    repeats: int = 2000,
    level: float = 0.95,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Percentile interval of ``statistic(y, *scores)`` over resampled patients.

    Taught in lesson 03.

    Parameters
    ----------
    statistic : callable
        For example `auroc`, or ``lambda y, a, b: auroc(y, a) - auroc(y, b)``.
    y, *scores : array of shape (n,)
        Truth, and what is resampled with it.
    groups : array of shape (n,), optional
        Patient of each row. Patients are drawn with replacement, each with all of their rows;
        without `groups` every row is a patient. Rows of one patient resemble each other, and
        drawing rows would make the interval too narrow.
    repeats : int
        Resamples.
    level : float
        Coverage, in (0, 1).
    rng : numpy.random.Generator
        A resample with only one class is drawn again. A statistic that is NaN on any resample
        makes the interval NaN.

    Returns
    -------
    low, high : float
        NaN where all scores are equal, which says nothing of other patients.
    """
    _share("level", level)
    ill, *rest = _checked_scores(y, *scores)
    if rest and all(np.ptp(score) == 0 for score in rest):
        return np.nan, np.nan
    order, size = _by_patient(np.arange(len(ill)) if groups is None else groups, len(ill))
    first, arrays, values = np.cumsum(size) - size, (ill.astype(int), *rest), list[float]()
    while len(values) < repeats:
        drawn = rng.integers(len(size), size=len(size))
        many = size[drawn]  # rows of each patient who was drawn, one block after another
        chosen = order[drawn]
        if len(size) < len(ill):
            within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
            chosen = order[np.repeat(first[drawn], many) + within]
        if 0 < ill[chosen].sum() < len(chosen):
            values.append(statistic(*(a[chosen] for a in arrays)))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _by_patient(groups: Values, n: int) -> tuple[Array, Array]:
    """Positions of all rows, patient by patient, and how many each patient has."""
    patient, names = pd.factorize(np.asarray(groups))
    found = f"{len(patient)} rows, {(patient < 0).sum()} missing, {len(names)} patients"
    fine = len(patient) == n and (patient >= 0).all() and len(names) > 1
    require(
        fine, f"groups must name a patient for each of {n} rows, and two at least; it has {found}"
    )
    return np.argsort(patient, kind="stable"), np.bincount(patient)


def mean_interval(
    differences: Values, level: float = 0.95, groups: Values | None = None
) -> tuple[float, float, float]:
    """Mean of paired differences over draws, and its interval by Student's t.

    It speaks of new draws of the labelled patients, with the test patients as they are: draws
    share that test set, and the interval does not say how another hospital would differ. Taught in
    lesson 04; with `groups` in lesson 07.

    Parameters
    ----------
    differences : array of shape (draws,)
        At least two, finite.
    level : float
        Coverage, in (0, 1).
    groups : array of shape (draws,), optional
        What several draws share, such as their source network. Each group then counts as one
        value, its mean, so that the interval speaks of another group, too. Few groups vary much:
        by luck it may be narrower than the one over draws. Look at both before you say "ahead".

    Returns
    -------
    mean, low, high : float
    """
    values = np.asarray(differences, dtype=float)
    _share("level", level)
    fine = values.ndim == 1 and len(values) > 1 and np.isfinite(values).all()
    wanted = "differences must be one-dimensional, finite and at least two, one for each draw"
    require(fine, f"{wanted}; got shape {values.shape}, {(~np.isfinite(values)).sum()} not finite")
    if groups is not None:
        order, counts = _by_patient(groups, len(values))
        values = np.add.reduceat(values[order], np.cumsum(counts) - counts) / counts
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def summary(y: Values, p: Values, threshold: float) -> dict[str, float]:
    """Collect every measure of one model on one test set, named, in one row."""
    intercept, slope = calibration(y, p)
    return {
        "AUROC": auroc(y, p),
        "AP": average_precision(y, p),
        **operating_point(y, p, threshold),
        "Brier": brier(y, p),
        "log loss": log_loss(y, p),
        "calibration intercept": intercept,
        "calibration slope": slope,
        "ECE": expected_calibration_error(y, p),
    }
