"""From the scanner to an array: DICOM and NIfTI, in physical units and known directions.

The readers return numbers, spacing and directions, and nothing else: no name, date or identifier
of a patient is in what they return or in what they say when they fail. They say "file 3 of 20", in
the order of the names, because the name of a file may itself be a patient's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import nibabel
import numpy as np
import pydicom
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage
from scipy.ndimage import affine_transform, gaussian_filter

from medxfer_utils.images import AIR, Image, ImagingError

ROUNDED = 0.1  # mm by which distances of slices may differ: positions come with one digit, too
COMPANY = ("DICOMDIR", "Thumbs.db", "desktop.ini")  # files that stand beside images, and are none
# Only these elements of a DICOM file are ever read; what names a patient is not among them. The
# identifiers of the series are compared and thrown away.
ELEMENTS = [
    *("Modality", "SeriesInstanceUID", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"),
    *("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelData"),
    *("PixelRepresentation", "PixelPaddingValue", "RescaleSlope", "RescaleIntercept"),
    *("RescaleType", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    *("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "SOPClassUID"),
    *("SOPInstanceUID", "DimensionOrganizationSequence", "DimensionIndexSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]
# What the slices of one series have in common.
COMMON = {
    "SeriesInstanceUID": "series",
    "FrameOfReferenceUID": "frame of reference",
    "Modality": "modality",
    "ImageOrientationPatient": "directions",
    "PixelSpacing": "spacing",
    "Rows": "size",
    "Columns": "size",
}


@dataclass(frozen=True, eq=False)
class Volume:
    """An image in space.

    Parameters
    ----------
    values : ndarray, shape (slices, rows, columns)
        In `unit`.
    spacing_mm : tuple of float
        Distance of neighbours along each axis; NaN where the file does not say (one slice).
    unit : {"HU", "grey"}
        Hounsfield units, or numbers that mean something within this image only.
    axes : str
        Where each axis leads: three of R L A P S I, "SPL" for slices from the feet upwards, each
        seen as radiologists do. Empty where the file does not say.
    """

    values: Image
    spacing_mm: tuple[float, float, float]
    unit: Literal["HU", "grey"]
    axes: str = ""

    @property
    def hu(self) -> Image:
        """The values, if they are Hounsfield units; ImagingError if not."""
        if self.unit != "HU":
            raise ImagingError("These grey values are not Hounsfield units; use `values`.")
        return self.values


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

    Raises
    ------
    ImagingError
        If a spacing is not positive, or one is to change that is unknown.
    """
    old = np.array(volume.spacing_mm)
    new = np.array([b if b is not None else a for a, b in zip(old, spacing_mm, strict=True)])
    ratio = np.where([b is None for b in spacing_mm], 1.0, new / old)
    if not (np.isfinite(ratio).all() and (ratio > 0).all()):
        raise ImagingError(f"Cannot go from a spacing of {tuple(old)} to {tuple(spacing_mm)} mm.")
    shape = np.maximum(1, np.rint(volume.values.shape / ratio)).astype(int)
    smooth = gaussian_filter(volume.values, np.maximum(0, (ratio - 1) / 2), mode="nearest")
    values = affine_transform(smooth, ratio, (ratio - 1) / 2, tuple(shape), order=1, mode="nearest")
    return replace(volume, values=values, spacing_mm=(float(new[0]), float(new[1]), float(new[2])))


def read_dicom(path: str | Path, pixel_mm: tuple[float, float] | None = None) -> Volume:
    """Read a DICOM image, or the folder of one series, in Hounsfield units if it is CT.

    highdicom [1]_ sorts the slices by their position along their normal, checks that they are
    evenly spaced, decodes and rescales them. MONOCHROME1, where large is dark, is turned round
    within its stored bits, except in CT, whose HU already have a meaning. Pixels that the scanner
    marks as padding become air in CT. CT whose rescale type is not HU (iodine, blood flow) is grey.

    Parameters
    ----------
    path : str or Path
        A file, with one frame or many, or a folder that holds one series; what else media and
        systems leave in such a folder (DICOMDIR, .xml, hidden files) is passed over.
    pixel_mm : tuple of float, optional
        Spacing of rows and columns, for a file that does not give its own.

    Raises
    ------
    ImagingError
        Not DICOM, cut off, in colour, compressed in a way that cannot be decoded, CT without
        rescale, no spacing, an empty folder, several series, slices that are missing or double, or
        a gantry that was tilted.

    References
    ----------
    .. [1] Bridge et al. (2022), doi:10.1007/s10278-022-00683-y.
    """
    files = _files(Path(path))
    slices = []
    for k, file in enumerate(files, 1):
        place = f"File {k} of {len(files)}"
        data = _kept_back(partial(_opened, file, place, pixel_mm), place)
        if data is not None:
            slices.append(data)
    if not slices:
        raise ImagingError("The folder holds no image.")
    return cast(Volume, _kept_back(partial(_volume, slices), "The image"))


