"""The slides as a teacher meets them: projected, walked through, printed, on a phone."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page, expect

from book.tools.chapters.run import Edition
from book.tools.pages.browser import served
from book.tools.teach.slides import write_deck, write_list, write_shared
from tests.site.visiting import Visit, serious

ROOT = Path(__file__).resolve().parents[2]
STEMS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
SCREENS = {"projector": (1280, 720), "phone": (390, 844)}
WITH_FORMULA = "02_two_laboratories"  # the first lesson whose slides have one in their notes
each_deck = pytest.mark.parametrize("stem", STEMS)
# What sticks out of its slide, or the slide out of the screen.
STICKS_OUT = """() => Reveal.getSlides().flatMap((section, number) => {
  const at = Reveal.getIndices(section);
  Reveal.slide(at.h, at.v, 99);
  const screen = { left: 0, top: 0, right: innerWidth, bottom: innerHeight };
  const slide = section.querySelector(".slide"), page = slide.getBoundingClientRect();
  const out = (box, of) => box.width && (box.left < of.left - 1 || box.right > of.right + 1
    || box.top < of.top - 1 || box.bottom > of.bottom + 1);
  const over = (part) => part.matches(".slide, pre, table, figure")
    && (part.scrollWidth > part.clientWidth + 1 || part.scrollHeight > part.clientHeight + 1);
  return [slide, ...slide.querySelectorAll("*")]
    .filter((part) => over(part) || out(part.getBoundingClientRect(), page) || out(page, screen))
    .map((part) => `slide ${number + 1}: ${part.outerHTML.slice(0, 80)}`);
})"""
# Type too small to be read from the last row, figures without a text, formulas not drawn.
UNREADABLE = """() => [...document.querySelectorAll(".slide *")].flatMap((part) => {
  const size = parseFloat(getComputedStyle(part).fontSize);
  const least = part.matches(".highlight pre") ? 18 : part.matches("p, li, td, th, pre") ? 16 : 0;
  const faults = size < least ? [`${size}px: ${part.textContent}`] : [];
  if (part.matches("img") && part.alt.split(" ").length < 2) faults.push(`alt: ${part.alt}`);
  if (part.matches("[data-mjx-error]")) faults.push(`formula: ${part.outerHTML}`);
  for (const text of part.matches("code, pre, pre *") ? [] : part.childNodes)
    if (text.nodeType === 3 && text.data.includes("$")) faults.push(`formula: ${text.data}`);
  return faults.map((fault) => fault.slice(0, 80));
})"""


Decks = Callable[..., Path]
Project = Callable[..., Visit]


@pytest.fixture(scope="module")
def decks(tmp_path_factory: pytest.TempPathFactory) -> Decks:
    """Return a function that makes the decks of some lessons, and says in which folder."""
    folder, made = tmp_path_factory.mktemp("decks"), dict[str, dict[str, Any]]()
    write_shared(ROOT, folder / "static")

    def making(*stems: str) -> Path:
        for stem in {*stems} - {*made}:
            path = ROOT / "notebooks" / f"{stem}.ipynb"
            made[stem] = write_deck(path, Edition(ROOT, committed=True), folder)
        write_list([made[stem] for stem in stems], ROOT, folder)
        return folder

    return making


@pytest.fixture
def project(browser: Browser, decks: Decks) -> Iterator[Project]:
    """Return a function that opens a file of the decks on a screen of some kind."""
    with contextlib.ExitStack() as stack:

        def opening(
            name: str, screen: str = "projector", theme: Any = "light", disk: bool = False
        ) -> Visit:
            folder = decks(*(STEMS if name == "index.html" else [name.split(".")[0]]))
            size: Any = dict(zip(("width", "height"), SCREENS[screen], strict=True))
            context = stack.enter_context(browser.new_context(viewport=size, color_scheme=theme))
            visit = Visit(context.new_page(), stack.enter_context(served(folder)))
            place = folder.as_uri() if disk else visit.address
            visit.page.goto(f"{place}/{name}", wait_until="networkidle")
            if not name.startswith("index"):
                visit.page.wait_for_function("() => window.Reveal?.isReady()")
            return visit

        yield opening


def notebook(stem: str) -> list[dict[str, Any]]:
    """Return the cells of a chapter, with the tags of each and its text in one piece."""
    cells = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text("utf-8"))["cells"]
    return [
        {**cell, "tags": cell["metadata"].get("tags", []), "text": "".join(cell["source"])}
        for cell in cells
    ]


def drawn(cell: dict[str, Any]) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell["outputs"])


def axe_findings(page: Page, dark: bool) -> set[str]:
    """Return what axe finds on the first slide of each kind."""
    found: set[str] = set()
    for kind in ("title", "section", "cell", "fails", "exercise", "question", "licence"):
        page.locator(f".slide.{kind}").first.evaluate(
            "(slide) => { const at = Reveal.getIndices(slide.parentElement);"
            " Reveal.slide(at.h, at.v, 99); }"
        )
        found |= {*serious(page, dark=dark)}
    return found


@each_deck
def test_a_deck_is_whole_on_a_projector_and_on_a_phone_in_the_dark(
    project: Project, stem: str
) -> None:
    projected = project(f"{stem}.html", disk=True)
    expect(projected.page.locator(".present h1")).to_be_visible()
    assert projected.page.evaluate(UNREADABLE) == []
    in_the_dark = project(f"{stem}.html", screen="phone", theme="dark")
    for visit in (projected, in_the_dark):
        assert visit.page.evaluate(STICKS_OUT) == []
        assert [*visit.errors, *visit.outside] == []
        assert axe_findings(visit.page, dark=visit is in_the_dark) == set()


@each_deck
def test_slides_are_what_the_tags_and_headings_say_and_space_walks_through_all(
    project: Project, stem: str
) -> None:
    cells = notebook(stem)
    prose = "\n\n".join(cell["text"] for cell in cells if cell["cell_type"] == "markdown")
    tagged = [cell for cell in cells if "slide" in cell["tags"]]
    # Code that fails on purpose and draws a figure takes a slide beside the figure's.
    seen = [cell for cell in tagged if drawn(cell) and "hide-input" not in cell["tags"]]
    twice = [cell for cell in seen if "fails-on-purpose" in cell["tags"]]
    expected = {
        "cell": len(tagged) + len(twice),
        "cell figure": sum(map(drawn, tagged)),
        "section": len(re.findall("^## ", prose, flags=re.M)) - 2,
        "exercise": len(re.findall("^### Exercise ", prose, flags=re.M)),
        "question": prose.count('<div class="quiz">'),
        "title": 1,
        "licence": 1,
    }
    page = project(f"{stem}.html").page
    assert {kind: page.locator(f".slide.{kind}").count() for kind in expected} == expected
    total = page.evaluate("Reveal.getTotalSlides()")
    walked = set()
    for _ in range(total + page.locator(".slide .fragment").count()):
        walked.add(page.evaluate("JSON.stringify(Reveal.getIndices()).replace(/,.f.*/, '')"))
        page.keyboard.press("Space")
    assert len(walked) == total
    assert page.evaluate("Reveal.isLastSlide()")


def plain(text: str) -> str:
    """Return the words of a text, without marks of Markdown and formulas."""
    return " ".join(re.sub(r"\$[^$]*\$|\{[\w:]+\}`[^`]*`|[*`]", " ", text).split())


@each_deck
def test_no_solution_is_told(decks: Decks, stem: str) -> None:
    page = BeautifulSoup((decks(stem) / f"{stem}.html").read_text("utf-8"), "html.parser")
    told, code = plain(page.get_text(" ")), page.get_text()
    cells = notebook(stem)
    solutions = [i for i, cell in enumerate(cells) if "solution" in cell["tags"]]
    assert solutions
    for i in solutions:
        assert max(cells[i]["text"].splitlines(), key=len).strip() not in code
        after = cells[i + 1]["text"] if cells[i + 1]["cell_type"] == "markdown" else ""
        explained = plain(re.sub("<[^>]*>", " ", re.split("^#", after, flags=re.M)[0]))
        words = explained.removeprefix("The answer in words").strip()
        assert not words or words[:40] not in told


def test_key_d_turns_light_into_dark_for_all_decks(project: Project, decks: Decks) -> None:
    decks(*STEMS[:2])
    page = project(f"{STEMS[0]}.html").page
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "light")
    page.keyboard.press("d")
    expect(root).to_have_attribute("data-theme", "dark")
    page.goto(page.url.replace(STEMS[0], STEMS[1]))
    expect(root).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize("disk", [False, True], ids=["served", "from the disk"])
def test_speaker_sees_the_notes(project: Project, disk: bool) -> None:
    page = project(f"{WITH_FORMULA}.html", disk=disk).page
    notes = page.locator("aside.notes").filter(has=page.locator("mjx-container")).first
    page.evaluate(
        "(n) => { const at = Reveal.getIndices(n); Reveal.slide(at.h, at.v); }",
        notes.locator("xpath=ancestor::section[1]").element_handle(),
    )
    with page.expect_popup() as opened:
        page.keyboard.press("s")
    shown = opened.value.locator(".speaker-controls-notes .value")
    expect(shown).to_contain_text((notes.locator("p").first.text_content() or "")[:20])
    expect(shown.locator("mjx-container svg").first).to_be_visible()
    expect(shown.locator("math")).to_have_count(0)


@each_deck
def test_deck_can_be_printed_one_slide_a_page(project: Project, stem: str) -> None:
    page = project(f"{stem}.html?print-pdf", theme="dark").page
    expect(page.locator(".pdf-page")).to_have_count(page.locator(".slide").count())
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert page.locator(".slide .fragment").evaluate_all(
        "(all) => all.every((f) => getComputedStyle(f).visibility === 'visible')"
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_list_leads_to_every_deck(project: Project, theme: str) -> None:
    visit = project("index.html", screen="phone", theme=theme)
    page, links = visit.page, visit.page.locator("li a")
    assert links.evaluate_all("(all) => all.map((a) => a.getAttribute('href'))") == [
        f"{stem}.html" for stem in STEMS
    ]
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS["phone"][0]
    assert serious(page) == []
    links.first.click()
    expect(page.locator(".present h1")).to_be_visible()
    assert visit.errors == []
