"""Four hospitals: what the other three are worth to one that has 0 to 80 labelled patients.

Lesson 10 and appendix A2 draw these tables. In each repeat the target's patients are divided anew:
one half may be labelled (and are there without labels), the other half is tested on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import permutations
from typing import Any

# First: it decides how TensorFlow starts, which skada imports too.
from medxfer_utils import models, transfer

# isort: split
import numpy as np
import pandas as pd
import skada
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from book.studies.study import ALL, Only, Study, chosen, curve, halves
from medxfer_utils import metrics, missing
from medxfer_utils.cohorts import Cohort, draw, together
from medxfer_utils.data import HEART, SHARED, encoded, four_hospitals, restricted
from medxfer_utils.models import Array, Average, Classical, Linear, Predicts, Strategy

SOURCES, PAIRS = "hospitals_sources", "hospitals_pairs"
# Repeat 0 is the one on which strengths were chosen; it is not reported.
REPEATS, SIZES, GATE_SIZES = range(1, 51), (10, 20, 40, 80), (10, 20, 40)
STRONG = 0.1**0.5  # prior of the strong ridge: scikit-learn's C = 0.1
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "skada", "pot", "joblib")
ADAPTERS: dict[str, Callable[[], BaseEstimator]] = {
    "skada: re-weighting": skada.DiscriminatorReweightAdapter,
    "skada: CORAL": skada.CORALAdapter,
    "skada: optimal transport": skada.OTMappingAdapter,
}


def shared(cohorts: Mapping[str, Cohort]) -> dict[str, Cohort]:
    """The hospitals as numbers: the ten features that all measure, categories as columns."""
    return {name: encoded(restricted(cohort, SHARED)) for name, cohort in cohorts.items()}


@cache
def hospitals() -> dict[str, Cohort]:
    """All four, `shared`."""
    return shared(four_hospitals())


def divide(target: Cohort, repeat: int) -> tuple[Cohort, Cohort]:
    """A repeat's halves: those who may be labelled, and those who are only tested."""
    return halves(target, 0.5, [repeat, *target.name.encode()])


def sizes_of(pool: Cohort, sizes: Sequence[int]) -> list[int]:
    """Return the budgets that this pool has patients for."""
    return [n for n in sizes if n <= len(pool.patients)]


def kept(model: Predicts) -> Strategy:
    """A strategy that looks at no label."""
    return lambda labelled, seed: model


def adapted(adapter: Callable[[], BaseEstimator], others: Sequence[Cohort], x: Array) -> Classical:
    """One of skada's adapters, from the other hospitals' patients to unlabelled ones, `x`."""
    scaler = transfer.common_scaler(others, x)
    z = np.concatenate([*(scaler.transform(other.x) for other in others), scaler.transform(x)])
    y = np.concatenate([*(other.y for other in others), np.full(len(x), -1)])  # -1: no label
    sizes = [*(len(other) for other in others), len(x)]
    domain = np.repeat([*range(1, len(others) + 1), -(len(others) + 1)], sizes)
    last = LogisticRegression(max_iter=1000).set_fit_request(sample_weight=True)
    model = skada.make_da_pipeline(adapter(), last).fit(z, y, sample_domain=domain)
    return Classical(make_pipeline(scaler, model))


def without_labels(others: Sequence[Cohort], x: Array, seed: int) -> dict[str, Strategy]:
    """What can be done before the first diagnosis at the target."""
    likeness = transfer.similarity(others, x, np.random.default_rng(seed))
    each = transfer.one_each(others, x)
    average = Average(each, of="log odds")
    model = transfer.one_hospital(together(others), transfer.common_scaler(others, x))
    made: dict[str, Predicts] = {
        "pooled, one intercept": model,
        "pooled": transfer.pooled(others, x),
        "pooled by similarity": transfer.pooled(others, x, likeness),
        "average of hospitals": average,
    }
    made |= {name: adapted(adapter, others, x) for name, adapter in ADAPTERS.items()}
    return {name: kept(model) for name, model in made.items()}


