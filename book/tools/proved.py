"""Run the tests of what has changed since it was proved: the last part of `make test`.

    python book/tools/env.py -m book.tools.proved

Tests stand in groups: those of a file, or of one lesson in a file. While they run, `tests/conftest`
has it noted which files of the repository and of the built pages each group opens, which folders it
lists, and whether it starts a process. With the code that it imports, this is what a group looks
at. If all of it passes, a digest of each part is kept in `_build/proved`, and the group is left out
until one of them changes. ALL=1 in the environment leaves out none; nor does a folder without Git.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from book.tools.chapters.keys import code_cells, digest, needed, patients_here, read, source
from book.tools.chapters.run import Edition, write_whole
from book.tools.teach.exercises import ExerciseError
from book.tools.teach.notebooks import student

ROOT = Path(__file__).resolve().parents[2]
DUE = "MEDXFER_DUE"  # tells tests/conftest.py to leave out what is proved
# The tests of a file share a run of a chapter, a site or a browser, and stay in one process. Long
# runs go first, so that both processes are busy to the end.
PYTEST = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile"]
PYTEST += ["--no-loadscope-reorder", "--durations", "15"]
EVERYWHERE = ("requirements.txt", "pyproject.toml", "tests/conftest.py", "book/tools/proved.py")
PAGES = "_build/proof/html/"
LISTED = ("os.scandir", "os.listdir")
TEXTS = (".md", ".ipynb", ".po", ".bib")  # what a process does not read unless it is told to
# A run of a lesson has a key of its own, and its tests do not ask which other lessons there are.
OF_OTHERS = ("list ", "start", "open medxfer_utils/", "open book/results/")
# What each group, "FILE, fixtures" and "FILE, imported" have looked at: "open NAME", "list NAME" …
SEEN: dict[str, set[str]] = defaultdict(set)


def group_of(test: str) -> str:
    """Return the group of a test, from its identifier: its file, and its lesson if it has one."""
    path, _, case = test.partition("::")
    lessons = ROOT / "notebooks"
    names = [n for n in re.findall(r"\w+", case) if (lessons / f"{n}.ipynb").is_file()]
    return " ".join([path, *names[:1]])


@cache
def tracked() -> dict[str, None]:
    """Return the repository's files in order, those not yet added, too; none without Git."""
    ask = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "--deduplicate"]
    try:
        done = subprocess.run(ask, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return dict.fromkeys(n for n in sorted(done.stdout.splitlines()) if (ROOT / n).is_file())


def inside(path: Any) -> str:
    """Return the name of a file or a folder in the repository, or nothing."""
    place = os.path.abspath(os.fsdecode(path)) if isinstance(path, str | bytes | Path) else ""
    above = f"{ROOT}{os.sep}"
    return place.removeprefix(above).replace(os.sep, "/") if place.startswith(above) else ""


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what is opened, listed or started, and by whom: a hook for `sys.addaudithook`."""
    what = ""
    if event == "subprocess.Popen":
        what = "" if "playwright" in str(arguments[:2]) else "start"  # a browser asks our server
    elif event == "open" and (name := inside(arguments[0])):
        what = f"open {name}" if name in tracked() or name.startswith(PAGES) else ""
    elif event in LISTED and (name := inside(arguments[0])):
        what = "" if name.startswith((".", "_build")) else f"list {name}"
    for who in askers() if what else ():
        SEEN[who].add(what)


def askers() -> Iterator[str]:
    """Yield the files that are being imported just now, and the group that is being tested."""
    frame = sys._getframe()
    while above := frame.f_back:
        frame = above
        if frame.f_code.co_name == "<module>":
            yield f"{inside(frame.f_code.co_filename)}, imported"
    test, _, phase = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")
    # What a fixture makes, all tests of a file may use.
    yield group_of(test) if phase == "(call)" else f"{test.partition('::')[0]}, fixtures"


@cache
def imports(file: str) -> frozenset[str]:
    """Return the code that a file of tests imports, and what that needs."""
    own = [ROOT / file, *(ROOT / file).parent.glob("conftest.py")]
    files = {*own, *needed("\n".join(path.read_text("utf-8") for path in own), ROOT)}
    return frozenset(path.relative_to(ROOT).as_posix() for path in files)


def looks_at(group: str, shape: tuple[str, ...] | None) -> Iterator[str]:
    """Yield all that a group depends on.

    Where it is said that the `shape` of notebooks and pages is enough, this is their code, outputs
    and tags; the words are left out, but for those of the notebooks that are named.
    """
    file, _, lesson = group.partition(" ")
    seen = SEEN[group] | SEEN[f"{file}, fixtures"] | {f"open {name}" for name in imports(file)}
    seen |= {what for name in imports(file) for what in SEEN[f"{name}, imported"]}
    if lesson and "start" in seen:
        yield f"run notebooks/{lesson}.ipynb"
    yield from ("here", *(f"open {name}" for name in EVERYWHERE))
    for what in seen:
        if (
            shape is not None
            and re.search(r"\.(ipynb|html)$", what)
            and Path(what).stem not in shape
        ):
            yield what.replace("open", "shape", 1)
        elif not (lesson and what.startswith(OF_OTHERS)):
            yield what


def shape(path: Path) -> object:
    """Return the tags of a page, or what runs of a notebook and of the students' one execute."""
    if path.suffix == ".html":
        return re.findall(r"<[^>]*>", path.read_text("utf-8"))
    notebook = read(path)
    try:
        cells = [*code_cells(notebook), *code_cells(student(notebook))]
    except ExerciseError as error:  # a test says so
        return [str(error), notebook]
    return [(source(cell), cell["metadata"], cell["outputs"]) for cell in cells]


@cache
def state(what: str) -> str:
    """Return a digest of a part of what a group looks at."""
    kind, _, name = what.partition(" ")
    path = ROOT / name
    ask: dict[str, Callable[[], object]] = {
        "open": lambda: digest([path], ROOT),
        "list": lambda: sorted(n for n in os.listdir(path) if not n.startswith((".", "__p"))),
        "shape": lambda: shape(path),
        "run": lambda: Edition(ROOT).key(path),
        "start": lambda: digest((ROOT / n for n in tracked() if not n.endswith(TEXTS)), ROOT),
        "here": lambda: [sys.version_info[:2], patients_here(), os.environ.get("MEDXFER_DATA")],
    }
    try:
        return digest((), ROOT, ask[kind]())
    except (OSError, ValueError) as error:
        return str(error)


def place(group: str) -> Path:
    """Return the file that holds what a group looked at when nothing failed in it."""
    return ROOT / "_build" / "proved" / f"{group.replace('/', '.')}.json"


def keep(group: str, shape: tuple[str, ...] | None, since: float) -> None:
    """Keep what a group looked at, of which nothing may have changed while it ran."""
    found = {what: state(what) for what in looks_at(group, shape)}
    files = [ROOT / what.partition(" ")[2] for what in found if what.startswith(("open", "shape"))]
    if all(path.stat().st_mtime < since for path in files if path.is_file()):
        write_whole(json.dumps(found, indent=1, sort_keys=True).encode(), place(group))


def is_proved(group: str) -> bool:
    """Tell whether nothing of what a group looks at has changed since nothing failed in it."""
    try:
        known = json.loads(place(group).read_text("utf-8"))
    except OSError:
        return False
    return all(state(what) == value for what, value in known.items())


def due() -> list[str]:
    """Return the files of tests of which a group is due."""
    files = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("tests/*/test_*.py"))]
    known = [path.stem.partition(" ") for path in place("").parent.glob("*.json")]
    lessons = {file: [n for f, _, n in known if f == place(file).stem and n] for file in files}
    return [f for f in files if not all(map(is_proved, [f, *(f"{f} {n}" for n in lessons[f])]))]


def main() -> int:
    """Run the tests that are due, and return the exit status of pytest."""
    if os.environ.get("ALL") == "1" or not tracked():
        shutil.rmtree(place("").parent, ignore_errors=True)
    files, kept = due(), len(list(place("").parent.glob("*.json")))
    if kept:
        print(f"Of {kept} groups of tests, those are left out whose files have not changed since.")
        print(f"Due: {', '.join(files) or 'none'}. make test ALL=1 proves everything.", flush=True)
    if not files:
        return 0
    environment = {**os.environ, DUE: "1"}
    environment.pop("PYTEST_ADDOPTS", None)  # it might leave out some tests of a group
    return subprocess.run([*PYTEST, *files], cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
