"""The exercises of a chapter: what each asks for, and where its solution begins and ends.

An exercise is a heading `### Exercise N · title`, a line `*Easy, 10 minutes.*`, its text, and cells
tagged `solution`, which record at least one result. Prose from the first of these cells to the next
heading belongs to the solution too, and is folded: `<details class="answer">`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from book.tools.chapters.keys import MAGIC, prose, source
from book.tools.chapters.text import headings, split_at

HEADING = re.compile(r"Exercise (\d+) · (\S.*)")
LEVELS = ("Easy", "Medium", "Hard")
TIME = re.compile(rf".+\n\n\*({'|'.join(LEVELS)}), (\d+) minutes\.\*$", re.M)  # with the heading
DEEPEST = 3  # no deeper heading ends a solution
ARGUMENTS = ("name", "value", "band", "label")
FOLD = '<details class="answer"><summary>The answer in words</summary>\n\n'
FOLD_END = "\n\n</details>"
EXAMPLE = 'book.record("name", value, (low, high), "What it is")'


class ExerciseError(ValueError):
    """An exercise cannot be turned into one for students; the message says which and why."""


@dataclass(frozen=True)
class Wanted:
    """One number that an exercise asks for, as its solution records it."""

    name: str
    band: str
    label: str
    value: str


@dataclass
class Exercise:
    """One exercise, with the code of its solution."""

    number: int
    title: str
    level: str = ""
    minutes: int = 0
    solution: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"exercise {self.number} · {self.title}"

    def wanted(self) -> list[Wanted]:
        """Return the numbers that it asks for.

        Raises
        ------
        ExerciseError
            If its solution records nothing, or something that is not written out.
        """
        found = [wanted(call) for text in self.solution for call in records(text)]
        if not found:
            raise ExerciseError(f"its solution records nothing to compare with: add {EXAMPLE}")
        return found


def records(code: str) -> list[ast.Call]:
    """Return the calls of `book.record` in the text of a cell, in the order of their lines."""
    tree = ast.parse(MAGIC.sub(r"\1pass", code))
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "book.record"
    ]
    return sorted(calls, key=lambda call: (call.lineno, call.col_offset))


def wanted(call: ast.Call) -> Wanted:
    """Return what a call of `book.record` asks for.

    Raises
    ------
    ExerciseError
        If its name, its band or its label is computed: a student's notebook could not repeat it.
    """
    given = dict(zip(ARGUMENTS, call.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    try:
        name, label = ast.literal_eval(given["name"]), ast.literal_eval(given["label"])
        low, high = (float(end) for end in ast.literal_eval(given["band"]))
        usable = f"answer_{name}".isidentifier() and low <= high and "value" in given
    except (KeyError, TypeError, ValueError):
        usable = False
    if not usable:
        raise ExerciseError(
            f"name, band and label must be written out, and the name be a word: {ast.unparse(call)}"
        )
    value = ast.unparse(given["value"])
    return Wanted(name, ast.unparse(given["band"]), label, value)


def variable(one: Wanted) -> str:
    """Return the name under which a student keeps an answer."""
    return f"answer_{one.name}"


def is_solution(cell: dict[str, Any]) -> bool:
    """Tell whether a cell is tagged as part of a solution."""
    return "solution" in cell["metadata"].get("tags", [])


def after_solution(text: str) -> str | None:
    """Return what is left of prose that follows a solution: all from the first heading on."""
    first = next(headings(text, DEEPEST), None)
    return None if first is None else text[first.start :]


def in_words(notebook: dict[str, Any]) -> Iterator[str]:
    """Yield the prose of each solution, piece by piece."""
    inside = False
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown":
            inside = inside or is_solution(cell)
        elif inside:
            text = source(cell)
            rest = after_solution(text)
            inside = rest is None
            if said := text.removesuffix(rest or "").strip():
                yield said


def begun(text: str) -> Iterator[Exercise | None]:
    """Yield the exercises that begin in a text, and None for each other section."""
    there = list(headings(text, DEEPEST))
    _, *pieces = split_at(text, [heading.start for heading in there])
    for heading, piece in zip(there, pieces, strict=True):
        if found := HEADING.fullmatch(heading.title):
            time = TIME.match(piece)
            level, minutes = (time[1], int(time[2])) if time else ("", 0)
            yield Exercise(int(found[1]), found[2], level, minutes)
        else:
            yield None


def title(notebook: dict[str, Any]) -> str:
    """Return the title of a chapter, for messages."""
    found = [h.title for text in prose(notebook) for h in headings(text, deepest=1)]
    return found[0] if found else "a lesson without a title"


def question(notebook: dict[str, Any]) -> str:
    """Return the sentence below the title of a chapter."""
    paragraphs = re.split(r"\n\s*\n", source(notebook["cells"][0]))
    return " ".join(paragraphs[1].split()) if len(paragraphs) > 1 else ""


def exercises(notebook: dict[str, Any]) -> list[Exercise]:
    """Return the exercises of a chapter.

    Raises
    ------
    ExerciseError
        If a solution belongs to no exercise or is no code, or code that is not tagged follows one.
    """
    found: list[Exercise] = []
    current: Exercise | None = None
    for number, cell in enumerate(notebook["cells"]):
        if is_solution(cell) and cell["cell_type"] != "code":
            raise ExerciseError(f"cell {number} is tagged 'solution' and is no code")
        if cell["cell_type"] == "markdown":
            for current in begun(source(cell)):
                found += [current] if current else []
        elif is_solution(cell):
            if current is None:
                raise ExerciseError(f"cell {number} is a solution, and no exercise stands above it")
            current.solution.append(source(cell))
        elif current and current.solution and cell["cell_type"] == "code":
            raise ExerciseError(
                f"{current}: cell {number} follows its solution and is not tagged 'solution'"
            )
    return found
