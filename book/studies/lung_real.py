"""What lung nodules are worth on real patients: to smaller nodules, from simulation, to ultrasound.

Targets are nodules of LIDC-IDRI (malignant: scored 4 or 5 of 5 by radiologists; benign: 1 or 2) and
the images of BreastMNIST. Each repeat is a replicate of its own: a new division of the target's
patients into pool and test, new labels, a new source network. So the intervals speak of other
patients of these hospitals, though all divisions share one set of patients. Run it with
`make results`.

Only the middle 28 pixels of a LIDC patch are used: farther out the file repeats the last row or
column of what was cut out around a nodule, and how much of it depends on the nodule's size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, cast

# First: it decides how TensorFlow starts.
from medxfer_utils import models, transfer

# isort: split
import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from book.studies.study import ALL, PACKAGES, Only, Study, curve, halves, lung_window
from medxfer_utils import clinic
from medxfer_utils.cohorts import Cohort, require_disjoint, together
from medxfer_utils.data import KNOWN_COPIES, Nodules, lidc_nodules, medmnist
from medxfer_utils.experiments import learning_curve
from medxfer_utils.models import Array, Classical, Model, Strategy, Training

Prepare = Callable[[Array], Array]
TABLE = "lidc_transfer"
# Replicate 0 is the one in which the choices below were made, on its pools; it is not reported. Its
# patients are also in the others.
REPLICATES = range(1, 21)
SIZES = {"small nodules": (10, 20, 40, 80, 160)}
SIZES |= {"simulation": SIZES["small nodules"], "ultrasound": (20, 40, 80, 160, 320)}
POOL = 0.6  # of the target's patients; the others are the test
SIDE, PIXEL = 28, 0.75  # pixels, mm
# Nodules below this are the target of the first question. Of those below 8 mm too few are malignant
# (32 of 332) to draw and to test with.
SMALL = 10.0
SIMULATED = 500  # patients for each of four simulated scanners
SHAPE, FILTERS = (SIDE, SIDE, 1), (16, 32, 64)

LONG = Training(steps=600, rate=0.003, cosine=True, augment=models.flips_and_turns)
SHORT = replace(LONG, steps=100, batch=16)
# Four each, a factor of about 3 apart, tried in replicate 0; one of each serves every question.
RATES = {
    "scratch": (0.001, 0.003, 0.01, 0.03),
    "frozen features + new head": (0.01, 0.03, 0.1, 0.3),
    "fine-tuned": (0.001, 0.003, 0.01, 0.03),
}
CHOSEN = {"scratch": 0.01, "frozen features + new head": 0.1, "fine-tuned": 0.01}
SCRATCH, HEAD, TUNED = CHOSEN
SLOWER = 10  # times, than fine-tuning: the usual advice; not tried
AS_IS, DIAMETER = "as is", "diameter alone"


# --- images ---------------------------------------------------------------------------------------


def middle(patches: NDArray[Any]) -> Array:
    """The middle of square patches, shape (n, SIDE, SIDE)."""
    edge = (patches.shape[1] - SIDE) // 2
    return patches[:, edge : edge + SIDE, edge : edge + SIDE].astype(float)


def standardised(x: Array) -> Array:
    """Each image with mean 0 and spread 1, with a channel."""
    mean, spread = (f(axis=(1, 2), keepdims=True) for f in (x.mean, x.std))
    return cast(Array, ((x - mean) / np.maximum(spread, 1e-6))[..., None])


PREPARE: dict[str, Prepare] = {"CT window": lung_window, "own mean and spread": standardised}
NORMALISATION = "own mean and spread"


def measured(hu: Array) -> Array:
    """Diameter (mm), mean and steepest edge of what is denser than -400 HU in the middle."""
    result = []
    for image in hu:
        places, _ = ndimage.label(image > -400)
        seed = places[SIDE // 2 - 2 : SIDE // 2 + 2, SIDE // 2 - 2 : SIDE // 2 + 2]
        number = np.bincount(seed.ravel()).argmax() or seed.max()  # 0 is lung
        inside = (places == number) & (number > 0)
        density = image[inside].mean() if inside.any() else -400.0
        edge = np.hypot(*np.gradient(image))[ndimage.binary_dilation(inside)]
        result.append([np.sqrt(inside.sum()) * PIXEL, density, edge.max(initial=0.0)])
    return np.array(result)


# --- the three questions --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Question:
    """A target, and the network that is brought to it.

    Parameters
    ----------
    target : Cohort
        Its `x` holds positions in the arrays below instead of images.
    images : ndarray, shape (n, SIDE, SIDE, 1)
    source : callable
        From a replicate to its source network.
    simple : dict of str to ndarray, shape (n, columns)
        Numbers that a logistic regression may have.
    """

    name: str
    target: Cohort
    images: Array
    source: Callable[[int], keras.Model]
    simple: dict[str, Array]


def labelled(data: Nodules) -> tuple[Nodules, NDArray[np.int64]]:
    """The nodules whose score is not 3, and their labels: 1 = scored 4 or 5."""
    rows = data.malignancy != 3
    x, malignancy, diameter, patient = (array[rows] for array in data[:4])
    kept = Nodules(x, malignancy, diameter, patient, data.sums)
    return kept, (kept.malignancy > 3).astype(np.int64)


def trained(x: Array, y: NDArray[np.integer], replicate: int) -> keras.Model:
    """A source network."""
    network = models.image_network(SHAPE, filters=FILTERS, seed=replicate)
    return models.train(network, x, y, LONG, replicate)


def sizes_apart(data: Nodules, y: NDArray[np.int64]) -> tuple[Cohort, Cohort]:
    """The large nodules of patients who have no small one, and all small nodules."""
    rows = np.arange(len(y), dtype=float)
    small = data.diameter < SMALL
    alone = ~np.isin(data.patient, data.patient[small])
    parts = {"large nodules": alone, "small nodules": small}
    large, little = (Cohort(k, rows[v], y[v], data.patient[v]) for k, v in parts.items())
    require_disjoint(large, little)
    return large, little


def small_nodules(data: Nodules, prepare: Prepare) -> Question:
    """What is learnt on large nodules, brought to small ones, where size says less."""
    data, y = labelled(data)
    x = middle(data.x)
    large, small = sizes_apart(data, y)
    images, rows = prepare(x), large.x.astype(int)
    return Question("small nodules", small, images, lambda w: trained(images[rows], large.y, w),
                    simple_numbers(data.diameter, x))  # fmt: skip


def simple_numbers(diameter: NDArray[np.floating], x: Array) -> dict[str, Array]:
    """What the classical baselines have."""
    return {DIAMETER: diameter[:, None].astype(float), "three measurements": measured(x)}


def simulated(replicate: int) -> tuple[Array, NDArray[np.integer]]:
    """Simulated nodules of four scanners: with and without contrast medium, smooth and sharp."""
    site = clinic.Site(organ="lung", size=SIDE, pixel=PIXEL)
    kinds = [(phase, kernel) for phase in ("portal", "unenhanced") for kernel in ("soft", "sharp")]
    clinics = [
        clinic.simulate(
            replace(site, phase=phase, kernel=kernel), SIMULATED, 4 * replicate + k
        ).cohort
        for k, (phase, kernel) in enumerate(kinds)
    ]
    everybody = together(clinics)
    return everybody.x, everybody.y


def simulation(data: Nodules, prepare: Prepare) -> Question:
    """What is learnt on simulated nodules, brought to real ones of all sizes."""
    data, y = labelled(data)
    x = middle(data.x)
    target = Cohort("LIDC", np.arange(len(y), dtype=float), y, data.patient)

    def source(replicate: int) -> keras.Model:
        hu, label = simulated(replicate)
        return trained(prepare(hu), label, replicate)

    return Question("simulation", target, prepare(x), source, simple_numbers(data.diameter, x))


def ultrasound(data: Nodules, prepare: Prepare) -> Question:
    """What is learnt on lung nodules in CT, brought to ultrasound of the breast.

    The three official parts of BreastMNIST are one target, divided anew in each replicate. No
    patient ids exist, so each image counts as a patient; of images that are there twice, none is
    used, for one such pair has two diagnoses. Near copies stay, and may be on both sides.
    """
    data, y = labelled(data)
    nodules = prepare(middle(data.x))
    parts = medmnist("breastmnist", also=KNOWN_COPIES)
    x, label = (
        np.concatenate([getattr(p, name) for p in (parts.train, parts.val, parts.test)])
        for name in ("x", "y")
    )
    once = np.unique(x, axis=0, return_inverse=True, return_counts=True)[1:]
    rows = np.flatnonzero(once[1][once[0].ravel()] == 1)
    target = Cohort("BreastMNIST", rows.astype(float), label[rows], rows)
    images = prepare(x.astype(float))
    return Question("ultrasound", target, images, lambda w: trained(nodules, y, w),
                    {"pixels": images[..., 0].reshape(len(x), -1)})  # fmt: skip


QUESTIONS = {"small nodules": small_nodules, "simulation": simulation, "ultrasound": ultrasound}


@cache
def question_of(name: str) -> Question:
    """One of the three, on the real nodules."""
    return QUESTIONS[name](lidc_nodules(), PREPARE[NORMALISATION])


# --- strategies -----------------------------------------------------------------------------------


def classical(question: Question, source: keras.Model) -> dict[str, Strategy]:
    """The simple baselines; to the diameter, if there is one, also what the source says is added.

    Pixels are as strongly shrunk as in `xray_ultrasound`.
    """
    numbers = dict(question.simple)
    if DIAMETER in numbers:
        both = [numbers[DIAMETER], models.outputs(source, question.images)]
        numbers["diameter + score of the source"] = np.hstack(both)
    return {
        name: partial(_regression, values, 0.03 if name == "pixels" else 1.0)
        for name, values in numbers.items()
    }


def _regression(values: Array, strength: float, t: Cohort, s: int) -> Classical:
    """A logistic regression on columns of numbers; `strength` is scikit-learn's C."""
    take = FunctionTransformer(lambda rows: values[rows.astype(int)])
    last = LogisticRegression(C=strength, max_iter=1000)
    return transfer.classical(make_pipeline(take, StandardScaler(), last), t)


