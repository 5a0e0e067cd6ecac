"""Real data: where each file comes from, and how to have it with nothing lost on the way.

A file is looked for in the folder `MEDXFER_DATA`, then in the cache (`MEDXFER_CACHE`, or the
system's folder for caches), then at its official address. Wherever it was found, its checksum and
its content are checked before anything is read from it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import warnings
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from medxfer_utils.data.catalogue import (
    HEART,
    KNOWN_COPIES,
    LIDC,
    PARTS,
    REGISTRY,
    SETS,
    RemoteFile,
)

with warnings.catch_warnings():
    # In a notebook, tqdm, which comes with pooch, misses widgets that nobody needs here.
    warnings.filterwarnings("ignore", message="IProgress not found")
    import pooch

# What the first 512 bytes of a file look like; a .data file is text.
SIGNATURES = {
    ".npz": re.compile(rb"PK\x03\x04"),
    ".h5": re.compile(rb"\x89HDF\r\n\x1a\n"),
    ".data": re.compile(rb"[ -~\r\n\t]+\Z"),
}
# To connect, and without an answer of the server. The first is short: where there is no network
# but a chapter can do without the file, nobody should have to wait.
SECONDS = (4, 30)


class DataError(Exception):
    """A data file cannot be had; the message says which, why, and what to do."""


class DownloadError(DataError):
    """The file is not here, and the network did not give it."""


class ChecksumError(DataError):
    """The file is not the official one."""


class ContentError(DataError):
    """The file is damaged, or does not hold what it should."""


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


def sums_of(path: Path) -> tuple[str, str]:
    """Return the md5 and the sha256 of a file, as "md5:…" and "sha256:…"."""
    return (
        f"md5:{pooch.file_hash(str(path), 'md5')}",
        f"sha256:{pooch.file_hash(str(path), 'sha256')}",
    )


def cache() -> Path:
    """Return the folder where downloaded files are kept."""
    return Path(os.environ.get("MEDXFER_CACHE") or pooch.os_cache("medxfer")).expanduser()


def find_local(name: str, folder: str) -> Path | None:
    """Return the file of that name in the reader's own folder, `MEDXFER_DATA`, if it is there.

    Raises
    ------
    DataError
        If the variable names no folder.
    """
    if not os.environ.get("MEDXFER_DATA"):
        return None
    root = Path(os.environ["MEDXFER_DATA"]).expanduser()
    if not root.is_dir():
        raise DataError(f"MEDXFER_DATA is {str(root)!r}: there is no such folder.")
    return next((p for p in (root / folder / name, root / name) if p.is_file()), None)


def _require_whole(file: RemoteFile, path: Path) -> None:
    """Raise ContentError if the file is a web page, something else, or cut off."""
    with path.open("rb") as opened:
        head = opened.read(512)
    kind = Path(file.name).suffix
    if head.lstrip().startswith(b"<"):
        raise ContentError(f"{path} is a web page, not {file.name}. Get it from {file.url}.")
    if not SIGNATURES[kind].match(head):
        raise ContentError(f"{path} is no {kind} file. Get {file.name} from {file.url}.")
    if kind == ".npz" and not zipfile.is_zipfile(path):
        raise ContentError(f"{path} is cut off. Get {file.name} again from {file.url}.")


def _require_sum(file: RemoteFile, path: Path, also: Collection[str]) -> None:
    """Raise ChecksumError if the file is neither the official one nor among `also`."""
    found = sums_of(path)
    accepted = {also} if isinstance(also, str) else set(also)
    if {file.sum, *accepted} & set(found):
        return
    same_kind = next(known for known in found if known.startswith(file.sum.split(":")[0]))
    why = next((f" It is known: {KNOWN_COPIES[s]}." for s in found if s in KNOWN_COPIES), "")
    raise ChecksumError(
        f"{path} is not the official {file.name}: its sum is {same_kind}, the official one "
        f"{file.sum}.{why} To use it nevertheless, pass also=[{found[1]!r}]"
        f"{' or also=KNOWN_COPIES of medxfer_utils.data.catalogue' if why else ''}; otherwise get "
        f"the file from {file.url}."
    )


def _array(stored: Any, name: str, path: Path) -> NDArray[np.generic]:
    """Read one array of an open npz file; ContentError if it is missing, damaged or of objects."""
    try:
        return cast(NDArray[np.generic], stored[name])
    except KeyError:
        raise ContentError(
            f"{path} has no array {name!r}, only {', '.join(stored.files)}."
        ) from None
    except ValueError as error:
        raise ContentError(
            f"{path}: {name!r} is an array of Python objects, which could run code when "
            f"read, or damaged ({error})."
        ) from error
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise ContentError(f"{path}: {name!r} is damaged ({error}).") from error


def read_arrays(file: RemoteFile, path: Path) -> dict[str, NDArray[np.generic]]:
    """Read the arrays of an npz file, never running anything that is stored in it.

    Raises
    ------
    ContentError
        If an array is missing, damaged, of another shape or type, or made of Python objects.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    with np.load(path, allow_pickle=False) as stored:
        for name, shape in file.arrays.items():
            array = _array(stored, name, path)
            right_type = array.dtype == np.uint8 or (
                name.endswith("_labels") and array.dtype.kind in "iu"
            )
            if array.shape != shape or not right_type:
                raise ContentError(
                    f"{path}: {name!r} has shape {array.shape} and type {array.dtype}, "
                    f"expected {shape} and uint8."
                )
            arrays[name] = array
    return arrays


def verify(file: RemoteFile, path: Path, also: Collection[str] = ()) -> Path:
    """Return `path` if it is this file, whole and official (or one whose sum is in `also`).

    Raises
    ------
    ChecksumError, ContentError
        If it is not.
    """
    _require_whole(file, path)
    _require_sum(file, path, also)
    if file.arrays:
        read_arrays(file, path)
    return path


