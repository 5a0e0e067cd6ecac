"""From the scanner to an array: DICOM and NIfTI, in physical units and known directions.

The readers return numbers, spacing and directions, and nothing else: no name, date or identifier
of a patient is in what they return or in what they say when they fail. They say "file 3 of 20", in
the order of the names, because the name of a file may itself be a patient's.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import nibabel
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder

Image = NDArray[np.float32]
AIR = -1000.0  # HU, by definition of the scale
UNEVEN = 0.01  # share of the usual distance by which two distances of slices may differ
# Only these elements of a DICOM file are ever read; what names a patient is not among them. The
# identifier of the series is compared and thrown away.
ELEMENTS = [
    *("Modality", "SeriesInstanceUID", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"),
    *("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelData"),
    *("PixelRepresentation", "PixelPaddingValue", "RescaleSlope", "RescaleIntercept"),
    *("PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "ImagePositionPatient"),
    *("ImageOrientationPatient", "SharedFunctionalGroupsSequence"),
    "PerFrameFunctionalGroupsSequence",
]
GROUPS = {  # where an enhanced (multi-frame) file keeps what others have on top
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
}


class ImagingError(ValueError):
    """An image cannot be read or used; the message says why, and names no patient and no file."""


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


@dataclass(frozen=True)
class _Frame:
    """One slice of a DICOM file."""

    image: Image
    position: NDArray[np.float64] | None
    thickness: float
    series: Any
    modality: Any
    directions: tuple[float, ...] | None
    spacing: tuple[float, ...]


def read_dicom(path: str | Path, pixel_mm: tuple[float, float] | None = None) -> Volume:
    """Read a DICOM image, or the folder of one series, in Hounsfield units if it is CT.

    Slices are sorted by their position along the normal of the slices. MONOCHROME1, where large
    is dark, is turned round within its stored bits, except in CT, whose HU already have a meaning.
    Pixels that the scanner marks as padding become air in CT.

    Parameters
    ----------
    path : str or Path
        A file, or a folder that holds one series and nothing else (but DICOMDIR or hidden files).
    pixel_mm : tuple of float, optional
        Spacing of rows and columns, for a file that does not give its own.

    Raises
    ------
    ImagingError
        Not DICOM, cut off, in colour, compressed in a way that cannot be decoded, CT without
        rescale, no spacing, an empty folder, several series, or slices that are missing or double.
    """
    path = Path(path)
    files = sorted(p for p in path.iterdir() if _counts(p)) if path.is_dir() else [path]
    if not files:
        raise ImagingError("The folder holds no file.")
    frames: list[_Frame] = []
    for k, file in enumerate(files, 1):
        frames += _slices(file, f"File {k} of {len(files)}", pixel_mm)
    return _stack(frames, len(files))


def _counts(path: Path) -> bool:
    return path.is_file() and path.name != "DICOMDIR" and not path.name.startswith(".")


def _slices(path: Path, place: str, pixel_mm: tuple[float, float] | None) -> list[_Frame]:
    """Read one file. What the library itself says is kept back: it may quote the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _frames(pydicom.dcmread(path, specific_tags=[*ELEMENTS]), place, pixel_mm)
    except ImagingError:
        raise
    except InvalidDicomError:
        why = "is not DICOM"
    except FileNotFoundError:
        why = "is not there"
    except Exception as error:
        why = f"cannot be read ({type(error).__name__}): it is cut off, or no decoder here reads it"
    raise ImagingError(f"{place} {why}.")  # outside `except`, so that nothing is chained to it


def _stored(data: pydicom.Dataset, place: str) -> NDArray[np.generic]:
    """Return the stored numbers, shape (frames, rows, columns)."""
    if "PixelData" not in data:
        raise ImagingError(f"{place} holds no image.")
    if data.get("SamplesPerPixel", 1) != 1 or "MONO" not in data.get(
        "PhotometricInterpretation", ""
    ):
        raise ImagingError(f"{place} is in colour; only grey images can be put in physical units.")
    syntax = data.file_meta.get("TransferSyntaxUID")
    if syntax is not None and syntax.is_compressed and not get_decoder(syntax).is_available:
        raise ImagingError(
            f"{place} is compressed ({syntax.name}) and no decoder for that is installed: install "
            "pylibjpeg with its plug-ins, or decompress the file with another tool."
        )
    pixels = data.pixel_array
    return pixels if pixels.ndim == 3 else pixels[None]


def _element(data: pydicom.Dataset, frame: int, name: str) -> Any:
    """Return an element of one frame: its own, the one shared by all, or the file's; or None."""
    per_frame = data.get("PerFrameFunctionalGroupsSequence") or []
    shared = data.get("SharedFunctionalGroupsSequence") or []
    for group in (*per_frame[frame : frame + 1], *shared):
        inner = group.get(GROUPS[name])
        if inner and inner[0].get(name) is not None:
            return inner[0].get(name)
    return data.get(name)


