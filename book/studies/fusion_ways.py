"""Ways to put several kinds of data together: early, late, stacked, validated, gated, separate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# First: it decides how TensorFlow starts.
from medxfer_utils import models

# isort: split
import keras
import numpy as np
from scipy.special import expit, logit
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medxfer_utils.cohorts import Cohort, folds
from medxfer_utils.models import Array, Average, Linear, Modalities, Model, Training

KINDS = ("image", "record", "report")
STEPS, PULL = Training(steps=100, rate=0.003, batch=None), 0.1  # of the networks


def zero() -> SimpleImputer:
    """Put zero, the mean of a standardised column, in the place of what is missing."""
    return SimpleImputer(strategy="constant", fill_value=0, keep_empty_features=True)


def linear(kinds: Modalities, names: Iterable[str], labelled: Cohort, seed: int = 0) -> Linear:
    """Logistic regression on some kinds side by side, each kind held back as a whole.

    Standardised columns of a kind that has d of them get a prior of variance 1 / d each.
    """
    names = tuple(names)
    widths = [len(kinds.columns[name]) for name in names]
    prepare = make_pipeline(kinds.of(*names), StandardScaler(), zero()).fit(labelled.x)
    spread = np.append(np.repeat(np.sqrt(1 / np.array(widths)), widths), np.inf)
    design = np.column_stack([prepare.transform(labelled.x), np.ones(len(labelled))])
    theta = models.posterior_mode(design, labelled.y, np.zeros(len(spread)), spread)
    return Linear(theta, prepare)


def late(kinds: Modalities, names: Iterable[str], labelled: Cohort, seed: int = 0) -> Average:
    """One model for each kind; their log odds are added, the prior is counted once."""
    each = [linear(kinds, [name], labelled) for name in names]
    prior = float(logit(labelled.prevalence))
    return Average(each, np.ones(len(each)), "log odds", (1 - len(each)) * prior)


def held_out(kinds: Modalities, names: Sequence[str], labelled: Cohort, seed: int) -> Array:
    """Log odds that each kind gives patients whom its model has not seen, shape (n, kinds)."""
    found = np.empty((len(labelled), len(names)))
    for part in folds(labelled, 5, np.random.default_rng(seed)):
        out, rest = np.isin(labelled.patient, part), np.setdiff1d(labelled.patients, part)
        fits = [linear(kinds, [name], labelled.of(rest)) for name in names]
        found[out] = np.transpose([fit.logit(labelled.x[out]) for fit in fits])
    return found


def stacked(kinds: Modalities, names: Sequence[str], labelled: Cohort, seed: int) -> Average:
    """As `late`, with weights that fit held-out log odds (with a normal prior of spread 1)."""
    each = held_out(kinds, names, labelled, seed)
    design, flat = np.column_stack([each, np.ones(len(each))]), np.zeros(len(names) + 1)
    *weights, constant = models.posterior_mode(design, labelled.y, flat, [*flat[1:] + 1, np.inf])
    return Average([linear(kinds, [n], labelled) for n in names], weights, "log odds", constant)


def validated(kinds: Modalities, names: Sequence[str], labelled: Cohort, seed: int) -> Average:
    """All kinds added, unless held-out patients say that one alone is better.

    It must be better by more than a standard error of the difference in log loss.
    """
    each, prior = held_out(kinds, names, labelled, seed), logit(labelled.prevalence)
    added = each.sum(axis=1) + (1 - len(names)) * prior
    z = np.column_stack([added, each])
    loss = np.logaddexp(0, z) - labelled.y[:, None] * z
    gain = loss[:, :1] - loss[:, 1:]
    clear = gain.mean(axis=0) - gain.std(axis=0) / np.sqrt(len(labelled.patients))
    best = int(np.argmax(clear))
    return late(kinds, [names[best]] if clear[best] > 0 else names, labelled)


@dataclass(frozen=True, eq=False)
class Separate:
    """A model for each kind, of those who have it; whoever lacks one is judged by the others."""

    each: Mapping[str, Linear]
    kinds: Modalities
    prior: float

    def logit(self, x: Array) -> Array:
        """Log odds: the prior, and what each kind that is there adds to it."""
        said = [
            np.where(np.isnan(x[:, self.kinds.places(name)[0]]), 0.0, model.logit(x) - self.prior)
            for name, model in self.each.items()
        ]
        return np.asarray(self.prior + np.sum(said, axis=0))

    def probability(self, x: Array) -> Array:
        """Probability of the disease, shape (n,)."""
        return np.asarray(expit(self.logit(x)))


def separate(kinds: Modalities, labelled: Cohort, seed: int) -> Separate:
    """Fit each kind on those who have it."""
    each = {}
    for name in KINDS:
        there = ~np.isnan(labelled.x[:, kinds.places(name)[0]])
        each[name] = linear(kinds, [name], labelled.of(labelled.patient[there]))
    return Separate(each, kinds, float(logit(labelled.prevalence)))


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
    return keras.Model(
        named, keras.layers.Dense(1, name="head")(keras.layers.Concatenate(name="all")(each))
    )


def gated_network(kinds: Modalities) -> keras.Model:
    """Branches weighed by a gate that looks at all of them."""
    named, each = inputs(kinds)
    everything = keras.layers.Concatenate(name="all")(each)
    gate = keras.layers.Dense(len(each), activation="softmax", name="gate")(everything)
    stack = keras.layers.Reshape((len(each), 8), name="stack")(everything)
    mixed = keras.layers.Dot(1, name="mixed")([gate, stack])
    return keras.Model(named, keras.layers.Dense(1, name="head")(mixed))


def trained(network: keras.Model, kinds: Modalities, labelled: Cohort, seed: int) -> Model:
    """Train a network with named inputs on the table; what is missing becomes the mean."""
    prepare = make_pipeline(StandardScaler(), zero()).fit(labelled.x)
    start = Model(kinds.one_input(network), prepare).untrained(seed)
    return start.minimised(models.rows(labelled, prepare), STEPS, seed, strength=PULL)
