"""Several hospitals as sources: pooled, weighted, one model each; then a few labels on top.

Every hospital here may lack values. All share one scaler, which fills what is missing with the
median of the patients it was fitted on, and is fitted on training patients only: the sources' and,
without labels, the target's. All models are logistic regressions with a normal prior
(`models.posterior_mode`), so that what differs between two rows of a table is where they learned
and what they hold on to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.pipeline import Pipeline

from medxfer_utils import require, shifts
from medxfer_utils.cohorts import Cohort, require_disjoint
from medxfer_utils.missing import median_scaler
from medxfer_utils.models import Array, Average, Linear, posterior_mode
from medxfer_utils.models.base import prepared
from medxfer_utils.models.linear import with_intercept
from medxfer_utils.transfer.gate import log_losses

# Standard deviations of the priors, that is, how far hospitals may be expected to differ: the odds
# of disease easily sevenfold, a slope by a half, a coefficient by a third of a standard one. A
# coefficient of which nothing is known has 1, as in scikit-learn (C = 1).
INTERCEPT_SD, SLOPE_SD, COEFFICIENT_SD, UNKNOWN_SD = 2.0, 0.5, 0.3, 1.0


def common_scaler(sources: Sequence[Cohort], x: Array) -> Pipeline:
    """The scaler for all, which also fills gaps; no label is needed. Taught in lesson 10.

    Parameters
    ----------
    sources : sequence of Cohort
    x : ndarray, shape (n, d)
        Raw features of unlabelled target *training* patients; NaN where missing.
    """
    return median_scaler(np.concatenate([*(source.x for source in sources), x]))


def pooled(sources: Sequence[Cohort], x: Array, weights: ArrayLike | None = None) -> Linear:
    """One model of all patients, in which each hospital has an intercept of its own.

    Without intercepts, a model can learn which hospital has many ill patients from anything that
    gives the hospital away. A new hospital gets the mean of the intercepts. Taught in lesson 10.

    Parameters
    ----------
    sources : sequence of Cohort
        Their patients, with labels.
    x : ndarray, shape (n, d)
        Raw features of unlabelled target patients.
    weights : array-like, shape (k,), optional
        Of a patient of each hospital, not negative; 1 for all if not given.

    Raises
    ------
    ValueError
        If hospitals share patients, or a weight is negative or all are 0.
    """
    require_disjoint(*sources)
    each = np.asarray(weights if weights is not None else np.ones(len(sources)), dtype=float)
    fine = len(each) == len(sources) and (each >= 0).all() and each.any()
    require(fine, f"{len(sources)} sources need as many weights, none negative; got {each}.")
    scaler, sizes = common_scaler(sources, x), [len(source) for source in sources]
    z = np.concatenate([scaler.transform(source.x) for source in sources])
    y = np.concatenate([source.y for source in sources])
    own = np.repeat(np.eye(len(sources)), sizes, axis=0)
    d, weight = z.shape[1], np.repeat(each, sizes)
    spread = np.repeat([UNKNOWN_SD, INTERCEPT_SD], [d, len(sources)])
    theta = posterior_mode(np.column_stack([z, own]), y, 0 * spread, spread, weight)
    return Linear(np.append(theta[:d], np.average(theta[d:], weights=each)), scaler)


def one_hospital(
    target: Cohort, scaler: Pipeline | None = None, spread: float = UNKNOWN_SD
) -> Linear:
    """The target's labelled patients and nothing else. Taught in lesson 10.

    Parameters
    ----------
    target : Cohort
        Values may be missing; one class is enough.
    scaler : Pipeline, optional
        A scaler fitted on more (unlabelled) patients; by default on the labelled ones.
    spread : float
        Standard deviation of the prior of a coefficient, the root of scikit-learn's C.
    """
    scaler = scaler or median_scaler(target.x)
    design = with_intercept(scaler.transform(target.x))
    spreads = np.append(np.full(design.shape[1] - 1, spread), INTERCEPT_SD)
    return Linear(posterior_mode(design, target.y, 0 * spreads, spreads), scaler)


def one_each(sources: Sequence[Cohort], x: Array) -> list[Linear]:
    """A model of each hospital, all with the `common_scaler` of `sources` and `x`, (n, d)."""
    scaler = common_scaler(sources, x)
    return [one_hospital(source, scaler) for source in sources]


def similarity(
    sources: Sequence[Cohort], x: Array, rng: np.random.Generator
) -> NDArray[np.floating]:
    """How alike each source is to unlabelled target patients. Taught in lesson 10.

    One minus half the proxy A-distance: 1 where no classifier can tell the two hospitals apart, 0
    where one always can.

    Parameters
    ----------
    sources : sequence of Cohort
    x : ndarray, shape (n, d)
        Raw features of unlabelled target patients.
    rng : numpy.random.Generator
        Deals the patients into folds.

    Returns
    -------
    ndarray, shape (k,)
        From 0 to 1.

    Raises
    ------
    ValueError
        If a hospital has fewer patients than the five folds.
    """
    scaler = common_scaler(sources, x)
    z, own = scaler.transform(x), np.arange(len(x))
    pairs = [(scaler.transform(s.x), z, rng, 5, (s.patient, own)) for s in sources]
    distances = [shifts.proxy_a_distance(*pair) for pair in pairs]
    return np.clip(1 - np.array(distances) / 2, 0, 1)


# --- a few labels on top --------------------------------------------------------------------------


def recalibrated(model: Linear, target: Cohort, slope: bool = False) -> Linear:
    """Change the intercept of a model, and with `slope` the slope, to fit the target's labels.

    The log odds become a + b · logit. The best a and b after a normal prior: a about 0, b (1 if
    not `slope`) about 1. So a study in which all are ill still gives a finite answer.
    Taught in lesson 10.

    Parameters
    ----------
    model : Linear
        Read, never changed.
    target : Cohort
        The labelled patients; one class is enough.
    slope : bool
        Fit the slope as well.
    """
    score, ones = model.logit(target.x), np.ones((len(target), 1))
    a, b = posterior_mode(ones, target.y, [0.0], [INTERCEPT_SD], offset=score)[0], 1.0
    if slope:
        design, spread = with_intercept(score[:, None]), [SLOPE_SD, INTERCEPT_SD]
        b, a = posterior_mode(design, target.y, [1.0, 0.0], spread)
    return replace(model, theta=np.append(b * model.theta[:-1], b * model.theta[-1] + a))


def regularised(model: Linear, target: Cohort) -> Linear:
    """L2-SP from a recalibrated source: each coefficient may leave the source's if labels insist.

    It is `transfer.l2_sp` with a strength that fades as 1 / n, and an anchor whose intercept has
    been recalibrated first. Taught in lesson 10.

    Parameters
    ----------
    model : Linear
        Of the source; read, never changed.
    target : Cohort
        The labelled patients; one class is enough.
    """
    anchor = recalibrated(model, target)
    design = with_intercept(prepared(model.prepare, target.x))
    spread = np.full(design.shape[1], COEFFICIENT_SD)
    return replace(model, theta=posterior_mode(design, target.y, anchor.theta, spread))


def stacked(models: Sequence[Linear], target: Cohort) -> Average:
    """Learn from the target's labels how much to listen to each hospital's model [1]_.

    A logistic regression on their log odds, pulled to the plain average as `recalibrated` is to
    the model: no hospital was fitted on these patients, so no cross-validation is needed.
    Taught in lesson 10.

    Parameters
    ----------
    models : sequence of Linear
        k models that have seen none of these patients.
    target : Cohort
        The labelled patients; one class is enough.

    Returns
    -------
    Average
        Of log odds, with k weights of either sign and an intercept.

    References
    ----------
    .. [1] Wolpert (1992), Stacked generalization. Neural Networks,
       doi:10.1016/S0893-6080(05)80023-1.
    """
    k = len(models)
    centre, spread = np.append(np.full(k, 1 / k), 0), np.append(np.full(k, SLOPE_SD), INTERCEPT_SD)
    design = with_intercept(np.column_stack([model.logit(target.x) for model in models]))
    *weights, intercept = posterior_mode(design, target.y, centre, spread)
    return Average(models, weights, "log odds", intercept)


def mixture(models: Sequence[Linear], target: Cohort) -> Average:
    """Weigh recalibrated models by how well they predicted the target's labels.

    The weights are posterior probabilities of the models (each equally likely before), from the
    likelihood of the labels. Taught in lesson 10.

    Parameters
    ----------
    models : sequence of Linear
        k models that have seen none of these patients.
    target : Cohort
        The labelled patients.

    Returns
    -------
    Average
        Of probabilities, with k weights from 0 to 1 and sum 1.
    """
    models = [recalibrated(model, target) for model in models]
    evidence = [-log_losses(model, target).sum() for model in models]
    return Average(models, softmax(evidence))
