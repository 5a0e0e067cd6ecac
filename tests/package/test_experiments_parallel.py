"""The comparison in several processes, on a cluster, interrupted, and going on from its file."""

from __future__ import annotations

import errno
import json
import os
import resource
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from joblib.externals.loky.process_executor import TerminatedWorkerError
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from medxfer_utils import _fits, threads
from medxfer_utils._fits import Journal
from medxfer_utils.cohorts import Cohort, split
from medxfer_utils.experiments import USUAL, learning_curve
from medxfer_utils.models import Classical, Model, Strategy, Training, image_network, train
from tests.faults import untold

SIZES, REPEATS, SEED = (8, 16), 2, 3


def images(n: int, seed: int) -> Cohort:
    """Noise of 16 × 16 pixels, brighter in those who are ill; every patient has two images."""
    rng = np.random.default_rng(seed)
    y = np.repeat(rng.permutation(np.arange(n) % 2), 2)
    x = rng.normal(0.15 * y[:, None, None], 1.0, (2 * n, 16, 16))
    return Cohort("noise", x, y, np.repeat(np.arange(n), 2))


# More than a megabyte: joblib hands it over by file, not in a message.
POOL, TEST = split(images(400, 0), (0.8, 0.2), np.random.default_rng(1))


def flat_regression() -> Strategy:
    """Logistic regression on all pixels."""

    class Flat(Classical):
        def probability(self, x: Any) -> Any:
            return super().probability(x.reshape(len(x), -1))

    return lambda labelled, seed: Flat(
        LogisticRegression().fit(labelled.x.reshape(len(labelled), -1), labelled.y)
    )


def strategies() -> dict[str, Strategy]:
    """A small network, a regression, one that lives by chance, one whose sums need an order."""
    start = image_network((16, 16, 1), filters=(4, 8), seed=1)
    training = Training(steps=12, batch=8)

    def prepare(x: Any) -> Any:
        return x[..., None].astype("float32")

    def network(labelled: Cohort, seed: int) -> Model:
        return Model(train(start, prepare(labelled.x), labelled.y, training, seed), prepare)

    class Chance:
        def probability(self, x: Any) -> Any:
            forest = RandomForestClassifier(5).fit(x[:, 0], x[:, 1, 0] > 0)
            p = forest.predict_proba(x[:, 2])[:, 1] + np.abs(x[:, 3, :5] @ np.random.rand(5))
            return p / (1 + p.max())

    class Mean:
        def probability(self, x: Any) -> Any:
            return 1 / (1 + np.exp(-20 * x.mean(axis=(1, 2))))

    chance: Strategy = lambda labelled, seed: Chance()  # noqa: E731
    mean: Strategy = lambda labelled, seed: Mean()  # noqa: E731
    return {"network": network, "regression": flat_regression(), "chance": chance, "mean": mean}


def swapped(cohort: Cohort) -> Cohort:
    """The same patients, their images a view whose numbers lie far apart in memory."""
    film = np.stack([np.ascontiguousarray(np.moveaxis(cohort.x, 0, -1))] * 2, axis=-1)
    return Cohort("views", np.moveaxis(film[..., 0], -1, 0), cohort.y, cohort.patient)


def curve(some: dict[str, Strategy], **where: Any) -> pd.DataFrame:
    return learning_curve(some, POOL, TEST, SIZES, REPEATS, SEED, **where)


def assert_same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """All but the time is the same to the bit, in whatever order the fits were asked for."""
    index = ["strategy", "n", "repeat"]
    one, other = (
        frame.drop(columns="seconds").set_index(index).sort_index() for frame in (one, other)
    )
    assert (one["error"] == "").all(), one["error"].unique()
    pd.testing.assert_frame_equal(one, other, check_exact=True)


