"""Changes of training images that leave the diagnosis as it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from medxfer_utils import require, settle_tensorflow

settle_tensorflow()  # first: it decides how TensorFlow starts

import tensorflow as tf  # noqa: E402


def flips_and_turns(images: Any, seed: Any) -> Any:
    """Mirror and turn each square image at random into one of its 8 exact positions.

    No pixel is interpolated, so noise and edges stay what they are. Right for a lesion in the
    middle of a patch; wrong wherever left and right, or up and down, mean something.
    Taught in lesson 05.
    """
    height, width = images.shape[1:3]
    require(height == width, f"Turns need square images, these are {height} × {width}: crop them.")
    chance = tf.random.stateless_uniform([3, tf.shape(images)[0], 1, 1, 1], seed) < 0.5
    images = tf.where(chance[0], images[:, :, ::-1], images)
    images = tf.where(chance[1], images[:, ::-1], images)
    return tf.where(chance[2], tf.transpose(images, [0, 2, 1, 3]), images)


def flips_turns_and_contrast(images: Any, seed: Any) -> Any:
    """`flips_and_turns`, then each image's contrast inverted or not and scaled by 0.2 to 1.5.

    For images whose zero means "as bright as the surroundings". A network trained so cannot rest
    on lesions being bright, nor on how far they stand out. Taught in lesson 07.
    """
    images = flips_and_turns(images, seed)
    other = seed + tf.constant([0, 1 << 20])  # chance of its own, not that of the flips
    chance = tf.random.stateless_uniform([2, tf.shape(images)[0], 1, 1, 1], other)
    sign = tf.where(chance[0] < 0.5, 1.0, -1.0)
    return images * sign * tf.exp(np.log(0.2) + chance[1] * np.log(1.5 / 0.2))
