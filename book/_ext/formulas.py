"""Write formulas as MathML when the book is built; the browser draws and speaks it by itself.

So no page loads a program to draw formulas, and they are there without scripts, from the disk and
in print. The converter is that of docutils. What it does not know is a warning, and so an error of
the build; that it understands the rest as MathJax does is tested (tests/site/test_formulas.py).
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

LOGGER = logging.getLogger(__name__)
BARS = ("‖", "∣", "|")
# TeX takes one digit each for \frac12 and x^12; the converter would take both for the first.
DIGITS = re.compile(r"(\\[dt]?frac\s*|[_^])(\d)(?=\d)")
PRIMES = re.compile(r"(\\text\{[^}]*\})|('+)")
SECOND = re.compile(r"(\\[dt]?frac\s*\{\d\})(\d)")


def plainer(tex: str) -> str:
    """Return a formula in the TeX that the converter understands.

    Single digits get braces, because it would run them together; a' becomes a power.
    """
    tex = SECOND.sub(r"\1{\2}", DIGITS.sub(r"\1{\2}", tex))
    return PRIMES.sub(lambda match: match[1] or "^{" + r"\prime" * len(match[2]) + "}", tex)


def mathml(tex: str, block: bool = False) -> str:
    """Return a formula as MathML.

    Raises
    ------
    docutils.utils.math.MathError
        If the converter does not know a command.
    """
    written = tex2mathml(plainer(tex), as_block=block)
    # HTML needs no namespace; the line breaks would be white space between the signs.
    written = re.sub(r'\n\s*| xmlns="[^"]*"', "", written).replace("&ApplyFunction;", "\u2061")
    tree = ElementTree.fromstring(written)
    for parent in tree.iter():
        for place, bar in enumerate(parent):
            # The converter lets each bar grow; in TeX only those after \left and \right do.
            fence = parent.tag == "mrow" and place in (0, len(parent) - 1)
            if bar.text in BARS and not fence:
                bar.set("stretchy", "false")
    return ElementTree.tostring(tree, encoding="unicode", method="html")


def converted(node: nodes.math | nodes.math_block, block: bool) -> str:
    """Return a formula of a page as MathML; what cannot be converted is reported and shown."""
    try:
        return mathml(node.astext(), block)
    except MathError as problem:
        said = "The formula %s cannot be written as MathML: %s Write it in simpler TeX."
        LOGGER.warning(said, node.astext(), problem, location=node)
        return f"<code>{nodes.unescape(node.astext())}</code>"


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula that stands in a line."""
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    self.body.append(f"{converted(node, block=False)}</span>")
    raise nodes.SkipNode


def visit_math_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula that has a line of its own, and its number if it has one."""
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, _("Link to this equation"))
        self.body.append("</span>")
    self.body.append(f"{converted(node, block=True)}</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
