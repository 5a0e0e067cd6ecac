"""Every page in the light, visited once: it is whole, light, open to all, and does what it says."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.site.paper import on_paper
from tests.site.visiting import Visit, Visitor, cleanly, faults, is_lesson, serious

MOST_BYTES, MOST_REQUESTS = 2_000_000, 60
# The part of a page that is the same on every page.
MOST_SHARED = 900_000
OPEN_ALL = "() => document.querySelectorAll('details').forEach(d => { d.open = true; })"
RESOURCES = "() => performance.getEntriesByType('resource').map(e => e.name)"
FONTS = "() => [...document.fonts].filter(f => f.status === 'loaded').length"


def axe_finds_no_serious_fault(visit: Visit, _path: str) -> None:
    assert serious(visit.page) == []


def every_image_has_a_text(visit: Visit, _path: str) -> None:
    found = "all => all.map(i => [i.getAttribute('src'), i.getAttribute('alt') ?? ''])"
    for source, alt in visit.page.locator("img").evaluate_all(found):
        assert len(alt.split()) >= 2, f"{source}: alt text {alt!r}"
        assert not re.search(r"[0-9a-f]{16}|\.(png|svg|jpe?g)$", alt), f"{source}: alt {alt!r}"


def weighs_little_and_leaves_out_what_it_does_not_use(visit: Visit, path: str) -> None:
    """What a page loads, to its end, is little, and it loads nothing it does not use."""
    page, loaded = visit.page, visit.loaded
    page.evaluate("() => document.querySelectorAll('img').forEach(i => { i.loading = 'eager'; })")
    page.wait_for_function("() => [...document.images].every(i => i.complete)")
    assert sum(loaded.values()) <= MOST_BYTES, sorted(loaded.items(), key=lambda i: -i[1])[:8]
    assert len(loaded) <= MOST_REQUESTS
    assert sum(size for name, size in loaded.items() if name.startswith("/_static/")) <= MOST_SHARED
    # Counted are the pictures at the end of the page too.
    pictures = {image.get_attribute("src") for image in page.locator("article img").all()}
    assert len({name for name in loaded if name.startswith("/_images/")}) == len(pictures)
    names = " ".join(loaded)
    assert [name for name in ("fontawesome.js", "mathjax", "thebe") if name in names] == []
    assert ("searchindex.js" in names) == (path == "search.html")
    assert ("sphinx-design" in names) == (page.locator("article [class^='sd-']").count() > 0)


def every_formula_is_drawn_in_the_font_for_formulas(visit: Visit, _path: str) -> None:
    page = visit.page
    assert page.locator(".math").count() == page.locator(".math > math").count()
    page.evaluate(OPEN_ALL)
    formulas = page.locator("article .math > math")
    sizes = "all => all.map(f => f.getBoundingClientRect()).map(b => Math.min(b.width, b.height))"
    assert [size for size in formulas.evaluate_all(sizes) if size <= 3] == []
    wanted = formulas.count() > 0
    assert page.evaluate(FONTS) >= wanted
    assert any("stix-two-math" in name for name in page.evaluate(RESOURCES)) == wanted


def exercises_open_and_close(visit: Visit, path: str) -> None:
    if not is_lesson(path):
        return
    solutions = visit.page.locator(".tag_solution details").all()
    answers = visit.page.locator("details.answer").all()
    assert len(solutions) >= 2
    assert answers
    for part in [*solutions, *answers]:
        inside = part.locator(".highlight, :scope > p").first
        expect(inside).to_be_hidden()
        part.locator("summary").click()
        expect(inside).to_be_visible()
        part.locator("summary").click()
        expect(inside).to_be_hidden()


def quiz_can_be_taken(visit: Visit, path: str) -> None:
    if not is_lesson(path):
        return
    quizzes = visit.page.locator("div.quiz")
    for quiz in quizzes.all():
        assert quiz.locator("details.right").count() == 1
        assert quiz.locator("details.wrong").count() >= 1
    total = quizzes.count()
    it_says_how_an_answer_went_and_what_is_left(quizzes, total)
    it_can_be_started_again(visit.page)
    it_takes_an_answer_by_the_keyboard_as_the_first(visit.page, total)
    it_can_be_started_again(visit.page)
    it_marks_right_and_wrong_answers_and_counts(visit.page, total)
    it_can_be_started_again(visit.page)


def it_says_how_an_answer_went_and_what_is_left(quizzes: Locator, total: int) -> None:
    quiz = quizzes.nth(1)
    expect(quiz).to_have_role("group")
    expect(quiz).to_have_accessible_name(quiz.locator("strong").first.inner_text())
    told = quiz.get_by_role("status")
    expect(told).to_have_text("")
    quiz.locator("details.wrong summary").first.click()
    left = f"right at the first try, {total - 1} still to answer."
    expect(told).to_have_text(f"Not quite. 0 of {total} {left}")
    quiz.locator("details.right summary").click()
    expect(told).to_have_text(f"Right. 0 of {total} {left}")
    expect(quizzes.first.get_by_role("status")).to_have_text("")


def it_can_be_started_again(page: Page) -> None:
    again = page.get_by_role("button", name="Start again")
    again.focus()
    page.keyboard.press("Enter")
    expect(again).to_be_hidden()
    expect(page.locator("div.quiz details[open], .quiz-mark, .chosen")).to_have_count(0)
    expect(page.locator("div.quiz summary").first).to_be_focused()


def it_takes_an_answer_by_the_keyboard_as_the_first(page: Page, total: int) -> None:
    answer = page.locator("div.quiz").nth(1).locator("details.right summary")
    answer.focus()
    page.keyboard.press("Enter")
    expect(answer).to_contain_text("✓")
    expect(page.locator(".quiz-score")).to_have_text(f"1 of {total} right at the first try")


def it_marks_right_and_wrong_answers_and_counts(page: Page, total: int) -> None:
    for number, quiz in enumerate(page.locator("div.quiz").all()):
        # The first question is answered wrongly, then rightly; all others rightly at once.
        for kind, mark in [("wrong", "✗"), ("right", "✓")] if number == 0 else [("right", "✓")]:
            answer = quiz.locator(f"details.{kind}").first
            answer.locator("summary").click()
            expect(answer.locator("summary")).to_contain_text(mark)
            expect(answer.locator("p").last).to_be_visible()
    right = f"{total - 1} of {total} right at the first try"
    expect(page.locator(".quiz-score")).to_have_text(right)


def test_every_page_in_the_light(visitor: Visitor, site: Path) -> None:
    checks = [
        axe_finds_no_serious_fault,
        every_image_has_a_text,
        weighs_little_and_leaves_out_what_it_does_not_use,
        exercises_open_and_close,
        quiz_can_be_taken,
        on_paper,
        every_formula_is_drawn_in_the_font_for_formulas,
        cleanly,
    ]
    assert faults(visitor, site, "light", checks) == {}
