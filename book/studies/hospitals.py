"""Four hospitals: what the other three are worth to one that has 0 to 80 labelled patients.

Chapter 05 draws these tables. In each repeat the target's patients are divided anew: one half may
be labelled (and are there without labels), the other half is tested on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import permutations
from typing import Any

# First: it decides how TensorFlow starts, which skada imports too.
from medxfer_utils.data import SHARED, encoded, four_hospitals, restricted
from medxfer_utils.models.network import Array, Linear

# isort: split
import joblib
import numpy as np
import pandas as pd
from skada import (
    CORALAdapter,
    DiscriminatorReweightAdapter,
    OTMappingAdapter,
    make_da_pipeline,
)
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from medxfer_utils import experiments, metrics, missing, results
from medxfer_utils.cohorts import Cohort, draw, split, together
from medxfer_utils.experiments import Arm, Classical, Predicts, learning_curve
from medxfer_utils.transfer import gate
from medxfer_utils.transfer import hospitals as sources

SOURCES, PAIRS = "hospitals_sources", "hospitals_pairs"
# Repeat 0 is the one on which strengths were chosen; it is not reported.
REPEATS, SIZES, GATE_SIZES = range(1, 51), (10, 20, 40, 80), (10, 20, 40)
JOBS = 2
STRONG = 0.1**0.5  # prior of the strong ridge: scikit-learn's C = 0.1
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "skada", "pot", "joblib")
ADAPTERS: dict[str, Callable[[], BaseEstimator]] = {
    "skada: re-weighting": DiscriminatorReweightAdapter,
    "skada: CORAL": CORALAdapter,
    "skada: optimal transport": OTMappingAdapter,
}


def shared(cohorts: Mapping[str, Cohort]) -> dict[str, Cohort]:
    """The hospitals as numbers: the ten features that all measure, categories as columns."""
    return {name: encoded(restricted(cohort, SHARED)) for name, cohort in cohorts.items()}


def divide(target: Cohort, repeat: int) -> tuple[Cohort, Cohort]:
    """A repeat's halves: those who may be labelled, and those who are only tested."""
    pool, test = split(target, (0.5, 0.5), np.random.default_rng([repeat, *target.name.encode()]))
    return pool, test


def sizes_of(pool: Cohort, sizes: Sequence[int]) -> list[int]:
    """Return the budgets that this pool has patients for."""
    return [n for n in sizes if n <= len(pool.patients)]


def kept(model: Predicts) -> Arm:
    """An arm that looks at no label."""
    return lambda labelled, seed: model


class Read:
    """A classifier of filled, standardised features, with the ruler that makes them so."""

    def __init__(self, scaler: Any, fitted: Any) -> None:
        self.scaler, self.fitted = scaler, fitted

    def probability(self, x: Array) -> Array:
        """Probability of the disease, shape (n,)."""
        return np.asarray(self.fitted.predict_proba(self.scaler.transform(x)))[:, 1]


def adapted(adapter: Callable[[], BaseEstimator], others: Sequence[Cohort], x: Array) -> Read:
    """One of skada's adapters, from the other hospitals' patients to unlabelled ones, `x`."""
    scaler = sources.common_ruler(others, x)
    z = np.concatenate([*(scaler.transform(other.x) for other in others), scaler.transform(x)])
    y = np.concatenate([*(other.y for other in others), np.full(len(x), -1)])  # -1: no label
    sizes = [*(len(other) for other in others), len(x)]
    domain = np.repeat([*range(1, len(others) + 1), -(len(others) + 1)], sizes)
    last = LogisticRegression(max_iter=1000).set_fit_request(sample_weight=True)
    return Read(scaler, make_da_pipeline(adapter(), last).fit(z, y, sample_domain=domain))


def without_labels(others: Sequence[Cohort], x: Array, seed: int) -> dict[str, Arm]:
    """What can be done before the first diagnosis at the target."""
    likeness = sources.similarity(others, x, np.random.default_rng(seed))
    each = sources.one_each(others, x)
    average = sources.Stack(each, np.append(np.full(len(each), 1 / len(each)), 0.0))
    heap = sources.alone(together(others), sources.common_ruler(others, x))
    models: dict[str, Predicts] = {
        "one heap": heap,
        "pooled": sources.pooled(others, x),
        "pooled by similarity": sources.pooled(others, x, likeness),
        "average of hospitals": average,
    }
    models |= {name: adapted(adapter, others, x) for name, adapter in ADAPTERS.items()}
    return {name: kept(model) for name, model in models.items()}


def with_labels(others: Sequence[Cohort], x: Array) -> dict[str, Arm]:
    """What can be done with some."""
    pooled, each = sources.pooled(others, x), sources.one_each(others, x)
    scaler = sources.common_ruler(others, x)
    strong: Arm = lambda t, s: sources.alone(t, scaler, STRONG)  # noqa: E731
    tied: Arm = lambda t, s: sources.regularised(pooled, t)  # noqa: E731
    return {
        "target only": lambda t, s: sources.alone(t),
        "target only, strong ridge": strong,
        "target only, random forest": forest,
        "pooled + intercept": lambda t, s: sources.recalibrated(pooled, t),
        "pooled + slope": lambda t, s: sources.recalibrated(pooled, t, slope=True),
        "pooled + L2-SP": tied,
        "all hospitals in one model": partial(_with_target, others, x),
        "stacking": lambda t, s: sources.stacked(each, t),
        "mixture": lambda t, s: sources.mixture(each, t),
        "gated": gate.gated(tied, strong),
        "always hedged": lambda t, s: gate.Hedge((tied(t, s), strong(t, s))),
    }


