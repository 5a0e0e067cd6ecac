"""The faults on the page are provoked, and the words on the page are those that are printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from book.tools import build, env
from book.tools.chapters import run as chapters
from book.tools.chapters.run import Edition
from medxfer_utils import chapter
from medxfer_utils.data import REGISTRY, fetch, heart_hospitals, medmnist
from tests.tools.books import PARAMETERS, code, write

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book" / "troubleshooting.md").read_text("utf-8")
ENTRY = re.compile(r"^### ([^\n]+)\n\n```text\n(.+?)\n```$", re.MULTILINE | re.DOTALL)
QUOTED: dict[str, str] = dict(ENTRY.findall(PAGE))
# What a test would need for them: another shell, a server of Jupyter, a machine without a browser.
SEEN_ONCE = {
    "There is no make",
    "The first set-up has no network",
    "A notebook is broken",
    "The disk is full",
    "JupyterLab's port is in use",
    "There are no pages to test",
    "There is no browser to test with",
    "The name of the folder holds a colon",
    "Another Python answers",
    "An old helper package answers",
    "There is too little memory for an array",
}


class Scene:
    """A place to provoke a fault in, and what was printed there."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, printed: Any) -> None:
        self.folder, self.patch, self._printed = folder, patch, printed

    def said(self) -> str:
        """Return what was printed, by this process and by those it started."""
        out, err = self._printed.readouterr()
        return f"{out}\n{err}"

    def python(self, code: str, *options: str, **variables: str) -> str:
        """Return what another Python prints that ends with an error."""
        command = [sys.executable, *options, "-c", code]
        place = {"cwd": self.folder, "env": os.environ | variables}
        done: subprocess.CompletedProcess[str] = subprocess.run(  # type: ignore[call-overload]
            command, capture_output=True, text=True, check=False, **place
        )
        assert done.returncode, "there was no error"
        return done.stderr

    def book(self, *cells: str) -> Path:
        """Write a book with one chapter, and return its notebook."""
        (self.folder / "requirements.txt").write_text("")
        start = code(PARAMETERS, "parameters")
        return write(self.folder / "notebooks" / "01_one.ipynb", "# One", start, *map(code, cells))

    def build(self, *only: str) -> str:
        """Return what a build prints that fails."""
        assert build.build(Edition(self.folder), only) == 1
        return self.said()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Scene:
    return Scene(tmp_path, monkeypatch, capfd)


def error_of(call: Callable[[], object]) -> str:
    """Return the type and the words of the error that `call` raises."""
    with pytest.raises(Exception, match=r"\w") as raised:
        call()
    return f"{raised.type.__name__}: {raised.value}"


def interrupt(*_: object) -> int:
    raise KeyboardInterrupt


def wrong_python(scene: Scene) -> str:
    start = f"sys.argv = [{str(ROOT / 'book/tools/env.py')!r}]; sys.version_info = (3, 10, 12)"
    code = f"import runpy, sys; {start}; runpy.run_path(sys.argv[0], run_name='__main__')"
    return scene.python(code, PATH=str(scene.folder))


def interrupted_setup(scene: Scene) -> str:
    scene.patch.setattr(env, "ensure", interrupt)
    assert env.main([]) == 130
    return scene.said()


def own_file(scene: Scene, content: bytes) -> str:
    """Return what is said of a file of the reader's own."""
    scene.patch.setenv("MEDXFER_DATA", str(scene.folder))
    (scene.folder / "breastmnist.npz").write_bytes(content)
    return error_of(lambda: medmnist("breastmnist"))


def nowhere(scene: Scene) -> str:
    scene.patch.setenv("MEDXFER_DATA", "/data/none")
    return error_of(lambda: medmnist("breastmnist"))


