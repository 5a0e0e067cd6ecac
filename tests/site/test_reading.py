"""What a reader does: open a solution, answer a quiz, search, read without a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.site.visiting import Visitor


def test_exercises_open_and_close(visitor: Visitor, each_chapter: str) -> None:
    page = visitor().open(each_chapter)
    solutions = page.locator(".tag_solution details")
    assert solutions.count() >= 2
    for solution in solutions.all():
        code = solution.locator(".highlight").first
        expect(code).to_be_hidden()
        solution.locator("summary").click()
        expect(code).to_be_visible()
        solution.locator("summary").click()
        expect(code).to_be_hidden()
    words = page.locator("details.answer")
    for answer in words.all():
        said = answer.locator("p").first
        expect(said).to_be_hidden()
        answer.locator("summary").click()
        expect(said).to_be_visible()
    assert words.count() >= 1


def answers(page: Page) -> list[tuple[int, int]]:
    """Return, for each question, how many right and wrong answers it offers."""
    return [
        (quiz.locator("details.right").count(), quiz.locator("details.wrong").count())
        for quiz in page.locator("div.quiz").all()
    ]


def test_quiz_marks_right_and_wrong_answers_and_counts(visitor: Visitor, each_chapter: str) -> None:
    page = visitor().open(each_chapter)
    offered = answers(page)
    assert offered
    assert all(right == 1 and wrong >= 1 for right, wrong in offered)
    for number, quiz in enumerate(page.locator("div.quiz").all()):
        # The first question is answered wrongly, then rightly; all others rightly at once.
        for kind, mark in [("wrong", "✗"), ("right", "✓")] if number == 0 else [("right", "✓")]:
            answer = quiz.locator(f"details.{kind}").first
            answer.locator("summary").click()
            expect(answer.locator("summary")).to_contain_text(mark)
            expect(answer.locator("p").last).to_be_visible()
    total = len(offered)
    expect(page.locator(".quiz-score")).to_have_text(
        f"{total - 1} of {total} right at the first try"
    )


def test_quiz_works_with_the_keyboard(visitor: Visitor, each_chapter: str) -> None:
    page = visitor().open(each_chapter)
    answer = page.locator("div.quiz details.right").first
    answer.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(answer.locator("summary")).to_contain_text("✓")


def test_quiz_says_how_an_answer_went_and_what_is_left(visitor: Visitor, each_chapter: str) -> None:
    page = visitor().open(each_chapter)
    total = page.locator("div.quiz").count()
    quiz = page.locator("div.quiz").nth(1)
    question = quiz.locator("strong").first.inner_text()
    expect(quiz).to_have_role("group")
    expect(quiz).to_have_accessible_name(question)
    told = quiz.get_by_role("status")
    expect(told).to_have_text("")
    quiz.locator("details.wrong summary").first.click()
    left = f"right at the first try, {total - 1} still to answer."
    expect(told).to_have_text(f"Not quite. 0 of {total} {left}")
    quiz.locator("details.right summary").click()
    expect(told).to_have_text(f"Right. 0 of {total} {left}")
    expect(page.locator("div.quiz").first.get_by_role("status")).to_have_text("")


def test_quiz_can_be_started_again(visitor: Visitor, each_chapter: str) -> None:
    page = visitor().open(each_chapter)
    again = page.get_by_role("button", name="Start again")
    expect(again).to_be_hidden()
    first = page.locator("div.quiz").first
    first.locator("details.wrong summary").first.click()
    again.focus()
    page.keyboard.press("Enter")
    expect(again).to_be_hidden()
    expect(page.locator("div.quiz details[open], .quiz-mark, .chosen")).to_have_count(0)
    expect(first.locator("summary").first).to_be_focused()
    first.locator("details.right summary").click()
    total = page.locator("div.quiz").count()
    expect(page.locator(".quiz-score")).to_have_text(f"1 of {total} right at the first try")


def test_quiz_and_solutions_work_without_scripts(visitor: Visitor, each_chapter: str) -> None:
    visit = visitor(scripts=False)
    page = visit.page
    page.goto(f"{visit.address}/{each_chapter}")
    for details in (".tag_solution details", "div.quiz details.right"):
        opened = page.locator(details).first
        opened.locator("summary").click()
        expect(opened).to_have_attribute("open", "")


def test_search_finds_calibration(visitor: Visitor) -> None:
    visit = visitor()
    page = visit.open("search.html?q=calibration")
    found = page.locator("#search-results ul.search li a")
    expect(found.filter(has_text="Glossary").first).to_be_visible()
    assert visit.outside == []


def test_search_field_leads_to_the_results(visitor: Visitor) -> None:
    page = visitor().open("book/index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("calibration")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=calibration")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_theme_can_be_chosen(visitor: Visitor, theme: str) -> None:
    page = visitor(theme=theme).open("book/index.html")
    expect(page.locator("html")).to_have_attribute("data-theme", theme)


def test_page_works_from_the_disk(visitor: Visitor, site: Path, each_chapter: str) -> None:
    visit = visitor()
    visit.page.goto((site / each_chapter).as_uri(), wait_until="networkidle")
    visit.page.locator("div.quiz details.right summary").first.click()
    expect(visit.page.locator(".quiz-score")).to_contain_text("right at the first try")
    assert visit.outside == []
    assert visit.errors == []


def test_first_page_leads_into_the_book(visitor: Visitor) -> None:
    visit = visitor()
    page = visit.page
    page.goto(f"{visit.address}/index.html")
    page.wait_for_url("**/book/index.html")
    expect(page.locator("article h1")).to_contain_text("Transfer Learning for Medical Diagnosis")
