"""The outputs of a code cell, and its code, as HTML for slides.

Nothing is scaled here. Each table, text and piece of code says how many letters wide it is and how
many lines it needs, and the style sheet chooses the largest type that fits the slide.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bs4 import BeautifulSoup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

STYLES = {"light": "a11y-high-contrast-light", "dark": "a11y-high-contrast-dark"}


@dataclass(frozen=True)
class Part:
    """A part of a slide: its HTML, what it is, and how many lines of text it is high."""

    html: str
    kind: Literal["code", "printed", "figure", "table", "band"]
    rows: float = 0


def preformatted(kind: Literal["code", "printed"], inside: str, lines: Sequence[str]) -> Part:
    """Return lines as they are, in an element that says how wide they are."""
    columns = max([1, *map(len, lines)])
    return Part(
        f'<pre class="{kind}" style="--columns:{columns}">{inside}</pre>', kind, len(lines) + 1
    )


def joined(data: str | list[str]) -> str:
    """Return the text of an output; a notebook file may hold it as a list of lines."""
    return data if isinstance(data, str) else "".join(data)


def code(source: str) -> Part:
    """Return Python code with its colours."""
    coloured = highlight(source, PythonLexer(), HtmlFormatter(nowrap=True)).strip("\n")
    return preformatted("code", f"<code>{coloured}</code>", source.strip("\n").splitlines())


def printed(text: str) -> Part:
    """Return text that a cell has printed."""
    lines = text.strip("\n").splitlines()
    return preformatted("printed", html.escape("\n".join(lines), quote=False), lines)


def figure(png: str, about: dict[str, Any]) -> Part:
    """Return a figure with its alt text."""
    alt = html.escape(str(about.get("alt", "")))
    data = "".join(png.split())
    image = f'<img src="data:image/png;base64,{data}" alt="{alt}">'
    return Part(f"<figure>{image}</figure>", "figure")


def table(text: str) -> Part:
    """Return a table of pandas without its own style; other HTML is a recorded band."""
    found = BeautifulSoup(text, "html.parser").find("table")
    if found is None:
        return Part(text, "band", 2)
    rows = [
        [cell.get_text(strip=True) for cell in row.find_all(["th", "td"])]
        for row in found.find_all("tr")
    ]
    widths = [max(map(len, column)) for column in zip(*pad(rows), strict=True)]
    found.attrs = {"class": "numbers", "style": f"--columns:{sum(widths) + 2 * len(widths)}"}
    for tag in found.find_all(True):
        tag.attrs = {key: tag[key] for key in ("colspan", "rowspan") if tag.has_attr(key)}
        if tag.name == "th" and not tag.get_text(strip=True):
            tag.name = "td"  # a corner is no heading of anything
    return Part(re.sub(r">\s+<", "><", str(found)), "table", len(rows))


def pad(rows: Iterable[list[str]]) -> list[list[str]]:
    """Fill rows on the left, where the row above has a cell that reaches further down."""
    rows = list(rows)
    most = max(len(row) for row in rows)
    return [[""] * (most - len(row)) + row for row in rows]


def shown(output: dict[str, Any]) -> Part:
    """Return one output of a cell."""
    if output["output_type"] == "stream":
        return printed(joined(output["text"]))
    data, about = output.get("data", {}), output.get("metadata", {})
    if "image/png" in data:
        return figure(joined(data["image/png"]), about.get("image/png", {}))
    if "text/html" in data:
        return table(joined(data["text/html"]))
    return printed(joined(data.get("text/plain", "")))


def colours() -> str:
    """Return the style sheet of code, for light and dark."""
    return "\n".join(
        HtmlFormatter(style=style).get_style_defs(f'html[data-theme="{theme}"] .code')
        for theme, style in STYLES.items()
    )
