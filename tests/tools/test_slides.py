"""Slides say what the chapter says: its prose, its tagged cells, its questions, no solution."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag
from nbformat import NotebookNode

from book.tools.chapters.run import Edition
from book.tools.teach import slides
from book.tools.teach.decks import SlidesError, blocks, caption, deck, gist, opening_line, sentences
from book.tools.teach.slides import build_slides, exporter
from tests.tools.books import code, notebook, write

ROOT = Path(__file__).resolve().parents[2]
PNG = {"image/png": "aGk="}
TABLE = {"text/html": "<div><table><tr><td>1</td></tr></table></div>"}
OPENING = """# One & two

Is it *any* good?

**What you will be able to do**

- see it;
- tell it.
"""
QUIZ = """## Quiz

<div class="quiz">

**Which of $p$ and q?**

<details class="wrong"><summary>This p.</summary>

Not quite. It is the other one, as the text above says.

</details>
<details class="right"><summary>That q.</summary>

Right. It is this one, as the *text* above says.

</details>
</div>
"""


def cell(source: str, *tags: str, **data: str) -> NotebookNode:
    return code(source, *tags, shows=data)


def shown(*cells: NotebookNode | str, **notes: str) -> list[Tag]:
    """Return the slides of a chapter with this content, between the opening and the last."""
    made = deck(notebook(OPENING, *cells), notes)
    page, _ = exporter().from_notebook_node(made, {"about": {}})
    return BeautifulSoup(page, "html.parser").select(".slides > section > section")[2:-1]


def inside(slide: Tag) -> str:
    """Return what a slide shows, on one line, without the notes."""
    kept = [str(part) for part in slide.select(".slide > *") if part.name != "aside"]
    return "".join(kept).replace("\n", "")


def notes(slide: Tag) -> str:
    return " ".join(aside.get_text() for aside in slide.select("aside.notes"))


def test_paragraphs_are_divided_into_sentences() -> None:
    expected = {
        "One. Two!\nThree?": ["One.", "Two!", "Three?"],
        "It is 0.5 here, i.e. half. Yes.": ["It is 0.5 here, i.e. half.", "Yes."],
        "**Stop. Go.** On.": ["**Stop. Go.**", "On."],
        'He said "No. Never." Then (as. It. Is) no.': [
            'He said "No. Never."',
            "Then (as. It. Is) no.",
        ],
        "Look at `a. B`. End": ["Look at `a. B`.", "End"],
        "": [],
    }
    assert {text: sentences(text) for text in expected} == expected


def test_prose_is_divided_into_blocks() -> None:
    text = "## A $x$\n\n1. one\n   more\n2. two\n\n$$a$$\n\n> **B**\n>\n> c\n\n```\n# no\n```"
    found = [(block.kind, block.text) for block in blocks(text)]
    assert found[0] == ("h2", "## A $x$")
    assert [kind for kind, _ in found[1:]] == ["ordered_list", "math_block", "blockquote", "fence"]


def test_a_section_opens_with_its_question_or_its_first_sentence() -> None:
    expected = {
        "A fact. Is one of the two a bit better here?": "Is one of the two a bit better here?",
        "Three are ill. Which?": "Three are ill. Which?",
        "Three kinds have a name:": "Three kinds have a name.",
        "word " * 50 + ".": "",
        "": "",
    }
    assert {text: opening_line(text) for text in expected} == expected


def test_the_gist_of_a_point_is_more_than_its_bold_words() -> None:
    long = "It has a kind" + ", and so on" * 12 + "."
    given = f"- **Words.** {long} The target\n  borrows.\n- A shift. It is. {long}\n1. Third."
    assert gist(given) == f"- **Words.** {long}\n- A shift. It is.\n1. Third."


def test_a_caption_is_short_stands_by_itself_and_speaks_of_what_is_shown() -> None:
    def told(text: str, before: bool) -> list[str]:
        return [one.source for one in caption(next(blocks(text)), before=before)]

    expected: dict[tuple[str, bool], list[str]] = {
        ("Some are large. Mind the two scales:", True): ["Mind the two scales:"],
        ("Three are controls. They never hear.", True): [],
        ("Read it by columns. And more.", False): ["Read it by columns."],
        ("It is as in the table above.", False): [],
        ("What is next:", False): [],
        ("is smallest. On.", False): [],
        ("A word " * 30, False): [],
        ("- a list", False): [],
    }
    assert {which: told(*which) for which in expected} == expected


def test_a_section_is_its_title_then_its_tagged_cells_and_the_rest_is_in_the_notes() -> None:
    title, figure, other = shown(
        "## Which one?\n\nFirst words. Second words.\n\nLook at this picture:",
        cell("draw()", "slide", **PNG),
        "It has moved. And more is to be said of it.",
        cell("secret()"),
        "Some words.\n\nLong ago. Here is the picture:",
        cell("paint()", "slide", **PNG),
        **{"Which one?": "Ask *first*."},
    )
    assert inside(title) == "<h2>Which one?</h2><p>First words.</p>"
    assert notes(title).split("\n")[:2] == ["Ask first.", "First words. Second words."]
    assert "Look at this picture" in notes(title)
    assert '<img alt="" src="data:image/png;base64,aGk="/>' in inside(figure)
    assert '<div class="caption fragment"><p>It has moved.</p></div>' in inside(figure)
    assert "And more is to be said of it." in notes(figure)
    assert "Some words." in notes(figure)
    assert '<div class="caption"><p>Here is the picture:</p></div><figure>' in inside(other)
    assert not [word for word in ("draw", "secret", "paint") if word in f"{title}{figure}{other}"]


def test_what_is_shown_of_a_cell() -> None:
    fails = ("slide", "fails-on-purpose")
    expected = [
        (cell("a < b", "slide", **{"text/plain": "<b>"}), ["code printed"]),
        (cell("print(1)\n" * 9, "slide", **{"text/plain": "1"}), ["printed"]),
        (cell("def f(): ...\n" * 9, "slide"), ["code"]),
        (cell("t", "slide", **TABLE), ["table"]),
        (cell("t", *fails, **TABLE), ["code table"]),
        (cell("r", "slide", **{"text/html": '<div class="band">1</div>'}), ["band"]),
        (cell("p", *fails, **PNG), ["code", "figure"]),
        (cell("p", "slide", "solution", **PNG), []),
    ]
    marks = {"code": ".highlight", "printed": ".printed", "table": "td", "band": ".band"}
    marks["figure"] = "figure"
    found = [
        [
            " ".join(part for part, mark in marks.items() if slide.select(mark))
            for slide in shown("## S\n\nText.", one)[1:]
        ]
        for one, _ in expected
    ]
    assert found == [parts for _, parts in expected]


def test_an_exercise_is_asked_and_not_solved() -> None:
    _, exercise = shown(
        "## Exercises\n\n### Exercise 1 · Try\n\n*Easy, 10 minutes.*\n\nCount:\n\n- ill",
        cell("count()", "solution", "hide-cell", **{"text/plain": "53"}),
        "There are many of them.\n\n- a list, too",
    )
    assert "Exercise 1 · Try</h2><p><em>Easy, 10 minutes.</em></p>" in inside(exercise)
    assert "<p>Count:</p><ul><li>ill</li></ul>" in inside(exercise)
    assert not any(word in str(exercise) for word in ("count()", "53", "many", "a list"))


def test_a_question_keeps_its_explanations_for_later() -> None:
    _, question = shown(QUIZ)
    assert "Which of $p$ and q?</h2><ol>" in inside(question)
    assert [item.get_text().split("\n")[0] for item in question.select("ol > li")] == [
        "This p.",
        "That q.",
    ]
    wrong, right = question.select("li > .fragment")
    assert (wrong["class"], right["class"]) == (["fragment", "wrong"], ["fragment", "right"])
    assert "<p>Right. It is this one, as the <em>text</em> above" in str(right)


def test_take_aways_close_the_deck_and_further_reading_is_left_out() -> None:
    real, last = shown(
        "## Take-aways\n\n- **A.** Short. " + "Long" + ", and so on" * 20 + "\n- B.",
        "## On real patients\n\nReal.\n\n## Further reading\n\n- A book",
    )
    assert "On real patients" in inside(real)
    assert "<li><strong>A.</strong> Short.</li><li>B.</li>" in inside(last)
    assert "and so on" in notes(last)


def test_lists_formulas_and_tables_of_the_prose_are_shown() -> None:
    long = "And why" + ", and so on" * 12 + "."
    _, listed, formula, tabled = shown(
        f"## S\n\nThe rules are these:\n\n1. one. {long}\n2. two\n\nSo we write",
        "$$ a < b $$\n\nCall it order.\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    )
    assert '<div class="caption"><p>The rules are these:</p></div><ol>' in inside(listed)
    assert "<li>one.</li><li>two</li>" in inside(listed)
    assert "And why" in notes(listed)
    assert "$$ a &lt; b $$" in inside(formula)
    assert "Call it order." in inside(formula)
    assert "<table>" in inside(tabled)


@pytest.fixture
def book(tmp_path: Path) -> Edition:
    """Return a book of one small chapter, whose last run drew another picture."""
    root = tmp_path / "book of one"
    for name in ("CITATION.cff", "book/references.bib"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    shutil.copytree(ROOT / "book" / "_static", root / "book" / "_static")
    edition, path = Edition(root), root / "notebooks" / "01_one.ipynb"
    for png, place in (("aGk=", path), ("cnVu", edition.stored(path))):
        seen = cell("x", "slide", **{"image/png": png})
        write(place, OPENING, "## S\n\nIn {doc}`01_one`.", seen)
    return edition


def test_decks_are_files_beside_what_they_share(book: Edition, tmp_path: Path) -> None:
    place = build_slides(book, tmp_path / "slides").parent
    page = (place / "01_one.html").read_text("utf-8")
    assert "<title>01 One &amp; two · slides</title>" in page
    assert "version 0.1.0" in page
    assert '<a href="01_one.html">One &amp; two</a>' in page
    assert "base64,cnVu" in page  # of the run, not what the repository has
    assert "mathjax.js" not in page  # no formula, so nothing to draw
    assert "<p>Is it <em>any</em> good?</p>" in page
    assert "<li>see it;</li>\n<li>tell it.</li>" in page
    assert {path.name for path in place.iterdir()} == {"01_one.html", "index.html", "static"}
    assert "MIT" in (place / "static" / "reveal.js").read_text("utf-8")[:300]


def test_what_is_no_chapter_is_named_and_the_former_decks_stay(
    book: Edition, tmp_path: Path
) -> None:
    place = build_slides(book, tmp_path / "slides").parent
    quiz = '## Q\n\n<div class="quiz">\n\nNo question.\n\n</div>'
    faults: list[tuple[list[NotebookNode | str], str]] = [
        (["Prose."], r"01_one\.ipynb: the first cell .* '# Title'"),
        ([cell("x")], "the first cell"),
        ([], "the first cell"),
        ([OPENING, quiz], "no question in bold or no answers: 'No question"),
    ]
    for cells, message in faults:
        write(book.root / "notebooks" / "01_one.ipynb", *cells)
        with pytest.raises(SlidesError, match=message):
            build_slides(book, place)
    assert "base64,cnVu" in (place / "01_one.html").read_text("utf-8")


def test_a_missing_package_is_named() -> None:
    with pytest.raises(SlidesError, match="no_such_package with its x is not installed"):
        slides.installed("no_such_package", "x")
