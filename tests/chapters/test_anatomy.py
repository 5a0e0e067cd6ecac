"""Each check of the anatomy notices the fault that it is there for, and no other check does."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

import copy
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_output

from tests.chapters import anatomy
from tests.chapters.sample import save

Break = Callable[[NotebookNode], object]

(
    OPENING,
    COLAB,
    PARAMETERS,
    START,
    HOW,
    NOISE,
    RECORD,
    _,
    _,
    FIGURE,
    FAILS,
    TASK,
    SOLUTION,
    WORDS,
) = range(14)
QUIZ, CLOSING = 15, 16


def swap(cell: int, old: str, new: str) -> Break:
    """Replace a piece of a cell's source."""

    def breaking(nb: NotebookNode) -> None:
        assert old in nb.cells[cell].source, f"the sample does not say {old!r}"
        nb.cells[cell].source = nb.cells[cell].source.replace(old, new)

    return breaking


def add(cell: int, text: str) -> Break:
    """Add a line to a cell's source."""
    return lambda nb: setattr(nb.cells[cell], "source", f"{nb.cells[cell].source}\n{text}")


def tags(cell: int, *names: str) -> Break:
    """Replace the tags of a cell, but leave it on its slide."""

    def breaking(nb: NotebookNode) -> None:
        slide = [tag for tag in nb.cells[cell].metadata.get("tags", []) if tag == "slide"]
        nb.cells[cell].metadata.update(tags=[*names, *slide])

    return breaking


def untag(cell: int) -> Break:
    """Take a cell from its slide."""
    return lambda nb: nb.cells[cell].metadata.tags.remove("slide")


def shows(cell: int, **fields: str) -> Break:
    """Add an output to a cell."""
    return lambda nb: nb.cells[cell].outputs.append(new_output(**fields))


def long_cells(lines: int, *cells: int) -> Break:
    """Fill cells with comments, so that no word of prose is missing for them."""

    def breaking(nb: NotebookNode) -> None:
        for cell in cells:
            nb.cells[cell].source = "# more\n" * (lines - 1) + nb.cells[cell].source

    return breaking


