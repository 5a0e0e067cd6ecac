"""Cutting out and grey values: properties, and the physics they must keep."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medxfer_utils import images
from medxfer_utils.images import AIR, ImagingError, crop, percentile_window, scaled, window
from tests.faults import untold

RNG = np.random.default_rng(0)


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
    assert crop(np.zeros((1, 1), np.float32), (1, 2), 0.1)[0, 0] == np.float32(0.1)


@given(gain=st.floats(0.01, 100), offset=st.floats(-1000, 1000))
def test_the_percentile_window_does_not_see_the_scanners_gain(gain: float, offset: float) -> None:
    signal = RNG.gamma(2, 100, (16, 16))
    before, after = percentile_window(signal), percentile_window(gain * signal + offset)
    np.testing.assert_allclose(after, before, atol=0.01)


def test_grey_values_are_what_radiologists_and_types_expect() -> None:
    # Level 40, width 400: -160 HU and below is black, 240 HU and above white, 40 HU mid-grey.
    grey = window([-1000, -160, 40, 140, 240, 3000], level=40, width=400)
    np.testing.assert_allclose(grey, [0, 0, 0.5, 0.75, 1, 1], atol=1e-6)
    for kind, largest in ((np.uint8, 255), (np.uint16, 65535)):
        by_range = scaled(np.array([0, largest // 5, largest], kind))
        np.testing.assert_allclose(by_range, [0, 0.2, 1], atol=1e-6)
        assert grey.dtype == by_range.dtype == np.float32
    percentiles = percentile_window(np.arange(1001))  # one in a hundred is cut at each end
    assert ((percentiles == 0).sum(), (percentiles == 1).sum()) == (11, 11)


def test_each_fault_has_its_own_error() -> None:
    plane, holed = np.zeros((4, 6)), np.full((1, 8, 8), 3.0)
    holed[:, 0] = np.nan
    holed[:, 1] = 4
    faults: dict[str, tuple[Callable[[], Any], str]] = {
        f"centre {centre}": (partial(crop, plane, (2, 2), AIR, centre), "not inside")
        for centre in ((-1, 2), (2, 6), (np.inf, 0))
    }
    faults["fill"] = lambda: crop(plane.astype(np.uint8), (8, 8), AIR), "uint8 cannot hold"
    faults["one of a set"] = partial(crop, np.zeros((10, 64, 64)), (32, 32), 0), "cut one image of"
    faults["flat"] = partial(crop, np.zeros(64), (32, 32), 0), "is not of 2 axes"
    for width in (0, -1, np.nan):
        faults[f"width {width}"] = partial(window, [0], 0, width), "width"
    one_value = "Percentiles 1 and 99 are 3 and 3"
    faults["one value"] = lambda: percentile_window(np.full(10, 3)), one_value
    faults["one grey"] = (
        lambda: images.standardised(np.ones((2, 4, 4))),
        "Image 0 has one value only",
    )
    faults["unit"] = lambda: images.contrast(np.ones((1, 2, 2)), 0), "unit of contrast"
    rest = {"percentile_window": (), "standardised": (), "contrast": (40,), "window": (0, 1)}
    for name, arguments in rest.items():  # NaN must not spread
        call = partial(getattr(images, name), holed, *arguments)
        faults[f"NaN, {name}"] = call, "8 of 64 values are NaN"
    for name, shape in product(("standardised", "contrast"), ((8, 8), (2, 8, 8, 3))):
        call = partial(getattr(images, name), RNG.random(shape), *rest[name])
        faults[f"{shape}, {name}"] = call, r"shape \(n, height, width\) are needed, not \("
    # Hounsfield units are never divided by 255.
    for kind in (np.float32, np.float64, np.int16, np.int64, bool):
        hint = "use `window` for Hounsfield units"
        faults[f"scaled {kind}"] = partial(scaled, np.ones(3, kind)), hint
    assert untold(faults, lambda _, call: call(), ImagingError) == {}
