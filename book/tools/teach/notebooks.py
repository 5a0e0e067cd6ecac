"""The notebooks of every chapter for students or for teachers: `make student`, `make teacher`.

Students get each exercise with a place to write and a cell that checks what they wrote, and no
solution. Teachers get the outputs, the solutions, the notes of `book/teaching` and the times. Both
are made from the chapters whenever they are asked for, and are never stored in the repository.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from book.tools.chapters.keys import code_cells, source
from book.tools.chapters.run import Edition, find_notebooks, load, save, stored_statistics
from book.tools.chapters.text import by_title, headings, split_at
from book.tools.pages.site import page_of, put_in_place, recover
from book.tools.teach.blanks import has_blanks, with_blanks
from book.tools.teach.exercises import (
    FOLD,
    Exercise,
    ExerciseError,
    Wanted,
    after_solution,
    exercises,
    is_solution,
    title,
    variable,
)
from book.tools.teach.plain import Plain

Notebook = dict[str, Any]
Cell = dict[str, Any]
quoted = partial(json.dumps, ensure_ascii=False)  # as Python writes it, in double quotes
BY_SECTION = "Section by section"


def new_cell(kind: str, text: str, name: str, *tags: str) -> Cell:
    """Return a new cell; one of code has not been run."""
    cell = {"cell_type": kind, "id": name, "metadata": {"tags": [*tags]}, "source": text}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def call_of_check(wanted: Wanted) -> str:
    """Return the line that checks an answer, broken before the label if it is long."""
    start = f"{quoted(wanted.name)}, {variable(wanted)}, {wanted.band},"
    line = f"book.check({start} {quoted(wanted.label)})"
    return line if len(line) <= 100 else f"book.check(\n    {start}\n    {quoted(wanted.label)},\n)"


def for_students(exercise: Exercise) -> list[Cell]:
    """Return what stands in the place of a solution: room for an answer, and its check."""
    wanted = exercise.wanted()
    check = "\n".join(map(call_of_check, wanted))
    name = f"exercise-{exercise.number}"
    room = with_room if any(map(has_blanks, exercise.solution)) else open_room
    return [*room(exercise, name), new_cell("code", check, f"{name}-check", "check")]


def open_room(exercise: Exercise, name: str) -> Iterator[Cell]:
    """Yield the empty cell of an exercise whose solution leaves no blanks."""
    wanted = exercise.wanted()
    s = "s" if len(wanted) > 1 else ""
    first = f"# Your code goes here, above the last line{s}."
    lines = [f"{first} Put its result{s} in place of the dots.", *map(open_answer, wanted)]
    yield new_cell("code", "\n".join(lines), f"{name}-answer", "answer")


def open_answer(wanted: Wanted) -> str:
    """Return the line in which an answer is still open."""
    return f"{variable(wanted)} = ...  # {wanted.label}"


def with_room(exercise: Exercise, name: str) -> Iterator[Cell]:
    """Yield the cells of a solution with their blanks; one that is not filled in stops nothing."""
    first, *others = map(with_blanks, exercise.solution)
    told = '# Replace the dots in each line that ends in "fill in". Until then this stays open:'
    first = "\n".join([told, *map(open_answer, exercise.wanted()), "", first])
    for number, text in enumerate([first, *others]):
        place = f"{name}-answer{f'-{number + 1}' * (number > 0)}"
        yield new_cell("code", text, place, "answer", "raises-exception")


def bare(cell: Cell) -> Cell:
    """Return a cell without outputs; of its metadata the tags, and whether Jupyter folds it."""
    metadata = {k: v for k, v in cell["metadata"].items() if k in ("tags", "jupyter")}
    kept = copy.deepcopy({**cell, "metadata": metadata})
    return kept | {"outputs": [], "execution_count": None} if "outputs" in cell else kept


def without_solutions(notebook: Notebook, made: Mapping[int, list[Cell]]) -> Iterator[Cell]:
    """Yield the cells of a chapter; where a solution began, those of `made` by its order."""
    begun, inside = 0, False
    for cell in notebook["cells"]:
        if is_solution(cell):
            if not inside:
                yield from made.get(begun, ())
                begun, inside = begun + 1, True
        elif not inside:
            yield cell
        elif cell["cell_type"] == "markdown" and (rest := after_solution(source(cell))):
            inside = False
            yield {**cell, "source": rest}


def student(notebook: Notebook) -> Notebook:
    """Return a chapter for students: exercises without solutions, cells without outputs.

    Raises
    ------
    ExerciseError
        If an exercise does not say what number it asks for, or the lesson uses the name that the
        student's answer would have. The message names the chapter and the exercise.
    """
    code = "\n".join(source(cell) for cell in code_cells(notebook))
    made: dict[int, list[Cell]] = {}
    here = title(notebook)
    try:
        for order, exercise in enumerate(exercises(notebook)):
            here = f"{title(notebook)}, {exercise}"
            made[order] = for_students(exercise)
            for one in exercise.wanted():
                if variable(one) in code:
                    raise ExerciseError(f"the lesson uses the name {variable(one)} itself")
    except ExerciseError as error:
        raise ExerciseError(f"{here}: {error}") from error
    kept = {k: v for k, v in notebook["metadata"].items() if k in ("kernelspec", "language_info")}
    cells = [bare(cell) for cell in without_solutions(notebook, made)]
    return {**notebook, "metadata": copy.deepcopy(kept), "cells": cells}


def times(notebook: Notebook, run: Mapping[str, Any] | None) -> str:
    """Return the measured seconds of each section and the planned minutes of each exercise."""
    rows = ["| Section | Seconds |", "|---|--:|"]
    where = "This lesson has not been run here, so its sections have no times: `make book`."
    if run:
        rows += [f"| {name} | {seconds:.1f} |" for name, seconds in run["sections"].items()]
        where = f"Measured on {run['date']} ({run['processor']}, {run['threads']} threads)."
    plan = ["| Exercise | Level | Minutes |", "|---|---|--:|"]
    plan += [
        f"| {one.number} · {one.title} | {one.level or '–'} | {one.minutes or '–'} |"
        for one in exercises(notebook)
    ]
    return "\n".join([*(rows if run else []), "", where, "", *plan])


def front(notebook: Notebook, notes: Mapping[str, str], run: Mapping[str, Any] | None) -> Cell:
    """Return the cell on top of a teacher's notebook: times, then what holds for all of it."""
    parts = [f"## For the teacher\n\n### Times\n\n{times(notebook, run)}"]
    parts += [f"### {name}\n\n{text}" for name, text in notes.items() if name != BY_SECTION]
    return new_cell("markdown", "\n\n".join(parts), "teacher-front", "teacher")


