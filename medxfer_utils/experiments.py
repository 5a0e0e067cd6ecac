"""Strategies × label budgets × repeats: the comparison that every results table comes from.

The fits of a grid are independent of each other, so they can run in several processes and on
several machines, through joblib, and a grid that was interrupted can go on from its journal. None
of that changes a digit of the results.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import threadpoolctl
from joblib.externals.loky.process_executor import TerminatedWorkerError
from joblib.parallel import get_active_backend
from numpy.typing import NDArray
from tqdm import tqdm

import medxfer_utils
from medxfer_utils import metrics, seed_tensorflow, settle_tensorflow, threads
from medxfer_utils.cohorts import Cohort, draw, require_disjoint


class Predicts(Protocol):
    """Anything that turns raw features (n, d) into probabilities of the disease (n,)."""

    def probability(self, x: NDArray[np.floating]) -> NDArray[np.floating]: ...


class Classical:
    """A scikit-learn classifier with `predict_proba`, as the experiments want it."""

    def __init__(self, fitted: Any) -> None:
        self.fitted = fitted

    def probability(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        """Probability of class 1, shape (n,)."""
        return np.asarray(self.fitted.predict_proba(x))[:, 1]


Arm = Callable[[Cohort, int], Predicts]
Row = dict[str, Any]
MEASURES = ("AUROC", "accuracy", "Brier", "log loss", "average precision", "calibration slope")
COLUMNS = ("strategy", "n", "repeat", *MEASURES, "rows", "seconds", "error")
WORKER_DIED = "worker died"


def learning_curve(
    arms: Mapping[str, Arm],
    pool: Cohort,
    test: Cohort,
    sizes: Sequence[int],
    repeats: int,
    seed: int,
    *,
    n_jobs: int | None = None,
    journal: Path | None = None,
) -> pd.DataFrame:
    """Train every arm on the same draws of labelled patients and test it on the same others.

    Where the fits run is decided by `n_jobs` and by `joblib.parallel_config`, and changes nothing
    but the time: each fit starts from its own seed, with as many threads as the caller has, and
    never beside another fit of its process. An arm must not remember earlier fits. What it needs
    goes to the other processes by cloudpickle, so it may be a lambda of a notebook and hold Keras
    models; its libraries must be installed there. Python's, NumPy's and Keras's global random
    states are afterwards what they were.

    Parameters
    ----------
    arms : mapping of str to callable
        Name of the strategy, and a function (labelled patients, seed) -> model. The seed is for
        the arm's own chance (initial weights, trees); it is the same for all arms of a draw.
    pool, test : Cohort
        The target's training patients, of whom some get a label, and its test patients.
    sizes : sequence of int
        Numbers of labelled patients. Draws of one repeat are nested.
    repeats : int
        Draws for each size.
    seed : int
        Decides the draws; at least 0.
    n_jobs : int, optional
        Processes on this machine. By default what `joblib.parallel_config` says, and without it
        this process alone.
    journal : Path, optional
        File that gets each row as soon as it is there, one line of JSON for each. A call that
        finds rows of its own in it does not fit them again, except for failed ones. It knows the
        patients and the seed of its comparison, but not the code of the arms: name it by commit.

    Returns
    -------
    DataFrame
        One row a fit, by repeat, then size, then arm: strategy, n (labelled patients), repeat,
        AUROC and average precision (of the log odds where the model has them), accuracy (at 0.5),
        Brier, log loss, calibration slope (NaN where there is none), rows (labelled ones, of all n
        patients), seconds (processor time of the fit), error (empty, or why the fit failed:
        the measures are then NaN). Failed fits are counted in a warning.

    Raises
    ------
    ValueError
        If a patient is in both cohorts, a size cannot be drawn, or the journal is one of other
        patients or of another seed. No fit has been run then.
    """
    require_disjoint(pool, test)
    fits = [Fit(name, int(n), k) for k in range(repeats) for n in sizes for name in arms]
    _require_drawn(pool, fits, seed)
    question = _Question(dict(arms), pool, test, seed, _allowed())
    book = _Journal(journal, question) if journal else None
    done = {fit: row for fit, row in (book.rows if book else {}).items() if fit in set(fits)}
    todo = [fit for fit in fits if fit not in done]
    with tqdm(total=len(fits), initial=len(done), unit="fit", disable=None) as bar, _chance_kept():
        for row in _rows(question, todo, n_jobs):
            done[_fit_of(row)] = row
            if book:
                book.add(row)
            bar.update()
    _warn_of_failures([done[fit] for fit in fits])
    return pd.DataFrame([done[fit] for fit in fits], columns=list(COLUMNS))


def ranking(model: Predicts, x: NDArray[np.floating]) -> NDArray[np.floating]:
    """What to rank patients by, shape (n,): log odds where the model has them.

    Log odds beyond about 37 all become a probability of exactly 1, and those patients would tie.
    """
    return cast(NDArray[np.floating], getattr(model, "logit", model.probability)(x))


def score(y: NDArray[np.integer], p: NDArray[np.floating]) -> dict[str, float]:
    """AUROC, accuracy at 0.5, Brier score and log loss of probabilities `p` for labels `y`."""
    return {
        "AUROC": metrics.auroc(y, p),
        "accuracy": metrics.operating_point(y, p, 0.5)["accuracy"],
        "Brier": metrics.brier(y, p),
        "log loss": metrics.log_loss(y, p),
    }


# --- one fit --------------------------------------------------------------------------------------


class Fit(NamedTuple):
    """Which fit of a comparison: the name of its arm, the labelled patients, the draw."""

    strategy: str
    n: int
    repeat: int


@dataclass(frozen=True, eq=False)
class _Question:
    """A comparison, but for its sizes: all that a process must know to run any of its fits."""

    arms: dict[str, Arm]
    pool: Cohort
    test: Cohort
    seed: int
    allowed: int  # threads of the numerical libraries

    def row(self, fit: Fit) -> Row:
        """Run one fit and judge it. What goes wrong in it is part of the result."""
        own = 1000 * self.seed + fit.repeat
        with _alone(own, self.allowed):
            labelled = _drawn(self.pool, fit, self.seed)
            start = time.process_time()  # other programs on the machine do not count
            try:
                model = self.arms[fit.strategy](labelled, own)
                seconds = time.process_time() - start
                judged, error = _judged(model, self.test), ""
            except Exception as problem:
                seconds = time.process_time() - start
                judged, error = {}, f"{type(problem).__name__}: {problem}"
        return _row(fit, judged, len(labelled), seconds, error)


def _row(fit: Fit, judged: dict[str, float], rows: int, seconds: float, error: str) -> Row:
    """One row of the table; measures that are not there are NaN."""
    values = {name: float(judged.get(name, np.nan)) for name in MEASURES}
    return fit._asdict() | values | {"rows": rows, "seconds": seconds, "error": error}


def _fit_of(row: Row) -> Fit:
    return Fit(row["strategy"], row["n"], row["repeat"])


def _judged(model: Predicts, test: Cohort) -> dict[str, float]:
    p, rank = model.probability(test.x), ranking(model, test.x)
    return score(test.y, p) | {
        "AUROC": metrics.auroc(test.y, rank),
        "average precision": metrics.average_precision(test.y, rank),
        "calibration slope": metrics.calibration(test.y, p)[1],
    }


def _drawn(pool: Cohort, fit: Fit, seed: int) -> Cohort:
    return draw(pool, fit.n, np.random.default_rng([seed, fit.repeat]))


def _require_drawn(pool: Cohort, fits: Sequence[Fit], seed: int) -> None:
    """Raise ValueError now if any draw is impossible; the images of a pool are not copied."""
    patients = replace(pool, x=np.empty((len(pool), 0)))
    for fit in {fit._replace(strategy="") for fit in fits}:
        _drawn(patients, fit, seed)


def _warn_of_failures(rows: Sequence[Row]) -> None:
    if failed := [row for row in rows if row["error"]]:
        strategy, n, repeat = _fit_of(failed[0])
        warnings.warn(
            f"{len(failed)} of {len(rows)} fits failed and have no measures. The first is "
            f"{strategy!r} with {n} patients, repeat {repeat}: {failed[0]['error']}",
            RuntimeWarning,
            stacklevel=3,
        )


# --- what makes a fit the same in every process ---------------------------------------------------

# Compiled networks are shared within a process, and Dask may give a worker several threads.
_one_at_a_time = threading.RLock()


@contextmanager
def _alone(seed: int, allowed: int) -> Iterator[None]:
    """Run the block beside no other fit, from `seed`, with `allowed` threads and no processes."""
    limits = _libraries(len(sys.modules)).limit(limits=allowed)
    # Without this a forest within a Dask worker would send its trees back to the cluster.
    inner = joblib.parallel_config(backend="threading", n_jobs=1)
    with _one_at_a_time, limits, inner:
        _seed(seed % 2**32)
        yield


def _seed(seed: int) -> None:
    """Seed every global generator. TensorFlow's only if need be: it then compiles anew, slowly."""
    if not _untouched(seed):
        seed_tensorflow(seed)
    random.seed(seed)
    np.random.seed(seed)


