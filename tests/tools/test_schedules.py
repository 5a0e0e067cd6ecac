"""Schedules: clock times that follow from planned minutes, exercises and measured runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from docutils import nodes
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book.tools.chapters.run import find_notebooks, load
from book.tools.chapters.statistics import OPENING
from book.tools.pages.site import RUNS
from book.tools.teach.timetable import PLAN, ScheduleError, chapter_of, divided, schedule
from tests.tools.tiny import Tiny

ROOT = Path(__file__).resolve().parents[2]
SOLUTION = 'book.record("answer", 1, (0, 2), "An answer")'
PLAN_TEXT = """
reserve: 2
schedules:
  short:
    - start: "09:50"
      limit: 120
      blocks:
        - {what: Welcome, talk: 4}
        - {chapter: 01_a, sections: [Second], talk: 20, reading: 3}
        - {what: Break, pause: 15}
        - {chapter: 01_a, exercises: [1]}
    - start: "08:00"
      limit: 60
      blocks:
        - {chapter: 01_a, sections: [First], talk: 10}
"""


def notebook() -> dict[str, Any]:
    """Return a chapter with an opening, two sections and one exercise, and 1, 1, 2, 1 cells."""
    task = "## Exercises\n\n### Exercise 1 · A task\n\n*Easy, 12 minutes.*\n\nDo it."
    cells = [new_markdown_cell("# A chapter"), new_code_cell("0")]
    cells += [new_markdown_cell("## First"), new_code_cell("1"), new_markdown_cell("## Second")]
    cells += [new_code_cell("2"), new_code_cell("3"), new_markdown_cell(task)]
    cells += [new_code_cell(SOLUTION, metadata={"tags": ["solution"]})]
    made: dict[str, Any] = new_notebook(cells=cells)
    return made


SECONDS = {OPENING: 10.0, "First": 20.0, "Second": 31.0, "Exercises": 59.0}


def made(text: str = PLAN_TEXT, run: dict[str, Any] | None = None) -> str:
    run = {"seconds": 121.0, "sections": SECONDS} if run is None else run
    return schedule(text, "short", {"01_a": chapter_of("01_a", notebook(), run)})


def rows(text: str) -> list[tuple[str, int, str]]:
    """Return from when, how many minutes, and what they are made of, for each row."""
    lines = [line.split(" | ") for line in text.splitlines() if re.match(r"\| \d", line)]
    return [(a.strip("| "), int(c), d.strip(" |")) for a, _, c, d in lines]


def test_the_clock_goes_on_by_rounded_minutes_past_the_hour() -> None:
    """Skipped cells run with the block that needs them: 10 + 20 + 31 s, twice, are 3 minutes."""
    first = rows(made())[:5]
    assert first == [
        ("09:50", 5, "talk 4"),
        ("09:55", 30, "talk 20, reading 3, running 3"),
        ("10:25", 15, "pause 15"),
        ("10:40", 15, "exercises 12, running 2"),  # 59 s, twice; nothing runs a second time
        ("10:55", 65, "of at most 120"),
    ]


def test_a_new_day_runs_everything_again() -> None:
    assert rows(made())[5] == ("08:00", 15, "talk 10, running 1")  # 10 + 20 s, twice
    assert made().count("### Day") == 2


def test_links_lead_to_the_sections_and_the_exercise() -> None:
    text = made()
    assert "[Second](../../notebooks/01_a.ipynb#second)" in text
    assert "[A task](../../notebooks/01_a.ipynb#exercise-1--a-task) (Easy)" in text


def test_seconds_of_sections_and_where_they_come_from() -> None:
    whole, tenths = {"seconds": 50.0}, [10.0, 10.0, 20.0, 10.0]
    for run, seconds, said in (
        (whole | {"sections": SECONDS}, [*SECONDS.values()], "section by section"),
        (whole, tenths, "divided by the number of cells"),
        (whole | {"sections": {"Old": 9.0}}, tenths, "divided by the number of cells"),
        (None, [24.0, 24.0, 48.0, 24.0], "120 s assumed"),
    ):
        chapter = chapter_of("01_a", notebook(), run)
        assert list(chapter.sections) == list(SECONDS)
        assert list(chapter.sections.values()) == pytest.approx(seconds), run
        assert said in schedule(PLAN_TEXT, "short", {"01_a": chapter})


FAULTS = [
    (
        "sections: [Second]",
        "sections: [Third]",
        "short, day 1, block 2: 01_a has no section 'Third'",
    ),
    ("exercises: [1]", "exercises: [2]", "short, day 1, block 4: 01_a has no exercise 2"),
    ("chapter: 01_a, ex", "chapter: 09_z, ex", "block 4: there is no chapter '09_z', only: 01_a"),
    ("pause: 15", "rest: 15", r"short\[0\]\.blocks\[2\]: Additional .*'rest' was unexpected"),
    ("talk: 4", "talk: ten", r"blocks\[0\]\.talk: 'ten' is not of type .*whole minutes"),
    ("talk: 4", "talk: -4", r"blocks\[0\]\.talk: -4 is less than the minimum .*whole minutes"),
    ("what: Welcome, ", "", r"blocks\[0\]: .*says what is done instead"),
    ('"09:50"', '"9 h"', r"short\[0\]\.start: '9 h' does not match .*a time in quotes"),
    ('"09:50"', "10:50", r"short\[0\]\.start: 650 is not of type .*a time in quotes"),
    ("limit: 120", "length: 120", r"short\[0\]: .*'limit' is a required property .*a limit in min"),
    ("limit: 60", "limit: 10", "short, day 2: 15 minutes do not fit into 10"),
    ("  short:", "  long:", "no schedule 'short', only long"),
    ("reserve: 2", "reserve: much", "reserve: 'much' is not of type 'number' .*how many times"),
    ("reserve: 2", "reserve: [", "expected ',' or ']'"),
]


@pytest.mark.parametrize(("wrong", "right", "said"), FAULTS)
def test_a_fault_in_the_plan_is_named_with_its_place(wrong: str, right: str, said: str) -> None:
    assert PLAN_TEXT.count(wrong) == 1
    with pytest.raises(ScheduleError, match=rf"(?s)^{PLAN}.*{said}"):
        made(PLAN_TEXT.replace(wrong, right))


def test_a_slow_machine_is_no_fault_of_the_plan_but_is_told() -> None:
    slow = {"seconds": 9000.0, "sections": {name: 20 * s for name, s in SECONDS.items()}}
    text = made(run=slow)
    warning = re.search(r":::\{warning\}\n.*: it makes the day (\d+) minutes too long", text)
    assert warning
    total = next(m for _, m, d in rows(text) if d == "of at most 120")
    assert int(warning[1]) == total - 120 > 0
    assert "warning" not in made()


def test_a_page_has_the_schedule_that_it_names_and_an_error_says_what_is_wrong(
    tmp_path: Path,
) -> None:
    pages = {
        "book/a.md": "# A\n\n```{schedule} short\n```\n\n## B\n",
        "book/b.md": "# B\n\n```{schedule} long\n```\n\n```{exercises}\n```\n",
        "notebooks/01_a.ipynb": json.dumps(notebook()),
        PLAN: PLAN_TEXT,
        RUNS: json.dumps({"full": {"01_a": None}}),
    }
    book = Tiny(tmp_path, pages, "generated")
    first = book.page("book/a")
    titles = [title.astext() for title in first.findall(nodes.title)]
    assert titles == ["A", "Day 1", "Day 2", "B"]
    assert [s["ids"] for s in first[0].findall(nodes.section)][-1:] == [["b"]]
    assert "09:50" in first.astext()
    assert f"book/b.md:3: ERROR: {PLAN}: no schedule 'long', only short" in book.said
    assert "1 exercise, 12 minutes in all." in book.page("book/b").astext()


def test_the_books_own_schedules_fit_even_if_every_chapter_takes_all_it_may() -> None:
    chapters = {path.stem: chapter_of(path.stem, load(path), None) for path in find_notebooks(ROOT)}
    for path in find_notebooks(ROOT):  # no second is lost when a chapter is divided
        assert sum(divided(load(path), 77.0).values()) == pytest.approx(77.0)
    for name, days in (("half-day", 1), ("two-day", 2)):
        text = schedule((ROOT / PLAN).read_text("utf-8"), name, chapters)
        assert text.count(" of at most ") == days
