"""Link the first use of each glossary term in each chapter to its entry.

The chapters know nothing of it, and Jupyter shows them as they are. An entry may be preceded by
lines that Sphinx takes for comments:

    .. forms: fine-tuning, fine-tune, fine-tuned
    .. not: a scanner, a body

The first says by which words the text calls the entry, if not by its own name; plurals and capital
letters are added. The second says where such words mean something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

GLOSSARY = "book/glossary.md"
BLOCKS = (nodes.document, nodes.section, nodes.list_item, nodes.block_quote)
BLOCKS += (nodes.bullet_list, nodes.enumerated_list)
EMPHASIS = (nodes.emphasis, nodes.strong)
TAG = re.compile(r"<(/?)(?:div|details|table|figure)\b")


@dataclass(frozen=True)
class Words:
    """What to look for in a text: one pattern, and the entry that each form belongs to."""

    pattern: re.Pattern[str]
    entries: Mapping[str, str | None]

    def entry(self, found: str) -> str | None:
        """Return the entry that was found, None for words that mean something else."""
        flat = " ".join(found.split())
        return self.entries.get(flat, self.entries.get(flat[0].lower() + flat[1:]))


def entries(glossary: str) -> dict[str, tuple[list[str], list[str]]]:
    """Return each entry of the glossary with its forms, and with the words that are not meant."""
    inside = re.search(r"^(:{3,})\{glossary\}.*?\n(.*?)^\1", glossary, re.DOTALL | re.MULTILINE)
    said: dict[str, list[str]] = {}
    found = {}
    for line in (inside[2] if inside else "").splitlines():
        if note := re.fullmatch(r"\.\. (forms|not): (.*)", line):
            said[note[1]] = [form.strip() for form in note[2].split(",")]
        elif line and not line[0].isspace():
            found[line.strip()] = (said.get("forms", [line.strip()]), said.get("not", []))
            said = {}
    return found


def plural(form: str) -> str:
    """Return the regular plural."""
    if re.search(r"[^aeiou]y$", form):
        return form[:-1] + "ies"
    return form + ("es" if form.endswith(("s", "x", "ch", "sh")) else "s")


def words(glossary: str) -> Words:
    """Return what to look for, from the text of the glossary.

    Raises
    ------
    ValueError
        If two entries claim the same form.
    """
    known: dict[str, str | None] = {}
    for term, (forms, other) in entries(glossary).items():
        for shape in [shape for form in forms for shape in (form, plural(form))]:
            if known.setdefault(shape, term) != term:
                raise ValueError(
                    f"In {GLOSSARY}, both {known[shape]!r} and {term!r} are called {shape!r}."
                )
        known |= dict.fromkeys(other)
    # The longest first, and a space may be the end of a line.
    longest = sorted(known, key=len, reverse=True)
    shapes = "|".join(_pattern(form).replace(r"\ ", r"\s") for form in longest)
    return Words(re.compile(rf"(?<![\w\-/.])(?:{shapes})(?![\w\-/])"), known)


def _pattern(form: str) -> str:
    """Return a pattern for a form; one without capitals may begin a sentence."""
    if form == form.lower() and form[0].isalpha():
        return f"[{form[0]}{form[0].upper()}]{re.escape(form[1:])}"
    return re.escape(form)


def prose(document: nodes.document) -> Iterator[nodes.paragraph]:
    """Yield what is running prose: no outputs, boxes, tables, quizzes or other HTML of our own."""

    def among_blocks(node: nodes.Node) -> bool:
        above = node.parent
        return above is None or (isinstance(above, BLOCKS) and among_blocks(above))

    tags = 0  # of our own HTML that are open
    for node in document.findall(lambda n: isinstance(n, nodes.raw | nodes.paragraph)):
        if not among_blocks(node):
            continue
        if isinstance(node, nodes.raw):
            tags += sum(-1 if closing else 1 for closing in TAG.findall(node.astext()))
        elif not tags:
            yield node


def plain(element: nodes.Element) -> Iterator[nodes.Text]:
    """Yield the text of a paragraph that is neither code, formula nor link, joining its lines."""
    children: list[nodes.Node] = []
    for is_text, each in groupby(element.children, lambda node: isinstance(node, nodes.Text)):
        children += [nodes.Text("".join(each))] if is_text else list(each)
    element[:] = children
    for child in children:
        if isinstance(child, nodes.Text):
            yield child
        elif isinstance(child, EMPHASIS):
            yield from plain(child)


def link(shown: str, term: str, page: str) -> pending_xref:
    """Return the reference that the role `{term}` would make."""
    target = {"refdomain": "std", "reftype": "term", "reftarget": term, "refdoc": page}
    words = nodes.inline(shown, shown, classes=["xref", "std", "std-term"])
    return pending_xref(shown, words, refexplicit=True, refwarn=True, **target)


def link_terms(paragraph: nodes.paragraph, wanted: Words, done: set[str], page: str) -> None:
    """Link the first use of each entry that is not yet `done`, and add it to these."""
    linkable = {id(text) for text in plain(paragraph)}
    whole = "".join(paragraph.findall(nodes.Text))
    found = [(match, wanted.entry(match[0])) for match in wanted.pattern.finditer(whole)]
    end = 0
    for text in list(paragraph.findall(nodes.Text)):
        at, end = end, end + len(text)
        pieces: list[nodes.Node] = []
        for match, term in found if id(text) in linkable else ():
            if term and term not in done and at <= match.start() and match.end() <= end:
                done.add(term)
                pieces += [nodes.Text(whole[at : match.start()]), link(match[0], term, page)]
                at = match.end()
        text.parent.replace(text, [*pieces, nodes.Text(whole[at:end])])


class LinkTerms(SphinxTransform):
    """Link the terms of a chapter, but for its question; a translation has other words."""

    default_priority = 860  # after quotation marks (750), before the page counts as read (880)

    def apply(self, **_: Any) -> None:
        page = self.env.docname
        if not page.startswith("notebooks/") or self.config.language != "en":
            return
        wanted = words(Path(self.env.srcdir, GLOSSARY).read_text("utf-8"))
        done: set[str] = set()
        for paragraph in list(prose(self.document))[1:]:
            link_terms(paragraph, wanted, done, page)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.add_transform(LinkTerms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
