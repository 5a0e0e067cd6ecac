"""A reader's own folder: what should be in it, what is wrong with it, and what to do about that.

Messages count ("volume 3 of 20", in the order of the names) and quote nothing out of the folder
but the names of files that the book itself asks for: other names may be a patient's.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medxfer_utils import require
from medxfer_utils.cohorts import Cohort
from medxfer_utils.data.checking import attempt, refuse
from medxfer_utils.images import AIR, Image, ImagingError

ORGANS = ("lung", "liver")
ARRAYS = tuple(f"{organ}_{kind}.npy" for organ in ORGANS for kind in ("images", "labels"))
# Below this no tissue lies: scanners store 12 bits from -1024 on, and padding further down.
LOWEST = -1024.0
AERATED = (-950.0, -500.0)  # HU of lung parenchyma: our choice, between airways and soft tissue
DENSE = 500.0  # HU: cortical bone; no image of soft tissue has such a median


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
    needed = f"The folder needs {', '.join(ARRAYS)}; lung_patients.npy and liver_patients.npy are"
    require(not missing, f"Missing: {', '.join(missing)}. {needed} optional.", ImagingError)
    ids = {organ: _patients(folder, organ) for organ in ORGANS}
    for organ in ORGANS:
        if not ids[organ].size:
            warnings.warn(
                f"{organ}_patients.npy is missing: each image counts as a patient. If a patient "
                "has several, they stand on both sides of a split, and every result is too good.",
                stacklevel=2,
            )
    shared = len(np.intersect1d(ids["lung"].astype(str), ids["liver"].astype(str)))
    both = f"{shared} patient identifiers are in both lung_patients.npy and liver_patients.npy: "
    advice = "leave these patients out of one, or, if they are other people, number them apart."
    require(not shared, both + advice, ImagingError)
    lung, liver = (_own_cohort(folder, organ, ids[organ]) for organ in ORGANS)
    sizes = f"Lung images are {_by(lung.x)} pixels and liver images {_by(liver.x)}: one network "
    advice = "is to see both; cut them (images.crop) or resize them to one size."
    require(lung.x.shape[1:] == liver.x.shape[1:], sizes + advice, ImagingError)
    return lung, liver


def _by(images: NDArray[Any]) -> str:
    return " x ".join(map(str, images.shape[1:3]))


def _load(folder: Path, name: str, kinds: str) -> NDArray[Any]:
    """Read an array of these kinds of dtype; nothing that is stored in the file is ever run."""
    again = "write it again with numpy.save, text as column.astype(str)."

    def words(error: Exception) -> str:
        pickled = "pickle" in str(error).lower()
        what = "holds Python objects" if pickled else "is cut off, or no .npy file"
        return f"{name} {what}: {again}"

    array = attempt(lambda: np.load(folder / name, allow_pickle=False), words)
    require(isinstance(array, np.ndarray), f"{name} is an .npz archive: {again}", ImagingError)
    faults = {
        f"has the type {array.dtype}, with which nothing can be done; see astype.": array.dtype.kind
        not in kinds,
        "has no rows.": not array.size,
    }
    refuse(ImagingError, faults, f"{name} ")
    return np.asarray(array)


def _rows(folder: Path, organ: str, kind: str, kinds: str) -> NDArray[Any]:
    """Read an array with one entry for each image."""
    values = _load(folder, name := f"{organ}_{kind}.npy", kinds)
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    require(values.ndim == 1, f"{name} has {values.ndim} dimensions; it needs one.", ImagingError)
    return values


def _patients(folder: Path, organ: str) -> NDArray[Any]:
    """Read who is who; empty where the reader does not say."""
    if (folder / f"{organ}_patients.npy").is_file():
        return _rows(folder, organ, "patients", "iuSU")
    return np.array([], dtype=str)


def _own_cohort(folder: Path, organ: str, ids: NDArray[Any]) -> Cohort:
    """Read and check the images and labels of one organ."""
    x, y = _own_images(folder, organ), _rows(folder, organ, "labels", "biuf")
    ids = ids if ids.size else np.arange(len(x))
    lengths = {"images": len(x), "labels": len(y), "patients": len(ids)}
    name, found = f"{organ}_labels.npy", np.unique(y)
    faults = {
        f"The {organ} arrays have different lengths, {lengths}.": len({*lengths.values()}) > 1,
        f"{name} must hold 0 and 1 only (1 = the disease).": not np.isin(found, (0, 1)).all(),
        f"{name} holds the class {found[0]:g} only: there is nothing to tell.": len(found) < 2,
    }
    refuse(ImagingError, faults)
    number = np.unique(ids, return_inverse=True)[1]
    patient = np.array([f"{organ}-{k + 1:04d}" for k in number])
    return Cohort(f"{organ} (own)", x, y.astype(np.int64), patient)


def _own_images(folder: Path, organ: str) -> Image:
    x = _load(folder, name := f"{organ}_images.npy", "iuf")
    x = x[..., 0] if x.ndim == 4 and x.shape[3] == 1 else x
    faults = {
        f"the shape {x.shape}; (n, h, h) or (n, h, h, 1) is needed.": x.ndim != 3,
        f"images of {_by(x)} pixels; they must be square.": x.ndim == 3 and len({*x.shape[1:]}) > 1,
        f"NaN or infinite pixels: put {AIR:g} HU, air, in their place.": not np.isfinite(x).all(),
    }
    refuse(ImagingError, faults, f"{name} has ")
    _require_hu_range(float(x.min()), float(np.median(x)), float(x.max()), organ)
    return x.astype(np.float32)


def _require_hu_range(low: float, median: float, high: float, organ: str) -> None:
    """Say why numbers of this range cannot be HU."""
    lung, stored = organ == "lung", "stored numbers without their intercept"
    faults = {
        "grey values after a window": low >= 0 and high <= 1,
        "grey values of a picture": low >= 0 and high <= 255,
        f"with the median {median:g}: {stored}": low >= 0 and (lung or median > DENSE),
        "above what any scanner stores": high > 2**15,
        f"below {LOWEST:g} there is only padding, make it {AIR:g}": low < -1100,
        "less than any two tissues differ, so it seems to be standardised": high - low < 50,
        f"a lung holds air, below {AERATED[1]:g} HU": lung and low > AERATED[1],
    }
    advice = (
        ". Give HU, that is stored number × RescaleSlope + RescaleIntercept (data.read_dicom does "
        "it), and leave the window to the lesson."
    )
    refuse(ImagingError, faults, f"{organ}_images.npy runs from {low:g} to {high:g}: ", advice)
