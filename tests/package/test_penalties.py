"""Penalties against numbers worked out by hand or by NumPy, and what they do to a step."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

from medxfer_utils import models

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf

from medxfer_utils.models import (
    Anchor,
    Array,
    MapDistance,
    Penalised,
    Penalty,
    Seen,
    Shrink,
    SpectralShrinkage,
    Training,
)
from tests.faults import untold

RNG = np.random.default_rng(3)
SHAPE = (8, 8, 1)
X: Array = RNG.normal(size=(24, *SHAPE)).astype("float32")
Y = np.arange(24) % 2
STEP = Training(steps=1, rate=0.1, batch=24, optimiser="SGD")


def network(seed: int = 0) -> keras.Model:
    return models.image_network(SHAPE, filters=(3, 4), seed=seed)


def seen(**given: Any) -> Seen:
    empty: dict[str, Any] = {key: [] for key in Seen._fields}
    return Seen(
        **(empty | {k: [tf.constant(v, tf.float32) for v in vs] for k, vs in given.items()})
    )


# --- values ---------------------------------------------------------------------------------------

NOW, SOURCE = [[[1.0, -2.0], [0.0, 3.0]], [5.0]], [[[1.0, 0.0], [1.0, 1.0]], [2.0]]


@pytest.mark.parametrize(
    ("penalty", "value"),
    [
        (Anchor(2), (0 + 4 + 1 + 4 + 9) / 2),  # Li et al. (2018): half the squared distance
        (Anchor(1), 0 + 2 + 1 + 2 + 3),
        (Shrink(2), (1 + 4 + 0 + 9) / 2),  # the vector [5] is an offset: free
        (Shrink(1), 1 + 2 + 0 + 3),
    ],
)
def test_size_and_distance(penalty: Penalty, value: float) -> None:
    assert float(penalty(seen(weights=NOW, source=SOURCE))) == value


def test_spectral_shrinkage_equals_numpy() -> None:
    for k, shape in product((1, 2, 4), ((6, 4), (4, 9))):
        features = RNG.normal(size=shape)
        smallest = np.sort(np.linalg.svd(features, compute_uv=False))[:k]
        value = SpectralShrinkage(k)(seen(maps=[features]))
        assert float(value) == pytest.approx((smallest**2).sum(), rel=1e-4)


def test_map_distance_is_the_sum_over_channels() -> None:
    now, before = RNG.normal(size=(2, 5, 3, 4, 6))
    attention = RNG.dirichlet(np.ones(6))
    by_hand = 0.0
    for image in range(5):
        for channel in range(6):
            squares = ((now - before)[image, :, :, channel] ** 2).sum()
            by_hand += 0.5 * 6 * attention[channel] * squares / (3 * 4)
    value = MapDistance(("a",))(seen(maps=[now], source_maps=[before], attention=[attention]))
    assert float(value) == pytest.approx(by_hand / 5, rel=1e-5)  # the mean over the batch


def test_wrong_orders_and_strengths_are_named() -> None:
    faults: dict[str, tuple[Any, str]] = {
        "Anchor(3)": (lambda: Anchor(3), "power 3: choose 1"),
        "Shrink(0)": (lambda: Shrink(0), "power 0: choose 1"),
        "SpectralShrinkage(0)": (lambda: SpectralShrinkage(0), "at least one"),
        "strength": (lambda: Penalised(Anchor(2), -1.0), "must not be negative"),
    }
    assert untold(faults, lambda _, make: make(), ValueError) == {}


# --- what they do to a step -----------------------------------------------------------------------


def moved(penalty: Penalised | None, steps: int = 1) -> list[Array]:
    told = replace(STEP, steps=steps)
    weights: list[Array] = models.train(network(), X, Y, told, 0, penalty=penalty).get_weights()
    return weights


def test_a_step_is_pulled_to_the_source_or_shrinks_kernels_only() -> None:
    # A step of gradient descent moves each weight by - rate · λ · d penalty / d weight as well. The
    # first is from the source itself, where no anchor pulls; the second from where that one led.
    start, there = network(), moved(None)
    pulls: dict[Any, Any] = {
        Anchor(1): lambda v, w, w0: np.sign(w - w0) * v.trainable,
        Anchor(2): lambda v, w, w0: (w - w0) * v.trainable,
        Shrink(2): lambda v, w, w0: w0 * (w.ndim > 1),
    }
    for penalty, pull in pulls.items():
        steps = 1 if isinstance(penalty, Shrink) else 2
        plain, held = moved(None, steps), moved(Penalised(penalty, 0.5), steps)
        for v, w, a, b in zip(start.weights, there, plain, held, strict=True):
            np.testing.assert_allclose(b - a, -0.05 * pull(v, w, v.numpy()), atol=2e-6)


ALL: list[Penalty] = [
    *(Anchor(1), Anchor(2), Shrink(1), Shrink(2), SpectralShrinkage(2), MapDistance(("relu_2",)))
]


def held_by(penalty: Penalty, strength: float) -> Penalised:
    return Penalised(penalty, strength, attention=[np.full(4, 0.25)] if penalty.compares else ())


def test_strength_zero_is_fine_tuning() -> None:
    plain = moved(None)
    for penalty in ALL:
        for a, b in zip(plain, moved(held_by(penalty, 0.0)), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6, err_msg=repr(penalty))


@pytest.mark.parametrize("penalty", [Anchor(2), MapDistance(("relu_2",))], ids=repr)
def test_a_strong_hold_keeps_what_it_holds(penalty: Penalty) -> None:
    long = Training(steps=60, rate=0.01, batch=8)
    start = network(0)
    frozen = ("norm_1", "norm_2")

    def drift(strength: float) -> float:
        net = models.train(start, X, Y, long, 0, frozen=frozen, penalty=held_by(penalty, strength))
        maps = [models.outputs(n, X, "relu_2") for n in (start, net)]
        return float(np.abs(maps[1] - maps[0]).mean())

    assert drift(30.0) < 0.2 * drift(0.0)


def test_spectral_shrinkage_makes_the_smallest_smaller() -> None:
    long = Training(steps=80, rate=0.01, batch=3)
    start = models.image_network(SHAPE, filters=(6, 8), seed=1)

    def smallest(strength: float) -> float:
        hold = Penalised(SpectralShrinkage(1), strength)
        net = models.train(start, X, Y, long, 0, frozen=("norm_1", "norm_2"), penalty=hold)
        batches = np.split(models.outputs(net, X, "features"), 8)
        return float(np.mean([np.linalg.svd(b, compute_uv=False)[-1] for b in batches]))

    assert 0 < smallest(1.0) < 0.8 * smallest(0.0)


def test_spectral_shrinkage_has_a_gradient_where_features_are_dead() -> None:
    features = tf.Variable(np.diag([2.0, 1.0, 1.0, 0.0, 0.0]))
    with tf.GradientTape() as tape:
        value = SpectralShrinkage(3)(Seen([], [], [features], [], []))
    assert float(value) == pytest.approx(1.0)
    gradient = tape.gradient(value, features).numpy()
    assert np.isfinite(gradient).all()
    assert gradient[0, 0] == pytest.approx(0)