def _reason(error: OSError) -> str:
    """Say in few words why a download failed."""
    answer = getattr(error, "response", None)
    if answer is not None:
        return f"the server answered {answer.status_code} {answer.reason}"
    if error.errno is not None:
        return str(error)  # of this machine: no space left, no permission
    return f"no connection, or it broke off: {type(error).__name__}"


def _download(file: RemoteFile, target: Path, also: Collection[str]) -> Path:
    """Download beside the target, verify, then rename: nothing else is ever left behind."""
    beside = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        pooch.HTTPDownloader(timeout=SECONDS)(file.url, str(beside), None)
        verify(file, beside, also)
        beside.replace(target)
    except OSError as error:  # what requests raises is one, too
        raise DownloadError(
            f"{file.name} is neither on this machine nor to be had from {file.url} "
            f"({_reason(error)}). Without a network, get it elsewhere, put it into a folder "
            f"called {file.folder}, and set MEDXFER_DATA to the folder above that one."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # where no folder can be made, nothing was left
            beside.unlink()
    return target


def fetch(file: RemoteFile, also: Collection[str] = ()) -> Path:
    """Return where a file is, after downloading it if it is neither in the folder nor the cache.

    Parameters
    ----------
    file : RemoteFile
        One of `REGISTRY`.
    also : collection of str
        Further sums ("sha256:…" or "md5:…") that are accepted; `KNOWN_COPIES` is such a one.

    Raises
    ------
    DownloadError, ChecksumError, ContentError
        A faulty file in the cache is removed and downloaded again; a reader's own is left alone.
    """
    local = find_local(file.name, file.folder)
    if local is not None:
        return verify(file, local, also)
    cached = cache() / file.folder / file.name
    if cached.is_file():
        try:
            return verify(file, cached, also)
        except DataError as error:
            warnings.warn(f"Removed from the cache: {error}", stacklevel=2)
            cached.unlink()
    return _download(file, cached, also)


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
    if name not in SETS or size not in SETS[name].md5:
        sizes = f" at {', '.join(map(str, SETS[name].md5))} pixels" if name in SETS else ""
        raise ValueError(f"There is no {name!r} of size {size}: choose {name if sizes else ''}"
                         f"{sizes or ', '.join(SETS)}.")  # fmt: skip
    about = SETS[name]
    file = REGISTRY[about.file(name, size).name]
    path = fetch(file, also)
    arrays, sums = read_arrays(file, path), sums_of(path)
    flip = about.disease == 0

    def part(which: str) -> Part:
        official = arrays[f"{which}_labels"][:, 0].astype(np.int64)
        images = arrays[f"{which}_images"].astype(np.uint8, copy=False)
        return Part(images, 1 - official if flip else official, official)

    labels = about.labels[::-1] if flip else about.labels
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
        if not n or array.shape != (n, *axes) or array.dtype.kind not in kinds:
            raise ContentError(
                f"{path}: {name!r} has shape {array.shape} and type {array.dtype}, expected "
                f"{(n or 'n', *axes)} and one of the kinds {kinds!r} of NumPy."
            )
        if kinds != "U" and not ((array >= least) & (array <= greatest)).all():
            raise ContentError(
                f"{path}: {name!r} has values outside {least} to {greatest}, or none at all (NaN)."
            )


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
    path = find_local(LIDC.name, LIDC.folder)
    if path is None:
        raise DataError(
            f"{LIDC.name} is not in the folder {LIDC.folder} of MEDXFER_DATA, and nobody offers "
            f"it for download: it is cut out of LIDC-IDRI ({LIDC.url}), for example with "
            "`lidc_cohort` of medxfer_utils.data.lesions, and saved as lidc_nodules.__doc__ says. "
            "What the book found with it needs no file: "
            "medxfer_utils.results.load('lidc_transfer')."
        )
    _require_whole(LIDC, path)
    with np.load(path, allow_pickle=False) as stored:
        arrays: dict[str, Any] = {name: _array(stored, name, path) for name in _NODULES}
    _require_nodules(arrays, path)
    return Nodules(arrays["x"], arrays["mal"], arrays["diam"], arrays["pid"], sums_of(path))


def _counted(name: str, size: int) -> str:
    """Fetch what is asked for, and say how much of it there is."""
    if name == "heart":
        # `fetch` has made sure that these are the official files, in which a line is a patient.
        lines = {site: len(fetch(f).read_text("ascii").splitlines()) for site, f in HEART.items()}
        each = (f"{site}: {n} patients. Beware: {HEART[site].faults}" for site, n in lines.items())
        return "\n".join(each)
    found = medmnist(name, size)
    parts = ", ".join(f"{len(getattr(found, part).y)} in {part}" for part in PARTS)
    return f"{name} at {size} pixels: {parts}. Beware: {found.file.faults}"


def main(arguments: list[str] | None = None) -> int:
    """Fetch a data set from the command line, or list what there is."""
    parser = argparse.ArgumentParser("python -m medxfer_utils.data.files", description=main.__doc__)
    parser.add_argument("name", nargs="?", choices=[*SETS, "heart"])
    parser.add_argument("--size", type=int, default=28, help="pixels of a side of an image")
    parser.add_argument("--list", action="store_true", help="every file, its address and licence")
    asked = parser.parse_args(arguments)
    if asked.list or asked.name is None:
        print(*(f"{f.name}  {f.licence}  {f.sum}  {f.url}" for f in REGISTRY.values()), sep="\n")
        return 0
    try:
        print(_counted(asked.name, asked.size))
    except (DataError, ValueError) as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
