"""The citation is that of CITATION.cff, which agrees with the package and with the changelog."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from docutils import nodes

from book.tools.pages.citation import NEEDED, about, citation
from tests.tools.tiny import Tiny

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
    lessons = {path.name[:2] for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}
    assert set(re.findall(r"\*\*(\d\d)\*\*", page)) == lessons


def test_the_page_has_a_sentence_and_an_entry_made_from_the_file(tmp_path: Path) -> None:
    files = {name: (ROOT / name).read_text("utf-8") for name in ("book/cite.md", "CITATION.cff")}
    page = Tiny(tmp_path, files, "generated").page("book/cite")
    (quote,), (entry,) = page.findall(nodes.block_quote), page.findall(nodes.literal_block)
    assert quote.astext() == (
        "The authors of Transfer Learning for Medical Diagnosis (2026). "
        "Transfer Learning for Medical Diagnosis (version 0.1.0)."
    )
    assert (entry["language"], entry.astext().splitlines()[0]) == (
        "bibtex",
        "@software{medxfer2026,",
    )
    group = "author  = {{The authors of Transfer Learning for Medical Diagnosis}},"
    assert group in entry.astext()
    assert f"version = {{{CFF['version']}}}" in entry.astext()
    # No DOI is invented.
    assert re.findall(r"10\.\d{4,9}/\S+", page.astext()) == ([CFF["doi"]] if "doi" in CFF else [])


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


def test_a_file_that_lacks_something_says_what(tmp_path: Path) -> None:
    for text, message in (
        ("title: A\nversion: 1", "does not say: authors, date-released"),
        ("a: [", "cannot be read"),
    ):
        (tmp_path / "CITATION.cff").write_text(text)
        with pytest.raises(ValueError, match=rf"CITATION\.cff {message}"):
            about(tmp_path / "CITATION.cff")
