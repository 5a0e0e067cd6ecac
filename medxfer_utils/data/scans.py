"""From the scanner to an array: DICOM and NIfTI, in physical units and known directions.

The readers return numbers, spacing and directions, and nothing else: no name, date or identifier
of a patient is in what they return or in what they say when they fail. They say "file 3 of 20", in
the order of the names, because the name of a file may itself be a patient's.
"""

from __future__ import annotations

import gzip
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
import pydicom
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.misc import is_dicom
from pydicom.uid import CTImageStorage, MediaStorageDirectoryStorage
from scipy.ndimage import affine_transform, gaussian_filter

from medxfer_utils import require
from medxfer_utils.data.checking import attempt, refuse
from medxfer_utils.images import AIR, Image, ImagingError, finite

# What files round: mm by which distances of slices may differ (positions come with one digit, too),
# mm from which on two slices lie apart, and what directions and sizes of pixels may differ by.
ROUNDED, APART, ALIKE = 0.1, 0.01, 5e-4
STRAIGHT = 0.01  # mm aside for each mm along the stack: half a degree, more is a tilted gantry
# Files that stand beside images, and are none.
COMPANY = re.compile(r"\..*|__MACOSX|DICOMDIR|Thumbs\.db|desktop\.ini|.*\.xml", re.IGNORECASE)
# Only these elements of a DICOM file are ever read; what names a patient is not among them. The
# identifiers of the series are compared and thrown away.
ELEMENTS = [
    *("Modality", "SeriesInstanceUID", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"),
    *("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelData"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "ImageType"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "InstanceNumber"),
    *("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    *("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "SOPClassUID"),
    *("SOPInstanceUID", "DimensionOrganizationSequence", "DimensionIndexSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]
# What the slices of one series have in common.
COMMON = ("SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "Rows", "Columns")
MEASURED = ("ImageOrientationPatient", "PixelSpacing")  # the same but for rounding
UNDECODED = "it is cut off, or no decoder is installed (pylibjpeg with its plug-ins has more)."
DISAGREE = "its elements are impossible, or do not agree on place and size."
TILTED = "as when the gantry is tilted: shear them back (dcm2niix does) and read the NIfTI."
PADDING = ("PixelPaddingValue", "PixelPaddingRangeLimit")
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
        grey = "These grey values are not Hounsfield units; use `values`."
        require(self.unit == "HU", grey, ImagingError)
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
        If a spacing is not positive, one is to change that is unknown, or a value is NaN.
    """
    old = np.array(volume.spacing_mm)
    new = np.array([b if b is not None else a for a, b in zip(old, spacing_mm, strict=True)])
    ratio = np.where([b is None for b in spacing_mm], 1.0, new / old)
    way = f"Cannot go from a spacing of {tuple(old)} to {tuple(spacing_mm)} mm."
    require((np.isfinite(ratio) & (ratio > 0)).all(), way, ImagingError)
    shape = np.maximum(1, np.rint(volume.values.shape / ratio)).astype(int)
    smooth = gaussian_filter(finite(volume.values), np.maximum(0, (ratio - 1) / 2), mode="nearest")
    values = affine_transform(smooth, ratio, (ratio - 1) / 2, tuple(shape), order=1, mode="nearest")
    return replace(volume, values=values, spacing_mm=_three(new))


def _three(numbers: Iterable[float]) -> tuple[float, float, float]:
    first, second, third = map(float, numbers)
    return first, second, third


def read_dicom(path: str | Path, pixel_mm: tuple[float, float] | None = None) -> Volume:
    """Read a DICOM image, or the folder of one series, in Hounsfield units if it is CT.

    highdicom [1]_ sorts the slices by their position along their normal, decodes and rescales them.
    MONOCHROME1, where large is dark, is turned round within its stored bits, except in CT, whose HU
    already have a meaning. Pixels that the scanner marks as padding become air in CT. Grey are CT
    whose rescale type is not HU (iodine, blood flow), scouts, and pictures of a screen.

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
        rescale, no spacing, an empty folder, several series, slices that are missing, or all of
        them double, or a gantry that was tilted.

    Warns
    -----
    UserWarning
        What in a folder was left out: files that are no images, scouts, and of two slices at one
        height the one with the greater InstanceNumber.

    References
    ----------
    .. [1] Bridge et al. (2022), doi:10.1007/s10278-022-00683-y.
    """
    files, odd = _files(Path(path)), list[str]()
    slices: list[pydicom.Dataset] = []
    for k, file in enumerate(files, 1):
        place = f"File {k} of {len(files)}"
        slices += _kept_back(partial(_opened, file, place, pixel_mm, odd), place, UNDECODED)
    require(slices, [*odd, "The folder holds no image."][0], ImagingError)
    volume: Volume = _kept_back(partial(_volume, slices, odd), "The image", DISAGREE)
    if odd:
        warnings.warn(f"Left out: {' '.join(odd[:3])}{' And more.' * (len(odd) > 3)}", stacklevel=2)
    return volume


def _files(path: Path) -> list[Path]:
    """The files that should be images; an error if there are none."""
    if not path.is_dir():
        return [path]
    inside = [p for p in sorted(path.iterdir()) if not COMPANY.fullmatch(p.name)]
    files = [p for p in inside if p.is_file()]
    what = "holds folders only: give that of one series" if inside else "holds no file"
    require(files, f"The folder {what}.", ImagingError)
    return files


def _kept_back(call: Callable[[], Any], place: str, why: str) -> Any:
    """Call a library; its errors are told in our words."""
    with disable_value_validation():  # pydicom would log what it finds strange
        return attempt(call, lambda error: f"{place} {_why(error, why)}")


def _why(error: Exception, otherwise: str) -> str:
    """What an error of a library means."""
    kind = type(error).__name__
    known = {"FileNotFoundError": "is not there.", "PermissionError": "may not be read by you."}
    return known.get(kind, f"cannot be read ({kind}): {otherwise}")


def _opened(path: Path, place: str, pixel_mm: Any, odd: list[str]) -> list[pydicom.Dataset]:
    """Read one file, with all that highdicom asks for; what is no image is told in `odd`."""
    if not is_dicom(path):
        odd.append(f"{place} is not DICOM, or lacks the letters DICM that mark it.")
        return []
    data = pydicom.dcmread(path, specific_tags=[*ELEMENTS])
    if "PixelData" not in data:
        medium = data.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage
        odd += [] if medium else [f"{place} holds no image."]
        return []
    for element in [element for element in data if element.is_empty]:
        del data[element.tag]  # it is there, and says nothing
    data.setdefault("FrameOfReferenceUID", "2.25.0")
    if pixel_mm and FRAMES not in data:
        data.setdefault("PixelSpacing", [*pixel_mm])
    _require_units(data, place)
    data.pixel_array  # noqa: B018 - decoded here, where the file can still be named
    return [data]


def _require_units(data: pydicom.Dataset, place: str) -> None:
    """Raise ImagingError if an image cannot be put in physical units."""
    rescale, framed = _rescale(data), FRAMES in data
    # highdicom takes a slope of 0 for none, and none for 1
    scaled = rescale.get("RescaleSlope") and rescale.get("RescaleIntercept") is not None
    sizes = np.ravel(np.array(data.get("PixelSpacing", 0), float))
    spaced = framed or (len(sizes) == 2 and sizes.min() > 0)
    colour = "MONO" not in data.get("PhotometricInterpretation", "")
    bare, many = not scaled and _unit(data) == "HU", int(data.get("NumberOfFrames", 1)) > 1
    faults = {
        "is in colour; only grey images can be put in physical units.": colour,
        "is CT without rescale slope and intercept: no HU follow.": bare,
        "has frames, and does not say where each lies.": many and not framed,
        "gives no spacing of pixels; pass pixel_mm if you know it.": not spaced,
    }
    refuse(ImagingError, faults, f"{place} ")


def _rescale(data: pydicom.Dataset) -> pydicom.Dataset:
    """Where a file keeps slope, intercept and type: on top, or in groups if it has many frames."""
    groups = [*data.get(FRAMES, [])[:1], *data.get("SharedFunctionalGroupsSequence", [])]
    name = "PixelValueTransformationSequence"
    return next((group[name].value[0] for group in groups if name in group), data)


def _unit(data: pydicom.Dataset) -> Literal["HU", "grey"]:
    """HU where DICOM promises them: CT that is no scout, no screenshot, no map of anything else."""
    kind = data.get("SOPClassUID", CTImageStorage).name  # also "Enhanced CT Image Storage"
    ct = data.get("Modality") == "CT" and kind.endswith("CT Image Storage")
    told = _rescale(data).get("RescaleType") in (None, "", "HU")
    return "HU" if ct and told and not _is_scout(data) else "grey"


def _is_scout(data: pydicom.Dataset) -> bool:
    return "LOCALIZER" in data.get("ImageType", ())


def _require_one_series(slices: list[pydicom.Dataset]) -> None:
    """Raise ImagingError if these are not the slices of one series."""
    first = slices[0]
    other = [name for name in COMMON if any(d.get(name) != first.get(name) for d in slices)]
    for name in MEASURED:
        each = [np.array(data.get(name, np.nan), float) for data in slices]
        alike = (np.allclose(one, each[0], ALIKE, ALIKE, equal_nan=True) for one in each)
        other += [] if all(alike) else [name]
    other += ["what their numbers mean"] if len({_unit(data) for data in slices}) > 1 else []
    framed = any(FRAMES in data for data in slices)
    where = ("ImagePositionPatient", "ImageOrientationPatient")
    placed = all(name in data for data in slices for name in where)
    faults = {
        "A file holds many frames: give the file, not its folder.": framed,
        f"The files differ in {' and '.join(other)}: read one series at a time.": other,
        "A slice does not say where it lies, or which way it faces.": not placed,
    }
    refuse(ImagingError, faults)


def _stacked(slices: list[pydicom.Dataset], odd: list[str]) -> list[pydicom.Dataset]:
    """The slices upwards, without scouts, and of two at one height the lesser InstanceNumber."""
    scouts = sum(map(_is_scout, slices))
    if 0 < scouts < len(slices):
        odd.append(f"{scouts} of {len(slices)} images, which are scouts.")
        slices = [data for data in slices if not _is_scout(data)]
    if len(slices) == 1:
        return slices
    _require_one_series(slices)
    slices = sorted(slices, key=lambda data: int(data.get("InstanceNumber", 0)))
    places = np.array([data.ImagePositionPatient for data in slices], float)
    normal = np.cross(*np.reshape(slices[0].ImageOrientationPatient, (2, 3)).astype(float))
    heights = places @ (normal / np.linalg.norm(normal))
    order = np.argsort(heights, kind="stable")
    level = np.cumsum(np.diff(heights[order], prepend=-np.inf) > APART)
    kept = order[np.unique(level, return_index=True)[1]]
    twice = len(slices) - len(kept)
    most = "Most slices are there more than once: divide them by AcquisitionNumber into folders."
    require(2 * twice <= len(kept), most, ImagingError)
    if twice:
        odd.append(f"{twice} of {len(slices)} slices, which lie where another does.")
    _require_even(places[kept], heights[kept])
    return [slices[k] for k in kept]


def _require_even(places: NDArray[np.float64], heights: NDArray[np.float64]) -> None:
    """Raise ImagingError if slices are no even stack, which are counted by their heights."""
    steps, way = np.diff(heights), places[-1] - places[0]
    usual, height = float(np.median(steps)), float(heights[-1] - heights[0])
    k = int(np.argmax(np.abs(steps - usual)))
    askew = np.sqrt(max(0, way @ way - height**2)) > 2 * ROUNDED + STRAIGHT * height
    faults = {
        f"Slices {k + 1} and {k + 2} are {steps[k]:.2f} mm apart, others {usual:.2f} mm: one is "
        "missing, or the distances are uneven.": np.abs(steps - steps.mean()).max() > ROUNDED,
        f"Each slice is shifted against the last, {TILTED}": askew,
    }
    refuse(ImagingError, faults)


def _volume(slices: list[pydicom.Dataset], odd: list[str]) -> Volume:
    """Let highdicom put the slices of one series together."""
    first = (slices := _stacked(slices, odd))[0]
    unit, ct = _unit(first), first.get("Modality") == "CT"
    oriented = "ImageOrientationPatient" in first or FRAMES in first
    told: dict[str, Any] = {"apply_real_world_transform": False, "apply_presentation_lut": not ct}
    told |= {"atol": ROUNDED, "perpendicular_tol": 1}  # see `_require_even`
    thick = first.get("SpacingBetweenSlices") or first.get("SliceThickness", np.nan)
    stack = partial(_stack(slices), dtype=np.float32, **told)
    volume = stack().flip_spatial(0)  # highdicom counts slices downwards
    values = np.ascontiguousarray(volume.array)
    marks = {tuple(data[name].value for name in PADDING if name in data) for data in slices}
    if unit == "HU" and (marks := marks - {()}):
        stored = stack(apply_modality_transform=False).flip_spatial(0).array
        for mark in marks:  # some write -2000 as 63536: the same bits
            ends = np.array(mark, np.int64).astype(first.pixel_array.dtype)
            values[(stored >= ends.min()) & (stored <= ends.max())] = AIR
    spacing = list(map(float, volume.spacing))
    if len(values) == 1:
        spacing[0] = abs(float(thick))
    sides = "".join(side.value for side in volume.get_closest_patient_orientation())
    axes = sides.translate(str.maketrans("HF", "SI")) if oriented else ""
    return Volume(values, _three(spacing), unit, axes)


def _stack(slices: list[pydicom.Dataset]) -> Callable[..., Any]:
    """What makes a volume of highdicom's out of these."""
    import highdicom

    first = slices[0]
    if FRAMES in first:
        image = highdicom.Image.from_dataset(first, copy=False)
        single: Any = {"allow_duplicate_positions": False, "perpendicular_tol": STRAIGHT**2 / 2}
        uneven = f"Frames are missing or double, or each is shifted against the last, {TILTED}"
        require(image.get_volume_geometry(atol=ROUNDED, **single), uneven, ImagingError)
        return image.get_volume
    first.setdefault("ImageOrientationPatient", [1, 0, 0, 0, 1, 0])
    first.setdefault("ImagePositionPatient", [0, 0, 0])
    first.pop("SpacingBetweenSlices", None)  # 0 or negative in some files of one slice
    for data, name in product(slices, MEASURED):
        data[name] = first[name]  # but for rounding the same, which is too little for highdicom
    return partial(highdicom.get_volume_from_series, slices)


def open_nifti(path: Path) -> Any:
    """Open an image; NIfTI also under a name that does not say so, or says the opposite."""
    try:
        return nibabel.load(path)
    except nibabel.filebasedimages.ImageFileError:
        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
        if content[344:347] != b"n+1":
            raise
        return nibabel.Nifti1Image.from_bytes(content)


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
        Not NIfTI, cut off, not three-dimensional, sheared, or without spacing or orientation.
    """

    def loaded() -> tuple[Any, Any, bool, float]:
        image: Any = nibabel.squeeze_image(open_nifti(Path(path)))
        other = f"It is no NIfTI, but {type(image).__name__}: convert it."
        require(isinstance(image, nibabel.Nifti1Pair), other, ImagingError)
        number = image.get_data_dtype().kind in "iuf"
        require(number, "It holds colours or complex numbers, not grey values.", ImagingError)
        oriented = image.header["qform_code"] > 0 or image.header["sform_code"] > 0
        scale = {"meter": 1000.0, "micron": 0.001}.get(image.header.get_xyzt_units()[0], 1.0)
        return image.affine, image.get_fdata(dtype=np.float32), oriented, scale

    other = "it is something else, empty or cut off."
    affine, values, oriented, scale = attempt(loaded, lambda error: f"It {_why(error, other)}")
    steps = nibabel.affines.voxel_sizes(affine) * scale
    products = np.abs(np.triu(affine[:3, :3].T @ affine[:3, :3], 1)) * scale**2
    leaning = products > STRAIGHT * np.outer(steps, steps)
    faults = {
        f"It has {values.ndim} dimensions; an image of three is needed.": values.ndim != 3,
        "It does not say which side is left: qform and sform are both unset.": not oriented,
        "It gives no spacing of voxels.": not (np.isfinite(steps) & (steps > 0)).all(),
        f"Its axes are at no right angles, {TILTED}": leaning.any(),
    }
    refuse(ImagingError, faults)
    turn = ornt_transform(io_orientation(affine), axcodes2ornt("SPL"))
    turned = np.ascontiguousarray(apply_orientation(values, turn))
    return Volume(turned, _three(steps[np.argsort(turn[:, 0])]), unit, "SPL")
