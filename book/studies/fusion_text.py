"""What a report is turned into: words, hashed words, or a small pretrained sentence encoder.

One table is of simulated nodules: readers trained here, on some labelled patients, and the reader
of another hospital, in that hospital's way of writing and in another. One is of real chest reports
(Indiana): what was written before the image was read, and the findings that the label was coded
from. Every representation has length 1, and its penalty is chosen by cross-validation among the
same three.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

# First: it decides how TensorFlow starts.
from book.studies import fusion, fusion_skin

# isort: split
import numpy as np
import pandas as pd
import wordllama
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegressionCV

from book.studies.lung_sources import LUNG
from book.studies.study import ALL, PACKAGES, Only, Study, chosen
from medxfer_utils import clinic, metrics
from medxfer_utils.models import Array, Labels

# The findings do not depend on how finely they are drawn, and nobody looks at these images.
SMALL = replace(LUNG, size=8, pixel=4.0)
THERE = replace(fusion.SITE, size=8, pixel=4.0)
HOME, POOL, TESTED, REPEATS = 800, 300, 1200, 12
BUDGETS = (20, 50, 200)
PENALTIES, FOLDS = (1.0, 10.0, 100.0), 3
HABITS = {
    "no spiculation": "spicules: none", "spiculation": "spicules", "well-defined": "sharp",
    "ill-defined": "blurred", "smooth contour": "regular outline", "nodule": "lesion",
    "lobulated contour": "lobules", "part-solid": "mixed",
}  # fmt: skip
WRITINGS = ("as at home", "local")
FILE = ("indiana_reports.csv", "reports")
TEXTS, REAL_BUDGETS = ("indication", "findings"), (20, 50, 200, 600)
REAL_TESTED, REAL_REPEATS = 600, 6
Reports = Sequence[str] | NDArray[Any]
Encode = Callable[[Reports], Any]


def rewritten(report: str) -> str:
    """The same findings in another habit: negations behind, other words, the last part first."""
    for old, new in HABITS.items():
        report = report.lower().replace(old, new)
    return ". ".join(report.rstrip(".").split(". ")[::-1])


# --- from a report to numbers ---------------------------------------------------------------------


@cache
def encoder() -> Any:
    """The sentence encoder that its package carries: 32,000 pieces of words, 256 numbers each."""
    folder = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=folder, disable_download=True)


def embedded(reports: Reports) -> Array:
    """The mean of the vectors of a report's pieces of words, at length 1; an empty one stays 0."""
    mean = encoder().embed(list(reports)).astype(float)
    return np.asarray(mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12))


def ways(seen: Reports) -> dict[str, Encode]:
    """By name; words are weighted as in these reports, for which no label is needed."""
    rare = 20 if len(seen) >= HOME else 2
    single, pairs = (
        TfidfVectorizer(ngram_range=(1, n), min_df=rare).fit(seen).transform for n in (1, 2)
    )
    hashed = HashingVectorizer(n_features=64, alternate_sign=False).transform
    return {"TF-IDF": single, "word pairs": pairs, "hashing": hashed, "wordllama": embedded}


@dataclass(frozen=True, eq=False)
class Reader:
    """Log odds of a report."""

    encode: Encode
    model: Any

    def auroc(self, reports: Reports, y: Labels) -> float:
        """How well it ranks them."""
        return metrics.auroc(y, self.model.decision_function(self.encode(reports)))


def trained(encode: Encode, reports: Reports, y: Labels) -> Reader:
    """Logistic regression, its penalty chosen by cross-validation."""
    search = {"Cs": PENALTIES, "cv": FOLDS, "scoring": "roc_auc", "max_iter": 2000}
    model = LogisticRegressionCV(**search, l1_ratios=(0,), use_legacy_attributes=False)
    return Reader(encode, model.fit(encode(reports), y))


# --- simulated ------------------------------------------------------------------------------------


