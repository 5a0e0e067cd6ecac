"""The build runs what it must, keeps what is finished and never harms the former site.

The notebooks here are real ones and run in real kernels; only Sphinx is replaced, where a test
is not about the pages.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from book.tools import build as build_module
from book.tools.chapters.keys import source
from book.tools.chapters.run import Edition, load
from book.tools.pages import site as pages
from tests.tools import books
from tests.tools.books import PARAMETERS, code, write_files

REPOSITORY = Path(__file__).resolve().parents[2]
COUNTS = "from pathlib import Path\nlog = Path('runs.log')\n"
COUNTS += "log.write_text((log.read_text() if log.exists() else '') + '{name} ' + PROFILE + '\\n')"
TOC = "format: jb-book\nroot: book/index\n"
Writer = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a repository with no chapter yet and three pages of prose."""
    config = "title: A book\nexecute:\n  execute_notebooks: 'off'\n"
    files = {"requirements.txt": "", "_config.yml": config, "book/_toc.yml": TOC}
    write_files(tmp_path, {**files, "book/index.md": "# A book\n\nIts first page.\n"})
    return tmp_path


@pytest.fixture
def write(root: Path) -> Writer:
    """Return a function that writes a chapter, which notes each of its runs in a file."""

    def writer(name: str, *cells: str, prose: str = "Prose.") -> Path:
        start = code(PARAMETERS, "parameters"), code(COUNTS.format(name=name))
        path = root / "notebooks" / f"{name}.ipynb"
        return books.write(path, f"# Chapter {name}\n\n{prose}", *start, *map(code, cells))

    return writer


