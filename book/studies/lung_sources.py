"""The source networks of lessons 07 and 08: trained on simulated nodules, or on no medicine.

They differ in how a patch becomes an input, in what the training patients show, and in what the
training images go through. Four of each kind are stored, each from patients and a start of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

# First: it decides how TensorFlow starts.
from medxfer_utils import models

# isort: split
import keras
import numpy as np
from sklearn.datasets import load_sample_images

from book.studies.study import ALL, FILTERS, PACKAGES, SHAPE, Only, Study, lung_window, reads_digits
from medxfer_utils import clinic, images, metrics, results
from medxfer_utils.cohorts import Cohort, together
from medxfer_utils.models import Array, Training

TABLE = "lung_sources"
# The kinds that a lesson and the tests use are stored; the others are made by `make results` only.
STORED = ("window", "doses")
SEEDS, PATIENTS, TESTED = range(4), 12_000, 750
LUNG = clinic.Site(organ="lung", size=32, pixel=1.5)
LIVER = replace(LUNG, organ="liver")
DOSES = (1.0, 0.1, 0.02)

flips, contrast = models.flips_and_turns, models.flips_turns_and_contrast
LONG = Training(steps=3000, rate=0.003, batch=64, cosine=True, augment=flips)


def standardised(hu: Array) -> Array:
    """Each patch with mean 0 and standard deviation 1."""
    return images.standardised(hu)[..., None]


# About how far a lesion stands out, in HU.
UNIT = {"lung": 300.0, "liver": 40.0}


def relative(hu: Array, organ: str = "liver") -> Array:
    """Contrast to the surroundings, in the organ's unit."""
    return images.contrast(hu, UNIT[organ])[..., None]


in_lung, in_liver = partial(relative, organ="lung"), partial(relative, organ="liver")
Prepare = Callable[[Array], Array]
# Name of a source: how the lung is prepared, how the liver, doses, augmentation, groups.
SOURCES: dict[str, tuple[Prepare, Prepare, tuple[float, ...], Any, int]] = {
    "window": (lung_window, lung_window, (1.0,), flips, 0),
    "standardised": (standardised, standardised, (1.0,), flips, 0),
    "own unit": (in_lung, in_liver, (1.0,), flips, 0),
    "contrast": (in_lung, in_liver, (1.0,), contrast, 0),
    "doses": (in_lung, in_liver, DOSES, contrast, 0),
    "group norm": (in_lung, in_liver, DOSES, contrast, 8),
}
BEST = "doses"


@cache
def lung(seed: int, doses: tuple[float, ...], patients: int = PATIENTS) -> Cohort:
    """The source's patients, shared out among scanners of several doses."""
    each = patients // len(doses)
    parts = [
        clinic.simulate(replace(LUNG, dose=dose), each, seed=10_000 + 10 * seed + k).cohort
        for k, dose in enumerate(doses)
    ]
    return together(parts, "lung")


def lung_test(seed: int) -> Cohort:
    """Lung patients whom no source network has seen."""
    return clinic.simulate(LUNG, TESTED, seed=20_000 + seed).cohort


def untrained(seed: int, **more: int) -> keras.Model:
    """The course's image network with new weights."""
    return models.image_network(SHAPE, filters=FILTERS, seed=seed, **more)


def trained_source(
    kind: str,
    seed: int,
    training: Training = LONG,
    patients: int = PATIENTS,
    change: Callable[[Cohort, int], Cohort] = lambda cohort, seed: cohort,
) -> keras.Model:
    """A source network of a kind, from patients who may be changed before."""
    prepare, _, doses, augment, groups = SOURCES[kind]
    cohort = change(lung(seed, doses, patients), seed)
    start = untrained(seed, groups=groups)
    training = replace(training, augment=augment)
    return models.train(start, prepare(cohort.x), cohort.y, training, seed=seed)


def shuffled(cohort: Cohort, seed: int) -> Cohort:
    """The same images, with the diagnoses dealt out anew among the patients."""
    _, first, where = np.unique(cohort.patient, return_index=True, return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(cohort.y[first])
    return replace(cohort, y=dealt[where])


def shuffled_network(seed: int) -> keras.Model:
    """The best kind of source, had it been taught nonsense."""
    return trained_source("doses", seed, change=shuffled)


def digits_network(seed: int) -> keras.Model:
    """The same backbone, trained to read handwritten digits."""
    return reads_digits(untrained(seed, outputs=10), replace(LONG, steps=400, batch=32), seed)


def textures_network(seed: int) -> keras.Model:
    """The same backbone, trained to tell patches of two photographs (a temple, a flower) apart."""
    rng = np.random.default_rng(seed)
    photographs = [image.mean(-1) for image in load_sample_images().images]
    y = np.arange(6000) % 2
    corners = [rng.integers(0, np.array(photographs[k].shape) - 32) for k in y]
    patches = [photographs[k][i : i + 32, j : j + 32] for k, (i, j) in zip(y, corners, strict=True)]
    x = np.stack(patches) + rng.normal(0, 1, (len(y), 32, 32))  # no patch is quite flat
    network = untrained(seed)
    training = replace(LONG, steps=800, batch=32, augment=contrast)
    return models.train(network, images.standardised(x)[..., None], y, training, seed=seed)


def path(kind: str, seed: int) -> Path:
    """Where a source network is kept."""
    folder = results.FOLDER if kind in STORED else results.ROOT / "_build"
    return folder / "sources" / f"{kind.replace(' ', '_')}_{seed}.keras"


UNRELATED: dict[str, Callable[[int], keras.Model]] = {
    "digits": digits_network,
    "textures": textures_network,
    "shuffled": shuffled_network,
}


def made(kind: str, seed: int) -> keras.Model:
    """Train a source network and keep it, whole or not at all."""
    network = UNRELATED[kind](seed) if kind in UNRELATED else trained_source(kind, seed)
    path(kind, seed).parent.mkdir(parents=True, exist_ok=True)
    beside = path(kind, seed).with_suffix(f".{os.getpid()}.keras")
    network.save(beside)
    beside.replace(path(kind, seed))
    return network


@cache
def source(kind: str, seed: int) -> keras.Model:
    """A source network that was made before; one that was not is made now."""
    if not path(kind, seed).is_file():
        made(kind, seed)
    return keras.models.load_model(path(kind, seed))


def one_source(source: str, seed: int, only: Only = ALL) -> Iterator[Mapping[str, Any]]:
    """Train and keep one source network; how well it does on lungs, and on livers as it is."""
    start = time.process_time()
    network = made(source, seed)
    row = {"seconds": time.process_time() - start}
    yield row | ({} if source in UNRELATED else held_out(source, network, seed))


def held_out(kind: str, network: keras.Model, seed: int) -> dict[str, float]:
    """AUROC of a source network for lung patients it has not seen, and for liver patients."""
    livers = clinic.simulate(LIVER, TESTED, seed=20_100 + seed).cohort
    pairs = zip(("lung", "liver"), (lung_test(seed), livers), SOURCES[kind][:2], strict=True)
    return {
        name: metrics.auroc(cohort.y, models.outputs(network, prepare(cohort.x))[:, 0])
        for name, cohort, prepare in pairs
    }


KINDS = (*SOURCES, "digits", "textures")
FACTS = {"seeds": list(SEEDS), "patients": PATIENTS, "recipe": repr(LONG)}
EACH = [{"source": kind, "seed": seed} for seed in SEEDS for kind in KINDS]
STUDIES = (Study(TABLE, EACH, one_source, ("source",), PACKAGES, FACTS),)
