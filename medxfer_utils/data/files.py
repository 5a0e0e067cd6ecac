"""Real data: where each file comes from, and how to have it with nothing lost on the way.

A file is looked for in the folder `MEDXFER_DATA`, then in the cache (`MEDXFER_CACHE`, or the
system's folder for caches), then at its official address. Wherever it was found, its checksum and
its content are checked before anything is read from it.
"""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from medxfer_utils import require
from medxfer_utils.data.catalogue import KNOWN_COPIES, REGISTRY, RemoteFile
from medxfer_utils.data.checking import refuse

with warnings.catch_warnings():
    # In a notebook, tqdm, which comes with pooch, misses widgets that nobody needs here.
    warnings.filterwarnings("ignore", message="IProgress not found")
    import pooch

pooch.get_logger().setLevel("WARNING")  # where a file comes from is told by who needs to know
# What the first 512 bytes of a file look like; a table is text.
SIGNATURES = {".npz": rb"PK\x03\x04", ".h5": rb"\x89HDF\r\n\x1a\n", ".data": rb"[ -~\r\n\t]+\Z"}
SIGNATURES[".csv"] = SIGNATURES[".data"]
# Words of errors where a reader of a hospital can do something about it, and what.
ADVICE = {
    "CERTIFICATE": "its certificate was refused: name your hospital's in REQUESTS_CA_BUNDLE",
    "ProxyError": "the proxy of HTTPS_PROXY refused, or is not there: ask for its address, and "
    "for a password if it wants one (http://name:password@host:port)",
    "InvalidProxyURL": "HTTPS_PROXY is no address such as http://host:port",
}
# To connect, and without an answer of the server. The first is short: where there is no network
# but a lesson can do without the file, nobody should have to wait.
SECONDS = (4, 30)


class DataError(Exception):
    """A data file cannot be had; the message says which, why, and what to do."""


class DownloadError(DataError):
    """The file is not here, and the network did not give it."""


class ChecksumError(DataError):
    """The file is not the official one."""


class ContentError(DataError):
    """The file is damaged, or does not hold what it should."""


def sums_of(path: Path) -> tuple[str, str]:
    """Return the md5 and the sha256 of a file, as "md5:…" and "sha256:…"."""
    md5, sha256 = (f"{kind}:{pooch.file_hash(str(path), kind)}" for kind in ("md5", "sha256"))
    return md5, sha256


def cache_folder() -> Path:
    """Return the folder where downloaded files are kept."""
    return Path(os.environ.get("MEDXFER_CACHE") or pooch.os_cache("medxfer")).expanduser()


def find_in(root: Path, name: str, folder: str) -> Path | None:
    """Return the file of that name, or a rebuilt copy, in a folder or the subfolder named."""
    rebuilt = f"{Path(name).stem}_rebuilt{Path(name).suffix}"  # somebody has put it together
    places = (place / one for one in (name, rebuilt) for place in (root / folder, root))
    return next((path for path in places if path.is_file()), None)


def find_local(name: str, folder: str) -> Path | None:
    """Return the file of that name in the reader's own folder, `MEDXFER_DATA`, if it is there.

    Raises
    ------
    DataError
        If the variable names no folder.
    """
    if not (named := os.environ.get("MEDXFER_DATA")):
        return None
    root = Path(named).expanduser()
    require(root.is_dir(), f"MEDXFER_DATA is {named!r}: there is no such folder.", DataError)
    return find_in(root, name, folder)


def find_own(file: RemoteFile, folder: Path) -> Path:
    """Return where a file is in a reader's folder; DataError if it is not there."""
    if found := find_in(folder, file.name, file.folder):
        return found
    where = f"neither in {folder} nor in its subfolder {file.folder}"
    raise DataError(f"{file.name} is {where}: put it there; the official one is {file.url}.")


def require_whole(file: RemoteFile, path: Path) -> None:
    """Raise ContentError if the file is a web page, something else, or cut off."""
    with path.open("rb") as opened:
        head = opened.read(512)
    kind = Path(file.name).suffix
    faults = {
        f"is a web page, not {file.name}": head.lstrip().startswith(b"<"),
        f"is no {kind} file": not re.match(SIGNATURES[kind], head),
        "is cut off": kind == ".npz" and not zipfile.is_zipfile(path),
    }
    refuse(ContentError, faults, f"{path} ", f". Get {file.name} from {file.url}.")


