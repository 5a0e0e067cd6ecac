"""What a workshop needs: `make workshop` packs a kit, `make wheels` fetches what it installs.

The kit is one file with the notebooks for students, the package, the stored results that the
chapters draw, the weights of the first lesson's network, the part of the lock that is needed, and
`start.py`. The same book gives the same bytes. The wheels are for a USB stick or a server in the
class: they come from the package index that pip is set to and must have the hashes of the lock.
They lie in `_build/workshop/wheels`; beside `start.py`, that folder makes the installation need no
network.
"""

from __future__ import annotations

import hashlib
import html
import io
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from book.tools.chapters.run import find_notebooks, load, write_whole
from book.tools.teach.exercises import question, title
from book.tools.teach.notebooks import student
from book.tools.teach.plain import Plain
from medxfer_utils import data

NAME = "medxfer-workshop"
KIT = Path(__file__).with_name("kit")
ALONE = ("CITATION.cff", "LICENSE", "LICENSE-TEXT", "pyproject.toml")
TOOLS = ("env.py", "uv.txt")
CHAPTERS = "<!-- chapters -->"
FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of the calendar that a zip file knows

ENTRY = re.compile(r"^(?=[A-Za-z0-9])", re.M)  # a package of a lock begins at the margin
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
FOR_STUDENTS = ("jupyterlab", "setuptools")  # to open the chapters, and to install the package
HEAD = "# What a student needs of the book's lock, with the same versions and hashes.\n"

PYTHONS = ("3.11", "3.12", "3.13")
# Of the Linux systems that pip names by the age of their C library.
GLIBC = [f"manylinux_2_{minor}_x86_64" for minor in range(17, 29)]
# What markers ask about, and the platforms whose wheels pip may take, TensorFlow's oldest.
MARKED = ("sys_platform", "os_name", "platform_machine")
SYSTEMS = {
    "linux": ("linux posix x86_64", [*GLIBC, "manylinux2014_x86_64", "linux_x86_64"]),
    "macos": ("darwin posix arm64", ["macosx_12_0_arm64"]),
    "windows": ("win32 nt AMD64", ["win_amd64"]),
}


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


def needed(all_pins: Sequence[Pin], roots: Iterable[str]) -> list[Pin]:
    """Return these packages, and all that they ask for, directly or not."""
    names: set[str] = {canonicalize_name(root) for root in roots}
    while more := {pin.name for pin in all_pins if pin.parents & names} - names:
        names |= more
    return [pin for pin in all_pins if pin.name in names]


def student_pins(root: Path) -> list[Pin]:
    """Return what a student needs to run the chapters of the book in `root`.

    Raises
    ------
    ValueError
        If the lock lacks something that pyproject.toml asks for.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    roots = [*(Requirement(text).name for text in project["dependencies"]), *FOR_STUDENTS]
    found = needed(pins((root / "requirements.txt").read_text("utf-8")), roots)
    if absent := {canonicalize_name(name) for name in roots} - {pin.name for pin in found}:
        raise ValueError(f"requirements.txt lacks {', '.join(sorted(absent))}: make lock")
    return found


def student_lock(root: Path) -> str:
    """Return the lock of a student: fewer packages than the book's, in the same versions."""
    return HEAD + "".join(pin.line(pin.requirement.marker) for pin in student_pins(root))


def flat(all_pins: Iterable[Pin], system: dict[str, str]) -> str:
    """Return what one system installs, without conditions; `system` is what markers ask about."""
    markers = ((pin, pin.requirement.marker) for pin in all_pins)
    return "".join(pin.line(None) for pin, one in markers if not one or one.evaluate(system))


def folder_files(folder: Path) -> Iterator[Path]:
    """Yield the files under a folder, without what Python has left there."""
    for path in sorted(folder.rglob("*")):
        inside = path.parent.relative_to(folder).parts
        if path.is_file() and not any(part.startswith((".", "__")) for part in inside):
            yield path


def start_page(root: Path) -> str:
    """Return the page that says what is here, with its list of chapters."""
    items = [
        f'<li><a href="notebooks/{path.name}">{html.escape(title(load(path)))}</a><br>'
        f"{html.escape(question(load(path)))}</li>"
        for path in find_notebooks(root)
    ]
    return (KIT / "start.html").read_text("utf-8").replace(CHAPTERS, "\n".join(items))


