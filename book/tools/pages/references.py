"""Ask whether the addresses on the pages and in the bibliography answer: `make references`.

    python book/tools/env.py -m book.tools.pages.references

It needs a network. Sphinx's linkcheck asks, for the head of a page alone where that is enough, as
`_config.yml` says. A publisher that turns away visitors without a browser is no fault, but a person
should look; that a DOI is not registered is one.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from book.tools.chapters.run import Edition
from book.tools.pages.site import PagesError, sphinx, staged, write_stage

ROOT = Path(__file__).resolve().parents[3]
REFUSED = re.compile("unauthorized|(401|403|429) Client Error")
FAULTS = ("missing", "silent")


def verdict(found: Mapping[str, object]) -> str:
    """Return what became of an address, given Sphinx's record of it; nothing if all is well."""
    if found["status"] == "broken":
        info = str(found["info"])
        return "refused" if REFUSED.match(info) else "missing" if "Error: " in info else "silent"
    moved = found["status"] == "redirected" and found["code"] in (301, 308)
    return "moved" if moved else "silent" if found["status"] == "timeout" else ""


def report(records: Sequence[Mapping[str, object]]) -> int:
    """Print what a person should look at, and a count; return 1 if an address does not answer."""
    asked = [found for found in records if found["status"] not in ("ignored", "unchecked", "local")]
    said = [(verdict(found), found) for found in asked]
    for word, found in sorted(((w, f) for w, f in said if w), key=lambda pair: pair[0]):
        print(f"{word:<9}{found['uri']}  ({found['filename']})  {found['info']}")
    faults = sum(word in FAULTS for word, _ in said)
    print(f"\n{len(asked)} addresses asked, {faults} of them missing or silent.")
    if faults == len(asked) > 1:
        print("All of them: is there a network?")
    return 1 if faults else 0


def records(stage: Path, folder: Path) -> list[dict[str, object]]:
    """Return what Sphinx says of each address in `stage`, which is read as a book.

    Raises
    ------
    PagesError
        If the book cannot be read.
    """
    said = folder / "work" / "_build" / "linkcheck" / "output.json"
    try:
        sphinx(stage, folder / "work", folder / "log", "linkcheck")
    except PagesError:
        if not said.is_file():  # otherwise the fault is an address
            raise
    return [json.loads(line) for line in said.read_text("utf-8").splitlines()]


def main() -> int:
    """Check the addresses of the book, or say why not."""
    edition = Edition(ROOT, committed=True)
    folder = edition.folder.with_name("references")
    print("Asking each address; this takes some minutes.", flush=True)
    try:
        write_stage(staged(edition), folder / "stage")
        return report(records(folder / "stage", folder))
    except PagesError as problem:
        print(problem, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
