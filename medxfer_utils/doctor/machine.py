"""Whether this machine has the memory, the disk and the threads that the chapters need."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medxfer_utils import threads

ROOT = Path(__file__).resolve().parents[2]
# GB in main memory. Chapter 03, the largest, took 1.35 when the pages were made with the full
# profile (the book's page of statistics); the rest is for the notebook's server.
MEMORY = 1.6
# GB of disk: all runs and pages take some 0.1; the files that chapter 05 fetches are tiny.
DISK, CACHE_DISK = 0.5, 0.05


@dataclass(frozen=True)
class Verdict:
    """What one check found.

    Parameters
    ----------
    name : str
        Of the check.
    status : {"ok", "note", "fails"}
        "note": worth knowing, but every chapter runs.
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


def memory() -> Verdict:
    """Check that there is as much free memory as the largest chapter took."""
    import psutil

    now = psutil.virtual_memory()
    total, free = now.total / 1e9, now.available / 1e9
    facts = {"total_gb": round(total, 1), "free_gb": round(free, 1), "needed_gb": MEMORY}
    message = (
        f"{total:.1f} GB, {free:.1f} free; the largest chapter needs {MEMORY} "
        "(measured when the pages were made)"
    )
    if free >= MEMORY:
        return Verdict("memory", "ok", message, facts=facts)
    todo = "Close other programs and notebooks, a browser with many pages first."
    return Verdict("memory", "fails", f"{message}.", todo, facts)


def _nearest(path: Path, there: Callable[[Path], bool]) -> Path:
    """Return the path, or the nearest one above it, that is there."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if there(p))


def cache_folder() -> Path:
    """Return where downloads are kept."""
    from medxfer_utils.data.files import cache

    return cache()


def disk() -> Verdict:
    """Check the free space where the book is and where downloads are kept."""
    places = {"book": (ROOT, DISK), "cache": (_nearest(cache_folder(), Path.is_dir), CACHE_DISK)}
    free = {name: shutil.disk_usage(where).free / 1e9 for name, (where, _) in places.items()}
    facts = {f"{name}_free_gb": round(gb, 1) for name, gb in free.items()}
    message = f"{free['book']:.1f} GB free for the book, {free['cache']:.1f} for downloads"
    if full := [name for name, (_, least) in places.items() if free[name] < least]:
        needs = " and ".join(f"the {name} needs {places[name][1]} GB" for name in full)
        todo = "Make room; to keep downloads elsewhere, set MEDXFER_CACHE to a folder there."
        return Verdict("disk", "fails", f"{message}, but {needs}.", todo, facts)
    return Verdict("disk", "ok", message, facts=facts)


def cache() -> Verdict:
    """Check that a file can be written where downloads are kept; none is left there."""
    folder = cache_folder()
    try:
        with tempfile.TemporaryFile(dir=_nearest(folder, Path.exists)) as tried:
            tried.write(b"medxfer")
    except OSError as problem:
        why = problem.strerror or type(problem).__name__
        todo = "Set MEDXFER_CACHE to a folder of your own."
        message = f"Nothing can be written to {folder}, where downloads are kept ({why})."
        return Verdict("cache", "fails", message, todo)
    return Verdict("cache", "ok", f"downloads are kept in {folder}")


def processors() -> Verdict:
    """Compare the threads that the book uses with the cores that there are."""
    try:
        used, cores = threads(), os.cpu_count() or 1
    except ValueError as problem:
        return Verdict("threads", "fails", f"{problem}.", "Correct the variable, or unset it.")
    facts = {"used": used, "cores": cores}
    message = f"{used} used, {cores} logical cores"
    if used <= cores:
        return Verdict("threads", "ok", message, facts=facts)
    todo = f"For speed, set MEDXFER_THREADS to {cores}; the last digits may then differ."
    return Verdict("threads", "note", message, todo, facts)
