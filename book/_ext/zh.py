"""The role `{zh}`: Chinese words in an English page, tagged so that a screen reader reads them.

In the glossary a definition may begin with one; it is then shown beside the term, but is no part of
the term's name.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx.application import Sphinx

LANGUAGE = "zh-Hans"
# docutils turns a class of this form into an attribute `lang`.
CLASS = f"language-{LANGUAGE}"


def zh(
    _name: str, rawtext: str, text: str, _line: int, _inliner: Inliner, *_: Any, **__: Any
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """Return Chinese words as a node that says which language they are in."""
    return [nodes.inline(rawtext, text, classes=[CLASS])], []


def beside_terms(_app: Sphinx, document: nodes.document) -> None:
    """Move the Chinese at the beginning of a definition to the term that is defined."""
    for item in document.findall(nodes.definition_list_item):
        term, definition = item[0], item[-1]
        words = next(iter(definition.findall(nodes.inline)), None)
        if words is None or CLASS not in words["classes"] or words.parent.index(words) > 0:
            continue
        paragraph = words.parent
        paragraph.remove(words)
        if isinstance(rest := paragraph[0], nodes.Text):
            paragraph.replace(rest, nodes.Text(rest.lstrip()))
        term.insert(len(term), [nodes.Text(" "), words])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx; terms have their names when a document has been read."""
    app.add_role("zh", zh)
    app.connect("doctree-read", beside_terms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
