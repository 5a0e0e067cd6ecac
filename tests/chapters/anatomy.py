"""The anatomy of a lesson, as checks: each takes a notebook and returns what is wrong with it.

An appendix, `A1_…`, is checked by those of `PLAIN` alone.
"""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

import ast
import math
import re
import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from nbformat import NotebookNode

from book.tools.pages import address
from book.tools.teach.blanks import has_blanks
from book.tools.teach.exercises import FOLD, FOLD_END, ExerciseError, exercises, in_words
from book.tools.teach.notebooks import student
from tests.chapters.running import ROOT, off_band, said

Check = Callable[[NotebookNode], list[str]]

PARAMETERS = {"PROFILE": "full", "SEED": 0, "DATA": "builtin"}
# No tag of nbval or papermill that skips a cell or accepts an error.
TAGS = {"parameters", "solution", "hide-cell", "hide-input", "remove-cell"}
TAGS |= {"fails-on-purpose", "slide"}
OUT_OF_SIGHT = {"solution", "hide-cell", "remove-cell"}  # with what they show
ON_COLAB = ["colab", "remove-cell"]
WIDEST, WIDEST_FOLDED = 76, 100
MOST = {"words": 2500, "cells": 50, "visible lines of code": 250, "figures": 7}
MOST_BANDS, LONGEST_PLOT = 5, 4
# How Jupyter folds what the pages fold or leave out.
FOLDS = {
    "hide-input": {"source_hidden": True},
    "remove-cell": {"source_hidden": True, "outputs_hidden": True},
}
MINUTES = re.compile(r"^\*\*Reading:\*\* (\d+) minutes\. \*\*Exercises:\*\* (\d+) minutes\. ", re.M)
FIGURE = re.compile(r"\*\*Figure (\d+)\.\*\* \S")
FEWEST_SLIDES, MOST_SLIDES = 6, 20
# How a solution is folded, on the pages and in Jupyter.
FOLDED = {
    "mystnb": {
        "code_prompt_show": "Show the solution",
        "code_prompt_hide": "Hide the solution",
    },
    "jupyter": {"outputs_hidden": True, "source_hidden": True},
}
CLOSING = ["Take-aways", "On real patients", "Further reading"]
SHORTEST_ALT = 40
LARGEST_BYTES = 1_000_000
ABSOLUTE_PATH = re.compile(r"(?:^|[\s\"'(=])((?:/[\w.-]+){2,}|[A-Za-z]:\\\w+|file://\S+)", re.M)
UNSTABLE = re.compile(r"\b0x[0-9a-f]{6,}|[CG]PU times|Wall time|\d ?m?s/(?:step|epoch)|\d+it/s")
DIRECTIVE_IMAGE = re.compile(r"^([:`]{3,})\{(?:image|figure)\}(.*?)^\1", re.M | re.S)
ANSWER = re.compile(
    r'<details class="(right|wrong)"><summary>(.+?)</summary>\n\n(.+?)\n\n</details>', re.S
)


def code_cells(nb: NotebookNode) -> list[NotebookNode]:
    """Return the code cells that a reader sees: all but the one for Colab."""
    tags = [cell.metadata.get("tags", []) for cell in nb.cells]
    return [
        cell
        for cell, tagged in zip(nb.cells, tags, strict=True)
        if cell.cell_type == "code" and tagged != ON_COLAB
    ]


def syntax(cell: NotebookNode) -> ast.Module:
    """Parse a code cell; one that is not plain Python is empty here and found by check_syntax."""
    try:
        return ast.parse(cell.source)
    except SyntaxError:
        return ast.Module([], [])


def tagged(nb: NotebookNode, tag: str) -> list[NotebookNode]:
    return [cell for cell in nb.cells if tag in cell.metadata.get("tags", [])]


def told(nb: NotebookNode, words: set[str], *, by: bool) -> list[NotebookNode]:
    """Return the code cells that have one of these tags, or (by False) none of them."""
    return [c for c in code_cells(nb) if bool(words & set(c.metadata.get("tags", []))) is by]


def visible(nb: NotebookNode) -> list[NotebookNode]:
    """Return the cells whose code stands on the page."""
    return told(nb, {*OUT_OF_SIGHT, "hide-input"}, by=False)


