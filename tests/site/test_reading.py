"""What a reader does: look around, search, read without scripts or a server, skip by keys."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.site.visiting import Visitor

SAMPLE = "notebooks/03_pitfalls.html"  # with the explorer
PAGE = "book/how_to_use.html"


def test_a_chapter_works_without_scripts(visitor: Visitor) -> None:
    visit = visitor(scripts=False)
    page = visit.page
    page.goto(f"{visit.address}/{SAMPLE}")
    for details in (".tag_solution details", "div.quiz details.right"):
        opened = page.locator(details).first
        opened.locator("summary").click()
        expect(opened).to_have_attribute("open", "")
    explorer = page.locator("figure.explorer")
    expect(explorer.get_by_role("img")).to_be_visible()
    expect(explorer.locator(".explorer-still")).to_contain_text("0.5: ")
    expect(explorer.locator(".explorer-still")).to_be_visible()
    expect(explorer.locator("input")).to_have_count(0)


def test_a_chapter_works_from_the_disk(visitor: Visitor, site: Path) -> None:
    visit = visitor()
    visit.page.goto((site / SAMPLE).as_uri(), wait_until="networkidle")
    visit.page.locator("div.quiz details.right summary").first.click()
    expect(visit.page.locator(".quiz-score")).to_contain_text("right at the first try")
    assert (visit.outside, visit.errors) == ([], [])


def test_first_page_leads_into_the_book(visitor: Visitor) -> None:
    visit = visitor()
    page = visit.page
    page.goto(f"{visit.address}/index.html")
    page.wait_for_url("**/book/index.html")
    expect(page.locator("article h1")).to_contain_text("Transfer Learning for Medical Diagnosis")


def test_keys_and_buttons_do_what_the_page_about_them_says(visitor: Visitor) -> None:
    visit = visitor()
    page = visit.open(PAGE)
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to main content")
    named = page.locator("#keys").inner_text()
    for name in ("Download this page", "Fullscreen mode", "Color mode", "Search"):
        assert name in named
        expect(page.locator(f".article-header-buttons [aria-label='{name}']")).to_be_attached()
    search = page.locator("#pst-search-dialog")
    expect(search).not_to_be_visible()
    page.keyboard.press("Control+k")
    expect(search).to_be_visible()
    page.keyboard.press("Escape")
    expect(search).not_to_be_visible()
    page.keyboard.press("Control+k")
    page.keyboard.type("calibration")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=calibration")
    found = page.locator("#search-results ul.search li a")
    expect(found.filter(has_text="Glossary").first).to_be_visible()
    assert visit.outside == []
