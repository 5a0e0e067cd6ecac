"""From findings to tissue: maps of Hounsfield units, before any scanner.

Everything is a function of the findings and of random numbers that know nothing of the diagnosis,
and is computed for many lesions at once. Lengths are in mm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from medxfer_utils.clinic.scanner import Doubles, Floats, Grid
from medxfer_utils.clinic.vessels import VESSEL_NUMBERS, Tubes, cover, vessels

Columns = Mapping[str, NDArray[Any]]

# How many uniform numbers a lesion needs for its surroundings and for its own shape.
WALL_NUMBERS = 4
ANATOMY_NUMBERS = VESSEL_NUMBERS + WALL_NUMBERS
SPICULES = 7
SHAPE_NUMBERS = 24 + 4 * SPICULES


@dataclass(frozen=True)
class Tissue:
    """Hounsfield units of an organ and its surroundings."""

    parenchyma: float
    blood: float
    outside: float  # beyond the surface of the organ
    outside_swing: float  # standard deviation there: muscle and fat
    coarse: float  # standard deviation of the texture, coarse and fine
    fine: float
    radii: tuple[float, float]  # of the vessels that enter the patch
    surface: float  # how often the surface of the organ is in sight


# Levels are those of textbooks: aerated lung about -850 HU; liver about 55 HU, 100 to 110 in the
# portal venous phase; blood about 40 HU; muscle about 50 and fat about -100. Enhanced blood, the
# texture, vessels and how often a surface is seen are our choice, held beside LIDC-IDRI patches.
TISSUES = {
    ("lung", "unenhanced"): Tissue(-850, 40, 20, 45, 32, 40, (0.5, 1.9), 0.3),
    ("lung", "portal"): Tissue(-850, 120, 20, 45, 32, 40, (0.5, 1.9), 0.3),
    ("liver", "unenhanced"): Tissue(55, 40, -95, 15, 2.5, 2.5, (0.8, 4.0), 0.2),
    ("liver", "portal"): Tissue(105, 160, -95, 15, 3.0, 3.0, (0.8, 4.0), 0.2),
}


def textures(
    white: Floats, grid: Grid, thickness: float, scales: tuple[tuple[float, float], ...]
) -> list[Floats]:
    """Fields of variance 1 made of the same white noise, each with its own correlation length.

    A scale (length, decay) has the spectrum (1 + (2π f length)²)^(-decay/2). Through a slice of
    thickness T, structures of this length average to 1 / sqrt(1 + T / (4 length)) of their spread.
    The second and later fields are moved by half a patch, so that they look unrelated.
    """
    spectrum = scipy.fft.rfft2(white, workers=1)
    fields = []
    for i, (length, decay) in enumerate(scales):
        shape = (1 + (2 * np.pi * grid.frequency * length) ** 2) ** (-decay / 2)
        shape[0, 0] = 0
        weights = np.full(shape.shape[1], 2.0)  # the half plane stands for the whole
        weights[0] = 1
        power = np.sum(shape**2 * weights) / grid.side**2
        scale = 1 / np.sqrt(power * (1 + thickness / (4 * length)))
        field = grid.filtered(spectrum * (shape * scale).astype(np.float32))
        fields.append(np.roll(field, i * grid.side // 2, axis=(1, 2)))
    return fields


def surface(u: Doubles, grid: Grid, radius: Floats, seen: float) -> Floats:
    """Depth beyond the organ's surface in mm, < 0 inside; `seen` is how often it is in sight."""
    there, away, turn, bend = (column[:, None, None] for column in u.T.astype(np.float32))
    # The surface may touch the lesion, not swallow it.
    gap = radius * 0.8 + away * 20
    ball = 60 + 140 * bend
    cos, sin = np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)
    dx = grid.axis[None, None, :] - (gap - ball) * cos
    dy = grid.axis[None, :, None] - (gap - ball) * sin
    depth = np.sqrt(dx * dx + dy * dy) - ball
    return np.asarray(np.where(there < seen, depth, -999), np.float32)


