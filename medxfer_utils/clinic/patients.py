"""The virtual CT clinic: simulated lung nodules and liver lesions whose truth is known.

No patient is in it. Findings are drawn from a model (`signs`), tissue is drawn from the
findings (`tissue`), a scanner blurs it and adds noise (`scanner`), and a record and a report are
written (`reports`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from medxfer_utils import require
from medxfer_utils.clinic import reports, scanner, signs, tissue
from medxfer_utils.clinic.scanner import Doubles
from medxfer_utils.cohorts import Cohort
from medxfer_utils.metrics import auroc

CHOICES: dict[str, tuple[Any, ...]] = {
    "organ": tuple(signs.FINDINGS),
    "kernel": tuple(scanner.KERNELS),
    "case_mix": tuple(signs.CASE_MIX),
    "phase": ("unenhanced", "portal"),
    "polarity": (1, -1),
    "modality": ("CT", "MR"),
}
RANGES = {
    "size": (8, 512),
    "pixel": (0.2, 4.0),
    "blur": (0.0, 6.0),
    "dose": (0.01, 100.0),
    "slice_thickness": (0.3, 10.0),
    "prevalence": (0.0, 1.0),
}
# Patients are drawn in lots of this many, always the same ones together, so that every way of
# asking for them gives the same bits. With fewer, numpy's overhead is as dear as the work.
LOT = 96
MOST_LESIONS = 3
# Diameter of the water cylinder that dims as the patient does, in mm (our choice, see AAPM report
# 220), and how far the organ's density spreads between patients, in HU: healthy lungs differ by 25
# (Fromson 1988); 9 for the liver is our choice.
HABITUS = {"lung": (270.0, 25.0), "liver": (290.0, 9.0)}
GIRTH_SPREAD = 25.0
# A purpose's place is part of its seed.
PURPOSES = (
    *("habitus", "label", "lesion", "anatomy", "texture", "noise", "record", "report"),
    "growth",
)
AFRESH = ("texture", "noise")  # differ between two dates: never quite the same slice is scanned
# By how much the log of a diameter grows in a year, mean and spread over lesions, benign and
# malignant: our choice.
GROWTH = ((0.0, 0.05), (0.3, 0.2))


@dataclass(frozen=True)
class Site:
    """One site: whom it sees, and what it scans them with.

    Parameters
    ----------
    organ : {"lung", "liver"}
        Nodules or lesions of this organ.
    size : int
        Pixels along a side, 8 to 512.
    pixel : float
        Size of a pixel in mm, 0.2 to 4.
    blur : float
        Full width at half maximum of the point spread in mm, 0 to 6, before the kernel.
    dose : float
        Photons relative to the reference, 0.01 to 100; for MR, signal to noise.
    slice_thickness : float
        In mm, 0.3 to 10.
    kernel : {"soft", "standard", "sharp"}
        Reconstruction kernel; MR has none.
    prevalence : float
        Share of patients with the disease, 0 to 1.
    case_mix : {"referral", "screening"}
        A screening site sees smaller lesions with fewer advanced signs.
    phase : {"unenhanced", "portal"}
        Contrast medium.
    polarity : {1, -1}
        -1 shows the contrast of lesion, vessels and surround inverted.
    modality : {"CT", "MR"}
        HU, or an MR-like image in arbitrary units.

    Raises
    ------
    ValueError
        If a value is not one of these.
    """

    organ: str = "lung"
    size: int = 64
    pixel: float = 0.75
    blur: float = 0.8
    dose: float = 1.0
    slice_thickness: float = 2.0
    kernel: str = "standard"
    prevalence: float = 0.5
    case_mix: str = "referral"
    phase: str = "portal"
    polarity: int = 1
    modality: str = "CT"

    def __post_init__(self) -> None:
        wrong = {
            n: f"choose from {some}" for n, some in CHOICES.items() if vars(self)[n] not in some
        }
        for name, (low, high) in RANGES.items():
            if not (isinstance(vars(self)[name], Real) and low <= vars(self)[name] <= high):
                wrong[name] = f"choose from {low} to {high}"
        if "size" not in wrong and self.size % 1:
            wrong["size"] = "give a whole number of pixels"
        told = " ".join(f"{name} is {vars(self)[name]!r}; {wrong[name]}." for name in wrong)
        require(not wrong, f"Site: {told}")

    @property
    def grid(self) -> scanner.Grid:
        """The pixels that are computed."""
        return scanner.Grid(self.size, self.pixel)


@dataclass(frozen=True, eq=False)
class Clinic:
    """What a site knows of its patients; one row is one lesion.

    Parameters
    ----------
    cohort : Cohort
        Images, diagnoses (1 = malignant) and patient ids.
    truth : DataFrame
        The findings.
    record : DataFrame
        The clinical record.
    reports : list of str
        The radiology reports.
    """

    cohort: Cohort
    truth: pd.DataFrame
    record: pd.DataFrame
    reports: list[str]


@dataclass(frozen=True, eq=False)
class _Lot:
    """Some patients of one seed, and their streams of random numbers."""

    seed: int
    patients: range
    date: int = 0  # which examination

    def stream(self, purpose: str, patient: int) -> np.random.Generator:
        """The stream of one patient for one purpose."""
        again = (self.date,) if self.date and purpose in AFRESH else ()
        return np.random.default_rng((self.seed, PURPOSES.index(purpose), patient, *again))

    def uniform(self, purpose: str, count: int) -> Doubles:
        """Uniform numbers, shape (patients, count)."""
        return np.stack([self.stream(purpose, p).random(count) for p in self.patients])

    @cached_property
    def habitus(self) -> Doubles:
        """Uniform numbers, shape (patients, 3): for lesions, density and girth."""
        return self.uniform("habitus", 3)

    @cached_property
    def lesions(self) -> NDArray[np.intp]:
        """How many lesions each patient has: mostly one, a quarter two, a tenth three."""
        # Our choice.
        return np.searchsorted((0.65, 0.9), self.habitus[:, 0]) + 1

    @cached_property
    def owner(self) -> NDArray[np.intp]:
        """Which of the patients each lesion belongs to."""
        return np.repeat(np.arange(len(self.patients)), self.lesions)

    def per_lesion(self, purpose: str, count: int) -> Doubles:
        """Uniform numbers, shape (lesions, count)."""
        every = self.uniform(purpose, MOST_LESIONS * count).reshape(-1, MOST_LESIONS, count)
        return every[np.arange(MOST_LESIONS) < self.lesions[:, None]]

    def white(self, purpose: str, channels: int, side: int) -> scanner.Floats:
        """Standard normal numbers, shape (lesions, channels, side, side)."""
        shape = (channels, side, side)
        each = zip(self.patients, self.lesions, strict=True)
        return np.concatenate(
            [self.stream(purpose, p).standard_normal((k, *shape), np.float32) for p, k in each]
        )


def _record(lot: _Lot, organ: str, y: NDArray[np.int64]) -> pd.DataFrame:
    """Draw the record: most fields once for each patient, a few for each lesion."""
    fields = reports.FIELDS[organ]
    u = lot.per_lesion("record", len(fields))
    own = [i for i, field in enumerate(fields) if field.name not in reports.PER_LESION]
    first = np.cumsum(lot.lesions) - lot.lesions
    u[:, own] = u[first[lot.owner]][:, own]
    return reports.draw_record(organ, y, u)


def _scanned(lot: _Lot, site: Site, hu: scanner.Floats, girth: Doubles) -> scanner.Floats:
    """Scan maps of HU of patients who dim the beam as `girth` mm of water do."""
    grid = site.grid
    if site.modality == "MR":
        channels = lot.white("noise", 2, grid.side)
        return scanner.scan_mr(hu, channels, grid, site.blur, site.dose)
    photons = scanner.counts(site.dose, site.slice_thickness, girth)
    noise = lot.white("noise", 1, grid.side)[:, 0]
    return scanner.scan_ct(hu, noise, photons, grid, site.blur, site.kernel)


def _images_of(lot: _Lot, site: Site, truth: pd.DataFrame, shape: Doubles) -> scanner.Floats:
    """Draw the tissue of each lesion and scan it."""
    girth, spread = HABITUS[site.organ]
    habitus = ndtri(lot.habitus[lot.owner, 1:])
    columns = {str(name): truth[name].to_numpy() for name in truth}
    columns["parenchyma"] = spread * habitus[:, 0]
    surroundings = lot.per_lesion("anatomy", tissue.ANATOMY_NUMBERS)
    texture = lot.white("texture", 1, site.grid.side)[:, 0]
    drawn = site.organ, site.phase, columns, surroundings, shape, texture
    hu, level = tissue.draw_tissue(*drawn, site.grid, site.slice_thickness)
    if site.polarity == -1:
        # Mirrored in the parenchyma of the liver; in the lung, air and soft tissue change places.
        hu = np.maximum((2 * level if site.organ == "liver" else level + 40) - hu, -1000)
    return _scanned(lot, site, hu, girth + GIRTH_SPREAD * habitus[:, 1])


def _findings(lot: _Lot, site: Site) -> tuple[NDArray[np.int64], pd.DataFrame, Doubles]:
    """Diagnosis, findings, and chance of the shape of each lesion."""
    y = (lot.uniform("label", 1)[:, 0] < site.prevalence).astype(np.int64)[lot.owner]
    latent = 1 + len(signs.FINDINGS[site.organ])
    u = lot.per_lesion("lesion", latent + tissue.SHAPE_NUMBERS)
    truth = signs.draw_signs(site.organ, site.case_mix, y, ndtri(u[:, :latent]))
    return y, truth, u[:, latent:]


def _age(truth: pd.DataFrame, lot: _Lot, site: Site, y: NDArray[np.int64], years: float) -> None:
    """Let each lesion grow at its own rate, within the sizes that the organ's lesions can have."""
    mean, spread = np.array(GROWTH)[y].T
    rate = mean + spread * ndtri(lot.per_lesion("growth", 1)[:, 0])
    size = next(f for f in signs.FINDINGS[site.organ] if f.name == "diameter_mm")
    truth["diameter_mm"] *= np.exp(rate * years)
    truth["diameter_mm"] = truth["diameter_mm"].clip(size.low, size.high)


