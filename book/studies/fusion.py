"""Image, record and report of simulated nodules: what each is worth, and how to put them together.

The image is what a stored network of another hospital makes of it, the words are weighted as in
that hospital's reports, and 40 laboratory values know nothing. Every strategy is given the same
labelled patients. In the second table some patients lack their record or their report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

# First: it decides how TensorFlow starts.
from medxfer_utils import models

# isort: split
import keras
import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from book.studies.lung_sources import LUNG
from book.studies.study import ALL, PACKAGES, Only, Study, curve, halves, lung_window
from medxfer_utils import clinic, metrics, results
from medxfer_utils.cohorts import Cohort, folds
from medxfer_utils.models import Array, Average, Linear, Model, Modalities, Training

SITE = replace(LUNG, dose=0.2, case_mix="screening", prevalence=0.3)
KINDS = ("image", "record", "report")
BUDGETS, REPEATS, HOME = (20, 50, 100, 200, 400), 20, 800
PATIENTS = {"pool": 400, "test": 1200}
LABORATORY = 40  # values that know nothing of the disease
RARE = 20  # a word or pair of words in fewer of the reports at home is left out
STEPS = Training(steps=200, rate=0.003, batch=None)
PULL = 0.01


# --- what a hospital knows ------------------------------------------------------------------------


@cache
def home() -> clinic.Clinic:
    """The hospital that the sources come from."""
    return clinic.simulate(LUNG, HOME, seed=71)


@cache
def words() -> TfidfVectorizer:
    """Words and pairs of words, weighted as at home."""
    return TfidfVectorizer(ngram_range=(1, 2), min_df=RARE).fit(home().reports)


def parts_of(seen: clinic.Clinic, source: int) -> dict[str, pd.DataFrame]:
    """Image, record, report and laboratory of everybody, as tables of named columns."""
    network = keras.models.load_model(results.FOLDER / "sources" / f"window_{source}.keras")
    read = models.outputs(network, lung_window(seen.cohort.x), "features")
    counted = words().transform(seen.reports).toarray()
    drawn = np.random.default_rng(len(read)).normal(size=(len(read), LABORATORY))
    return {
        "image": pd.DataFrame(read).add_prefix("feature_"),
        "record": seen.record.astype(float),
        "report": pd.DataFrame(counted, columns=words().get_feature_names_out()),
        "laboratory": pd.DataFrame(drawn).add_prefix("value_"),
    }


def hospital(repeat: int) -> tuple[Cohort, Cohort, models.Modalities, dict[str, float]]:
    """Those who may be labelled, those who are tested, the columns, and the ideal observers."""
    seen = clinic.simulate(SITE, sum(PATIENTS.values()), seed=7000 + repeat)
    parts = parts_of(seen, repeat % 4)
    kinds = Modalities({name: tuple(part) for name, part in parts.items()})
    everybody = replace(seen.cohort, x=kinds.table(parts))
    pool, test = halves(everybody, PATIENTS["pool"] / sum(PATIENTS.values()), repeat)
    rows = np.isin(seen.cohort.patient, test.patient)
    ideal = {
        name: metrics.auroc(test.y, clinic.ideal_logit(seen.truth, SITE, known)[rows])
        for name, known in (("ideal, image", None), ("ideal", seen.record))
    }
    return pool, test, kinds, ideal


# --- strategies -----------------------------------------------------------------------------------


def linear(kinds: Modalities, names: Iterable[str], labelled: Cohort, seed: int = 0) -> Linear:
    """Logistic regression on some kinds side by side, each kind held back as a whole.

    Standardised columns of a kind that has d of them get a prior of variance 1 / d each.
    """
    names = tuple(names)
    widths = [len(kinds.columns[name]) for name in names]
    filled = SimpleImputer(strategy="constant", fill_value=0, keep_empty_features=True)
    prepare = make_pipeline(kinds.of(*names), StandardScaler(), filled).fit(labelled.x)
    spread = np.append(np.repeat(np.sqrt(1 / np.array(widths)), widths), np.inf)
    design = np.column_stack([prepare.transform(labelled.x), np.ones(len(labelled))])
    theta = models.posterior_mode(design, labelled.y, np.zeros(len(spread)), spread)
    return Linear(theta, prepare)


def late(kinds: Modalities, names: Iterable[str], labelled: Cohort, seed: int = 0) -> Average:
    """One model for each kind; their log odds are added, the prior is counted once."""
    each = [linear(kinds, [name], labelled) for name in names]
    prior = float(logit(labelled.prevalence))
    return Average(each, np.ones(len(each)), "log odds", (1 - len(each)) * prior)


def held_out(kinds: Modalities, labelled: Cohort, seed: int) -> Array:
    """Log odds that each kind gives patients whom its model has not seen, shape (n, kinds)."""
    found = np.empty((len(labelled), len(KINDS)))
    for part in folds(labelled, 5, np.random.default_rng(seed)):
        out, rest = np.isin(labelled.patient, part), np.setdiff1d(labelled.patients, part)
        fits = [linear(kinds, [name], labelled.of(rest)) for name in KINDS]
        found[out] = np.transpose([fit.logit(labelled.x[out]) for fit in fits])
    return found


def stacked(kinds: Modalities, labelled: Cohort, seed: int, centre: float = 0.0) -> Average:
    """As `late`, with weights from held-out log odds: a normal prior of spread 1."""
    design = np.column_stack([held_out(kinds, labelled, seed), np.ones(len(labelled))])
    prior = [centre] * len(KINDS) + [0], [1.0] * len(KINDS) + [np.inf]
    *weights, constant = models.posterior_mode(design, labelled.y, *prior)
    each = [linear(kinds, [name], labelled) for name in KINDS]
    return Average(each, weights, "log odds", constant)


def validated(kinds: Modalities, labelled: Cohort, seed: int) -> Any:
    """Whatever ranks held-out patients best: one of the kinds, or all of them added."""
    each = held_out(kinds, labelled, seed)
    scores = [metrics.auroc(labelled.y, z) for z in [*each.T, each.sum(axis=1)]]
    best = int(np.argmax(scores[::-1]))  # where equal, all of them
    return late(kinds, KINDS if best == 0 else [KINDS[::-1][best - 1]], labelled)


def inputs(kinds: Modalities, dropped: float = 0.0) -> tuple[dict[str, Any], list[Any]]:
    """Named inputs of a network and its branches, of which a share is dropped while it learns."""
    named = {name: keras.Input((len(kinds.columns[name]),), name=name) for name in kinds.columns}
    each = []
    for name in KINDS:
        shown = keras.layers.Dropout(dropped, (None, 1), name=f"{name}_shown")(named[name])
        each.append(keras.layers.Dense(8, activation="relu", name=f"{name}_branch")(shown))
    return named, each


def early_network(kinds: Modalities, dropped: float = 0.0) -> keras.Model:
    """Branches side by side under one head."""
    named, each = inputs(kinds, dropped)
    return keras.Model(named, keras.layers.Dense(1, name="head")(keras.layers.Concatenate()(each)))


def gated_network(kinds: Modalities) -> keras.Model:
    """Branches weighed by a gate that looks at all of them."""
    named, each = inputs(kinds)
    everything = keras.layers.Concatenate()(each)
    gate = keras.layers.Dense(len(each), activation="softmax", name="gate")(everything)
    stack = keras.layers.Reshape((len(each), 8))(everything)
    mixed = keras.layers.Dot(1, name="mixed")([gate, stack])
    return keras.Model(named, keras.layers.Dense(1, name="head")(mixed))


def trained(network: Callable[..., keras.Model], kinds: Modalities, labelled: Cohort, seed: int,
            **more: float) -> Model:
    filled = SimpleImputer(strategy="constant", fill_value=0, keep_empty_features=True)
    prepare = make_pipeline(StandardScaler(), filled).fit(labelled.x)
    start = Model(kinds.one_input(network(kinds, **more)), prepare).untrained(seed)
    return start.minimised(models.rows(labelled, prepare), STEPS, seed, strength=PULL)