def note(text: str, number: int) -> Cell:
    """Return a teacher's note as a cell of its own, set apart from the chapter's words."""
    lines = ["**For the teacher**", "", *text.splitlines()]
    quote = "\n".join(f"> {line}".rstrip() for line in lines)
    return new_cell("markdown", quote, f"teacher-{number}", "teacher")


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
        What `statistics.measured` kept of a run, None if there is none.

    Raises
    ------
    ExerciseError
        If a note belongs to a section that the chapter has not got.
    """
    left = by_section_of(notes)
    first, *others = copy.deepcopy(notebook["cells"])
    cells = [first, front(notebook, by_title(notes, 2), run)]
    for cell in map(shown, others):
        notable = cell["cell_type"] == "markdown"
        cells += with_notes(cell, left, len(cells)) if notable else [cell]
    if left:
        raise ExerciseError(f"{title(notebook)} has no section {', '.join(map(repr, left))}")
    return {**notebook, "cells": cells}


def notes_on(notebook: Path) -> str:
    """Return the teaching notes on a chapter of the book, nothing if there are none."""
    notes = notebook.parents[1] / "book" / "teaching" / notebook.with_suffix(".md").name
    return notes.read_text("utf-8") if notes.is_file() else ""


def by_section_of(notes: str) -> dict[str, str]:
    """Return what the teaching notes on a chapter say of each of its sections, by their titles."""
    return by_title(by_title(notes, 2).get(BY_SECTION, ""), 3)


def teachers_notebook(notebook: Path, edition: Edition) -> Notebook:
    """Return a chapter for teachers, with its last run and its notes, as far as there are any."""
    run = stored_statistics(edition.stored(notebook))
    return teacher(json.loads(page_of(notebook, edition)), notes_on(notebook), run)


@contextmanager
def in_place_of(folder: Path) -> Iterator[Path]:
    """Yield a folder to write into, which takes the place of this one once it is complete."""
    recover(folder)
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    yield new
    put_in_place(new, folder)


MAKERS = {
    "student": lambda notebook, edition: student(load(notebook)),
    "teacher": teachers_notebook,
}


def write(kind: str, edition: Edition) -> Path:
    """Write all chapters of one kind into a folder, and return it once it is complete.

    Raises
    ------
    ValueError
        If a chapter cannot be made. The former folder stays where it is.
    """
    plain = Plain(edition.root)
    with in_place_of(edition.folder / kind) as new:
        for notebook in find_notebooks(edition.root):
            save(plain.notebook(MAKERS[kind](notebook, edition)), new / notebook.name)
    return edition.folder / kind
