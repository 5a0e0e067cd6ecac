"""A reader's own folder: what should be in it, what is wrong with it, and what to do about that.

Messages count ("volume 3 of 20", in the order of the names) and quote nothing out of the folder
but the names of files that the book itself asks for: other names may be a patient's.
"""

from __future__ import annotations

import json
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
from numpy.typing import NDArray

from medxfer_utils.cohorts import Cohort
from medxfer_utils.data.scans import AIR, Image, ImagingError, Volume, read_nifti

ORGANS = ("lung", "liver")
ARRAYS = tuple(f"{organ}_{kind}.npy" for organ in ORGANS for kind in ("images", "labels"))
TUMOUR = {"lung": 1, "liver": 2}  # in the masks of the Decathlon; the liver itself is 1
# Below this no tissue lies: scanners store 12 bits from -1024 on, and padding further down.
LOWEST = -1024.0
AERATED = (-950.0, -500.0)  # HU of lung parenchyma: our choice, between airways and soft tissue
LIVER = (-100.0, 300.0)  # HU between which the median of any liver lies, fatty or enhanced
DENSE = 500.0  # HU: cortical bone; no image of soft tissue has such a median
NIH = "{http://www.nih.gov}"  # namespace of the LIDC annotations


# --- Arrays of the reader's own ------------------------------------------------------------------


def own_arrays(folder: str | Path) -> tuple[Cohort, Cohort]:
    """Read lung and liver images that the reader has cut out: four .npy files, or six.

    `lung_images.npy`, `liver_images.npy`: shape (n, h, h) or (n, h, h, 1), any real type, in HU.
    `lung_labels.npy`, `liver_labels.npy`: shape (n,), 1 = the disease, 0 = not.
    `lung_patients.npy`, `liver_patients.npy`, optional: shape (n,), whole numbers or text; the
    same identifier in both is the same person. Identifiers are replaced by running numbers.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    tuple of Cohort
        Lung and liver; `x` has shape (n, h, h) and type float32.

    Raises
    ------
    ImagingError
        A file is missing, cut off, pickled or of another shape or type; lengths or sizes differ;
        values are no HU; labels are not 0 and 1; or a patient is in both cohorts.

    Warns
    -----
    UserWarning
        Without a file of patients, each image is taken as a patient of its own.
    """
    folder = Path(folder)
    missing = [name for name in ARRAYS if not (folder / name).is_file()]
    if missing:
        raise ImagingError(
            f"Missing: {', '.join(missing)}. The folder needs {', '.join(ARRAYS)}; "
            "lung_patients.npy and liver_patients.npy are optional."
        )
    ids = {organ: _patients(folder, organ) for organ in ORGANS}
    for organ in ORGANS:
        if not ids[organ].size:
            warnings.warn(
                f"{organ}_patients.npy is missing: each image counts as a patient of its own. If "
                "a patient has several, they stand on both sides of a split, and every result is "
                "too good.",
                stacklevel=2,
            )
    shared = len(np.intersect1d(ids["lung"].astype(str), ids["liver"].astype(str)))
    if shared:
        raise ImagingError(
            f"{shared} patient identifiers are in both lung_patients.npy and liver_patients.npy: "
            "leave these patients out of one, or, if they are other people, number them apart."
        )
    lung, liver = (_own_cohort(folder, organ, ids[organ]) for organ in ORGANS)
    if lung.x.shape[1:] != liver.x.shape[1:]:
        raise ImagingError(
            f"Lung images are {_by(lung.x)} pixels and liver images {_by(liver.x)}: one network "
            "is to see both; cut or resize them to one size (imaging.crop, imaging.resize)."
        )
    return lung, liver


def _by(images: NDArray[Any]) -> str:
    return f"{images.shape[1]} x {images.shape[2]}"


def _load(folder: Path, name: str, kinds: str) -> NDArray[Any]:
    """Read an array of these kinds of dtype; nothing that is stored in the file is ever run."""
    why = ""
    try:
        array = np.load(folder / name, allow_pickle=False)
    except Exception as error:
        pickled = "pickle" in str(error).lower()
        why = "holds Python objects" if pickled else "is cut off, or no .npy file"
    if not why and not isinstance(array, np.ndarray):
        why = "is an .npz archive"
    if why:
        raise ImagingError(f"{name} {why}: write it again with numpy.save and a plain array.")
    if array.dtype.kind not in kinds:
        raise ImagingError(f"{name} has the type {array.dtype}, with which nothing can be done.")
    if not array.size:
        raise ImagingError(f"{name} has no rows.")
    return np.asarray(array)


def _rows(folder: Path, organ: str, kind: str, kinds: str) -> NDArray[Any]:
    """Read an array with one entry for each image."""
    values = _load(folder, f"{organ}_{kind}.npy", kinds)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ImagingError(f"{organ}_{kind}.npy has {values.ndim} dimensions; it needs one.")
    return values


