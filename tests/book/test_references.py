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
import yaml
from pybtex.database import Entry, parse_file

from book.tools.pages.references import records, report
from book.tools.pages.site import PagesError
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


def test_an_entry_has_people_title_year_venue_and_address() -> None:
    incomplete = []
    for key, entry in ENTRIES.items():
        fields = {name for name, value in entry.fields.items() if value.strip()}
        whole = set(entry.persons) & {"author", "editor"} and fields >= {"title", "year"}
        found = bool(fields & {"doi", "url", "eprint"})
        if not (whole and fields & VENUES and found is (key not in NO_ADDRESS)):
            incomplete.append(key)
    assert incomplete == []


def test_years_dois_and_addresses_have_their_form() -> None:
    wrong = [
        key
        for key, fields in ((key, entry.fields) for key, entry in ENTRIES.items())
        if not re.fullmatch(r"(19|20)\d\d", fields["year"])
        or not re.match(rf"[a-z]+{fields['year']}[a-z0-9]*$", key)
        or not re.fullmatch(r"10\.\d{4,9}/[^\s{}\\]+", fields.get("doi", "10.1000/1"))
        or not re.fullmatch(r"https://[^\s{}]+", fields.get("url", "https://a"))
    ]
    assert wrong == []


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


class Server(BaseHTTPRequestHandler):
    """Each path answers in its own way; of /silent the connection is closed."""

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        if self.path == "/silent":
            return
        codes = {"/moved": 301, "/10.1/here": 302, "/gone": 404, "/10.1/gone": 302, "/door": 403}
        ahead = self.command == "HEAD" and self.path == "/no-head"
        self.send_response(405 if ahead else codes.get(self.path, 200))
        if self.path in ("/moved", "/10.1/here"):
            self.send_header("Location", "/new")
        if self.path == "/10.1/gone":
            self.send_header("Location", "/gone")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()


def test_each_answer_has_its_verdict(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = ("here", "moved", "gone", "door", "no-head", "10.1/here", "10.1/gone", "silent")
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["sphinx"]["config"]
    asking = {name: value for name, value in config.items() if name.startswith("linkcheck")}
    assert re.match(asking.pop("linkcheck_ignore")[0], server), "this machine is not asked"
    stage = tmp_path / "stage"
    (stage / "book").mkdir(parents=True)
    (stage / "_config.yml").write_text(yaml.safe_dump({"sphinx": {"config": asking}}))
    (stage / "book" / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    links = "\n".join(f"[{path}]({server}/{path})" for path in paths)
    (stage / "book" / "index.md").write_text(f"# A page\n\n{links}\n")
    assert report(records(stage, tmp_path)) == 1
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {(words[0], words[1].removeprefix(server)) for words in said if len(words) > 2} == {
        ("moved", "/moved"), ("missing", "/gone"), ("refused", "/door"), ("missing", "/10.1/gone"),
        ("silent", "/silent"), (f"{len(paths)}", "addresses"),
    }  # fmt: skip


def test_a_count_comes_last_and_without_a_network_all_are_silent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fine = {"uri": "https://a", "filename": "a.md", "status": "working", "code": 0, "info": ""}
    lost = fine | {"status": "broken", "info": "Failed to resolve 'a'"}
    assert report([fine, fine | {"status": "redirected", "code": 302}]) == 0
    assert capsys.readouterr().out == "\n2 addresses asked, 0 of them missing or silent.\n"
    assert report([lost, lost]) == 1
    assert "All of them: is there a network?" in capsys.readouterr().out


def test_a_book_that_cannot_be_read_is_no_fault_of_an_address(tmp_path: Path) -> None:
    (tmp_path / "stage" / "book").mkdir(parents=True)
    with pytest.raises(PagesError, match="RuntimeError"):
        records(tmp_path / "stage", tmp_path)
