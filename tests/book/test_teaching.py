"""The teaching pages: each chapter has its notes, and they speak of what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from book.tools.chapters.keys import source
from book.tools.chapters.run import find_notebooks, load
from book.tools.chapters.text import by_title, headings
from book.tools.teach.exercises import exercises
from book.tools.teach.notebooks import BY_SECTION

ROOT = Path(__file__).resolve().parents[2]
TEACHING = ROOT / "book" / "teaching"
SECTIONS = ["What students get wrong", "Questions to ask", "What to skip", BY_SECTION]
CHAPTERS = [path for path in find_notebooks(ROOT) if path.name[0].isdigit()]
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)


def notes(chapter: Path) -> dict[str, str]:
    """Return the notes on a chapter, by their sections."""
    return by_title((TEACHING / f"{chapter.stem}.md").read_text("utf-8"), 2)


def sections(chapter: Path) -> list[str]:
    """Return the titles of a chapter's sections."""
    cells = [cell for cell in load(chapter)["cells"] if cell["cell_type"] == "markdown"]
    return [h.title for cell in cells for h in headings(source(cell), 2) if h.level == 2]


@each_chapter
def test_notes_have_the_agreed_sections_and_one_for_each_of_the_chapter(chapter: Path) -> None:
    assert list(notes(chapter)) == SECTIONS
    assert all(text.strip() for text in notes(chapter).values())
    found = by_title(notes(chapter)[BY_SECTION], 3)
    assert list(found) == sections(chapter)
    timed = re.compile(r"\*\*(Homework|\d+( to \d+)? minutes?[^*]*)\.\*\* ")
    assert [name for name, text in found.items() if not timed.match(text)] == []


@each_chapter
def test_what_to_skip_names_sections_and_three_lengths(chapter: Path) -> None:
    text = " ".join(notes(chapter)["What to skip"].split())
    assert re.findall(r"\*\*(\d+) minutes\.\*\*", text) == ["30", "60", "90"]
    named = re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", text)
    assert named
    assert set(named) - set(sections(chapter)) == set()


@each_chapter
def test_each_question_has_an_answer_and_all_can_stand_in_a_notebook(chapter: Path) -> None:
    """The teacher's notebooks quote the notes, and Jupyter knows no roles of Sphinx."""
    asked = notes(chapter)["Questions to ask"].split("\n\n")
    answered = re.compile(r"\*[^*]+[.?]\*\s\S", re.DOTALL)
    assert len(asked) >= 5
    assert [text for text in asked if not answered.match(text)] == []
    text = (TEACHING / f"{chapter.stem}.md").read_text("utf-8")
    assert re.findall(r"\{\w+\}`|\]\((?!https?:)", text) == []


@each_chapter
def test_notes_name_only_exercises_that_exist(chapter: Path) -> None:
    text = (TEACHING / f"{chapter.stem}.md").read_text("utf-8")
    named = {int(n) for n in re.findall(r"[Ee]xercises? (\d)", text)}
    there = {exercise.number for exercise in exercises(load(chapter))}
    assert named <= there


def test_every_teaching_page_is_in_the_contents() -> None:
    parts = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text("utf-8"))["parts"]
    [part] = [part for part in parts if part["caption"] == "Teach with it"]
    [entry] = part["chapters"]  # one line of the menu, and the others below it
    listed = {entry["file"], *(inner["file"] for inner in entry["sections"])}
    assert listed == {f"book/teaching/{path.stem}" for path in TEACHING.glob("*.md")}


def test_every_command_on_the_teaching_pages_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, re.M))
    texts = [path.read_text("utf-8") for path in TEACHING.glob("*.md")]
    named = {name for text in texts for name in re.findall(r"make ([a-z]+)\b(?=`|\n)", text)}
    assert {"workshop", "student", "wheels"} <= named <= targets
