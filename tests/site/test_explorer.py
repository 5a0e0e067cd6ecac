"""The explorer of thresholds on a page: sliders that tell the truth, and a still piece without."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from medxfer_utils import metrics
from medxfer_utils.plots import explorer
from tests.site.visiting import Visitor, serious

CHAPTER = "notebooks/03_pitfalls.html"
STATIC = Path(__file__).resolve().parents[2] / "book" / "_static"
rng = np.random.default_rng(7)
TRUTH = np.repeat([0, 1], [70, 30])
RISKS = {
    "plain": np.clip(rng.normal(0.35 + 0.3 * TRUTH, 0.2), 0.02, 0.97),
    "steep": rng.beta(2 + 4 * TRUTH, 3),
}
FIELDS = ("found", "missed", "alarms", "cleared")


def figure(*names: str) -> str:
    """Return what the explorer shows of some of the models."""
    with mock.patch.object(explorer, "display") as display:
        explorer.threshold_explorer({n: (TRUTH, RISKS[n]) for n in names}, " and ".join(names))
    shown: str = display.call_args.args[0]["text/html"]
    return shown


@pytest.fixture
def two(visitor: Visitor, tmp_path: Path) -> Page:
    """Open a page from the disk with two explorers: of two models, and of one."""
    links = "".join(
        f'<link rel="stylesheet" href="{(STATIC / name).as_uri()}">'
        for name in ("book.css", "explorer.css")
    )
    script = f'<script defer src="{(STATIC / "explorer.js").as_uri()}"></script>'
    head = f'<!doctype html><html lang="en"><head><title>Two</title>{links}{script}</head>'
    path = tmp_path / "two.html"
    path.write_text(f"{head}<body>{figure(*RISKS)}{figure('steep')}</body></html>", "utf-8")
    page = visitor().page
    page.goto(path.as_uri())
    return page


@pytest.fixture
def first(two: Page) -> Locator:
    """The explorer of two models."""
    return two.locator("figure").first


def slider(part: Page | Locator, name: str) -> Locator:
    return part.get_by_role("slider", name=name)


def matrix(part: Locator, caption: str) -> list[int]:
    """Return the four fields of a confusion matrix: found, missed, false alarms, cleared."""
    table = part.locator("table", has_text=caption)
    return [int(table.locator(f".count-{field}").inner_text()) for field in FIELDS]


def value(part: Locator, name: str) -> str:
    return part.locator(f".value-{name}").inner_text()


def counted(name: str, threshold: float) -> list[int]:
    """Count the sample by hand, in the order of `matrix`."""
    called, ill = RISKS[name] >= threshold, TRUTH == 1
    pairs = ((called, ill), (~called, ill), (called, ~ill), (~called, ~ill))
    return [int((a & b).sum()) for a, b in pairs]


def test_script_and_python_agree_on_a_grid(two: Page) -> None:
    wanted, asked = [], []
    for name, step, prevalence in itertools.product(
        RISKS, range(0, len(explorer.THRESHOLDS), 3), (0.001, 0.005, 0.05, 0.3, 0.9)
    ):
        threshold = explorer.THRESHOLDS[step]
        point = metrics.operating_point(TRUTH, RISKS[name], threshold, prevalence)
        wanted.append([point[key] for key in ("sensitivity", "specificity", "PPV", "NPV")])
        asked.append([[*RISKS].index(name), step, prevalence])
    found = two.evaluate(
        """(asked) => {
            const { models } = JSON.parse(document.querySelector(".explorer script").textContent);
            const { rates, predictive } = window.medxferExplorer;
            return asked.map(([row, step, prevalence]) => {
                const now = rates(models[row], step);
                const { ppv, npv } = predictive(now, prevalence);
                return [now.sensitivity, now.specificity, ppv, npv];
            });
        }""",
        asked,
    )
    # Where Python averages weights, 1 and 0 come out with a rounding error.
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)
    assert sum(math.isnan(x) for row in wanted for x in row) > 5, "the ends are part of the grid"


def test_percentages_are_rounded_with_care_and_prevalence_said_in_people(two: Page) -> None:
    shares = [0, 1, 0.0004, 0.0005, 0.12345, 0.5, 0.9994, 0.99951, 1 / 3]
    said = two.evaluate("(shares) => shares.map((s) => medxferExplorer.percent(s))", shares)
    # All and nothing only where they are exact.
    assert said == [
        *("0 %", "100 %", "< 0.1 %", "0.1 %", "12.3 %", "50.0 %", "99.9 %", "> 99.9 %", "33.3 %")
    ]
    said = two.evaluate("() => [0.001, 0.005, 0.3, 0.9].map((s) => medxferExplorer.oneIn(s))")
    assert said == ["1 in 1,000", "1 in 200", "1 in 3.3", "90 in 100"]


def test_a_thousand_people_add_up_at_every_setting(two: Page) -> None:
    # One in 16 is 62.5 of 1,000: both the ill and the healthy would be rounded up.
    wrong = two.evaluate(
        """() => {
            const { models } = JSON.parse(document.querySelector(".explorer script").textContent);
            const { PREVALENCES, rates, people } = window.medxferExplorer;
            const shares = [...PREVALENCES, 1 / 16];
            const all = models.flatMap((model) => model.found.flatMap((_, step) =>
                shares.map((share) => [share, people(rates(model, step), share)])));
            return all.filter(([share, c]) => Object.values(c).some((n) => n < 0)
                || c.found + c.missed + c.alarms + c.cleared !== 1000
                || Math.abs(c.found + c.missed - 1000 * share) > 0.5);
        }"""
    )
    assert wrong == []


def test_threshold_by_keyboard_moves_matrix_and_point(two: Page, first: Locator) -> None:
    control = slider(first, "Threshold of risk")
    assert matrix(first, "In the sample") == counted("plain", 0.5)
    control.focus()
    for _ in range(4):
        two.keyboard.press("ArrowRight")
    assert control.get_attribute("aria-valuetext") == "0.54"
    point = metrics.operating_point(TRUTH, RISKS["plain"], 0.54)
    assert matrix(first, "In the sample") == counted("plain", 0.54)
    assert value(first, "sensitivity") == f"{100 * point['sensitivity']:.1f} %"
    assert value(first, "PPV") == f"{100 * point['PPV']:.1f} %", "at the sample's prevalence"
    drawn = first.locator(".explorer-point")
    x = explorer.BOX["left"] + explorer.BOX["side"] * (1 - point["specificity"])
    assert float(drawn.get_attribute("cx") or "nan") == pytest.approx(x)


def test_prevalence_moves_ppv_and_people_but_not_the_sample(two: Page, first: Locator) -> None:
    control = slider(first, "Prevalence")
    before = [value(first, name) for name in ("sensitivity", "specificity")]
    control.focus()
    two.keyboard.press("Home")
    for _ in range(4):
        two.keyboard.press("ArrowRight")
    assert control.get_attribute("aria-valuetext") == "0.5 %, 1 in 200"
    assert [value(first, name) for name in ("sensitivity", "specificity")] == before
    assert matrix(first, "In the sample") == counted("plain", 0.5)
    point = metrics.operating_point(TRUTH, RISKS["plain"], 0.5, prevalence=0.005)
    assert value(first, "PPV") == f"{100 * point['PPV']:.1f} %"
    alarms = round(995 * (1 - point["specificity"]))
    assert matrix(first, "Of 1,000 people") == [4, 1, alarms, 995 - alarms]


def test_ends_of_both_sliders(two: Page, first: Locator) -> None:
    prevalence = slider(first, "Prevalence")
    expect(prevalence).to_have_attribute("aria-valuetext", "30.0 %, 1 in 3.3, as in the sample")
    slider(first, "Threshold of risk").focus()
    for key, counts, values in (
        ("Home", [30, 0, 70, 0], ["30.0 %", "no all-clear"]),
        ("End", [0, 30, 0, 70], ["no alarm", "70.0 %"]),
    ):
        two.keyboard.press(key)
        assert matrix(first, "In the sample") == counts
        assert [value(first, name) for name in ("PPV", "NPV")] == values
    expect(first.get_by_role("status")).to_contain_text("There is no alarm.")
    prevalence.focus()
    for key, said in (("Home", "0.1 %, 1 in 1,000"), ("End", "90.0 %, 90 in 100")):
        two.keyboard.press(key)
        expect(prevalence).to_have_attribute("aria-valuetext", said)


def test_model_is_chosen(two: Page, first: Locator) -> None:
    first.get_by_role("radio", name="steep").check()
    assert matrix(first, "In the sample") == counted("steep", 0.5)
    expect(first.get_by_role("status")).to_contain_text("steep, threshold 0.5")
    expect(two.locator("figure").last.get_by_role("radio")).to_have_count(0)


def test_sentence_is_spoken_when_the_slider_rests(first: Locator) -> None:
    status, control = first.get_by_role("status"), slider(first, "Threshold of risk")
    before = status.inner_text()
    for kind, changes in (("input", False), ("change", True)):
        control.evaluate(
            "(node, kind) => { node.value = 30; node.dispatchEvent(new Event(kind, "
            "{ bubbles: true })); }",
            kind,
        )
        assert matrix(first, "In the sample") == counted("plain", explorer.THRESHOLDS[30])
        assert (status.inner_text() != before) is changes


def test_no_false_alarm_in_the_sample_is_no_promise(first: Locator) -> None:
    found, _, alarms, _ = zip(*(counted("plain", t) for t in explorer.THRESHOLDS), strict=True)
    step = next(i for i, n in enumerate(alarms) if n == 0 and found[i] > 0)
    slider(first, "Threshold of risk").fill(str(step))
    assert value(first, "PPV") == "100 %"
    expect(first.get_by_role("status")).to_contain_text("No false alarm among 70 healthy people")


def test_two_on_one_page_do_not_disturb_each_other(two: Page) -> None:
    first, second = two.locator("figure").first, two.locator("figure").last
    before = second.inner_text()
    for name in ("Threshold of risk", "Prevalence"):
        slider(first, name).focus()
        two.keyboard.press("PageDown")
    first.get_by_role("radio", name="steep").check()
    assert second.inner_text() == before
    before = first.inner_text()
    slider(second, "Threshold of risk").focus()
    two.keyboard.press("PageUp")
    assert first.inner_text() == before
    ids = two.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids)) == 2 * 2 + 2, "two sliders each, two radios"


def cut(page: Page) -> list[str]:
    """Return the parts of the explorer that stick out of it, or of the window."""
    sticking: list[str] = page.locator("figure.explorer").evaluate(
        "(node) => [node, ...node.querySelectorAll('*')]"
        ".filter((part) => part.getBoundingClientRect().right"
        " > Math.min(node.getBoundingClientRect().right, innerWidth) + 0.5)"
        ".map((part) => part.outerHTML.slice(0, 80))"
    )
    return sticking


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_chapter_has_it_whole_on_screens_and_on_paper(visitor: Visitor, theme: str) -> None:
    visit = visitor(theme=theme)
    page = visit.open(CHAPTER)
    shown = page.locator("figure.explorer")
    before = matrix(shown, "In the sample")
    slider(shown, "Threshold of risk").focus()
    page.keyboard.press("End")
    after = matrix(shown, "In the sample")
    assert before[0] + before[1] == after[0] + after[1]
    assert after[2] < before[2], "fewer false alarms at the highest threshold"
    slider(page, "Prevalence").fill("0")  # the longest words: more than 99.9 %
    assert serious(page, "figure.explorer", dark=theme == "dark") == []
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert cut(page) == [], width
    page.emulate_media(media="print")
    expect(shown.get_by_role("img")).to_be_visible()
    expect(shown.locator(".explorer-still")).to_be_visible()
    for part in (".explorer-controls", ".explorer-counts", ".explorer-words", ".explorer-point"):
        expect(shown.locator(part)).to_be_hidden()
    assert visit.outside == visit.errors == []
