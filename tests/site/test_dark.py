"""Every page in the dark, visited once: its colours can be read, and on paper it is light."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from playwright.sync_api import expect

from tests.site.paper import on_paper
from tests.site.visiting import Visit, Visitor, cleanly, faults, serious


def is_dark(visit: Visit, _path: str) -> None:
    expect(visit.page.locator("html")).to_have_attribute("data-theme", "dark")


def can_be_read(visit: Visit, _path: str) -> None:
    assert serious(visit.page, dark=True) == []


def test_every_page_in_the_dark(visitor: Visitor, site: Path) -> None:
    checks = [is_dark, can_be_read, on_paper, cleanly]
    assert faults(partial(visitor, theme="dark"), site, "dark", checks) == {}
