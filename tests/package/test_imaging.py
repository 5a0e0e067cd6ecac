"""Resampling, cropping, resizing and grey values: properties, and the physics they must keep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import resize as skimage_resize

from medxfer_utils import images as imaging
from medxfer_utils.data.scans import AIR, ImagingError, Volume
from medxfer_utils.images import crop, percentile_window, resample, resize, scaled, window

RNG = np.random.default_rng(0)


def ball(spacing: tuple[float, float, float], centre: tuple[float, ...], width: float) -> Volume:
    """A Gaussian ball; centre and standard deviation in mm, from the outer edge of the volume."""
    shape = [round(48 / step) for step in spacing]
    axes = [(np.arange(n) + 0.5) * step for n, step in zip(shape, spacing, strict=True)]
    grid = np.meshgrid(*axes, indexing="ij")
    squared = sum((axis - at) ** 2 for axis, at in zip(grid, centre, strict=True))
    values = np.exp(-np.asarray(squared) / (2 * width**2))
    return Volume(values.astype(np.float32), spacing, "HU", "SPL")


def moments(volume: Volume) -> tuple[Any, Any, float]:
    """Centre and standard deviation (mm) along each axis, and the integral."""
    weight = volume.values / volume.values.sum()
    axes = [(np.arange(n) + 0.5) * s for n, s in zip(weight.shape, volume.spacing_mm, strict=True)]
    others = [tuple(j for j in range(3) if j != k) for k in range(3)]
    one = [weight.sum(axis=other) for other in others]
    centre = [float(w @ x) for w, x in zip(one, axes, strict=True)]
    spread = [float(np.sqrt(w @ (x - c) ** 2)) for w, x, c in zip(one, axes, centre, strict=True)]
    return centre, spread, float(volume.values.sum() * np.prod(volume.spacing_mm))


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (1.0, 1.0, 1.0), (3.0, 0.75, 2.0)])
def test_resampling_keeps_where_things_are_how_large_and_how_much(
    spacing: tuple[float, float, float],
) -> None:
    before = ball((2.0, 1.0, 1.5), (22.0, 25.0, 23.0), 5.0)
    after = resample(before, spacing)
    assert after.spacing_mm == spacing
    assert (after.unit, after.axes) == ("HU", "SPL")
    for a, b, tolerance in zip(moments(before), moments(after), (0.02, 0.25, 50), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance)


def test_resampling_to_the_same_spacing_changes_nothing() -> None:
    volume = Volume(RNG.normal(size=(3, 4, 5)).astype(np.float32), (2.0, 1.0, 1.5), "HU")
    for spacing in ((2.0, 1.0, 1.5), (None, None, None)):
        np.testing.assert_array_equal(resample(volume, spacing).values, volume.values)


@pytest.mark.parametrize("factor", [1.5, 2, 3])
def test_a_coarser_grid_is_that_of_scikit_image(factor: float) -> None:
    image = RNG.normal(size=(1, 36, 48)).astype(np.float32)
    ours = resample(Volume(image, (1.0, 1.0, 1.0), "grey"), (None, factor, factor)).values[0]
    theirs = skimage_resize(image[0], ours.shape, order=1, anti_aliasing=True, mode="edge")
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_ramp_stays_a_ramp() -> None:
    # Inside, linear interpolation is exact: voxel k of the new grid lies at (k + 1/2) * spacing.
    ramp = np.broadcast_to((np.arange(40) + 0.5) * 2, (2, 3, 40)).astype(np.float32)
    after = resample(Volume(ramp, (1.0, 1.0, 2.0), "grey"), (None, None, 0.5)).values
    assert after.shape == (2, 3, 160)
    np.testing.assert_allclose(after[0, 0, 2:-2], (np.arange(2, 158) + 0.5) * 0.5, rtol=1e-5)


def test_a_coarser_grid_does_not_show_what_it_cannot() -> None:
    # Stripes one pixel wide are finer than the new grid: left unsmoothed they would alias.
    stripes = np.broadcast_to(np.arange(64) % 2, (1, 64, 64)).astype(np.float32)
    volume = Volume(stripes, (np.nan, 1.0, 1.0), "grey")
    after = resample(volume, (None, 3.0, 3.0)).values[0, 2:-2, 2:-2]
    assert np.ptp(after) < 0.1
    np.testing.assert_allclose(after.mean(), 0.5, atol=0.02)


def test_one_slice_of_unknown_thickness_keeps_its_axis() -> None:
    flat = Volume(np.zeros((1, 8, 8), np.float32), (np.nan, 1.0, 1.0), "HU")
    after = resample(flat, (None, 2.0, 2.0))
    assert after.values.shape == (1, 4, 4)
    with pytest.raises(ImagingError, match="Cannot go from"):
        resample(flat, (1.0, 1.0, 1.0))
    with pytest.raises(ImagingError, match="Cannot go from"):
        resample(flat, (None, 0.0, 1.0))


# --- Cropping and resizing -----------------------------------------------------------------------


@given(st.data())
def test_a_crop_is_the_image_inside_and_the_fill_outside(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=3))
    size = [data.draw(st.integers(1, 10)) for _ in shape]
    centre = [data.draw(st.integers(0, n - 1)) for n in shape]
    image = np.arange(1, np.prod(shape) + 1).reshape(shape)
    patch = crop(image, size, -7, centre)
    assert patch.shape == tuple(size)
    for place in np.ndindex(*size):
        at = tuple(c - s // 2 + p for c, s, p in zip(centre, size, place, strict=True))
        inside = all(0 <= a < n for a, n in zip(at, shape, strict=True))
        assert patch[place] == (image[at] if inside else -7)


def test_the_centre_crop_is_in_the_middle_and_keeps_channels_and_type() -> None:
    image = np.zeros((6, 9, 3), np.int16)
    image[2:4, 3:6] = 5
    patch = crop(image, (2, 3), AIR)
    assert (patch == 5).all()
    assert patch.shape == (2, 3, 3)
    assert patch.dtype == np.int16


@pytest.mark.parametrize("centre", [(-1, 2), (2, 6), (np.inf, 0)])
def test_a_lesion_outside_of_the_image_is_an_error(centre: tuple[float, float]) -> None:
    with pytest.raises(ImagingError, match="not inside"):
        crop(np.zeros((4, 6)), (2, 2), AIR, centre)


def test_a_fill_that_the_type_cannot_hold_is_refused() -> None:
    with pytest.raises(ImagingError, match="uint8 cannot hold"):
        crop(np.zeros((4, 6), np.uint8), (8, 8), AIR)
    assert crop(np.zeros((1, 1), np.float32), (1, 2), 0.1)[0, 0] == np.float32(0.1)


@pytest.mark.parametrize("shape", [(100, 50), (50, 100), (20, 10), (64, 64)])
def test_resizing_keeps_proportions_and_fills_beside(shape: tuple[int, int]) -> None:
    h, w = shape
    y, x = np.ogrid[:h, :w]
    radius = 0.3 * min(shape)
    disc = (y - (h - 1) / 2) ** 2 + (x - (w - 1) / 2) ** 2 < radius**2
    small = resize(np.where(disc, 100.0, 0.0), (64, 64), AIR)
    assert small.shape == (64, 64)
    inside = small > 50
    height, width = inside.any(axis=1).sum(), inside.any(axis=0).sum()
    assert abs(int(height) - int(width)) <= 1  # a disc stays a disc
    assert height == pytest.approx(2 * radius * 64 / max(shape), abs=2)
    beside = 1 - min(shape) / max(shape)
    assert (small == AIR).mean() == pytest.approx(beside, abs=0.02)


def test_making_smaller_is_smoothed_first() -> None:
    stripes = np.broadcast_to(np.arange(90) % 2, (90, 90)).astype(float)
    small = resize(stripes, (30, 30), 0)[2:-2, 2:-2]
    assert np.ptp(small) < 0.1


def test_resizing_to_the_same_size_changes_nothing() -> None:
    image = RNG.normal(size=(5, 7, 3)).astype(np.float32)
    np.testing.assert_array_equal(resize(image, (5, 7), 0), image)
    np.testing.assert_array_equal(resize(image, (7, 7), -1)[1:6], image)


# --- Grey values ---------------------------------------------------------------------------------


def test_the_soft_tissue_window_shows_what_radiologists_expect() -> None:
    # Level 40, width 400: -160 HU and below is black, 240 HU and above white, 40 HU mid-grey.
    grey = window([-1000, -160, 40, 140, 240, 3000], *imaging.WINDOWS["soft tissue"])
    np.testing.assert_allclose(grey, [0, 0, 0.5, 0.75, 1, 1], atol=1e-6)
    assert grey.dtype == np.float32


@pytest.mark.parametrize("width", [0, -1, np.nan])
def test_a_window_without_width_is_refused(width: float) -> None:
    with pytest.raises(ImagingError, match="width"):
        window([0], 0, width)


@given(gain=st.floats(0.01, 100), offset=st.floats(-1000, 1000))
def test_the_percentile_window_does_not_see_the_scanners_gain(gain: float, offset: float) -> None:
    signal = RNG.gamma(2, 100, (16, 16))
    before, after = percentile_window(signal), percentile_window(gain * signal + offset)
    np.testing.assert_allclose(after, before, atol=0.01)


def test_the_percentile_window_cuts_one_in_a_hundred_at_each_end() -> None:
    grey = percentile_window(np.arange(1001))
    assert ((grey == 0).sum(), (grey == 1).sum()) == (11, 11)
    with pytest.raises(ImagingError, match="Percentiles 1 and 99 are 3 and 3"):
        percentile_window(np.full(10, 3))


@pytest.mark.parametrize(("kind", "largest"), [(np.uint8, 255), (np.uint16, 65535)])
def test_unsigned_integers_are_scaled_by_their_range(kind: type, largest: int) -> None:
    grey = scaled(np.array([0, largest // 5, largest], kind))
    np.testing.assert_allclose(grey, [0, 0.2, 1], atol=1e-6)
    assert grey.dtype == np.float32


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16, np.int64, bool])
def test_hounsfield_units_are_never_divided_by_255(kind: type) -> None:
    with pytest.raises(ImagingError, match="use `window` for Hounsfield units"):
        scaled(np.ones(3, kind))
