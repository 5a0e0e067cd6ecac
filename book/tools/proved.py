"""Run the tests of what has changed since it was proved: the last part of `make test`.

    python book/tools/env.py -m book.tools.proved

The tests stand in groups, each with a digest of the files that it looks at. After a run, the
digests of the groups in which nothing failed are kept in `_build/proved`, and such a group is left
out until its digest changes. ALL=1 in the environment leaves out none; nor does a folder without
Git.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from book.tools.chapters.keys import code_cells, digest, patients_here, read, source
from book.tools.chapters.run import Edition, find_notebooks, write_whole
from book.tools.teach.exercises import ExerciseError
from book.tools.teach.notebooks import student

ROOT = Path(__file__).resolve().parents[2]
DUE = "MEDXFER_DUE"  # the groups that shall run and their digests, as JSON, for tests/conftest.py
# The tests of a file share a run of a chapter, a site or a browser, and stay in one process. Long
# runs go first, so that both processes are busy to the end.
PYTEST = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile"]
PYTEST += ["--no-loadscope-reorder", "--durations", "15"]
EVERYWHERE = ["requirements.txt", "pyproject.toml", "tests/conftest.py", "tests/faults.py"]
EVERYWHERE += ["book/tools/*.py"]
PACKAGE = ["medxfer_utils/*", "book/results/*", "book/studies/*"]
# What each group looks at, besides the code of the chapters; `*` is everything.
GROUPS = {
    "package": [*PACKAGE, "tests/package/*", "book/setup.md", "book/references.bib"],
    "studies": [*PACKAGE, "tests/studies/*"],
    **{group: ["*"] for group in ("chapters", "tools", "book", "site")},
}
LESSON = ["tests/chapters/*"]  # besides what its key covers


def group_of(test: str) -> str:
    """Return the group of a test, from its identifier."""
    path, _, case = test.partition("::")
    if path.endswith("test_runs.py"):
        return "lesson " + "".join(re.findall(r"\b[A\d]\d_\w+", case)[:1])
    return path.split("/")[1]


def tracked(root: Path) -> list[str]:
    """Return the files of the repository, those not yet added to it, too; none without Git."""
    ask = ["git", "-C", str(root), "ls-files", "-co", "--exclude-standard", "--deduplicate"]
    try:
        done = subprocess.run(ask, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return sorted(name for name in done.stdout.splitlines() if (root / name).is_file())


def looked_at(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """Return those of these files that one of the patterns fits."""
    return [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)]


def code(notebook: dict[str, Any]) -> list[object]:
    """Return what a run of a notebook executes and shows."""
    return [(source(cell), cell["metadata"], cell["outputs"]) for cell in code_cells(notebook)]


def for_students(notebook: dict[str, Any]) -> object:
    """Return what a run of the students' notebook executes, or why there is none."""
    try:
        return code(student(notebook))
    except ExerciseError as error:  # a test says so
        return str(error)


def digests(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each group of tests with the digest of all that it looks at."""
    names = tracked(root)
    chapters = {path: code(read(path)) for path in find_notebooks(root)}
    here = [sys.version_info[:2], patients_here(), os.environ.get("MEDXFER_DATA")]
    for path, cells in chapters.items():
        files = [root / name for name in looked_at(names, [*EVERYWHERE, *LESSON])]
        told = [cells, for_students(read(path)), here, Edition(root).key(path)]
        yield f"lesson {path.stem}", digest(files, root, told)
    for group, patterns in GROUPS.items():
        files = [root / name for name in looked_at(names, [*EVERYWHERE, *patterns])]
        yield group, digest(files, root, [*chapters.values(), here])


def mark(root: Path, group: str) -> Path:
    """Return the file that holds the digest with which a group was proved."""
    return root / "_build" / "proved" / group.replace(" ", "-")


def keep(root: Path, proved: dict[str, str]) -> None:
    """Keep the digests of the groups that have been proved."""
    for group, value in proved.items():
        write_whole(value.encode(), mark(root, group))


def is_proved(root: Path, group: str, value: str) -> bool:
    """Tell whether nothing failed in a group when its digest was this one."""
    return mark(root, group).is_file() and mark(root, group).read_text() == value


def main() -> int:
    """Run the tests that are due, and return the exit status of pytest."""
    if os.environ.get("ALL") == "1" or not tracked(ROOT):
        shutil.rmtree(mark(ROOT, "").parent, ignore_errors=True)
    today = dict(digests(ROOT))
    groups = {group: value for group, value in today.items() if not is_proved(ROOT, group, value)}
    if left_out := sorted(today.keys() - groups.keys()):
        print(f"Proved before, and not changed since: {', '.join(left_out)}.")
        print("They are left out; make test ALL=1 proves everything.", flush=True)
    if not groups:
        return 0
    places = {f"tests/{'chapters' if group.startswith('lesson ') else group}" for group in groups}
    environment = {**os.environ, DUE: json.dumps(groups)}
    environment.pop("PYTEST_ADDOPTS", None)  # it might leave out some tests of a group
    command = [*PYTEST, *sorted(places)]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
