"""What North's network is worth to South and to an MR clinic: chapter 03's learning curves.

Each repeat is a world of its own: new patients everywhere, a new source network, new labels. So
the intervals speak of other patients and other networks too, not only of other labels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

# First: it decides how TensorFlow starts.
from medxfer_utils.images import percentile_window, window
from medxfer_utils.models import training as convnets

# isort: split
import keras
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from medxfer_utils import results
from medxfer_utils.clinic import patients as phantoms
from medxfer_utils.cohorts import Cohort, split
from medxfer_utils.experiments import Arm, Classical, learning_curve

TABLE = "image_transfer"
# World 0 is the one on which the learning rates were chosen; it is not reported.
WORLDS, SIZES = range(1, 13), (10, 20, 40, 80, 160)
PATIENTS = {"source": 1000, "pool": 800, "test": 1200}
FILTERS, SHAPE = (16, 32, 64, 64), (32, 32, 1)
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "keras")

NORTH = phantoms.Site(organ="lung", size=32, pixel=1.5, slice_thickness=2)
TARGETS = {
    "South": replace(NORTH, dose=0.2, slice_thickness=5, kernel="sharp"),
    "MR": replace(NORTH, modality="MR"),
}
LONG = convnets.Recipe(steps=1000, rate=0.003, cosine=True, augment=convnets.flips_and_turns)
RECIPE = replace(LONG, steps=100, batch=16)
SLOW = replace(RECIPE, rate=0.0003)
FRESH = replace(RECIPE, rate=0.01)  # from scratch, or from an unrelated body
HEAD = replace(RECIPE, rate=0.03)

Image = convnets.Array
Prepare = Callable[[Image], Image]


def prepare_ct(hu: Image) -> Image:
    """HU from -1000 to 400 as -1 to 1, with a channel."""
    return (2 * window(hu, level=-300, width=1400) - 1)[..., None]


def prepare_mr(signal: Image) -> Image:
    """Each image's 1st to 99th percentile as -1 to 1, with a channel."""
    return np.stack([2 * percentile_window(s) - 1 for s in signal])[..., None]


PREPARE: dict[str, Prepare] = {"South": prepare_ct, "MR": prepare_mr}


def measured(x: Image, threshold: float) -> Image:
    """Diameter (mm), mean inside and steepest edge of what is above a threshold in the middle."""
    middle = x[:, 8:24, 8:24]
    inside = middle > threshold
    area = inside.sum((1, 2)) * NORTH.pixel**2
    density = middle.mean((1, 2), where=inside | (area == 0)[:, None, None])
    return np.column_stack([np.sqrt(area), density, np.abs(np.diff(middle, axis=2)).max((1, 2))])


THRESHOLD = {"South": -500.0, "MR": 200.0}


def source_network(world: int) -> keras.Model:
    """North's network of a world."""
    north = phantoms.clinic(NORTH, PATIENTS["source"], seed=3 * world).cohort
    network = convnets.image_network(SHAPE, filters=FILTERS, seed=world)
    return convnets.train(network, prepare_ct(north.x), north.y, LONG, seed=world)


def digits_network(world: int) -> keras.Model:
    """The same network, trained to read handwritten digits."""
    digits = load_digits()
    enlarged = np.kron(digits.images / 8 - 1, np.ones((4, 4)))[..., None]
    network = convnets.image_network(SHAPE, outputs=10, filters=FILTERS, seed=world)
    recipe = replace(LONG, steps=400, augment=None)
    return convnets.train(network, enlarged, digits.target, recipe, seed=world)


def divide(target: str, world: int) -> tuple[Cohort, Cohort]:
    """The pool and the test patients of a target clinic; both targets have the same patients."""
    patients = PATIENTS["pool"] + PATIENTS["test"]
    everybody = phantoms.clinic(TARGETS[target], patients, seed=3 * world + 1).cohort
    share = PATIENTS["pool"] / patients
    pool, test = split(everybody, (share, 1 - share), np.random.default_rng(world))
    return pool, test


def arms(target: str, source: keras.Model, digits: keras.Model, pool: Cohort) -> dict[str, Arm]:
    """Every strategy, for one source network and one target clinic."""
    prepare = PREPARE[target]
    own = convnets.with_statistics_of(source, prepare(pool.x), seed=0)
    pace = {name: 3.0 ** (int(name[-1]) - 5) for name in convnets.body(source)}
    whole = convnets.body(source)
    norms = [name for name in whole if name.startswith("norm_")]

    def kept(network: keras.Model) -> Arm:
        return lambda t, s: convnets.ImageModel(network, prepare)

    def trained(start: Callable[[int], keras.Model], recipe: Any, **more: Any) -> Arm:
        def arm(t: Cohort, s: int) -> convnets.ImageModel:
            network = convnets.train(start(s), prepare(t.x), t.y, recipe, s, **more)
            return convnets.ImageModel(network, prepare)

        return arm

    def fresh(s: int) -> keras.Model:
        return convnets.reinitialised(source, s)

    return {
        "as is": kept(source),
        "own statistics, no label": kept(own),
        "feature extraction": trained(
            lambda s: convnets.with_body_of(source, fresh(s)), HEAD, frozen=whole
        ),
        "own statistics + new head": trained(
            lambda s: convnets.with_body_of(own, fresh(s)), HEAD, frozen=whole
        ),
        "fine-tuned, fast": trained(lambda s: source, RECIPE),
        "fine-tuned, slowly": trained(lambda s: source, SLOW),
        "own statistics, frozen + slowly": trained(lambda s: own, SLOW, frozen=norms),
        "discriminative": trained(lambda s: source, RECIPE, pace=pace),
        "scratch": trained(fresh, FRESH),
        "scratch, 3 times longer": trained(fresh, replace(FRESH, steps=300)),
        "digits, fine-tuned": trained(lambda s: convnets.with_body_of(digits, fresh(s)), FRESH),
    }


def ruler_arm(target: str) -> Arm:
    """The simple baseline: a logistic regression on three measurements of the labelled patients."""

    def arm(t: Cohort, s: int) -> Classical:
        take = FunctionTransformer(measured, kw_args={"threshold": THRESHOLD[target]})
        return Classical(make_pipeline(take, StandardScaler(), LogisticRegression()).fit(t.x, t.y))

    return arm


def one_world(
    world: int,
    sizes: Iterable[int] = SIZES,
    targets: Iterable[str] = tuple(TARGETS),
    strategies: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Every strategy in one world, one row a fit."""
    source, digits = source_network(world), digits_network(world)
    frames = []
    for target in targets:
        pool, test = divide(target, world)
        every = arms(target, source, digits, pool) | {"ruler": ruler_arm(target)}
        some = {name: every[name] for name in strategies or every}
        frame = learning_curve(some, pool, test, tuple(sizes), repeats=1, seed=world)
        frames.append(frame.assign(target=target, repeat=world))
    return pd.concat(frames, ignore_index=True)


def main() -> None:
    """Every world, stored with its provenance."""
    facts = {"worlds": list(WORLDS), "sizes": list(SIZES), "patients": PATIENTS}
    record = results.provenance(__file__, PACKAGES, **facts)
    start, frames = time.perf_counter(), []
    for world in WORLDS:
        frames.append(one_world(world))
        print(f"world {world} of {len(WORLDS)}: {time.perf_counter() - start:.0f} s", flush=True)
    record["seconds"] = round(time.perf_counter() - start)
    results.store(TABLE, pd.concat(frames, ignore_index=True), record)


if __name__ == "__main__":
    main()
