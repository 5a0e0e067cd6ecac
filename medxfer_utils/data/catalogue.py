"""What can be downloaded: official address, checksum, licence, citation and faults of each file.

The facts are in `catalogue.json`. The sums of the images are those of the `medmnist` package 3.0.2,
those of the weights are Keras's (3.15), but that of MobileNet: Keras publishes none, and it is that
of the file when it was first read here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class RemoteFile:
    """One file that can be had.

    Parameters
    ----------
    name, url : str
        Name of the file and its official address.
    sum : str
        "md5:…" or "sha256:…", of the official file.
    licence, citation, faults : str
        Terms of use, key in the book's bibliography, and what one should know before trusting it.
    folder : str
        Where it belongs in `MEDXFER_DATA` and in the cache.
    arrays : mapping of str to tuple of int
        Shape of each array that an npz file must hold.
    """

    name: str
    url: str
    sum: str
    licence: str
    citation: str
    faults: str = ""
    folder: str = "medmnist"
    arrays: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageSet:
    """One data set of MedMNIST: what is the same at each size (md5 of each; counts of each part).

    `disease` is the official code of the disease in a binary set, None in the others.
    """

    md5: Mapping[int, str]
    counts: Sequence[int]
    labels: Sequence[str]
    citation: str
    faults: str
    disease: int | None = None
    axes: str = "hw"  # of one image; "hwc" in colour, "dhw" for a volume
    licence: str = "CC BY 4.0"

    def file(self, name: str, size: int) -> RemoteFile:
        """The file of this set with images of `size` pixels."""
        file_name = f"{name}.npz" if size == 28 else f"{name}_{size}.npz"
        shape = tuple(3 if axis == "c" else size for axis in self.axes)
        arrays: dict[str, tuple[int, ...]] = {}
        for part, n in zip(PARTS, self.counts, strict=True):
            arrays |= {f"{part}_images": (n, *shape), f"{part}_labels": (n, 1)}
        url = f"https://zenodo.org/records/10519652/files/{file_name}"
        about = (self.licence, self.citation, self.faults)
        return RemoteFile(file_name, url, f"md5:{self.md5[size]}", *about, arrays=arrays)


_KNOWN: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
for _about in _KNOWN["sets"].values():
    _about["md5"] = {int(size): md5 for size, md5 in _about["md5"].items()}
SETS = {name: ImageSet(**about) for name, about in _KNOWN["sets"].items()}
WEIGHTS = tuple(RemoteFile(**about) for about in _KNOWN["weights"])
# By hospital; Zurich is Zurich and Basel. The archive publishes no sums: these are those of the
# files when they were first read here.
HEART = {hospital: RemoteFile(**about) for hospital, about in _KNOWN["heart"].items()}
# By country: tables of the R package survival, from a public archive of such tables. It publishes
# no sums, so every value that is read is checked.
BREAST = {site: RemoteFile(**about) for site, about in _KNOWN["breast"].items()}
_SETS = (about.file(name, size) for name, about in SETS.items() for size in about.md5)
REGISTRY = {file.name: file for file in (*_SETS, *WEIGHTS, *HEART.values())}
# Cut out of LIDC-IDRI [armato2011lidc] and offered nowhere: only a reader's own folder can hold it.
LIDC = RemoteFile(**_KNOWN["nodules"])
# Copies that are in use though they are not the official files, and why one may accept them.
KNOWN_COPIES: dict[str, str] = _KNOWN["known copies"]