def nothing_to_be_had(scene: Scene) -> str:
    scene.patch.delenv("MEDXFER_DATA", raising=False)
    scene.patch.setenv("MEDXFER_CACHE", str(scene.folder))
    file = replace(REGISTRY["bloodmnist.npz"], url="http://127.0.0.1:9/bloodmnist.npz")
    return error_of(lambda: fetch(file))


def zipped(scene: Scene) -> bytes:
    """Return an npz file that is whole, and not the official one."""
    np.savez(scene.folder / "whole.npz", train_images=np.arange(2000))
    return (scene.folder / "whole.npz").read_bytes()


def simulated(scene: Scene) -> str:
    scene.patch.setenv("MEDXFER_DATA", str(scene.folder / "none"))
    return heart_hospitals("builtin", np.random.default_rng(0))[1]


def parameters(_: Scene) -> str:
    wrong = [("quick", 0, "builtin"), ("full", -1, "builtin"), ("full", 0, "/scans")]
    return "\n".join(error_of(lambda each=each: chapter.start(*each)) for each in wrong)  # type: ignore[misc]


def threads(scene: Scene) -> str:
    scene.patch.setenv("MEDXFER_THREADS", "two")
    return error_of(lambda: chapter.start("full", 0, "builtin"))


def too_early(_: Scene) -> str:
    cells = chapters.load(ROOT / "notebooks" / "02_two_laboratories.ipynb")["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    early = next(text for text in code if re.match(r"\w+ = .*[(\[]lab_a\.y", text))
    return error_of(lambda: exec(early, {}))


def outside(scene: Scene) -> str:
    chapter.Chapter("full", 0).record("auroc", 0.5, (0.88, 0.94), "AUROC")
    return scene.said()


def killed(scene: Scene) -> str:
    scene.book("import os\nos._exit(1)")
    return scene.build()


def interrupted_build(scene: Scene) -> str:
    scene.patch.setattr(build, "build", interrupt)
    assert build.main([]) == 130
    return scene.said()


def unknown_chapter(scene: Scene) -> str:
    scene.book("1")
    return scene.build("09")


PROVOKED: dict[str, Callable[[Scene], str]] = {
    "This Python is too old or too new": wrong_python,
    "The set-up was interrupted": interrupted_setup,
    "MEDXFER_DATA names no folder": nowhere,
    "A file is not here, and there is no network": nothing_to_be_had,
    "A file is cut off": lambda scene: own_file(scene, zipped(scene)[:200]),
    "A file is a web page": lambda scene: own_file(scene, b"<!doctype html><title>Log in"),
    "A file has another sum": lambda scene: own_file(scene, zipped(scene)),
    "Lesson 09 says that its patients are simulated": simulated,
    "A parameter has no such value": parameters,
    "The number of threads is no number": threads,
    "A cell was run too early": too_early,
    "A number is outside its band": outside,
    "The kernel died": killed,
    "The build was interrupted": interrupted_build,
    "A lesson is not known by that name": unknown_chapter,
}


def plain(text: str) -> str:
    """Return a text in which neither line ends nor the width of a terminal matter."""
    return " ".join(text.split())


def follows(quoted: str, said: str) -> bool:
    """Tell whether the pieces of a quotation, parted by … and by line ends, occur in order."""
    pieces = [plain(piece) for piece in re.split(r"…|\n", quoted) if piece.strip()]
    return re.search(".*?".join(map(re.escape, pieces)), plain(said)) is not None


@pytest.mark.parametrize("title", PROVOKED)
def test_the_page_quotes_what_is_printed(title: str, scene: Scene) -> None:
    said = PROVOKED[title](scene)
    assert follows(QUOTED[title], said), f"the page quotes\n{QUOTED[title]}\nbut it said\n{said}"


def test_every_entry_quotes_a_message_and_is_provoked_or_was_seen() -> None:
    titles = re.findall(r"^### (.+)$", PAGE, re.MULTILINE)
    assert sorted(titles) == sorted(QUOTED) == sorted([*PROVOKED, *SEEN_ONCE])