def _files(path: Path) -> list[Path]:
    """The files that should be images; an error if there are none."""
    if not path.is_dir():
        return [path]
    inside = [
        p
        for p in sorted(path.iterdir())
        if p.name not in COMPANY and not p.name.startswith(".") and p.suffix.lower() != ".xml"
    ]
    files = [p for p in inside if p.is_file()]
    if not files:
        what = "holds folders only: give that of one series" if inside else "holds no file"
        raise ImagingError(f"The folder {what}.")
    return files


def _kept_back(call: Callable[[], Any], place: str) -> Any:
    """Call a library, and say in our words what goes wrong: its own may quote the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()
    except ImagingError:
        raise
    except InvalidDicomError:
        why = "is not DICOM"
    except FileNotFoundError:
        why = "is not there"
    except Exception as error:
        why = (
            f"cannot be read ({type(error).__name__}): it is cut off, or compressed in a way for "
            "which no decoder is installed (pylibjpeg with its plug-ins has more)"
        )
    raise ImagingError(f"{place} {why}.")  # outside `except`, so that nothing is chained to it


def _opened(path: Path, place: str, pixel_mm: tuple[float, float] | None) -> pydicom.Dataset | None:
    """Read one file, with all that highdicom asks for; None for the directory of a medium."""
    data = pydicom.dcmread(path, specific_tags=[*ELEMENTS])
    if data.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        return None
    _require_grey_image(data, place)
    data.setdefault("FrameOfReferenceUID", "2.25.0")
    if "PerFrameFunctionalGroupsSequence" not in data:
        if int(data.get("NumberOfFrames") or 1) > 1:
            raise ImagingError(f"{place} has frames, and does not say where each lies.")
        if not data.get("PixelSpacing") and pixel_mm:
            data.PixelSpacing = list(pixel_mm)
        if min(map(float, data.get("PixelSpacing") or [0])) <= 0:
            raise ImagingError(f"{place} gives no spacing of pixels; pass pixel_mm if you know it.")
    data.pixel_array  # noqa: B018 - decoded here, where the file can still be named
    return data


def _require_grey_image(data: pydicom.Dataset, place: str) -> None:
    """Raise ImagingError if no grey image in known units can come of this."""
    if "PixelData" not in data:
        raise ImagingError(f"{place} holds no image.")
    kind = data.get("PhotometricInterpretation", "")
    if data.get("SamplesPerPixel", 1) != 1 or "MONO" not in kind:
        raise ImagingError(f"{place} is in colour; only grey images can be put in physical units.")
    rescale = _rescale(data)  # highdicom takes a slope of 0 for none, and none for 1
    none = not rescale.get("RescaleSlope") or rescale.get("RescaleIntercept") is None
    if none and data.get("Modality") == "CT":
        raise ImagingError(f"{place} is CT without rescale slope and intercept: no HU follow.")


def _rescale(data: pydicom.Dataset) -> pydicom.Dataset:
    """Where a file keeps slope, intercept and type: on top, or in groups if it has many frames."""
    groups = [
        *data.get("PerFrameFunctionalGroupsSequence", [])[:1],
        *data.get("SharedFunctionalGroupsSequence", []),
    ]
    name = "PixelValueTransformationSequence"
    return next((group[name].value[0] for group in groups if name in group), data)


def _require_one_series(slices: list[pydicom.Dataset]) -> None:
    """Raise ImagingError if these are not the slices of one series, each in a known place."""
    if len(slices) == 1:
        return
    if any("PerFrameFunctionalGroupsSequence" in data for data in slices):
        raise ImagingError("A file holds many frames: give the file, not its folder.")
    for name, what in COMMON.items():
        if any(data.get(name) != slices[0].get(name) for data in slices):
            raise ImagingError(f"The files differ in {what}: read one series at a time.")
    where = ("ImagePositionPatient", "ImageOrientationPatient")
    if not all(data.get(name) for data in slices for name in where):
        raise ImagingError("A slice does not say where it lies, or which way it faces.")
    if reason := _unevenness(slices):
        raise ImagingError(reason)


def _unevenness(slices: list[pydicom.Dataset]) -> str:
    """Say why slices are no even stack, in the order of their places; empty if they are one."""
    from highdicom.spatial import get_series_volume_positions

    if get_series_volume_positions(slices, atol=ROUNDED)[0] is not None:
        return ""
    normal = np.cross(*np.reshape(slices[0].ImageOrientationPatient, (2, 3)).astype(float))
    steps = np.diff(np.sort([normal @ np.array(d.ImagePositionPatient, float) for d in slices]))
    if steps.min() <= ROUNDED / 10:
        return f"Slice {int(steps.argmin()) + 1} is there more than once."
    usual = float(np.median(steps))
    k = int(np.argmax(np.abs(steps - usual)))
    if abs(steps[k] - usual) > ROUNDED:
        return (
            f"Slices {k + 1} and {k + 2} are {steps[k]:.2f} mm apart, others {usual:.2f} mm: "
            "one is missing, or the distances are uneven."
        )
    return (
        "Each slice is shifted against the last, as when the gantry is tilted: shear the series "
        "back with another tool, dcm2niix for one, and read its NIfTI."
    )


def _volume(slices: list[pydicom.Dataset]) -> Volume:
    """Let highdicom put the slices of one series together."""
    _require_one_series(slices)
    first = slices[0]
    ct = first.get("Modality") == "CT"
    unit: Literal["HU", "grey"] = "grey"
    if ct and _rescale(first).get("RescaleType") in (None, "", "HU"):
        unit = "HU"
    oriented = any(
        e in first for e in ("ImageOrientationPatient", "PerFrameFunctionalGroupsSequence")
    )
    stack = partial(
        _stack(slices),
        dtype=np.float32,
        apply_real_world_transform=False,
        apply_presentation_lut=not ct,
    )
    volume = stack().flip_spatial(0)  # highdicom counts slices downwards
    values = np.ascontiguousarray(volume.array)
    if unit == "HU" and (padding := first.get("PixelPaddingValue")) is not None:
        stored = stack(apply_modality_transform=False).flip_spatial(0).array
        # Some write -2000 as 63536: the same bits.
        values[stored == np.int64(padding).astype(first.pixel_array.dtype)] = AIR
    spacing = list(map(float, volume.spacing))
    if len(values) == 1:
        spacing[0] = float(first.get("SpacingBetweenSlices") or first.get("SliceThickness", np.nan))
    sides = "".join(side.value for side in volume.get_closest_patient_orientation())
    axes = sides.translate(str.maketrans("HF", "SI")) if oriented else ""
    return Volume(values, (spacing[0], spacing[1], spacing[2]), unit, axes)


def _stack(slices: list[pydicom.Dataset]) -> Callable[..., Any]:
    """What makes a volume of highdicom's out of these."""
    import highdicom

    first = slices[0]
    if "PerFrameFunctionalGroupsSequence" in first:
        return highdicom.Image.from_dataset(first, copy=False).get_volume
    first.setdefault("ImageOrientationPatient", [1, 0, 0, 0, 1, 0])
    first.setdefault("ImagePositionPatient", [0, 0, 0])
    return partial(highdicom.get_volume_from_series, slices, atol=ROUNDED)


