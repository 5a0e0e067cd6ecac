"""Timetables of a workshop, and the order in which its slides run: times of day, from minutes.

Which lessons a half-day has stands in `book/teaching/schedules.yml`. How long a section takes, with
its exercises, stands in the notes on the lesson; how long the exercises take, in the lesson.
Running is not counted: in the fast profile all cells above run in seconds, while people talk.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from book.tools.chapters.keys import source
from book.tools.chapters.text import headings
from book.tools.teach.decks import Slide, columns
from book.tools.teach.exercises import HEADING, Exercise, title
from book.tools.teach.index import cell_text, link, link_to, timed
from book.tools.teach.notebooks import by_section_of

PLAN = "book/teaching/schedules.yml"
FORM = Path(__file__).parents[2] / "teaching" / "schedules.schema.yml"
CLOCK = "%H:%M"
MINUTES = re.compile(r"\*\*(?:\d+ to )?(\d+) minutes?")
QUIZ = "Quiz"
DOING = ("exercises", "quiz", "practice")  # what people do themselves


class ScheduleError(ValueError):
    """A schedule names what is not there, or is too long; the message says what and where."""


@dataclass
class Section:
    """A section of a lesson: the minutes that the notes give it, and its exercises."""

    title: str
    minutes: int
    exercises: list[Exercise] = field(default_factory=list)

    def parts(self) -> dict[str, int]:
        """Return the minutes of talking and of doing; exercises are never cut short."""
        tasks = sum(one.minutes for one in self.exercises)
        if self.title == QUIZ:
            return {"quiz": self.minutes}
        found = {"talk": max(self.minutes - tasks, 0), "exercises": tasks}
        return {name: minutes for name, minutes in found.items() if minutes}


@dataclass(frozen=True)
class Lesson:
    """A lesson as a schedule sees it."""

    stem: str = ""
    title: str = ""
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True)
class Block:
    """A lesson, or something else; `talk`, `practice` and `pause` are minutes."""

    what: str = ""
    lesson: str = ""
    skip: tuple[str, ...] = ()
    talk: int = 0
    practice: int = 0
    pause: int = 0


@dataclass(frozen=True)
class Day:
    """One day: its name in messages, when it starts, how many minutes it may last, its blocks."""

    name: str
    start: datetime
    limit: int
    blocks: tuple[Block, ...]


Row = tuple[str, dict[str, int]]  # what is done, and the minutes of its parts


def lesson_of(stem: str, notebook: dict[str, Any], notes: str) -> Lesson:
    """Return what a schedule needs to know of a lesson; a section without minutes is homework."""
    noted = by_section_of(notes)
    tasks = {one.number: one for one in timed(stem, notebook)}
    found: list[Section] = []
    for cell in notebook["cells"]:
        for heading in headings(source(cell), 3) if cell["cell_type"] == "markdown" else ():
            exercise = HEADING.fullmatch(heading.title)
            if heading.level == 2:
                told = MINUTES.search(noted.get(heading.title, ""))
                found.append(Section(heading.title, int(told[1]) if told else 0))
            elif exercise and found:
                found[-1].exercises.append(tasks[int(exercise[1])])
    return Lesson(stem, title(notebook), tuple(found))


def check_names(block: Block, lessons: Mapping[str, Lesson], where: str) -> None:
    """Raise a ScheduleError if a block names a lesson or a section that is not there."""
    named: list[tuple[str, str, Collection[str]]] = []
    named += [("lesson", block.lesson, lessons)] if block.lesson else []
    there = [one.title for one in lessons.get(block.lesson, Lesson()).sections]
    named += [("section", name, there) for name in block.skip]
    for kind, name, known in named:
        if name not in known:
            raise ScheduleError(f"{where}: there is no {kind} {name!r}, only: {'; '.join(known)}")


def plan_of(text: str, name: str, lessons: Mapping[str, Lesson]) -> list[Day]:
    """Return the days of one schedule.

    Raises
    ------
    ScheduleError
        If the file is not of its form, has no schedule of this name, or names what is not there.
    """
    try:
        told = yaml.safe_load(text)
        jsonschema.validate(told, yaml.safe_load(FORM.read_text("utf-8")))
    except yaml.YAMLError as error:
        raise ScheduleError(f"{PLAN}: {error}") from None
    except jsonschema.ValidationError as error:
        form = error.schema.get("description", "")
        raise ScheduleError(f"{PLAN}, {error.json_path}: {error.message} ({form})") from None
    if name not in told["schedules"]:
        raise ScheduleError(f"{PLAN}: no schedule {name!r}, only {', '.join(told['schedules'])}")
    days = []
    for number, day in enumerate(told["schedules"][name], 1):
        where, start = f"{PLAN}, {name}, day {number}", datetime.strptime(day["start"], CLOCK)
        blocks = tuple(Block(**entry) for entry in day["blocks"])
        for k, block in enumerate(blocks, 1):
            check_names(block, lessons, f"{where}, block {k}")
        days.append(Day(where, start, day["limit"], blocks))
    return days


def rows(day: Day, lessons: Mapping[str, Lesson]) -> Iterator[Row]:
    """Yield what is done in a day, and the minutes of its parts: a row for each section."""
    for block in day.blocks:
        lesson, first = lessons.get(block.lesson, Lesson()), True
        for section in lesson.sections:
            if section.title in block.skip or not section.minutes:
                continue
            named = [f"**Lesson {lesson.stem[:2]}, {cell_text(lesson.title)}**"] * first
            named.append(link(section.title, lesson.stem, section.title))
            named += [f"exercise {t.number}, {link_to(t, lesson.stem)}" for t in section.exercises]
            yield "<br>".join(named), section.parts()
            first = False
        own = {name: getattr(block, name) for name in ("talk", "practice", "pause")}
        if parts := {name: minutes for name, minutes in own.items() if minutes}:
            yield cell_text(block.what), parts


def share_of_doing(day: Day, lessons: Mapping[str, Lesson]) -> float:
    """Return which share of the time, pauses apart, people do something themselves."""
    spent = [part for _, parts in rows(day, lessons) for part in parts.items()]
    whole = sum(minutes for name, minutes in spent if name != "pause")
    return sum(minutes for name, minutes in spent if name in DOING) / max(whole, 1)


def day_table(day: Day, lessons: Mapping[str, Lesson]) -> str:
    """Return the table of one day.

    Raises
    ------
    ScheduleError
        If the day is longer than it may be.
    """
    lines, clock = ["| From | What | Minutes | Made of |", "|---|---|--:|---|"], day.start
    for what, parts in rows(day, lessons):
        made, length = ", ".join(f"{n} {m}" for n, m in parts.items()), sum(parts.values())
        lines.append(f"| {clock:{CLOCK}} | {what} | {length} | {made} |")
        clock += timedelta(minutes=length)
    minutes = (clock - day.start) // timedelta(minutes=1)
    if minutes > day.limit:
        raise ScheduleError(
            f"{day.name}: {minutes} minutes do not fit into {day.limit}. Skip a section, or raise "
            "the limit"
        )
    share = f"{100 * share_of_doing(day, lessons):.0f} % of it, pauses apart, hands-on"
    lines.append(f"| {clock:{CLOCK}} | End | {minutes} | {share} |")
    return "\n".join(lines)


def schedule(text: str, name: str, lessons: Mapping[str, Lesson]) -> str:
    """Return a schedule in Markdown.

    Raises
    ------
    ScheduleError
        If the plan names what is not there, or does not fit into its day.
    """
    return "\n\n".join(day_table(day, lessons) for day in plan_of(text, name, lessons))


def running_order(stem: str, notebook: dict[str, Any], notes: str) -> str:
    """Return which slides a lesson has, one after the other, with the minutes of its sections."""
    lesson = lesson_of(stem, notebook, notes)
    minutes = {section.title: section.minutes for section in lesson.sections}
    lines = ["| Slide | Section, minutes | Shows |", "|--:|---|---|"]
    number = 0
    for column in columns(notebook, {}):
        for slide in column:
            number += 1
            name = heading_of(slide)
            spent = minutes.get(name, 0) if slide is column[0] else 0
            head = f"{cell_text(name)}, {spent} min" if spent else ""
            lines.append(f"| {number} | {head} | {shows(slide)} |")
    return "\n".join([f"## {stem[:2]} · {lesson.title}", "", *lines])


def heading_of(slide: Slide) -> str:
    """Return the heading of a slide."""
    first: str = slide.parts[0].source.splitlines()[0]
    return first.lstrip("# ")


def shows(slide: Slide) -> str:
    """Return what a slide shows, in a few words."""
    kind = slide.look.split()[-1]
    words = {"section": "its question", "title": "title and question", "cell": "an output"}
    about = "fails on purpose" if slide.look.startswith("fails") else words.get(kind, kind)
    outputs = [o for part in slide.parts for o in part.get("outputs", [])]
    if any("image/png" in output.get("data", {}) for output in outputs):
        about = about.replace("an output", "a figure")
    return about if kind == "section" else f"{about}: {cell_text(heading_of(slide))}"
