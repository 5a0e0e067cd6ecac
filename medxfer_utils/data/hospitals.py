"""Tabular cohorts: two breast-cancer laboratories, and the four heart-disease hospitals.

The laboratories measure the same nuclei differently; the hospitals saw other patients, and did not
measure everything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer

from medxfer_utils.cohorts import Cohort, split
from medxfer_utils.data import files as downloads
from medxfer_utils.data.catalogue import HEART, RemoteFile
from medxfer_utils.data.files import ContentError, DataError

# In the order of the files. Codes of those that are categories; the least and greatest value of
# those that are not: no living adult is outside, but a slip of the pen is, and so is another unit
# (cholesterol in mmol/l, pressure in kPa).
CODES: Mapping[str, tuple[int, ...]] = {
    "sex": (0, 1),
    "chest pain": (1, 2, 3, 4),
    "fasting sugar": (0, 1),
    "resting ECG": (0, 1, 2),
    "exercise angina": (0, 1),
    "ST slope": (1, 2, 3),
    "vessels": (0, 1, 2, 3),
    "thallium scan": (3, 6, 7),
}
_RANGES = {
    "age": (0, 120),
    "resting pressure": (40, 300),
    "cholesterol": (50, 1000),
    "maximum heart rate": (30, 250),
    # Negative is an elevation: -2.6 occurs.
    "ST depression": (-5, 10),
}
HEART_FEATURES = (
    *("age", "sex", "chest pain", "resting pressure", "cholesterol", "fasting sugar"),
    *("resting ECG", "maximum heart rate", "exercise angina", "ST depression"),
    *("ST slope", "vessels", "thallium scan"),
)
SHARED = HEART_FEATURES[:10]  # every hospital set out to measure these
_DIAGNOSIS = "diagnosis"
_COLUMNS = (*HEART_FEATURES, _DIAGNOSIS)
_ZERO_IS_MISSING = ("resting pressure", "cholesterol")
_REFERENCE = {"chest pain": 1, "resting ECG": 0, "ST slope": 1, "thallium scan": 3}
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")


def breast_cancer() -> Cohort:
    """Wisconsin diagnostic breast cancer: 569 patients, 30 features of their cell nuclei.

    Fine-needle aspirates, digitised; ten features of each nucleus, of which the file gives the
    mean, the standard error and the worst (mean of the three largest) over the nuclei of a
    sample [1]_. It comes with scikit-learn, which codes malignant as **0**: here malignant is 1.
    Lengths are in pixels of the original images. One row is one patient.

    References
    ----------
    .. [1] Street, Wolberg and Mangasarian (1993), doi:10.1117/12.148698.
    """
    data = load_breast_cancer()
    features = tuple(str(name) for name in data.feature_names)
    malignant = (data.target == list(data.target_names).index("malignant")).astype(int)
    return Cohort("Wisconsin", data.data, malignant, np.arange(len(malignant)), features)


def _laboratory(cohort: Cohort, name: str, statistic: str) -> Cohort:
    """A laboratory that reports one statistic ("mean" or "worst") of the ten nuclear features."""
    columns = [i for i, feature in enumerate(cohort.features) if statistic in feature.split()]
    bare = tuple(cohort.features[i].replace(statistic, "").strip() for i in columns)
    return replace(cohort, name=name, x=cohort.x[:, columns], features=bare)


def two_laboratories(rng: np.random.Generator) -> tuple[Cohort, Cohort]:
    """Laboratory A reports the mean of each nuclear feature, laboratory B the worst.

    The patients of `breast_cancer` are divided between the two at random, stratified by
    diagnosis; none is in both. The ten columns have the same names and the same meaning, but not
    the same numbers: a measurement shift that is real, not made.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides which patient went to which laboratory.

    Returns
    -------
    laboratory_a, laboratory_b : Cohort
        285 and 284 patients (to within one), 10 features, malignant = 1.
    """
    half_a, half_b = split(breast_cancer(), (0.5, 0.5), rng)
    return _laboratory(half_a, "laboratory A", "mean"), _laboratory(half_b, "laboratory B", "worst")


def _require_possible(value: float, column: str, where: str) -> None:
    """Raise ContentError if no patient can have this value."""
    codes = (0, 1, 2, 3, 4) if column == _DIAGNOSIS else CODES.get(column)
    if codes is not None:
        possible, wanted = value in codes, f"one of {', '.join(map(str, codes))}"
    else:
        least, greatest = _RANGES[column]
        possible, wanted = least <= value <= greatest, f"from {least} to {greatest}"
    if not possible:
        raise ContentError(
            f"{where}, {column}: {value:g} is impossible, it must be {wanted}; correct it, or "
            "write ? for a missing value."
        )


def _value(text: str, column: str, where: str) -> float:
    """Read one field; NaN where it is missing."""
    if text == "?" and column == _DIAGNOSIS:
        raise ContentError(f"{where}, {column}: it is missing; leave out who has none.")
    if text == "?":
        return np.nan
    if not _NUMBER.fullmatch(text):
        raise ContentError(
            f"{where}, {column}: {text!r} is not a number; write ? for a missing value."
        )
    value = float(text)
    if value == 0 and column in _ZERO_IS_MISSING:
        return np.nan
    _require_possible(value, column, where)
    return value


def _row(line: str, where: str) -> list[float]:
    """Read one patient."""
    if not line.strip():
        raise ContentError(f"{where} is blank; remove it.")
    fields = line.split(",")
    if len(fields) != len(_COLUMNS):
        raise ContentError(
            f"{where} has {len(fields)} fields, not {len(_COLUMNS)}: {', '.join(_COLUMNS)}."
        )
    return [_value(text, column, where) for text, column in zip(fields, _COLUMNS, strict=True)]


def _lines(path: Path) -> list[str]:
    """The lines of a text file, without the end of the last."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ContentError(
            f"{path}, line {line}: byte {raw[error.start]:#04x} is not text in UTF-8; save the "
            "file as UTF-8."
        ) from error
    if not text.strip():
        raise ContentError(f"{path} is empty; it should hold one line a patient.")
    return text.replace("\r\n", "\n").rstrip("\n").split("\n")


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
    rows = [_row(line, f"{path}, line {n}") for n, line in enumerate(_lines(path), start=1)]
    values = np.array(rows)
    patient = np.array([f"{name}-{n:03d}" for n in range(1, len(rows) + 1)])
    return Cohort(name, values[:, :-1], (values[:, -1] > 0).astype(int), patient, HEART_FEATURES)


