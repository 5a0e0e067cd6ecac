"""The Chinese edition, from the same sources.

    python book/tools/env.py -m book.tools.pages.chinese catalogues    what is to be translated
    python book/tools/env.py -m book.tools.pages.chinese pages         the pages

A page that is being translated has a catalogue in `book/locales/zh_CN`: what it says, and how that
is said in Chinese. To begin a page, name it: `catalogues book/data`. The second configuration there
is merged over `_config.yml`. If both editions are built, the Chinese pages are copied into the
English site, as its folder `zh`, so that one folder can be published. Only there have the pages a
link to the other language: each edition alone has none that leads nowhere.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from book.tools.chapters.run import Edition, write_whole
from book.tools.pages import site

ROOT = Path(__file__).resolve().parents[3]
LANGUAGE = "zh_CN"
HOME = Path("book", "locales", LANGUAGE)
CATALOGUES = HOME / "LC_MESSAGES"
FOLDER = "zh"
FORWARD = ("zh-CN", "医学诊断中的迁移学习", "进入本书首页")
TOP = re.compile(r'(<article class="bd-article"[^>]*>)(<p class="edition">.*?</p>)?')


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with changes, merged at every depth; lists are replaced."""
    out = dict(base)
    for name, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(out.get(name), Mapping)
        out[name] = merged(out[name], value) if both else value
    return out


def in_chinese(edition: Edition) -> dict[str, bytes]:
    """Return what Sphinx reads, with the second configuration and the catalogues."""
    files, root = site.staged(edition), edition.root
    changes = yaml.safe_load((root / HOME / "config.yml").read_text("utf-8"))
    config = merged(yaml.safe_load(files["_config.yml"]), changes)
    files["_config.yml"] = yaml.safe_dump(config, allow_unicode=True).encode()
    catalogues = sorted((root / HOME).rglob("*.po"))
    return files | {path.relative_to(root).as_posix(): path.read_bytes() for path in catalogues}


def build_chinese(edition: Edition) -> Path:
    """Build the Chinese pages if anything in them has changed, and return the first.

    Raises
    ------
    PagesError
        If Sphinx finds a fault, a translation with fewer links than its original for one.
    """
    return site.build_pages(edition, in_chinese(edition), edition.folder / FOLDER, FORWARD)


def templates(edition: Edition) -> Path:
    """Return a folder with what the pages of today say: one template of a catalogue for each.

    Raises
    ------
    PagesError
        If Sphinx finds a fault.
    """
    folder = edition.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    stage, work = folder / "gettext-stage", folder / "gettext"
    site.write_stage(in_chinese(edition), stage)
    # Else each catalogue would hold the minute when it was made.
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    site.sphinx(stage, work, folder / "gettext.log", "gettext")
    return work / "_build" / "gettext"


def begun(root: Path) -> list[str]:
    """Return the pages that have a catalogue, by their names without suffix."""
    home = root / CATALOGUES
    return [p.relative_to(home).with_suffix("").as_posix() for p in sorted(home.rglob("*.po"))]


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
        raise site.PagesError(f"No page is called {', '.join(missing)}. There are: {sorted(there)}")
    for page in there - wanted:
        (made / f"{page}.pot").unlink()
    locales = edition.root / HOME.parent
    update(str(locales), str(made), (LANGUAGE,), 100, ignore_obsolete=True, jobs=1)


def lead(page: Path, other: Path, words: str, language: str) -> None:
    """Put a link to the same page in the other language on top of a page.

    Raises
    ------
    PagesError
        If the page has no place for it.
    """
    href = os.path.relpath(other, page.parent).replace(os.sep, "/")
    tags = f'lang="{language}" hreflang="{language}"'
    link = f'<p class="edition"><a href="{href}" {tags}>{words}</a></p>'
    text, found = TOP.subn(rf"\g<1>{link}", page.read_text("utf-8"), count=1)
    if not found:
        raise site.PagesError(f"{page} has no article: did the theme change? See {__file__}")
    write_whole(text.encode("utf-8"), page)


def join(folder: Path) -> bool:
    """Join the editions under `folder`, if both are there, and tell whether they are.

    Raises
    ------
    PagesError
        If a page has no place for the link.
    """
    english, chinese = folder / "html", folder / FOLDER / "html"
    inside, new = english / FOLDER, english / f"{FOLDER}.new"
    built = [place / site.MARK for place in (english, chinese, inside)]
    first, second, joined = [mark.read_text() if mark.is_file() else "" for mark in built]
    if not (first and second) or joined == second:
        return bool(first and second)
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(chinese, new)
    for page in [*new.glob("book/**/*.html"), *new.glob("notebooks/*.html")]:
        name = page.relative_to(new)
        if (english / name).is_file():
            lead(english / name, inside / name, "中文版", "zh-CN")
            lead(page, english / name, "English", "en")
    site.put_in_place(new, inside)
    return True


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(prog="chinese", description="The Chinese edition.")
    parser.add_argument("what", choices=("catalogues", "pages"))
    parser.add_argument("new", nargs="*", help="pages that get a catalogue now: book/data")
    asked, edition = parser.parse_args(), Edition(ROOT)
    try:
        if asked.what == "catalogues":
            update_catalogues(edition, asked.new)
        else:
            page = build_chinese(edition)
            join(edition.folder)
            print(f"The Chinese edition is at {page.as_uri()}")
    except site.PagesError as problem:
        sys.exit(f"\n{problem}")


if __name__ == "__main__":
    main()
