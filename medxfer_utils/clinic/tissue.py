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

Columns = Mapping[str, NDArray[Any]]

# How many uniform numbers a lesion needs for its surroundings and for its own shape.
TREES, DOTS = 2, 8
TREE_NUMBERS, DOT_NUMBERS, WALL_NUMBERS = 18, 5, 4
ANATOMY_NUMBERS = TREES * TREE_NUMBERS + DOTS * DOT_NUMBERS + WALL_NUMBERS
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


class Tubes(NamedTuple):
    """Tapering, slightly bent tubes in the plane of the slice; every array is (n, tubes)."""

    x: Doubles
    y: Doubles
    angle: Doubles
    length: Doubles
    start: Doubles  # radius at both ends
    end: Doubles
    bow: Doubles  # how far the middle stands off the straight line


def join(*tubes: Tubes) -> Tubes:
    """All tubes of several lots."""
    return Tubes(*(np.concatenate(parts, axis=1) for parts in zip(*tubes, strict=True)))


def _window(low: Doubles, high: Doubles, grid: Grid) -> NDArray[np.intp]:
    """Pixels from `low` to `high` (mm), shape (n, w): as many for every row as the widest needs."""
    first, last = (
        np.clip(np.rint(edge / grid.pixel + (grid.side - 1) / 2), -1, grid.side).astype(np.intp)
        for edge in (low - grid.pixel, high + grid.pixel)
    )
    width = min(int(np.max(last - first, initial=0)), grid.side)
    return np.clip(first, 0, grid.side - width)[:, None] + np.arange(width)


def cover(tubes: Tubes, grid: Grid, thickness: float) -> Floats:
    """Share of each pixel's slice that the tubes fill, shape (n, side, side).

    A tube of radius r is 2·sqrt(r² - s²) deep at the distance s from its axis; a slice of
    thickness T is filled to min(1, that / T). Tubes thinner than a pixel are drawn one pixel wide
    and paler, with the same volume.
    """
    out = np.zeros((len(tubes.x), grid.side, grid.side), np.float32)
    rows = np.arange(len(out))[:, None, None]
    for i in range(tubes.x.shape[1]):
        tube = Tubes(*(column[:, i] for column in tubes))
        # A tube is short, so only the pixels around it are computed.
        margin = np.maximum(tube.start, tube.end) + np.abs(tube.bow) + grid.pixel / 2
        ends = (tube.x, tube.x + tube.length * np.cos(tube.angle))
        across = _window(np.minimum(*ends) - margin, np.maximum(*ends) + margin, grid)
        ends = (tube.y, tube.y + tube.length * np.sin(tube.angle))
        down = _window(np.minimum(*ends) - margin, np.maximum(*ends) + margin, grid)
        here = rows, down[:, :, None], across[:, None, :]
        filled = _filled(tube, grid.axis[across][:, None, :], grid.axis[down][:, :, None], grid)
        filled = np.minimum(filled * np.float32(1 / thickness), 1)
        pale = np.minimum((tube.start + tube.end) / grid.pixel, 1) ** 2
        filled *= pale[:, None, None].astype(np.float32)
        out[here] = np.maximum(out[here], filled)
    return out


def _filled(tube: Tubes, across: Floats, down: Floats, grid: Grid) -> Floats:
    """Depth of one tube per row, in mm, at the given coordinates."""
    x, y, angle, length, start, end, bow = (
        column[:, None, None].astype(np.float32) for column in tube
    )
    start, end = np.maximum(start, grid.pixel / 2), np.maximum(end, grid.pixel / 2)
    cos, sin = np.cos(angle), np.sin(angle)
    # Place along the axis, 0 to 1, and the distances beyond its ends and from it.
    t = (across - x) * (cos / length) + (down - y) * (sin / length)
    along = np.clip(t, 0, 1)
    beyond = (t - along) * length
    s = (down - y) * cos - (across - x) * sin - 4 * bow * along * (1 - along)
    radius = start + (end - start) * along
    squared = radius * radius - s * s - beyond * beyond
    return np.asarray(2 * np.sqrt(np.maximum(squared, 0)))


class Stem(NamedTuple):
    """Where a vessel starts, where it goes, how far, and how wide it is; every array is (n, 1)."""

    x: Doubles
    y: Doubles
    angle: Doubles
    length: Doubles
    radius: Doubles


def _grow(stem: Stem, u: Doubles) -> tuple[Tubes, Stem, Stem]:
    """A tube and the two it divides into where it ends: r³ = r1³ + r2³ (Murray 1926)."""
    share = 0.3 + 0.4 * u[0]
    side = np.where(u[1] < 0.5, -1.0, 1.0)
    tip = stem.radius * 0.9
    x = stem.x + stem.length * np.cos(stem.angle)
    y = stem.y + stem.length * np.sin(stem.angle)
    # The thinner branch turns off more. Angles and lengths: our choice.
    wide, narrow = side * (0.3 + 0.7 * u[2]) * share, side * (0.4 + 0.6 * u[3])
    big = Stem(x, y, stem.angle + wide, stem.length * 0.75, tip * np.cbrt(1 - share))
    reach = stem.length * (0.45 + 0.3 * u[2])
    small = Stem(x, y, stem.angle - narrow, reach, tip * np.cbrt(share))
    return Tubes(*stem, tip, (u[4] - 0.5) * stem.length * 0.25), big, small


