"""Every symbol in a formula of the chapters is explained, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from book.tools.chapters.keys import prose
from book.tools.chapters.run import find_notebooks, load

ROOT = Path(__file__).resolve().parents[2]
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", re.DOTALL)
# Between two symbols, and not one: brackets, fractions, spaces.
COMMANDS = (
    "mid frac tfrac sqrt log min hat lVert rVert lvert rvert left right quad qquad cdot "
    "leftarrow sum nabla"
)
SYMBOL = re.compile(r"\\([A-Za-z]+)(?:_([A-Za-z]))?|([A-Za-z])(?:_([A-Za-z]))?")
# A formula in a sentence: Greek letters, and letters with something below.
IN_PROSE = re.compile(r"[α-ωΑ-Ω](?:_[a-z]+)?|\b[A-Za-z]_[A-Z]\b|[a-z]₀")
ROW = re.compile(r"^\| (.+?) \| .+ \| \{doc\}`(\w+) <\.\./notebooks/(\w+)>` \|$", re.MULTILINE)


def of_formula(text: str) -> Iterator[str]:
    r"""Yield the symbols of a formula in LaTeX, as `\theta_S` or `p`."""
    plain = re.sub(r"\\(text|mathrm)\{[^}]*\}", "", text)
    for command, below, letter, under in SYMBOL.findall(plain):
        if command not in COMMANDS.split():
            name, index = (f"\\{command}", below) if command else (letter, under)
            yield f"{name}_{index}" if index else name


def symbols(text: str) -> list[str]:
    """Return the symbols of a text in Markdown, in formulas first."""
    formulas = [formula for pair in FORMULA.findall(text) for formula in pair if formula]
    found = [symbol for formula in formulas for symbol in of_formula(formula)]
    return found + IN_PROSE.findall(FORMULA.sub("", re.sub(r"`[^`]*`", "", text)))


@cache
def uses() -> dict[str, str]:
    """Return the lesson that first uses each symbol, by the stem of its file."""
    first: dict[str, str] = {}
    for path in find_notebooks(ROOT):
        text = "\n\n".join(prose(load(path))[1:])
        # A heading names what its section explains, so it is not the first use.
        for symbol in symbols(re.sub(r"^#.*$", "", text, flags=re.MULTILINE)):
            first.setdefault(symbol, path.stem)
    return first


def test_the_page_explains_exactly_the_symbols_of_the_lessons_and_where_they_come_first() -> None:
    page = (ROOT / "book" / "notation.md").read_text("utf-8")
    rows = [(symbols(row), number, stem) for row, number, stem in ROW.findall(page)]
    # θ and λ in a sentence are the same letters as in a formula.
    explained = {symbol: stem for found, _, stem in rows for symbol in found}
    assert set(explained) == set(uses())
    assert {s: stem for s, stem in explained.items() if s not in "θλ" and uses()[s] != stem} == {}
    assert all(stem.startswith(f"{number}_") for _, number, stem in rows)
