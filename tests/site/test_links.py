"""Links lead to a page that is there, and lists follow the order of the book."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag

ROOT = Path(__file__).resolve().parents[2]
BOOK = "Transfer Learning for Medical Diagnosis"
ATTRIBUTES = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src"}
LOADING = ["script", "link", "img", "iframe", "source", "video"]


@cache
def parsed(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


@cache
def anchors(path: Path) -> frozenset[str]:
    """Return the places on a page that a link can name."""
    named = parsed(path).find_all(lambda tag: tag.has_attr("id") or tag.has_attr("name"))
    return frozenset(str(tag.get("id") or tag.get("name")) for tag in named)


def links(path: Path) -> list[str]:
    """Return what a page refers to, without what stands outside the site."""
    found = [
        str(tag[attribute])
        for name, attribute in ATTRIBUTES.items()
        for tag in parsed(path).find_all(name, attrs={attribute: True})
    ]
    return [link for link in found if not urlsplit(link).scheme and not link.startswith("//")]


def broken(link: str, path: Path, site: Path) -> str | None:
    """Say what is wrong with a link on a page, None if nothing is."""
    parts = urlsplit(link)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if site not in target.parents:
        return f"{link} leads out of the site"
    if not target.is_file():
        return f"{link}: no such file"
    names_place = parts.fragment and target.suffix == ".html"
    if names_place and unquote(parts.fragment) not in anchors(target):
        return f"{link}: no such place on the page"
    return None


def pages_of(site: Path) -> list[Path]:
    return [path for part in ("", "book/**/", "notebooks/") for path in site.glob(f"{part}*.html")]


def test_all_links_resolve(site: Path) -> None:
    site = site.resolve()
    found = {path.relative_to(site).as_posix(): links(path) for path in pages_of(site)}
    assert [page for page, those in found.items() if not those] == [], "no page of this site"
    faults = {page: [broken(link, site / page, site) for link in found[page]] for page in found}
    assert {page: [*filter(None, said)] for page, said in faults.items() if any(said)} == {}


def test_no_page_names_another_host_for_something_it_loads(site: Path) -> None:
    """Not even where the browser would fetch it only later."""
    tags = [tag for path in pages_of(site.resolve()) for tag in parsed(path).find_all(LOADING)]
    loaded = {str(tag.get("src") or tag.get("href")) for tag in tags}
    assert [url for url in loaded if urlsplit(url).netloc] == []


def files(entry: dict[str, Any]) -> list[str]:
    """Return the pages that an entry of the table of contents names, in order."""
    named = [f"{entry[key]}.html" for key in ("root", "file") if key in entry]
    inner = [*entry.get("parts", []), *entry.get("chapters", []), *entry.get("sections", [])]
    return named + [page for part in inner for page in files(part)]


def order() -> list[str]:
    """Return all pages in the order of the book."""
    return files(yaml.safe_load((ROOT / "book" / "_toc.yml").read_text("utf-8")))


def leads_to(link: Tag, page: str, site: Path) -> str:
    """Return the page of the site that a link leads to."""
    href = str(link["href"]).split("#")[0]
    target = (site / page).parent / href if href else site / page
    return target.resolve().relative_to(site).as_posix()


def words(tag: Tag | None) -> str:
    """Return the text of an element, without the sign that links to it."""
    return " ".join(tag.get_text().split()).removesuffix("#").strip() if tag else ""


def misled(page: str, before: str | None, after: str | None, site: Path) -> Iterator[str]:
    """Yield what is wrong with the links of a page to the one before it and the one after it."""
    for kind, other in {"left-prev": before, "right-next": after}.items():
        link = parsed(site / page).select_one(f".prev-next-area a.{kind}")
        if (leads_to(link, page, site) if link else None) != other:
            yield f"{kind} does not lead to {other}"
        elif link and other:
            title = words(parsed(site / other).select_one("article h1"))
            if words(link.select_one(".prev-next-title")) != title:
                yield f"{kind} has not the title {title}"


def lost(page: str, site: Path) -> Iterator[str]:
    """Yield what is wrong with the lists beside a page, and with the title of its window."""
    soup = parsed(site / page)
    heading = words(soup.select_one("article h1"))
    headings = [
        (f"#{section['id']}", words(section.find(["h2", "h3", "h4"], recursive=False)))
        for section in soup.select("article.bd-article section > section[id]")
    ]
    contents = soup.select(".bd-sidebar-secondary .page-toc a")
    if [(str(link["href"]), words(link)) for link in contents] != headings:
        yield "the list of this page is not that of its headings"
    marked = soup.select("nav.bd-links li.current > a")
    # Of a teachers' page, the one that it stands under is marked, too.
    if [(leads_to(link, page, site), words(link)) for link in marked][-1:] != [(page, heading)]:
        yield "the page that is read is not marked in the list of pages"
    listed = soup.select("nav.bd-links a.reference.internal")
    if [leads_to(link, page, site) for link in listed] != order():
        yield "the list of pages is not that of the book"
    if words(soup.title) != (BOOK if heading == BOOK else f"{heading} — {BOOK}"):
        yield "the title of the window does not name the page and the book"


def test_whoever_pages_through_comes_by_every_page_and_sees_where_they_are(site: Path) -> None:
    site, pages = site.resolve(), order()
    assert {path.relative_to(site).as_posix() for path in site.glob("[bn]*/**/*.html")} == {*pages}
    around = zip([None, *pages], pages, [*pages[1:], None], strict=False)
    faults = {
        page: [*misled(page, before, after, site), *lost(page, site)]
        for before, page, after in around
    }
    assert {page: said for page, said in faults.items() if said} == {}
