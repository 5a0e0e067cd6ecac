"""The blanks of an exercise: what students are given of a solution, and what they fill in.

A statement of a solution whose last line ends in `# fill in` is theirs: its value becomes `...`,
and a call an error.
The rest is given to them as it is, but for what the solution records: that becomes their answer.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from book.tools.teach.exercises import ExerciseError, variable, wanted

FILL_IN = "  # fill in"
CALL = "raise NotImplementedError"  # where a call is to be filled in
Edit = tuple[int, int, str]  # first line, last line, what stands there instead


def has_blanks(code: str) -> bool:
    """Tell whether a cell of a solution leaves something to fill in."""
    return any(line.endswith(FILL_IN) for line in code.splitlines())


def with_blanks(code: str) -> str:
    """Return a cell of a solution as students get it.

    Raises
    ------
    ExerciseError
        If a line marked `# fill in` does not end an assignment, a return or a call.
    """
    lines = code.splitlines()
    for first, last, text in sorted(edits(lines), reverse=True):
        indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
        lines[first : last + 1] = [indent + text]
    return "\n".join(lines)


def edits(lines: list[str]) -> Iterator[Edit]:
    """Yield what opens each blank, and what turns each record into an answer."""
    tree = ast.parse("\n".join(lines))
    simple = [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and not hasattr(n, "body")]
    ends = {(node.end_lineno or 0) - 1: node for node in simple}
    for number, line in enumerate(lines):
        node = ends.get(number)
        value = getattr(node, "value", None)
        if line.endswith(FILL_IN):
            if node is None or value is None:
                raise ExerciseError(f"no assignment, return or call to fill in: {line.strip()!r}")
            if isinstance(node, ast.Expr):  # without it, the rest would go on with what is wrong
                yield node.lineno - 1, number, CALL + FILL_IN
                continue
            node.value = ast.Constant(...)  # type: ignore[attr-defined]
            yield node.lineno - 1, number, ours(ast.unparse(node)) + FILL_IN
        elif node and isinstance(value, ast.Call) and ast.unparse(value.func) == "book.record":
            one = wanted(value)
            yield node.lineno - 1, number, f"{variable(one)} = {ours(one.value)}"


def ours(text: str) -> str:
    """Return unparsed code with the quotes that the book uses."""
    return text if '"' in text else text.replace("'", '"')
