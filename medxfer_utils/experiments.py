"""Strategies × label budgets × repeats: the comparison that every results table comes from.

The fits of a grid are independent of each other, so they can run in several processes and on
several machines, through joblib, and a grid that was interrupted can go on from its journal. None
of that changes a digit of the results.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from medxfer_utils import _fits, metrics
from medxfer_utils._fits import Fit, Journal, Row, fit_of
from medxfer_utils.cohorts import Cohort, draw, require_disjoint
from medxfer_utils.models import Array, Labels, Strategy, predicting, ranking

Measure = Callable[[Labels, Array, Array], float]  # of truth, probability, ranking
MEASURES: dict[str, Measure] = {
    "AUROC": lambda y, p, rank: metrics.auroc(y, rank),
    "accuracy": lambda y, p, rank: float(np.mean((p >= 0.5) == (y == 1))),
    "Brier": lambda y, p, rank: metrics.brier(y, p),
    "log loss": lambda y, p, rank: metrics.log_loss(y, p),
    "average precision": lambda y, p, rank: metrics.average_precision(y, rank),
    "calibration slope": lambda y, p, rank: metrics.calibration(y, p)[1],
}
USUAL = ("AUROC", "accuracy", "Brier", "log loss")  # the others take longer than a linear fit


def learning_curve(
    strategies: Mapping[str, Strategy],
    pool: Cohort,
    test: Cohort,
    sizes: Sequence[int],
    repeats: int,
    seed: int,
    *,
    measures: Sequence[str] = USUAL,
    n_jobs: int | None = None,
    journal: Path | None = None,
) -> pd.DataFrame:
    """Train every strategy on the same draws of labelled patients and test it on the same others.

    Where the fits run is decided by `n_jobs` and by `joblib.parallel_config`, and changes nothing
    but the time: each fit starts from its own seed, with as many threads as the caller has, and
    never beside another fit of its process. A strategy must not remember earlier fits. What it
    needs goes to the other processes by cloudpickle, so it may be a lambda of a notebook and hold
    Keras models; its libraries must be installed there. Python's, NumPy's and Keras's global
    random states are afterwards what they were. A worker that dies raises joblib's own error.

    Parameters
    ----------
    strategies : mapping of str to callable
        Name, and a function (labelled patients, seed) -> model. The seed is for the strategy's own
        chance (initial weights, trees); it is the same for all strategies of a draw, and whatever
        of Keras or TensorFlow takes a seed must be given it.
    pool, test : Cohort
        The target's training patients, of whom some get a label, and its test patients.
    sizes : sequence of int
        Numbers of labelled patients. Draws of one repeat are nested.
    repeats : int
        Draws for each size.
    seed : int
        Decides the draws; at least 0.
    measures : sequence of str
        What is computed of each fit, of `MEASURES`. AUROC and average precision are of the log
        odds where the model has them; accuracy is at 0.5; calibration slope is NaN where there is
        none.
    n_jobs : int, optional
        As joblib takes it: 2 are two processes of this machine. By default what
        `joblib.parallel_config` says, and without it this process alone.
    journal : Path, optional
        File that gets each row as soon as it is there, one line of JSON for each. A call that
        finds rows of its own in it does not fit them again, except for failed ones: so it goes on
        after an interruption, or the death of a worker. It knows the patients, the measures and
        the seed of its comparison, but not the code of the strategies: name it by commit.

    Returns
    -------
    DataFrame
        One row a fit, by repeat, then size, then strategy: strategy, n (labelled patients), repeat,
        the measures, rows (labelled ones, of all n patients), seconds (processor time of the
        fit), error (empty, or why the fit failed: the measures are then NaN). Failed fits are
        counted in a warning.

    Raises
    ------
    ValueError
        If a patient is in both cohorts, a size cannot be drawn, a measure is unknown, or the
        journal is one of other patients or of another seed. No fit has been run then.
    OSError
        If a row cannot be written to the journal. No further fit is begun then.
    """
    require_disjoint(pool, test)
    fits = [Fit(name, int(n), k) for k in range(repeats) for n in sizes for name in strategies]
    _require_drawn(pool, fits, seed)
    if strange := [name for name in measures if name not in MEASURES]:
        raise ValueError(f"No measure is called {strange[0]!r}: choose from {list(MEASURES)}.")
    given = (dict(strategies), _laid_out(pool), _laid_out(test), seed, tuple(measures))
    question = _Question(*given, _fits.allowed())
    done = _done(question, fits, n_jobs, journal)
    _warn_of_failures([done[fit] for fit in fits])
    return pd.DataFrame([done[fit] for fit in fits], columns=list(question.columns))


def _done(
    question: _Question, fits: Sequence[Fit], n_jobs: int | None, journal: Path | None
) -> dict[Fit, Row]:
    """The rows of all fits, those of the journal as they stand there."""
    about = ((question.pool, question.test), question.seed, question.columns)
    book = Journal(journal, *about) if journal else None
    done = {fit: book.rows[fit] for fit in fits if fit in book.rows} if book else {}
    todo = [fit for fit in dict.fromkeys(fits) if fit not in done]
    with (
        tqdm(total=len(done) + len(todo), initial=len(done), unit="fit", disable=None) as bar,
        _fits.chance_kept(),
        closing(_fits.computed(question.row, todo, n_jobs)) as rows,
    ):
        for row in rows:
            done[fit_of(row)] = row
            if book:
                book.add(row)
            bar.update()
    return done


def score(y: Labels, p: Array) -> dict[str, float]:
    """AUROC, accuracy at 0.5, Brier score and log loss of probabilities `p` for labels `y`."""
    return {name: MEASURES[name](y, p, p) for name in USUAL}


# --- one fit --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Question:
    """A comparison, but for its sizes: all that a process must know to run any of its fits."""

    strategies: dict[str, Strategy]
    pool: Cohort
    test: Cohort
    seed: int
    measures: tuple[str, ...]
    allowed: int  # threads of the numerical libraries

    @property
    def columns(self) -> tuple[str, ...]:
        """What the table holds."""
        return (*Fit._fields, *self.measures, "rows", "seconds", "error")

    def row(self, fit: Fit) -> Row:
        """Run one fit and judge it. What goes wrong in it is part of the result."""
        own, judged, error = 1000 * self.seed + fit.repeat, dict.fromkeys(self.measures, np.nan), ""
        with _fits.undisturbed(own, self.allowed):
            labelled = _labelled(self.pool, fit, self.seed)
            start = time.process_time()  # other programs on the machine do not count
            try:
                model = self.strategies[fit.strategy](labelled, own)
                seconds = time.process_time() - start
                judged = self._judge(model)
            except Exception as problem:
                seconds = time.process_time() - start
                error = f"{type(problem).__name__}: {problem}"
        about = {"rows": len(labelled), "seconds": seconds, "error": error}
        return fit._asdict() | judged | about

    def _judge(self, made: object) -> dict[str, float]:
        model = predicting(made)
        p, rank = model.probability(self.test.x), ranking(model, self.test.x)
        return {name: float(MEASURES[name](self.test.y, p, rank)) for name in self.measures}


def _laid_out(cohort: Cohort) -> Cohort:
    """The cohort, its `x` in memory as it would be after a journey to another process.

    Sums over a view with gaps and swapped axes differ in the last bit from those over a copy, and
    only a copy travels.
    """
    # The flag: C or Fortran order, which travel as they are.
    return cohort if cohort.x.flags.forc else replace(cohort, x=np.ascontiguousarray(cohort.x))


def _labelled(pool: Cohort, fit: Fit, seed: int) -> Cohort:
    return draw(pool, fit.n, np.random.default_rng([seed, fit.repeat]))


def _require_drawn(pool: Cohort, fits: Sequence[Fit], seed: int) -> None:
    """Raise ValueError now if any draw is impossible; the images of a pool are not copied."""
    patients = replace(pool, x=np.empty((len(pool), 0)))
    for fit in {fit._replace(strategy="") for fit in fits}:
        _labelled(patients, fit, seed)


def _warn_of_failures(rows: Sequence[Row]) -> None:
    if failed := [row for row in rows if row["error"]]:
        strategy, n, repeat = fit_of(failed[0])
        warnings.warn(
            f"{len(failed)} of {len(rows)} fits failed and have no measures. The first is "
            f"{strategy!r} with {n} patients, repeat {repeat}: {failed[0]['error']}",
            RuntimeWarning,
            stacklevel=3,
        )
