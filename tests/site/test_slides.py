"""The slides as a teacher meets them: projected, walked through, printed, on a phone."""

from __future__ import annotations

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
from book.tools.teach.slides import build_slides
from tests.site.test_axe import axe_source, findings
from tests.site.visiting import Visit

ROOT = Path(__file__).resolve().parents[2]
STEMS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
SCREENS = {"projector": (1280, 720), "phone": (390, 844)}
# What sticks out of its slide, and type too small to be read from the last row.
FAULTS = """() => Reveal.getSlides().flatMap((section, number) => {
  const at = Reveal.getIndices(section);
  Reveal.slide(at.h, at.v, 99);
  const slide = section.querySelector(".slide");
  const box = slide.getBoundingClientRect();
  const faults = [];
  if (slide.scrollWidth > slide.clientWidth || slide.scrollHeight > slide.clientHeight)
    faults.push("the slide");
  const deck = Reveal.getConfig();
  if (slide.offsetWidth > deck.width || slide.offsetHeight > deck.height)
    faults.push("the slide out of the deck");
  for (const part of slide.querySelectorAll("*")) {
    const r = part.getBoundingClientRect();
    const out = r.left < box.left - 1 || r.right > box.right + 1 || r.bottom > box.bottom + 1;
    if (r.width && (out || r.top < box.top - 1)) faults.push(part.tagName);
    if (part.matches("img") && (r.bottom > innerHeight + 1 || r.right > innerWidth + 1))
      faults.push("image out of the screen");
  }
  for (const part of slide.querySelectorAll("pre, table, figure"))
    if (part.scrollWidth > part.clientWidth + 1 || part.scrollHeight > part.clientHeight + 1)
      faults.push(`inside ${part.tagName}`);
  return faults.map((fault) => `${number + 1}: ${fault}`);
})"""