def forest(labelled: Cohort, seed: int) -> Classical:
    """A random forest on the target's labels alone."""
    trees = RandomForestClassifier(200, min_samples_leaf=3, random_state=seed)
    fill = missing.ruler(labelled.x)
    return Classical(make_pipeline(fill, trees.fit(fill.transform(labelled.x), labelled.y)))


def _with_target(others: Sequence[Cohort], x: Array, labelled: Cohort, seed: int) -> Linear:
    """One model of four hospitals, the target's labelled patients with an intercept of their own.

    It is `sources.pooled` with the target among the sources, then read with the target's intercept.
    """
    return sources.recalibrated(sources.pooled([*others, labelled], x), labelled)


def one_repeat(
    hospitals: Mapping[str, Cohort], target: str, repeat: int, some: Iterable[str] | None = None
) -> pd.DataFrame:
    """Every strategy (or some) at one target in one repeat, one row a fit."""
    others = [cohort for name, cohort in hospitals.items() if name != target]
    pool, test = divide(hospitals[target], repeat)
    frames: list[pd.DataFrame] = []
    for arms, sizes in (
        (without_labels(others, pool.x, repeat), [SIZES[0]]),
        (with_labels(others, pool.x), sizes_of(pool, SIZES)),
    ):
        chosen = {name: arm for name, arm in arms.items() if some is None or name in some}
        frame = learning_curve(chosen, pool, test, sizes, repeats=1, seed=repeat)
        frames.append(frame if len(frames) else frame.assign(n=0))
    return pd.concat(frames, ignore_index=True).assign(target=target, repeat=repeat)


# --- from one hospital to one other ---------------------------------------------------------------


def one_pair(
    hospitals: Mapping[str, Cohort], source: str, target: str, repeat: int
) -> list[dict[str, Any]]:
    """What the gate says of one source at one target, and what would have been right."""
    pool, test = divide(hospitals[target], repeat)
    start = sources.pooled([hospitals[source]], pool.x)
    scaler = sources.common_ruler([hospitals[source]], pool.x)
    tied: Arm = lambda t, s: sources.regularised(start, t)  # noqa: E731
    as_is: Arm = lambda t, s: start  # noqa: E731
    strong: Arm = lambda t, s: sources.alone(t, scaler, STRONG)  # noqa: E731
    rows = []
    for n in sizes_of(pool, GATE_SIZES):
        labelled = draw(pool, n, np.random.default_rng([repeat, 0]))
        for kind, arm in {"as is": as_is, "L2-SP": tied}.items():
            said = gate.gate(arm, strong, labelled, repeat)
            row: dict[str, Any] = {"source": source, "target": target, "transfer": kind, "n": n}
            row |= {"repeat": repeat, "answer": said.answer, "gain": said.gain, "p": said.p_value}
            row |= _measured(arm(labelled, repeat), test, "transfer")
            row |= _measured(strong(labelled, repeat), test, "alone")
            rows.append(row | _measured(gate.gated(arm, strong)(labelled, repeat), test, "gated"))
    return rows


def _measured(model: Predicts, test: Cohort, who: str) -> dict[str, float]:
    area = metrics.auroc(test.y, experiments.ranking(model, test.x))
    loss = float(gate.log_losses(model, test).mean())
    return {f"AUROC, {who}": area, f"log loss, {who}": loss}


# --- the tables -----------------------------------------------------------------------------------


def curves(hospitals: Mapping[str, Cohort]) -> pd.DataFrame:
    """Every strategy at every target."""
    jobs = (
        joblib.delayed(one_repeat)(hospitals, target, repeat)
        for target in hospitals
        for repeat in REPEATS
    )
    frames: list[pd.DataFrame] = joblib.Parallel(n_jobs=JOBS, verbose=1)(jobs)
    return pd.concat(frames, ignore_index=True)


def in_parallel(jobs: Iterable[Any]) -> pd.DataFrame:
    """Run joblib's `jobs`, each of which returns rows, and return all rows as a table."""
    blocks: list[list[dict[str, Any]]] = joblib.Parallel(n_jobs=JOBS, verbose=1)(jobs)
    return pd.DataFrame([row for block in blocks for row in block])


def pairs(hospitals: Mapping[str, Cohort]) -> pd.DataFrame:
    """The gate, for every source and every target."""
    return in_parallel(
        joblib.delayed(one_pair)(hospitals, source, target, repeat)
        for source, target in permutations(hospitals, 2)
        for repeat in REPEATS
    )


Maker = Callable[[Mapping[str, Cohort]], pd.DataFrame]


def store(names: Sequence[str], makers: Mapping[str, Maker], record: dict[str, Any]) -> None:
    """Make the tables of these names (or all) from the real hospitals, and store each."""
    hospitals = shared(four_hospitals())
    for name in names or makers:
        start = time.perf_counter()
        frame = makers[name](hospitals)
        results.store(name, frame, record | {"seconds": round(time.perf_counter() - start)})


def main(names: Sequence[str] = ()) -> None:
    """Both tables (or one), each stored with its provenance."""
    facts = {"repeats": list(REPEATS), "sizes": list(SIZES), "gate": list(GATE_SIZES)}
    record = results.provenance(__file__, PACKAGES, **facts)
    store(names, {SOURCES: curves, PAIRS: pairs}, record)


if __name__ == "__main__":
    main(sys.argv[1:])
