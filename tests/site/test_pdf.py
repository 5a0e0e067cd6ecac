"""The printed book: its numbers are right, its links stay inside, and nothing of it is lost."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser
from pypdf import PdfReader
from pypdf.generic import DictionaryObject

from book.tools.pages.binding import bound, listed
from book.tools.pages.pdf import printed

pytestmark = pytest.mark.shape
TITLE = "Transfer Learning for Medical Diagnosis"
PRINTED_WIDTH = 643  # of the text on A4, in CSS pixels


def plain(text: str) -> str:
    """Return a text without the white space that a line break changes, and without ligatures."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pdf") / "book.html"


@pytest.fixture(scope="module")
def file(site: Path, browser: Browser, work: Path) -> bytes:
    return printed(site.resolve(), work, browser)


@pytest.fixture(scope="module")
def book(file: bytes) -> PdfReader:
    return PdfReader(io.BytesIO(file))


@pytest.fixture(scope="module")
def texts(book: PdfReader) -> list[str]:
    return [plain(page.extract_text()) for page in book.pages]


def entries(work: Path) -> list[tuple[str, int, str]]:
    """Return the lines of the table of contents as printed: text, page number and place."""
    soup = BeautifulSoup(work.read_text("utf-8"), "html.parser")
    rows = [(link.find_all("span"), str(link["href"])) for link in soup.select(".book-contents a")]
    return [(spans[0].get_text(), int(spans[-1].get_text()), href[1:]) for spans, href in rows]


@pytest.mark.usefixtures("file")
def test_each_line_of_the_contents_gives_the_page_where_its_heading_is(
    work: Path, texts: list[str]
) -> None:
    lines = entries(work)
    assert len(lines) > 50
    for text, number, _ in lines:
        assert plain(text) in texts[number - 1], (text, number)


def outline(book: PdfReader) -> Iterator[tuple[str, int]]:
    """Yield the bookmarks, and the page that each leads to."""
    waiting: list[Any] = list(book.outline)
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, list):
            waiting = [*item, *waiting]
        else:
            yield plain(str(item.title)), (book.get_destination_page_number(item) or 0) + 1


@pytest.mark.usefixtures("file")
def test_the_bookmarks_are_the_headings(book: PdfReader, work: Path) -> None:
    marks = list(outline(book))
    assert {(plain(text), number) for text, number, _ in entries(work)} <= set(marks)


def test_every_link_stays_inside_or_leads_to_the_web(book: PdfReader) -> None:
    inside, outside = 0, set()
    names = {name.lstrip("/") for name in book.named_destinations}
    for page in book.pages:
        for reference in page.get("/Annots", []):
            note = reference.get_object()
            action = note.get("/A", DictionaryObject())
            if "/URI" in action:
                outside.add(str(action["/URI"]))
            elif target := note.get("/Dest"):
                assert str(target).lstrip("/") in names
                inside += 1
    assert inside > 200
    right = re.compile(r"https?://(?!127|localhost)|mailto:")
    assert [uri for uri in outside if not right.match(uri)] == []


def test_every_figure_is_printed(book: PdfReader, site: Path) -> None:
    figures = 0
    for page in {page for page, _ in listed(site) if page}:
        soup = BeautifulSoup((site / page).read_text("utf-8"), "html.parser")
        figures += len(soup.select("article img"))
    drawn = 0
    for sheet in book.pages:
        resources: Any = sheet["/Resources"]
        forms = resources.get("/XObject", {}).values()
        drawn += sum(form.get_object()["/Subtype"] == "/Image" for form in forms)
    assert drawn >= figures > 50


def test_no_page_is_empty(texts: list[str]) -> None:
    # A page may hold one figure; then its number is all there is to read.
    short = [number for number, text in enumerate(texts, 1) if not text]
    assert short == []
    assert sum(len(text) < 20 for text in texts) <= len(texts) / 20


def test_it_says_what_it_is_and_in_which_language(book: PdfReader) -> None:
    assert book.metadata is not None
    assert book.metadata.title == TITLE
    root: Any = book.trailer["/Root"]
    assert root["/Lang"] == "en"
    assert root["/MarkInfo"]["/Marked"]
    assert "/StructTreeRoot" in root
    assert TITLE.replace(" ", "") in plain(book.pages[0].extract_text())


def test_all_fonts_are_inside(book: PdfReader) -> None:
    seen = 0
    for page in book.pages:
        resources: Any = page["/Resources"]
        for reference in resources.get("/Font", {}).values():
            font = reference.get_object()
            inner = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
            # A font of type 3 has its glyphs as drawings in it.
            holder = inner.get("/FontDescriptor", DictionaryObject()).get_object()
            inside = any(name.startswith("/FontFile") for name in holder)
            assert inner["/Subtype"] == "/Type3" or inside
            seen += 1
    assert seen > len(book.pages)


def test_solutions_and_answers_can_be_read(texts: list[str], site: Path) -> None:
    whole = "".join(texts)
    chapters = [page for page, _ in listed(site) if page.startswith("notebooks/")]
    soups = [BeautifulSoup((site / page).read_text("utf-8"), "html.parser") for page in chapters]
    answers = [answer for soup in soups for answer in soup.select(".quiz details.right > p")]
    for answer in answers:
        assert plain(answer.get_text())[:30] in whole
    assert whole.count("✓right") >= len(answers) > 10
    assert whole.count("Solution") >= sum(len(soup.select(".tag_solution")) for soup in soups)
    assert "Showthesolution" not in whole


@pytest.mark.usefixtures("file")
def test_nothing_is_wider_than_the_paper(browser: Browser, work: Path) -> None:
    """Chromium would print all of the book smaller, or cut it off."""
    page = browser.new_page(viewport={"width": PRINTED_WIDTH, "height": 900})
    page.emulate_media(media="print")
    page.goto(work.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= PRINTED_WIDTH
    page.close()


def test_without_pages_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="First: make book"):
        bound(tmp_path)