ANSWER = '<details class="right"><summary>The one with the labels.</summary>'
FAULTS: list[tuple[str, Break, str]] = [
    ("syntax", swap(FAILS, "print", "!echo"), "code cell 7 is not plain Python"),
    ("opening", swap(OPENING, "# A sample", "A sample"), "starts with '# Title'"),
    ("opening", add(HOW, "\n# Again"), "more than one"),
    ("opening", swap(OPENING, "better?", "better? It does."), "one sentence"),
    ("opening", swap(OPENING, "Prerequisites", "Needs"), "nothing of prerequisites"),
    ("opening", swap(OPENING, "Reading time", "Time"), "nothing of reading"),
    ("opening", swap(OPENING, "running time", "waiting"), "nothing of running"),
    ("colab", swap(COLAB, "--no-deps", ""), "the second cell must be"),
    ("colab", lambda nb: nb.cells[COLAB].metadata.pop("jupyter"), "must be folded"),
    ("parameters", tags(PARAMETERS), "must be tagged 'parameters'"),
    ("parameters", tags(NOISE, "parameters"), "no other"),
    ("parameters", swap(PARAMETERS, "SEED = 0", "SEED = 1"), "must read"),
    ("start", add(START, "x = 1"), "must end with"),
    ("start", swap(START, "book =", "n = 3\nbook ="), "nothing else"),
    ("profile", swap(FAILS, "noise[1]", "(PROFILE == 'fast')"), "code cell 7 branches"),
    ("exercises", swap(TASK, "Exercise 1 ·", "Exercise 2 ·"), "not numbered"),
    ("exercises", swap(TASK, "Exercise 1 ·", "Exercise 1:"), "must read '### Exercise N · title'"),
    ("exercises", swap(TASK, "### Exercise 1 ·", "### Task"), "there are 1 exercises"),
    ("exercises", tags(SOLUTION, "solution"), "needs the tags"),
    ("exercises", tags(SOLUTION, "hide-cell"), "needs the tags"),
    ("exercises", tags(SOLUTION), "exercise 1 has no solution"),
    ("exercises", lambda nb: nb.cells[SOLUTION].metadata.pop("mystnb"), "needs the tags"),
    ("exercises", lambda nb: nb.cells[SOLUTION].metadata.pop("jupyter"), "needs the tags"),
    (
        "exercises",
        swap(WORDS, "</details>\n\n", "</details>\n\nOh.\n\n"),
        "an answer in words must",
    ),
    ("exercises", swap(WORDS, "The answer in words", "Words"), "an answer in words must"),
    ("exercises", swap(TASK, "Easy,", "Simple,"), "'exercise 1 · Double it' comes no line such as"),
    ("exercises", swap(TASK, "\n\n*Easy", "\n*Easy"), "comes no line such as"),
    ("exercises", swap(SOLUTION, "book.record(", "print("), "exercise 1 · Double it: its solution"),
    ("exercises", swap(SOLUTION, "(7.5, 8.5)", "(7.5, 6 + 2)"), "must be written out"),
    ("quiz", swap(QUIZ, '<div class="quiz">', "<div>"), "must be a quiz"),
    ("quiz", swap(QUIZ, '"quiz">\n\n', '"quiz">\n'), "must be a quiz"),
    ("quiz", swap(QUIZ, "**Which", "Which"), "question in bold"),
    ("quiz", swap(QUIZ, ANSWER, ANSWER.replace("right", "wrong")), "needs a right answer"),
    ("quiz", swap(QUIZ, ANSWER, ANSWER.replace("right", "maybe")), "an answer must read"),
    ("quiz", swap(QUIZ, "Right. Its", "Its"), "begin with 'Right.'"),
    ("quiz", swap(QUIZ, "Not quite.", "No."), "begin with 'Not quite.'"),
    ("quiz", swap(QUIZ, "Its labels train the model that", "See"), "shorter than 8 words"),
    ("failure", tags(FAILS), "'fails-on-purpose'"),
    ("closing", swap(CLOSING, "## On real", "## Of real"), "last three sections"),
    ("closing", add(CLOSING, "\n## More"), "last three sections"),
    ("closing", swap(CLOSING, "- the source lends\n", ""), "2 take-aways answer 3"),
    ("closing", swap(CLOSING, "The same code ran on real patients elsewhere.", ""), "is empty"),
    ("closing", swap(CLOSING, "{cite:p}", ""), "cites nothing"),
    ("lengths", long_cells(26, NOISE), "26 lines, more than 25"),
    ("lengths", long_cells(6, *range(5, 11)), "median code cell has 6"),
    ("lengths", long_cells(13, NOISE, FAILS), "2 of 10 code cells have over 12"),
    ("prose", swap(HOW, "and every split keeps a patient whole", ""), "words of prose"),
    ("prose", add(HOW, "word " * 200), "words of prose"),
    ("tags", tags(NOISE, "nbval-skip"), "'nbval-skip'"),
    ("tags", tags(NOISE, "NBVAL_IGNORE_OUTPUT"), "'NBVAL_IGNORE_OUTPUT'"),
    ("tags", tags(NOISE, "raises-exception"), "'raises-exception'"),
    ("tags", add(NOISE, "# NBVAL_IGNORE_OUTPUT"), "keeps nbval"),
    ("slides", untag(NOISE), "7 cells are tagged 'slide', not 8 to 20"),
    ("slides", lambda nb: nb.cells[SOLUTION].metadata.tags.append("slide"), "solve no exercise"),
    ("slides", tags(HOW, "slide"), "only code cells"),
    ("executed", lambda nb: setattr(nb.cells[NOISE], "execution_count", None), "count None, not 4"),
    ("executed", lambda nb: setattr(nb.cells[NOISE], "execution_count", 9), "count 9, not 4"),
    ("executed", shows(NOISE, output_type="stream", name="stderr", text="Oh"), "stderr: 'Oh'"),
    ("executed", shows(NOISE, output_type="error", ename="KeyError"), "ends in KeyError"),
    ("stable", shows(NOISE, output_type="stream", text="<A at 0x7f3a2c>"), "0x7f3a2c"),
    ("stable", shows(NOISE, output_type="stream", text="Wall time: 3 s"), "Wall time"),
    ("figures", lambda nb: nb.cells[FIGURE].outputs.append(nb.cells[FIGURE].outputs[0]), "2 fig"),
    ("figures", lambda nb: nb.cells[FIGURE].outputs[0].metadata.clear(), "without alt text"),
    ("figures", add(HOW, "![](a.png)"), "in the text has no alt"),
    ("figures", add(HOW, '<img src="a.png">'), "in the text has no alt"),
    ("figures", add(HOW, "\n```{figure} a.png\n:width: 9px\n```"), "in the text has no alt"),
    ("paths", add(FAILS, "# see /home/me/data.csv"), "'/home/me/data.csv'"),
    ("paths", add(FAILS, r"# see C:\data"), "absolute path 'C:"),
    ("paths", shows(NOISE, output_type="stream", text="in /var/x.py"), "'/var/x.py'"),
    (
        "records",
        lambda nb: [nb.cells[cell].outputs.clear() for cell in (RECORD, RECORD + 1, SOLUTION)],
        "there are 2 recorded",
    ),
    (
        "records",
        lambda nb: nb.cells[RECORD].outputs[0].metadata.medxfer.update(value=7.0),
        "mean: 7.0 is outside",
    ),
    ("metadata", lambda nb: nb.metadata.kernelspec.update(name="venv"), "is not python3"),
    ("metadata", lambda nb: nb.cells[NOISE].metadata.update(papermill={}), "papermill's"),
]


