"""The prose of a chapter outside Sphinx: its blocks, its sentences, and HTML for slides.

Sphinx alone resolves references. On a slide a citation becomes "(Author, year)", and any other
role of MyST becomes the words that a reader would see.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_role import myst_role_plugin
from pybtex.database import Entry, parse_file

# Lines that only MyST understands: comments, and labels before a heading.
UNSEEN = re.compile(r"^(?:%.*|\([\w-]+\)=)$\n?", flags=re.MULTILINE)
# A lower-case letter after the stop means an abbreviation.
STOP = re.compile(r"[.?!][\"*)]*\s+(?=[^\sa-z])")
TEXT_AND_TARGET = re.compile(r"^(.*?)\s*<([^<>]+)>$", flags=re.DOTALL)
ADMONITION = re.compile(r"`{3,}\{\w+\} *([^\n]*)\n(?::[^\n]*\n)*(.*?)\n`{3,}", flags=re.DOTALL)
KINDS = {"bullet_list_open": "list", "ordered_list_open": "list", "math_block": "formula"}


@dataclass(frozen=True)
class Block:
    """One block of prose.

    Attributes
    ----------
    kind
        "heading", "paragraph", "list", "formula", "table", "admonition", or what markdown-it
        calls it.
    text
        Its markdown; of a heading, the title alone.
    level
        Of a heading, the number of its #; else 0.
    items
        Of a list, the markdown of each point.
    ordered
        Whether a list is numbered.
    """

    kind: str
    text: str
    level: int = 0
    items: tuple[str, ...] = ()
    ordered: bool = False


def parser() -> MarkdownIt:
    """Return a parser for what the chapters use of MyST."""
    plain = MarkdownIt("commonmark").enable("table")
    return plain.use(dollarmath_plugin, double_inline=True).use(myst_role_plugin)


def points(tokens: Sequence[Token]) -> Iterator[str]:
    """Yield the text of each point of the list that these tokens begin with."""
    texts: list[str] = []
    for token in tokens:
        if token.type == "inline":
            texts.append(token.content.replace("\n", " "))
        elif token.type == "list_item_close" and token.level == 1:
            yield " ".join(texts)
            texts = []
        elif token.level == 0 and token.nesting == -1:
            return


def blocks(text: str) -> list[Block]:
    """Divide markdown into its top-level blocks."""
    text = UNSEEN.sub("", text)
    lines, tokens = text.splitlines(), parser().parse(text)
    found = []
    for i, token in enumerate(tokens):
        if token.level or token.nesting == -1 or token.map is None:
            continue
        if token.type == "heading_open":
            found.append(Block("heading", tokens[i + 1].content, int(token.tag[1])))
            continue
        kind = KINDS.get(token.type, token.type.removesuffix("_open"))
        items = tuple(points(tokens[i:])) if kind == "list" else ()
        source = "\n".join(lines[token.map[0] : token.map[1]]).strip()
        if token.info.startswith("{"):
            kind = "admonition"
        found.append(Block(kind, source, items=items, ordered=token.tag == "ol"))
    return found


def is_whole(text: str) -> bool:
    """Tell whether no emphasis, code, formula, quotation or bracket is left open."""
    even = all(text.count(mark) % 2 == 0 for mark in ("**", "*", "`", "$", '"'))
    return even and text.count("(") == text.count(")")


def sentences(paragraph: str) -> list[str]:
    """Divide a paragraph of markdown into its sentences."""
    text = " ".join(paragraph.split())
    found, start = [], 0
    for stop in STOP.finditer(text):
        if is_whole(text[start : stop.end()]):
            found.append(text[start : stop.end()].strip())
            start = stop.end()
    return [*found, text[start:]] if text[start:] else found


def authors(entry: Entry) -> str:
    """Return the names by which a text cites an entry."""
    people = entry.persons.get("author") or entry.persons.get("editor") or []
    names = [
        " ".join(str(part) for part in [*person.rich_prelast_names, *person.rich_last_names])
        for person in people
    ]
    if not names:
        return str(entry.fields.get("title", entry.key)).replace("{", "").replace("}", "")
    others = len(names) > 2 or names[-1] == "others"
    return f"{names[0]} et al." if others else " and ".join(names)


def keys_of(content: str) -> list[str]:
    """Return the keys that a role for citations names."""
    return [key.strip() for key in content.split(",")]


def citation(
    works: Iterable[Entry], *, in_text: bool, shown: Callable[[str, Entry], str] | None = None
) -> str:
    """Return works as a text cites them; `shown` makes of the words for one what stands there."""
    out = []
    for work in works:
        people, year = authors(work), work.fields.get("year", "undated")
        words = f"{people} ({year})" if in_text else f"{people}, {year}"
        out.append(shown(words, work) if shown else words)
    if in_text:
        return " and ".join(out)
    return f"({'; '.join(out)})" if out else ""


def bibliography(file: Path) -> Mapping[str, Entry]:
    """Return the entries of a BibTeX file, by their keys."""
    return dict(parse_file(str(file), bib_format="bibtex").entries)


class Prose:
    """Turns markdown of the book into HTML that stands alone.

    Parameters
    ----------
    works
        The BibTeX file whose keys the text cites.
    titles
        The title of each document that `{doc}` may name, by the last part of its path.
    """

    def __init__(self, works: Path, titles: Mapping[str, str]) -> None:
        self._entries = bibliography(works)
        self._titles = titles
        self._md = parser()
        rules: dict[str, Any] = cast(RendererHTML, self._md.renderer).rules
        rules["myst_role"] = self._role
        for kind in ("math_inline", "math_inline_double", "math_block"):
            rules[kind] = self._math

    def html(self, text: str) -> str:
        """Return blocks of markdown as HTML; an admonition as its title and its text."""
        if match := ADMONITION.fullmatch(text):
            return f"<p><strong>{self.line(match[1])}</strong></p>\n{self.html(match[2])}"
        return str(self._md.render(text)).strip()

    def line(self, text: str) -> str:
        """Return one line of markdown as HTML, without a paragraph around it."""
        return str(self._md.renderInline(text)).strip()

    def words(self, text: str) -> str:
        """Return one line of markdown as plain words, as for the title of a window."""
        return html.unescape(re.sub(r"<[^>]+>", "", self.line(text)))

    def cited(self, keys: str, *, in_text: bool) -> str:
        """Return citations as words; a key that the bibliography lacks is left out."""
        known = [self._entries[key] for key in keys_of(keys) if key in self._entries]
        return citation(known, in_text=in_text)

    def _role(self, tokens: Sequence[Token], index: int, *_rest: Any) -> str:
        name, content = tokens[index].meta["name"], tokens[index].content
        if name.startswith("cite"):
            return html.escape(self.cited(content, in_text=name == "cite:t"), quote=False)
        if match := TEXT_AND_TARGET.match(content):
            return html.escape(match[1], quote=False)
        last = content.rstrip("/").rpartition("/")[2]
        words = self._titles.get(last, last.replace("_", " ")) if name == "doc" else content
        return html.escape(words, quote=False)

    def _math(self, tokens: Sequence[Token], index: int, *_rest: Any) -> str:
        token = tokens[index]
        formula = html.escape(token.content.strip(), quote=False)
        if token.type == "math_inline":
            return rf'<span class="math">\({formula}\)</span>'
        return rf'<div class="math">\[{formula}\]</div>'
