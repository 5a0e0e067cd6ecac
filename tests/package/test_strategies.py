"""Every strategy, for a linear model, a table's network and an image network.

It keeps what it says, does what it says, and leaves its source as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from medxfer_utils import models, transfer
from medxfer_utils.models import Linear, Model, Rows, Training, Transferable, rows

# isort: split
import keras
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medxfer_utils.cohorts import Cohort, draw, split
from medxfer_utils.data import two_laboratories
from medxfer_utils.models import fit_scaler, logistic_loss, surgery
from medxfer_utils.transfer.strategies import half_and_half
from tests.faults import untold

A, B = two_laboratories(np.random.default_rng(0))
POOL, TEST = split(B, (0.5, 0.5), np.random.default_rng(1))
FEW = draw(POOL, 16, np.random.default_rng(2))


def images(name: str, n: int, seed: int) -> Cohort:
    x = np.random.default_rng(seed).normal(size=(n, 8, 8))
    y = (x.mean((1, 2)) > 0).astype(int)
    return Cohort(name, x, y, np.array([f"{name} {k}" for k in range(n)]))


HERE, THERE = images("here", 24, 5), images("there", 40, 6)
SOME = Training(steps=6, rate=0.05, batch=8)


def with_channel(x: Any) -> Any:
    return x[..., None]


LINEAR = transfer.target_only(Linear.zero(A.x), A)
NETWORK = transfer.target_only(Model(models.tabular_network(10), fit_scaler(A.x)), A)
IMAGES = transfer.target_only(
    Model(models.image_network((8, 8, 1), filters=(3, 4)), with_channel), THERE, SOME
)
TABLES: list[Any] = [LINEAR, NETWORK]
SHORT = Training(20, batch=None)
ON_TABLES: dict[str, Callable[[Any], Transferable]] = {
    "restandardised": lambda m: transfer.restandardised(m, POOL.x),
    "target_only": lambda m: transfer.target_only(m, FEW),
    "joint": lambda m: transfer.joint(m, FEW, A, 0.5),
    "frozen_features": lambda m: transfer.frozen_features(m, FEW),
    "fine_tuned": lambda m: transfer.fine_tuned(m, FEW, SHORT),
    "lp_ft": lambda m: transfer.lp_ft(m, FEW, SHORT),
    "l2_sp": lambda m: transfer.l2_sp(m, FEW, 0.1),
}
ON_IMAGES: dict[str, Callable[[Any], Transferable]] = {
    "restandardised": lambda m: transfer.restandardised(m, HERE.x),
    "target_only": lambda m: transfer.target_only(m, HERE, SOME),
    "joint": lambda m: transfer.joint(m, HERE, THERE, 0.5, replace(SOME, batch=None)),
    "joint_batches": lambda m: transfer.joint_batches(m, HERE, THERE, SOME),
    "frozen_features": lambda m: transfer.frozen_features(m, HERE, SOME),
    "fine_tuned": lambda m: transfer.fine_tuned(m, HERE, SOME),
    "first_blocks_frozen": lambda m: transfer.first_blocks_frozen(m, HERE, SOME, first=1),
    "discriminative_rates": lambda m: transfer.discriminative_rates(m, HERE, SOME),
    "gradually_unfrozen": lambda m: transfer.gradually_unfrozen(m, HERE, SOME),
    "lp_ft": lambda m: transfer.lp_ft(m, HERE, SOME, 0, SOME),
    "l2_sp": lambda m: transfer.l2_sp(m, HERE, 0.1, SOME),
    "l1_sp": lambda m: transfer.l1_sp(m, HERE, 0.1, SOME),
    "bss": lambda m: transfer.bss(m, HERE, 0.1, SOME),
    "delta": lambda m: transfer.delta(m, HERE, 0.1, SOME, layers=("relu_2",)),
    "lora": lambda m: transfer.lora(m, HERE, SOME, rank=2),
    "residual_adapters": lambda m: transfer.residual_adapters(m, HERE, SOME),
}
# The layers of the image network that each strategy leaves to the bit as they were.
NORMS, ALL = {"norm_1", "norm_2"}, {"conv_1", "norm_1", "conv_2", "norm_2", "head"}
KEPT = {
    "restandardised": {"conv_1", "conv_2", "head"},
    "joint_batches": NORMS,
    "frozen_features": ALL - {"head"},
    "first_blocks_frozen": {"conv_1", "norm_1"},
    "lp_ft": NORMS,
    "lora": NORMS,
    "residual_adapters": NORMS,
}


def flat(model: Any) -> Any:
    """All parameters of a model in one vector, as float64."""
    if isinstance(model, Linear):
        return model.theta
    return np.concatenate([w.ravel() for w in model.network.get_weights()]).astype(float)


def state(model: Any) -> list[bytes]:
    """Everything that decides what a model predicts, to the bit."""
    arrays = [flat(model)]
    if hasattr(model.prepare, "mean_"):
        arrays += [model.prepare.mean_, model.prepare.scale_]
    return [a.tobytes() for a in arrays]


CASES = [
    *((m, name, by) for m in TABLES for name, by in ON_TABLES.items()),
    *((IMAGES, name, by) for name, by in ON_IMAGES.items()),
]


def test_a_strategy_gives_the_same_bits_again_and_leaves_its_source_as_it_was() -> None:
    before = [state(m) for m in (*TABLES, IMAGES)]
    first = [state(by(m)) for m, _, by in CASES]
    again = [state(by(m)) for m, _, by in reversed(CASES)][::-1]
    assert [state(m) for m in (*TABLES, IMAGES)] == before
    odd = [name for (_, name, _), a, b in zip(CASES, first, again, strict=True) if a != b]
    assert not odd
    unmoved = {name for (m, name, _), a in zip(CASES, first, strict=True) if a[0] == state(m)[0]}
    assert unmoved == {"restandardised"}  # of tables


def test_every_strategy_keeps_the_layers_that_it_says() -> None:
    found = {}
    for name, by in ON_IMAGES.items():
        model: Any = by(IMAGES)
        assert model.prepare is with_channel
        nets = model.network, IMAGES.network
        pairs = {n: [net.get_layer(n).get_weights() for net in nets] for n in ALL}
        found[name] = {n for n, (a, b) in pairs.items() if all(map(np.array_equal, a, b))}
    assert {name: same for name, same in found.items() if same} == KEPT


# --- patients, jointly ----------------------------------------------------------------------------


def test_joint_without_weight_is_target_only() -> None:
    for source in TABLES:
        own = transfer.restandardised(source, POOL.x)
        joint = transfer.joint(own, FEW, A, weight=0.0, seed=3)
        alone = transfer.target_only(own, FEW, seed=3, prepare=own.prepare)
        # The source's rows are there with weight 0; only the order of a sum could differ.
        np.testing.assert_allclose(flat(joint), flat(alone), atol=1e-4)


def both(model: Any, weight: float) -> tuple[Rows, Rows, Rows]:
    target, source = rows(FEW, model.prepare), rows(A, model.prepare)
    return target, source, target + rows(A, model.prepare, weight)


@given(st.floats(0, 50), st.integers(0, 10**6))
def test_the_joint_gradient_is_target_plus_weight_times_source(weight: float, seed: int) -> None:
    theta = np.random.default_rng(seed).normal(size=11)
    g_target, g_source, g = (logistic_loss(theta, data)[1] for data in both(LINEAR, weight))
    np.testing.assert_allclose(g, g_target + weight * g_source, rtol=1e-10, atol=1e-12)


def test_a_network_steps_down_the_joint_gradient() -> None:
    # A step of plain descent is the rate times the gradient.
    start, once = NETWORK.untrained(4), Training(1, rate=0.01, batch=None, optimiser="SGD")
    for weight in (0.3, 5.0):
        steps = [flat(start.minimised(data, once)) - flat(start) for data in both(NETWORK, weight)]
        assert np.linalg.norm(steps[1]) > 1e-3
        np.testing.assert_allclose(steps[2], steps[0] + weight * steps[1], atol=2e-7 * (1 + weight))


def test_joint_with_a_great_weight_is_the_unpenalised_source_solution() -> None:
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=100_000)
    reference.fit(LINEAR.prepare.transform(A.x), A.y)
    limit = np.append(reference.coef_[0], reference.intercept_)
    weights = (1, 1e2, 1e4, 1e6)
    away = [np.linalg.norm(flat(transfer.joint(LINEAR, FEW, A, w)) - limit) for w in weights]
    assert (np.diff(away) < 0).all()
    # The features are collinear, so the source hardly resists the ridge in some directions: slow.
    assert away[-1] < 0.02 * np.linalg.norm(limit) < away[0]


def test_joint_prepares_each_site_in_its_own_way() -> None:
    # Another unit in B (and a scaler fitted to it) must make no difference at all.
    one = transfer.joint(transfer.restandardised(LINEAR, POOL.x), FEW, A, 1.0)
    other_units = replace(FEW, x=8 * FEW.x)
    other = transfer.joint(transfer.restandardised(LINEAR, 8 * POOL.x), other_units, A, 1.0)
    np.testing.assert_allclose(flat(one), flat(other), rtol=1e-9)
    doubled = replace(IMAGES, prepare=with_channel, source_prepare=lambda x: 2 * x[..., None])
    halved = transfer.joint_batches(doubled, HERE, replace(THERE, x=THERE.x / 2), SOME)
    plain = transfer.joint_batches(IMAGES, HERE, THERE, SOME)
    np.testing.assert_allclose(flat(halved), flat(plain), atol=1e-6)


@given(*(st.integers(low, high) for low, high in ((1, 30), (1, 30), (2, 9), (0, 99))))
def test_joint_batches_are_half_and_half(target: int, source: int, batch: int, seed: int) -> None:
    order = half_and_half(target, source, Training(steps=7, batch=batch), seed)
    assert order.shape == (7, batch)
    assert 0 <= order.min() <= order.max() < target + source
    assert ((order < target).sum(1) == batch // 2).all()
    mine, count = np.unique(order[order < target], return_counts=True)
    if 7 * (batch // 2) >= target:
        assert len(mine) == target, "no labelled image is left out"
    assert count.max() - count.min() <= 1


# --- the anchor, the scaler, the start ------------------------------------------------------------


def test_l2_sp_is_ridge_regression_around_the_source_with_a_free_intercept() -> None:
    free = transfer.restandardised(LINEAR, POOL.x)
    for model, pull in ((free, [0.3] * 10 + [0]), (replace(free, hold_intercept=True), [0.3] * 11)):
        found = transfer.l2_sp(model, FEW, 0.3)
        # At the minimum the loss pulls away exactly as hard as the anchor pulls back.
        gradient = logistic_loss(flat(found), rows(FEW, model.prepare))[1]
        back = -np.array(pull) * (flat(found) - flat(model))
        np.testing.assert_allclose(gradient, back, atol=1e-6)
    for source in (replace(LINEAR, hold_intercept=True), NETWORK):
        own, strengths = transfer.restandardised(source, POOL.x), (0.001, 0.01, 0.1, 1, 10, 1e6)
        away = [np.linalg.norm(flat(transfer.l2_sp(own, FEW, s)) - flat(own)) for s in strengths]
        assert (np.diff(away) < 0).all(), "a stronger anchor keeps nearer to the source"
        assert away[-1] < 1e-4 < 0.1 < away[0]


@given(
    st.lists(st.floats(0.01, 100), min_size=10, max_size=10),
    st.lists(st.floats(-1000, 1000), min_size=10, max_size=10),
    st.sampled_from(TABLES),
)
def test_restandardising_undoes_any_change_of_units(a: Any, b: Any, model: Any) -> None:
    # x_B = a · x_A + b, feature by feature: the source's predictions come back.
    shifted = np.array(a) * A.x + np.array(b)
    restored = transfer.restandardised(model, shifted).probability(shifted)
    np.testing.assert_allclose(restored, model.probability(A.x), atol=1e-4)


def test_target_only_is_scikit_learns_default_and_learns_nothing_of_the_source() -> None:
    model = transfer.target_only(LINEAR, POOL)
    np.testing.assert_array_equal(model.prepare.mean_, POOL.x.mean(axis=0))
    reference = LogisticRegression(tol=1e-10, max_iter=10_000)
    reference.fit(model.prepare.transform(POOL.x), POOL.y)
    expected = np.append(reference.coef_[0], reference.intercept_)
    np.testing.assert_allclose(flat(model), expected, atol=1e-5)
    given_one = fit_scaler(POOL.x)
    for source in TABLES:
        assert transfer.target_only(source, FEW, prepare=given_one).prepare is given_one
        one, two = (transfer.target_only(m, FEW, seed=1) for m in (source, source.untrained(9)))
        assert state(one) == state(two)


def test_a_frozen_linear_backbone_keeps_its_direction() -> None:
    model = transfer.restandardised(LINEAR, POOL.x)
    old, new = flat(model)[:-1], flat(transfer.frozen_features(model, FEW))
    # The head is the logistic regression on the one score that the backbone gives.
    score = (model.prepare.transform(FEW.x) @ old)[:, None]
    reference = LogisticRegression(tol=1e-10).fit(score, FEW.y)
    expected = np.append(reference.coef_[0] * old, reference.intercept_)
    np.testing.assert_allclose(new, expected, atol=1e-4)


def test_fine_tuning_starts_at_the_source_and_lowers_the_targets_loss() -> None:
    for source in TABLES:
        own = transfer.restandardised(source, POOL.x)
        models_ = [transfer.fine_tuned(own, FEW, replace(SHORT, steps=k)) for k in (0, 1, 50)]
        assert state(models_[0]) == state(own)
        moved = [np.linalg.norm(flat(m) - flat(own)) for m in models_]
        assert 0 == moved[0] < moved[1] < moved[2]
        p = [np.where(FEW.y == 1, q, 1 - q) for q in (m.probability(FEW.x) for m in models_)]
        assert np.log(p[2]).mean() > np.log(p[0]).mean()


def test_stages_of_training_are_those_that_are_told() -> None:
    data = rows(HERE, with_channel)
    probed = IMAGES.minimised(data, SOME, 4, frozen=IMAGES.backbone)
    rest = probed.minimised(data, SOME, 5, frozen=IMAGES.norms)
    assert state(transfer.lp_ft(IMAGES, HERE, SOME, 4, SOME)) == state(rest)
    start = IMAGES  # unfreezing begins at the top
    for stage, (steps, first) in enumerate(((2, 2), (2, 1), (3, 0))):
        frozen = models.blocks(IMAGES.network, first)
        start = start.minimised(data, replace(SOME, steps=steps), 8 + stage, frozen=frozen)
    found = transfer.gradually_unfrozen(IMAGES, HERE, replace(SOME, steps=7), 8)
    assert state(found) == state(start)


def test_rates_fall_from_the_head_to_the_image() -> None:
    once = Training(1, rate=0.1, batch=24, optimiser="SGD")
    ways = transfer.fine_tuned, transfer.discriminative_rates
    full, slow = (by(IMAGES, HERE, once).network for by in ways)
    for name, share in (("head", 1.0), ("conv_2", 1 / 2), ("conv_1", 1 / 4)):
        start, a, b = (n.get_layer(name).get_weights()[0] for n in (IMAGES.network, full, slow))
        np.testing.assert_allclose(b - start, share * (a - start), atol=1e-7)


def own_network() -> Model:
    """A reader's own: other names and widths, a frozen encoder, a norm and a hidden dense layer."""
    encoder = [keras.Input((8, 8, 1)), keras.layers.Conv2D(3, 5), keras.layers.BatchNormalization()]
    inner = keras.Sequential(encoder, name="encoder")
    inner.trainable = False
    end = keras.layers.Flatten(), keras.layers.Dense(5, "relu"), keras.layers.Dense(1, name="head")
    return Model(keras.Sequential([keras.Input((8, 8, 1)), inner, *end]), with_channel)


