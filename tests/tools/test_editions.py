"""Students get every exercise and no solution; teachers get all, with notes and times."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from book.tools.chapters.keys import source
from book.tools.chapters.run import Edition, find_notebooks, load, save
from book.tools.teach import __main__ as command
from book.tools.teach import notebooks as editions
from book.tools.teach.blanks import FILL_IN, with_blanks
from book.tools.teach.exercises import ExerciseError, exercises
from book.tools.teach.notebooks import student, teacher
from tests.chapters.sample import sample

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = find_notebooks(ROOT)
NOTES = """# Notes

## What students get wrong

They double twice.

- Haste.

## Section by section

### How it goes

- Ask first.

Then tell.

### Quiz

Ten minutes.
"""
RUN = {
    "sections": {"Opening": 2.04, "How it goes": 31.46},
    "date": "2026-11-20",
    "processor": "A processor",
    "threads": 2,
}


@pytest.fixture
def chapter() -> dict[str, Any]:
    """The sample chapter, as if it had been run and edited by tools that leave metadata."""
    nb: dict[str, Any] = json.loads(nbformat.writes(sample()))
    for cell in nb["cells"]:
        cell["metadata"] |= {"lines_to_next_cell": 2}
        if cell["cell_type"] == "code":
            cell |= {"execution_count": 9}
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "twice four"}]
    nb["metadata"] |= {"medxfer": {"key": "0"}, "language_info": {"name": "python"}}
    return nb


def tagged(nb: dict[str, Any], tag: str) -> list[str]:
    return [source(cell) for cell in nb["cells"] if tag in cell["metadata"].get("tags", [])]


def texts(part: Any) -> Iterator[str]:
    """Yield every text in a notebook, wherever it stands, keys too; lists of lines as one text."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for key, value in part.items():
            yield from (key, *texts(value))
    elif isinstance(part, list):
        if all(isinstance(one, str) for one in part):
            yield "".join(part)
        for one in part:
            yield from texts(one)


def words(text: str) -> str:
    return " ".join(text.split())


