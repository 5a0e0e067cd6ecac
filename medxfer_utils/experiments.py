"""Strategies × label budgets × repeats: the comparison that every results table comes from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medxfer_utils import metrics
from medxfer_utils.cohorts import Cohort, draw, require_disjoint


class Predicts(Protocol):
    """Anything that turns raw features (n, d) into probabilities of the disease (n,)."""

    def probability(self, x: NDArray[np.floating]) -> NDArray[np.floating]: ...


class Classical:
    """A scikit-learn classifier with `predict_proba`, as the experiments want it."""

    def __init__(self, fitted: Any) -> None:
        self.fitted = fitted

    def probability(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        """Probability of class 1, shape (n,)."""
        return np.asarray(self.fitted.predict_proba(x))[:, 1]


Arm = Callable[[Cohort, int], Predicts]


def learning_curve(
    arms: Mapping[str, Arm],
    pool: Cohort,
    test: Cohort,
    sizes: Sequence[int],
    repeats: int,
    seed: int,
) -> pd.DataFrame:
    """Train every arm on the same draws of labelled patients and test it on the same others.

    Parameters
    ----------
    arms : mapping of str to callable
        Name of the strategy, and a function (labelled patients, seed) -> model. The seed is for
        the arm's own chance (initial weights, trees); it is the same for all arms of a draw.
    pool, test : Cohort
        The target's training patients, of whom some get a label, and its test patients.
    sizes : sequence of int
        Numbers of labelled patients. Draws of one repeat are nested.
    repeats : int
        Draws for each size.
    seed : int
        Decides the draws.

    Returns
    -------
    DataFrame
        One row a fit: strategy, n, repeat, AUROC (of the log odds where the model has them),
        accuracy (at 0.5), Brier, log loss.

    Raises
    ------
    ValueError
        If a patient is in both cohorts, or a size cannot be drawn.
    """
    require_disjoint(pool, test)
    result = []
    for repeat in range(repeats):
        for n in sizes:
            labelled = draw(pool, n, np.random.default_rng([seed, repeat]))
            for strategy, arm in arms.items():
                model = arm(labelled, 1000 * seed + repeat)
                row = {"strategy": strategy, "n": n, "repeat": repeat}
                row |= score(test.y, model.probability(test.x))
                result.append(row | {"AUROC": metrics.auroc(test.y, ranking(model, test.x))})
    return pd.DataFrame(result)


def timed(arm: Arm, seconds: list[float]) -> Arm:
    """The same arm; the processor time of each fit is appended to `seconds`."""

    def fit(labelled: Cohort, seed: int) -> Predicts:
        start = time.process_time()  # other programs on the machine do not count
        model = arm(labelled, seed)
        seconds.append(time.process_time() - start)
        return model

    return fit


def ranking(model: Predicts, x: NDArray[np.floating]) -> NDArray[np.floating]:
    """What to rank patients by, shape (n,): log odds where the model has them.

    Log odds beyond about 37 all become a probability of exactly 1, and those patients would tie.
    """
    return cast(NDArray[np.floating], getattr(model, "logit", model.probability)(x))


def score(y: NDArray[np.integer], p: NDArray[np.floating]) -> dict[str, float]:
    """AUROC, accuracy at 0.5, Brier score and log loss of probabilities `p` for labels `y`."""
    return {
        "AUROC": metrics.auroc(y, p),
        "accuracy": metrics.operating_point(y, p, 0.5)["accuracy"],
        "Brier": metrics.brier(y, p),
        "log loss": metrics.log_loss(y, p),
    }
