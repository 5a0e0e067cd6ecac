"""A page on paper: the text alone, in light colours, with its solutions, nothing cut off."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.site.visiting import Visitor

BARS = ".bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .prev-next-area, .copybtn"
PAPER = 643  # the width of the text on A4 with margins of 20 mm, in CSS pixels
# Red, green, blue and how opaque it is.
COLOUR = """element => {
  const numbers = getComputedStyle(element).color.match(/[0-9.]+/g).map(Number);
  return numbers.length < 4 ? [...numbers, 1] : numbers;
}"""


def on_paper(page: Page) -> Page:
    """Let a page be as it is while it is printed."""
    page.emulate_media(media="print")
    page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    return page


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_paper_shows_the_text_alone_in_dark_on_light(
    visitor: Visitor, each_chapter: str, theme: str
) -> None:
    page = on_paper(visitor(theme=theme, width=PAPER).open(each_chapter))
    assert page.locator(BARS).filter(visible=True).count() == 0
    expect(page.locator("article h1")).to_be_visible()
    back = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert back in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
    parts = page.locator(
        "article p, article h2, article pre span, article a, article td, article b"
    )
    # The mean of red, green and blue; that of the words of a dark page is above 200.
    assert max(sum(c[:3]) / 3 for c in parts.evaluate_all(f"all => all.map({COLOUR})")) < 140
    boxes = page.locator("article :is(pre, div.highlight, .cell_output *, summary)")
    grounds = boxes.evaluate_all(f"all => all.map({COLOUR.replace('.color', '.backgroundColor')})")
    seen = [ground for ground in grounds if ground[3] > 0]
    assert len(seen) > 10
    assert min(sum(ground[:3]) / 3 for ground in seen) > 225
    filters = "all => all.map(image => getComputedStyle(image).filter)"
    assert set(page.locator("article img").evaluate_all(filters)) == {"none"}
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER


def test_solutions_are_open_on_paper_and_closed_again_afterwards(
    visitor: Visitor, each_chapter: str
) -> None:
    page = on_paper(visitor().open(each_chapter))
    solutions = page.locator(".tag_solution details")
    for solution in solutions.all():
        expect(solution.locator(".highlight").first).to_be_visible()
        expect(solution.locator("summary")).to_be_visible()
        said = "summary => getComputedStyle(summary, '::before').content"
        assert solution.locator("summary").evaluate(said) == '"Solution"'
    for answer in page.locator("details.answer p").all():
        expect(answer).to_be_visible()
    page.evaluate("() => window.dispatchEvent(new Event('afterprint'))")
    assert solutions.count() > page.locator(".tag_solution details[open]").count() == 0


def test_answers_can_be_read_on_paper_and_are_not_taken_as_given(
    visitor: Visitor, each_chapter: str
) -> None:
    page = on_paper(visitor().open(each_chapter))
    for answer in page.locator(".quiz details").all():
        assert answer.locator("p").first.evaluate("p => p.getBoundingClientRect().height") > 5
    assert page.locator(".quiz details.chosen").count() == 0
