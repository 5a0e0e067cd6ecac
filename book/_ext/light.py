"""Let a page load no more than it uses, and its pictures when they are about to be seen.

The theme loads on every page a script that draws each icon of Font Awesome (1.5 MB; its own font
has the same icons), the whole search index, and the styles of cards and tabs.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import imagesize
from sphinx.application import Sphinx

TAG = (
    r"<script[^>]*\bsrc=\"[^\"]*/?{0}[^\"]*\"[^>]*></script>"
    r"|<link[^>]*\bhref=\"[^\"]*/{0}[^\"]*\"[^>]*>"
)
SEARCH = ("searchtools.js", "language_data.js", "searchindex.js")
CARDS = ("sphinx-design", "design-tabs.js")
IMAGE = re.compile(r'<img (?=[^>]*\bsrc="[^"]*_images/(?P<name>[^"]+)")(?![^>]*\bloading=)')


def unused(page: str, body: str) -> list[str]:
    """Return the beginnings of the names of files that a page has no use for."""
    found = ["scripts/fontawesome.js"]
    found += [] if page == "search" else SEARCH
    return found + ([] if 'class="sd-' in body else [*CARDS])


def light(html: str, names: list[str]) -> str:
    """Return a piece of a page's head without the tags that load these files."""
    for name in names:
        html = re.sub(TAG.format(re.escape(name)), "", html)
    return html


def lazy(body: str, sizes: dict[str, tuple[int, int]]) -> str:
    """Return a page whose pictures load late, and leave room for themselves until then."""

    def tag(match: re.Match[str]) -> str:
        width, height = sizes.get(match["name"], (-1, -1))
        room = f'width="{width}" height="{height}" ' if min(width, height) > 0 else ""
        return f'<img loading="lazy" {room}'

    return IMAGE.sub(tag, body)


def lighten(
    app: Sphinx, page: str, _template: str, context: dict[str, Any], _doctree: object
) -> None:
    """Give the template what it needs to leave things out, and change the page's pictures."""
    body = context.get("body", "")
    context["light"] = partial(light, names=unused(page, body))
    images: dict[str, str] = getattr(app.builder, "images", {})
    wanted = {match["name"] for match in IMAGE.finditer(body)}
    sizes = {
        name: imagesize.get(Path(app.srcdir) / source)
        for source, name in images.items()
        if name in wanted
    }
    if wanted:
        context["body"] = lazy(body, sizes)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx, after all other extensions have had their say about a page."""
    app.connect("html-page-context", lighten, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
