"""The machinery of the chapter tests notices what it is there for."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

import copy
from collections.abc import Callable
from pathlib import Path

from nbformat import NotebookNode

from tests.chapters.running import differences, moved, not_called_simulated, off_band, run, said

RECORDED = ["mean", "spread", "top", "deep", "double", "half", "less"]
# What the sample chapter does besides, and how each is told.
ODD = """
import os
print(PROFILE, os.environ["MEDXFER_THREADS"], os.environ.get("ONEDNN_MAX_CPU_ISA"), flush=True)
print("in two pieces")
book.record("deep", 7, (0, 1), "Something")
plots.show("Random bytes, as high as they are and no higher. " * 2)"""
BYTES = "plt.plot(list(os.urandom(40)))\n"
Saved = Callable[[Callable[[NotebookNode], None]], Path]


def append(source: str) -> Callable[[NotebookNode], None]:
    return lambda nb: nb.cells[9].update(source=f"{nb.cells[9].source}\n{source}")


def test_a_run_is_told_what_it_shall_be_and_says_what_is_wrong_with_it(saved: Saved) -> None:
    path = saved(append(ODD.replace("plots.show", BYTES + "plots.show")))
    first, other = run(path), run(path, seed=1, elsewhere=True)
    assert [record["name"] for record in said(first)] == RECORDED
    assert off_band(first) == off_band(other) == ["deep: 7.0 is outside 0.0 to 1.0"]
    for nb, told in ((first, "fast 1 None"), (other, "fast 1 AVX2")):
        texts = [o.text for cell in nb.cells for o in cell.get("outputs", []) if "text" in o]
        assert f"{told}\nin two pieces\n" in texts, "and what came in pieces is one output"
    faults = list(differences(first, other))
    assert len(faults) == 6, "three records, what it is told, and two figures are others"
    assert "image/png changed" in faults[-1]
    (fault,) = moved(first, other)
    assert "> fast 1 AVX2" in fault, "records have bands, and pixels are not compared"
    assert len(not_called_simulated(first)) == 3


def test_only_what_differs_between_two_runs_is_named(saved: Saved) -> None:
    one = run(saved(append("print(0.51, 3)")))
    other = copy.deepcopy(one)
    assert not list(differences(one, other))
    (cell,) = (cell for cell in other.cells if "0.51" in cell.source)
    number = next(output for output in cell.outputs if "text" in output)
    number.text = "0.52 3\n"
    (fault,) = differences(one, other)
    assert fault.startswith("text changed")
    assert not list(moved(one, other))
    number.text = "0.55 3\n"
    assert len(list(moved(one, other))) == 1
    other.cells = [cell for cell in other.cells if "0.51" not in cell.source]
    assert not list(differences(one, other)), "only what they have in common is compared"
