"""A visit to one page in a fresh browser window, and what goes wrong on it.

Each page is visited once in each of three dresses: in the light, in the dark, on a phone. All
checks of a dress look at the one visit, and a test gives a list of what they found. A page on which
nothing was found is not visited again before it changes, or `make test ALL=1` asks for everything.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from playwright.sync_api import ConsoleMessage, Error, Page, Request, Response

from book.tools.proved import ROOT, imports

Awaited = Literal["networkidle", "load"]
# How docutils writes a bibliography; nothing of ours can change it.
OF_DOCUTILS = 'aria-required-children: <div role="list" class="citation-list">'
# To ask each of thousands of words for its contrast takes half a minute. It depends on computed
# styles alone: of all elements that show words in the same styles, the first is asked.
AXE = """async ([where, dark]) => {
  const options = { resultTypes: ["violations"], preload: false };
  const grounds = new Map([[null, ""]]), first = new Map();
  const ground = (node) => {
    if (!grounds.has(node)) {
      const { backgroundColor: colour, backgroundImage: image, opacity } = getComputedStyle(node);
      const own = `${colour} ${image} ${opacity}`.replace("rgba(0, 0, 0, 0) none 1", "");
      grounds.set(node, ground(node.parentElement) + own);
    }
    return grounds.get(node);
  };
  for (const node of document.querySelector(where).querySelectorAll("*")) {
    const said = [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!said || !node.checkVisibility()) continue;
    const { color, fontSize, fontWeight, textShadow, textDecorationLine } = getComputedStyle(node);
    const around = `${ground(node)} ${getComputedStyle(node.parentElement).color}`;
    const look = [around, color, fontSize, fontWeight, textShadow, textDecorationLine].join();
    if (!first.has(look)) first.set(look, node);
  }
  first.forEach((node) => node.classList.add("shows-a-look"));
  const colours = { ...options, runOnly: ["color-contrast", "link-in-text-block"] };
  const runs = [await axe.run(document.querySelectorAll(".shows-a-look"), colours)];
  const others = { rules: { "color-contrast": { enabled: false } } };
  if (!dark) runs.push(await axe.run(where, { ...options, ...others }));
  first.forEach((node) => node.classList.remove("shows-a-look"));
  return runs.flatMap((run) => run.violations)
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 160)}`));
}"""


@dataclass
class Visit:
    """One page in the browser, what it loaded (bytes by path), and what went wrong on it."""

    page: Page
    address: str
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    loaded: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("requestfailed", lambda request: self.errors.append(f"failed: {request.url}"))
        self.page.on("response", self._response)
        self.page.on("request", self._request)
        self.page.context.route(lambda url: self._leaves(url), lambda route: route.abort())

    def _leaves(self, url: str) -> bool:
        return not url.startswith((f"{self.address}/", "data:", "blob:", "file:"))

    def _request(self, request: Request) -> None:
        if self._leaves(request.url):
            self.outside.append(request.url)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{message.type}: {message.text}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.errors.append(f"{response.status}: {response.url}")
        path = response.url.removeprefix(self.address)
        self.loaded[path] = int(response.headers.get("content-length", 0))

    def open(self, path: str, wait_until: Awaited = "networkidle") -> Page:
        """Open a page of the site and wait until it is there; "load" does not wait for pictures."""
        self.page.goto(f"{self.address}/{path}", wait_until=wait_until)
        return self.page


# Called with theme, width and scripts, each as wanted.
Visitor = Callable[..., Visit]
# Looks at the visit of a page and raises AssertionError if something is wrong.
Check = Callable[[Visit, str], None]
Faults = dict[str, list[str]]


def all_pages(site: Path) -> list[str]:
    """Return every page of the site, as a path from its top.

    The first one only leads on. Two files under `_static` are templates that the theme leaves
    there. The Chinese edition, if it has been joined, has tests of its own.
    """
    found = (path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    others = ("index.html", "_static/", "zh/")
    return sorted(page for page in found if not page.startswith(others))


def all_chapters(site: Path) -> list[str]:
    """Return every chapter."""
    return [page for page in all_pages(site) if page.startswith("notebooks/")]


def is_lesson(page: str) -> bool:
    """Tell lessons from appendices, which have no exercises and no quiz."""
    return page.startswith("notebooks/") and not page.startswith("notebooks/A")


def serious(page: Page, where: str = "html", dark: bool = False) -> list[str]:
    """Return the rule and the element of what axe, a checker of accessibility, calls serious.

    In the dark, only those rules are asked whose answer depends on colours.
    """
    spec = find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.origin is not None
    page.evaluate((Path(spec.origin).parent / "axe.min.js").read_text("utf-8"))
    found: list[str] = page.evaluate(AXE, [where, dark])
    return [fault for fault in found if fault != OF_DOCUTILS]


def offences(check: Check, visit: Visit, path: str) -> list[str]:
    """Return what a check finds wrong, as a list of one or none."""
    try:
        check(visit, path)
    except (AssertionError, Error) as fault:
        return [f"{check.__name__}: {fault}"]
    return []


@cache
def shared_by_all_pages(site: Path, dress: str) -> bytes:
    """Return digests of what every page loads, and of what looks at it in a dress."""
    own = {name for name in imports(f"tests/site/test_{dress}.py") if name.startswith("tests/")}
    code = [ROOT / name for name in {*own, "requirements.txt"}]
    files = sorted(path for path in [*(site / "_static").rglob("*"), *code] if path.is_file())
    return b"".join(sha256(path.read_bytes()).digest() for path in files)


def digest(site: Path, path: str, dress: str) -> str:
    """Return a digest of a page and of all that decides what is seen and found on it."""
    page = (site / path).read_bytes()
    images = sorted({site / name.decode() for name in re.findall(rb"_images/[^\"?# ]+", page)})
    parts = [page, *(image.read_bytes() for image in images), shared_by_all_pages(site, dress)]
    return sha256(b"".join(sha256(part).digest() for part in parts)).hexdigest()


def cleanly(visit: Visit, _path: str) -> None:
    """Hold a page to fetch nothing from elsewhere, and to complain of nothing."""
    assert visit.outside == []
    assert visit.errors == []


def faults(
    enter: Callable[[], Visit],
    site: Path,
    dress: str,
    checks: Iterable[Check],
    wait_until: Awaited = "networkidle",
) -> Faults:
    """Visit the pages that have changed, in one dress, and return what was found on which."""
    memory = site.parent / "proved" / f"pages-{dress}.json"
    remembered = memory.is_file() and os.environ.get("ALL") != "1"
    passed: dict[str, str] = json.loads(memory.read_text("utf-8")) if remembered else {}
    found: Faults = {}
    for path in all_pages(site):
        if passed.get(path) == (now := digest(site, path, dress)):
            continue
        visit = enter()
        visit.open(path, wait_until)
        found[path] = [fault for check in checks for fault in offences(check, visit, path)]
        visit.page.context.close()
        passed[path] = "" if found[path] else now
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(json.dumps(passed, indent=1), "utf-8")
    return {path: said for path, said in found.items() if said}
