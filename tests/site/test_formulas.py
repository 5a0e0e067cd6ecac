"""Every formula of the book means in MathML what MathJax, another converter, takes it for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest
from formulas import mathml
from playwright.sync_api import Browser, Page

from book.tools.chapters.keys import prose
from book.tools.chapters.run import find_notebooks, load

ROOT = Path(__file__).resolve().parents[2]
FORMULA = re.compile(r"(?<!\\)\$\$(.+?)\$\$|(?<![\\$])\$(?!\s)([^$\n]+?)(?<!\s)\$(?!\d)", re.DOTALL)
# Tags that stand for a place in the formula; all others only hold signs together.
PLACES = {"mfrac", "msqrt", "mroot", "msub", "msup", "msubsup", "munder", "mover", "munderover"}
PLACES |= {"mtable", "mtr", "mtd"}
SAME = str.maketrans({"∥": "‖", "∣": "|", "ˆ": "^", "’": "'"})
TRICKY = [
    r"\tfrac12 x^12", r"\frac1n", r"\frac{a}2", r"\dfrac{1}{2}", r"\sqrt{x_i^2 + 1}",
    r"\left| c \right|",
    r"\lVert a \rVert_2", r"\sum_{i=1}^n x_i", r"\hat{y} \in \{0, 1\}", r"\mathbb{R}^d", r"a_{ij}'",
    r"f''(x) \text{ isn't } g",
    r"\operatorname{logit}(p) = \log\frac{p}{1-p}",
    r"\begin{aligned} a &= b \\ c &= d \end{aligned}",
]  # fmt: skip


class Meaning(HTMLParser):
    """The signs of a formula in their places, without what only looks different."""

    def __init__(self, written: str) -> None:
        super().__init__()
        self.said = ""
        self.feed(written)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.said += f"{tag}(" if tag in PLACES else ""

    def handle_endtag(self, tag: str) -> None:
        self.said += ")" if tag in PLACES else ""

    def handle_data(self, data: str) -> None:
        plain = unicodedata.normalize("NFKC", data)  # a letter in another alphabet is that letter
        self.said += re.sub(r"[\s\u2061-\u2064]", "", plain).translate(SAME)


def texts() -> Iterator[str]:
    """Yield the prose of all pages and chapters, without code."""
    for path in sorted((ROOT / "book").glob("*.md")):
        yield re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for path in find_notebooks(ROOT):
        yield from prose(load(path))


def formulas() -> list[tuple[str, bool]]:
    """Return every formula of the book, and whether it has a line of its own."""
    plain = (re.sub(r"`[^`]*`", "", text) for text in texts())
    found = [match.groups() for text in plain for match in FORMULA.finditer(text)]
    return sorted({((block or line).strip(), bool(block)) for block, line in found})


@pytest.fixture(scope="module")
def mathjax(browser: Browser) -> Iterator[Page]:
    """Return an empty page with MathJax."""
    spec = find_spec("sphinx-mathjax-offline")
    assert spec is not None
    assert spec.origin is not None
    page = browser.new_page()
    page.add_script_tag(path=Path(spec.origin).parent / "static" / "mathjax" / "tex-chtml-full.js")
    page.evaluate("() => MathJax.startup.promise")
    yield page
    page.close()


def faults(page: Page, found: list[tuple[str, bool]]) -> list[tuple[str, str, str]]:
    """Return formulas that the two converters take for different things."""
    ask = "([tex, display]) => MathJax.tex2mml(tex, {display})"
    pairs = [(tex, mathml(tex, own), page.evaluate(ask, [tex, own])) for tex, own in found]
    both = [(tex, Meaning(ours).said, Meaning(theirs).said) for tex, ours, theirs in pairs]
    return [(tex, ours, theirs) for tex, ours, theirs in both if ours != theirs]


def test_formulas_of_the_book_mean_what_mathjax_takes_them_for(mathjax: Page) -> None:
    found = formulas()
    assert len(found) > 20
    assert faults(mathjax, found) == []


def test_tricky_formulas_mean_what_mathjax_takes_them_for(mathjax: Page) -> None:
    assert faults(mathjax, [(tex, False) for tex in TRICKY]) == []


def test_a_bar_grows_only_where_it_is_told_to() -> None:
    assert mathml(r"\lVert a \rVert").count('stretchy="false"') == 2
    assert mathml(r"\left\| a \right\|").count('stretchy="false"') == 0
