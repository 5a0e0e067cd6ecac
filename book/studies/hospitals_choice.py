"""Four hospitals: choosing a source before training, and what makes one a good source.

Appendix A2 draws these tables. All models are the course's tabular network, so that scores of
features have features to look at. It has three thousand weights for a few hundred patients, so it
is stopped early: after 300 steps the AUROC elsewhere would be .08 lower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Any

# First: it decides how TensorFlow starts.
from book.studies.hospitals import divide, hospitals
from medxfer_utils import transfer

# isort: split
import numpy as np
from sklearn.pipeline import Pipeline

from book.studies.study import ALL, Only, Study, chosen
from medxfer_utils import metrics, missing, shifts
from medxfer_utils.cohorts import Cohort, draw, together
from medxfer_utils.data import HEART
from medxfer_utils.models import Array, Model, Rows, Training, rows, tabular_network

CHOICE, PRINCIPLES = "hospitals_choice", "hospitals_principles"
# Repeats from 101 on are those on which the numbers of steps were chosen; they are not reported.
# Networks of one seed serve the repeats with the same remainder.
REPEATS, SEEDS, LABELS, N = range(1, 31), 5, (20, 40), 20
STEPS = 20  # from scratch
TUNED = Training(5, batch=None)  # from a source
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "tensorflow-cpu", "keras", "joblib")
SHUFFLED = ", labels shuffled"


# --- choosing a source ----------------------------------------------------------------------------


@cache
def candidates(target: str) -> dict[str, Cohort]:
    """Each other hospital, each pair of them, all three; and each with its labels shuffled."""
    others = [name for name in hospitals() if name != target]
    honest = {
        " + ".join(names): together([hospitals()[name] for name in names])
        for size in (1, 2, 3)
        for names in combinations(others, size)
    }
    rng = np.random.default_rng(0)
    dealt = {
        name + SHUFFLED: replace(hospitals()[name], y=rng.permutation(hospitals()[name].y))
        for name in others
    }
    return honest | dealt


@cache
def source_network(target: str, name: str, seed: int) -> Model:
    """The network of a candidate; its scaler is fitted on the source's patients."""
    cohort = candidates(target)[name]
    return trained(cohort, missing.median_scaler(cohort.x), seed)


def trained(cohort: Cohort, scaler: Pipeline, seed: int, steps: int = STEPS) -> Model:
    """A tabular network, trained on these patients alone."""
    start = Model(tabular_network(cohort.x.shape[1], seed), scaler)
    return start.minimised(rows(cohort, scaler), Training(steps, batch=None))


def distances(model: Model, source: Cohort, x: Array, seed: int) -> dict[str, float]:
    """Scores that look at no label; larger promises more.

    Parameters
    ----------
    model : Model
        Of the source; only its scaler is used.
    source : Cohort
    x : ndarray, shape (n, d)
        Unlabelled target patients.
    seed : int
        Of the folds of the proxy A-distance.
    """
    z_source, z_target = model.prepare.transform(source.x), model.prepare.transform(x)
    width = shifts.median_bandwidth(np.concatenate([z_source, z_target]))
    away = shifts.proxy_a_distance(z_source, z_target, np.random.default_rng(seed))
    return {"proxy A-distance": -away, "MMD": -shifts.mmd2(z_source, z_target, width)}


def promises(model: Model, few: Cohort) -> dict[str, float]:
    """Scores of a source network on labelled target patients; larger promises more.

    LogME has no value where fewer distinct patients than features explain every label.
    """
    p, inner = model.probability(few.x), model.features(few.x, "hidden_2")
    alike = len(np.unique(inner, axis=0)) < len(inner) <= inner.shape[1]
    return {
        "LogME": np.nan if alike else transfer.logme(inner, few.y),
        "LEEP": transfer.leep(np.column_stack([1 - p, p]), few.y),
        "H-score": transfer.h_score(inner, few.y),
        "TransRate": transfer.transrate(inner, few.y),
        "AUROC on the labels": metrics.auroc(few.y, model.logit(few.x)),
        "log loss on the labels": -metrics.log_loss(few.y, p),
    }


def one_choice(target: str, repeat: int, only: Only = ALL) -> Iterator[Mapping[str, Any]]:
    """Every candidate's scores and what it is worth, at one target in one repeat."""
    (pool, test), seed = divide(hospitals()[target], repeat), repeat % SEEDS
    studies = {n: draw(pool, n, np.random.default_rng([repeat, 0])) for n in LABELS}
    alone = {
        n: metrics.auroc(test.y, trained(few, missing.median_scaler(few.x), seed).logit(test.x))
        for n, few in studies.items()
    }
    for name in chosen(only, "source", candidates(target)):
        model = source_network(target, name, seed)
        away = distances(model, candidates(target)[name], pool.x, repeat)
        as_is = metrics.auroc(test.y, model.logit(test.x))
        for n in chosen(only, "n", LABELS):
            tuned = transfer.fine_tuned(model, studies[n], TUNED)
            row = {"source": name, "n": n} | away | promises(model, studies[n]) | {"as is": as_is}
            row["fine-tuned"] = metrics.auroc(test.y, tuned.logit(test.x))
            yield row | {"target only": alone[n]}


