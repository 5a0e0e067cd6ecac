"""Fits that come out the same wherever they run: here, in other processes, on a cluster.

Each starts from its own seed, with as many threads as the caller has, and never beside another fit
of its process. A worker that dies costs time, and no result.
"""

from __future__ import annotations

import os
import pickle
import random
import sys
import threading
import uuid
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import lru_cache
from typing import Any, Protocol, cast

import cloudpickle
import joblib
import numpy as np
import threadpoolctl
from joblib.externals.loky.process_executor import TerminatedWorkerError
from joblib.parallel import get_active_backend
from numpy.typing import NDArray

import medxfer_utils
from medxfer_utils import seed_tensorflow, settle_tensorflow, threads
from medxfer_utils._journal import Fit, Row, fit_of


class Question(Protocol):
    """A comparison, with all that a process must know to run any of its fits."""

    def row(self, fit: Fit) -> Row:
        """Run one fit, within `alone`, and judge it."""
        ...

    def row_of_dead(self, fit: Fit) -> Row:
        """Make the row of a fit that ends its process each time."""
        ...


# --- what makes a fit the same in every process ---------------------------------------------------

# Compiled networks are shared within a process, and Dask may give a worker several threads.
_one_at_a_time = threading.RLock()


@contextmanager
def alone(seed: int, allowed: int) -> Iterator[None]:
    """Run the block beside no other fit, from `seed`, with `allowed` threads and no processes.

    Parameters
    ----------
    seed : int
        For Python's, NumPy's, TensorFlow's and Keras's generators; taken modulo 2**32.
    allowed : int
        Threads of the numerical libraries, as `allowed` gives them.
    """
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
def chance_kept() -> Iterator[None]:
    """Leave the caller's global chance as it was; Keras begins anew from the caller's seed."""
    kept, own, numbers = medxfer_utils._seed, random.getstate(), np.random.get_state()
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


def rows(question: Question, fits: Sequence[Fit], n_jobs: int | None) -> Generator[Row, None, None]:
    """Give the rows of all fits, each once, as they come.

    Close it if you do not want all: its workers would go on, and end within a later comparison.

    Parameters
    ----------
    question : Question
        The comparison; it goes to other processes by cloudpickle.
    fits : sequence of Fit
        Which of its fits to run; all distinct.
    n_jobs : int or None
        Processes on this machine; None: what `joblib.parallel_config` says.

    Yields
    ------
    dict
        The row of a fit; of a fit that has ended three workers, its `row_of_dead`.
    """
    with_dask = n_jobs is None and hasattr(get_active_backend()[0], "client")
    # Processes, whatever joblib's backend: on a cluster a fit that dies would be waited for, and
    # threads would wait for the fit that began them, if an arm makes a comparison of its own.
    local = joblib.parallel_config(backend="loky") if n_jobs is not None else nullcontext()
    with local:
        alone_here = not with_dask and joblib.effective_n_jobs(n_jobs) == 1
    if alone_here:
        yield from map(question.row, fits)
        return
    with nullcontext() if with_dask else _restarts_unmentioned():
        yield from _rows_of_workers(question, fits, n_jobs, with_dask)


@contextmanager
def _restarts_unmentioned() -> Iterator[None]:
    """Hide that loky replaces a worker whose memory has grown, as it does with TensorFlow.

    Such a worker leaves after it has sent its result, and what waits goes to the new one; one that
    dies in a fit is an error, not this warning. Where warnings are errors, this one would end the
    thread that collects the results, and the caller would wait for ever.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were", UserWarning)
        yield


def _rows_of_workers(
    question: Question, fits: Sequence[Fit], n_jobs: int | None, with_dask: bool
) -> Iterator[Row]:
    """The rows of all fits by worker processes, some of which may die.

    New workers go on with what is left. After two deaths without a row between, the first fit runs
    alone; if that kills its worker too, the fit is at fault, and that is its row.
    """
    todo, packed, deaths = dict.fromkeys(fits), _packed(question), 0
    while todo:
        some = list(todo)[: 1 if deaths == 2 else None]
        try:
            with closing(_streamed(packed, some, n_jobs, with_dask)) as stream:
                for row in stream:
                    del todo[fit_of(row)]
                    deaths = 0
                    yield row
        except Exception as problem:
            if not _is_death(problem):
                raise
            deaths += 1
        if deaths == 3:
            del todo[some[0]]
            deaths = 0
            yield question.row_of_dead(some[0])


def _streamed(
    packed: bytes, fits: Sequence[Fit], n_jobs: int | None, with_dask: bool
) -> Generator[Row, None, None]:
    """Rows of workers in the order in which they come; few fits are on their way at a time."""
    blob = np.frombuffer(packed, np.uint8)  # a large array goes to each process only once
    backend = _telling(blob) if with_dask else "loky" if n_jobs is not None else None
    parallel = joblib.Parallel(
        n_jobs, backend=backend, return_as="generator_unordered", batch_size=1
    )
    keras = "tensorflow" in sys.modules and b"keras" in packed
    call = joblib.delayed(_row_of_worker)
    name = uuid.uuid4().hex
    stream = parallel(call(name, blob, threads(), keras, fit) for fit in fits)
    return cast("Generator[Row, None, None]", stream)


def _packed(question: Question) -> bytes:
    """The question as bytes: by cloudpickle, which takes lambdas and what a notebook defines."""
    try:
        return cast(bytes, cloudpickle.dumps(question))
    except Exception as problem:
        problem.add_note("The arms, with all that they refer to, must go to other processes.")
        raise


_opened: dict[str, Question] = {}  # in a worker: the newest question


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
