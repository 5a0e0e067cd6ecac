"""Print the whole book to one PDF: `make pdf`.

python book/tools/env.py -m book.tools.pages.pdf

Chromium prints the pages of _build/html, bound to one document. On which page a heading has fallen
is read from the PDF; with these numbers in the table of contents it is printed again, until they
stand still.
"""

from __future__ import annotations

import html
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bs4 import Tag
from playwright.sync_api import Browser, PdfMargins
from pypdf import PdfReader

from book.tools.chapters.run import write_whole
from book.tools.pages.binding import FIRST, Heading, bound, parsed, resolved
from book.tools.pages.browser import BrowserError, chromium

ROOT = Path(__file__).resolve().parents[3]
NAME = "transfer-learning-for-medical-diagnosis.pdf"
MOST_PRINTS = 5
FOOTER = (
    '<div style="width: 100%; font: 8px sans-serif; color: #555; text-align: center">'
    '<span class="pageNumber"></span></div>'
)
MARGINS: PdfMargins = {"top": "18mm", "bottom": "20mm", "left": "20mm", "right": "20mm"}


class PdfError(Exception):
    """The book cannot be printed; the message says why."""


def contents(lines: Sequence[Heading], numbers: Mapping[str, int]) -> str:
    """Return the table of contents, with the page numbers that are known."""
    rows = []
    for line in lines:
        text = html.escape(line.text)
        if line.level == 0:
            rows.append(f'<p class="part">{text}</p>')
            continue
        number = numbers.get(line.place, "0")
        rows.append(
            f'<p class="level-{line.level}"><a href="#{line.place}"><span>{text}</span>'
            f'<span class="dots"></span><span>{number}</span></a></p>'
        )
    return "\n".join(rows)


def cover(first: Tag, title: str, licence: str) -> str:
    """Return the title page; the picture of the book's first page moves there."""
    question, picture = first.select_one("h1 ~ p"), first.select_one("img.title-picture")
    asked = question.decode_contents() if question else ""
    shown = picture.extract() if picture else ""
    return (
        f'<div class="cover"><p class="title">{html.escape(title)}</p>{shown}'
        f'<p class="question">{asked}</p><p class="licence">{html.escape(licence)}</p></div>'
    )


def framed(site: Path, articles: Sequence[Tag]) -> tuple[str, str]:
    """Return what comes before the table of contents in the one document, and what after it."""
    page = parsed(site / FIRST)
    heading, note = articles[0].select_one("h1"), page.select_one(".extra_footer")
    title, licence = (" ".join(tag.get_text().split()) if tag else "" for tag in (heading, note))
    styles = [
        (site / resolved(str(link["href"]).split("?")[0], FIRST)[0]).as_uri()
        for link in page.select('link[rel="stylesheet"]')
    ]
    styles.append(Path(__file__).with_name("pdf.css").as_uri())
    links = "\n".join(f'<link rel="stylesheet" href="{style}">' for style in styles)
    language = page.html["lang"] if page.html else "en"
    before = (
        f'<!doctype html>\n<html lang="{language}" data-theme="light">\n'
        f'<head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title>\n{links}\n</head>\n<body>"
        f"{cover(articles[0], title, licence)}"
        '<nav class="book-contents"><p class="title">Contents</p>'
    )
    return before, "</nav>\n" + "\n".join(map(str, articles)) + "</body></html>"


def numbers_of(pdf: bytes) -> dict[str, int]:
    """Return on which page, counted from 1, each place that a link leads to has fallen."""
    reader = PdfReader(io.BytesIO(pdf))
    pages = {page.indirect_reference.idnum: i for i, page in enumerate(reader.pages, 1)}  # type: ignore[union-attr]
    found = {}
    for name, destination in reader.named_destinations.items():
        found[name.lstrip("/")] = pages[destination.page.idnum]  # type: ignore[union-attr]
    return found


def printed(site: Path, work: Path, browser: Browser) -> bytes:
    """Print the pages of a site until the page numbers in its table of contents are right.

    Parameters
    ----------
    site
        The built pages.
    work
        Where the one document is written.
    browser
        The Chromium that prints it.

    Raises
    ------
    PdfError
        If the numbers do not come to rest, or a heading is nowhere.
    ValueError
        If there are no built pages.
    """
    articles, lines = bound(site)
    before, after = framed(site, articles)
    numbers: dict[str, int] = {}
    page = browser.new_page()
    for _ in range(MOST_PRINTS):
        work.write_text(before + contents(lines, numbers) + after, "utf-8")
        # Not "networkidle": on a busy machine the network rests while the page is still read.
        page.goto(work.as_uri(), wait_until="load")
        page.evaluate("() => document.fonts.ready.then(() => true)")
        pdf = page.pdf(
            format="A4", margin=MARGINS, print_background=True, outline=True, tagged=True,
            display_header_footer=True, header_template="<span></span>", footer_template=FOOTER,
        )  # fmt: skip
        found = numbers_of(pdf)
        if lost := [line.text for line in lines if line.level and line.place not in found]:
            raise PdfError(f"These headings are nowhere in the PDF: {lost}")
        if all(numbers.get(line.place) == found[line.place] for line in lines if line.level):
            return pdf
        numbers = found
    raise PdfError(f"The page numbers still move after {MOST_PRINTS} prints.")


def make(root: Path) -> Path:
    """Print the book of a repository and return where the PDF is.

    Raises
    ------
    BrowserError
        If there is no Chromium.
    """
    target = root / "_build" / "pdf" / NAME
    target.parent.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        pdf = printed(root / "_build" / "html", target.with_suffix(".html"), browser)
    write_whole(pdf, target)
    return target


def main() -> int:
    """Print the book, or say why not."""
    try:
        target = make(ROOT)
    except (PdfError, ValueError, BrowserError) as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    print(f"The book is at {target.as_uri()} ({target.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
