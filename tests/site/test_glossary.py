"""Every term that a chapter uses leads to the glossary, once."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest
from bs4 import BeautifulSoup

from book.tools.pages.terms import GLOSSARY, entries
from tests.site.test_links import parsed

ROOT = Path(__file__).resolve().parents[2]
# Where a reader finds no prose of the chapter.
BESIDE = "h1, h2, h3, h4, code, a, table, .quiz, .cell, .math, .admonition, script, style, details"


@pytest.fixture(scope="module")
def glossary() -> dict[str, tuple[list[str], list[str]]]:
    return entries((ROOT / GLOSSARY).read_text("utf-8"))


def term_links(page: BeautifulSoup) -> list[str]:
    """Return the places in the glossary that the terms of a chapter lead to."""
    return [
        unquote(str(span.parent["href"])).removeprefix("../book/glossary.html#")
        for span in page.select("article .std-term")
        if span.parent is not None
    ]


def test_each_term_is_linked_once_and_lands_on_its_entry(site: Path, each_chapter: str) -> None:
    there = {str(term["id"]) for term in parsed(site / "book" / "glossary.html").select("dt[id]")}
    links = Counter(term_links(parsed(site / each_chapter)))
    assert len(links) > 20
    assert [place for place, times in links.items() if times > 1] == []
    assert set(links) - there == set()


def test_each_term_that_the_prose_uses_is_linked(
    site: Path, each_chapter: str, glossary: dict[str, tuple[list[str], list[str]]]
) -> None:
    page = BeautifulSoup((site / each_chapter).read_text("utf-8"), "html.parser")
    linked = {" ".join(span.text.split()).casefold() for span in page.select("article .std-term")}
    question = page.select_one("article h1 + p")
    assert question is not None
    for part in [*page.select(BESIDE), question]:
        part.decompose()
    prose = " ".join(page.select_one("article").text.split())  # type: ignore[union-attr]
    everything = {words for forms, other in glossary.values() for words in [*forms, *other]}
    for name, (forms, _) in glossary.items():
        shapes = {form + ending for form in forms for ending in ("", "s")}
        if linked & {shape.casefold() for shape in shapes}:
            continue
        left = prose
        for longer in sorted(everything, key=len, reverse=True):
            if any(form in longer and form != longer for form in forms):
                other = re.escape(longer.replace("*", ""))
                left = re.sub(other, "", left, flags=re.IGNORECASE)  # it is about something else
        used = [
            form for form in forms if re.search(rf"(?<![\w/-]){re.escape(form)}(?![\w/-])", left)
        ]
        assert used == [], name


def test_chinese_words_are_tagged_as_such(site: Path) -> None:
    page = parsed(site / "book" / "glossary.html")
    for term in page.select("dt[id^=term-]"):
        chinese = term.select_one('[lang="zh-Hans"]')
        assert chinese is not None, term.text
        assert re.search(r"[\u4e00-\u9fff]", chinese.text), term.text
    tagged = "".join(part.text for part in page.select('article [lang|="zh"]'))
    every = re.findall(r"[\u4e00-\u9fff]", page.select_one("article").text)  # type: ignore[union-attr]
    assert len(every) == len(re.findall(r"[\u4e00-\u9fff]", tagged)) > 200


def test_the_repository_has_no_such_links() -> None:
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        assert not any("{term}" in "".join(cell["source"]) for cell in cells), path.name
