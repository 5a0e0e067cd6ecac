"""Small changes to a large network, found by kind of layer; U-Nets, masks and their overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from medxfer_utils import models
from medxfer_utils.models import Array, Training

# isort: split
import keras
import numpy as np
import pytest
from scipy.spatial import distance
from sklearn.metrics import f1_score

from medxfer_utils import clinic, metrics
from tests.faults import untold

RNG = np.random.default_rng(7)
L = keras.layers
SHAPE = (9, 8, 2)
X: Array = RNG.normal(size=(20, *SHAPE)).astype("float32")
Y = (X.mean((1, 2, 3)) > 0).astype(int)
SHORT = Training(steps=5, rate=0.05, batch=8)


def of_a_reader() -> keras.Model:
    """1 × 1, 3 × 3 (strided, padded) and 5 × 5 kernels, one that sees each channel alone, dense."""
    h = image = keras.Input(SHAPE)
    for width, size, step in ((3, 3, 2), (4, 1, 1), (4, 5, 1), (5, 3, 2)):
        h = L.Conv2D(width, size, step, padding="same", activation="relu")(h)
    h = L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same")(h))
    h = L.Dense(6, activation="relu")(L.Flatten()(h))
    return keras.Model(image, L.Dense(1, name="head")(h))


def bent(network: keras.Model, words: tuple[str, ...]) -> keras.Model:
    """With numbers in its small weights, as if they had been trained."""
    some = [v for v in network.weights if any(word in v.path for word in words)]
    assert some
    for v in some:
        v.assign(v + 0.5 * RNG.normal(size=v.shape))
    return network


GROWN: dict[str, tuple[Callable[[keras.Model], keras.Model], tuple[str, ...]]] = {
    "lora": (lambda net: models.with_lora(net, 2, 0), ("lora",)),
    "adapters": (models.with_adapters, ("adapter_",)),
    "film": (models.with_film, ("film_",)),
}


@pytest.mark.parametrize("kind", GROWN)
def test_small_weights_begin_without_effect_and_can_have_one(kind: str) -> None:
    net = of_a_reader()
    grow, words = GROWN[kind]
    before, start = models.outputs(net, X), grow(net)
    np.testing.assert_allclose(models.outputs(start, X), before, atol=1e-6)
    changed = models.outputs(bent(start, words), X)
    assert np.abs(changed - before).max() > 1e-2
    if kind != "film":  # kernels of 1 × 1, 3 × 3, 5 × 5; LoRA that of the hidden dense layer, too
        merged = models.merged(start, net)
        assert merged.count_params() == net.count_params()
        np.testing.assert_allclose(models.outputs(merged, X), changed, atol=1e-5)


def test_lora_of_a_dense_layer_is_its_kernel_plus_two_thin_matrices() -> None:
    net = models.tabular_network(3, widths=(5,))
    grown = bent(models.with_lora(net, 2, 0), ("lora",))
    kernel, bias = net.get_layer("hidden_1").get_weights()
    a, b = (getattr(grown.get_layer("hidden_1"), f"lora_kernel_{k}").numpy() for k in "ab")
    x = RNG.normal(size=(4, 3)).astype("float32")
    w, c = net.get_layer("head").get_weights()
    by_hand = np.maximum(x @ (kernel + a @ b) + bias, 0) @ w + c
    np.testing.assert_allclose(models.outputs(grown, x), by_hand, atol=1e-5)
    assert models.trainable(grown) == 2 * (3 + 5) + 5 + 5 + 1
    np.testing.assert_allclose(models.outputs(models.merged(grown, net), x), by_hand, atol=1e-5)


def test_counts_on_a_network_of_keras() -> None:
    """MobileNet at a quarter of its width: 14 convolutions, 27 norms; the first one strides."""
    net = models.backbone("MobileNet", 32, None, 0.25)
    assert (len(models.convolutions(net)), len(models.norms(net))) == (14, 27)
    channels = sum(net.layers[-1].get_layer(n).filters for n in models.convolutions(net))
    film, plain = models.with_film(net), net.count_params()
    assert film.count_params() - plain == 2 * channels
    x = RNG.uniform(size=(3, 32, 32, 1)).astype("float32")
    for grown in (film, models.with_adapters(net)):
        a, b = (n(x, training=False).numpy() for n in (grown, net))
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_only_what_is_named_moves_and_norms_keep_their_statistics() -> None:
    net = models.image_network(SHAPE, filters=(3, 4))
    shifts = [v for v in net.weights if v.name in ("beta", "bias")]
    trained = models.train(net, X, Y, SHORT, 0, only=shifts)
    pairs = zip(net.weights, net.get_weights(), trained.get_weights(), strict=True)
    moved = [v.path for v, a, b in pairs if not np.array_equal(a, b)]
    assert moved == [v.path for v in shifts]
    assert sum(int(np.prod(v.shape)) for v in shifts) == 3 + 4 + 1
    again = models.train(net, X, Y, SHORT, 0, only=shifts)
    assert all(map(np.array_equal, trained.get_weights(), again.get_weights()))


@pytest.mark.parametrize("size", [(33, 47), (32, 32), (7, 5)])
def test_a_unet_gives_each_pixel_a_number_at_odd_sizes_too(size: tuple[int, int]) -> None:
    net = models.unet((*size, 1), filters=(4, 6, 8, 8), seed=1)
    x = RNG.normal(size=(2, *size, 1)).astype("float32")
    out = net(x).numpy()
    assert out.shape == (2, *size, 1)
    x[0, -1, -1] += 5  # the last corner is seen, not cut off
    assert np.abs(net(x).numpy() - out)[0, -1, -1] > 1e-6


def test_the_encoder_of_a_unet_fits_a_classifier() -> None:
    net, target = (f((16, 16, 1), filters=(4, 6)) for f in (models.unet, models.image_network))
    moved = models.with_backbone_of(net, target)
    for name in models.backbone_layers(target):
        ours, its = (n.get_layer(name).get_weights() for n in (moved, net))
        assert all(map(np.array_equal, ours, its)), name


def test_dice_is_that_of_others() -> None:
    a, b = RNG.random((2, 5, 9, 7)) < 0.3
    a[3] = b[3] = False
    b[4] = False
    mine = metrics.dice(a, b)
    assert mine[3] == 1
    assert mine[4] == 0
    for k in range(3):
        flat = a[k].ravel(), b[k].ravel()
        assert mine[k] == pytest.approx(f1_score(*flat))
        assert mine[k] == pytest.approx(1 - distance.dice(*flat))


def test_masks_are_those_of_the_lesions_that_are_simulated() -> None:
    site = clinic.Site(organ="liver", size=32, pixel=1.5, dose=100.0, blur=0.0)
    whole, (share, contrast) = clinic.simulate(site, 120, 3), clinic.lesions(site, 120, 3)
    assert share.shape == contrast.shape == whole.cohort.x.shape
    mask, diameter = share >= 0.5, whole.truth["diameter_mm"].to_numpy()
    by_area = 2 * np.sqrt(mask.sum((1, 2)) / np.pi) * site.pixel
    assert np.corrcoef(by_area, diameter)[0, 1] > 0.95
    seen = [x[m].mean() - np.median(x) for x, m in zip(whole.cohort.x, mask, strict=True)]
    told = [c[m].mean() for c, m in zip(contrast, mask, strict=True)]
    small = diameter < 25  # a larger one is most of its patch, and the patch's median
    assert np.corrcoef(np.array(seen)[small], np.array(told)[small])[0, 1] > 0.9


def test_bad_input_is_refused() -> None:
    net, other = (models.image_network(SHAPE, filters=(3, 4), seed=k) for k in (0, 1))
    two, three = np.zeros((2, 8, 8), int), np.zeros((2, 8, 9), int)
    film = models.with_film(net)
    head = keras.Sequential([keras.Input((3,)), L.Dense(1, name="head")])
    any_size: Any = (None, 32, 1)
    faults: dict[str, tuple[Any, str]] = {
        "sizes": (lambda: metrics.dice(two, three), r"\(2, 8, 8\) and \(2, 8, 9\): give both"),
        "one": (lambda: metrics.dice(two[0], two[0]), r"as \(n, height, width\)"),
        "soft": (lambda: metrics.dice(two, two + 0.4), "threshold probabilities"),
        "any size": (lambda: models.unet(any_size), "fixed .height, width, channels., not"),
        "film": (lambda: models.merged(film, net), "FiLM is not merged"),
        "no place": (lambda: models.with_film(head), "no convolutions, beside"),
        "only": (
            lambda: models.train(net, X, Y, SHORT, 0, only=other.weights[:1]),
            "not this network's",
        ),
        "patients": (lambda: clinic.lesions(clinic.Site(), 0, 1), "0 patients from seed 1"),
    }
    assert untold(faults, lambda _, call: call(), ValueError) == {}
