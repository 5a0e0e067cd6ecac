"""The bibliography is complete and used, and its addresses are asked politely."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pybtex.database import Entry, parse_file

from book.tools.pages import references_check
from book.tools.pages.references_check import addresses, ask, asked, check
from medxfer_utils.data import REGISTRY

ROOT = Path(__file__).resolve().parents[2]
ENTRIES: dict[str, Entry] = dict(parse_file(str(ROOT / "book" / "references.bib")).entries.items())
VENUES = {"journal", "booktitle", "publisher", "institution", "eprint", "howpublished"}
# No address of these was known for certain when this was written.
NO_ADDRESS = {
    "rosenstein2005transfer",
    "mansour2009multiple",
    "platt1999probabilistic",
    "elkan2001foundations",
    "chen2019bss",
}


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_has_people_title_year_venue_and_address(key: str) -> None:
    entry = ENTRIES[key]
    fields = {name for name, value in entry.fields.items() if value.strip()}
    assert set(entry.persons) & {"author", "editor"}
    assert fields >= {"title", "year"}
    assert fields & VENUES
    assert bool(fields & {"doi", "url", "eprint"}) is (key not in NO_ADDRESS)


@pytest.mark.parametrize("key", ENTRIES)
def test_years_dois_and_addresses_have_their_form(key: str) -> None:
    fields = ENTRIES[key].fields
    assert re.fullmatch(r"(19|20)\d\d", fields["year"])
    assert re.match(r"[a-z]+(19|20)\d\d[a-z0-9]*$", key)
    assert fields["year"] in key
    assert re.fullmatch(r"10\.\d{4,9}/[^\s{}\\]+", fields.get("doi", "10.1000/1"))
    assert re.fullmatch(r"https://[^\s{}]+", fields.get("url", "https://a"))


def test_no_work_is_listed_twice() -> None:
    text = (ROOT / "book" / "references.bib").read_text("utf-8")
    keys = re.findall(r"^@\w+\{(\S+),$", text, re.MULTILINE)
    for names in (
        keys,
        [entry.fields["doi"].lower() for entry in ENTRIES.values() if "doi" in entry.fields],
        [re.sub(r"\W", "", entry.fields["title"]).lower() for entry in ENTRIES.values()],
    ):
        assert [name for name, times in Counter(names).items() if times > 1] == []
    assert len(keys) == len(ENTRIES)


def prose() -> Iterator[str]:
    """Yield all that may cite: pages and cells of text."""
    yield from (path.read_text("utf-8") for path in (ROOT / "book").rglob("*.md"))
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        yield from ("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def test_every_entry_is_cited_and_every_citation_has_an_entry() -> None:
    roles = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", "\n".join(prose()))
    cited = {key.strip() for role in roles for key in role.split(",")}
    assert cited == set(ENTRIES)
    assert {file.citation for file in REGISTRY.values()} <= cited


class Handler(BaseHTTPRequestHandler):
    """A server of which each path answers in its own way."""

    asked: list[str]
    over: threading.Event

    def log_message(self, format: str, *args: object) -> None: ...

    def do_HEAD(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        if self.path == "/silent":
            self.over.wait()
            return
        head_refused = self.path == "/no-head" and self.command == "HEAD"
        codes = {"/moved": 301, "/10.1/here": 302, "/gone": 404, "/10.1/none": 404, "/door": 403}
        self.send_response(405 if head_refused else codes.get(self.path, 200))
        if self.path in ("/moved", "/10.1/here"):
            self.send_header("Location", "/new")
        self.end_headers()

    do_GET = do_HEAD  # noqa: N815


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    Handler.asked, Handler.over = [], threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{http.server_address[1]}"
        monkeypatch.setattr(references_check, "RESOLVER", f"{address}/10.")
        yield address
        Handler.over.set()
        http.shutdown()


@pytest.mark.parametrize(
    ("path", "verdict", "detail", "requests"),
    [
        ("/here", "ok", "", ["HEAD /here"]),
        ("/gone", "missing", "status 404", ["HEAD /gone"]),
        ("/door", "refused", "status 403: look at it in a browser", ["HEAD /door"]),
        ("/no-head", "ok", "", ["HEAD /no-head", "GET /no-head"]),
        # Of a DOI, the redirect is the answer: the publisher is not visited.
        ("/10.1/here", "ok", "", ["HEAD /10.1/here"]),
        ("/10.1/none", "missing", "status 404", ["HEAD /10.1/none"]),
    ],
)
def test_each_answer_has_its_verdict(
    server: str, path: str, verdict: str, detail: str, requests: list[str]
) -> None:
    answer = ask("key", server + path)
    assert (answer.verdict, answer.detail) == (verdict, detail)
    assert Handler.asked == requests


def test_an_address_that_moved_is_followed_and_told(server: str) -> None:
    answer = ask("key", f"{server}/moved")
    assert (answer.verdict, answer.detail) == ("moved", f"{server}/new")
    assert Handler.asked == ["HEAD /moved", "HEAD /new"]


def test_silence_is_not_waited_for_and_is_no_answer(server: str) -> None:
    answer = ask("key", f"{server}/silent", seconds=0.2)
    assert (answer.verdict, "timed out" in answer.detail) == ("no answer", True)
    closed = ask("key", "http://127.0.0.1:9/")
    assert (closed.verdict, closed.detail[:22]) == ("no answer", "ConnectionRefusedError")


def test_there_is_a_pause_between_two_addresses(server: str) -> None:
    log = Handler.asked
    pairs = [("a", f"{server}/a"), ("b", f"{server}/b"), ("c", f"{server}/c")]
    list(asked(pairs, 5, lambda: log.append("pause")))
    assert log == ["HEAD /a", "pause", "HEAD /b", "pause", "HEAD /c"]
    assert references_check.PAUSE >= 1


def entry(key: str, field: str) -> str:
    return f"@misc{{{key}, title = {{T}}, {field}}}\n"


def test_the_report_names_each_entry_and_counts_the_faults(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = entry("here", f"url = {{{server}/here}}"), entry("gone", f"url={{{server}/gone}}")
    file = tmp_path / "some.bib"
    file.write_text(good + bad + entry("none", "year = {2000}"))
    assert check(file, wait=0) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"ok         here  {server}/here",
        f"missing    gone  {server}/gone  status 404",
        "",
        "2 addresses asked, 1 of them missing or without an answer.",
    ]
    file.write_text(good)
    assert check(file, wait=0) == 0
    capsys.readouterr()
    file.write_text(bad + bad.replace("gone,", "lost,"))
    assert check(file, wait=0) == 1
    assert "All of them: is there a network?" in capsys.readouterr().out


def test_the_doi_comes_first_and_is_quoted(tmp_path: Path) -> None:
    file = tmp_path / "some.bib"
    both = entry("a", "doi = {10.1/x<1>}, url = {https://b}")
    file.write_text(both + entry("b", "eprint = {1704.1}, archiveprefix = {arXiv}"))
    assert list(addresses(file)) == [
        ("a", "https://doi.org/10.1/x%3C1%3E"),
        ("b", "https://arxiv.org/abs/1704.1"),
    ]


def test_a_file_that_is_no_bibliography_is_named(tmp_path: Path) -> None:
    (tmp_path / "some.bib").write_text("@misc{a, title = ")
    with pytest.raises(ValueError, match=r"some\.bib cannot be read"):
        list(addresses(tmp_path / "some.bib"))
