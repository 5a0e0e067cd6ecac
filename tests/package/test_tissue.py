"""Tissue: volumes through a slice, and that each finding shows as it is named."""

from typing import Any

import numpy as np
import pytest

from medxfer_utils.clinic import tissue
from medxfer_utils.clinic.scanner import Floats, Grid
from medxfer_utils.clinic.tissue import ANATOMY_NUMBERS, SHAPE_NUMBERS
from medxfer_utils.clinic.vessels import Tubes, cover

GRID = Grid(64, 0.75)
PLAIN = {"lung": {"type": "solid", "spiculation": 0.0}, "liver": {"type": "hypo", "rim": 0.0}}
COMMON = {"diameter_mm": 16.0, "margin": 0.0, "lobulation": 0.0, "heterogeneity": 0.1}
COMMON |= {"necrosis": 0.0, "parenchyma": 0.0}
N = 24


def drawn(
    organ: str = "lung", phase: str = "portal", thickness: float = 2.0, **changed: Any
) -> Floats:
    """The same N patches but for the findings given, lesions of 16 mm."""
    rng = np.random.default_rng(0)
    given = {"calcification": "none", **COMMON, **PLAIN[organ], **changed}
    white = rng.standard_normal((N, GRID.side, GRID.side), np.float32)
    surroundings, shape = rng.random((N, ANATOMY_NUMBERS)), rng.random((N, SHAPE_NUMBERS))
    shape[:, :2] = 0.5  # the lesion in the middle of the patch
    columns = {k: np.array([v] * N) for k, v in given.items()}
    rest = (columns, surroundings, shape, white, GRID, thickness)
    return tissue.draw_tissue(organ, phase, *rest)[0]


def ring(image: Floats, inner: float, outer: float) -> Floats:
    """Pixels between two distances from the middle, in mm; one row for each patch."""
    r = np.hypot(GRID.axis, GRID.axis[:, None])
    return image[:, (r >= inner) & (r < outer)]


def tube(radius: float, **changed: float) -> Tubes:
    parts = {"x": -10.0, "y": 0.3, "angle": 0.3, "length": 20.0, "start": radius, "end": radius}
    return Tubes(*(np.array([[v]]) for v in (parts | {"bow": 0.0} | changed).values()))


def test_a_tube_keeps_its_volume_and_is_cut_by_the_slice_and_the_patch() -> None:
    for radius in (0.15, 0.3, 1.0, 2.5):  # in a slice thicker than the tube
        filled = cover(tube(radius), GRID, 6.0).sum() * GRID.pixel**2 * 6.0
        least = GRID.pixel / 2
        ends = 4 / 3 * np.pi * max(radius, least) ** 3 * min(radius / least, 1) ** 2  # half balls
        assert filled == pytest.approx(np.pi * radius**2 * 20 + ends, rel=0.05)
    wide = cover(tube(3.0), GRID, 1.0)
    assert wide.max() == 1
    assert (wide == 0).mean() > 0.8
    assert cover(tube(1.0, x=-90.0), GRID, 1.0).max() == 0
    bent = cover(tube(2.0, angle=0.0, y=0.0, end=0.5, bow=2.0), GRID, 4.0)[0]
    x, y = np.meshgrid(GRID.axis, GRID.axis)
    assert bent[x < -5].sum() > 3 * bent[x > 5].sum()
    middle = np.abs(x) < 1
    assert np.average(y[middle], weights=bent[middle]) == pytest.approx(2.0, abs=0.2)


def lesions(diameter: float, lobulation: float, thickness: float) -> tissue.Outline:
    """N lesions with a sharp margin."""
    columns = {"diameter_mm": diameter, "margin": 0.0, "lobulation": lobulation}
    v = np.random.default_rng(1).random((SHAPE_NUMBERS, N, 1, 1)).astype(np.float32)
    every = {k: np.full(N, value) for k, value in columns.items()}
    return tissue.outline(every, v, GRID, thickness)