def test_strategies_keep_a_network_of_ones_own_and_what_they_say_of_it() -> None:
    own = own_network()
    named = [layer.name for layer in own.network.layers]
    conv, norm, dense = (layer.name for layer in surgery.weighted(own.network))
    scratch = transfer.target_only(own, HERE, SOME)
    assert all(layer.trainable for layer in scratch.network.layers), "nothing random stays frozen"
    own.network.get_layer("encoder").trainable = True
    kept = {  # the layers that do not move
        "target_only": set(), "frozen_features": {conv, norm, dense}, "fine_tuned": set(),
        "lp_ft": {norm}, "first_blocks_frozen": {conv, norm, dense}, "gradually_unfrozen": set(),
        "discriminative_rates": set(), "lora": {norm}, "residual_adapters": {norm, dense},
    }  # fmt: skip
    for name, still in kept.items():
        more = {"head": SOME} if name == "lp_ft" else {"first": 1} if "first" in name else {}
        found = getattr(transfer, name)(own, HERE, SOME, **more).network
        assert [layer.name for layer in found.layers] == named
        pairs = zip(surgery.weighted(own.network), surgery.weighted(found), strict=True)
        same = {a.name for a, b in pairs
                if all(map(np.array_equal, a.get_weights(), b.get_weights()))}  # fmt: skip
        assert same == still, name
    table = keras.Sequential([keras.Input((10,)), keras.layers.Dense(4, name="mine"),
                              keras.layers.Dense(1, name="head")])  # fmt: skip
    for by in (transfer.target_only, transfer.frozen_features, transfer.lp_ft):
        reached = by(Model(table, fit_scaler(A.x)), FEW).network
        assert [layer.name for layer in reached.layers] == ["mine", "head"]
    faults: dict[str, tuple[Any, str]] = {
        "name": (keras.layers.Dense(1, name="out"), r"last layer, 'out', .* name it 'head'"),
        "sigmoid": (keras.layers.Dense(1, "sigmoid", name="head"), "leave its activation out"),
        "two": (keras.layers.Dense(2, name="head"), r"gives \(None, 2\): .* 1 unit"),
    }
    built = {
        k: (keras.Sequential([keras.Input((10,)), v]), words) for k, (v, words) in faults.items()
    }
    assert untold(built, lambda _, net: Model(net, fit_scaler(A.x)), ValueError) == {}


