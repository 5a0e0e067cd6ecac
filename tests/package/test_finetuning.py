"""Adapters, LoRA, LP-FT, joint batches, attention, ensembles: what they keep and what they move."""

from __future__ import annotations

from medxfer_utils.models import surgery as finetuning
from medxfer_utils.models import training as convnets

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from medxfer_utils.models.training import Array, ImageModel, Recipe

RNG = np.random.default_rng(5)
SHAPE, FILTERS = (8, 8, 1), (3, 4)
X: Array = RNG.normal(size=(24, *SHAPE)).astype("float32")
Y = (X.mean((1, 2, 3)) > 0).astype(int)
SHORT = Recipe(steps=6, rate=0.05, batch=8)


def network(seed: int = 0) -> keras.Model:
    net = convnets.image_network(SHAPE, filters=FILTERS, seed=seed)
    return convnets.train(net, X, Y, SHORT, seed)  # with running statistics of its own


def grown(kind: str, net: keras.Model) -> keras.Model:
    return finetuning.with_lora(net, 2, 0) if kind == "lora" else finetuning.with_adapters(net)


def frozen(kind: str, net: keras.Model) -> tuple[str, ...]:
    return finetuning.norms(net) + (() if kind == "lora" else finetuning.convolutions(net))


@pytest.mark.parametrize("kind", ["lora", "adapters"])
def test_small_weights_change_nothing_before_training(kind: str) -> None:
    net = network()
    np.testing.assert_allclose(
        convnets.outputs(grown(kind, net), X), convnets.outputs(net, X), atol=1e-6
    )


@pytest.mark.parametrize("kind", ["lora", "adapters"])
def test_only_the_small_weights_and_the_head_move(kind: str) -> None:
    net = network()
    start = grown(kind, net)
    trained = convnets.train(start, X, Y, SHORT, 0, frozen=frozen(kind, start))
    weights = zip(start.weights, start.get_weights(), trained.get_weights(), strict=True)
    moved = {v.path for v, a, b in weights if not np.array_equal(a, b)}
    small = {"lora": ("lora_kernel_a", "lora_kernel_b"), "adapters": ("adapter_",)}[kind]
    assert moved
    assert all("head" in name or any(s in name for s in small) for name in moved)
    assert any(s in name for name in moved for s in small)


@pytest.mark.parametrize("kind", ["lora", "adapters"])
def test_merged_is_the_same_function_in_the_old_shape(kind: str) -> None:
    net = network()
    start = grown(kind, net)
    trained = convnets.train(start, X, Y, SHORT, 0, frozen=frozen(kind, start))
    merged = finetuning.merged(trained, net)
    assert merged.count_params() == net.count_params()
    np.testing.assert_allclose(convnets.outputs(merged, X), convnets.outputs(trained, X), atol=1e-5)
    assert np.abs(convnets.outputs(merged, X) - convnets.outputs(net, X)).max() > 1e-3


def test_counts_of_trainable_weights() -> None:
    net = network()
    head, scales = 4 + 1, 2 * (3 + 4)
    kernels = 9 * 1 * 3 + 9 * 3 * 4
    assert finetuning.trainable(net) == kernels + scales + head
    assert finetuning.trainable(net, finetuning.norms(net)) == kernels + head
    assert finetuning.trainable(net, convnets.body(net)) == head
    lora = finetuning.with_lora(net, 2, 0)
    low_rank = 2 * (9 * 1 + 3) + 2 * (9 * 3 + 4)
    assert finetuning.trainable(lora, finetuning.norms(lora)) == low_rank + head
    both = finetuning.with_adapters(net)
    assert finetuning.trainable(both, frozen("adapters", both)) == 1 * 3 + 3 * 4 + head