def _patients(folder: Path, organ: str) -> NDArray[Any]:
    """Read who is who; empty where the reader does not say."""
    if (folder / f"{organ}_patients.npy").is_file():
        return _rows(folder, organ, "patients", "iuSU")
    return np.array([], dtype=str)


def _own_cohort(folder: Path, organ: str, ids: NDArray[Any]) -> Cohort:
    """Read and check the images and labels of one organ."""
    x = _own_images(folder, organ)
    y = _rows(folder, organ, "labels", "biuf")
    ids = ids if ids.size else np.arange(len(x))
    lengths = {"images": len(x), "labels": len(y), "patients": len(ids)}
    if len(set(lengths.values())) > 1:
        raise ImagingError(f"The {organ} arrays have different lengths, {lengths}.")
    found = np.unique(y)
    if not np.isin(found, (0, 1)).all():
        raise ImagingError(f"{organ}_labels.npy must hold 0 and 1 only (1 = the disease).")
    if len(found) < 2:
        raise ImagingError(
            f"{organ}_labels.npy holds the class {int(found[0])} only: there is nothing to tell."
        )
    number = np.unique(ids, return_inverse=True)[1]
    patient = np.array([f"{organ}-{k + 1:04d}" for k in number])
    return Cohort(f"{organ} (own)", x, y.astype(np.int64), patient)


def _own_images(folder: Path, organ: str) -> Image:
    name = f"{organ}_images.npy"
    x = _load(folder, name, "iuf")
    if x.ndim == 4 and x.shape[3] == 1:
        x = x[..., 0]
    if x.ndim != 3:
        raise ImagingError(f"{name} has the shape {x.shape}; (n, h, h) or (n, h, h, 1) is needed.")
    if x.shape[1] != x.shape[2]:
        raise ImagingError(f"{name} has images of {_by(x)} pixels; they must be square.")
    if not np.isfinite(x).all():
        raise ImagingError(
            f"{name} has NaN or infinite pixels: put {AIR:g} HU, air, in their place."
        )
    why = _not_hu(float(x.min()), float(np.median(x)), float(x.max()), organ)
    if why:
        raise ImagingError(
            f"{name} {why}. Give HU, that is stored number × RescaleSlope + RescaleIntercept "
            "(scans.read_dicom does it), and leave the window to the chapter."
        )
    return x.astype(np.float32)


def _not_hu(low: float, median: float, high: float, organ: str) -> str:
    """Why numbers of this range cannot be HU; empty if they can."""
    span = f"runs from {low:g} to {high:g}"
    if low >= 0 and high <= 1:
        return f"{span}: grey values after a window"
    if low >= 0 and high <= 255:
        return f"{span}: grey values of a picture"
    if low >= 0 and (organ == "lung" or median > DENSE):
        return f"{span}, with the median {median:g}: stored numbers without their intercept"
    if high > 2**15:
        return f"{span}: above what any scanner stores"
    if low < -1100:
        return f"{span}: below {LOWEST:g} there is only padding, make it {AIR:g}"
    if high - low < 50:
        return f"{span}: less than any two tissues differ, so it seems to be standardised"
    if organ == "lung" and low > AERATED[1]:
        return f"{span}: a lung holds air, below {AERATED[1]:g} HU"
    return ""


# --- Medical Segmentation Decathlon --------------------------------------------------------------


def msd_pairs(folder: str | Path, organ: str) -> list[tuple[Path, Path]]:
    """Return the images of a task of the Decathlon with their masks, in the order of the names.

    Raises
    ------
    ImagingError
        `dataset.json`, `imagesTr` or a mask is missing, or it is another task's folder.
    """
    folder, why = Path(folder), ""
    try:
        about = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        labels, modality = about["labels"], about["modality"]["0"]
    except Exception as error:
        why = type(error).__name__
    if why:
        raise ImagingError(
            f"dataset.json cannot be read ({why}); it lies beside imagesTr and labelsTr."
        )
    if modality != "CT" or set(labels) != {str(k) for k in range(TUMOUR[organ] + 1)}:
        raise ImagingError(
            f"dataset.json describes another task: CT of the {organ} with a tumour labelled "
            f"{TUMOUR[organ]} is needed."
        )
    # The archives hold files of macOS too, whose names begin with "._".
    images = sorted(
        path for path in folder.glob("imagesTr/*.nii.gz") if not path.name.startswith(".")
    )
    if not images:
        raise ImagingError("imagesTr holds no .nii.gz file: is the archive unpacked?")
    pairs = [(path, folder / "labelsTr" / path.name) for path in images]
    for k, (_, mask) in enumerate(pairs, 1):
        if not mask.is_file():
            raise ImagingError(f"Volume {k} of {len(pairs)} has no mask in labelsTr.")
    return pairs


