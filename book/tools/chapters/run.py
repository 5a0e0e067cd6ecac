"""Run the chapters that need it, and keep their outputs.

A finished chapter is kept as one file, `NAME.ipynb`, with its key in the notebook's metadata, so
an interrupted run loses none of them. A chapter that fails leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import json
import logging
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from book.tools.chapters.keys import asks_for_patients, chapter_key, code_cells, read
from book.tools.chapters.statistics import PeakMemory, first_line, measured

AT_ONCE = 2  # chapters side by side
BOOK_PARAMETERS = {"PROFILE": "full", "SEED": 0}


@dataclass(frozen=True)
class Edition:
    """One way of running the chapters, and the folder under `_build` where it lives.

    The book itself (full profile, seed 0) lives in `_build`; a rehearsal or another seed gets a
    folder of its own, so that it never takes the place of the book. So does the edition whose
    chapters are not run: its pages show the outputs that are committed, which nbval holds.
    """

    root: Path
    profile: str = "full"
    seed: int = 0
    committed: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """What the parameters cell of each chapter is told."""
        return {"PROFILE": self.profile, "SEED": self.seed}

    @property
    def folder(self) -> Path:
        """Where everything that this edition generates is kept."""
        build = self.root / "_build"
        if self.committed:
            return build / "proof"
        if self.parameters == BOOK_PARAMETERS:
            return build
        return build / f"{self.profile}-seed{self.seed}"

    def stored(self, notebook: Path) -> Path:
        """Return where the finished run of a chapter is kept."""
        return self.folder / "chapters" / notebook.name

    def key(self, notebook: Path) -> str:
        """Return the key that a finished run of this chapter must have to be up to date."""
        return chapter_key(notebook, self.root, self.parameters)


@dataclass(frozen=True)
class Failure:
    """A chapter that did not finish: where, and why."""

    chapter: str
    cell: int | None
    line: str
    error: str

    def __str__(self) -> str:
        """Say it on two lines: the place, and the error."""
        place = f", cell {self.cell}: {self.line}" if self.cell is not None else ""
        return f"FAILED {self.chapter}{place}\n  {self.error}"


def find_notebooks(root: Path) -> list[Path]:
    """Return the chapters, in the order of their names."""
    return sorted((root / "notebooks").glob("*.ipynb"))


def find_lessons(root: Path) -> list[Path]:
    """Return the notebooks that are taught, in order: all but the appendices."""
    return [path for path in find_notebooks(root) if path.name[0].isdigit()]


def load(path: Path) -> dict[str, Any]:
    """Read a notebook file."""
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def write_whole(content: bytes, path: Path) -> None:
    """Write a file beside its place and rename it, so that no half of one is ever there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)  # a full disk leaves half of it


