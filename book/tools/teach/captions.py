"""Which words of a chapter stand on a slide, and in which size of type."""

from __future__ import annotations

import re
from collections.abc import Sequence

from book.tools.teach.prose import sentences

LONGEST_CAPTION, LONGEST_QUESTION = 130, 190
FEW_WORDS = 9
# How many letters of text fit on a slide in each size of type, and how many a new line costs.
SIZES = {400: "short", 680: "medium", 1050: "long"}
LINE = 40
# A sentence that points elsewhere on the page says nothing on a slide.
POINTS_AWAY = re.compile(r"\b(the table|above|below)\b")
# One that begins so needs the sentence before it.
LEANS = re.compile(r"(They|It|That|This|These|Those|So)\b")


def size(*texts: str) -> str:
    """Return the class of a slide of text, by its length."""
    letters = sum(len(text) + LINE for text in texts)
    return next((name for most, name in SIZES.items() if letters <= most), "longest")


def short(found: Sequence[str], most: int = LONGEST_CAPTION) -> str:
    """Return the first of these sentences if it is short enough, else nothing."""
    return found[0] if found and len(found[0]) <= most else ""


def caption(found: Sequence[str]) -> str:
    """Return the first of these sentences if it can stand beside what a cell shows."""
    return "" if found and POINTS_AWAY.search(found[0]) else short(found)


def lead(paragraph: Sequence[str]) -> str:
    """Return the last of these sentences if it can stand before what it leads to."""
    return "" if paragraph and LEANS.match(paragraph[-1]) else caption(paragraph[-1:])


def opening_line(said: Sequence[str]) -> str:
    """Return what opens a section: its first question, else its first sentence, if short."""
    asked = next((i for i, sentence in enumerate(said) if sentence.rstrip("*").endswith("?")), None)
    if asked is not None:
        # A question of a few words leans on the sentence before it.
        first = asked - (asked > 0 and len(said[asked].split()) < FEW_WORDS)
        if question := short([" ".join(said[first : asked + 1])], LONGEST_QUESTION):
            return question
    line = short(said, LONGEST_QUESTION)
    return f"{line[:-1]}." if line.endswith(":") else line


def gist(point: str, most: int = 0) -> str:
    """Return the beginning of a point: its first sentence, or as many as have `most` letters.

    Mere bold words count as no sentence.
    """
    told, *others = sentences(point) or [""]
    while others and (told.endswith("**") or len(told) + len(others[0]) < most):
        told = f"{told} {others.pop(0)}"
    return told
