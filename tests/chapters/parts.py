"""The parts of a lesson that its checks look at: cells by their tags, prose, sections, sizes."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

import ast
import math
import re
from collections.abc import Iterator

from nbformat import NotebookNode

from book.tools.teach.exercises import exercises

OUT_OF_SIGHT = {"solution", "hide-cell", "remove-cell"}  # with what they show
ON_COLAB = ["colab", "remove-cell"]
SIZES = ("words", "cells", "visible lines of code", "figures")


def code_cells(nb: NotebookNode) -> list[NotebookNode]:
    """Return the code cells that a reader sees: all but the one for Colab."""
    tags = [cell.metadata.get("tags", []) for cell in nb.cells]
    return [
        cell
        for cell, tagged in zip(nb.cells, tags, strict=True)
        if cell.cell_type == "code" and tagged != ON_COLAB
    ]


def syntax(cell: NotebookNode) -> ast.Module:
    """Parse a code cell; one that is not plain Python is empty here and found by check_syntax."""
    try:
        return ast.parse(cell.source)
    except SyntaxError:
        return ast.Module([], [])


def tagged(nb: NotebookNode, tag: str) -> list[NotebookNode]:
    return [cell for cell in nb.cells if tag in cell.metadata.get("tags", [])]


def told(nb: NotebookNode, words: set[str], *, by: bool) -> list[NotebookNode]:
    """Return the code cells that have one of these tags, or (by False) none of them."""
    return [c for c in code_cells(nb) if bool(words & set(c.metadata.get("tags", []))) is by]


def visible(nb: NotebookNode) -> list[NotebookNode]:
    """Return the cells whose code stands on the page."""
    return told(nb, {*OUT_OF_SIGHT, "hide-input"}, by=False)


def lines_of(cell: NotebookNode) -> list[str]:
    return [line for line in cell.source.splitlines() if line.strip()]


def has_figure(cell: NotebookNode) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.outputs)


def sizes(nb: NotebookNode) -> dict[str, int]:
    """Return what the book keeps small, by name."""
    texts = [cell.source.split() for cell in nb.cells if cell.cell_type == "markdown"]
    counts = sum(map(len, texts)), len(nb.cells), sum(len(lines_of(c)) for c in visible(nb))
    return dict(zip(SIZES, [*counts, sum(map(has_figure, code_cells(nb)))], strict=True))


def minutes(nb: NotebookNode) -> tuple[int, int]:
    """Return how long reading takes (200 words a minute, 6 seconds a line), and the exercises."""
    words, _, lines, _ = sizes(nb).values()
    return math.ceil(words / 200 + lines / 10), sum(one.minutes for one in exercises(nb))


def prose(nb: NotebookNode) -> str:
    """All markdown, without blocks of code or mathematics; the text in MyST directives stays."""
    text = "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    text = re.sub(r"^(`{3,})(?!`|\{)[^\n]*\n.*?^\1`*[ ]*$", "", text, flags=re.M | re.S)
    return re.sub(r"\$\$.*?\$\$", "", text, flags=re.S)


def sections(nb: NotebookNode) -> list[tuple[str, str]]:
    """Title and text of each `##` section, in order."""
    parts = re.split(r"^## +(.+)$", prose(nb), flags=re.M)[1:]
    return [(title.strip(), text) for title, text in zip(parts[::2], parts[1::2], strict=True)]


def bullets(text: str) -> list[str]:
    return re.findall(r"^(?:[-*+]|\d+\.) +(.+)$", text, flags=re.M)


def opening_points(nb: NotebookNode) -> list[str]:
    """The bullets right after *What you will be able to do*."""
    after = nb.cells[0].source.partition("**What you will be able to do**")[2]
    block = re.match(r"\W*\n+((?:(?:[-*+]|\d+\.| ) *.+\n?)+)", after)
    return bullets(block[1]) if block else []


def output_texts(nb: NotebookNode) -> Iterator[tuple[int, str]]:
    """Yield the index of a code cell and the text of one of its outputs."""
    for index, cell in enumerate(code_cells(nb)):
        for output in cell.outputs:
            yield index, output.get("text", "")
            for kind, data in output.get("data", {}).items():
                if kind.startswith("text/"):
                    yield index, data
