"""Every strategy, for the linear model and the network: what it keeps, and what that makes true."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from medxfer_utils.cohorts import Cohort, draw, split
from medxfer_utils.data import two_laboratories
from medxfer_utils.models.network import (
    Linear,
    Model,
    Network,
    Rows,
    fit_scaler,
    logistic_loss,
    network_loss,
    rows,
)
from medxfer_utils.transfer import strategies as transfer

A, B = two_laboratories(np.random.default_rng(0))
POOL, TEST = split(B, (0.5, 0.5), np.random.default_rng(1))
FEW = draw(POOL, 16, np.random.default_rng(2))
SOURCES: dict[str, Model] = {
    "linear": transfer.target_only(Linear.untrained(A.x), A),
    "network": transfer.target_only(Network.untrained(A.x, 0), A),
}
STRATEGIES: dict[str, Callable[[Any], Model]] = {
    "source_as_is": lambda m: transfer.source_as_is(m, FEW),
    "target_only": lambda m: transfer.target_only(m, FEW),
    "pooled": lambda m: transfer.pooled(m, FEW, A),
    "joint": lambda m: transfer.joint(m, FEW, A, 0.5),
    "restandardised": lambda m: transfer.restandardised(m, POOL.x),
    "fine_tuned": lambda m: transfer.fine_tuned(m, FEW, steps=20),
    "frozen_body": lambda m: transfer.frozen_body(m, FEW),
    "lp_ft": lambda m: transfer.lp_ft(m, FEW, steps=20),
    "l2_sp": lambda m: transfer.l2_sp(m, FEW, 0.1),
}
PARAMETERS_KEPT = {"source_as_is", "restandardised"}


def flat(model: Model) -> Any:
    """All parameters of a model in one vector, as float64."""
    if isinstance(model, Linear):
        return model.theta
    assert isinstance(model, Network)
    return np.concatenate([w.ravel() for w in model.network.get_weights()]).astype(float)


def state(model: Model) -> list[bytes]:
    """Everything that decides what a model predicts, to the bit."""
    scalers = (model.scaler, model.source_scaler)
    arrays = [flat(model), *(a for s in scalers for a in (s.mean_, s.scale_))]
    return [a.tobytes() for a in arrays]


@pytest.fixture(params=list(SOURCES))
def source(request: pytest.FixtureRequest) -> Model:
    return SOURCES[request.param]


@pytest.fixture
def own_ruler(source: Model) -> Model:
    """The source model, re-standardised on the target's unlabelled patients."""
    return transfer.restandardised(source, POOL.x)


# --- all strategies ----------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_the_source_model_is_never_changed(source: Model, strategy: str) -> None:
    before = state(source)
    result = STRATEGIES[strategy](source)
    assert state(source) == before
    assert (state(result)[0] == before[0]) == (strategy in PARAMETERS_KEPT)


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_a_strategy_gives_the_same_bits_again(source: Model, strategy: str) -> None:
    alone = state(STRATEGIES[strategy](source))
    for other in STRATEGIES.values():
        other(source)
    assert state(STRATEGIES[strategy](source)) == alone


# --- the joint objective -----------------------------------------------------------------------


def test_joint_without_weight_is_target_only_on_the_same_ruler(own_ruler: Model) -> None:
    joint = transfer.joint(own_ruler, FEW, A, weight=0.0, seed=3)
    alone = transfer.target_only(own_ruler, FEW, scaler=own_ruler.scaler, seed=3)
    # The source's rows are there with weight 0; only the order of a sum could differ.
    np.testing.assert_allclose(flat(joint), flat(alone), atol=1e-6)


def heap(model: Model, weight: float) -> tuple[Rows, Rows, Rows]:
    """Target, source, and both with the source at a weight: what `joint` minimises."""
    source = rows(A, model.source_scaler)
    both = rows(FEW, model.scaler) + rows(A, model.source_scaler, weight)
    return rows(FEW, model.scaler), source, both


