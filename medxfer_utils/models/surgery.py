"""Ways to fine-tune an image network that need more than `convnets.train` alone.

Small weights beside a frozen network (LoRA, residual adapters), a head before the rest (LP-FT),
the source's patients beside the target's, and what DELTA needs to know of each channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit, logsumexp, softmax

from medxfer_utils.models import training as convnets
from medxfer_utils.models.training import Array, ImageModel, Recipe

# isort: split
import keras
import tensorflow as tf


def norms(network: keras.Model) -> tuple[str, ...]:
    """Names of the normalising layers; frozen, they keep the source's statistics."""
    return tuple(name for name in convnets.body(network) if name.startswith("norm_"))


def convolutions(network: keras.Model) -> tuple[str, ...]:
    """Names of the convolutions of the blocks."""
    return tuple(name for name in convnets.body(network) if name.startswith("conv_"))


def trainable(network: keras.Model, frozen: Sequence[str] = ()) -> int:
    """How many numbers training would move."""
    moving = [layer for layer in network.layers if layer.name not in frozen]
    return sum(int(np.prod(w.shape)) for layer in moving for w in layer.trainable_variables)


def lp_ft(
    network: keras.Model,
    x: Array,
    y: NDArray[np.integer],
    recipes: tuple[Recipe, Recipe],
    seed: int,
) -> keras.Model:
    """Train the head alone by the first recipe, then all but the norms by the second (LP-FT [1]_).

    References
    ----------
    .. [1] Kumar et al. (2022), Fine-tuning can distort pretrained features and underperform
       out-of-distribution. ICLR.
    """
    probed = convnets.train(network, x, y, recipes[0], seed, frozen=convnets.body(network))
    return convnets.train(probed, x, y, recipes[1], seed + 1, frozen=norms(network))


def joint_order(target: int, source: int, recipe: Recipe, seed: int) -> NDArray[np.int32]:
    """Batches of which one half is the target's images, the other the source's.

    Parameters
    ----------
    target, source : int
        Number of images; the source's stand behind the target's in the array that is trained on.
    recipe : Recipe
        Its steps and batch.
    seed : int

    Returns
    -------
    ndarray of int, shape (steps, batch)
        For `convnets.train`'s `order`.
    """
    if recipe.batch < 2:
        raise ValueError("A batch of one image cannot be shared by target and source.")
    half = recipe.batch // 2
    mine = convnets._order(target, recipe.steps, half, seed)
    theirs = convnets._order(source, recipe.steps, recipe.batch - half, seed + 1)
    return np.hstack([mine, target + theirs])


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
    twin = convnets.copied(network)
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
    image = h = keras.Input(network.input_shape[1:], name="image")
    for old in network.layers:
        layer = old.__class__.from_config(old.get_config())
        if not old.name.startswith("conv_"):
            h = layer(h)
            continue
        name = old.name.replace("conv_", "adapter_")
        beside = keras.layers.Conv2D(
            old.filters, 1, use_bias=False, kernel_initializer="zeros", name=name
        )
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
    twin = convnets.copied(plain)
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
    network: keras.Model, x: Array, y: NDArray[np.integer], layers: Sequence[str]
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
        maps = tf.constant(convnets.outputs(network, x, name), tf.float32)
        rest = network.layers[network.layers.index(network.get_layer(name)) + 1 :]
        channels = int(maps.shape[-1])
        masks = np.concatenate([np.ones((1, channels)), 1 - np.eye(channels)]).astype("float32")
        losses = np.array([_loss_of(rest, maps * mask, y) for mask in masks])
        attention.append(softmax(losses[1:] - losses[0]))
    return attention


def _loss_of(layers: Sequence[keras.Layer], h: tf.Tensor, y: NDArray[np.integer]) -> float:
    """Mean cross-entropy of what the last layers make of maps `h`."""
    for layer in layers:
        h = layer(h, training=False)
    labels = tf.constant(y, tf.float32)
    return float(tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, h[:, 0])))


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Several models as one: the mean of their probabilities (deep ensemble [1]_).

    Parameters
    ----------
    members : sequence
        Models with `probability`; one member is that model itself.

    References
    ----------
    .. [1] Lakshminarayanan, Pritzel and Blundell (2017), Simple and scalable predictive
       uncertainty estimation using deep ensembles. NeurIPS.
    """

    members: Sequence[ImageModel]

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("An ensemble needs one member or more.")

    def probability(self, x: Array) -> Array:
        """Probability of the disease, shape (n,), for raw images."""
        mean: Array = np.mean([member.probability(x) for member in self.members], axis=0)
        return mean

    def logit(self, x: Array) -> Array:
        """Log odds of that mean, shape (n,); it does not saturate where the members do not."""
        logits = np.array([member.logit(x) for member in self.members])
        ill, healthy = (logsumexp(log_expit(sign * logits), axis=0) for sign in (1, -1))
        return cast(Array, ill - healthy)