def test_sound_chapter_has_no_fault(sound: NotebookNode) -> None:
    assert anatomy.faults(sound) == {}


def test_every_fault_is_found_by_its_check_and_by_no_other(sound: NotebookNode) -> None:
    missed = []
    for check, breaking, message in FAULTS:
        nb = copy.deepcopy(sound)
        breaking(nb)
        found = anatomy.faults(nb)
        if list(found) != [check] or not any(message in wrong for wrong in found[check]):
            missed.append((check, message, found))
    assert missed == []


def test_every_check_has_its_fault() -> None:
    assert {f"check_{name}" for name, *_ in FAULTS} == set(anatomy.CHECKS)


def test_words_and_lines_are_counted_as_documented() -> None:
    nb = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(
                "One two\n\n```python\nnot this\n```\n\n:::{note}\nthree – <b>four</b>\n:::\n\n"
                "$x + y$ six\n\n$$a + b$$"
            ),
            nbformat.v4.new_code_cell("# no\n\nx = 1\ny = 2"),
        ]
    )
    assert anatomy.words_per_line(nb) == 6 / 2


def test_function_in_two_notebooks_is_found(sound: NotebookNode) -> None:
    one, other = (nbformat.from_dict(dict(sound)) for _ in range(2))
    assert anatomy.defined_twice({"a": one, "b": other}) == []
    add(NOISE, "def twice(x):\n    return 2 * x")(sound)
    (fault,) = anatomy.defined_twice({"a": sound, "b": sound, "c": one})
    assert "twice is defined in a and b" in fault


def test_heavy_file_is_found(sound: NotebookNode, tmp_path: Path) -> None:
    path = save(sound, tmp_path / "a.ipynb")
    assert anatomy.too_large(path) == []
    path.write_bytes(b" " * 1_000_001)
    assert "1000001 bytes" in anatomy.too_large(path)[0]
