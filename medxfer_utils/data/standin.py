"""A stand-in for the four heart-disease hospitals, for where their files cannot be had.

The patients are SIMULATED, from summary statistics of the real ones: see
`book/studies/hospitals_statistics.py`, which wrote them. Exact are the numbers of patients and of
diagnoses, and which values are missing together in how many. About right are how each feature is
distributed in each hospital among the ill and among the healthy, and how features go together.
Lost are dependences that differ between hospitals or that no correlation can tell (codes count as
ordered), and whether a value is missing *because* of what it is. What is found on the stand-in
says nothing about real patients.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from medxfer_utils.cohorts import Cohort
from medxfer_utils.data import hospitals as tabular
from medxfer_utils.data.files import DataError
from medxfer_utils.data.hospitals import HEART_FEATURES

Array = NDArray[np.floating]
FILE = Path(__file__).with_name("hospitals.json")
DIAGNOSES = ("healthy", "ill")  # y is the position


def statistics() -> dict[str, Any]:
    """What is known of the real patients: by diagnosis, and by hospital and diagnosis.

    Returns
    -------
    dict
        "levels" of the quantiles; in "diagnoses" the correlation and the marginals over all
        hospitals; in "hospitals" how often values are missing together (1 = missing, in the order
        of `HEART_FEATURES`), and the marginals of what was measured often enough. A marginal is a
        list of quantiles or a share of each code. "record" says where it all came from.
    """
    known: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return known


def _mapped(u: Array, marginal: list[float] | dict[str, float], levels: list[float]) -> Array:
    """Values of a feature at the quantiles `u`, between 0 and 1."""
    if isinstance(marginal, list):
        return np.interp(u, levels, marginal)
    codes, ends = np.array(list(marginal), dtype=float), np.cumsum(list(marginal.values()))
    # Shares are rounded: the last one goes up to 1 whatever their sum.
    return np.asarray(codes[np.searchsorted(ends[:-1], u)])


def _patients(known: dict[str, Any], name: str, diagnosis: str, rng: np.random.Generator) -> Array:
    """Draw the patients of one hospital with one diagnosis, shape (n, 13)."""
    of_all, own = known["diagnoses"][diagnosis], known["hospitals"][name][diagnosis]
    patterns = np.array([[digit == "1" for digit in pattern] for pattern in own["missing"]])
    missing = np.repeat(patterns, list(own["missing"].values()), axis=0)
    # A Gaussian copula: normal variables that are correlated, each bent to its own marginal.
    middle, correlation = np.zeros(len(HEART_FEATURES)), np.array(of_all["correlation"])
    latent = rng.multivariate_normal(middle, correlation, len(missing), method="cholesky")
    marginals = of_all["marginals"] | own["marginals"]
    x = np.column_stack(
        [
            # As in the files: tenths of a mm, and whole numbers otherwise.
            np.round(_mapped(u, marginals[f], known["levels"]), 1 if f == "ST depression" else 0)
            for f, u in zip(HEART_FEATURES, ndtr(latent).T, strict=True)
        ]
    )
    return np.where(missing, np.nan, x)


def _hospital(known: dict[str, Any], name: str, rng: np.random.Generator) -> Cohort:
    """Draw the patients of one hospital, in random order."""
    groups = [_patients(known, name, diagnosis, rng) for diagnosis in DIAGNOSES]
    y = np.repeat([0, 1], [len(group) for group in groups])
    order = rng.permutation(len(y))
    patient = np.array([f"simulated-{name}-{n:03d}" for n in range(1, len(y) + 1)])
    return Cohort(name, np.concatenate(groups)[order], y[order], patient, HEART_FEATURES)


def four_hospitals(rng: np.random.Generator) -> dict[str, Cohort]:
    """Draw simulated patients of the four hospitals of `tabular.four_hospitals`.

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
    known = statistics()
    return {name: _hospital(known, name, rng) for name in known["hospitals"]}


def hospitals(data: str, rng: np.random.Generator) -> tuple[dict[str, Cohort], str]:
    """The real hospitals where they can be had, else the stand-in, and what to say about it.

    Parameters
    ----------
    data : str
        "builtin", or a folder with the four files, see `tabular.four_hospitals`.
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
        return tabular.four_hospitals(data), ""
    try:
        return tabular.four_hospitals(), ""
    except DataError as error:
        reason = str(error).split(". ")[0].removesuffix(".")
    return four_hospitals(rng), (
        "SIMULATED patients. For the real ones: python -m medxfer_utils.data.files heart\n"
        f"(or put their files into the folder uci_heart of MEDXFER_DATA). The reason: {reason}."
    )
