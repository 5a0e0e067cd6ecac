"""Link the first use of each glossary term in each chapter to its entry.

The chapters in the repository know nothing of it: the links are put in when the pages are staged.
An entry may be preceded by lines that Sphinx takes for comments:

    .. forms: fine-tuning, fine-tune, fine-tuned
    .. not: a scanner, a body

The first says by which words the text calls the entry, if not by its own name; plurals and capital
letters are added. The second says where such words mean something else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from book.tools.chapters.keys import source

GLOSSARY = "book/glossary.md"
# What is no running prose. Whatever begins first hides what is inside.
NO_PROSE = re.compile(
    r"""
    ^(?P<fence>[`~:]{3,})[^\n]*\n .*? (?:^(?P=fence)[`~:]*[ \t]*$ | \Z)   # code, directives
    | ^[ ]{0,3}\#{1,6}[ ][^\n]*$                             # headings
    | ^[^\n]+\n(?:=+|-+)[ \t]*$                              # headings, underlined
    | ^[ ]{4,}[^\n]*$                                        # indented code
    | ^[ ]{0,3}\|[^\n]*$                                     # tables
    | ^%[^\n]*$                                              # comments
    | ^\([\w-]+\)=[ \t]*$                                    # targets
    | <!--.*?-->
    | <(?P<tag>div|table|details|figure|script|style|pre)\b.*?(?:</(?P=tag)>|\Z)
    | </?[a-zA-Z][^<>]*>
    | \$\$.*?\$\$ | (?<![\\$])\$(?![ $])[^$]*?\$
    | (?:\{[\w:.+-]+\})?(?P<ticks>(?<!`)`+)(?!`).*?(?<!`)(?P=ticks)(?!`)  # code, roles
    | !?\[(?:[^\[\]]|\[[^\[\]]*\])*\](?:\([^()\s]*(?:\s[^()]*)?\)|\[[^\[\]]*\]|\{[^{}]*\})?  # links
    | https?://\S+
    | \\.
    """,
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
# With a letter on its other side, emphasis beside a role would not be read as such.
CLINGS = re.compile(r"\w[*_]+$"), re.compile(r"[*_]+\w")


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
    inside = re.search(
        r"^(:{3,}|`{3,})\{glossary\}.*?\n(.*?)^\1", glossary, re.DOTALL | re.MULTILINE
    )
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
        for form in forms:
            for shape in (form, plural(form)):
                if known.setdefault(shape, term) != term:
                    raise ValueError(
                        f"In {GLOSSARY}, both {known[shape]!r} and {term!r} are called {shape!r}."
                    )
        known |= dict.fromkeys(other)
    # The longest first, and a space may be the end of a line.
    shapes = [
        _first_letter(form).replace(r"\ ", r"(?:[ ]|[ ]?\n[ ]{0,3})")
        for form in sorted(known, key=len, reverse=True)
    ]
    return Words(re.compile(rf"(?<![\w\-/.])(?:{'|'.join(shapes) or '(?!)'})(?![\w\-/])"), known)


def _first_letter(form: str) -> str:
    """Return a pattern for a form; one without capitals may begin a sentence."""
    if form == form.lower() and form[0].isalpha():
        return f"[{form[0]}{form[0].upper()}]{re.escape(form[1:])}"
    return re.escape(form)


def linked(text: str, wanted: Words, done: Set[str] = frozenset()) -> tuple[str, set[str]]:
    """Return Markdown with roles at the first use of each entry, and all entries that now have one.

    Parameters
    ----------
    text
        Markdown, of one cell for example.
    wanted
        From `words`.
    done
        Entries that are linked already, before this text.
    """
    have, out, at = set(done), [], 0
    for hidden in [*_hidden(text), (len(text), len(text))]:
        for match in wanted.pattern.finditer(text, at, hidden[0]):
            term = wanted.entry(match[0])
            clings = CLINGS[0].search(text[: match.start()]) or CLINGS[1].match(text, match.end())
            if term and term not in have and not clings:
                have.add(term)
                out += [text[at : match.start()], f"{{term}}`{match[0]} <{term}>`"]
                at = match.end()
        out.append(text[at : hidden[1]])
        at = hidden[1]
    return "".join(out), have


def _hidden(text: str) -> Iterable[tuple[int, int]]:
    """Yield where there is no running prose."""
    return (match.span() for match in NO_PROSE.finditer(text))


def _after_question(text: str) -> int:
    """Return where the text begins that comes after a chapter's title and question."""
    opening = re.match(r"\s*# [^\n]*\n+(?:[^\n]+(?:\n|$))*", text)
    return opening.end() if opening else 0


def with_terms_in(notebook: dict[str, Any], wanted: Words) -> dict[str, Any]:
    """Return a notebook whose prose leads to the glossary."""
    cells: list[dict[str, Any]] = []
    done: set[str] = set()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = source(cell)
            start = 0 if cells else _after_question(text)
            prose, done = linked(text[start:], wanted, done)
            cell = cell | {"source": text[:start] + prose}
        cells.append(cell)
    return notebook | {"cells": cells}


def with_terms(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return staged files in which each chapter's first use of a term leads to the glossary."""
    out = dict(files)
    if GLOSSARY not in files:
        return out
    wanted = words(files[GLOSSARY].decode("utf-8"))
    for page, content in files.items():
        if page.endswith(".ipynb"):
            notebook = with_terms_in(json.loads(content), wanted)
            out[page] = json.dumps(notebook, ensure_ascii=False).encode()
    return out
