"""A folder of images that a reader brings: a folder a class, PNG, JPEG or DICOM.

Messages count images and quote no name: it may be a patient's.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections import Counter
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pydicom
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydicom.misc import is_dicom
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array
from sklearn.model_selection import StratifiedGroupKFold

from medxfer_utils import require
from medxfer_utils.data.catalogue import KNOWN_COPIES
from medxfer_utils.data.checking import attempt
from medxfer_utils.data.files import ContentError, DataError
from medxfer_utils.data.image_sets import MedMNIST, medmnist
from medxfer_utils.data.own import LOWEST
from medxfer_utils.data.scans import COMPANY, PADDING
from medxfer_utils.images import ImagingError, grey_squares, window

# The folder of the disease bears one of these names, in any case.
DISEASE = ("malignant", "disease", "ill", "positive", "1")
# DICOM is known by its content, too: its files often have no suffix.
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm", ".dicom")
MASK = re.compile(r".*_mask(_\d+)?", re.IGNORECASE)  # outlines beside the images, as in BUSI
PATIENTS = "patients.csv"  # columns `file` and `patient`
SEVERAL = "with several frames or pages: save those to be used as files of their own"
UNREAD = "damaged or empty, or for want of a decoder: "
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
    x = grey_squares((image for part in parts.values() for image in part.x), size)
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

    The folder of the disease is called malignant, disease, ill, positive or 1. What becomes of
    colours, proportions and values of more than 8 bits, `images.grey_squares` says; DICOM values
    are rescaled and go through their own window first, and padding becomes black. A file
    `patients.csv` beside the two folders may name the patient of each file: columns `file`, with
    the folder where a name is in two of them (benign/1.png), and `patient`.

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
        If a class holds no image, or `patients.csv` is not about these files.

    Warns
    -----
    UserWarning
        What was left out, by count: damaged images, masks (`…_mask.png`), images of several frames
        or pages, other files. Also if nothing is known of patients.
    """
    root = Path(folder).expanduser()
    there = sorted(root.iterdir()) if root.is_dir() else []
    classes = [path for path in there if path.is_dir() and not COMPANY.fullmatch(path.name)]
    ill = [path.name.casefold() in DISEASE for path in classes]
    if len(classes) != 2 or sum(ill) != 1:
        found = f"{len(classes)} folders in it, {sum(ill)} of them called {', '.join(DISEASE)}"
        needed = "It needs two, one a class, and just one of them with such a name"
        raise DataError(f"DATA names a folder with {found}. {needed}: that of the disease.")
    read = [_pictures_in(path, number, size) for number, path in enumerate(classes, 1)]
    y = np.repeat(np.array(ill, int), [len(some) for some in read])
    files = [path for some in read for path in some]
    x = np.stack([image for some in read for image in some.values()])
    return Pictures(x, y, np.full(len(y), ""), _numbers_of(root, files))


def _pictures_in(folder: Path, number: int, size: int) -> dict[Path, NDArray[np.uint8]]:
    """The images of a class, in the order of their names; what is left out is told."""
    found, left = dict[Path, NDArray[np.uint8]](), Counter[str]()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if any(map(COMPANY.fullmatch, path.relative_to(folder).parts)):
            continue
        try:
            found[path] = attempt(partial(_square, path, size), lambda e: UNREAD + type(e).__name__)
        except ImagingError as error:
            left[str(error)] += 1
    told = "; ".join(f"{count} {why}" for why, count in left.most_common())
    none = f"Class {number} of 2 holds no image ({', '.join(IMAGES)}); other files: {told or 0}."
    require(found, none, ContentError)
    if left:
        warnings.warn(f"Class {number} of 2, files left out: {told}.", stacklevel=3)
    return found


def _square(path: Path, size: int) -> NDArray[np.uint8]:
    """One image, grey; ImagingError says why it is none."""
    dicom = is_dicom(path)
    require(dicom or path.suffix.lower() in IMAGES, "that are no images", ImagingError)
    require(not MASK.fullmatch(path.stem), "that are masks, by their names", ImagingError)
    values = _of_dicom(path) if dicom else _of_picture(path)
    require(np.isfinite(values).all(), "with values that are NaN or infinite", ImagingError)
    return np.asarray(grey_squares([values], size)[0])


