"""The start page of the workshop kit, opened from the folder itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from book.tools.teach import workshop
from tests.site.visiting import serious

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page on a phone, in the light and in the dark; whatever it asks for is noted."""
    scheme: Literal["light", "dark"] = request.param
    (tmp_path / "start.html").write_text(workshop.start_page(ROOT), "utf-8")
    context = browser.new_context(viewport={"width": 390, "height": 900}, color_scheme=scheme)
    yield context.new_page()
    context.close()


def test_it_fits_a_phone_has_no_serious_fault_and_fetches_nothing(
    page: Page, tmp_path: Path
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "start.html").as_uri())
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert serious(page) == []
    assert page.locator("li a[href^='notebooks/']").count() == len(
        list((ROOT / "notebooks").glob("*.ipynb"))
    )
