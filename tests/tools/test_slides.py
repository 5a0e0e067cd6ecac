"""Slides say what the chapter says: its prose, its tagged cells, its questions, no solution."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from book.tools.chapters.run import Edition
from book.tools.teach import slides
from book.tools.teach.captions import caption, gist, lead, opening_line, size
from book.tools.teach.decks import Deck, Slide
from book.tools.teach.outline import OutlineError, outline
from book.tools.teach.prose import Prose, blocks, sentences
from book.tools.teach.shown import code, shown, table
from book.tools.teach.slides import SlidesError, build_slides

ROOT = Path(__file__).resolve().parents[2]
BIBLIOGRAPHY = """@article{pan2010survey, author={Pan, Sinno Jialin and Yang, Qiang}, year={2010}}
@article{li2018l2sp, author={Li, X. and Gr{\\"u}n, Y. and Da, F.}, year={2018}}
@misc{who2020, title={A {WHO} report}, year={2020}}"""
PNG = {"image/png": "aGk=\n"}
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


def markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": text, "metadata": {}}


def cell(source: str, *tags: str, **data: str) -> dict[str, Any]:
    output = {"output_type": "display_data", "data": data, "metadata": {}}
    return {
        "cell_type": "code",
        "source": source,
        "metadata": {"tags": list(tags)},
        "outputs": [output] if data else [],
        "execution_count": 1,
    }


@pytest.fixture
def prose(tmp_path: Path) -> Prose:
    path = tmp_path / "references.bib"
    path.write_text(BIBLIOGRAPHY, "utf-8")
    return Prose(path, {"03_images": "Images & more"})


def deck(prose: Prose, *cells: dict[str, Any]) -> list[list[Slide]]:
    return Deck(outline({"cells": [markdown(OPENING), *cells]}), prose).groups()


def section(prose: Prose, *cells: dict[str, Any]) -> list[Slide]:
    """Return the slides of the first section after the two opening slides, without its title."""
    return deck(prose, *cells)[2][1:]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{cite:p}`pan2010survey,li2018l2sp`", "(Pan and Yang, 2010; Li et al., 2018)"),
        ("{cite}`who2020`", "(A WHO report, 2020)"),
        ("{cite:t}`li2018l2sp` say", "Li et al. (2018) say"),
        ("Said {cite:p}`nobody`.", "Said ."),
        ("{doc}`the clinic </book/clinic>`", "the clinic"),
        ("{doc}`03_images`", "Images &amp; more"),
        ("{doc}`/book/own_data`", "own data"),
        ("{term}`AUROC`", "AUROC"),
        ("$p(x<2)$", r'<span class="math">\(p(x&lt;2)\)</span>'),
    ],
)
def test_roles_become_words(prose: Prose, text: str, expected: str) -> None:
    assert prose.line(text) == expected


def test_an_admonition_keeps_its_title_and_its_text(prose: Prose) -> None:
    text = "```{admonition} Two *numbers*\n:class: tip\nThe first.\n\nThe second.\n```"
    assert [block.kind for block in blocks(text)] == ["admonition"]
    html = prose.html(text)
    assert "<strong>Two <em>numbers</em></strong>" in html
    assert html.endswith("<p>The first.</p>\n<p>The second.</p>")


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        ("One. Two!\nThree?", ["One.", "Two!", "Three?"]),
        ("It is 0.5 here, i.e. half. Yes.", ["It is 0.5 here, i.e. half.", "Yes."]),
        ("**Stop. Go.** On.", ["**Stop. Go.**", "On."]),
        (
            'He said "No. Never." Then (as. It. Is) no.',
            ['He said "No. Never."', "Then (as. It. Is) no."],
        ),
        ("Look at `a. B`. End", ["Look at `a. B`.", "End"]),
        ("", []),
    ],
)
def test_sentences(paragraph: str, expected: list[str]) -> None:
    assert sentences(paragraph) == expected


def test_blocks_know_points_of_a_list_and_levels_of_headings() -> None:
    found = blocks("(here)=\n## A $x$\n% a remark\n\n1. one\n   more\n2. two\n\n$$a$$")
    heading, listed, formula = found
    assert (heading.kind, heading.text, heading.level) == ("heading", "A $x$", 2)
    assert (listed.items, listed.ordered) == (("one more", "two"), True)
    assert formula.kind == "formula"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            ["A fact.", "Which of them is the better one for us?"],
            "Which of them is the better one for us?",
        ),
        (["Three are ill.", "Which?"], "Three are ill. Which?"),
        (["Three kinds have a name:"], "Three kinds have a name."),
        (["word " * 50 + "."], ""),
        ([], ""),
    ],
)
def test_a_section_opens_with_its_question(said: list[str], expected: str) -> None:
    assert opening_line(said) == expected


def test_gist_of_a_point_is_more_than_its_bold_words() -> None:
    assert (
        gist("**Words.** The source lends. The target borrows.") == "**Words.** The source lends."
    )
    assert gist("**Look** at it. Twice.") == "**Look** at it."
    assert gist("A shift. It has a kind. It has a size.", most=24) == "A shift. It has a kind."


def test_what_leads_to_a_picture_stands_by_itself() -> None:
    assert lead(["Some are large.", "Mind the two scales."]) == "Mind the two scales."
    assert lead(["Three are controls.", "They never hear of another hospital."]) == ""
    assert lead([]) == ""


def test_a_caption_is_short_and_speaks_of_what_is_shown() -> None:
    assert caption(["Read it by columns.", "And more."]) == "Read it by columns."
    assert caption(["It is as in the table above."]) == ""
    assert caption(["A word " * 30]) == ""


def test_longer_text_gets_smaller_type() -> None:
    assert [size("x" * n) for n in (10, 500, 900, 2000)] == ["short", "medium", "long", "longest"]


def test_opening_slides(prose: Prose) -> None:
    (first,), (second,), *_ = deck(prose, markdown("## S\n\nText."))
    assert first.body == "<h1>One &amp; two</h1><p>Is it <em>any</em> good?</p>"
    assert "<li>see it</li><li>tell it.</li>" in second.body


def test_a_section_is_its_title_then_its_tagged_cells(prose: Prose) -> None:
    title, *others = deck(
        prose,
        markdown("## Which one?\n\nFirst words. Second words.\n\nLook at this picture:"),
        cell("draw()", "slide", **PNG),
        markdown("It has moved. And more is to be said of it."),
        cell("secret()"),
    )[2]
    assert title.body == "<h2>Which one?</h2><p>First words.</p>"
    assert "Look at this picture" in title.notes
    (figure,) = others
    assert '<img src="data:image/png;base64,aGk="' in figure.body
    assert '<p class="caption fragment">It has moved.</p>' in figure.body
    assert "draw()" not in figure.body
    assert "Look at this picture:" in figure.notes
    assert "And more is to be said of it." in figure.notes
    assert "secret" not in str(others)


def test_a_cell_without_words_after_it_is_led_to_by_those_before(prose: Prose) -> None:
    before = markdown("## S\n\nSome words.\n\nLong ago. Here is the picture:")
    (figure,) = section(prose, before, cell("draw()", "slide", **PNG), cell("more()"))
    assert '<p class="caption">Here is the picture:</p><figure>' in figure.body


@pytest.mark.parametrize(
    ("tagged", "parts"),
    [
        (cell("print(1)", "slide", **{"text/plain": "1"}), [["code", "printed"]]),
        (cell("print(1)\n" * 9, "slide", **{"text/plain": "1"}), [["printed"]]),
        (cell("def f(): ...\n" * 9, "slide"), [["code"]]),
        (cell("t", "slide", **{"text/html": "<table><tr><td>1</table>"}), [["numbers"]]),
        (
            cell("t", "slide", "fails-on-purpose", **{"text/html": "<table><tr><td>1</table>"}),
            [["code", "numbers"]],
        ),
        (cell("r", "slide", **{"text/html": '<div class="band">1</div>'}), [["band"]]),
        (cell("p", "slide", "fails-on-purpose", **PNG), [["code"], ["figure"]]),
        (cell("p", "slide", "solution", **PNG), []),
    ],
    ids=["short", "long", "no output", "table", "fails", "band", "fails and draws", "solution"],
)
def test_what_is_shown_of_a_cell(
    prose: Prose, tagged: dict[str, Any], parts: list[list[str]]
) -> None:
    found = section(prose, markdown("## S\n\nText."), tagged)
    marks = {
        "code": "<pre class=code",
        "printed": "<pre class=printed",
        "numbers": "<table class=numbers",
        "band": "<div class=band",
        "figure": "<figure",
    }
    bodies = [slide.body.replace('"', "") for slide in found]
    assert [[part for part, mark in marks.items() if mark in body] for body in bodies] == parts


def test_an_exercise_is_asked_and_not_solved(prose: Prose) -> None:
    (exercise,) = section(
        prose,
        markdown("## Exercises\n\n### Exercise 1 · Try\n\n*Easy, 10 minutes.*\n\nCount the ill."),
        cell("count()", "solution", "hide-cell", **{"text/plain": "53"}),
        markdown("There are many of them.\n\n- a list, too"),
    )
    assert "<h2>Exercise 1 · Try</h2>" in exercise.body
    assert '<p class="difficulty">Easy, 10 minutes</p>' in exercise.body
    assert "<p>Count the ill.</p>" in exercise.body
    assert not any(word in str(exercise) for word in ("count()", "53", "many", "a list"))


def test_a_question_keeps_its_explanations_for_later(prose: Prose) -> None:
    (question,) = section(prose, markdown(QUIZ))
    assert r"Which of <span class" in question.body
    assert question.body.count("<li>") == 2
    assert '<p class="fragment wrong">✗ Not quite. It is' in question.body
    assert '<p class="fragment right">✓ Right. It is this one, as the <em>' in question.body


def test_take_aways_close_the_deck_and_further_reading_is_left_out(prose: Prose) -> None:
    groups = deck(
        prose,
        markdown("## Take-aways\n\n- **A.** Short. " + "Long" + ", and so on" * 20 + "\n- B."),
        markdown("## On real patients\n\nReal.\n\n## Further reading\n\n- {cite:t}`who2020`"),
    )
    assert [group[0].body.split("</h2>")[0] for group in groups[2:]] == [
        "<h2>On real patients",
        "<h2>Take-aways",
    ]
    assert "<li><strong>A.</strong> Short.</li><li>B.</li>" in groups[-1][0].body
    assert "and so on" in groups[-1][0].notes


def test_lists_formulas_and_tables_of_the_prose_are_shown(prose: Prose) -> None:
    listed, formula, tabled = section(
        prose,
        markdown("## S\n\nThe rules are these:\n\n1. one. And why.\n2. two\n\nSo we write"),
        markdown("$$ a < b $$\n\nCall it order.\n\n| a | b |\n|---|---|\n| 1 | 2 |"),
    )
    assert "The rules are these:" in listed.body
    assert "<ol><li>one.</li><li>two</li></ol>" in listed.body
    assert "And why." in listed.notes
    assert r"\[a &lt; b\]" in formula.body
    assert "Call it order." in formula.body
    assert "<table>" in tabled.body


def test_a_table_says_how_large_it_is_and_has_no_empty_heading() -> None:
    pandas = (
        "<div><style scoped>.x</style><table border='1' class='dataframe'><thead>"
        "<tr style='text-align: right;'><th></th><th>n</th></tr></thead>"
        "<tbody>\n<tr>\n<th>long name</th><td>12</td></tr></tbody></table></div>"
    )
    part = table(pandas)
    assert part.kind == "table"
    assert part.rows == 2
    assert 'style="--columns:15"' in part.html  # 9 + 2 letters, and 2 of space for each column
    assert "<thead><tr><td></td><th>n</th></tr></thead>" in part.html
    assert "scoped" not in part.html


def test_code_and_printed_text_are_escaped_and_measured() -> None:
    part = code("a < b\nprint()  # 1")
    assert 'style="--columns:12"' in part.html
    assert "&lt;" in part.html
    output = {"output_type": "stream", "name": "stdout", "text": ["<b>\n", "x & y\n"]}
    assert "&lt;b&gt;\nx &amp; y</pre>" in shown(output).html


@pytest.fixture
def book(tmp_path: Path) -> Edition:
    """Return a book of one small chapter."""
    root = tmp_path / "book of one"
    for name in ("CITATION.cff", "book/references.bib"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    shutil.copytree(ROOT / "book" / "_static", root / "book" / "_static")
    write(root, markdown(OPENING), markdown("## S\n\nText."), cell("x", "slide", **PNG))
    return Edition(root)


def write(root: Path, *cells: dict[str, Any]) -> None:
    path = root / "notebooks" / "01_one.ipynb"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"cells": list(cells), "metadata": {}}), "utf-8")


def test_decks_are_files_beside_what_they_share(book: Edition, tmp_path: Path) -> None:
    place = build_slides(book, tmp_path / "slides").parent
    page = (place / "01_one.html").read_text("utf-8")
    assert "<title>01 One &amp; two · slides</title>" in page
    assert "version 0.1.0" in page
    assert "mathjax.js" not in page  # no formula, so nothing to draw
    assert {path.name for path in place.iterdir()} == {"01_one.html", "index.html", "static"}
    assert "MIT" in (place / "static" / "reveal.js").read_text("utf-8")[:300]


def test_a_run_is_shown_rather_than_the_committed_outputs(book: Edition, tmp_path: Path) -> None:
    notebook = book.root / "notebooks" / "01_one.ipynb"
    run = notebook.read_text("utf-8").replace("aGk=", "cnVu")
    book.stored(notebook).parent.mkdir(parents=True)
    book.stored(notebook).write_text(run, "utf-8")
    page = build_slides(book, tmp_path / "slides").parent / "01_one.html"
    assert "base64,cnVu" in page.read_text("utf-8")


def test_an_interrupted_build_leaves_the_former_decks_and_can_be_repeated(
    book: Edition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "slides"
    build_slides(book, place)
    with monkeypatch.context() as patch:

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(slides, "write_decks", stop)
        with pytest.raises(KeyboardInterrupt):
            build_slides(book, place)
    assert (place / "01_one.html").is_file()
    place.rename(tmp_path / "slides.former")  # as if cut off between the two renames
    write(book.root, markdown(OPENING), markdown("## Anew\n\nText."))
    build_slides(book, place)
    assert "Anew" in (place / "01_one.html").read_text("utf-8")
    assert [path.name for path in tmp_path.glob("slides*")] == ["slides"]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([markdown("Prose.")], r"01_one\.ipynb: the first cell .* '# Title'"),
        ([cell("x")], "the first cell"),
        ([], "the first cell"),
        (
            [markdown(OPENING), markdown('<div class="quiz">\n\nNo question.\n\n</div>')],
            "no question in bold or no answers: 'No question",
        ),
    ],
)
def test_what_is_no_chapter_is_named(
    book: Edition, tmp_path: Path, cells: list[dict[str, Any]], message: str
) -> None:
    write(book.root, *cells)
    with pytest.raises(SlidesError, match=message):
        build_slides(book, tmp_path / "slides")
    assert not (tmp_path / "slides").exists()


def test_a_missing_package_is_named() -> None:
    with pytest.raises(SlidesError, match="no_such_package with its x is not installed"):
        slides.installed("no_such_package", "x")


def test_outline_needs_a_title() -> None:
    with pytest.raises(OutlineError, match="Title"):
        outline({"cells": [markdown("## Two")]})
