"""Tissue: volumes through a slice, and that each finding shows as it is named."""

from typing import Any

import numpy as np
import pytest

from medxfer_utils.clinic import tissue
from medxfer_utils.clinic.scanner import Floats, Grid
from medxfer_utils.clinic.tissue import ANATOMY_NUMBERS, SHAPE_NUMBERS
from medxfer_utils.clinic.vessels import Tubes, cover

GRID = Grid(64, 0.75)
PLAIN = {
    "lung": {"type": "solid", "spiculation": 0.0},
    "liver": {"type": "hypo", "rim": 0.0},
}
COMMON = {"diameter_mm": 16.0, "margin": 0.0, "lobulation": 0.0, "heterogeneity": 0.1}
COMMON |= {"necrosis": 0.0, "parenchyma": 0.0}
N = 24


def drawn(
    organ: str = "lung", phase: str = "portal", thickness: float = 2.0, **changed: Any
) -> Floats:
    """The same N patches but for the findings given, lesions of 16 mm."""
    rng = np.random.default_rng(0)
    columns = {"calcification": "none", **COMMON, **PLAIN[organ], **changed}
    white = rng.standard_normal((N, GRID.side, GRID.side), np.float32)
    surroundings, shape = rng.random((N, ANATOMY_NUMBERS)), rng.random((N, SHAPE_NUMBERS))
    shape[:, :2] = 0.5  # the lesion in the middle of the patch
    return tissue.draw_tissue(
        organ, phase, {k: np.array([v] * N) for k, v in columns.items()}, surroundings, shape,
        white, GRID, thickness,
    )[0]  # fmt: skip


def ring(image: Floats, inner: float, outer: float) -> Floats:
    """Pixels between two distances from the middle, in mm; one row for each patch."""
    r = np.hypot(GRID.axis, GRID.axis[:, None])
    return image[:, (r >= inner) & (r < outer)]


def tube(radius: float, **changed: float) -> Tubes:
    parts = {"x": -10.0, "y": 0.3, "angle": 0.3, "length": 20.0, "start": radius, "end": radius}
    return Tubes(*(np.array([[v]]) for v in (parts | {"bow": 0.0} | changed).values()))


@pytest.mark.parametrize("radius", [0.15, 0.3, 1.0, 2.5])
def test_a_tube_keeps_its_volume(radius: float) -> None:
    # In a slice thicker than the tube; both ends are half balls.
    filled = cover(tube(radius), GRID, 6.0).sum() * GRID.pixel**2 * 6.0
    least = GRID.pixel / 2
    ends = 4 / 3 * np.pi * max(radius, least) ** 3 * min(radius / least, 1) ** 2
    assert filled == pytest.approx(np.pi * radius**2 * 20 + ends, rel=0.05)


def test_a_tube_wider_than_the_slice_fills_it() -> None:
    covered = cover(tube(3.0), GRID, 1.0)
    assert covered.max() == 1
    assert (covered == 0).mean() > 0.8


def test_a_tube_outside_the_patch_is_not_seen() -> None:
    assert cover(tube(1.0, x=-90.0), GRID, 1.0).max() == 0


def test_a_tapering_bent_tube_is_wider_at_its_start() -> None:
    covered = cover(tube(2.0, angle=0.0, y=0.0, end=0.5, bow=2.0), GRID, 4.0)[0]
    x, y = np.meshgrid(GRID.axis, GRID.axis)
    assert covered[x < -5].sum() > 3 * covered[x > 5].sum()
    middle = np.abs(x) < 1
    assert np.average(y[middle], weights=covered[middle]) == pytest.approx(2.0, abs=0.2)


def lesions(diameter: float, lobulation: float, thickness: float) -> tissue.Outline:
    """N lesions with a sharp margin."""
    columns = {"diameter_mm": diameter, "margin": 0.0, "lobulation": lobulation}
    v = np.random.default_rng(1).random((SHAPE_NUMBERS, N, 1, 1)).astype(np.float32)
    every = {k: np.full(N, value) for k, value in columns.items()}
    return tissue.outline(every, v, GRID, thickness)


def covered_by(diameter: float, thickness: float) -> float:
    """Mean area of a smooth lesion in a slice, mm²."""
    share = lesions(diameter, 0.0, thickness).share
    return float(share.sum(axis=(1, 2)).mean() * GRID.pixel**2)


def test_a_thin_slice_shows_the_area_of_a_ball_and_a_thick_one_its_volume() -> None:
    assert covered_by(20, 0.5) == pytest.approx(np.pi * 10**2, rel=0.10)
    assert covered_by(8, 10) * 10 == pytest.approx(4 / 3 * np.pi * 4**3, rel=0.15)