def _column(columns: Columns, name: str) -> Floats:
    return np.asarray(columns[name], np.float32)[:, None, None]


class Outline(NamedTuple):
    """Where a lesion is; every array is (n, side, side) unless said otherwise."""

    radius: Floats  # (n, 1, 1)
    r: Floats  # distance from its centre
    unit: NDArray[np.complex64]  # direction from its centre, as a complex number of length 1
    edge: Floats  # radius of the border in this direction
    share: Floats  # share of the pixel's slice that it fills, 0 to 1
    centre: NDArray[np.complex64]  # (n, 1, 1)


def outline(columns: Columns, v: Floats, grid: Grid, thickness: float) -> Outline:
    """Shape of the lesions: an oval with lobules, a border of some width, cut by the slice.

    The border is R (1 + Re Σ c_k w^k), with w the direction as a complex number. A ball is
    2 sqrt(R² - r²) deep at the distance r from its centre. `v` are uniform numbers, (52, n, 1, 1).
    """
    radius = _column(columns, "diameter_mm") / 2
    lobes = _column(columns, "lobulation")
    centre = (4 * (v[0] - 0.5) + 4j * (v[1] - 0.5)).astype(np.complex64)
    place = grid.axis[None, None, :] + 1j * grid.axis[None, :, None] - centre
    r = np.abs(place) + np.float32(1e-3)
    unit = place / r
    # Even a smooth lesion is oval and a little uneven.
    size = [0.06 + 0.12 * v[2], 0.02 + 0.05 * v[3] + 0.05 * lobes]
    size += [0.11 * lobes * (0.4 + v[4]), 0.11 * lobes * (0.4 + v[5]), 0.07 * lobes * v[6]]
    wave = np.zeros_like(unit)
    for k in range(4, -1, -1):
        wave += (size[k] * np.exp(2j * np.pi * v[7 + k])).astype(np.complex64)
        wave *= unit
    edge = radius * (1 + (wave * unit).real)
    width = np.minimum(0.3 + 5 * _column(columns, "margin") ** 1.5, 0.8 * radius)
    width = np.hypot(width, np.float32(grid.pixel))
    share = np.clip(0.5 + (edge - r) / width, 0, 1)
    share *= share * (3 - 2 * share)
    # The soft border reaches a little further than the ball, which stays as deep as it is.
    depth = edge * np.sqrt(np.maximum(1 - (r / (edge + width / 4)) ** 2, 0))
    share *= np.minimum(depth * np.float32(2 / thickness), 1)
    return Outline(radius, r, unit, edge, share, centre)


def spicules(columns: Columns, u: Doubles, centre: NDArray[np.complex64]) -> Tubes:
    """Strands that radiate from the border of the lesions; the last uniform numbers are theirs."""
    spread, long, bow, there = np.moveaxis(u[:, -4 * SPICULES :].reshape(-1, SPICULES, 4), 2, 0)
    radius = np.asarray(columns["diameter_mm"], float)[:, None] / 2
    grade = np.asarray(columns["spiculation"], float)[:, None]
    angle = 2 * np.pi * (np.arange(SPICULES) + 1.6 * spread) / SPICULES
    base = centre[:, 0] + 0.75 * radius * np.exp(1j * angle)
    # The stronger the sign, the more strands and the longer: up to about 10 mm.
    shown = np.clip(4 * (1.4 * grade - there), 0, 1)
    length = radius * 0.25 + 0.1 + shown * (1.5 + 11 * grade * (0.2 + 0.8 * long**2))
    start = shown * (0.6 + 0.5 * grade)
    return Tubes(
        base.real, base.imag, angle, length, start, 0.3 * start, (bow - 0.5) * 0.35 * length
    )


