"""Fetch what a workshop installs, for a USB stick or a server in the class: `make wheels`.

    python book/tools/env.py -m book.tools.teach.wheels [--platform windows …] [--python 3.12 …]

The files come from the package index that pip is set to and must have the hashes of the lock. They
lie in `_build/workshop/wheels`; beside `start.py`, that folder makes the installation need no
network.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from book.tools.teach.locked import HASH, flat, pins, student_pins

ROOT = Path(__file__).resolve().parents[3]
PYTHONS = ("3.11", "3.12", "3.13")
# Of the Linux systems that pip names by the age of their C library.
GLIBC = [f"manylinux_2_{minor}_x86_64" for minor in range(17, 29)]
# What markers ask about, and the platforms whose wheels pip may take, TensorFlow's oldest.
SYSTEMS: dict[str, tuple[dict[str, str], list[str]]] = {
    "linux": (
        {"sys_platform": "linux", "os_name": "posix", "platform_machine": "x86_64"},
        [*GLIBC, "manylinux2014_x86_64", "linux_x86_64"],
    ),
    "macos": (
        {"sys_platform": "darwin", "os_name": "posix", "platform_machine": "arm64"},
        ["macosx_12_0_arm64"],
    ),
    "windows": (
        {"sys_platform": "win32", "os_name": "nt", "platform_machine": "AMD64"},
        ["win_amd64"],
    ),
}
ALIASES = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; without arguments it means this system and this Python."""
    parser = argparse.ArgumentParser(
        prog="wheels.py", description="Fetch what a workshop installs."
    )
    here = ALIASES.get(platform.system(), "linux")
    parser.add_argument("--platform", nargs="+", choices=SYSTEMS, default=[here])
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    parser.add_argument("--python", nargs="+", choices=PYTHONS, default=[version])
    return parser.parse_args(arguments)


def lists(root: Path, system: str, python: str) -> dict[str, str]:
    """Return what this system installs, by full version of Python.

    Two lists if that depends on the last digit, since the students' Pythons may differ in it.
    """
    about = {
        **SYSTEMS[system][0],
        "python_version": python,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    needed = student_pins(root) + pins((root / "book" / "tools" / "uv.txt").read_text("utf-8"))
    full = [f"{python}.{last}" for last in (99, 0)]
    texts = {flat(needed, about | {"python_full_version": one}): one for one in full}
    return {one: text for text, one in texts.items()}


def download(requirements: Path, system: str, python: str, folder: Path) -> None:
    """Fetch the wheels of a list that pip must not extend.

    Raises
    ------
    subprocess.CalledProcessError
        If pip fails; it has said why.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", str(folder)]
    command += ["--implementation", "cp", "--python-version", python]
    command += [part for tag in SYSTEMS[system][1] for part in ("--platform", tag)]
    subprocess.run([*command, "-r", str(requirements)], check=True)


def remove_others(folder: Path, wanted: set[str]) -> None:
    """Remove files of a former lock."""
    for path in folder.iterdir():
        if hashlib.sha256(path.read_bytes()).hexdigest() not in wanted:
            path.unlink()


def fetch(root: Path, asked: Any) -> Path:
    """Fetch all that was asked for and return the folder."""
    folder = root / "_build" / "workshop" / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    texts = [(root / name).read_text("utf-8") for name in ("requirements.txt", "book/tools/uv.txt")]
    remove_others(folder, set(HASH.findall("".join(texts))))
    for system in asked.platform:
        for python in asked.python:
            print(f"Wheels for {system}, Python {python}", flush=True)
            for full, text in lists(root, system, python).items():
                requirements = folder.parent / f"{system}-{full}.txt"
                requirements.write_text(text, "utf-8")
                download(requirements, system, full, folder)
                requirements.unlink()
    return folder


def main(arguments: Sequence[str]) -> int:
    """Fetch the wheels and say where they are and where they belong."""
    try:
        folder = fetch(ROOT, options(arguments))
    except subprocess.CalledProcessError as error:
        print(f"pip could not fetch everything (status {error.returncode}), see above.\n"
              "What it fetched is kept; the same command goes on.", file=sys.stderr)  # fmt: skip
        return 1
    except KeyboardInterrupt:
        return 130
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    print(f"{size:.0f} MB are in {folder}\nPut this folder beside start.py of the workshop.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
