"""Several tasks in one network: few diagnoses, and measurements of many patients.

The diagnosis is known of 20 patients, or of more for comparison. Of all patients of the pool the
diameter is measured, and the spiculation graded from 1 to 5. One network has a head for each; the
head that nobody needs at last is thrown away. Simulated lung nodules, and those of LIDC-IDRI, whose
diagnosis is radiologists' opinion. Each repeat draws patients, labels and first weights anew; those
of LIDC-IDRI divide one set of patients anew. Steps, rate and weights were chosen in repeat 0 of the
simulated ones, which is not reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

# First: it decides how TensorFlow starts.
from medxfer_utils import models

# isort: split
import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from book.studies.handful import SITE
from book.studies.handful_starts import network
from book.studies.lung_real import middle, standardised
from book.studies.study import ALL, PACKAGES, Only, Study, chosen, halves, lung_window
from medxfer_utils import clinic, data, metrics
from medxfer_utils.cohorts import Cohort, draw
from medxfer_utils.models import Array

POOL, TESTED, MORE = 400, 600, (20, 160)
STEPS, RATE, LABELLED, MEASURED = 300, 0.003, 16, 48  # images in a step
CUTS = (0.05, 0.25, 0.5, 0.75)  # of the simulated spiculation, between the grades 1 to 5
TASKS = 5  # diagnosis, diameter, grade, signs, age
SQUARES = np.array([0, 1, 0, 0, 1])


class Measured(NamedTuple):
    """Patients with images, and what is known of each image.

    `cohort.x` holds positions. Of `about` the columns are the diameter in mm, whether the grade is
    above 1, 2, 3, 4, three signs, and the age in standard deviations, which no image shows.
    """

    cohort: Cohort
    images: Array
    about: Array


@dataclass(frozen=True)
class Way:
    """Weights of diagnosis, diameter, grade, signs, age; are they learnt; is the unit the mm."""

    weights: tuple[float, float, float, float, float]
    learnt: bool = False
    millimetres: bool = False


ALONE, SECOND, MEASUREMENTS = "diagnosis alone", "in two steps", "measured"
WAYS = {
    ALONE: Way((1, 0, 0, 0, 0)),
    "equal weights": Way((1, 1, 1, 1, 0)),
    "equal weights, in mm": Way((1, 1, 1, 1, 0), millimetres=True),
    "learnt weights": Way((1, 1, 1, 1, 0), learnt=True),
    "diagnosis counts little": Way((0.03, 1, 1, 1, 0)),
    "little, diameter only": Way((0.03, 1, 0, 0, 0)),
    "little, age only": Way((0.03, 0, 0, 0, 1)),
}
TWO_STEPS = Way((0, 1, 1, 1, 0))


# --- patients -------------------------------------------------------------------------------------


def measured(x: Array, y: Any, who: Any, mm: Any, grade: Any, rest: Array) -> Measured:
    """Put together."""
    cohort = Cohort("nodules", np.arange(len(y), dtype=float), np.asarray(y), who)
    return Measured(cohort, x, np.column_stack([mm, grade[:, None] > np.arange(1, 5), rest]))


def simulated(repeat: int) -> tuple[Measured, Measured]:
    """Pool and tested patients of the virtual clinic."""
    both = []
    for patients, seed in ((POOL, 2 * repeat), (TESTED, 2 * repeat + 1)):
        seen = clinic.simulate(SITE, patients, 7000 + seed)
        truth, age = seen.truth, seen.record["age"].to_numpy(float)
        mm, grade = truth["diameter_mm"], 1 + np.searchsorted(CUTS, truth["spiculation"])
        signs = truth[["margin", "lobulation", "heterogeneity"]] > 0.5
        rest = np.column_stack([signs, (age - age.mean()) / age.std()])
        images = lung_window(seen.cohort.x)
        both.append(measured(images, seen.cohort.y, seen.cohort.patient, mm, grade, rest))
    return both[0], both[1]


@cache
def nodules() -> Measured:
    """Those of LIDC-IDRI that are scored 1, 2, 4 or 5."""
    seen, file = data.lidc_nodules(), data.find_local(data.LIDC.name, "lidc")
    with np.load(str(file), allow_pickle=False) as stored:
        scores = stored["attr"].astype(float)  # in the order of their names
    clear = seen.malignancy != 3
    x, mm = standardised(middle(seen.x)), seen.diameter.astype(float)
    # Calcified at all, lobulated at all, no sharp margin; nobody's age is known.
    rest = np.column_stack([scores[:, 0] < 6, scores[:, 2] > 1, scores[:, 3] < 4, 0 * mm])
    rows = (x, seen.malignancy > 3, seen.patient, mm, scores[:, 5], rest)
    return measured(*(r[clear] for r in rows))


def real(repeat: int) -> tuple[Measured, Measured]:
    """A division of the nodules by patient."""
    some = nodules()
    parts = halves(some.cohort, 0.6, [repeat, 14])
    rows = [part.x.astype(int) for part in parts]
    kept = [measured_rows(some, r) for r in rows]
    return kept[0], kept[1]


def measured_rows(some: Measured, rows: NDArray[np.intp]) -> Measured:
    """A part of them, numbered anew."""
    c = some.cohort
    part = Cohort(c.name, np.arange(len(rows), dtype=float), c.y[rows], c.patient[rows])
    return Measured(part, some.images[rows], some.about[rows])


PLACES = {"simulated": simulated, "LIDC-IDRI": real}


# --- training -------------------------------------------------------------------------------------


class Trainer:
    """One graph for all ways: what is learnt, and what it weighs, is told at each step."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.network = network(shape, 1 + 1 + 4 + 3 + 1, 0)
        self.scales = tf.Variable(tf.zeros(TASKS))  # log variances
        self.optimisers = keras.optimizers.Adam(RATE), keras.optimizers.Adam(0.01)
        self.optimisers[0].build(self.network.trainable_weights)
        self.optimisers[1].build([self.scales])
        self.state = [self.scales, *(v for o in self.optimisers for v in o.variables)]
        self.first = [v.numpy() for v in self.state]
        told = tf.TensorSpec([None, *shape]), tf.TensorSpec([None]), tf.TensorSpec([None, 9])
        rest = tf.TensorSpec([TASKS]), tf.TensorSpec([]), tf.TensorSpec([])
        self.step = tf.function(self._step, input_signature=[*told, *rest])

    def restart(self, seed: int) -> None:
        """Fresh weights, and optimisers that remember nothing."""
        fresh = models.reinitialised(self.network, seed)
        self.network.set_weights(fresh.get_weights())
        for variable, value in zip(self.state, self.first, strict=True):
            variable.assign(value)

    def _step(self, x: Any, y: Any, about: Any, weight: Any, learnt: Any, rate: Any) -> None:
        entropy, n = tf.nn.sigmoid_cross_entropy_with_logits, tf.shape(y)[0]
        moving = self.network.trainable_weights
        with tf.GradientTape() as tape:
            out = self.network(x, training=True)
            some = out[n:, 1:]
            each = [
                entropy(y, out[:n, 0]),
                (some[:, 0] - about[:, 0]) ** 2,
                entropy(about[:, 1:5], some[:, 1:5]),
                entropy(about[:, 5:8], some[:, 5:8]),
                (some[:, 8] - about[:, 8]) ** 2,
            ]
            losses = tf.stack([tf.reduce_mean(loss) for loss in each])
            kept = tf.where(weight > 0, losses, 0.0)
            scales = tf.where(weight > 0, self.scales - tf.math.log(weight), 0.0)
            total = models.uncertainty_weighted(kept, scales, SQUARES)
        *slopes, own = tape.gradient(total, [*moving, self.scales])
        self.optimisers[0].learning_rate.assign(rate)
        self.optimisers[0].apply(slopes, moving)
        self.optimisers[1].apply([learnt * tf.where(weight > 0, own, 0.0)], [self.scales])


