"""What must hold on every page, whatever is written there."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.site.visiting import Visitor

THEMES = ("light", "dark")
# How docutils writes a bibliography; nothing of ours can change it.
OF_DOCUTILS = {("aria-required-children", '<div role="list" class="citation-list">')}


def test_page_opens_cleanly_and_fetches_nothing_from_elsewhere(
    visitor: Visitor, each_page: str
) -> None:
    visit = visitor()
    visit.open(each_page)
    assert visit.outside == []
    assert visit.errors == []


def test_every_image_has_a_text(visitor: Visitor, each_page: str) -> None:
    page = visitor().open(each_page)
    for image in page.locator("img").all():
        alt = image.get_attribute("alt") or ""
        where = f"{image.get_attribute('src')}: alt text {alt!r}"
        assert len(alt.split()) >= 2, where
        assert not re.search(r"[0-9a-f]{16}|\.(png|svg|jpe?g)$", alt), where


@pytest.mark.parametrize("theme", THEMES)
def test_no_page_scrolls_sideways_on_a_phone(visitor: Visitor, each_page: str, theme: str) -> None:
    page = visitor(theme=theme, width=390).open(each_page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def axe_source() -> str:
    """Return the axe-core script that comes with axe_playwright_python."""
    spec = find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "axe.min.js").read_text("utf-8")


def findings(result: dict[str, Any]) -> set[tuple[str, str]]:
    """Return (rule, element) for what axe calls serious or critical."""
    return {
        (violation["id"], node["html"][:160])
        for violation in result["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    }


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_no_serious_fault(visitor: Visitor, each_page: str, theme: str) -> None:
    page = visitor(theme=theme).open(each_page)
    page.evaluate(axe_source())
    assert findings(page.evaluate("() => axe.run()")) - OF_DOCUTILS == set()
