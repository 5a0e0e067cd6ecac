"""Which files of real patients, and which weights, are on this machine; no chapter needs any."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medxfer_utils.data.catalogue import (
    HEART,
    KNOWN_COPIES,
    LIDC,
    REGISTRY,
    SETS,
    WEIGHTS,
    RemoteFile,
)
from medxfer_utils.data.files import DataError, cache, find_local, lidc_nodules, sums_of
from medxfer_utils.doctor.machine import Verdict

_GET = "python -m medxfer_utils.data.files"
_STORED = "no chapter reads it, for the results in {} are stored"


@dataclass(frozen=True)
class Group:
    """Files that serve one purpose.

    Parameters
    ----------
    name : str
        Of the check.
    files : sequence of RemoteFile
    without : str
        What the chapters do where the files are not.
    get : str
        How to have them.
    """

    name: str
    files: Sequence[RemoteFile]
    without: str
    get: str


def _image_set(name: str, chapters: str) -> Group:
    file = SETS[name].file(name, 28)
    return Group(name, [file], _STORED.format(chapters), f"{_GET} {name}")


GROUPS = (
    Group(
        "hospitals",
        [*HEART.values()],
        "chapter 05 fetches them, and simulates patients if it cannot",
        f"{_GET} heart",
    ),
    _image_set("pneumoniamnist", "chapter 03"),
    _image_set("breastmnist", "chapters 03 and 04"),
    Group(
        "nodules",
        [LIDC],
        _STORED.format("chapter 04"),
        "Nobody offers the file; the page about the data says how it is made.",
    ),
    Group(
        "weights",
        [WEIGHTS[0]],
        _STORED.format("chapter 03"),
        'python -c "from medxfer_utils.models.backbones import backbone; '
        "backbone('MobileNet', 32, alpha=0.25)\"",
    ),
)


def _found(file: RemoteFile) -> Path | None:
    """Return the file where the book would read it: the reader's folder, then a cache."""
    local = find_local(file.name, file.folder)
    keras = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    kept = keras / "models" if file.folder == "weights" else cache() / file.folder
    if local or file is LIDC:
        return local
    return kept / file.name if (kept / file.name).is_file() else None


def fault(file: RemoteFile, path: Path) -> str:
    """Say what is wrong with a file, by its sum; empty if it is the official one."""
    if file is LIDC:  # it has no official sum, so look at what it holds
        try:
            lidc_nodules()
        except DataError as problem:
            return str(problem)
        return ""
    if file.sum in sums_of(path):
        return ""
    return f"{path} is not the official {file.name}: its checksum is another."


def _copy(path: Path) -> str:
    """Say what is known of a file that is a known copy; empty if it is none."""
    return next((KNOWN_COPIES[total] for total in sums_of(path) if total in KNOWN_COPIES), "")


def _verdict(group: Group) -> Verdict:
    """Compare the files of a group that are here."""
    here = {file.name: (file, path) for file in group.files if (path := _found(file))}
    absent = [file.name for file in group.files if file.name not in here]
    copies = {name: text for name, (_, path) in here.items() if (text := _copy(path))}
    official = {name: found for name, found in here.items() if name not in copies}
    faults = {name: text for name, found in official.items() if (text := fault(*found))}
    facts = {"here": sorted(here.keys() - faults), "absent": absent, "wrong": sorted(faults)}
    if faults:
        todo = f"Delete it. To have the right one:\n{group.get}"
        return Verdict(group.name, "fails", " ".join(faults.values()), todo, facts)
    if absent:
        some = f"{len(absent)} of {len(group.files)} files are" if here else "not"
        return Verdict(group.name, "note", f"{some} here; {group.without}.", group.get, facts)
    if copies:
        message = f"here, a known copy. {' '.join(copies.values())}."
        todo = "It is read only where also=KNOWN_COPIES is given, as the book's own scripts do."
        return Verdict(group.name, "note", message, todo, facts)
    return Verdict(group.name, "ok", "here, as published", facts=facts)


def _tried(group: Group) -> Verdict:
    try:
        return _verdict(group)
    except OSError as problem:  # one file that cannot be read must not hide the others
        todo = "Mend the permissions of the file, or remove it."
        return Verdict(group.name, "fails", f"A file cannot be read: {problem}.", todo)


def verdicts() -> Iterator[Verdict]:
    """Check the files that the book speaks of one purpose after the other, then any others.

    Yields
    ------
    Verdict
        One for each of `GROUPS`, and one more if there are other files that the catalogue knows.
    """
    try:
        find_local("", "")
    except DataError as problem:
        yield Verdict("data", "fails", str(problem), "Correct the variable, or unset it.")
        return
    for group in GROUPS:
        yield _tried(group)
    known = {file.name for group in GROUPS for file in group.files}
    others = [f for f in REGISTRY.values() if f.name not in known and _found(f)]
    if others:
        yield _tried(Group("others", others, "", f"{_GET} --list"))
