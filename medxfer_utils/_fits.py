"""Fits that come out the same wherever they run, and the file of rows from which a grid goes on.

Where they run is joblib's affair. Each starts from its own seed, with as many threads as the caller
has, and never beside another fit of its process.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import cloudpickle
import joblib
import numpy as np
import threadpoolctl
from numpy.typing import NDArray

import medxfer_utils
from medxfer_utils import seed_tensorflow, settle_tensorflow, threads
from medxfer_utils.cohorts import Cohort

Row = dict[str, Any]


class Fit(NamedTuple):
    """Which fit of a comparison: the name of its strategy, the labelled patients, the draw."""

    strategy: str
    n: int
    repeat: int


def fit_of(row: Row) -> Fit:
    """Return the fit that a row of results is of."""
    return Fit(row["strategy"], row["n"], row["repeat"])


# --- what makes a fit the same in every process ---------------------------------------------------

# Compiled networks are shared within a process, and Dask may give a worker several threads.
_one_at_a_time = threading.RLock()


@contextmanager
def undisturbed(seed: int, allowed: int) -> Iterator[None]:
    """Run the block beside no other fit, from `seed`, with `allowed` threads and no processes.

    Parameters
    ----------
    seed : int
        For Python's and NumPy's generators, and for TensorFlow's and Keras's where the seed is
        another than before: they compile anew then, slowly. Taken modulo 2**32.
    allowed : int
        Threads of the numerical libraries, as `allowed` gives them.
    """
    limits = _libraries(len(sys.modules)).limit(limits=allowed)
    # Without this a forest within a Dask worker would send its trees back to the cluster.
    with _one_at_a_time, limits, joblib.parallel_config(backend="sequential"):
        if medxfer_utils._seed != seed % 2**32:
            seed_tensorflow(seed % 2**32)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        yield


@contextmanager
def chance_kept() -> Iterator[None]:
    """Leave the caller's global chance as it was; Keras begins anew from the caller's seed."""
    kept, own, numbers = medxfer_utils._seed, random.getstate(), np.random.get_state()
    seed_tensorflow(kept)  # a fit of this very seed shall start as any other
    try:
        yield
    finally:
        seed_tensorflow(kept)
        random.setstate(own)
        np.random.set_state(numbers)


def allowed() -> int:
    """Return the threads of a fit: `threads`, fewer if the caller has limited its libraries so."""
    used = [int(library["num_threads"]) for library in threadpoolctl.threadpool_info()]
    return min([threads(), *used])


@lru_cache(maxsize=1)
def _libraries(modules: int) -> threadpoolctl.ThreadpoolController:
    """The numerical libraries of this process; looked for again once `modules` has changed."""
    return threadpoolctl.ThreadpoolController()


# --- where the fits run ---------------------------------------------------------------------------


# Runs one fit, `undisturbed`, and judges it: the method of a comparison, which goes with it.
Run = Callable[[Fit], Row]


def computed(run: Run, fits: Sequence[Fit], n_jobs: int | None) -> Generator[Row, None, None]:
    """Give the rows of all fits, each once, as they come.

    Close it if you do not want all: its workers would go on, and end within a later comparison.

    Parameters
    ----------
    run : callable
        Runs a fit of the comparison; it goes to other processes by cloudpickle.
    fits : sequence of Fit
        Which fits to run.
    n_jobs : int or None
        As joblib takes it; None: what `joblib.parallel_config` says.
    """
    if joblib.effective_n_jobs(n_jobs) == 1:
        yield from map(run, fits)
        return
    packed = np.frombuffer(_packed(run), np.uint8)  # joblib sends a large array only once
    call = joblib.delayed(_in_worker)
    parallel = joblib.Parallel(n_jobs, return_as="generator_unordered", batch_size=1)
    yield from parallel(call(packed, threads(), fit) for fit in fits)


def _packed(run: Run) -> bytes:
    """The comparison as bytes: by cloudpickle, which takes lambdas and what a notebook defines."""
    try:
        return cast(bytes, cloudpickle.dumps(run))
    except Exception as problem:
        problem.add_note("The strategies, with all they refer to, must go to other processes.")
        raise


def _in_worker(packed: NDArray[np.uint8], wanted: int, fit: Fit) -> Row:
    """One fit in a worker; TensorFlow is settled there before any model is unpacked."""
    with _one_at_a_time:
        os.environ["MEDXFER_THREADS"] = str(wanted)
        return _unpacked(packed.tobytes())(fit)


@lru_cache(maxsize=1)  # a comparison is opened once, and kept until the next
def _unpacked(packed: bytes) -> Run:
    if b"keras" in packed or b"tensorflow" in packed:  # a model, or a strategy that imports it
        settle_tensorflow()
    return cast(Run, pickle.loads(packed))


# --- the file of rows -----------------------------------------------------------------------------


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
    OSError
        If a row cannot be written: the disk is full, for one. The file ends with the row before.
    """

    def __init__(
        self, path: Path, cohorts: Sequence[Cohort], seed: int, columns: Sequence[str]
    ) -> None:
        self.path, self.columns = Path(path), columns
        self.path.parent.mkdir(parents=True, exist_ok=True)
        about = {"cohorts": _fingerprint(cohorts), "seed": seed, "columns": list(columns)}
        head = json.dumps(about).encode() + b"\n"
        text = self.path.read_bytes() if self.path.exists() else b""
        if not head.startswith(text[: len(head)]):
            raise ValueError(
                f"{self.path} is not the journal of these cohorts and measures with seed {seed}: "
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
        """Write a line, or none of it: a row that followed half a line would be lost with it."""
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())  # the power may fail
        except OSError as problem:
            with suppress(OSError):  # where nothing could be opened, nothing is half written
                os.truncate(self.path, size)
            why = f"{problem.strerror}; earlier rows are kept, and the same call goes on from them"
            raise OSError(problem.errno, why, str(self.path)) from problem


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