def save(content: dict[str, Any], path: Path) -> None:
    """Write a notebook file."""
    write_whole(json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8"), path)


def stored_key(path: Path) -> str | None:
    """Return the key of a finished run, None if there is none."""
    try:
        key: str = load(path)["metadata"]["medxfer"]["key"]
    except (OSError, KeyError, json.JSONDecodeError):
        return None
    return key


def stored_statistics(path: Path) -> dict[str, Any] | None:
    """Return what was measured during a finished run, None if nothing was."""
    try:
        run: dict[str, Any] = load(path)["metadata"]["medxfer"]["run"]
    except (OSError, KeyError, json.JSONDecodeError):
        return None
    return run


def with_outputs(notebook: dict[str, Any], run: dict[str, Any]) -> dict[str, Any] | None:
    """Return the notebook with the outputs of a run of it, None if their code differs."""
    merged = copy.deepcopy(notebook)
    pairs = list(zip(code_cells(merged), code_cells(run), strict=False))
    if len(pairs) != len(code_cells(merged)) or len(pairs) != len(code_cells(run)):
        return None
    for cell, done in pairs:
        if "".join(cell["source"]) != "".join(done["source"]):
            return None
        cell["outputs"], cell["execution_count"] = done["outputs"], done["execution_count"]
    return merged


def title(notebook: Path) -> str:
    """Return a chapter's number and title, for people."""
    first = "".join(load(notebook)["cells"][0]["source"]) if load(notebook)["cells"] else ""
    heading = first.splitlines()[0].lstrip("# ") if first.startswith("# ") else notebook.stem
    return f"{notebook.stem[:2]} {heading}"


def cell_number(notebook: Path, index: int) -> int:
    """Return the number of a cell in the author's file, from its index in papermill's copy.

    The copy has one cell more: the parameters, after the cell that is tagged so or on top.
    """
    tags = [cell["metadata"].get("tags", []) for cell in load(notebook)["cells"]]
    before = next((i for i, tagged in enumerate(tags) if "parameters" in tagged), -1)
    return index + 1 if index <= before else index


def end_kernels() -> None:
    """End every kernel that is running: whoever waits for one goes on, and keeps nothing of it."""
    import psutil

    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            process.kill()


def kernel_environment() -> None:
    """Set what every kernel inherits: this environment's kernel, and no hash randomness."""
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ["PYTHONHASHSEED"] = "0"
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"


def progress(notebook: Path) -> dict[str, Any] | bool:
    """Return how papermill shows a chapter: a moving line on a terminal, nothing in a log."""
    if not sys.stderr.isatty():
        return False
    shape = "{desc} {n_fmt:>3}/{total_fmt} cells {elapsed}"
    return {"desc": f"{title(notebook):<58.58}", "bar_format": shape}


def log_line(notebook: Path, seconds: float) -> None:
    """Say in a log, which has no moving line, that a chapter has ended."""
    if not sys.stderr.isatty():
        cells = len(load(notebook)["cells"])
        print(f"{title(notebook):<58.58} {cells:>3} cells {seconds:5.0f} s", flush=True)


def named(notebook: Path) -> str:
    """Return what is told to a kernel for nothing but to know it from the one beside it."""
    return f"--Application.log_datefmt={notebook.stem}"


def execute(notebook: Path, edition: Edition) -> dict[str, Any]:
    """Run one chapter in a fresh kernel and return it with its outputs.

    Raises
    ------
    papermill.PapermillExecutionError
        If a cell fails.
    """
    # Imported late: when no chapter needs a run, the build must not wait for papermill.
    import papermill

    # That a kernel has died is said with its chapter; after an interruption it is no news.
    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    run: dict[str, Any] = papermill.execute_notebook(
        str(notebook),
        None,
        parameters=edition.parameters,
        kernel_name="python3",
        language="python",
        # The folder of this kernel alone: papermill's `cwd` would move all that runs beside it.
        resources={"metadata": {"path": str(notebook.parent)}},
        progress_bar=progress(notebook),
        # How many pieces a cell's text arrives in depends on how busy the machine is.
        coalesce_streams=True,
        # What the kernel says of itself, on its start or when it is interrupted, is no news to a
        # reader; what a cell says is kept in its outputs.
        extra_arguments=["--IPKernelApp.log_level=CRITICAL", named(notebook)],
    )
    return run


def patients_can_be_had(notebook: Path) -> bool:
    """Fetch the real patients that a chapter asks for, if any, and tell whether it will have them.

    To be called before it is told whether they are here. It has a stand-in, and says why.
    """
    if asked := asks_for_patients(read(notebook)):
        from medxfer_utils import data
        from medxfer_utils.data.ecg import FILES

        try:
            if "heart_hospitals" in asked:
                data.four_hospitals()
            if "breast_ultrasound" in asked:
                data.imagenet_weights(data.WEIGHTS[0].url)
                data.breast_ultrasound(size=32)
            if "chest_xrays" in asked:
                data.chest_xrays()
            if "breast_recurrence" in asked:
                for file in data.BREAST.values():
                    data.fetch(file)
            if {"heartbeats", "twelve_leads"} & {*asked}:
                return all(data.find_local(name, "ecg") for name in FILES)
        except data.DataError:
            return False
    return True


def why(error: Exception) -> str:
    """Say what ended a chapter, and what to do where the error itself does not say it."""
    said = f"{type(error).__name__}: {error}"
    if type(error).__name__ == "DeadKernelError":  # papermill's, which is imported late
        return (
            f"{said}\n  Most often the system has ended it for want of memory: close other "
            "programs, then run the same command again."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{said}\n  Make room on the disk, then run the same command again."
    return said


def attempt(notebook: Path, edition: Edition) -> Failure | None:
    """Run one chapter and keep it, or say why it failed."""
    import papermill

    start = time.monotonic()
    try:
        patients_can_be_had(notebook)
        key = edition.key(notebook)
        with PeakMemory(named(notebook)) as memory:
            run = execute(notebook, edition)
        seconds = time.monotonic() - start
        run["metadata"]["medxfer"] = {"key": key, "run": measured(run, seconds, memory.peak)}
        save(run, edition.stored(notebook))
    except papermill.PapermillExecutionError as error:
        cell = cell_number(notebook, error.cell_index)
        said = f"{error.ename}: {error.evalue}"
        return Failure(notebook.stem, cell, first_line(error.source), said)
    except Exception as error:  # a dead kernel, a full disk, no notebook: the others still run
        return Failure(notebook.stem, None, "", why(error))
    log_line(notebook, seconds)
    return None


def is_current(notebook: Path, edition: Edition) -> bool:
    """Tell whether the finished run of a chapter is up to date, or none is wanted."""
    if edition.committed:
        return True
    try:
        return stored_key(edition.stored(notebook)) == edition.key(notebook)
    except ValueError:
        return False  # it cannot be read: let the run say so


def seconds(notebook: Path, edition: Edition) -> float:
    """Return how long the last run of a chapter took, 0 if it is not known."""
    return float((stored_statistics(edition.stored(notebook)) or {}).get("seconds", 0))


def run_chapters(notebooks: Iterable[Path], edition: Edition) -> list[Failure]:
    """Run those of these chapters that are not up to date, and return the failures.

    Two run side by side, the longest first, each in a kernel with one thread.
    """
    due = [notebook for notebook in notebooks if not is_current(notebook, edition)]
    if not due:
        return []
    kernel_environment()
    due.sort(key=lambda notebook: -seconds(notebook, edition))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waited_for = [pool.submit(attempt, notebook, edition) for notebook in due]
        try:
            failures = [failure for one in waited_for if (failure := one.result())]
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(one.done() for one in waited_for):
                end_kernels()
                time.sleep(0.1)
            raise
    return sorted(failures, key=lambda failure: failure.chapter)
