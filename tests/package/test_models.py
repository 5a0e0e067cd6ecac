"""The learner, the model and their averages against scikit-learn, NumPy and finite differences."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

from medxfer_utils import models, transfer
from medxfer_utils.models import Average, Linear, Model, Rows, Training, rows

# isort: split
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, check_grad
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from medxfer_utils.cohorts import draw
from medxfer_utils.data import two_laboratories
from medxfer_utils.models import fit_scaler, logistic_loss, posterior_mode
from medxfer_utils.models.linear import steepest_curvature
from tests.faults import untold

A, B = two_laboratories(np.random.default_rng(0))
FEW = draw(B, 32, np.random.default_rng(1))
ANY = np.linspace(-1, 1, 11)


def network(x: Any = A.x, seed: int = 0) -> Model:
    return Model(models.tabular_network(x.shape[1], seed), fit_scaler(x))


def bits(model: Model) -> list[bytes]:
    return [w.tobytes() for w in model.network.get_weights()]


def random_rows(seed: int, n: int = 20, d: int = 3) -> Rows:
    rng = np.random.default_rng(seed)
    return Rows(rng.normal(size=(n, d)), rng.integers(0, 2, n).astype(float), rng.random(n) / n)


def test_faces_and_what_is_no_network_load_no_tensorflow() -> None:
    code = """
import sys, medxfer_utils.models, medxfer_utils.transfer
assert "numpy" not in sys.modules
from medxfer_utils.models import Average, Classical, Linear, Strategy, Training
from medxfer_utils.models.base import Rows
from medxfer_utils.transfer import ask_gate, leep, pooled
assert "tensorflow" not in sys.modules and "keras" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# --- the loss -------------------------------------------------------------------------------------


@given(st.integers(0, 10**6))
def test_gradient_and_steepest_curvature_are_those_of_finite_differences(seed: int) -> None:
    data, theta = random_rows(seed), np.random.default_rng([1, seed]).normal(size=4)

    def slope(t: Any) -> Any:
        return logistic_loss(t, data)[1]

    assert check_grad(lambda t: logistic_loss(t, data)[0], slope, theta) < 1e-6
    bound = steepest_curvature(data)
    # At theta = 0 every p is a half, and the bound is reached.
    steepest = []
    for at in (theta, np.zeros(4)):
        hessian = approx_fprime(at, slope)
        steepest.append(np.linalg.eigvalsh((hessian + hessian.T) / 2)[-1])
    assert steepest[0] <= bound + 1e-6
    assert steepest[1] == pytest.approx(bound, abs=1e-6)


def test_rows_of_a_cohort_make_its_mean_log_loss_finite_however_far_the_logit() -> None:
    model = Linear(ANY, fit_scaler(A.x))
    expected = log_loss(A.y, model.probability(A.x))  # scikit-learn's
    for total in (1.0, 2.5):
        found = logistic_loss(model.theta, rows(A, model.prepare, total))[0]
        assert found == pytest.approx(total * expected)
    by_function = rows(A, model.prepare.transform)
    np.testing.assert_array_equal(by_function.z, rows(A, model.prepare).z)
    data = Rows(np.array([[1.0], [1.0]]), np.array([0.0, 1.0]), np.array([0.5, 0.5]))
    loss, gradient = logistic_loss(np.array([1000.0, 0.0]), data)
    assert [loss, *gradient] == [500, 0.5, 0.5]


def test_a_missing_value_is_refused_at_the_door_by_every_model() -> None:
    x = FEW.x.copy()
    x[5, 1] = np.nan
    holed, plain = replace(FEW, name="ward", x=x), fit_scaler(B.x)
    ways: list[Any] = [transfer.target_only, transfer.fine_tuned, transfer.frozen_features]
    kinds = Linear(ANY, plain), Model(models.tabular_network(10), plain)
    faults: dict[str, tuple[Any, str]] = {
        f"{way.__name__} {kind}": (partial(way, kind, holed), r"ward: 1 .* NaN .*\[\[5, 1\]\]")
        for kind in kinds
        for way in ways
    }
    assert untold(faults, lambda _, call: call(), ValueError) == {}


# --- the learner ----------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.booleans())
def test_at_the_mode_the_labels_pull_as_hard_as_the_prior(seed: int, free: bool) -> None:
    data, rng = random_rows(seed, 40), np.random.default_rng([3, seed])
    centre, spread, offset = rng.normal(size=3), rng.uniform(0.2, 2, 3), rng.normal(size=40)
    spread[-1] = np.inf if free else 1.0
    theta = posterior_mode(data.z, data.y, centre, spread, 40 * data.weight, offset)
    slope = data.z.T @ (40 * data.weight * (expit(data.z @ theta + offset) - data.y))
    np.testing.assert_allclose(slope, -(theta - centre) / spread**2, atol=1e-4)


