"""Sets of images: MedMNIST in its official parts, and lung nodules that somebody has cut out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medxfer_utils import require
from medxfer_utils.data import files
from medxfer_utils.data.catalogue import LIDC, REGISTRY, SETS, RemoteFile
from medxfer_utils.data.checking import refuse
from medxfer_utils.data.files import ContentError, DataError


class Part(NamedTuple):
    """Images x of shape (n, …), uint8; labels y and the file's own labels `official`, (n,)."""

    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    official: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MedMNIST:
    """A data set in its official three parts.

    Parameters
    ----------
    name, size
        As asked for.
    train, val, test : Part
        In a binary set y is 1 for the disease, whatever the file says; else y is the file's code.
    labels : tuple of str
        What y = 0, 1, … mean.
    sums : tuple of str
        md5 and sha256 of the file that was read.
    is_official : bool
        Whether it was the official file.
    file : RemoteFile
        Its address, licence, citation and known faults.
    """

    name: str
    size: int
    train: Part
    val: Part
    test: Part
    labels: tuple[str, ...]
    sums: tuple[str, str]
    is_official: bool
    file: RemoteFile


def medmnist(name: str, size: int = 28, also: Collection[str] = ()) -> MedMNIST:
    """One of the MedMNIST data sets [1]_, checked.

    Parameters
    ----------
    name : str
        One of `SETS`.
    size : int
        Pixels of a side: 28, 64, 128 or 224; 28 or 64 for volumes.
    also : collection of str
        Further sums that are accepted, see `fetch`.

    Raises
    ------
    ValueError
        If there is no such set or size.
    DownloadError, ChecksumError, ContentError
        If its file cannot be had.

    References
    ----------
    .. [1] Yang et al. (2023), MedMNIST v2. doi:10.1038/s41597-022-01721-8.
    """
    sizes = SETS[name].md5 if name in SETS else {}
    at = f"{name} at {', '.join(map(str, sizes))} pixels" if sizes else ", ".join(SETS)
    require(size in sizes, f"There is no {name!r} of size {size}: choose {at}.")
    about = SETS[name]
    file = REGISTRY[about.file(name, size).name]
    path = files.fetch(file, also)
    arrays, sums = files.read_arrays(file, path), files.sums_of(path)
    flip = about.disease == 0

    def part(which: str) -> Part:
        official = arrays[f"{which}_labels"][:, 0].astype(np.int64)
        images = arrays[f"{which}_images"].astype(np.uint8, copy=False)
        return Part(images, 1 - official if flip else official, official)

    labels = tuple(about.labels[::-1] if flip else about.labels)
    train, val, test = part("train"), part("val"), part("test")
    return MedMNIST(name, size, train, val, test, labels, sums, file.sum in sums, file)


class Nodules(NamedTuple):
    """Centre slices of n lung nodules.

    Parameters
    ----------
    x : ndarray, shape (n, 64, 64)
        HU, at 0.75 mm a pixel, the nodule in the middle.
    malignancy : ndarray, shape (n,)
        The radiologists' score: 1 highly unlikely, 3 indeterminate, 5 highly suspicious.
    diameter : ndarray, shape (n,)
        In mm.
    patient : ndarray, shape (n,)
    sums : tuple of str
        md5 and sha256 of the file that was read.
    """

    x: NDArray[np.int16]
    malignancy: NDArray[np.uint8]
    diameter: NDArray[np.floating]
    patient: NDArray[np.str_]
    sums: tuple[str, str]


# Axes after the first, kinds of type, and least and greatest value.
_NODULES: dict[str, tuple[tuple[int, ...], str, float, float]] = {
    "x": ((64, 64), "i", -32768, 32767),
    "mal": ((), "iu", 1, 5),
    "diam": ((), "f", 0.1, 100),
    "pid": ((), "U", 0, 0),
}


def _require_nodules(arrays: dict[str, NDArray[Any]], path: Path) -> None:
    """Raise ContentError if an array is not what `_NODULES` says."""
    n = len(arrays["x"]) if arrays["x"].ndim else 0
    for name, (axes, kinds, least, greatest) in _NODULES.items():
        array = arrays[name]
        wanted = f"{(n or 'n', *axes)} and one of the kinds {kinds!r} of NumPy"
        wrong = not n or array.shape != (n, *axes) or array.dtype.kind not in kinds
        outside = not (wrong or kinds == "U") and not ((array >= least) & (array <= greatest)).all()
        faults = {
            f"shape {array.shape} and type {array.dtype}, expected {wanted}": wrong,
            f"values outside {least} to {greatest}, or none at all (NaN)": outside,
        }
        refuse(ContentError, faults, f"{path}: {name!r} has ", ".")


def lidc_nodules() -> Nodules:
    """Nodules of LIDC-IDRI [1]_ that somebody has cut out, from the reader's own folder.

    The file `lidc/lidc_centre_slices_64.npz` in `MEDXFER_DATA` is made from the CT series and is
    offered nowhere. Its arrays: `x` (n, 64, 64) HU as whole numbers, `mal` (n,) 1 to 5, `diam` (n,)
    mm, `pid` (n,) text; others are not read.

    Raises
    ------
    DataError
        If it is not there.
    ContentError
        If it is damaged or holds something else.

    References
    ----------
    .. [1] Armato et al. (2011), The Lung Image Database Consortium (LIDC) and Image Database
       Resource Initiative (IDRI). Medical Physics, doi:10.1118/1.3528204.
    """
    path = files.find_local(LIDC.name, LIDC.folder)
    if path is None:
        raise DataError(
            f"{LIDC.name} is not in the folder {LIDC.folder} of MEDXFER_DATA, and nobody offers "
            f"it for download: it is cut out of LIDC-IDRI ({LIDC.url}) and saved as "
            "lidc_nodules.__doc__ says. What the book found with it needs no file: "
            "medxfer_utils.results.load('lidc_transfer')."
        )
    files.require_whole(LIDC, path)
    with np.load(path, allow_pickle=False) as stored:
        arrays: dict[str, Any] = {name: files.read_array(stored, name, path) for name in _NODULES}
    _require_nodules(arrays, path)
    return Nodules(arrays["x"], arrays["mal"], arrays["diam"], arrays["pid"], files.sums_of(path))
