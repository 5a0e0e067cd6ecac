"""What a network is made of, and what can be put in, beside or out of it.

Names of its blocks, a backbone from elsewhere, small weights beside a frozen network (LoRA,
residual adapters, FiLM), and how much each channel matters. Layers are found by their kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.special import softmax

from medxfer_utils import require, settle_tensorflow
from medxfer_utils.models.architectures import every_layer, settle
from medxfer_utils.models.base import Array, Labels
from medxfer_utils.models.training import copied, mean_loss, outputs

settle_tensorflow()  # first: it decides how TensorFlow starts

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

NO_PLACE = "The network has no {}, beside which weights could be put."
CONVOLUTIONS = keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D
LINEAR = *CONVOLUTIONS, keras.layers.Dense
NORMS = tuple(getattr(keras.layers, f"{of}Normalization") for of in ("Batch", "Group", "Layer"))


def backbone_layers(network: keras.Model) -> tuple[str, ...]:
    """Names of all layers with weights but the head; a network within it is one layer."""
    return tuple(layer.name for layer in network.layers if layer.weights and layer.name != "head")


def weighted(network: keras.Model) -> list[keras.Layer]:
    """The layers with weights but the head, those of a network within it each by itself."""
    return [layer for layer in _with_weights(network) if layer.name != "head"]


def _with_weights(network: keras.Model) -> list[keras.Layer]:
    """Every layer with weights that is no network itself."""
    simple = [layer for layer in every_layer(network) if len(layer._flatten_layers()) == 1]
    return [layer for layer in simple if layer.weights]


def norms(network: keras.Model) -> tuple[str, ...]:
    """Names of the normalising layers; frozen, they keep the source's statistics."""
    return tuple(layer.name for layer in weighted(network) if isinstance(layer, NORMS))


def convolutions(network: keras.Model) -> tuple[str, ...]:
    """Names of the convolutions, but adapters, and those that look at each channel alone."""
    names = [layer.name for layer in weighted(network) if isinstance(layer, CONVOLUTIONS)]
    return tuple(name for name in names if not name.startswith("adapter_"))


def block_numbers(network: keras.Model) -> dict[str, int]:
    """The block, counted from the image and from 1, of each layer with weights but the head.

    A block begins at each convolution; in a network without any, at each layer with weights.
    """
    names = [layer.name for layer in weighted(network)]
    starts, numbers, block = convolutions(network) or tuple(names), dict[str, int](), 0
    for name in names:
        block += name in starts
        numbers[name] = max(block, 1)
    return numbers


def blocks(network: keras.Model, first: int) -> tuple[str, ...]:
    """Names of the layers with weights in the `first` blocks, counted from the image.

    Raises
    ------
    ValueError
        If the network has fewer blocks.
    """
    there = max((numbers := block_numbers(network)).values(), default=0)
    require(0 <= first <= there, f"Cannot freeze {first} blocks of a network that has {there}.")
    return tuple(name for name, block in numbers.items() if block <= first)


def with_backbone_of(source: keras.Model, target: keras.Model) -> keras.Model:
    """A copy of `target` whose backbone has the weights of `source`; the head stays the target's.

    The class counts of the two may differ, their backbones may not. Taught in lesson 05.

    Raises
    ------
    ValueError
        If a layer is missing in the source, or has weights of another shape there.
    """
    twin, there = copied(target), backbone_layers(source)
    for name in backbone_layers(target):
        require(name in there, f"The source has no layer {name!r}; its backbone is {there}.")
        a, b = ([w.shape for w in n.get_layer(name).get_weights()] for n in (source, twin))
        require(a == b, f"Layer {name!r}: weights {a} do not fit into {b}.")
        twin.get_layer(name).set_weights(source.get_layer(name).get_weights())
    settle(twin)
    return twin


def trainable(network: keras.Model, frozen: Sequence[str] = ()) -> int:
    """How many numbers training would move."""
    still = {id(w) for part in every_layer(network) if part.name in frozen for w in part.weights}
    moving = [w for w in network.trainable_variables if id(w) not in still]
    return sum(int(np.prod(w.shape)) for w in moving)


