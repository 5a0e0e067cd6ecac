"""How to cite the book: read from `CITATION.cff`, for the pages and the slides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

NEEDED = ("title", "authors", "version", "date-released")


def about(file: Path) -> dict[str, Any]:
    """Read a citation file.

    Raises
    ------
    ValueError
        If it is no YAML, or lacks something that a citation needs.
    """
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
    fields = {"author": " and ".join(braced), "title": known["title"], "version": known["version"]}
    fields["year"] = year(known)
    said = f"> {'; '.join(names)} ({year(known)}). *{known['title']}* (version {known['version']})."
    if address := known.get("repository-code"):  # `make address` writes it, once there is one
        fields["url"] = address
        said += f" <{address}>"
    entry = ",\n".join(f"  {field:<7} = {{{value}}}" for field, value in fields.items())
    return f"{said}\n\n```bibtex\n@software{{medxfer{year(known)},\n{entry}\n}}\n```"
