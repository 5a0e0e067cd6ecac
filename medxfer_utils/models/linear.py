"""The one learner of small tables: logistic regression with a normal prior, written out.

Ridge, an anchor at the source, recalibration and intercepts of one's own are all `posterior_mode`
with another centre and spread. An intercept is free unless it is asked to be held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

from medxfer_utils import require
from medxfer_utils.models.base import (
    Array,
    Prepare,
    Rows,
    Training,
    Transferable,
    fit_scaler,
    prepared,
)


def posterior_mode(
    design: Array,
    y: NDArray[np.floating] | NDArray[np.integer],
    centre: ArrayLike,
    spread: ArrayLike,
    weight: Array | float = 1.0,
    offset: Array | float = 0.0,
) -> Array:
    """Logistic regression with a normal prior.

    Minimises Σ weight · log loss + ½ Σ ((θ − centre) / spread)². Where the labels say little, θ
    stays at its centre; with a finite spread it is finite even if all are ill. Taught in lesson 10.

    Parameters
    ----------
    design : ndarray, shape (n, k)
        Columns of the log odds; one of 1 for an intercept.
    y : ndarray, shape (n,)
    centre, spread : array-like, shape (k,)
        Mean and standard deviation of the prior of each coefficient; a spread of infinity leaves
        it free.
    weight, offset : ndarray, shape (n,), or number
        Of each row: how often it counts, and what is added to its log odds.

    Returns
    -------
    ndarray, shape (k,)
    """
    middle, width = np.asarray(centre, dtype=float), np.asarray(spread, dtype=float)

    def objective(theta: Array) -> tuple[float, Array]:
        log_odds = design @ theta + offset
        away = (theta - middle) / width
        loss = np.sum(weight * (np.logaddexp(0, log_odds) - y * log_odds)) + away @ away / 2
        return float(loss), design.T @ (weight * (expit(log_odds) - y)) + away / width

    return np.asarray(minimize(objective, middle, jac=True, tol=1e-8).x)


def with_intercept(z: Array) -> Array:
    """`z`, shape (n, d), and a column of 1."""
    return np.column_stack([z, np.ones(len(z))])


def logistic_loss(theta: Array, data: Rows) -> tuple[float, Array]:
    """Weighted logistic loss of a linear model and its gradient. Taught in lesson 02.

    Parameters
    ----------
    theta : ndarray, shape (d + 1,)
        Coefficients of the scaled features, then the intercept.
    data : Rows
        Where to evaluate it.

    Returns
    -------
    loss : float
    gradient : ndarray, shape (d + 1,)
    """
    z1 = with_intercept(data.z)
    logit = z1 @ theta
    loss = data.weight @ (np.logaddexp(0, logit) - data.y * logit)
    return float(loss), z1.T @ (data.weight * (expit(logit) - data.y))


def steepest_curvature(data: Rows) -> float:
    """Upper bound of the second derivative of `logistic_loss` in any direction, at any theta.

    It is the largest eigenvalue of ¼ · sum(weight · z zᵀ), since p(1 - p) ≤ ¼. With features read
    by a wrong scaler it is tens of times larger than with the right one.
    """
    z1 = with_intercept(data.z)
    return float(np.linalg.eigvalsh(z1.T * data.weight @ z1)[-1]) / 4


@dataclass(frozen=True, eq=False)
class Linear(Transferable):
    """Logistic regression, written out so that it can be transferred. Taught in lesson 02.

    Its backbone is the direction of its coefficients; its head is the slope and the intercept put
    on that one score.

    Parameters
    ----------
    theta : ndarray, shape (d + 1,)
        Coefficients of the scaled features, then the intercept.
    prepare : StandardScaler, Pipeline or callable
        From raw to scaled features.
    source_prepare : StandardScaler, Pipeline or callable, optional
        How the patients were scaled on whom the model was trained, where that differs.
    hold_intercept : bool
        Pull the intercept as the coefficients are; otherwise it is free.
    """

    theta: Array
    prepare: Prepare
    source_prepare: Prepare | None = None
    hold_intercept: bool = False

    @classmethod
    def zero(cls, x: Array) -> Linear:
        """All parameters zero, the scaler fitted on the training features `x`, shape (n, d)."""
        return cls(np.zeros(x.shape[1] + 1), fit_scaler(x))

    @property
    def backbone(self) -> tuple[str, ...]:
        return ("direction",)

    def logit(self, x: Array) -> Array:
        return cast(Array, prepared(self.prepare, x) @ self.theta[:-1] + self.theta[-1])

    def untrained(self, seed: int = 0) -> Linear:
        return replace(self, theta=np.zeros_like(self.theta))

    def with_new_head(self, seed: int = 0) -> Linear:
        return self  # the head is convex: where it starts makes no difference

    def ridge(self, n: int) -> float:
        return 1.0 / n  # C = 1, scikit-learn's default, in terms of the mean loss

    def minimised(
        self,
        data: Rows,
        training: Training | None = None,
        seed: int = 0,
        *,
        strength: float = 0.0,
        frozen: Sequence[str] = (),
    ) -> Linear:
        if frozen:  # only the head: slope and intercept of the score
            score = data._replace(z=data.z @ self.theta[:-1, None])
            slope, intercept = self._mode(score, np.zeros(2), strength)
            return replace(self, theta=np.append(slope * self.theta[:-1], intercept))
        if training is not None:
            return self._descended(data, training.steps)
        return replace(self, theta=self._mode(data, np.zeros_like(self.theta), strength))

    def anchored(
        self, data: Rows, strength: float, training: Training | None = None, seed: int = 0
    ) -> Linear:
        return replace(self, theta=self._mode(data, self.theta, strength))

    def _mode(self, data: Rows, centre: Array, strength: float) -> Array:
        """Where loss + strength / 2 · ‖θ − centre‖² is least."""
        spread = np.full(len(centre), strength**-0.5 if strength else np.inf)
        if not self.hold_intercept:
            spread[-1], classes = np.inf, np.unique(data.y[data.weight > 0])
            one = (
                f"All labels are {classes}: a free intercept would grow without end. Draw patients"
            )
            require(len(classes) > 1, f"{one} of both classes, or hold it (hold_intercept=True).")
        return posterior_mode(with_intercept(data.z), data.y, centre, spread, data.weight)

    def _descended(self, data: Rows, steps: int) -> Linear:
        theta = self.theta
        step = 1 / steepest_curvature(data)  # the longest that cannot overshoot
        for _ in range(steps):
            theta = theta - step * logistic_loss(theta, data)[1]
        return replace(self, theta=theta)
