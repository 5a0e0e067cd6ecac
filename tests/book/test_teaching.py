"""The teaching pages: each chapter has its notes, and they speak of what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from book.tools.chapters.keys import prose
from book.tools.chapters.run import find_notebooks, load
from book.tools.chapters.text import by_title, headings
from book.tools.teach.exercises import exercises
from book.tools.teach.notebooks import BY_SECTION

ROOT = Path(__file__).resolve().parents[2]
TEACHING = ROOT / "book" / "teaching"
SECTIONS = ["What students get wrong", "Questions to ask", "What to skip", BY_SECTION]
CHAPTERS = [path for path in find_notebooks(ROOT) if path.name[0].isdigit()]
TIMED = re.compile(r"\*\*(Homework|\d+( to \d+)? minutes?[^*]*)\.\*\* ")
ANSWERED = re.compile(r"\*[^*]+[.?]\*\s\S", re.DOTALL)


def notes(chapter: Path) -> dict[str, str]:
    """Return the notes on a chapter, by their sections."""
    return by_title((TEACHING / f"{chapter.stem}.md").read_text("utf-8"), 2)


def sections(chapter: Path) -> list[str]:
    """Return the titles of a chapter's sections."""
    return [h.title for text in prose(load(chapter)) for h in headings(text, 2) if h.level == 2]


def faults(chapter: Path) -> Iterator[str]:
    """Yield what is wrong with the notes on a lesson."""
    text = (TEACHING / f"{chapter.stem}.md").read_text("utf-8")
    found, there = notes(chapter), sections(chapter)
    if list(found) != SECTIONS or not all(part.strip() for part in found.values()):
        yield f"its sections are {[*found]}, not {SECTIONS}"
        return
    by_section = by_title(found[BY_SECTION], 3)
    if list(by_section) != there:
        yield f"it has notes on {[*by_section]}, and the lesson has {there}"
    yield from (f"no minutes for {name}" for name, n in by_section.items() if not TIMED.match(n))
    skip = " ".join(found["What to skip"].split())
    if "**30 minutes" not in skip:
        yield "'What to skip' does not say what fits into 30 minutes"
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", skip))
    yield from (f"'What to skip' names no section: {name}" for name in named - {*there})
    asked = found["Questions to ask"].split("\n\n")
    yield from (f"no answer to expect: {one}" for one in asked if not ANSWERED.match(one))
    if len(asked) < 3:
        yield f"{len(asked)} questions, not one for each quarter of an hour"
    if roles := re.findall(r"\{\w+\}`|\]\((?!https?:)", text):  # Jupyter knows no roles of Sphinx
        yield f"what no notebook can show: {roles}"
    exercises_named = {int(n) for n in re.findall(r"[Ee]xercises? (\d)", text)}
    if unknown := exercises_named - {one.number for one in exercises(load(chapter))}:
        yield f"no such exercise: {unknown}"


def test_the_notes_on_each_lesson_are_whole_and_name_what_is_there() -> None:
    found = [f"{chapter.stem}: {fault}" for chapter in CHAPTERS for fault in faults(chapter)]
    assert not found, "\n" + "\n".join(found)


def test_every_teaching_page_is_in_the_contents() -> None:
    parts = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text("utf-8"))["parts"]
    [part] = [part for part in parts if part["caption"] == "Teach with it"]
    [entry] = part["chapters"]  # one line of the menu, and the others below it
    listed = {entry["file"], *(inner["file"] for inner in entry["sections"])}
    assert listed == {f"book/teaching/{path.stem}" for path in TEACHING.glob("*.md")}


def test_the_handout_has_the_pitfalls_of_the_lesson_in_their_order() -> None:
    (lesson,) = (path for path in CHAPTERS if path.stem == "03_pitfalls")
    shown = re.findall(r"^### Pitfall (\d) · (\S+)", "\n".join(prose(load(lesson))), re.MULTILINE)
    handout = (TEACHING / "handout.md").read_text("utf-8")
    assert re.findall(r"^\| (\d) \| (\S+)", handout, re.MULTILINE) == shown


def test_every_command_on_the_teaching_pages_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, re.M))
    texts = [path.read_text("utf-8") for path in TEACHING.glob("*.md")]
    named = {name for text in texts for name in re.findall(r"make ([a-z]+)\b(?=`|\n)", text)}
    assert {"workshop", "student", "wheels"} <= named <= targets
