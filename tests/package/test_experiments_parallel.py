"""The comparison in several processes, on a cluster, interrupted, and with workers that die."""

from __future__ import annotations

import json
import os
import resource
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import joblib
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from joblib.externals.loky import get_reusable_executor
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from medxfer_utils import _fits as workers
from medxfer_utils import experiments, threads
from medxfer_utils._journal import Journal
from medxfer_utils.cohorts import Cohort, split
from medxfer_utils.experiments import Arm, Classical, learning_curve
from medxfer_utils.models.training import ImageModel, Recipe, image_network, train

SIZES, REPEATS, SEED = (8, 16), 2, 3


def images(n: int, seed: int) -> Cohort:
    """Noise of 16 × 16 pixels, brighter in those who are ill; every patient has two images."""
    rng = np.random.default_rng(seed)
    y = np.repeat(rng.permutation(np.arange(n) % 2), 2)
    x = rng.normal(0.15 * y[:, None, None], 1.0, (2 * n, 16, 16))
    return Cohort("noise", x, y, np.repeat(np.arange(n), 2))


# More than a megabyte: joblib hands it over by file, not in a message.
POOL, TEST = split(images(400, 0), (0.8, 0.2), np.random.default_rng(1))


def flat_regression() -> Arm:
    """Logistic regression on all pixels."""

    class Flat(Classical):
        def probability(self, x: Any) -> Any:
            return super().probability(x.reshape(len(x), -1))

    return lambda labelled, seed: Flat(
        LogisticRegression().fit(labelled.x.reshape(len(labelled), -1), labelled.y)
    )


def arms() -> dict[str, Arm]:
    """A small network, a regression, and one that lives by the global random states."""
    start = image_network((16, 16, 1), filters=(4, 8), seed=1)
    recipe = Recipe(steps=12, batch=8)

    def prepare(x: Any) -> Any:
        return x[..., None].astype("float32")

    def network(labelled: Cohort, seed: int) -> ImageModel:
        return ImageModel(train(start, prepare(labelled.x), labelled.y, recipe, seed), prepare)

    class Chance:
        def probability(self, x: Any) -> Any:
            import random

            import keras
            import tensorflow as tf

            numbers = [random.random(), np.random.rand(), float(keras.random.normal(()))]
            numbers += [float(tf.random.normal(())), float(keras.layers.Dense(1)(x[:1, 0])[0, 0])]
            forest = RandomForestClassifier(5).fit(x[:, 0], x[:, 1, 0] > 0)
            p = forest.predict_proba(x[:, 2])[:, 1] + np.abs(x[:, 3, :5] @ numbers)
            return p / (1 + p.max())

    chance: Arm = lambda labelled, seed: Chance()  # noqa: E731
    return {"network": network, "regression": flat_regression(), "chance": chance}


def curve(some: dict[str, Arm], **where: Any) -> pd.DataFrame:
    return learning_curve(some, POOL, TEST, SIZES, REPEATS, SEED, **where)


def assert_same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """All but the time is the same to the bit."""
    assert (one["error"] == "").all(), one["error"].unique()
    untimed, expected = (frame.drop(columns="seconds") for frame in (one, other))
    pd.testing.assert_frame_equal(untimed, expected, check_exact=True)


@pytest.fixture(scope="module")
def alone() -> pd.DataFrame:
    """The grid in this process."""
    return curve(arms())


@pytest.fixture(scope="module")
def cluster() -> Iterator[Client]:
    """Two worker processes with their scheduler, which gives a task up after two deaths."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as two,
        Client(two) as client,
    ):
        yield client


@pytest.fixture(params=["loky", "dask"])
def where(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Two workers of either kind; the value is what `learning_curve` is told."""
    if request.param == "loky":
        yield {"n_jobs": 2}
        return
    request.getfixturevalue("cluster")
    with joblib.parallel_config(backend="dask"):
        yield {}


