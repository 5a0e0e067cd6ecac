"""Signals, further: sources without labels or without hearts, and the signs of an archive.

`signals_sources` asks which source helps to find broad beats with few labelled patients of LUDB.
`signals_archive` repeats two transfers to ECG200 with nothing changed but the start.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any, cast

# First: it decides how TensorFlow starts.
from medxfer_utils import models, transfer
from medxfer_utils.models import Model, Training

# isort: split
import numpy as np
from sklearn.metrics import accuracy_score

from book.studies.ecg import (
    BEATS,
    MORE,
    STRENGTH,
    TARGETS,
    Array,
    archive,
    at_each_budget,
    centred,
    files,
    linear,
    ludb,
    network,
    source,
    written,
)
from book.studies.study import ALL, PACKAGES, Only, Study, chosen, halves
from medxfer_utils.cohorts import Cohort
from medxfer_utils.data.ecg import FILES, read_ludb, read_mitbih

AS_IS, SCRATCH, HEAD, FINE, HELD = "as is", "from scratch", "frozen", "fine-tuned", "L2-SP"
STATISTICS, ADAPTED = "own statistics", "adapters"
PIECES, CHIRPS = "masked pieces of beats", "masked pieces of chirps"
WIDTH = "width of the complex"
STRATEGIES = (SCRATCH, AS_IS, STATISTICS, HEAD, FINE, HELD, ADAPTED, PIECES, CHIRPS, WIDTH)
BUDGETS, REPEATS, SOURCES = (10, 20, 50), 8, 4
PRETEXT = Training(300, 0.003, batch=32, cosine=True, loss="squares")


@cache
def broad() -> Cohort:
    """Lead II of each patient of LUDB; ill: block of a bundle, slow spread, or paced ventricles."""
    everybody, about = ludb(), read_ludb(files())[2]
    ill = written(about, "broad beat") | written(about, "paced ventricle")
    return Cohort("LUDB", centred(everybody.x)[..., 0], ill, everybody.patient)


def chirps(n: int, rng: np.random.Generator) -> Array:
    """Sounds without a heart: a pitch that glides, and swells and fades, as in speech."""
    time = np.linspace(0, 1, 126)
    low, high, start = rng.uniform(2, 8, (n, 1)), rng.uniform(-6, 12, (n, 1)), rng.random((n, 1))
    middle, wide = rng.uniform(0.2, 0.8, (n, 1)), rng.uniform(0.1, 0.4, (n, 1))
    swell = np.exp(-((time - middle) ** 2) / (2 * wide**2))
    return swell * np.sin(2 * np.pi * (start + low * time + high * time**2 / 2))


@cache
def pretext(seed: int, kind: str) -> Model:
    """A network that has filled gaps of 40 samples (0.2 s) in signals, without any label."""
    rng = np.random.default_rng(seed)
    beats = read_mitbih(files() / "ecg" / FILES[0])
    known = np.flatnonzero((beats.part > 0) & (beats.kind != "Q"))
    some = beats.x[rng.choice(known, BEATS, replace=False)]
    whole = centred(chirps(BEATS, rng) if kind == CHIRPS else some)[..., 0]
    at = rng.integers(0, 126 - 40, (BEATS, 1))
    gone = (np.arange(126) >= at) & (np.arange(126) < at + 40)
    shown, wanted = np.where(gone, 0, whole)[..., None], np.where(gone, whole, np.nan)
    net = models.train(network(126, seed, 126), shown, wanted, PRETEXT, seed)
    return Model(models.with_backbone_of(net, network(126, seed)), centred)


def of_target(strategy: str, few: Cohort, test: Array, repeat: int) -> Array:
    """Log odds of test patients: the source, then what is kept of it."""
    told = source(repeat % SOURCES)
    if strategy == WIDTH:
        size = np.abs(test[:, 26:63])
        return cast(Array, (size > 0.4 * size.max(axis=1, keepdims=True)).mean(axis=1))
    if strategy == AS_IS:
        return told.logit(test)
    if strategy == STATISTICS:  # no label, but the beats of all who might be labelled
        pool = halves(broad(), 0.5, repeat)[0]
        return transfer.restandardised(told, pool.x, repeat).logit(test)
    if strategy in (PIECES, CHIRPS):
        told = pretext(repeat % SOURCES, strategy)
    start = told.with_new_head(repeat)
    if strategy == HEAD:
        seen = start.features(test)
        return cast(Array, linear(start.features(few.x), few).decision_function(seen))
    if strategy == HELD:
        return transfer.l2_sp(start, few, STRENGTH, MORE, repeat).logit(test)
    if strategy == ADAPTED:
        return transfer.residual_adapters(start, few, MORE, repeat).logit(test)
    begin = start.untrained(repeat) if strategy == SCRATCH else start
    return transfer.fine_tuned(begin, few, MORE, repeat).logit(test)


def of_sources(repeat: int, only: Only = ALL) -> list[dict[str, Any]]:
    """The table's rows of one division."""
    scored = {name: partial(of_target, name) for name in STRATEGIES}
    return at_each_budget(broad(), BUDGETS, scored, repeat, only)