@given(st.floats(0, 50), st.integers(0, 10**6))
def test_the_joint_gradient_is_target_plus_weight_times_source(weight: float, seed: int) -> None:
    theta = np.random.default_rng(seed).normal(size=11)
    target, source, both = heap(SOURCES["linear"], weight)
    g_target, g_source, g = (logistic_loss(theta, data)[1] for data in (target, source, both))
    np.testing.assert_allclose(g, g_target + weight * g_source, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0, 20.0])
def test_the_joint_gradient_of_a_network_is_the_sum_too(weight: float) -> None:
    model = SOURCES["network"]
    assert isinstance(model, Network)
    network = model.fresh(model.scaler, 4).network

    def gradient(data: Rows) -> Any:
        tensors = Rows(*(tf.constant(a, tf.float32) for a in data))
        with tf.GradientTape() as tape:
            loss = network_loss(network, tensors, network.get_weights(), 0.0)
        parts = tape.gradient(loss, [v.value for v in network.trainable_variables])
        return np.concatenate([np.ravel(part) for part in parts])

    g_target, g_source, g = (gradient(data) for data in heap(model, weight))
    assert np.linalg.norm(g_source) > 0.1
    np.testing.assert_allclose(g, g_target + weight * g_source, rtol=1e-4, atol=1e-5 * (1 + weight))


def test_a_network_steps_down_the_joint_gradient() -> None:
    # Adam's first step is 0.003 against the sign of the gradient, coordinate by coordinate.
    model = SOURCES["network"]
    assert isinstance(model, Network)
    start = model.fresh(model.scaler, 4)
    both = heap(model, 5.0)[2]
    tensors = Rows(*(tf.constant(a, tf.float32) for a in both))
    with tf.GradientTape() as tape:
        loss = network_loss(start.network, tensors, start.network.get_weights(), 0.0)
    parts = tape.gradient(loss, [v.value for v in start.network.trainable_variables])
    g = np.concatenate([np.ravel(part) for part in parts])
    moved = flat(start.minimised(both, steps=1)) - flat(start)
    clear = np.abs(g) > 1e-3  # below that Adam's epsilon shows
    assert clear.sum() > 1000
    np.testing.assert_allclose(moved[clear], -0.003 * np.sign(g[clear]), atol=2e-5)


def test_joint_with_a_great_weight_is_the_unpenalised_source_solution() -> None:
    model = SOURCES["linear"]
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=100_000)
    reference.fit(model.source_scaler.transform(A.x), A.y)
    limit = np.append(reference.coef_[0], reference.intercept_)
    size = np.linalg.norm(limit)
    away = [
        np.linalg.norm(flat(transfer.joint(model, FEW, A, weight)) - limit) / size
        for weight in (1, 1e2, 1e4, 1e6)
    ]
    assert (np.diff(away) < 0).all()
    assert away[0] > 0.1
    # The features are collinear, so the source hardly resists the ridge in some directions: slow.
    assert away[-1] < 0.02


def test_a_network_trained_jointly_with_a_great_weight_agrees_with_the_source() -> None:
    model = SOURCES["network"]
    alone, joint = (
        transfer.target_only(model, A, model.source_scaler, seed=5),
        transfer.joint(model, FEW, A, 1e6, seed=5),
    )
    np.testing.assert_allclose(joint.probability(A.x), alone.probability(A.x), atol=0.02)


