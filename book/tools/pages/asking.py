"""Fill what pages ask for: a line of its own on a page is replaced by what is made for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping


def line(text: str) -> re.Pattern[str]:
    """Return a pattern for a line that says just this."""
    return re.compile(f"^{re.escape(text)}$", re.M)


def answered(
    files: Mapping[str, bytes], asked: re.Pattern[str], answer: Callable[[re.Match[str]], str]
) -> dict[str, bytes]:
    """Return staged files with an answer in the place of each line that asks.

    Parameters
    ----------
    files
        What Sphinx reads, as path and content.
    asked
        The line, as a pattern.
    answer
        Called only where a page asks; it gets what was found.
    """
    out = dict(files)
    for page, content in files.items():
        if page.endswith(".md"):
            out[page] = asked.sub(answer, content.decode("utf-8")).encode("utf-8")
    return out
