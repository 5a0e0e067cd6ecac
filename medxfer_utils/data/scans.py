"""From the scanner to an array: DICOM and NIfTI, in physical units and known directions.

The readers return numbers, spacing and directions, and nothing else: no name, date or identifier
of a patient is in what they return or in what they say when they fail. They say "file 3 of 20", in
the order of the names, because the name of a file may itself be a patient's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import nibabel
import numpy as np
import pydicom
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from pydicom.config import disable_value_validation
from pydicom.uid import MediaStorageDirectoryStorage
from scipy.ndimage import affine_transform, gaussian_filter

from medxfer_utils.data.checking import attempt, refuse
from medxfer_utils.images import AIR, Image, ImagingError

ROUNDED = 0.1  # mm by which distances of slices may differ: positions come with one digit, too
# Files that stand beside images, and are none.
COMPANY = re.compile(r"\..*|DICOMDIR|Thumbs\.db|desktop\.ini|.*\.xml", re.IGNORECASE)
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
COMMON = (
    *("SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "ImageOrientationPatient"),
    *("PixelSpacing", "Rows", "Columns"),
)
FRAMES = "PerFrameFunctionalGroupsSequence"  # of an enhanced file, one group for each


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
        grey = {"These grey values are not Hounsfield units; use `values`.": self.unit != "HU"}
        refuse(ImagingError, grey)
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
    way = f"Cannot go from a spacing of {tuple(old)} to {tuple(spacing_mm)} mm."
    refuse(ImagingError, {way: not (np.isfinite(ratio) & (ratio > 0)).all()})
    shape = np.maximum(1, np.rint(volume.values.shape / ratio)).astype(int)
    smooth = gaussian_filter(volume.values, np.maximum(0, (ratio - 1) / 2), mode="nearest")
    values = affine_transform(smooth, ratio, (ratio - 1) / 2, tuple(shape), order=1, mode="nearest")
    return replace(volume, values=values, spacing_mm=_three(new))


def _three(numbers: Iterable[float]) -> tuple[float, float, float]:
    first, second, third = map(float, numbers)
    return first, second, third


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
    files, slices = _files(Path(path)), []
    for k, file in enumerate(files, 1):
        place = f"File {k} of {len(files)}"
        slices += _kept_back(partial(_opened, file, place, pixel_mm), place)
    refuse(ImagingError, {"The folder holds no image.": not slices})
    return cast(Volume, _kept_back(partial(_volume, slices), "The image"))


def _files(path: Path) -> list[Path]:
    """The files that should be images; an error if there are none."""
    if not path.is_dir():
        return [path]
    inside = [p for p in sorted(path.iterdir()) if not COMPANY.fullmatch(p.name)]
    files = [p for p in inside if p.is_file()]
    what = "holds folders only: give that of one series" if inside else "holds no file"
    refuse(ImagingError, {f"The folder {what}.": not files})
    return files


def _kept_back(call: Callable[[], Any], place: str) -> Any:
    """Call a library; its errors are told in our words."""

    def words(error: Exception) -> str:
        kinds = {"InvalidDicomError": "is not DICOM.", "FileNotFoundError": "is not there."}
        other = (
            f"cannot be read ({type(error).__name__}): it is cut off, or compressed in a way for "
            "which no decoder is installed (pylibjpeg with its plug-ins has more)."
        )
        return f"{place} {kinds.get(type(error).__name__, other)}"

    with disable_value_validation():  # pydicom would log what it finds strange
        return attempt(call, words)


def _opened(path: Path, place: str, pixel_mm: tuple[float, float] | None) -> list[pydicom.Dataset]:
    """Read one file, with all that highdicom asks for; nothing of the directory of a medium."""
    data = pydicom.dcmread(path, specific_tags=[*ELEMENTS])
    if data.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        return []
    data.setdefault("FrameOfReferenceUID", "2.25.0")
    rescale, framed = _rescale(data), FRAMES in data
    if pixel_mm and not framed and not data.get("PixelSpacing"):
        data.PixelSpacing = list(pixel_mm)
    # highdicom takes a slope of 0 for none, and none for 1
    scaled = rescale.get("RescaleSlope") and rescale.get("RescaleIntercept") is not None
    grey = data.get("SamplesPerPixel", 1) == 1 and "MONO" in data.get(
        "PhotometricInterpretation", ""
    )
    spaced = framed or min(map(float, data.get("PixelSpacing") or [0])) > 0
    many = int(data.get("NumberOfFrames") or 1) > 1
    faults = {
        "holds no image.": "PixelData" not in data,
        "is in colour; only grey images can be put in physical units.": not grey,
        "is CT without rescale slope and intercept: no HU follow.": (
            not scaled and data.get("Modality") == "CT"
        ),
        "has frames, and does not say where each lies.": many and not framed,
        "gives no spacing of pixels; pass pixel_mm if you know it.": not spaced,
    }
    refuse(ImagingError, faults, f"{place} ")
    data.pixel_array  # noqa: B018 - decoded here, where the file can still be named
    return [data]


def _rescale(data: pydicom.Dataset) -> pydicom.Dataset:
    """Where a file keeps slope, intercept and type: on top, or in groups if it has many frames."""
    groups = [*data.get(FRAMES, [])[:1], *data.get("SharedFunctionalGroupsSequence", [])]
    name = "PixelValueTransformationSequence"
    return next((group[name].value[0] for group in groups if name in group), data)


def _require_one_series(slices: list[pydicom.Dataset]) -> None:
    """Raise ImagingError if these are not the slices of one series, each in a known place."""
    other = [name for name in COMMON if any(d.get(name) != slices[0].get(name) for d in slices)]
    where = ("ImagePositionPatient", "ImageOrientationPatient")
    faults = {
        "A file holds many frames: give the file, not its folder.": any(
            FRAMES in d for d in slices
        ),
        f"The files differ in {' and '.join(other)}: read one series at a time.": other,
        "A slice does not say where it lies, or which way it faces.": not all(
            data.get(name) for data in slices for name in where
        ),
    }
    refuse(ImagingError, faults)


def _require_even(slices: list[pydicom.Dataset]) -> None:
    """Raise ImagingError if slices are no even stack, which are counted by their places."""
    from highdicom.spatial import get_series_volume_positions

    if get_series_volume_positions(slices, atol=ROUNDED)[0] is not None:
        return
    normal = np.cross(*np.reshape(slices[0].ImageOrientationPatient, (2, 3)).astype(float))
    steps = np.diff(np.sort([normal @ np.array(d.ImagePositionPatient, float) for d in slices]))
    usual, double = float(np.median(steps)), int(steps.argmin())
    k = int(np.argmax(np.abs(steps - usual)))
    faults = {
        f"Slice {double + 1} is there more than once.": steps[double] <= ROUNDED / 10,
        f"Slices {k + 1} and {k + 2} are {steps[k]:.2f} mm apart, others {usual:.2f} mm: one is "
        "missing, or the distances are uneven.": abs(steps[k] - usual) > ROUNDED,
        "Each slice is shifted against the last, as when the gantry is tilted: shear the series "
        "back with another tool, dcm2niix for one, and read its NIfTI.": True,
    }
    refuse(ImagingError, faults)


def _volume(slices: list[pydicom.Dataset]) -> Volume:
    """Let highdicom put the slices of one series together."""
    if len(slices) > 1:
        _require_one_series(slices)
        _require_even(slices)
    first = slices[0]
    ct, kind = first.get("Modality") == "CT", _rescale(first).get("RescaleType")
    unit: Literal["HU", "grey"] = "HU" if ct and kind in (None, "", "HU") else "grey"
    oriented = "ImageOrientationPatient" in first or FRAMES in first
    told = {"apply_real_world_transform": False, "apply_presentation_lut": not ct}
    stack = partial(_stack(slices), dtype=np.float32, **told)
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
    return Volume(values, _three(spacing), unit, axes)


def _stack(slices: list[pydicom.Dataset]) -> Callable[..., Any]:
    """What makes a volume of highdicom's out of these."""
    import highdicom

    first = slices[0]
    if FRAMES in first:
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

    def loaded() -> tuple[Any, Any, bool, float]:
        image: Any = nibabel.squeeze_image(nibabel.load(path))
        known = isinstance(image, nibabel.Nifti1Pair)
        refuse(
            ImagingError, {f"It is no NIfTI, but {type(image).__name__}: convert it.": not known}
        )
        oriented = image.header["qform_code"] > 0 or image.header["sform_code"] > 0
        scale = {"meter": 1000.0, "micron": 0.001}.get(image.header.get_xyzt_units()[0], 1.0)
        return image.affine, image.get_fdata(dtype=np.float32), oriented, scale

    affine, values, oriented, scale = attempt(
        loaded,
        lambda error: f"It cannot be read as NIfTI ({type(error).__name__}); it may be cut off.",
    )
    steps = nibabel.affines.voxel_sizes(affine) * scale
    faults = {
        f"It has {values.ndim} dimensions; an image of three is needed.": values.ndim != 3,
        "It does not say which side is left: qform and sform are both unset.": not oriented,
        "It gives no spacing of voxels.": not (np.isfinite(steps) & (steps > 0)).all(),
    }
    refuse(ImagingError, faults)
    turn = ornt_transform(io_orientation(affine), axcodes2ornt("SPL"))
    turned = np.ascontiguousarray(apply_orientation(values, turn))
    return Volume(turned, _three(steps[np.argsort(turn[:, 0])]), unit, "SPL")
