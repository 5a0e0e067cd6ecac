"""Backbones put under new heads, adapters, LoRA, attention: what they keep and what they move."""

from __future__ import annotations

from typing import Any

from medxfer_utils import models
from medxfer_utils.models import Array, Training

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.faults import untold

RNG = np.random.default_rng(5)
SHAPE, FILTERS = (8, 8, 1), (3, 4)
X: Array = RNG.normal(size=(24, *SHAPE)).astype("float32")
Y = (X.mean((1, 2, 3)) > 0).astype(int)
SHORT = Training(steps=6, rate=0.05, batch=8)


def network(seed: int = 0) -> keras.Model:
    net = models.image_network(SHAPE, filters=FILTERS, seed=seed)
    return models.train(net, X, Y, SHORT, seed)  # with running statistics of its own


def grown(kind: str, net: keras.Model) -> keras.Model:
    return models.with_lora(net, 2, 0) if kind == "lora" else models.with_adapters(net)


def frozen(kind: str, net: keras.Model) -> tuple[str, ...]:
    return models.norms(net) + (() if kind == "lora" else models.convolutions(net))


@pytest.mark.parametrize("kind", ["lora", "adapters"])
def test_small_weights_start_at_nothing_move_alone_and_merge_into_the_old_shape(kind: str) -> None:
    net = network()
    start, before = grown(kind, net), models.outputs(net, X)
    np.testing.assert_allclose(models.outputs(start, X), before, atol=1e-6)
    trained = models.train(start, X, Y, SHORT, 0, frozen=frozen(kind, start))
    weights = zip(start.weights, start.get_weights(), trained.get_weights(), strict=True)
    moved = {v.path for v, a, b in weights if not np.array_equal(a, b)}
    small = {"lora": ("lora_kernel_a", "lora_kernel_b"), "adapters": ("adapter_",)}[kind]
    assert all("head" in name or any(s in name for s in small) for name in moved)
    assert any(s in name for name in moved for s in small)
    merged = models.merged(trained, net)
    assert merged.count_params() == net.count_params()
    np.testing.assert_allclose(models.outputs(merged, X), models.outputs(trained, X), atol=1e-5)
    assert np.abs(models.outputs(merged, X) - before).max() > 1e-3


L = keras.layers


def branched() -> keras.Model:
    image = keras.Input((9, 9, 2))
    h = L.Conv2D(4, 3, padding="same", activation="relu")(image)
    h = L.LayerNormalization()(L.Add()([h, L.Conv2D(4, 5, padding="same", dilation_rate=2)(h)]))
    h = L.GlobalAveragePooling2D(name="features")(L.Conv2D(6, 3, strides=2, groups=2)(h))
    return keras.Model(image, L.Dense(1, name="head")(h))


def nested() -> keras.Model:
    encoder = [keras.Input((9, 9, 2)), L.Conv2D(4, 5), L.BatchNormalization(), L.DepthwiseConv2D(3)]
    end = L.GlobalAveragePooling2D(name="features"), L.Dense(1, name="head")
    return keras.Sequential(
        [keras.Input((9, 9, 2)), keras.Sequential(encoder, name="encoder"), *end]
    )


def of_a_signal() -> keras.Model:
    end = L.GlobalAveragePooling1D(name="features"), L.Dense(1, name="head")
    return keras.Sequential([keras.Input((30, 2)), L.Conv1D(4, 7, name="mine"), *end])


@pytest.mark.parametrize("kind", ["lora", "adapters"])
@pytest.mark.parametrize("make", [branched, nested, of_a_signal])
def test_layers_are_found_by_their_kind_in_a_network_of_ones_own(make: Any, kind: str) -> None:
    """5 × 5 kernels, dilation, strides, groups, biases, activations, branches, one within one."""
    net = make()
    x, before = RNG.normal(size=(12, *net.input_shape[1:])), net.get_weights()
    start = grown(kind, net)
    np.testing.assert_allclose(models.outputs(start, x), models.outputs(net, x), atol=1e-6)
    assert models.trainable(start) > 0 < len(models.convolutions(net))
    added = [layer for part in start.layers for layer in part._flatten_layers()]
    small = [v for layer in added for v in layer.trainable_variables
             if "adapter_" in v.path or "lora" in v.path]  # fmt: skip
    assert small
    for v in small:
        v.assign(RNG.normal(size=v.shape))
    merged = models.merged(start, net)
    np.testing.assert_allclose(models.outputs(merged, x), models.outputs(start, x), atol=1e-4)
    assert np.abs(models.outputs(merged, x) - models.outputs(net, x)).max() > 1e-2
    assert all(map(np.array_equal, before, net.get_weights()))


def test_blocks_begin_at_convolutions_or_at_layers_with_weights() -> None:
    net = nested()
    conv, norm, depth = (layer.name for layer in net.layers[0].layers)
    assert models.convolutions(net) == (conv,)
    assert models.norms(net) == (norm,)
    assert models.blocks(net, 1) == (conv, norm, depth)
    assert models.norms(branched())[0].startswith("layer_normalization")
    table = models.tabular_network(3)
    assert [models.blocks(table, k) for k in range(3)] == [
        (),
        ("hidden_1",),
        ("hidden_1", "hidden_2"),
    ]


