"""What the Chinese edition needs beyond Sphinx's own translation of messages.

A page says at its top how much of it is translated. What is not stays English, and is tagged so for
screen readers. The answers of a quiz can be translated, although they are HTML. What a chapter
computes is left out of the catalogues: it may differ from run to run.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes, locale
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.writers.html5 import HTML5Translator

SUMMARY = re.compile(r"(?<=<summary>)(.*?)(?=</summary>)", re.DOTALL)
PROGRESS = "translated.json"
# What a cell says of itself in its metadata, which catalogues do not hold.
PROMPTS = {"Show the solution": "显示解答", "Hide the solution": "隐藏解答"}


class Choice(nodes.General, nodes.TextElement):  # type: ignore[misc]
    """What stands between <summary> and </summary>."""


def nothing(_writer: HTML5Translator, _node: Choice) -> None:
    """Write no tag: they are in the HTML around."""


def pieces(raw: nodes.raw) -> Iterator[nodes.Node]:
    """Yield HTML in pieces, so that what is to be translated stands by itself."""
    for number, text in enumerate(SUMMARY.split(raw.astext())):
        choice = Choice(text, html.unescape(text))
        piece = choice if number % 2 else nodes.raw("", text, format="html")
        piece.source, piece.line = raw.source or "quiz", raw.line
        yield piece


class ShowAndHide(SphinxTransform):
    """Show translators the answers of quizzes; hide from them formulas and what was computed."""

    default_priority = 5  # before Sphinx looks for messages

    def apply(self, **_: Any) -> None:
        for raw in list(self.document.findall(nodes.raw)):
            if SUMMARY.search(raw.astext()):
                raw.parent.replace(raw, list(pieces(raw)))
        for cell in self.document.findall(nodes.container):
            if "cell_output" in cell["classes"]:
                for text in cell.findall(nodes.TextElement):
                    text["translatable"] = False
                for image in cell.findall(nodes.image):
                    image["kept_alt"] = image.attributes.pop("alt", None)
        for formula in self.document.findall(nodes.math_block):
            formula["translatable"] = False
        for image in self.document.findall(nodes.image):
            image["original_alt"] = image.get("alt")


class CountPictures(SphinxTransform):
    """Count a picture whose description is translated, which Sphinx does not."""

    default_priority = 22  # after the translation (20), before the count (25)

    def apply(self, **_: Any) -> None:
        for image in self.document.findall(nodes.image):
            original = image.attributes.pop("original_alt", None)
            if "translated" in image:
                image["translated"] = image.get("alt") != original


class Finish(SphinxTransform):
    """Describe figures again, tag what is translated, and translate what opens a solution."""

    default_priority = 30  # after the count (25)

    def apply(self, **_: Any) -> None:
        if self.app.builder.name == "gettext":
            return
        tag = f"language-{self.config.language.replace('_', '-')}"
        for node in self.document.findall(nodes.Element):
            if alt := node.attributes.pop("kept_alt", None):
                node["alt"] = alt
            if node.get("translated") and not isinstance(node, Choice):
                node["classes"].append(tag)
        for cell in self.document.findall(nodes.container) if share(self.document) else ():
            for name in {"prompt_show", "prompt_hide"} & cell.attributes.keys():
                cell[name] = PROMPTS.get(cell[name], cell[name])


def translate_captions(app: Sphinx, document: nodes.document) -> None:
    """Translate the captions of the chapter list, which comes into the first page last."""
    if app.builder.name == "gettext":
        return
    folders = [str(Path(app.srcdir, folder)) for folder in app.config.locale_dirs]
    catalogue, _ = locale.init(folders, app.config.language, app.env.docname)
    for tree in document.findall(addnodes.toctree):
        tree.preserve_original_messages()
        for message in tree.extract_original_messages():
            tree.apply_translated_message(message, catalogue.gettext(message))


def share(document: nodes.document | None) -> float:
    """Return which share of a page is translated, from 0 to 1."""
    progress = document.get("translation_progress") if document is not None else None
    return progress["translated"] / progress["total"] if progress and progress["total"] else 0.0


def percent(part: float) -> str:
    """Return a share in percent; only what is complete has 100, only nothing has 0."""
    return f"{min(max(round(100 * part), 1), 99) if 0 < part < 1 else round(100 * part)} %"


def notice(part: float) -> str:
    """Return the line on top of a page that is not all Chinese."""
    if part == 1:
        return ""
    said = f"本页已译 {percent(part)}，其余为英文。" if part else "本页尚未翻译，以下为英文。"
    return f'<p class="translation" lang="zh-CN">{said}</p>\n'


def table(app: Sphinx) -> str:
    """Return how much of each page is translated, in HTML."""
    order = [app.config.root_doc, *sorted(app.env.found_docs - {app.config.root_doc})]
    rows = [
        f"<tr><td>{html.escape(app.env.titles[name].astext())}</td><td>{percent(part)}</td></tr>"
        for name in order
        if (part := share(app.env.get_doctree(name)))
    ]
    head = "<tr><th>页面</th><th>已译</th></tr>"
    title = '<p class="translation" lang="zh-CN">译文进度（未列出的页面尚未翻译）：</p>'
    return f'{title}<table lang="zh-CN"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'


def say_what_is_translated(
    app: Sphinx, page: str, _template: str, context: dict[str, Any], document: nodes.document | None
) -> None:
    """Add the notice, and on the first page the table; tag what is left in English."""
    if document is None:
        return
    body, part = context["body"], share(document)
    if part < 1:
        body = f'{notice(part)}<div lang="en">{body}</div>'
    if page == app.config.root_doc:
        body += table(app)
    context["body"] = body


def write_progress(app: Sphinx, problem: Exception | None) -> None:
    """Store the share of each page, for the tests."""
    if problem is None and app.builder.format == "html":
        shares = {name: share(app.env.get_doctree(name)) for name in sorted(app.env.found_docs)}
        Path(app.outdir, PROGRESS).write_text(json.dumps(shares, indent=1), "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.add_node(Choice, html=(nothing, nothing))
    for transform in (ShowAndHide, CountPictures, Finish):
        app.add_transform(transform)
    # Before Sphinx (500) collects the list that sphinx-external-toc has put in.
    app.connect("doctree-read", translate_captions, priority=200)
    app.connect("html-page-context", say_what_is_translated)
    app.connect("build-finished", write_progress)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
