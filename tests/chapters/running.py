"""Running the chapters with papermill and nbval, and what to look for in a run."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import papermill
from nbformat import NotebookNode
from papermill.execute import raise_for_execution_errors

from book.tools.chapters.keys import asks_for_patients
from book.tools.chapters.run import load
from tests.chapters.nbval_plugin import align, stable

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NEWER = ("AVX512", "X86_V4")  # what NumPy calls the instruction sets after AVX2
# What a run on simulated patients must say: that they are, and how to come by the real ones.
ADVICE = r"SIMULATED patients[\s\S]*(medxfer_utils\.data |MEDXFER_DATA)"
# No folder, an empty cache, and a network that refuses each connection.
NOTHING_TO_BE_HAD = {
    "MEDXFER_DATA": "",
    "MEDXFER_CACHE": str(ROOT / "_build" / "no-cache"),
    "KERAS_HOME": str(ROOT / "_build" / "no-cache"),
    "https_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "no_proxy": "",
}


def another_processor() -> dict[str, str]:
    """Return the environment in which the libraries compute as on an older processor.

    NumPy refuses to go without an instruction set that it does not know, or was built to need; so
    only those are named that it has found here and would choose.
    """
    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    return {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": " ".join(n for n in found if n.startswith(NEWER)),
    }


def stands_in(path: Path) -> bool:
    """Tell whether a chapter shows simulated patients where the real ones cannot be had."""
    return bool(asks_for_patients(load(path)))


def unexpected(nb: NotebookNode, output: object) -> None:
    """Raise papermill's exception for the error of a cell that is not tagged to have one.

    Papermill knows the tag while it runs the cells, and forgets it when it looks at their outputs.
    """
    cells = [cell for cell in nb.cells if "raises-exception" not in cell.metadata.get("tags", [])]
    raise_for_execution_errors(NotebookNode({**nb, "cells": cells}), output)


@cache
def run(
    path: Path, profile: str = "fast", seed: int = 0, elsewhere: bool = False, data: bool = True
) -> NotebookNode:
    """Run a chapter; each combination of arguments runs once a session.

    `elsewhere` is another processor; without `data`, nothing is to be had from a folder, a cache or
    the network. Raises papermill's exception, which names the cell, if a cell raises.
    """
    environment = {"MEDXFER_THREADS": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
    environment |= (another_processor() if elsewhere else {}) | ({} if data else NOTHING_TO_BE_HAD)
    tolerant = mock.patch("papermill.execute.raise_for_execution_errors", unexpected)
    with mock.patch.dict(os.environ, environment), tolerant:
        return papermill.execute_notebook(
            path,
            None,
            parameters={"PROFILE": profile, "SEED": seed},
            cwd=path.parent,
            kernel_name="python3",
            progress_bar=False,
            coalesce_streams=True,  # pieces of text come as fast as the machine is free
        )


def said(nb: NotebookNode, kind: str = "medxfer") -> list[dict[str, Any]]:
    """Return what the notebook's cells recorded (or, "medxfer_check", checked), in order."""
    return [
        output.metadata[kind]
        for cell in nb.cells
        for output in cell.get("outputs", [])
        if kind in output.get("metadata", {})
    ]


def off_band(nb: NotebookNode) -> list[str]:
    """Name each recorded value that is outside its band."""
    return [
        f"{record['name']}: {record['value']} is outside {record['low']} to {record['high']}"
        for record in said(nb)
        if not record["low"] <= record["value"] <= record["high"]
    ]


def not_called_simulated(nb: NotebookNode) -> list[str]:
    """Name each code cell whose figure does not say that its patients are simulated.

    Figures of stored results, which are of real patients, do not count. That the run itself says
    it, and how to come by the real patients, is looked for, too.
    """
    outputs = [(cell, output) for cell in nb.cells for output in cell.get("outputs", [])]
    texts = [output.get("text", "") for _, output in outputs]
    told = any(re.search(ADVICE, text) for text in texts)
    pictures = [(c, o.get("metadata", {}).get("image/png", {})) for c, o in outputs]
    return ["the run never says that it simulates, and how to come by the real patients"] * (
        not told
    ) + [
        f"a figure is not marked: {cell.source.splitlines()[0]}"
        for cell, alt in [(cell, picture.get("alt", "")) for cell, picture in pictures]
        if alt and "results.load(" not in cell.source
        if not alt.lower().startswith("simulated") and "real patients" not in alt.lower()
    ]


def paired(a: NotebookNode, b: NotebookNode) -> Iterator[tuple[Any, Any]]:
    """Return the outputs of two cells, side by side; one that is missing is empty."""
    return zip_longest(a.get("outputs", []), b.get("outputs", []), fillvalue={})


def differences(one: NotebookNode, other: NotebookNode) -> Iterator[str]:
    """Name each code cell, common to two runs, whose outputs differ in a bit, and say in what."""
    others = {cell.id: cell for cell in other.cells if "injected" not in str(cell.metadata)}
    for cell in one.cells:
        twin = others.get(cell.id)
        if twin is None or cell.cell_type != "code" or twin.source != cell.source:
            continue
        for x, y in paired(cell, twin):
            parts = [{**o, **o.get("data", {}), "data": 0, "execution_count": 0} for o in (x, y)]
            names = sorted(parts[0].keys() | parts[1].keys())
            if changed := [k for k in names if parts[0].get(k) != parts[1].get(k)]:
                yield f"{', '.join(changed)} changed in\n{cell.source}"


def moved(one: NotebookNode, other: NotebookNode) -> Iterator[str]:
    """Name each code cell in which a figure, printed raw, moved by more than nbval allows.

    What a trained network's inner state decides can do that between two processors. Such a figure
    is printed with fewer digits, or is recorded with a band.
    """
    for a, b in zip(one.cells, other.cells, strict=True):
        for x, y in paired(a, b):
            pair = [{**o, **o.get("data", {})} for o in (stable(x), stable(y))]
            for key in pair[0].keys() & pair[1].keys() & {"text", "text/plain", "text/html"}:
                if align(pair[0][key], pair[1][key]) != pair[1][key]:
                    yield f"{a.source}\n< {pair[0][key]}\n> {pair[1][key]}"


def nbval(path: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run nbval over one notebook, with the tolerances of `nbval_plugin`."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.chapters.nbval_plugin", "--nbval"]
    command += ["--nbval-current-env", "-p", "no:cacheprovider", "--color=no", *options, str(path)]
    told = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, check=False)


if __name__ == "__main__":  # python -m tests.chapters.running 03: what does another processor move?
    for chapter in CHAPTERS:
        if chapter.name.startswith(tuple(sys.argv[1:])):
            print(chapter.name, *moved(run(chapter), run(chapter, elsewhere=True)), sep="\n")