def test_pooled_is_joint_with_every_patient_equal_on_one_ruler(
    source: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    # n/n_T times the pooled objective is the joint one, the ridge included (1/n and 1/n_T). Adam
    # divides by the size of the gradient, so the factor shows through rounding only; that grows
    # from step to step, so few steps are compared.
    monkeypatch.setattr(Network, "STEPS", 10)
    one_ruler = fit_scaler(np.concatenate([A.x, FEW.x]))
    same = replace(source, scaler=one_ruler, source_scaler=one_ruler)
    pooled = transfer.pooled(source, FEW, A, seed=3)
    joint = transfer.joint(same, FEW, A, weight=len(A) / len(FEW), seed=3)
    np.testing.assert_allclose(pooled.probability(TEST.x), joint.probability(TEST.x), atol=0.005)
    if isinstance(source, Linear):
        np.testing.assert_allclose(flat(pooled), flat(joint), rtol=1e-5, atol=1e-7)


def test_joint_reads_each_site_with_its_own_ruler() -> None:
    # Another unit in B (and a ruler fitted to it) must make no difference at all.
    def in_other_units(c: Cohort) -> Cohort:
        return replace(c, x=8 * c.x)

    model = SOURCES["linear"]
    one = transfer.joint(transfer.restandardised(model, POOL.x), FEW, A, 1.0)
    other = transfer.joint(
        transfer.restandardised(model, in_other_units(POOL).x), in_other_units(FEW), A, 1.0
    )
    np.testing.assert_allclose(flat(one), flat(other), rtol=1e-9)


# --- the anchor --------------------------------------------------------------------------------


def test_l2_sp_without_strength_is_the_unpenalised_solution() -> None:
    # Of two features, which do not separate the classes.
    two = Cohort("two features", B.x[:, [1, 9]], B.y, B.patient)
    model = Linear(fit_scaler(two.x), fit_scaler(two.x), np.array([3.0, -2.0, 1.0]))
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    reference.fit(model.scaler.transform(two.x), two.y)
    expected = np.append(reference.coef_[0], reference.intercept_)
    np.testing.assert_allclose(flat(transfer.l2_sp(model, two, 0.0)), expected, atol=1e-5)


def test_l2_sp_is_ridge_regression_around_the_source() -> None:
    model = transfer.restandardised(SOURCES["linear"], POOL.x)
    found = transfer.l2_sp(model, FEW, 0.3)
    gradient = logistic_loss(flat(found), rows(FEW, model.scaler))[1]
    # At the minimum the loss pulls away exactly as hard as the anchor pulls back.
    np.testing.assert_allclose(gradient, -0.3 * (flat(found) - flat(model)), atol=1e-6)


def test_a_stronger_anchor_keeps_nearer_to_the_source(own_ruler: Model) -> None:
    away = [
        float(np.linalg.norm(flat(transfer.l2_sp(own_ruler, FEW, strength)) - flat(own_ruler)))
        for strength in (0.001, 0.01, 0.1, 1.0, 10.0, 1e6)
    ]
    assert (np.diff(away) < 0).all()
    assert away[0] > 0.1
    assert away[-1] < 1e-4  # a huge strength returns the anchor


# --- the ruler ---------------------------------------------------------------------------------


def test_restandardised_changes_the_scaler_and_nothing_else(source: Model) -> None:
    new = transfer.restandardised(source, POOL.x)
    assert flat(new).tobytes() == flat(source).tobytes()
    np.testing.assert_array_equal(new.scaler.mean_, POOL.x.mean(axis=0))
    np.testing.assert_allclose(new.scaler.scale_, POOL.x.std(axis=0), rtol=1e-12)
    assert new.source_scaler is source.source_scaler


@given(
    st.lists(st.floats(0.01, 100), min_size=10, max_size=10),
    st.lists(st.floats(-1000, 1000), min_size=10, max_size=10),
    st.sampled_from(list(SOURCES)),
)
def test_restandardising_undoes_any_change_of_units(a: Any, b: Any, kind: str) -> None:
    # x_B = a · x_A + b, feature by feature: the source's predictions come back.
    shifted, model = np.array(a) * A.x + np.array(b), SOURCES[kind]
    restored = transfer.restandardised(model, shifted).probability(shifted)
    np.testing.assert_allclose(restored, model.probability(A.x), atol=1e-4)


def test_target_only_fits_its_scaler_on_the_labelled_patients_unless_given_one(
    source: Model,
) -> None:
    np.testing.assert_array_equal(
        transfer.target_only(source, FEW).scaler.mean_, FEW.x.mean(axis=0)
    )
    given_one = fit_scaler(POOL.x)
    assert transfer.target_only(source, FEW, given_one).scaler is given_one


def test_target_only_is_scikit_learns_default_up_to_the_penalised_intercept() -> None:
    model = transfer.target_only(SOURCES["linear"], POOL)
    z1 = np.column_stack([model.scaler.transform(POOL.x), np.ones(len(POOL))])
    reference = LogisticRegression(fit_intercept=False, tol=1e-10, max_iter=10_000)
    np.testing.assert_allclose(flat(model), reference.fit(z1, POOL.y).coef_[0], atol=1e-5)


def test_target_only_learns_nothing_from_the_source(source: Model) -> None:
    other = source.fresh(source.scaler, seed=9)
    one, two = (transfer.target_only(m, FEW, seed=1) for m in (source, other))
    assert state(one) == state(two)


# --- starting points and frozen bodies -----------------------------------------------------------


def test_fine_tuning_by_no_step_is_the_source(own_ruler: Model) -> None:
    assert state(transfer.fine_tuned(own_ruler, FEW, steps=0)) == state(own_ruler)


def test_fine_tuning_starts_at_the_source_and_lowers_the_targets_loss(own_ruler: Model) -> None:
    def loss(model: Model) -> float:
        p = model.probability(FEW.x)
        return float(-np.mean(np.log(np.where(FEW.y == 1, p, 1 - p))))

    one, many = (transfer.fine_tuned(own_ruler, FEW, steps=k) for k in (1, 50))
    assert loss(many) < loss(own_ruler)
    assert (
        0
        < np.linalg.norm(flat(one) - flat(own_ruler))
        < np.linalg.norm(flat(many) - flat(own_ruler))
    )


def test_a_frozen_linear_body_keeps_its_direction() -> None:
    model = transfer.restandardised(SOURCES["linear"], POOL.x)
    new = transfer.frozen_body(model, FEW)
    old, kept = flat(model)[:-1], flat(new)[:-1]
    assert old @ kept / np.linalg.norm(old) / np.linalg.norm(kept) == pytest.approx(1)
    # The head is the logistic regression on the one score that the body gives.
    score = np.column_stack([model.scaler.transform(FEW.x) @ old, np.ones(len(FEW))])
    reference = LogisticRegression(fit_intercept=False, tol=1e-10).fit(score, FEW.y).coef_[0]
    np.testing.assert_allclose(flat(new), np.append(reference[0] * old, reference[1]), atol=1e-4)


def test_a_frozen_network_keeps_its_body_to_the_bit() -> None:
    model = SOURCES["network"]
    head = 32 + 1
    new = transfer.frozen_body(model, FEW, seed=1)
    assert flat(new)[:-head].tobytes() == flat(model)[:-head].tobytes()
    assert (flat(new)[-head:] != flat(model)[-head:]).all()


def test_lp_ft_is_a_new_head_first_and_all_of_it_then(source: Model) -> None:
    in_two = transfer.fine_tuned(transfer.frozen_body(source, FEW, seed=2), FEW, steps=15)
    assert state(transfer.lp_ft(source, FEW, steps=15, seed=2)) == state(in_two)


# --- what is refused ------------------------------------------------------------------------------


def test_a_negative_weight_or_strength_is_refused(source: Model) -> None:
    with pytest.raises(ValueError, match=r"weight of the source must not be negative, got -0\.1"):
        transfer.joint(source, FEW, A, -0.1)
    with pytest.raises(ValueError, match="strength of the anchor must not be negative, got -1"):
        transfer.l2_sp(source, FEW, -1)


@pytest.mark.parametrize(
    "strategy",
    [lambda m, a, b: transfer.joint(m, a, b, 1.0), lambda m, a, b: transfer.pooled(m, a, b)],
    ids=["joint", "pooled"],
)
def test_a_patient_on_both_sides_is_refused(strategy: Callable[..., Model]) -> None:
    overlap = replace(A.of(A.patients[:20]), name="overlap")
    with pytest.raises(ValueError, match="'laboratory A' and 'overlap' share 20 patients"):
        strategy(SOURCES["linear"], overlap, A)