def _untouched(seed: int) -> bool:
    """Tell whether TensorFlow and Keras stand as `seed_tensorflow(seed)` has left them."""
    if "keras" not in sys.modules or medxfer_utils._seed != seed:
        return False
    # Neither says in public how far its generator has got.
    from keras.src.backend.common import global_state
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
    from tensorflow.python.eager.context import context

    numbers = context()._rng
    fresh = random.Random(seed).getstate()
    used = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
    return used is None and numbers is not None and bool(numbers.getstate() == fresh)


@contextmanager
def _chance_kept() -> Iterator[None]:
    """Leave the caller's global chance as it was; Keras begins anew from the caller's seed."""
    kept, own, numbers = medxfer_utils._seed, random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        seed_tensorflow(kept)
        random.setstate(own)
        np.random.set_state(numbers)


def _allowed() -> int:
    """Threads of a fit: those of `threads`, fewer if the caller has limited its libraries so."""
    used = [int(library["num_threads"]) for library in threadpoolctl.threadpool_info()]
    return min([threads(), *used])


@lru_cache(maxsize=1)
def _libraries(modules: int) -> threadpoolctl.ThreadpoolController:
    """The numerical libraries of this process; looked for again once `modules` has changed."""
    return threadpoolctl.ThreadpoolController()


