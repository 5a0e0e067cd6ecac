"""Find a Chromium, or have Playwright fetch one: for tests of the pages, the PDF, benchmarks."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


class BrowserError(Exception):
    """There is no Chromium; the message says what to do."""


def installed_chromium() -> str | None:
    """Return the Chromium of this machine, None if Playwright's own must do."""
    if named := os.environ.get("MEDXFER_CHROMIUM"):
        return named
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium: the machine's own, else the one that Playwright fetches.

    Raises
    ------
    BrowserError
        If none was found and none could be fetched.
    """
    with sync_playwright() as playwright:
        own = installed_chromium()
        if own is not None and not Path(own).is_file():
            raise BrowserError(f"MEDXFER_CHROMIUM names {own}, and there is no such file.")
        if own is None and not Path(playwright.chromium.executable_path).exists():
            fetch = [sys.executable, "-m", "playwright", "install", "chromium"]
            if subprocess.run(fetch, check=False).returncode:
                raise BrowserError(
                    "This needs Chromium, and none was found or could be fetched. "
                    "Install it (Debian: apt install chromium) or set MEDXFER_CHROMIUM."
                )
        browser = playwright.chromium.launch(executable_path=own, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine and yield its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None: ...

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
