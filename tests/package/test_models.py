"""The two models against scikit-learn, finite differences and Keras' own training loop."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, check_grad
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from medxfer_utils.cohorts import Cohort, draw
from medxfer_utils.data import two_laboratories
from medxfer_utils.models.network import (
    Linear,
    Network,
    Rows,
    fit_scaler,
    logistic_loss,
    network_loss,
    rows,
    steepest_curvature,
    tabular_network,
)

A, B = two_laboratories(np.random.default_rng(0))
FEW = draw(B, 32, np.random.default_rng(1))


def weights(model: Network) -> list[Any]:
    return list(model.network.get_weights())


def bits(model: Network) -> list[bytes]:
    return [w.tobytes() for w in weights(model)]


def random_rows(seed: int, n: int = 20, d: int = 3) -> Rows:
    rng = np.random.default_rng(seed)
    return Rows(rng.normal(size=(n, d)), rng.integers(0, 2, n).astype(float), rng.random(n) / n)


# --- the loss ----------------------------------------------------------------------------------


@given(st.integers(0, 10**6))
def test_the_gradient_of_the_logistic_loss_is_that_of_finite_differences(seed: int) -> None:
    data, theta = random_rows(seed), np.random.default_rng([1, seed]).normal(size=4)
    error = check_grad(
        lambda t: logistic_loss(t, data)[0], lambda t: logistic_loss(t, data)[1], theta
    )
    assert error < 1e-6


def test_rows_of_a_cohort_make_its_mean_log_loss() -> None:
    model = Linear(fit_scaler(A.x), fit_scaler(A.x), np.linspace(-1, 1, 11))
    expected = log_loss(A.y, model.probability(A.x))  # scikit-learn's
    assert logistic_loss(model.theta, rows(A, model.scaler))[0] == pytest.approx(expected)
    assert logistic_loss(model.theta, rows(A, model.scaler, 2.5))[0] == pytest.approx(
        2.5 * expected
    )


def test_the_logistic_loss_of_a_far_logit_is_finite_and_exact() -> None:
    data = Rows(np.array([[1.0], [1.0]]), np.array([0.0, 1.0]), np.array([0.5, 0.5]))
    loss, gradient = logistic_loss(np.array([1000.0, 0.0]), data)
    assert loss == 500
    np.testing.assert_array_equal(gradient, [0.5, 0.5])


@given(st.integers(0, 10**6))
def test_no_direction_curves_more_than_the_steepest_curvature(seed: int) -> None:
    data, rng = random_rows(seed), np.random.default_rng([2, seed])
    theta, bound = rng.normal(size=4), steepest_curvature(data)
    hessian = approx_fprime(theta, lambda t: logistic_loss(t, data)[1])
    assert np.linalg.eigvalsh((hessian + hessian.T) / 2)[-1] <= bound + 1e-6
    # At theta = 0 every p is a half, and the bound is reached.
    at_zero = approx_fprime(np.zeros(4), lambda t: logistic_loss(t, data)[1])
    assert np.linalg.eigvalsh((at_zero + at_zero.T) / 2)[-1] == pytest.approx(bound, abs=1e-6)


# --- the linear model --------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [1e-3, 0.1, 1.0, 10.0])
def test_the_minimum_is_that_of_scikit_learn(strength: float) -> None:
    model = Linear.untrained(B.x)
    ours = model.minimised(rows(B, model.scaler), strength=strength).theta
    z1 = np.column_stack([model.scaler.transform(B.x), np.ones(len(B))])  # intercept penalised too
    reference = LogisticRegression(
        C=1 / (len(B) * strength), fit_intercept=False, tol=1e-10, max_iter=100_000
    ).fit(z1, B.y)
    np.testing.assert_allclose(ours, reference.coef_[0], atol=1e-4)


def test_the_linear_ridge_is_scikit_learns_default_strength() -> None:
    # C = 1 sums the losses of n patients; a mean loss needs a pull of 1 / n.
    model = Linear.untrained(B.x)
    assert model.ridge(40) == 1 / (1.0 * 40) == 1 / (LogisticRegression().C * 40)


def test_probabilities_are_those_of_scikit_learn_for_the_same_parameters() -> None:
    model = Linear(fit_scaler(B.x), fit_scaler(B.x), np.linspace(-1, 1, 11))
    reference = LogisticRegression().fit(model.scaler.transform(B.x), B.y)
    reference.coef_, reference.intercept_ = model.theta[None, :-1], model.theta[-1:]
    expected = reference.predict_proba(model.scaler.transform(A.x))[:, 1]
    np.testing.assert_allclose(model.probability(A.x), expected, rtol=1e-12)


def test_gradient_steps_descend_under_a_wrong_ruler_too() -> None:
    wrong = Linear(fit_scaler(A.x), fit_scaler(A.x), np.zeros(11))
    data = rows(FEW, wrong.scaler)
    losses = [logistic_loss(wrong.minimised(data, steps=k).theta, data)[0] for k in range(12)]
    assert losses[0] == pytest.approx(np.log(2))
    assert (np.diff(losses) < 0).all()


def test_one_gradient_step_is_down_the_penalised_gradient() -> None:
    start = Linear(fit_scaler(B.x), fit_scaler(B.x), np.linspace(-1, 1, 11))
    anchor = Linear(start.scaler, start.scaler, np.ones(11))
    data = rows(FEW, start.scaler)

    def objective(theta: Any) -> float:
        return logistic_loss(theta, data)[0] + 0.35 * float(np.sum((theta - 1) ** 2))

    moved = start.minimised(data, anchor=anchor, strength=0.7, steps=1).theta - start.theta
    down = -approx_fprime(start.theta, objective)
    np.testing.assert_allclose(
        moved / np.linalg.norm(moved), down / np.linalg.norm(down), atol=1e-5
    )


# --- the network -------------------------------------------------------------------------------


def test_the_network_is_64_32_1() -> None:
    network = tabular_network(10, seed=0)
    assert network.count_params() == 10 * 64 + 64 + 64 * 32 + 32 + 32 * 1 + 1
    assert [layer.units for layer in network.layers] == [64, 32, 1]
    assert network.output_shape == (None, 1)


def test_the_logit_is_that_of_the_matrices() -> None:
    model = Network.untrained(A.x, seed=3)
    w1, b1, w2, b2, w3, b3 = (w.astype(float) for w in weights(model))
    h1 = np.maximum(model.scaler.transform(A.x) @ w1 + b1, 0)
    expected = (np.maximum(h1 @ w2 + b2, 0) @ w3 + b3)[:, 0]
    np.testing.assert_allclose(model.logit(A.x), expected, atol=1e-5)


def test_initial_weights_depend_on_the_seed_and_on_nothing_else() -> None:
    one = bits(Network.untrained(A.x, 7))
    keras.utils.set_random_seed(99)
    assert one == bits(Network.untrained(A.x, 7)) != bits(Network.untrained(A.x, 8))


def test_no_two_layers_of_neighbouring_seeds_start_alike() -> None:
    # Layer k of seed s must not reuse the random stream of layer k + 1 of seed s - 1.
    streams = [w.ravel()[:20] for s in range(4) for w in weights(Network.untrained(A.x, s))[::2]]
    scaled = [tuple(np.round(s / np.abs(s).max(), 4)) for s in streams]
    assert len(set(scaled)) == len(scaled)


def test_training_is_the_same_to_the_bit() -> None:
    model, data = Network.untrained(A.x, 0), rows(FEW, fit_scaler(A.x))
    assert bits(model.minimised(data, steps=50)) == bits(model.minimised(data, steps=50))


@pytest.mark.parametrize("steps", [1, 60])
def test_our_trainer_is_the_one_of_keras(steps: int) -> None:
    model = Network.untrained(B.x, 0)
    z, y = model.scaler.transform(FEW.x).astype("float32"), FEW.y.astype("float32")[:, None]
    reference = tabular_network(10, 0)
    reference.compile(
        keras.optimizers.Adam(0.003), keras.losses.BinaryCrossentropy(from_logits=True)
    )
    reference.fit(z, y, batch_size=len(FEW), epochs=steps, shuffle=False, verbose=0)
    ours = weights(model.minimised(rows(FEW, model.scaler), steps=steps))
    for w, expected in zip(ours, reference.get_weights(), strict=True):
        np.testing.assert_allclose(w, expected, atol=2e-5)


def test_the_network_loss_is_keras_own_plus_the_pull() -> None:
    model = Network.untrained(B.x, 0)
    data = Rows(*(tf.constant(a, tf.float32) for a in rows(FEW, model.scaler)))
    centre = [w + 0.5 for w in weights(model)]
    keras_loss = keras.losses.BinaryCrossentropy(from_logits=True)
    expected = float(keras_loss(data.y[:, None], model.network(data.z)))
    parameters = model.network.count_params()
    assert float(network_loss(model.network, data, centre, 0.0)) == pytest.approx(
        expected, abs=1e-6
    )
    pull = 0.3 / 2 * parameters * 0.5**2
    got = float(network_loss(model.network, data, centre, 0.3))
    assert got == pytest.approx(expected + pull, rel=1e-5)


def test_nothing_leaks_from_one_fit_to_the_next() -> None:
    first, second = Network.untrained(A.x, 0), Network.untrained(B.x, 1)
    data_a, data_b = rows(A, first.scaler), rows(FEW, second.scaler)
    alone = bits(second.minimised(data_b, steps=40))
    first.minimised(data_a, anchor=second, strength=0.2, steps=40)
    assert bits(second.minimised(data_b, steps=40)) == alone
    first.minimised(data_a, steps=3, head_only=True)
    assert bits(second.minimised(data_b, steps=40)) == alone


def test_head_only_moves_the_head_and_nothing_else() -> None:
    model = Network.untrained(B.x, 0)
    moved = bits(model.minimised(rows(FEW, model.scaler), steps=20, head_only=True))
    still = bits(model)
    assert moved[:-2] == still[:-2]
    assert moved[-2] != still[-2]
    assert moved[-1] != still[-1]


def test_a_new_head_keeps_the_body_and_forgets_the_old_head() -> None:
    model = Network.untrained(B.x, 0).minimised(rows(FEW, fit_scaler(B.x)), steps=20)
    new = model.with_new_head(seed=5)
    assert bits(new)[:-2] == bits(model)[:-2]
    assert bits(new)[-2:] == bits(Network.untrained(B.x, 5))[-2:] != bits(model)[-2:]


def test_training_changes_neither_the_start_nor_the_anchor() -> None:
    start, anchor = Network.untrained(A.x, 0), Network.untrained(A.x, 1)
    before = bits(start), bits(anchor)
    start.minimised(rows(FEW, start.scaler), anchor=anchor, strength=1.0, steps=10)
    assert (bits(start), bits(anchor)) == before


def test_a_whole_number_is_a_strength_too() -> None:
    model, data = Network.untrained(A.x, 0), rows(FEW, fit_scaler(A.x))
    one, other = (model.minimised(data, strength=s, steps=5) for s in (1, 1.0))
    assert bits(one) == bits(other)


def test_networks_of_another_width_get_a_trainer_of_their_own() -> None:
    narrow = Cohort("narrow", FEW.x[:, :4], FEW.y, FEW.patient)
    for cohort in (FEW, narrow, FEW):
        model = Network.untrained(cohort.x, 0)
        data = rows(cohort, model.scaler)
        trained = model.minimised(data, steps=30)
        before, after = (log_loss(cohort.y, m.probability(cohort.x)) for m in (model, trained))
        assert after < before
