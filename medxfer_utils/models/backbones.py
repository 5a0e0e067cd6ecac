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

from medxfer_utils import require, settle_tensorflow

settle_tensorflow()  # first: it decides how TensorFlow starts

import keras  # noqa: E402

_KERAS = "https://storage.googleapis.com/"
_WIDTHS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}  # in the names of MobileNet's files
SMALLEST = 32  # pixels that these networks can take


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
    require(name in NETWORKS, f"There is no network {name!r}; choose {', '.join(NETWORKS)}.")
    url = NETWORKS[name].url
    require("{" in url or alpha == 1, f"{name} has one width only; leave alpha at 1.")
    there = f"MobileNet was trained with alpha {', '.join(map(str, _WIDTHS))} only."
    require(name != "MobileNet" or alpha in _WIDTHS, there)
    return _KERAS + url.format(alpha=float(alpha), width=_WIDTHS.get(alpha))


def backbone(
    name: str, size: int, weights: str | Path | None, alpha: float = 1.0, channels: int = 1
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
    few = f"{name} needs images of {SMALLEST} pixels or more, not {size}; enlarge."
    require(size >= SMALLEST, few)
    wide = {"alpha": alpha} if "{" in NETWORKS[name].url else {}
    build = getattr(NETWORKS[name].module, name)
    shape = size, size, 3
    network = build(weights=None, include_top=False, pooling="avg", input_shape=shape, **wide)
    inputs = keras.Input((size, size, channels), name="images")
    x = Preprocess(name, name="preprocess")(inputs)
    if weights is not None:
        try:
            network.load_weights(weights)
        except (OSError, ValueError, KeyError) as error:
            said = f"{weights} does not hold weights of {name} ({alpha=}): {error}"
            raise ValueError(said) from error
    return keras.Model(inputs, network(x), name="backbone")
