"""The machinery of the chapter tests notices what it is there for."""

from collections.abc import Callable
from pathlib import Path

import pytest
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from tests.chapters.running import differences, off_band, records, run

RECORDED = ["mean", "spread", "top", "double", "half"]
Saved = Callable[[Callable[[NotebookNode], None]], Path]


def leave(nb: NotebookNode) -> None:
    """Break nothing."""


def append(source: str) -> Callable[[NotebookNode], None]:
    def breaking(nb: NotebookNode) -> None:
        nb.cells[9].source += f"\n{source}"

    return breaking


def test_sound_chapter_has_no_fault(saved: Saved) -> None:
    path = saved(leave)
    first, again, other = run(path), run(path, attempt=2), run(path, seed=1)
    assert [record["name"] for record in records(first)] == RECORDED
    assert not off_band(first)
    assert not list(differences(first, again))
    assert len(list(differences(first, other))) == 4, "three records and the figure depend on it"


def test_profile_and_threads_reach_the_chapter(saved: Saved) -> None:
    shown = run(
        saved(append("import os\nprint(PROFILE, os.environ['MEDXFER_THREADS'])")), threads=1
    )
    assert any("fast 1" in str(cell.get("outputs")) for cell in shown.cells)


def test_value_outside_its_band_is_named(saved: Saved) -> None:
    path = saved(append("book.record('deep', 7, (0, 1), 'Something')"))
    assert off_band(run(path)) == ["deep: 7.0 is outside 0.0 to 1.0"]


@pytest.mark.parametrize(
    "source",
    [
        "import os\nprint(os.urandom(4).hex())",
        "import os\nplt.plot(list(os.urandom(40)))\nplots.show('Random bytes. ' * 4)",
    ],
)
def test_output_that_changes_is_named(saved: Saved, source: str) -> None:
    path = saved(append(source))
    (fault,) = differences(run(path), run(path, attempt=2))
    assert "os.urandom" in fault


def test_error_names_the_cell(saved: Saved) -> None:
    with pytest.raises(PapermillExecutionError, match="no such luck"):
        run(saved(append("raise RuntimeError('no such luck')")))


def test_text_that_came_in_pieces_is_one_output(saved: Saved) -> None:
    pieces = "print('first', flush=True)\nprint('second', flush=True)"
    (shown,) = (c for c in run(saved(append(pieces))).cells if "'second'" in c.source)
    texts = [output.text for output in shown.outputs if output.output_type == "stream"]
    assert len(texts) == 1
    assert texts[0].endswith("first\nsecond\n")
