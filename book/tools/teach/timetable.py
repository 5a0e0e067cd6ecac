"""Schedules of a workshop: times of day, from planned minutes and from measured runs.

A page asks for one with a line of its own, `% schedule half-day`. What is planned stands in
`book/teaching/schedules.yml`, how long exercises take in the chapters, and how long cells run was
measured when the chapters ran.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

from book.tools.pages.asking import answered
from book.tools.teach.index import cell_text, link, link_to, staged_chapters
from book.tools.teach.plans import (
    BUDGET,
    CLOCK,
    PLAN,
    Block,
    Chapter,
    DayPlan,
    Plan,
    ScheduleError,
    chapter_of,
    plan_of,
)

ASKED = re.compile(r"^% schedule (\S+)$", re.M)
STEP = 5  # minutes to which a block is rounded up
Runs = Mapping[str, Mapping[str, Any] | None]


def newly_run(blocks: tuple[Block, ...], chapters: Mapping[str, Chapter]) -> Iterator[float]:
    """Yield, for each block of a day, the seconds of the cells that run in it for the first time.

    Sections that are left out run too, since later cells use what they made. Exercises stand behind
    all sections and need every one of them. A new day begins with a new kernel.
    """
    reached: dict[str, int] = {}
    for block in blocks:
        sections = chapters[block.chapter].sections if block.chapter else {}
        names, first = list(sections), reached.get(block.chapter, 0)
        ends = [names.index(name) + 1 for name in block.sections]
        last = max([first, *ends, len(names) if block.exercises else 0])
        reached[block.chapter] = last
        yield sum(list(sections.values())[first:last])


def parts_of(block: Block, seconds: float, chapter: Chapter | None) -> dict[str, int]:
    """Return the minutes of which a block is made, by what they are for."""
    tasks = [chapter.exercises[number].minutes for number in block.exercises] if chapter else []
    parts = {"talk": block.talk, "reading": block.reading, "exercises": sum(tasks)}
    parts |= {"running": math.ceil(seconds / 60), "pause": block.pause}
    return {name: minutes for name, minutes in parts.items() if minutes}


def timed_blocks(
    day: DayPlan, reserve: float, chapters: Mapping[str, Chapter]
) -> list[tuple[Block, dict[str, int], int]]:
    """Return each block of a day, the minutes of its parts, and its length, rounded up."""
    out = []
    for block, seconds in zip(day.blocks, newly_run(day.blocks, chapters), strict=True):
        parts = parts_of(block, seconds * reserve, chapters.get(block.chapter))
        out.append((block, parts, STEP * math.ceil(sum(parts.values()) / STEP)))
    return out


def check_fits(day: DayPlan, reserve: float, chapters: Mapping[str, Chapter]) -> None:
    """Raise a ScheduleError if a day is too long although no chapter takes more than it may.

    On a machine that is slower than that, a page says so instead: the plan is not at fault.
    """
    allowed = {
        stem: replace(chapter, sections=within_budget(chapter))
        for stem, chapter in chapters.items()
    }
    minutes = sum(length for *_, length in timed_blocks(day, reserve, allowed))
    if minutes > day.limit:
        raise ScheduleError(
            f"{day.name}: {minutes} minutes do not fit into {day.limit}. Leave out a section or an "
            "exercise, or raise the limit"
        )


def within_budget(chapter: Chapter) -> dict[str, float]:
    """Return the seconds of the sections, shortened if the whole chapter takes more than it may."""
    total = sum(chapter.sections.values())
    share = min(1.0, BUDGET / total) if total else 1.0
    return {name: seconds * share for name, seconds in chapter.sections.items()}


def shown(block: Block, chapters: Mapping[str, Chapter]) -> str:
    """Return what is done in a block, with links, as the cell of a table."""
    if not block.chapter:
        return cell_text(block.what)
    chapter = chapters[block.chapter]
    named = [f"**Chapter {chapter.stem[:2]}**"]
    named += [cell_text(block.what)] * bool(block.what)
    named += [link(name, chapter.stem, name) for name in block.sections]
    tasks = [chapter.exercises[number] for number in block.exercises]
    named += [f"exercise {one.number}, {link_to(one, chapter.stem)} ({one.level})" for one in tasks]
    return "<br>".join(named)


def day_table(day: DayPlan, reserve: float, chapters: Mapping[str, Chapter]) -> str:
    """Return the table of one day, and a warning under it if it is too long on this machine."""
    rows, clock = ["| From | What | Minutes | Made of |", "|---|---|--:|---|"], day.start
    for block, parts, length in timed_blocks(day, reserve, chapters):
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


def provenance(plan: Plan, chapters: Mapping[str, Chapter]) -> str:
    """Say how the running times were come by, of the chapters that the plan uses."""
    used = dict.fromkeys(block.chapter for day in plan.days for block in day.blocks)
    lines = [
        f"- Chapter {stem[:2]}: {chapters[stem].measured}." for stem in sorted(filter(None, used))
    ]
    lead = (
        f"*Running* is what the cells took when these pages were built, times {plan.reserve:g} for "
        f"slow laptops. Every block is rounded up to {STEP} minutes."
    )
    return "\n".join([lead, "", *lines])


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
    plan = plan_of(text, name, chapters)
    out = []
    for number, day in enumerate(plan.days, 1):
        check_fits(day, plan.reserve, chapters)
        out += [f"### Day {number}"] * (len(plan.days) > 1)
        out.append(day_table(day, plan.reserve, chapters))
    return "\n\n".join([*out, provenance(plan, chapters)])


def with_schedules(files: Mapping[str, bytes], runs: Runs) -> dict[str, bytes]:
    """Return staged files with the schedules on the pages that ask for them.

    Parameters
    ----------
    runs
        What `runstats.measured` kept of each chapter's run, by the stem of its notebook.
    """

    @cache
    def chapters() -> dict[str, Chapter]:
        every = staged_chapters(files).items()
        return {stem: chapter_of(stem, book, runs.get(stem)) for stem, book in every}

    def made(asked: re.Match[str]) -> str:
        return schedule(files[PLAN].decode("utf-8"), asked[1], chapters())

    return answered(files, ASKED, made)
