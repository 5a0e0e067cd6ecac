"""Vessels, and whatever else is a thin tube in the plane of the slice. Lengths are in mm."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medxfer_utils.clinic.scanner import Doubles, Floats, Grid

# How many uniform numbers the vessels around a lesion need.
TREES, DOTS = 2, 8
TREE_NUMBERS, DOT_NUMBERS = 18, 5
VESSEL_NUMBERS = TREES * TREE_NUMBERS + DOTS * DOT_NUMBERS


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


def _pixels(low: Doubles, high: Doubles, grid: Grid) -> tuple[NDArray[np.intp], ...]:
    """First and last pixel (-1 to side) around what lies between `low` and `high` (mm)."""
    first, last = (
        np.clip(np.rint(edge / grid.pixel + (grid.side - 1) / 2), -1, grid.side).astype(np.intp)
        for edge in (low - grid.pixel, high + grid.pixel)
    )
    return first, last


def _window(first: NDArray[np.intp], last: NDArray[np.intp], side: int) -> NDArray[np.intp]:
    """Pixels from `first` to `last`, shape (n, w): as many for every row as the widest needs."""
    width = min(int(np.max(last - first)), side)
    return np.clip(first, 0, side - width)[:, None] + np.arange(width)


def cover(tubes: Tubes, grid: Grid, thickness: float) -> Floats:
    """Share of each pixel's slice that the tubes fill, shape (n, side, side).

    A tube of radius r is 2·sqrt(r² - s²) deep at the distance s from its axis; a slice of
    thickness T is filled to min(1, that / T). Tubes thinner than a pixel are drawn one pixel wide
    and paler, with the same volume.
    """
    out = np.zeros((len(tubes.x), grid.side, grid.side), np.float32)
    margin = np.maximum(tubes.start, tubes.end) + np.abs(tubes.bow) + grid.pixel / 2
    boxes: list[NDArray[np.intp]] = []
    for at, part in ((tubes.x, np.cos(tubes.angle)), (tubes.y, np.sin(tubes.angle))):
        end = at + tubes.length * part
        boxes += _pixels(np.minimum(at, end) - margin, np.maximum(at, end) + margin, grid)
    left, right, top, bottom = boxes
    seen = (np.minimum(right, bottom) > 0) & (np.maximum(left, top) < grid.side)
    # A tube is short, so only the pixels around it are computed.
    for i in np.flatnonzero(seen.any(axis=0)):
        rows = np.flatnonzero(seen[:, i])
        across, down = (
            _window(first[rows, i], last[rows, i], grid.side)
            for first, last in ((left, right), (top, bottom))
        )
        tube = Tubes(*(column[rows, i] for column in tubes))
        filled = _filled(tube, grid.axis[across][:, None, :], grid.axis[down][:, :, None], grid)
        filled = np.minimum(filled * np.float32(1 / thickness), 1)
        pale = np.minimum((tube.start + tube.end) / grid.pixel, 1) ** 2
        filled *= pale[:, None, None].astype(np.float32)
        here = rows[:, None, None], down[:, :, None], across[:, None, :]
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


def vessels(u: Doubles, radii: tuple[float, float]) -> Tubes:
    """All vessels of the surroundings, from uniform numbers (n, 76)."""
    lots = np.split(u[:, : TREES * TREE_NUMBERS], TREES, axis=1)
    pierced = u[:, TREES * TREE_NUMBERS :].reshape(-1, DOTS, DOT_NUMBERS)
    return join(*(tree(lot, radii) for lot in lots), dots(pierced, radii))