def networks(
    question: Question, source: keras.Model, pool: Cohort, rates: dict[str, float]
) -> dict[str, Strategy]:
    """Every strategy with a network."""
    start = Model(source, lambda rows: question.images[rows.astype(int)])
    own = transfer.restandardised(start, pool.x)
    scratch, head, tuned = (replace(SHORT, rate=rates[name]) for name in (SCRATCH, HEAD, TUNED))
    longer, slow = replace(scratch, steps=300), replace(tuned, rate=tuned.rate / SLOWER)
    return {
        AS_IS: lambda t, s: start,
        SCRATCH: lambda t, s: transfer.target_only(start, t, scratch, s),
        "scratch, 3 times longer": lambda t, s: transfer.target_only(start, t, longer, s),
        HEAD: lambda t, s: transfer.frozen_features(start, t, head, s),
        "own statistics + new head": lambda t, s: transfer.frozen_features(own, t, head, s),
        "random features + new head": lambda t, s: transfer.frozen_features(
            start.untrained(s), t, head, s
        ),
        TUNED: lambda t, s: transfer.fine_tuned(start, t, tuned, s),
        "fine-tuned, slowly": lambda t, s: transfer.fine_tuned(start, t, slow, s),
    }


def divide(question: Question, replicate: int) -> tuple[Cohort, Cohort]:
    """The pool and the test patients of a replicate."""
    return halves(question.target, POOL, replicate)


