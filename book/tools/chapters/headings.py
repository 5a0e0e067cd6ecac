"""The headings of a notebook: where its sections and its exercises begin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
HEADING = re.compile(r"^(#{1,6}) +(.+?)\s*$")


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
