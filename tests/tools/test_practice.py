"""Exercises by difficulty: every one in its place, linked to where it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from book.tools.chapters.run import find_notebooks, load
from book.tools.teach.exercises import ExerciseError
from book.tools.teach.index import by_difficulty, cell_text
from tests.tools import books

ROOT = Path(__file__).resolve().parents[2]
SOLUTION = 'book.record("answer", 1, (0, 2), "A *share* | of `x`")'


def notebook(*times: str) -> dict[str, Any]:
    """Return a chapter with one exercise for each of these lines."""
    cells: list[Any] = ["# A chapter\n\n## Exercises"]
    for number, time in enumerate(times, 1):
        text = f"### Exercise {number} · Which end?\n\n{time}\n\nDo it."
        cells += [text, books.code(SOLUTION, "solution")]
    return books.notebook(*cells)


def rows(text: str, level: str) -> list[list[str]]:
    """Return the cells of each exercise under a heading."""
    under = f"{text}\n## {level}\n".split(f"## {level}\n")[1].split("\n## ")[0]
    lines = [line for line in under.splitlines() if re.match(r"\| [A\d]\d ", line)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_each_exercise_stands_once_under_its_level_in_the_order_of_the_chapters() -> None:
    first = notebook("*Easy, 10 minutes.*", "*Hard, 20 minutes.*")
    text = by_difficulty({"01_a": first, "02_b": notebook("*Easy, 7 minutes.*")})
    assert [row[0] for row in rows(text, "Easy")] == ["01", "02"]
    assert [row[2] for row in rows(text, "Hard")] == ["20"]
    assert "## Medium" not in text
    assert "2 exercises, 17 minutes in all." in text
    assert "1 exercise, 20 minutes in all." in text


def test_the_link_leads_to_the_heading_and_the_label_cannot_break_the_table() -> None:
    [row] = rows(by_difficulty({"03_c": notebook("*Medium, 15 minutes.*")}), "Medium")
    assert row[1] == "[Which end?](../../notebooks/03_c.ipynb#exercise-1--which-end)"
    assert row[3] == r"A \*share\* \| of \`x\`"


def test_an_exercise_without_a_level_is_named() -> None:
    said = r"notebooks/04_d\.ipynb, exercise 1 · Which end\?: no"
    for line in ("", "*Trivial, 5 minutes.*", "Easy, 10 minutes."):
        with pytest.raises(ExerciseError, match=said):
            by_difficulty({"04_d": notebook(line)})


def test_the_books_own_exercises_are_all_there() -> None:
    paths = find_notebooks(ROOT)
    headings = sum(len(re.findall('["n]### Exercise ', path.read_text("utf-8"))) for path in paths)
    text = by_difficulty({path.stem: load(path) for path in paths})
    assert sum(len(rows(text, level)) for level in ("Easy", "Medium", "Hard")) == headings > 0


def test_what_would_be_set_is_shown_as_it_is() -> None:
    assert cell_text(r"a|b \ *c* `d`") == r"a\|b \\ \*c\* \`d\`"