OWN, OTHER, DAYS = "from scratch, lesson's network", "from ECG5000", "from ECGFiveDays"
STARTS, SEEDS = (OWN, SCRATCH, OTHER, DAYS), 10
SAME = Training(300, 0.003, batch=32, cosine=True)  # for source and target, whatever the start


@cache
def on_archive(name: str, seed: int) -> tuple[Any, float]:
    """A network for one set of the archive, from scratch, and its accuracy on the test part."""
    if name == "ECG5000":
        x, y = archive("ECG5000_TRAIN.txt")
        with np.load(files() / "ecg" / "ECG5000_TEST_4499.npz") as stored:
            x_test, y_test = stored["x"][..., None], stored["y"] - 1
        net = models.train(network(140, seed, 5), x, y - 1, SAME, seed)
        right = accuracy_score(y_test, models.outputs(net, x_test).argmax(1))
        return models.train(network(140, seed, 5, mean=True), x, y - 1, SAME, seed), right
    x, y = archive(f"{name}_TRAIN.tsv")
    first = network(x.shape[1], seed, mean=True)
    return models.train(first, x, (y == TARGETS[name]).astype(int), SAME, seed), np.nan


def of_starts(seed: int, only: Only = ALL) -> list[dict[str, Any]]:
    """ECG5000 from scratch; and ECG200 from each start, with the same rate and updates."""
    (x, y), (x_test, y_test) = (archive(f"ECG200_{part}.tsv") for part in ("TRAIN", "TEST"))
    rows = []
    for strategy in chosen(only, "strategy", STARTS):
        if strategy == OWN:
            right = on_archive("ECG5000", seed)[1]
        else:
            start = network(x.shape[1], seed + 100, mean=True)
            if strategy != SCRATCH:
                told = on_archive(strategy.removeprefix("from "), seed)[0].get_weights()[:-2]
                start.set_weights([*told, *start.get_weights()[-2:]])
            net = models.train(start, x, (y == TARGETS["ECG200"]).astype(int), SAME, seed)
            answer = models.outputs(net, x_test)[:, 0] > 0
            right = accuracy_score(y_test == TARGETS["ECG200"], answer)
        target = "ECG5000" if strategy == OWN else "ECG200"
        rows.append({"strategy": strategy, "target": target, "accuracy": right})
    return rows


STUDIES = (
    Study(
        "signals_sources", [{"repeat": repeat} for repeat in range(1, REPEATS + 1)], of_sources,
        ("strategy", "n"), PACKAGES, {"repeats": REPEATS, "sources": SOURCES},
    ),
    Study(
        "signals_archive", [{"seed": seed} for seed in range(SEEDS)], of_starts,
        ("strategy",), PACKAGES, {"seeds": SEEDS, "steps": SAME.steps, "rate": SAME.rate},
    ),
)  # fmt: skip
