"""Timetables of a workshop: times of day, from planned minutes and from measured runs.

What is planned stands in `book/teaching/schedules.yml`. How long exercises take stands in the
chapters, and how long cells run was measured when the chapters ran. All that a block names must be
there, or an error says where it is not.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from book.tools.chapters.statistics import by_section
from book.tools.teach.exercises import Exercise
from book.tools.teach.index import cell_text, link, link_to, timed

PLAN = "book/teaching/schedules.yml"
BUDGET = 120.0  # seconds that a chapter may run: CONTRIBUTING.md
CLOCK = "%H:%M"
STEP = 5  # minutes to which a block is rounded up
FORM = Path(__file__).parents[2] / "teaching" / "schedules.schema.yml"


class ScheduleError(ValueError):
    """A schedule names what is not there, or is too long; the message says what and where."""


@dataclass(frozen=True)
class Chapter:
    """A chapter as a schedule sees it: seconds of each section, exercises by number."""

    stem: str = ""
    sections: Mapping[str, float] = field(default_factory=dict)
    exercises: Mapping[int, Exercise] = field(default_factory=dict)
    measured: str = ""

    def slower(self, times: float, most: float = math.inf) -> Chapter:
        """Return it on a slower machine, of which it takes no more than `most` seconds on ours."""
        total = sum(self.sections.values())
        factor = times * (min(total, most) / total if total else 1)
        return replace(self, sections={name: s * factor for name, s in self.sections.items()})


@dataclass(frozen=True)
class Block:
    """What is done without looking at the clock; `talk`, `reading` and `pause` are minutes."""

    what: str = ""
    chapter: str = ""
    sections: tuple[str, ...] = ()
    exercises: tuple[int, ...] = ()
    talk: int = 0
    reading: int = 0
    pause: int = 0


@dataclass(frozen=True)
class Day:
    """One day: its name in messages, when it starts, how many minutes it may last, its blocks."""

    name: str
    start: datetime
    limit: int
    blocks: tuple[Block, ...]


def divided(notebook: Mapping[str, Any], seconds: float) -> dict[str, float]:
    """Divide the seconds of a chapter over its sections, in proportion to their cells of code."""
    one = {"metadata": {"papermill": {"duration": 1.0}}}
    cells = [{**c, **one} if c["cell_type"] == "code" else c for c in notebook["cells"]]
    counts = by_section({"cells": cells})
    return {name: count * seconds / sum(counts.values()) for name, count in counts.items()}


def chapter_of(stem: str, notebook: dict[str, Any], run: Mapping[str, Any] | None) -> Chapter:
    """Return what a schedule needs to know of a chapter.

    Parameters
    ----------
    run
        What `measured` kept of its last run, None if there is none. Seconds of the
        sections that it lacks, or that belong to other sections, are divided out of the whole.
    """
    seconds = divided(notebook, run["seconds"] if run else BUDGET)
    if run is None:
        measured = f"not run here: {BUDGET:.0f} s assumed, the most that it may take"
    elif set(run.get("sections", {})) == set(seconds):
        seconds, measured = dict(run["sections"]), "measured section by section"
    else:
        measured = "measured as a whole, and divided by the number of cells"
    numbered = {exercise.number: exercise for exercise in timed(stem, notebook)}
    return Chapter(stem, seconds, numbered, measured)


def check_names(block: Block, chapters: Mapping[str, Chapter], where: str) -> None:
    """Raise a ScheduleError if a block names a chapter, section or exercise that is not there."""
    chapter = chapters.get(block.chapter, Chapter())
    named: list[tuple[str, Any, Collection[Any]]] = []
    named += [("chapter", block.chapter, chapters)] if block.chapter else []
    named += [("section", name, chapter.sections) for name in block.sections]
    named += [("exercise", number, chapter.exercises) for number in block.exercises]
    for kind, name, there in named:
        if name not in there:
            has = "; ".join(map(str, there))
            home = f"{chapter.stem} has" if chapter.stem else "there is"
            raise ScheduleError(f"{where}: {home} no {kind} {name!r}, only: {has}")


def plan_of(text: str, name: str, chapters: Mapping[str, Chapter]) -> tuple[float, list[Day]]:
    """Return how many times slower a laptop may be, and the days of one schedule.

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
            check_names(block, chapters, f"{where}, block {k}")
        days.append(Day(where, start, day["limit"], blocks))
    return told["reserve"], days