def contents(root: Path) -> dict[str, bytes]:
    """Return all files of the kit, as path and content.

    Raises
    ------
    ValueError
        If a chapter cannot be made for students, or the lock lacks a package.
    """
    kept = [*folder_files(root / "medxfer_utils"), *folder_files(root / "book" / "results")]
    kept += [root / name for name in ALONE] + [root / "book" / "tools" / name for name in TOOLS]
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in kept}
    plain = Plain(root)
    for notebook in find_notebooks(root):
        made = plain.notebook(student(load(notebook)))
        text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
        files[f"notebooks/{notebook.name}"] = text.encode("utf-8")
    files["requirements.txt"] = student_lock(root).encode("utf-8")
    files["start.html"] = start_page(root).encode("utf-8")
    files |= weights()
    alone = [KIT / "README.md", KIT / "start.py", *folder_files(KIT / "jupyter")]
    return files | {path.relative_to(KIT).as_posix(): path.read_bytes() for path in alone}


def weights() -> dict[str, bytes]:
    """Return the weights of the first lesson's network, checked, where the package looks for them.

    Nothing if they can be had neither here nor from their address: the lesson has a stand-in.
    """
    file = data.WEIGHTS[0]
    try:
        return {f"data/{file.folder}/{file.name}": data.imagenet_weights(file.url).read_bytes()}
    except data.DownloadError as error:
        print(f"The kit comes without weights, and lesson 01 simulates. {error}")
        return {}


def packed(files: dict[str, bytes]) -> bytes:
    """Return a zip file of these files in one folder; the same files give the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{NAME}/{name}", FIRST_DAY)
            entry.create_system = 3  # whatever this system is
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)
    return out.getvalue()


def pack(root: Path) -> str:
    """Write the kit of the book in `root` and say where it is."""
    place = root / "_build" / "workshop" / f"{NAME}.zip"
    write_whole(packed(contents(root)), place)
    return f"The workshop kit ({place.stat().st_size / 1e6:.1f} MB) is {place}"


def lists(root: Path, system: str, python: str) -> dict[str, str]:
    """Return what this system installs, by full version of Python.

    Two lists if that depends on the last digit, since the students' Pythons may differ in it.
    """
    about = dict(zip(MARKED, SYSTEMS[system][0].split(), strict=True))
    about |= {"python_version": python, "implementation_name": "cpython"}
    about["platform_python_implementation"] = "CPython"
    wanted = student_pins(root) + pins((root / "book" / "tools" / "uv.txt").read_text("utf-8"))
    full = [f"{python}.{last}" for last in (99, 0)]
    texts = {flat(wanted, about | {"python_full_version": one}): one for one in full}
    return {one: text for text, one in texts.items()}


def download(requirements: Path, system: str, python: str, folder: Path) -> None:
    """Fetch the wheels of a list that pip must not extend.

    Raises
    ------
    ValueError
        If pip fails; it has said why.
    """
    command = [sys.executable, *["-m", "pip", "--disable-pip-version-check", "download", "--quiet"]]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", str(folder)]
    command += ["--implementation", "cp", "--python-version", python]
    command += [part for tag in SYSTEMS[system][1] for part in ("--platform", tag)]
    if subprocess.run([*command, "-r", str(requirements)], check=False).returncode:
        told = "pip could not fetch everything, see above. What it fetched is kept"
        raise ValueError(f"{told}; the same command goes on.")


def fetch(root: Path, systems: Iterable[str], pythons: Sequence[str]) -> str:
    """Fetch all wheels that are asked for, and say where they are and where they belong.

    Raises
    ------
    ValueError
        If pip could not fetch all of them.
    """
    folder = root / "_build" / "workshop" / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    texts = [(root / name).read_text("utf-8") for name in ("requirements.txt", "book/tools/uv.txt")]
    for path in folder.iterdir():  # those of a former lock go
        if hashlib.sha256(path.read_bytes()).hexdigest() not in HASH.findall("".join(texts)):
            path.unlink()
    for system in systems:
        for python in pythons:
            print(f"Wheels for {system}, Python {python}", flush=True)
            for full, text in lists(root, system, python).items():
                requirements = folder.parent / f"{system}-{full}.txt"
                requirements.write_text(text, "utf-8")
                download(requirements, system, full, folder)
                requirements.unlink()
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    return f"{size:.0f} MB are in {folder}\nPut this folder beside start.py of the workshop."