def _values(pixels: NDArray[np.generic], data: pydicom.Dataset, get: dict[str, Any]) -> Image:
    """Stored numbers of one frame in physical units."""
    values, ct = pixels.astype(np.float64), data.get("Modality") == "CT"
    if data.PhotometricInterpretation == "MONOCHROME1" and not ct:
        values = (-1 if data.PixelRepresentation else 2 ** int(data.BitsStored) - 1) - values
    slope, intercept = get["RescaleSlope"], get["RescaleIntercept"]
    values = values * float(1 if slope is None else slope) + float(intercept or 0)
    if ct and data.get("PixelPaddingValue") is not None:
        values[pixels == data.PixelPaddingValue] = AIR
    return values.astype(np.float32)


def _frames(
    data: pydicom.Dataset, place: str, pixel_mm: tuple[float, float] | None
) -> list[_Frame]:
    """Divide a file into its slices; an ordinary file holds one."""
    stored, frames = _stored(data, place), []
    for k, pixels in enumerate(stored):
        get = {name: _element(data, k, name) for name in GROUPS}
        if data.get("Modality") == "CT" and None in (get["RescaleSlope"], get["RescaleIntercept"]):
            raise ImagingError(f"{place} is CT without rescale slope and intercept: no HU follow.")
        spacing = tuple(map(float, get["PixelSpacing"] or pixel_mm or ()))
        if not spacing or min(spacing) <= 0:
            raise ImagingError(f"{place} gives no spacing of pixels; pass pixel_mm if you know it.")
        way, where = get["ImageOrientationPatient"], get["ImagePositionPatient"]
        if len(stored) > 1 and "PerFrameFunctionalGroupsSequence" not in data:
            where = None  # the one that is given is that of the first frame
        frames.append(
            _Frame(
                image=_values(pixels, data, get),
                position=None if where is None else np.array(where, float),
                thickness=float(get["SpacingBetweenSlices"] or get["SliceThickness"] or np.nan),
                series=data.get("SeriesInstanceUID"),
                modality=data.get("Modality"),
                directions=tuple(round(float(v), 4) for v in way) if way else None,
                spacing=spacing,
            )
        )
    return frames


def _stack(frames: list[_Frame], files: int) -> Volume:
    """Put slices that belong together in order along their normal."""
    first = frames[0]
    for name in ("series", "modality", "directions", "spacing"):
        if any(getattr(frame, name) != getattr(first, name) for frame in frames):
            raise ImagingError(f"The files differ in {name}: read one series at a time.")
    if any(frame.image.shape != first.image.shape for frame in frames):
        raise ImagingError("The files differ in size: read one series at a time.")
    distance, axes = first.thickness, ""
    if first.directions is not None:
        row, column = np.reshape(first.directions, (2, 3))  # the way along a row, along a column
        normal = np.cross(row, column)
        axes = "".join(_letter(v) for v in (normal, column, row))
        if len(frames) > 1:
            frames, distance = _sorted(frames, normal)
    elif files > 1:
        raise ImagingError("The files do not say which way they face: the order is unknown.")
    spacing = (distance, first.spacing[0], first.spacing[1])
    unit: Literal["HU", "grey"] = "HU" if first.modality == "CT" else "grey"
    return Volume(np.stack([frame.image for frame in frames]), spacing, unit, axes)


def _sorted(frames: list[_Frame], normal: NDArray[np.float64]) -> tuple[list[_Frame], float]:
    """Sort slices along their normal, and return their distance in mm too, which must be one."""
    along = np.array([normal @ frame.position for frame in frames if frame.position is not None])
    if len(along) < len(frames):
        raise ImagingError("A slice does not say where it lies: the order is unknown.")
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    usual = float(np.median(steps))
    if steps.min() <= UNEVEN * steps.mean():
        raise ImagingError(f"Slice {int(steps.argmin()) + 1} is there more than once.")
    k = int(np.argmax(np.abs(steps - usual)))
    if abs(steps[k] - usual) > UNEVEN * usual:
        raise ImagingError(
            f"Slices {k + 1} and {k + 2} are {steps[k]:.2f} mm apart, others {usual:.2f} mm: "
            "one is missing, or the distances are uneven."
        )
    return [frames[k] for k in order], float(steps.mean())


def _letter(direction: NDArray[np.float64]) -> str:
    """The patient's side that a DICOM direction (towards left, posterior, superior) leads to."""
    k = int(np.argmax(np.abs(direction)))
    return "LPS"[k] if direction[k] > 0 else "RAI"[k]


def read_nifti(path: str | Path, unit: Literal["HU", "grey"]) -> Volume:
    """Read a NIfTI image, turned so that its axes are "SPL" like those of an axial CT in DICOM.

    Parameters
    ----------
    path : str or Path
        A .nii or .nii.gz file with three dimensions.
    unit : {"HU", "grey"}
        What its numbers mean after its own slope and intercept: the format cannot say.

    Raises
    ------
    ImagingError
        Not NIfTI, cut off, not three-dimensional, or without spacing or orientation.
    """
    why = ""
    try:
        image: Any = nibabel.load(path)
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
    now = nibabel.io_orientation(image.affine)
    turn = nibabel.orientations.ornt_transform(now, nibabel.orientations.axcodes2ornt("SPL"))
    turned = np.ascontiguousarray(nibabel.apply_orientation(values, turn))
    spacing = steps[np.argsort(turn[:, 0])]
    return Volume(
        turned, cast("tuple[float, float, float]", tuple(map(float, spacing))), unit, "SPL"
    )