@cache
def trainer(shape: tuple[int, int, int]) -> Trainer:
    """Compiled once for images of a shape."""
    return Trainer(shape)


def fitted(pool: Measured, few: NDArray[np.intp], way: Way, seed: int) -> keras.Model:
    """Train on the few whose diagnosis is known, and on what is measured of the pool."""
    work, rng = trainer(pool.images.shape[1:]), np.random.default_rng(seed)
    work.restart(seed)
    about = pool.about - np.eye(9)[0] * pool.about[:, 0].mean()
    if not way.millimetres:
        about[:, 0] /= about[:, 0].std()
    for k in range(STEPS):
        known, many = rng.choice(few, LABELLED), rng.choice(len(about), MEASURED)
        x = tf.constant(pool.images[np.concatenate([known, many])], tf.float32)
        turned = models.flips_and_turns(x, [seed, k])
        rate = RATE * (1 + np.cos(np.pi * k / STEPS)) / 2
        y = pool.cohort.y[known].astype("float32")
        work.step(turned, y, about[many].astype("float32"), way.weights, float(way.learnt), rate)
    return work.network


def regression(few: NDArray[np.intp], seen: Array, y: Any, asked: Array) -> Array:
    """Log odds of a logistic regression on columns of numbers."""
    one = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    return np.asarray(one.fit(seen[few], y[few]).decision_function(asked))


def scores(name: str, few: NDArray[np.intp], both: tuple[Measured, Measured], seed: int) -> Array:
    """Log odds of the tested, by one way."""
    pool, tested = both
    y = pool.cohort.y
    if name == MEASUREMENTS:  # these need measuring in the tested, too
        return regression(few, pool.about[:, :8], y, tested.about[:, :8])
    if name == SECOND:  # measurements first; then a simple head on frozen features
        made = fitted(pool, few, TWO_STEPS, seed)
        seen = (models.outputs(made, part.images, "features") for part in both)
        return regression(few, next(seen), y, next(seen))
    return models.outputs(fitted(pool, few, WAYS[name], seed), tested.images)[:, 0]


def one_repeat(place: str, repeat: int, only: Only = ALL) -> pd.DataFrame:
    """Every way on 20 patients; on more the diagnosis alone, and the measurements themselves."""
    both, rows = PLACES[place](repeat), []
    for n in chosen(only, "n", MORE):
        few = draw(both[0].cohort, n, np.random.default_rng([repeat, 20])).x.astype(int)
        names = [*WAYS, SECOND, MEASUREMENTS] if n == MORE[0] else [ALONE, MEASUREMENTS]
        for name in chosen(only, "strategy", names):
            if place == "simulated" or name != "little, age only":
                area = metrics.auroc(both[1].cohort.y, scores(name, few, both, repeat))
                rows.append({"strategy": name, "n": n, "AUROC": area})
    return pd.DataFrame(rows)


JOBS = [
    {"place": place, "repeat": repeat}
    for place, repeats in (("simulated", 4), ("LIDC-IDRI", 4))
    for repeat in range(1, repeats + 1)
]
FACTS = {"pool": POOL, "tested": TESTED, "steps": STEPS, "rate": RATE}


STUDIES = (Study("handful_tasks", JOBS, one_repeat, ("strategy", "n"), PACKAGES, FACTS),)