@pytest.mark.parametrize(
    ("organ", "phase", "expected"),
    [("lung", "unenhanced", -850), ("liver", "unenhanced", 55), ("liver", "portal", 105)],
)
def test_parenchyma_has_its_level(organ: str, phase: str, expected: float) -> None:
    image = drawn(organ, phase)
    # Without vessels and chest wall.
    assert np.median(image[np.abs(image - expected) < 150]) == pytest.approx(expected, abs=8)


def test_vessels_are_bright_in_lung_and_follow_the_phase_in_liver() -> None:
    assert np.percentile(drawn("lung", spiculation=0.0), 97) > -100
    assert np.percentile(drawn("liver", "portal"), 97) > 150
    # Unenhanced blood is darker than liver.
    assert np.percentile(drawn("liver", "unenhanced"), 97) < 65


def test_lung_texture_is_coarser_than_white_noise() -> None:
    patch = ring(drawn("lung"), 20, 24)
    quiet = drawn("lung")[:, 2:12, 2:12]
    calm = quiet[quiet.max(axis=(1, 2)) < -650]
    steps = np.diff(calm, axis=1)
    assert len(calm) >= 3
    assert steps.std() < 1.2 * calm.std()  # white noise: 1.41
    assert 25 < calm.std() < 80
    assert patch.min() > -1100


@pytest.mark.parametrize(
    ("organ", "kind", "low", "high"),
    [
        ("lung", "solid", 0, 80), ("lung", "ground-glass", -700, -450),
        ("liver", "cyst", 0, 12), ("liver", "hypo", 50, 85), ("liver", "hyper", 120, 160),
    ],
)  # fmt: skip
def test_types_have_their_attenuation(organ: str, kind: str, low: float, high: float) -> None:
    assert low < np.median(ring(drawn(organ, type=kind), 0, 4)) < high


def test_part_solid_has_a_solid_core_in_ground_glass() -> None:
    image = drawn(type="part-solid")
    assert np.median(ring(image, 0, 1.5)) > -100
    assert -750 < np.median(ring(image, 5.5, 6.5)) < -450


def test_a_haemangioma_is_bright_at_its_edge() -> None:
    image = drawn("liver", type="haemangioma-like")
    assert np.percentile(ring(image, 4, 7), 90) > np.median(ring(image, 0, 2)) + 40


def test_a_rim_is_brighter_than_the_inside() -> None:
    change = drawn("liver", rim=0.9) - drawn("liver")
    assert ring(change, 5, 7).mean() > ring(change, 0, 3).mean() + 10


@pytest.mark.parametrize(("organ", "drop"), [("lung", 300), ("liver", 30)])
def test_necrosis_lowers_the_centre(organ: str, drop: float) -> None:
    change = drawn(organ) - drawn(organ, necrosis=0.7)
    assert np.median(ring(change, 0, 3)) > drop
    assert np.median(ring(change, 10, 20)) == 0


def test_an_ill_defined_margin_is_a_gentler_slope() -> None:
    def steepest(margin: float) -> float:
        image = drawn(margin=margin)[:, GRID.side // 2]
        return float(np.mean(np.abs(np.diff(image, axis=1)).max(axis=1)))

    assert steepest(0.9) < 0.75 * steepest(0.0)


def test_heterogeneity_spreads_the_inside() -> None:
    plain, uneven = (ring(drawn("liver", heterogeneity=h), 0, 4).std(axis=1) for h in (0.0, 0.9))
    assert np.median(uneven) > 3 * np.median(plain)


def test_spicules_reach_beyond_the_border() -> None:
    # Seven strands are at most a few per cent of a ring.
    change = drawn(spiculation=0.9) - drawn()
    assert (ring(change, 9.5, 12) > 200).mean() > 0.02
    assert ring(change, 0, 4).max() == 0


def test_lobules_make_the_radius_uneven() -> None:
    smooth, lobed = (np.std(lesions(16.0, k, 2.0).edge, axis=(1, 2)).mean() for k in (0.0, 0.9))
    assert lobed > 1.5 * smooth > 0.3  # even a smooth one is no circle


@pytest.mark.parametrize("pattern", ["central", "diffuse", "popcorn", "eccentric"])
def test_calcium_is_several_hundred_units(pattern: str) -> None:
    change = drawn(calcification=pattern) - drawn()
    peak = ring(change, 0, 8).max(axis=1)
    assert 180 < np.median(peak) < 700
    inside = ring(change, 0, 2).mean() > 150
    assert inside == (pattern in ("central", "diffuse"))
