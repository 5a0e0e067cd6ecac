"""The one trainer: against Keras's own, what stays frozen, weights, losses and bad input."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from medxfer_utils import models
from medxfer_utils.models import Array, Training, image_network, train

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import brier_score_loss, log_loss

from medxfer_utils.models.training import BATCH, MAKERS, in_turn, mean_loss
from tests.faults import untold

SHAPE = (12, 12, 1)
RNG = np.random.default_rng(7)
X: Array = RNG.normal(size=(48, *SHAPE)).astype("float32")
Y = (X.mean((1, 2, 3)) > 0).astype(int)
SMALL = Training(steps=4, batch=12)


def network(outputs: int = 1, seed: int = 0) -> keras.Model:
    return image_network(SHAPE, outputs, filters=(4, 6), seed=seed)


def distance(a: keras.Model, b: keras.Model, layer: str | None = None) -> float:
    """Return the largest difference between two networks' weights, or those of one layer."""
    one, two = ((n.get_layer(layer) if layer else n).get_weights() for n in (a, b))
    return max(float(np.abs(v - w).max()) for v, w in zip(one, two, strict=True))


# --- training is Keras's own ----------------------------------------------------------------------


def fitted_by_keras(
    optimiser: Any, y: Any, frozen: Any = (), smoothing: float = 0.0, outputs: int = 1
) -> keras.Model:
    """One epoch of Keras's own `fit` in the order in which ours sees the images."""
    order, theirs = in_turn(len(X), SMALL, 3).ravel(), network(outputs)
    for name in frozen:
        theirs.get_layer(name).trainable = False
    losses = keras.losses.BinaryCrossentropy, keras.losses.CategoricalCrossentropy
    loss: Any = losses[outputs > 1](from_logits=True, label_smoothing=smoothing)
    theirs.compile(optimizer=optimiser, loss=loss)
    wanted = np.eye(3)[y[order]] if outputs > 1 else y[order].astype("float32")[:, None]
    theirs.fit(X[order], wanted, batch_size=12, shuffle=False, verbose=0)
    return theirs