def lines_of(cell: NotebookNode) -> list[str]:
    return [line for line in cell.source.splitlines() if line.strip()]


def has_figure(cell: NotebookNode) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.outputs)


def sizes(nb: NotebookNode) -> dict[str, int]:
    """Return what the book keeps small, by the names of `MOST`."""
    texts = [cell.source.split() for cell in nb.cells if cell.cell_type == "markdown"]
    counts = sum(map(len, texts)), len(nb.cells), sum(len(lines_of(c)) for c in visible(nb))
    return dict(zip(MOST, [*counts, sum(map(has_figure, code_cells(nb)))], strict=True))


def minutes(nb: NotebookNode) -> tuple[int, int]:
    """Return how long reading takes (200 words a minute, 6 seconds a line), and the exercises."""
    words, _, lines, _ = sizes(nb).values()
    return math.ceil(words / 200 + lines / 10), sum(one.minutes for one in exercises(nb))


def prose(nb: NotebookNode) -> str:
    """All markdown, without blocks of code or mathematics; the text in MyST directives stays."""
    text = "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    text = re.sub(r"^(`{3,})(?!`|\{)[^\n]*\n.*?^\1`*[ ]*$", "", text, flags=re.M | re.S)
    return re.sub(r"\$\$.*?\$\$", "", text, flags=re.S)


def sections(nb: NotebookNode) -> list[tuple[str, str]]:
    """Title and text of each `##` section, in order."""
    parts = re.split(r"^## +(.+)$", prose(nb), flags=re.M)[1:]
    return [(title.strip(), text) for title, text in zip(parts[::2], parts[1::2], strict=True)]


def bullets(text: str) -> list[str]:
    return re.findall(r"^(?:[-*+]|\d+\.) +(.+)$", text, flags=re.M)


def opening_points(nb: NotebookNode) -> list[str]:
    """The bullets right after *What you will be able to do*."""
    after = nb.cells[0].source.partition("**What you will be able to do**")[2]
    block = re.match(r"\W*\n+((?:(?:[-*+]|\d+\.| ) *.+\n?)+)", after)
    return bullets(block[1]) if block else []


def output_texts(nb: NotebookNode) -> Iterator[tuple[int, str]]:
    """Yield the index of a code cell and the text of one of its outputs."""
    for index, cell in enumerate(code_cells(nb)):
        for output in cell.outputs:
            yield index, output.get("text", "")
            for kind, data in output.get("data", {}).items():
                if kind.startswith("text/"):
                    yield index, data


def check_syntax(nb: NotebookNode) -> list[str]:
    return [
        f"code cell {index} is not plain Python: no magics, no shell commands"
        for index, cell in enumerate(code_cells(nb))
        if cell.source.strip()
        and not (syntax(cell).body or re.fullmatch(r"(\s*#.*)+", cell.source))
    ]


def check_opening(nb: NotebookNode) -> list[str]:
    first = nb.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        return ["the first cell is not markdown that starts with '# Title'"]
    wrong = []
    if len(re.findall(r"^# ", prose(nb), flags=re.M)) > 1:
        wrong.append("there is more than one '# Title'")
    paragraphs = [part.strip() for part in first.source.split("\n\n")][1:]
    sentence = paragraphs[0] if paragraphs else ""
    if not re.fullmatch(r"[^.?!]+(?:[.?!](?!\s)[^.?!]*)*[.?!]", sentence):
        wrong.append("after the title comes not one sentence that says which question is answered")
    if not 3 <= (points := len(opening_points(nb))) <= 5:
        wrong.append(
            f"'**What you will be able to do**' is followed by {points} points, not 3 to 5"
        )
    wanted = ("**Prerequisites:** ", "**Reading:** ", "**Running:** ")
    missing = [word for word in wanted if word not in first.source]
    return wrong + [f"the first cell has no {word!r}" for word in missing]


def check_minutes(nb: NotebookNode) -> list[str]:
    said = MINUTES.search(nb.cells[0].source)
    try:
        reading, doing = minutes(nb)
    except ExerciseError:
        return []  # see check_exercises
    if said and (int(said[1]), int(said[2])) == (reading, doing):
        return []
    line = f"**Reading:** {reading} minutes. **Exercises:** {doing} minutes. **Running:** …"
    return [f"the first cell must say {line!r}"]


def check_sizes(nb: NotebookNode) -> list[str]:
    return [
        f"{count} {what}, more than {MOST[what]}"
        for what, count in sizes(nb).items()
        if count > MOST[what]
    ]


def check_sight(nb: NotebookNode) -> list[str]:
    """A reader sees the method: no code of figures, no alt text, no expected value, few bands."""
    wrong = []
    for cell in visible(nb):
        first = f"the cell that begins {cell.source.strip().splitlines()[0]!r}"
        draws = has_figure(cell) or "plots.show(" in cell.source
        if draws and len(lines_of(cell)) > LONGEST_PLOT:
            wrong.append(f"{first} draws in over {LONGEST_PLOT} lines: tag it 'hide-input'")
        if re.search(r"plots\.show\(\s*f?[\"']", cell.source):
            wrong.append(f"{first} gives an alt text away: tag it 'hide-input'")
        if "book.record(" in cell.source:
            wrong.append(f"{first} gives a band away: tag it 'hide-input' or 'remove-cell'")
    shown = sum(len(said_by(cell)) for cell in told(nb, OUT_OF_SIGHT, by=False))
    if shown > MOST_BANDS:
        wrong.append(f"{shown} bands are shown, more than {MOST_BANDS}: tag some 'remove-cell'")
    return wrong + [
        f"a cell tagged {tag!r} lacks the metadata 'jupyter': {folded}"
        for tag, folded in FOLDS.items()
        for cell in told(nb, {tag}, by=True)
        if cell.metadata.get("jupyter") != folded
    ]


def said_by(cell: NotebookNode) -> list[dict[str, object]]:
    return said(NotebookNode(cells=[cell]))


def check_captions(nb: NotebookNode) -> list[str]:
    cells = [c for c in nb.cells if "remove-cell" not in c.metadata.get("tags", [])]
    hidden = {id(cell) for cell in told(nb, OUT_OF_SIGHT, by=True)}
    pairs = zip(cells, [*cells[1:], NotebookNode(source="", cell_type="")], strict=True)
    wrong, number = [], 0
    for cell, after in pairs:
        if cell.cell_type == "code" and id(cell) not in hidden and has_figure(cell):
            number += 1
            found = FIGURE.match(after.source) if after.cell_type == "markdown" else None
            if found is None or int(found[1]) != number:
                wrong.append(f"the text below figure {number} must begin '**Figure {number}.** …'")
    if not wrong and (many := len(FIGURE.findall(prose(nb)))) != number:
        wrong.append(f"there are {many} captions for {number} figures")
    return wrong


def check_colab(nb: NotebookNode) -> list[str]:
    cells = [cell for cell in nb.cells if cell.metadata.get("tags", []) == ON_COLAB]
    wanted = address.colab_cell(ROOT, address.present(ROOT))
    if nb.cells[1:2] != cells or cells[0].source != wanted or cells[0].outputs:
        return [f"the second cell must be tagged {ON_COLAB} and read as `make address` writes it"]
    folded = cells[0].metadata.get("jupyter", {}).get("source_hidden", False)
    return [] if folded else ['the cell for Colab must be folded: "jupyter": "source_hidden"']


def check_parameters(nb: NotebookNode) -> list[str]:
    cells = tagged(nb, "parameters")
    if len(cells) != 1 or not code_cells(nb) or cells[0] is not code_cells(nb)[0]:
        return ["the first code cell, and no other, must be tagged 'parameters'"]
    wanted = "\n".join(f"{name} = {value!r}" for name, value in PARAMETERS.items())
    if ast.unparse(syntax(cells[0])) != wanted:
        return [f"the parameters cell must read\n{wanted}"]
    return []


def check_start(nb: NotebookNode) -> list[str]:
    cells = code_cells(nb)[1:2]
    *imports, last = (syntax(cells[0]).body if cells else []) or [ast.Pass()]
    wrong = []
    if ast.unparse(last) != "book = chapter.start(PROFILE, SEED, DATA)":
        wrong.append("the second code cell must end with book = chapter.start(PROFILE, SEED, DATA)")
    if not all(isinstance(line, ast.Import | ast.ImportFrom) for line in imports):
        wrong.append("the second code cell must hold imports and the start, nothing else")
    return wrong


def check_profile(nb: NotebookNode) -> list[str]:
    return [
        f"code cell {index} branches on the profile: use book.pick, so that only sizes differ"
        for index, cell in enumerate(code_cells(nb))
        for node in ast.walk(syntax(cell))
        if isinstance(node, ast.Compare | ast.Match | ast.Subscript)
        and re.search(r"\bPROFILE\b|\bbook\.profile\b", ast.unparse(node))
    ]


def check_exercises(nb: NotebookNode) -> list[str]:
    wrong: list[str] = []
    titles: list[str] = []
    solved: set[int] = set()
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            titles += re.findall(r"^### Exercise (\d+ · \S.*)$", cell.source, flags=re.M)
            wrong += [
                f"{head!r} must read '### Exercise N · title'"
                for head in re.findall(r"^#+ *Exercise\b(?! \d+ · \S).*$", cell.source, flags=re.M)
            ]
        elif {"solution", "hide-cell"} & (tags := set(cell.metadata.get("tags", []))):
            solved.add(len(titles))
            metadata = {name: cell.metadata.get(name) for name in FOLDED}
            if not {"solution", "hide-cell"} <= tags or metadata != FOLDED:
                wrong.append(
                    f"the solution of exercise {len(titles)} needs the tags 'solution' and "
                    f"'hide-cell' and the metadata {FOLDED}"
                )
    if not 3 <= len(titles) <= 5:
        wrong.append(f"there are {len(titles)} exercises, not 3 to 5")
    if [int(title.split()[0]) for title in titles] != list(range(1, len(titles) + 1)):
        wrong.append(f"the exercises are not numbered 1, 2, …: {titles}")
    wrong += [
        f"an answer in words must stand between {FOLD!r} and {FOLD_END!r}, not {text[:40]!r}"
        for text in in_words(nb)
        if not (text.startswith(FOLD) and text.endswith(FOLD_END) and text.count("<details") == 1)
    ]
    unsolved = set(range(1, len(titles) + 1)) - solved
    wrong += [f"exercise {number} has no solution cell after it" for number in unsolved]
    return wrong + list(_faults_for_students(nb))


def _faults_for_students(nb: NotebookNode) -> Iterator[str]:
    try:
        found = exercises(nb)
        for one in found:
            if not one.level:
                yield f"below {str(one)!r} comes no line such as '*Easy, 3 minutes.*'"
        if [m for m in sorted(one.minutes for one in found)[:-1] if m > 5]:
            yield "an exercise takes 2 to 5 minutes, and one of them up to 8"
        if sum(any(map(has_blanks, one.solution)) for one in found) < 2:
            yield "fewer than two exercises have a line to fill in: end it in '  # fill in'"
        student(nb)
    except ExerciseError as error:
        yield f"no edition for students can be made: {error}"


def check_quiz(nb: NotebookNode) -> list[str]:
    text = prose(nb)
    blocks = re.findall(r'^<div class="quiz">\n\n(.*?)\n</div>$', text, flags=re.M | re.S)
    if not blocks or len(blocks) != text.count('class="quiz"'):
        return ['there must be a quiz, each block <div class="quiz">, blank line, …, </div>']
    wrong, longest, questions = [], 0, 0
    for block in blocks:
        head, *parts = re.split(r"^\*\*(.+?)\*\*$", block, flags=re.M | re.S)
        if head.strip() or not parts:
            wrong.append("a quiz block does not start with its question in bold")
        for question, answers in zip(parts[::2], parts[1::2], strict=True):
            wrong += [f"quiz, {question!r}: {fault}" for fault in _faults_of_answers(answers)]
            sizes = {kind: len(answer) for kind, answer, _ in sorted_answers(answers)}
            longest += sizes.get("right", 0) > sizes.get("wrong", 0)
            questions += 1
    if questions < 3:
        wrong.append(f"the quiz has {questions} questions, not three or more")
    if longest > math.ceil(questions / 3):
        wrong.append(f"the right answer is the longest in {longest} of {questions} questions")
    return wrong


def sorted_answers(text: str) -> list[tuple[str, str, str]]:
    """Return the answers of a question, as kind, answer and explanation, from short to long."""
    return sorted(ANSWER.findall(text), key=lambda answer: len(answer[1]))


def _faults_of_answers(text: str) -> Iterator[str]:
    answers = sorted_answers(text)
    if len(answers) != text.count("<details"):
        yield (
            'an answer must read <details class="right"> or "wrong", <summary>…</summary>, '
            "blank line, explanation, blank line, </details>"
        )
    if not 3 <= len(answers) <= 4 or [kind for kind, *_ in answers].count("right") != 1:
        yield "it needs three or four answers, of which one is right"
    elif len(answers[-1][1]) > 1.6 * len(answers[0][1]) + 8:
        yield f"answers of like length are wanted: {answers[0][1]!r}, {answers[-1][1]!r}"
    for kind, answer, why in answers:
        begin = {"right": "Right.", "wrong": "Not quite."}[kind]
        if not why.startswith(begin):
            yield f"the explanation of {answer!r} must begin with {begin!r}"
        if len(why.removeprefix(begin).split()) < 8:
            yield f"the explanation of {answer!r} is shorter than 8 words"


def check_failure(nb: NotebookNode) -> list[str]:
    if any(cell.cell_type == "code" for cell in tagged(nb, "fails-on-purpose")):
        return []
    return ["nothing goes wrong on purpose: no code cell is tagged 'fails-on-purpose'"]


def check_closing(nb: NotebookNode) -> list[str]:
    last = sections(nb)[-len(CLOSING) :]
    if [title for title, _ in last] != CLOSING:
        return [f"the last three sections must be {', '.join(CLOSING)}"]
    (_, lessons), (_, patients), (_, reading) = last
    wrong = []
    if len(bullets(lessons)) != len(opening_points(nb)):
        wrong.append(
            f"{len(bullets(lessons))} take-aways answer {len(opening_points(nb))} opening points"
        )
    if not patients.strip():
        wrong.append("'On real patients' is empty")
    if "{cite" not in reading:
        wrong.append("'Further reading' cites nothing: use {cite}")
    return wrong


def check_lengths(nb: NotebookNode) -> list[str]:
    lengths = [len(cell.source.splitlines()) for cell in code_cells(nb)]
    wrong = [
        f"code cell {index} has {length} lines, more than 25"
        for index, length in enumerate(lengths)
        if length > 25
    ]
    if (median := statistics.median(lengths)) > 5:
        wrong.append(f"the median code cell has {median:g} lines, more than 5")
    if (long := sum(length > 12 for length in lengths)) > len(lengths) / 10:
        wrong.append(f"{long} of {len(lengths)} code cells have over 12 lines, more than 1 in 10")
    seen = {id(cell) for cell in visible(nb)}
    return wrong + [
        f"a line of code is {len(line)} characters wide, more than {most}: {line.strip()!r}"
        for cell in code_cells(nb)
        for most in [WIDEST if id(cell) in seen else WIDEST_FOLDED]
        for line in cell.source.splitlines()
        if len(line) > most
    ]


def check_tags(nb: NotebookNode) -> list[str]:
    wrong = [
        f"cell {index} has the tag {tag!r}; allowed are {', '.join(sorted(TAGS))}"
        for index, cell in enumerate(nb.cells)
        if cell.metadata.get("tags", []) != ON_COLAB
        for tag in sorted(set(cell.metadata.get("tags", [])) - TAGS)
    ]
    return wrong + [
        f"code cell {index} has a comment that keeps nbval from checking it"
        for index, cell in enumerate(code_cells(nb))
        if re.search(r"#\s*(NBVAL_|PYTEST_VALIDATE_)", cell.source)
    ]


def check_slides(nb: NotebookNode) -> list[str]:
    cells = tagged(nb, "slide")
    wrong = []
    if not FEWEST_SLIDES <= len(cells) <= MOST_SLIDES:
        wrong.append(f"{len(cells)} cells are tagged 'slide', not {FEWEST_SLIDES} to {MOST_SLIDES}")
    if any(cell.cell_type != "code" or OUT_OF_SIGHT & {*cell.metadata.tags} for cell in cells):
        wrong.append("only code cells whose output stands on the page go into the slides")
    return wrong


def check_executed(nb: NotebookNode) -> list[str]:
    wrong = [
        f"code cell {index} has execution count {cell.execution_count}, not {index + 2}: "
        "run all cells in order in a fresh kernel"
        for index, cell in enumerate(code_cells(nb))
        if cell.execution_count != index + 2  # the cell for Colab is the first
    ]
    for index, cell in enumerate(code_cells(nb)):
        for output in cell.outputs:
            if output.output_type == "error":
                wrong.append(f"code cell {index} ends in {output.ename}: catch it and print it")
            if output.get("name") == "stderr":
                wrong.append(f"code cell {index} writes to stderr: {output.text.strip()[:80]!r}")
    return wrong


def check_stable(nb: NotebookNode) -> list[str]:
    return [
        f"code cell {index} shows {found[0]!r}, which another run will not show again"
        for index, text in output_texts(nb)
        if (found := UNSTABLE.search(text))
    ]


def check_figures(nb: NotebookNode) -> list[str]:
    wrong = []
    for index, cell in enumerate(code_cells(nb)):
        images = [
            output.metadata.get(kind, {})
            for output in cell.outputs
            for kind in output.get("data", {})
            if kind.startswith("image/")
        ]
        if len(images) > 1:
            wrong.append(f"code cell {index} shows {len(images)} figures, not one")
        if any(len(image.get("alt", "")) < SHORTEST_ALT for image in images):
            wrong.append(f"code cell {index} shows a figure without alt text: use plots.show")
    if re.search(r"!\[\s*\]\(|<img(?![^>]*\balt=\"\w)", prose(nb)) or any(
        ":alt:" not in block for _, block in DIRECTIVE_IMAGE.findall(prose(nb))
    ):
        wrong.append("an image in the text has no alt text")
    return wrong


def check_paths(nb: NotebookNode) -> list[str]:
    texts = [(f"cell {index}", cell.source) for index, cell in enumerate(nb.cells)]
    texts += [(f"the output of code cell {index}", text) for index, text in output_texts(nb)]
    return [
        f"{where} names the absolute path {path!r}"
        for where, text in texts
        for path in ABSOLUTE_PATH.findall(text)
    ]


def check_records(nb: NotebookNode) -> list[str]:
    found = said(nb)
    wrong = (
        [f"there are {len(found)} recorded results, not three or more"] if len(found) < 3 else []
    )
    return wrong + off_band(nb)


def check_metadata(nb: NotebookNode) -> list[str]:
    wrong = []
    if nb.metadata.get("kernelspec", {}).get("name") != "python3":
        wrong.append("the notebook's kernel is not python3")
    if any("papermill" in part.metadata for part in (nb, *nb.cells)):
        wrong.append("papermill's metadata is left in the notebook: strip it")
    return wrong


CHECKS: dict[str, Check] = {
    name: check for name, check in list(globals().items()) if name.startswith("check_")
}


PLAIN = ("syntax", "colab", "parameters", "start", "profile", "executed", "stable", "figures")
PLAIN += ("paths", "records", "metadata", "tags")


def faults(nb: NotebookNode, *, appendix: bool = False) -> dict[str, list[str]]:
    """Run every check, on an appendix the plain ones, and keep those that complain."""
    names = PLAIN if appendix else [name.removeprefix("check_") for name in CHECKS]
    found = {name: CHECKS[f"check_{name}"](nb) for name in names}
    return {name: wrong for name, wrong in found.items() if wrong}


def defined_twice(notebooks: Mapping[str, NotebookNode]) -> list[str]:
    """Find functions and classes that two notebooks define at top level."""
    homes: dict[str, set[str]] = {}
    for name, nb in notebooks.items():
        for cell in code_cells(nb):
            for node in syntax(cell).body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    homes.setdefault(node.name, set()).add(name)
    return [
        f"{name} is defined in {' and '.join(sorted(where))}: keep it in medxfer_utils"
        for name, where in homes.items()
        if len(where) > 1
    ]


def too_large(path: Path) -> list[str]:
    """Say whether the file is too heavy for a browser or a diff."""
    size = path.stat().st_size
    return [f"the file has {size} bytes, more than {LARGEST_BYTES}"] if size > LARGEST_BYTES else []
