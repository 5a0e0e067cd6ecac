"""The slides of a chapter, as a notebook that nbconvert turns into a deck.

A `##` section is a column of slides: its title with its question, then its tagged cells, what its
prose sets apart (a list, a displayed formula, a table, an admonition), its exercises and its quiz.
What the prose says from one slide to the next is in the notes of the speaker, after what
`book/teaching` notes on the section.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book.tools.chapters.keys import source
from book.tools.teach.exercises import HEADING
from book.tools.teach.notebooks import Notebook, without_solutions

PARSER = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)
QUIZ = re.compile(r'^<div class="quiz">\n\n(.*?)\n</div>$', flags=re.MULTILINE | re.DOTALL)
QUESTION = re.compile(r"\*\*(.+?)\*\*\n", flags=re.DOTALL)
ANSWER = re.compile(
    r'(?s)<details class="(right|wrong)"><summary>(.+?)</summary>\n\n(.+?)\n\n</details>'
)
# Here an explanation comes on demand, as all that appears bit by bit.
ON_DEMAND = r'<li>\2\n<div class="fragment \1">\n\n\3\n\n</div>\n</li>'
SET_APART = {"math_block": "formula", "table": "table", "blockquote": "admonition"}
SET_APART |= dict.fromkeys(("bullet_list", "ordered_list"), "list")
NUMBERED = re.compile(r"^\*\*Figure \d+\.\*\*\s*")
# Prose that points elsewhere on the page says nothing on a slide, nor does what leads to it.
POINTS_AWAY = re.compile(r"\b(the table|above|below)\b|:$")
# A sentence that begins so needs the one before it, as does a question of a few words.
LEANS = re.compile(r"(They|It|That|This|These|Those|So)\b")
FEW_WORDS = 9
STOP = re.compile(r"[.?!][\"*)]*\s+(?=[^\sa-z])")  # not after an abbreviation
LONGEST_CAPTION, LONGEST_OPENING, LONGEST_CODE = 130, 190, 8
LAST, LEFT_OUT = "Take-aways", ("Further reading", "References")


class SlidesError(ValueError):
    """The slides cannot be made; the message says why."""


@dataclass(frozen=True)
class Item:
    """A block of prose, a quiz or a cell: its kind as markdown-it says it, and its text."""

    kind: str
    text: str
    cell: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What a heading says."""
        return self.text.lstrip("# ")


@dataclass
class Slide:
    """One slide: its class, its cells, and what the speaker has to say."""

    look: str
    parts: list[NotebookNode]
    notes: list[str] = field(default_factory=list)

    def cells(self, kind: str) -> Iterator[NotebookNode]:
        """Yield its cells, the first of which begins a slide of this kind."""
        self.parts[0].metadata.update(look=self.look, slideshow={"slide_type": kind})
        yield from self.parts
        if notes := "\n\n".join(filter(None, self.notes)):
            yield words(notes, slideshow={"slide_type": "notes"})


def words(text: str, **about: Any) -> NotebookNode:
    """Return a cell of Markdown."""
    cell: NotebookNode = new_markdown_cell(text, metadata=about)
    return cell


def items(cells: Iterable[Mapping[str, Any]]) -> Iterator[Item]:
    """Yield the blocks, the quizzes and the code of a chapter, in their order."""
    for cell in cells:
        if "remove-cell" in cell["metadata"].get("tags", []):
            continue
        if cell["cell_type"] == "code":
            yield Item("code", source(dict(cell)), cell)
            continue
        for number, text in enumerate(QUIZ.split(source(dict(cell)))):
            yield from [Item("quiz", text)] if number % 2 else blocks(text)


def blocks(text: str) -> Iterator[Item]:
    """Yield the blocks of a text; the kind of a heading is "h1", "h2" and so on."""
    lines = text.splitlines()
    for token in PARSER.parse(text):
        if token.level == 0 and token.nesting != -1 and token.map:
            kind = token.tag if token.type == "heading_open" else token.type.removesuffix("_open")
            yield Item(kind, "\n".join(lines[slice(*token.map)]).strip())


