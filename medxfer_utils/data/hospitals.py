"""Four hospitals with heart patients: the real ones, and a stand-in where they cannot be had.

The hospitals saw other patients, and did not measure everything. The stand-in's patients are
SIMULATED, from summary statistics of the real ones: see `book/studies/hospitals_statistics.py`,
which wrote them. Exact are the numbers of patients and of diagnoses, and which values are missing
together in how many. About right are how each feature is distributed in each hospital among the
ill and among the healthy, and how features go together. Lost are dependences that differ between
hospitals or that no correlation can tell (codes count as ordered), and whether a value is missing
*because* of what it is. What is found on the stand-in says nothing about real patients.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from medxfer_utils import require
from medxfer_utils.cohorts import Cohort
from medxfer_utils.data.catalogue import HEART
from medxfer_utils.data.checking import refuse
from medxfer_utils.data.files import ContentError, DataError, fetch, find_own

Array = NDArray[np.floating]
STATISTICS = Path(__file__).with_name("hospitals.json")  # what is known of the real patients
DIAGNOSES = ("healthy", "ill")  # y is the position
# Codes of the features that are categories, and the least and greatest value of the others: no
# living adult is outside, but a slip of the pen is, and so is another unit (cholesterol in mmol/l).
CODES: Mapping[str, tuple[int, ...]] = {
    **{"sex": (0, 1), "fasting sugar": (0, 1), "exercise angina": (0, 1)},
    **{"chest pain": (1, 2, 3, 4), "resting ECG": (0, 1, 2), "ST slope": (1, 2, 3)},
    **{"vessels": (0, 1, 2, 3), "thallium scan": (3, 6, 7)},
}
_RANGES = {
    **{"age": (0, 120), "resting pressure": (40, 300), "cholesterol": (50, 1000)},
    **{"maximum heart rate": (30, 250), "ST depression": (-5, 10)},  # an elevation is negative
}
HEART_FEATURES = (
    *("age", "sex", "chest pain", "resting pressure", "cholesterol", "fasting sugar"),
    *("resting ECG", "maximum heart rate", "exercise angina", "ST depression"),
    *("ST slope", "vessels", "thallium scan"),
)
SHARED = HEART_FEATURES[:10]  # every hospital set out to measure these
_COLUMNS = (*HEART_FEATURES, "diagnosis")
_ZERO_IS_MISSING = ("resting pressure", "cholesterol")
_REFERENCE = {"chest pain": 1, "resting ECG": 0, "ST slope": 1, "thallium scan": 3}
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")


def _value(text: str, column: str, where: str) -> float:
    """Read one field; NaN where it is missing."""
    missing, number = text == "?", _NUMBER.fullmatch(text)
    value = float(text) if number else np.nan
    if value == 0 and column in _ZERO_IS_MISSING:
        return np.nan
    codes = (0, 1, 2, 3, 4) if column == "diagnosis" else CODES.get(column)
    low, high = _RANGES.get(column, (0, 0))
    wanted = f"one of {', '.join(map(str, codes))}" if codes else f"from {low} to {high}"
    possible = value in codes if codes else low <= value <= high
    faults = {
        "it is missing; leave out who has none.": missing and column == "diagnosis",
        f"{text!r} is not a number; write ? for a missing value.": not (missing or number),
        f"{value:g} is impossible, it must be {wanted}; correct it, or write ? for a missing "
        "value.": number and not possible,
    }
    refuse(ContentError, faults, f"{where}, {column}: ")
    return value


def _patient(line: str, where: str) -> list[float]:
    """Read one patient."""
    fields, wanted = [field.strip(" \t\"'") for field in line.split(",")], len(_COLUMNS)
    columns, words = ", ".join(_COLUMNS), sum(field[:1].isalpha() for field in fields)
    heading = f"is a heading, not a patient: remove it, if these are its columns: {columns}."
    other = f"has {len(fields)} fields between commas, not {wanted}: {columns}."
    faults = {
        "is blank; remove it.": not line.strip(),
        heading: words > wanted / 2,
        other: len(fields) != wanted,
    }
    refuse(ContentError, faults, f"{where} ")
    return [_value(text, column, where) for text, column in zip(fields, _COLUMNS, strict=True)]


def _lines(path: Path) -> list[str]:
    """The lines of a text file, without the end of the last."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"{path}, line {1 + raw[: error.start].count(10)}: "  # of line ends
        what = f"byte {raw[error.start]:#04x} is not text in UTF-8; save the file as UTF-8."
        raise ContentError(where + what) from error
    require(text.strip(), f"{path} is empty; it should hold one line a patient.", ContentError)
    return re.split("\r\n|\n|\r", text.rstrip())