def test_counts_of_trainable_weights() -> None:
    net = network()
    head, scales = 4 + 1, 2 * (3 + 4)
    kernels = 9 * 1 * 3 + 9 * 3 * 4
    assert models.trainable(net) == kernels + scales + head
    assert models.trainable(net, models.norms(net)) == kernels + head
    assert models.trainable(net, models.backbone_layers(net)) == head
    lora = models.with_lora(net, 2, 0)
    low_rank = 2 * (9 * 1 + 3) + 2 * (9 * 3 + 4)
    assert models.trainable(lora, models.norms(lora)) == low_rank + head
    both = models.with_adapters(net)
    assert models.trainable(both, frozen("adapters", both)) == 1 * 3 + 3 * 4 + head


def test_lora_is_seeded() -> None:
    a, b, c = (models.with_lora(network(), 2, seed).get_weights() for seed in (1, 1, 2))
    assert all(map(np.array_equal, a, b))
    assert not all(map(np.array_equal, a, c))


def test_attention_equals_its_definition() -> None:
    net = network()
    (attention,) = models.channel_attention(net, X, Y, ("relu_2",))
    maps = models.outputs(net, X, "relu_2").astype("float32")
    growth = []
    for channel in (None, *range(4)):
        cut = maps.copy()
        if channel is not None:
            cut[..., channel] = 0
        logits = net.get_layer("head")(net.get_layer("features")(net.get_layer("pool_2")(cut)))
        loss = keras.losses.BinaryCrossentropy(from_logits=True)(Y[:, None], logits)
        growth.append(float(loss))
    away = np.exp(np.array(growth[1:]) - growth[0])
    np.testing.assert_allclose(attention, away / away.sum(), rtol=1e-4)


def test_contrast_is_inverted_for_half_and_scaled_within_bounds() -> None:
    images = tf.ones([400, 4, 4, 1])
    seen = models.flips_turns_and_contrast(images, tf.constant([3, 1])).numpy()[:, 0, 0, 0]
    assert 0.42 < (seen < 0).mean() < 0.58
    assert 0.2 <= np.abs(seen).min() < 0.25 < 1.3 < np.abs(seen).max() <= 1.5
    other = models.flips_turns_and_contrast(images, tf.constant([3, 2])).numpy()[:, 0, 0, 0]
    assert np.abs(seen - other).mean() > 0.1, "two epochs differ"


def test_group_norm_has_no_company() -> None:
    net = models.image_network(SHAPE, filters=(4, 4), groups=2)
    batch = models.image_network(SHAPE, filters=(4, 4))
    for norm, least, most in ((net, 0, 1e-5), (batch, 1e-2, 99)):
        together, alone = (models.copied(norm)(x, training=True).numpy() for x in (X, X[:1]))
        assert least <= np.abs(together[:1] - alone).max() < most


def test_only_the_backbone_is_taken_when_class_counts_differ() -> None:
    source, target = (models.image_network(SHAPE, k, FILTERS, seed=k) for k in (10, 1))
    before = target.get_weights()
    moved = models.with_backbone_of(source, target)
    for layer in (*models.backbone_layers(source), "head"):
        given = target if layer == "head" else source
        a, b = (n.get_layer(layer).get_weights() for n in (moved, given))
        assert all(map(np.array_equal, a, b)), layer
    assert all(map(np.array_equal, before, target.get_weights()))


def test_a_network_of_another_shape_is_refused() -> None:
    small, wide, short = (models.image_network(SHAPE, filters=f) for f in ((4, 6), (4, 7), (4,)))
    plain = keras.Sequential([keras.Input((3,)), L.Dense(1, name="head")])
    halving = keras.Sequential([keras.Input((None, 8, 1)), L.Conv2D(2, 3, 2, "same", name="half")])
    even = keras.Sequential([keras.Input(SHAPE), L.Conv2D(2, 4, name="even")])
    faults: dict[str, tuple[Any, str]] = {
        "wide": (lambda: models.with_backbone_of(wide, small), r"'conv_2': .*4, 7\).* do not fit"),
        "short": (lambda: models.with_backbone_of(short, small), "no layer 'conv_2'"),
        "LoRA": (lambda: models.with_lora(plain, 2, 0), "no convolutions"),
        "adapters": (lambda: models.with_adapters(plain), "no convolutions"),
        "strides": (
            lambda: models.with_adapters(halving),
            r"half: .* strides \(2, 2\).* a fixed image size",
        ),
        "even": (lambda: models.with_adapters(even), r"even: kernel \(4, 4\).* an odd kernel"),
        "branches": (
            lambda: models.channel_attention(branched(), X, Y, ["features"]),
            "Sequential",
        ),
    }
    assert untold(faults, lambda _, call: call(), ValueError) == {}
