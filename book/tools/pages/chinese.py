"""The Chinese edition, from the same sources.

    python book/tools/env.py -m book.tools.pages.chinese catalogues    what is to be translated
    python book/tools/env.py -m book.tools.pages.chinese pages         the pages

A page that is being translated has a catalogue in `book/locales/zh_CN`: what it says, and how that
is said in Chinese. To begin a page, name it: `catalogues book/data`. The second configuration there
is merged over `_config.yml`. The links to the glossary are left out: they would move from message
to message as the text changes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from book.tools.chapters.run import Edition
from book.tools.pages.languages import join
from book.tools.pages.site import FORWARD, PagesError, build_pages, gathered, sphinx, write_stage

ROOT = Path(__file__).resolve().parents[3]
LANGUAGE = "zh_CN"
HOME = Path("book", "locales", LANGUAGE)
CATALOGUES = HOME / "LC_MESSAGES"


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with changes, merged at every depth; lists are replaced."""
    out = dict(base)
    for name, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(out.get(name), Mapping)
        out[name] = merged(out[name], value) if both else value
    return out


def in_chinese(files: Mapping[str, bytes], root: Path) -> dict[str, bytes]:
    """Return staged files with the second configuration and the catalogues."""
    changes = yaml.safe_load((root / HOME / "config.yml").read_text("utf-8"))
    config = merged(yaml.safe_load(files["_config.yml"]), changes)
    out = {**files, "_config.yml": yaml.safe_dump(config, allow_unicode=True).encode()}
    for path in sorted((root / HOME).rglob("*.po")):
        out[path.relative_to(root).as_posix()] = path.read_bytes()
    return out


def build_chinese(edition: Edition) -> Path:
    """Build the Chinese pages if anything in them has changed, and return the first.

    Raises
    ------
    PagesError
        If Sphinx finds a fault, a translation with fewer links than its original for one.
    """
    forward = FORWARD.replace('"en"', '"zh-CN"')
    forward = forward.replace("Transfer Learning for Medical Diagnosis", "医学诊断中的迁移学习")
    forward = forward.replace("To the first page of the book", "进入本书首页")
    files = in_chinese(gathered(edition), edition.root)
    return build_pages(edition, files, edition.folder / "zh", forward)


def templates(edition: Edition) -> Path:
    """Return a folder with what the pages of today say: one template of a catalogue for each.

    Raises
    ------
    PagesError
        If Sphinx finds a fault.
    """
    folder = edition.folder / "zh"
    folder.mkdir(parents=True, exist_ok=True)
    stage, work = folder / "gettext-stage", folder / "gettext"
    write_stage(in_chinese(gathered(edition), edition.root), stage)
    # Else each catalogue would hold the minute when it was made.
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    sphinx(stage, work, folder / "gettext.log", "gettext")
    return work / "_build" / "gettext"


def begun(root: Path) -> list[str]:
    """Return the pages that have a catalogue, by their names without suffix."""
    home = root / CATALOGUES
    return [
        path.relative_to(home).with_suffix("").as_posix() for path in sorted(home.rglob("*.po"))
    ]


def update_catalogues(edition: Edition, new: Sequence[str] = ()) -> None:
    """Bring the catalogues up to today's text; what changed keeps its translation, marked fuzzy.

    Parameters
    ----------
    edition
        The book.
    new
        Pages that get a catalogue now, such as `book/data`.

    Raises
    ------
    PagesError
        If there is no such page, or Sphinx finds a fault.
    """
    from sphinx_intl.basic import update

    made = templates(edition)
    there = {path.relative_to(made).with_suffix("").as_posix() for path in made.rglob("*.pot")}
    wanted = {*begun(edition.root), *new}
    if missing := sorted(wanted - there):
        raise PagesError(f"No page is called {', '.join(missing)}. There are: {sorted(there)}")
    for page in there - wanted:
        (made / f"{page}.pot").unlink()
    locales = edition.root / HOME.parent
    update(str(locales), str(made), (LANGUAGE,), 100, ignore_obsolete=True, jobs=1)


def main(arguments: list[str]) -> int:
    """Do what the command line asks for, and return the exit status."""
    edition = Edition(ROOT)
    try:
        if arguments[:1] == ["catalogues"]:
            update_catalogues(edition, arguments[1:])
        elif arguments == ["pages"]:
            page = build_chinese(edition)
            join(edition.folder)
            print(f"The Chinese edition is at {page.as_uri()}")
        else:
            print("Say catalogues or pages.", file=sys.stderr)
            return 2
    except PagesError as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
