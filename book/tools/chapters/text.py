"""What the tools know of the book's Markdown: its headings, its roles, and how works are cited."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybtex.database import Entry

FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
HEADING = re.compile(r"^(#{1,6}) +(.+?)\s*$")
ROLE = re.compile(r"(?<!`)\{([\w:]+)\}`([^`]+)`")
TEXT_AND_TARGET = re.compile(r"^(.*?)\s*<([^<>]+)>$", flags=re.DOTALL)
ADMONITION = re.compile(r"`{3,}\{\w+\} *([^\n]*)\n(?::[^\n]*\n)*(.*?)\n`{3,}", flags=re.DOTALL)
# Lines that only MyST understands: comments, and labels before a heading.
UNSEEN = re.compile(r"^(?:%.*|\([\w-]+\)=)$\n?", flags=re.MULTILINE)
RESOLVER, ARXIV = "https://doi.org/", "https://arxiv.org/abs/"


@dataclass(frozen=True)
class Heading:
    """One heading of a text: where its line begins, its level, what it says."""

    start: int
    level: int
    title: str


def headings(text: str, deepest: int = 6) -> Iterator[Heading]:
    """Yield the headings of a markdown text down to this level; blocks of code have none."""
    start, fence = 0, ""
    for line in text.splitlines(keepends=True):
        found = FENCE.match(line)
        if fence:
            if found and found[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif found:
            fence = found[1]
        elif (heading := HEADING.match(line)) and len(heading[1]) <= deepest:
            yield Heading(start, len(heading[1]), heading[2])
        start += len(line)


def split_at(text: str, starts: list[int]) -> list[str]:
    """Return the pieces of a text that begin at these places, after the piece before the first."""
    ends = [*starts, len(text)]
    return [text[a:b].strip("\n") for a, b in zip([0, *starts], ends, strict=True)]


def by_title(text: str, level: int) -> dict[str, str]:
    """Return the text under each heading of this level, by its title."""
    found = [heading for heading in headings(text, level) if heading.level == level]
    pieces = split_at(text, [heading.start for heading in found])[1:]
    return {
        heading.title: piece.partition("\n")[2].strip()
        for heading, piece in zip(found, pieces, strict=True)
    }


def bibliography(file: Path) -> Mapping[str, Entry]:
    """Return the entries of a BibTeX file, by their keys."""
    from pybtex.database import parse_file  # here, so that who wants headings need not wait

    return dict(parse_file(str(file), bib_format="bibtex").entries)


def keys_of(content: str) -> list[str]:
    """Return the keys that a role for citations names."""
    return [key.strip() for key in content.split(",")]


def authors(entry: Entry) -> str:
    """Return the names by which a text cites an entry."""
    people = entry.persons.get("author") or entry.persons.get("editor") or []
    names = [
        " ".join(str(part) for part in [*person.rich_prelast_names, *person.rich_last_names])
        for person in people
    ]
    if not names:
        return str(entry.fields.get("title", entry.key)).replace("{", "").replace("}", "")
    others = len(names) > 2 or names[-1] == "others"
    return f"{names[0]} et al." if others else " and ".join(names)


def address(entry: Entry) -> str:
    """Return where a work is found, as people write it; nothing if its entry does not say."""
    fields = entry.fields
    if "doi" in fields:
        return f"{RESOLVER}{fields['doi']}"
    if "url" in fields:
        return str(fields["url"])
    return f"{ARXIV}{fields['eprint']}" if "eprint" in fields else ""


def citation(works: Iterable[Entry], *, in_text: bool, shown: Callable[[str, Entry], str]) -> str:
    """Return works as a text cites them; `shown` makes of the words for one what stands there."""
    out = []
    for work in works:
        people, year = authors(work), work.fields.get("year", "undated")
        out.append(shown(f"{people} ({year})" if in_text else f"{people}, {year}", work))
    return " and ".join(out) if in_text else f"({'; '.join(out)})"
