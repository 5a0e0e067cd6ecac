"""The plan of a workshop as somebody wrote it: read, and held against the chapters.

`book/teaching/schedules.yml` says what is taught when, and how long one talks, reads and rests.
Each schedule is a list of days with a start, a limit in minutes and blocks. All that a block names
must be there, or an error says where it is not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import yaml

from book.tools.chapters.statistics import by_section
from book.tools.teach.exercises import Exercise
from book.tools.teach.index import timed

PLAN = "book/teaching/schedules.yml"
BUDGET = 120.0  # seconds that a chapter may run: CONTRIBUTING.md
CLOCK = "%H:%M"


class ScheduleError(ValueError):
    """A schedule names what is not there, or is too long; the message says what and where."""


@dataclass(frozen=True)
class Chapter:
    """A chapter as a schedule sees it: seconds of each section, exercises by number."""

    stem: str
    sections: Mapping[str, float]
    exercises: Mapping[int, Exercise]
    measured: str


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
class DayPlan:
    """One day: its name in messages, when it starts, how many minutes it may last, its blocks."""

    name: str
    start: datetime
    limit: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Plan:
    """A schedule; `reserve` says how many times the measured seconds a slow laptop takes."""

    reserve: float
    days: tuple[DayPlan, ...]


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
        What `runstats.measured` kept of its last run, None if there is none. Seconds of the
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


def check_names(block: Block, chapter: Chapter, where: str) -> None:
    """Raise a ScheduleError if a block names a section or an exercise that is not there."""
    named: list[tuple[str, Any, Collection[Any]]] = []
    named += [("section", name, chapter.sections) for name in block.sections]
    named += [("exercise", number, chapter.exercises) for number in block.exercises]
    for kind, name, there in named:
        if name not in there:
            has = "; ".join(map(str, there))
            raise ScheduleError(f"{where}: {chapter.stem} has no {kind} {name!r}. It has: {has}")


def block_of(entry: Any, where: str, chapters: Mapping[str, Chapter]) -> Block:
    """Return a block of the plan, once all that it names is there.

    Raises
    ------
    ScheduleError
        If a key, a chapter, a section or an exercise is unknown, or minutes are no whole number.
    """
    try:
        block = Block(**entry)
    except TypeError as error:
        known = ", ".join(Block.__dataclass_fields__)
        raise ScheduleError(f"{where}: a block has the keys {known}; here: {entry!r}") from error
    minutes = (block.talk, block.reading, block.pause)
    if any(not isinstance(number, int) or number < 0 for number in minutes):
        raise ScheduleError(f"{where}: talk, reading and pause are whole minutes: {minutes}")
    if not block.chapter and (block.sections or block.exercises or not block.what):
        raise ScheduleError(f"{where}: say which chapter it is, or what is done instead")
    if block.chapter and block.chapter not in chapters:
        raise ScheduleError(f"{where}: no chapter {block.chapter!r}, only {', '.join(chapters)}")
    if block.chapter:
        check_names(block, chapters[block.chapter], where)
    return block


def day_of(day: Any, where: str, chapters: Mapping[str, Chapter]) -> DayPlan:
    """Return the plan of one day; raise a ScheduleError where it says what cannot be."""
    try:
        start, limit = datetime.strptime(day["start"], CLOCK), int(day["limit"])
        entries = list(day["blocks"])
    except (KeyError, TypeError, ValueError) as error:
        raise ScheduleError(
            f'{where}: a day needs a start in quotes, such as "09:00", a limit in minutes, and '
            f"blocks ({error})"
        ) from error
    named = [(f"{where}, block {k}", entry) for k, entry in enumerate(entries, 1)]
    return DayPlan(where, start, limit, tuple(block_of(e, w, chapters) for w, e in named))


def plan_of(text: str, name: str, chapters: Mapping[str, Chapter]) -> Plan:
    """Return one schedule of the file of plans.

    Raises
    ------
    ScheduleError
        If the file is no such file, has no schedule of this name, or names what is not there.
    """
    try:
        told = yaml.safe_load(text)
        reserve, schedules = float(told["reserve"]), dict(told["schedules"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ScheduleError(
            f"{PLAN}: it needs a number `reserve` and `schedules`: {error}"
        ) from None
    if name not in schedules:
        raise ScheduleError(f"{PLAN}: no schedule {name!r}, only {', '.join(schedules)}")
    days = [(f"{PLAN}, {name}, day {k}", day) for k, day in enumerate(schedules[name], 1)]
    return Plan(reserve, tuple(day_of(day, where, chapters) for where, day in days))