def read_hospital(path: Path, name: str) -> Cohort:
    """Read a file of UCI Heart Disease [1]_: a line is a patient, with 14 values and no heading.

    The columns of `x` are `HEART_FEATURES`. NaN is a missing value: in the file a ``?``, or a
    cholesterol or resting pressure of 0.

    ==================  ==========================================================================
    age                 years
    sex                 1 = man, 0 = woman
    chest pain          1 = typical angina, 2 = atypical, 3 = other pain, 4 = none (asymptomatic)
    resting pressure    systolic, mmHg, on admission
    cholesterol         in serum, mg/dl
    fasting sugar       1 = above 120 mg/dl
    resting ECG         0 = normal, 1 = ST-T abnormality, 2 = left ventricular hypertrophy
    maximum heart rate  beats/min, under exercise
    exercise angina     1 = yes
    ST depression       mm, by exercise relative to rest; negative = elevation
    ST slope            at the peak of exercise: 1 = up, 2 = flat, 3 = down
    vessels             0 to 3, major vessels coloured by fluoroscopy
    thallium scan       3 = normal, 6 = fixed defect, 7 = reversible defect
    ==================  ==========================================================================

    Parameters
    ----------
    path : Path
        The file.
    name : str
        The hospital.

    Returns
    -------
    Cohort
        y = 1 where a major vessel is narrowed by more than half (the file's diagnosis is 1 to 4,
        not 0). Patients are called after hospital and line: "Cleveland-001".

    Raises
    ------
    ContentError
        If the file is anything else, with the line and the column.

    References
    ----------
    .. [1] Janosi, Steinbrunn, Pfisterer and Detrano (1989), doi:10.24432/C52P4X.
    """
    rows = [_patient(line, f"{path}, line {n}") for n, line in enumerate(_lines(path), start=1)]
    values = np.array(rows)
    patient = np.array([f"{name}-{n:03d}" for n in range(1, len(rows) + 1)])
    return Cohort(name, values[:, :-1], (values[:, -1] > 0).astype(int), patient, HEART_FEATURES)


def four_hospitals(folder: str | Path | None = None) -> dict[str, Cohort]:
    """Patients who had a coronary angiography, at four hospitals, as `read_hospital` reads them.

    Parameters
    ----------
    folder : str or Path, optional
        Where four files in the same format and with the same names are, there or in a subfolder
        ``uci_heart``; they are read as they are. Without it the official ones, see
        `fetch`.

    Returns
    -------
    dict of str to Cohort
        Cleveland (officially 303 patients), Budapest (294), Zurich (123, Zurich and Basel) and
        Long Beach (200).

    Raises
    ------
    DataError
        If a file cannot be had, is not the official one, or is faulty.
    """
    own = Path(folder).expanduser() if folder is not None else None
    paths = {name: find_own(file, own) if own else fetch(file) for name, file in HEART.items()}
    return {name: read_hospital(path, name) for name, path in paths.items()}


def restricted(cohort: Cohort, features: Sequence[str]) -> Cohort:
    """Return the same patients with some features only, in the order asked for.

    Raises
    ------
    ValueError
        If the cohort has no such feature.
    """
    there = f"choose from {', '.join(cohort.features)}."
    faults = {f"{f!r}: {there}": f not in cohort.features for f in features}
    refuse(ValueError, faults, f"{cohort.name!r} has no feature ")
    columns = [cohort.features.index(feature) for feature in features]
    return replace(cohort, x=cohort.x[:, columns], features=tuple(features))


def _dummies(codes: Array, feature: str) -> dict[str, Array]:
    """A column of 0 and 1 for each code of a feature but the reference; NaN stays NaN."""
    others = [code for code in CODES[feature] if code != _REFERENCE[feature]]
    missing = np.isnan(codes)
    return {f"{feature} = {code}": np.where(missing, np.nan, codes == code) for code in others}


def encoded(cohort: Cohort) -> Cohort:
    """Replace each feature that is a choice of more than two by columns of 0 and 1.

    These are chest pain, resting ECG, ST slope and thallium scan, where they are among the
    features; "chest pain = 4" is 1 for those who had none. The first code of each (typical
    angina, normal, up, normal) has no column: the others are relative to it. A missing value is
    missing in all columns of its feature. The other features stay as they are.
    """
    columns: dict[str, Array] = {}
    for feature, values in zip(cohort.features, cohort.x.T, strict=True):
        columns |= _dummies(values, feature) if feature in _REFERENCE else {feature: values}
    return replace(cohort, x=np.column_stack(list(columns.values())), features=tuple(columns))


