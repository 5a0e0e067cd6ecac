"""What a strategy may rely on: how a model is trained, what it offers, how it is asked.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from medxfer_utils import require
from medxfer_utils.cohorts import Cohort

Array = NDArray[np.floating]
Labels = NDArray[np.integer]
# From raw features or images to what a model is fed: a fitted scaler or pipeline, or a function.
Prepare = Any
Augmentation = Callable[[Any, Any], Any]
OPTIMISERS = ("Adam", "AdamW", "momentum", "SGD")
LOSSES = ("cross-entropy", "Brier", "squares")


def prepared(prepare: Prepare, x: Array) -> Array:
    """Raw features or images `x`, as a model with this `prepare` is fed them."""
    return cast(Array, prepare.transform(x) if hasattr(prepare, "transform") else prepare(x))


def fitted_on(prepare: Prepare, x: Array) -> Prepare:
    """A scaler or pipeline of the same kind, fitted on `x`; a plain function stays what it is."""
    return clone(prepare).fit(x) if hasattr(prepare, "fit") else prepare


def fit_scaler(x: Array) -> StandardScaler:
    """Mean and standard deviation of each column of `x`, shape (n, d). Taught in lesson 02."""
    return StandardScaler().fit(x)


class Rows(NamedTuple):
    """What a model is trained on: the loss is the weighted sum over rows.

    Parameters
    ----------
    z : ndarray, shape (n, ...)
        Scaled features, or prepared images.
    y : ndarray, shape (n,)
    weight : ndarray, shape (n,)
    """

    z: Array
    y: Array
    weight: Array

    def __add__(self, other: Rows) -> Rows:  # type: ignore[override]
        return Rows(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


def rows(cohort: Cohort, prepare: Prepare, total: float = 1.0) -> Rows:
    """A cohort as weighted rows; with `total` = 1 their loss is the cohort's mean loss.

    Taught in lesson 02.

    Raises
    ------
    ValueError
        If a prepared value is NaN or infinite.
    """
    z = prepared(prepare, cohort.x)
    gaps = np.argwhere(~np.isfinite(z))
    first = f"{len(gaps)} prepared values are NaN or infinite, the first at {gaps[:1].tolist()}"
    require(not len(gaps), f"{cohort.name}: {first}; fill gaps first, see missing.median_scaler.")
    return Rows(z, cohort.y.astype(float), np.full(len(cohort), total / len(cohort)))


@dataclass(frozen=True)
class Training:
    """How a network is trained; two strategies with the same configuration have the same budget.

    Taught in lesson 05.

    Parameters
    ----------
    steps : int
        Updates of the weights. (A `Linear` model takes gradient steps; all else is for networks.)
    rate : float
        Learning rate, at the start if it decays.
    batch : int or None
        Rows an update. They are shuffled and used up before any comes again. None: all of them.
    optimiser : {"Adam", "AdamW", "momentum", "SGD"}
        Keras's own, with its defaults; "momentum" is SGD with momentum 0.9, "AdamW" shrinks
        every weight by the rate itself at each step, beside the gradient.
    loss : {"cross-entropy", "Brier", "squares"}
        "Brier" is the mean squared difference of probability and label, for one output only;
        "squares" that of outputs and numbers, as far as these are known (not NaN).
    smoothing : float
        Share of each label that is spread evenly over the classes.
    cosine : bool
        Let the rate fall to zero along a half cosine.
    augment : callable, optional
        (images, seed) -> images, in TensorFlow, where the seed is a pair of integers that is new
        at each step; see `flips_and_turns`.
    """

    steps: int
    rate: float = 0.003
    batch: int | None = 32
    optimiser: str = "Adam"
    loss: Literal["cross-entropy", "Brier", "squares"] = "cross-entropy"
    smoothing: float = 0.0
    cosine: bool = False
    augment: Augmentation | None = None

    def __post_init__(self) -> None:
        for name, known in (("optimiser", OPTIMISERS), ("loss", LOSSES)):
            given = getattr(self, name)
            require(given in known, f"{name} {given!r}: choose one of {[*known]}.")
        allowed = self.steps >= 0 and self.rate > 0 and 0 <= self.smoothing < 1
        allowed &= self.batch is None or self.batch > 0
        require(allowed, f"steps ≥ 0, batch ≥ 1, rate > 0, 0 ≤ smoothing < 1, got {self}.")


class Transferable(ABC):
    """What every strategy may rely on: parameters, an untrained twin, a new head, and training.

    A model is never changed in place: each method returns a new one, so no strategy of a
    comparison can inherit another's weights.

    Attributes
    ----------
    prepare : scaler, pipeline or callable
        Applied to whatever the model is shown.
    source_prepare : scaler, pipeline or callable
        How the patients were prepared on whom the model was trained, where that differs.
    backbone : tuple of str
        Names of all parameters but the head's: frozen, only the head is trained.
    norms : tuple of str
        Names of the normalising layers.
    """

    prepare: Prepare
    source_prepare: Prepare | None

    @property
    @abstractmethod
    def backbone(self) -> tuple[str, ...]: ...

    @property
    def norms(self) -> tuple[str, ...]:
        return ()

    @abstractmethod
    def logit(self, x: Array) -> Array:
        """Log odds of the disease, shape (n,), for raw features or images."""

    def probability(self, x: Array) -> Array:
        """Probability of the disease, shape (n,), for raw features or images."""
        return cast(Array, expit(self.logit(x)))

    @abstractmethod
    def untrained(self, seed: int = 0) -> Self:
        """A model of the same kind that has learnt nothing."""

    @abstractmethod
    def with_new_head(self, seed: int = 0) -> Self:
        """The same backbone under an untrained head."""

    def ridge(self, n: int) -> float:
        """Strength of the pull to zero when the model is trained on `n` patients alone."""
        return 0.0  # a network is held back by the number of its steps instead

    @abstractmethod
    def minimised(
        self,
        data: Rows,
        training: Training | None = None,
        seed: int = 0,
        *,
        strength: float = 0.0,
        frozen: Sequence[str] = (),
    ) -> Self:
        """Train on `data` from here: loss + strength / 2 · ‖parameters but the offsets‖².

        Parameters
        ----------
        data : Rows
            Prepared, weighted training patients.
        training : Training, optional
            The model's own default if not given: to the minimum for a `Linear` model.
        seed : int
            Of the order of the rows and of the augmentation.
        strength : float
            λ ≥ 0 of the pull to zero.
        frozen : sequence of str
            Names, of those in `backbone` and `norms`, that stay what they are.
        """

    @abstractmethod
    def anchored(
        self, data: Rows, strength: float, training: Training | None = None, seed: int = 0
    ) -> Self:
        """Train on `data` from here: loss + strength / 2 · ‖parameters − those here‖²."""

    def with_prepare(self, prepare: Prepare) -> Self:
        """The same parameters, shown what `prepare` makes of raw features or images."""
        source = self.prepare if self.source_prepare is None else self.source_prepare
        return cast(Self, replace(cast(Any, self), prepare=prepare, source_prepare=source))

    def restandardised(self, x: Array, seed: int = 0) -> Self:
        """The same parameters, with all that is a statistic taken from unlabelled `x`."""
        return self.with_prepare(fitted_on(self.prepare, x))


class Predicts(Protocol):
    """Anything that turns raw features (n, d) into probabilities of the disease (n,)."""

    def probability(self, x: Array) -> Array: ...


# From the labelled patients of a target, and a seed for what is left to chance, to a model.
Strategy = Callable[[Cohort, int], Predicts]


class Classical:
    """A scikit-learn classifier with `predict_proba`, as the experiments want it."""

    def __init__(self, fitted: Any) -> None:
        self.fitted = fitted

    def probability(self, x: Array) -> Array:
        """Probability of class 1, shape (n,)."""
        return np.asarray(self.fitted.predict_proba(x))[:, 1]


def predicting(made: object) -> Predicts:
    """What a strategy made, as a model with `probability`; scikit-learn's is `Classical`.

    Raises
    ------
    ValueError
        If it gives no probabilities.
    """
    fine = hasattr(made, "probability") or hasattr(made, "predict_proba")
    wanted = "return one with probability or predict_proba; of a Keras network models.Model"
    require(fine, f"A strategy made a {type(made).__name__}: {wanted}.")
    return cast(Predicts, made if hasattr(made, "probability") else Classical(made))


def ranking(model: Predicts, x: Array) -> Array:
    """What to rank patients by, shape (n,): log odds where the model has them.

    Log odds beyond about 37 all become a probability of exactly 1, and those patients would tie.
    """
    return cast(Array, getattr(model, "logit", model.probability)(x))


def log_odds_of(model: Predicts, x: Array) -> Array:
    """The model's log odds, shape (n,); from its probabilities if it has no log odds of its own."""
    if hasattr(model, "logit"):
        return ranking(model, x)
    return np.asarray(logit(np.clip(model.probability(x), 1e-12, 1 - 1e-12)))
