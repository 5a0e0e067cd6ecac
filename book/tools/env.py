"""Make the environment of the book in `.venv`, then run a command with its Python.

    python book/tools/env.py                         make it, or do nothing if it is up to date
    python book/tools/env.py -m book.tools.build     … and then run this script
    python book/tools/env.py -m jupyterlab           … and then run this module

It uses nothing but the standard library and starts under any Python 3.11 or newer. Everything
that is installed has a hash: uv in `uv.txt` beside this file, all the rest in `requirements.txt`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OLDEST, TOO_NEW = (3, 11), (3, 14)
TOOLS = Path(__file__).resolve().parent
STAMP = "book-environment.sha256"


class SetupError(Exception):
    """The environment cannot be made; the message says why and what to do."""


def supported(version: tuple[int, ...]) -> bool:
    """Tell whether TensorFlow and the lock support this version of Python."""
    return OLDEST <= version[:2] < TOO_NEW


def version_of(python: str | Path) -> tuple[int, ...]:
    """Return the version of an interpreter, `()` if it does not start."""
    ask = "import sys; print(*sys.version_info[:2])"
    try:
        said = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=True)
        return tuple(int(part) for part in said.stdout.split())
    except (OSError, subprocess.CalledProcessError, ValueError):
        return ()


def find_python() -> tuple[str, tuple[int, ...]]:
    """Return this Python if it is supported, else another one from PATH, and its version.

    Raises
    ------
    SetupError
        If there is no supported Python.
    """
    if supported(sys.version_info[:2]):
        return sys.executable, sys.version_info[:2]
    for minor in range(OLDEST[1], TOO_NEW[1]):
        found = shutil.which(f"python3.{minor}")
        # A name on PATH may be a shim with nothing behind it, so ask it.
        if found and supported(version := version_of(found)):
            return found, version
    here = ".".join(str(part) for part in sys.version_info[:2])
    raise SetupError(
        f"This book needs Python 3.11, 3.12 or 3.13; this is Python {here}, and no "
        "python3.11, python3.12 or python3.13 is on PATH.\n"
        "Install one (https://www.python.org/downloads/) and call it by name, "
        "for example: make book PYTHON=python3.12"
    )


def venv_python(root: Path) -> Path:
    """Return where the Python of the environment is, whether or not it exists."""
    windows = os.name == "nt"
    return root / ".venv" / ("Scripts" if windows else "bin") / f"python{'.exe' if windows else ''}"


def wanted_stamp(root: Path, version: tuple[int, ...]) -> str:
    """Return the digest of all that decides what the environment contains."""
    digest = hashlib.sha256(repr((str(root), *version)).encode())
    for path in (root / "requirements.txt", root / "pyproject.toml", TOOLS / "uv.txt"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current(root: Path, stamp: str) -> bool:
    """Tell whether a finished environment with this stamp is there."""
    try:
        return (root / ".venv" / STAMP).read_text() == stamp and venv_python(root).exists()
    except OSError:
        return False


def call(what: str, *command: object) -> None:
    """Run one step of the installation.

    Raises
    ------
    SetupError
        If the step fails; its own messages have been printed.
    """
    try:
        subprocess.run([str(part) for part in command], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(
            f"The environment is not finished: {what} failed ({error}).\n"
            "The messages above say why. The first installation needs the network; "
            "once the reason is gone, run the same command again."
        ) from error


def make_venv(root: Path, python: str, version: tuple[int, ...]) -> None:
    """Create an empty `.venv`, unless one with this Python is there already."""
    if version_of(venv_python(root)) == version:
        return
    if Path(sys.prefix).resolve() == (root / ".venv").resolve():
        raise SetupError(
            "This is the Python of .venv itself, and .venv must be made anew: "
            "leave it (deactivate) and run the same command again."
        )
    what = "making .venv (on Debian and Ubuntu it needs the package python3-venv)"
    call(what, python, "-m", "venv", "--clear", root / ".venv")


def install(root: Path) -> None:
    """Install uv, then the locked packages, then the book's own package."""
    python = venv_python(root)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    call("installing uv", *pip, "--require-hashes", "-r", TOOLS / "uv.txt")
    uv = [python, "-m", "uv", "pip"]
    locked = ["--require-hashes", "--compile-bytecode", root / "requirements.txt"]
    call("installing the packages", *uv, "sync", "--python", python, *locked)
    # The locked setuptools builds it, so nothing without a hash is fetched here.
    own = ["--no-deps", "--no-build-isolation", "-e", root]
    call("installing medxfer_utils", *uv, "install", "--python", python, *own)


def ensure(root: Path) -> None:
    """Make the environment under `root`, or return at once if it is up to date.

    Raises
    ------
    SetupError
        If it cannot be made.
    """
    python, version = find_python()
    stamp = wanted_stamp(root, version)
    if is_current(root, stamp):
        return
    print("Making the environment in .venv (once; up to 3 GB on disk)", flush=True)
    make_venv(root, python, version)
    mark = root / ".venv" / STAMP
    mark.unlink(missing_ok=True)
    install(root)
    # Written last: an interrupted installation has no stamp and is repeated.
    beside = mark.with_suffix(".new")
    beside.write_text(stamp)
    beside.replace(mark)


def run(root: Path, arguments: list[str]) -> int:
    """Run the environment's Python with these arguments and return its exit status."""
    python = str(venv_python(root))
    if os.name != "nt":  # Windows has no exec that keeps the console
        os.execv(python, [python, *arguments])
    try:
        return subprocess.run([python, *arguments], check=False).returncode
    except KeyboardInterrupt:
        return 130


def main(arguments: list[str]) -> int:
    """Make the environment, then run `arguments` with its Python, if there are any."""
    try:
        ensure(ROOT)
    except SetupError as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from here.", file=sys.stderr)
        return 130
    return run(ROOT, arguments) if arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
