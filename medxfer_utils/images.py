"""Images as a network needs them: cut out, and with grey values from 0 to 1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from medxfer_utils import require

Image = NDArray[np.float32]
AIR = -1000.0  # HU, by definition of the scale


class ImagingError(ValueError):
    """An image cannot be read or used; the message says why, and names no patient and no file."""


_require = partial(require, error=ImagingError)


def finite(values: ArrayLike) -> Image:
    """The values as float32; ImagingError if any is NaN or infinite."""
    source = np.asarray(values, dtype=np.float32)
    strange = int(source.size - np.isfinite(source).sum())
    lost = f"{strange} of {source.size} values are NaN or infinite: put what lies outside"
    _require(not strange, f"{lost}, {AIR:g} HU (air) or the least value of MR, in their place.")
    return source


def _set(images: ArrayLike) -> Image:
    """The values of a set of images."""
    source = finite(images)
    shape = f"Images of shape (n, height, width) are needed, not {source.shape}"
    _require(source.ndim == 3, f"{shape}: one image alone goes in as image[None].")
    return source


def crop(
    image: ArrayLike, size: Sequence[int], fill: float, centre: Sequence[float] | None = None
) -> NDArray[Any]:
    """Cut out a patch; what lies beyond the image is filled, never wrapped or repeated.

    Parameters
    ----------
    image : array_like
        One image: its `len(size)` axes are cut, and it may have colours.
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
        If it is a set of images, the centre is not inside, or its type cannot hold the fill.
    """
    source = np.asarray(image)
    one = source.ndim >= len(size) and source.shape[len(size) :] in ((), (1,), (3,), (4,))
    sizes = f"An image of {source.shape} is not of {len(size)} axes (and colours)"
    _require(one, f"{sizes}: cut one image of a set after the other.")
    extent = np.array(source.shape[: len(size)])
    middle = np.asarray(extent // 2 if centre is None else np.rint(np.asarray(centre, float)))
    inside = middle.shape == extent.shape and ((middle >= 0) & (middle < extent)).all()
    _require(inside, f"The centre {centre} is not inside an image of {source.shape}.")
    with np.errstate(invalid="ignore"):
        held = np.asarray(fill).astype(source.dtype)
    fits = np.isclose(held, fill, equal_nan=True)
    _require(fits, f"Pixels of type {source.dtype} cannot hold the fill {fill}.")
    beside = [(n, n) for n in size] + [(0, 0)] * (source.ndim - len(size))
    start = middle.astype(int) + np.array(size) - np.array(size) // 2
    within = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    return np.pad(source, beside, constant_values=held)[within].copy()


def window(values: ArrayLike, level: float, width: float) -> Image:
    """Grey values from 0 to 1 of a CT window: what is outside of it is black or white.

    Linear between `level` - `width` / 2 and `level` + `width` / 2 (DICOM PS3.3 C.11.2.1.3.2).
    Taught in lesson 05.

    Raises
    ------
    ImagingError
        If the width is not positive, or a value is NaN.
    """
    _require(width > 0, f"The width of a window must be positive, not {width}.")
    grey = (finite(values) - np.float32(level - width / 2)) / width
    return np.asarray(np.clip(grey, 0, 1), dtype=np.float32)


def percentile_window(values: ArrayLike, low: float = 1, high: float = 99) -> Image:
    """Grey values from 0 to 1 between two percentiles of the image itself, as MR needs.

    Taught in lesson 05.

    Raises
    ------
    ImagingError
        If the two percentiles are the same number: nothing could be seen. Also for NaN.
    """
    dark, bright = np.percentile(finite(values), [low, high])
    _require(bright > dark, f"Percentiles {low} and {high} are {dark:.3g} and {bright:.3g}.")
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
        If an image has one value only, or NaN.
    """
    source = _set(images)
    spread = source.std((1, 2), keepdims=True)
    flat = int(np.argmin(spread))
    _require((spread > 0).all(), f"Image {flat} has one value only: nothing to scale.")
    return np.asarray(np.clip((source - source.mean((1, 2), keepdims=True)) / spread, -cut, cut))


