"""Skin lesions of real patients: a smartphone image with a clinical record (PAD-UFES-20).

The record is missing where nobody was biopsied, so that its absence alone tells much of the
diagnosis; the comparison is therefore on the images that have one. Each division leaves out a fifth
of the patients five times, with all their images, and scores every image once. Intervals draw
patients.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

# First: it decides how TensorFlow starts.
from book.studies.first_transfer import mobilenet, weights

# isort: split
import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from book.studies import fusion_ways
from book.studies.study import ALL, PACKAGES, Only, Study, chosen
from medxfer_utils import data, metrics, models, require
from medxfer_utils.cohorts import Cohort, folds
from medxfer_utils.models import Array, Labels, Modalities, Strategy, predicting

FILES = ("pad_ufes_20.csv", "pad_ufes_20_64.npz")  # see the page on data for what they hold
DERMOSCOPY = ("ham10000_metadata.csv", "ham10000_28.npz")  # HAM10000
SIZE, PARTS = 160, 40  # pixels of a side that MobileNet is shown; parts in which it sees them
NUMBERS = ["age", "fitspatrick", "diameter_1", "diameter_2"]
WORDS = ["region", "gender", "smoke", "drink", "pesticide", "skin_cancer_history"]
WORDS += ["cancer_history", "has_piped_water", "has_sewage_system"]
WORDS += ["itch", "hurt", "changed", "bleed", "elevation", "grew"]
DIVISIONS, DRAWS = 3, 200
BOTH = ("image", "record")
GAPS = ("all images, is there a record?", "all images, record")


def file(name: str, folder: str = "skin") -> Path:
    """Where a file of the reader's is."""
    path = data.find_local(name, folder)
    where = f"{name} is not in the folder {folder} of MEDXFER_DATA: see the page on data."
    require(path, where, data.DataError)
    return Path(str(path))


@cache
def table() -> pd.DataFrame:
    """One row an image: patient, diagnosis, record."""
    return pd.read_csv(file(FILES[0]))


@cache
def photographs() -> NDArray[np.uint8]:
    """The image of each row of the table, at 64 by 64 pixels, in colour."""
    with np.load(file(FILES[1]), allow_pickle=False) as stored:
        require(stored["img_id"].tolist() == table()["img_id"].tolist(), "Rows differ in order.")
        return np.asarray(stored["x"])


@cache
def dermoscopy_archive() -> tuple[Array, pd.DataFrame]:
    """HAM10000: images of 28 by 28 pixels, from -1 to 1, and a row each."""
    rows = pd.read_csv(file(DERMOSCOPY[0]))
    with np.load(file(DERMOSCOPY[1]), allow_pickle=False) as stored:
        order = rows.set_index("image_id").loc[stored["image_id"]].reset_index()
        return np.asarray(stored["x"] / 127.5 - 1), order


def as_shown(x: NDArray[np.uint8], size: int, parts: int) -> Iterator[tf.Tensor]:
    """Images as MobileNet wants them, part after part: of `size` pixels, from -1 to 1."""
    for some in np.array_split(x, parts):
        resized = tf.image.resize(tf.cast(some, tf.float32), (size, size))
        yield keras.applications.mobilenet.preprocess_input(resized)


@cache
def seen() -> Array:
    """What a MobileNet of ImageNet makes of each image and its mirror image, their mean."""
    network, parts = mobilenet(SIZE, weights()), []
    for ready in as_shown(photographs(), SIZE, PARTS):
        both = [network(v, training=False) for v in (ready, ready[:, :, ::-1])]
        parts.append(np.mean(both, axis=0))
    return np.concatenate(parts)


def encoded(record: pd.DataFrame) -> pd.DataFrame:
    """Numbers as they are, words as a column for each value, "missing" among them."""
    dummies = pd.get_dummies(record[WORDS].astype("string").fillna("missing"), dtype=float)
    return pd.concat([record[NUMBERS].fillna(0.0).astype(float), dummies], axis=1)