def _disc(
    where: Outline, place: Floats, angle: Floats, size: Floats, soft: float, rough: Any = 0
) -> Floats:
    """A soft disc at `place` (share of the radius) in a direction; `size` in mm."""
    offset = place * np.exp(1j * angle)
    distance = np.abs(where.r * where.unit - offset.astype(np.complex64))
    return np.asarray(np.clip(0.5 + (size + rough - distance) / np.float32(soft), 0, 1))


def _necrosis(
    grade: Floats, where: Outline, away: Floats, turn: Floats, soft: float, field: Floats
) -> Floats:
    """Share of each pixel that is necrotic: a rough disc near the middle, as large as the grade."""
    place, size = 0.2 * where.radius * away, where.radius * 0.75 * np.sqrt(grade)
    disc = _disc(where, place, 2 * np.pi * turn, size, soft, 0.12 * where.radius * field)
    return np.asarray(disc * (grade > 0))


def _calcified(hu: Floats, columns: Columns, where: Outline, v: Floats, field: Floats) -> None:
    """Add calcium, several hundred HU: central, diffuse, popcorn or eccentric (Erasmus 2000)."""
    pattern = np.asarray(columns["calcification"])
    for name in set(pattern.tolist()) - {"none"}:
        rows = pattern == name
        part, own = Outline(*(a[rows] for a in where)), field[rows]
        grains = {"diffuse": np.float32(0.8), "popcorn": own > 0.6, "coarse": own > 1.5}
        if name in grains:
            share = grains[name] * (part.r < 0.85 * part.edge)
        else:
            away, size = (0.55, 0.16) if name == "eccentric" else (0.05, 0.4)
            turn = 2 * np.pi * v[17][rows]
            share = _disc(part, away * part.radius, turn, size * part.radius + 0.4, 1.0)
        hu[rows] += share * (250 + 350 * v[18][rows])


def inside_lung(columns: Columns, where: Outline, v: Floats, field: Floats) -> Floats:
    """HU inside lung nodules: solid about 30, ground glass about -600, part-solid both."""
    kind = np.asarray(columns["type"])[:, None, None]
    place, size = 0.25 * where.radius * v[12], where.radius * (0.3 + 0.3 * v[14])
    core = _disc(where, place, 2 * np.pi * v[13], size, 2.5, 0.15 * where.radius * field)
    solid = np.where(kind == "part-solid", core, np.asarray(kind == "solid", np.float32))
    hu = -620 + 100 * v[15] + solid * (650 - 100 * v[15])
    hu += np.minimum(field, 0.6) * (15 + 170 * _column(columns, "heterogeneity"))
    grade = _column(columns, "necrosis")
    hole = _necrosis(grade, where, v[16], v[13], 2, field)
    return np.asarray(hu + hole * solid * (-250 - 550 * grade))


# HU of liver lesions: a cyst is water (20 HU at most, Gore 2017). The others: our choice.
KINDS = {
    "unenhanced": {"cyst": 5, "haemangioma-like": 38, "hyper": 68, "hypo": 38},
    "portal": {"cyst": 5, "haemangioma-like": 70, "hyper": 140, "hypo": 68},
}


def inside_liver(columns: Columns, where: Outline, v: Floats, field: Floats, phase: str) -> Floats:
    """HU inside liver lesions."""
    kind = np.asarray(columns["type"])
    base = np.array([KINDS[phase][name] for name in kind], np.float32)[:, None, None]
    solid = (kind != "cyst")[:, None, None].astype(np.float32)
    hu = base + solid * 12 * (v[12] - 0.5)
    hu = hu + field * solid * (2 + 26 * _column(columns, "heterogeneity"))
    if phase == "portal":
        # A rim of 3 mm; a haemangioma's is broken into nodules as bright as blood.
        depth = where.edge - where.r
        ring = np.clip(1 - np.abs(depth - 1.5) / 2.5, 0, 1)
        hu += ring * solid * 40 * _column(columns, "rim")
        lumps = (where.unit**3 * np.exp(2j * np.pi * v[13])).real + 0.5 * field
        nodular = 1.3 - np.abs(depth - 0.15 * where.radius) / (0.35 * where.radius)
        globe = (kind == "haemangioma-like")[:, None, None] * np.clip(2 * lumps, 0, 1)
        hu += globe * np.clip(nodular, 0, 1) * 85
    hole = _necrosis(_column(columns, "necrosis"), where, v[16], v[14], 3, field)
    return np.asarray(hu + hole * solid * (20 - base))


