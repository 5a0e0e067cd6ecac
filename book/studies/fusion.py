"""Image, record and report of simulated nodules: what each is worth, and how to put them together.

The image is what a stored network of another hospital makes of it, the words are weighted as in
that hospital's reports, and 40 laboratory values know nothing. Every strategy is given the same
labelled patients. In the second table some patients lack their record or their report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import combinations, product
from typing import Any

# First: it decides how TensorFlow starts.
from medxfer_utils import models

# isort: split
import keras
import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from book.studies.lung_sources import LUNG
from book.studies.study import ALL, PACKAGES, Only, Study, chosen, curve, halves, lung_window
from book.studies.study import stacked as stacked_tables
from medxfer_utils import clinic, metrics, missing, results, transfer
from medxfer_utils.cohorts import Cohort, folds
from medxfer_utils.models import Array, Average, Linear, Modalities, Model, Strategy, Training

SITE = replace(LUNG, dose=0.2, case_mix="screening", prevalence=0.3)
KINDS = ("image", "record", "report")
BUDGETS, REPEATS, HOME = (20, 50, 100, 200, 400), 16, 800
PATIENTS = {"pool": 400, "test": 1200}
LABORATORY = 40  # values that know nothing of the disease
RARE = 20  # a word or pair of words in fewer of the reports at home is left out
STEPS, PULL = Training(steps=100, rate=0.003, batch=None), 0.1  # of the networks
HOLD = 1.0  # how strongly the transferred model is held to its source
# Log odds for each unit of the record's columns, in their order: McWilliams et al. (2013),
# doi:10.1056/NEJMoa1214726; smoking from Swensen et al. (1997),
# doi:10.1001/archinte.1997.00440290031002.
PUBLISHED = (0.0287, 0.6011, 0.2961, 0.2953, 0.7917, 0.6581)
MANY, SHARES, LABELLED = 8, (0.2, 0.4, 0.6, 0.8), 200  # of the table of missing kinds


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


@dataclass(frozen=True, eq=False)
class Hospital:
    """Those who may be labelled and who are tested, the columns, the source, and what is true."""

    pool: Cohort
    test: Cohort
    kinds: Modalities
    source: Linear
    severity: Mapping[Any, float]
    ideal: Mapping[str, float]


def source_of(kinds: Modalities, number: int) -> Linear:
    """What home hands over: three models, their log odds added; the record's is published."""
    labelled = replace(home().cohort, x=kinds.table(parts_of(home(), number)))
    theta = {name: linear(kinds, [name], labelled).theta[:-1] for name in KINDS}
    prepare = make_pipeline(kinds.of(*KINDS), StandardScaler()).fit(labelled.x)
    theta["record"] = np.array(PUBLISHED) * labelled.x[:, kinds.places("record")].std(axis=0)
    return Linear(np.concatenate([*theta.values(), [0.0]]), prepare)


def hospital(repeat: int) -> Hospital:
    """One draw of everything; four source networks take turns."""
    seen = clinic.simulate(SITE, sum(PATIENTS.values()), seed=7000 + repeat)
    parts = parts_of(seen, repeat % 4)
    kinds = Modalities({name: tuple(part) for name, part in parts.items()})
    everybody = replace(seen.cohort, x=kinds.table(parts))
    pool, test = halves(everybody, PATIENTS["pool"] / sum(PATIENTS.values()), repeat)
    rows, severity = np.isin(everybody.patient, test.patient), clinic.ideal_logit(seen.truth, SITE)
    both = clinic.ideal_logit(seen.truth, SITE, seen.record)
    ideal = {"ideal, image": metrics.auroc(test.y, severity[rows])}
    ideal["ideal"] = metrics.auroc(test.y, both[rows])
    worst = pd.Series(severity).groupby(everybody.patient).max().to_dict()
    return Hospital(pool, test, kinds, source_of(kinds, repeat % 4), worst, ideal)


