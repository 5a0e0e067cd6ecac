"""The Chinese edition, built from today's text, in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from playwright.sync_api import Browser, expect
from translation import PROGRESS, percent

from book.tools.chapters.run import Edition
from book.tools.pages.browser import served
from book.tools.pages.chinese import CATALOGUES, begun, build_chinese
from tests.site.test_links import broken, links, parsed
from tests.site.visiting import Visit, serious

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.shape(*(Path(page).stem for page in begun(ROOT)))
# Which share of today's text must be translated. A page falls behind when its English changes:
# make catalogues, translate what is new or marked fuzzy.
LESSONS = ("notebooks/02_two_laboratories", "notebooks/03_pitfalls")
STATED = dict.fromkeys(["book/index", "book/setup", *LESSONS], 0.9)
# Of a catalogue, messages that today's text no longer has.
STALE = 0.1


@pytest.fixture(scope="module")
def chinese() -> Path:
    """Return the folder of the edition, built now if anything in it has changed."""
    return build_chinese(Edition(ROOT, committed=True)).parent


@pytest.fixture(scope="module")
def shares(chinese: Path) -> dict[str, float]:
    made: dict[str, float] = json.loads((chinese / PROGRESS).read_text("utf-8"))
    return made


@pytest.fixture
def visit(browser: Browser, chinese: Path) -> Iterator[Visit]:
    with served(chinese) as at:
        context = browser.new_context(viewport={"width": 390, "height": 900})
        yield Visit(context.new_page(), at)
        context.close()


def test_as_much_is_translated_as_is_stated(shares: dict[str, float]) -> None:
    assert {page: shares[page] for page, least in STATED.items() if shares[page] < least} == {}
    assert [page for page in begun(ROOT) if shares[page] == 0] == []


@pytest.mark.parametrize("page", begun(ROOT))
def test_a_catalogue_belongs_to_the_text_of_today_and_is_counted_whole(
    page: str, chinese: Path, shares: dict[str, float]
) -> None:
    """Descriptions of pictures and answers of quizzes count as the text around them."""
    with (ROOT / CATALOGUES / f"{page}.po").open("rb") as file:
        messages = [message for message in read_po(file) if message.id]
    open_ = [message.id for message in messages if message.fuzzy or not message.string]
    assert (shares[page] == 1) == (not open_), open_
    shown = re.sub(r"\W", "", parsed(chinese / f"{page}.html").text)

    def is_shown(text: str) -> bool:
        # Roles and formulas look otherwise on the page; the words around them do not.
        pieces = re.findall(r"[\u4e00-\u9fff]{3,}", re.sub(r"\{[^`]*`[^`]*`", " ", text))
        return all(piece in shown for piece in pieces)

    translations = [str(message.string) for message in messages if message.string]
    # A translation whose original is gone is shown nowhere.
    gone = [text for text in translations if not is_shown(text)]
    assert len(gone) <= STALE * len(translations), gone


@pytest.mark.parametrize("page", ["book/index", *LESSONS, "book/data"])
def test_pages_open_cleanly_and_say_their_language(page: str, visit: Visit) -> None:
    opened = visit.open(f"{page}.html")
    expect(opened.locator("html")).to_have_attribute("lang", "zh-CN")
    assert visit.outside == []
    assert visit.errors == []
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    opened.set_viewport_size({"width": 1280, "height": 900})
    assert serious(opened) == []


def test_the_first_page_is_chinese_and_tells_how_far_the_rest_is(
    visit: Visit, shares: dict[str, float]
) -> None:
    page = visit.open("book/index.html")
    expect(page.locator("article h1")).to_contain_text("医学诊断中的迁移学习")
    expect(page.locator(".bd-sidebar-primary .caption-text").first).to_have_text("开始之前")
    rows = page.locator("article table tbody tr").all_inner_texts()
    said = sorted(row.split()[-2] + " " + row.split()[-1] for row in rows)
    assert said == sorted(percent(part) for part in shares.values() if part)


def test_solutions_are_opened_in_chinese(visit: Visit) -> None:
    page = visit.open(f"{LESSONS[0]}.html")
    summaries = page.locator(".tag_solution summary, details.answer summary")
    assert summaries.count() >= 8
    for summary in summaries.all():
        assert re.fullmatch(r"[\u4e00-\u9fff\s]+", summary.inner_text())
    other = visit.open("notebooks/05_networks.html")
    assert "Show the solution" in other.locator(".tag_solution summary").first.inner_text()


def test_a_page_that_is_not_translated_says_so_and_is_english(visit: Visit) -> None:
    page = visit.open("book/data.html")
    expect(page.locator("p.translation")).to_have_text("本页尚未翻译，以下为英文。")
    heading = page.locator("article h1")
    assert heading.evaluate("h => h.closest('[lang]').lang") == "en"


def test_chinese_words_are_found(visit: Visit) -> None:
    page = visit.open("search.html?q=" + "患者")
    found = page.locator("#search-results ul.search li a")
    expect(found.filter(has_text="迁移学习").first).to_be_visible()
    assert visit.outside == []


def test_a_quiz_speaks_chinese(visit: Visit) -> None:
    page = visit.open(f"{LESSONS[0]}.html")
    page.locator("div.quiz details.right summary").first.click()
    expect(page.locator(".quiz-score")).to_contain_text("题中有 1 题一次答对")


def test_all_links_resolve(chinese: Path) -> None:
    site = chinese.resolve()
    for path in [*site.glob("book/*.html"), *site.glob("notebooks/*.html")]:
        assert [fault for link in links(path) if (fault := broken(link, path, site))] == []
