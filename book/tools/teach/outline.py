"""What a chapter consists of: its opening, its sections, and in them prose, code and quizzes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from book.tools.chapters.keys import source
from book.tools.teach.exercises import HEADING
from book.tools.teach.prose import Block, blocks

QUIZ = re.compile(r'^<div class="quiz">\n\n(.*?)\n</div>$', flags=re.MULTILINE | re.DOTALL)
QUESTION = re.compile(r"\*\*(.+?)\*\*\n", flags=re.DOTALL)
ANSWER = re.compile(
    r'<details class="(right|wrong)"><summary>(.+?)</summary>\n\n(.+?)\n\n</details>',
    flags=re.DOTALL,
)


class OutlineError(Exception):
    """A notebook is no chapter; the message says what it lacks."""


@dataclass(frozen=True)
class Cell:
    """A code cell: its source, its tags and its outputs as the notebook has them."""

    source: str
    tags: frozenset[str]
    outputs: list[dict[str, Any]]

    @property
    def shown(self) -> bool:
        """Whether the cell goes into the slides; a solution never does."""
        return "slide" in self.tags and "solution" not in self.tags


@dataclass(frozen=True)
class Quiz:
    """A question and its answers: whether it is right, the answer (HTML), why (markdown)."""

    question: str
    answers: tuple[tuple[bool, str, str], ...]


Item = Block | Cell | Quiz


@dataclass
class Section:
    """A part of a chapter under one `##` heading, or under one `###` heading of it."""

    title: str
    items: list[Item] = field(default_factory=list)

    @property
    def exercise(self) -> bool:
        """Whether this is an exercise, with its solution."""
        return HEADING.match(self.title) is not None

    def lead(self) -> list[Block]:
        """Return the prose before the first cell."""
        found: list[Block] = []
        for item in self.items:
            if not isinstance(item, Block):
                break
            found.append(item)
        return found


@dataclass
class Outline:
    """A chapter: title, question, opening points, and each section with its parts.

    Each list in `sections` begins with what stands under the `##` heading itself.
    """

    title: str
    question: str
    points: tuple[str, ...]
    sections: list[list[Section]]


def items_of(notebook: dict[str, Any]) -> Iterator[Item]:
    """Yield the prose, the code and the quizzes of a notebook, in their order."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            tags = frozenset(cell["metadata"].get("tags", []))
            yield Cell(source(cell), tags, cell["outputs"])
        elif cell["cell_type"] == "markdown":
            for number, part in enumerate(QUIZ.split(source(cell))):
                yield from [quiz(part)] if number % 2 else blocks(part)


def quiz(text: str) -> Quiz:
    """Read one question with its answers.

    Raises
    ------
    OutlineError
        If the text has no question in bold, or no answers.
    """
    question, answers = QUESTION.match(text), ANSWER.findall(text)
    if question is None or not answers:
        raise OutlineError(f"this quiz has no question in bold or no answers: {text[:60]!r}")
    told = tuple((kind == "right", answer, why) for kind, answer, why in answers)
    return Quiz(" ".join(question[1].split()), told)


def opening(first: list[Item]) -> tuple[str, tuple[str, ...]]:
    """Return the question and the points of a chapter's first cell."""
    prose = [item for item in first if isinstance(item, Block)]
    question = next((block.text for block in prose if block.kind == "paragraph"), "")
    points = next((block.items for block in prose if block.kind == "list"), ())
    return " ".join(question.split()), points


def outline(notebook: dict[str, Any]) -> Outline:
    """Divide a chapter into its sections.

    Raises
    ------
    OutlineError
        If it does not begin with a title, or a quiz cannot be read.
    """
    items = list(items_of(notebook))
    if not items or not isinstance(items[0], Block) or items[0].level != 1:
        raise OutlineError("the first cell is not markdown that starts with '# Title'")
    first: list[Item] = []
    sections: list[list[Section]] = []
    for item in items[1:]:
        if isinstance(item, Block) and item.kind == "heading":
            if item.level == 2 or not sections:
                sections.append([])
            sections[-1].append(Section(item.text))
        else:
            (sections[-1][-1].items if sections else first).append(item)
    return Outline(items[0].text, *opening(first), sections)