def with_lora(network: keras.Model, rank: int, seed: int) -> keras.Model:
    """The same function, with low-rank increments to be trained (LoRA [1]_).

    Keras's own `enable_lora`, for every convolution and dense layer but the head: the kernel is
    frozen and A·B is added to it; B starts at zero. What a layer adds to each channel, if it does,
    is not frozen. Convolutions that look at each channel alone (depthwise) stay as they are: their
    kernels are small already.

    Parameters
    ----------
    network : keras.Model
        Read, never changed.
    rank : int
        Columns of A, 1 or more.
    seed : int
        Of A, which is drawn from He's uniform distribution.

    References
    ----------
    .. [1] Hu et al. (2022), LoRA: low-rank adaptation of large language models. ICLR.
    """
    twin = copied(network)
    moving = [part for part in weighted(twin) if isinstance(part, LINEAR)]
    require(moving, NO_PLACE.format("convolutions and no hidden dense layers"))
    for k, layer in enumerate(moving):
        layer.enable_lora(rank)
        start = keras.initializers.HeUniform(seed=len(twin.layers) * seed + k)
        layer.lora_kernel_a.assign(start(layer.lora_kernel_a.shape))
    return twin


def with_adapters(network: keras.Model) -> keras.Model:
    """The same function, with a 1×1 convolution beside every convolution (residual adapters [1]_).

    The layers `adapter_` and the convolution's name start at zero; to train them alone, freeze the
    layers that were there before.

    Raises
    ------
    ValueError
        If there is no convolution, one has no middle, to which the 1×1 could be added, or one
        strides over images of no fixed size.

    References
    ----------
    .. [1] Rebuffi, Bilen and Vedaldi (2018), Efficient parametrization of multi-domain deep neural
       networks. CVPR.
    """
    return _grown(network, _beside)


@keras.saving.register_keras_serializable("medxfer_utils")
class ScaleAndShift(keras.layers.Layer):  # type: ignore[misc]
    """Each channel times a number, plus another; at the start 1 and 0."""

    def build(self, shape: Sequence[int | None]) -> None:
        self.scale = self.add_weight(shape=shape[-1:], initializer="ones", name="scale")
        self.shift = self.add_weight(shape=shape[-1:], initializer="zeros", name="shift")

    def call(self, x: Any) -> Any:
        return x * self.scale + self.shift


def with_film(network: keras.Model) -> keras.Model:
    """The same function, with a scale and a shift of each channel of the convolutions (FiLM [1]_).

    The layers `film_` and the convolution's name stand before its activation, and start as 1 and 0;
    to train them alone, freeze the layers that were there before, or name them to `train`.

    References
    ----------
    .. [1] Perez et al. (2018), FiLM: visual reasoning with a general conditioning layer. AAAI.
    """
    return _grown(network, _after)


def _grown(network: keras.Model, small: Callable[[keras.Layer, Any], Any]) -> keras.Model:
    """A copy in which each convolution is `small` of it."""
    require(convolutions(network), NO_PLACE.format("convolutions"))
    whole = keras.Model(network.inputs, network.outputs, name=network.name)
    twin = keras.models.clone_model(whole, call_function=partial(_with_small, small))
    there = {layer.name: layer for layer in every_layer(twin)}
    for layer in _with_weights(network):
        there[layer.name].set_weights(layer.get_weights())
    settle(twin)
    return twin


def _with_small(
    small: Callable[[keras.Layer, Any], Any], layer: keras.Layer, x: Any, *args: Any, **more: Any
) -> Any:
    """What a layer makes of `x`, with its small weights if it is a convolution."""
    if isinstance(layer, keras.Model) and convolutions(layer):
        return _grown(layer, small)(x, *args, **more)
    if not isinstance(layer, CONVOLUTIONS):
        return layer(x, *args, **more)
    activation, layer.activation = layer.activation, keras.activations.linear
    h = small(layer, x)
    return keras.layers.Activation(activation, name=f"activation_{layer.name}")(h)


def _after(layer: keras.Layer, x: Any) -> Any:
    """A convolution, then a scale and a shift of each channel."""
    return ScaleAndShift(name=f"film_{layer.name}")(layer(x))


