"""What is asked of a lesson and not of an appendix: each check returns what is wrong."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

import math
import re
import statistics
from collections.abc import Iterator

from nbformat import NotebookNode

from book.tools.teach.blanks import has_blanks
from book.tools.teach.exercises import FOLD, FOLD_END, ExerciseError, exercises, in_words
from book.tools.teach.notebooks import student
from tests.chapters.parts import (
    OUT_OF_SIGHT,
    SIZES,
    bullets,
    code_cells,
    has_figure,
    lines_of,
    minutes,
    opening_points,
    prose,
    sections,
    sizes,
    tagged,
    told,
    visible,
)
from tests.chapters.running import said

WIDEST, WIDEST_FOLDED = 76, 100
MOST = dict(zip(SIZES, (2500, 50, 250, 7), strict=True))
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
    "mystnb": {"code_prompt_show": "Show the solution", "code_prompt_hide": "Hide the solution"},
    "jupyter": {"outputs_hidden": True, "source_hidden": True},
}
CLOSING = ["Take-aways", "On real patients", "Further reading"]
ANSWER = re.compile(
    r'<details class="(right|wrong)"><summary>(.+?)</summary>\n\n(.+?)\n\n</details>', re.S
)


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


def check_slides(nb: NotebookNode) -> list[str]:
    cells = tagged(nb, "slide")
    wrong = []
    if not FEWEST_SLIDES <= len(cells) <= MOST_SLIDES:
        wrong.append(f"{len(cells)} cells are tagged 'slide', not {FEWEST_SLIDES} to {MOST_SLIDES}")
    if any(cell.cell_type != "code" or OUT_OF_SIGHT & {*cell.metadata.tags} for cell in cells):
        wrong.append("only code cells whose output stands on the page go into the slides")
    return wrong