def tree(u: Doubles, radii: tuple[float, float]) -> Tubes:
    """A vessel that enters the patch and divides twice, from uniform numbers (n, 18)."""
    v = u.T[:, :, None]
    turn = 2 * np.pi * v[0]
    x, y = 37 * np.cos(turn), 37 * np.sin(turn)
    angle = np.arctan2(44 * (v[1] - 0.5) - y, 44 * (v[2] - 0.5) - x)
    radius = radii[0] + (radii[1] - radii[0]) * v[3] ** 1.5
    trunk, *branches = _grow(Stem(x, y, angle, 14 + 16 * v[4], radius), v[5:10])
    tubes = [trunk]
    for branch, own in zip(branches, (v[8:13], v[13:18]), strict=True):
        limb, *twigs = _grow(branch, own)
        # The last ones thin out, instead of breaking off.
        ends = (_grow(twig, own[::-1])[0] for twig in twigs)
        tubes += [limb, *(end._replace(end=0.25 * end.start) for end in ends)]
    return join(*tubes)


def dots(u: Doubles, radii: tuple[float, float]) -> Tubes:
    """Vessels that pierce the slice steeply: short tubes, from uniform numbers (n, dots, 5)."""
    x, y, angle, length, size = np.moveaxis(u, 2, 0)
    radius = radii[0] * (0.5 + 0.8 * size)
    x, y = 48 * (x - 0.5), 48 * (y - 0.5)
    tip = radius * 0.7
    return Tubes(x, y, 2 * np.pi * angle, 0.3 + 6 * length**3, radius, tip, 0 * size)


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

    r: Floats  # distance from its centre
    unit: NDArray[np.complex64]  # direction from its centre, as a complex number of length 1
    edge: Floats  # radius of the border in this direction
    share: Floats  # share of the pixel's slice that it fills, 0 to 1
    centre: NDArray[np.complex64]  # (n, 1, 1)


def outline(columns: Columns, u: Doubles, grid: Grid, thickness: float) -> Outline:
    """Shape of the lesions: an oval with lobules, a border of some width, cut by the slice.

    The border is R (1 + Re Σ c_k w^k), with w the direction as a complex number. A ball is
    2 sqrt(R² - r²) deep at the distance r from its centre.
    """
    v = u.T[:, :, None, None].astype(np.float32)
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
    return Outline(r, unit, edge, share, centre)


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
    columns: Columns, where: Outline, away: Floats, turn: Floats, soft: float, field: Floats
) -> Floats:
    """Share of each pixel that is necrotic: a rough disc near the middle, as large as the grade."""
    grade = _column(columns, "necrosis")
    radius = _column(columns, "diameter_mm") / 2
    place, size = 0.2 * radius * away, radius * 0.75 * np.sqrt(grade)
    disc = _disc(where, place, 2 * np.pi * turn, size, soft, 0.12 * radius * field)
    return np.asarray(disc * (grade > 0))


def _calcified(hu: Floats, columns: Columns, where: Outline, v: Floats, field: Floats) -> None:
    """Add calcium, several hundred HU: central, diffuse, popcorn or eccentric (Erasmus 2000)."""
    pattern = np.asarray(columns["calcification"])
    radius = _column(columns, "diameter_mm") / 2
    turn = 2 * np.pi * v[17]
    for name in set(pattern.tolist()) - {"none"}:
        rows = pattern == name
        if name in ("diffuse", "popcorn", "coarse"):
            share = {"diffuse": 0.8 + 0 * field, "popcorn": field > 0.6, "coarse": field > 1.5}[
                name
            ]
            grains = share[rows] * (where.r < 0.85 * where.edge)[rows]
        else:
            part = Outline(*(a[rows] for a in where))
            place = (0.55 if name == "eccentric" else 0.05) * radius[rows]
            size = (0.16 if name == "eccentric" else 0.4) * radius[rows] + 0.4
            grains = _disc(part, place, turn[rows], size, 1.0)
        hu[rows] += grains * (250 + 350 * v[18][rows])


