"""What fine-tuning may be charged for: size, distance from the source, forgetting, weak features.

Each penalty is a function of what one training step sees, in TensorFlow, and is added to the loss
times a strength. Penalties compare equal if they are of one kind, so that a training loop is
compiled once for each kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from medxfer_utils import require, settle_tensorflow

settle_tensorflow()  # first: it decides how TensorFlow starts

import tensorflow as tf  # noqa: E402


class Seen(NamedTuple):
    """What a penalty is told of one step.

    Parameters
    ----------
    weights, source : list of tensor
        The moving weights now, and the same weights in the source.
    maps, source_maps : list of tensor
        What the penalty's `layers` give for this batch now, and what they gave in the source.
    attention : list of tensor
        One vector for each of the `layers`: how much each channel matters.
    """

    weights: list[Any]
    source: list[Any]
    maps: list[Any]
    source_maps: list[Any]
    attention: list[Any]


class Penalty(Protocol):
    """Anything that charges for a step.

    It names the layers whose outputs it wants to see, and says whether it compares them with the
    source's, which costs a second look at each image.
    """

    @property
    def layers(self) -> tuple[str, ...]: ...

    @property
    def compares(self) -> bool: ...

    def __call__(self, seen: Seen) -> Any: ...


def _size(differences: list[Any], power: int) -> Any:
    """Sum of absolute values (power 1) or half the sum of squares (power 2)."""
    if power == 1:
        return tf.add_n([tf.reduce_sum(tf.abs(d)) for d in differences])
    return tf.add_n([tf.reduce_sum(d**2) for d in differences]) / 2


@dataclass(frozen=True)
class _OfWeights:
    """A penalty that looks at weights only, by absolute values (power 1) or squares (power 2)."""

    power: int = 2
    layers: tuple[str, ...] = field(default=(), init=False)
    compares: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        fine = self.power in (1, 2)
        require(fine, f"power {self.power}: choose 1 (absolute values) or 2 (squares).")


class Shrink(_OfWeights):
    """Pull to zero: Σ|w| (power 1) or ½Σw² (power 2) over kernels; offsets and scales are free."""

    def __call__(self, seen: Seen) -> Any:
        return _size([w for w in seen.weights if len(w.shape) > 1], self.power)


class Anchor(_OfWeights):
    """Pull to the source over every moving weight: Σ|w − w₀| (L1-SP) or ½Σ(w − w₀)² (L2-SP [1]_).

    References
    ----------
    .. [1] Li, Grandvalet and Davoine (2018), Explicit inductive bias for transfer learning with
       convolutional networks. ICML.
    """

    def __call__(self, seen: Seen) -> Any:
        away = [w - w0 for w, w0 in zip(seen.weights, seen.source, strict=True)]
        return _size(away, self.power)


@dataclass(frozen=True)
class SpectralShrinkage:
    """Batch spectral shrinkage (BSS [1]_): Σ of the `k` smallest squared singular values.

    They are those of the batch's features, shape (batch, features): directions that the batch
    hardly uses, and along which the source is unlikely to help.

    References
    ----------
    .. [1] Chen et al. (2019), Catastrophic forgetting meets negative transfer: batch spectral
       shrinkage for safe transfer learning. NeurIPS.
    """

    k: int = 1
    layers: tuple[str, ...] = ("features",)
    compares: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        require(self.k >= 1, f"k {self.k}: shrink at least one singular value.")

    def __call__(self, seen: Seen) -> Any:
        features = seen.maps[0]
        if features.shape[-1] < tf.shape(features)[0]:
            features = tf.transpose(features)
        # Squared singular values are what the directions of the smallest eigenvalues catch. With
        # the directions held fixed the gradient is the same, and there is one even where two values
        # meet or vanish: that of the decomposition itself is not a number there.
        directions = tf.linalg.eigh(features @ tf.transpose(features))[1][:, : self.k]
        return tf.reduce_sum((tf.transpose(features) @ tf.stop_gradient(directions)) ** 2)


@dataclass(frozen=True)
class MapDistance:
    """DELTA [1]_: ½Σ c·a·‖ΔFM‖²/(h·w), the mean over the batch.

    The sum is over the channels of the `layers`; ΔFM is a channel's map now minus the source's for
    the same image, a its attention (with sum 1 over the c channels of the layer), h and w the
    height and width of the map.

    References
    ----------
    .. [1] Li et al. (2019), DELTA: deep learning transfer using feature map with attention for
       convolutional networks. ICLR.
    """

    layers: tuple[str, ...]
    compares: bool = field(default=True, init=False)

    def __call__(self, seen: Seen) -> Any:
        terms = []
        maps = zip(seen.maps, seen.source_maps, seen.attention, strict=True)
        for now, before, attention in maps:
            squares = tf.reduce_mean((now - before) ** 2, axis=[1, 2])  # ‖ΔFM‖²/(h·w), per channel
            channels = tf.cast(tf.shape(now)[-1], tf.float32)
            terms.append(tf.reduce_mean(tf.reduce_sum(channels * attention * squares, axis=-1)) / 2)
        return tf.add_n(terms)