# --- where the fits run ---------------------------------------------------------------------------


def _rows(question: _Question, fits: Sequence[Fit], n_jobs: int | None) -> Iterator[Row]:
    """The rows of all fits, as they come."""
    with_dask = n_jobs is None and hasattr(get_active_backend()[0], "client")
    if with_dask or joblib.effective_n_jobs(n_jobs) > 1:
        return _rows_of_workers(question, fits, n_jobs, with_dask)
    return map(question.row, fits)


def _rows_of_workers(
    question: _Question, fits: Sequence[Fit], n_jobs: int | None, with_dask: bool
) -> Iterator[Row]:
    """The rows of all fits by worker processes, some of which may die.

    New workers go on with what is left. After two deaths without a row between, the first fit runs
    alone; if that kills its worker too, the fit is at fault, and that is its row.
    """
    todo, packed, deaths = dict.fromkeys(fits), _packed(question), 0
    while todo:
        some = list(todo)[: 1 if deaths == 2 else None]
        try:
            with closing(_streamed(packed, some, n_jobs, with_dask)) as rows:
                for row in rows:
                    del todo[_fit_of(row)]
                    deaths = 0
                    yield row
        except Exception as problem:
            if not _is_death(problem):
                raise
            deaths += 1
        if deaths == 3:
            del todo[some[0]]
            deaths = 0
            rows_drawn = len(_drawn(question.pool, some[0], question.seed))
            yield _row(some[0], {}, rows_drawn, np.nan, WORKER_DIED)


def _streamed(
    packed: bytes, fits: Sequence[Fit], n_jobs: int | None, with_dask: bool
) -> Generator[Row, None, None]:
    """Rows of workers in the order in which they come; few fits are on their way at a time."""
    blob = np.frombuffer(packed, np.uint8)  # a large array goes to each process only once
    backend = _telling(blob) if with_dask else None
    parallel = joblib.Parallel(
        n_jobs, backend=backend, return_as="generator_unordered", batch_size=1
    )
    keras = "tensorflow" in sys.modules and b"keras" in packed
    call = joblib.delayed(_row_of_worker)
    name = uuid.uuid4().hex
    rows = parallel(call(name, blob, threads(), keras, fit) for fit in fits)
    return cast("Generator[Row, None, None]", rows)


def _packed(question: _Question) -> bytes:
    """The question as bytes: by cloudpickle, which takes lambdas and what a notebook defines."""
    try:
        return cast(bytes, cloudpickle.dumps(question))
    except Exception as problem:
        problem.add_note("The arms, with all that they refer to, must go to other processes.")
        raise


_opened: dict[str, _Question] = {}  # in a worker: the newest question


def _row_of_worker(name: str, blob: NDArray[np.uint8], wanted: int, keras: bool, fit: Fit) -> Row:
    """One fit in a worker, which opens a question once and then keeps it until the next."""
    with _one_at_a_time:
        if "tensorflow" in sys.modules and threads() != wanted:
            raise RuntimeError(
                f"A worker has computed with MEDXFER_THREADS={threads()} before, and now shall "
                f"with {wanted}, which TensorFlow cannot: restart the workers (or the kernel)."
            )
        os.environ["MEDXFER_THREADS"] = str(wanted)
        if keras:
            settle_tensorflow()  # before any model is unpickled
        if name not in _opened:
            _opened.clear()
            _give_dask_its_own_chance()
            _opened[name] = pickle.loads(blob.data)
        return _opened[name].row(fit)


