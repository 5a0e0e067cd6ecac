"""Running the chapters with papermill, and what to look for in a run."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import papermill
from nbformat import NotebookNode

from medxfer_utils.data import DataError, four_hospitals

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Chapters that show simulated patients where the real ones cannot be had.
STAND_INS = [path for path in CHAPTERS if "heart_hospitals(" in path.read_text("utf-8")]
# No folder, an empty cache, and a network that refuses each connection.
NOTHING_TO_BE_HAD = {
    "MEDXFER_DATA": "",
    "MEDXFER_CACHE": str(ROOT / "_build" / "no-cache"),
    "https_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "no_proxy": "",
}


@cache
def patients_can_be_had() -> bool:
    """Tell whether the chapters of `STAND_INS` find their real patients on this machine."""
    try:
        four_hospitals()
    except DataError:
        return False
    return True


@cache
def run(
    path: Path,
    seed: int = 0,
    threads: int = 2,
    attempt: int = 1,
    profile: str = "fast",
    data: bool = True,
) -> NotebookNode:
    """Run a chapter; each combination of arguments runs once a session.

    Without `data`, nothing is to be had from a folder, a cache or the network. Raises papermill's
    exception, which names the cell, if a cell raises.
    """
    environment = {"MEDXFER_THREADS": str(threads), "JUPYTER_PREFER_ENV_PATH": "1"}
    environment |= {} if data else NOTHING_TO_BE_HAD
    with mock.patch.dict(os.environ, environment):
        return papermill.execute_notebook(
            path,
            None,
            parameters={"PROFILE": profile, "SEED": seed},
            cwd=path.parent,
            kernel_name="python3",
            progress_bar=False,
            coalesce_streams=True,  # pieces of text come as fast as the machine is free
        )


def records(nb: NotebookNode) -> list[dict[str, Any]]:
    """Return what the notebook's cells recorded, in order."""
    return [
        output.metadata["medxfer"]
        for cell in nb.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "medxfer" in output.get("metadata", {})
    ]


def off_band(nb: NotebookNode) -> list[str]:
    """Name each recorded value that is outside its band."""
    return [
        f"{record['name']}: {record['value']} is outside {record['low']} to {record['high']}"
        for record in records(nb)
        if not record["low"] <= record["value"] <= record["high"]
    ]


def unmarked_figures(nb: NotebookNode) -> list[str]:
    """Name each code cell whose figure does not say that its patients are simulated.

    Figures of stored results, which are of real patients, do not count.
    """
    return [
        cell.source.splitlines()[0]
        for cell in nb.cells
        if cell.cell_type == "code" and "results.load(" not in cell.source
        for output in cell.outputs
        for alt in [output.get("metadata", {}).get("image/png", {}).get("alt")]
        if alt and not alt.startswith("SIMULATED patients") and "real patients" not in alt.lower()
    ]


def differences(one: NotebookNode, other: NotebookNode) -> Iterator[str]:
    """Name each code cell whose outputs are not the same to the last bit, and how they differ."""
    for index, (a, b) in enumerate(zip(one.cells, other.cells, strict=True)):
        first, second = a.get("outputs", []), b.get("outputs", [])
        if len(first) != len(second):
            yield f"cell {index}: {len(first)} outputs, then {len(second)}"
        for x, y in zip(first, second, strict=False):
            if x != y:
                parts = {**x, **x.get("data", {})}, {**y, **y.get("data", {})}
                changed = sorted(k for k in parts[0].keys() | parts[1].keys()
                                 if k != "data" and parts[0].get(k) != parts[1].get(k))  # fmt: skip
                yield f"cell {index}: {', '.join(changed)} changed in\n{a.source}"


def nbval(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run nbval over one notebook, with the tolerances of `nbval_plugin`."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.chapters.nbval_plugin", "--nbval"]
    command += ["--nbval-current-env", "-p", "no:cacheprovider", "--color=no", *options, str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
