"""Signals, further: twelve leads and their wiring, and personal models.

`signals_leads` cross-validates four diagnoses of LUDB and rewires the electrodes of the patients
tested. `signals_personal` gives a model of de Chazal's DS1 the first five minutes of each patient
of DS2, and counts the beats that come later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

# First: it decides how TensorFlow starts.
from medxfer_utils import metrics, models
from medxfer_utils.models import Training

# isort: split
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from book.studies.ecg import (
    Array,
    centred,
    files,
    linear,
    network,
    source,
)  # fmt: skip
from book.studies.study import ALL, PACKAGES, Only, Study, chosen
from medxfer_utils.cohorts import Cohort
from medxfer_utils.data.ecg import FILES, Beats, beats_of, read_ludb, read_mitbih, wrists_swapped

LABELS = {  # of LUDB: the column, and what it holds
    "left ventricle": ("Hypertrophies", "Left ventricular"),
    "left atrium": ("Hypertrophies", "Left atrial"),
    "ischaemia or scar": ("Ischemia", ""),
    "fibrillation or flutter": ("Rhythms", "Atrial f"),
}
ONE, TWELVE, REWIRED = "lead II, network", "twelve leads, network", "twelve leads, rewired copies"
FEATURES, RANDOM = "twelve leads, source features", "twelve leads, random features"
RHYTHM = "two numbers of the rhythm"
ON_LEADS = (ONE, TWELVE, REWIRED, FEATURES, RANDOM, RHYTHM)
RIGHT, WRISTS, LACKING = "as recorded", "wrists swapped", "lead I missing"
WIRINGS: Mapping[str, Callable[[Array], Array]] = {
    RIGHT: lambda x: x,
    WRISTS: wrists_swapped,
    LACKING: lambda x: np.where(np.arange(12)[:, None] == 0, 0, x),
}
DIVISIONS, FOLDS = (2, 3), 5
FEW_LEADS = Training(200, 0.003, batch=32, cosine=True, loss="squares")


@cache
def hearts() -> tuple[Array, NDArray[np.integer], Array]:
    """Median beat of each patient and lead (200, 12, 126), four diagnoses, mean and spread of RR.

    Each lead of the file spans about 1, whatever it spanned in mV: its gain is lost.
    """
    x, peaks, about = read_ludb(files())
    one = [[beats_of(lead, 125, at) for lead in rows] for rows, at in zip(x, peaks, strict=True)]
    beat = np.stack([[np.median(b, axis=0) for b in rows] for rows in one]).astype(float)
    told = [about[c].str.contains(word).fillna(False) for c, word in LABELS.values()]
    gaps = [np.diff(at) / 125 for at in peaks]
    rhythm = np.array([[g.mean(), g.std() / g.mean()] for g in gaps])
    labels = np.column_stack(told).astype(int)
    return beat - np.median(beat, axis=-1, keepdims=True), labels, rhythm


def channels(x: Array) -> Array:
    """Leads last, as a network reads them."""
    return np.swapaxes(x, 1, 2)


def by_network(strategy: str, rows: NDArray[np.integer], seed: int) -> Callable[[Array], Array]:
    """A network for four diagnoses at once, trained on some patients."""
    beat, y, _ = hearts()
    lead = slice(1, 2) if strategy == ONE else slice(None)
    x, wanted = beat[rows], y[rows].astype(float)
    if strategy == REWIRED:  # each patient also with wrists swapped, and with leads taken away
        gone = np.random.default_rng(seed).random((len(x), 12, 1)) < 0.2
        x = np.concatenate([x, wrists_swapped(x), np.where(gone, 0, x)])
        wanted = np.tile(wanted, (3, 1))
    start = network(126, seed, 4, leads=1 if strategy == ONE else 12, drop=0.5)
    net = models.train(start, channels(x[:, lead]), wanted, FEW_LEADS, seed)
    return lambda shown: models.outputs(net, channels(shown[:, lead]))


def by_regression(strategy: str, rows: NDArray[np.integer]) -> Callable[[Array], Array]:
    """A logistic regression for each diagnosis, on the features that a network has of each lead."""
    beat, y, _ = hearts()
    told = source(0) if strategy == FEATURES else source(0).untrained(0)

    def seen(x: Array) -> Array:
        return np.concatenate([told.features(x[:, lead]) for lead in range(12)], axis=1)

    some = seen(beat[rows])
    fits = [linear(some, Cohort("LUDB", some, one, rows)) for one in y[rows].T]
    return lambda shown: np.column_stack([f.decision_function(seen(shown)) for f in fits])


def by_rhythm(rows: NDArray[np.integer], test: NDArray[np.integer]) -> Array:
    """Scores from two numbers of the rhythm, which no wiring changes."""
    _, y, rhythm = hearts()
    fits = [linear(rhythm[rows], Cohort("LUDB", rhythm[rows], one, rows)) for one in y[rows].T]
    return np.column_stack([f.decision_function(rhythm[test]) for f in fits])


def out_of_fold(strategy: str, division: int) -> dict[str, Array]:
    """Scores of each patient, who was not in training, under each wiring."""
    beat, y, _ = hearts()
    found: dict[str, Array] = {wiring: np.zeros(y.shape) for wiring in WIRINGS}
    for fold, (rows, test) in enumerate(KFold(FOLDS, shuffle=True, random_state=division).split(y)):
        if strategy == RHYTHM:
            for scores in found.values():
                scores[test] = by_rhythm(rows, test)
            continue
        seed = FOLDS * division + fold
        net = strategy not in (FEATURES, RANDOM)
        scored = by_network(strategy, rows, seed) if net else by_regression(strategy, rows)
        for wiring, scores in found.items():
            scores[test] = scored(WIRINGS[wiring](beat[test]))
    return found


def on_leads(strategy: str, only: Only = ALL) -> list[dict[str, Any]]:
    """AUROC of each diagnosis under each wiring, with intervals that draw patients anew.

    It is the mean over divisions into folds; `lost` compares with the right wiring, in pairs.
    """
    y, found = hearts()[1], [out_of_fold(strategy, division) for division in DIVISIONS]
    anew = np.random.default_rng(0).integers(len(y), size=(400, len(y)))
    rows = []
    for wiring in chosen(only, "wiring", WIRINGS):
        for k, label in enumerate(LABELS):

            def area(at: Any, wiring: str = wiring, k: int = k) -> float:
                return float(np.mean([metrics.auroc(y[at, k], s[wiring][at, k]) for s in found]))

            lost = partial(lambda at, area: area(at, RIGHT) - area(at), area=area)
            row: dict[str, Any] = {"wiring": wiring, "label": label}
            for name, value in (("AUROC", area), ("lost", lost)):
                ends = np.quantile([value(at) for at in anew], [0.025, 0.975])
                every = value(np.arange(len(y)))
                row |= dict(zip((name, f"{name} low", f"{name} high"), (every, *ends), strict=True))
            rows.append(row)
    return rows


SPLIT, OWN = "DS1 alone", "DS1, own statistics"
TUNED, BOTH_SETS = "fine-tuned on five minutes", "fine-tuned on five minutes and DS1"
ALONE, NEAREST = "five minutes alone", "five minutes, nearest beat"
PERSONAL = (SPLIT, OWN, TUNED, BOTH_SETS, ALONE, NEAREST)
KINDS, SECONDS, MANY = "NSVF", 300, 12_000
GENERAL = Training(600, 0.003, batch=64, cosine=True)
LITTLE = Training(60, 0.001, batch=32, cosine=True)


@cache
def readings() -> tuple[Beats, Array, NDArray[np.integer], Array]:
    """Beats of MIT-BIH, what a network sees of each (126, 3), its class, and its time in seconds.

    The two RR intervals, over the median of those before, are two channels that do not vary.
    """
    beats = read_mitbih(files() / "ecg" / FILES[0])
    before = pd.Series(beats.rr[:, 0]).groupby(beats.record)
    usual = before.transform(lambda rr: rr.expanding().median().bfill()).to_numpy()
    rr = np.nan_to_num(beats.rr / usual[:, None], nan=1).clip(0, 3) - 1
    shape = (len(rr), beats.x.shape[1], 2)
    x = np.concatenate([centred(beats.x), np.broadcast_to(rr[:, None], shape)], axis=2)
    kind = np.array([KINDS.find(k) for k in beats.kind])
    return beats, x.astype("float32"), kind, before.cumsum().fillna(0).to_numpy()


@cache
def general(seed: int) -> tuple[Any, NDArray[np.integer]]:
    """A network that has seen patients of DS1, and the beats it has seen."""
    beats, x, kind, _ = readings()
    among = np.flatnonzero((beats.part == 1) & (kind >= 0))
    rows = np.random.default_rng(seed).choice(among, MANY, replace=False)
    start = network(beats.x.shape[1], seed, len(KINDS), leads=3)
    return models.train(start, x[rows], kind[rows], GENERAL, seed), rows


def called(strategy: str, own: NDArray[np.integer], late: Array, seed: int) -> Any:
    """Classes of later beats, after the first five minutes (rows `own`) of the same patient."""
    (_, x, kind, _), (net, rows) = readings(), general(seed)
    if strategy == NEAREST:
        flat, shown = x[own].reshape(len(own), -1), late.reshape(len(late), -1)
        near = (shown**2).sum(1)[:, None] - 2 * shown @ flat.T + (flat**2).sum(1)
        return kind[own][near.argmin(1)]
    if strategy == OWN:
        net = models.with_statistics_of(net, x[own], seed)
    elif strategy != SPLIT:
        start = models.reinitialised(net, seed) if strategy == ALONE else net
        mixed = np.random.default_rng(seed).choice(rows, len(own))
        fit = np.concatenate([own, mixed]) if strategy == BOTH_SETS else own
        how = Training(LITTLE.steps, 0.003, batch=32, cosine=True) if strategy == ALONE else LITTLE
        net = models.train(start, x[fit], kind[fit], how, seed)
    return models.outputs(net, late).argmax(1)


def personal(seed: int, only: Only = ALL) -> list[dict[str, Any]]:
    """Of each patient of DS2: how many later beats of each class were called what."""
    beats, x, kind, time = readings()
    rows = []
    there = np.unique(beats.record[(beats.part == 2) & (beats.record != 202)])  # 202 is of DS1, too
    for record in chosen(only, "record", map(int, there)):
        mine = (beats.record == record) & (kind >= 0)
        own, later = (np.flatnonzero(mine & part) for part in (time < SECONDS, time >= SECONDS))
        for strategy in chosen(only, "strategy", PERSONAL):
            answer = called(strategy, own, x[later], seed)
            counts = {
                f"{a} as {b}": int(np.sum((kind[later] == i) & (answer == j)))
                for i, a in enumerate(KINDS)
                for j, b in enumerate(KINDS)
            }
            rows.append({"strategy": strategy, "record": record} | counts)
    return rows


STUDIES = (
    Study(
        "signals_leads", [{"strategy": s} for s in ON_LEADS], on_leads,
        ("strategy", "wiring", "label"), PACKAGES, {"divisions": list(DIVISIONS), "folds": FOLDS},
    ),
    Study(
        "signals_personal", [{"seed": seed} for seed in range(2)], personal,
        ("strategy", "record"), PACKAGES, {"seconds": SECONDS, "beats": MANY},
    ),
)  # fmt: skip
