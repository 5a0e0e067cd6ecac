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
from medxfer_utils.models import backbone, weights_url
from medxfer_utils.models.backbones import NETWORKS, Preprocess
from tests.faults import untold

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
    for norm in norms:
        norm.momentum = 0.0  # the statistics of these pictures, and nothing of the start
    rng = np.random.default_rng(1)
    coarse = rng.normal(size=(32, 6, 6, 3)) + rng.normal(size=(32, 1, 1, 1))
    n = body.input_shape[1]
    body(keras.ops.image.resize(coarse.astype("float32"), (n, n)), training=True)
    return body


def small() -> keras.Model:
    told = {"include_top": False, "alpha": 0.25, "input_shape": (64, 64, 3)}
    return keras.applications.MobileNet(weights=None, **told)


@pytest.fixture(params=["stand-in", *(["real"] if REAL else [])])
def mobilenet(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of weights of MobileNet with alpha 0.25."""
    if request.param == "real" and REAL:
        return REAL
    return official(tmp_path / "mobilenet_2_5_224_tf_no_top.h5", trained(small()))


def features(model: keras.Model, images: Any = PICTURES) -> Any:
    """What a backbone makes of unsigned integers, shape (n, h, w) or (n, h, w, 3)."""
    images = images if images.ndim == 4 else images[..., None]
    return np.asarray(model(images / np.float32(255), training=False))


def in_colour(images: Any) -> Any:
    return np.repeat(images[..., None], 3, axis=-1)


def test_the_features_are_those_of_keras_on_what_keras_preprocesses(mobilenet: Path) -> None:
    ours = features(backbone("MobileNet", 48, mobilenet, 0.25))
    told = {"include_top": False, "alpha": 0.25, "pooling": "avg", "input_shape": (48, 48, 3)}
    theirs = keras.applications.MobileNet(weights=str(mobilenet), **told)
    fed = keras.applications.mobilenet.preprocess_input(in_colour(PICTURES).astype("float32"))
    np.testing.assert_allclose(ours, np.asarray(theirs(fed)), rtol=1e-4, atol=1e-5)
    assert ours.shape == (5, 256)
    assert ours.std(axis=0).max() > 0.01  # not one answer to everything


# --- Preprocessing -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_network_is_fed_what_its_own_function_makes(name: str, channels: int) -> None:
    x = np.random.default_rng(2).random((2, 4, 5, channels)).astype("float32")
    expected = np.repeat(x, 3 // channels, axis=-1) * 255
    ranges = {"MobileNet": (-1, 1), "MobileNetV2": (-1, 1)}
    low, high = ranges.get(name, (-124, 152) if name == "ResNet50" else (-2.2, 2.7))
    made = np.asarray(Preprocess(name)(x))
    np.testing.assert_allclose(made, NETWORKS[name].module.preprocess_input(expected), rtol=1e-5)
    assert low <= made.min() < low + (high - low) / 4  # ranges as published, not as imported
    assert high - (high - low) / 4 < made.max() <= high


def test_grey_and_the_same_grey_in_colour_give_the_same_features_also_after_saving(
    tmp_path: Path,
) -> None:
    keras.utils.set_random_seed(3)
    grey = backbone("MobileNetV2", 48, weights=None, alpha=0.35)
    colour = backbone("MobileNetV2", 48, weights=None, alpha=0.35, channels=3)
    trained(grey.layers[-1])
    colour.set_weights(grey.get_weights())
    wanted = features(grey)
    np.testing.assert_allclose(features(colour, in_colour(PICTURES)), wanted, rtol=1e-5)
    grey.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(features(again), wanted)


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
    path = official(tmp_path / "w.h5", small())
    whole = path.read_bytes()
    for alpha, content in ((0.5, whole), (0.25, whole[:5000]), (0.25, b"no weights"), (0.25, None)):
        path.write_bytes(content) if content is not None else path.unlink()
        said = rf"w\.h5 does not hold weights of MobileNet \({alpha=}\)"
        with pytest.raises(ValueError, match=said):
            backbone("MobileNet", 48, weights=path, alpha=alpha)


def test_what_does_not_exist_is_refused() -> None:
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "name": ({"name": "VGG16"}, "no network 'VGG16'; choose MobileNet, MobileNetV2"),
        "size": ({"name": "MobileNet", "size": 28}, "32 pixels or more, not 28"),
        "alpha": ({"name": "MobileNet", "alpha": 0.3}, "with alpha 0.25, 0.5, 0.75, 1.0 only"),
        "width": ({"name": "ResNet50", "alpha": 0.5}, "one width only"),
    }
    few = {"size": 48, "weights": None}
    assert untold(wrong, lambda _, given: backbone(**few | given), ValueError) == {}
