"""Let the English and the Chinese edition lead to each other, if both are built.

The Chinese pages are copied into the English site, as its folder `zh`, so that one folder can be
published. Only there have the pages a link to the other language: each edition alone has none that
leads nowhere.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from book.tools.chapters.run import write_whole
from book.tools.pages.site import MARK, PagesError, put_in_place

FOLDER = "zh"
TOP = re.compile(r'(<article class="bd-article"[^>]*>)(<p class="edition">.*?</p>)?')


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
        raise PagesError(f"{page} has no article: did the theme change? See {__file__}")
    write_whole(text.encode("utf-8"), page)


def mark(site: Path) -> str:
    """Return what a finished site was built from, nothing if there is none."""
    return (site / MARK).read_text() if (site / MARK).is_file() else ""


def join(folder: Path) -> bool:
    """Join the editions under `folder`, if both are there, and tell whether they are.

    Raises
    ------
    PagesError
        If a page has no place for the link.
    """
    english, chinese = folder / "html", folder / FOLDER / "html"
    if not (mark(english) and mark(chinese)):
        return False
    inside = english / FOLDER
    if mark(inside) == mark(chinese):
        return True
    new = english / f"{FOLDER}.new"
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(chinese, new)
    for part in ("book", "notebooks"):
        for page in sorted((new / part).rglob("*.html")):
            name = page.relative_to(new)
            if (english / name).is_file():
                lead(english / name, inside / name, "中文版", "zh-CN")
                lead(page, english / name, "English", "en")
    put_in_place(new, inside)
    return True
