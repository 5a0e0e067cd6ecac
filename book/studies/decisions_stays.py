"""How early can death in hospital be told, on real stays, and what look-ahead pretends.

Appendix A4 draws this table. Target: stays in medical intensive-care units, half of them for
training. Source: coronary, cardiac-surgery and surgical units. A stay is described by what was
known after some hours; one strategy also looks ahead. A row is a fit on one division.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from book.studies.study import ALL, Only, Study, chosen
from medxfer_utils import metrics
from medxfer_utils.data import DataError, find_local, sums_of

Array = NDArray[np.floating]
FILES = ("physionet2012_hourly_ab.npz", "physionet2012_static_outcomes_ab.csv")
MEDICAL = 3  # type of unit
HOURS, REPEATS = (3, 6, 12, 24, 48), range(1, 9)
AS_IS, OWN, GAPS, AHEAD = "as is", "from scratch", "gaps only", "look-ahead"
STRATEGIES = (AS_IS, OWN, GAPS, AHEAD)
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas")
EDGES = ((np.min, 1), (np.max, -1))  # and what stands in a gap, times infinity
ABOUT: dict[str, Any] = {"max_iter": 60, "learning_rate": 0.1, "max_leaf_nodes": 8}


def path(name: str) -> Path:
    """Where one of the files is, in a reader's own folder; DataError if it is not there."""
    if found := find_local(name, "icu"):
        return found
    raise DataError(
        f"{name} is not in the folder icu of MEDXFER_DATA: nobody offers this very file."
    )


@cache
def stays() -> tuple[Array, pd.DataFrame]:
    """Means of each hour, shape (stays, 48, variables), and what is said of each stay."""
    with np.load(path(FILES[0]), allow_pickle=False) as stored:
        x, record = stored["x"].astype(np.float32), stored["record"]
    about = pd.read_csv(path(FILES[1])).set_index("RecordID").loc[record]
    return x, about[["Age", "Gender", "ICUType", "In-hospital_death"]].replace(-1, np.nan)


@cache
def described(hours: int, strategy: str) -> Array:
    """All stays by what is known after `hours`: last, mean, lowest, highest value, and how many."""
    x, about = stays()
    seen = ~np.isnan(x[:, :hours])
    count = seen.sum(axis=1)
    if strategy == GAPS:
        return np.column_stack([about[["Age", "Gender"]], count])
    empty = count == 0
    z = np.where(seen, x[:, :hours], 0)
    low, high = (f(np.where(seen, x[:, :hours], s * np.inf), axis=1) for f, s in EDGES)
    place = hours - 1 - np.argmax(seen[:, ::-1], axis=1)
    last = np.take_along_axis(x, place[:, None], axis=1)[:, 0]
    mean = z.sum(axis=1) / np.maximum(count, 1)
    parts = [np.where(empty, np.nan, one) for one in (last, mean, low, high)]
    if strategy == AHEAD:  # gaps are filled with the first value that came later
        later = ~np.isnan(x)
        first = np.take_along_axis(x, np.argmax(later, axis=1)[:, None], axis=1)[:, 0]
        parts = [np.where(empty, first, one) for one in parts]
        count = later.sum(axis=1)  # and the number of measurements is that of the whole stay
    return np.column_stack([about[["Age", "Gender"]], count, *parts])


def divided(repeat: int) -> tuple[NDArray[np.intp], ...]:
    """Source stays drawn anew, and the two halves of the target's."""
    rng = np.random.default_rng(repeat)
    medical = stays()[1]["ICUType"].to_numpy() == MEDICAL
    source, target = np.flatnonzero(~medical), rng.permutation(np.flatnonzero(medical))
    return rng.choice(source, len(source)), *np.array_split(target, 2)


def one_division(repeat: int, only: Only = ALL) -> list[dict[str, Any]]:
    """Every strategy after so many hours."""
    source, train, test = divided(repeat)
    died, rows = stays()[1]["In-hospital_death"].to_numpy().astype(int), []
    for hours in chosen(only, "hours", HOURS):
        for strategy in chosen(only, "strategy", STRATEGIES):
            x, some = described(hours, strategy), source if strategy == AS_IS else train
            model = HistGradientBoostingClassifier(random_state=repeat, **ABOUT)
            p = model.fit(x[some], died[some]).predict_proba(x[test])[:, 1]
            area, loss = metrics.auroc(died[test], p), metrics.log_loss(died[test], p)
            rows.append({"strategy": strategy, "hours": hours, "AUROC": area, "log loss": loss})
            rows[-1] |= {"predicted": p.mean(), "observed": died[test].mean()}
    return rows


def sums() -> dict[str, Any]:
    """What the files were."""
    return {"files": {name: sums_of(path(name))[1] for name in FILES}}


FACTS = {"repeats": list(REPEATS), "hours": list(HOURS), "model": ABOUT}
EACH = [{"repeat": k} for k in REPEATS]
KEYS = ("strategy", "hours")
STUDIES = (Study("stays_hours", EACH, one_division, KEYS, PACKAGES, FACTS, sums),)
