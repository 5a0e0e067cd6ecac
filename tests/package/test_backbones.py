"""Backbones: the right address, the right preprocessing, and plain words when something is wrong.

A weights file in the official format is written here, from a network with random weights; where
`MEDXFER_DATA` holds the real one, it goes through the same tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from medxfer_utils.data import REGISTRY, find_local
from medxfer_utils.models import backbone, backbone_features, backbones, weights_url
from medxfer_utils.models.backbones import NETWORKS, Preprocess

REAL = find_local("mobilenet_2_5_224_tf_no_top.h5", "weights")
PICTURES = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)


def official(path: Path, body: keras.Model) -> Path:
    """Write weights as the official files hold them: a group for each layer, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in body.layers]
        for layer in body.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{k}:0" for k in range(len(layer.weights))]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, value in zip(names, layer.get_weights(), strict=True):
                group[name] = value
    return path


def trained(body: keras.Model) -> keras.Model:
    """Let the batch norms see pictures, so that the features of a random network vary, too."""
    norms = [x for x in body.layers if isinstance(x, keras.layers.BatchNormalization)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # the statistics of these pictures, and nothing of the start
    rng = np.random.default_rng(1)
    coarse = rng.normal(size=(32, 6, 6, 3)) + rng.normal(size=(32, 1, 1, 1))
    n = body.input_shape[1]
    body(keras.ops.image.resize(coarse.astype("float32"), (n, n)), training=True)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    return body


@pytest.fixture(params=["stand-in", *(["real"] if REAL else [])])
def mobilenet(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of weights of MobileNet with alpha 0.25."""
    if request.param == "real" and REAL:
        return REAL
    body = keras.applications.MobileNet(
        weights=None, include_top=False, alpha=0.25, input_shape=(64, 64, 3)
    )
    return official(tmp_path / "mobilenet_2_5_224_tf_no_top.h5", trained(body))


def test_the_features_are_those_of_keras_on_what_keras_preprocesses(mobilenet: Path) -> None:
    ours = backbone_features(backbone("MobileNet", 48, mobilenet, 0.25), PICTURES)
    theirs = keras.applications.MobileNet(
        weights=str(mobilenet),
        include_top=False,
        alpha=0.25,
        pooling="avg",
        input_shape=(48, 48, 3),
    )
    colour = np.repeat(PICTURES[..., None], 3, axis=-1).astype("float32")
    colour = keras.applications.mobilenet.preprocess_input(colour)
    np.testing.assert_allclose(ours, np.asarray(theirs(colour)), rtol=1e-4, atol=1e-5)
    assert ours.shape == (5, 256)
    assert ours.std(axis=0).max() > 0.01  # not one answer to everything


# --- Preprocessing -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_network_is_fed_what_its_own_function_makes(name: str, channels: int) -> None:
    x = np.random.default_rng(2).random((2, 4, 5, channels)).astype("float32")
    expected = np.repeat(x, 3 // channels, axis=-1) * 255
    ranges = {"MobileNet": (-1, 1), "MobileNetV2": (-1, 1), "EfficientNetB0": (0, 255)}
    low, high = ranges.get(name, (-124, 152) if name == "ResNet50" else (-2.2, 2.7))
    made = np.asarray(Preprocess(name)(x))
    np.testing.assert_allclose(made, NETWORKS[name].module.preprocess_input(expected), rtol=1e-5)
    assert low <= made.min() < low + (high - low) / 4  # ranges as published, not as imported
    assert high - (high - low) / 4 < made.max() <= high


def test_grey_and_the_same_grey_in_colour_give_the_same_features() -> None:
    keras.utils.set_random_seed(3)
    grey = backbone("MobileNet", 48, weights=None, alpha=0.25)
    colour = backbone("MobileNet", 48, weights=None, alpha=0.25, channels=3)
    trained(grey.layers[-1])
    colour.set_weights(grey.get_weights())
    thrice = np.repeat(PICTURES[..., None], 3, axis=-1)
    np.testing.assert_allclose(
        backbone_features(grey, PICTURES), backbone_features(colour, thrice), rtol=1e-5
    )


def test_efficientnet_from_a_file_is_what_keras_makes_of_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Keras adds a layer when it loads ImageNet's weights itself, and not when given a file.
    build = keras.applications.EfficientNetB0
    body = build(weights=None, include_top=False, input_shape=(48, 48, 3))
    mean, variance = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalization = next(x for x in body.layers if isinstance(x, keras.layers.Normalization))
    normalization.set_weights([mean, variance, np.array(0)][: len(normalization.weights)])
    path = official(tmp_path / "efficientnetb0_notop.h5", body)
    with monkeypatch.context() as patched:
        patched.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(path))
        theirs = build(weights="imagenet", include_top=False, input_shape=(48, 48, 3))

    def first_convolution(network: keras.Model) -> keras.Model:
        # The deep layers of a random network would magnify the last digit.
        return keras.Model(network.input, network.get_layer("stem_conv").output)

    ours = backbone("EfficientNetB0", 48, weights=path)
    fed = keras.Model(ours.input, ours.layers[-2].output)(PICTURES[..., None] / np.float32(255))
    colour = np.repeat(PICTURES[..., None], 3, axis=-1).astype("float32")
    seen = np.asarray(first_convolution(ours.layers[-1])(fed))
    np.testing.assert_allclose(seen, np.asarray(first_convolution(theirs)(colour)), atol=1e-4)
    assert seen.std() > 0.1


def test_a_saved_backbone_is_loaded_with_its_preprocessing(tmp_path: Path) -> None:
    model = backbone("MobileNetV2", 48, weights=None, alpha=0.35)
    trained(model.layers[-1])
    model.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(
        backbone_features(again, PICTURES), backbone_features(model, PICTURES)
    )


# --- Which file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "alpha"),
    [*((name, 1.0) for name in NETWORKS), ("MobileNet", 0.25), ("MobileNetV2", 0.35)],
)
def test_the_file_is_the_one_that_keras_would_ask_for(
    name: str, alpha: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AskedError(Exception):
        pass

    def asked(file: str, url: str, cache_subdir: str, file_hash: str | None = None) -> None:
        raise AskedError(file, url, cache_subdir, file_hash)

    wide = {} if alpha == 1 else {"alpha": alpha}
    build = getattr(keras.applications, name)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", asked)
    with pytest.raises(AskedError) as keras_asks:
        build(include_top=False, input_shape=(224, 224, 3), **wide)
    # We may know a sum that Keras does not: that of the one file that was measured.
    file, url, folder, total = keras_asks.value.args
    assert weights_url(name, alpha) == url
    assert file == url.rpartition("/")[2]
    assert folder == "models"
    if total:
        assert REGISTRY[file].sum == f"md5:{total}"
        assert REGISTRY[file].url == url


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    body = keras.applications.MobileNet(
        weights=None, include_top=False, alpha=0.25, input_shape=(64, 64, 3)
    )
    path = official(tmp_path / "w.h5", body)
    whole = path.read_bytes()
    for alpha, content in ((0.5, whole), (0.25, whole[:5000]), (0.25, b"no weights"), (0.25, None)):
        path.write_bytes(content) if content is not None else path.unlink()
        said = rf"w\.h5 does not hold weights of MobileNet \({alpha=}\)"
        with pytest.raises(ValueError, match=said):
            backbone("MobileNet", 48, weights=path, alpha=alpha)


def test_what_does_not_exist_is_refused() -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"name": "VGG16"}, "no network 'VGG16'; choose MobileNet, MobileNetV2"),
        ({"name": "MobileNet", "size": 28}, "32 pixels or more, not 28"),
        ({"name": "MobileNet", "alpha": 0.3}, "with alpha 0.25, 0.5, 0.75, 1.0 only"),
        ({"name": "ResNet50", "alpha": 0.5}, "one width only"),
    ]
    for given, message in wrong:
        with pytest.raises(ValueError, match=message):
            backbone(**{"size": 48, "weights": None} | given)


def test_features_do_not_depend_on_the_batch_or_the_type_and_other_images_are_refused() -> None:
    model = backbone("MobileNet", 48, weights=None, alpha=0.25)
    trained(model.layers[-1])
    at_once = backbone_features(model, PICTURES)
    as_float = PICTURES.astype(float)[..., None] / 255
    alone = [backbone_features(model, PICTURES[k : k + 1]) for k in range(5)]
    for again in (
        *(backbone_features(model, PICTURES, batch=2), np.concatenate(alone)),
        backbone_features(model, as_float),
    ):
        np.testing.assert_allclose(again, at_once, rtol=1e-4)
    wrong = [
        (PICTURES.astype(float), "between 0 and 1"),
        (PICTURES / 255.0 - 0.5, "between 0 and 1"),
        (np.full((1, 48, 48), np.nan), "between 0 and 1"),
        (PICTURES[:, :40], r"\(40, 48, 1\), but the network takes \(48, 48, 1\)"),
        (PICTURES[0], r"Images of \(48, 1\)"),
    ]
    for images, message in wrong:
        with pytest.raises(ValueError, match=message):
            backbone_features(model, images)


def test_the_constant_is_that_of_keras() -> None:
    # (255 x - 255 mean) / 255 sd, undone on two greys: Keras's own constant comes out.
    torch_mode = np.asarray(
        keras.applications.densenet.preprocess_input(np.array([[[0.0] * 3, [255.0] * 3]]))
    )
    sd = 1 / (torch_mode[0, 1] - torch_mode[0, 0])
    np.testing.assert_allclose(sd, backbones.IMAGENET_SD, rtol=1e-5)