@cache
def patients(everybody: bool) -> tuple[Cohort, Modalities]:
    """All images, or those that have a record; columns that never change are left out."""
    some = table()["gender"].notna().to_numpy() | everybody
    rows = table()[some].reset_index(drop=True)
    record = encoded(rows).loc[:, lambda frame: frame.nunique() > 1]
    parts = {"image": pd.DataFrame(seen()[some]).add_prefix("feature_"), "record": record}
    kinds = Modalities({name: tuple(map(str, part)) for name, part in parts.items()})
    y, who = rows["malignant"].to_numpy(), rows["patient_id"].to_numpy()
    return Cohort("PAD-UFES-20", kinds.table(parts), y, who), kinds


def strategies(kinds: Modalities) -> dict[str, Strategy]:
    """By name."""
    alone: dict[str, Strategy] = {name: partial(fusion_ways.linear, kinds, [name]) for name in BOTH}
    alone["early"] = partial(fusion_ways.linear, kinds, BOTH)
    ways = (fusion_ways.late, fusion_ways.stacked, fusion_ways.validated)
    return alone | {way.__name__: partial(way, kinds, BOTH) for way in ways}


def held_out(strategy: Strategy, cohort: Cohort, division: int) -> Array:
    """Log odds of each image, by a model that has not seen its patient."""
    found = np.empty(len(cohort))
    for part in folds(cohort, 5, np.random.default_rng(division)):
        rest = np.setdiff1d(cohort.patients, part)
        model = predicting(strategy(cohort.of(rest), division))
        out = np.isin(cohort.patient, part)
        found[out] = models.log_odds_of(model, cohort.x[out])
    return found


def ahead(y: Labels, a: Array, b: Array, who: Any, seed: int) -> dict[str, float]:
    """AUROC of a minus that of b, and its interval over patients."""
    rows = pd.Series(np.arange(len(y))).groupby(who).apply(np.array).tolist()
    rng, gaps = np.random.default_rng(seed), []
    for _ in range(DRAWS):
        drawn = np.concatenate([rows[k] for k in rng.integers(len(rows), size=len(rows))])
        gaps.append(metrics.auroc(y[drawn], a[drawn]) - metrics.auroc(y[drawn], b[drawn]))
    low, high = np.quantile(gaps, [0.025, 0.975])
    return {"gain": metrics.auroc(y, a) - metrics.auroc(y, b), "low": low, "high": high}


def one_division(division: int, only: Only = ALL) -> list[dict[str, Any]]:
    """Every strategy on one division of the patients."""
    cohort, kinds = patients(everybody=False)
    ways, rows = strategies(kinds), []
    record = held_out(ways["record"], cohort, division)
    for name in chosen(only, "strategy", ways):
        z = record if name == "record" else held_out(ways[name], cohort, division)
        gain = ahead(cohort.y, z, record, cohort.patient, division)
        rows.append({"strategy": name, "AUROC": metrics.auroc(cohort.y, z), **gain})
    everybody, more = patients(everybody=True)
    whole = strategies(more)["record"]
    there = cast(Array, table()["gender"].notna().to_numpy(float))
    for name in chosen(only, "strategy", GAPS):
        z = there if name == GAPS[0] else held_out(whole, everybody, division)
        rows.append({"strategy": name, "AUROC": metrics.auroc(everybody.y, z)})
    return rows


def found() -> dict[str, Any]:
    """How many there are."""
    some, everybody = patients(everybody=False)[0], patients(everybody=True)[0]
    return {
        name: {"images": len(c), "patients": len(c.patients), "malignant": int(c.y.sum())}
        for name, c in (("with a record", some), ("all", everybody))
    }


JOBS = [{"division": division} for division in range(DIVISIONS)]
FACTS = {"size": SIZE, "divisions": DIVISIONS, "draws": DRAWS}
STUDIES = (Study("fusion_skin", JOBS, one_division, ("strategy",), PACKAGES, FACTS, found),)
