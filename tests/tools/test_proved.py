"""What has not changed since it was proved is left out, and nothing else is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from book.tools import proved
from tests.tools.books import code, write, write_files
from tests.tools.test_keys import edit

REPOSITORY = Path(__file__).resolve().parents[2]
OF_A_LESSON = """import pytest
pytestmark = pytest.mark.{}
@pytest.mark.parametrize("chapter", ["01_a", "02_b"])
def test_it(chapter): assert open(f"notebooks/{{chapter}}.ipynb").read() and chapter {}"""
ALL_LESSONS = "\ndef test_all(): open('notebooks/01_a.ipynb'), open('notebooks/02_b.ipynb')"
KEEPS = "from tests.kept import read\ndef test_it(): assert read()"
FILES = {
    **dict.fromkeys(("requirements.txt", "pyproject.toml", "book/results/grid.csv"), ""),
    "book/index.md": "# A book",
    "book/shared.py": "from book import deep",
    "book/deep.py": "from pathlib import Path\nPAGE = Path('book/index.md').read_text()",
    "tests/book/test_reads.py": "from book.shared import deep\ndef test_it(): assert deep.PAGE",
    "book/kept.md": "# Kept",
    "tests/kept.py": "import functools as f\nread = f.cache(lambda: open('book/kept.md').read())",
    **{f"tests/book/test_kept{k}.py": KEEPS for k in range(3)},  # in two processes
    "tests/tools/test_lists.py": "import os\ndef test_it(): assert os.listdir('notebooks')",
    "tests/tools/test_starts.py": "import subprocess\ndef test_it(): subprocess.run(['git'])",
    "tests/chapters/test_words.py": OF_A_LESSON.format("words", "") + ALL_LESSONS,
    "tests/chapters/test_runs.py": OF_A_LESSON.format("shape", "== '01_a'"),
    "tests/site/test_bad.py": "def test_bad(): assert False\ndef test_good(): pass",
    "tests/site/test_broken.py": "raise ImportError('no such thing')",
    "tests/site/test_skips.py": "import pytest\ndef test_it(): pytest.skip('')\ndef test_(): pass",
}
OPEN = "# B\n\n## Exercises\n\n### Exercise 1 · Count\n"
SOLUTION = "book.record('n', 1, (0, 2), 'N')"
KEPT = {"kept0", "kept1", "kept2"}
FIRST = {*KEPT, "lists", "reads", "runs 01_a", "starts", "words", "words 01_a", "words 02_b"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two lessons, of which the second has an exercise."""
    root = tmp_path_factory.mktemp("proved")
    write_files(root, FILES)
    for name in ("book/tools", "medxfer_utils"):
        shutil.copytree(REPOSITORY / name, root / name)
    shutil.copy(REPOSITORY / "tests" / "conftest.py", root / "tests")
    write(root / "notebooks" / "01_a.ipynb", "# A", code("1 + 1"))
    write(root / "notebooks" / "02_b.ipynb", OPEN, code(SOLUTION, "solution"))
    (root / ".gitignore").write_text("_build\n.pytest_cache\n")
    subprocess.run(["git", "init", "--quiet", root], check=True)
    return root


WORDS = {"words", "words 01_a"}
CHANGED: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "nothing": (lambda root: None, set()),
    "what Git ignores": (lambda root: write_files(root, {"_build/log": ""}), set()),
    "prose of a lesson": (edit("notebooks/01_a.ipynb", "# A", "# Aa"), WORDS),
    "its code": (edit("notebooks/01_a.ipynb", "1 +", "2 +"), {*WORDS, "runs 01_a"}),
    "its outputs": (
        edit("notebooks/01_a.ipynb", '"outputs": []', '"outputs": [0]'),
        {*WORDS, "runs 01_a"},
    ),
    "a module": (edit("book/deep.py"), {"reads", "starts"}),
    "what a module reads": (edit("book/index.md"), {"reads"}),
    "what a file before it read": (edit("book/kept.md"), KEPT),
    "a stored table": (edit("book/results/grid.csv"), {"starts"}),
    "a new lesson": (lambda root: write_files(root, {"notebooks/03_c.ipynb": ""}), {"lists"}),
    "a test": (edit("tests/tools/test_lists.py"), {"lists", "starts"}),
    "the lock": (edit("requirements.txt"), FIRST),
}


def prove(root: Path, **settings: str) -> tuple[int, str, set[str]]:
    """Return the status of `python -m book.tools.proved`, what it said, and what is proved."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "book.tools.proved"]
    done = subprocess.run(
        command, cwd=root, env=environment | settings, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, {short(path) for path in kept(root)}


def kept(root: Path) -> list[Path]:
    return list((root / "_build" / "proved").glob("*.json"))


def short(path: Path) -> str:
    return path.stem.partition(".test_")[2].replace(".py", "")


def look_again() -> None:
    for cached in (proved.tracked, proved.imports, proved.state):
        cached.cache_clear()
    proved.tracked()


@pytest.fixture
def here(root: Path) -> Iterator[Path]:
    """The repository, as the one that `proved` knows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proved, "ROOT", root)
        yield root
    look_again()


def test_a_group_in_which_nothing_failed_is_due_when_what_it_looked_at_has_changed(
    here: Path,
) -> None:
    status, said, found = prove(here)
    assert (status, found) == (1, FIRST)
    assert "2 failed, 12 passed, 1 skipped" in said
    assert "1 error in" in said
    groups = {short(path): path.stem.replace(".", "/", 2) for path in kept(here)}
    before = {path: path.read_bytes() for path in here.rglob("*.*") if path.is_file()}
    wrong = {}
    for what, (change, expected) in CHANGED.items():
        change(here)
        look_again()
        due = {name for name, group in groups.items() if not proved.is_proved(group)}
        (here / "notebooks" / "03_c.ipynb").unlink(missing_ok=True)
        for path, content in before.items():
            path.write_bytes(content)
        if due != expected:
            wrong[what] = due ^ expected
    assert not wrong


def test_what_failed_runs_again_and_what_is_proved_does_not(here: Path) -> None:
    edit("tests/site/test_bad.py", "False", "True")(here)
    edit("tests/site/test_broken.py", "raise ImportError('no such thing')", "def test_(): ...")(
        here
    )
    edit("tests/site/test_skips.py", "pytest.skip('')", "pass")(here)
    status, said, found = prove(here)
    assert status == 1, "the second lesson fails as before"
    assert "Due: tests/chapters/test_runs.py, tests/site/test_bad.py" in said
    assert "1 failed, 6 passed" in said
    assert found == FIRST | {"bad", "broken", "skips"}
    edit("tests/chapters/test_runs.py", "== '01_a'", "")(here)
    assert prove(here)[::2] == (0, FIRST | {"bad", "broken", "skips", "runs", "runs 02_b"})
    assert "passed" not in prove(here)[1], "nothing is due"
    assert "16 passed" in prove(here, ALL="1")[1]
    shutil.rmtree(here / ".git")
    look_again()
    assert not proved.tracked(), "without Git, nothing is known to be unchanged"
