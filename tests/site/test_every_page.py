"""What must hold on every page, whatever is written there."""

from __future__ import annotations

import re

import pytest

from tests.site.visiting import Visitor

THEMES = ("light", "dark")


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