# --- The stand-in ---


def heart_statistics() -> dict[str, Any]:
    """What is known of the real patients: by diagnosis, and by hospital and diagnosis.

    Returns
    -------
    dict
        "levels" of the quantiles; in "diagnoses" the correlation and the marginals over all
        hospitals; in "hospitals" how often values are missing together (1 = missing, in the order
        of `HEART_FEATURES`), and the marginals of what was measured often enough. A marginal is a
        list of quantiles or a share of each code. "record" says where it all came from.
    """
    return cast(dict[str, Any], json.loads(STATISTICS.read_text("utf-8")))


def _mapped(u: Array, marginal: list[float] | dict[str, float], levels: list[float]) -> Array:
    """Values of a feature at the quantiles `u`, between 0 and 1."""
    if isinstance(marginal, list):
        return np.interp(u, levels, marginal)
    codes, ends = np.array(list(marginal), dtype=float), np.cumsum(list(marginal.values()))
    # Shares are rounded: the last one goes up to 1 whatever their sum.
    return np.asarray(codes[np.searchsorted(ends[:-1], u)])


def _stratum(known: dict[str, Any], name: str, diagnosis: str, rng: np.random.Generator) -> Array:
    """Draw the patients of one hospital with one diagnosis, shape (n, 13)."""
    of_all, own = known["diagnoses"][diagnosis], known["hospitals"][name][diagnosis]
    patterns = np.array([[digit == "1" for digit in pattern] for pattern in own["missing"]])
    missing = np.repeat(patterns, list(own["missing"].values()), axis=0)
    # A Gaussian copula: normal variables that are correlated, each bent to its own marginal.
    middle, correlation = np.zeros(len(HEART_FEATURES)), np.array(of_all["correlation"])
    latent = rng.multivariate_normal(middle, correlation, len(missing), method="cholesky")
    marginals = of_all["marginals"] | own["marginals"]
    of_each = zip(HEART_FEATURES, ndtr(latent).T, strict=True)
    x = [_mapped(u, marginals[f], known["levels"]) for f, u in of_each]
    # As in the files: tenths of a mm, and whole numbers otherwise.
    x = [np.round(v, f == "ST depression") for f, v in zip(HEART_FEATURES, x, strict=True)]
    return np.where(missing, np.nan, np.column_stack(x))


def _hospital(known: dict[str, Any], name: str, rng: np.random.Generator) -> Cohort:
    """Draw the patients of one hospital, in random order."""
    groups = [_stratum(known, name, diagnosis, rng) for diagnosis in DIAGNOSES]
    y = np.repeat([0, 1], [len(group) for group in groups])
    order = rng.permutation(len(y))
    patient = np.array([f"simulated-{name}-{n:03d}" for n in range(1, len(y) + 1)])
    return Cohort(name, np.concatenate(groups)[order], y[order], patient, HEART_FEATURES)


def simulated_hospitals(rng: np.random.Generator) -> dict[str, Cohort]:
    """Draw simulated patients of the four hospitals of `four_hospitals`.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    dict of str to Cohort
        With the sizes, diagnoses and missing values of the real ones. Patients are called
        "simulated-Cleveland-001".
    """
    known = heart_statistics()
    return {name: _hospital(known, name, rng) for name in known["hospitals"]}


def heart_hospitals(data: str, rng: np.random.Generator) -> tuple[dict[str, Cohort], str]:
    """The real hospitals where they can be had, else the stand-in, and what to say about it.

    Used in lesson 09.

    Parameters
    ----------
    data : str
        "builtin", or a folder with the four files, see `four_hospitals`.
    rng : numpy.random.Generator
        For the stand-in; the real patients need no chance.

    Returns
    -------
    cohorts : dict of str to Cohort
    message : str
        Says that the patients are simulated, how to have the real ones, and why they are not
        here; empty if they are real.

    Raises
    ------
    DataError
        If `data` is a folder whose files are missing or faulty: who names one wants no stand-in.
    """
    if data != "builtin":
        return four_hospitals(data), ""
    try:
        return four_hospitals(), ""
    except DataError as error:
        reason = str(error).split(". ")[0].removesuffix(".")
    return simulated_hospitals(rng), (
        "SIMULATED patients. For the real ones: python -m medxfer_utils.data heart\n"
        f"(or put their files into the folder uci_heart of MEDXFER_DATA). The reason: {reason}."
    )