# Correlation length in mm and decay of the coarse and the fine texture, and of what makes lesions
# rough. Our choice.
SCALES = {
    "lung": ((4.0, 2.5), (0.6, 2.0), (1.6, 3.0)),
    "liver": ((5.0, 2.5), (1.0, 2.0), (2.0, 3.0)),
}


def lesion_alone(
    organ: str, phase: str, columns: Columns, shape: Doubles,
    white: Floats, grid: Grid, thickness: float,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Share of each pixel that a lesion fills, and its HU above the usual parenchyma.

    Parameters as of `draw_tissue`, whose lesions these are. Strands that radiate are left out.
    """
    field = textures(white, grid, thickness, SCALES[organ])[2]
    v = shape.T[:, :, None, None].astype(np.float32)
    where = outline(columns, v, grid, thickness)
    inner = _inside(organ, phase, columns, where, v, field)
    return where.share, inner - np.float32(TISSUES[organ, phase].parenchyma)


def _inside(
    organ: str, phase: str, columns: Columns, where: Outline, v: Floats, field: Floats
) -> Floats:
    """HU inside the lesions of an organ, calcium too."""
    if organ == "lung":
        inner = inside_lung(columns, where, v, field)
    else:
        inner = inside_liver(columns, where, v, field, phase)
    _calcified(inner, columns, where, v, field)
    return inner


def draw_tissue(
    organ: str, phase: str, columns: Columns, u: Doubles,
    shape: Doubles, white: Floats, grid: Grid, thickness: float,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Draw the tissue around and in lesions.

    Parameters
    ----------
    organ, phase : str
        As in `Site`.
    columns : mapping of str to array, shape (n,)
        The findings, and `parenchyma`: the patient's own, HU above the usual one.
    u, shape : ndarray of uniform numbers, shapes (n, 80) and (n, 52)
        For the surroundings and for the lesion.
    white : ndarray, shape (n, side, side)
        Standard normal, for texture.
    grid, thickness
        The pixels; mm of a slice.

    Returns
    -------
    map, parenchyma : ndarray, shapes (n, side, side) and (n, 1, 1)
        HU.
    """
    tissue = TISSUES[organ, phase]
    coarse, fine, field = textures(white, grid, thickness, SCALES[organ])
    level = tissue.parenchyma + _column(columns, "parenchyma")
    hu = level + tissue.coarse * coarse + tissue.fine * fine
    tubes = vessels(u[:, :-WALL_NUMBERS], tissue.radii)
    hu += (tissue.blood - hu) * cover(tubes, grid, thickness)
    v = shape.T[:, :, None, None].astype(np.float32)
    where = outline(columns, v, grid, thickness)
    depth = surface(u[:, -WALL_NUMBERS:], grid, where.radius, tissue.surface) + 0.4 * field
    beyond = np.clip(0.5 + depth / np.float32(grid.pixel), 0, 1)
    hu += (tissue.outside + tissue.outside_swing * coarse - hu) * beyond
    if organ == "lung":
        rows = np.flatnonzero(columns["spiculation"])
        strands = Tubes(*(column[rows] for column in spicules(columns, shape, where.centre)))
        hu[rows] += np.maximum(20 - hu[rows], 0) * cover(strands, grid, thickness)
    inner = _inside(organ, phase, columns, where, v, field)
    return hu + (inner - hu) * where.share, level
