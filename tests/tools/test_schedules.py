"""Schedules: clock times that follow from the minutes of notes and exercises, slide by slide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from book.tools.chapters.run import find_notebooks, load
from book.tools.teach.notebooks import notes_on
from book.tools.teach.timetable import (
    PLAN,
    ScheduleError,
    lesson_of,
    plan_of,
    running_order,
    schedule,
    share_of_doing,
)
from tests.faults import untold
from tests.tools.books import code, notebook

ROOT = Path(__file__).resolve().parents[2]
PLAN_TEXT = """
schedules:
  short:
    - start: "09:50"
      limit: 60
      blocks:
        - {what: Welcome, talk: 4}
        - {lesson: 02_a, skip: [Second]}
        - {what: Break, pause: 15}
        - {what: In pairs, practice: 10}
"""
NOTES = """# Notes

## Section by section

### First

**10 to 12 minutes.** Ask.

### Second

**9 minutes.** Tell.

### Quiz

**3 minutes.** Vote.

### Further reading

**Homework.** Read.
"""


TASK = "### Exercise 1 · A task\n\n*Easy, 5 minutes.*\n\nDo it."
# Two sections, an exercise in the first, and a quiz.
NOTEBOOK: dict[str, Any] = notebook(
    *("# A lesson\n\nWhy?", "## First\n\nWhat?"),
    code("1", "slide", shows={"text/plain": "one"}),
    *(TASK, code('book.record("answer", 1, (0, 2), "An answer")', "solution")),
    *(f"## {name}" for name in ("Second", "Quiz", "Further reading")),
)
LESSONS = {"02_a": lesson_of("02_a", NOTEBOOK, NOTES)}


def test_the_clock_goes_on_section_by_section() -> None:
    lines = [line.split(" | ") for line in schedule(PLAN_TEXT, "short", LESSONS).splitlines()[2:]]
    assert [(line[0].strip("| "), line[2], line[3].strip(" |")) for line in lines] == [
        ("09:50", "4", "talk 4"),
        ("09:54", "12", "talk 7, exercises 5"),
        ("10:06", "3", "quiz 3"),
        ("10:09", "15", "pause 15"),
        ("10:24", "10", "practice 10"),
        ("10:34", "44", "62 % of it, pauses apart, hands-on"),
    ]
    assert "[First](../../notebooks/02_a.ipynb#first)<br>exercise 1, [A task](" in lines[1][1]


def test_slides_are_listed_with_the_minutes_of_their_section() -> None:
    lines = running_order("02_a", NOTEBOOK, NOTES).splitlines()
    assert lines[0] == "## 02 · A lesson"
    assert [line for line in lines if "12 min" in line] == ["| 3 | First, 12 min | its question |"]
    assert "| 4 |  | an output: First |" in lines
    assert "| 5 |  | exercise: Exercise 1 · A task |" in lines


def test_what_a_plan_may_not_say_is_told() -> None:
    faults = {
        "section": (("[Second]", "[Third]"), "day 1, block 2: there is no section 'Third'"),
        "lesson": (("02_a, s", "09_z, s"), "there is no lesson '09_z', only: 02_a"),
        "key": (("pause: 15", "rest: 15"), r"blocks\[2\]: Additional .*'rest' was unexpected"),
        "minutes": (("talk: 4", "talk: ten"), r"talk: 'ten' is not of type .*whole minutes"),
        "nothing": (("what: Welcome, ", ""), "says what is done instead"),
        "start": (('"09:50"', "10:50"), r"start: 650 is not of type .*a time in quotes"),
        "limit": (("limit: 60", "limit: 40"), "44 minutes do not fit into 40"),
        "name": (("  short:", "  long:"), "no schedule 'short', only long"),
        "form": (("limit: 60", "limit: ["), "expected the node content"),
    }

    def call(_: str, swap: tuple[str, str]) -> str:
        assert swap[0] in PLAN_TEXT
        return schedule(PLAN_TEXT.replace(*swap), "short", LESSONS)

    assert untold(faults, call, ScheduleError) == {}


def test_the_book_s_half_days_are_two_fifths_hands_on() -> None:
    paths = [path for path in find_notebooks(ROOT) if path.name[0].isdigit()]
    lessons = {p.stem: lesson_of(p.stem, load(p), notes_on(p)) for p in paths}
    text = (ROOT / PLAN).read_text("utf-8")
    shares: dict[str, list[float]] = {}
    for name in ("first-transfers", "images", "hospitals", "decisions"):
        assert "| End |" in schedule(text, name, lessons)
        shares |= {name: [share_of_doing(day, lessons) for day in plan_of(text, name, lessons)]}
    assert {name: found for name, found in shares.items() if min(found) < 0.4} == {}