# --- strategies -----------------------------------------------------------------------------------


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


# --- the two tables -------------------------------------------------------------------------------


def strategies(here: Hospital) -> dict[str, Strategy]:
    """By name."""
    kinds, pairs = here.kinds, list(combinations(KINDS, 2))
    known = {name: partial(linear, kinds, [name]) for name in KINDS}
    known |= {" + ".join(pair): partial(late, kinds, pair) for pair in pairs}
    known |= {"early": partial(linear, kinds, KINDS), "late": partial(late, kinds, KINDS)}
    known |= {way.__name__: partial(way, kinds, KINDS) for way in (stacked, validated)}
    networks = {"early network": early_network(kinds), "gated network": gated_network(kinds)}
    known |= {name: partial(trained, network, kinds) for name, network in networks.items()}
    more = (*KINDS, "laboratory")
    known |= {"early, laboratory": partial(linear, kinds, more)}
    known |= {"late, laboratory": partial(late, kinds, more)}
    known["as is"] = lambda labelled, seed: here.source
    known["L2-SP"] = lambda labelled, seed: transfer.l2_sp(here.source, labelled, HOLD)
    return known


def budgets(repeat: int, only: Only = ALL) -> pd.DataFrame:
    """Every strategy at every budget, on one draw of patients."""
    here = hospital(repeat)
    table = curve(strategies(here), (here.pool, here.test), BUDGETS, repeat, only)
    return table.assign(**here.ideal).drop(columns=["repeat", "seconds", "error"])


def lacking(here: Hospital, cohort: Cohort, kind: str, why: str, share: float, seed: int) -> Cohort:
    """The same patients, of whom a share has lost one kind: by lot, or the severe ones rather."""
    who = cohort.patients
    drive = np.array([[here.severity[patient]] for patient in who])
    rng = np.random.default_rng([seed, len(who)])
    holed = missing.amputed(drive, {"at random": "MCAR", "by severity": "MNAR"}[why], share, rng)
    gone = np.isin(cohort.patient, who[np.isnan(holed[:, 0])])
    x = cohort.x.copy()
    x[np.ix_(gone, here.kinds.places(kind))] = np.nan
    return replace(cohort, x=x)


def missing_ways(here: Hospital, kind: str) -> dict[str, Strategy]:
    """What can be done where a kind is missing."""
    kinds, others = here.kinds, [name for name in KINDS if name != kind]
    return {
        "without it": partial(late, kinds, others),
        "imputed": partial(linear, kinds, KINDS),
        "separate models": partial(separate, kinds),
        "imputed, network": partial(trained, early_network(kinds), kinds),
        "dropout, network": partial(trained, early_network(kinds, 0.3), kinds),
    }


def gaps(repeat: int, only: Only = ALL) -> pd.DataFrame:
    """Every way at every share of missing kinds, on one draw of patients."""
    here, tables = hospital(repeat), []
    for kind, why, share in product(KINDS[1:], ("at random", "by severity"), SHARES):
        told = {"kind": kind, "why": why, "share": share}
        if all(value in chosen(only, name, [value]) for name, value in told.items()):
            pair = [lacking(here, c, kind, why, share, repeat) for c in (here.pool, here.test)]
            found = curve(missing_ways(here, kind), tuple(pair), [LABELLED], repeat, only)
            tables.append(found.assign(**told).drop(columns=["repeat", "seconds", "error"]))
    return stacked_tables(tables)


FACTS = {"patients": PATIENTS, "home": HOME, "budgets": list(BUDGETS), "hold": HOLD, "pull": PULL}
STUDIES = (
    Study("fusion", [{"repeat": k} for k in range(REPEATS)], budgets, ("strategy", "n"), PACKAGES,
          FACTS),
    Study("fusion_missing", [{"repeat": k} for k in range(MANY)], gaps,
          ("strategy", "kind", "why", "share"), PACKAGES, FACTS | {"shares": list(SHARES)}),
)  # fmt: skip