# --- classical, ensembles -------------------------------------------------------------------------


def test_classical_strategies_are_scikit_learn_on_features_or_on_what_was_measured() -> None:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.5))
    expected = clone(pipeline).fit(FEW.x, FEW.y).predict_proba(TEST.x)[:, 1]
    np.testing.assert_array_equal(transfer.classical(pipeline, FEW).probability(TEST.x), expected)
    assert not hasattr(pipeline[-1], "coef_")  # a copy is fitted
    by_hand = clone(pipeline).fit(IMAGES.features(HERE.x), HERE.y)
    expected = by_hand.predict_proba(IMAGES.features(THERE.x))[:, 1]
    head = transfer.classical_head(IMAGES, HERE, LogisticRegression(C=0.5))
    np.testing.assert_allclose(head.probability(THERE.x), expected)


def test_an_ensemble_is_of_fits_that_differ_in_their_seed() -> None:
    def forest(t: Cohort, s: int) -> Any:
        return transfer.classical(RandomForestClassifier(3, random_state=s), t)

    together = transfer.ensemble(forest, 3)(FEW, 7)
    each = [forest(FEW, s).probability(TEST.x) for s in (700, 701, 702)]
    assert not np.array_equal(each[0], each[1])
    np.testing.assert_allclose(together.probability(TEST.x), np.mean(each, axis=0))


# --- what is refused ------------------------------------------------------------------------------


def test_impossible_weights_strengths_and_patients_on_both_sides_are_refused() -> None:
    overlap = replace(A.of(A.patients[:20]), name="overlap")
    shared = "'laboratory A' and 'overlap' share 20 patients"
    faults: dict[str, tuple[Any, str]] = {
        "batch": (lambda: transfer.joint_batches(IMAGES, HERE, THERE, replace(SOME, batch=1)),
                  "batch of 1 cannot be shared"),
        "whole": (lambda: half_and_half(4, 4, Training(1, batch=None), 0), "batch of None cannot"),
        "images": (lambda: transfer.joint_batches(IMAGES, HERE, HERE, SOME), "share 24 patients"),
    }  # fmt: skip
    for m in TABLES:
        faults |= {
            f"weight {m}": (partial(transfer.joint, m, FEW, A, -0.1), "not be negative, got -0.1"),
            f"strength {m}": (partial(transfer.l2_sp, m, FEW, -1), "not be negative, got -1"),
            f"joint {m}": (partial(transfer.joint, m, overlap, A, 1.0), shared),
        }
    assert untold(faults, lambda _, call: call(), ValueError) == {}
