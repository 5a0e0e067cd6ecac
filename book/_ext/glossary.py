"""The glossary: links from the chapters, and Chinese words beside its terms.

The first use of each term in each chapter leads to its entry. The chapters know nothing of it, and
Jupyter shows them as they are. An entry may be preceded by lines that Sphinx takes for comments:

    .. forms: fine-tuning, fine-tune, fine-tuned
    .. not: a scanner, a body

The first says by which words the text calls the entry, if not by its own name; plurals and capital
letters are added. The second says where such words mean something else.

The role `{zh}` tags Chinese words in an English page, so that a screen reader reads them. A
definition may begin with one; it is then shown beside the term, but is no part of its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import roles
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

GLOSSARY = "book/glossary.md"
LISTS = (nodes.bullet_list, nodes.enumerated_list, nodes.list_item)
BLOCKS = (nodes.document, nodes.section, nodes.block_quote, *LISTS)
EMPHASIS = (nodes.emphasis, nodes.strong)
CHINESE = "language-zh-Hans"  # docutils turns a class of this form into an attribute `lang`
TAG = re.compile(r"<(/?)(?:div|details|table|figure)\b")


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


def shapes(form: str) -> list[str]:
    """Return how a form may stand in a text; one without capitals may begin a sentence."""
    return [form, form[0].upper() + form[1:]] if form == form.lower() else [form]


def words(glossary: str) -> dict[str, str | None]:
    """Return what to look for, and the entry that it belongs to; None if it means something else.

    Raises
    ------
    ValueError
        If two entries claim the same form.
    """
    known: dict[str, str | None] = {}
    for term, (forms, other) in entries(glossary).items():
        for form in [*forms, *map(plural, forms)]:
            if known.setdefault(form, term) != term:
                raise ValueError(
                    f"In {GLOSSARY}, both {known[form]!r} and {term!r} are called {form!r}."
                )
        known |= dict.fromkeys(other)
    return {shape: term for form, term in known.items() for shape in shapes(form)}


def pattern(wanted: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for these forms, the longest first; a space may be the end of a line."""
    longest = sorted(map(re.escape, wanted), key=len, reverse=True)
    every = "|".join(longest).replace(r"\ ", r"\s")
    return re.compile(rf"(?<![\w\-/.])(?:{every})(?![\w\-/])")


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
    runs = groupby(element.children, lambda node: isinstance(node, nodes.Text))
    whole = [[nodes.Text("".join(run))] if is_text else list(run) for is_text, run in runs]
    element[:] = [child for run in whole for child in run]
    for child in element.children:
        if isinstance(child, nodes.Text):
            yield child
        elif isinstance(child, EMPHASIS):
            yield from plain(child)


def link(shown: str, term: str, page: str) -> pending_xref:
    """Return the reference that the role `{term}` would make."""
    target = {"refdomain": "std", "reftype": "term", "reftarget": term, "refdoc": page}
    words = nodes.inline(shown, " ".join(shown.split()), classes=["xref", "std", "std-term"])
    return pending_xref(shown, words, refexplicit=True, refwarn=True, **target)


def link_terms(
    paragraph: nodes.paragraph, wanted: Mapping[str, str | None], done: set[str], page: str
) -> None:
    """Link the first use of each entry that is not yet `done`, and add it to these."""
    linkable = {id(text) for text in plain(paragraph)}
    whole = "".join(paragraph.findall(nodes.Text))
    matches = pattern(wanted).finditer(whole)
    found = [(match, wanted[" ".join(match[0].split())]) for match in matches]
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


def beside_terms(_app: Sphinx, document: nodes.document) -> None:
    """Move the Chinese at the beginning of a definition to the term that is defined."""
    for item in document.findall(nodes.definition_list_item):
        term, definition = item[0], item[-1]
        words = next(iter(definition.findall(nodes.inline)), None)
        if words is None or CHINESE not in words["classes"] or words.parent.index(words) > 0:
            continue
        paragraph = words.parent
        paragraph.remove(words)
        if isinstance(rest := paragraph[0], nodes.Text):
            paragraph.replace(rest, nodes.Text(rest.lstrip()))
        term.insert(len(term), [nodes.Text(" "), words])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.add_role("zh", roles.CustomRole("zh", roles.generic_custom_role, {"class": [CHINESE]}))
    # Terms have their names when a document has been read.
    app.connect("doctree-read", beside_terms)
    app.add_transform(LinkTerms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