@pytest.fixture
def no_sphinx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pages be the staged files themselves."""

    def copy(stage: Path, work: Path, log: Path) -> None:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(stage, work / "_build" / "html")

    monkeypatch.setattr(pages, "sphinx", copy)


def runs(root: Path) -> list[str]:
    """Return which chapters ran, in alphabetical order: two of them run side by side."""
    return sorted((root / "notebooks" / "runs.log").read_text().splitlines())


def shown(root: Path, build: str = "_build") -> dict[str, Any]:
    """Return the first chapter as its page shows it."""
    return load(root / build / "html" / "notebooks" / "01_a.ipynb")


def build(root: Path, only: list[str] | None = None, profile: str = "full") -> int:
    return build_module.build(Edition(root, profile), only)


@pytest.mark.usefixtures("no_sphinx")
def test_only_a_changed_chapter_runs_again_and_new_prose_has_the_outputs_of_before(
    root: Path, write: Writer
) -> None:
    about = {"image/png": {"alt": "A line that rises", "width": 480}}
    draws = "from IPython.display import display\n"
    draws += f"display({{'image/png': 'aGk='}}, metadata={about}, raw=True)"
    write("01_a", "6 * 7", draws)
    write("02_b", "2 + 2")
    assert build(root) == build(root) == 0
    assert runs(root) == ["01_a full", "02_b full"]
    write("01_a", "6 * 7", draws, prose="Better prose.")
    write("02_b", "2 + 3")
    assert build(root) == 0
    assert runs(root) == ["01_a full", "02_b full", "02_b full"]
    first, *_, number, figure = shown(root)["cells"]
    assert "Better prose." in source(first)
    assert "42" in number["outputs"][0]["data"]["text/plain"]
    assert not any("injected" in str(cell["metadata"]) for cell in shown(root)["cells"])
    image = {"alt": "A line that rises", "width": "480px"}
    assert figure["metadata"]["mystnb"]["image"] == image


@pytest.mark.usefixtures("no_sphinx")
def test_a_rehearsal_leaves_the_book_alone(root: Path, write: Writer) -> None:
    write("01_a", "PROFILE")
    build(root)
    build(root, profile="fast")
    build(root)
    assert runs(root) == ["01_a fast", "01_a full"]
    for profile, folder in {"fast": "_build/fast-seed0", "full": "_build"}.items():
        assert profile in shown(root, folder)["cells"][-1]["outputs"][0]["data"]["text/plain"]


@pytest.mark.usefixtures("no_sphinx")
def test_only_runs_the_chapters_named(
    root: Path, write: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    write("01_a")
    write("02_b")
    assert build(root, only=["02"]) == 0
    assert runs(root) == ["02_b full"]
    assert "Not run now, so its page shows an earlier run: 01_a" in capsys.readouterr().out
    assert build(root, only=["03"]) == 1
    assert "'03'. There are: 01_a, 02_b" in capsys.readouterr().err


@pytest.mark.usefixtures("no_sphinx")
def test_a_failing_chapter_is_named_and_the_others_run(
    root: Path, write: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    write("01_a", "1 + 1")
    build(root)
    former = (root / "_build" / "html" / pages.MARK).read_text()
    write("01_a", "1 + 1", "# why\nraise ValueError('one class only')", "3")
    write("02_b")
    capsys.readouterr()
    assert build(root) == 1
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "FAILED 01_a, cell 5: raise ValueError('one class only')",
        "  ValueError: one class only",
    ]
    assert runs(root) == ["01_a full", "01_a full", "02_b full"]
    assert (root / "_build" / "html" / pages.MARK).read_text() == former
    # Its former run is still there, and is not taken for a run of the new code.
    assert build(root) == 1
    assert runs(root) == [*["01_a full"] * 3, "02_b full"]


@pytest.mark.usefixtures("no_sphinx")
def test_a_kernel_that_dies_is_a_failure_like_any_other(
    root: Path, write: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    write("01_a", "import os\nos._exit(1)")
    write("02_b")
    assert build(root) == 1
    assert "FAILED 01_a\n  DeadKernelError" in capsys.readouterr().err
    assert runs(root) == ["01_a full", "02_b full"]


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send Ctrl-C to one process")
def test_ctrl_c_keeps_finished_chapters(root: Path, write: Writer) -> None:
    write("01_a", "1 + 1")
    interrupt = (
        "import os, pathlib, signal, time\n"
        "while not pathlib.Path('../_build/chapters/01_a.ipynb').exists():  # it runs beside this\n"
        "    time.sleep(0.1)\n"
        "os.kill(os.getppid(), signal.SIGINT)\ntime.sleep(60)"
    )
    write("02_b", interrupt)
    shutil.copytree(REPOSITORY / "book" / "tools", root / "book" / "tools")
    command = [sys.executable, "-m", "book.tools.build"]

    def heed() -> None:  # a suite started in the background may have been told to ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)

    about: Any = {"capture_output": True, "text": True, "timeout": 50, "preexec_fn": heed}
    done = subprocess.run(command, cwd=root, check=False, **about)
    assert done.returncode == 130
    assert done.stdout.splitlines()[-1].startswith("Interrupted. Finished lessons are kept")
    assert done.stderr == ""
    kept = [path.name for path in (root / "_build" / "chapters").iterdir()]
    assert kept == ["01_a.ipynb"]


@pytest.mark.usefixtures("no_sphinx")
def test_a_failing_sphinx_leaves_the_former_site(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(root) == 0
    (root / "book" / "index.md").write_text("# A book\n\nChanged.\n")

    def fail(stage: Path, work: Path, log: Path) -> None:
        raise pages.PagesError("index.md:3: WARNING: no such page")

    monkeypatch.setattr(pages, "sphinx", fail)
    assert build(root) == 1
    assert "no such page" in capsys.readouterr().err
    assert "first page" in (root / "_build" / "html" / "book" / "index.md").read_text()


@pytest.mark.usefixtures("no_sphinx")
def test_a_site_cut_off_between_two_renames_comes_back(root: Path) -> None:
    assert build(root) == 0
    site = root / "_build" / "html"
    site.rename(site.with_name("html.former"))
    (root / "book" / "index.md").write_text("# A book\n\n{ref}`nowhere`\n")
    pages.recover(site)
    assert "first page" in (site / "book" / "index.md").read_text()


def test_sphinx_takes_a_warning_for_an_error_and_forgets_removed_pages(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three builds by the real Sphinx."""
    book = root / "book"
    (book / "more.md").write_text("# More\n\n```{glossary}\nsite\n  One hospital.\n```\n")
    (book / "_toc.yml").write_text(f"{TOC}chapters:\n  - file: book/more\n")
    assert build(root) == 0
    assert (root / "_build" / "html" / "book" / "more.html").is_file()

    (book / "index.md").write_text("# A book\n\n{term}`cohort`\n")
    capsys.readouterr()
    assert build(root) == 1
    assert "book/index.md:3: WARNING" in capsys.readouterr().err
    assert "Its first page" in (root / "_build" / "html" / "book" / "index.html").read_text("utf-8")

    (book / "index.md").write_text("# A book\n\nAlone.\n")
    (book / "more.md").unlink()
    (book / "_toc.yml").write_text(TOC)
    assert build(root) == 0
    assert not (root / "_build" / "html" / "book" / "more.html").exists()


@pytest.mark.usefixtures("no_sphinx")
def test_nothing_changed_starts_neither_papermill_nor_sphinx(root: Path, write: Writer) -> None:
    write("01_a")
    build(root)
    shutil.copytree(REPOSITORY / "book" / "tools", root / "book" / "tools")
    ask = (
        "import json, sys; from book.tools import build\n"
        "status = build.main([])\n"
        "heavy = {'papermill', 'sphinx', 'nbformat', 'jupyter_book', 'tensorflow'}\n"
        "print(json.dumps([status, sorted(heavy & set(sys.modules))]))"
    )
    command = [sys.executable, "-c", ask]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0].startswith("The book is at file://")
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]
    assert runs(root) == ["01_a full"]
