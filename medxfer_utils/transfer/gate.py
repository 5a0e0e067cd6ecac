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
from scipy.special import expit, logit

from medxfer_utils.cohorts import Cohort
from medxfer_utils.experiments import Arm, Predicts, ranking

TRANSFER, KEEP_OUT, CANNOT_TELL = "transfer", "do not transfer", "cannot tell"
VERDICTS = (TRANSFER, CANNOT_TELL, KEEP_OUT)
FLIPS = 1999  # random signs of the permutation test
FOLDS = 10
LEVEL = 0.1  # two-sided: one wrong answer in twenty each way, where the two are equally good


@dataclass(frozen=True)
class Verdict:
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


def log_odds_of(model: Predicts, x: NDArray[np.floating]) -> NDArray[np.floating]:
    """The model's log odds, shape (n,); from its probabilities if it has no log odds of its own."""
    if hasattr(model, "logit"):
        return ranking(model, x)
    return np.asarray(logit(np.clip(model.probability(x), 1e-12, 1 - 1e-12)))


def log_losses(model: Predicts, cohort: Cohort) -> NDArray[np.floating]:
    """Negative log likelihood of each patient's diagnosis, in nats, shape (n,).

    Log odds are used where the model has them, so that no loss is infinite.
    """
    log_odds = log_odds_of(model, cohort.x)
    return np.asarray(np.logaddexp(0, log_odds) - cohort.y * log_odds)


def dealt(cohort: Cohort, folds: int, rng: np.random.Generator) -> list[NDArray[np.generic]]:
    """Deal the patients out, each diagnosis in turn: the patients of each fold.

    Folds differ by one patient at most, and so do their numbers of ill patients. A class with one
    patient is no error here: a study of ten has no better choice.
    """
    patients = rng.permutation(cohort.patients)
    ill = np.isin(patients, cohort.patient[cohort.y == 1])
    queue = np.concatenate([patients[ill], patients[~ill]])
    return [queue[k::folds] for k in range(folds)]


def held_out_losses(
    arm: Arm, labelled: Cohort, folds: Sequence[NDArray[np.generic]], seed: int
) -> NDArray[np.floating]:
    """Log loss of each row under the model that was fitted without their fold, shape (n,)."""
    losses = np.empty(len(labelled))
    for left_out in folds:
        model = arm(labelled.of(np.setdiff1d(labelled.patients, left_out)), seed)
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


def gate(transfer: Arm, alone: Arm, labelled: Cohort, seed: int, level: float = LEVEL) -> Verdict:
    """Ask the labelled target patients whether `transfer` does better than `alone`.

    Parameters
    ----------
    transfer, alone : callable
        Each makes a model from (labelled patients, seed). Both are fitted again for each of ten
        folds (as many as there are patients, if fewer), and judged on the patients left out.
    labelled : Cohort
        The target's few labelled patients, not one of them known to the source.
    seed : int
        Deals the patients into folds, and goes to the arms.
    level : float
        Between 0 and 1: how small the p-value must be for an answer.

    Raises
    ------
    ValueError
        If there are fewer than five labelled patients: flipping the signs of four gives no
        p-value below 1/8.
    """
    if (n := len(labelled.patients)) < 5:
        raise ValueError(f"The gate asks five labelled patients or more; {labelled.name} has {n}.")
    rng = np.random.default_rng([seed, n])
    folds = dealt(labelled, min(FOLDS, n), rng)
    without, with_source = (
        held_out_losses(arm, labelled, folds, seed) for arm in (alone, transfer)
    )
    gains = without - with_source
    by_patient = np.array([gains[labelled.patient == who].mean() for who in labelled.patients])
    p_value, gain = sign_flip_test(by_patient, rng), float(by_patient.mean())
    answer = CANNOT_TELL if p_value > level else TRANSFER if gain > 0 else KEEP_OUT
    return Verdict(answer, gain, p_value)


@dataclass(frozen=True, eq=False)
class Hedge:
    """Two models, their log odds averaged: what one uses while one cannot tell."""

    models: tuple[Predicts, Predicts]

    def logit(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        """Mean log odds of the disease, shape (n,)."""
        both = [log_odds_of(model, x) for model in self.models]
        return np.asarray(np.mean(both, axis=0))

    def probability(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        """Probability of the disease, shape (n,)."""
        return np.asarray(expit(self.logit(x)))


def gated(transfer: Arm, alone: Arm, level: float = LEVEL) -> Arm:
    """An arm that asks the gate and does what it says; while it cannot tell, it hedges."""

    def arm(labelled: Cohort, seed: int) -> Predicts:
        answer = gate(transfer, alone, labelled, seed, level).answer
        if answer == TRANSFER:
            return transfer(labelled, seed)
        if answer == KEEP_OUT:
            return alone(labelled, seed)
        return Hedge((transfer(labelled, seed), alone(labelled, seed)))

    return arm
