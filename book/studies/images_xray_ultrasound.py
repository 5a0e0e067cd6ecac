"""What X-rays are worth to ultrasound, ultrasound to X-rays, and photographs to both.

Targets are BreastMNIST and PneumoniaMNIST at 28 pixels, over label budgets of 5 to 100 % of their
official training images, tested on their official test images. Run it with `make results`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import cast

# First: it decides how TensorFlow starts.
from medxfer_utils import models, transfer

# isort: split
import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks import medmnist_recipe as recipe
from book.studies.study import ALL, PACKAGES, Only, Study, chosen
from medxfer_utils.cohorts import Cohort
from medxfer_utils.data import KNOWN_COPIES, MedMNIST, medmnist
from medxfer_utils.experiments import learning_curve
from medxfer_utils.models import Model, Strategy, Training

Array = NDArray[np.floating]
NAME, SEED = "xray_ultrasound", 0
FRACTIONS = (0.05, 0.1, 0.25, 0.5, 1.0)
REPEATS = {"breastmnist": 10, "pneumoniamnist": 5}
# The same for scratch and fine-tuning, at every budget; not tuned.
FIT = Training(steps=300, rate=0.001, batch=64, smoothing=0.1, cosine=True, augment=recipe.moved)
SOURCE_STEPS = 900
PIXELS, SCRATCH = "pixels, logistic regression", "from scratch"
IMAGENET, OTHER = "ImageNet features, logistic regression", "fine-tuned from the other set"


class Seen:
    """All images of a target, training before test, and what MobileNet makes of them.

    A cohort of the experiment holds positions in these arrays instead of images.
    """

    def __init__(self, data: MedMNIST) -> None:
        first = recipe.each_once(data.train.x)
        self.x = np.concatenate([data.train.x[first], data.test.x])
        self.features = recipe.seen_by_mobilenet(self.x)
        y = np.concatenate([data.train.y[first], data.test.y])
        rows, n = np.arange(len(y), dtype=float), len(first)
        # No patient ids exist: every image counts as a patient.
        self.pool = Cohort(f"{data.name}, train", rows[:n], y[:n], rows[:n])
        self.test = Cohort(f"{data.name}, test", rows[n:], y[n:], rows[n:])


def source_network(data: MedMNIST, seed: int) -> keras.Model:
    """The recipe's network, trained on all training and validation images of the other set."""
    x, y = recipe.training_images(data)
    long = replace(FIT, steps=SOURCE_STEPS, rate=recipe.RATE)
    return models.train(recipe.network(seed), recipe.grey(x), y, long, seed)


def strategies(seen: Seen, source: Callable[[int], keras.Model]) -> dict[str, Strategy]:
    """Every strategy; `source` gives the other set's network for a seed."""

    def images(rows: Array) -> Array:
        return recipe.grey(seen.x[rows.astype(int)])

    def pixels(rows: Array) -> Array:
        return images(rows).reshape(len(rows), -1)

    def features(rows: Array) -> Array:
        """Of the image and its mirror image."""
        return cast(Array, seen.features[rows.astype(int)].mean(axis=1))

    def other(s: int) -> Model:
        network = models.with_backbone_of(source(s), recipe.network(s))
        return Model(network, images)

    last = StandardScaler(), LogisticRegression(C=recipe.STRENGTH, max_iter=500)
    of_pixels, of_features = (
        make_pipeline(FunctionTransformer(take), *last) for take in (pixels, features)
    )
    fresh = Model(recipe.network(0), images)
    return {
        PIXELS: lambda t, s: transfer.classical(of_pixels, t),
        SCRATCH: lambda t, s: transfer.target_only(fresh, t, FIT, s),
        OTHER: lambda t, s: transfer.fine_tuned(other(s), t, FIT, s),
        IMAGENET: lambda t, s: transfer.classical(of_features, t),
    }


@cache
def target_and_source(target: str) -> tuple[Seen, Callable[[int], keras.Model]]:
    """A target's images, and the other set's network for a seed: part of what repeats vary."""
    (other,) = (name for name in REPEATS if name != target)
    seen = Seen(medmnist(target, also=KNOWN_COPIES))
    return seen, cache(partial(source_network, medmnist(other, also=KNOWN_COPIES)))


def one_target(target: str, only: Only = ALL) -> pd.DataFrame:
    """One target over all budgets, one row a fit."""
    seen, source = target_and_source(target)
    every = strategies(seen, source)
    some = {name: every[name] for name in chosen(only, "strategy", every)}
    repeats = 1 + max(chosen(only, "repeat", range(REPEATS[target])))
    for repeat in range(repeats) if OTHER in some else ():
        source(1000 * SEED + repeat)  # before the clock of any strategy runs
    shares = chosen(only, "fraction", FRACTIONS)
    sizes = {round(fraction * len(seen.pool)): fraction for fraction in shares}
    frame = learning_curve(some, seen.pool, seen.test, list(sizes), repeats, SEED)
    return frame.assign(fraction=frame["n"].map(sizes))


FACTS = {"seed": SEED, "fractions": list(FRACTIONS), "repeats": REPEATS}
BOTH, KEYS = [{"target": target} for target in REPEATS], ("strategy", "fraction", "repeat")
FILES = partial(recipe.files, tuple(REPEATS))
STUDIES = (Study(NAME, BOTH, one_target, KEYS, PACKAGES, FACTS, FILES),)
