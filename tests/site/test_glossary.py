"""Every term that a chapter uses leads to the glossary, once."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from bs4 import BeautifulSoup
from glossary import GLOSSARY, entries, plural

from tests.site.test_links import parsed
from tests.site.visiting import all_chapters

ROOT = Path(__file__).resolve().parents[2]
# Where a reader finds no prose of the chapter.
BESIDE = "h1, h2, h3, h4, code, a, table, .quiz, .cell, .math, .admonition, script, style, details"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def term_links(page: BeautifulSoup) -> list[str]:
    """Return the places in the glossary that the terms of a chapter lead to."""
    return [
        unquote(str(span.parent["href"])).removeprefix("../book/glossary.html#")
        for span in page.select("article .std-term")
        if span.parent is not None
    ]


def test_each_term_is_linked_once_and_lands_on_its_entry(site: Path) -> None:
    there = {str(term["id"]) for term in parsed(site / "book" / "glossary.html").select("dt[id]")}
    links = {path: Counter(term_links(parsed(site / path))) for path in all_chapters(site)}
    assert [path for path, those in links.items() if len(those) <= 10] == []
    twice = {
        (path, at) for path, those in links.items() for at, times in those.items() if times > 1
    }
    nowhere = {(path, at) for path, those in links.items() for at in those if at not in there}
    assert twice | nowhere == set()


def prose(path: Path) -> tuple[str, set[str]]:
    """Return the running text of a chapter, and the words in it that lead to the glossary."""
    page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
    linked = {" ".join(span.text.split()).casefold() for span in page.select("article .std-term")}
    for part in page.select(f"{BESIDE}, article h1 + p"):
        part.decompose()
    return " ".join(page.select_one("article").text.split()), linked  # type: ignore[union-attr]


def unlinked(path: Path) -> Iterator[str]:
    """Yield forms of terms that a chapter uses, though none of their entry leads there."""
    glossary = entries((ROOT / GLOSSARY).read_text("utf-8"))
    text, linked = prose(path)
    everything = {words for forms, other in glossary.values() for words in [*forms, *other]}
    for forms, _ in glossary.values():
        shapes = {shape for form in forms for shape in (form, plural(form))}
        if linked & {shape.casefold() for shape in shapes}:
            continue
        left = text
        for longer in sorted(everything, key=len, reverse=True):
            if any(form in longer and form != longer for form in forms):
                other = re.escape(longer)
                left = re.sub(other, "", left, flags=re.IGNORECASE)  # it is about something else
        yield from (f for f in forms if re.search(rf"(?<![\w/-]){re.escape(f)}(?![\w/-])", left))


def test_each_term_that_the_prose_uses_is_linked(site: Path) -> None:
    found = {path: [*unlinked(site / path)] for path in all_chapters(site)}
    assert {path: forms for path, forms in found.items() if forms} == {}


def test_chinese_words_are_tagged_as_such(site: Path) -> None:
    page = parsed(site / "book" / "glossary.html")
    terms = {term: term.select_one('[lang="zh-Hans"]') for term in page.select("dt[id^=term-]")}
    assert [t.text for t, said in terms.items() if not said or not CHINESE.search(said.text)] == []
    tagged = "".join(part.text for part in page.select('article [lang|="zh"]'))
    every = CHINESE.findall(page.select_one("article").text)  # type: ignore[union-attr]
    assert len(every) == len(CHINESE.findall(tagged)) > 200


def test_the_repository_has_no_such_links() -> None:
    chapters = {path.name: json.loads(path.read_text("utf-8")) for path in NOTEBOOKS}
    told = [name for name, content in chapters.items() if "{term}" in json.dumps(content["cells"])]
    assert told == []
