"""Transfer among electrocardiograms: ventricular beats to hypertrophy, and one archive's sets.

In `ecg_transfer` a source network learns ventricular beats of MIT-BIH; the target is hypertrophy or
overload of the left ventricle in LUDB, from each patient's median beat of lead II. In `ecg_archive`
the source is ECG5000, a single patient, and each target is a set with one label a beat.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

# First: it decides how TensorFlow starts.
from medxfer_utils import models, transfer
from medxfer_utils.models import Model, Training

# isort: split
import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from book.studies.study import ALL, PACKAGES, Only, Study, chosen, halves
from medxfer_utils.cohorts import Cohort, draw
from medxfer_utils.data.ecg import FILES, beats_of, read_ludb, read_mitbih

Array = NDArray[np.floating]
Scored = Callable[[Cohort, Array, int], Array]  # labelled, test, seed: log odds
BUDGETS, REPEATS, SOURCES = (10, 20, 50, 100), 20, 4
SCRATCH, FROZEN, TUNED, HELD = "from scratch", "frozen", "fine-tuned", "L2-SP"
RANDOM, SHUFFLED = "frozen, random weights", "fine-tuned, shuffled source"
BEAT, HEIGHT = "beat + logistic regression", "height of R"
STRATEGIES = (SCRATCH, FROZEN, TUNED, HELD, RANDOM, SHUFFLED, BEAT, HEIGHT)
AT_SOURCE = Training(300, 0.003, batch=32, cosine=True)
ALONE = Training(100, 0.003, batch=16, cosine=True)
MORE = Training(100, 0.001, batch=16, cosine=True)
STRENGTH, BEATS = 0.1, 8000
TARGETS = {"ECG200": 1, "ECGFiveDays": 1, "TwoLeadECG": 1}  # the class that is called 0
BOTH = (SCRATCH, TUNED)
# By what LUDB's table says in which column.
DIAGNOSES = {
    "left ventricle": ("Hypertrophies", "Left ventricular"),
    "ischaemia or scar": ("Ischemia", "[a-z]"),
    "fibrillation or flutter": ("Rhythms", "Atrial f"),
    "broad beat": ("Conduction abnormalities", "(?<!In)Complete (?:left|right)|intravintricular"),
    "paced ventricle": ("Cardiac pacing", "entricular pacing"),
}


def files() -> Path:
    """The folder in which both sets are."""
    return Path(os.environ["MEDXFER_DATA"])


def centred(x: Array) -> Array:
    """Each beat less its median: the baseline is at 0 mV."""
    return cast(Array, (x - np.median(x, axis=1, keepdims=True))[..., None])


def network(
    length: int,
    seed: int,
    outputs: int = 1,
    *,
    mean: bool = False,
    widths: Sequence[int] = (16, 32, 32),
    channels: int = 1,
    bias: bool = False,
) -> keras.Model:
    """Blocks of convolution over time; the head sees places, or their mean."""
    layers, made = keras.layers, keras.Sequential([keras.Input((length, channels))])
    for k, width in enumerate(widths, 1):
        made.add(layers.Conv1D(width, 7, padding="same", use_bias=bias, name=f"conv_{k}"))
        made.add(layers.BatchNormalization(momentum=0.9, name=f"norm_{k}"))
        made.add(layers.ReLU(name=f"relu_{k}"))
        made.add(layers.MaxPooling1D(name=f"pool_{k}"))
    last = layers.GlobalAveragePooling1D if mean else layers.Flatten
    made.add(last(name="features"))
    made.add(layers.Dense(outputs, name="head"))
    return models.reinitialised(made, seed)


@cache
def source(seed: int, shuffled: bool = False) -> Model:
    """Ventricular or not: a network that saw three quarters of the patients of MIT-BIH."""
    beats, rng = read_mitbih(files() / "ecg" / FILES[0]), np.random.default_rng(seed)
    people = np.unique(beats.patient)
    some = rng.choice(people, 3 * len(people) // 4, replace=False)
    fit = (beats.part > 0) & (beats.kind != "Q") & np.isin(beats.patient, some)
    rows = rng.choice(np.flatnonzero(fit), BEATS, replace=False)
    y = (beats.kind[rows] == "V").astype(int)
    x = centred(beats.x[rows].astype(float))
    y = rng.permutation(y) if shuffled else y
    return Model(models.train(network(126, seed), x, y, AT_SOURCE, seed), centred)


def written(about: pd.DataFrame, diagnosis: str) -> NDArray[np.int_]:
    """1 for the patients of LUDB of whom this is written."""
    column, word = DIAGNOSES[diagnosis]
    return np.asarray(about[column].fillna("").str.contains(word), dtype=int)


@cache
def ludb() -> Cohort:
    """The median beat of lead II of each patient, and what the heart's left chamber has."""
    x, peaks, about = read_ludb(files())
    beat = [np.median(beats_of(one[1], 125, at), 0) for one, at in zip(x, peaks, strict=True)]
    ill = written(about, "left ventricle")
    return Cohort("LUDB", np.stack(beat).astype(float), ill, about.index.to_numpy())