def msd_volume(image: Path, mask: Path, organ: str, place: str) -> tuple[Volume, NDArray[np.uint8]]:
    """Read one volume and its mask, both with axes "SPL", and check that they belong together.

    Parameters
    ----------
    image, mask : Path
    organ : {"lung", "liver"}
    place : str
        What an error calls it: "Volume 3 of 20".

    Raises
    ------
    ImagingError
        Either cannot be read, the grids differ, the mask has other labels, or the values are no HU.
    """
    why = ""
    try:
        labels = _labels(mask, organ)
        volume = read_nifti(image, "HU")
        same = volume.values.shape == labels.shape and _aligned(image, mask)
    except ImagingError as error:
        why = str(error)
    if why:
        raise ImagingError(f"{place}: {why}")
    if not same:
        raise ImagingError(f"{place}: the mask is not on the grid of the image.")
    np.maximum(volume.values, LOWEST, out=volume.values)
    _require_hu(volume.values, labels, organ, place)
    return volume, labels


def _labels(path: Path, organ: str) -> NDArray[np.uint8]:
    """Read a mask; one byte a voxel, because a volume has up to a quarter of a billion."""
    values = read_nifti(path, "grey").values
    if not (values.min() >= 0 and values.max() <= TUMOUR[organ]):
        raise ImagingError(f"the mask has labels other than 0 to {TUMOUR[organ]}.")
    labels = values.astype(np.uint8)
    if not (labels == values).all():
        raise ImagingError("the mask holds fractions: it is no mask, or was resampled.")
    return labels


def _aligned(image: Path, mask: Path) -> bool:
    """Whether corresponding voxels of two files lie within half a voxel of each other."""
    first, second = (_canonical(path) for path in (image, mask))
    loaded: Any = nibabel.load(image)
    corners = np.array(list(np.ndindex(2, 2, 2))) * max(loaded.shape)
    apart = nibabel.affines.apply_affine(first - second, corners)
    half = min(nibabel.affines.voxel_sizes(first)) / 2
    return bool(np.abs(apart).max() <= half)


def _canonical(path: Path) -> NDArray[np.float64]:
    """Affine of a file after its axes are turned to lead right, anterior and superior."""
    image: Any = nibabel.load(path)
    turn = nibabel.io_orientation(image.affine)
    return np.asarray(image.affine @ nibabel.orientations.inv_ornt_aff(turn, image.shape))


def _require_hu(values: Image, labels: NDArray[np.uint8], organ: str, place: str) -> None:
    lowest, highest = float(values.min()), float(values.max())
    if not np.isfinite([lowest, highest]).all():
        raise ImagingError(f"{place} has NaN or infinite values.")
    if lowest > AERATED[1]:
        raise ImagingError(f"{place} has no air (lowest value {lowest:g}): its values are no HU.")
    if organ == "liver" and labels.any():
        tissue = float(np.median(values[labels == 1])) if (labels == 1).any() else np.nan
        if not LIVER[0] <= tissue <= LIVER[1]:
            raise ImagingError(
                f"{place}: the median of the liver is {tissue:g}, not from {LIVER[0]:g} to "
                f"{LIVER[1]:g} HU: the mask lies elsewhere, or the values are no HU."
            )


# --- LIDC-IDRI -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mark:
    """What one radiologist drew around one nodule.

    Parameters
    ----------
    reader : int
        Radiologist of this scan, from 0; not the same person in another scan.
    malignancy : int
        From 1, highly unlikely, to 5, highly suspicious.
    z : float
        Height in mm of the slice with the largest outline.
    centre : tuple of float
        Row and column of the middle of that outline.
    pixels : float
        Area within that outline, which runs just outside the nodule.
    """

    reader: int
    malignancy: int
    z: float
    centre: tuple[float, float]
    pixels: float


@dataclass(frozen=True)
class Series:
    """The CT of one patient of LIDC-IDRI: files by height, and the marks of its radiologists."""

    place: str
    patient: int
    files: dict[float, Path]
    spacing: tuple[float, float]
    marks: list[Mark] | None


def lidc_series(folder: str | Path) -> Iterator[Series]:
    """Go through the CT series of LIDC-IDRI one at a time; headers only, no pixels.

    Series of other modalities (chest X-rays) are passed over. Annotations are found by the
    identifier of the series, so they may lie beside the images or in a folder of their own.

    Raises
    ------
    ImagingError
        There are no patients or annotations, or a file cannot be read.
    """
    folder = Path(folder)
    patients = sorted(path for path in folder.glob("LIDC-IDRI-*") if path.is_dir())
    if not patients:
        raise ImagingError("No folder LIDC-IDRI-0001, LIDC-IDRI-0002, … is there.")
    annotations = _annotations(folder)
    for k, patient in enumerate(patients, 1):
        place = f"Patient {k} of {len(patients)}"
        for series in sorted({path.parent for path in patient.rglob("*.dcm")}):
            found = _series(sorted(series.glob("*.dcm")), k, place, annotations)
            if found is not None:
                yield found