def sentences(paragraph: str) -> list[str]:
    """Divide a paragraph into its sentences; what is in brackets or emphasised stays whole."""
    text = " ".join(paragraph.split())
    found, start = [], 0
    for stop in STOP.finditer(text):
        piece = text[start : stop.end()]
        even = all(piece.count(mark) % 2 == 0 for mark in ("**", "*", "`", "$", '"'))
        if even and piece.count("(") == piece.count(")"):
            found.append(piece.strip())
            start = stop.end()
    return [*found, text[start:]] if text[start:] else found


def opening_line(paragraph: str) -> str:
    """Return what opens a section: its first question, else its first sentence, if short."""
    said = sentences(paragraph)
    asked = next((i for i, one in enumerate(said) if one.rstrip("*").endswith("?")), 0)
    first = asked - (asked > 0 and len(said[asked].split()) < FEW_WORDS)
    line = re.sub(":$", ".", " ".join(said[first : asked + 1]))
    return line if len(line) <= LONGEST_OPENING else ""


def gist(points: str) -> str:
    """Return a list with the first sentence of each point; mere bold words count as none."""
    short = []
    for point in re.split(r"\n(?=[-*+] |\d+\. )", points):
        told, *others = sentences(point) or [""]
        while others and (told.endswith("**") or len(told) + len(others[0]) < LONGEST_CAPTION):
            told = f"{told} {others.pop(0)}"
        short.append(told)
    return "\n".join(short)


def caption(beside: Item | None, *, before: bool) -> list[NotebookNode]:
    """Return the sentence that leads to something, or that says what to see, if it is short."""
    text = NUMBERED.sub("", beside.text) if beside and beside.kind == "paragraph" else ""
    said = sentences(text)
    line = (said[-1] if before else said[0]) if said else ""
    alone = not (before and LEANS.match(line)) and not POINTS_AWAY.search(line.rstrip(":"))
    alone &= before or not (line.endswith(":") or line[:1].islower())
    if not line or not alone or len(line) > LONGEST_CAPTION:
        return []
    return [words(line, caption=True, slideshow={"slide_type": "-" if before else "fragment"})]


def framed(
    look: str, label: str, body: NotebookNode, around: Sequence[Item | None], *, told: bool
) -> Slide:
    """Return a slide under a small heading, with a sentence below if `told`, else above."""
    below = caption(around[1], before=False) if told else []
    above = [] if below else caption(around[0], before=True)
    return Slide(look, [words(f"### {label}"), *above, body, *below])


def of_cell(label: str, item: Item, around: Sequence[Item | None]) -> Iterator[Slide]:
    """Yield the slide of a tagged cell; code that fails and draws has one of its own before it."""
    outputs = item.cell["outputs"]
    kinds = {kind for output in outputs for kind in output.get("data", {})} - {"text/plain"}
    tags = item.cell["metadata"]["tags"]
    fails, folded = "fails-on-purpose" in tags, "hide-input" in tags
    look = "fails cell" if fails else "cell"
    if apart := fails and not folded and "image/png" in kinds:
        yield Slide(look, [words(f"### {label}"), new_code_cell(item.text)])
    few = not kinds and len(item.text.splitlines()) <= LONGEST_CODE
    away = apart or folded or not (fails or few or not outputs)
    hidden = {"transient": {"remove_source": away}}
    shown = new_code_cell(item.text, outputs=outputs, metadata=hidden)
    yield framed(look, label, shown, around, told=bool(outputs))


def set_apart(label: str, item: Item, around: Sequence[Item | None]) -> Slide:
    """Return the slide of a list, a formula, a table or an admonition."""
    look = SET_APART[item.kind]
    body = words(gist(item.text) if look == "list" else item.text)
    slide = framed(look, label, body, around, told=look == "formula")
    slide.notes += [item.text] if look == "list" else []
    return slide