def with_labels(others: Sequence[Cohort], x: Array) -> dict[str, Strategy]:
    """What can be done with some."""
    pooled, each = transfer.pooled(others, x), transfer.one_each(others, x)
    scaler = transfer.common_scaler(others, x)
    strong: Strategy = lambda t, s: transfer.one_hospital(t, scaler, STRONG)  # noqa: E731
    tied: Strategy = lambda t, s: transfer.regularised(pooled, t)  # noqa: E731
    return {
        "target only": lambda t, s: transfer.one_hospital(t),
        "target only, strong ridge": strong,
        "target only, random forest": forest,
        "pooled + intercept": lambda t, s: transfer.recalibrated(pooled, t),
        "pooled + slope": lambda t, s: transfer.recalibrated(pooled, t, slope=True),
        "pooled + L2-SP": tied,
        "all hospitals in one model": partial(_with_target, others, x),
        "stacking": lambda t, s: transfer.stacked(each, t),
        "mixture": lambda t, s: transfer.mixture(each, t),
        "gated": transfer.gated(tied, strong),
        "always hedged": lambda t, s: Average((tied(t, s), strong(t, s)), of="log odds"),
    }


def forest(labelled: Cohort, seed: int) -> Classical:
    """A random forest on the target's labels alone."""
    trees = RandomForestClassifier(200, min_samples_leaf=3, random_state=seed)
    fill = missing.median_scaler(labelled.x)
    return Classical(make_pipeline(fill, trees.fit(fill.transform(labelled.x), labelled.y)))


def _with_target(others: Sequence[Cohort], x: Array, labelled: Cohort, seed: int) -> Linear:
    """One model of four hospitals, the target's labelled patients with an intercept of their own.

    It is `transfer.pooled` with the target among the sources, then with the target's intercept.
    """
    return transfer.recalibrated(transfer.pooled([*others, labelled], x), labelled)


def one_repeat(target: str, repeat: int, only: Only = ALL) -> pd.DataFrame:
    """Every strategy at one target in one repeat, one row a fit."""
    others = [cohort for name, cohort in hospitals().items() if name != target]
    parts = divide(hospitals()[target], repeat)
    x, sizes = parts[0].x, sizes_of(parts[0], SIZES)
    some = {key: values for key, values in only.items() if key != "n"}  # 10 patients stand for 0
    frames = []
    if chosen(only, "n", [0]):
        frames.append(curve(without_labels(others, x, repeat), parts, SIZES[:1], repeat, some))
        frames[0]["n"] = 0
    if chosen(only, "n", sizes):
        frames.append(curve(with_labels(others, x), parts, sizes, repeat, only))
    return pd.concat(frames, ignore_index=True)


# --- from one hospital to one other ---------------------------------------------------------------


def one_pair(
    source: str, target: str, repeat: int, only: Only = ALL
) -> Iterator[Mapping[str, Any]]:
    """What the gate says of one source at one target, and what would have been right."""
    pool, test = divide(hospitals()[target], repeat)
    start = transfer.pooled([hospitals()[source]], pool.x)
    scaler = transfer.common_scaler([hospitals()[source]], pool.x)
    strategies: dict[str, Strategy] = {"as is": kept(start)}
    strategies["L2-SP"] = lambda t, s: transfer.regularised(start, t)
    strong: Strategy = lambda t, s: transfer.one_hospital(t, scaler, STRONG)  # noqa: E731
    for n in chosen(only, "n", sizes_of(pool, GATE_SIZES)):
        labelled = draw(pool, n, np.random.default_rng([repeat, 0]))
        for kind in chosen(only, "transfer", strategies):
            said = transfer.ask_gate(strategies[kind], strong, labelled, repeat)
            row = {"transfer": kind, "n": n}
            row |= {"answer": said.answer, "gain": said.gain, "p": said.p_value}
            used = {"transfer": strategies[kind], "alone": strong}
            for who, strategy in (
                used | {"gated": transfer.gated(strategies[kind], strong)}
            ).items():
                row |= _measured(strategy(labelled, repeat), test, who)
            yield row


def _measured(model: Predicts, test: Cohort, who: str) -> dict[str, float]:
    area = metrics.auroc(test.y, models.ranking(model, test.x))
    loss = float(transfer.log_losses(model, test).mean())
    return {f"AUROC, {who}": area, f"log loss, {who}": loss}


# --- the tables -----------------------------------------------------------------------------------

FACTS = {"repeats": list(REPEATS), "sizes": list(SIZES), "gate": list(GATE_SIZES)}
EACH = [{"target": target, "repeat": k} for target in HEART for k in REPEATS]
TWO = permutations(HEART, 2)
PAIRED = [{"source": a, "target": b, "repeat": k} for a, b in TWO for k in REPEATS]
STUDIES = (
    Study(SOURCES, EACH, one_repeat, ("strategy", "n"), PACKAGES, FACTS),
    Study(PAIRS, PAIRED, one_pair, ("transfer", "n"), PACKAGES, FACTS),
)