def linear(x: Array, few: Cohort) -> Any:
    """Logistic regression on what is given of a few patients."""
    held = LogisticRegression(C=0.01, max_iter=1000)
    return make_pipeline(StandardScaler(), held).fit(x.reshape(len(few), -1), few.y)


def seen(x: Array, by: Model | None, strategy: str) -> Array:
    """What logistic regression is shown: features of a network, the beat, or one height."""
    shown = by.features(x) if by else centred(x)[..., 0]
    return cast(Array, np.ptp(x, axis=1)[:, None] if strategy == HEIGHT else shown)


def scores(strategy: str, few: Cohort, test: Array, repeat: int) -> Array:
    """Log odds of the test patients."""
    at = repeat % SOURCES
    start = source(at, strategy == SHUFFLED).with_new_head(repeat)
    if strategy in (FROZEN, RANDOM, BEAT, HEIGHT):
        by = {FROZEN: start, RANDOM: start.untrained(repeat)}.get(strategy)
        fit = linear(seen(few.x, by, strategy), few)
        shown = seen(test, by, strategy).reshape(len(test), -1)
        return cast(Array, fit.decision_function(shown))
    if strategy == SCRATCH:
        return transfer.fine_tuned(start.untrained(repeat), few, ALONE, repeat).logit(test)
    if strategy == HELD:
        return transfer.l2_sp(start, few, STRENGTH, MORE, repeat).logit(test)
    return transfer.fine_tuned(start, few, MORE, repeat).logit(test)


def at_each_budget(
    everybody: Cohort, budgets: Sequence[int], scored: Mapping[str, Scored], repeat: int, only: Only
) -> list[dict[str, Any]]:
    """Every strategy at every budget, on one division of LUDB and one draw of patients."""
    pool, test = halves(everybody, 0.5, repeat)
    rows = []
    for n in chosen(only, "n", budgets):
        few = draw(pool, n, np.random.default_rng(repeat))
        for strategy in chosen(only, "strategy", scored):
            auroc = roc_auc_score(test.y, scored[strategy](few, test.x, repeat))
            rows.append({"strategy": strategy, "n": n, "AUROC": auroc})
    return rows


def one_repeat(repeat: int, only: Only = ALL) -> list[dict[str, Any]]:
    """The table's rows of one division."""
    scored = {name: partial(scores, name) for name in STRATEGIES}
    return at_each_budget(ludb(), BUDGETS, scored, repeat, only)


def archive(name: str) -> tuple[Array, Array]:
    """Beats of a set of the archive (n, length, 1), and the label of each."""
    found = np.loadtxt(files() / "ecg" / name)
    return found[:, 1:, None], found[:, 0].astype(int)


@cache
def one_person(repeat: int) -> keras.Model:
    """A network that tells the five classes of ECG5000, a single patient."""
    x, y = archive("ECG5000_TRAIN.txt")
    return models.train(network(140, repeat, 5, mean=True), x, y - 1, AT_SOURCE, repeat)


def of_archive(repeat: int, only: Only = ALL) -> list[dict[str, Any]]:
    """Each target set from scratch, and from the weights of ECG5000."""
    rows = []
    for name in chosen(only, "target", TARGETS):
        (x, y), (x_test, y_test) = (archive(f"{name}_{part}.tsv") for part in ("TRAIN", "TEST"))
        for strategy in chosen(only, "strategy", BOTH):
            start = network(x.shape[1], repeat + 100, mean=True)
            if strategy == TUNED:
                weights = one_person(repeat).get_weights()[:-2]
                start.set_weights([*weights, *start.get_weights()[-2:]])
            told = ALONE if strategy == SCRATCH else MORE
            made = models.train(start, x, (y == TARGETS[name]).astype(int), told, repeat)
            called = models.outputs(made, x_test)[:, 0] > 0
            right = accuracy_score(y_test == TARGETS[name], called)
            rows.append({"strategy": strategy, "target": name, "accuracy": right})
    return rows


FACTS = {"budgets": list(BUDGETS), "repeats": REPEATS, "sources": SOURCES, "strength": STRENGTH}
JOBS = [{"repeat": repeat} for repeat in range(REPEATS)]
SHORTER = {"repeats": 10, "targets": list(TARGETS)}
STUDIES = (
    Study("ecg_transfer", JOBS, one_repeat, ("strategy", "n"), PACKAGES, FACTS),
    Study("ecg_archive", JOBS[:10], of_archive, ("strategy", "target"), PACKAGES, SHORTER),
)