def test_a_thin_slice_shows_the_area_of_a_ball_and_a_thick_one_its_volume() -> None:
    def area(diameter: float, thickness: float) -> float:
        share = lesions(diameter, 0.0, thickness).share
        return float(share.sum(axis=(1, 2)).mean() * GRID.pixel**2)

    assert area(20, 0.5) == pytest.approx(np.pi * 10**2, rel=0.10)
    assert area(8, 10) * 10 == pytest.approx(4 / 3 * np.pi * 4**3, rel=0.15)
    smooth, lobed = (np.std(lesions(16.0, k, 2.0).edge, axis=(1, 2)).mean() for k in (0.0, 0.9))
    assert lobed > 1.5 * smooth > 0.3  # even a smooth one is no circle


def test_parenchyma_has_its_level_and_vessels_follow_the_phase() -> None:
    # Parenchyma without vessels and chest wall; unenhanced blood is darker than liver.
    for organ, phase, level, low, high in (
        *[("lung", "unenhanced", -850, -100, np.inf), ("lung", "portal", -850, -100, np.inf)],
        *[("liver", "unenhanced", 55, -np.inf, 65), ("liver", "portal", 105, 150, np.inf)],
    ):
        image = drawn(organ, phase)
        quiet = np.median(image[np.abs(image - level) < 150])
        assert quiet == pytest.approx(level, abs=8), (organ, phase)
        assert low < np.percentile(image, 97) < high, (organ, phase)


def test_lung_texture_is_coarser_than_white_noise() -> None:
    quiet = drawn("lung")[:, 2:12, 2:12]
    calm = quiet[quiet.max(axis=(1, 2)) < -650]
    assert len(calm) >= 3
    assert np.diff(calm, axis=1).std() < 1.2 * calm.std()  # white noise: 1.41
    assert 25 < calm.std() < 80
    assert ring(drawn("lung"), 20, 24).min() > -1100


# Organ, type, a ring around the middle in mm, and between what its median lies.
TYPES: list[tuple[str, str, float, float, float, float]] = [
    *[("lung", "solid", 0, 4, 0, 80), ("lung", "ground-glass", 0, 4, -700, -450)],
    *[("lung", "part-solid", 0, 1.5, -100, 80), ("lung", "part-solid", 5.5, 6.5, -750, -450)],
    *[("liver", "cyst", 0, 4, 0, 12), ("liver", "hypo", 0, 4, 50, 85)],
    *[("liver", "hyper", 0, 4, 120, 160)],
]


def test_types_have_their_attenuation() -> None:
    found = [np.median(ring(drawn(organ, type=t), a, b)) for organ, t, a, b, *_ in TYPES]
    ends = [row[4:] for row in TYPES]
    wrong = [
        t for t, hu, (low, high) in zip(TYPES, found, ends, strict=True) if not low < hu < high
    ]
    assert wrong == []
    haemangioma = drawn("liver", type="haemangioma-like")  # bright at its edge
    assert np.percentile(ring(haemangioma, 4, 7), 90) > np.median(ring(haemangioma, 0, 2)) + 40


def test_each_finding_changes_what_it_is_named_after_and_nothing_else() -> None:
    rim = drawn("liver", rim=0.9) - drawn("liver")
    assert ring(rim, 5, 7).mean() > ring(rim, 0, 3).mean() + 10
    for organ, drop in (("lung", 300), ("liver", 30)):
        hole = drawn(organ) - drawn(organ, necrosis=0.7)
        assert np.median(ring(hole, 0, 3)) > drop
        assert np.median(ring(hole, 10, 20)) == 0
    spicules = drawn(spiculation=0.9) - drawn()  # seven strands: a few per cent of a ring
    assert (ring(spicules, 9.5, 12) > 200).mean() > 0.02
    assert ring(spicules, 0, 4).max() == 0
    plain, uneven = (ring(drawn("liver", heterogeneity=h), 0, 4).std(axis=1) for h in (0.0, 0.9))
    assert np.median(uneven) > 3 * np.median(plain)
    sharp, gentle = (np.abs(np.diff(drawn(margin=m)[:, GRID.side // 2])) for m in (0.0, 0.9))
    assert gentle.max(axis=1).mean() < 0.75 * sharp.max(axis=1).mean()


def test_calcium_is_several_hundred_units() -> None:
    for pattern in ("central", "diffuse", "popcorn", "eccentric"):
        change = drawn(calcification=pattern) - drawn()
        assert 180 < np.median(ring(change, 0, 8).max(axis=1)) < 700
        assert (ring(change, 0, 2).mean() > 150) == (pattern in ("central", "diffuse"))
