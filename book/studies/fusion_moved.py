"""A fused model goes to a hospital where everything is different at once.

Scanner and case mix are others, patients are older, smoking is asked after half as often, and the
reports follow another habit. The fused model is the sum of three parts: image features, record,
words. Which is kept as it is, which is held near its source, which is learnt anew?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

# First: it decides how TensorFlow starts.
from book.studies import fusion, fusion_ways

# isort: split
import keras
import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from book.studies.fusion_text import rewritten
from book.studies.study import ALL, PACKAGES, Only, Study, curve, halves, lung_window
from medxfer_utils import clinic, models, results, transfer
from medxfer_utils.cohorts import Cohort
from medxfer_utils.models import Array, Average, Linear, Modalities, Model, Strategy, Training

AWAY = replace(fusion.SITE, dose=0.1, kernel="sharp")
OLDER, TOLD = 10, 0.5  # years; how often smoking is asked after
BUDGETS, REPEATS, PATIENTS, RARE = (20, 100, 400), 8, {"pool": 400, "test": 1200}, 20
FINE = Training(steps=100, rate=0.0003, batch=32)
SCRATCH = Training(steps=200, rate=0.001, batch=32)
SIDE = AWAY.size
# The parts of the source, standardised as at home or by the new hospital's unlabelled patients.
FAR = ("image, home's scale", "record, home's scale", "words")
OWN = ("image", "record", "words, own scale")
WORDS = "local words"
Weights = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Moved:
    """Those who may be labelled, those who are tested, and what home hands over."""

    pool: Cohort
    test: Cohort
    kinds: Modalities
    source: Weights
    network: Model


def at_home(number: int) -> Weights:
    """The coefficients of three models of home, for standardised columns, by the kind."""
    parts = fusion.parts_of(fusion.home(), number)
    kinds = Modalities({name: tuple(map(str, part)) for name, part in parts.items()})
    cohort = replace(fusion.home().cohort, x=kinds.table(parts))
    return {n: fusion_ways.linear(kinds, [n], cohort).theta[:-1] for n in fusion_ways.KINDS}


def away(repeat: int) -> clinic.Clinic:
    """Patients of the new hospital, as they are recorded and reported there."""
    seen = clinic.simulate(AWAY, sum(PATIENTS.values()), seed=8600 + repeat)
    asked = np.random.default_rng(repeat).random(len(seen.record)) < TOLD
    smoked = seen.record["ever_smoked"].to_numpy(bool) & asked
    record = seen.record.assign(age=seen.record["age"] + OLDER, ever_smoked=smoked)
    return replace(seen, record=record, reports=[*map(rewritten, seen.reports)])


def hospital(repeat: int) -> Moved:
    """One draw; four source networks take turns."""
    seen, number = away(repeat), repeat % 4
    share = PATIENTS["pool"] / sum(PATIENTS.values())
    known = np.isin(seen.cohort.patient, halves(seen.cohort, share, repeat)[0].patient)
    here, home = (fusion.parts_of(one, number) for one in (seen, fusion.home()))
    local = TfidfVectorizer(ngram_range=(1, 2), min_df=RARE)
    local.fit(np.array(seen.reports)[known])
    parts = {}
    for name, far, own in zip(fusion_ways.KINDS, FAR, OWN, strict=True):
        for scale, about in ((far, home[name]), (own, here[name][known])):
            spread = about.std().where(lambda s: s > 0, 1.0)
            parts[scale] = ((here[name] - about.mean()) / spread).to_numpy()
    counted = local.transform(seen.reports).toarray()
    parts[WORDS] = (counted - counted[known].mean(axis=0)) / counted[known].std(axis=0)
    parts["pixels"] = lung_window(seen.cohort.x).reshape(len(counted), -1)
    tables = {n: pd.DataFrame(part).add_prefix(f"{n} ") for n, part in parts.items()}
    kinds = Modalities({n: tuple(map(str, table)) for n, table in tables.items()})
    pair = halves(replace(seen.cohort, x=kinds.table(tables)), share, repeat)
    theta = at_home(number)
    source = dict(zip((*FAR, *OWN), (*theta.values(), *theta.values()), strict=True))
    read = FunctionTransformer(np.reshape, kw_args={"shape": (-1, SIDE, SIDE, 1)})
    network = keras.models.load_model(results.FOLDER / "sources" / f"window_{number}.keras")
    return Moved(*pair, kinds, source, Model(network, make_pipeline(kinds.of("pixels"), read)))


# --- what is kept, what is learnt -----------------------------------------------------------------


def kept(here: Moved, *names: str) -> Linear:
    """The source's parts as they are."""
    theta = np.concatenate([*(here.source[name] for name in names), [0.0]])
    return Linear(theta, here.kinds.of(*names))


