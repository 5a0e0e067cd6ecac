"""How long each page of the book takes to load in Chromium, and how much it loads.

It reads the built pages (`make book` first) from a server on this machine, each page several times,
each time in a fresh window without a cache. Run it with `make benchmark`; `README.md` beside this
file says how to read the table.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from playwright.sync_api import Browser, Response

from book.tools.pages.browser import chromium, served

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
LOADS = 5
LOADED = "() => performance.getEntriesByType('navigation')[0].loadEventEnd / 1000"


def load(browser: Browser, url: str) -> tuple[float, float]:
    """Load a page in a fresh window; return seconds until its load event, and kB."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(url, wait_until="load")
    page.wait_for_load_state("networkidle")
    seconds = float(page.evaluate(LOADED))
    size = sum(int(answer.headers.get("content-length", 0)) for answer in answers)
    context.close()
    return seconds, size / 1000


def table(browser: Browser, address: str) -> pd.DataFrame:
    """Load every page `LOADS` times, in turns; medians, the slowest page first."""
    pages = sorted(path.relative_to(SITE).as_posix() for path in SITE.glob("[bn]*/**/*.html"))
    load(browser, f"{address}/{pages[0]}")  # what is done once only
    turns = [(page, *load(browser, f"{address}/{page}")) for _ in range(LOADS) for page in pages]
    frame = pd.DataFrame(turns, columns=["page", "seconds", "kB"]).groupby("page").median()
    lightest = frame["seconds"].iloc[frame["kB"].argmin()]
    frame["times the lightest"] = frame["seconds"] / lightest
    return frame.sort_values("seconds", ascending=False)


def main() -> None:
    """Print the table."""
    if not (SITE / "index.html").is_file():
        sys.exit("There are no built pages. First: make book")
    with chromium() as browser, served(SITE) as address:
        print(table(browser, address).round({"seconds": 2, "kB": 0, "times the lightest": 1}))


if __name__ == "__main__":
    main()
