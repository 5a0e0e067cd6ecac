"""What a chapter took: measured in its run, kept, and put on the page that asks for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book.tools.chapters import run as chapters
from book.tools.chapters import statistics as runstats
from book.tools.chapters.run import Edition, load, run_chapters, stored_statistics
from book.tools.chapters.statistics import PeakMemory, measured, table, with_statistics
from book.tools.pages import site as pages

ROOT = Path(__file__).resolve().parents[2]
HOLD = "import sys; block = bytearray(b'x' * {size}); print('ready', flush=True); sys.stdin.read()"


def holding(size: int, name: str = "--kernel=01") -> subprocess.Popen[str]:
    """Start a process of that name that holds so many bytes until its input is closed."""
    command = [sys.executable, "-c", HOLD.format(size=size), name]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, **pipes)  # type: ignore[call-overload]
    assert process.stdout.readline() == "ready\n"
    return process  # type: ignore[no-any-return]


def test_the_peak_is_that_of_a_kernel_and_its_workers_at_their_worst_moment() -> None:
    size = 150_000_000
    with PeakMemory("--kernel=01", every=1000) as memory:
        beside = holding(size, "--kernel=02")
        processes = [holding(size), holding(size)]
        memory.look()
        for process in processes:
            process.communicate()
        memory.look()  # they have ended: the peak stays
        beside.communicate()
    assert 2 * size < memory.peak < 2 * size + 100_000_000


def test_the_watch_looks_by_itself_and_ends_with_its_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting: list[subprocess.Popen[str]] = []
    look = PeakMemory.look

    def count(self: PeakMemory) -> None:
        look(self)
        if waiting and self.peak > 1_000_000:
            waiting.pop().communicate()  # lets the context below go on

    monkeypatch.setattr(PeakMemory, "look", count)
    with PeakMemory("--kernel=01", every=0.001) as memory:
        process = holding(1000)
        waiting.append(process)
        process.wait()
    assert memory.peak > 1_000_000
    assert not memory._thread.is_alive()


def cell(text: str, seconds: float | None, *tags: str) -> dict[str, Any]:
    times = {} if seconds is None else {"papermill": {"duration": seconds}}
    return {"cell_type": "code", "source": text, "metadata": {"tags": list(tags)} | times}


def test_the_longest_cell_is_named_by_its_first_words() -> None:
    cells = [
        cell("PROFILE = 'full'", 0.001),
        cell("injected = 1", 99, "injected-parameters"),
        {"cell_type": "markdown", "source": "Prose.", "metadata": {}},
        cell("# Compare\n\nresults = compare(" + "a" * 50 + ")", 12.34),
        cell("plots.show(curve)", 1.2),
    ]
    kept = measured({"cells": cells}, 20.06, 512_345_678)
    assert (kept["seconds"], kept["peak_mb"], kept["cells"]) == (20.1, 512, 3)
    assert (kept["longest_seconds"], kept["longest_cell"][:18]) == (12.3, "results = compare(")
    assert len(kept["longest_cell"]) == runstats.WORDS
    assert kept["threads"] >= 1
    assert kept["processor"]


@pytest.mark.parametrize("cells", [[], [cell("1", None)]])
def test_a_run_without_times_is_no_error(cells: list[dict[str, Any]]) -> None:
    assert measured({"cells": cells}, 1, 0)["longest_seconds"] == 0


def test_the_seconds_of_a_section_are_those_of_its_cells() -> None:
    def prose(text: str) -> dict[str, Any]:
        return {"cell_type": "markdown", "source": text, "metadata": {}}

    cells = [
        prose("# Title\n\nOpening words."),
        cell("1", 0.5),
        cell("injected = 1", 99, "injected-parameters"),
        prose(["## First\n", "\n", "```\n", "## no heading\n", "```\n"]),  # type: ignore[arg-type]
        cell("2", 1.25),
        prose("Words.\n\n### Deeper\n\n"),
        cell("3", 2.5),
        cell("4", None),
        prose("## Second\n\n## Third"),
        cell("5", 7),
    ]
    expected = {"Opening": 0.5, "First": 3.8, "Second": 0.0, "Third": 7.0}
    assert measured({"cells": cells}, 20, 1)["sections"] == expected
    assert list(runstats.by_section({"cells": cells})) == list(expected)


RUN = {
    "seconds": 41.6,
    "peak_mb": 1234,
    "cells": 30,
    "longest_seconds": 9.87,
    "longest_cell": "a | b = `x`",
    "date": "2026-11-20",
    "processor": "A processor",
    "threads": 2,
}


def test_the_table_has_a_row_for_each_chapter_and_says_where_it_ran() -> None:
    other = RUN | {"threads": 4}
    rows = table([("01 One", RUN), ("02 Two", None), ("03 Three", RUN), ("04 Four", other)])
    lines = rows.splitlines()
    assert lines[2] == r"| 01 One | 42 | `a \| b = 'x'` | 9.9 | 1,234 | 30 |"
    assert lines[3] == "| 02 Two | not measured | | | | |"
    assert lines[6] == "| **All** | 125 | | | 1,234 | 90 |"
    assert all(line.replace("\\|", "").count("|") == 7 for line in lines[:7])
    assert lines[7:] == [
        "",
        "- Chapters 01, 03: A processor, 2 threads, 2026-11-20.",
        "- Chapters 04: A processor, 4 threads, 2026-11-20.",
    ]


def test_only_the_page_that_asks_gets_the_table() -> None:
    asks, other = b"# Page\n\n% run statistics\n\nEnd.\n", b"It says % run statistics in a line.\n"
    files = {"book/a.md": asks, "book/b.md": other, "book/c.png": asks}
    out = with_statistics(files, [("01 One", RUN)])
    assert "| 01 One | 42 |" in out["book/a.md"].decode()
    assert out["book/a.md"].endswith(b"\n\nEnd.\n")
    assert (out["book/b.md"], out["book/c.png"]) == (other, asks)


def test_a_rehearsal_has_a_table_of_its_own_or_a_sentence() -> None:
    files = {"book/a.md": b"# A\n\n% run statistics\n\n% rehearsal statistics\n"}
    without = with_statistics(files, [("01 One", RUN)], [("01 One", None)])["book/a.md"].decode()
    assert without.count("| 01 One |") == 1
    assert without.endswith(f"\n\n{runstats.NONE}\n")
    fast = [("01 One", RUN | {"seconds": 7.2})]
    both = with_statistics(files, [("01 One", RUN)], fast)["book/a.md"].decode()
    assert both.index("| 01 One | 42 |") < both.index("| 01 One | 7 |")
    assert runstats.NONE not in both


def test_the_book_has_a_page_that_asks_and_lists_it() -> None:
    page = (ROOT / "book" / "statistics.md").read_text("utf-8")
    assert page.index(f"\n{runstats.ASKED}\n") < page.index(f"\n{runstats.REHEARSED}\n")
    assert "book/statistics\n" in (ROOT / "book" / "_toc.yml").read_text("utf-8")


@pytest.fixture
def edition(tmp_path: Path) -> Edition:
    """A book of one chapter, with a page that asks for the table."""
    for name in ("_config.yml", "requirements.txt"):
        (tmp_path / name).write_text("")
    for folder in ("book", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "book" / "statistics.md").write_text("# What it took\n\n% run statistics\n")
    cells = [
        new_markdown_cell("# Sums"),
        new_code_cell("PROFILE = 'full'\nSEED = 0", metadata={"tags": ["parameters"]}),
        new_code_cell("# a sum\nsum(range(30_000_000))"),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / "01_sums.ipynb")
    return Edition(tmp_path)


def test_a_real_run_is_measured_and_shown_and_the_pages_stay_as_they_are(edition: Edition) -> None:
    notebook = edition.root / "notebooks" / "01_sums.ipynb"
    assert "| 01 Sums | not measured |" in pages.staged(edition)["book/statistics.md"].decode()
    assert run_chapters([notebook], edition) == []
    run = stored_statistics(edition.stored(notebook))
    assert run is not None
    # A kernel takes tens of MB; importing this project's libraries would take hundreds.
    assert 20 < run["peak_mb"] < 400
    assert (run["cells"], run["longest_cell"]) == (2, "sum(range(30_000_000))")
    assert run["longest_seconds"] <= run["seconds"]
    before = pages.staged(edition)
    assert f"| 01 Sums | {run['seconds']:.0f} |" in before["book/statistics.md"].decode()
    # Nothing to run: the same pages, with the same fingerprint.
    run_chapters([notebook], edition)
    assert chapters.is_current(notebook, edition)
    after = pages.staged(edition)
    assert pages.fingerprint(before, edition.root) == pages.fingerprint(after, edition.root)


def test_a_run_of_before_there_were_measurements_is_shown_as_such(edition: Edition) -> None:
    notebook = edition.root / "notebooks" / "01_sums.ipynb"
    run_chapters([notebook], edition)
    stored = load(edition.stored(notebook))
    del stored["metadata"]["medxfer"]["run"]
    chapters.save(stored, edition.stored(notebook))
    assert "not measured" in pages.staged(edition)["book/statistics.md"].decode()
    assert chapters.is_current(notebook, edition)
