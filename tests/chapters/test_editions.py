"""Students' notebooks run to their end, unsolved and solved, and know right from wrong."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

from book.tools.chapters.run import load
from book.tools.teach import notebooks as editions
from book.tools.teach.exercises import exercises
from tests.chapters.running import run
from tests.chapters.sample import save

WRONG = "wrong_"  # what the further checks are called


class Answered(ast.NodeTransformer):
    """Turn what a solution records into what a student would write."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if not ast.unparse(node).startswith("book.record("):
            return node
        assert isinstance(node.value, ast.Call)
        name, value = node.value.args[:2]
        assert isinstance(name, ast.Constant)
        return ast.Assign([ast.Name(f"answer_{name.value!s}")], value, lineno=node.lineno)


def as_answer(solution: list[str]) -> str:
    """Return the code of a solution with `answer_x = …` for each `book.record("x", …)`."""
    return ast.unparse(Answered().visit(ast.parse("\n".join(solution))))


def with_wrong(checks: str) -> str:
    """Return the checks of a cell, and behind each the same check of a number off its band."""
    calls = [line.value for line in ast.parse(checks).body if isinstance(line, ast.Expr)]
    further: list[str] = []
    for name, _, band, label in (call.args for call in calls if isinstance(call, ast.Call)):
        low, high = ast.literal_eval(band)
        wrong = low - 0.01 if len(further) % 2 else high + 0.01
        given = f"{WRONG + ast.literal_eval(name)!r}, {wrong}, {(low, high)}"
        further.append(f"book.check({given}, {ast.unparse(label)})")
    return "\n".join([checks, *further])


def solved(path: Path) -> NotebookNode:
    """Return a student's notebook with the stored solutions as answers, and wrong ones checked."""
    nb = nbformat.from_dict(editions.student(load(path)))
    solutions = iter(exercises(load(path)))
    for cell in nb.cells:
        tags = cell.metadata.get("tags", [])
        if "answer" in tags:
            cell.source = as_answer(next(solutions).solution)
        elif "check" in tags:
            cell.source = with_wrong(cell.source)
    return nb


@cache
def checked(path: Path) -> list[dict[str, Any]]:
    """Run a notebook and return what its checks said, in order."""
    return [
        output.metadata["medxfer_check"]
        for cell in run(path).cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "medxfer_check" in output.get("metadata", {})
    ]


def names(path: Path) -> list[str]:
    return [one.name for exercise in exercises(load(path)) for one in exercise.wanted()]


def test_the_stored_solutions_pass_and_wrong_numbers_do_not(chapter: Path, tmp_path: Path) -> None:
    said = checked(save(solved(chapter), tmp_path / "solved.ipynb"))
    passed = [check["name"] for check in said if check["within"]]
    assert passed == names(chapter)
    off = [check["name"] for check in said if check["answered"] and not check["within"]]
    assert off == [WRONG + name for name in names(chapter)]


def test_an_unsolved_notebook_runs_to_its_end(chapter: Path, tmp_path: Path) -> None:
    nb = nbformat.from_dict(editions.student(load(chapter)))
    said = checked(save(nb, tmp_path / "open.ipynb"))
    assert [(check["name"], check["answered"]) for check in said] == [
        (name, False) for name in names(chapter)
    ]


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("x = 2\nbook.record('a', x + 1, (0, 1), 'A')", "x = 2\nanswer_a = x + 1"),
        ("for k in y:\n    book.record('a', k, (0, 1), 'A')", "for k in y:\n    answer_a = k"),
    ],
)
def test_a_solution_is_turned_into_an_answer(code: str, answer: str) -> None:
    assert as_answer([code]) == answer
