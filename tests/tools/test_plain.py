"""Editions read in Jupyter: their prose is plain Markdown, and nothing of it is lost."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import nbformat
import pytest
from markdown_it import MarkdownIt

from book.tools.chapters.keys import prose
from book.tools.chapters.run import Edition, find_notebooks, load
from book.tools.teach.notebooks import MAKERS
from book.tools.teach.plain import Plain, cited
from tests.tools.books import notebook, write, write_files

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = find_notebooks(ROOT)
BIBLIOGRAPHY = """
@article{doe2001,
  author = {Doe, Jane and van den Berg, Ann and Li, Bo},
  title = {Well-known {CT} facts}, journal = {A Journal}, year = {2001}, doi = {10.1/a(b)c}
}
@inproceedings{roe2002,
  author = {van Roe, Rik and Poe, Al}, title = {Others}, booktitle = {A Meeting}, year = {2002},
  url = {https://example.org/roe}
}
@book{zoe1999, author = {Zoe, Zed}, title = {A Book}, publisher = {Press}, year = {1999}}
"""
DOE, ROE = "https://doi.org/10.1/a(b)c", "https://example.org/roe"


@pytest.fixture
def plain(tmp_path: Path) -> Plain:
    """Words of a book of one chapter and one page."""
    pages = {"data.md": "(label)=\n# The data\n\n# No title\n", "teaching/letter.md": "# A letter"}
    write_files(tmp_path / "book", {**pages, "references.bib": BIBLIOGRAPHY})
    write(tmp_path / "notebooks" / "01_first.ipynb", "# First steps\n\nHow?")
    return Plain(tmp_path)


WORDS = {
    "So it is {cite:p}`doe2001`.": f"So it is ([Doe et al., 2001]({DOE})).",
    "So {cite}`zoe1999,roe2002`.": f"So (Zoe, 1999; [van Roe and Poe, 2002]({ROE})).",
    "{cite:t}`roe2002` say": f"[van Roe and Poe (2002)]({ROE}) say",
    "See {doc}`01_first`.": "See [First steps](01_first.ipynb).",
    "See {doc}`the start </notebooks/01_first>`.": "See [the start](01_first.ipynb).",
    "See {doc}`/book/data`.": "See *The data*.",
    "See {doc}`../book/teaching/letter`.": "See *A letter*.",
    "See {doc}`how to get it </book/data>`.": "See how to get it.",
    "The {term}`pool <Pool>` and the {term}`head`.": "The pool and the head.",
    "Write `{cite}`, or ``{a}`b` ``.": "Write `{cite}`, or ``{a}`b` ``.",
    "% A comment.\n(here)=\n## Title\n\nText.": "## Title\n\nText.",
    "Before.\n\n```{admonition} A title\n:class: note\nOne.\n\nTwo.\n```\n\nAfter.": (
        "Before.\n\n> **A title**\n>\n> One.\n>\n> Two.\n\nAfter."
    ),
    "```python\nx = 1  # {x}\n```": "```python\nx = 1  # {x}\n```",
}


def test_words_take_the_place_of_roles_and_directives(plain: Plain) -> None:
    assert {markdown: plain.text(markdown) for markdown in WORDS} == WORDS


def test_works_that_are_cited_are_listed_once_by_author(plain: Plain) -> None:
    given = notebook("{cite}`zoe1999,doe2001`", "{cite:t}`doe2001`")
    before, made = copy.deepcopy(given), plain.notebook(given)
    first, *_, last = prose(made)
    assert first == f"(Zoe, 1999; [Doe et al., 2001]({DOE}))"
    assert last == (
        "## References\n\n"
        "- Jane Doe, Ann van den Berg, and Bo Li. Well-known CT facts. *A Journal*, 2001. "
        f"[doi:10.1/a(b)c]({DOE}).\n"
        "- Zed Zoe. *A Book*. Press, 1999."
    )
    nbformat.validate(nbformat.from_dict(made))
    assert given == before
    assert plain.notebook(nothing := notebook("Nothing."))["cells"] == nothing["cells"]


def test_what_is_not_there_is_named(plain: Plain) -> None:
    with pytest.raises(ValueError, match=r"references\.bib has no entry 'nobody'"):
        plain.text("{cite}`nobody`")
    with pytest.raises(ValueError, match="names the document '/book/gone', which is not in the"):
        plain.text("{doc}`/book/gone`")


@pytest.mark.parametrize("kind", ["student", "teacher"])
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_myst_is_left_in_an_edition_and_its_links_lead_on(kind: str, path: Path) -> None:
    whole = MAKERS[kind](path, Edition(ROOT))
    keys = {key for text in prose(whole) for key in cited(text)}
    made = Plain(ROOT).notebook(whole)
    *others, last = prose(made)
    assert not re.findall(r"\{[\w:]+\}`|`{3,}\{|^\(.*\)=$|^%", "\n".join(others), flags=re.M)
    assert len(others) == len(prose(whole))
    assert len(re.findall(r"^- ", last, flags=re.M)) == len(keys) >= 3
    targets = [
        str(token.attrs["href"])
        for text in [*others, last]
        for block in MarkdownIt("commonmark").parse(text)
        for token in block.children or []
        if token.type == "link_open"
    ]
    beside = {name for name in targets if not name.startswith("https://")}
    assert beside <= {chapter.name for chapter in CHAPTERS}
    assert len(targets) > len(keys)
    nbformat.validate(nbformat.from_dict(made))


def test_every_chapter_reads_the_same_with_and_without_roles() -> None:
    """What stands between the roles is not touched."""
    plain = Plain(ROOT)
    for path in CHAPTERS:
        simple = [text for text in prose(load(path)) if "{" not in text]
        assert [*map(plain.text, simple)] == simple
