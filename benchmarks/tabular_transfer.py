"""What laboratory A's model is worth to laboratory B: our strategies beside other libraries.

Every strategy sees the same patients: laboratory A with its diagnoses, laboratory B's training
patients without them, and n of those with one. Each is timed over all that it fits, A's model
included. Run it with `make benchmark`; `README.md` beside this file says how to read the table.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

# First: it decides how TensorFlow starts, which skada imports too.
from medxfer_utils import models, transfer

# isort: split
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit
from skada import CORALAdapter, OTMappingAdapter, make_da_pipeline
from sklearn.base import BaseEstimator
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from book.studies.study import ALL, Only, Study, chosen
from medxfer_utils import results
from medxfer_utils.cohorts import Cohort, split
from medxfer_utils.data import two_laboratories
from medxfer_utils.experiments import learning_curve
from medxfer_utils.models import Classical, Linear, Model, Predicts, Strategy, Transferable

TABLE = results.FOLDER / "tabular_transfer_benchmark.csv"
SEED, DIVISIONS, REPEATS, SIZES = 0, 10, 20, (8, 16, 32, 64)
BLAS_THREADS = 1
OURS = "re-standardised + L2-SP"  # declared before the run: the one that the others are held to
YARDSTICK = "LR, target only"  # of speed
PEERS = {  # that need nothing but scikit-learn and skada
    "LR, target only": lambda seed: make_pipeline(StandardScaler(), LogisticRegression()),
    "random forest, target only": lambda seed: RandomForestClassifier(random_state=seed),
    "boosting, target only": lambda seed: GradientBoostingClassifier(random_state=seed),
}
ADAPTERS = {"skada CORAL": CORALAdapter, "skada OT mapping": OTMappingAdapter}
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "keras", "skada", "pot", "adapt")
MEASURES = {"AUROC": 1, "accuracy": 1, "Brier": -1}  # -1: lower is better


def divide(division: int) -> tuple[Cohort, Cohort, Cohort]:
    """Laboratory A, B's training patients and B's test patients, for one division of all 569."""
    rng = np.random.default_rng([SEED, division])
    source, target = two_laboratories(rng)
    pool, test = split(target, (0.5, 0.5), rng)
    return source, pool, test


def our_strategies(source: Cohort, x: NDArray[np.floating]) -> dict[str, Strategy]:
    """Our strategies, from `source` with labels and the raw features `x` of B without."""

    def linear(seed: int) -> Linear:
        return transfer.target_only(Linear.zero(source.x), source)

    def network(seed: int) -> Model:
        start = Model(models.tabular_network(source.x.shape[1]), models.fit_scaler(source.x))
        return transfer.target_only(start, source, seed=seed)

    def at_b(
        start: Callable[[int], Transferable],
        adapt: Callable[[Transferable, Cohort, int], Transferable],
    ) -> Strategy:
        return lambda labelled, seed: adapt(transfer.restandardised(start(seed), x), labelled, seed)

    return {
        "source as is": lambda labelled, seed: linear(seed),
        "re-standardised": at_b(linear, lambda model, labelled, seed: model),
        OURS: at_b(linear, lambda model, labelled, seed: transfer.l2_sp(model, labelled, 0.1)),
        "re-standardised + joint": at_b(
            linear, lambda model, labelled, seed: transfer.joint(model, labelled, source, 1.0)
        ),
        "network: re-standardised + L2-SP": at_b(
            network, lambda model, labelled, seed: transfer.l2_sp(model, labelled, 0.1)
        ),
        "network: re-standardised + LP-FT": at_b(
            network,
            lambda model, labelled, seed: transfer.lp_ft(
                model.with_new_head(seed), labelled, seed=seed
            ),
        ),
    }


def peer_strategies(source: Cohort, x: NDArray[np.floating]) -> dict[str, Strategy]:
    """scikit-learn without the source, and skada's unsupervised adaptation."""
    both = np.concatenate([source.x, x])
    y = np.concatenate([source.y, np.full(len(x), -1)])  # -1 masks a label in skada
    domain = np.repeat([1, -2], [len(source), len(x)])  # negative: a target

    def classical(make: Callable[[int], BaseEstimator]) -> Strategy:
        return lambda labelled, seed: Classical(make(seed).fit(labelled.x, labelled.y))

    def adapted(adapter: Callable[[], BaseEstimator]) -> Strategy:
        def fit(labelled: Cohort, seed: int) -> Predicts:
            last = LogisticRegression(max_iter=1000)
            pipeline = make_da_pipeline(StandardScaler(), adapter(), last)
            return Classical(pipeline.fit(both, y, sample_domain=domain))

        return fit

    return {name: classical(make) for name, make in PEERS.items()} | {
        name: adapted(adapter) for name, adapter in ADAPTERS.items()
    }