def _beside(layer: keras.Layer, x: Any) -> Any:
    """A convolution, and a 1×1 one beside it that sees the middle of what its kernel sees."""
    size, step, pad, sides = layer.kernel_size, layer.strides, layer.padding, x.shape[1:-1]
    known = pad == "valid" or (pad == "same" and (max(step) == 1 or None not in sides))
    about = f"{layer.name}: kernel {size}, strides {step}, padding {pad!r}, image {sides}"
    wanted = "an adapter needs an odd kernel, and strides 1 or a fixed image size if it pads"
    require(known and all(k % 2 for k in size), f"{about}: {wanted}.")
    edges = []
    for k, d, s, n in zip(size, layer.dilation_rate, step, sides, strict=True):
        wide = (k - 1) * d
        before = 0
        if pad == "same":  # as TensorFlow pads
            before = wide if s == 1 else max((-(-n // s) - 1) * s + wide + 1 - n, 0)
        start = wide // 2 - before // 2
        edges.append((start, start if pad == "valid" else 0))
    h, rank = layer(x), layer.rank
    if any(map(any, edges)):
        x = getattr(keras.layers, f"Cropping{rank}D")(edges if rank > 1 else edges[0])(x)
    start = {"use_bias": False, "kernel_initializer": "zeros", "groups": layer.groups}
    beside = type(layer)(layer.filters, 1, step, name=f"adapter_{layer.name}", **start)
    return keras.layers.Add(name=f"sum_{layer.name}")([h, beside(x)])


def merged(network: keras.Model, plain: keras.Model) -> keras.Model:
    """A network with LoRA or adapters as one without: the increments are added to the kernels.

    Parameters
    ----------
    network : keras.Model
        From `with_lora` or `with_adapters`, trained or not.
    plain : keras.Model
        Of the architecture before; read, never changed.

    Returns
    -------
    keras.Model
        The same function as `network`, as large and as fast as `plain`.

    Raises
    ------
    ValueError
        If there is FiLM in it: a shift has no place in a convolution that adds nothing.
    """
    twin = copied(plain)
    there = {layer.name: layer for layer in every_layer(network)}
    film = [name for name in there if name.startswith("film_")]
    require(not film, f"FiLM is not merged: keep {film[:1]}, which costs two numbers a channel.")
    for layer in _with_weights(twin):
        now = there[layer.name]
        if not isinstance(layer, LINEAR):
            layer.set_weights(now.get_weights())
            continue
        kernel = keras.ops.convert_to_numpy(now.kernel).copy()
        if beside := there.get(f"adapter_{layer.name}"):
            middle = tuple(k // 2 for k in layer.kernel_size)
            kernel[middle] += keras.ops.convert_to_numpy(beside.kernel)[(0,) * layer.rank]
        layer.kernel.assign(kernel)
        if layer.use_bias:
            layer.bias.assign(now.bias)
    settle(twin)
    return twin


def channel_attention(
    network: keras.Model, x: Array, y: Labels, layers: Sequence[str]
) -> list[Array]:
    """How much each channel matters for the labels: DELTA's attention [1]_.

    A channel's output is set to zero; the softmax, over the channels of its layer, of how much the
    cross-entropy grows is its attention.

    Parameters
    ----------
    network : keras.Model
        With one output.
    x : ndarray, shape (n, height, width, channels)
    y : ndarray of int, shape (n,)
    layers : sequence of str

    Returns
    -------
    list of ndarray
        One vector with sum 1 for each layer.

    References
    ----------
    .. [1] Li et al. (2019), DELTA. ICLR, equations 4 and 5.
    """
    require(
        isinstance(network, keras.Sequential), "Attention of channels needs a keras.Sequential."
    )
    attention = []
    for name in layers:
        maps = tf.constant(outputs(network, x, name), tf.float32)
        rest = network.layers[network.layers.index(network.get_layer(name)) + 1 :]
        channels = int(maps.shape[-1])
        masks = np.concatenate([np.ones((1, channels)), 1 - np.eye(channels)]).astype("float32")
        losses = np.array([_loss_of(rest, maps * mask, y) for mask in masks])
        attention.append(softmax(losses[1:] - losses[0]))
    return attention


def _loss_of(layers: Sequence[keras.Layer], h: tf.Tensor, y: Labels) -> float:
    """Mean cross-entropy of what the last layers make of maps `h`."""
    for layer in layers:
        h = layer(h, training=False)
    return float(mean_loss(h, tf.constant(y), 0.0, "cross-entropy"))
