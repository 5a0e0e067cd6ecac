"""Ask whether the addresses in the bibliography answer: `make references`. It needs a network.

    python book/tools/env.py -m book.tools.pages.references_check

Of a DOI only the resolver is asked, which knows whether it is registered; no publisher is visited.
Other addresses get a request for their head. One address is asked at a time, with a pause between.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, Request, build_opener

from book.tools.chapters.text import RESOLVER, address

BIBLIOGRAPHY = Path(__file__).resolve().parents[2] / "references.bib"
WHO = {"User-Agent": "medxfer-references-check/1 (a course book checks its own bibliography)"}
SECONDS, PAUSE = 20.0, 1.0
# The head alone is refused, though the page may be there; or visitors without a browser are.
NO_HEAD, REFUSED = (405, 501), (401, 403, 429)


@dataclass(frozen=True)
class Answer:
    """What became of one address.

    Parameters
    ----------
    key, url : str
        Key of the entry and the address that was asked.
    verdict : {"ok", "moved", "refused", "missing", "no answer"}
        Of these, "missing" and "no answer" are faults; a person should look at "refused".
    detail : str
        The new address, the status, or the error.
    """

    key: str
    url: str
    verdict: str
    detail: str = ""

    def __str__(self) -> str:
        """Say it on one line."""
        return f"{self.verdict:<9}  {self.key}  {self.url}  {self.detail}".rstrip()


class Stay(HTTPRedirectHandler):
    """Do not follow a redirect: for a DOI it is the answer."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None: ...


class Follow(HTTPRedirectHandler):
    """Follow a redirect, still asking for no more than the head."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None:
            new.method = req.get_method()
        return new


def addresses(bibliography: Path) -> Iterator[tuple[str, str]]:
    """Yield the key and one address of each entry: the DOI, else the URL, else arXiv's.

    Raises
    ------
    ValueError
        If the file is no bibliography.
    """
    from pybtex.database import parse_file
    from pybtex.exceptions import PybtexError

    try:
        entries = parse_file(str(bibliography)).entries
    except (PybtexError, OSError) as error:
        raise ValueError(f"{bibliography} cannot be read: {error}") from error
    for key, entry in entries.items():
        if place := address(entry):
            doi = entry.fields.get("doi")
            yield key, RESOLVER + quote(doi, safe="/") if doi else place


def status(url: str, method: str, seconds: float) -> tuple[int, str]:
    """Return the status of an address and where it led; a DOI is not followed."""
    opener = build_opener(Stay if url.startswith(RESOLVER) else Follow)
    request = Request(url, headers=WHO, method=method)
    try:
        with opener.open(request, timeout=seconds) as answer:
            return answer.status, answer.url
    except HTTPError as error:
        with error:
            return error.code, url


def ask(key: str, url: str, seconds: float = SECONDS) -> Answer:
    """Ask one address and say what became of it; nothing is raised."""
    try:
        code, place = status(url, "HEAD", seconds)
        if code in NO_HEAD:
            code, place = status(url, "GET", seconds)
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return Answer(key, url, "no answer", f"{type(reason).__name__}: {reason}")
    if code in REFUSED:
        return Answer(key, url, "refused", f"status {code}: look at it in a browser")
    if code >= 400:
        return Answer(key, url, "missing", f"status {code}")
    return Answer(key, url, "moved", place) if place != url else Answer(key, url, "ok")


def asked(
    pairs: Iterable[tuple[str, str]], seconds: float, pause: Callable[[], None]
) -> Iterator[Answer]:
    """Ask one address after another, with a pause between two."""
    for number, (key, url) in enumerate(pairs):
        if number:
            pause()
        yield ask(key, url, seconds)


def check(bibliography: Path, seconds: float = SECONDS, wait: float = PAUSE) -> int:
    """Print an answer for each entry and a count; return 1 if an address is missing or silent."""
    answers = []
    for answer in asked(addresses(bibliography), seconds, lambda: time.sleep(wait)):
        print(answer, flush=True)
        answers.append(answer)
    faults = [answer for answer in answers if answer.verdict in ("missing", "no answer")]
    print(f"\n{len(answers)} addresses asked, {len(faults)} of them missing or without an answer.")
    if len(faults) == len(answers) > 1:
        print("All of them: is there a network?")
    return 1 if faults else 0


def main() -> int:
    """Check the book's bibliography; 130 after an interruption."""
    try:
        return check(BIBLIOGRAPHY)
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