# --- three principles of similarity ---------------------------------------------------------------

FEW = 120  # source patients in the ablation of the distribution
TARGETS = ("Cleveland", "Budapest", "Long Beach")  # Zurich has eight healthy patients
WIDTHS = {  # of the hidden layers at the target, and what it can take from a 64-32 source
    "same structure, all layers": (64, 32),
    "same structure, all layers, more steps": (64, 32),
    "other width, first layer": (64, 16),
    "other widths, nothing": (48, 24),
}


def alike(source: Cohort, likeness: Array, which: str, rng: np.random.Generator) -> Cohort:
    """`FEW` of the source's patients, half of them ill: the most alike, the least, or any."""
    chosen = []
    for label in (0, 1):
        members = np.flatnonzero(source.y == label)
        order = members[np.argsort(likeness[members])]
        take = {
            "the most alike": order[-FEW // 2 :],
            "at random": rng.permutation(members)[: FEW // 2],
            "the least alike": order[: FEW // 2],
        }[which]
        chosen.append(source.patient[take])
    return source.of(np.concatenate(chosen))


def distribution(
    source: Cohort, pool: Cohort, few: Cohort, scaler: Pipeline, seed: int
) -> dict[str, Model]:
    """The same number of source patients, more or less like the target's."""
    z, unlabelled = scaler.transform(source.x), scaler.transform(pool.x)
    likeness = shifts.density_ratio(z, unlabelled, np.random.default_rng(seed))
    made = {}
    for which in ("the most alike", "at random", "the least alike"):
        part = alike(source, likeness, which, np.random.default_rng(seed))
        made[which] = transfer.fine_tuned(trained(part, scaler, seed), few, TUNED)
    return made


def structure(source: Model, few: Cohort, seed: int) -> dict[str, Model]:
    """The same source network, given to target networks that can take more or less of it."""
    given, made = source.network.get_weights(), {}
    for name, widths in WIDTHS.items():
        twin = tabular_network(source.network.input_shape[1], 100 + seed, widths)
        own = twin.get_weights()
        taken = {"all layers": len(own), "first layer": 2, "nothing": 0}[name.split(", ")[1]]
        more = replace(TUNED, steps=STEPS)  # new layers need more
        training = TUNED if name == "same structure, all layers" else more
        twin.set_weights([*given[:taken], *own[taken:]])
        made[name] = transfer.fine_tuned(replace(source, network=twin), few, training)
    return made


def scheme(source: Cohort, few: Cohort, scaler: Pipeline, seed: int) -> dict[str, Model]:
    """The same source patients, trained on as the target will be, or otherwise."""
    own = missing.median_scaler(source.x)
    ill = np.where(source.y == 1, 0.5 / source.y.sum(), 0.5 / (len(source) - source.y.sum()))
    start = Model(tabular_network(source.x.shape[1], seed), scaler)
    data = rows(source, scaler)
    balanced = start.minimised(Rows(data.z, data.y, ill), Training(STEPS, batch=None))
    starts = {
        "as at the target": trained(source, scaler, seed),
        "classes weighted equally": balanced,
        "ten times as long": trained(source, scaler, seed, steps=10 * STEPS),
        "another scaler": transfer.restandardised(trained(source, own, seed), few.x),
    }
    return {name: transfer.fine_tuned(model, few, TUNED) for name, model in starts.items()}


def one_ablation(target: str, repeat: int, only: Only = ALL) -> Iterator[Mapping[str, Any]]:
    """All three ablations at one target in one repeat."""
    others = [cohort for name, cohort in hospitals().items() if name != target]
    pool, test = divide(hospitals()[target], repeat)
    few = draw(pool, N, np.random.default_rng([repeat, 0]))
    source, scaler = together(others), transfer.common_scaler(others, pool.x)
    ablations: dict[str, Callable[[], dict[str, Model]]] = {
        "data distribution": lambda: distribution(source, pool, few, scaler, repeat),
        "model structure": lambda: structure(trained(source, scaler, repeat), few, repeat),
        "training scheme": lambda: scheme(source, few, scaler, repeat),
    }
    for principle in chosen(only, "principle", ablations):
        for variant, model in ablations[principle]().items():
            row: dict[str, Any] = {"principle": principle, "variant": variant}
            row["AUROC"] = metrics.auroc(test.y, model.logit(test.x))
            yield row | {"log loss": metrics.log_loss(test.y, model.probability(test.x))}


# --- the tables -----------------------------------------------------------------------------------

FACTS = {"repeats": [*REPEATS], "labels": [*LABELS], "seeds": SEEDS, "steps": [STEPS, TUNED.steps]}
EACH = [{"target": target, "repeat": k} for target in HEART for k in REPEATS]
THREE = [job for job in EACH if job["target"] in TARGETS]
STUDIES = (
    Study(CHOICE, EACH, one_choice, ("source", "n"), PACKAGES, FACTS),
    Study(PRINCIPLES, THREE, one_ablation, ("variant", "principle"), PACKAGES, FACTS),
)