class Fits:
    """Arms that leave a file for each fit, so that fits of all processes can be counted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.caller = folder, os.getpid()
        folder.mkdir()

    def __len__(self) -> int:
        return len(list(self.folder.glob("*.fit")))

    def arm(self, happens: Callable[[Cohort, int], None] = lambda labelled, seed: None) -> Arm:
        folder, regression = self.folder, flat_regression()

        def fit(labelled: Cohort, seed: int) -> Any:
            happens(labelled, seed)
            (folder / f"{uuid.uuid4().hex}.fit").touch()
            return regression(labelled, seed)

        return fit

    def once(self, n: int, what: Callable[[], None]) -> Arm:
        """An arm to which something happens at its first fit with `n` patients."""
        mark = self.folder / "happened"

        def happens(labelled: Cohort, seed: int) -> None:
            if len(np.unique(labelled.patient)) == n and not mark.exists():
                mark.touch()
                what()

        return self.arm(happens)


@pytest.fixture
def fits(tmp_path: Path) -> Fits:
    return Fits(tmp_path / "fits")


def ends_its_worker(caller: int) -> Callable[[], None]:
    """What ends the process in which it is called; never that of the caller."""

    def end() -> None:
        assert os.getpid() != caller, "the fit was run in the caller's process"
        os._exit(1)

    return end


# --- the same rows everywhere ---------------------------------------------------------------------


def test_two_workers_give_the_same_bits(alone: pd.DataFrame, where: dict[str, Any]) -> None:
    assert_same(curve(arms(), **where), alone)


def test_the_order_of_submission_changes_nothing(alone: pd.DataFrame) -> None:
    backwards = dict(reversed(arms().items()))
    other = learning_curve(backwards, POOL, TEST, SIZES[::-1], REPEATS, SEED, n_jobs=2)
    index = ["strategy", "n", "repeat"]
    one, other = (frame.set_index(index).sort_index() for frame in (alone, other))
    assert_same(other, one)


def test_workers_have_as_many_threads_as_the_caller(where: dict[str, Any]) -> None:
    class Counts:
        """One patient in each: what `threads`, the libraries and TensorFlow say."""

        def probability(self, x: Any) -> Any:
            import tensorflow as tf
            import threadpoolctl

            used = {library["num_threads"] for library in threadpoolctl.threadpool_info()}
            used |= {threads(), tf.config.threading.get_intra_op_parallelism_threads()}
            raise ValueError(f"{os.getpid()} {sorted(used)}")

    with pytest.warns(RuntimeWarning, match="4 of 4 fits failed"):
        frame = curve({"counts": lambda labelled, seed: Counts()}, **where)
    process, used = zip(*frame["error"].str.extract(r"(\d+) (\[.*\])").to_numpy(), strict=True)
    assert set(used) == {f"[{threads()}]"}
    assert str(os.getpid()) not in process


def test_two_threads_of_a_worker_never_fit_at_the_same_time(tmp_path: Path) -> None:
    busy = tmp_path / "busy"

    def fit(labelled: Cohort, seed: int) -> Any:
        busy.touch(exist_ok=False)
        np.linalg.svd(np.random.rand(300, 300))  # lets another thread in
        busy.unlink()
        return Classical(LogisticRegression().fit(labelled.x[:, 0], labelled.y))

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as one,
        Client(one),
        joblib.parallel_config(backend="dask"),
        pytest.warns(RuntimeWarning, match="fits failed"),  # it cannot judge images
    ):
        frame = learning_curve({"a": fit, "b": fit}, POOL, TEST, SIZES, 4, SEED)
    assert not frame["error"].str.startswith("FileExistsError").any()


def test_views_give_the_same_bits_as_what_travels() -> None:
    class Mean:
        def probability(self, x: Any) -> Any:
            return 1 / (1 + np.exp(-20 * x.mean(axis=(1, 2))))

    def swapped(cohort: Cohort) -> Cohort:
        """The same patients, their images a view whose numbers lie far apart in memory."""
        film = np.stack([np.ascontiguousarray(np.moveaxis(cohort.x, 0, -1))] * 2, axis=-1)
        return Cohort("views", np.moveaxis(film[..., 0], -1, 0), cohort.y, cohort.patient)

    mean: Arm = lambda labelled, seed: Mean()  # noqa: E731
    pool, test = swapped(POOL), swapped(TEST)
    here = learning_curve({"mean": mean}, pool, test, (8,), 1, SEED)
    there = learning_curve({"mean": mean}, pool, test, (8,), 1, SEED, n_jobs=2)
    assert_same(there, here)


def test_n_jobs_are_processes_of_this_machine_even_beside_a_cluster(cluster: Client) -> None:
    def fails(labelled: Cohort, seed: int) -> Any:
        raise ValueError(f"{os.getpid()}")

    of_cluster = {f"ValueError: {number}" for number in cluster.run(os.getpid).values()}
    with joblib.parallel_config(backend="dask"), pytest.warns(RuntimeWarning, match="4 of 4"):
        two, one = (set(curve({"fails": fails}, n_jobs=n)["error"]) for n in (2, 1))
    assert not two & of_cluster
    assert one == {f"ValueError: {os.getpid()}"}


def test_an_arm_may_make_a_comparison_in_several_processes_of_its_own(fits: Fits) -> None:
    inner, outer = {"inner": fits.arm()}, flat_regression()

    def compares(labelled: Cohort, seed: int) -> Any:
        curve(inner, n_jobs=2)
        return outer(labelled, seed)

    assert_same(curve({"compares": compares}), curve({"compares": outer}))
    assert len(fits) == 4 * 4


# --- workers that die -----------------------------------------------------------------------------


def test_a_grid_goes_on_when_a_worker_dies(where: dict[str, Any], fits: Fits) -> None:
    dying = {"dies once": fits.once(16, ends_its_worker(fits.caller)), "calm": fits.arm()}
    frame = curve(dying, **where)
    assert (fits.folder / "happened").exists()
    same = {name: flat_regression() for name in dying}
    assert_same(frame, curve(same))


def test_a_fit_that_always_kills_its_worker_is_one_failed_row(
    where: dict[str, Any], fits: Fits, tmp_path: Path
) -> None:
    end = ends_its_worker(fits.caller)

    def happens(labelled: Cohort, seed: int) -> None:
        if (len(np.unique(labelled.patient)), seed) == (16, 1000 * SEED):
            end()

    journal = tmp_path / "journal.jsonl"
    killing = {"calm": fits.arm(), "kills": fits.arm(happens)}
    with pytest.warns(RuntimeWarning, match="1 of 8 fits failed.*'kills' with 16.*worker died"):
        frame = curve(killing, journal=journal, **where)
    dead = frame.iloc[3]
    assert dead["error"] == "worker died"
    assert dead[["strategy", "n", "repeat", "rows"]].tolist() == ["kills", 16, 0, 32]
    assert dead[list(experiments.MEASURES)].isna().all()
    rest = curve({name: flat_regression() for name in killing}).drop(index=3)
    assert_same(frame.drop(index=3), rest)
    assert len(journal.read_text().splitlines()) == 1 + 8


def test_workers_whose_memory_grows_are_replaced_without_loss_or_mention(
    fits: Fits, recwarn: pytest.WarningsRecorder
) -> None:
    regression, pids = flat_regression(), fits.folder

    def grows(labelled: Cohort, seed: int) -> Any:
        from joblib.externals.loky import process_executor

        # Every worker is too large now, whenever it is asked, so it stops after its second fit.
        process_executor._MAX_MEMORY_LEAK_SIZE = -(10**15)
        process_executor._MEMORY_LEAK_CHECK_DELAY = -1.0
        (pids / f"{os.getpid()}").touch()
        return regression(labelled, seed)

    some: dict[str, Arm] = dict.fromkeys("ab", grows)
    get_reusable_executor().shutdown(wait=True)
    try:
        frame = curve(some, n_jobs=2)
    finally:
        get_reusable_executor().shutdown(wait=True)
    assert len(list(pids.iterdir())) > 2
    assert [str(warning.message) for warning in recwarn] == []
    assert_same(frame, curve(dict.fromkeys(some, regression)))


# --- interrupted ----------------------------------------------------------------------------------


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_an_interrupted_grid_goes_on_from_its_journal(
    n_jobs: int | None, fits: Fits, tmp_path: Path
) -> None:
    journal = tmp_path / "new folder" / "journal.jsonl"
    some = {"calm": fits.arm(), "stops": fits.once(16, interrupt)}
    with pytest.raises(KeyboardInterrupt):
        curve(some, n_jobs=n_jobs, journal=journal)
    stored = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    before = len(fits)
    assert 1 <= len(stored) <= before < 8
    frame = curve(some, n_jobs=n_jobs, journal=journal)
    assert len(fits) - before == 8 - len(stored)
    assert_same(frame, curve({name: flat_regression() for name in some}))
    at = frame.set_index(["strategy", "n", "repeat"])["seconds"]
    assert all(at[(row["strategy"], row["n"], row["repeat"])] == row["seconds"] for row in stored)
    pd.testing.assert_frame_equal(curve(some, journal=journal), frame, check_exact=True)
    assert len(fits) - before == 8 - len(stored)


@pytest.mark.filterwarnings("ignore:.*have been cancelled:UserWarning")
def test_workers_stop_at_once_when_the_journal_cannot_be_written(
    fits: Fits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[bool] = []

    def rows(*given: Any) -> Iterator[Any]:
        try:
            yield from original(*given)
        finally:
            stopped.append(True)

    def is_full(journal: Journal, row: Any) -> None:
        raise OSError("No space left on device")

    original = workers.rows
    monkeypatch.setattr(workers, "rows", rows)
    monkeypatch.setattr(Journal, "add", is_full)
    # The error, which a notebook keeps, keeps all that was going on.
    with pytest.raises(OSError, match="No space") as kept:
        curve({"calm": fits.arm()}, n_jobs=2, journal=tmp_path / "journal.jsonl")
    assert stopped, kept


def test_a_size_asked_for_twice_is_fitted_once(fits: Fits) -> None:
    frame = learning_curve({"calm": fits.arm()}, POOL, TEST, (8, 16, 8), 1, SEED)
    assert frame["n"].tolist() == [8, 16, 8]
    assert len(fits) == 2


def test_a_half_written_line_is_dropped_and_written_again(fits: Fits, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    whole = curve({"calm": fits.arm()}, journal=journal)
    text = journal.read_bytes()
    for cut in (3, len(text.splitlines(keepends=True)[-1]) - 1):  # bytes of the last line are lost
        journal.write_bytes(text[:-cut])
        before = len(fits)
        again = curve({"calm": fits.arm()}, journal=journal)
        assert len(fits) - before == 1
        assert_same(again, whole)
        assert [json.loads(line)["seed" if k == 0 else "n"] for k, line in
                enumerate(journal.read_text().splitlines())] == [3, 8, 16, 8, 16]  # fmt: skip
    journal.write_bytes(text[:20])  # killed while the first line was written
    assert_same(curve({"calm": fits.arm()}, journal=journal), whole)
    assert journal.read_bytes().splitlines()[0] == text.splitlines()[0]


def test_a_disk_that_is_full_is_told_and_costs_no_earlier_row(tmp_path: Path) -> None:
    path, columns = tmp_path / "journal.jsonl", ("strategy", "n", "repeat", "error")
    row = {"strategy": "a", "n": 8, "repeat": 0, "error": ""}
    journal = Journal(path, (POOL, TEST), SEED, columns)
    journal.add(row)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, unlimited[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            journal.add(row | {"repeat": 1})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    again = Journal(path, (POOL, TEST), SEED, columns)
    again.add(row | {"repeat": 2})
    rows = Journal(path, (POOL, TEST), SEED, columns).rows
    assert [fit.repeat for fit in rows] == [0, 2]


def test_more_arms_sizes_and_repeats_add_to_a_journal(fits: Fits, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    curve({"calm": fits.arm()}, journal=journal)
    two = {"calm": fits.arm(), "other": fits.arm()}
    frame = learning_curve(two, POOL, TEST, (8, 16, 32), 3, SEED, journal=journal)
    assert len(frame) == len(fits) == 18
    assert len(curve({"calm": fits.arm()}, journal=journal)) == 4
    assert len(fits) == 18


def test_a_failed_fit_is_counted_quoted_and_tried_again(fits: Fits, tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError("no luck")

    journal = tmp_path / "journal.jsonl"
    some = {"fails once": fits.once(16, fail), "calm": fits.arm()}
    with pytest.warns(RuntimeWarning, match="1 of 8 fits failed.*'fails once' with 16 .*no luck"):
        frame = curve(some, journal=journal)
    assert frame["error"].tolist() == ["", "", "ValueError: no luck", *[""] * 5]
    assert frame.loc[2, list(experiments.MEASURES)].isna().all()
    assert len(fits) == 7
    assert_same(curve(some, journal=journal), curve({name: flat_regression() for name in some}))
    assert len(fits) == 8


@pytest.mark.parametrize("what", ["seed", "image", "diagnosis", "patient", "foreign file"])
def test_a_journal_of_another_question_is_refused_and_left_alone(
    what: str, fits: Fits, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.jsonl"
    pool = Cohort("p", POOL.x.copy(), POOL.y.copy(), POOL.patient.astype(object))
    learning_curve({"calm": fits.arm()}, pool, TEST, SIZES, 1, SEED, journal=journal)
    if what == "foreign file":
        journal.write_text("strategy,n\nno line break at the end")
    there, before = journal.read_bytes(), len(fits)
    pool.x[0, 0, 0] += 1e-12 * (what == "image")
    pool.y[:2] = 1 - pool.y[:2] if what == "diagnosis" else pool.y[:2]
    pool.patient[:2] = "new" if what == "patient" else pool.patient[:2]
    names = Cohort("p", pool.x, pool.y, pool.patient.astype(str))
    seed = SEED + (what == "seed")
    with pytest.raises(ValueError, match=r"journal\.jsonl is not the journal of these cohorts"):
        learning_curve(
            {"calm": fits.arm()}, names if what == "patient" else pool, TEST, SIZES, 1, seed,
            journal=journal,
        )  # fmt: skip
    assert journal.read_bytes() == there
    assert len(fits) == before


@pytest.mark.parametrize("damage", [b'"m": 8', b'"n": \xff'])
def test_a_broken_line_of_a_journal_is_named(damage: bytes, fits: Fits, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    curve({"calm": fits.arm()}, journal=journal)
    journal.write_bytes(journal.read_bytes().replace(b'"n": 8', damage, 1))
    with pytest.raises(ValueError, match=r"journal\.jsonl, line 2, is not a row"):
        curve({"calm": fits.arm()}, journal=journal)


# --- what is asked wrongly ------------------------------------------------------------------------


def test_an_impossible_question_is_refused_before_any_fit(
    where: dict[str, Any], fits: Fits, tmp_path: Path
) -> None:
    some, journal = {"calm": fits.arm()}, tmp_path / "journal.jsonl"
    with pytest.raises(ValueError, match="Cannot draw 321 patients"):
        learning_curve(some, POOL, TEST, (8, 321), 2, SEED, journal=journal, **where)
    with pytest.raises(ValueError, match="share 320 patients"):
        learning_curve(some, POOL, POOL, (8,), 2, SEED, journal=journal, **where)
    assert len(fits) == 0
    assert not journal.exists()


def test_an_arm_that_cannot_travel_is_refused_with_a_reason() -> None:
    lock = workers._one_at_a_time
    held = {"holds a lock": lambda labelled, seed: lock}
    with pytest.raises(TypeError, match="cannot pickle") as refused:
        curve(held, n_jobs=2)  # type: ignore[arg-type]
    assert "must go to other processes" in refused.value.__notes__[0]
