"""Let a page load no more than it uses, and its pictures when they are about to be seen.

The theme loads on every page a script that draws each icon of Font Awesome (1.5 MB; its own font
has the same icons), the whole search index, and the styles of cards and tabs. It brings with it
sphinx-thebe, which would load code from another host. As long as the book has no address, no button
of the theme leads to one. A button that opens a part of the list of pages gets the name it lacks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import imagesize
from sphinx.application import Sphinx
from sphinx.config import Config

from book.tools.pages.address import UNKNOWN

TAG = (
    r"<script[^>]*\bsrc=\"[^\"]*/?{0}[^\"]*\"[^>]*></script>"
    r"|<link[^>]*\bhref=\"[^\"]*/{0}[^\"]*\"[^>]*>"
)
SEARCH = ("searchtools.js", "language_data.js", "searchindex.js")
CARDS = ("sphinx-design", "design-tabs.js")
OPENS = {"en": "show or hide the pages of this part", "zh_CN": "展开或收起这一部分"}
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


def named(contents: Callable[..., object], label: str) -> Callable[..., str]:
    """Return the theme's list of pages with a name for each button that opens a part of it."""

    def made(*about: Any, **more: Any) -> str:
        button = f'<summary aria-label="{label}">'
        return str(contents(*about, **more)).replace("<summary>", button)

    return made


def lighten(
    app: Sphinx, page: str, _template: str, context: dict[str, Any], _doctree: object
) -> None:
    """Give the template what it needs to leave things out, and change the page's pictures."""
    body = context.get("body", "")
    context["light"] = partial(light, names=unused(page, body))
    label = OPENS.get(app.config.language, OPENS["en"])
    context["generate_toctree_html"] = named(context["generate_toctree_html"], label)
    images: dict[str, str] = getattr(app.builder, "images", {})
    wanted = {match["name"] for match in IMAGE.finditer(body)}
    sizes = {
        name: imagesize.get(Path(app.srcdir) / source)
        for source, name in images.items()
        if name in wanted
    }
    if wanted:
        context["body"] = lazy(body, sizes)


def remove_thebe(app: Sphinx, _config: Config) -> None:
    """Let no handler of sphinx-thebe hear of any event, and forget its style sheet."""
    styles = app.registry.css_files
    styles[:] = [style for style in styles if "thebe" not in style[0]]
    for listeners in app.events.listeners.values():
        for listener in list(listeners):
            if listener.handler.__module__.startswith("sphinx_thebe"):
                app.events.disconnect(listener.id)


def remove_buttons(_app: Sphinx, config: Config) -> None:
    """Forget the theme's buttons that need the address of the repository, if it has none."""
    options = config.html_theme_options
    if options.get("repository_url") == UNKNOWN:
        config.html_theme_options = {
            name: value
            for name, value in options.items()
            if name != "launch_buttons" and "repository" not in name
        }


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx, after all other extensions have had their say about a page."""
    app.connect("config-inited", remove_thebe)
    app.connect("config-inited", remove_buttons)
    app.connect("html-page-context", lighten, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
