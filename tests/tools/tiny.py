"""A book of a few pages, read by Sphinx with some of our extensions and nothing else."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

FIRST = "# Tiny\n\n```{toctree}\n:glob:\n*/*\n```\n"


class Tiny:
    """Pages as Sphinx has read them, and what it had to say."""

    def __init__(
        self, root: Path, pages: Mapping[str, str], *extensions: str, **config: object
    ) -> None:
        for name, text in {"index.md": FIRST, **pages}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, "utf-8")
        said, made = io.StringIO(), str(root / "_made")
        settings: dict[str, object] = {
            "extensions": ["myst_parser", *extensions],
            "exclude_patterns": ["_made"],
        }
        settings |= {"myst_enable_extensions": ["colon_fence", "dollarmath"], **config}
        self.app = Sphinx(
            root, None, made, made, "dummy", confoverrides=settings, status=None, warning=said
        )
        self.app.build()
        self.said = said.getvalue()

    def page(self, name: str) -> nodes.document:
        """Return a page with its references resolved."""
        return self.app.env.get_and_resolve_doctree(name, self.app.builder)
