"""The field's word is the book's word: none of our own stands in a lesson, a note or a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What must not be said, as far as the meaning is the wrong one, and what is said instead.
WORDS = {
    r"\brulers?\b": "scaler, or measurement of size",
    r"\bheaps?\b": "pooled data",
    r"(?<!kidney )\bstones?\b|(?<!time )\bstamps?\b|\bcommoner\b": "majority-class baseline",
    r"\b(the|its|their|whose|same) looks\b": "class-conditional distribution",
    r"\bropes?\b|\bpegs?\b": "penalty, or anchor",
    r"\bprior shift\b": "label (prevalence) shift",
    r"(?<!say )\bmeasurement shift\b|\bshift of measurement\b": "acquisition shift",
    r"(?<!ethics )\bcommittees?\b": "ensemble",
    r"(?<!d the )(?<!of the )(?<!in the )(?<!whole-)(?<!share a )\bbod(y|ies)\b"
    r"(?! (mass|of a|and lung))": "backbone",
    r"(?<!left )(?<!right )(?<!\")\barms?\b(?! of (a|the) trial)": "strategy",
    r"(?<!real[ -])(?<!whole )(?<!in the )\bworlds?\b(?! health)": "simulated replicate",
    r"(?<!to be )\bmend(s|ed|ing)?\b": "fix",
    r"\bfaults?\b": "pitfall; of data or of a program: defect, error",
    r"\b(its|the|their) reach\b|\breach of\b": "margin of error",
    r"\bpaces?\b(?! was)": "learning-rate multiplier",
    r"\b(the|two|same|its) judges?\b": "test set",
    r"(?<!model )(?<!graphics )(?<!data )\bcards?\b": "checklist",
    r"\bcoins?\b": "chance",
    r"\bcrowds?\b|\bstreets?\b(?!(,| they grew))": "population",
    r"\bfresh(ly)? start(s|ed)?\b": "training from scratch",
    r"(?-i:\bRecipe\b|\bHold\()": "training configuration, penalty",
}


# In code `faults` are what is wrong with a file, a value or a notebook.
IN_CODE = WORDS.keys() - {r"\bfaults?\b"}
# Pages, programs and their tests also have a body, a stamp, cards.
IN_TOOLS = [word for word in IN_CODE if not re.search("bod|stamps|cards", word)]


def code(*folders: str) -> Iterator[tuple[str, str]]:
    """Yield what stands in each program of some folders: names, docstrings and comments."""
    for path in (path for folder in folders for path in ROOT.glob(f"{folder}/**/*.py")):
        if path != Path(__file__):
            yield str(path.relative_to(ROOT)), path.read_text("utf-8")


def tables() -> Iterator[tuple[str, str]]:
    """Yield what the stored tables call things; a record says what ran, under its old names."""
    for path in ROOT.glob("book/results/*.csv"):
        yield path.name, path.read_text("utf-8")


def texts() -> Iterator[tuple[str, str]]:
    """Yield where a reader reads, and what: pages, notes, and all that a lesson says or shows."""
    folders = ("", "book/", "book/teaching/", "benchmarks/")
    for path in (path for folder in folders for path in ROOT.glob(f"{folder}*.md")):
        if path.stem != "changelog":  # it says what was there
            yield str(path.relative_to(ROOT)), path.read_text("utf-8")
    for path in ROOT.glob("notebooks/*.ipynb"):
        for number, cell in enumerate(json.loads(path.read_text("utf-8"))["cells"]):
            yield f"{path.stem}, cell {number}", "".join(cell["source"])
            outputs = [(o.get("text"), o.get("metadata")) for o in cell.get("outputs", [])]
            yield f"{path.stem}, output {number}", json.dumps(outputs, ensure_ascii=False)


def offenders(text: str, words: Iterable[str] = WORDS) -> Iterator[str]:
    """Yield each wrong word of a text with some of what stands around it, and the right one."""
    spaced = re.sub(r"[\s_]+", " ", text)  # names in code are words, too
    for wrong in words:
        for found in re.finditer(wrong, spaced, flags=re.IGNORECASE):
            around = spaced[max(found.start() - 30, 0) : found.end() + 20]
            yield f"{found[0]!r} in {around!r}: say {WORDS[wrong]}"


def test_each_wrong_word_is_found_and_no_right_use_of_it() -> None:
    wrong = (
        "The new_ruler and a frozen body, an arm, the coin, two worlds, a committee. Prior shift!"
    )
    right = (
        "The body of a patient; real-world data; a model card; they reach 0.9; it looks so; armour."
    )
    assert len([*offenders(wrong)]) == 7
    assert [*offenders(right)] == []


def test_the_field_s_words_are_the_book_s() -> None:
    found = [f"{where}: {fault}" for where, text in texts() for fault in offenders(text)]
    assert not found, "\n" + "\n".join(found)


def test_code_and_tables_use_the_field_s_words_too() -> None:
    taught = [*code("medxfer_utils", "book/studies", "benchmarks")]
    found = [f"{where}: {fault}" for where, text in taught for fault in offenders(text, IN_CODE)]
    tools = [*code("book/tools", "book/_ext", "tests")]
    found += [f"{where}: {fault}" for where, text in tools for fault in offenders(text, IN_TOOLS)]
    found += [f"{where}: {fault}" for where, text in tables() for fault in offenders(text)]
    assert not found, "\n" + "\n".join(found)
