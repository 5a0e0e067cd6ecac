"""The first use of each glossary term becomes a link, and nothing else in the text changes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from book.tools.pages.terms import GLOSSARY, Words, entries, linked, plural, with_terms, words

ROOT = Path(__file__).resolve().parents[2]
ROLE = re.compile(r"\{term\}`([^`]*) <([^`<>]*)>`")
SAMPLE = """# Glossary

:::{glossary}
.. forms: batch norm, batch-norm
batch norm
  A layer, see {term}`body <body and head>`.

.. forms: body, head
.. not: a body *and
body and head
  Two parts.

AUROC
  An area.

.. forms: fine-tuning, fine-tuned
fine-tuning
  Going on.

modality
  A kind.

.. forms: shift, domain shift
shift
  A difference.

concept shift
  One kind.

source
  Where labels are many.
:::

source
  This is outside, and no entry.
"""
WORDS = words(SAMPLE)


def undone(text: str) -> str:
    """Return a text without the roles that were put in."""
    return ROLE.sub(r"\1", text)


def test_entries_have_their_forms_and_what_is_not_meant() -> None:
    found = entries(SAMPLE)
    assert list(found) == [
        "batch norm", "body and head", "AUROC", "fine-tuning", "modality", "shift",
        "concept shift", "source",
    ]  # fmt: skip
    assert found["body and head"] == (["body", "head"], ["a body *and"])
    assert found["AUROC"] == (["AUROC"], [])


@pytest.mark.parametrize(
    ("one", "many"),
    [("site", "sites"), ("modality", "modalities"), ("loss", "losses"), ("AUROC", "AUROCs")],
)
def test_plurals(one: str, many: str) -> None:
    assert plural(one) == many


def test_two_entries_with_one_form_are_an_error() -> None:
    with pytest.raises(ValueError, match="both 'a' and 'b' are called 'same'"):
        words(":::{glossary}\n.. forms: same\na\n  A.\n\n.. forms: same\nb\n  B.\n:::\n")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The source.", "The {term}`source <source>`."),
        ("Sources, source", "{term}`Sources <source>`, source"),
        ("Two modalities", "Two {term}`modalities <modality>`"),
        ("auroc, Auroc, AUROC's", "auroc, Auroc, {term}`AUROC <AUROC>`'s"),
        ("**AUROC** asks", "**{term}`AUROC <AUROC>`** asks"),
        ("*a source* or", "*a {term}`source <source>`* or"),
        ("**Source**s, source", "**Source**s, {term}`source <source>`"),
        ("sub_source_, source", "sub_source_, {term}`source <source>`"),
        ("a head-on, ahead, resource", "a head-on, ahead, resource"),
        ("body/head", "body/head"),
        ("batch\nnorm", "{term}`batch\nnorm <batch norm>`"),
        ("- batch\n  norm", "- {term}`batch\n  norm <batch norm>`"),
        ("batch\n\nnorm", "batch\n\nnorm"),
        ("batch-norm statistics", "{term}`batch-norm <batch norm>` statistics"),
        (
            "A concept shift is a shift",
            "A {term}`concept shift <concept shift>` is a {term}`shift <shift>`",
        ),
        ("domain shift", "{term}`domain shift <shift>`"),
        (
            "a scanner, a body *and a disease*; the body",
            "a scanner, a body *and a disease*; the {term}`body <body and head>`",
        ),
        ("the head, the body", "the {term}`head <body and head>`, the body"),
        ("A body *and", "A body *and"),
    ],
)
def test_prose(text: str, wanted: str) -> None:
    assert linked(text, WORDS)[0] == wanted


HIDDEN = [
    "# The source",
    "### Exercise 1 · The source",
    "The source\n==========",
    "The source\n---",
    "`source`",
    "``a ` source``",
    "```\nsource\n```",
    "```{admonition} The source\n:class: tip\nsource\n```",
    ":::{note}\nsource\n:::",
    "~~~python\nsource = 1\n~~~",
    "````\n```\nsource\n```\nsource\n````",
    "    source = 1",
    "$source$ and $$\nsource\n$$",
    "$$ a\nsource $$",
    "[the source](source.md)",
    "[the [source]](a.md)",
    "![a source](source.png 'source')",
    "[](source.md)",
    "{doc}`source </source>`",
    "{cite:p}`source2020,source`",
    "{term}`source`",
    "| source | source |\n|---|---|\n| source | AUROC |",
    "<div class='quiz'>\n\n**A source?**\n\n<details><summary>source</summary>\n</details>\n</div>",
    "<table><tr><td>source</td></tr></table>",
    "<span title='source'>",
    "<!-- source -->",
    "% source",
    "(source)=",
    "https://example.org/source/AUROC",
    r"a\source",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_where_no_prose_is_nothing_changes(text: str) -> None:
    assert linked(text, WORDS) == (text, set())


@pytest.mark.parametrize("text", HIDDEN)
def test_prose_after_what_is_hidden_is_seen(text: str) -> None:
    out, have = linked(f"{text}\n\nThe source.\n", WORDS)
    assert out == f"{text}\n\nThe {{term}}`source <source>`.\n"
    assert have == {"source"}


def test_a_price_is_no_formula() -> None:
    out = linked("It costs 5 $ a source, or 7 $ a body.", WORDS)[0]
    assert ROLE.findall(out) == [("source", "source"), ("body", "body and head")]


PIECES = [
    "source", "Source", "sources", "batch norm", "batch\nnorm", "AUROC", "concept shift", "shift",
    "body", "head", "fine-tuned", "a", "is", " ", " ", " ", "\n", "\n\n", "*", "**", "_", "`", "``",
    "$", "$$", "(", ")", "[", "]", "{", "}", "<", ">", "|", "#", "# ", "- ", "1. ", "> ", "```",
    ":::", "\\", "<div>", "</div>", "![", "](x)", "{doc}", "    ", "-", "===", ".", ",", "'s", "é",
    "λ",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@given(TEXTS)
def test_without_the_roles_the_text_is_what_it_was(text: str) -> None:
    out, have = linked(text, WORDS)
    assert undone(out) == undone(text)
    assert len(have) == len(ROLE.findall(out)) - len(ROLE.findall(text))


@given(TEXTS)
def test_a_second_time_there_is_nothing_to_do(text: str) -> None:
    out, have = linked(text, WORDS)
    assert linked(out, WORDS, have) == (out, have)


def plain(text: str) -> str:
    """Return how Markdown reads a text: its blocks and its emphasis, with roles undone."""
    return str(MarkdownIt("commonmark").enable("table").render(text))


@pytest.mark.parametrize("mark", ["*", "**", "***", "_", "__"])
@pytest.mark.parametrize("before", ["", "a ", "a", "(", "“"])
@pytest.mark.parametrize("after", ["", " a", "a", ".", ")", "'s"])
@pytest.mark.parametrize("inside", ["source", "a source", "source b", "a AUROC b"])
def test_emphasis_stays_what_it_was(mark: str, before: str, after: str, inside: str) -> None:
    text = f"{before}{mark}{inside}{mark}{after}"
    out = linked(text, WORDS)[0]
    html = re.sub(r"\{term\}<code>(.*?) &lt;.*?&gt;</code>", r"\1", plain(out))
    assert html == plain(text)


def notebook(*cells: str) -> bytes:
    made = [{"cell_type": "markdown", "source": cell} for cell in cells]
    code = {"cell_type": "code", "source": "source = 'AUROC'", "outputs": [], "metadata": {}}
    return json.dumps({"cells": [*made, code], "metadata": {}}).encode()


def test_chapters_are_linked_once_each_and_other_pages_stay() -> None:
    question = "# Source\n\nWhat is a source\nworth?\n\n- name the source"
    files = {
        GLOSSARY: SAMPLE.encode(),
        "book/index.md": b"The source.",
        "notebooks/01_a.ipynb": notebook(question, "The source and the AUROC."),
        "notebooks/02_b.ipynb": notebook("# B\n\nWhy?", "A source."),
    }
    out = with_terms(files)
    first, second, code = json.loads(out["notebooks/01_a.ipynb"])["cells"]
    assert first["source"] == question[:-6] + "{term}`source <source>`"
    assert second["source"] == "The source and the {term}`AUROC <AUROC>`."
    assert code["source"] == "source = 'AUROC'"
    assert (
        "{term}`source <source>`" in json.loads(out["notebooks/02_b.ipynb"])["cells"][1]["source"]
    )
    assert {name: out[name] for name in (GLOSSARY, "book/index.md")} == {
        name: files[name] for name in (GLOSSARY, "book/index.md")
    }
    assert json.loads(files["notebooks/01_a.ipynb"])["cells"][0]["source"] == question


def test_a_book_without_a_glossary_stays_as_it_is() -> None:
    files = {"notebooks/01_a.ipynb": notebook("# A\n\nWhy?", "A source.")}
    assert with_terms(files) == files


@pytest.fixture(scope="module")
def book() -> Words:
    return words((ROOT / GLOSSARY).read_text("utf-8"))


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_each_chapter_of_the_book_keeps_its_text(path: Path, book: Words) -> None:
    files = {GLOSSARY: (ROOT / GLOSSARY).read_bytes(), path.name: path.read_bytes()}
    before, after = (json.loads(each[path.name])["cells"] for each in (files, with_terms(files)))
    assert [undone("".join(cell["source"])) for cell in after] == [
        "".join(cell["source"]) for cell in before
    ]
    roles = [term for cell in after for _, term in ROLE.findall("".join(cell["source"]))]
    assert len(roles) == len(set(roles)) > 20
    assert set(roles) <= set(entries((ROOT / GLOSSARY).read_text("utf-8")))


def test_the_glossary_is_in_order_and_each_entry_has_its_chinese_term() -> None:
    text = (ROOT / GLOSSARY).read_text("utf-8")
    names = list(entries(text))
    assert names == sorted(names, key=str.casefold)
    chinese = re.findall(r"^  \{zh\}`[^`]*[\u4e00-\u9fff][^`]*` \S", text, re.MULTILINE)
    assert len(chinese) == len(names)