def read_nifti(path: str | Path, unit: Literal["HU", "grey"]) -> Volume:
    """Read a NIfTI image, turned so that its axes are "SPL" like those of an axial CT in DICOM.

    Parameters
    ----------
    path : str or Path
        A .nii or .nii.gz file with three dimensions; further ones of length 1 are dropped.
    unit : {"HU", "grey"}
        What its numbers mean after its own slope and intercept: the format cannot say.

    Raises
    ------
    ImagingError
        Not NIfTI, cut off, not three-dimensional, or without spacing or orientation.
    """
    why = ""
    try:
        image: Any = nibabel.squeeze_image(nibabel.load(path))
        kind = type(image).__name__
        if not isinstance(image, nibabel.Nifti1Pair):
            why = f"It is no NIfTI, but {kind}: convert it."
        else:
            values = image.get_fdata(dtype=np.float32)
            header = image.header
            oriented = header["qform_code"] > 0 or header["sform_code"] > 0
            scale = {"meter": 1000.0, "micron": 0.001}.get(header.get_xyzt_units()[0], 1.0)
    except Exception as error:
        why = f"It cannot be read as NIfTI ({type(error).__name__}); it may be cut off."
    if why:
        raise ImagingError(why)
    if values.ndim != 3:
        raise ImagingError(f"It has {values.ndim} dimensions; an image of three is needed.")
    if not oriented:
        raise ImagingError("It does not say which side is left: qform and sform are both unset.")
    steps = nibabel.affines.voxel_sizes(image.affine) * scale
    if not (np.isfinite(steps).all() and (steps > 0).all()):
        raise ImagingError("It gives no spacing of voxels.")
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt("SPL"))
    turned = np.ascontiguousarray(apply_orientation(values, turn))
    spacing = tuple(map(float, steps[np.argsort(turn[:, 0])]))
    return Volume(turned, cast("tuple[float, float, float]", spacing), unit, "SPL")
