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
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from medxfer_utils import _fits as workers
from medxfer_utils import metrics
from medxfer_utils._journal import Fit, Journal, Row, fit_of
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
MEASURES = ("AUROC", "accuracy", "Brier", "log loss", "average precision", "calibration slope")
COLUMNS = ("strategy", "n", "repeat", *MEASURES, "rows", "seconds", "error")


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
    book = Journal(journal, (pool, test), seed, COLUMNS) if journal else None
    done = {fit: book.rows[fit] for fit in fits if fit in book.rows} if book else {}
    todo = [fit for fit in dict.fromkeys(fits) if fit not in done]
    question = _Question(dict(arms), _laid_out(pool), _laid_out(test), seed, workers.allowed())
    with (
        tqdm(total=len(done) + len(todo), initial=len(done), unit="fit", disable=None) as bar,
        workers.chance_kept(),
        closing(workers.rows(question, todo, n_jobs)) as rows,
    ):
        for row in rows:
            done[fit_of(row)] = row
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
        with workers.alone(own, self.allowed):
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

    def row_of_dead(self, fit: Fit) -> Row:
        """Make the row of a fit that ends its process each time."""
        return _row(fit, {}, len(_drawn(self.pool, fit, self.seed)), np.nan, "worker died")


def _row(fit: Fit, judged: dict[str, float], rows: int, seconds: float, error: str) -> Row:
    """One row of the table; measures that are not there are NaN."""
    values = {name: float(judged.get(name, np.nan)) for name in MEASURES}
    return fit._asdict() | values | {"rows": rows, "seconds": seconds, "error": error}


def _judged(model: Predicts, test: Cohort) -> dict[str, float]:
    p, rank = model.probability(test.x), ranking(model, test.x)
    return score(test.y, p) | {
        "AUROC": metrics.auroc(test.y, rank),
        "average precision": metrics.average_precision(test.y, rank),
        "calibration slope": metrics.calibration(test.y, p)[1],
    }


def _laid_out(cohort: Cohort) -> Cohort:
    """The cohort, its `x` in memory as it would be after a journey to another process.

    Sums over a view with gaps and swapped axes differ in the last bit from those over a copy, and
    only a copy travels.
    """
    # The flag: C or Fortran order, which travel as they are.
    return cohort if cohort.x.flags.forc else replace(cohort, x=np.ascontiguousarray(cohort.x))


def _drawn(pool: Cohort, fit: Fit, seed: int) -> Cohort:
    return draw(pool, fit.n, np.random.default_rng([seed, fit.repeat]))


def _require_drawn(pool: Cohort, fits: Sequence[Fit], seed: int) -> None:
    """Raise ValueError now if any draw is impossible; the images of a pool are not copied."""
    patients = replace(pool, x=np.empty((len(pool), 0)))
    for fit in {fit._replace(strategy="") for fit in fits}:
        _drawn(patients, fit, seed)


def _warn_of_failures(rows: Sequence[Row]) -> None:
    if failed := [row for row in rows if row["error"]]:
        strategy, n, repeat = fit_of(failed[0])
        warnings.warn(
            f"{len(failed)} of {len(rows)} fits failed and have no measures. The first is "
            f"{strategy!r} with {n} patients, repeat {repeat}: {failed[0]['error']}",
            RuntimeWarning,
            stacklevel=3,
        )
