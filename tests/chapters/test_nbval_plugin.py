"""nbval with the book's tolerances: what must pass passes, what must fail fails."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

import re

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.chapters.running import nbval
from tests.chapters.sample import save

PRELUDE = """\
import matplotlib.pyplot as plt
import pandas as pd
from medxfer_utils import chapter, plots
book = chapter.start("full", 0, "builtin")
def draw(alt, *y):
    plt.plot(y)
    plots.show(alt)
def say(text):
    display({"text/plain": text}, raw=True)
def explore(title, *healthy):
    risk = [0.25, *healthy, 0.75, 0.875]
    plots.threshold_explorer({"a": ([0] * 3 + [1] * 2, risk)}, title)"""
ALT = "A line that rises from one to three, then falls to {}."
TABLE = 'pd.DataFrame({{"AUROC": [{}], "patients": [{}]}})'
RECORD = "book.record({!r}, {}, (0, 1), 'AUROC')"

# What the cell was when its outputs were committed, and what it is when nbval runs it.
PASSES = {
    "the same": ("print('n', 3)", "print('n', 3)"),
    "a low digit": ("print(0.991)", "print(0.983)"),
    "a value that moved within its band": (RECORD.format("a", 0.9), RECORD.format("a", 0.2)),
    "an explorer with another risk": ("explore('A', 0.46, 0.47)", "explore('A', 0.48, 0.49)"),
    "other pixels": (f"draw({ALT.format(2)!r}, 1, 3, 2)", f"draw({ALT.format(2)!r}, 1, 2)"),
}
FAILS = {
    "a number": ("print(0.991)", "print(0.93)"),
    "a count": (TABLE.format(0.991, 8), TABLE.format(0.991, 9)),
    "a word": ("print('better')", "print('worse')"),
    "a value that left its band": (RECORD.format("b", 0.9), RECORD.format("b", 1.01)),
    "another label": (RECORD.format("c", 0.9), RECORD.format("c", 0.9).replace("AUROC", "Brier")),
    "a missing output": ("print('n')", "pass"),
    "words for a figure": (f"draw({ALT.format(2)!r}, 1)", f"say('Figure: ' + {ALT.format(2)!r})"),
    "another alt text": (f"draw({ALT.format(2)!r}, 1)", f"draw({ALT.format(1)!r}, 1)"),
    "an explorer of another curve": ("explore('A', 0.46, 0.47)", "explore('A', 0.46, 0.8)"),
    "an error": ("print('n')", "print('n')\n1 / 0"),
    "an error that is said to be meant": ("pass", "# NBVAL_RAISES_EXCEPTION\n1 / 0"),
    "a cell that asks to be skipped": ("print(1)", "# NBVAL_SKIP\nprint(2)"),
    "a cell that was not run": (None, "print(2)"),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What nbval says of each cell, all of them in one notebook."""
    cases = {"prelude": (PRELUDE, PRELUDE)} | PASSES | FAILS
    nb = new_notebook(cells=[new_code_cell(before or "") for before, _ in cases.values()])
    path = save(nb, tmp_path_factory.mktemp("nbval") / "cells.ipynb")
    papermill.execute_notebook(path, path, kernel_name="python3", progress_bar=False)
    nb = nbformat.read(path, as_version=4)
    for cell, (before, now) in zip(nb.cells, cases.values(), strict=True):
        cell.source = now
        cell.execution_count = None if before is None else cell.execution_count
    report = nbval(save(nb, path), "-rA").stdout
    found = re.findall(r"^(PASSED|FAILED|SKIPPED) \S+::Cell (\d+)", report, flags=re.M)
    return {[*cases][int(number)]: outcome for outcome, number in found}


def test_what_must_pass_passes_and_what_must_fail_fails(outcomes: dict[str, str]) -> None:
    wanted = {"prelude": "PASSED"} | dict.fromkeys(PASSES, "PASSED")
    assert outcomes == wanted | dict.fromkeys(FAILS, "FAILED")
