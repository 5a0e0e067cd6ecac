"""A study: independent jobs, whose rows make up one stored table of `book/results`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

# First: it decides how TensorFlow starts.
from medxfer_utils.models import Array, Strategy, Training, train

# isort: split
import joblib
import keras
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from tqdm import tqdm

from medxfer_utils import clinic, images, results
from medxfer_utils.cohorts import Cohort, split
from medxfer_utils.experiments import MEASURES, learning_curve

JOBS = 2  # processes
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "keras")  # of most
FILTERS, SHAPE = (16, 32, 64, 64), (32, 32, 1)  # of the image networks for simulated patches
Job = Mapping[str, Any]
Only = Mapping[str, Collection[Any]]
ALL: Only = {}
Name = TypeVar("Name")


@dataclass(frozen=True, eq=False)
class Study:
    """One stored table, how it is made, and how some of its rows are made again.

    Parameters
    ----------
    table : str
        Its name.
    jobs : sequence of dict
        What each job is told, by keyword; these are columns of the table too.
    rows : callable
        From a job, and from `only` (for some columns the values that are wanted; see `chosen`), to
        its rows: a table or dictionaries. It must remember nothing of other jobs.
    keys : sequence of str
        The columns that tell the rows of one job apart, that of the strategies first.
    packages : sequence of str
        Distributions whose versions matter.
    facts : dict
        What else decides the rows: sizes, repeats, rates.
    found : callable
        Gives further facts, for which the data are needed.
    """

    table: str
    jobs: Sequence[Job]
    rows: Callable[..., Any]
    keys: Sequence[str]
    packages: Sequence[str]
    facts: Mapping[str, Any]
    found: Callable[[], Mapping[str, Any]] = dict

    @property
    def index(self) -> list[str]:
        """The columns that name a row."""
        return [*self.keys, *(name for name in self.jobs[0] if name not in self.keys)]

    def run(self, commit: str) -> pd.DataFrame:
        """Every job, in two processes. Finished ones are kept by `commit`: a call goes on there."""
        folder = results.ROOT / "_build" / "studies" / commit / self.table
        kept = joblib.Memory(folder, verbose=0).cache(_frame, ignore=["study"])
        parallel = joblib.Parallel(JOBS, return_as="generator")
        frames = parallel(joblib.delayed(kept)(self, dict(job), ALL) for job in self.jobs)
        done = tqdm(frames, self.table, total=len(self.jobs))
        frame: pd.DataFrame = pd.concat(done, ignore_index=True)
        return frame

    def store(self) -> None:
        """Run it, and store the table with its provenance."""
        record = results.provenance(self.packages, **self.facts)
        start = time.perf_counter()
        record |= self.found()
        frame = self.run(record["commit"])
        results.store(self.table, frame, record | {"seconds": round(time.perf_counter() - start)})

    def again(self, stored: pd.DataFrame) -> pd.DataFrame:
        """Compute some stored rows anew.

        Parameters
        ----------
        stored : DataFrame
            Rows of the table.

        Returns
        -------
        DataFrame
            The same rows, in the same order.
        """
        about, frames = list(self.jobs[0]), []
        for _, block in stored.groupby(about, sort=False):
            told = block[about].iloc[0].to_dict()
            job = next(job for job in self.jobs if job == told)
            frames.append(_frame(self, job, {key: block[key].tolist() for key in self.keys}))
        fresh = pd.concat(frames).set_index(self.index)
        wanted = pd.MultiIndex.from_frame(stored[self.index])
        return fresh.loc[list(wanted)].reset_index()


def _frame(study: Study, job: Job, only: Only) -> pd.DataFrame:
    """The rows of one job."""
    return pd.DataFrame(study.rows(**job, only=only)).assign(**job)


def chosen(only: Only, column: str, names: Iterable[Name]) -> list[Name]:
    """Those of `names` that are wanted in a column."""
    return [name for name in names if column not in only or name in only[column]]


def curve(
    strategies: Mapping[str, Strategy],
    halves: tuple[Cohort, Cohort],
    sizes: Iterable[int],
    repeat: int,
    only: Only,
) -> pd.DataFrame:
    """Wanted strategies at wanted sizes, on one draw of labelled patients; every measure.

    Parameters
    ----------
    strategies : dict
    halves : pair of Cohort
        Those who may be labelled, and those who are tested.
    sizes : iterable of int
    repeat : int
        The seed of the draw and of the fits.
    only : dict
        As of `Study.rows`.
    """
    some = {name: strategies[name] for name in chosen(only, "strategy", strategies)}
    frame = learning_curve(
        some, *halves, chosen(only, "n", sizes), 1, repeat, measures=tuple(MEASURES)
    )
    return frame.assign(repeat=repeat)


def halves(cohort: Cohort, pool: float, seed: int | Sequence[int]) -> tuple[Cohort, Cohort]:
    """Those who may be labelled, a share of the patients, and those who are only tested."""
    one, other = split(cohort, (pool, 1 - pool), np.random.default_rng(seed))
    return one, other


def lung_window(hu: Array) -> Array:
    """HU from -1000 to 400 as -1 to 1, with a channel: how the lung is looked at."""
    return (2 * images.window(hu, level=-300, width=1400) - 1)[..., None]


def reads_digits(network: keras.Model, training: Training, seed: int) -> keras.Model:
    """A network of ten outputs, trained to read handwritten digits."""
    digits = load_digits()
    enlarged = np.kron(digits.images / 8 - 1, np.ones((4, 4)))[..., None]
    return train(network, enlarged, digits.target, replace(training, augment=None), seed)


def clinic_of(
    site: clinic.Site, patients: Mapping[str, int], seed: int, repeat: int
) -> tuple[Cohort, Cohort]:
    """A simulated clinic's pool and test patients."""
    everybody = clinic.simulate(site, patients["pool"] + patients["test"], seed=seed).cohort
    return halves(everybody, patients["pool"] / (patients["pool"] + patients["test"]), repeat)


def stacked(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Those of the frames that have rows, as one."""
    return pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
