"""What the lessons need of this Python, this machine, and the files of real patients.

Importing this module imports nothing but the standard library, and works in Pythons that are too
old for the book: it has to say so.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medxfer_utils import threads

if TYPE_CHECKING:
    from medxfer_utils.data import RemoteFile

ROOT = Path(__file__).resolve().parents[2]
OLDEST, TOO_NEW = (3, 11), (3, 14)
PACKAGE = "medxfer-utils"
KERNEL = "python3"  # what the lessons ask for
SHOWN = 5  # packages that are named
UNSET = "Correct the variable, or unset it."
# GB in main memory. The largest lesson took 1.35 when the pages were made with the full profile
# (the book's page of statistics); the rest is for the notebook's server.
MEMORY = 1.6
# GB of disk: all runs and pages take some 0.1; the files that lessons fetch are 0.03 together.
DISK, CACHE_DISK = 0.5, 0.05
GET, LARGE = "python -m medxfer_utils.data", "breastmnist --size 224"
STORED = "no lesson reads it, for what was found with it is stored"


@dataclass(frozen=True)
class Outcome:
    """What one check found.

    Parameters
    ----------
    name : str
        Of the check.
    status : {"ok", "note", "fails"}
        "note": worth knowing, but every lesson runs.
    message : str
        What was found.
    todo : str
        What to do about it; empty if nothing.
    facts : dict
        Numbers and lists behind the message, for ``--json``.
    """

    name: str
    status: str
    message: str
    todo: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def outcome(name: str, fine: bool, message: str, todo: str, **facts: Any) -> Outcome:
    """Say "ok", or "fails" and what to do."""
    if fine:
        return Outcome(name, "ok", message, facts=facts)
    return Outcome(name, "fails", f"{message}.", todo, facts)


def fixing() -> str:
    """Say what makes the packages of the Python that is running what they should be."""
    if not (ROOT / "requirements.txt").is_file():
        return f"Install {PACKAGE} again from where you had it; what it needs comes with it."
    if Path(sys.prefix).resolve() == (ROOT / ".venv").resolve():
        again = "If that changes nothing, delete the folder .venv and repeat it."
        return f"make book (without make: python book/tools/env.py)\n{again}"
    return (
        "This is not the book's own Python. To make that one in .venv and check it:\n"
        "make doctor (without make: python book/tools/env.py -m medxfer_utils)\n"
        "To fix this one instead: python -m pip install -r requirements.txt"
    )


def python() -> Outcome:
    """Check the version of Python, and that it is one of 64 bits."""
    version, bits = platform.python_version(), 64 if sys.maxsize > 2**32 else 32
    fine = OLDEST <= tuple(sys.version_info[:2]) < TOO_NEW and bits == 64
    needed = "" if fine else f", {bits} bits; the book needs 3.11 to 3.13, 64 bits"
    todo = "Install one (https://www.python.org/downloads/) and name it, for example:\n"
    todo += "make book PYTHON=python3.12"
    return outcome("python", fine, f"Python {version}{needed}", todo, version=version, bits=bits)


def _wishes(lock: Path) -> Iterator[Any]:
    """Yield what a lock asks for on this system, or, without one, the installed package itself."""
    from packaging.requirements import Requirement

    locked = lock.read_text("utf-8").splitlines() if lock.is_file() else metadata.requires(PACKAGE)
    for line in locked or []:
        if re.match(r"[A-Za-z0-9]", line):
            wish = Requirement(line.rstrip("\\ "))
            if wish.marker is None or wish.marker.evaluate({"extra": ""}):
                yield wish


def _difference(wish: Any) -> str:
    """Say how an installed package differs from what is asked for; empty if it does not."""
    try:
        version = metadata.version(wish.name)
    except metadata.PackageNotFoundError:
        return f"{wish.name} is missing"
    if wish.specifier.contains(version, prereleases=True):
        return ""
    return f"{wish.name} is {version}, not {str(wish.specifier).removeprefix('==')}"


def packages() -> Outcome:
    """Compare what is installed with the lock, or, where there is none, with what we ask for."""
    lock = ROOT / "requirements.txt"
    against = lock.name if lock.is_file() else f"what {PACKAGE} asks for (no lock is here)"
    wishes = list(_wishes(lock))
    different = [text for text in map(_difference, wishes) if text]
    more = f" and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
    message = f"all {len(wishes)} are as in {against}"
    if different:
        named = "; ".join(different[:SHOWN])
        message = f"{len(different)} of {len(wishes)} differ from {against}: {named}{more}"
    facts = {"against": lock.name if lock.is_file() else "metadata", "compared": len(wishes)}
    fine = bool(wishes) and not different
    return outcome("packages", fine, message, fixing(), **facts, different=different)


def kernel() -> Outcome:
    """Check that a lesson which is opened in Jupyter runs in this very Python."""
    if find_spec("ipykernel") is None:
        raise ModuleNotFoundError("No module named 'ipykernel'")
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    todo = f"python -m ipykernel install --sys-prefix --name {KERNEL}"
    try:
        command = KernelSpecManager().get_kernel_spec(KERNEL).argv[0]
    except NoSuchKernel:
        return outcome("kernel", False, f"Jupyter knows no kernel called {KERNEL}", todo)
    # Jupyter takes these names for the Python that it runs in itself.
    own = {"python", "python3", f"python3.{sys.version_info.minor}"}
    # Not the targets of links: the Pythons of two environments may be links to the same file.
    folders = {os.path.normcase(Path(p).absolute().parent) for p in (command, sys.executable)}
    fine = command in own or len(folders) == 1
    where = "this Python" if fine else f"another Python, {command}"
    return outcome("kernel", fine, f"Jupyter opens the lessons in {where}", todo)


def memory() -> Outcome:
    """Check that there is as much free memory as the largest lesson took."""
    import psutil

    now = psutil.virtual_memory()
    total, free = round(now.total / 1e9, 1), round(now.available / 1e9, 1)
    needs = f"the largest lesson needs {MEMORY} (measured when the pages were made)"
    todo = "Close other programs and notebooks, a browser with many pages first."
    facts = {"total_gb": total, "free_gb": free, "needed_gb": MEMORY}
    fine = now.available / 1e9 >= MEMORY
    return outcome("memory", fine, f"{total} GB, {free} free; {needs}", todo, **facts)


def _cache() -> tuple[Path, Path]:
    """Where downloads are kept, and the nearest place above it that is there."""
    from medxfer_utils.data import cache_folder

    folder = cache_folder()
    return folder, next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())


def disk() -> Outcome:
    """Check the free space where the book is and where downloads are kept."""
    book, kept = (shutil.disk_usage(where).free / 1e9 for where in (ROOT, _cache()[1]))
    message = f"{book:.1f} GB free for the book, which needs {DISK}; "
    message += f"{kept:.1f} for downloads, which need {CACHE_DISK}"
    todo = "Make room; to keep downloads elsewhere, set MEDXFER_CACHE to a folder there."
    facts = {"book_free_gb": round(book, 1), "cache_free_gb": round(kept, 1)}
    return outcome("disk", book >= DISK and kept >= CACHE_DISK, message, todo, **facts)


def cache() -> Outcome:
    """Check that a file can be written where downloads are kept; none is left there."""
    folder, there = _cache()
    message, todo = f"downloads are kept in {folder}", "Set MEDXFER_CACHE to a folder of your own."
    try:
        with tempfile.TemporaryFile(dir=there) as tried:
            tried.write(b"medxfer")
    except OSError as problem:
        why = problem.strerror or type(problem).__name__
        return outcome("cache", False, f"Nothing can be written ({why}): {message}", todo)
    return outcome("cache", True, message, todo)


def processors() -> Outcome:
    """Compare the threads that the book uses with the cores that there are."""
    try:
        used, cores = threads(), os.cpu_count() or 1
    except ValueError as problem:
        return outcome("threads", False, str(problem), UNSET)
    facts, message = {"used": used, "cores": cores}, f"{used} used, {cores} logical cores"
    if used <= cores:
        return outcome("threads", True, message, "", **facts)
    todo = f"For speed, set MEDXFER_THREADS to {cores}; the last digits may then differ."
    return Outcome("threads", "note", message, todo, facts)


def _groups() -> Iterator[tuple[str, Sequence[RemoteFile], str, str]]:
    """Yield kinds of files: name, files, what the lessons do without, and how to have them."""
    from medxfer_utils.data import HEART, LIDC, SETS, WEIGHTS

    without = "the lesson on four hospitals fetches them, and simulates patients if it cannot"
    yield "hospitals", [*HEART.values()], without, f"{GET} heart"
    first = "the lesson on a first transfer fetches it, and simulates patients if it cannot"
    yield "ultrasound", [SETS["breastmnist"].file("breastmnist", 224)], first, f"{GET} {LARGE}"
    for name in ("pneumoniamnist", "breastmnist"):
        yield name, [SETS[name].file(name, 28)], STORED, f"{GET} {name}"
    get = "Nobody offers the file; the page about the data says how it is made."
    yield "nodules", [LIDC], STORED, get
    yield "weights", [WEIGHTS[0]], first, f"{GET} weights"


def _found(file: RemoteFile) -> Path | None:
    """Return the file where the book would read it: the reader's folder, then a cache."""
    from medxfer_utils.data import cache_folder, find_local, keras_cache

    kept = cache_folder() / file.folder / file.name
    if file.folder == "weights" and not kept.is_file():
        kept = keras_cache() / file.name
    return find_local(file.name, file.folder) or (kept if file.sum and kept.is_file() else None)


