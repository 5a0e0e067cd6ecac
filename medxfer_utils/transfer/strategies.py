"""Every transfer strategy of the course as one function of a source model and a target cohort.

They differ only in what they keep of the source: nothing, its patients, its ruler, or its
parameters as a starting point, a frozen body or an anchor. Each returns a new model, and reads the
target with the scaler of the source model it is given: hand it `restandardised(source, x)` to give
it the target's own ruler.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np
from sklearn.preprocessing import StandardScaler

from medxfer_utils.cohorts import Cohort, require_disjoint
from medxfer_utils.models.network import Array, Model, fit_scaler, rows

M = TypeVar("M", bound=Model)

STEPS = 100  # gradient steps of every strategy that starts from the source


def source_as_is(source_model: M, target: Cohort) -> M:
    """Keep everything: the source model, which never looks at the target."""
    return source_model


def restandardised(source_model: M, x: Array) -> M:
    """Keep the parameters, read the target with its own ruler: no label is needed.

    The scaler is fitted anew on unlabelled target features. This matches the mean and the variance
    of each feature; CORAL [1]_ matches their covariances too.

    Parameters
    ----------
    source_model : Model
    x : ndarray, shape (n, d)
        Raw features of target *training* patients.

    References
    ----------
    .. [1] Sun, Feng and Saenko (2016), doi:10.1609/aaai.v30i1.10306.
    """
    return replace(source_model, scaler=fit_scaler(x))


def target_only(
    source_model: M, target: Cohort, scaler: StandardScaler | None = None, seed: int = 0
) -> M:
    """Keep nothing: an untrained model of the same kind, trained on the target's labels.

    The scaler is fitted on the labelled patients, unless one is given that was fitted on more
    (unlabelled) patients of the target.
    """
    start = source_model.fresh(scaler or fit_scaler(target.x), seed)
    return start.minimised(rows(target, start.scaler), strength=start.ridge(len(target)))


def pooled(source_model: M, target: Cohort, source: Cohort, seed: int = 0) -> M:
    """Keep the patients: source and target in one heap, one scaler, every patient equal."""
    require_disjoint(source, target)
    both = fit_scaler(np.concatenate([source.x, target.x]))
    start = source_model.fresh(both, seed)
    n = len(source) + len(target)
    heap = rows(target, both, len(target) / n) + rows(source, both, len(source) / n)
    return start.minimised(heap, strength=start.ridge(n))


def joint(source_model: M, target: Cohort, source: Cohort, weight: float, seed: int = 0) -> M:
    """Keep the patients, at a price: min over θ of L(θ; target) + weight · R(θ; source).

    L and R are mean losses, so the gradient is g_target + weight · g_source. With `weight` 0 this
    is `target_only` on the same scaler; with n_source / n_target every patient counts the same.
    Each site is read with its own ruler, as far as the source model knows it.

    Raises
    ------
    ValueError
        If the weight is negative, or a patient is in both cohorts.
    """
    if weight < 0:
        raise ValueError(f"The weight of the source must not be negative, got {weight}.")
    require_disjoint(source, target)
    start = source_model.fresh(source_model.scaler, seed)
    data = rows(target, start.scaler) + rows(source, source_model.source_scaler, weight)
    return start.minimised(data, strength=start.ridge(len(target)))


def fine_tuned(source_model: M, target: Cohort, steps: int = STEPS) -> M:
    """Keep a starting point: a few gradient steps on the target from the source's parameters."""
    return source_model.minimised(rows(target, source_model.scaler), steps=steps)


def frozen_body(source_model: M, target: Cohort, seed: int = 0) -> M:
    """Keep the body: only a new head is trained on the target.

    For a linear model the body is its score, and the new head a slope and an intercept on it.
    """
    start = source_model.with_new_head(seed)
    return start.minimised(
        rows(target, start.scaler), strength=start.ridge(len(target)), head_only=True
    )


def lp_ft(source_model: M, target: Cohort, steps: int = STEPS, seed: int = 0) -> M:
    """Keep the body until a new head fits it, then fine-tune all (LP-FT [1]_).

    References
    ----------
    .. [1] Kumar et al. (2022), Fine-tuning can distort pretrained features and underperform
       out-of-distribution. ICLR.
    """
    return fine_tuned(frozen_body(source_model, target, seed), target, steps)


def l2_sp(source_model: M, target: Cohort, strength: float) -> M:
    """Keep an anchor: min over θ of L(θ; target) + strength · ½‖θ − θ_source‖² [1]_.

    The anchor holds every parameter, the intercept included. Strength 0 forgets the source (a
    network still starts from it), a great strength keeps it as it is.

    Raises
    ------
    ValueError
        If the strength is negative.

    References
    ----------
    .. [1] Li, Grandvalet and Davoine (2018), Explicit inductive bias for transfer learning with
       convolutional networks. ICML.
    """
    if strength < 0:
        raise ValueError(f"The strength of the anchor must not be negative, got {strength}.")
    data = rows(target, source_model.scaler)
    return source_model.minimised(data, anchor=source_model, strength=strength)
