"""Bind the built pages to one document, in the order of the book, to be printed.

Every id gets the name of its page in front, and every link between pages leads to such an id.
Links to what is no page of the book, such as a notebook to download, become plain text.
"""

from __future__ import annotations

import copy
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

FIRST = "book/index.html"
# What has no use on paper.
DROPPED = "script, .headerlink, .copybtn, .toctree-wrapper, #jb-print-docs-body, .quiz-score"
REFERS = ("aria-labelledby", "aria-describedby", "aria-controls", "for", "headers")
MARKS = {"right": " ✓ right", "wrong": " ✗ not quite"}


@dataclass(frozen=True)
class Heading:
    """A line of the table of contents: 0 for a part, which has no page, 1 a page, 2 a section."""

    level: int
    text: str
    place: str


def name_of(page: str) -> str:
    """Return the name of a page in ids."""
    return page.removesuffix(".html").replace("/", "-")


def parsed(path: Path) -> BeautifulSoup:
    """Read a page."""
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def listed(site: Path) -> Iterator[tuple[str, str]]:
    """Yield (page, "") or ("", title of a part), as the list beside every page has them."""
    first = parsed(site / FIRST)
    yield FIRST, ""
    for tag in first.select("nav.bd-links p.caption, nav.bd-links a.reference.internal"):
        if tag.name == "p":
            yield "", tag.get_text(strip=True)
        elif (link := str(tag["href"])).strip("#"):
            yield resolved(link, FIRST)[0], ""


def resolved(link: str, page: str) -> tuple[str, str]:
    """Return the page and the place on it that a link of `page` leads to, from the site's top."""
    parts = urlsplit(link)
    target = posixpath.join(posixpath.dirname(page), unquote(parts.path)) if parts.path else page
    return posixpath.normpath(target), unquote(parts.fragment)


def lead_inside(article: Tag, page: str, pages: set[str]) -> None:
    """Let the links of a page lead to places in the one document."""
    for link in article.select("a[href]"):
        href = str(link["href"])
        if urlsplit(href).scheme:
            continue
        target, place = resolved(href, page)
        if target not in pages:
            link.unwrap()
            continue
        link["href"] = f"#{name_of(target)}" + (f"--{place}" if place else "")


def rename_ids(article: Tag, page: str) -> None:
    """Put the name of the page in front of every id, and of what refers to one."""
    for tag in article.select("[id]"):
        tag["id"] = f"{name_of(page)}--{tag['id']}"
    for attribute in REFERS:
        for tag in article.select(f"[{attribute}]"):
            value = tag[attribute]
            names = value.split() if isinstance(value, str) else value
            tag[attribute] = " ".join(f"{name_of(page)}--{name}" for name in names)


def open_all(article: Tag, soup: BeautifulSoup) -> None:
    """Show what is folded: solutions under a title of their own, answers with their marks."""
    for details in article.select("details"):
        details["open"] = ""
    for summary in article.select(".tag_solution summary"):
        summary.string = "Solution"
    for kind, mark in MARKS.items():
        for summary in article.select(f".quiz details.{kind} > summary"):
            sign = soup.new_tag("span", attrs={"class": "quiz-mark"})
            sign.string = mark
            summary.append(sign)


def article_of(page: str, site: Path, pages: set[str]) -> Tag:
    """Return the text of a page, ready to stand in the one document."""
    soup = parsed(site / page)
    article = soup.select_one("article.bd-article")
    if article is None:
        raise ValueError(f"{page} has no article: is it a page of the book? Run make book.")
    for tag in article.select(DROPPED):
        tag.decompose()
    for image in article.select("img"):
        image["src"] = (site / resolved(str(image["src"]), page)[0]).as_uri()
        image.attrs.pop("loading", None)
    open_all(article, soup)
    lead_inside(article, page, pages)
    rename_ids(article, page)
    article["id"] = name_of(page)
    return article


def headings(article: Tag) -> Iterator[Heading]:
    """Yield the title and the sections of a page, and give each heading an id.

    The id of its section would not do: a section may begin at the foot of a page, and its heading
    on the next.
    """
    for number, tag in enumerate(article.select("h1, section > h2")):
        place = f"{article['id']}--heading-{number}"
        tag["id"] = place
        yield Heading(int(tag.name[1]), " ".join(tag.get_text().split()), place)


def bound(site: Path) -> tuple[list[Tag], list[Heading]]:
    """Return the texts of all pages of a site, and the lines of the table of contents.

    Raises
    ------
    ValueError
        If a page is not there, or holds no text.
    """
    if not (site / FIRST).is_file():
        raise ValueError(f"There are no built pages in {site}. First: make book")
    items = list(listed(site))
    pages = {page for page, _ in items if page}
    articles, lines = [], []
    for page, part in items:
        if part:
            lines.append(Heading(0, part, ""))
            continue
        article = article_of(page, site, pages)
        lines += [] if page == FIRST else headings(article)
        articles.append(copy.copy(article))
    return articles, lines
