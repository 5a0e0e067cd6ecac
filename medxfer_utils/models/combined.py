"""Several models as one: the weighted mean of their probabilities, or of their log odds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, log_expit, logsumexp

from medxfer_utils import require
from medxfer_utils.models.base import Array, Predicts, log_odds_of


@dataclass(frozen=True, eq=False)
class Average:
    """Several models as one: an ensemble [1]_, a mixture, a stack [2]_ or a hedge.

    Taught in lessons 08 and 10.

    Parameters
    ----------
    models : sequence
        Models with `probability`; one model is that model itself.
    weights : array-like, shape (k,), optional
        Of the models; equal with sum 1 if not given. For probabilities: not negative, sum 1.
    of : {"probability", "log odds"}
        What is averaged.
    intercept : float
        Added to the mean of the log odds.

    References
    ----------
    .. [1] Lakshminarayanan, Pritzel and Blundell (2017), Simple and scalable predictive
       uncertainty estimation using deep ensembles. NeurIPS.
    .. [2] Wolpert (1992), Stacked generalization. Neural Networks,
       doi:10.1016/S0893-6080(05)80023-1.
    """

    models: Sequence[Predicts]
    weights: ArrayLike | None = None
    of: Literal["probability", "log odds"] = "probability"
    intercept: float = 0.0

    def __post_init__(self) -> None:
        require(self.models, "An average needs one model or more.")

    @property
    def shares(self) -> Array:
        """The weights, shape (k,)."""
        k = len(self.models)
        return np.full(k, 1 / k) if self.weights is None else np.asarray(self.weights, float)

    def probability(self, x: Array) -> Array:
        """Probability of the disease, shape (n,), for raw features or images."""
        if self.of == "log odds":
            return cast(Array, expit(self.logit(x)))
        return cast(Array, self.shares @ np.array([model.probability(x) for model in self.models]))

    def logit(self, x: Array) -> Array:
        """Log odds of that, shape (n,); they do not saturate where the models' do not."""
        each = np.array([log_odds_of(model, x) for model in self.models])
        if self.of == "log odds":
            return cast(Array, self.shares @ each + self.intercept)
        ill, healthy = (
            logsumexp(log_expit(sign * each), axis=0, b=self.shares[:, None]) for sign in (1, -1)
        )
        return cast(Array, ill - healthy)
