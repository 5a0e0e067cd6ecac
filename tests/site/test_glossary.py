"""Every term that a chapter uses leads to the glossary, once."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from bs4 import BeautifulSoup
from glossary import GLOSSARY, entries, plural

from tests.site.test_links import parsed

ROOT = Path(__file__).resolve().parents[2]
# Where a reader finds no prose of the chapter.
BESIDE = "h1, h2, h3, h4, code, a, table, .quiz, .cell, .math, .admonition, script, style, details"


def test_each_term_is_linked_once_and_lands_on_its_entry(site: Path, each_chapter: str) -> None:
    there = {str(term["id"]) for term in parsed(site / "book" / "glossary.html").select("dt[id]")}
    spans = parsed(site / each_chapter).select("article a > .std-term")
    places = [unquote(str(span.find_parent("a")["href"])) for span in spans]  # type: ignore[index]
    assert len(places) == len(set(places)) > 20
    assert {place.removeprefix("../book/glossary.html#") for place in places} <= there


def test_each_term_that_the_prose_uses_is_linked(site: Path, each_chapter: str) -> None:
    glossary = entries((ROOT / GLOSSARY).read_text("utf-8"))
    page = BeautifulSoup((site / each_chapter).read_text("utf-8"), "html.parser")
    linked = {" ".join(span.text.split()).casefold() for span in page.select("article .std-term")}
    for part in page.select(f"{BESIDE}, h1 + p"):
        part.decompose()
    prose = " ".join(page.select_one("article").text.split())  # type: ignore[union-attr]
    everything = {words for forms, other in glossary.values() for words in [*forms, *other]}
    for name, (forms, _) in glossary.items():
        if linked & {shape.casefold() for form in forms for shape in (form, plural(form))}:
            continue
        left = prose
        for longer in sorted(everything, key=len, reverse=True):
            if any(form in longer and form != longer for form in forms):
                # It is about something else.
                left = re.sub(re.escape(longer), "", left, flags=re.IGNORECASE)
        used = [one for one in forms if re.search(rf"(?<![\w/-]){re.escape(one)}(?![\w/-])", left)]
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
        assert "{term}" not in path.read_text("utf-8"), path.name
