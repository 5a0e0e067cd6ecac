"""The prose of a chapter in plain Markdown, for slides and for notebooks that are read in Jupyter.

Neither knows the roles and directives of MyST: they would show `{cite}` and a key. Here a
citation becomes "(Author, year)", with a link to the work and an entry in a list at the end. The
name of a document becomes its title, with a link where the document lies beside the chapter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pybtex.database import Entry
from pybtex.plugin import find_plugin

from book.tools.chapters import text as md
from book.tools.chapters.keys import source
from book.tools.chapters.run import load
from book.tools.teach.exercises import title

Notebook = dict[str, Any]
# Escaped by pybtex, although they mean nothing within a line.
NEEDLESS = re.compile(r"\\([-.()])")


def with_link(words: str, work: Entry) -> str:
    """Return a citation as a link to the work, if the bibliography says where that is."""
    return f"[{words}]({place})" if (place := md.address(work)) else words


class Plain:
    """Turns chapters into notebooks without MyST.

    Parameters
    ----------
    root
        Folder of the book, whose bibliography, pages and chapters are named in the text.
    beside
        How the name of another chapter's file ends, to which a link leads.
    """

    def __init__(self, root: Path, beside: str = ".ipynb") -> None:
        self._root, self._beside = root, beside
        self._entries = md.bibliography(root / "book" / "references.bib")

    def text(self, markdown: str) -> str:
        """Return Markdown without roles, directives, labels and comments of MyST.

        Raises
        ------
        ValueError
            If it cites a work that the bibliography lacks, or names a document that is not there.
        """
        quoted = md.ADMONITION.sub(self._quotation, md.UNSEEN.sub("", markdown))
        return md.ROLE.sub(self._role, quoted)

    def notebook(self, notebook: Notebook) -> Notebook:
        """Return a chapter in plain Markdown, with a list of the works that it cites.

        Raises
        ------
        ValueError
            As by `text`.
        """
        cells: list[dict[str, Any]] = []
        keys: set[str] = set()
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                keys.update(cited(source(cell)))
                cell = {**cell, "source": self.text(source(cell))}
            cells.append(cell)
        if keys:
            last = {"cell_type": "markdown", "id": "references", "metadata": {}}
            cells.append({**last, "source": self.references(keys)})
        return {**notebook, "cells": cells}

    def references(self, keys: set[str]) -> str:
        """Return a section with these works, sorted by author."""
        style = find_plugin("pybtex.style.formatting", "plain")(sorting_style="author_year_title")
        backend = find_plugin("pybtex.backends", "markdown")()
        entries = style.format_entries([self._entry(key) for key in sorted(keys)])
        lines = [NEEDLESS.sub(r"\1", entry.text.render(backend)).split() for entry in entries]
        return "\n".join(["## References", "", *(f"- {' '.join(words)}" for words in lines)])

    def _entry(self, key: str) -> Entry:
        if key not in self._entries:
            raise ValueError(f"book/references.bib has no entry {key!r}, which a lesson cites.")
        return self._entries[key]

    def _role(self, match: re.Match[str]) -> str:
        name, content = match.groups()
        if name.startswith("cite"):
            works = [self._entry(key) for key in md.keys_of(content)]
            return md.citation(works, in_text=name == "cite:t", shown=with_link)
        found = md.TEXT_AND_TARGET.match(content)
        words, target = (found[1], found[2]) if found else ("", content)
        return self._document(words, target) if name == "doc" else words or target

    def _document(self, words: str, target: str) -> str:
        name = re.sub(r"^(\.\.)?/?((notebooks|book)/)?", "", target)
        chapter, page = (
            self._root / "notebooks" / f"{name}.ipynb",
            self._root / "book" / f"{name}.md",
        )
        if chapter.is_file():
            return f"[{words or title(load(chapter))}]({name}{self._beside})"
        # A page of the book is not at hand: its name is all that can be given.
        if not page.is_file():
            raise ValueError(f"A lesson names the document {target!r}, which is not in the book.")
        return words or f"*{next(md.headings(page.read_text('utf-8'), deepest=1)).title}*"

    @staticmethod
    def _quotation(match: re.Match[str]) -> str:
        lines = [f"**{match[1]}**", "", *match[2].splitlines()]
        return "\n".join(f"> {line}".rstrip() for line in lines)


def cited(markdown: str) -> Iterator[str]:
    """Yield the keys of all works that a text cites."""
    for name, content in md.ROLE.findall(markdown):
        if name.startswith("cite"):
            yield from md.keys_of(content)
