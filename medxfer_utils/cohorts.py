"""Cohorts: the patients of one site, and the only ways in which the book divides them.

Every split is by patient, seeded and stratified by diagnosis, so that no patient can stand on
two sides of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medxfer_utils import require


@dataclass(frozen=True, eq=False)
class Cohort:
    """The patients of one site: what was measured, the diagnosis, and who is who.

    Parameters
    ----------
    name : str
        The site, as figures and error messages call it.
    x : ndarray, shape (n, ...)
        One row (or image) per sample.
    y : ndarray of int, shape (n,)
        1 = the disease, 0 = not the disease.
    patient : ndarray, shape (n,)
        Patient identifier of each row; a patient may have several rows.
    features : tuple of str
        Names of the columns of a tabular `x`.

    Raises
    ------
    ValueError
        If the lengths differ, a label is not 0 or 1, labels or patients are not one a row, a
        patient is missing, or there are no rows.
    """

    name: str
    x: NDArray[np.floating]
    y: NDArray[np.integer]
    patient: NDArray[np.generic]
    features: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for what in ("x", "y", "patient"):  # columns of pandas, and lists, too
            object.__setattr__(self, what, np.asarray(getattr(self, what)))
        lengths = {"x": len(self.x), "y": len(self.y), "patient": len(self.patient)}
        alike, here = len(set(lengths.values())) == 1, f"Cohort {self.name!r}"
        require(alike, f"{here}: lengths differ, {lengths}; give one row each.")
        require(len(self.y), f"{here} has no rows; check the selection that made it.")
        for what, values in (("y", self.y), ("patient", self.patient)):
            require(values.ndim == 1, f"{here}: {what} has shape {values.shape}; use {what}[:, 0].")
        gaps = [k for k, who in enumerate(self.patient.tolist()) if who is None or who != who]
        require(not gaps, f"{here}: {len(gaps)} rows have no patient, {gaps[:1]} first: drop them.")
        strange = sorted(set(np.unique(self.y).tolist()) - {0, 1})
        require(not strange, f"{here}: labels must be 0 or 1 (1 = the disease), found {strange}.")

    def __len__(self) -> int:
        return len(self.y)

    @property
    def patients(self) -> NDArray[np.generic]:
        """The distinct patient identifiers, sorted."""
        return np.unique(self.patient)

    @property
    def prevalence(self) -> float:
        """Share of rows with the disease, between 0 and 1."""
        return float(np.mean(self.y))

    def of(self, patients: ArrayLike) -> Cohort:
        """All rows of some patients, in the order in which they stand here."""
        rows = np.isin(self.patient, np.asarray(patients))
        return replace(self, x=self.x[rows], y=self.y[rows], patient=self.patient[rows])


def _strata(cohort: Cohort, rng: np.random.Generator) -> list[NDArray[np.generic]]:
    """The patients in random order: those with the disease, then those without."""
    patients = rng.permutation(cohort.patients)
    ill = np.isin(patients, cohort.patient[cohort.y == 1])
    return [patients[ill], patients[~ill]]


def split(
    cohort: Cohort, fractions: Sequence[float], rng: np.random.Generator
) -> tuple[Cohort, ...]:
    """Divide a cohort by patient into parts of about the same prevalence.

    Taught in lesson 02.

    Parameters
    ----------
    cohort : Cohort
        A patient counts as ill if any of its rows is.
    fractions : sequence of float
        Share of the patients in each part; positive, sum 1.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    tuple of Cohort
        One for each fraction; no patient is in two, and each patient is in one.

    Raises
    ------
    ValueError
        If the fractions are not positive with sum 1, or a part would be empty.
    """
    shares = np.asarray(fractions, dtype=float)
    whole = (shares > 0).all() and np.isclose(shares.sum(), 1)
    require(whole, f"fractions must be positive and sum to 1, got {list(fractions)}.")
    parts: list[list[NDArray[np.generic]]] = [[] for _ in shares]
    for stratum in _strata(cohort, rng):
        cuts = np.rint(np.cumsum(shares)[:-1] * len(stratum)).astype(int)
        for part, piece in zip(parts, np.split(stratum, cuts), strict=True):
            part.append(piece)
    return tuple(cohort.of(np.concatenate(part)) for part in parts)


def draw(cohort: Cohort, n: int, rng: np.random.Generator) -> Cohort:
    """Draw `n` patients at about the cohort's prevalence: those whose diagnosis we pay for.

    With the same seed the draws are nested: the 8 patients of a small study are among the 16 of
    the next, so that a learning curve follows one growing study. Taught in lesson 02.

    Raises
    ------
    ValueError
        If there are fewer than `n` patients, or the draw would hold one class only.
    """
    there = len(cohort.patients)
    require(0 < n <= there, f"Cannot draw {n} patients from {cohort.name!r}, which has {there}.")
    strata = _strata(cohort, rng)
    # The k-th of m patients of a stratum stands at (k + 1/2)/m: the strata interleave evenly, so
    # every leading part of the queue has nearly the cohort's prevalence.
    place = np.concatenate([(np.arange(len(s)) + 0.5) / max(len(s), 1) for s in strata])
    queue = np.concatenate(strata)[np.argsort(place, kind="stable")]
    drawn = cohort.of(queue[:n])
    about = f"{n} patients of {cohort.name!r} (prevalence {cohort.prevalence:.2f})"
    require(len(np.unique(drawn.y)) > 1, f"{about} hold one class only; draw more.")
    return drawn


def folds(cohort: Cohort, k: int, rng: np.random.Generator) -> list[NDArray[np.generic]]:
    """Deal the patients out, each diagnosis in turn: the patients of each fold.

    Folds differ by one patient at most, and so do their numbers of ill patients. A class with one
    patient is no error here: a study of ten has no better choice. Taught in lesson 03.

    Parameters
    ----------
    cohort : Cohort
        A patient counts as ill if any of its rows is.
    k : int
        Folds, from 1 to the number of patients.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    list of ndarray, each of shape (n / k,)
        The patients of each fold; each patient is in one.

    Raises
    ------
    ValueError
        If there are fewer patients than folds.
    """
    there = len(cohort.patients)
    require(1 <= k <= there, f"Cannot deal {there} patients of {cohort.name!r} into {k} folds.")
    queue = np.concatenate(_strata(cohort, rng))
    return [queue[part::k] for part in range(k)]


def episode(
    cohort: Cohort, shots: int, rng: np.random.Generator, queries: int | None = None
) -> tuple[Cohort, Cohort]:
    """Draw one episode: a few patients of each class to learn from, and others to be asked about.

    With the same seed the few are nested, as in `draw`. Taught in lesson 14.

    Parameters
    ----------
    cohort : Cohort
        The task. A patient counts as ill if any of its rows is.
    shots : int
        Patients of each class that are learnt from, with all their rows.
    rng : numpy.random.Generator
        The only source of chance.
    queries : int, optional
        Patients of each class that are asked about; all others if not given.

    Returns
    -------
    support, query : Cohort
        No patient is in both.

    Raises
    ------
    ValueError
        If a class has too few patients for both, or none.
    """
    strata, asked = _strata(cohort, rng), 1 if queries is None else queries
    ill, healthy = map(len, strata)
    there = f"{cohort.name!r} has {ill} ill and {healthy} healthy patients"
    require(min(ill, healthy), f"{there}: a task needs both classes; choose another task.")
    need = f"{shots} to learn from and {asked} to be asked about in each class"
    enough = shots >= 1 and asked >= 1 and shots + asked <= min(ill, healthy)
    require(enough, f"{there}, not {need}: ask for 1 or more of each, and for fewer in all.")
    last = None if queries is None else shots + queries
    few, others = (
        np.concatenate([s[part] for s in strata]) for part in (slice(shots), slice(shots, last))
    )
    return cohort.of(few), cohort.of(others)


def together(cohorts: Sequence[Cohort], name: str = "pooled data") -> Cohort:
    """All patients of several sites as if they were of one.

    Raises
    ------
    ValueError
        If two sites share patients, or their features differ.
    """
    require_disjoint(*cohorts)
    alike = len({cohort.features for cohort in cohorts}) == 1
    require(alike, "The sites differ in their features; choose those that all have.")
    x, y, patient = (
        np.concatenate([getattr(cohort, what) for cohort in cohorts])
        for what in ("x", "y", "patient")
    )
    return Cohort(name, x, y, patient, cohorts[0].features)


def require_disjoint(*cohorts: Cohort) -> None:
    """Raise ValueError, naming them, if two cohorts share patients."""
    for a, b in combinations(cohorts, 2):
        shared = np.intersect1d(a.patients, b.patients)
        said = f"{a.name!r} and {b.name!r} share {len(shared)} patients, {next(iter(shared), None)}"
        require(not len(shared), f"{said} first; divide by patient before anything else.")
