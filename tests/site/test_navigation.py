"""Whoever pages through the book comes by every page in order, and always sees where they are."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from bs4 import BeautifulSoup, Tag

ROOT = Path(__file__).resolve().parents[2]
BOOK = "Transfer Learning for Medical Diagnosis"


def files(entry: dict[str, Any]) -> list[str]:
    """Return the pages that an entry of the table of contents names, in order."""
    named = [f"{entry[key]}.html" for key in ("root", "file") if key in entry]
    inner = [*entry.get("parts", []), *entry.get("chapters", []), *entry.get("sections", [])]
    return named + [page for part in inner for page in files(part)]


def order() -> list[str]:
    """Return all pages in the order of the book."""
    return files(yaml.safe_load((ROOT / "book" / "_toc.yml").read_text("utf-8")))


@cache
def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def leads_to(link: Tag, page: str, site: Path) -> str:
    """Return the page of the site that a link leads to."""
    href = str(link["href"]).split("#")[0]
    target = (site / page).parent / href if href else site / page
    return target.resolve().relative_to(site.resolve()).as_posix()


def words(tag: Tag | None) -> str:
    """Return the text of an element, without the sign that links to it."""
    return " ".join(tag.get_text().split()).removesuffix("#").strip() if tag else ""


@pytest.fixture(params=order())
def page(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_table_of_contents_names_every_page(site: Path) -> None:
    built = {path.relative_to(site).as_posix() for path in site.glob("[bn]*/**/*.html")}
    assert built == set(order())


def test_previous_and_next_follow_the_order_of_the_book(site: Path, page: str) -> None:
    pages = order()
    place = pages.index(page)
    around = {"left-prev": pages[place - 1] if place else None}
    around["right-next"] = pages[place + 1] if place + 1 < len(pages) else None
    for kind, other in around.items():
        link = soup(site / page).select_one(f".prev-next-area a.{kind}")
        assert (leads_to(link, page, site) if link else None) == other
        if link and other:
            title = words(soup(site / other).select_one("article h1"))
            assert words(link.select_one(".prev-next-title")) == title


def test_the_list_of_this_page_is_that_of_its_headings(site: Path, page: str) -> None:
    article = soup(site / page).select_one("article.bd-article")
    assert article is not None
    headings = [
        (str(section["id"]), words(section.find(["h2", "h3", "h4"], recursive=False)))
        for section in article.select("section > section[id]")
    ]
    links = soup(site / page).select(".bd-sidebar-secondary .page-toc a")
    assert [(str(link["href"]).removeprefix("#"), words(link)) for link in links] == headings


def test_the_page_that_is_read_is_marked_in_the_list_of_pages(site: Path, page: str) -> None:
    marked = soup(site / page).select("nav.bd-links li.current > a")
    assert [leads_to(link, page, site) for link in marked] == [page]
    assert words(marked[0]) == words(soup(site / page).select_one("article h1"))


def test_the_list_of_pages_is_that_of_the_book(site: Path, page: str) -> None:
    links = soup(site / page).select("nav.bd-links a.reference.internal")
    assert [leads_to(link, page, site) for link in links] == order()


def test_the_title_of_the_window_names_the_page_and_the_book(site: Path, page: str) -> None:
    title = words(soup(site / page).title)
    heading = words(soup(site / page).select_one("article h1"))
    assert title == (BOOK if heading == BOOK else f"{heading} — {BOOK}")
