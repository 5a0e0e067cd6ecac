"""Whether this Python has the version, the packages and the kernel that the chapters need.

Importing this module imports nothing but the standard library, and works in Pythons that are too
old for the book: it has to say so.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from medxfer_utils.doctor.machine import ROOT, Verdict

OLDEST, TOO_NEW = (3, 11), (3, 14)
SHOWN = 5  # packages that are named
PACKAGE = "medxfer-utils"
KERNEL = "python3"  # what the chapters ask for


def mending() -> str:
    """Say what makes the packages of the Python that is running what they should be."""
    if not (ROOT / "requirements.txt").is_file():
        return f"Install {PACKAGE} again from where you had it; what it needs comes with it."
    if Path(sys.prefix).resolve() == (ROOT / ".venv").resolve():
        return (
            "make book (without make: python book/tools/env.py)\n"
            "If that changes nothing, delete the folder .venv and repeat it."
        )
    return (
        "This is not the book's own Python. To make that one in .venv and check it:\n"
        "make doctor (without make: python book/tools/env.py -m medxfer_utils)\n"
        "To mend this one instead: python -m pip install -r requirements.txt"
    )


def python() -> Verdict:
    """Check the version of Python, and that it is one of 64 bits."""
    version = platform.python_version()
    facts = {"version": version, "bits": 64 if sys.maxsize > 2**32 else 32}
    if OLDEST <= tuple(sys.version_info[:2]) < TOO_NEW and facts["bits"] == 64:
        return Verdict("python", "ok", f"Python {version}", facts=facts)
    return Verdict(
        "python",
        "fails",
        f"This is Python {version}, {facts['bits']} bits; the book needs 3.11 to 3.13, 64 bits.",
        "Install one (https://www.python.org/downloads/) and name it, for example:\n"
        "make book PYTHON=python3.12",
        facts,
    )


def _pins(lock: Path) -> Iterator[Any]:
    """Yield the requirements in a lock that hold on this system."""
    from packaging.requirements import Requirement

    for line in lock.read_text("utf-8").splitlines():
        if re.match(r"[A-Za-z0-9]", line):
            pin = Requirement(line.rstrip("\\ "))
            if pin.marker is None or pin.marker.evaluate():
                yield pin


def _own_requirements() -> Iterator[Any]:
    """Yield what the installed package asks for, without its extras."""
    from packaging.requirements import Requirement

    for text in metadata.requires(PACKAGE) or []:
        wish = Requirement(text)
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


def packages() -> Verdict:
    """Compare what is installed with the lock, or, where there is none, with what we ask for."""
    lock = ROOT / "requirements.txt"
    against = "requirements.txt" if lock.is_file() else f"what {PACKAGE} asks for (no lock is here)"
    wishes = list(_pins(lock) if lock.is_file() else _own_requirements())
    different = [text for text in map(_difference, wishes) if text]
    facts: dict[str, Any] = {"against": lock.name if lock.is_file() else "metadata"}
    facts |= {"compared": len(wishes), "different": different}
    if not wishes:
        return Verdict("packages", "fails", f"Nothing is listed in {against}.", mending(), facts)
    if not different:
        message = f"all {len(wishes)} are as in {against}"
        return Verdict("packages", "ok", message, facts=facts)
    more = f" and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
    message = (
        f"{len(different)} of {len(wishes)} differ from {against}: "
        f"{'; '.join(different[:SHOWN])}{more}."
    )
    return Verdict("packages", "fails", message, mending(), facts)


def kernel() -> Verdict:
    """Check that a chapter which is opened in Jupyter runs in this very Python."""
    if find_spec("ipykernel") is None:
        raise ModuleNotFoundError("No module named 'ipykernel'")
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    todo = f"python -m ipykernel install --sys-prefix --name {KERNEL}"
    try:
        command = KernelSpecManager().get_kernel_spec(KERNEL).argv[0]
    except NoSuchKernel:
        return Verdict("kernel", "fails", f"Jupyter knows no kernel called {KERNEL}.", todo)
    # Jupyter takes these names for the Python that it runs in itself.
    own = {"python", "python3", f"python3.{sys.version_info.minor}"}
    # Not the targets of links: the Pythons of two environments may be links to the same file.
    folders = (os.path.normcase(Path(p).absolute().parent) for p in (command, sys.executable))
    if command in own or len(set(folders)) == 1:
        return Verdict("kernel", "ok", "Jupyter opens the chapters in this Python")
    message = f"Jupyter would open the chapters in another Python, {command}."
    return Verdict("kernel", "fails", message, todo)
