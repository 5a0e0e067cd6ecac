"""A translation keeps what its original holds: links, roles, formulas, code, emphasis."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from markdown_it import MarkdownIt

from book.tools.pages.chinese import CATALOGUES, begun

ROOT = Path(__file__).resolve().parents[2]
PAGES = begun(ROOT)
# The target of a role is what counts; the words shown for it may be translated.
ROLE = re.compile(r"\{([\w:]+)\}`(?:[^`<>]*<)?([^`<>]+)>?`")
PARTS = {
    "role": ROLE,
    "formula": re.compile(r"(?<!\\)\$([^$]+)\$"),
    "code": re.compile(r"(?<![}`])`([^`]+)`"),
    "link": re.compile(r"\]\(([^()\s]*)\)"),
    "tag": re.compile(r"</?\w[^<>]*>(?!`)"),
}


def parts(text: str) -> Counter[tuple[str, str]]:
    """Return what a translation must keep of a message, by kind, however often."""
    flat = " ".join(text.split())
    kept = Counter({("emphasis", kind): number for kind, number in emphasis(flat).items()})
    for kind, pattern in PARTS.items():
        text = ROLE.sub("", flat) if kind in ("code", "tag") else flat
        kept.update(
            (kind, " ".join(match.groups() or [match[0]])) for match in pattern.finditer(text)
        )
    return kept


def emphasis(text: str) -> Counter[str]:
    """Return how often a text is emphasised, weakly or strongly, as Markdown reads it."""
    (inline,) = MarkdownIt("commonmark").parseInline(ROLE.sub("x", text))
    return Counter(
        token.type for token in inline.children or [] if token.type in ("em_open", "strong_open")
    )


def catalogue(page: str) -> Catalog:
    with (ROOT / CATALOGUES / f"{page}.po").open("rb") as file:
        return read_po(file, abort_invalid=True)


@pytest.mark.parametrize("page", PAGES)
def test_translations_are_whole_looked_at_and_chinese(page: str) -> None:
    """Links, formulas, code and emphasis are kept; no entry waits for a second look."""
    messages = [message for message in catalogue(page) if message.id]
    assert [message.id for message in messages if message.fuzzy] == []
    for text, said in ((str(m.id), str(m.string)) for m in messages if m.string):
        assert parts(text) == parts(said), text
        if re.search(r"[a-z]{2}", re.sub(r"\$[^$]*\$", "", PARTS["code"].sub("", text))):
            assert re.search(r"[\u4e00-\u9fff]", said), text


def test_git_holds_no_compiled_catalogue_and_no_date_that_changes() -> None:
    assert list((ROOT / CATALOGUES).rglob("*.mo")) == []
    for page in PAGES:
        text = (ROOT / CATALOGUES / f"{page}.po").read_text("utf-8")
        assert "POT-Creation-Date: 1970-01-01 00:00+0000" in text
        assert not re.search(r"^#: ", text, re.MULTILINE), (
            "line numbers would change with every edit"
        )
