"""Recurrence of breast cancer in two countries: the real women, or a stand-in for them.

The stand-in is SIMULATED: drawn from a few rounded means and a made-up risk, so that a lesson runs
where the files cannot be had. What is found on it says nothing about real patients.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medxfer_utils.data.catalogue import BREAST
from medxfer_utils.data.checking import refuse
from medxfer_utils.data.files import ContentError, DataError, fetch, find_own

_BANDS = {"<=20": 0, "20-50": 1, ">50": 2}
# The files' names of what a doctor measured, and what a person can have.
_RANGES = {"age": (15, 110), "meno": (0, 1), "grade": (1, 3), "nodes": (0, 100)}
_RANGES |= {"pgr": (0, 10_000), "er": (0, 10_000)}
_ENDS = ({"rtime", "recur", "dtime", "death"}, {"rfstime", "status"})
_FEATURES = ("age", "postmenopausal", "size", "grade 3", "nodes", "PGR", "ER")


def read_breast(path: Path, name: str) -> pd.DataFrame:
    """Read one of the two tables of Royston and Altman (2013): a row is a woman after surgery.

    ===============  =============================================================================
    age              years
    postmenopausal   1 = yes
    size             of the tumour: 0 = up to 20 mm, 1 = up to 50 mm, 2 = more
    grade 3          1 = poorly differentiated, 0 = better
    nodes            lymph nodes with cancer
    PGR, ER          progesterone and oestrogen receptors, fmol/mg
    days             from surgery to recurrence, death, or the end of follow-up
    event            1 = the days ended with recurrence or death
    ===============  =============================================================================

    In Rotterdam a death after the end of follow-up for recurrence does not count.

    Raises
    ------
    ContentError
        If a column is missing, or a value is missing or impossible, with its row.
    """
    t = pd.read_csv(path)
    ends = next((e for e in _ENDS if e <= {*t}), _ENDS[1])
    lacking = sorted(({*_RANGES, "size"} | ends) - {*t})
    what = f"{path} has no column {', '.join(lacking)}: it is not one of the two tables."
    refuse(ContentError, {what: lacking})
    _refuse_impossible(t[[*_RANGES]], path)
    size = t["size"].map(_BANDS) if "recur" in t else np.digitize(t["size"], [20, 50], right=True)
    days, event = t["rtime" if "recur" in t else "rfstime"], t.get("status")
    if event is None:
        event = (t["recur"] == 1) | ((t["death"] == 1) & (t["dtime"] <= days))
    columns = [t["age"], t["meno"], size, t["grade"] == 3, t["nodes"], t["pgr"], t["er"]]
    out = pd.DataFrame(dict(zip(_FEATURES, columns, strict=True)), dtype=float)
    out = out.assign(days=days.astype(float), event=event.astype(int))
    fine = out.notna().all(axis=1) & (out["days"] > 0) & out["event"].isin((0, 1))
    _refuse_rows(~fine, path, "size, days or event is missing or impossible")
    return out.set_index(
        pd.Index([f"{name}-{n:04d}" for n in range(1, len(t) + 1)], name="patient")
    )


def _refuse_rows(wrong: pd.Series, path: Path, what: str) -> None:
    first = int(np.argmax(wrong)) + 2  # the heading is line 1
    refuse(ContentError, {f"{path}, line {first}: {what}; correct or remove it.": wrong.any()})


def _refuse_impossible(values: pd.DataFrame, path: Path) -> None:
    for column, (low, high) in _RANGES.items():
        wrong = ~pd.to_numeric(values[column], errors="coerce").between(low, high)
        _refuse_rows(wrong, path, f"{column} is not a number from {low} to {high}")


# Spread of the age, fewest nodes and how many more on average, shares of the three sizes and of
# grade 3, and between which days follow-up ends.
_MADE_OF = ("sd", "least", "more", "size", "grade 3", "from", "to")
_COUNTRIES: dict[str, tuple[Any, ...]] = {
    "Rotterdam": (2982, 13, 0, 2.7, (0.47, 0.43, 0.1), 0.73, 1000, 7000),
    "Germany": (686, 10, 1, 4.0, (0.26, 0.66, 0.08), 0.23, 500, 2700),
}


def _drawn(name: str, n: int, about: dict[str, Any], rng: np.random.Generator) -> pd.DataFrame:
    """Draw women of one country: their risk is made up, and the same in both."""
    age = rng.normal(55, about["sd"], n).round().clip(21, 90)
    nodes = about["least"] + rng.negative_binomial(0.55, 0.55 / (0.55 + about["more"]), n)
    size, grade = rng.choice(3, n, p=about["size"]), rng.random(n) < about["grade 3"]
    pgr, er = np.expm1(rng.normal(3.4, 1.9, (2, n))).clip(0, 5000).round()
    risk = 0.6 * np.log1p(nodes) + 0.35 * size + 0.4 * grade - 0.3 * np.log1p(pgr)
    risk += 0.05 * np.abs(age - 55) - 0.05
    days = 4000 * (rng.exponential(size=n) / np.exp(risk)) ** 0.8
    followed = rng.uniform(about["from"], about["to"], n)
    columns = [age, age > 50, size, grade, nodes, pgr, er, np.minimum(days, followed).round() + 1]
    t = pd.DataFrame(dict(zip((*_FEATURES, "days"), columns, strict=True)), dtype=float)
    index = pd.Index([f"simulated-{name}-{k:04d}" for k in range(1, n + 1)], name="patient")
    return t.assign(event=(days <= followed).astype(int)).set_index(index)


def simulated_breast(rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Draw simulated women in the place of those of `read_breast`, as many and with its columns."""
    return {
        name: _drawn(name, n, dict(zip(_MADE_OF, about, strict=True)), rng)
        for name, (n, *about) in _COUNTRIES.items()
    }


def breast_recurrence(data: str, rng: np.random.Generator) -> tuple[dict[str, pd.DataFrame], str]:
    """The real women of both countries where they can be had, else the stand-in, and a message.

    Used in lesson 13. `data` is "builtin" or a folder with the two files; the message is empty
    if the women are real.

    Raises
    ------
    DataError
        If `data` is a folder whose files are missing or faulty: who names one wants no stand-in.
    """
    own = Path(data).expanduser() if data != "builtin" else None
    try:
        paths = {name: find_own(f, own) if own else fetch(f) for name, f in BREAST.items()}
        return {name: read_breast(path, name) for name, path in paths.items()}, ""
    except DataError as error:
        if own:
            raise
        reason = str(error).split(". ")[0].removesuffix(".")
    return simulated_breast(rng), (
        "SIMULATED patients. For the real ones: python -m medxfer_utils.data breast\n"
        f"(or put the two files into the folder tables of MEDXFER_DATA). The reason: {reason}."
    )
