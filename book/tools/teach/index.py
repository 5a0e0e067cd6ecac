"""The exercises of all chapters by difficulty, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mdit_py_plugins.anchors.index import slugify

from book.tools.teach.exercises import LEVELS, Exercise, ExerciseError, exercises


def cell_text(text: str) -> str:
    """Return a text as it may stand in a cell of a table, with nothing in it to set."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("`", "\\`")


def link(text: str, stem: str, heading: str) -> str:
    """Return a link from a page in `book/teaching` to a heading of a chapter."""
    shown = cell_text(text).replace("[", "\\[").replace("]", "\\]")
    return f"[{shown}](../../notebooks/{stem}.ipynb#{slugify(heading)})"


def link_to(exercise: Exercise, stem: str) -> str:
    """Return a link to an exercise, by its title."""
    return link(exercise.title, stem, f"Exercise {exercise.number} · {exercise.title}")


def timed(stem: str, notebook: dict[str, Any]) -> list[Exercise]:
    """Return the exercises of a chapter.

    Raises
    ------
    ExerciseError
        If one says neither how hard it is nor how long it takes.
    """
    found = exercises(notebook)
    for exercise in found:
        if exercise.level not in LEVELS:
            raise ExerciseError(
                f"notebooks/{stem}.ipynb, {exercise}: no line like *Easy, 10 minutes.* "
                "stands below its heading, after a blank line"
            )
    return found


def table(rows: list[tuple[str, Exercise]]) -> str:
    """Return a table of exercises in Markdown; each row is the stem of a chapter and one of it."""
    out = ["| In | Exercise | Minutes | The answer is |", "|---|---|--:|---|"]
    for stem, exercise in rows:
        asked = "; ".join(cell_text(wanted.label) for wanted in exercise.wanted())
        out.append(f"| {stem[:2]} | {link_to(exercise, stem)} | {exercise.minutes} | {asked} |")
    return "\n".join(out)


def by_difficulty(chapters: Mapping[str, dict[str, Any]]) -> str:
    """Return a section for each level: how many there are, how long they take, which they are.

    Parameters
    ----------
    chapters
        Each chapter's notebook, by the stem of its name.

    Raises
    ------
    ExerciseError
        If an exercise does not say how hard it is, or compares its answer with nothing.
    """
    every = [(stem, one) for stem, notebook in chapters.items() for one in timed(stem, notebook)]
    parts = []
    for level in LEVELS:
        rows = [row for row in every if row[1].level == level]
        if rows:
            minutes = sum(row[1].minutes for row in rows)
            count = f"{len(rows)} exercise{'s' * (len(rows) > 1)}, {minutes} minutes in all."
            parts.append(f"## {level}\n\n{count}\n\n{table(rows)}")
    return "\n\n".join(parts)
