"""How to cite the book: written from `CITATION.cff`, on the page that asks for it.

A page asks with a line of its own, `% citation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from book.tools.pages.asking import answered, line

ASKED = "% citation"
NEEDED = ("title", "authors", "version", "date-released")


def about(file: Path) -> dict[str, Any]:
    """Read a citation file.

    Raises
    ------
    ValueError
        If it is no YAML, or lacks something that a citation needs.
    """
    import yaml  # here, so that a build with nothing to do does not wait for it

    try:
        known = yaml.safe_load(file.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{file.name} cannot be read: {error}") from error
    missing = [name for name in NEEDED if not isinstance(known, dict) or not known.get(name)]
    if missing:
        raise ValueError(f"{file.name} does not say: {', '.join(missing)}. Add it.")
    return dict(known)


def name(author: Mapping[str, str]) -> str:
    """Return an author as CITATION.cff knows them: a group, or a person by both names."""
    return author.get("name") or f"{author['family-names']}, {author['given-names']}"


def year(known: Mapping[str, Any]) -> str:
    """Return the year of a release."""
    return str(known["date-released"])[:4]


def citation(known: Mapping[str, Any]) -> str:
    """Return a sentence and a BibTeX entry, in Markdown."""
    names = [name(author) for author in known["authors"]]
    # Braces keep a group from being read as a person with a first name.
    braced = [
        f"{{{one}}}" if "name" in author else one
        for one, author in zip(names, known["authors"], strict=True)
    ]
    released = year(known)
    title, version = known["title"], known["version"]
    # `make address` writes it, once there is one.
    address = known.get("repository-code", "")
    return "\n".join(
        [
            f"> {'; '.join(names)} ({released}). *{title}* (version {version})."
            + (f" <{address}>" if address else ""),
            "",
            "```bibtex",
            f"@software{{medxfer{released},",
            f"  author  = {{{' and '.join(braced)}}},",
            f"  title   = {{{title}}},",
            f"  version = {{{version}}},",
            f"  year    = {{{released}}}" + (f",\n  url     = {{{address}}}" if address else ""),
            "}",
            "```",
        ]
    )


def with_citation(files: Mapping[str, bytes], root: Path) -> dict[str, bytes]:
    """Return staged files with the citation on the pages that ask for it."""
    return answered(files, line(ASKED), lambda _: citation(about(root / "CITATION.cff")))
