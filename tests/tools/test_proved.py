"""What has not changed since it was proved is left out, and nothing else is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from book.tools import proved
from tests.tools.test_keys import cell, write_notebook

REPOSITORY = Path(__file__).resolve().parents[2]
EVERYTHING = {"chapters", "tools", "book", "site"}
ALL = {*EVERYTHING, "package", "studies", "lesson 01_a", "lesson 02_b"}
FILES = {
    "requirements.txt": "numpy==2",
    "pyproject.toml": "",
    "medxfer_utils/__init__.py": "",
    "medxfer_utils/metrics.py": "",
    "book/results/grid.csv": "n",
    "book/index.md": "# A book",
    "tests/package/test_a.py": "",
    "tests/chapters/running.py": "",
}
OPEN = "# B\n\n## Exercises\n\n### Exercise 1 · Count\n"
SOLUTION = "book.record('n', 1, (0, 2), 'N')"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with two chapters, of which the second has an exercise."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    imports = cell("code", "from medxfer_utils import metrics")
    write_notebook(tmp_path / "notebooks" / "01_a.ipynb", cell("markdown", "# A"), imports)
    solution = cell("code", SOLUTION, "solution")
    write_notebook(tmp_path / "notebooks" / "02_b.ipynb", cell("markdown", OPEN), solution)
    (tmp_path / ".gitignore").write_text("_build\n.pytest_cache\n")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path


def edit(name: str, old: str = "", new: str = "# more\n") -> Callable[[Path], None]:
    def editing(root: Path) -> None:
        text = (root / name).read_text("utf-8") if (root / name).exists() else ""
        assert old in text
        (root / name).write_text(text.replace(old, new, 1), "utf-8")

    return editing


FIRST = {*EVERYTHING, "package", "studies", "lesson 01_a"}
CHANGED: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "nothing": (lambda root: None, set()),
    "what Git ignores": (edit("_build/log"), set()),
    "prose of a chapter": (edit("notebooks/01_a.ipynb", "# A", "# Aa"), EVERYTHING),
    "its code": (edit("notebooks/01_a.ipynb", "import m", "import  m"), FIRST),
    "its outputs": (edit("notebooks/01_a.ipynb", '"outputs": [', '"outputs": [0'), FIRST),
    "where a solution belongs": (
        edit("notebooks/02_b.ipynb", "### Exercise 1", "### Task"),
        {*EVERYTHING, "lesson 02_b"},
    ),
    "a helper": (edit("medxfer_utils/metrics.py"), FIRST),
    "a stored table": (edit("book/results/grid.csv"), {*EVERYTHING, "package", "studies"}),
    "prose": (edit("book/index.md"), EVERYTHING),
    "a test": (edit("tests/package/test_a.py"), {*EVERYTHING, "package"}),
    "a new test": (edit("tests/package/test_b.py"), {*EVERYTHING, "package"}),
    "how chapters are tested": (edit("tests/chapters/running.py"), ALL - {"package", "studies"}),
    "the lock": (edit("requirements.txt"), ALL),
}


def test_a_group_is_due_exactly_when_something_that_it_looks_at_has_changed(root: Path) -> None:
    (root / "_build").mkdir()
    wrong = {}
    for what, (change, expected) in CHANGED.items():
        kept = {path: path.read_bytes() for path in root.rglob("*.*") if path.is_file()}
        before = dict(proved.digests(root))
        change(root)
        after = dict(proved.digests(root))
        for path, content in kept.items():
            path.write_bytes(content)
        (root / "tests/package/test_b.py").unlink(missing_ok=True)
        if (due := {group for group in before if after[group] != before[group]}) != expected:
            wrong[what] = due ^ expected
    assert not wrong


def prove(root: Path, **settings: str) -> tuple[int, str]:
    """Run `python -m book.tools.proved` there and return its status and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "book.tools.proved"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_group_in_which_something_fails_is_never_left_out(root: Path) -> None:
    shutil.copytree(REPOSITORY / "book" / "tools", root / "book" / "tools")
    shutil.copy(REPOSITORY / "tests" / "conftest.py", root / "tests")
    shutil.copytree(REPOSITORY / "medxfer_utils", root / "medxfer_utils", dirs_exist_ok=True)
    tests = {
        "package/test_a.py": "def test_good(): pass",
        "studies/test_s.py": "def test_bad(): assert False\ndef test_good(): pass",
        "tools/test_t.py": "raise ImportError('no such thing')",
        "book/test_k.py": "import pytest\ndef test_skipped(): pytest.skip('')\ndef test_(): pass",
        "site/test_w.py": "def test_good(): pass",
        "chapters/test_c.py": "def test_good(): pass",
        "chapters/test_runs.py": "import pytest\n"
        "@pytest.mark.parametrize('chapter', ['01_a', '02_b'])\n"
        "def test_runs(chapter): assert chapter == '01_a'",
    }
    for name, text in tests.items():
        (root / "tests" / name).parent.mkdir(exist_ok=True)
        (root / "tests" / name).write_text(text)
    (status, said), kept = prove(root), root / "_build" / "proved"
    assert (status, "left out" in said) == (1, False)
    assert "2 failed, 6 passed, 1 skipped, 1 error" in said
    good = ["chapters", "lesson-01_a", "package", "site"]
    assert sorted(path.name for path in kept.iterdir()) == good
    edit("tests/package/test_a.py", "pass", "assert False")(root)
    edit("tests/studies/test_s.py", "False", "True")(root)
    status, said = prove(root)
    assert status == 1
    assert "not changed since: lesson 01_a.\n" in said
    assert sorted(path.name for path in kept.iterdir()) == sorted([*good, "studies"])
    edit("tests/package/test_a.py", "assert False", "pass")(root)
    edit("tests/tools/test_t.py", "raise ImportError('no such thing')", "def test_(): pass")(root)
    edit("tests/book/test_k.py", "pytest.skip('')", "pass")(root)
    edit("tests/chapters/test_runs.py", "== '01_a'", "")(root)
    status, said = prove(root, ALL="1")
    assert (status, "10 passed" in said) == (0, True)
    status, said = prove(root)
    assert (status, "passed" in said) == (0, False), "nothing is due"
    shutil.rmtree(root / ".git")
    assert proved.tracked(root) == [], "without Git, nothing is known to be unchanged"


def test_every_folder_of_tests_is_a_group() -> None:
    folders = {path.name for path in (REPOSITORY / "tests").iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} == set(proved.GROUPS)
    assert proved.group_of("tests/chapters/test_runs.py::test_x[True-03_images]@03") == (
        "lesson 03_images"
    )