class AdaptScore:
    """The linear score that adapt fits to labels -1 and 1, read as a probability.

    It is (s + 1) / 2, cut to [0, 1]; a thousandth of expit(s) keeps the ranks of the cut ones.
    """

    def __init__(self, scaler: StandardScaler, fitted: Any) -> None:
        self.scaler, self.fitted = scaler, fitted

    def probability(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        """Probability of the disease, shape (n,)."""
        score = np.asarray(self.fitted.decision_function(self.scaler.transform(x)))
        return 0.999 * np.clip((score + 1) / 2, 0, 1) + 0.001 * np.asarray(expit(score))


def adapt_strategies(source: Cohort, x: NDArray[np.floating]) -> dict[str, Strategy]:
    """RegularTransferLC of adapt as in its manual, B read with A's scaler and with B's own."""
    from adapt.parameter_based import RegularTransferLC  # not in the book's environment

    def scaled_by(wanted: NDArray[np.floating]) -> Strategy:
        def fit(labelled: Cohort, seed: int) -> Predicts:
            scaler, own = StandardScaler().fit(wanted), StandardScaler().fit(source.x)
            start = RidgeClassifier().fit(own.transform(source.x), source.y)
            model = RegularTransferLC(start, lambda_=10.0, verbose=0)
            with contextlib.redirect_stdout(io.StringIO()):  # it prints a shape
                model.fit(scaler.transform(labelled.x), labelled.y)
            return AdaptScore(scaler, model.estimator_)

        return fit

    return {"adapt": scaled_by(source.x), "adapt, re-standardised": scaled_by(x)}


def one_division(division: int, only: Only = ALL) -> pd.DataFrame:
    """Every strategy on `REPEATS` draws of one division of the patients, one row a fit."""
    source, pool, test = divide(division)
    every = our_strategies(source, pool.x) | peer_strategies(source, pool.x)
    if not set(only.get("strategy", ["adapt"])) <= set(every):  # not in the book's environment
        every |= adapt_strategies(source, pool.x)
    some = {name: every[name] for name in chosen(only, "strategy", every)}
    repeats = 1 + max(chosen(only, "repeat", range(REPEATS)))
    # Two threads on so small a problem mostly wait for each other, busily.
    with threadpool_limits(BLAS_THREADS):
        return learning_curve(some, pool, test, chosen(only, "n", SIZES), repeats, seed=division)


FACTS = {"seed": SEED, "divisions": DIVISIONS, "repeats": REPEATS, "sizes": list(SIZES)}
EACH = [{"division": division} for division in range(DIVISIONS)]
KEYS = ("strategy", "n", "repeat")
STUDIES = (Study(TABLE.stem, EACH, one_division, KEYS, PACKAGES, FACTS),)


def interval(by_draw: pd.Series) -> tuple[float, float, float]:
    """Mean and 95 % interval (Student's) over divisions, each of which counts once."""
    means = by_draw.groupby("division").mean()
    half = stats.t.ppf(0.975, len(means) - 1) * means.sem()
    return means.mean(), means.mean() - half, means.mean() + half


def verdict(low: float, high: float) -> str:
    """What the interval of a gain says of ours: better, worse, or level if it holds 0."""
    return "better" if low > 0 else "worse" if high < 0 else "level"


def summary(frame: pd.DataFrame, measure: str) -> pd.DataFrame:
    """For each n and strategy: mean, interval, ours minus it (a gain is positive), verdict."""
    wide = frame.pivot(index=["n", "division", "repeat"], columns="strategy", values=measure)
    result = []
    for n, block in wide.groupby(level="n"):
        for strategy in frame["strategy"].unique():
            mean, low, high = interval(block[strategy])
            row = {"n": n, "strategy": strategy, measure: f"{mean:.3f} ({low:.3f} to {high:.3f})"}
            if strategy != OURS:
                gains = MEASURES[measure] * (block[OURS] - block[strategy])
                mean, low, high = interval(gains)
                row["ours is"] = f"{mean:+.3f} ({low:+.3f} to {high:+.3f}) {verdict(low, high)}"
            result.append(row)
    return pd.DataFrame(result).fillna("").set_index(["n", "strategy"])


def speed(frame: pd.DataFrame) -> pd.Series:
    """Median processor time of a fit, as a multiple of those of `YARDSTICK` in the same run."""
    median = frame.groupby("strategy", sort=False)["seconds"].median()
    ratio: pd.Series = median / median[YARDSTICK]
    return ratio.round(1).rename(f"processor time, {YARDSTICK!r} = 1")


def main() -> None:
    """Run every division, store the rows with their provenance, print the tables."""
    STUDIES[0].store()
    frame = pd.read_csv(TABLE)
    for measure in MEASURES:
        print(f"\n{summary(frame, measure).to_string()}")
    print(f"\n{speed(frame).to_string()}")


if __name__ == "__main__":
    from benchmarks import tabular_transfer  # by its name, so that other processes find it too

    tabular_transfer.main()