def one_replicate(question: str, repeat: int, only: Only = ALL) -> pd.DataFrame:
    """Every strategy of a question in one replicate, one row a fit."""
    asked = question_of(question)
    source, parts = asked.source(repeat), divide(asked, repeat)
    every = networks(asked, source, parts[0], CHOSEN) | classical(asked, source)
    return curve(every, parts, SIZES[question], repeat, only)


# --- choices --------------------------------------------------------------------------------------


def tried(data: Nodules, draws: int = 4, n: int = 40) -> pd.DataFrame:
    """AUROC of each learning rate and normalisation, in the pools of replicate 0 only.

    One half of a pool gives the labels, the other half judges.
    """
    makers = (small_nodules, simulation)
    cases = [(make, name) for make in makers for name in PREPARE]
    cases.append((ultrasound, NORMALISATION))  # ultrasound has no Hounsfield units
    frames = []
    for make, name in cases:
        question = make(data, PREPARE[name])
        source, pool = question.source(0), divide(question, 0)[0]
        inner, judge = halves(pool, 0.5, 0)
        for place in range(4):
            rates = {strategy: values[place] for strategy, values in RATES.items()}
            every = networks(question, source, inner, rates)
            some = {strategy: every[strategy] for strategy in (*RATES, AS_IS)}
            frame = learning_curve(some, inner, judge, (n,), repeats=draws, seed=0)
            labels = {"question": question.name, "normalisation": name}
            frames.append(frame.assign(rate=frame["strategy"].map(rates), **labels))
    kept = ["question", "normalisation", "strategy", "rate"]
    return pd.concat(frames).groupby(kept, dropna=False)["AUROC"].mean().reset_index()


def found() -> dict[str, Any]:
    """The file's sums, and what was tried."""
    data = lidc_nodules()
    return {"file": list(data.sums), "tried": tried(data).round(4).to_dict("records")}


FACTS = {
    "replicates": [*REPLICATES],
    "sizes": SIZES,
    "rates": CHOSEN,
    "normalisation": NORMALISATION,
}
EACH = [{"question": name, "repeat": replicate} for name in QUESTIONS for replicate in REPLICATES]
STUDIES = (Study(TABLE, EACH, one_replicate, ("strategy", "n"), PACKAGES, FACTS, found),)
