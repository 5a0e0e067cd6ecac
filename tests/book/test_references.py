"""The bibliography is complete and used, and its addresses are asked politely."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pybtex.database import Entry, parse_file

from book.tools.chapters import keys
from book.tools.chapters.run import find_notebooks, load
from book.tools.pages.references import report
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
    for path in find_notebooks(ROOT):
        yield from keys.prose(load(path))


def test_every_entry_is_cited_and_every_citation_has_an_entry() -> None:
    roles = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", "\n".join(prose()))
    cited = {key.strip() for role in roles for key in role.split(",")}
    assert cited == set(ENTRIES)
    assert {file.citation for file in REGISTRY.values()} <= cited


def test_a_count_comes_last_and_without_a_network_all_are_silent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fine = {"uri": "https://a", "filename": "a.md", "status": "working", "code": 0, "info": ""}
    lost = fine | {"status": "broken", "info": "Failed to resolve 'a'"}
    assert report([fine, fine | {"status": "redirected", "code": 302}]) == 0
    assert capsys.readouterr().out == "\n2 addresses asked, 0 of them missing or silent.\n"
    assert report([lost, lost]) == 1
    assert "All of them: is there a network?" in capsys.readouterr().out
