"""A folder of images that a reader brings: a folder a class, PNG, JPEG or DICOM.

Messages count images in the order of their names and quote no name: it may be a patient's.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pydicom
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydicom.pixels.processing import apply_voi_lut
from sklearn.model_selection import StratifiedGroupKFold

from medxfer_utils.data.catalogue import KNOWN_COPIES
from medxfer_utils.data.files import ContentError, DataError
from medxfer_utils.data.image_sets import MedMNIST, medmnist

# The folder of the disease bears one of these names, in any case.
DISEASE = ("malignant", "disease", "ill", "positive", "1")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
DICOM = (".dcm", ".dicom")
PATIENTS = "patients.csv"  # columns `file` and `patient`
FEWEST = 10  # patients of each class, to train, choose and test with


class Pictures(NamedTuple):
    """Grey images with a diagnosis.

    Parameters
    ----------
    x : ndarray, shape (n, size, size)
        uint8, from black (0) to white (255).
    y : ndarray, shape (n,)
        1 for the disease, 0 for not.
    part : ndarray, shape (n,)
        "train", "val" or "test"; "" if nobody has divided them.
    patient : ndarray, shape (n,)
        Number of the patient, of the image if nothing is known of patients.
    """

    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    part: NDArray[np.str_]
    patient: NDArray[np.int64]


def breast_ultrasound(folder: str = "builtin", size: int = 224) -> Pictures:
    """Breast ultrasound of BreastMNIST [1]_, or the images of a reader's own folder.

    Taught in lesson 01.

    Parameters
    ----------
    folder : str
        "builtin", or a folder that `image_folder` reads: a fifth of its patients is for tests, a
        fifth for validation.
    size : int
        Pixels of a side that are wanted. The set is read at 224 pixels; at 28 where only those
        can be had, with a warning, for enlarging brings no detail back.

    Raises
    ------
    DataError
        If the images cannot be had, or a folder holds too few; the message says what to do.

    References
    ----------
    .. [1] Yang et al. (2023), MedMNIST v2. doi:10.1038/s41597-022-01721-8.
    """
    if folder != "builtin":
        return _divided(image_folder(folder, size))
    try:
        found = medmnist("breastmnist", 224, also=KNOWN_COPIES)
    except DataError:
        found = medmnist("breastmnist", 28, also=KNOWN_COPIES)
        warnings.warn("Only the images of 28 pixels are at hand: they are enlarged.", stacklevel=2)
    return _in_parts(found, size)


def chest_xrays(folder: str = "builtin", size: int = 28) -> Pictures:
    """Chest X-rays of children (PneumoniaMNIST [1]_), or the images of a reader's own folder.

    Each different image of the set comes once. Taught in lesson 06.

    Parameters
    ----------
    folder : str
        As of `breast_ultrasound`.
    size : int
        Pixels of a side that are wanted; the set is read at 28.

    Raises
    ------
    DataError
        If the images cannot be had, or a folder holds too few; the message says what to do.

    References
    ----------
    .. [1] Yang et al. (2023), MedMNIST v2. doi:10.1038/s41597-022-01721-8.
    """
    if folder != "builtin":
        return _divided(image_folder(folder, size))
    found = _in_parts(medmnist("pneumoniamnist", 28, also=KNOWN_COPIES), size)
    pixels = found.x.reshape(len(found.x), -1)
    once = np.sort(np.unique(pixels, axis=0, return_index=True)[1])
    return Pictures(found.x[once], found.y[once], found.part[once], found.patient[once])


def _in_parts(found: MedMNIST, size: int) -> Pictures:
    """A set as it is divided officially."""
    parts = {"train": found.train, "val": found.val, "test": found.test}
    x = _resized((image for part in parts.values() for image in part.x), size)
    y = np.concatenate([part.y for part in parts.values()])
    part = np.repeat([*parts], [len(part.y) for part in parts.values()])
    return Pictures(x, y, part, np.arange(len(y)))


def _divided(found: Pictures) -> Pictures:
    """The same in three parts, by patient, with both classes in each."""
    counts = [len(np.unique(found.patient[found.y == k])) for k in (1, 0)]
    if min(counts) < FEWEST:
        raise ContentError(
            f"DATA holds {counts[0]} patients with the disease and {counts[1]} without: to train, "
            f"to choose and to test, {FEWEST} of each are needed, or more."
        )
    part = np.full(len(found.y), "train")
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    tested = folds.split(found.y, found.y, found.patient)
    for name, (_, rows) in zip(("test", "val"), tested, strict=False):
        part[rows] = name
    return found._replace(part=part)


def image_folder(folder: str | Path, size: int) -> Pictures:
    """Read a reader's own images: a folder a class, in it PNG, JPEG, TIFF or DICOM files.

    The folder of the disease is called malignant, disease, ill, positive or 1. Colours become
    grey, proportions are kept (black is added), and DICOM values go through their own window. A
    file `patients.csv` beside the two folders may name the patient of each file: columns `file`
    and `patient`.

    Parameters
    ----------
    folder : str or Path
    size : int
        Pixels of a side.

    Raises
    ------
    DataError
        If there is no such folder, there are not two classes, or none bears a name of a disease.
    ContentError
        If a class holds no image, an image is damaged, or `patients.csv` is not about these files.

    Warns
    -----
    UserWarning
        If other files were passed over, or nothing is known of patients.
    """
    root = Path(folder)
    classes = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    ill = [path.name.casefold() in DISEASE for path in classes]
    if len(classes) != 2 or sum(ill) != 1:
        raise DataError(
            f"DATA names a folder with {len(classes)} folders in it, {sum(ill)} of them called "
            f"{', '.join(DISEASE)}. It needs two, one a class, and just one of them with such a "
            "name: that of the disease."
        )
    files = [_files_of(path, number) for number, path in enumerate(classes, 1)]
    y = np.repeat(np.array(ill, int), [len(some) for some in files])
    every = [path for some in files for path in some]
    x = _resized((_read(path, k, len(every)) for k, path in enumerate(every, 1)), size)
    return Pictures(x, y, np.full(len(y), ""), _patients(root, every))


def _files_of(folder: Path, number: int) -> list[Path]:
    """The images of a class, in the order of their names."""
    there = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    found = [path for path in there if path.suffix.lower() in (*PICTURES, *DICOM)]
    if not found:
        raise ContentError(f"Class {number} of 2 holds no image: {', '.join((*PICTURES, *DICOM))}.")
    if len(found) < len(there):
        warnings.warn(
            f"Class {number} of 2: {len(there) - len(found)} files that are no images were passed "
            "over.",
            stacklevel=3,
        )
    return found


def _read(path: Path, number: int, total: int) -> NDArray[np.uint8]:
    """One image, grey."""
    try:
        if path.suffix.lower() in DICOM:
            return _of_dicom(path)
        with Image.open(path) as opened:
            return np.asarray(opened.convert("L"))
    except Exception as error:  # of Pillow or pydicom
        raise ContentError(
            f"Image {number} of {total}, in the order of the names, cannot be read "
            f"({type(error).__name__}): it is damaged or no {path.suffix} file. Replace it or "
            "take it out."
        ) from error


def _of_dicom(path: Path) -> NDArray[np.uint8]:
    """A DICOM image through its own window, MONOCHROME1 turned round."""
    file = pydicom.dcmread(path)
    values = np.asarray(apply_voi_lut(file.pixel_array, file), float)
    if values.ndim != 2:
        raise ValueError(f"{values.ndim} axes")
    low, high = values.min(), values.max()
    grey = 255 * (values - low) / max(high - low, 1)
    turned = file.PhotometricInterpretation == "MONOCHROME1"
    return np.asarray(255 - grey if turned else grey, np.uint8)


def _resized(images: Iterable[NDArray[np.uint8]], size: int) -> NDArray[np.uint8]:
    """Images of one size, proportions kept."""
    sides = (size, size)
    made = [ImageOps.pad(Image.fromarray(image), sides, Image.Resampling.BOX) for image in images]
    return np.stack([np.asarray(image) for image in made])


def _patients(root: Path, files: list[Path]) -> NDArray[np.int64]:
    """A number for the patient of each file."""
    if not (root / PATIENTS).is_file():
        warnings.warn(
            f"Without {PATIENTS}, each image is taken as a patient of its own: if some show the "
            "same patient, results will flatter.",
            stacklevel=3,
        )
        return np.arange(len(files))
    table = pd.read_csv(root / PATIENTS, dtype=str, encoding="utf-8-sig")
    if not {"file", "patient"} <= {*table.columns}:
        raise ContentError(f"{PATIENTS} needs the columns file and patient.")
    named = table.dropna().set_index("file")["patient"]
    known = [named.get(path.name) for path in files]
    if (unknown := sum(not isinstance(one, str) for one in known)) > 0:
        raise ContentError(
            f"{PATIENTS} names no patient, or several, for {unknown} of {len(files)} images."
        )
    return np.unique(np.array(known), return_inverse=True)[1].astype(np.int64)