def _require_sum(file: RemoteFile, path: Path, also: Collection[str]) -> None:
    """Raise ChecksumError if the file is neither the official one nor among `also`."""
    found = sums_of(path)
    accepted = {file.sum, *({also} if isinstance(also, str) else also)}
    if not file.sum or accepted & set(found):  # of some files nobody publishes a sum
        return
    same_kind = next(known for known in found if known.startswith(file.sum.split(":")[0]))
    why = next((f" It is known: {KNOWN_COPIES[s]}." for s in found if s in KNOWN_COPIES), "")
    raise ChecksumError(
        f"{path} is not the official {file.name}: its sum is {same_kind}, the official one "
        f"{file.sum}.{why} To use it nevertheless, pass also=[{found[1]!r}]"
        f"{' or also=KNOWN_COPIES' * bool(why)}; otherwise get the file from {file.url}."
    )


def read_array(stored: Any, name: str, path: Path) -> NDArray[np.generic]:
    """Read one array of an open npz file; ContentError if it is missing, damaged or of objects."""
    missing = f"{path} has no array {name!r}, only {', '.join(stored.files)}."
    require(name in stored.files, missing, ContentError)
    try:
        return cast(NDArray[np.generic], stored[name])
    except Exception as error:  # of NumPy, zipfile or zlib
        why = "is an array of Python objects, which could run code when read, or damaged"
        raise ContentError(f"{path}: {name!r} {why} ({error}).") from error


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
            array = arrays[name] = read_array(stored, name, path)
            whole = array.dtype.kind in "iu" and name.endswith("_labels")
            right = array.shape == shape and (whole or array.dtype == np.uint8)
            found = f"shape {array.shape} and type {array.dtype}, expected {shape} and uint8."
            require(right, f"{path}: {name!r} has {found}", ContentError)
    return arrays


def verify(file: RemoteFile, path: Path, also: Collection[str] = ()) -> Path:
    """Return `path` if it is this file, whole and official (or one whose sum is in `also`).

    Raises
    ------
    ChecksumError, ContentError
        If it is not.
    """
    require_whole(file, path)
    _require_sum(file, path, also)
    if file.arrays:
        read_arrays(file, path)
    return path


def _reason(error: OSError) -> str:
    """Say in few words why a download failed."""
    answer, kind = getattr(error, "response", None), type(error).__name__
    if answer is not None:
        return f"the server answered {answer.status_code} {answer.reason}"
    if error.errno is not None or kind == "OSError":
        return str(error)  # of this machine: no space left, no permission, no file of certificates
    known = (advice for word, advice in ADVICE.items() if word in repr(error))
    return f"{next(known, 'no connection, or it broke off')}: {kind}"


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
    cached = cache_folder() / file.folder / file.name
    if cached.is_file():
        try:
            return verify(file, cached, also)
        except DataError as error:
            warnings.warn(f"Removed from the cache: {error}", stacklevel=2)
            cached.unlink()
    return _download(file, cached.parent, also)


def _download(file: RemoteFile, folder: Path, also: Collection[str]) -> Path:
    """Download into a folder; pooch keeps nothing there but what has been verified."""

    def verified(url: str, beside: str, _: object) -> None:
        pooch.HTTPDownloader(timeout=SECONDS)(url, beside, None)
        verify(file, Path(beside), also)

    try:
        return Path(pooch.retrieve(file.url, None, file.name, folder, downloader=verified))
    except OSError as error:  # what requests raises is one, too
        raise DownloadError(
            f"{file.name} is neither on this machine nor to be had from {file.url} "
            f"({_reason(error)}). If that cannot be fixed, get it elsewhere, put it into a folder "
            f"called {file.folder}, and set MEDXFER_DATA to the folder above that one."
        ) from error


def imagenet_weights(url: str) -> Path:
    """Find the ImageNet weights of a network, and check them.

    They are looked for in the reader's folder, in Keras's own cache, in the book's, and at their
    official address.

    Parameters
    ----------
    url : str
        Official address, see `models.weights_url`. Of those that are not in `WEIGHTS` nobody
        publishes a sum.

    Raises
    ------
    DownloadError, ChecksumError, ContentError
        As `fetch`.
    """
    name = url.rpartition("/")[2]
    file = REGISTRY.get(name) or RemoteFile(name, url, "", "Apache-2.0", "", folder="weights")
    kept = keras_cache() / name
    here = kept.is_file() and find_local(name, file.folder) is None
    return verify(file, kept) if here else fetch(file)


def keras_cache() -> Path:
    """Return the folder where Keras itself keeps weights."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models"
