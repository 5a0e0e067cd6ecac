"""Turn a chapter into a teacher's notebook: times on top, notes before sections, nothing hidden."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from book.tools.chapters.headings import headings, split_at
from book.tools.chapters.keys import source
from book.tools.teach.exercises import FOLD, ExerciseError, exercises, is_solution, title

Notebook = dict[str, Any]
Cell = dict[str, Any]
BY_SECTION = "Section by section"


def text_cell(text: str, name: str) -> Cell:
    """Return a new cell of prose for teachers."""
    metadata = {"tags": ["teacher"]}
    return {"cell_type": "markdown", "id": name, "metadata": metadata, "source": text}


def times(notebook: Notebook, run: Mapping[str, Any] | None) -> str:
    """Return the measured seconds of each section and the planned minutes of each exercise."""
    rows = ["| Section | Seconds |", "|---|--:|"]
    where = "This chapter has not been run here, so its sections have no times: `make book`."
    if run:
        rows += [f"| {name} | {seconds:.1f} |" for name, seconds in run["sections"].items()]
        where = f"Measured on {run['date']} ({run['processor']}, {run['threads']} threads)."
    plan = ["| Exercise | Level | Minutes |", "|---|---|--:|"]
    plan += [
        f"| {one.number} · {one.title} | {one.level or '–'} | {one.minutes or '–'} |"
        for one in exercises(notebook)
    ]
    return "\n".join([*(rows if run else []), "", where, "", *plan])


def by_title(text: str, level: int) -> dict[str, str]:
    """Return the text under each heading of this level, by its title."""
    found = [heading for heading in headings(text, level) if heading.level == level]
    pieces = split_at(text, [heading.start for heading in found])[1:]
    return {
        heading.title: piece.partition("\n")[2].strip()
        for heading, piece in zip(found, pieces, strict=True)
    }


def front(notebook: Notebook, notes: Mapping[str, str], run: Mapping[str, Any] | None) -> Cell:
    """Return the cell on top of a teacher's notebook: times, then what holds for all of it."""
    parts = [f"## For the teacher\n\n### Times\n\n{times(notebook, run)}"]
    parts += [f"### {name}\n\n{text}" for name, text in notes.items() if name != BY_SECTION]
    return text_cell("\n\n".join(parts), "teacher-front")


def note(text: str, number: int) -> Cell:
    """Return a teacher's note as a cell of its own, set apart from the chapter's words."""
    lines = ["**For the teacher**", "", *text.splitlines()]
    quote = "\n".join(f"> {line}".rstrip() for line in lines)
    return text_cell(quote, f"teacher-{number}")


def with_notes(cell: Cell, notes: dict[str, str], done: int) -> list[Cell]:
    """Return a cell with the note of each section before it; used notes leave `notes`."""
    text = source(cell)
    noted = [h for h in headings(text, 2) if h.level == 2 and h.title in notes]
    if not noted:
        return [cell]
    first, *others = split_at(text, [heading.start for heading in noted])
    out = [{**cell, "source": first}] if first else []
    for number, (heading, piece) in enumerate(zip(noted, others, strict=True), done):
        name = f"{cell['id']}-{number}" if out else cell["id"]
        out += [note(notes.pop(heading.title), number), {**cell, "id": name, "source": piece}]
    return out


def shown(cell: Cell) -> Cell:
    """Return a cell that hides nothing: a solution without its button, its words unfolded."""
    if cell["cell_type"] == "markdown":
        return {**cell, "source": source(cell).replace(FOLD, FOLD.replace(">", " open>", 1))}
    metadata = {k: v for k, v in cell["metadata"].items() if k not in ("mystnb", "jupyter")}
    tags = [tag for tag in metadata.get("tags", []) if tag != "hide-cell"]
    return {**cell, "metadata": {**metadata, "tags": tags}} if is_solution(cell) else cell


def teacher(notebook: Notebook, notes: str, run: Mapping[str, Any] | None) -> Notebook:
    """Return a chapter for teachers.

    Parameters
    ----------
    notebook
        With the outputs that it shall show.
    notes
        Markdown: sections that hold for the whole chapter, and *Section by section*, whose `###`
        headings are `##` titles of the chapter. May be empty.
    run
        What `runstats.measured` kept of a run, None if there is none.

    Raises
    ------
    ExerciseError
        If a note belongs to a section that the chapter has not got.
    """
    chapter_notes = by_title(notes, 2)
    left = by_title(chapter_notes.get(BY_SECTION, ""), 3)
    first, *others = copy.deepcopy(notebook["cells"])
    cells = [first, front(notebook, chapter_notes, run)]
    for cell in map(shown, others):
        notable = cell["cell_type"] == "markdown"
        cells += with_notes(cell, left, len(cells)) if notable else [cell]
    if left:
        raise ExerciseError(f"{title(notebook)} has no section {', '.join(map(repr, left))}")
    return {**notebook, "cells": cells}
