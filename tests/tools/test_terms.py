"""The first use of each glossary term becomes a link, and nothing else in the text changes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docutils import nodes
from glossary import GLOSSARY, entries, link_terms, plural, words
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.tiny import Tiny

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = [
    ".. forms: batch norm, batch-norm\nbatch norm\n  A layer, see {term}`body <body and head>`.",
    ".. forms: body, head\n.. not: a body and\nbody and head\n  {zh}`主干与输出头` Two parts.",
    "AUROC\n  An area.",
    ".. forms: fine-tuning, fine-tuned\nfine-tuning\n  Going on.",
    "modality\n  A kind.",
    ".. forms: shift, domain shift\nshift\n  A difference.",
    "concept shift\n  One kind.",
    "source\n  Where labels are many.",
]
GLOSSARY_OF = "# Glossary\n\n:::{{glossary}}\n{}\n:::\n\nsource\n  This is outside."
SAMPLE = GLOSSARY_OF.format("\n\n".join(ENTRIES))
WORDS = words(SAMPLE)
PROSE = {
    "The source.": "The [source].",
    "Sources, source": "[Sources|source], source",
    "Two modalities": "Two [modalities|modality]",
    "auroc, Auroc, AUROC's": "auroc, Auroc, [AUROC]'s",
    "**AUROC** asks": "[AUROC] asks",
    "*a source* or": "a [source] or",
    "**Source**s, source": "Sources, [source]",
    "sub_source_, source": "sub_source_, [source]",
    "a head-on, ahead, resource": "a head-on, ahead, resource",
    "body/head": "body/head",
    "batch\nnorm": "[batch norm]",
    "- batch\n  norm": "[batch norm]",
    "> a source": "a [source]",
    "batch\n\nnorm": "batch norm",
    "batch-norm statistics": "[batch-norm] statistics",
    "A concept shift is a shift": "A [concept shift] is a [shift]",
    "domain shift": "[domain shift|shift]",
    "a body *and a disease*; the body": "a body and a disease; the [body|body and head]",
    "the head, the body": "the [head|body and head], the body",
    "It costs 5 $ a source.": "It costs 5 $ a [source].",
}
HIDDEN = [
    "## The source",
    "The source\n---",
    "`source`",
    "``a ` source``",
    "```\nsource\n```",
    "```{admonition} The source\n:class: tip\nsource\n```",
    ":::{note}\nsource\n:::",
    "    source = 1",
    "$source$ and $$\nsource\n$$",
    "[the source](https://example.org/source)",
    "[the *source*](https://example.org)",
    "![a source](source.png 'source')",
    "{doc}`source </index>`",
    "{term}`source`",
    "| source | source |\n|---|---|\n| source | AUROC |",
    "<div class='quiz'>\n\n**A source?**\n\n<details><summary>source</summary>\n</details>\n</div>",
    "<details>\n\nThe source.\n\n</details>",
    "<table><tr><td>source</td></tr></table>",
    "<!-- source -->",
    "% source",
    "(source)=",
    "<https://example.org/source/AUROC>",
]


def written(node: nodes.Node) -> str:
    """Return a text in which what the transform has linked stands in brackets."""
    if isinstance(node, nodes.reference) and str(node.get("refuri")).startswith("#term-"):
        shown, term = node.astext(), node["refuri"].removeprefix("#term-").replace("-", " ")
        return f"[{shown}]" if shown.replace("-", " ") == term else f"[{shown}|{term}]"
    if isinstance(node, nodes.TextElement):
        return "".join(map(written, node.children))
    return " ".join(map(written, node.children)) if node.children else str(node.astext())


@pytest.fixture(scope="module")
def chapters(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    pages = {f"notebooks/p{k}.md": f"# A\n\nWhy?\n\n{text}\n" for k, text in enumerate(PROSE)}
    after = "\n\nThe source.\n"
    pages |= {f"notebooks/h{k}.md": f"# A\n\nWhy?\n\n{t}{after}" for k, t in enumerate(HIDDEN)}
    question = "# Source\n\nWhat is a source\nworth?\n\n- name the AUROC"
    pages |= {GLOSSARY: SAMPLE, "notebooks/q.md": question, "book/a.md": "# A\n\nB.\n\nA source.\n"}
    return Tiny(tmp_path_factory.mktemp("book"), pages, "glossary", smartquotes=False)


def test_prose(chapters: Tiny) -> None:
    """Each of these is a chapter of its own."""
    made = {
        text: " ".join(" ".join(map(written, chapters.page(f"notebooks/p{k}")[0][2:])).split())
        for k, text in enumerate(PROSE)
    }
    assert made == PROSE


def test_where_no_prose_is_nothing_is_linked_and_prose_after_it_is(chapters: Tiny) -> None:
    """A role that stands there already is one that no transform has made."""
    for k, text in enumerate(HIDDEN):
        page = chapters.page(f"notebooks/h{k}")
        linked = [node for node in page.findall(nodes.reference) if "#term-" in str(node)]
        assert len(linked) == 1 + text.count("{term}"), text
        assert page.astext().endswith("The source."), text
        assert list(page.findall(nodes.paragraph))[-1].astext() == linked[-1].parent.astext(), text


def test_titles_questions_and_other_pages_stay_as_they_are(chapters: Tiny) -> None:
    shown = " ".join(written(chapters.page("notebooks/q")[0]).split())
    assert shown == "Source What is a source worth? name the [AUROC]"
    assert "[" not in written(chapters.page("book/a"))


def test_chinese_words_stand_beside_the_term_and_are_tagged(chapters: Tiny) -> None:
    terms = {term.astext(): term for term in chapters.page("book/glossary").findall(nodes.term)}
    (words_,) = terms["body and head 主干与输出头"].findall(nodes.inline)
    assert words_["classes"] == ["language-zh-Hans"]
    assert "term-body-and-head" in terms["body and head 主干与输出头"]["ids"]


def test_entries_have_their_forms_and_what_is_not_meant() -> None:
    found = entries(SAMPLE)
    assert len(found) == len(ENTRIES)
    assert found["body and head"] == (["body", "head"], ["a body and"])
    assert found["AUROC"] == (["AUROC"], [])


def test_plurals() -> None:
    pairs = {"site": "sites", "modality": "modalities", "loss": "losses", "AUROC": "AUROCs"}
    assert {one: plural(one) for one in pairs} == pairs


def test_two_entries_with_one_form_are_an_error() -> None:
    with pytest.raises(ValueError, match="both 'a' and 'b' are called 'same'"):
        words(GLOSSARY_OF.format(".. forms: same\na\n  A.\n\n.. forms: same\nb\n  B."))


PIECES = [
    "source", "Source", "sources", "batch norm", "batch\nnorm", "AUROC", "concept shift", "shift",
    "body", "head", "fine-tuned", "a", "is", " ", " ", "\n", "-", "/", ".", "'s", "é", "λ",
]  # fmt: skip
TEXT = st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map("".join).map(nodes.Text)
KINDS = st.sampled_from([nodes.emphasis, nodes.strong, nodes.literal, nodes.math, nodes.reference])
INLINE = st.recursive(
    TEXT,
    lambda inner: st.builds(lambda k, parts: k("", "", *parts), KINDS, st.lists(inner, max_size=3)),
    max_leaves=6,
)


def without_links(paragraph: nodes.paragraph) -> str:
    """Return the structure of a paragraph, its links undone and its neighbouring texts joined."""
    shown = re.sub(r"</?(pending_xref|inline)[^>]*>", "", str(paragraph))
    return " ".join(shown.split())


@given(st.lists(INLINE, max_size=6))
def test_nothing_changes_but_that_each_entry_is_linked_once(parts: list[nodes.Node]) -> None:
    paragraph = nodes.paragraph("", "", *(part.deepcopy() for part in parts))
    before, done = without_links(paragraph), set[str]()
    link_terms(paragraph, WORDS, done, "notebooks/a")
    assert without_links(paragraph) == before
    links = list(paragraph.findall(lambda node: node.tagname == "pending_xref"))
    assert sorted(link["reftarget"] for link in links) == sorted(done)
    after = str(paragraph)
    link_terms(paragraph, WORDS, done, "notebooks/a")
    assert str(paragraph) == after


def test_the_glossary_is_in_order_and_each_entry_has_its_chinese_term() -> None:
    text = (ROOT / GLOSSARY).read_text("utf-8")
    names = list(entries(text))
    assert names == sorted(names, key=str.casefold)
    assert set(filter(None, words(text).values())) == set(names)
    chinese = re.findall(r"^  \{zh\}`[^`]*[\u4e00-\u9fff][^`]*` \S", text, re.MULTILINE)
    assert len(chinese) == len(names)
