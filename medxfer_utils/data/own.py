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

from medxfer_utils.cohorts import Cohort
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
            "is to see both; cut them (images.crop) or resize them to one size."
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
