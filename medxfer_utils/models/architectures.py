"""The networks of the course, and fresh weights for any of them.

A new lesson adds its own here: some twenty lines that return a Keras model whose last layer, named
"head", gives the log odds of the disease. Every strategy then works for it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from medxfer_utils import require, settle_tensorflow

settle_tensorflow()  # first: it decides how TensorFlow starts

import keras  # noqa: E402

STARTS = {
    keras.layers.Conv2D: keras.initializers.HeNormal,
    keras.layers.Dense: keras.initializers.GlorotUniform,
}
FILTERS = (16, 32, 64)


def tabular_network(features: int, seed: int = 0, widths: Sequence[int] = (64, 32)) -> keras.Model:
    """The tabular network of the course: hidden layers `hidden_k`, and the `head`, a logit.

    Taught in lesson 02.

    Parameters
    ----------
    features : int
        Number of input columns.
    seed : int
        Of the initial weights, Glorot's; biases are zero.
    widths : sequence of int
        Units of the hidden layers.
    """
    network = keras.Sequential([keras.Input((features,), name="features")], name="tabular")
    for k, width in enumerate(widths, start=1):
        network.add(keras.layers.Dense(width, activation="relu", name=f"hidden_{k}"))
    network.add(keras.layers.Dense(1, name="head"))
    return reinitialised(network, seed)


def image_network(
    shape: tuple[int, int, int],
    outputs: int = 1,
    filters: Sequence[int] = FILTERS,
    seed: int = 0,
    groups: int = 0,
) -> keras.Model:
    """The image network of the course: blocks of convolution, batch norm, ReLU and pooling.

    Block k is made of the layers `conv_k`, `norm_k`, `relu_k` and `pool_k`; then follow the mean
    over all places (`features`) and one dense layer, the `head`. Taught in lesson 05.

    Parameters
    ----------
    shape : tuple of int
        Height, width and channels of an image.
    outputs : int
        1 for log odds of the disease; the number of classes otherwise.
    filters : sequence of int
        Filters of each block.
    seed : int
        Of the initial weights: He's normal distribution [1]_ for the convolutions, Glorot's for
        the head, biases zero.
    groups : int
        With 1 or more, group normalisation [2]_ in so many groups takes the place of batch norm:
        it has no memory of the patients it was trained on.

    References
    ----------
    .. [1] He et al. (2015), Delving deep into rectifiers. ICCV.
    .. [2] Wu and He (2018), Group normalization. ECCV.
    """
    network = keras.Sequential([keras.Input(shape, name="image")], name="image_network")
    for k, width in enumerate(filters, start=1):
        network.add(keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv_{k}"))
        if groups:
            network.add(keras.layers.GroupNormalization(groups, name=f"norm_{k}"))
        else:
            network.add(keras.layers.BatchNormalization(momentum=0.9, name=f"norm_{k}"))
        network.add(keras.layers.ReLU(name=f"relu_{k}"))
        network.add(keras.layers.MaxPooling2D(name=f"pool_{k}"))
    network.add(keras.layers.GlobalAveragePooling2D(name="features"))
    network.add(keras.layers.Dense(outputs, name="head"))
    return reinitialised(network, seed)


def unet(
    shape: tuple[int, int, int], filters: Sequence[int] = FILTERS, seed: int = 0
) -> keras.Model:
    """A small U-Net [1]_: from an image of any size, odd ones too, to log odds for each pixel.

    Its encoder has the layers of `image_network`, under the same names: `with_backbone_of` gives it
    to a classifier. The way up is thin: each of its blocks has the filters of the first.

    Parameters
    ----------
    shape, filters, seed
        As for `image_network`.

    Returns
    -------
    keras.Model
        Output (n, height, width, 1), from the layer `head`.

    References
    ----------
    .. [1] Ronneberger, Fischer and Brox (2015), U-Net. MICCAI.
    """
    fixed = len(shape) == 3 and all(isinstance(side, int) for side in shape)
    require(fixed, f"A U-Net needs a fixed (height, width, channels), not {shape}.")
    h = image = keras.Input(shape, name="image")
    seen: list[Any] = []
    for k, width in enumerate(filters, start=1):
        h = keras.layers.MaxPooling2D(padding="same", name=f"pool_{k - 1}")(h) if seen else h
        h = _convolved(h, width, "conv", "norm", "relu", k)
        seen.append(h)
    for k in range(len(filters) - 1, 0, -1):
        beside, h = seen[k - 1], keras.layers.UpSampling2D(name=f"up_{k}")(h)
        over = [(0, h.shape[axis] - beside.shape[axis]) for axis in (1, 2)]  # 1 for odd sides
        h = keras.layers.Cropping2D(over, name=f"cut_{k}")(h)
        h = keras.layers.Concatenate(name=f"both_{k}")([beside, h])
        h = _convolved(h, filters[0], "join", "join_norm", "join_relu", k)
    logits = keras.layers.Conv2D(1, 1, name="head")(h)
    return reinitialised(keras.Model(image, logits, name="unet"), seed)


def _convolved(h: Any, width: int, conv: str, norm: str, relu: str, k: int) -> Any:
    """A block of convolution, batch norm and ReLU."""
    start = {"padding": "same", "use_bias": False, "name": f"{conv}_{k}"}
    h = keras.layers.Conv2D(width, 3, **start)(h)
    h = keras.layers.BatchNormalization(momentum=0.9, name=f"{norm}_{k}")(h)
    return keras.layers.ReLU(name=f"{relu}_{k}")(h)


def every_layer(network: keras.Model) -> list[keras.Layer]:
    """All layers, those of a network within it too, the outer before the inner."""
    return [part for layer in network.layers for part in layer._flatten_layers()]


def settle(network: keras.Model) -> None:
    """Let each `Normalization` compute with its mean and variance: new weights alone do not."""
    for layer in every_layer(network):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def thaw(network: keras.Model) -> None:
    """Let every layer be trained; `network.trainable` does not reach into a network within it."""
    for layer in every_layer(network):
        layer.trainable = True


def places(network: keras.Model, some: Sequence[keras.Variable]) -> tuple[int, ...]:
    """Where some weights stand among all of the network."""
    found = tuple(k for k, v in enumerate(network.weights) if any(v is w for w in some))
    require(len(found) == len(some), "Weights are named that are not this network's.")
    return found


def chance(network: keras.Model) -> list[keras.Variable]:
    """The state of all that draws: dropout, noise, augmentation. It is not among the weights."""
    return [v for v in network.variables if v.name == "seed_generator_state"]


def reinitialised(network: keras.Model, seed: int) -> keras.Model:
    """The same architecture with fresh weights; the seed is not part of its configuration.

    Convolutions and dense layers that have Keras's usual initialiser start as those of the course
    do, all others by their own. A `Normalization` keeps what it was adapted to: it prepares, and
    has learnt nothing.
    """
    kept = random.getstate()
    random.seed(seed)  # from which Keras draws the seeds that a layer does not give
    twin = keras.models.clone_model(network)
    random.setstate(kept)
    layers = every_layer(twin)
    for k, (old, layer) in enumerate(zip(every_layer(network), layers, strict=True)):
        usual = type(getattr(layer, "kernel_initializer", None)) is keras.initializers.GlorotUniform
        if usual and (start := STARTS.get(type(layer))):
            layer.kernel.assign(start(seed=len(layers) * seed + k)(layer.kernel.shape))
        if isinstance(layer, keras.layers.Normalization):
            layer.set_weights(old.get_weights())
    settle(twin)
    return twin