def _of_picture(path: Path) -> NDArray[Any]:
    """A picture as a viewer shows it, upright, in 8 bits or all that it has."""
    with Image.open(path) as opened:
        pages = getattr(opened, "n_frames", 1)  # in JPEG, a photograph and previews of it
        require(pages == 1 or opened.format != "TIFF", SEVERAL, ImagingError)
        upright = ImageOps.exif_transpose(opened)
        return np.asarray(upright if upright.mode[0] in "IF" else upright.convert("L"))


def _of_dicom(path: Path) -> NDArray[Any]:
    """A DICOM image: colours, or what its own window shows, MONOCHROME1 turned round."""
    file = pydicom.dcmread(path)
    require("PixelData" in file, "of DICOM without an image, such as reports", ImagingError)
    require(int(file.get("NumberOfFrames") or 1) == 1, SEVERAL, ImagingError)
    stored, kind = pixel_array(file), file.PhotometricInterpretation
    if kind == "PALETTE COLOR" or stored.ndim == 3:
        return np.asarray(apply_color_lut(stored, file) if stored.ndim == 2 else stored)
    values = apply_modality_lut(stored, file)
    padded = (values < LOWEST) & (file.get("Modality") == "CT")
    if mark := [file[name].value for name in PADDING if file.get(name) is not None]:
        marks = np.array(mark, np.int64).astype(stored.dtype)  # some write -2000 as 63536
        padded |= (stored >= marks.min()) & (stored <= marks.max())
    shown = apply_voi_lut(values, file)
    windowed = file.get("WindowWidth") is not None and "VOILUTSequence" not in file
    ends = apply_voi_lut(np.array([-np.inf, np.inf]), file) if windowed else shown[~padded]
    width = float(np.ptp(ends)) or 1
    grey = 255 * window(shown, ends.min() + width / 2, width)
    grey = 255 - grey if kind == "MONOCHROME1" else grey
    return np.asarray(np.rint(np.where(padded, 0, grey)), np.uint8)


def _table_of(path: Path) -> pd.DataFrame:
    """Who is on which file, whatever the separator and the capitals of the header."""
    try:
        text = path.read_text("utf-8-sig")
        separator = max(",;\t", key=text.partition("\n")[0].count)
        table = pd.read_csv(StringIO(text), sep=separator, dtype=str, index_col=False)
    except (UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        why = f"{PATIENTS} is empty, not in UTF-8, or no table ({type(error).__name__}): "
        raise ContentError(f"{why}save it anew, as CSV in UTF-8.") from None
    table.columns = table.columns.str.strip().str.casefold()
    needed = f"{PATIENTS} needs the columns file and patient, named in its first line."
    require({"file", "patient"} <= {*table}, needed, ContentError)
    table = table[["file", "patient"]].dropna()
    return pd.DataFrame({"file": table["file"].map(_key), "patient": table["patient"].str.strip()})


def _key(name: str) -> str:
    """A name of a file, alike from every system."""
    plain = unicodedata.normalize("NFC", name).strip().casefold()
    return plain.replace("\\", "/").removeprefix("./")


def _numbers_of(root: Path, files: list[Path]) -> NDArray[np.int64]:
    """A number for the patient of each file."""
    path = next((path for path in root.iterdir() if path.name.casefold() == PATIENTS), None)
    if path is None:
        alone = f"Without {PATIENTS}, each image is taken as a patient of its own: if some show"
        warnings.warn(f"{alone} the same patient, results will flatter.", stacklevel=3)
        return np.arange(len(files))
    rows = _table_of(path).drop_duplicates().drop_duplicates("file", keep=False)
    alike = Counter(_key(path.name) for path in root.rglob("*"))
    named = {file: who for file, who in rows.itertuples(index=False) if alike[file] < 2}
    keys = ((_key(path.relative_to(root).as_posix()), _key(path.name)) for path in files)
    known = [named.get(inside, named.get(name)) for inside, name in keys]
    lost = f"names no patient, or several, for {known.count(None)} of {len(files)} images"
    advice = "Where a name is in two folders, write the folder, too: benign/1.png."
    require(all(known), f"{PATIENTS} {lost}. {advice}", ContentError)
    return np.unique(np.array(known), return_inverse=True)[1].astype(np.int64)