@pytest.mark.parametrize("optimiser", ["SGD", "momentum", "Adam"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_training_equals_keras_fit(optimiser: str, outputs: int) -> None:
    y = Y if outputs == 1 else np.arange(len(X)) % 3
    told = replace(SMALL, optimiser=optimiser, rate=0.01, smoothing=0.2)
    ours = train(network(outputs), X, y, told, seed=3)
    theirs = fitted_by_keras(MAKERS[optimiser](0.01), y, smoothing=0.2, outputs=outputs)
    assert distance(ours, network(outputs)) > 1e-3
    assert distance(ours, theirs) < 2e-5


def test_the_rate_falls_and_a_frozen_norm_infers_as_in_keras() -> None:
    ours = train(network(), X, Y, replace(SMALL, optimiser="SGD", cosine=True), seed=3)
    schedule = keras.optimizers.schedules.CosineDecay(SMALL.rate, decay_steps=4)
    assert distance(ours, fitted_by_keras(keras.optimizers.SGD(schedule), Y)) < 2e-5
    constant = train(network(), X, Y, replace(SMALL, optimiser="SGD"), seed=3)
    assert distance(ours, constant) > 1e-4
    backbone = models.backbone_layers(network())
    ours = train(network(), X, Y, SMALL, 3, frozen=backbone)
    assert distance(ours, fitted_by_keras(keras.optimizers.Adam(SMALL.rate), Y, backbone)) < 2e-5


def test_losses_equal_scikit_learn() -> None:
    logits, labels = RNG.normal(size=(30, 1)).astype("float32"), RNG.integers(0, 2, 30)
    for kind, reference in (("Brier", brier_score_loss), ("cross-entropy", log_loss)):
        ours = mean_loss(tf.constant(logits), tf.constant(labels), 0.0, kind)
        assert float(ours) == pytest.approx(reference(labels, expit(logits[:, 0])), rel=1e-5)


@given(st.integers(1, 40), st.integers(0, 12), st.integers(1, 16), st.integers(0, 9))
def test_every_image_is_used_before_any_comes_again(
    n: int, steps: int, batch: int, seed: int
) -> None:
    order = in_turn(n, Training(steps, batch=batch), seed)
    assert order.shape == (steps, batch)
    other = in_turn(n, Training(steps, batch=batch), seed + 1)
    assert order.size < 12 or n < 12 or not np.array_equal(order, other)
    for used in range(1, order.size + 1):
        counts = Counter(order.ravel()[:used].tolist())
        assert max(counts.values()) - (min(counts.values()) if len(counts) == n else 0) <= 1


# --- what is kept ---------------------------------------------------------------------------------


def test_frozen_blocks_keep_weights_and_statistics_a_multiplier_of_zero_the_weights() -> None:
    frozen = models.blocks(network(), 1)
    assert frozen == ("conv_1", "norm_1")
    trained = train(network(), X + 3, Y, SMALL, seed=0, frozen=frozen)
    assert [distance(trained, network(), layer) for layer in frozen] == [0, 0]
    assert all(distance(trained, network(), layer) > 1e-4 for layer in ("conv_2", "norm_2", "head"))
    still = dict.fromkeys(models.backbone_layers(network()), 0.0)
    trained = train(network(), X + 3, Y, SMALL, seed=0, multipliers=still)
    assert distance(trained, network(), "conv_1") == 0
    assert distance(trained, network(), "norm_1") > 0.1


def test_statistics_of_other_images_move_nothing_else() -> None:
    other = 2 * X + 3
    moved = models.with_statistics_of(network(), other, seed=0)
    old, new = network().get_layer("norm_1").get_weights(), moved.get_layer("norm_1").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(old[:2], new[:2], strict=True))
    answers = models.outputs(network(), other, "conv_1")
    np.testing.assert_allclose(new[2], answers.mean((0, 1, 2)), rtol=0.05, atol=0.05)
    np.testing.assert_allclose(new[3], answers.var((0, 1, 2)), rtol=0.1)
    assert [distance(network(), moved, layer) for layer in ("conv_1", "conv_2", "head")] == [0] * 3


# --- what a layer holds beside its weights --------------------------------------------------------


def ending(*layers: Any, shape: tuple[int, ...] = SHAPE) -> keras.Model:
    """Some layers under the mean over all places and a head."""
    end = keras.layers.GlobalAveragePooling2D(name="features"), keras.layers.Dense(1, name="head")
    return keras.Sequential([keras.Input(shape), *layers, *end])


def test_a_copy_normalises_as_the_network_does() -> None:
    photographs = 40 + 9 * X
    norm = keras.layers.Normalization(axis=-1)
    norm.adapt(photographs)
    within = keras.Sequential([keras.Input(SHAPE), norm], name="within")
    for net in (ending(norm), ending(within)):
        wanted = np.asarray(net(photographs))[:, 0]
        found = {
            "copied": np.asarray(models.copied(net)(photographs))[:, 0],
            "outputs": models.outputs(net, photographs)[:, 0],
            "no steps": models.outputs(train(net, photographs, Y, Training(0), 0), photographs)[
                :, 0
            ],
            "moved": models.outputs(models.with_backbone_of(net, net), photographs)[:, 0],
        }
        odd = {how: x for how, x in found.items() if not np.allclose(x, wanted, atol=1e-4)}
        assert odd == {}
        # From scratch it still reads what it was adapted to; only a head has been drawn anew.
        head = models.reinitialised(net, 1)
        drawn, old_means = (models.outputs(n, photographs, "features") for n in (head, net))
        np.testing.assert_allclose(drawn, old_means, atol=1e-4)
        step = Training(1, rate=1.0, batch=None, optimiser="SGD")
        ours = train(net, photographs, Y, step, 0).get_layer("head").get_weights()
        error = expit(models.outputs(net, photographs)[:, 0]) - Y
        old = net.get_layer("head").get_weights()
        np.testing.assert_allclose(ours[1], old[1] - error.mean(), atol=1e-4)


def test_the_seed_decides_what_layers_draw_and_nothing_passes_to_the_next_fit() -> None:
    kinds = keras.layers.Dropout(0.5), keras.layers.GaussianNoise(0.5), keras.layers.RandomFlip()
    for layer in kinds:
        for seeded in (layer, keras.Sequential([keras.Input(SHAPE), layer], name="within")):
            net = ending(seeded, keras.layers.Conv2D(3, 3))
            told = net, X, Y, replace(SMALL, batch=None)  # no order to tell seeds apart
            one, same, other = (train(*told, seed) for seed in (1, 1, 2))
            assert distance(one, same) == 0 < distance(one, other), layer.name
            a, b = (models.with_statistics_of(net, X, 0) for _ in range(2))
            assert distance(a, b) == 0
            first, again = (models.copied(net)(X, training=True).numpy() for _ in range(2))
            np.testing.assert_array_equal(first, again)


def test_statistics_move_within_a_frozen_network_too() -> None:
    within = network()
    within.pop()  # the head
    within.trainable = False
    net = keras.Sequential([keras.Input(SHAPE), within, keras.layers.Dense(1, name="head")])
    moved = models.Model(net, lambda x: x).restandardised(X + 3).network
    old, new = (models.outputs(n, X + 3) for n in (net, moved))
    assert np.abs(old - new).max() > 1e-3
    assert distance(net, moved, "head") == 0
    assert not moved.get_layer(within.name).get_layer("norm_1").trainable
    # Frozen by a name of its own, or with the network that it is in.
    within.trainable = True
    for frozen in (("norm_1", "conv_2"), (within.name,)):
        trained = train(net, X + 3, Y, SMALL, 0, frozen)
        pairs = zip(net.weights, net.get_weights(), trained.get_weights(), strict=True)
        still = {v.path.split("/")[-2] for v, a, b in pairs if np.array_equal(a, b)}
        everything = {"conv_1", "norm_1", "conv_2", "norm_2"}
        assert still == (everything if within.name in frozen else set(frozen))
    halved = train(
        net, X, Y, replace(SMALL, steps=1), 0, multipliers={within.name: 0.0, "conv_1": 1}
    )
    pairs = zip(net.weights, net.get_weights(), halved.get_weights(), strict=True)
    moving = {
        v.path.split("/")[-2] for v, a, b in pairs if "moving" not in v.path and (a != b).any()
    }
    assert moving == {"conv_1", "head"}, "the innermost name decides"


# --- the whole set, weights, squares --------------------------------------------------------------


def test_weights_are_what_repeating_rows_would_be_and_the_whole_set_has_no_seed() -> None:
    once = Training(steps=3, batch=None, optimiser="SGD", rate=0.1)
    frozen = models.norms(network())  # a repeated image would count in the batch's statistics
    many = np.repeat(np.arange(10), np.arange(1, 11))
    weight = np.arange(1, 11) * 10 / len(many)
    weighted = train(network(), X[:10], Y[:10], once, 0, frozen, weight=weight)
    repeated = train(network(), X[many], Y[many], once, 0, frozen)
    assert distance(weighted, repeated) < 1e-6
    plain = train(network(), X[:10], Y[:10], once, 0, frozen)
    assert distance(weighted, plain) > 1e-4
    assert in_turn(5, once, 1).tolist() == [[0, 1, 2, 3, 4]] * 3
    assert distance(plain, train(network(), X[:10], Y[:10], once, 2, frozen)) == 0


def test_squares_are_of_what_is_known() -> None:
    outputs, wanted = RNG.normal(size=(2, 6, 3)).astype("float32")
    wanted[0, 1] = wanted[4, 2] = np.nan
    loss = mean_loss(tf.constant(outputs), tf.constant(wanted), 0.0, "squares")
    assert float(loss) == pytest.approx(np.nanmean((outputs - wanted) ** 2), rel=1e-5)
    told = replace(SMALL, steps=80, rate=0.02, loss="squares")
    x = RNG.normal(size=(40, 3))
    line = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head")])
    fitted = train(line, x, x[:, :2] * [2.0, np.nan], told, 0)
    kernels = [n.get_layer("head").get_weights()[0] for n in (line, fitted)]
    assert np.abs(kernels[1][:, 0] - [2, 0, 0]).max() < np.abs(kernels[0][:, 0] - [2, 0, 0]).max()
    np.testing.assert_array_equal(kernels[1][:, 1], kernels[0][:, 1])


# --- inference, initial weights, augmentation -----------------------------------------------------


def test_outputs_equal_keras_predict_over_several_batches() -> None:
    many = np.concatenate([X] * 6)
    trained = train(network(), X, Y, SMALL, seed=0)
    assert len(many) > BATCH
    theirs = trained.predict(many, verbose=0)
    np.testing.assert_allclose(models.outputs(trained, many), theirs, atol=1e-5)
    features = models.outputs(trained, X, "features")
    kernel, bias = trained.get_layer("head").get_weights()
    np.testing.assert_allclose(features @ kernel + bias, models.outputs(trained, X), atol=1e-5)


def test_initial_weights_follow_the_seed_and_he_in_a_nested_backbone_too() -> None:
    wide = image_network((8, 8, 16), filters=(400,))
    spread = wide.get_layer("conv_1").get_weights()[0].std()
    assert spread == pytest.approx((2 / 144) ** 0.5, rel=0.03)
    nested = keras.Sequential([keras.Input(SHAPE), network(4), keras.layers.Dense(1, name="head")])
    for net in (network(), nested):
        one, same, other = (models.reinitialised(net, seed) for seed in (1, 1, 2))
        assert distance(one, same) == 0 < distance(one, other)
        kernels = [(a, b) for a, b in zip(one.weights, other.weights, strict=True)
                   if a.path.endswith("kernel")]  # fmt: skip
        assert all(not np.array_equal(a, b) for a, b in kernels)
    assert network(seed=1).to_json() == network(seed=2).to_json()
    start = keras.initializers.Orthogonal()
    layers = keras.layers.DepthwiseConv2D(3), keras.layers.Conv2D(4, 3, kernel_initializer=start)
    one, same, other = (models.reinitialised(ending(*layers), seed) for seed in (1, 1, 2))
    assert distance(one, same) == 0
    for a, b in zip(one.weights, other.weights, strict=True):
        assert a.path.endswith("bias") or not np.array_equal(a, b), a.path
    kernel = one.layers[1].get_weights()[0].reshape(-1, 4)
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(4), atol=1e-5)  # by its own initialiser


