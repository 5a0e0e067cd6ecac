"""Run the lessons that need it, build the pages, say where they are: `make book`.

python book/tools/env.py -m book.tools.build [--profile fast] [--seed N] [--only NAME] [--committed]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from book.tools.chapters.run import Edition, Failure, find_notebooks, is_current, run_chapters
from book.tools.pages.chinese import join
from book.tools.pages.site import PagesError, build_pages

ROOT = Path(__file__).resolve().parents[2]


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="build.py", description="Run the lessons that need it and build the pages."
    )
    parser.add_argument("--profile", choices=("full", "fast"), default="full")
    parser.add_argument("--seed", type=int, default=0, help="another draw; the book has seed 0")
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        help="run no other lesson (a name or its beginning, such as 02; may be repeated)",
    )
    parser.add_argument(
        "--committed", action="store_true", help="run none; show the outputs in the repository"
    )
    return parser.parse_args(arguments)


def chosen(notebooks: list[Path], only: Sequence[str] | None) -> list[Path]:
    """Return the lessons that were asked for.

    Raises
    ------
    ValueError
        If a name fits none.
    """
    for name in only or ():
        if not any(notebook.name.startswith(name) for notebook in notebooks):
            there = ", ".join(notebook.stem for notebook in notebooks) or "none"
            raise ValueError(f"No lesson is called {name!r}. There are: {there}")
    return [nb for nb in notebooks if not only or nb.name.startswith(tuple(only))]


def report(failures: Sequence[Failure]) -> None:
    """Say on the last lines which lessons failed, where and why."""
    print("\nThe pages were not built; the former ones, if any, are untouched.", file=sys.stderr)
    for failure in failures:
        print(failure, file=sys.stderr)


def build(edition: Edition, only: Sequence[str] | None = None) -> int:
    """Bring the book up to date and return the exit status: 0 or 1."""
    notebooks = find_notebooks(edition.root)
    try:
        wanted = chosen(notebooks, only)
        if failures := run_chapters(wanted, edition):
            report(failures)
            return 1
        page = build_pages(edition)
        join(edition.folder)
    except (ValueError, PagesError, OSError) as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    for notebook in notebooks:
        if notebook not in wanted and not is_current(notebook, edition):
            print(f"Not run now, so its page shows an earlier run: {notebook.stem}")
    print(f"The book is at {page.as_uri()}")
    return 0


def main(arguments: Sequence[str]) -> int:
    """Build what the command line asks for; 130 after an interruption."""
    asked = options(arguments)
    try:
        return build(Edition(ROOT, asked.profile, asked.seed, asked.committed), asked.only)
    except KeyboardInterrupt:
        print("\nInterrupted. Finished lessons are kept; the same command goes on.", flush=True)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