def _own(file: RemoteFile, folder: Path) -> Path:
    """Return where a file is in a reader's folder; DataError if it is not there."""
    places = (folder / file.name, folder / file.folder / file.name)
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise DataError(
            f"{file.name} is neither in {folder} nor in its subfolder {file.folder}: put it there; "
            f"the official one is {file.url}."
        )
    return found


def four_hospitals(folder: str | Path | None = None) -> dict[str, Cohort]:
    """Patients who had a coronary angiography, at four hospitals, as `read_hospital` reads them.

    Parameters
    ----------
    folder : str or Path, optional
        Where four files in the same format and with the same names are, there or in a subfolder
        ``uci_heart``; they are read as they are. Without it the official ones, see
        `downloads.fetch`.

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
    paths = {
        name: downloads.fetch(file) if folder is None else _own(file, Path(folder).expanduser())
        for name, file in HEART.items()
    }
    return {name: read_hospital(path, name) for name, path in paths.items()}


def restricted(cohort: Cohort, features: Sequence[str]) -> Cohort:
    """Return the same patients with some features only, in the order asked for.

    Raises
    ------
    ValueError
        If the cohort has no such feature.
    """
    unknown = [feature for feature in features if feature not in cohort.features]
    if unknown:
        raise ValueError(
            f"{cohort.name!r} has no feature {unknown[0]!r}: choose from "
            f"{', '.join(cohort.features)}."
        )
    columns = [cohort.features.index(feature) for feature in features]
    return replace(cohort, x=cohort.x[:, columns], features=tuple(features))


def _dummies(codes: NDArray[np.floating], feature: str) -> dict[str, NDArray[np.floating]]:
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
    columns: dict[str, NDArray[np.floating]] = {}
    for feature, values in zip(cohort.features, cohort.x.T, strict=True):
        columns |= _dummies(values, feature) if feature in _REFERENCE else {feature: values}
    return replace(cohort, x=np.column_stack(list(columns.values())), features=tuple(columns))
