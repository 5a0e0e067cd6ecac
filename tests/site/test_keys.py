"""The keys that the page about using the book promises."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.site.visiting import Visitor

PAGE = "book/how_to_use.html"


def test_search_opens_and_closes_with_keys(visitor: Visitor) -> None:
    page = visitor().open(PAGE)
    search = page.locator("#pst-search-dialog")
    expect(search).not_to_be_visible()
    page.keyboard.press("Control+k")
    expect(search).to_be_visible()
    page.keyboard.press("Escape")
    expect(search).not_to_be_visible()


def test_the_first_tab_offers_to_skip_to_the_text(visitor: Visitor) -> None:
    page = visitor().open(PAGE)
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to main content")


def test_space_opens_and_closes_a_solution(visitor: Visitor) -> None:
    page = visitor().open("notebooks/02_breast_cancer.html")
    solution = page.locator(".tag_solution details").first
    for opened in (True, False):
        solution.locator("summary").focus()
        page.keyboard.press("Space")
        assert solution.evaluate("element => element.open") is opened


def test_the_buttons_that_the_page_names_are_there(visitor: Visitor) -> None:
    page = visitor().open(PAGE)
    named = page.locator("#keys").inner_text()
    for name in ("Download this page", "Fullscreen mode", "Color mode", "Search"):
        assert name in named
        expect(page.locator(f".article-header-buttons [aria-label='{name}']")).to_be_attached()
