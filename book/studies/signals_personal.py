"""A network for one patient: what five minutes of the patient's beats are worth to it.

A network learns from the 22 patients of DS1. For each patient of DS2 who is not in DS1 it is used
as it is, given the statistics of the patient's five minutes without their labels, or trained on
with their labels; beside it stand a network, a forest and the nearest beat that know these minutes
alone. Most of these minutes' beats are normal, most of any patient's: two controls tell what this
mix of classes does to statistics, and what is the patient's. Only later beats count. A row holds
the patient's confusion matrix. Rate and steps are those of `ecg`, and were not chosen on these
patients.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any, NamedTuple, cast

# First: it decides how TensorFlow starts.
from medxfer_utils import models
from medxfer_utils.models import Training

# isort: split
import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from book.studies import ecg
from book.studies.ecg import ALONE, MORE, Array, files
from book.studies.study import ALL, PACKAGES, Only, Study, chosen
from medxfer_utils.data.ecg import FILES, read_mitbih
from medxfer_utils.models.training import in_turn

Where = NDArray[np.intp]
KINDS, MINUTES, BEATS, SEEDS = "NSVF", 300, 10_000, 4  # seconds; beats of DS1
DS1, STATISTICS, TUNED = "DS1", "own statistics", "fine-tuned"
NORMALS, MIXED = "statistics of DS1's normal beats", "own statistics, mix of DS1"
HELD, JOINT = "fine-tuned, norms kept", "fine-tuned, with DS1"
SCRATCH, FOREST, NEAREST = "from scratch", "forest", "nearest beat"
STRATEGIES = (DS1, STATISTICS, NORMALS, MIXED, TUNED, HELD, JOINT, SCRATCH, FOREST, NEAREST)
SOURCE = Training(450, 0.003, batch=64, cosine=True)


class Hearts(NamedTuple):
    """Beats and both RR intervals; class; patient; part; is it one of the first five minutes."""

    x: Array
    kind: Where
    patient: NDArray[np.integer]
    part: NDArray[np.integer]
    early: NDArray[np.bool_]


@cache
def hearts() -> Hearts:
    """All beats whose class is N, S, V or F; RR intervals as shares of the usual one so far."""
    beats = read_mitbih(files() / "ecg" / FILES[0])
    before = pd.Series(beats.rr[:, 0]).groupby(beats.record)
    usual = before.transform(lambda rr: rr.expanding().median().bfill()).to_numpy()
    early = before.cumsum().fillna(0).to_numpy() < MINUTES
    rr = np.nan_to_num(beats.rr / usual[:, None], nan=1).clip(0, 3) - 1
    x = beats.x - np.median(beats.x, axis=1, keepdims=True)
    kind = np.array([KINDS.find(k) for k in beats.kind])
    every: list[Any] = [np.column_stack([x, 11 * rr]), kind, beats.patient, beats.part, early]
    return Hearts(*(one[kind >= 0] for one in every))


def network(seed: int) -> keras.Model:
    """The network of appendix A7: the beat, and two channels that do not vary."""
    return ecg.network(126, seed, len(KINDS), channels=3, bias=True)


def channels(rows: Where) -> Array:
    """What the network reads of some beats."""
    x = hearts().x[rows]
    rr = np.repeat(x[:, None, 126:] / 11, 126, axis=1)
    return np.concatenate([x[:, :126, None], rr], axis=2)


@cache
def of_ds1(seed: int) -> tuple[keras.Model, Where]:
    """A network that knows DS1, and the beats that it has seen."""
    rows = np.flatnonzero(hearts().part == 1)
    rows = np.random.default_rng(seed).choice(rows, BEATS, replace=False)
    return models.train(network(seed), channels(rows), hearts().kind[rows], SOURCE, seed), rows


def personal(strategy: str, own: Where, seed: int) -> keras.Model:
    """The network of DS1, changed by the patient's five minutes."""
    (net, before), kind = of_ds1(seed), hearts().kind
    if strategy in (STATISTICS, NORMALS, MIXED):
        normal = kind[before] == 0
        ill = np.random.default_rng(seed).permutation(before[~normal])
        some = ill[: round(len(own) * (~normal).sum() / normal.sum())]
        shown = {STATISTICS: own, NORMALS: before[normal], MIXED: np.concatenate([own, some])}
        return models.with_statistics_of(net, channels(shown[strategy]), seed)
    if strategy == SCRATCH:
        return models.train(network(seed), channels(own), kind[own], ALONE, seed)
    rows, order = own, in_turn(len(own), MORE, seed)
    if strategy == JOINT:  # as many of DS1 in each batch
        rows = np.concatenate([own, before])
        order = np.hstack([order, len(own) + in_turn(len(before), MORE, seed)])
    kept = models.norms(net) if strategy == HELD else ()
    return models.train(net, channels(rows), kind[rows], MORE, seed, kept, order=order)


def answers(strategy: str, own: Where, later: Where, seed: int) -> Where:
    """The class of each later beat."""
    x, kind = hearts().x, hearts().kind
    if strategy in (FOREST, NEAREST):
        trees = RandomForestClassifier(30, random_state=seed)
        one = trees if strategy == FOREST else KNeighborsClassifier(1, algorithm="brute")
        return cast(Where, one.fit(x[own], kind[own]).predict(x[later]))
    net = of_ds1(seed)[0] if strategy == DS1 else personal(strategy, own, seed)
    return cast(Where, models.outputs(net, channels(later)).argmax(axis=1))


def of_patients(seed: int, only: Only = ALL) -> list[dict[str, Any]]:
    """The table's rows of one network of DS1."""
    seen, rows = hearts(), []
    known = np.unique(seen.patient[seen.part == 1])
    others = np.setdiff1d(seen.patient[seen.part == 2], known).tolist()
    for who, strategy in product(
        chosen(only, "patient", others), chosen(only, "strategy", STRATEGIES)
    ):
        mine = (seen.patient == who) & (seen.part == 2)
        own, later = (np.flatnonzero(mine & part) for part in (seen.early, ~seen.early))
        told = 4 * seen.kind[later] + answers(strategy, own, later, seed)
        counts = np.bincount(told, minlength=16).tolist()
        names = [f"{a} as {b}" for a, b in product(KINDS, KINDS)]
        rows.append({"strategy": strategy, "patient": who} | dict(zip(names, counts, strict=True)))
    return rows


FACTS = {"seconds of labels": MINUTES, "beats of DS1": BEATS, "seeds": SEEDS}
JOBS = [{"seed": seed} for seed in range(SEEDS)]
KEYS = ("strategy", "patient")
STUDIES = (Study("signals_personal", JOBS, of_patients, KEYS, PACKAGES, FACTS),)
