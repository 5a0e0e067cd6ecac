"""The gate: its test against counts made by hand, its errors by simulation, and what it lets by."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit

from medxfer_utils import transfer
from medxfer_utils.cohorts import Cohort, draw, folds
from medxfer_utils.models import Average, Strategy
from medxfer_utils.transfer.gate import sign_flip_test


class Fixed:
    """A model that was made elsewhere: log odds `slope` · x + `shift`."""

    def __init__(self, slope: float, shift: float = 0.0) -> None:
        self.slope, self.shift = slope, shift

    def logit(self, x: np.ndarray) -> np.ndarray:
        return self.slope * x[:, 0] + self.shift

    def probability(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(expit(self.logit(x)))


class ProbabilityOnly:
    """A model without log odds."""

    def __init__(self, p: float) -> None:
        self.p = p

    def probability(self, x: np.ndarray) -> np.ndarray:
        return np.full(len(x), self.p)


def patients(n: int, rng: np.random.Generator, slope: float = 2.0) -> Cohort:
    x = rng.normal(size=(n, 2))
    y = (rng.random(n) < expit(slope * x[:, 0])).astype(int)
    return Cohort("simulated", x, y, np.arange(n))


def kept(model: Fixed) -> Strategy:
    return lambda labelled, seed: model


def test_losses_are_the_negative_log_likelihood_and_finite() -> None:
    cohort = Cohort("two", np.array([[1.0], [-3.0]]), np.array([1, 0]), np.arange(2))
    for model, p in ((Fixed(2.0), expit([2.0, -6.0])), (ProbabilityOnly(0.2), [0.2, 0.2])):
        wanted = -np.log([p[0], 1 - p[1]])
        np.testing.assert_allclose(transfer.log_losses(model, cohort), wanted)
    cohort = Cohort("two", np.array([[1.0], [1.0]]), np.array([1, 0]), np.arange(2))
    np.testing.assert_allclose(transfer.log_losses(Fixed(1000.0), cohort), [0, 1000])
    assert np.isfinite(transfer.log_losses(ProbabilityOnly(1.0), cohort)).all()


def test_nobody_is_judged_by_a_model_that_knew_them() -> None:
    cohort = patients(30, np.random.default_rng(3))
    x, y, patient = (np.repeat(getattr(cohort, name), 2, axis=0) for name in ("x", "y", "patient"))
    rows = Cohort("two rows each", x, y, patient)
    seen: list[set[int]] = []

    class Watching(Fixed):
        def logit(self, x: np.ndarray) -> np.ndarray:
            asked = {int(np.flatnonzero((rows.x == row).all(axis=1))[0] // 2) for row in x}
            assert not asked & seen[-1]
            return super().logit(x)

    def strategy(labelled: Cohort, seed: int) -> Watching:
        seen.append(set(labelled.patient.tolist()))
        return Watching(1.0)

    parts = folds(rows, 10, np.random.default_rng(0))
    losses = transfer.held_out_losses(strategy, rows, parts, 0)
    np.testing.assert_allclose(losses, transfer.log_losses(Fixed(1.0), rows))
    assert len(seen) == 10


def test_flipping_signs_counts_as_it_does_by_hand() -> None:
    differences = np.array([0.3, -0.1, 0.4, 0.2, 0.5, 0.1])
    means = [abs(np.dot(s, differences)) for s in product((-1, 1), repeat=6)]
    exact = np.mean(np.array(means) >= differences.sum() - 1e-12)
    found = sign_flip_test(differences, np.random.default_rng(0))
    # 1,999 random flips of the 64: the standard error is below 0.006.
    assert found == pytest.approx(exact, abs=0.02)
    assert sign_flip_test(-differences, np.random.default_rng(0)) == pytest.approx(found)


def test_a_clear_case_is_told_either_way_and_the_same_twice_is_not() -> None:
    cohort = patients(60, np.random.default_rng(1))
    good, bad = kept(Fixed(2.0)), kept(Fixed(-2.0))
    helps, harms = transfer.ask_gate(good, bad, cohort, 0), transfer.ask_gate(bad, good, cohort, 0)
    assert (helps.answer, harms.answer) == (transfer.TRANSFER, transfer.KEEP_OUT)
    assert helps.gain == pytest.approx(-harms.gain)
    assert helps.p_value < 0.01
    same = transfer.ask_gate(good, kept(Fixed(2.0)), cohort, 0)
    assert same == transfer.Answer(transfer.CANNOT_TELL, 0.0, 1.0)
    for way in ((good, bad), (bad, good)):  # the gated strategy does what the gate says
        gated = transfer.gated(*way)(cohort, 0)
        np.testing.assert_array_equal(gated.probability(cohort.x), expit(2 * cohort.x[:, 0]))
    hedge: Any = transfer.gated(kept(Fixed(1.0)), kept(Fixed(1.0, 0.01)))(cohort, 0)
    np.testing.assert_allclose(hedge.probability(cohort.x), expit(cohort.x[:, 0] + 0.005))
    assert isinstance(hedge, Average)


def test_false_alarms_come_as_often_as_the_level_says() -> None:
    # Two fixed models, mirror images about the truth: equally good by symmetry, whoever is drawn.
    up, down = kept(Fixed(2.0, 1.0)), kept(Fixed(2.0, -1.0))
    answers = [
        transfer.ask_gate(up, down, patients(20, np.random.default_rng([5, k])), k).answer
        for k in range(400)
    ]
    wrong = np.mean([answer != transfer.CANNOT_TELL for answer in answers])
    # Binomial: 0.1 ± 3 standard errors.
    assert wrong == pytest.approx(0.1, abs=0.045)


def test_a_harmful_source_is_let_by_in_few_studies() -> None:
    # The source has the wrong intercept by a factor of 7 in the odds; the target trains for itself.
    def own(labelled: Cohort, seed: int) -> Fixed:
        prevalence = (labelled.y.sum() + 1) / (len(labelled) + 2)
        return Fixed(1.0, float(logit(prevalence)))

    answers = []
    for k in range(100):
        cohort = patients(20, np.random.default_rng([6, k]))
        answers.append(transfer.ask_gate(kept(Fixed(1.0, 2.0)), own, cohort, k).answer)
    assert answers.count(transfer.TRANSFER) <= 5
    assert answers.count(transfer.KEEP_OUT) >= 60


def test_too_few_patients_are_refused() -> None:
    cohort = draw(patients(100, np.random.default_rng(0)), 4, np.random.default_rng(0))
    with pytest.raises(ValueError, match="five labelled patients or more; simulated has 4"):
        transfer.ask_gate(kept(Fixed(1.0)), kept(Fixed(2.0)), cohort, 0)
    with pytest.raises(ValueError, match="level must lie between 0 and 1, not 10"):
        transfer.ask_gate(kept(Fixed(1.0)), kept(Fixed(2.0)), cohort, 0, level=10)
