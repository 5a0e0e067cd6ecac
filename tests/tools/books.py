"""Small notebooks and books, to try the tools on."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

PARAMETERS = "PROFILE = 'full'\nSEED = 0"


def code(
    source: str, *tags: str, shows: dict[str, Any] | None = None, **about: object
) -> NotebookNode:
    """Return a cell of code, with what it shows and what else its metadata say."""
    outputs = [new_output("display_data", data=shows)] if shows else []
    return new_code_cell(source, outputs=outputs, metadata={"tags": [*tags], **about})


def notebook(*cells: NotebookNode | str) -> NotebookNode:
    """Return a notebook; a text is a cell of prose."""
    made = [new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    return new_notebook(cells=made)


def write(path: Path, *cells: NotebookNode | str) -> Path:
    """Write a notebook and return where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook(*cells), path)
    return path


def write_files(root: Path, files: dict[str, str]) -> None:
    """Write texts under a folder."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
