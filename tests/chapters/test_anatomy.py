"""Each check of the anatomy notices the fault that it is there for, and no other check does."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

import copy
from collections.abc import Callable

from nbformat import NotebookNode
from nbformat.v4 import new_output

from tests.chapters import anatomy

Break = Callable[[NotebookNode], object]

OPENING, COLAB, PARAMETERS, START, HOW, NOISE, RECORD, REMOVED = range(8)
FIGURE, CAPTION, FAILS, TASK, SOLUTION, WORDS = range(9, 15)
THIRD, QUIZ, CLOSING = 16, 18, 19


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
    """Fill cells with blank lines and a comment, which no reader takes time for."""

    def breaking(nb: NotebookNode) -> None:
        for cell in cells:
            nb.cells[cell].source = "\n" * (lines - 1) + nb.cells[cell].source

    return breaking


def folded(nb: NotebookNode, cell: int, tag: str | None) -> None:
    """Fold a cell in this way, or in none."""
    kept = {"slide", *([tag] if tag else [])}
    nb.cells[cell].metadata.update(tags=sorted(kept))
    if not tag:
        nb.cells[cell].metadata.pop("jupyter", None)


def long_plot(nb: NotebookNode) -> None:
    """Draw in many visible lines, without an alt text among them."""
    folded(nb, FIGURE, None)
    swap(FIGURE, 'plots.show("A line', 'text = ("A line')(nb)
    add(FIGURE, "plt.title(text)\nplt.ylim(0, 1)\nplots.show(text)")(nb)


def bands(more: int) -> Break:
    """Show so many records more."""
    return lambda nb: nb.cells[RECORD].outputs.extend([nb.cells[RECORD].outputs[0]] * more)


ANSWER = '<details class="right"><summary>The one with the labels.</summary>'
FAULTS: list[tuple[str, Break, str]] = [
    ("syntax", swap(FAILS, "print", "!echo"), "code cell 6 is not plain Python"),
    ("opening", swap(OPENING, "# A sample", "A sample"), "starts with '# Title'"),
    ("opening", swap(OPENING, "better?", "better? It does."), "one sentence"),
    ("opening", swap(OPENING, "Prerequisites", "Needs"), "no '**Prerequisites:** '"),
    ("minutes", swap(OPENING, "3 minutes", "4 minutes"), "'**Reading:** 3 minutes. "),
    ("minutes", swap(OPENING, "12 minutes", "9 minutes"), "**Exercises:** 12 minutes."),
    ("sizes", swap(HOW, "A cohort", "$x$\n\n" * 2000 + "A cohort"), "words, more than 2500"),
    ("sight", lambda nb: folded(nb, FIGURE, None), "gives an alt text away"),
    ("sight", lambda nb: folded(nb, RECORD, None), "gives a band away"),
    ("sight", long_plot, "draws in over 4 lines"),
    ("sight", bands(5), "6 bands are shown, more than 5"),
    ("sight", lambda nb: nb.cells[FIGURE].metadata.pop("jupyter"), "lacks the metadata"),
    ("captions", swap(CAPTION, "**Figure 1.** ", ""), "must begin '**Figure 1.** …'"),
    ("colab", swap(COLAB, "--no-deps", ""), "the second cell must be"),
    ("parameters", swap(PARAMETERS, "SEED = 0", "SEED = 1"), "must read"),
    ("start", add(START, "x = 1"), "must end with"),
    ("profile", swap(FAILS, "noise[1]", "(PROFILE == 'fast')"), "code cell 6 branches"),
    ("exercises", swap(TASK, "Exercise 1 ·", "Exercise 2 ·"), "not numbered"),
    ("exercises", tags(SOLUTION, "remove-cell"), "exercise 1 has no solution"),
    ("exercises", swap(WORDS, "</details>\n\n", "</details>\n\nOh.\n\n"), "an answer in words"),
    ("exercises", swap(THIRD, "\n\n*Medium", "\n*Medium"), "comes no line such as"),
    ("exercises", swap(SOLUTION, "  # fill in", ""), "fewer than two exercises"),
    ("exercises", swap(SOLUTION, "twice = 2 * 4", "import os"), "no assignment, return or call"),
    ("exercises", swap(SOLUTION, "book.record(", "print("), "exercise 1 · Double it: its solution"),
    ("quiz", swap(QUIZ, '<div class="quiz">', "<div>"), "must be a quiz"),
    ("quiz", swap(QUIZ, ANSWER, ANSWER.replace("right", "wrong")), "of which one is right"),
    ("quiz", swap(QUIZ, "Right. Its", "Its"), "begin with 'Right.'"),
    ("quiz", swap(QUIZ, "The one with the", "Of all, the one that has the"), "longest in 3 of 3"),
    ("quiz", swap(QUIZ, "the very nearest", "the nearest" * 5), "answers of like length"),
    ("quiz", swap(QUIZ, "**Which laboratory is the source, now?**\n\n", ""), "question in bold"),
    ("failure", tags(FAILS), "'fails-on-purpose'"),
    ("closing", swap(CLOSING, "- the source lends\n", ""), "2 take-aways answer 3"),
    ("closing", swap(CLOSING, "{cite:p}", ""), "cites nothing"),
    ("lengths", long_cells(26, NOISE), "26 lines, more than 25"),
    ("lengths", long_cells(6, NOISE, RECORD, REMOVED, FIGURE, FAILS, 13), "median code cell has 6"),
    ("lengths", long_cells(13, NOISE, FAILS), "2 of 10 code cells have over 12"),
    ("lengths", add(FAILS, "# " + "x" * 75), "77 characters wide, more than 76"),
    ("lengths", add(RECORD, "# " + "x" * 99), "101 characters wide, more than 100"),
    ("tags", tags(NOISE, "nbval-skip"), "'nbval-skip'"),
    ("slides", untag(NOISE), "5 cells are tagged 'slide', not 6 to 20"),
    ("executed", lambda nb: setattr(nb.cells[NOISE], "execution_count", None), "count None, not 4"),
    ("executed", shows(NOISE, output_type="stream", name="stderr", text="Oh"), "stderr: 'Oh'"),
    ("stable", shows(NOISE, output_type="stream", text="<A at 0x7f3a2c>"), "0x7f3a2c"),
    ("figures", lambda nb: nb.cells[FIGURE].outputs[0].metadata.clear(), "without alt text"),
    ("figures", add(HOW, "\n```{figure} a.png\n:width: 9px\n```"), "in the text has no alt"),
    ("paths", add(FAILS, "# see /home/me/data.csv"), "'/home/me/data.csv'"),
    (
        "records",
        lambda nb: [nb.cells[cell].outputs.clear() for cell in (RECORD, REMOVED, SOLUTION)],
        "there are 2 recorded",
    ),
    (
        "records",
        lambda nb: nb.cells[RECORD].outputs[0].metadata.medxfer.update(value=7.0),
        "mean: 7.0 is outside",
    ),
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
        if check != "minutes":
            found.pop("minutes", None)  # more or fewer words take another time
        if list(found) != [check] or not any(message in wrong for wrong in found[check]):
            missed.append((check, message, found))
    assert missed == []


def test_every_check_has_its_fault() -> None:
    assert {name for name, *_ in FAULTS} == set(anatomy.ALL)


def test_an_appendix_has_the_plain_anatomy(sound: NotebookNode) -> None:
    tags(FAILS)(sound)
    swap(OPENING, "# A sample", "A sample")(sound)
    assert anatomy.faults(sound, appendix=True) == {}
    tags(NOISE, "nbval-skip")(sound)
    assert [*anatomy.faults(sound, appendix=True)] == ["tags"]
