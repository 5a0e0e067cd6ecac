"""Few-shot strategies on lesions of skin, of real patients: rare diagnoses, and other images.

The source is the four common diagnoses of HAM10000 (dermoscopy). Tasks are pairs of its three rare
ones, of other lesions, and a cancer against a benign lesion of PAD-UFES-20 (photographs by
telephone), with five patients of each class. HAM10000 has no patient ids: a lesion is a patient.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import combinations, product
from typing import Any

# First: it decides how TensorFlow starts.
from medxfer_utils import models

# isort: split
import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from book.studies import fusion_skin
from book.studies.handful import FACTS, KEYS, judged
from book.studies.handful_starts import MORE, SOURCE, Tasks, network, starts
from book.studies.study import ALL, PACKAGES, Only, Study
from medxfer_utils.cohorts import Cohort
from medxfer_utils.models import Array

COMMON, RARE = ("nv", "mel", "bkl", "bcc"), ("akiec", "df", "vasc")
BENIGN, MALIGNANT = ("SEK", "ACK"), ("BCC", "SCC")  # of PAD-UFES-20; its melanomas are too few


@cache
def telephone() -> tuple[Array, pd.DataFrame]:
    """PAD-UFES-20, at HAM10000's 28 pixels: images, and a row each."""
    x = tf.image.resize(fusion_skin.photographs(), (28, 28), antialias=True)
    return x.numpy() / 127.5 - 1, fusion_skin.table()


def pairs(
    x: Array, diagnosis: Any, who: Any, each: Iterable[tuple[str, str]], name: str
) -> dict[str, Cohort]:
    """Each two diagnoses are a task: the second against the first."""
    tasks = {}
    for pair in each:
        rows = np.isin(diagnosis, pair)
        named = f"{name}: {pair[1]} or {pair[0]}"
        y = (diagnosis[rows] == pair[1]).astype(int)
        tasks[named] = Cohort(named, x[rows], y, who[rows])
    return tasks


def common(replicate: int) -> tuple[keras.Model, keras.Model, Tasks]:
    """A network that tells the common diagnoses apart, the same trained longer, and their pairs."""
    x, table = fusion_skin.dermoscopy_archive()
    kind, who = table["dx"].to_numpy(), table["lesion_id"].to_numpy()
    rows = np.isin(kind, COMMON)
    data = x[rows], np.array([COMMON.index(k) for k in kind[rows]])
    made = models.train(network((28, 28, 3), len(COMMON), replicate), *data, SOURCE, replicate)
    longer = models.train(made, *data, MORE, replicate + 1000)
    return made, longer, [*pairs(x, kind, who, combinations(COMMON, 2), "HAM10000").values()]


@cache
def skin_tasks() -> dict[str, Cohort]:
    """Rare diagnoses of HAM10000, and those of PAD-UFES-20."""
    x, table = fusion_skin.dermoscopy_archive()
    kind, who = table["dx"].to_numpy(), table["lesion_id"].to_numpy()
    rare = pairs(x, kind, who, combinations(RARE, 2), "HAM10000")
    x, table = telephone()
    kind, who = table["diagnostic"].to_numpy(), table["patient_id"].to_numpy()
    return rare | pairs(x, kind, who, product(BENIGN, MALIGNANT), "PAD-UFES-20")


def skin(replicate: int, only: Only = ALL) -> list[dict[str, Any]]:
    """Every strategy on lesions of skin."""
    begin = starts(*common(replicate), replicate)
    return [*judged(begin, skin_tasks(), (5,), replicate, only)]


def found() -> dict[str, Any]:
    """How many patients of each class there are."""
    tasks = skin_tasks()
    return {
        "patients": {
            name: [len(np.unique(c.patient[c.y == k])) for k in (0, 1)] for name, c in tasks.items()
        }
    }


JOBS = [{"replicate": replicate} for replicate in (1, 2, 3)]
STUDIES = (Study("handful_skin", JOBS, skin, KEYS, PACKAGES, FACTS, found),)