def one_clinic(repeat: int, only: Only = ALL) -> list[dict[str, Any]]:
    """Every representation, on one draw of two hospitals; `n` = 0 is the other's reader."""
    home = clinic.simulate(SMALL, HOME, seed=8100 + repeat)
    here = clinic.simulate(THERE, POOL + TESTED, seed=8200 + repeat)
    who, y = np.random.default_rng(repeat).permutation(here.cohort.patients), here.cohort.y
    tested = np.isin(here.cohort.patient, who[POOL:])
    told = {WRITINGS[0]: np.array(here.reports)}
    told[WRITINGS[1]] = np.array([*map(rewritten, here.reports)])
    known, rows = ways(home.reports), []
    for name in chosen(only, "strategy", known):
        source = trained(known[name], home.reports, home.cohort.y)
        for writing, n in product(told, chosen(only, "n", (0, *BUDGETS))):
            reports, some = told[writing], np.isin(here.cohort.patient, who[:n])
            own = ways(reports[~tested])[name]
            reader = trained(own, reports[some], y[some]) if n else source
            row = {"strategy": name, "n": n, "writing": writing}
            rows.append(row | {"AUROC": reader.auroc(reports[tested], y[tested])})
    return rows


# --- real -----------------------------------------------------------------------------------------


@cache
def chests() -> pd.DataFrame:
    """Reports with both texts that were indexed, and whether the index says normal."""
    table = pd.read_csv(fusion_skin.file(*FILE), keep_default_na=False)
    whole = (table[[*TEXTS]].map(str.strip) != "").all(axis=1) & (table["MeSH"] != "No Indexing")
    return table[whole].assign(normal=lambda t: (t["MeSH"] == "normal").astype(int))


def one_draw(text: str, repeat: int, only: Only = ALL) -> list[dict[str, Any]]:
    """Every representation of one text, on one draw of labelled and tested reports."""
    order = np.random.default_rng(100 + repeat).permutation(len(chests()))
    told, y = chests()[text].to_numpy(str)[order], chests()["normal"].to_numpy()[order]
    pool, rows = slice(REAL_TESTED, REAL_TESTED + max(REAL_BUDGETS)), []
    known = ways(told[pool])
    names, sizes = chosen(only, "strategy", known), chosen(only, "n", REAL_BUDGETS)
    for name, n in product(names, sizes):
        some = slice(REAL_TESTED, REAL_TESTED + n)
        reader = trained(known[name], told[some], y[some])
        found = reader.auroc(told[:REAL_TESTED], y[:REAL_TESTED])
        rows.append({"strategy": name, "n": n, "AUROC": found})
    return rows


def costs() -> dict[str, Any]:
    """Megabytes that each needs, and milliseconds for one report's findings."""
    told, found = chests()["findings"].to_numpy(str), {}
    folder = Path(wordllama.__file__).parent
    files = [*folder.glob("weights/*256.safetensors"), *folder.glob("tokenizers/*config.json")]
    for name, encode in ways(told).items():
        encode(told[:9])
        start = time.perf_counter()
        encode(told)
        spent = 1000 * (time.perf_counter() - start) / len(told)
        held = sum(file.stat().st_size for file in files)
        size = held if encode is embedded else len(pickle.dumps(encode))
        found[name] = {"MB": round(size / 1e6, 2), "ms": round(spent, 3)}
    return {"costs": found, "reports": len(told), "normal": int(chests()["normal"].sum())}


MORE = (*PACKAGES, "wordllama")
FACTS = {"budgets": list(BUDGETS), "home": HOME, "tested": TESTED, "penalties": list(PENALTIES)}
REAL = {"budgets": list(REAL_BUDGETS), "tested": REAL_TESTED, "penalties": list(PENALTIES)}
JOBS = [{"text": text, "repeat": k} for text in TEXTS for k in range(REAL_REPEATS)]
STUDIES = (
    Study("fusion_text", [{"repeat": k} for k in range(REPEATS)], one_clinic,
          ("strategy", "n", "writing"), MORE, FACTS),
    Study("fusion_indiana", JOBS, one_draw, ("strategy", "n"), MORE, REAL, costs),
)  # fmt: skip
