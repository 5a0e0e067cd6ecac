"""What a chapter took: measured in its run, kept, and put on the page that asks for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from docutils import nodes
from generated import table

from book.tools.chapters import run as chapters
from book.tools.chapters import statistics as runstats
from book.tools.chapters.run import Edition, load, run_chapters, stored_statistics
from book.tools.chapters.statistics import PeakMemory, measured
from book.tools.pages import site as pages
from tests.tools.books import PARAMETERS, code, notebook, write, write_files
from tests.tools.tiny import Tiny

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


def timed(text: str, seconds: float | None, *tags: str) -> Any:
    return code(text, *tags, **({} if seconds is None else {"papermill": {"duration": seconds}}))


def test_the_longest_cell_is_named_by_its_first_words() -> None:
    run = notebook(
        timed("PROFILE = 'full'", 0.001),
        timed("injected = 1", 99, "injected-parameters"),
        "Prose.",
        timed("# Compare\n\nresults = compare(" + "a" * 50 + ")", 12.34),
        timed("plots.show(curve)", 1.2),
    )
    kept = measured(run, 20.06, 512_345_678)
    assert (kept["seconds"], kept["peak_mb"], kept["cells"]) == (20.1, 512, 3)
    assert (kept["longest_seconds"], kept["longest_cell"][:18]) == (12.3, "results = compare(")
    assert len(kept["longest_cell"]) == runstats.WORDS
    assert kept["threads"] >= 1
    assert kept["processor"]


def test_a_run_without_times_is_no_error() -> None:
    for run in (notebook(), notebook(timed("1", None))):
        assert measured(run, 1, 0)["longest_seconds"] == 0


def test_the_seconds_of_a_section_are_those_of_its_cells() -> None:
    run = notebook(
        "# Title\n\nOpening words.",
        timed("1", 0.5),
        timed("injected = 1", 99, "injected-parameters"),
        "## First\n\n```\n## no heading\n```\n",
        timed("2", 1.25),
        "Words.\n\n### Deeper\n\n",
        timed("3", 2.5),
        timed("4", None),
        "## Second\n\n## Third",
        timed("5", 7),
    )
    expected = {"Opening": 0.5, "First": 3.8, "Second": 0.0, "Third": 7.0}
    assert measured(run, 20, 1)["sections"] == expected
    assert list(runstats.by_section(run)) == list(expected)


RUN: dict[str, Any] = {
    "seconds": 41.6,
    "peak_mb": 1234,
    "cells": 30,
    "longest_seconds": 9.87,
    "threads": 2,
}
RUN |= {"longest_cell": "a | b = `x`", "date": "2026-11-20", "processor": "A processor"}


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
        "- Lessons 01, 03: A processor, 2 threads, 2026-11-20.",
        "- Lessons 04: A processor, 4 threads, 2026-11-20.",
    ]


def test_a_page_has_the_books_own_run_and_the_last_rehearsal(tmp_path: Path) -> None:
    write(tmp_path / "notebooks/01_a.ipynb", "# Sums")
    runs = {"full": {"01_a": RUN}, "fast": {"01_a": RUN | {"seconds": 7.2}}}
    page = "# A\n\n```{runs} full\n```\n\n```{runs} fast\n```\n"
    known = {"book/a.md": page, pages.RUNS: json.dumps(runs)}
    tables = list(Tiny(tmp_path, known, "generated").page("book/a").findall(nodes.table))
    assert [[e.astext() for e in t.findall(nodes.entry)][6:8] for t in tables] == [
        ["01 Sums", "42"],
        ["01 Sums", "7"],
    ]
    known[pages.RUNS] = json.dumps({"full": {"01_a": None}, "fast": {"01_a": None}})
    text = Tiny(tmp_path, known, "generated").page("book/a").astext()
    assert "not measured" in text
    assert text.endswith(
        "No rehearsal was run where these pages were built. make rehearse makes one."
    )


def test_a_real_run_is_measured_and_the_pages_stay_as_they_are(tmp_path: Path) -> None:
    write_files(tmp_path, {"_config.yml": "", "requirements.txt": "", "book/index.md": ""})
    cells = code(PARAMETERS, "parameters"), code("# a sum\nsum(range(30_000_000))")
    path = write(tmp_path / "notebooks" / "01_sums.ipynb", "# Sums", *cells)
    edition = Edition(tmp_path)

    def shown() -> object:
        return json.loads(pages.staged(edition)[pages.RUNS])

    assert shown() == {"full": {"01_sums": None}, "fast": {"01_sums": None}}
    assert run_chapters([path], edition) == []
    run = stored_statistics(edition.stored(path))
    assert run is not None
    # A kernel takes tens of MB; importing this project's libraries would take hundreds.
    assert 20 < run["peak_mb"] < 400
    assert (run["cells"], run["longest_cell"]) == (2, "sum(range(30_000_000))")
    assert run["longest_seconds"] <= run["seconds"]
    assert shown() == {"full": {"01_sums": run}, "fast": {"01_sums": None}}
    before = pages.fingerprint(pages.staged(edition), tmp_path)
    run_chapters([path], edition)  # there is nothing to run
    assert pages.fingerprint(pages.staged(edition), tmp_path) == before
    # A run of before there were measurements is as good as any.
    stored = load(edition.stored(path))
    del stored["metadata"]["medxfer"]["run"]
    chapters.save(stored, edition.stored(path))
    assert shown() == {"full": {"01_sums": None}, "fast": {"01_sums": None}}
    assert chapters.is_current(path, edition)
