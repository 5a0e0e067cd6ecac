"""Read the lock: which of its packages a student needs, and which of them one system installs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ENTRY = re.compile(r"^(?=[A-Za-z0-9])", re.M)  # a package begins at the margin
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
FOR_STUDENTS = ("jupyterlab", "setuptools")  # to open the chapters, and to install the package
HEAD = "# What a student needs of the book's lock, with the same versions and hashes.\n"


@dataclass(frozen=True)
class Pin:
    """One package of a lock: its requirement, its lines with hashes, and who asked for it."""

    requirement: Requirement
    hashes: tuple[str, ...]
    parents: frozenset[str]

    @property
    def name(self) -> str:
        """The package's name, spelled in one way."""
        return canonicalize_name(self.requirement.name)

    def line(self, marker: Marker | None) -> str:
        """Return it as an entry of a requirements file, with this marker."""
        condition = f" ; {marker}" if marker else ""
        first = f"{self.requirement.name}{self.requirement.specifier}{condition}"
        return " \\\n".join([first, *(f"    --hash=sha256:{one}" for one in self.hashes)]) + "\n"


def pins(lock: str) -> list[Pin]:
    """Return the packages of a lock that uv has written, with its remarks on who asked for them."""
    found = []
    for text in ENTRY.split(lock)[1:]:
        requirement = Requirement(text.splitlines()[0].rstrip("\\ "))
        parents = re.findall(r"^ +#(?: via)? +([A-Za-z0-9][\w.-]*)", text, flags=re.M)
        names = frozenset(canonicalize_name(parent) for parent in parents)
        found.append(Pin(requirement, tuple(HASH.findall(text)), names))
    return found


def needed(all_pins: Iterable[Pin], roots: Iterable[str]) -> Iterator[Pin]:
    """Yield these packages, and all that they ask for, directly or not."""
    all_pins = list(all_pins)
    names: set[str] = {canonicalize_name(root) for root in roots}
    while more := {pin.name for pin in all_pins if pin.parents & names} - names:
        names |= more
    yield from (pin for pin in all_pins if pin.name in names)


def student_pins(root: Path) -> list[Pin]:
    """Return what a student needs to run the chapters of the book in `root`.

    Raises
    ------
    ValueError
        If the lock lacks something that pyproject.toml asks for.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    roots = [*(Requirement(text).name for text in project["dependencies"]), *FOR_STUDENTS]
    found = list(needed(pins((root / "requirements.txt").read_text("utf-8")), roots))
    if absent := {canonicalize_name(name) for name in roots} - {pin.name for pin in found}:
        raise ValueError(f"requirements.txt lacks {', '.join(sorted(absent))}: make lock")
    return found


def student_lock(root: Path) -> str:
    """Return the lock of a student: fewer packages than the book's, in the same versions."""
    return HEAD + "".join(pin.line(pin.requirement.marker) for pin in student_pins(root))


def flat(all_pins: Iterable[Pin], system: dict[str, str]) -> str:
    """Return what one system installs, without conditions; `system` is what markers ask about."""
    marked = ((pin, pin.requirement.marker) for pin in all_pins)
    return "".join(
        pin.line(None) for pin, marker in marked if not marker or marker.evaluate(system)
    )
