"""Images as a network needs them: resampled, cropped, resized, with grey values from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import affine_transform, gaussian_filter
from skimage.transform import resize as skimage_resize

from medxfer_utils.data.scans import Image, ImagingError, Volume

# Level and width in HU that CT is usually read with.
WINDOWS = {"lung": (-600.0, 1500.0), "soft tissue": (40.0, 400.0)}


def resample(volume: Volume, spacing_mm: Sequence[float | None]) -> Volume:
    """Put a volume on a grid of another spacing: smoothed first if coarser, then linear.

    Parameters
    ----------
    volume : Volume
    spacing_mm : sequence of float or None
        New spacing of slices, rows and columns; None keeps that axis.

    Returns
    -------
    Volume
        With exactly that spacing. The outer edge of its first voxels is where it was.
    """
    old = np.array(volume.spacing_mm)
    new = np.array([b if b is not None else a for a, b in zip(old, spacing_mm, strict=True)])
    ratio = np.where([b is None for b in spacing_mm], 1.0, new / old)
    if not (np.isfinite(ratio).all() and (ratio > 0).all()):
        raise ImagingError(f"Cannot go from a spacing of {tuple(old)} to {tuple(spacing_mm)} mm.")
    shape = np.maximum(1, np.rint(volume.values.shape / ratio)).astype(int)
    smooth = gaussian_filter(volume.values, np.maximum(0, (ratio - 1) / 2), mode="nearest")
    values = affine_transform(smooth, ratio, (ratio - 1) / 2, tuple(shape), order=1, mode="nearest")
    spacing = (float(new[0]), float(new[1]), float(new[2]))
    return replace(volume, values=values, spacing_mm=spacing)


def crop(
    image: ArrayLike,
    size: Sequence[int],
    fill: float,
    centre: Sequence[float] | None = None,
) -> NDArray[Any]:
    """Cut out a patch; what lies beyond the image is filled, never wrapped or repeated.

    Parameters
    ----------
    image : array_like
        Its first `len(size)` axes are cut.
    size : sequence of int
        Of the patch, in pixels.
    fill : float
        Value outside the image, in its own unit: `AIR` for CT.
    centre : sequence of float, optional
        Pixel in the middle of the patch (index size // 2), a lesion's for instance; the image's
        own middle if not given.

    Raises
    ------
    ImagingError
        If the centre is not inside the image, or its type cannot hold the fill.
    """
    source = np.asarray(image)
    extent = np.array(source.shape[: len(size)])
    middle = np.asarray(extent // 2 if centre is None else np.rint(np.asarray(centre, float)))
    if middle.shape != extent.shape or not ((middle >= 0) & (middle < extent)).all():
        raise ImagingError(f"The centre {centre} is not inside an image of {source.shape}.")
    with np.errstate(invalid="ignore"):
        held = np.asarray(fill).astype(source.dtype)
    if not np.isclose(held, fill, equal_nan=True):
        raise ImagingError(f"Pixels of type {source.dtype} cannot hold the fill {fill}.")
    start = middle.astype(int) - np.array(size) // 2
    low, high = np.maximum(start, 0), np.minimum(start + size, extent)
    patch = np.full((*size, *source.shape[len(size) :]), fill, dtype=source.dtype)
    to = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
    patch[to] = source[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return patch


def resize(image: ArrayLike, size: tuple[int, int], fill: float) -> Image:
    """Make an image fit into `size`, keeping its proportions, and fill the rest.

    Parameters
    ----------
    image : array_like, shape (h, w) or (h, w, channels)
    size : tuple of int
        Height and width of the result.
    fill : float
        Value beside the image, in its own unit.
    """
    source = np.asarray(image, dtype=np.float32)
    factor = min(a / b for a, b in zip(size, source.shape, strict=False))
    inner = tuple(max(1, round(n * factor)) for n in source.shape[:2])
    if inner != source.shape[:2]:
        source = skimage_resize(
            source, inner, order=1, anti_aliasing=factor < 1, preserve_range=True, mode="edge"
        ).astype(np.float32)
    return crop(source, size, fill)


def window(values: ArrayLike, level: float, width: float) -> Image:
    """Grey values from 0 to 1 of a CT window: what is outside of it is black or white.

    Linear between `level` - `width` / 2 and `level` + `width` / 2 (DICOM PS3.3 C.11.2.1.3.2).
    """
    if not width > 0:
        raise ImagingError(f"The width of a window must be positive, not {width}.")
    grey = (np.asarray(values, dtype=np.float32) - np.float32(level - width / 2)) / width
    clipped: Image = np.clip(grey, 0, 1).astype(np.float32)
    return clipped


def percentile_window(values: ArrayLike, low: float = 1, high: float = 99) -> Image:
    """Grey values from 0 to 1 between two percentiles of the image itself, as MR needs.

    Raises
    ------
    ImagingError
        If the two percentiles are the same number: nothing could be seen.
    """
    dark, bright = np.percentile(np.asarray(values, dtype=np.float32), [low, high])
    if not bright > dark:
        raise ImagingError(f"Percentiles {low} and {high} are {dark:.3g} and {bright:.3g}.")
    return window(values, float(dark + bright) / 2, float(bright - dark))


def standardised(images: ArrayLike, cut: float = 4) -> Image:
    """Each image minus its own mean, divided by its own standard deviation, cut at ±`cut`.

    Parameters
    ----------
    images : array_like, shape (n, height, width)
    cut : float
        In standard deviations.

    Raises
    ------
    ImagingError
        If an image has one value only.
    """
    source = np.asarray(images, dtype=np.float32)
    spread = source.std((1, 2), keepdims=True)
    if not (spread > 0).all():
        raise ImagingError(f"Image {int(np.argmin(spread))} has one value only: nothing to scale.")
    relative: Image = np.clip((source - source.mean((1, 2), keepdims=True)) / spread, -cut, cut)
    return relative


def contrast(images: ArrayLike, unit: float, cut: float = 4) -> Image:
    """Each image minus its own median, in units of `unit`, cut at ±`cut`.

    The surroundings of a lesion become 0 and the lesion what it stands out by, in any organ, while
    two lesions of one organ can still be compared: the unit is the organ's, not the patch's.

    Parameters
    ----------
    images : array_like, shape (n, height, width)
        In HU, or any other unit that means the same in every image.
    unit : float
        What becomes 1, in the same unit.
    cut : float
        In units of `unit`.
    """
    if not unit > 0:
        raise ImagingError(f"The unit of contrast must be positive, not {unit}.")
    source = np.asarray(images, dtype=np.float32)
    away = source - np.median(source, axis=(1, 2), keepdims=True)
    relative: Image = np.clip(away / np.float32(unit), -cut, cut)
    return relative


def scaled(values: ArrayLike) -> Image:
    """Grey values from 0 to 1 of an image in unsigned integers, by the range of their type.

    Raises
    ------
    ImagingError
        For any other type: Hounsfield units and MR signal need `window` or `percentile_window`.
    """
    source = np.asarray(values)
    if source.dtype not in (np.uint8, np.uint16):
        raise ImagingError(
            f"Values of type {source.dtype} have no range of their own: use `window` for "
            "Hounsfield units, `percentile_window` for MR."
        )
    grey: Image = source.astype(np.float32) / np.float32(np.iinfo(source.dtype).max)
    return grey
