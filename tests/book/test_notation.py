"""Every symbol in a formula of the chapters is explained, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", re.DOTALL)
# Between two symbols, and not one: brackets, fractions, spaces.
COMMANDS = "mid frac tfrac lVert rVert min qquad cdot"
SYMBOL = re.compile(r"\\([A-Za-z]+)(?:_([A-Za-z]))?|([A-Za-z])(?:_([A-Za-z]))?")
# A formula in a sentence: Greek letters, and letters with something below.
IN_PROSE = re.compile(r"[α-ωΑ-Ω](?:_[a-z]+)?|\b[A-Za-z]_[A-Z]\b|[a-z]₀")
ROW = re.compile(r"^\| (.+?) \| (.+?) \| (.*?) ?\| <a href=\"(.+?)\">(.+?)</a> \|$", re.MULTILINE)


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
    """Return where each symbol is first used: "02, A section"."""
    first: dict[str, str] = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        section = ""
        for cell in json.loads(path.read_text("utf-8"))["cells"][1:]:
            if cell["cell_type"] != "markdown":
                continue
            # A heading names what its section explains, so it is not the first use.
            for part in re.split(r"^(?=#)", "".join(cell["source"]), flags=re.MULTILINE):
                heading, _, prose = part.partition("\n") if part.startswith("#") else ("", "", part)
                if heading.startswith("## "):
                    section = heading.removeprefix("## ")
                for symbol in symbols(prose):
                    first.setdefault(symbol, f"{path.name[:2]}, {section}")
    return first


def explained() -> dict[str, tuple[str, str]]:
    """Return the link and the words for the first use of each symbol, as the page gives them."""
    page = (ROOT / "book" / "notation.md").read_text("utf-8")
    return {
        symbol: (link, words)
        for row, _, _, link, words in ROW.findall(page)
        for symbol in symbols(row)
    }


def test_the_page_explains_exactly_the_symbols_of_the_chapters() -> None:
    assert set(uses()) == set(explained())
    assert len(uses()) > 20


def test_each_symbol_is_linked_to_its_first_use() -> None:
    # θ and λ in a sentence are the same letters as in a formula, which came first.
    same = {"θ": "\\theta", "λ": "\\lambda"}
    wanted = {symbol: uses()[same.get(symbol, symbol)] for symbol in explained()}
    assert {symbol: words for symbol, (_, words) in explained().items()} == wanted


def test_the_link_leads_where_its_words_say() -> None:
    for link, words in explained().values():
        page, _, place = link.partition("#")
        chapter, _, section = words.partition(", ")
        assert re.fullmatch(rf"\.\./notebooks/{chapter}_\w+\.html", page)
        assert place == re.sub(r"[^a-z0-9]+", "-", section.lower()).strip("-")


def test_what_counts_as_a_symbol() -> None:
    text = r"$p(y \mid x)$ and $$\min_\theta\; L_T + \tfrac12\lVert\theta_S\rVert^2, \text{w}$$"
    assert set(symbols(text)) == {"p", "y", "x", "\\theta", "\\theta_S", "L_T"}
    prose = symbols("½‖θ − θ_source‖², λ · L_A, w₀, `y_B`, a word")
    assert prose == ["θ", "θ_source", "λ", "L_A", "w₀"]