def _defect(file: RemoteFile, path: Path) -> str:
    """Say what is wrong with a file; empty if nothing is."""
    from medxfer_utils.data import KNOWN_COPIES, LIDC, DataError, lidc_nodules, verify

    try:  # the nodules have no official sum, so look at what they hold
        lidc_nodules() if file is LIDC else verify(file, path, KNOWN_COPIES)
    except DataError as problem:
        return str(problem)
    except OSError as problem:  # one file that cannot be read must not hide the others
        return f"{path} cannot be read: {problem}."
    return ""


def _kind(name: str, files: Sequence[RemoteFile], without: str, get: str) -> Outcome:
    """Compare the files of one kind that are here."""
    here = {file.name: (file, path) for file in files if (path := _found(file))}
    absent = [file.name for file in files if file.name not in here]
    defects = {key: text for key, found in here.items() if (text := _defect(*found))}
    facts = {"here": sorted(here.keys() - defects), "absent": absent, "wrong": sorted(defects)}
    if defects:
        todo = f"Delete it. To have the right one:\n{get}"
        return Outcome(name, "fails", " ".join(defects.values()), todo, facts)
    if absent:
        some = f"{len(absent)} of {len(files)} files are" if here else "not"
        return Outcome(name, "note", f"{some} here; {without}.", get, facts)
    return Outcome(name, "ok", "here, as published or a known copy", facts=facts)


def files() -> Iterator[Outcome]:
    """Check the files that the book speaks of, one purpose after the other, then any others.

    Yields
    ------
    Outcome
        One for each kind, and one more if there are other files that the catalogue knows.
    """
    from medxfer_utils.data import REGISTRY, DataError, find_local

    try:
        find_local("", "")
    except DataError as problem:
        yield Outcome("data", "fails", str(problem), UNSET)
        return
    groups = list(_groups())
    yield from (_kind(*group) for group in groups)
    known = {file.name for _, inside, *_ in groups for file in inside}
    others = [f for f in REGISTRY.values() if f.name not in known and _found(f)]
    if others:
        yield _kind("others", others, "", f"{GET} --list")
