"""A page is light: what it loads, to its end, is little, and it loads nothing it does not use."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Response

from tests.site.visiting import Visitor

MOST_BYTES, MOST_REQUESTS = 2_000_000, 60
# The part of a page that is the same on every page.
MOST_SHARED = 900_000


def everything(page: Page, address: str, path: str) -> dict[str, int]:
    """Return the size of all that a page loads when it is read to its end."""
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(f"{address}/{path}", wait_until="networkidle")
    page.evaluate("() => document.querySelectorAll('img').forEach(i => { i.loading = 'eager'; })")
    page.wait_for_function("() => [...document.images].every(i => i.complete)")
    page.wait_for_load_state("networkidle")
    return {a.url.removeprefix(address): int(a.headers["content-length"]) for a in answers}


def test_a_page_weighs_little_and_leaves_out_what_it_does_not_use(
    visitor: Visitor, each_page: str
) -> None:
    visit = visitor()
    loaded = everything(visit.page, visit.address, each_page)
    assert sum(loaded.values()) <= MOST_BYTES, sorted(loaded.items(), key=lambda i: -i[1])[:8]
    assert len(loaded) <= MOST_REQUESTS
    shared = sum(size for name, size in loaded.items() if name.startswith("/_static/"))
    assert shared <= MOST_SHARED
    # Counted are the pictures at the end of the page too.
    pictures = {image.get_attribute("src") for image in visit.page.locator("article img").all()}
    assert len({name for name in loaded if name.startswith("/_images/")}) == len(pictures)
    names = " ".join(loaded)
    assert [name for name in ("fontawesome.js", "mathjax", "thebe") if name in names] == []
    assert ("searchindex.js" in names) == (each_page == "search.html")
    cards = visit.page.locator("article [class^='sd-']").count() > 0
    assert ("sphinx-design" in names) == cards


def test_pictures_wait_and_keep_their_place(visitor: Visitor, each_page: str) -> None:
    """A picture that is not loaded yet takes the room that it will need."""
    visit = visitor()
    visit.page.context.route("**/_images/**", lambda _route: None)  # under way for ever
    # "load" waits for the style sheets, which give the room, and not for lazy pictures.
    visit.page.goto(f"{visit.address}/{each_page}", wait_until="load")
    for image in visit.page.locator("article img").all():
        assert image.get_attribute("loading") == "lazy"
        box = image.bounding_box()
        wide, high = (int(image.get_attribute(side) or 0) for side in ("width", "height"))
        if box:  # None: in a closed solution
            assert box["height"] / box["width"] == pytest.approx(high / wide, rel=0.02)