class Fits:
    """Strategies that leave a file for each fit, so that fits of all processes can be counted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def __len__(self) -> int:
        return len(list(self.folder.glob("*.fit")))

    def strategy(
        self, happens: Callable[[Cohort, int], None] = lambda labelled, seed: None
    ) -> Strategy:
        folder, regression = self.folder, flat_regression()

        def fit(labelled: Cohort, seed: int) -> Any:
            happens(labelled, seed)
            (folder / f"{uuid.uuid4().hex}.fit").touch()
            return regression(labelled, seed)

        return fit

    def once(self, n: int, what: Callable[[], None]) -> Strategy:
        """A strategy to which something happens at its first fit with `n` patients."""
        mark = self.folder / "happened"

        def happens(labelled: Cohort, seed: int) -> None:
            if len(labelled.patients) == n and not mark.exists():
                mark.touch()
                what()

        return self.strategy(happens)


@pytest.fixture
def fits(tmp_path: Path) -> Fits:
    return Fits(tmp_path / "fits")


# --- the same rows everywhere ---------------------------------------------------------------------


def test_two_processes_and_a_cluster_give_the_same_bits_in_any_order() -> None:
    pool, test = swapped(POOL), swapped(TEST)
    alone = learning_curve(strategies(), pool, test, SIZES, REPEATS, SEED)
    backwards = dict(reversed(strategies().items()))
    assert_same(learning_curve(backwards, pool, test, SIZES[::-1], REPEATS, SEED, n_jobs=2), alone)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as two,
        Client(two),
        joblib.parallel_config(backend="dask"),
    ):
        assert_same(learning_curve(strategies(), pool, test, SIZES, REPEATS, SEED), alone)


def test_workers_have_as_many_threads_as_the_caller_and_fit_one_at_a_time(tmp_path: Path) -> None:
    busy = tmp_path / "busy"

    def counts(labelled: Cohort, seed: int) -> Any:
        import tensorflow as tf
        import threadpoolctl

        busy.touch(exist_ok=os.getpid() != caller)
        np.linalg.svd(np.random.rand(300, 300))  # lets another thread in
        busy.unlink(missing_ok=True)
        used = {library["num_threads"] for library in threadpoolctl.threadpool_info()}
        used |= {threads(), tf.config.threading.get_intra_op_parallelism_threads()}
        # A comparison within a fit stays in its process, whatever it asks for.
        used |= {joblib.effective_n_jobs(2)} - {1}
        raise ValueError(f"{os.getpid()} {sorted(used)}")

    caller = os.getpid()
    for backend in ("loky", "threading"):
        with (
            joblib.parallel_config(backend=backend, n_jobs=2),
            pytest.warns(RuntimeWarning, match="8 of 8 fits failed"),
        ):
            frame = curve({"a": counts, "b": counts})
        process, used = zip(*frame["error"].str.extract(r"(\d+) (\[.*\])").to_numpy(), strict=True)
        assert set(used) == {f"[{threads()}]"}, frame["error"].unique()
        assert (str(caller) in process) == (backend == "threading")


def test_strategies_that_cannot_travel_are_refused_with_a_reason() -> None:
    lock = _fits._one_at_a_time
    held = {"holds a lock": lambda labelled, seed: lock}
    with pytest.raises(TypeError, match="cannot pickle") as refused:
        curve(held, n_jobs=2)  # type: ignore[arg-type]
    assert "must go to other processes" in refused.value.__notes__[0]


# --- interrupted ----------------------------------------------------------------------------------


def interrupt() -> None:
    raise KeyboardInterrupt


INDEX = ["strategy", "n", "repeat"]
STOPS: dict[str, tuple[int | None, Any, type[BaseException], str | None]] = {
    "alone": (None, interrupt, KeyboardInterrupt, None),
    "two": (2, interrupt, KeyboardInterrupt, None),
    "killed": (2, lambda: os._exit(1), TerminatedWorkerError, "terminated"),
    "disk full": (2, lambda: None, OSError, "No space left on device; earlier rows are kept"),
}


@pytest.mark.parametrize("stop", STOPS)
def test_a_grid_that_was_stopped_goes_on_from_its_rows(
    stop: str, fits: Fits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, (n_jobs, what, raised, words) = tmp_path / "new folder" / "rows.jsonl", STOPS[stop]
    some, sync, written = {"calm": fits.strategy(), "stops": fits.once(16, what)}, os.fsync, []

    def full(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) == 3:  # after the first line and one row
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full if stop == "disk full" else sync)
    with pytest.raises(raised, match=words):
        curve(some, n_jobs=n_jobs, journal=journal)
    before = len(fits)
    time.sleep(0.5 * (n_jobs == 2))  # nobody works on
    assert len(fits) == before < 8
    text = journal.read_text()
    stored = [json.loads(line) for line in text.splitlines()[1:]]
    assert text.endswith("\n")  # nothing is half written
    assert len(stored) <= before
    frame = curve(some, n_jobs=n_jobs, journal=journal)
    assert len(fits) - before == 8 - len(stored)
    assert_same(frame, curve({name: flat_regression() for name in some}))
    seconds = frame.set_index(INDEX)["seconds"]
    assert all(seconds[tuple(row[key] for key in INDEX)] == row["seconds"] for row in stored)
    pd.testing.assert_frame_equal(curve(some, journal=journal), frame, check_exact=True)
    assert len(fits) - before == 8 - len(stored)


def test_a_half_written_line_is_dropped_and_written_again(fits: Fits, tmp_path: Path) -> None:
    some, journal = {"calm": fits.strategy()}, tmp_path / "rows.jsonl"
    whole = curve(some, journal=journal)
    text = journal.read_bytes()
    last = len(text.splitlines(keepends=True)[-1])
    for kept, again in ((-3, 1), (1 - last, 1), (20, 4)):  # in the last line, and in the first
        journal.write_bytes(text[:kept])
        before = len(fits)
        assert_same(curve(some, journal=journal), whole)
        lines = journal.read_bytes().splitlines()
        assert (len(fits) - before, lines[0]) == (again, text.splitlines()[0])
        assert [json.loads(line)["n"] for line in lines[1:]] == [8, 16, 8, 16]


def test_a_row_that_does_not_fit_on_the_disk_leaves_nothing_of_itself(tmp_path: Path) -> None:
    path, columns = tmp_path / "rows.jsonl", (*INDEX, "error")
    row = {"strategy": "a", "n": 8, "repeat": 0, "error": ""}
    journal = Journal(path, (POOL, TEST), SEED, columns)
    journal.add(row)
    there, unlimited = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(there) + 10, unlimited[1]))
    try:
        with pytest.raises(OSError, match=r"File too large.*rows\.jsonl"):
            journal.add(row | {"repeat": 1})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert path.read_bytes() == there
    journal.add(row | {"repeat": 2})
    rows = Journal(path, (POOL, TEST), SEED, columns).rows
    assert [fit.repeat for fit in rows] == [0, 2]
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match=r"Is a directory; earlier rows are kept.*rows\.jsonl"):
        journal.add(row)


def test_more_is_added_to_a_journal_and_a_failed_fit_is_told_and_tried_again(
    fits: Fits, tmp_path: Path
) -> None:
    def fail() -> None:
        raise ValueError("no luck")

    journal = tmp_path / "rows.jsonl"
    some = {"fails once": fits.once(16, fail), "calm": fits.strategy()}
    with pytest.warns(RuntimeWarning, match="1 of 8 fits failed.*'fails once' with 16 .*no luck"):
        frame = curve(some, journal=journal)
    assert frame["error"].tolist() == ["", "", "ValueError: no luck", *[""] * 5]
    assert frame.loc[2, list(USUAL)].isna().all()
    assert len(fits) == 7
    assert_same(curve(some, journal=journal), curve({name: flat_regression() for name in some}))
    assert len(fits) == 8
    more = learning_curve(some, POOL, TEST, (8, 16, 32, 8), 3, SEED, journal=journal)
    assert (len(more), len(fits)) == (24, 18)  # a size asked for twice is fitted once
    assert (len(curve(some, journal=journal)), len(fits)) == (8, 18)


def other_pool(what: str) -> Cohort:
    """The pool, changed in one value."""
    pool = Cohort("p", POOL.x.copy(), POOL.y.copy(), POOL.patient.astype(object))
    pool.x[0, 0, 0] += 1e-12 * (what == "image")
    pool.y[:2] = 1 - pool.y[:2] if what == "diagnosis" else pool.y[:2]
    pool.patient[:2] = -1 if what == "patient" else pool.patient[:2]
    return pool


def test_what_cannot_be_answered_from_a_journal_is_refused_before_any_fit(
    fits: Fits, tmp_path: Path
) -> None:
    some, journal = {"calm": fits.strategy()}, tmp_path / "rows.jsonl"
    usual = {"pool": other_pool(""), "test": TEST, "sizes": SIZES, "repeats": 1, "seed": SEED}
    ask: Any = lambda _, change: learning_curve(some, **usual | change, journal=journal)  # noqa: E731
    impossible = {
        "size": ({"sizes": (8, 321)}, "Cannot draw 321 patients"),
        "patients": ({"test": POOL}, "share 320 patients"),
        "measure": ({"measures": ("AUROC", "F1")}, "No measure is called 'F1'"),
    }
    assert untold(impossible, ask, ValueError) == {}
    assert (len(fits), journal.exists()) == (0, False)
    ask("", {})
    text, changes = journal.read_bytes(), ("image", "diagnosis", "patient")
    other: list[dict[str, Any]] = [{"pool": other_pool(what)} for what in changes]
    other += [{"seed": SEED + 1}, {"measures": USUAL[:1]}]
    words = r"rows\.jsonl is not the journal of these"
    assert untold({str(k): (o, words) for k, o in enumerate(other)}, ask, ValueError) == {}
    assert (len(fits), journal.read_bytes()) == (2, text)
    broken, foreign = "line 2, is not a row", b"strategy,n\nno line break at the end"
    faults = {text.replace(b'"n": 8', wrong, 1): broken for wrong in (b'"m": 8', b'"n": \xff')}
    for content, said in (faults | {foreign: words}).items():
        journal.write_bytes(content)
        assert untold({said: ({}, said)}, ask, ValueError) == {}
        assert (len(fits), journal.read_bytes()) == (2, content)
