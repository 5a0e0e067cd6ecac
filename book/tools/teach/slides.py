"""Make slides for teaching from the tagged cells of each chapter: `make slides`.

    python book/tools/env.py -m book.tools.teach.slides

The decks lie in `_build/slides`, one file a chapter beside what they share, and need no network.
They show the outputs of the chapters' last run, or those in the repository if there is none.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from book.tools.chapters.run import Edition, find_notebooks, title
from book.tools.pages import citation
from book.tools.pages.site import page_of, put_in_place, recover
from book.tools.teach.decks import Deck
from book.tools.teach.outline import OutlineError, outline
from book.tools.teach.prose import Prose
from book.tools.teach.shown import colours

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = Path(__file__).resolve().parent / "deck"
# Files of installed packages, and their names here. This MathJax never loads a further part.
INSTALLED = {
    "reveal.css": ("sphinx_revealjs", "_static/revealjs/dist/reveal.css"),
    "reveal.js": ("sphinx_revealjs", "_static/revealjs/dist/reveal.js"),
    "notes.js": ("sphinx_revealjs", "_static/revealjs/plugin/notes/notes.js"),
    "reveal-licence.txt": ("sphinx_revealjs", "_static/revealjs/LICENSE"),
    "mathjax.js": ("sphinx-mathjax-offline", "static/mathjax/tex-svg-full.js"),
}
# What the decks share with the pages of the book.
OF_THE_BOOK = ("book.css", "favicon.svg", "logo.svg")


class SlidesError(Exception):
    """The slides cannot be made; the message says why."""


def installed(package: str, inside: str) -> Path:
    """Return where an installed package keeps one of its files.

    Raises
    ------
    SlidesError
        If the package or the file is missing.
    """
    found = find_spec(package)
    path = Path(found.origin).parent / inside if found and found.origin else None
    if path is None or not path.is_file():
        raise SlidesError(f"{package} with its {inside} is not installed: run make slides")
    return path


def write_shared(root: Path, folder: Path) -> None:
    """Write what all decks share."""
    folder.mkdir(parents=True)
    for name, (package, inside) in INSTALLED.items():
        shutil.copyfile(installed(package, inside), folder / name)
    for name in OF_THE_BOOK:
        shutil.copyfile(root / "book" / "_static" / name, folder / name)
    for name in ("deck.css", "deck.js"):
        shutil.copyfile(TEMPLATES / name, folder / name)
    (folder / "code.css").write_text(colours(), "utf-8")


def imprint(root: Path) -> dict[str, Any]:
    """Return what the slides say of the book: its title, authors, version and year."""
    known = citation.about(root / "CITATION.cff")
    people = " and ".join(citation.name(author) for author in known["authors"])
    return {**known, "people": people, "year": citation.year(known)}


def write_decks(edition: Edition, folder: Path, notebooks: Iterable[Path]) -> None:
    """Write a deck for each chapter, and the page that lists them.

    Raises
    ------
    SlidesError
        If a notebook is no chapter.
    """
    root, notebooks = edition.root, list(notebooks)
    pages = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    titles = {path.stem: title(path).partition(" ")[2] for path in notebooks}
    prose = Prose(root / "book" / "references.bib", titles)
    book = imprint(root)
    listed = []
    for path in notebooks:
        try:
            chapter = outline(json.loads(page_of(path, edition)))
            groups = Deck(chapter, prose).groups()
        except OutlineError as problem:
            raise SlidesError(f"{path.name}: {problem}") from problem
        about = {
            "number": path.stem[:2],
            "title": prose.words(chapter.title),
            "question": prose.words(chapter.question),
            "file": f"{path.stem}.html",
        }
        listed.append(about)
        page = pages.get_template("deck.html").render(
            about, groups=groups, book=book, formulas='class="math"' in str(groups)
        )
        (folder / f"{path.stem}.html").write_text(page, "utf-8")
    index = pages.get_template("index.html").render(decks=listed, book=book)
    (folder / "index.html").write_text(index, "utf-8")


def build_slides(edition: Edition, place: Path) -> Path:
    """Make all decks, let them take the place of the former ones, and return their list.

    Raises
    ------
    SlidesError
        If a notebook is no chapter. The former decks stay where they are.
    """
    recover(place)
    new = place.with_name(f"{place.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    write_shared(edition.root, new / "static")
    write_decks(edition, new, find_notebooks(edition.root))
    put_in_place(new, place)
    return place / "index.html"


def main() -> int:
    """Make the slides of the book and say where they are; 1 if they cannot be made."""
    edition = Edition(ROOT)
    try:
        page = build_slides(edition, edition.folder / "slides")
    except (SlidesError, ValueError) as problem:
        print(f"\n{problem}\nThe former slides, if any, are untouched.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command begins anew.", flush=True)
        return 130
    print(f"The slides are at {page.as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
