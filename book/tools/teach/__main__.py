"""Make what a teacher asks for: `make student`, `teacher`, `slides`, `workshop`, `wheels`.

    python book/tools/env.py -m book.tools.teach WHAT [--platform windows …] [--python 3.12 …]

All of it is made from the chapters whenever it is asked for, and never stored in the repository.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from book.tools.chapters.run import Edition
from book.tools.teach import notebooks, slides, workshop

ROOT = Path(__file__).resolve().parents[3]
WHAT = (*notebooks.MAKERS, "slides", "workshop", "wheels")
HERE = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; wheels are by default those of this system and this Python."""
    parser = argparse.ArgumentParser(prog="teach", description="Make what a teacher asks for.")
    parser.add_argument("what", choices=WHAT)
    system = HERE.get(platform.system(), "linux")
    python = ".".join(platform.python_version_tuple()[:2])
    parser.add_argument("--platform", nargs="+", choices=workshop.SYSTEMS, default=[system])
    parser.add_argument("--python", nargs="+", choices=workshop.PYTHONS, default=[python])
    return parser.parse_args(arguments)


def make(asked: argparse.Namespace) -> str:
    """Make it and say where it is.

    Raises
    ------
    ValueError
        If it cannot be made; what was made before stays where it is.
    """
    edition = Edition(ROOT)
    if asked.what == "slides":
        page = slides.build_slides(edition, edition.folder / "slides")
        return f"The slides are at {page.as_uri()}"
    if asked.what == "workshop":
        return workshop.pack(ROOT)
    if asked.what == "wheels":
        return workshop.fetch(ROOT, asked.platform, asked.python)
    return f"The {asked.what} edition is in {notebooks.write(asked.what, edition)}"


def main(arguments: Sequence[str]) -> int:
    """Make what is asked for; 1 if that cannot be, 130 after an interruption."""
    try:
        print(make(options(arguments)))
    except ValueError as problem:
        print(f"\n{problem}\nWhat was made before, if anything, is untouched.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command begins anew.", flush=True)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
