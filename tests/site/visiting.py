"""A visit to one page in a fresh browser window, and what goes wrong on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from playwright.sync_api import ConsoleMessage, Page, Request, Response


@dataclass
class Visit:
    """One page in the browser, and what went wrong on it."""

    page: Page
    address: str
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

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

    def open(self, path: str) -> Page:
        """Open a page of the site and wait until it is drawn, its formulas too."""
        self.page.goto(f"{self.address}/{path}", wait_until="networkidle")
        self.page.evaluate("() => window.MathJax?.startup?.promise")
        return self.page


# Called with theme, width and scripts, each as wanted.
Visitor = Callable[..., Visit]
