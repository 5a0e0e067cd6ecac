"""Every page on a phone, visited once, while its pictures are still under way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.site.visiting import Visit, Visitor, faults

WIDTH = 390


def is_no_wider_than_the_phone(visit: Visit, _path: str) -> None:
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= WIDTH


def pictures_wait_and_keep_their_place(visit: Visit, _path: str) -> None:
    """A picture that is not loaded yet takes the room that it will need."""
    for image in visit.page.locator("article img").all():
        assert image.get_attribute("loading") == "lazy"
        box = image.bounding_box()
        wide, high = (int(image.get_attribute(side) or 0) for side in ("width", "height"))
        if box:  # None: in a closed solution
            assert box["height"] / box["width"] == pytest.approx(high / wide, rel=0.02)


def test_every_page_on_a_phone_before_its_pictures_come(visitor: Visitor, site: Path) -> None:
    def enter() -> Visit:
        visit = visitor(width=WIDTH)
        visit.page.context.route("**/_images/**", lambda _route: None)  # under way for ever
        return visit

    checks = [is_no_wider_than_the_phone, pictures_wait_and_keep_their_place]
    assert faults(enter, site, "phone", checks, wait_until="load") == {}
