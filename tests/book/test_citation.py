"""The citation is that of CITATION.cff, which agrees with the package and with the changelog."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from book.tools.pages.citation import ASKED, NEEDED, about, citation, with_citation

ROOT = Path(__file__).resolve().parents[2]
CFF = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_version_and_title_agree_everywhere() -> None:
    assert CFF["version"] == PROJECT["version"]
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    readme = (ROOT / "README.md").read_text("utf-8")
    first = (ROOT / "book" / "index.md").read_text("utf-8")
    assert config["title"] == CFF["title"]
    assert {text.splitlines()[0] for text in (readme, first)} == {f"# {CFF['title']}"}
    assert CFF["title"] in PROJECT["description"]


def test_the_changelog_begins_with_what_is_unreleased_and_then_this_version() -> None:
    page = (ROOT / "book" / "changelog.md").read_text("utf-8")
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert headings[:2] == ["Unreleased", f"{CFF['version']} ({CFF['date-released']})"]
    titles = [part.removeprefix("**").split(",")[0] for part in re.findall(r"\*\*\d\d,", page)]
    chapters = sorted(path.name[:2] for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert sorted(titles) == chapters


def test_the_page_has_a_sentence_and_an_entry_made_from_the_file() -> None:
    page = {"book/cite.md": (ROOT / "book" / "cite.md").read_bytes()}
    text = with_citation(page, ROOT)["book/cite.md"].decode()
    assert ASKED not in text
    assert (
        "> The authors of Transfer Learning for Medical Diagnosis (2026). "
        "*Transfer Learning for Medical Diagnosis* (version 0.1.0).\n" in text
    )
    entry = text.split("```bibtex\n")[1].split("\n```")[0]
    assert "author  = {{The authors of Transfer Learning for Medical Diagnosis}}," in entry
    assert entry.splitlines()[0] == "@software{medxfer2026,"
    assert f"version = {{{CFF['version']}}}" in entry


def test_no_doi_is_invented() -> None:
    page = {"book/cite.md": (ROOT / "book" / "cite.md").read_bytes()}
    text = with_citation(page, ROOT)["book/cite.md"].decode()
    assert re.findall(r"10\.\d{4,9}/\S+", text) == ([CFF["doi"]] if "doi" in CFF else [])


def test_people_are_joined_and_groups_are_braced() -> None:
    known = CFF | {"authors": [{"family-names": "Ada", "given-names": "L."}, {"name": "A group"}]}
    text = citation(known)
    assert "> Ada, L.; A group (2026)." in text
    assert "author  = {Ada, L. and {A group}}," in text


def test_the_address_is_given_once_there_is_one() -> None:
    assert "url" not in citation({key: CFF[key] for key in NEEDED})
    text = citation({**CFF, "repository-code": "https://github.com/a/b"})
    assert "(version 0.1.0). <https://github.com/a/b>\n" in text
    assert "  year    = {2026},\n  url     = {https://github.com/a/b}\n}" in text


def test_only_a_page_that_asks_gets_it() -> None:
    files = {"a.md": b"x\n% citation now\n", "b.txt": b"\n% citation\n"}
    assert with_citation(files, ROOT) == files


@pytest.mark.parametrize(
    ("text", "message"),
    [("title: A\nversion: 1", "does not say: authors, date-released"), ("a: [", "cannot be read")],
)
def test_a_file_that_lacks_something_says_what(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "CITATION.cff").write_text(text)
    with pytest.raises(ValueError, match=rf"CITATION\.cff {message}"):
        about(tmp_path / "CITATION.cff")
