"""A gate against negative transfer, which asks the few labels whether the source helps.

It compares two ways of making a model by their losses on the same labelled patients, each judged
by a model that has not seen that patient's label, and answers "transfer", "do not transfer" or
"cannot tell".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medxfer_utils import require
from medxfer_utils.cohorts import Cohort, folds
from medxfer_utils.models import Average, Predicts, Strategy, log_odds_of, predicting

TRANSFER, KEEP_OUT, CANNOT_TELL = "transfer", "do not transfer", "cannot tell"
VERDICTS = (TRANSFER, CANNOT_TELL, KEEP_OUT)
FLIPS = 1999  # random signs of the permutation test
FOLDS = 10
LEVEL = 0.1  # two-sided: one wrong answer in twenty each way, where the two are equally good


@dataclass(frozen=True)
class Answer:
    """What the labels say.

    Parameters
    ----------
    answer : {"transfer", "cannot tell", "do not transfer"}
    gain : float
        Mean log loss without the source minus that with it, in nats for each patient; positive
        where the source helps.
    p_value : float
        Two-sided, of the hypothesis that the differences are symmetrical about 0.
    """

    answer: str
    gain: float
    p_value: float


def log_losses(model: Predicts, cohort: Cohort) -> NDArray[np.floating]:
    """Negative log likelihood of each patient's diagnosis, in nats, shape (n,).

    Log odds are used where the model has them, so that no loss is infinite.
    """
    log_odds = log_odds_of(model, cohort.x)
    return np.asarray(np.logaddexp(0, log_odds) - cohort.y * log_odds)


def held_out_losses(
    strategy: Strategy, labelled: Cohort, parts: Sequence[NDArray[np.generic]], seed: int
) -> NDArray[np.floating]:
    """Log loss of each row under the model that was fitted without their fold, shape (n,)."""
    losses = np.empty(len(labelled))
    for left_out in parts:
        model = predicting(strategy(labelled.of(np.setdiff1d(labelled.patients, left_out)), seed))
        losses[np.isin(labelled.patient, left_out)] = log_losses(model, labelled.of(left_out))
    return losses


def sign_flip_test(differences: NDArray[np.floating], rng: np.random.Generator) -> float:
    """Two-sided p-value of a mean of 0, by flipping the signs of paired differences [1]_.

    Parameters
    ----------
    differences : ndarray, shape (n,)

    References
    ----------
    .. [1] Pitman (1937), doi:10.2307/2984124.
    """
    signs = rng.choice([-1.0, 1.0], size=(FLIPS, len(differences)))
    means = np.abs(signs @ differences) / len(differences)
    # A flip that gives the same mean but for rounding counts as at least as large.
    as_large = means >= abs(differences.mean()) - 1e-12
    return float((1 + as_large.sum()) / (1 + FLIPS))


def ask_gate(
    transfer: Strategy, alone: Strategy, labelled: Cohort, seed: int, level: float = LEVEL
) -> Answer:
    """Ask the labelled target patients whether `transfer` does better than `alone`.

    Taught in lesson 10.

    Parameters
    ----------
    transfer, alone : callable
        Each makes a model from (labelled patients, seed). Both are fitted again for each of ten
        folds (as many as there are patients, if fewer), and judged on the patients left out.
    labelled : Cohort
        The target's few labelled patients, not one of them known to the source.
    seed : int
        Deals the patients into folds, and goes to the strategies.
    level : float
        Between 0 and 1: how small the p-value must be for an answer.

    Raises
    ------
    ValueError
        If the level is no share, or there are fewer than five labelled patients: flipping the
        signs of four gives no p-value below 1/8.
    """
    require(0 < level < 1, f"level must lie between 0 and 1, not {level}.")
    n = len(labelled.patients)
    require(n >= 5, f"The gate asks five labelled patients or more; {labelled.name} has {n}.")
    rng = np.random.default_rng([seed, n])
    parts = folds(labelled, min(FOLDS, n), rng)
    without, with_source = (
        held_out_losses(strategy, labelled, parts, seed) for strategy in (alone, transfer)
    )
    gains = without - with_source
    by_patient = np.array([gains[labelled.patient == who].mean() for who in labelled.patients])
    p_value, gain = sign_flip_test(by_patient, rng), float(by_patient.mean())
    answer = CANNOT_TELL if p_value > level else TRANSFER if gain > 0 else KEEP_OUT
    return Answer(answer, gain, p_value)


def gated(transfer: Strategy, alone: Strategy, level: float = LEVEL) -> Strategy:
    """A strategy that asks the gate and does what it says.

    While the gate cannot tell, it hedges: the mean of both models' log odds.
    """

    def strategy(labelled: Cohort, seed: int) -> Predicts:
        answer = ask_gate(transfer, alone, labelled, seed, level).answer
        used = {TRANSFER: [transfer], KEEP_OUT: [alone]}.get(answer, [transfer, alone])
        made = [way(labelled, seed) for way in used]
        return Average(made, of="log odds") if len(made) > 1 else made[0]

    return strategy
