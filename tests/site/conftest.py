"""The built pages, a server for them, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from book.tools.chapters.run import Edition
from book.tools.pages.browser import BrowserError, chromium, served

pytest.register_assert_rewrite("tests.site.visiting", "tests.site.paper")

from tests.site.visiting import Visit, Visitor  # noqa: E402

# The pages with the outputs in the repository, which nbval holds: `make test` builds them.
PROOF = Edition(Path(__file__).resolve().parents[2], committed=True)
SITE = PROOF.folder / "html"
NO_SITE = "There is no built site to test. First: make test, or the build with --committed"


@pytest.fixture(scope="session")
def site() -> Path:
    """Return the folder of the built pages."""
    if not (SITE / "index.html").is_file():
        pytest.fail(NO_SITE)
    return SITE


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Serve the site on this machine and yield its address."""
    with served(site) as place:
        yield place


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start Chromium: the machine's own, else the one that Playwright fetches."""
    try:
        with chromium() as started:
            yield started
    except BrowserError as problem:
        pytest.fail(str(problem))


@pytest.fixture
def visitor(browser: Browser, address: str) -> Iterator[Visitor]:
    """Return a function that makes a fresh visit; `theme` and `width` as wanted."""
    contexts = []

    def visit(theme: str = "light", width: int = 1280, scripts: bool = True) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, java_script_enabled=scripts
        )
        contexts.append(context)
        remember = f"localStorage.setItem('mode', '{theme}'); localStorage.theme = '{theme}'"
        context.add_init_script(f"try {{ {remember} }} catch {{}}")
        return Visit(context.new_page(), address)

    yield visit
    for context in contexts:
        context.close()
