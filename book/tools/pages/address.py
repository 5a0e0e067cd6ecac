"""Write the address of the repository wherever it stands: `make address URL=https://…`.

    python book/tools/env.py -m book.tools.pages.address [https://github.com/OWNER/REPOSITORY]

Without an address it writes the present one again, which also brings the first cell of each chapter
up to date with the lock. Until the book has an address, its pages show no button that would lead
nowhere.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

from book.tools.chapters.keys import source
from book.tools.chapters.run import find_notebooks, load, write_whole

ROOT = Path(__file__).resolve().parents[3]
UNKNOWN = "https://github.com/OWNER/REPOSITORY"
ADDRESS = re.compile(r"https://github\.com/[\w.-]+/[\w.-]*[\w-]")
FILES = ("pyproject.toml", "_config.yml")
# What the chapters need and Colab has not got; all else there is Colab's own.
LACKING = ("fairlearn", "nibabel", "pot", "pydicom", "skada", "toml", "wfdb", "wordllama")
COLAB = """\
# On Colab this installs the book's package and what Colab lacks; elsewhere it does nothing.
import os

if "COLAB_RELEASE_TAG" in os.environ:
    package = "git+{address}"
    lacking = "{first}"
    lacking += " {rest}"
    get_ipython().run_line_magic("pip", f"install -q --no-deps {{package}} {{lacking}}")"""


def present(root: Path) -> str:
    """Return the address that the repository in `root` says it has."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    address: str = project["urls"]["Repository"]
    return address


def colab_cell(root: Path, address: str) -> str:
    """Return what the first cell of every chapter must say."""
    lock = dict(
        re.findall(r"^([\w-]+)==(\S+)", (root / "requirements.txt").read_text("utf-8"), re.M)
    )
    first, rest = (
        " ".join(f"{name}=={lock[name]}" for name in some) for some in (LACKING[:4], LACKING[4:])
    )
    return COLAB.format(address=address, first=first, rest=rest)


def with_colab_cell(notebook: Path, text: str) -> str:
    """Return the text of a notebook file in which the cell tagged `colab` reads `text`.

    Raises
    ------
    ValueError
        If there is not exactly one such cell.
    """
    content = load(notebook)
    cells = [c for c in content["cells"] if "colab" in c["metadata"].get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"{notebook.name}: {len(cells)} cells are tagged 'colab', not one")
    former = source(cells[0])
    cells[0]["source"] = text.splitlines(keepends=True)
    if former == text:
        return notebook.read_text("utf-8")
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def with_code(citation: str, address: str) -> str:
    """Return CITATION.cff with the address; a citation without one is better than a wrong one."""
    kept = re.sub(r"^repository-code: .*\n", "", citation, flags=re.M)
    return kept.replace("\ndate-released:", f"\nrepository-code: {address}\ndate-released:")


def stamp(root: Path, address: str) -> list[Path]:
    """Write `address` wherever the present one stands, and return the files that changed.

    Raises
    ------
    ValueError
        If it is no address of a GitHub repository, which Binder and Colab need.
    """
    if not ADDRESS.fullmatch(address):
        raise ValueError(f"{address!r} is not of the form {UNKNOWN}")
    former = present(root)
    texts = {
        root / name: (root / name).read_text("utf-8").replace(former, address) for name in FILES
    }
    cell = colab_cell(root, address)
    texts |= {path: with_colab_cell(path, cell) for path in find_notebooks(root)}
    if address != UNKNOWN:
        citation = root / "CITATION.cff"
        texts[citation] = with_code(citation.read_text("utf-8"), address)
    changed = [path for path, text in texts.items() if path.read_text("utf-8") != text]
    for path in changed:
        write_whole(texts[path].encode("utf-8"), path)
    return changed


def main(arguments: list[str]) -> None:
    """Stamp the repository and say what changed."""
    address = arguments[0].removesuffix("/").removesuffix(".git") if arguments else present(ROOT)
    try:
        changed = stamp(ROOT, address)
    except ValueError as problem:
        sys.exit(str(problem))
    print("\n".join(path.relative_to(ROOT).as_posix() for path in changed) or "Nothing to change.")


if __name__ == "__main__":
    main(sys.argv[1:])
