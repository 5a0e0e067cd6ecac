"""What a network is made of, and what can be put in, beside or out of it.

Names of its blocks, a backbone from elsewhere, small weights beside a frozen network (LoRA,
residual adapters), and how much each channel matters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from medxfer_utils import require, settle_tensorflow
from medxfer_utils.models.base import Array, Labels
from medxfer_utils.models.training import copied, mean_loss, outputs

settle_tensorflow()  # first: it decides how TensorFlow starts, and keeps the start quiet

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

NO_PLACE = "The network has no layers named conv_1, conv_2 and so on, beside which weights are put."


def backbone_layers(network: keras.Model) -> tuple[str, ...]:
    """Names of all layers with weights but the head."""
    return tuple(layer.name for layer in network.layers if layer.weights and layer.name != "head")


def norms(network: keras.Model) -> tuple[str, ...]:
    """Names of the normalising layers; frozen, they keep the source's statistics."""
    return tuple(name for name in backbone_layers(network) if name.startswith("norm_"))


def convolutions(network: keras.Model) -> tuple[str, ...]:
    """Names of the convolutions of the blocks."""
    return tuple(name for name in backbone_layers(network) if name.startswith("conv_"))


def blocks(network: keras.Model, first: int) -> tuple[str, ...]:
    """Names of the layers with weights in the `first` blocks, counted from the image.

    Raises
    ------
    ValueError
        If the network has fewer blocks.
    """
    there = len(convolutions(network))
    require(0 <= first <= there, f"Cannot freeze {first} blocks of a network that has {there}.")
    return tuple(f"{kind}_{k}" for k in range(1, first + 1) for kind in ("conv", "norm"))


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
    return twin


def trainable(network: keras.Model, frozen: Sequence[str] = ()) -> int:
    """How many numbers training would move."""
    moving = [layer for layer in network.layers if layer.name not in frozen]
    return sum(int(np.prod(w.shape)) for layer in moving for w in layer.trainable_variables)


def with_lora(network: keras.Model, rank: int, seed: int) -> keras.Model:
    """The same function, with low-rank increments to every convolution to be trained (LoRA [1]_).

    Keras's own `enable_lora`: the kernel is frozen and A·B is added to it; B starts at zero.

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
    for k, name in enumerate(convolutions(network)):
        layer = twin.get_layer(name)
        layer.enable_lora(rank)
        start = keras.initializers.HeUniform(seed=len(twin.layers) * seed + k)
        layer.lora_kernel_a.assign(start(layer.lora_kernel_a.shape))
    return twin


def with_adapters(network: keras.Model) -> keras.Model:
    """The same function, with a 1×1 convolution beside every convolution (residual adapters [1]_).

    The layers `adapter_k` start at zero; to train them alone, freeze the `convolutions`.

    References
    ----------
    .. [1] Rebuffi, Bilen and Vedaldi (2018), Efficient parametrization of multi-domain deep neural
       networks. CVPR.
    """
    require(convolutions(network), NO_PLACE)
    image = h = keras.Input(network.input_shape[1:], name="image")
    for old in network.layers:
        layer = old.__class__.from_config(old.get_config())
        if not old.name.startswith("conv_"):
            h = layer(h)
            continue
        name = old.name.replace("conv_", "adapter_")
        start = {"use_bias": False, "kernel_initializer": "zeros"}
        beside = keras.layers.Conv2D(old.filters, 1, name=name, **start)
        h = keras.layers.Add(name=old.name.replace("conv_", "sum_"))([layer(h), beside(h)])
    twin = keras.Model(image, h, name="image_network_with_adapters")
    for layer in network.layers:
        twin.get_layer(layer.name).set_weights(layer.get_weights())
    return twin


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
    there = {layer.name: layer for layer in network.layers}
    for layer in twin.layers:
        if layer.name not in convolutions(twin):
            layer.set_weights(there[layer.name].get_weights())
            continue
        kernel = keras.ops.convert_to_numpy(there[layer.name].kernel).copy()
        if beside := there.get(layer.name.replace("conv_", "adapter_")):
            kernel[1, 1] += keras.ops.convert_to_numpy(beside.kernel)[0, 0]  # the middle of 3 × 3
        layer.kernel.assign(kernel)
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
