"""Slides for teaching from the tagged cells of each chapter: `make slides`.

The decks lie in `_build/slides`, one file a chapter beside what they share, and need no network.
They show the outputs of the chapters' last run, or those in the repository if there is none.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, FileSystemLoader
from nbconvert import SlidesExporter
from pygments.formatters import HtmlFormatter

from book.tools.chapters.run import Edition, find_lessons
from book.tools.pages import citation
from book.tools.pages.site import page_of
from book.tools.teach.decks import SlidesError, deck
from book.tools.teach.exercises import question, title
from book.tools.teach.notebooks import by_section_of, in_place_of, notes_on
from book.tools.teach.plain import Plain

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
COLOURS = {"light": "a11y-high-contrast-light", "dark": "a11y-high-contrast-dark"}


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
    files = {name: installed(*where) for name, where in INSTALLED.items()}
    files |= {name: root / "book" / "_static" / name for name in OF_THE_BOOK}
    files |= {name: TEMPLATES / name for name in ("deck.css", "deck.js")}
    for name, path in files.items():
        shutil.copyfile(path, folder / name)
    code = [
        HtmlFormatter(style=style).get_style_defs(f'html[data-theme="{theme}"] .highlight')
        for theme, style in COLOURS.items()
    ]
    (folder / "code.css").write_text("\n".join(code), "utf-8")


def imprint(root: Path) -> dict[str, str]:
    """Return what the slides say of the book: its title, authors, version and year."""
    known = citation.about(root / "CITATION.cff")
    people = " and ".join(map(citation.name, known["authors"]))
    about = {"book": known["title"], "version": known["version"], "people": people}
    return about | {"year": citation.year(known)}


def exporter() -> SlidesExporter:
    """Return nbconvert's exporter of slides, with our template and the reveal.js beside it."""
    return SlidesExporter(
        template_name="deck",
        extra_template_basedirs=[str(TEMPLATES.parent)],
        reveal_url_prefix="static",
        exclude_anchor_links=True,
    )


def write_deck(path: Path, edition: Edition, folder: Path) -> dict[str, Any]:
    """Write the deck of a lesson, and return what is said of it.

    Raises
    ------
    SlidesError
        If the notebook is no chapter.
    """
    chapter = nbformat.reads(page_of(path, edition).decode("utf-8"), as_version=4)
    plain = Plain(edition.root, beside=".html").notebook(chapter)
    try:
        slides = deck(plain, by_section_of(notes_on(path)))
    except SlidesError as problem:
        raise SlidesError(f"{path.name}: {problem}") from problem
    about = {"stem": path.stem, "number": path.stem[:2], "formulas": "$" in str(slides)}
    about |= {"title": title(chapter), "question": question(chapter), **imprint(edition.root)}
    page, _ = exporter().from_notebook_node(slides, {"about": about})
    (folder / f"{path.stem}.html").write_text(page, "utf-8")
    return about


def write_list(decks: Sequence[Mapping[str, Any]], root: Path, folder: Path) -> None:
    """Write the page that lists the decks."""
    pages = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    index = pages.get_template("list.html").render(decks=decks, **imprint(root))
    (folder / "index.html").write_text(index, "utf-8")


def build_slides(edition: Edition, place: Path) -> Path:
    """Make all decks, let them take the place of the former ones, and return their list.

    An appendix has none.

    Raises
    ------
    SlidesError
        If a notebook is no chapter. The former decks stay where they are.
    """
    with in_place_of(place) as new:
        write_shared(edition.root, new / "static")
        decks = [write_deck(path, edition, new) for path in find_lessons(edition.root)]
        write_list(decks, edition.root, new)
    return place / "index.html"