def timed_blocks(
    day: Day, chapters: Mapping[str, Chapter]
) -> Iterator[tuple[Block, dict[str, int], int]]:
    """Yield each block of a day, the minutes of its parts, and its length, rounded up.

    Sections that are left out run too, since later cells use what they made. Exercises stand behind
    all sections and need every one of them. A new day begins with a new kernel.
    """
    reached: dict[str, int] = {}
    for block in day.blocks:
        chapter = chapters.get(block.chapter, Chapter())
        names, first = list(chapter.sections), reached.get(block.chapter, 0)
        ends = [names.index(name) + 1 for name in block.sections]
        last = max([first, *ends, len(names) if block.exercises else 0])
        reached[block.chapter] = last
        seconds = sum(chapter.sections[name] for name in names[first:last])
        tasks = sum(chapter.exercises[number].minutes for number in block.exercises)
        parts = {"talk": block.talk, "reading": block.reading, "exercises": tasks}
        parts |= {"running": math.ceil(seconds / 60), "pause": block.pause}
        parts = {name: minutes for name, minutes in parts.items() if minutes}
        yield block, parts, STEP * math.ceil(sum(parts.values()) / STEP)


def check_fits(day: Day, chapters: Mapping[str, Chapter]) -> None:
    """Raise a ScheduleError if a day is too long although no chapter takes more than it may.

    On a machine that is slower than that, a page says so instead: the plan is not at fault.
    """
    minutes = sum(length for *_, length in timed_blocks(day, chapters))
    if minutes > day.limit:
        raise ScheduleError(
            f"{day.name}: {minutes} minutes do not fit into {day.limit}. Leave out a section or an "
            "exercise, or raise the limit"
        )


def shown(block: Block, chapters: Mapping[str, Chapter]) -> str:
    """Return what is done in a block, with links, as the cell of a table."""
    chapter = chapters.get(block.chapter, Chapter())
    named = [f"**Chapter {chapter.stem[:2]}**"] * bool(chapter.stem)
    named += [cell_text(block.what)] * bool(block.what)
    named += [link(name, chapter.stem, name) for name in block.sections]
    tasks = [chapter.exercises[number] for number in block.exercises]
    named += [f"exercise {one.number}, {link_to(one, chapter.stem)} ({one.level})" for one in tasks]
    return "<br>".join(named)


def day_table(day: Day, chapters: Mapping[str, Chapter]) -> str:
    """Return the table of one day, and a warning under it if it is too long on this machine."""
    rows, clock = ["| From | What | Minutes | Made of |", "|---|---|--:|---|"], day.start
    for block, parts, length in timed_blocks(day, chapters):
        made = ", ".join(f"{name} {minutes}" for name, minutes in parts.items())
        rows.append(f"| {clock:{CLOCK}} | {shown(block, chapters)} | {length} | {made} |")
        clock += timedelta(minutes=length)
    minutes = (clock - day.start) // timedelta(minutes=1)
    rows.append(f"| {clock:{CLOCK}} | End | {minutes} | of at most {day.limit} |")
    if minutes > day.limit:
        late = f"it makes the day {minutes - day.limit} minutes too long"
        slow = "The machine that built this page ran the chapters slowly"
        rows.append(f"\n:::{{warning}}\n{slow}: {late}.\n:::")
    return "\n".join(rows)


def schedule(text: str, name: str, chapters: Mapping[str, Chapter]) -> str:
    """Return a schedule in Markdown.

    Parameters
    ----------
    text
        The file of plans.
    name
        Which schedule of the file.
    chapters
        By the stems of their notebooks.

    Raises
    ------
    ScheduleError
        If the plan names what is not there, or does not fit into its day.
    """
    reserve, days = plan_of(text, name, chapters)
    slow = {stem: chapter.slower(reserve) for stem, chapter in chapters.items()}
    allowed = {stem: chapter.slower(reserve, BUDGET) for stem, chapter in chapters.items()}
    out = []
    for number, day in enumerate(days, 1):
        check_fits(day, allowed)
        out += [f"### Day {number}"] * (len(days) > 1)
        out.append(day_table(day, slow))
    used = sorted({block.chapter for day in days for block in day.blocks} - {""})
    measured = "\n".join(f"- Chapter {stem[:2]}: {chapters[stem].measured}." for stem in used)
    lead = (
        f"*Running* is what the cells took when these pages were built, times {reserve:g} for "
        f"slow laptops. Every block is rounded up to {STEP} minutes."
    )
    return "\n\n".join([*out, lead, measured])