def _annotations(folder: Path) -> dict[str, Path]:
    """Find the annotation of each series by the series' identifier."""
    files = sorted(folder.rglob("*.xml"))
    if not files:
        raise ImagingError(
            "There is no annotation (.xml) in the folder: LIDC-IDRI offers them as a download of "
            "their own; unpack it into the same folder."
        )
    found = {}
    for k, path in enumerate(files, 1):
        uid = _xml(path, f"Annotation {k} of {len(files)}").findtext(f".//{NIH}SeriesInstanceUid")
        if uid:  # X-rays have annotations too, which call it otherwise
            found[uid.strip()] = path
    return found


def _xml(path: Path, place: str) -> ET.Element:
    try:
        return ET.parse(path).getroot()
    except (ET.ParseError, OSError, ValueError, LookupError):  # the last: of an encoding
        pass
    raise ImagingError(f"{place} is no XML, or cut off.")


def _header(path: Path, place: str) -> pydicom.Dataset:
    """Read the few elements that say what a file is and where; no identifier is kept."""
    tags = ["Modality", "SeriesInstanceUID", "ImagePositionPatient", "PixelSpacing"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pydicom.dcmread(path, specific_tags=[*tags], stop_before_pixels=True)
    except Exception as error:
        why = type(error).__name__
    raise ImagingError(f"{place} has a file that cannot be read as DICOM ({why}).")


def _series(
    files: list[Path], patient: int, place: str, annotations: dict[str, Path]
) -> Series | None:
    """Describe one series; None if it is no CT."""
    first = _header(files[0], place)
    if first.get("Modality") != "CT":
        return None
    heights: dict[float, Path] = {}
    for path in files:
        data = _header(path, place)
        if data.get("SeriesInstanceUID") != first.get("SeriesInstanceUID"):
            raise ImagingError(f"{place} has files of several series in one folder.")
        position = data.get("ImagePositionPatient")
        if position is None or data.get("PixelSpacing") is None:
            raise ImagingError(f"{place} has a slice without position or spacing of pixels.")
        if heights.setdefault(float(position[2]), path) != path:
            raise ImagingError(f"{place} has two slices at one height.")
    row, column = map(float, first.PixelSpacing)
    annotation = annotations.get(str(first.get("SeriesInstanceUID")))
    marks = None if annotation is None else _marks(_xml(annotation, place), place)
    return Series(place, patient, heights, (row, column), marks)


def _marks(root: ET.Element, place: str) -> list[Mark]:
    """Read the outlined nodules; smaller ones (< 3 mm) have a point and no malignancy."""
    marks = []
    try:
        for reader, session in enumerate(root.iter(f"{NIH}readingSession")):
            for nodule in session.iter(f"{NIH}unblindedReadNodule"):
                malignancy = nodule.findtext(f"{NIH}characteristics/{NIH}malignancy")
                outlines = [o for roi in nodule.iter(f"{NIH}roi") if (o := _outline(roi))]
                if malignancy and outlines:
                    area, z, centre = max(outlines)
                    marks.append(Mark(reader, int(malignancy), z, centre, area))
    except (TypeError, ValueError):
        marks = [Mark(0, 0, 0, (0, 0), 0)]
    if any(not 1 <= mark.malignancy <= 5 for mark in marks):
        raise ImagingError(f"{place} has an annotation with a value that cannot be one.")
    return marks


def _outline(roi: ET.Element) -> tuple[float, float, tuple[float, float]] | None:
    """Area in pixels, height and centre (row, column) of an outline; None if it is no area."""
    if (roi.findtext(f"{NIH}inclusion") or "").strip().upper() != "TRUE":
        return None  # a hole in the nodule
    points = np.array(
        [
            (float(p.findtext(f"{NIH}yCoord") or "x"), float(p.findtext(f"{NIH}xCoord") or "x"))
            for p in roi.iter(f"{NIH}edgeMap")
        ]
    )
    if len(points) < 3:
        return None
    y, x = points.T
    area = 0.5 * abs(float(y @ np.roll(x, 1) - x @ np.roll(y, 1)))  # Gauss's area formula
    if not area:
        return None
    height = float(roi.findtext(f"{NIH}imageZposition") or "x")
    if not np.isfinite([area, height]).all():
        raise ValueError
    middle = ((y.min() + y.max()) / 2, (x.min() + x.max()) / 2)
    return area, height, middle
