"""Every link inside the site leads to a page that is there, and to a place on it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

ATTRIBUTES = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src"}


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


def test_all_links_resolve(site: Path, each_page: str) -> None:
    path = (site / each_page).resolve()
    found = links(path)
    assert found, "a page that refers to nothing is not a page of this site"
    assert [fault for link in found if (fault := broken(link, path, site.resolve()))] == []


def test_no_page_names_another_host_for_something_it_loads(site: Path, each_page: str) -> None:
    """Not even where the browser would fetch it only later."""
    soup = parsed((site / each_page).resolve())
    loaded = [
        str(tag.get("src") or tag.get("href"))
        for tag in soup.find_all(["script", "link", "img", "iframe", "source", "video"])
    ]
    assert [url for url in loaded if urlsplit(url).netloc] == []