def _give_dask_its_own_chance() -> None:
    """Keep the other threads of a Dask worker from Python's global random numbers.

    They delay messages and weigh samples of data at random, at any time, and each number that they
    take would be missing in the fit.
    """
    for name, module in list(sys.modules.items()):
        of_dask = name.split(".")[0] in ("dask", "distributed", "tornado")
        if of_dask and getattr(module, "random", None) is random:
            module.random = random.Random()  # type: ignore[attr-defined]


def _is_death(problem: Exception) -> bool:
    """Tell whether a worker process, not the code, is the reason why a fit has no result."""
    # By name, since Dask is not installed with the book: a fit whose worker died too often, and
    # one whose data were on a worker that died.
    by_dask = {"KilledWorker", "CancelledError", "FutureCancelledError"}
    return isinstance(problem, TerminatedWorkerError) or type(problem).__name__ in by_dask


def _telling(blob: NDArray[np.uint8]) -> Any:
    """The Dask backend of joblib, with `blob` on every worker, that tells what Dask gives up.

    joblib (1.6.0) waits for ever for a task whose worker died too often: its callback comes with
    results only. And it runs everything in this process where a cluster has a single thread.
    """
    active = get_active_backend()[0]

    class Telling(type(active)):  # type: ignore[misc]
        def effective_n_jobs(self, n_jobs: int) -> int:
            return max(2, int(super().effective_n_jobs(n_jobs)))

        def submit(self, function: Any, callback: Callable[[Any], None]) -> Any:
            def tell(done: Any) -> None:
                if problem := done.exception():
                    callback(problem)

            future = super().submit(function, callback)
            future.add_done_callback(tell)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            if isinstance(out, BaseException):
                raise out
            return super().retrieve_result_callback(out)

    patience = active.wait_for_workers_timeout
    given = active.submit_kwargs
    return Telling(client=active.client, scatter=[blob], wait_for_workers_timeout=patience, **given)


# --- the journal ----------------------------------------------------------------------------------


class _Journal:
    """Finished rows in a file: a first line that says of which question, then one for each row.

    A line that ends with the file instead of a line break was being written when the process was
    killed; it is dropped.
    """

    def __init__(self, path: Path, question: _Question) -> None:
        self.path, self.rows = Path(path), dict[Fit, Row]()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        head = json.dumps({"cohorts": _fingerprint(question), "seed": question.seed}) + "\n"
        text = self.path.read_bytes() if self.path.exists() else b""
        if not head.encode().startswith(text[: len(head)]):
            raise ValueError(
                f"{self.path} is not the journal of these cohorts and seed {question.seed}: "
                "name another file for this comparison, or delete that one."
            )
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            os.truncate(self.path, len(whole))
        if not whole:
            self._append(head)
        self.rows = dict(self._read(whole.decode().splitlines()[1:]))

    def _read(self, lines: Sequence[str]) -> Iterator[tuple[Fit, Row]]:
        for number, line in enumerate(lines, start=2):
            try:
                row = json.loads(line)
                if not row["error"]:
                    yield _fit_of(row), {name: row[name] for name in COLUMNS}
            except (ValueError, KeyError, TypeError) as problem:
                raise ValueError(
                    f"{self.path}, line {number}, is not a row of results: delete the line, and "
                    "its fit will be run again."
                ) from problem

    def add(self, row: Row) -> None:
        """Append one row: Python writes floats so that they are read back to the bit."""
        self._append(json.dumps(row) + "\n")

    def _append(self, line: str) -> None:
        with self.path.open("ab", buffering=0) as file:
            file.write(line.encode())


def _fingerprint(question: _Question) -> str:
    """SHA-256 of what was measured, the diagnoses and the patient ids of both cohorts."""
    digest = hashlib.sha256()
    for cohort in (question.pool, question.test):
        for array in (cohort.x, cohort.y, cohort.patient):
            digest.update(f"{array.dtype} {array.shape} ".encode())
            # An array of objects holds addresses, which are new in every process.
            plain = repr(array.tolist()).encode() if array.dtype.hasobject else array
            digest.update(plain if isinstance(plain, bytes) else np.ascontiguousarray(plain).data)
    return digest.hexdigest()
