"""A short training of a small network: whether TensorFlow works here, and how fast.

    python -m medxfer_utils.doctor.trial

It is run in a process of its own, because a TensorFlow that does not fit the processor may end the
whole process.
"""

from __future__ import annotations

import json
import time

import numpy as np
from numpy.typing import NDArray

from medxfer_utils.models import training as convnets

SIZE = (32, 32, 1)  # of an image in chapters 03 and 04
IMAGES = 256
RECIPE = convnets.Recipe(steps=100)


def _images() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Noise, with a bright square in half of the images."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(IMAGES, *SIZE)).astype(np.float32)
    y = np.arange(IMAGES) % 2
    x[y == 1, 10:20, 10:20] += 1
    return x, y


def trial() -> dict[str, float]:
    """Train the image network of the course on simulated images.

    Returns
    -------
    dict
        `loss_before` and `loss_after`, the mean cross-entropy on these images; and
        `images_per_second` of the training, without the time that it takes to compile it.
    """
    x, y = _images()
    network = convnets.image_network(SIZE, filters=(16, 32, 64, 64))
    convnets.train(network, x, y, convnets.Recipe(steps=1), seed=0)  # compiles
    start = time.perf_counter()
    trained = convnets.train(network, x, y, RECIPE, seed=0)
    seconds = time.perf_counter() - start
    with np.errstate(invalid="ignore"):  # whoever reads the loss sees that it is no number
        before, after = (
            float(np.logaddexp(0, (1 - 2 * y) * convnets.outputs(n, x)[:, 0]).mean())
            for n in (network, trained)
        )
    speed = RECIPE.steps * RECIPE.batch / seconds
    return {"loss_before": before, "loss_after": after, "images_per_second": speed}


if __name__ == "__main__":
    print(json.dumps(trial()))
