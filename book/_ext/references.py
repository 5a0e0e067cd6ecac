"""Let each docstring number its references from 1, although many stand on one page.

In numpydoc style every function has a `[1]_` of its own. On one page these would be the same
footnote, so here they become plain text: "[1]" in the sentence, a numbered list at the end.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

ENTRY = re.compile(r"^(?P<indent>\s*)\.\. \[(?P<number>\d+)\]\s*(?P<text>.*)$")


def plain_references(lines: list[str]) -> list[str]:
    """Return the lines of a docstring without footnotes."""
    plain: list[str] = []
    entry: re.Match[str] | None = None
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if entry and line.strip() and indent > len(entry["indent"]):
            plain[-1] += f" {line.strip()}"  # an entry that goes on in the next line
            continue
        if entry := ENTRY.match(line):
            line = f"{entry['indent']}{entry['number']}. {entry['text']}"
        plain.append(re.sub(r"\[(\d+)\]_", r"[\1]", line))
    return plain


def process(
    _app: Sphinx, _what: str, _name: str, _obj: object, _opt: object, lines: list[str]
) -> None:
    """Change a docstring in place, as autodoc wants it."""
    lines[:] = plain_references(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to autodoc, after napoleon (whose priority is 500) has been there."""
    app.connect("autodoc-process-docstring", process, priority=600)
    return {"parallel_read_safe": True}
