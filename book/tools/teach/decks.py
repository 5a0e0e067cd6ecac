"""The slides of a chapter, from its outline.

A `##` section is a group: its title with its question, then, one below the other, its tagged
cells, what its prose sets apart (a list, a displayed formula, a table, an admonition), its
exercises and its quiz. All other prose is in the notes of the speaker.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from book.tools.teach import shown
from book.tools.teach.captions import caption, gist, lead, opening_line, size
from book.tools.teach.exercises import DIFFICULTY
from book.tools.teach.outline import Cell, Item, Outline, Quiz, Section
from book.tools.teach.prose import Block, Prose, sentences

SET_APART = ("list", "formula", "table", "admonition")
# One closes every deck, the other is for reading.
APART = {"Take-aways", "Further reading"}
LONGEST_CODE = 8
LONGEST_POINT = 170


@dataclass(frozen=True)
class Slide:
    """One slide: its looks (classes), its HTML, and the notes of the speaker in HTML."""

    look: str
    body: str
    notes: str = ""


class Deck:
    """Makes the slides of one chapter.

    Parameters
    ----------
    outline
        The chapter.
    prose
        Turns its markdown into HTML.
    """

    def __init__(self, outline: Outline, prose: Prose) -> None:
        self.outline = outline
        self.prose = prose

    def groups(self) -> list[list[Slide]]:
        """Return all slides but the last, which is the same for every chapter."""
        sections = [s for s in self.outline.sections if s[0].title not in APART]
        closing = [s[0] for s in self.outline.sections if s[0].title == "Take-aways"]
        return [
            [self.opening()],
            [self.points("What you will be able to do", self.outline.points)],
            *([*self.section(parts)] for parts in sections),
            *([self.take_aways(part)] for part in closing),
        ]

    def opening(self) -> Slide:
        """Return the slide with the title and the question."""
        title, question = self.outline.title, self.outline.question
        body = f"<h1>{self.prose.line(title)}</h1><p>{self.prose.line(question)}</p>"
        return Slide("title", body)

    def points(self, title: str, points: Sequence[str], notes: str = "") -> Slide:
        """Return a slide with a list."""
        return Slide(size(*points), f"<h2>{html.escape(title)}</h2>{self.listed(points)}", notes)

    def listed(self, points: Sequence[str], tag: str = "ul") -> str:
        """Return points as a list."""
        items = (f"<li>{self.prose.line(point.rstrip(';'))}</li>" for point in points)
        return f"<{tag}>{''.join(items)}</{tag}>"

    def take_aways(self, section: Section) -> Slide:
        """Return the slide of the take-aways; what they say in full is in the notes."""
        blocks = section.lead()
        items = [item for block in blocks for item in block.items]
        return self.points(
            section.title, [gist(item, LONGEST_POINT) for item in items], self.notes(blocks)
        )

    def notes(self, blocks: Sequence[Block]) -> str:
        """Return prose as notes of the speaker."""
        return "\n".join(self.prose.html(block.text) for block in blocks)

    def section(self, parts: Sequence[Section]) -> Iterator[Slide]:
        """Yield the slides of one `##` section."""
        yield self.heading(parts)
        for part in parts:
            if part.exercise:
                yield self.exercise(part)
                continue
            for index, item in enumerate(part.items):
                if isinstance(item, Quiz):
                    yield self.quiz(item)
                elif isinstance(item, Cell) and item.shown:
                    yield from self.cell(part, index, item)
                elif isinstance(item, Block) and item.kind in SET_APART:
                    yield self.set_apart(part, index, item)

    def heading(self, parts: Sequence[Section]) -> Slide:
        """Return the slide that opens a section: its title, and its question or first sentence."""
        words = parts[0].lead()
        text = next((block.text for block in words if block.kind == "paragraph"), "")
        line = opening_line(sentences(text))
        body = f"<h2>{self.prose.line(parts[0].title)}</h2><p>{self.prose.line(line)}</p>"
        return Slide("section", body, self.notes(words))

    def label(self, part: Section) -> str:
        """Return the small heading of a slide within a section."""
        return f"<h3>{self.prose.line(part.title)}</h3>"

    def around(self, items: Sequence[Item], index: int) -> tuple[list[Block], list[Block]]:
        """Return the paragraph before an item, and the prose between it and the next cell."""
        before = [item for item in items[:index] if isinstance(item, Block)][-1:]
        after: list[Block] = []
        for item in items[index + 1 :]:
            if isinstance(item, Block):
                after.append(item)
            elif after:
                break
        return before, after

    def above(self, items: Sequence[Item], index: int) -> str:
        """Return the sentence that leads to an item, if it is short and stands right before it."""
        last = items[index - 1] if index else None
        if not isinstance(last, Block) or last.kind != "paragraph":
            return ""
        told = lead(sentences(last.text))
        return f'<p class="caption">{self.prose.line(told)}</p>' if told else ""

    def below(self, items: Sequence[Item], index: int) -> str:
        """Return the sentence that says what to see, if it is short and stands right after."""
        following = next(iter(items[index + 1 : index + 2]), None)
        if not isinstance(following, Block) or following.kind != "paragraph":
            return ""
        seen = caption(sentences(following.text))
        # One that ends in a colon speaks of what comes next.
        told = seen and not seen.endswith(":")
        return f'<p class="caption fragment">{self.prose.line(seen)}</p>' if told else ""

    def cell(self, part: Section, index: int, cell: Cell) -> Iterator[Slide]:
        """Yield the slide of a tagged cell; code beside a figure has one of its own before it."""
        before, after = self.around(part.items, index)
        notes = self.notes([*before, *after])
        outputs = [shown.shown(output) for output in cell.outputs]
        kinds = {output.kind for output in outputs}
        code = shown.code(cell.source)
        fails = "fails-on-purpose" in cell.tags
        look = "fails cell" if fails else "cell"
        short_code = kinds <= {"printed"} and len(cell.source.splitlines()) <= LONGEST_CODE
        if fails and "figure" in kinds:
            yield Slide(look, self.label(part) + self.parts([code]), notes)
        elif fails or short_code or not outputs:
            outputs.insert(0, code)
        below = self.below(part.items, index) if kinds else ""
        above = "" if below else self.above(part.items, index)
        yield Slide(look, self.label(part) + self.parts(outputs, above, below), notes)

    def parts(self, parts: Sequence[shown.Part], above: str = "", below: str = "") -> str:
        """Return what a cell shows, with the number of lines that have to share the slide."""
        rows = sum(part.rows for part in parts) + 2 * bool(above or below)
        inside = "".join([above, *(part.html for part in parts), below])
        return f'<div class="parts" style="--rows:{rows:g}">{inside}</div>'

    def set_apart(self, part: Section, index: int, block: Block) -> Slide:
        """Return the slide of a list, a formula, a table or an admonition."""
        before, after = self.around(part.items, index)
        above, below, style = self.above(part.items, index), "", ""
        if block.kind == "list":
            points = [gist(item) for item in block.items]
            inside = self.listed(points, "ol" if block.ordered else "ul")
            look = size(*points)
        else:
            # Each row of a table, each paragraph of an admonition begins a new line.
            inside, look = self.prose.html(block.text), size(*block.text.splitlines())
        if block.kind == "formula":
            below, style = self.below(part.items, index), f' style="--columns:{len(block.text)}"'
        body = f'{self.label(part)}{above}<div class="apart"{style}>{inside}</div>{below}'
        notes = self.notes([*before, block, *after] if block.kind == "list" else [*before, *after])
        return Slide(f"{block.kind} {look}", body, notes)

    def exercise(self, part: Section) -> Slide:
        """Return the slide of an exercise: what it asks, never how it is solved."""
        words = part.lead()
        level = [
            match[0].strip("*.") for block in words if (match := DIFFICULTY.fullmatch(block.text))
        ]
        asked = [block for block in words if not DIFFICULTY.fullmatch(block.text)]
        line = "".join(f'<p class="difficulty">{text}</p>' for text in level)
        body = f"<h2>{self.prose.line(part.title)}</h2>{line}{self.notes(asked)}"
        return Slide(f"exercise {size(*(block.text for block in asked))}", body)

    def quiz(self, quiz: Quiz) -> Slide:
        """Return the slide of a question; why an answer is right or not comes on demand."""
        answers = "".join(
            f'<li>{answer}<p class="fragment {"right" if right else "wrong"}">'
            f"{'✓' if right else '✗'} {self.prose.line(why)}</p></li>"
            for right, answer, why in quiz.answers
        )
        body = f"<h2>{self.prose.line(quiz.question)}</h2><ol>{answers}</ol>"
        told = [answer + why for _, answer, why in quiz.answers]
        return Slide(f"question {size(quiz.question, *told)}", body)
