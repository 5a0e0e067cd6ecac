"""What North's network is worth to South and to an MR clinic: lesson 05's learning curves.

Each repeat is a replicate of its own: new patients everywhere, a new source network, new labels. So
the intervals speak of other patients and other networks too, not only of other labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

# First: it decides how TensorFlow starts.
from medxfer_utils import models, transfer

# isort: split
import keras
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from book.studies import study
from book.studies.study import ALL, FILTERS, PACKAGES, SHAPE, Only, Study, chosen
from medxfer_utils import clinic, images
from medxfer_utils.cohorts import Cohort
from medxfer_utils.models import Model, Strategy, Training

TABLE = "image_transfer"
# Replicate 0 is the one on which the learning rates were chosen; it is not reported.
REPLICATES, SIZES = range(1, 13), (10, 20, 40, 80, 160)
PATIENTS = {"source": 1000, "pool": 800, "test": 1200}

NORTH = clinic.Site(organ="lung", size=32, pixel=1.5, slice_thickness=2)
TARGETS = {
    "South": replace(NORTH, dose=0.2, slice_thickness=5, kernel="sharp"),
    "MR": replace(NORTH, modality="MR"),
}
LONG = Training(steps=1000, rate=0.003, cosine=True, augment=models.flips_and_turns)
SHORT = replace(LONG, steps=100, batch=16)
SLOW = replace(SHORT, rate=0.0003)
FRESH = replace(SHORT, rate=0.01)  # from scratch, or from an unrelated backbone
HEAD = replace(SHORT, rate=0.03)

Image = models.Array
Prepare = Callable[[Image], Image]


def prepare_mr(signal: Image) -> Image:
    """Each image's 1st to 99th percentile as -1 to 1, with a channel."""
    return np.stack([2 * images.percentile_window(s) - 1 for s in signal])[..., None]


PREPARE: dict[str, Prepare] = {"South": study.lung_window, "MR": prepare_mr}


def measured(x: Image, threshold: float) -> Image:
    """Diameter (mm), mean inside and steepest edge of what is above a threshold in the middle."""
    middle = x[:, 8:24, 8:24]
    inside = middle > threshold
    area = inside.sum((1, 2)) * NORTH.pixel**2
    density = middle.mean((1, 2), where=inside | (area == 0)[:, None, None])
    return np.column_stack([np.sqrt(area), density, np.abs(np.diff(middle, axis=2)).max((1, 2))])


THRESHOLD = {"South": -500.0, "MR": 200.0}


@cache
def source_network(replicate: int) -> keras.Model:
    """North's network of a replicate."""
    north = clinic.simulate(NORTH, PATIENTS["source"], seed=3 * replicate).cohort
    network = models.image_network(SHAPE, filters=FILTERS, seed=replicate)
    return models.train(network, study.lung_window(north.x), north.y, LONG, seed=replicate)


@cache
def digits_network(replicate: int) -> keras.Model:
    """The same network, trained to read handwritten digits."""
    network = models.image_network(SHAPE, outputs=10, filters=FILTERS, seed=replicate)
    return study.reads_digits(network, replace(LONG, steps=400), replicate)


def divide(target: str, replicate: int) -> tuple[Cohort, Cohort]:
    """The pool and the test patients of a target clinic; both targets have the same patients."""
    return study.clinic_of(TARGETS[target], PATIENTS, 3 * replicate + 1, replicate)


def strategies(
    target: str, source: keras.Model, digits: keras.Model, pool: Cohort
) -> dict[str, Strategy]:
    """Every strategy, for one source network and one target clinic."""
    north = Model(source, PREPARE[target])
    own = transfer.restandardised(north, pool.x)

    def reader(s: int) -> Model:
        fresh = north.untrained(s)
        return replace(fresh, network=models.with_backbone_of(digits, fresh.network))

    take = FunctionTransformer(measured, kw_args={"threshold": THRESHOLD[target]})
    simple = make_pipeline(take, StandardScaler(), LogisticRegression())
    longer = replace(FRESH, steps=300)
    return {
        "as is": lambda t, s: north,
        "own statistics, no label": lambda t, s: own,
        "feature extraction": lambda t, s: transfer.frozen_features(north, t, HEAD, s),
        "own statistics + new head": lambda t, s: transfer.frozen_features(own, t, HEAD, s),
        "fine-tuned, fast": lambda t, s: transfer.fine_tuned(north, t, SHORT, s),
        "fine-tuned, slowly": lambda t, s: transfer.fine_tuned(north, t, SLOW, s),
        "own statistics, frozen + slowly": lambda t, s: transfer.fine_tuned(
            own, t, SLOW, s, own.norms
        ),
        "discriminative": lambda t, s: transfer.discriminative_rates(north, t, SHORT, s, 3.0),
        "scratch": lambda t, s: transfer.target_only(north, t, FRESH, s),
        "scratch, 3 times longer": lambda t, s: transfer.target_only(north, t, longer, s),
        "digits, fine-tuned": lambda t, s: transfer.fine_tuned(reader(s), t, FRESH, s),
        "three measurements": lambda t, s: transfer.classical(simple, t),
    }


def one_replicate(repeat: int, only: Only = ALL) -> pd.DataFrame:
    """Every strategy at both targets in one replicate, one row a fit."""
    networks, frames = (source_network(repeat), digits_network(repeat)), []
    for target in chosen(only, "target", TARGETS):
        parts = divide(target, repeat)
        every = strategies(target, *networks, parts[0])
        frames.append(study.curve(every, parts, SIZES, repeat, only).assign(target=target))
    return pd.concat(frames, ignore_index=True)


FACTS = {"replicates": list(REPLICATES), "sizes": list(SIZES), "patients": PATIENTS}
EACH = [{"repeat": replicate} for replicate in REPLICATES]
STUDIES = (Study(TABLE, EACH, one_replicate, ("strategy", "target", "n"), PACKAGES, FACTS),)
