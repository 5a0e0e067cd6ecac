"""The journal of a comparison: a file that gets each row as soon as it is there, and is read back.

A comparison that was stopped goes on from it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medxfer_utils.cohorts import Cohort

Row = dict[str, Any]


class Fit(NamedTuple):
    """Which fit of a comparison: the name of its arm, the labelled patients, the draw."""

    strategy: str
    n: int
    repeat: int


def fit_of(row: Row) -> Fit:
    """Return the fit that a row of results is of."""
    return Fit(row["strategy"], row["n"], row["repeat"])


class Journal:
    """Finished rows in a file: a first line that says of which question, then one for each row.

    A line that ends with the file instead of a line break was being written when the process was
    killed; it is dropped.

    Parameters
    ----------
    path : Path
        The file. It need not be there, nor its folder.
    cohorts : sequence of Cohort
        The patients of the question, in their order.
    seed : int
        The seed of the question.
    columns : sequence of str
        What a row must have; "error" is one of them.

    Attributes
    ----------
    rows : dict of Fit to dict
        What the file held when it was opened, without failed fits; the last row of a fit counts.

    Raises
    ------
    ValueError
        If the file is of another question, and it is then left alone; or a line is not a row.
    """

    def __init__(
        self, path: Path, cohorts: Sequence[Cohort], seed: int, columns: Sequence[str]
    ) -> None:
        self.path, self.columns = Path(path), columns
        self.path.parent.mkdir(parents=True, exist_ok=True)
        head = json.dumps({"cohorts": _fingerprint(cohorts), "seed": seed}).encode() + b"\n"
        text = self.path.read_bytes() if self.path.exists() else b""
        if not head.startswith(text[: len(head)]):
            raise ValueError(
                f"{self.path} is not the journal of these cohorts and seed {seed}: "
                "name another file for this comparison, or delete that one."
            )
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            os.truncate(self.path, len(whole))
        if not whole:
            self._append(head)
        self.rows = dict(self._read(whole.split(b"\n")[1:-1]))

    def _read(self, lines: Sequence[bytes]) -> Iterator[tuple[Fit, Row]]:
        for number, line in enumerate(lines, start=2):
            try:
                row = json.loads(line)
                if not row["error"]:
                    yield fit_of(row), {name: row[name] for name in self.columns}
            except (ValueError, KeyError, TypeError) as problem:
                raise ValueError(
                    f"{self.path}, line {number}, is not a row of results: delete the line, and "
                    "its fit will be run again."
                ) from problem

    def add(self, row: Row) -> None:
        """Append one row: Python writes floats so that they are read back to the bit."""
        self._append(json.dumps(row).encode() + b"\n")

    def _append(self, line: bytes) -> None:
        # Buffered: an unbuffered write on a disk that is nearly full leaves half a line and says
        # nothing, and the next row would go on in the middle of that line.
        with self.path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())  # the power may fail


def _fingerprint(cohorts: Sequence[Cohort]) -> str:
    """SHA-256 of what was measured, the diagnoses and the patient ids of all cohorts."""
    digest = hashlib.sha256()
    for cohort in cohorts:
        for array in (cohort.x, cohort.y, cohort.patient):
            digest.update(f"{array.dtype} {array.shape} ".encode())
            # An array of objects holds addresses, which are new in every process.
            plain = repr(array.tolist()).encode() if array.dtype.hasobject else array
            digest.update(plain if isinstance(plain, bytes) else np.ascontiguousarray(plain).data)
    return digest.hexdigest()
