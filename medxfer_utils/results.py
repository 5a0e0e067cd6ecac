"""Stored results: tables that took long to compute, and where they came from."""

import contextlib
import json
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from medxfer_utils import threads

ROOT = Path(__file__).resolve().parents[1]
# In the book's folder they lie beside the pages; an installed package brings a copy with it.
_BESIDE = ROOT / "book" / "results"
FOLDER = _BESIDE if _BESIDE.is_dir() else Path(__file__).with_name("stored")


def load(name: str) -> pd.DataFrame:
    """Read a stored table.

    Parameters
    ----------
    name : str
        Of a file in the book's folder of results, without its ending.

    Raises
    ------
    FileNotFoundError
        If there is none, naming those that there are.
    """
    table = FOLDER / f"{name}.csv"
    if not table.is_file():
        there = sorted(path.stem for path in FOLDER.glob("*.csv"))
        raise FileNotFoundError(
            f"No stored result is called {name!r}; there are {there}. "
            "`make results` computes them anew, in a clone of the book."
        )
    return pd.read_csv(table)


def store(name: str, frame: pd.DataFrame, record: dict[str, Any]) -> None:
    """Write a table (five digits) and its record; neither is ever there by half."""
    _write(FOLDER / f"{name}.csv", frame.to_csv(index=False, float_format="%.5g"))
    _write(FOLDER / f"{name}.json", json.dumps(record, indent=2) + "\n")


def provenance(packages: Iterable[str], **facts: Any) -> dict[str, Any]:
    """Everything one needs to compute a table again, and to know how old it is.

    Call it before the long run: it tells what of the code that is loaded differs from the commit.

    Parameters
    ----------
    packages : iterable of str
        Distributions whose versions matter.
    facts : object
        What else the run was told: seed, sizes, repeats.
    """
    files = [Path(getattr(module, "__file__", None) or "") for module in sys.modules.values()]
    code = [str(file) for file in files if file.is_relative_to(ROOT)]  # git ignores libraries
    return {
        "commit": _git("rev-parse", "HEAD").strip(),
        "uncommitted": _git("status", "--porcelain", "--", *code).splitlines(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        **facts,
        "processor": processor(),
        "threads": threads(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def processor() -> str:
    """The processor's own name where the system tells it, else its architecture."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.write_text(text, "utf-8")
    beside.replace(path)