def test_the_minimum_is_that_of_scikit_learn() -> None:
    for strength, held in product((1e-3, 0.1, 1.0, 10.0), (False, True)):
        model = replace(Linear.zero(B.x), hold_intercept=held)
        ours = model.minimised(rows(B, model.prepare), strength=strength).theta
        told = {"C": 1 / (len(B) * strength), "tol": 1e-10, "max_iter": 100_000}
        z = model.prepare.transform(B.x)
        design = np.column_stack([z, np.ones(len(B))]) if held else z  # as one more coefficient
        fitted = LogisticRegression(fit_intercept=not held, **told).fit(design, B.y)
        expected = [*fitted.coef_[0], *([] if held else fitted.intercept_)]
        np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_one_class_is_an_error_unless_the_intercept_is_held() -> None:
    ill = replace(FEW, y=np.ones(len(FEW), int))
    model = Linear.zero(B.x)
    for learn in (model.minimised, lambda data: model.anchored(data, 0.1)):
        with pytest.raises(ValueError, match=r"All labels are \[1.\].*hold_intercept=True"):
            learn(rows(ill, model.prepare))
    held = replace(model, hold_intercept=True).minimised(rows(ill, model.prepare), strength=0.1)
    assert np.isfinite(held.theta).all()
    assert (held.probability(ill.x) > 0.5).all()
    assert np.isfinite(model.minimised(rows(ill, model.prepare), Training(10)).theta).all()


def test_gradient_steps_descend_under_a_wrong_scaler_too() -> None:
    wrong = Linear.zero(A.x)
    data = rows(FEW, wrong.prepare)
    steps = [wrong.minimised(data, Training(k)).theta for k in range(12)]
    losses = [logistic_loss(theta, data)[0] for theta in steps]
    assert losses[0] == pytest.approx(np.log(2))
    assert (np.diff(losses) < 0).all()
    down = -approx_fprime(np.zeros(11), lambda theta: logistic_loss(theta, data)[0])
    ours, theirs = (step / np.linalg.norm(step) for step in (steps[1], down))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


# --- the network ----------------------------------------------------------------------------------


def test_the_logit_is_that_of_the_matrices() -> None:
    model = network(seed=3)
    w1, b1, w2, b2, w3, b3 = (w.astype(float) for w in model.network.get_weights())
    assert [w.shape for w in (w1, w2, w3)] == [(10, 64), (64, 32), (32, 1)]
    h1 = np.maximum(model.prepare.transform(A.x) @ w1 + b1, 0)
    h2 = np.maximum(h1 @ w2 + b2, 0)
    np.testing.assert_allclose(model.features(A.x, "hidden_2"), h2, atol=1e-5)
    np.testing.assert_allclose(model.logit(A.x), (h2 @ w3 + b3)[:, 0], atol=1e-5)


def test_initial_weights_depend_on_the_seed_and_on_nothing_else() -> None:
    one = bits(network(seed=7))
    keras.utils.set_random_seed(99)
    assert one == bits(network(seed=7)) == bits(network(seed=1).untrained(7))
    # Layer k of seed s must not reuse the random stream of layer k + 1 of seed s - 1.
    kernels = [w.ravel()[:20] for s in range(4) for w in network(seed=s).network.get_weights()[::2]]
    assert len({tuple(np.round(k / np.abs(k).max(), 4)) for k in kernels}) == len(kernels)


def test_a_new_head_keeps_the_rest() -> None:
    model = network(B.x).minimised(rows(FEW, fit_scaler(B.x)), Training(20, batch=None))
    new = bits(model.with_new_head(5))
    assert [a == b for a, b in zip(new, bits(model), strict=True)] == [True] * 4 + [False] * 2
    assert new[-2:] == bits(network(B.x, 5))[-2:]


# --- averages -------------------------------------------------------------------------------------


class Fixed:
    """Log odds `slope` · x + `shift`; or, without log odds, a probability."""

    def __init__(self, slope: float, shift: float = 0.0) -> None:
        self.slope, self.shift = slope, shift

    def logit(self, x: Any) -> Any:
        return self.slope * x[:, 0] + self.shift

    def probability(self, x: Any) -> Any:
        return expit(self.logit(x))


class Constant:
    def probability(self, x: Any) -> Any:
        return np.full(len(x), 0.2)


ONE, TWO, THREE = Fixed(1.0), Fixed(-0.5, 1.0), Constant()
X = np.array([[0.0], [3.0], [-60.0]])


def test_an_average_of_one_is_that_one_and_of_none_is_refused() -> None:
    np.testing.assert_array_equal(Average([ONE]).probability(X), ONE.probability(X))
    for of in ("probability", "log odds"):
        np.testing.assert_allclose(Average([ONE], of=of).logit(X), ONE.logit(X), atol=1e-9)
    with pytest.raises(ValueError, match="one model or more"):
        Average([])


def test_an_average_is_a_mean_of_probabilities_or_a_sum_of_log_odds() -> None:
    each = [model.probability(X) for model in (ONE, TWO, THREE)]
    for weights in (None, (0.2, 0.5, 0.3)):
        together, mean = Average([ONE, TWO, THREE], weights), np.average(each, 0, weights)
        np.testing.assert_allclose(together.probability(X), mean)
        np.testing.assert_allclose(together.logit(X), logit(mean), rtol=1e-6)
    stack = Average([ONE, THREE], (2.0, -1.0), "log odds", 0.5)
    np.testing.assert_allclose(stack.logit(X), 2 * X[:, 0] - logit(0.2) + 0.5)
    np.testing.assert_allclose(stack.probability(X), expit(stack.logit(X)))
    hedge = Average((THREE, ONE), of="log odds")
    np.testing.assert_allclose(hedge.logit(X), (logit(0.2) + X[:, 0]) / 2)


def test_log_odds_of_far_models_do_not_saturate() -> None:
    far = np.array([[-2000.0], [2000.0]])
    together = Average([Fixed(1.0), Fixed(1.0, 3.0)]).logit(far)
    assert np.isfinite(together).all()
    np.testing.assert_allclose(together, [-2000 + np.log((1 + np.exp(3)) / 2), 2000], atol=4)
