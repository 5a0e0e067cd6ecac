"""Few-shot strategies: new questions to simulated CT, and what they start from.

A source network has learnt other questions. A task is a question with one to ten patients of each
class. Every strategy has the same patients, and is asked about all others of the task. Each
replicate has source patients, networks and draws of its own; in replicate 0, which is not reported,
rates and steps were chosen on further patients with the source's questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

# First: it decides how TensorFlow starts.
from medxfer_utils import models

# isort: split
import keras
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from book.studies.handful_starts import EPISODES, META, MORE, SOURCE, Tasks, network, starts
from book.studies.study import ALL, PACKAGES, Only, Study, chosen, lung_window
from medxfer_utils import clinic, images, metrics
from medxfer_utils.cohorts import Cohort, episode
from medxfer_utils.models import Array, Training

SHOTS, DRAWS, PATIENTS, TESTED = (1, 2, 5, 10), 5, 400, 500
SITE = clinic.Site(size=32, pixel=1.5)
SCANNERS: tuple[dict[str, Any], ...] = (
    {},
    {"dose": 0.3, "slice_thickness": 5, "kernel": "sharp"},
    {"kernel": "soft", "blur": 1.5},
)
ELSEWHERE: dict[str, Any] = {"dose": 0.5, "slice_thickness": 3, "kernel": "sharp", "blur": 1.2}
FINDINGS = ("diameter_mm", "margin", "lobulation", "heterogeneity", "necrosis")
NEW: dict[str, dict[str, Callable[[pd.DataFrame], Any]]] = {
    "lung": {
        "spiculated": lambda truth: truth["spiculation"] > 0,
        "part-solid": lambda truth: truth["type"] == "part-solid",
    },
    "liver": {
        "rim": lambda truth: truth["rim"] > 0,
        "cyst": lambda truth: truth["type"] == "cyst",
    },
}
TUNED = Training(30, 0.001, batch=None)
SLOW, SLOWER = Training(100, 0.01, batch=None), 0.01  # of the head, and times that of the backbone
AFTER_REPTILE = Training(10, 0.02, batch=None, optimiser="SGD")


# --- tasks ----------------------------------------------------------------------------------------


def shown(hu: Array, organ: str) -> Array:
    """As a network sees it: the lung's window, or the liver's."""
    if organ == "lung":
        return lung_window(hu)
    return (2 * images.window(hu, level=90, width=300) - 1)[..., None]


def questions(seen: clinic.Clinic, organ: str) -> Tasks:
    """Is a finding above its median? Yes is 1."""
    x, who = shown(seen.cohort.x, organ), seen.cohort.patient
    truth = seen.truth[list(FINDINGS)]
    answers = (truth > truth.median()).astype(int)  # most have no necrosis: is there any?
    return [Cohort(f"{organ}: {n}", x, answers[n].to_numpy(), who) for n in FINDINGS]


@cache
def sources(replicate: int) -> dict[str, list[Tasks]]:
    """For each organ the questions of three scanners."""
    return {
        organ: [
            questions(clinic.simulate(replace(SITE, organ=organ, **how), PATIENTS, seed), organ)
            for seed, how in enumerate(SCANNERS, 100 * replicate + 10 * k)
        ]
        for k, organ in enumerate(NEW)
    }


@cache
def held_out(replicate: int) -> dict[str, Cohort]:
    """Questions that no source patient was asked, on another scanner."""
    tasks: dict[str, Cohort] = {}
    for k, organ in enumerate(NEW):
        site = replace(SITE, organ=organ, **ELSEWHERE)
        seen = clinic.simulate(site, TESTED, 100 * replicate + 50 + k)
        x, who = shown(seen.cohort.x, organ), seen.cohort.patient
        answers = {"malignant": seen.cohort.y}
        answers |= {n: np.asarray(ask(seen.truth)).astype(int) for n, ask in NEW[organ].items()}
        tasks |= {f"{organ}: {n}": Cohort(f"{organ}: {n}", x, y, who) for n, y in answers.items()}
    return tasks


# --- source networks ------------------------------------------------------------------------------


def answered(replicate: int) -> tuple[keras.Model, keras.Model]:
    """A network with an output for each question of each organ; and the same, trained longer."""
    rows, wanted = [], []
    for k, clinics in enumerate(sources(replicate).values()):
        for tasks in clinics:
            y = np.full((len(tasks[0]), 2 * len(FINDINGS)), np.nan)
            own = slice(k * len(FINDINGS), (k + 1) * len(FINDINGS))
            y[:, own] = 2 * np.column_stack([task.y for task in tasks]) - 1
            rows.append(tasks[0].x)
            wanted.append(y)
    data = np.concatenate(rows), np.concatenate(wanted)
    start = network((32, 32, 1), 2 * len(FINDINGS), replicate)
    made = models.train(start, *data, replace(SOURCE, loss="squares"), replicate)
    return made, models.train(made, *data, replace(MORE, loss="squares"), replicate + 1000)


# --- what each strategy makes of a handful --------------------------------------------------------


def strategies(begin: dict[str, keras.Model], task: Cohort) -> dict[str, Callable[..., Array]]:
    """By name, each from shots and a generator to log odds of all patients who are asked about."""

    def on_features(start: str, head: Callable[..., Array]) -> Callable[..., Array]:
        seen = replace(task, x=models.outputs(begin[start], task.x, "features"))

        def scores(shots: int, rng: np.random.Generator) -> Array:
            few, asked = episode(seen, shots, rng)
            return head(few.x, few.y, asked.x)

        return scores

    def tuned(start: str, how: Training, slower: float = 1.0) -> Callable[..., Array]:
        held = dict.fromkeys(models.backbone_layers(begin[start]), slower)

        def scores(shots: int, rng: np.random.Generator) -> Array:
            few, asked = episode(task, shots, rng)
            ready = models.train(begin[start], few.x, few.y, how, 0, multipliers=held)
            return models.outputs(ready, asked.x)[:, 0]

        return scores

    def no_label(shots: int, rng: np.random.Generator) -> Array:
        return models.outputs(begin["Reptile"], episode(task, shots, rng)[1].x)[:, 0]

    return {
        "nearest prototype": on_features("source", nearest),
        "nearest prototype, source trained longer": on_features("longer", nearest),
        "logistic regression": on_features("source", regression),
        "prototypical network": on_features("episodes", nearest),
        "prototypical network, from scratch": on_features("episodes alone", nearest),
        "Reptile": tuned("Reptile", AFTER_REPTILE),
        "Reptile, no label": no_label,
        "Reptile, answers swapped": tuned("Reptile, swapped", AFTER_REPTILE),
        "fine-tuned": tuned("source", TUNED),
        "fine-tuned, slow backbone": tuned("source", SLOW, SLOWER),
        "from scratch": tuned("nothing", SLOW),
    }


def nearest(z: Array, y: Array, asked: Array) -> Array:
    """Log odds by the nearer prototype."""
    return np.asarray(models.prototype_logit(z, y, asked))


def regression(z: Array, y: Array, asked: Array) -> Array:
    """Log odds of a logistic regression."""
    fitted = LogisticRegression(max_iter=1000).fit(z, y)
    return np.asarray(fitted.decision_function(asked))


def judged(
    begin: dict[str, keras.Model],
    tasks: dict[str, Cohort],
    shots: tuple[int, ...],
    replicate: int,
    only: Only,
) -> Iterator[dict[str, Any]]:
    """AUROC of each strategy on each task and draw."""
    for name in chosen(only, "task", tasks):
        ways = strategies(begin, tasks[name])
        for n in chosen(only, "n", shots):
            for draw in chosen(only, "draw", range(replicate * DRAWS, (replicate + 1) * DRAWS)):
                y = episode(tasks[name], n, np.random.default_rng(draw))[1].y
                for way in chosen(only, "strategy", ways):
                    z = ways[way](n, np.random.default_rng(draw))
                    about = {"strategy": way, "task": name, "n": n, "draw": draw}
                    yield about | {"AUROC": metrics.auroc(y, z)}


def simulated(replicate: int, only: Only = ALL) -> list[dict[str, Any]]:
    """Every strategy on questions that are new to the source."""
    asked = [t for clinics in sources(replicate).values() for tasks in clinics for t in tasks]
    begin = starts(*answered(replicate), asked, replicate)
    return [*judged(begin, held_out(replicate), SHOTS, replicate, only)]


KEYS = ("strategy", "task", "n", "draw")
FACTS = {"draws": DRAWS, "episodes": [*EPISODES.values()], "meta": META, "steps": SOURCE.steps}
JOBS = [{"replicate": replicate} for replicate in range(1, 5)]
STUDIES = (Study("handful", JOBS, simulated, KEYS, PACKAGES, FACTS),)
