"""What each chapter took to run: measured when it runs, kept in its stored run."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self

from book.tools.chapters.keys import code_cells, source
from book.tools.chapters.text import headings

OPENING = "Opening"  # what comes before the first section
WORDS = 40  # characters of a cell that are shown
SECONDS = 0.2  # between two looks at the memory


class PeakMemory:
    """Watch the memory of one kernel and its workers while this context is open.

    Parameters
    ----------
    argument
        By which the kernel is known among the processes that this one has started: one of its own.
    every
        Seconds between two looks.

    Attributes
    ----------
    peak : int
        Bytes in main memory of the kernel with its workers, at the moment when they had most.
    """

    def __init__(self, argument: str, every: float = SECONDS) -> None:
        self.peak = 0
        self._argument = argument
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> None:
        """Measure now."""
        import psutil

        total = 0
        for child in psutil.Process().children():
            # A process that has just ended, or is not ours to ask, has no memory.
            with contextlib.suppress(psutil.Error):
                if self._argument in child.cmdline():
                    kernel = [child, *child.children(recursive=True)]
                    total += sum(process.memory_info().rss for process in kernel)
        self.peak = max(self.peak, total)

    def _watch(self) -> None:
        if hasattr(signal, "pthread_sigmask"):
            # Ctrl-C must wake the main thread, which waits for the kernel.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        while not self._over.wait(self._every):
            self.look()


def first_line(text: str) -> str:
    """Return the first line of a cell that says something."""
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in lines if line and not line.startswith("#")), "")


def by_section(run: Mapping[str, Any]) -> dict[str, float]:
    """Return the seconds that the cells of each `##` section took, in the order of the sections.

    Parameters
    ----------
    run
        The notebook with papermill's times in the metadata of its cells.
    """
    seconds: dict[str, float] = {OPENING: 0.0}
    section = OPENING
    for cell in run["cells"]:
        if cell["cell_type"] == "markdown":
            for heading in headings(source(cell), deepest=2):
                section = heading.title if heading.level == 2 else section
                seconds.setdefault(section, 0.0)
        elif "injected-parameters" not in cell["metadata"].get("tags", []):
            seconds[section] += cell["metadata"].get("papermill", {}).get("duration") or 0.0
    return {title: round(value, 1) for title, value in seconds.items()}


def measured(run: Mapping[str, Any], seconds: float, peak: int) -> dict[str, Any]:
    """Return what is kept of a run that papermill has just finished.

    Parameters
    ----------
    run
        The notebook with papermill's times in the metadata of its cells.
    seconds
        From before the start of the kernel to after its end.
    peak
        Bytes, from `PeakMemory`.
    """
    from medxfer_utils import threads
    from medxfer_utils.results import processor

    cells = code_cells(dict(run))
    took = [cell["metadata"].get("papermill", {}).get("duration") or 0.0 for cell in cells]
    longest = max(range(len(cells)), key=lambda k: took[k], default=None)
    return {
        "seconds": round(seconds, 1),
        "peak_mb": round(peak / 1e6),
        "cells": len(cells),
        "longest_seconds": 0.0 if longest is None else round(took[longest], 1),
        "longest_cell": "" if longest is None else first_line(source(cells[longest]))[:WORDS],
        "sections": by_section(run),
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "threads": threads(),
    }
