"""Several sources: against scikit-learn where it can do the same, and against the known truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from medxfer_utils import metrics, missing, transfer
from medxfer_utils.cohorts import Cohort, together
from medxfer_utils.models import Linear
from tests.faults import untold

SLOPES = np.array([1.0, -0.7, 0.4])


def hospital(name: str, n: int, intercept: float, seed: int, sign: float = 1.0) -> Cohort:
    """Simulated patients with the same slopes everywhere and an intercept of their own."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    y = (rng.random(n) < expit(sign * x @ SLOPES + intercept)).astype(int)
    return Cohort(name, x, y, np.array([f"{name}-{i}" for i in range(n)]))


A, B = hospital("a", 300, -1.5, 1), hospital("b", 200, 1.5, 2)
TARGET = hospital("t", 2000, 0.5, 3)
X = TARGET.x[:200]


def test_the_scaler_is_of_the_sources_and_the_unlabelled_target() -> None:
    scaler = transfer.common_scaler([A, B], X)
    everything = np.concatenate([A.x, B.x, X])
    np.testing.assert_allclose(scaler.transform(everything).mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaler.transform(everything).std(axis=0), 1)


def by_scikit_learn(
    design: np.ndarray, y: np.ndarray, spread: list[float], weight: np.ndarray | None = None
) -> np.ndarray:
    """The same regression: a column divided by its prior's spread has the spread 1."""
    model = LogisticRegression(C=1, tol=1e-10, max_iter=1000, fit_intercept=False)
    return np.asarray(model.fit(design * spread, y, weight).coef_[0] * spread)


def test_one_hospital_is_what_scikit_learn_gives() -> None:
    z = missing.median_scaler(A.x).transform(A.x)
    design = np.column_stack([z, np.ones(len(z))])
    for spread in (1.0, 0.2):
        theirs = by_scikit_learn(design, A.y, [spread] * 3 + [2.0])
        np.testing.assert_allclose(transfer.one_hospital(A, spread=spread).theta, theirs, atol=1e-4)


def test_pooled_is_a_regression_with_a_column_for_each_hospital() -> None:
    scaler = transfer.common_scaler([A, B], X)
    z = scaler.transform(np.concatenate([A.x, B.x]))
    design = np.column_stack([z, np.repeat(np.eye(2), [len(A), len(B)], axis=0)])
    y = np.concatenate([A.y, B.y])
    for weights in (None, (0.2, 1.0), (0.0, 1.0)):
        model, each = transfer.pooled([A, B], X, weights), weights or (1.0, 1.0)
        beta = by_scikit_learn(design, y, [1, 1, 1, 2, 2], np.repeat(each, [len(A), len(B)]))
        expected = [*beta[:3], np.average(beta[3:], weights=each)]
        np.testing.assert_allclose(model.theta, expected, atol=1e-4)


def test_hospitals_with_an_intercept_of_their_own_give_the_slopes_away_less() -> None:
    # A feature that tells the hospitals apart and nothing about the disease.
    a, b = (
        Cohort(c.name, np.column_stack([c.x, place + 0.1 * c.x[:, 0]]), c.y, c.patient)
        for c, place in ((A, -1.0), (B, 1.0))
    )
    x = np.column_stack([X, np.zeros(len(X))])
    scaler = transfer.common_scaler([a, b], x)
    fooled = transfer.one_hospital(together([a, b]), scaler).theta[3]
    assert fooled > 0.8  # it has learned the hospital
    assert abs(transfer.pooled([a, b], x).theta[3]) < 0.5 * fooled


def test_impossible_weights_and_shared_patients_are_refused() -> None:
    words = "2 sources need as many weights, none negative"
    faults: dict[str, tuple[Any, str]] = {
        str(weights): (([A, B], X, weights), words)
        for weights in ([1.0], [1.0, -1.0], [0.0, 0.0], [np.nan, 1.0])
    }
    faults["shared"] = ([A, A], X), "share 300 patients"
    assert untold(faults, lambda _, told: transfer.pooled(*told), ValueError) == {}


