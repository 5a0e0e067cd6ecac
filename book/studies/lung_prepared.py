"""What is left of the lung's gain once every strategy sees the target prepared in the same way.

Livers: from scratch with each preparation that a source is given, and the naive source on livers
that are made to look like nodules, for the patients and seeds of `lung_to_liver`. Ultrasound: a
source that is blind to sign, with its labels and with shuffled ones, and from scratch, all on
images minus their median, for the divisions and seeds of `lidc_transfer`.
"""

from __future__ import annotations

from dataclasses import replace

# First: it decides how TensorFlow starts.
from book.studies import lung_real, lung_sources, lung_to_liver

# isort: split
import keras
import numpy as np
import pandas as pd

from book.studies.lung_sources import UNIT, Prepare, contrast, standardised
from book.studies.study import ALL, FILTERS, SHAPE, Only, Study, curve, lung_window
from medxfer_utils import images, models, transfer
from medxfer_utils.cohorts import Cohort
from medxfer_utils.data import KNOWN_COPIES, lidc_nodules, medmnist
from medxfer_utils.models import Array, Model, Strategy

LIVER, ULTRASOUND = "lung_to_liver_prepared", "ultrasound_prepared"
CURVES, OTHERS = "lung_to_liver_curves", (10, 50, 200)
LUNG = -830.0  # HU, the median of simulated lung patches
GREY = 40.0  # grey values of ultrasound that become 1, about their mean distance from the median
REPLICATES, SIZES = range(1, 9), (20, 40, 80)  # of the divisions of `lidc_transfer`


def as_nodule(hu: Array) -> Array:
    """A liver lesion, bright on dark and as far from its surroundings as a nodule, windowed."""
    away = hu - np.median(hu, axis=(1, 2), keepdims=True)
    return lung_window(LUNG - UNIT["lung"] / UNIT["liver"] * away)


PREPARED: dict[str, Prepare] = {"window": lung_window, "standardised": standardised}


def from_scratch(prepare: Prepare) -> Strategy:
    """Training from scratch within the budget, on livers prepared in this way."""
    start, told = replace(lung_to_liver.fresh(), prepare=prepare), lung_to_liver.told
    return lambda t, s: transfer.target_only(start, t, told(lung_to_liver.SCRATCH, t), s)


def as_nodules(repeat: int) -> dict[str, Strategy]:
    """From scratch and from the naive source, on livers that look like nodules."""
    naive = replace(lung_to_liver.stored("window", repeat % 4), prepare=as_nodule)
    return {
        "scratch, as a nodule": from_scratch(as_nodule),
        "as is, as a nodule": lambda t, s: naive,
        "as a nodule": lung_to_liver.tuned(naive),
    }


def one_liver(repeat: int, only: Only = ALL) -> pd.DataFrame:
    """From scratch with each preparation; the naive source on livers that look like nodules."""
    every = {f"scratch, {name}": from_scratch(prepare) for name, prepare in PREPARED.items()}
    sizes, halves = lung_to_liver.COMPARED, lung_to_liver.liver(repeat)
    return curve(every | as_nodules(repeat), halves, sizes, repeat, only)


def other_sizes(repeat: int, only: Only = ALL) -> pd.DataFrame:
    """The livers that look like nodules, at the sizes that `one_liver` leaves out."""
    return curve(as_nodules(repeat), lung_to_liver.liver(repeat), OTHERS, repeat, only)


def minus_median(x: Array, unit: float) -> Array:
    """Images minus their own median, with a channel."""
    return images.contrast(x, unit)[..., None]


def blind_source(replicate: int, shuffle: bool = False) -> keras.Model:
    """A network for real nodules that were inverted at random, with their labels or shuffled."""
    data, y = lung_real.labelled(lidc_nodules())
    nodules = Cohort("nodules", lung_real.middle(data.x), y, data.patient)
    if shuffle:
        nodules = lung_sources.shuffled(nodules, replicate)
    network = models.image_network(SHAPE, filters=FILTERS, seed=replicate)
    training = replace(lung_real.LONG, augment=contrast)
    x = minus_median(nodules.x, UNIT["lung"])
    return models.train(network, x, nodules.y, training, replicate)


def one_ultrasound(repeat: int, only: Only = ALL) -> pd.DataFrame:
    """Without labels: the plain source, upright and inverted. Tuned: minus the median, thrice."""
    question = lung_real.question_of("ultrasound")
    parts = medmnist("breastmnist", also=KNOWN_COPIES)
    grey = np.concatenate([p.x for p in (parts.train, parts.val, parts.test)]).astype(float)
    scratch, tuned = (
        replace(lung_real.SHORT, rate=lung_real.CHOSEN[name]) for name in ("scratch", "fine-tuned")
    )

    def shown(network: keras.Model, images: Array) -> Model:
        return Model(network, lambda rows: images[rows.astype(int)])

    plain, relative = question.source(repeat), minus_median(grey, GREY)
    blind, nonsense = (shown(blind_source(repeat, s), relative) for s in (False, True))
    every: dict[str, Strategy] = {
        "as is": lambda t, s: shown(plain, question.images),
        "as is, inverted": lambda t, s: shown(plain, -question.images),
        "as is, sign-blind": lambda t, s: blind,
        "scratch, minus median": lambda t, s: transfer.target_only(blind, t, scratch, s),
        "fine-tuned, sign-blind": lambda t, s: transfer.fine_tuned(blind, t, tuned, s),
        "fine-tuned, shuffled labels": lambda t, s: transfer.fine_tuned(nonsense, t, tuned, s),
    }
    return curve(every, lung_real.divide(question, repeat), SIZES, repeat, only)


def files() -> dict[str, list[str]]:
    """The sums of the nodules' file."""
    return {"file": list(lidc_nodules().sums)}


KEYS, PACKAGES = ("strategy", "n"), lung_to_liver.PACKAGES
FACTS = {"repeats": list(lung_to_liver.REPEATS), "sizes": lung_to_liver.COMPARED, "lung": LUNG}
MORE = FACTS | {"sizes": OTHERS}
GREYS = {"replicates": [*REPLICATES], "sizes": SIZES, "unit": GREY}
DIVISIONS = [{"repeat": replicate} for replicate in REPLICATES]
STUDIES = (
    Study(LIVER, lung_to_liver.EACH, one_liver, KEYS, PACKAGES, FACTS),
    Study(CURVES, lung_to_liver.EACH, other_sizes, KEYS, PACKAGES, MORE),
    Study(ULTRASOUND, DIVISIONS, one_ultrasound, KEYS, PACKAGES, GREYS, files),
)