def prose(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": "p", "metadata": {}, "source": text}


def test_a_solution_becomes_room_and_a_check(chapter: dict[str, Any]) -> None:
    made = student(chapter)
    double, half, less = tagged(made, "answer")
    assert double.splitlines()[1:] == [
        "answer_double = ...  # Twice the number",
        "",
        "twice = ...  # fill in",
        "answer_double = twice",
    ]
    assert "\nhalf = ...  # fill in\nanswer_half = half" in half
    assert less.splitlines()[1:] == ["answer_less = ...  # One less"]
    assert tagged(made, "raises-exception") == [double, half], "an open blank stops nothing"
    assert tagged(made, "check")[:2] == [
        'book.check("double", answer_double, (7.5, 8.5), "Twice the number")',
        'book.check("half", answer_half, (1.5, 2.5), "Half the number")',
    ]
    order = [source(cell).split("\n")[0] for cell in made["cells"]][-11:-2]
    assert order[0].startswith("### Exercise 1 ·")
    assert order[3].startswith("### Exercise 2 ·")
    nbformat.validate(nbformat.from_dict(made))


def test_what_students_fill_in_is_blank_and_the_rest_is_given() -> None:
    code = (
        "def ahead(x, y):\n    gain = y - x\n    return (\n        gain > 0\n    )  # fill in\n"
        "model.fit(\n    x,\n    y,\n)  # fill in\ntotal: int = 3  # fill in\n"
        'print("done")  # fill in it, or not\n'
        'book.record(\n    "sum", f(x, "all") + 1, (0, 1),\n    "Its sum",\n)'
    )
    assert with_blanks(code) == (
        "def ahead(x, y):\n    gain = y - x\n    return ...  # fill in\n"
        "raise NotImplementedError  # fill in\n"
        'total: int = ...  # fill in\nprint("done")  # fill in it, or not\n'
        'answer_sum = f(x, "all") + 1'
    )
    for wrong in (
        "for x in y:  # fill in\n    pass",
        "import os  # fill in",
        "# a\nx = [  # fill in\n]",
    ):
        with pytest.raises(ExerciseError, match="no assignment, return or call to fill in"):
            with_blanks(wrong)


def test_nothing_else_is_left_of_the_original(chapter: dict[str, Any]) -> None:
    before = copy.deepcopy(chapter)
    made = student(chapter)
    assert chapter == before, "the chapter itself is not touched"
    left = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
    assert {(len(cell["outputs"]), cell["execution_count"]) for cell in left} == {(0, None)}
    assert {key for cell in made["cells"] for key in cell["metadata"]} == {"jupyter", "tags"}
    assert set(made["metadata"]) == {"kernelspec", "language_info"}
    assert not tagged(made, "solution")
    assert "Twice four patients" not in json.dumps(made)
    kept = [source(cell) for cell in chapter["cells"][:13]]
    assert [source(cell) for cell in made["cells"][:13]] == kept


def test_all_records_of_an_exercise_are_asked_for_in_one_place(chapter: dict[str, Any]) -> None:
    half = 15
    more = copy.deepcopy(chapter["cells"][half])
    more["source"] = (
        f"book.record(label='{'It is long. ' * 6}', band=(-1, 1e-3), value=0, name='z')"
    )
    easy = prose("It was easy.\n\n#### So")
    chapter["cells"][half + 1 : half + 1] = [easy, more, easy]
    made = student(chapter)
    assert len(tagged(made, "check")) == 3
    calls = ast.parse(tagged(made, "check")[1]).body
    assert [ast.unparse(call)[:32] for call in calls] == [
        "book.check('half', answer_half, ",
        "book.check('z', answer_z, (-1, 0",
    ]
    assert max(map(len, tagged(made, "check")[1].splitlines())) <= 100
    assert "It was easy" not in json.dumps(made)
    assert "## Quiz" in json.dumps(made)


def test_a_comment_in_a_block_of_code_is_no_heading(chapter: dict[str, Any]) -> None:
    half = 15
    text = "See:\n\n```python\n# the secret\nx = 2\n```\n\n## Next\n\nOn."
    chapter["cells"].insert(half + 1, prose(text))
    made = json.dumps(student(chapter))
    assert "secret" not in made
    assert '"## Next\\n\\nOn."' in made


Break = Callable[[list[dict[str, Any]]], object]


def rewrite(cell: int, old: str, new: str) -> Break:
    def breaking(cells: list[dict[str, Any]]) -> None:
        assert old in source(cells[cell])
        cells[cell]["source"] = source(cells[cell]).replace(old, new)

    return breaking


@pytest.mark.parametrize(
    ("breaking", "message"),
    [
        (rewrite(13, "book.record", "print"), "exercise 1 · Double it: its solution records nothi"),
        (rewrite(13, '"double"', "name"), "exercise 1 · Double it: name, band and label must be"),
        (rewrite(13, '"double"', '"two words"'), "exercise 1 · Double it: name, band and label"),
        (rewrite(13, "(7.5, 8.5)", "(8.5, 7.5)"), "name, band and label must be written out"),
        (rewrite(13, "(7.5, 8.5)", "(7, 8, 9)"), "name, band and label must be written out"),
        (rewrite(13, ', "Twice the number"', ""), "name, band and label must be written out"),
        (rewrite(5, "noise", "answer_half"), "Halve it: the lesson uses the name answer_half"),
        (rewrite(12, "### Exercise 1 · D", "### D"), "cell 13 is a solution, and no exercise"),
        (lambda cells: cells[13]["metadata"].clear(), "its solution records nothing"),
        (lambda cells: cells.insert(14, cells[9]), "cell 14 follows its solution and is not"),
        (lambda cells: cells[12]["metadata"].update(tags=["solution"]), "cell 12 is tagged"),
    ],
)
def test_what_cannot_be_asked_of_students_is_named(
    chapter: dict[str, Any], breaking: Break, message: str
) -> None:
    breaking(chapter["cells"])
    with pytest.raises(ExerciseError, match=rf"^A sample.*{re.escape(message)}"):
        student(chapter)


def solved(nb: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Return the lines of code and the sentences that stand in solutions only."""
    code: list[str] = []
    prose: list[str] = []
    others: list[str] = []
    open_yet = False
    for cell in nb["cells"]:
        text = source(cell)
        if "solution" in cell["metadata"].get("tags", []):
            open_yet = True
            given = set(with_blanks(text).splitlines())
            code += [line.removesuffix(FILL_IN) for line in text.splitlines() if line not in given]
        elif open_yet and cell["cell_type"] == "markdown":
            inside, *rest = re.split(r"^(?=##)", text, maxsplit=1, flags=re.M)
            prose += re.split(r"(?<=[.?!])\s+", inside)
            others += rest
            open_yet = not rest
        else:
            others.append(text)
    elsewhere = words(" ".join(others))
    lines, sentences = ({words(one) for one in some if len(one) > 14} for some in (code, prose))
    return {x for x in lines if x not in elsewhere}, {x for x in sentences if x not in elsewhere}


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_line_and_no_sentence_of_a_solution_reaches_the_students(path: Path) -> None:
    lines, sentences = solved(load(path))
    assert path.stem.startswith("A") or (lines and sentences)
    everything = words(" ".join(texts(student(load(path)))))
    assert not [text for text in lines | sentences if text in everything]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_students_get_everything_else(path: Path) -> None:
    whole, made = load(path), student(load(path))
    tasks = [f"### Exercise {one.number} · {one.title}" for one in exercises(whole)]
    shown = "\n".join(source(cell) for cell in made["cells"])
    assert all(shown.count(task) == 1 for task in tasks)
    sections = re.findall(r"^## .+$", "\n".join(source(c) for c in whole["cells"]), flags=re.M)
    assert [line for line in shown.splitlines() if line in sections] == sections
    assert len(tagged(made, "check")) == len(tasks)
    kept = [source(c) for c in whole["cells"] if "solution" not in c["metadata"].get("tags", [])]
    code = [source(c) for c in made["cells"] if c["cell_type"] == "code"]
    own = {*tagged(made, "answer"), *tagged(made, "check")}
    assert [text for text in code if text not in own] == [text for text in kept if text in code]
    nbformat.validate(nbformat.from_dict(made))
    assert len({cell["id"] for cell in made["cells"]}) == len(made["cells"])


def test_teachers_get_times_outputs_solutions_and_no_button(chapter: dict[str, Any]) -> None:
    made = teacher(chapter, "", RUN)
    text = source(made["cells"][1])
    assert "\n| Opening | 2.0 |\n| How it goes | 31.5 |\n" in text
    assert "\n| 1 · Double it | Easy | 2 |\n| 2 · Halve it | Hard | 8 |" in text
    assert "2026-11-20 (A processor, 2 threads)" in text
    assert "has not been run here" in source(teacher(chapter, "", None)["cells"][1])
    solutions = [c for c in made["cells"] if "solution" in c["metadata"].get("tags", [])]
    assert len(solutions) == 3
    assert all("hide-cell" not in cell["metadata"]["tags"] for cell in solutions)
    assert not [cell for cell in solutions if {"mystnb", "jupyter"} & cell["metadata"].keys()]
    own = [cell for cell in made["cells"] if "teacher" not in cell["metadata"].get("tags", [])]
    opened = [source(c).replace('class="answer"', 'class="answer" open') for c in chapter["cells"]]
    assert [source(cell) for cell in own] == opened
    assert [c.get("outputs") for c in own] == [c.get("outputs") for c in chapter["cells"]]
    nbformat.validate(nbformat.from_dict(made))


def test_each_note_stands_before_its_section(chapter: dict[str, Any]) -> None:
    joined = source(chapter["cells"][18])
    chapter["cells"][18]["source"] = f"Prose of before.\n\n{joined}"
    made = teacher(chapter, NOTES, RUN)
    top = source(made["cells"][1])
    assert top.endswith("### What students get wrong\n\nThey double twice.\n\n- Haste.")
    assert "Ask first" not in top
    shown = [source(cell) for cell in made["cells"]]
    note = "> **For the teacher**\n>\n> - Ask first.\n>\n> Then tell."
    assert shown[shown.index(note) + 1].startswith("## How it goes\n")
    after = shown.index("> **For the teacher**\n>\n> Ten minutes.")
    assert shown[after - 1 : after + 2 : 2] == ["Prose of before.", joined.strip("\n")]
    nbformat.validate(nbformat.from_dict(made))
    assert len({cell["id"] for cell in made["cells"]}) == len(made["cells"])


def test_a_note_on_no_section_is_an_error(chapter: dict[str, Any]) -> None:
    with pytest.raises(ExerciseError, match="A sample has no section 'How it ends'"):
        teacher(chapter, NOTES.replace("### How it goes", "### How it ends"), RUN)


@pytest.fixture
def edition(tmp_path: Path, chapter: dict[str, Any]) -> Edition:
    """A book of one chapter."""
    save(chapter, tmp_path / "notebooks" / "01_sample.ipynb")
    (tmp_path / "book").mkdir()
    work = "@misc{nobody, author = {Nobody, N.}, title = {Nothing}, year = {2000}}"
    (tmp_path / "book" / "references.bib").write_text(work)
    return Edition(tmp_path)


def test_a_teachers_notebook_has_the_last_run_and_the_notes(edition: Edition) -> None:
    (notebook,) = find_notebooks(edition.root)
    run = load(notebook)
    for cell in run["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"][0]["text"] = "of the run"
    run["metadata"]["medxfer"] = {"key": "0", "run": RUN}
    save(run, edition.stored(notebook))
    teaching = edition.root / "book" / "teaching"
    teaching.mkdir(parents=True)
    (teaching / "01_sample.md").write_text(NOTES)
    made = load(editions.write("teacher", edition) / notebook.name)
    assert "> - Ask first." in json.dumps(made)
    assert "twice four" not in json.dumps(made)
    assert "\n| Opening | 2.0 |\n| How it goes | 31.5 |\n" in source(made["cells"][1])


def test_the_folder_holds_today_s_chapters_and_never_half_of_them(
    edition: Edition, chapter: dict[str, Any]
) -> None:
    folder = editions.write("student", edition)
    assert folder == edition.root / "_build" / "student"
    (edition.root / "notebooks" / "01_sample.ipynb").rename(
        edition.root / "notebooks" / "02_sample.ipynb"
    )
    editions.write("student", edition)
    assert [path.name for path in folder.iterdir()] == ["02_sample.ipynb"]
    before = (folder / "02_sample.ipynb").read_bytes()
    chapter["cells"][13]["source"] = "2 * 4"
    save(chapter, edition.root / "notebooks" / "03_bad.ipynb")
    with pytest.raises(ExerciseError, match="A sample, exercise 1"):
        editions.write("student", edition)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "02_sample.ipynb": before
    }


def test_the_command_says_where_and_what_is_wrong(
    edition: Edition, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "ROOT", edition.root)
    assert command.main(["student"]) == 0
    assert str(edition.root / "_build" / "student") in capsys.readouterr().out
    (edition.root / "book" / "references.bib").write_text("")
    assert command.main(["student"]) == 1
    assert "has no entry 'nobody'" in capsys.readouterr().err