def test_flips_and_turns_give_the_eight_positions_and_no_other() -> None:
    picture = RNG.normal(size=(5, 5, 1)).astype("float32")
    eight = [np.rot90(p, k) for p in (picture, picture[:, ::-1]) for k in range(4)]
    turned = models.flips_and_turns(tf.constant(np.stack([picture] * 200)), (1, 2)).numpy()
    found = [[np.array_equal(t, e) for e in eight].index(True) for t in turned]
    assert set(found) == set(range(8))
    again = models.flips_and_turns(tf.constant(np.stack([picture] * 200)), (1, 3)).numpy()
    assert not np.array_equal(turned, again)


def test_augmentation_is_new_at_every_step() -> None:
    seen: list[Any] = []

    def spy(images: Any, seed: Any) -> Any:
        tf.py_function(lambda s: seen.append(tuple(s.numpy().tolist())), [seed], [])
        return images

    train(network(), X, Y, replace(SMALL, augment=spy), seed=5)
    assert sorted(seen) == [(5, 0), (5, 1), (5, 2), (5, 3)]


# --- bad input ------------------------------------------------------------------------------------


def test_mistakes_are_named() -> None:
    every = [*models.backbone_layers(network()), "head"]
    half = keras.Sequential([keras.Input(SHAPE), keras.layers.GlobalAveragePooling2D()])
    half.add(keras.layers.Dense(1, dtype="mixed_float16", name="head"))
    soft = keras.Sequential([keras.Input(SHAPE), *ending().layers, keras.layers.Softmax()])
    a, b = keras.Input((3,)), keras.Input((3,))
    two = keras.Model([a, b], keras.layers.Dense(1, name="head")(keras.layers.Add()([a, b])))
    rectangle = {"network": ending(shape=(12, 16, 1)), "x": np.zeros((48, 12, 16, 1)),
                 "training": replace(SMALL, augment=models.flips_and_turns)}  # fmt: skip
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "size": ({"x": X[:, :10]}, r"of shape \(12, 12, 1\), these are \(10, 12, 1\)"),
        "no channel": ({"x": X[..., 0]}, r"these are \(12, 12\)"),
        "raw pixels": ({"x": np.full(X.shape, 200, np.uint8)}, r"Raw pixels \(uint8, .*: scale"),
        "a photograph": ({"x": (90 + 30 * X).clip(0, 255)}, r"Raw pixels \(float32, 0"),
        "Hounsfield": ({"x": 400 * X}, r"Raw pixels \(float32, -"),
        "half": ({"network": half}, r"compute in \['float16'\]: .* float32"),
        "softmax": ({"network": soft}, "leave its activation out"),
        "two inputs": ({"network": two}, r"one keras.Input"),
        "not built": ({"network": keras.Sequential([keras.layers.Dense(1)])}, "one keras.Input"),
        "a rectangle": (rectangle, r"square images, these are 12 × 16"),
        "fewer labels": ({"y": Y[:-1]}, r"48 rows and labels of shape \(47,\)"),
        "a column": ({"y": Y[:, None]}, r"labels of shape \(48, 1\): .* y\[:, 0\]"),
        "nobody": ({"x": X[:0], "y": Y[:0]}, "0 rows"),
        "NaN": ({"x": np.where(X > 2, np.nan, X)}, "not finite"),
        "coded from 1": ({"y": Y + 1}, r"Labels \[1 2\] do not fit a network with 1 outputs"),
        "no such layer": ({"frozen": ["body"]}, r"no layers \['body'\]"),
        "all frozen": ({"frozen": every}, "nothing is left to train"),
        "Brier": ({"network": network(3), "training": replace(SMALL, loss="Brier")}, "needs one"),
    }
    ends = keras.layers.Flatten(), keras.layers.Dense(1, "sigmoid", name="head")
    closed = keras.Sequential([keras.Input(SHAPE), *ends])
    wrong["sigmoid"] = {"network": closed}, "log odds: leave its activation out"
    fine = {"network": network(), "x": X, "y": Y, "training": SMALL, "seed": 0}
    assert untold(wrong, lambda _, changes: train(**(fine | changes)), ValueError) == {}
    train(ending(keras.layers.Rescaling(1 / 255)), np.full(X.shape, 200, np.uint8), Y, SMALL, 0)
    train(network(), 60 * X, Y, SMALL, 0)  # photographs without their mean
    configurations: dict[str, tuple[dict[str, Any], str]] = {
        name: ({name: value}, name)
        for name, value in (
            ("optimiser", "adam"),
            ("loss", "mse"),
            ("rate", 0.0),
            ("smoothing", 1.0),
        )
    }
    assert untold(configurations, lambda _, change: replace(SMALL, **change), ValueError) == {}
    read = {"outputs": (X[:, :10], "these are"), "raw": (np.ones(X.shape, np.uint8), "Raw pixels")}
    assert untold(read, lambda _, x: models.outputs(network(), x), ValueError) == {}
    with pytest.raises(ValueError, match="freeze 3 blocks of a network that has 2"):
        models.blocks(network(), 3)