def quiz(text: str) -> Slide:
    """Return the slide of a question.

    Raises
    ------
    SlidesError
        If the text has no question in bold, or no answers.
    """
    question, answers = QUESTION.match(text), list(ANSWER.finditer(text))
    if question is None or not answers:
        raise SlidesError(f"this quiz has no question in bold or no answers: {text[:60]!r}")
    told = "\n".join(answer.expand(ON_DEMAND) for answer in answers)
    return Slide("question", [words(f"## {question[1]}\n\n<ol>\n{told}\n</ol>")])


def section(title: str, found: list[Item], note: str) -> Iterator[Slide]:
    """Yield the slides of one `##` section; an exercise is asked for as the chapter asks."""
    lead = found[0].text if found and found[0].kind == "paragraph" else ""
    slide = Slide("section", [words(f"## {title}\n\n{opening_line(lead)}")], [note])
    for before, item, after in zip([None, *found], found, [*found[1:], None], strict=False):
        made: list[Slide] = []
        if item.kind == "h3":
            title = item.title
            made = [Slide("exercise", [words(f"## {title}")])] if HEADING.match(title) else []
        elif item.kind == "quiz":
            made = [quiz(item.text)]
        elif item.kind == "code":
            if "slide" in item.cell["metadata"].get("tags", []):
                made = [*of_cell(title, item, (before, after))]
        elif HEADING.match(title):
            slide.parts.append(words(item.text))
        elif item.kind in SET_APART:
            made = [set_apart(title, item, (before, after))]
        else:
            slide.notes.append(item.text)
        for new in made:
            yield slide
            slide = new
    yield slide


def opening(found: Sequence[Item]) -> Iterator[Slide]:
    """Yield the slide with title and question, and that with what the chapter teaches.

    Raises
    ------
    SlidesError
        If the chapter does not begin with a title.
    """
    if not found or found[0].kind != "h1":
        raise SlidesError("the first cell is not markdown that starts with '# Title'")
    texts = {item.kind: item.text for item in reversed(found)}
    yield Slide("title", [words(f"{texts['h1']}\n\n{texts.get('paragraph', '')}")])
    points = texts.get("bullet_list", "")
    yield Slide("list", [words(f"## What you will be able to do\n\n{points}")])


def columns(notebook: Notebook, notes: Mapping[str, str]) -> Iterator[list[Slide]]:
    """Yield the slides of a chapter but for the last, section by section.

    Raises
    ------
    SlidesError
        If the chapter does not begin with a title, or a quiz cannot be read.
    """
    sections: dict[str, list[Item]] = {"": []}
    for item in items(without_solutions(notebook, {})):
        if item.kind == "h2":
            sections[item.title] = []
        else:
            [*sections.values()][-1].append(item)
    yield from ([slide] for slide in opening(sections.pop("")))
    last = sections.pop(LAST, [])
    for title, found in sections.items():
        if title not in LEFT_OUT:
            yield [*section(title, found, notes.get(title, ""))]
    if last:
        whole = "\n\n".join(item.text for item in last)
        points = gist(next((item.text for item in last if "list" in item.kind), ""))
        yield [Slide("list", [words(f"## {LAST}\n\n{points}")], [notes.get(LAST, ""), whole])]


def deck(notebook: Notebook, notes: Mapping[str, str]) -> NotebookNode:
    """Return the slides of a chapter but for the last, which is the same for all.

    Parameters
    ----------
    notebook
        The chapter, in plain Markdown.
    notes
        What a teacher should know of a section, by its title.

    Raises
    ------
    SlidesError
        If the chapter does not begin with a title, or a quiz cannot be read.
    """
    cells: list[NotebookNode] = []
    for column in columns(notebook, notes):
        for slide in column:
            cells += slide.cells("slide" if slide is column[0] else "subslide")
    made: NotebookNode = new_notebook(cells=cells)
    return made
