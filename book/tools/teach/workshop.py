"""Pack what the students of a workshop need into one file: `make workshop`.

    python book/tools/env.py -m book.tools.teach.workshop

It holds the notebooks for students, the package, the stored results that the chapters draw, the
part of the lock that is needed, and `start.py`. The same book gives the same bytes.
"""

from __future__ import annotations

import html
import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from book.tools.chapters.keys import source
from book.tools.chapters.run import find_notebooks, load, write_whole
from book.tools.teach.exercises import title
from book.tools.teach.locked import student_lock
from book.tools.teach.notebooks import student
from book.tools.teach.plain import Plain

ROOT = Path(__file__).resolve().parents[3]
NAME = "medxfer-workshop"
KIT = Path(__file__).with_name("kit")
ALONE = ("CITATION.cff", "LICENSE", "LICENSE-TEXT", "pyproject.toml")
TOOLS = ("env.py", "uv.txt")
CHAPTERS = "<!-- chapters -->"
FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of the calendar that a zip file knows


def folder_files(folder: Path) -> Iterator[Path]:
    """Yield the files under a folder, without what Python has left there."""
    for path in sorted(folder.rglob("*")):
        inside = path.parent.relative_to(folder).parts
        if path.is_file() and not any(part.startswith((".", "__")) for part in inside):
            yield path


def question(notebook: Path) -> str:
    """Return the sentence below the title of a chapter."""
    paragraphs = re.split(r"\n\s*\n", source(load(notebook)["cells"][0]))
    return " ".join(paragraphs[1].split()) if len(paragraphs) > 1 else ""


def start_page(root: Path) -> str:
    """Return the page that says what is here, with its list of chapters."""
    items = [
        f'<li><a href="notebooks/{path.name}">{html.escape(title(load(path)))}</a><br>'
        f"{html.escape(question(path))}</li>"
        for path in find_notebooks(root)
    ]
    return (KIT / "start.html").read_text("utf-8").replace(CHAPTERS, "\n".join(items))


def contents(root: Path) -> dict[str, bytes]:
    """Return all files of the kit, as path and content.

    Raises
    ------
    ValueError
        If a chapter cannot be made for students, or the lock lacks a package.
    """
    kept = [*folder_files(root / "medxfer_utils")]
    kept += [p for p in folder_files(root / "book" / "results") if p.suffix != ".py"]
    kept += [root / name for name in ALONE] + [root / "book" / "tools" / name for name in TOOLS]
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in kept}
    plain = Plain(root)
    for notebook in find_notebooks(root):
        made = plain.notebook(student(load(notebook)))
        text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
        files[f"notebooks/{notebook.name}"] = text.encode("utf-8")
    files["requirements.txt"] = student_lock(root).encode("utf-8")
    files["start.html"] = start_page(root).encode("utf-8")
    alone = [KIT / "README.md", KIT / "start.py", *folder_files(KIT / "jupyter")]
    files |= {path.relative_to(KIT).as_posix(): path.read_bytes() for path in alone}
    return files


def packed(files: dict[str, bytes]) -> bytes:
    """Return a zip file of these files in one folder; the same files give the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{NAME}/{name}", FIRST_DAY)
            entry.create_system = 3  # whatever this system is
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)
    return out.getvalue()


def pack(root: Path) -> Path:
    """Write the kit of the book in `root` and return where it is."""
    place = root / "_build" / "workshop" / f"{NAME}.zip"
    write_whole(packed(contents(root)), place)
    return place


def main() -> int:
    """Pack the kit and say where it is."""
    try:
        place = pack(ROOT)
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 1
    print(f"The workshop kit ({place.stat().st_size / 1e6:.1f} MB) is {place}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
