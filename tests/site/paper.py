"""A chapter on paper: the text alone, in light colours, with its solutions, nothing cut off."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.site.visiting import Visit, is_lesson

BARS = ".bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .prev-next-area, .copybtn"
WORDS = "article p, article h2, article pre span, article a, article td, article b"
BOXES = "article :is(pre, div.highlight, .cell_output *, summary)"
PAPER = 643  # the width of the text on A4 with margins of 20 mm, in CSS pixels
# Red, green, blue and how opaque it is.
COLOURS = """(all, name) => all.map((element) => {
  const numbers = getComputedStyle(element)[name].match(/[0-9.]+/g).map(Number);
  return numbers.length < 4 ? [...numbers, 1] : numbers;
})"""
FILTERS = "all => all.map(image => getComputedStyle(image).filter)"


def on_paper(visit: Visit, path: str) -> None:
    """Hold a chapter to be what it should be when it is printed, and put it back."""
    if not is_lesson(path):
        return
    page, before = visit.page, visit.page.viewport_size
    assert before is not None
    page.set_viewport_size({"width": PAPER, "height": 900})
    page.emulate_media(media="print")
    page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    try:
        the_text_alone_in_dark_on_light(page)
        solutions_and_answers_are_open(page)
    finally:
        page.evaluate("() => window.dispatchEvent(new Event('afterprint'))")
        page.emulate_media(media="screen")
        page.set_viewport_size(before)
    assert page.locator(".tag_solution details[open]").count() == 0, "closed again afterwards"


def the_text_alone_in_dark_on_light(page: Page) -> None:
    assert page.locator(BARS).filter(visible=True).count() == 0
    expect(page.locator("article h1")).to_be_visible()
    back = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert back in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
    words = page.locator(WORDS).evaluate_all(COLOURS, "color")
    # The mean of red, green and blue; that of the words of a dark page is above 200.
    assert max(sum(colour[:3]) / 3 for colour in words) < 140
    grounds = page.locator(BOXES).evaluate_all(COLOURS, "backgroundColor")
    seen = [ground for ground in grounds if ground[3] > 0]
    assert len(seen) > 10
    assert min(sum(ground[:3]) / 3 for ground in seen) > 225
    assert set(page.locator("article img").evaluate_all(FILTERS)) == {"none"}
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER


def solutions_and_answers_are_open(page: Page) -> None:
    solutions = page.locator(".tag_solution details").all()
    assert solutions
    for solution in solutions:
        expect(solution.locator(".highlight").first).to_be_visible()
        expect(solution.locator("summary")).to_be_visible()
        said = "summary => getComputedStyle(summary, '::before').content"
        assert solution.locator("summary").evaluate(said) == '"Solution"'
    for answer in page.locator("details.answer p").all():
        expect(answer).to_be_visible()
    for answer in page.locator(".quiz details").all():
        assert answer.locator("p").first.evaluate("p => p.getBoundingClientRect().height") > 5
    assert page.locator(".quiz details.chosen").count() == 0, "not taken as given"