@pytest.fixture(scope="module")
def decks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of freshly made decks."""
    return build_slides(
        Edition(ROOT, committed=True), tmp_path_factory.mktemp("decks") / "slides"
    ).parent


Project = Callable[..., Page]


@pytest.fixture
def visits() -> list[Visit]:
    """All pages that a test has opened."""
    return []


@pytest.fixture
def project(browser: Browser, decks: Path, visits: list[Visit]) -> Iterator[Project]:
    """Return a function that opens a file of the decks on a screen of some kind."""
    contexts = []

    with served(decks) as address:

        def opening(
            name: str, screen: str = "projector", theme: Any = "light", disk: bool = False
        ) -> Page:
            width, height = SCREENS[screen]
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=theme
            )
            contexts.append(context)
            visits.append(Visit(context.new_page(), address))
            page = visits[-1].page
            page.goto(f"{decks.as_uri() if disk else address}/{name}", wait_until="networkidle")
            if not name.startswith("index"):
                page.wait_for_function("() => window.Reveal?.isReady()")
            return page

        yield opening
        for context in contexts:
            context.close()


def notebook(stem: str) -> list[dict[str, Any]]:
    """Return the cells of a chapter, with the tags of each and its text in one piece."""
    cells = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text("utf-8"))["cells"]
    return [
        {**cell, "tags": cell["metadata"].get("tags", []), "text": "".join(cell["source"])}
        for cell in cells
    ]


@pytest.mark.parametrize("disk", [False, True], ids=["served", "from the disk"])
@pytest.mark.parametrize("stem", STEMS)
def test_deck_opens_cleanly_and_fetches_nothing_from_elsewhere(
    project: Project, visits: list[Visit], stem: str, disk: bool
) -> None:
    page = project(f"{stem}.html", disk=disk)
    expect(page.locator(".present h1")).to_be_visible()
    assert visits[0].errors == []
    assert visits[0].outside == []


@pytest.mark.parametrize("stem", STEMS)
def test_slides_are_what_the_tags_and_headings_say(project: Project, stem: str) -> None:
    cells = notebook(stem)
    prose = "\n\n".join(cell["text"] for cell in cells if cell["cell_type"] == "markdown")
    tagged = [cell for cell in cells if "slide" in cell["tags"]]
    # Code that fails on purpose and draws a figure takes a slide beside the figure's.
    twice = [cell for cell in tagged if "fails-on-purpose" in cell["tags"] and drawn(cell)]
    expected = {
        "cell": len(tagged) + len(twice),
        "section": len(re.findall("^## ", prose, flags=re.M)) - 2,
        "exercise": len(re.findall("^### Exercise ", prose, flags=re.M)),
        "question": prose.count('<div class="quiz">'),
        "title": 1,
        "licence": 1,
    }
    page = project(f"{stem}.html")
    assert {kind: page.locator(f".slide.{kind}").count() for kind in expected} == expected
    assert page.locator(".slide.cell figure").count() == sum(map(drawn, tagged))


def drawn(cell: dict[str, Any]) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell["outputs"])


@pytest.mark.parametrize("stem", STEMS)
def test_space_bar_walks_through_all_slides(project: Project, stem: str) -> None:
    page = project(f"{stem}.html")
    total = page.evaluate("Reveal.getTotalSlides()")
    steps = total + page.locator(".slide .fragment").count()
    seen = set()
    for _ in range(steps):
        seen.add(page.evaluate("JSON.stringify(Reveal.getIndices()).replace(/,.f.*/, '')"))
        page.keyboard.press("Space")
    assert len(seen) == total
    assert page.evaluate("Reveal.isLastSlide()")


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("stem", STEMS)
def test_nothing_sticks_out_of_its_slide(project: Project, stem: str, screen: str) -> None:
    assert project(f"{stem}.html", screen=screen).evaluate(FAULTS) == []


@pytest.mark.parametrize("stem", STEMS)
def test_type_can_be_read_from_the_last_row(project: Project, stem: str) -> None:
    page = project(f"{stem}.html")
    least = "(parts) => Math.min(99, ...parts.map((p) => parseFloat(getComputedStyle(p).fontSize)))"
    assert page.locator(".slide pre.code").evaluate_all(least) >= 18
    assert page.locator(".slide :is(p, li, td, th, pre)").evaluate_all(least) >= 16


@pytest.mark.parametrize("stem", STEMS)
def test_figures_have_a_text_and_formulas_are_drawn(project: Project, stem: str) -> None:
    page = project(f"{stem}.html")
    alts = page.locator(".slide img").evaluate_all("(all) => all.map((i) => i.alt)")
    assert [alt for alt in alts if len(alt.split()) < 2] == []
    assert page.locator(".math").count() == page.locator(".math mjx-container svg").count()
    assert page.locator("[data-mjx-error]").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("stem", STEMS)
def test_axe_finds_no_serious_fault(project: Project, stem: str, theme: str) -> None:
    page = project(f"{stem}.html", theme=theme)
    page.evaluate(axe_source())
    for kind in ("title", "section", "cell", "fails", "exercise", "question", "licence"):
        at = "(slide) => Reveal.getIndices(slide.parentElement)"
        place = page.locator(f".slide.{kind}").first.evaluate(at)
        page.evaluate("(at) => Reveal.slide(at.h, at.v, 99)", place)
        assert findings(page.evaluate("() => axe.run()")) == set(), kind


def plain(text: str) -> str:
    """Return the words of a text, without marks of Markdown and formulas."""
    return " ".join(re.sub(r"\$[^$]*\$|\\\(.*?\\\)|\{[\w:]+\}`[^`]*`|[*`]", " ", text).split())


@pytest.mark.parametrize("stem", STEMS)
def test_no_solution_is_told(decks: Path, stem: str) -> None:
    page = BeautifulSoup((decks / f"{stem}.html").read_text("utf-8"), "html.parser")
    told = plain(page.get_text(" "))
    code = page.get_text()
    cells = notebook(stem)
    solutions = [i for i, cell in enumerate(cells) if "solution" in cell["tags"]]
    assert solutions
    for i in solutions:
        assert max(cells[i]["text"].splitlines(), key=len).strip() not in code
        after = cells[i + 1]["text"] if cells[i + 1]["cell_type"] == "markdown" else ""
        explained = plain(re.split("^#", after, flags=re.M)[0])
        assert not explained or explained[:40] not in told


def test_key_d_turns_light_into_dark_for_all_decks(project: Project) -> None:
    page = project(f"{STEMS[0]}.html")
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "light")
    page.keyboard.press("d")
    expect(root).to_have_attribute("data-theme", "dark")
    page.goto(page.url.replace(STEMS[0], STEMS[1]))
    expect(root).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize("disk", [False, True], ids=["served", "from the disk"])
def test_speaker_sees_the_notes(project: Project, disk: bool) -> None:
    page = project(f"{STEMS[0]}.html", disk=disk)
    notes = page.locator("aside.notes").filter(has=page.locator("mjx-container")).first
    at = notes.evaluate("(notes) => Reveal.getIndices(notes.parentElement)")
    page.evaluate("(at) => Reveal.slide(at.h, at.v)", at)
    with page.expect_popup() as opened:
        page.keyboard.press("s")
    window = opened.value
    shown = window.locator(".speaker-controls-notes .value")
    expect(shown).to_contain_text((notes.locator("p").first.text_content() or "")[:20])
    expect(shown.locator("mjx-container svg").first).to_be_visible()
    expect(shown.locator("math")).to_have_count(0)


@pytest.mark.parametrize("stem", STEMS)
def test_deck_can_be_printed_one_slide_a_page(project: Project, stem: str) -> None:
    page = project(f"{stem}.html?print-pdf", theme="dark")
    slides = page.locator(".slide").count()
    expect(page.locator(".pdf-page")).to_have_count(slides)
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert page.locator(".slide .fragment").evaluate_all(
        "(all) => all.every((f) => getComputedStyle(f).visibility === 'visible')"
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_list_leads_to_every_deck(project: Project, visits: list[Visit], theme: str) -> None:
    page = project("index.html", screen="phone", theme=theme)
    links = page.locator("li a")
    assert links.evaluate_all("(all) => all.map((a) => a.getAttribute('href'))") == [
        f"{stem}.html" for stem in STEMS
    ]
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS["phone"][0]
    page.evaluate(axe_source())
    assert findings(page.evaluate("() => axe.run()")) == set()
    links.first.click()
    expect(page.locator(".present h1")).to_be_visible()
    assert visits[0].errors == []