def test_similarity_is_one_for_the_same_and_none_elsewhere() -> None:
    twin, far = hospital("twin", 300, 0, 8), hospital("far", 300, 0, 9)
    far = Cohort("far", far.x + 10, far.y, far.patient)
    near, none = transfer.similarity([twin, far], X, np.random.default_rng(0))
    assert near > 0.8
    assert none < 0.02


def score_model() -> Linear:
    """Log odds 1 · x of one feature."""
    scaler = missing.median_scaler(np.array([[-1.0], [1.0]]))
    return Linear(np.array([1.0, 0.0]), scaler)


def test_recalibration_finds_the_intercept_and_the_slope() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 1))
    y = (rng.random(20_000) < expit(0.5 * x[:, 0] + 1.2)).astype(int)
    cohort = Cohort("many", x, y, np.arange(len(y)))
    both = transfer.recalibrated(score_model(), cohort, slope=True)
    np.testing.assert_allclose(both.theta, [0.5, 1.2], atol=0.06)
    intercept = transfer.recalibrated(score_model(), cohort)
    assert intercept.theta[0] == 1
    assert metrics.calibration(y, intercept.probability(x))[0] == pytest.approx(0, abs=0.01)
    x = np.linspace(-1, 1, 10)[:, None]  # a study in which all are ill
    ill = Cohort("ill", x, np.ones(10, int), np.arange(10))
    for slope in (False, True):
        theta = transfer.recalibrated(score_model(), ill, slope=slope).theta
        assert np.isfinite(theta).all()
        assert 1 < theta[1] < 6


def test_regularised_goes_from_the_source_to_the_target_and_is_at_its_minimum() -> None:
    start = transfer.pooled([hospital("r", 400, 0, 10, sign=-1.0)], X)  # learned the reverse
    few, many = (TARGET.of(TARGET.patient[:n]) for n in (10, 2000))
    test = hospital("test", 2000, 0.5, 11)
    areas = [
        metrics.auroc(test.y, transfer.regularised(start, part).logit(test.x))
        for part in (few, many)
    ]
    assert metrics.auroc(test.y, start.logit(test.x)) < 0.3
    assert areas[0] < 0.5 < 0.7 < areas[1]
    anchor, found = transfer.recalibrated(start, few), transfer.regularised(start, few)
    z1 = np.column_stack([start.prepare.transform(few.x), np.ones(len(few))])
    slope = z1.T @ (expit(z1 @ found.theta) - few.y) + (found.theta - anchor.theta) / 0.3**2
    np.testing.assert_allclose(slope, 0, atol=1e-4)


def test_stacking_listens_to_the_hospital_that_is_right() -> None:
    wrong = hospital("w", 300, 0, 12, sign=-1.0)
    models = transfer.one_each([A, wrong], X)
    stack = transfer.stacked(models, TARGET.of(TARGET.patient[:80]))
    assert stack.shares[0] > 0.55
    assert stack.shares[1] < 0


def test_a_mixture_is_a_mean_of_probabilities_weighted_by_likelihood() -> None:
    models, few = transfer.one_each([A, B], X), TARGET.of(TARGET.patient[:15])
    mixed = transfer.mixture(models, few)
    fitted = [transfer.recalibrated(model, few) for model in models]
    of_few = [m.probability(few.x) for m in fitted]
    likelihood = [np.prod(np.where(few.y == 1, p, 1 - p)) for p in of_few]
    np.testing.assert_allclose(mixed.shares, np.array(likelihood) / np.sum(likelihood), rtol=1e-9)
    each = np.column_stack([m.probability(X) for m in fitted])
    np.testing.assert_allclose(mixed.probability(X), each @ mixed.shares)
    np.testing.assert_allclose(expit(mixed.logit(X)), mixed.probability(X))
