"""Build the pages from the prose and the chapters that have been run.

Everything that Sphinx reads is first put together in memory, so that one digest of it tells
whether there is anything to do. Sphinx then works in a folder of its own, and only a finished
site takes the place of the former one, by renaming.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from book.tools.chapters.keys import code_cells
from book.tools.chapters.run import Edition, find_notebooks, load, stored_statistics, with_outputs
from book.tools.pages.pictures import PLOT, asked_for

HERE = Path(__file__).resolve().parents[3]
MARK = ".built-from"
OF_ROOT = ("_config.yml", "CITATION.cff")
RUNS = "book/runs.json"  # what was measured of each chapter, for the pages that show it
# Parts of book/ that are no pages: what the chapters read, where it comes from, and the tools.
NOT_STAGED = ("results", "studies", "tools", "locales")
# Jupyter Book's own forwarding page has no title and nothing to click on.
FORWARD = """<!doctype html>
<html lang="{}">
<head><meta charset="utf-8"><title>{}</title>
<meta http-equiv="refresh" content="0; url=book/index.html"></head>
<body><main><h1><a href="book/index.html">{}</a></h1></main></body>
</html>
"""
IN_ENGLISH = ("en", "Transfer Learning for Medical Diagnosis", "To the first page of the book")


class PagesError(Exception):
    """The pages cannot be built; the message says why."""


def carry_figures(cell: dict[str, Any]) -> None:
    """Give a figure's alt text, width and kind to MyST-NB, which looks for them in the cell."""
    for output in cell["outputs"]:
        about = output.get("metadata", {}).get("image/png", {})
        image = {name: about[name] for name in ("alt", "width") if name in about}
        if "width" in image:
            image["width"] = f"{image['width']}px"
        if about.get("kind") == "plot":
            image["classes"] = PLOT
        if image:
            cell["metadata"].setdefault("mystnb", {})["image"] = image


def page_of(notebook: Path, edition: Edition) -> bytes:
    """Return the notebook as Sphinx shall see it: today's prose, the outputs of its run.

    A chapter without a fitting run (possible only if other chapters alone were asked for) is
    shown as it is in the repository.
    """
    content = load(notebook)
    if edition.stored(notebook).is_file():
        content = with_outputs(content, load(edition.stored(notebook))) or content
    for cell in code_cells(content):
        carry_figures(cell)
    return json.dumps(content, ensure_ascii=False).encode()


def staged(edition: Edition) -> dict[str, bytes]:
    """Return all that Sphinx reads, as path and content."""
    root, chapters = edition.root, find_notebooks(edition.root)
    files = {name: (root / name).read_bytes() for name in OF_ROOT if (root / name).is_file()}
    for path in sorted((root / "book").rglob("*")):
        inside = path.relative_to(root / "book")
        hidden = any(part.startswith((".", "__pycache__")) for part in inside.parts)
        if path.is_file() and not hidden and inside.parts[0] not in NOT_STAGED:
            files[path.relative_to(root).as_posix()] = path.read_bytes()
    files |= {f"notebooks/{path.name}": page_of(path, edition) for path in chapters}
    rehearsed = replace(edition, profile="fast")  # if there was a rehearsal
    runs = {
        profile: {path.stem: stored_statistics(of.stored(path)) for path in chapters}
        for profile, of in (("full", edition), ("fast", rehearsed))
    }
    files[RUNS] = json.dumps(runs).encode()
    return files | asked_for(files, root, root / "_build" / "pictures")


def fingerprint(files: dict[str, bytes], root: Path) -> str:
    """Return one digest of all that decides what the pages look like."""
    # The page about the package is written from its docstrings; the tools write some of the others.
    code = [*(root / "medxfer_utils").rglob("*.py"), *(HERE / "book" / "tools").rglob("*.py")]
    own = [root / "requirements.txt", *sorted(code)]
    digest = hashlib.sha256()
    for name, content in [*files.items(), *((path.name, path.read_bytes()) for path in own)]:
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def write_stage(files: dict[str, bytes], stage: Path) -> None:
    """Write exactly these files under `stage`."""
    shutil.rmtree(stage, ignore_errors=True)
    for name, content in files.items():
        path = stage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def sphinx(stage: Path, work: Path, log: Path, builder: str = "html") -> None:
    """Build the pages of `stage` into `work/_build/BUILDER`; any warning is an error.

    Raises
    ------
    PagesError
        With Sphinx's warnings and errors.
    """
    shutil.rmtree(work, ignore_errors=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += [str(stage), "--toc", str(stage / "book/_toc.yml"), "--path-output", str(work)]
    if builder != "html":
        command += ["--builder", "custom", "--custom-builder", builder]
    command += ["-W", "-n", "--keep-going"]
    with log.open("w", encoding="utf-8") as out:
        # From here the extensions find the tools.
        done = subprocess.run(command, cwd=HERE, stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode == 0:
        return
    said = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text("utf-8")).replace(f"{stage}/", "")
    faults = [line for line in said.splitlines() if re.search(r"WARNING|ERROR|[Ee]rror:", line)]
    raise PagesError("\n".join(faults or said.splitlines()[-15:]) + f"\nWhole log: {log}")


def put_in_place(new: Path, site: Path) -> None:
    """Let a finished site take the place of the former one."""
    former = site.with_name(site.name + ".former")
    shutil.rmtree(former, ignore_errors=True)
    if site.exists():
        site.rename(former)
    new.rename(site)
    shutil.rmtree(former, ignore_errors=True)


def recover(site: Path) -> None:
    """Put the former site back, if a build was cut off between the two renames."""
    former = site.with_name(site.name + ".former")
    if former.exists() and not site.exists():
        former.rename(site)


def build_pages(
    edition: Edition,
    files: dict[str, bytes] | None = None,
    folder: Path | None = None,
    forward: tuple[str, str, str] = IN_ENGLISH,
) -> Path:
    """Build the site of an edition if anything in it has changed, and return its first page.

    Parameters
    ----------
    edition
        Whose runs are shown.
    files
        What Sphinx reads; `staged(edition)` if not given.
    folder
        Where the site is kept, as `html`; the edition's own folder if not given.
    forward
        What the page says that leads to the first one: its language, its title, its link.

    Raises
    ------
    PagesError
        If Sphinx finds a fault. The former site stays where it is.
    """
    folder = folder or edition.folder
    site = folder / "html"
    folder.mkdir(parents=True, exist_ok=True)
    recover(site)
    files = files or staged(edition)
    mark = fingerprint(files, edition.root)
    first = site / "index.html"
    if (site / MARK).is_file() and (site / MARK).read_text() == mark:
        return first
    print("Building the pages", flush=True)
    write_stage(files, folder / "stage")
    sphinx(folder / "stage", folder / "sphinx", folder / "sphinx.log")
    new = folder / "sphinx" / "_build" / "html"
    (new / "index.html").write_text(FORWARD.format(*forward), "utf-8")
    (new / MARK).write_text(mark)
    put_in_place(new, site)
    return first