def _lot_of(site: Site, patients: range, seed: int, date: int = 0, years: float = 0.0) -> Clinic:
    """Draw some patients of a site, as they are at a date."""
    lot, organ = _Lot(seed, patients, date), site.organ
    y, truth, shape = _findings(lot, site)
    if years:
        _age(truth, lot, site, y, years)
    record = _record(lot, organ, y)
    chance = lot.per_lesion("report", reports.REPORT_NUMBERS)
    written = reports.write_reports(organ, truth, record, chance)
    ids = np.array([f"{organ}-{seed}-{p:06d}" for p in patients])[lot.owner]
    x = _images_of(lot, site, truth, shape)
    return Clinic(Cohort(f"{organ} {site.modality}", x, y, ids), truth, record, written)


def _joined(parts: list[Clinic]) -> Clinic:
    """One clinic of several."""
    cohorts = [part.cohort for part in parts]
    x, y, ids = (np.concatenate([getattr(c, n) for c in cohorts]) for n in ("x", "y", "patient"))
    tables = ([part.truth for part in parts], [part.record for part in parts])
    truth, record = (pd.concat(each, ignore_index=True) for each in tables)
    written = [report for part in parts for report in part.reports]
    return Clinic(Cohort(cohorts[0].name, x, y, ids), truth, record, written)


