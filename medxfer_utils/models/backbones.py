"""Networks that have seen ImageNet [1]_, ready for grey medical images.

What each of them wants to be fed differs; here that step is inside the network, so it cannot be
forgotten. The images are grey or colour, from 0 to 1.

References
----------
.. [1] Deng et al. (2009), doi:10.1109/CVPR.2009.5206848.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medxfer_utils import settle_tensorflow

settle_tensorflow()  # first: it decides how TensorFlow starts, and keeps the start quiet

import keras  # noqa: E402

_KERAS = "https://storage.googleapis.com/"
_WIDTHS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}  # in the names of MobileNet's files
SMALLEST = 32  # pixels that these networks can take
# Standard deviation of ImageNet's colours, red first, from 0 to 1: Keras's constant.
IMAGENET_SD = (0.229, 0.224, 0.225)


class Pretrained(NamedTuple):
    """Where Keras keeps a network, and the weights of its backbone."""

    module: ModuleType
    url: str


NETWORKS = {
    "MobileNet": Pretrained(
        keras.applications.mobilenet,
        "tensorflow/keras-applications/mobilenet/mobilenet_{width}_224_tf_no_top.h5",
    ),
    "MobileNetV2": Pretrained(
        keras.applications.mobilenet_v2,
        "tensorflow/keras-applications/mobilenet_v2/"
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_224_no_top.h5",
    ),
    "EfficientNetB0": Pretrained(
        keras.applications.efficientnet, "keras-applications/efficientnetb0_notop.h5"
    ),
    "ResNet50": Pretrained(
        keras.applications.resnet,
        "tensorflow/keras-applications/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    "DenseNet121": Pretrained(
        keras.applications.densenet,
        "tensorflow/keras-applications/densenet/"
        "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
}


@keras.saving.register_keras_serializable("medxfer_utils")
class Preprocess(keras.layers.Layer):  # type: ignore[misc]
    """From (n, h, w, 1 or 3) in 0 to 1 to what a network was trained on, by its own function."""

    def __init__(self, network: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = network

    def call(self, images: Any) -> Any:
        colour = keras.ops.repeat(images, 3 // images.shape[-1], axis=-1)
        return NETWORKS[self.network].module.preprocess_input(255.0 * colour)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "network": self.network}


def weights_url(name: str, alpha: float = 1.0) -> str:
    """Official address of the ImageNet weights of a network's backbone.

    Raises
    ------
    ValueError
        If there is no such network, or it was not trained at this width.
    """
    if name not in NETWORKS:
        raise ValueError(f"There is no network {name!r}; choose {', '.join(NETWORKS)}.")
    if "{" not in NETWORKS[name].url and alpha != 1:
        raise ValueError(f"{name} has one width only; leave alpha at 1.")
    if name == "MobileNet" and alpha not in _WIDTHS:
        raise ValueError(f"MobileNet was trained with alpha {', '.join(map(str, _WIDTHS))} only.")
    path = NETWORKS[name].url.format(alpha=float(alpha), width=_WIDTHS.get(alpha))
    return _KERAS + path


def backbone(
    name: str,
    size: int,
    weights: str | Path | None,
    alpha: float = 1.0,
    channels: int = 1,
) -> keras.Model:
    """A network from images to features, its own preprocessing inside.

    Parameters
    ----------
    name : str
        One of `NETWORKS`.
    size : int
        Pixels of a side, 32 or more. The weights were trained at 224.
    weights : path or None
        File of ImageNet weights, as `data.imagenet_weights` finds it: nothing is fetched here.
        None leaves them random, from Keras's seed.
    alpha : float
        Width of a MobileNet.
    channels : {1, 3}
        Grey or colour.

    Returns
    -------
    keras.Model
        Input (n, size, size, channels) from 0 to 1, output (n, features): the mean over all places
        of the last layer. Its layers are `preprocess` and the network as Keras made it.

    Raises
    ------
    ValueError
        If there is no such network or width, it cannot be so small, or the weights do not fit.
    """
    weights_url(name, alpha)  # raises for what does not exist
    if size < SMALLEST:
        raise ValueError(f"{name} needs images of {SMALLEST} pixels or more, not {size}; enlarge.")
    wide = {"alpha": alpha} if "{" in NETWORKS[name].url else {}
    build = getattr(NETWORKS[name].module, name)
    body = build(
        weights=None, include_top=False, pooling="avg", input_shape=(size, size, 3), **wide
    )
    inputs = keras.Input((size, size, channels), name="images")
    x = Preprocess(name, name="preprocess")(inputs)
    if weights is not None:
        try:
            body.load_weights(weights)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"{weights} does not hold weights of {name} ({alpha=}): {error}"
            ) from error
        if name == "EfficientNetB0":
            x = _other_half(body)(x)
    return keras.Model(inputs, body(x), name="backbone")


def _other_half(body: keras.Model) -> keras.layers.Layer:
    """The scale that EfficientNet's weights lack.

    They were trained on (x - mean) / sd, but their first layer divides by the root of sd only.
    Keras adds the other half when it loads the file itself.
    """
    first = next(x for x in body.layers if isinstance(x, keras.layers.Normalization))
    mean, half = first.get_weights()[0], np.sqrt(IMAGENET_SD)
    return keras.layers.Rescaling(list(1 / half), list(255 * mean * (1 - 1 / half)))


def backbone_features(
    model: keras.Model, images: ArrayLike, batch: int = 64
) -> NDArray[np.float32]:
    """What a `backbone` makes of images, in inference mode.

    Parameters
    ----------
    model : keras.Model
    images : array_like, shape (n, h, w) or (n, h, w, channels)
        Unsigned 8-bit integers, or numbers from 0 to 1.
    batch : int
        Images at a time: memory, not the result, depends on it.

    Returns
    -------
    ndarray, shape (n, d)

    Raises
    ------
    ValueError
        If numbers lie outside of 0 to 1, as Hounsfield units do, or the shape is not the model's.
    """
    source = np.asarray(images)
    source = source if source.ndim == 4 else source[..., None]
    if source.shape[1:] != model.input_shape[1:]:
        raise ValueError(
            f"Images of {source.shape[1:]}, but the network takes {model.input_shape[1:]}."
        )
    made = []
    for start in range(0, len(source), batch):
        part = source[start : start + batch]
        part = part / np.float32(255) if source.dtype == np.uint8 else part.astype(np.float32)
        if not (part.min() >= 0 and part.max() <= 1):
            raise ValueError("Images must lie between 0 and 1; see `images.window`.")
        made.append(np.asarray(model(part, training=False)))
    return np.concatenate(made)