def inside_lung(columns: Columns, where: Outline, u: Doubles, field: Floats) -> Floats:
    """HU inside lung nodules: solid about 30, ground glass about -600, part-solid both."""
    v = u.T[:, :, None, None].astype(np.float32)
    kind = np.asarray(columns["type"])[:, None, None]
    radius = _column(columns, "diameter_mm") / 2
    solid = np.where(kind == "solid", 1, 0).astype(np.float32)
    core = _disc(
        where,
        0.25 * radius * v[12],
        2 * np.pi * v[13],
        radius * (0.3 + 0.3 * v[14]),
        2.5,
        0.15 * radius * field,
    )
    solid = np.where(kind == "part-solid", core, solid)
    hu = -620 + 100 * v[15] + solid * (650 - 100 * v[15])
    hu += np.minimum(field, 0.6) * (15 + 170 * _column(columns, "heterogeneity"))
    hole = _necrosis(columns, where, v[16], v[13], 2, field)
    hu += hole * solid * (-250 - 550 * _column(columns, "necrosis"))
    return np.asarray(hu)


# HU of liver lesions: a cyst is water (20 HU at most, Gore 2017). The others: our choice.
KINDS = {
    "unenhanced": {"cyst": 5, "haemangioma-like": 38, "hyper": 68, "hypo": 38},
    "portal": {"cyst": 5, "haemangioma-like": 70, "hyper": 140, "hypo": 68},
}


def inside_liver(columns: Columns, where: Outline, u: Doubles, field: Floats, phase: str) -> Floats:
    """HU inside liver lesions."""
    v = u.T[:, :, None, None].astype(np.float32)
    kind = np.asarray(columns["type"])
    base = np.array([KINDS[phase][name] for name in kind], np.float32)[:, None, None]
    solid = (kind != "cyst")[:, None, None].astype(np.float32)
    hu = base + solid * 12 * (v[12] - 0.5)
    hu = hu + field * solid * (2 + 26 * _column(columns, "heterogeneity"))
    radius = _column(columns, "diameter_mm") / 2
    enhanced = 1.0 if phase == "portal" else 0.0
    # A rim of 3 mm; a haemangioma's is broken into nodules as bright as blood.
    ring = np.clip(1 - np.abs(where.edge - where.r - 1.5) / 2.5, 0, 1)
    hu += ring * solid * enhanced * 40 * _column(columns, "rim")
    lumps = (where.unit**3 * np.exp(2j * np.pi * v[13])).real + 0.5 * field
    nodular = np.clip(1.3 - np.abs(where.edge - where.r - 0.15 * radius) / (0.35 * radius), 0, 1)
    globe = (kind == "haemangioma-like")[:, None, None] * np.clip(2 * lumps, 0, 1)
    hu += globe * nodular * enhanced * 85
    hole = _necrosis(columns, where, v[16], v[14], 3, field)
    return np.asarray(hu + hole * solid * (20 - base))


def draw_tissue(
    organ: str, phase: str, columns: Columns, u: Doubles,
    shape: Doubles, white: Floats, grid: Grid, thickness: float,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Draw the tissue around and in lesions.

    Parameters
    ----------
    organ, phase : str
        As in `Site`.
    columns : mapping of str to ndarray, shape (n,)
        The findings, and `parenchyma`: the patient's own, HU above the usual one.
    u, shape : ndarray of uniform numbers, shapes (n, 61) and (n, 52)
        For the surroundings and for the lesion.
    white : ndarray, shape (n, side, side)
        Standard normal, for texture.

    Returns
    -------
    map, parenchyma : ndarray, shapes (n, side, side) and (n, 1, 1)
        HU.
    """
    tissue = TISSUES[organ, phase]
    lung = organ == "lung"
    scales = ((4.0, 2.5), (0.6, 2.0), (1.6, 3.0)) if lung else ((5.0, 2.5), (1.0, 2.0), (2.0, 3.0))
    coarse, fine, field = textures(white, grid, thickness, scales)
    level = tissue.parenchyma + _column(columns, "parenchyma")
    hu = level + tissue.coarse * coarse + tissue.fine * fine
    lots = np.split(u[:, : TREES * TREE_NUMBERS], TREES, axis=1)
    pierced = u[:, TREES * TREE_NUMBERS : -WALL_NUMBERS].reshape(-1, DOTS, DOT_NUMBERS)
    vessels = join(*(tree(lot, tissue.radii) for lot in lots), dots(pierced, tissue.radii))
    hu += (tissue.blood - hu) * cover(vessels, grid, thickness)
    radius = _column(columns, "diameter_mm") / 2
    depth = surface(u[:, -WALL_NUMBERS:], grid, radius, tissue.surface)
    depth += 0.4 * field
    hu += (tissue.outside + tissue.outside_swing * coarse - hu) * np.clip(
        0.5 + depth / np.float32(grid.pixel), 0, 1
    )
    where = outline(columns, shape, grid, thickness)
    if lung:
        inner = inside_lung(columns, where, shape, field)
        rows = np.flatnonzero(columns["spiculation"])
        strands = Tubes(*(column[rows] for column in spicules(columns, shape, where.centre)))
        hu[rows] += np.maximum(20 - hu[rows], 0) * cover(strands, grid, thickness)
    else:
        inner = inside_liver(columns, where, shape, field, phase)
    _calcified(inner, columns, where, shape.T[:, :, None, None].astype(np.float32), field)
    hu += (inner - hu) * where.share
    return hu, level