def learnt(
    here: Moved, names: tuple[str, ...], held: bool, labelled: Cohort, offset: Array | float = 0.0
) -> Linear:
    """Some parts learnt together, near the source if `held`, else near zero.

    Local words have no source. What has d columns gets a prior of variance 1 / d each. `offset` is
    what is said of the labelled already.
    """
    widths = [len(here.kinds.columns[name]) for name in names]
    zeros = {name: np.zeros(width) for name, width in zip(names, widths, strict=True)}
    about = zeros | ({n: here.source[n] for n in names if n in here.source} if held else {})
    prepare = here.kinds.of(*names)
    design = np.column_stack([prepare.transform(labelled.x), np.ones(len(labelled))])
    spread = np.append(np.repeat(np.array(widths) ** -0.5, widths), np.inf)
    centre = np.concatenate([*(about[name] for name in names), [0.0]])
    theta = models.posterior_mode(design, labelled.y, centre, spread, offset=offset)
    return Linear(theta, prepare)


def added(parts: list[Any], labelled: Cohort) -> Average:
    """Log odds added, with the prior once."""
    prior = float(logit(labelled.prevalence))
    return Average(parts, np.ones(len(parts)), "log odds", (1 - len(parts)) * prior)


def apart(here: Moved, held: bool, labelled: Cohort) -> list[Any]:
    """Image, record and local words, each learnt by itself."""
    return [learnt(here, (name,), held, labelled) for name in (*OWN[:2], WORDS)]


def with_words(here: Moved, base: Linear, labelled: Cohort, seed: int) -> Average:
    """Local words correct what is said already."""
    more = learnt(here, (WORDS,), True, labelled, base.logit(labelled.x))
    return Average([base, more], np.ones(2), "log odds")


def fine_tuned(here: Moved, labelled: Cohort, seed: int) -> Average:
    """The image network fine-tuned, record held, words learnt; log odds added."""
    mine = transfer.fine_tuned(here.network, labelled, FINE, seed)
    return added([mine, *apart(here, True, labelled)[1:]], labelled)


def from_scratch(here: Moved, labelled: Cohort, seed: int) -> Average:
    """All three learnt here; log odds added."""
    mine = transfer.target_only(here.network, labelled, SCRATCH, seed)
    return added([mine, *apart(here, False, labelled)[1:]], labelled)


def strategies(here: Moved) -> dict[str, Strategy]:
    """By name."""

    def whole(names: tuple[str, ...], held: bool, labelled: Cohort, seed: int) -> Linear:
        return learnt(here, names, held, labelled)

    local = (*OWN[:2], WORDS)
    return {
        "as is": lambda labelled, seed: kept(here, *FAR),
        "re-standardised": lambda labelled, seed: kept(here, *OWN[:2], FAR[2]),
        "words learnt, rest kept": partial(with_words, here, kept(here, *OWN[:2])),
        "words added, all kept": partial(with_words, here, kept(here, *OWN[:2], FAR[2])),
        "all held, home's words": partial(whole, OWN, True),
        "branch by branch": partial(whole, local, True),
        "only the image network kept": partial(whole, local, False),
        "parts moved, then added": lambda few, seed: added(apart(here, True, few), few),
        "image fine-tuned, then added": partial(fine_tuned, here),
        "from scratch": partial(from_scratch, here),
    }


def moved(repeat: int, only: Only = ALL) -> pd.DataFrame:
    """Every strategy at every budget, on one draw of patients."""
    here = hospital(repeat)
    table = curve(strategies(here), (here.pool, here.test), BUDGETS, repeat, only)
    return table[["strategy", "n", "AUROC", "rows"]]


FACTS = {"patients": PATIENTS, "budgets": list(BUDGETS), "steps": FINE.steps, "older": OLDER}
JOBS = [{"repeat": k} for k in range(REPEATS)]
STUDIES = (Study("fusion_moved", JOBS, moved, ("strategy", "n"), PACKAGES, FACTS),)
