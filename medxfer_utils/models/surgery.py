"""What a network is made of, and what can be put in, beside or out of it.

Names of its blocks, a backbone from elsewhere, small weights beside a frozen network (LoRA,
residual adapters), and how much each channel matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from medxfer_utils import require, settle_tensorflow
from medxfer_utils.models.architectures import every_layer, settle
from medxfer_utils.models.base import Array, Labels
from medxfer_utils.models.training import copied, mean_loss, outputs

settle_tensorflow()  # first: it decides how TensorFlow starts, and keeps the start quiet

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

NO_PLACE = "The network has no convolutions, beside which weights could be put."
CONVOLUTIONS = keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D
NORMS = tuple(getattr(keras.layers, f"{of}Normalization") for of in ("Batch", "Group", "Layer"))


def backbone_layers(network: keras.Model) -> tuple[str, ...]:
    """Names of all layers with weights but the head; a network within it is one layer."""
    return tuple(layer.name for layer in network.layers if layer.weights and layer.name != "head")


def weighted(network: keras.Model) -> list[keras.Layer]:
    """The layers with weights but the head, those of a network within it each by itself."""
    simple = [layer for layer in every_layer(network) if len(layer._flatten_layers()) == 1]
    return [layer for layer in simple if layer.weights and layer.name != "head"]


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
    """The same function, with low-rank increments to every convolution to be trained (LoRA [1]_).

    Keras's own `enable_lora`: the kernel is frozen and A·B is added to it; B starts at zero. What a
    convolution adds to each channel, if it does, is not frozen.

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
    require(convolutions(network), NO_PLACE)
    twin = copied(network)
    for k, layer in enumerate(part for part in weighted(twin) if isinstance(part, CONVOLUTIONS)):
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
        If there is no convolution, or one has no middle, to which the 1×1 could be added.

    References
    ----------
    .. [1] Rebuffi, Bilen and Vedaldi (2018), Efficient parametrization of multi-domain deep neural
       networks. CVPR.
    """
    require(convolutions(network), NO_PLACE)
    whole = keras.Model(network.inputs, network.outputs, name=network.name)
    twin = keras.models.clone_model(whole, call_function=_with_adapter)
    there = {layer.name: layer for layer in every_layer(twin)}
    for layer in (*weighted(network), network.layers[-1]):
        there[layer.name].set_weights(layer.get_weights())
    settle(twin)
    return twin


def _with_adapter(layer: keras.Layer, x: Any, *args: Any, **more: Any) -> Any:
    """What a layer makes of `x`, its adapter beside it if it is a convolution."""
    if isinstance(layer, keras.Model) and convolutions(layer):
        return with_adapters(layer)(x, *args, **more)
    if not isinstance(layer, CONVOLUTIONS):
        return layer(x, *args, **more)
    size, step, pad = layer.kernel_size, layer.strides, layer.padding
    fine = all(k % 2 for k in size) and (pad == "valid" or (pad == "same" and max(step) == 1))
    about = f"{layer.name}: kernel {size}, strides {step}, padding {pad!r}"
    require(fine, f"{about}: an adapter needs an odd kernel, and strides 1 if it pads.")
    activation, layer.activation = layer.activation, keras.activations.linear
    h, rank = layer(x), layer.rank
    if pad == "valid":
        edges = tuple((k // 2 * d,) * 2 for k, d in zip(size, layer.dilation_rate, strict=True))
        x = getattr(keras.layers, f"Cropping{rank}D")(edges if rank > 1 else edges[0])(x)
    start = {"use_bias": False, "kernel_initializer": "zeros", "groups": layer.groups}
    beside = type(layer)(layer.filters, 1, step, name=f"adapter_{layer.name}", **start)
    h = keras.layers.Add(name=f"sum_{layer.name}")([h, beside(x)])
    return keras.layers.Activation(activation, name=f"activation_{layer.name}")(h)


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
    """
    twin = copied(plain)
    there = {layer.name: layer for layer in every_layer(network)}
    for layer in (*weighted(twin), twin.layers[-1]):
        now = there[layer.name]
        if not isinstance(layer, CONVOLUTIONS):
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