def contrast(images: ArrayLike, unit: float, cut: float = 4) -> Image:
    """Each image minus its own median, in units of `unit`, cut at ±`cut`.

    The surroundings of a lesion become 0 and the lesion what it stands out by, in any organ, while
    two lesions of one organ can still be compared: the unit is the organ's, not the patch's.
    Taught in lesson 07.

    Parameters
    ----------
    images : array_like, shape (n, height, width)
        In HU, or any other unit that means the same in every image.
    unit : float
        What becomes 1, in the same unit.
    cut : float
        In units of `unit`.

    Raises
    ------
    ImagingError
        If the unit is not positive, or a value is NaN.
    """
    _require(unit > 0, f"The unit of contrast must be positive, not {unit}.")
    source = _set(images)
    away = source - np.median(source, axis=(1, 2), keepdims=True)
    return np.asarray(np.clip(away / np.float32(unit), -cut, cut))


def scaled(values: ArrayLike) -> Image:
    """Grey values from 0 to 1 of an image in unsigned integers, by the range of their type.

    Raises
    ------
    ImagingError
        For any other type: Hounsfield units and MR signal need `window` or `percentile_window`.
    """
    source = np.asarray(values)
    other = f"Values of type {source.dtype} have no range of their own: use `window` for Hounsfield"
    _require(source.dtype in (np.uint8, np.uint16), f"{other} units, `percentile_window` for MR.")
    return np.asarray(source.astype(np.float32) / np.float32(np.iinfo(source.dtype).max))


def grey_squares(pictures: Iterable[ArrayLike], size: int) -> NDArray[np.uint8]:
    """Pictures in grey and of one size, proportions kept: black is added beside what is narrow.

    Parameters
    ----------
    pictures : iterable of array_like, shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)
        Of 8 bits, which stay as they are, or of any other type: then the least value of the picture
        becomes black and the greatest white, for 12 bits are often stored in 16. Colours become
        their luminance.
    size : int
        Pixels of a side.

    Returns
    -------
    ndarray, shape (n, size, size)

    Raises
    ------
    ImagingError
        If a picture has other axes, as a set of them has, or a value is NaN.
    """
    box, sides = PIL.Image.Resampling.BOX, (size, size)
    grey = (PIL.Image.fromarray(_grey(picture)) for picture in pictures)
    return np.stack([np.asarray(PIL.ImageOps.pad(image, sides, box)) for image in grey])


def _grey(picture: ArrayLike) -> NDArray[np.uint8]:
    """One picture in grey, 8 bits."""
    source = np.asarray(picture)
    flat = source.ndim == 2 and source.shape[1] > 4  # fewer: rows of one picture in colour
    shape = f"A picture of (height, width) or with colours is needed, not {source.shape}"
    coloured = source.ndim == 3 and source.shape[2] in (1, 3, 4)
    _require(flat or coloured, f"{shape}: one picture alone goes in as [picture].")
    values = finite(source)
    if coloured:
        luminance = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow
        values = values[..., 0] if source.shape[2] == 1 else values[..., :3] @ np.array(luminance)
    if source.dtype != np.uint8:
        low, high = values.min(), values.max()
        values = 255 * (values - low) / ((high - low) or 1)
    return np.rint(values).astype(np.uint8)


def near_copies(images: ArrayLike, threshold: float = 0.93, size: int = 28) -> NDArray[np.intp]:
    """Find images that are nearly the same: another frame of a scan, a copy with callipers.

    Two images are near copies if their thumbnails correlate by more than the threshold, and so
    are those that a chain of near copies joins. Taught in lesson 01.

    Parameters
    ----------
    images : array_like, shape (n, h, w)
        Grey images, of any range.
    threshold : float
        0.93 was chosen on breast ultrasound at 28 pixels, where it found 214 of 217 known pairs.
        Other images need their own: look at the pairs just above it.
    size : int
        Pixels of a side of a thumbnail.

    Returns
    -------
    ndarray, shape (n,)
        Number of the group of each image, from 0; an image without a copy is alone in its own.

    Raises
    ------
    ValueError
        If an image has one grey value, for which no correlation is defined, a value is no number,
        or the threshold does not lie between 0 and 1.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must lie between 0 and 1, not {threshold}")
    whole = finite(images)
    box = PIL.Image.Resampling.BOX
    small = np.stack(
        [
            np.asarray(PIL.Image.fromarray(image).resize((size, size), box)).ravel()
            for image in whole
        ]
    )
    if (flat := np.flatnonzero(small.std(axis=1) == 0)).size:
        raise ValueError(f"image {flat[0]} has one grey value only: take it out first")
    alike = np.corrcoef(small) > threshold
    return np.asarray(connected_components(csr_matrix(alike), directed=False)[1], np.intp)