def test_lora_is_seeded() -> None:
    a, b, c = (finetuning.with_lora(network(), 2, seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(v, w) for v, w in zip(a, b, strict=True))
    assert not all(np.array_equal(v, w) for v, w in zip(a, c, strict=True))


def test_lp_ft_is_a_head_and_then_the_rest() -> None:
    net = network()
    head = convnets.train(net, X, Y, SHORT, 4, frozen=convnets.body(net))
    rest = convnets.train(head, X, Y, SHORT, 5, frozen=finetuning.norms(net))
    both = finetuning.lp_ft(net, X, Y, (SHORT, SHORT), seed=4)
    for a, b in zip(both.get_weights(), rest.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@given(
    target=st.integers(1, 30),
    source=st.integers(1, 30),
    batch=st.integers(2, 9),
    seed=st.integers(0, 99),
)
def test_joint_batches_are_half_and_half(target: int, source: int, batch: int, seed: int) -> None:
    order = finetuning.joint_order(target, source, Recipe(steps=7, batch=batch), seed)
    assert order.shape == (7, batch)
    assert (order >= 0).all()
    assert (order < target + source).all()
    assert ((order < target).sum(1) == batch // 2).all()
    mine, count = np.unique(order[order < target], return_counts=True)
    if 7 * (batch // 2) >= target:
        assert len(mine) == target, "no labelled image is left out"
    assert count.max() - count.min() <= 1


def test_a_batch_of_one_cannot_be_shared() -> None:
    with pytest.raises(ValueError, match="cannot be shared"):
        finetuning.joint_order(4, 4, Recipe(steps=1, batch=1), 0)


def test_attention_equals_its_definition() -> None:
    net = network()
    (attention,) = finetuning.channel_attention(net, X, Y, ("relu_2",))
    maps = convnets.outputs(net, X, "relu_2").astype("float32")
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


def test_attention_is_greatest_where_the_head_looks() -> None:
    net = convnets.copied(network())
    net.get_layer("head").kernel.assign(np.array([[0.0], [0.0], [9.0], [0.0]]))
    maps = convnets.outputs(net, X, "features")
    y = (maps[:, 2] > np.median(maps[:, 2])).astype(int)
    net.get_layer("head").bias.assign([-9.0 * np.median(maps[:, 2])])
    (attention,) = finetuning.channel_attention(net, X, y, ("relu_2",))
    assert int(np.argmax(attention)) == 2
    np.testing.assert_allclose(attention[[0, 1, 3]], attention[0], rtol=1e-5)


def models() -> list[ImageModel]:
    return [ImageModel(network(seed), lambda x: x[..., None]) for seed in (1, 2, 3)]


def test_an_ensemble_of_one_is_its_member() -> None:
    (one, *_) = models()
    raw = X[..., 0]
    np.testing.assert_array_equal(finetuning.Ensemble([one]).probability(raw), one.probability(raw))
    np.testing.assert_allclose(finetuning.Ensemble([one]).logit(raw), one.logit(raw), atol=1e-9)


def test_an_ensemble_is_the_mean_of_probabilities() -> None:
    members, raw = models(), X[..., 0]
    together = finetuning.Ensemble(members)
    mean = np.mean([m.probability(raw) for m in members], axis=0)
    np.testing.assert_allclose(together.probability(raw), mean)
    np.testing.assert_allclose(together.logit(raw), np.log(mean / (1 - mean)), rtol=1e-6)


def test_an_empty_ensemble_is_refused() -> None:
    with pytest.raises(ValueError, match="one member or more"):
        finetuning.Ensemble([])


def test_contrast_is_inverted_for_half_and_scaled_within_bounds() -> None:
    images = tf.ones([400, 4, 4, 1])
    seen = convnets.flips_turns_and_contrast(images, tf.constant([3, 1])).numpy()[:, 0, 0, 0]
    assert 0.42 < (seen < 0).mean() < 0.58
    assert 0.2 <= np.abs(seen).min() < 0.25
    assert 1.3 < np.abs(seen).max() <= 1.5
    again, other = (
        convnets.flips_turns_and_contrast(images, tf.constant([3, k])).numpy()[:, 0, 0, 0]
        for k in (1, 2)
    )
    np.testing.assert_array_equal(seen, again)
    assert np.abs(seen - other).mean() > 0.1, "two epochs differ"


def test_group_norm_has_no_company() -> None:
    net = convnets.image_network(SHAPE, filters=(4, 4), groups=2)
    crowd, alone = (net(x, training=True).numpy() for x in (X, X[:1]))
    np.testing.assert_allclose(crowd[:1], alone, atol=1e-5)
    batch = convnets.image_network(SHAPE, filters=(4, 4))
    crowd, alone = (convnets.copied(batch)(x, training=True).numpy() for x in (X, X[:1]))
    assert np.abs(crowd[:1] - alone).max() > 1e-2