def _lots(patients: int, seed: int) -> list[range]:
    """Which patients are drawn together."""
    require(patients >= 1 and seed >= 0, f"{patients} patients from seed {seed}: ask for 1 or more")
    return [range(start, min(start + LOT, patients)) for start in range(0, patients, LOT)]


def stream(site: Site, patients: int, seed: int, batch: int = 10 * LOT) -> Iterator[Clinic]:
    """Draw a clinic in parts, in constant memory; put together they are `simulate` to the bit.

    Parameters
    ----------
    site, patients, seed
        As for `simulate`.
    batch : int
        Patients in a part; parts hold the next smaller multiple of 96, and 96 at least.

    Yields
    ------
    Clinic
        The next patients.

    Raises
    ------
    ValueError
        As `simulate`.
    """
    asked = f"{patients} patients in parts of {batch} from seed {seed}"
    advice = "ask for 1 patient or more, parts of 1 or more, and a seed of 0 or more."
    require(patients >= 1 and batch >= 1 and seed >= 0, f"{asked}: {advice}")
    lots = _lots(patients, seed)
    step = max(1, batch // LOT)
    for first in range(0, len(lots), step):
        yield _joined([_lot_of(site, lot, seed) for lot in lots[first : first + step]])


def simulate(site: Site, patients: int, seed: int) -> Clinic:
    """Draw the patients of a site, who have 1 to 3 lesions each.

    All lesions of a patient have one diagnosis, and share the scanner, the patient's size (and so
    the noise level), the organ's density and the record. Two sites that differ in one axis show
    the same patients: each purpose (habitus, diagnosis, lesion, anatomy, texture, noise, record,
    report) has its own stream of random numbers for each patient, and prevalence and case mix
    only move thresholds.

    Parameters
    ----------
    site : Site
        Whom it sees and what it scans them with.
    patients : int
        How many, 1 or more; the first ones are the same whatever the number.
    seed : int
        0 or more; patients of two seeds have different ids.

    Returns
    -------
    Clinic
        About 1.45 lesions for each patient; images of CT in HU, of MR in arbitrary units.

    Raises
    ------
    ValueError
        If `patients` or `seed` is too small.
    """
    return next(stream(site, patients, seed, batch=patients + LOT))


def followed(site: Site, patients: int, seed: int, years: Sequence[float]) -> list[Clinic]:
    """The same patients at several dates: a calendar.

    A lesion keeps its place, its shape and its other findings, and grows at a rate of its own,
    malignant ones faster, up to the largest size of the organ's lesions. Texture and noise are new
    at each date.

    Parameters
    ----------
    site, patients, seed
        As for `simulate`, whose patients these are.
    years : sequence of float
        The dates, increasing, 0 or more.

    Returns
    -------
    list of Clinic
        One for each date; the same rows in each.

    Raises
    ------
    ValueError
        If there is no date, or they do not increase from 0 or more; and as `simulate`.
    """
    fine = len(years) > 0 and years[0] >= 0 and (np.diff(years) > 0).all()
    require(fine, f"years is {list(years)}: give dates that increase, the first 0 or more.")
    return [
        _joined([_lot_of(site, lot, seed, date, when) for lot in _lots(patients, seed)])
        for date, when in enumerate(years)
    ]


def lesions(site: Site, patients: int, seed: int) -> tuple[scanner.Floats, scanner.Floats]:
    """The lesions of `simulate` without tissue and scanner.

    Parameters
    ----------
    site, patients, seed
        As for `simulate`; in the same order.

    Returns
    -------
    share, contrast : ndarray, shape (n, size, size)
        Share of each pixel that the lesion fills: half or more makes a mask. HU of the lesion above
        those of the usual parenchyma. A nodule's spicules belong to neither.
    """
    parts = []
    for some in _lots(patients, seed):
        lot = _Lot(seed, some)
        _, truth, shape = _findings(lot, site)
        columns = {str(name): truth[name].to_numpy() for name in truth}
        white = lot.white("texture", 1, site.grid.side)[:, 0]
        about = site.organ, site.phase, columns, shape, white
        parts.append(tissue.lesion_alone(*about, site.grid, site.slice_thickness))
    share, contrast = (site.grid.crop(np.concatenate(each)) for each in zip(*parts, strict=True))
    return share, contrast


def ideal_logit(truth: pd.DataFrame, site: Site, record: pd.DataFrame | None = None) -> Doubles:
    """Log odds of malignancy that the exact Bayes reader gives each lesion.

    Parameters
    ----------
    truth : DataFrame
        The findings, as in `Clinic`.
    site : Site
        Where they come from: organ, case mix and prevalence count.
    record : DataFrame, optional
        The record, if the reader knows it too.

    Returns
    -------
    ndarray, shape (n,)
    """
    prevalence = np.clip(site.prevalence, 1e-12, 1 - 1e-12)
    score = np.log(prevalence / (1 - prevalence))
    score = score + signs.evidence_of_signs(truth, site.organ, site.case_mix)
    if record is not None:
        score = score + reports.evidence_of_record(record, site.organ)
    return np.asarray(score)


def ideal_auroc(site: Site, record: bool = False, lesions: int = 20_000, seed: int = 0) -> float:
    """AUROC of the exact Bayes reader of findings (and of the record): no reader does better.

    It holds for whoever reads one lesion's image; the images themselves are not needed. Its idea,
    a limit that no network can pass, is taught in lesson 05.

    Parameters
    ----------
    site : Site
        Whose organ and case mix are meant.
    record : bool
        Whether the reader knows the record as well.
    lesions, seed : int
        Size of the simulation; with 20,000 lesions the standard error is 0.0015.
    """
    rng, organ = np.random.default_rng(seed), site.organ
    y = np.arange(lesions) % 2
    normal = rng.standard_normal((lesions, 1 + len(signs.FINDINGS[organ])))
    truth = signs.draw_signs(organ, site.case_mix, y, normal)
    uniform = rng.random((lesions, len(reports.FIELDS[organ])))
    notes = reports.draw_record(organ, y, uniform) if record else None
    return auroc(y, ideal_logit(truth, site, notes))
