"""Image, record and report of simulated nodules: what each is worth, and how to put them together.

The image is what a stored network of another hospital makes of it, the words are weighted as in
that hospital's reports, and 40 laboratory values know nothing. Every strategy is given the same
labelled patients. In the second table some patients lack their record or their report.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from book.studies.fusion_ways import (
    KINDS,
    PULL,
    early_network,
    gated_network,
    late,
    linear,
    separate,
    stacked,
    trained,
    validated,
)
from book.studies.lung_sources import LUNG
from book.studies.study import ALL, PACKAGES, Only, Study, chosen, curve, halves, lung_window
from book.studies.study import stacked as stacked_tables
from medxfer_utils import clinic, metrics, missing, results, transfer
from medxfer_utils.cohorts import Cohort
from medxfer_utils.models import Linear, Modalities, Strategy

SITE = replace(LUNG, dose=0.2, case_mix="screening", prevalence=0.3)
BUDGETS, REPEATS, HOME = (20, 50, 100, 200, 400), 16, 800
PATIENTS = {"pool": 400, "test": 1200}
LABORATORY = 40  # values that know nothing of the disease
RARE = 20  # a word or pair of words in fewer of the reports at home is left out
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
    kinds = Modalities({name: tuple(map(str, part)) for name, part in parts.items()})
    everybody = replace(seen.cohort, x=kinds.table(parts))
    pool, test = halves(everybody, PATIENTS["pool"] / sum(PATIENTS.values()), repeat)
    rows, severity = np.isin(everybody.patient, test.patient), clinic.ideal_logit(seen.truth, SITE)
    both = clinic.ideal_logit(seen.truth, SITE, seen.record)
    ideal = {"ideal, image": metrics.auroc(test.y, severity[rows])}
    ideal["ideal"] = metrics.auroc(test.y, both[rows])
    worst = pd.Series(severity).groupby(everybody.patient).max().to_dict()
    return Hospital(pool, test, kinds, source_of(kinds, repeat % 4), worst, ideal)


# --- the two tables -------------------------------------------------------------------------------


def strategies(here: Hospital) -> dict[str, Strategy]:
    """By name."""
    kinds, pairs = here.kinds, list(combinations(KINDS, 2))
    known: dict[str, Strategy] = {name: partial(linear, kinds, [name]) for name in KINDS}
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
    x[np.ix_(gone, np.array(here.kinds.places(kind)))] = np.nan
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
            holed = partial(lacking, here, kind=kind, why=why, share=share, seed=repeat)
            pair = holed(here.pool), holed(here.test)
            found = curve(missing_ways(here, kind), pair, [LABELLED], repeat, only)
            tables.append(found.assign(**told).drop(columns=["repeat", "seconds", "error"]))
    return stacked_tables(tables)


FACTS = {"patients": PATIENTS, "home": HOME, "budgets": list(BUDGETS), "hold": HOLD, "pull": PULL}
STUDIES = (
    Study("fusion", [{"repeat": k} for k in range(REPEATS)], budgets, ("strategy", "n"), PACKAGES,
          FACTS),
    Study("fusion_missing", [{"repeat": k} for k in range(MANY)], gaps,
          ("strategy", "kind", "why", "share"), PACKAGES, FACTS | {"shares": list(SHARES)}),
)  # fmt: skip
