"""Rhythm as a source without labels, and a spectrogram as a picture; the target is fibrillation.

A network reads ten seconds of one lead and tells two numbers of the RR intervals, their mean and
their spread; no diagnosis is used. The file of MIT-BIH holds beats, not recordings, so its
stretches are sewn from beats; the straight lines between them are the file's, not the heart's. The
target has whole recordings: who of LUDB's 200 patients fibrillates or flutters. `signals_cost`
counts what a record costs each network. Steps, rates and the range of the spectrogram were chosen
in repeat 0 and others that are not reported; a lower rate for what is fine-tuned, or fewer steps,
is no better there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import Any, cast

# First: it decides how TensorFlow starts.
from medxfer_utils import models, transfer
from medxfer_utils.models import Model, Training

# isort: split
import keras
import numpy as np
from numpy.typing import NDArray
from scipy.signal import spectrogram

from book.studies import ecg
from book.studies.ecg import SOURCES, Array, at_each_budget, files, linear, written
from book.studies.first_transfer import mobilenet, weights
from book.studies.fusion_skin import as_shown
from book.studies.signals import PRETEXT, chirps
from book.studies.study import ALL, PACKAGES, Only, Study, chosen
from medxfer_utils.cohorts import Cohort
from medxfer_utils.data.ecg import AFTER, BEFORE, FILES, HZ, read_ludb, read_mitbih, resampled

SECONDS, RATE, SIDE, STRETCHES = 10, 60, 160, 4000  # samples a second; pixels of a side
SCRATCH, RANDOM = "from scratch", "frozen, random weights"
HEARTS, SOUNDS = "of hearts", "of chirps"
TOLD, FROZEN, TUNED = "as is, ", "frozen, ", "fine-tuned, "
SPREAD, NUMBERS = "spread of RR", "mean and spread of RR"
IMAGE, NOISE = "spectrogram, ImageNet", "spectrogram, random weights"
KEPT = (TOLD, FROZEN, TUNED)
OF = {f"{how}rhythm {kind}": (how, kind) for kind in (HEARTS, SOUNDS) for how in KEPT}
STRATEGIES = (SCRATCH, RANDOM, *OF, SPREAD, NUMBERS, IMAGE, NOISE)
BUDGETS, REPEATS = (20, 50, 100), 8
ALONE, MORE = (Training(300, rate, batch=16, cosine=True) for rate in (0.003, 0.001))


def network(seed: int, outputs: int = 1) -> keras.Model:
    """Five blocks of convolution over time; the last sees 3.5 s at once. The head sees the mean."""
    return ecg.network(SECONDS * RATE, seed, outputs, mean=True, widths=(16, 16, 32, 32, 32))


def scaled(x: Array) -> Array:
    """Each stretch less its median, with spread 1: no voltage is left."""
    less = x - np.median(x, axis=-1, keepdims=True)
    return cast(Array, (less / less.std(axis=-1, keepdims=True))[..., None])


def two_numbers(time: Array) -> tuple[float, float]:
    """Mean of the RR intervals, and their spread as a share of it."""
    rr = np.diff(time)
    return rr.mean(), rr.std() / rr.mean()


def sewn(time: Array, pieces: Array) -> Array:
    """Ten seconds at `RATE`: pieces laid down with their R at each time, straight lines between."""
    line = np.full(SECONDS * HZ + BEFORE + AFTER, np.nan)
    for at, piece in zip(np.rint(time * HZ).astype(int), pieces, strict=True):
        line[at : at + BEFORE + AFTER] = piece
    line, every = line[BEFORE : BEFORE + SECONDS * HZ], np.arange(SECONDS * HZ)
    there = np.isfinite(line)
    return resampled(np.interp(every, every[there], line[there]), HZ, RATE)


def of_hearts(rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """Times and beats of stretches of MIT-BIH, three quarters of its patients, without a label."""
    beats = read_mitbih(files() / "ecg" / FILES[0])
    people = np.unique(beats.patient[beats.part > 0])
    some = rng.choice(people, 3 * len(people) // 4, replace=False)
    records = np.unique(beats.record[np.isin(beats.patient, some)])
    of = [np.flatnonzero(beats.record == one) for one in records]
    times = [np.cumsum(np.nan_to_num(beats.rr[rows, 0])) for rows in of]
    while True:
        k = rng.integers(len(of))
        time = times[k] - rng.uniform(0, times[k][-1] - SECONDS)
        within = (time >= 0) & (time < SECONDS)
        yield time[within], beats.x[of[k][within]]


def of_chirps(rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """The same without a heart: one syllable again and again, more or less evenly."""
    while True:
        usual, spread = np.exp(rng.uniform(np.log([0.4, 0.01]), np.log([1.4, 0.4])))
        gaps = usual * np.exp(spread * rng.normal(size=50))
        time = np.cumsum(gaps) - rng.uniform(0, usual)
        time = time[(time >= 0) & (time < SECONDS)]
        yield time, np.repeat(chirps(1, rng), len(time), axis=0)


@cache
def pretext(seed: int, kind: str) -> keras.Model:
    """A network that tells the two numbers of a stretch, in standard deviations."""
    rng = np.random.default_rng(seed)
    drawn = of_hearts(rng) if kind == HEARTS else of_chirps(rng)
    x, told = np.zeros((STRETCHES, SECONDS * RATE)), np.zeros((STRETCHES, 2))
    for k in range(STRETCHES):
        time, pieces = next(drawn)
        while len(time) < 4:
            time, pieces = next(drawn)
        x[k], told[k] = sewn(time, pieces), np.log(np.add(two_numbers(time), (0, 0.02)))
    told = (told - told.mean(0)) / told.std(0)
    return models.train(network(seed, 2), scaled(x), told, PRETEXT, seed)


@cache
def ludb() -> tuple[Cohort, Array, Array]:
    """Numbers of the patients, who fibrillates or flutters; lead II at 125 Hz; the two numbers."""
    x, peaks, about = read_ludb(files())
    ill = written(about, "fibrillation or flutter")
    numbers = np.array([two_numbers(at / 125) for at in peaks])
    who = about.index.to_numpy()
    return Cohort("LUDB", np.arange(float(len(x))), ill, who), x[:, 1].astype(float), numbers


def shown(rows: Array) -> Array:
    """What the network over time reads of some patients."""
    return scaled(resampled(ludb()[1][rows.astype(int)], 125, RATE))


def pictures() -> NDArray[np.uint8]:
    """The spectrogram of each patient, up to 40 Hz, in decibels: 30 dB from black to white."""
    hz, _, power = spectrogram(ludb()[1], 125, nperseg=64, noverlap=56)
    level = 10 * np.log10(power[:, (hz > 0) & (hz <= 40)] + 1e-12)[:, ::-1]
    level -= level.max(axis=(1, 2), keepdims=True)
    grey = np.rint(255 * np.clip(1 + level / 30, 0, 1)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


@cache
def seen(seed: int | None) -> Array:
    """What MobileNet makes of every picture: that of ImageNet, or one that was never trained."""
    if seed is not None:
        keras.utils.set_random_seed(seed)
    net = mobilenet(SIDE, weights() if seed is None else None)
    parts = [net(part, training=False) for part in as_shown(pictures(), SIDE, 10)]
    return np.concatenate(parts)


def scores(strategy: str, few: Cohort, test: Array, repeat: int) -> Array:
    """Log odds of the test patients."""
    at, some, those = repeat % SOURCES, few.x.astype(int), test.astype(int)
    how, kind = OF.get(strategy, (strategy, HEARTS))
    if how == SPREAD:
        return cast(Array, ludb()[2][those, 1])
    if how in (NUMBERS, IMAGE, NOISE):
        x = ludb()[2] if how == NUMBERS else seen(None if how == IMAGE else at)
        return cast(Array, linear(x[some], few).decision_function(x[those]))
    told = pretext(at, kind)
    if how == TOLD:
        return models.outputs(told, shown(test))[:, 1]
    start = Model(models.with_backbone_of(told, network(repeat)), shown)
    start = start.untrained(repeat) if how in (SCRATCH, RANDOM) else start
    if how in (FROZEN, RANDOM):
        fit = linear(start.features(few.x), few)
        return cast(Array, fit.decision_function(start.features(test)))
    return transfer.fine_tuned(start, few, ALONE if how == SCRATCH else MORE, repeat).logit(test)


def of_rhythm(repeat: int, only: Only = ALL) -> list[dict[str, Any]]:
    """The table's rows of one division."""
    scored = {name: partial(scores, name) for name in STRATEGIES}
    return at_each_budget(ludb()[0], BUDGETS, scored, repeat, only)


def cost(seed: int, only: Only = ALL) -> Iterator[dict[str, Any]]:
    """What a network weighs, and the multiplications that one record takes."""
    networks = {"over time": network(seed), "MobileNet": mobilenet(SIDE, None)}
    for name in chosen(only, "network", networks):
        net, times = networks[name], 0.0
        for layer in (one for one in net.layers if hasattr(one, "kernel")):
            times += np.prod(layer.output.shape[1:-1]) * np.prod(layer.kernel.shape)
        yield {"network": name, "weights": net.count_params(), "multiplications": times}


JOBS = [{"repeat": repeat} for repeat in range(1, REPEATS + 1)]
FACTS = {"budgets": list(BUDGETS), "repeats": REPEATS, "sources": SOURCES, "stretches": STRETCHES}
STUDIES = (
    Study("signals_rhythm", JOBS, of_rhythm, ("strategy", "n"), PACKAGES, FACTS),
    Study("signals_cost", [{"seed": 0}], cost, ("network",), PACKAGES, {"side": SIDE}),
)
