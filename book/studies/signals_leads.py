"""From single-lead beats to twelve-lead diagnoses: three diagnoses, one network with three outputs.

A source learns which beats of MIT-BIH are ventricular, from one lead (`ecg`). The target sees the
median beat of each of LUDB's twelve leads, and tells three diagnoses, of which a patient may have
several. One encoder of one lead is shared by all leads and their features stand side by side; or
the first convolution is copied for each lead, so that leads are summed at once. LUDB's gains are
lost: each lead is divided by its own span, so that nothing hangs on voltages. Draws of patients
keep the share of fibrillation, the rarest. Repeat 0 is not reported.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

# First: it decides how TensorFlow starts.
from medxfer_utils import models
from medxfer_utils.models import Training

# isort: split
import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from book.studies.ecg import ALONE, MORE, SOURCES, Array, files, source, written
from book.studies.study import ALL, PACKAGES, Only, Study, chosen, halves
from medxfer_utils.cohorts import Cohort, draw
from medxfer_utils.data.ecg import beats_of, read_ludb
from medxfer_utils.models.training import in_turn

ASKED = ("left ventricle", "ischaemia or scar", "fibrillation or flutter")
LEADS, ONE = 12, (1,)  # lead II
SCRATCH, TUNED, SHUFFLED = "from scratch", "fine-tuned", "fine-tuned, shuffled source"
JOINED, SINGLE = "fine-tuned, leads summed first", "fine-tuned, lead II"
FROZEN, RANDOM = "frozen", "frozen, random weights"
BEATS, BEAT = "twelve leads + logistic regression", "lead II + logistic regression"
STRATEGIES = (SCRATCH, TUNED, SHUFFLED, JOINED, SINGLE, FROZEN, RANDOM, BEATS, BEAT)
BUDGETS, REPEATS = (20, 50, 100), 8


def network(leads: int, seed: int, joined: bool = False) -> keras.Model:
    """The blocks of `ecg.network` on each lead, or on all at once; a head of three outputs."""
    layers, made = keras.layers, keras.Sequential([keras.Input((leads, 126, 1))])
    if joined:
        made.add(layers.Permute((3, 2, 1)))
    for k, width in enumerate((16, 32, 32), 1):
        made.add(layers.Conv2D(width, (1, 7), padding="same", use_bias=False, name=f"conv_{k}"))
        made.add(layers.BatchNormalization(momentum=0.9, name=f"norm_{k}"))
        made.add(layers.ReLU(name=f"relu_{k}"))
        made.add(layers.MaxPooling2D((1, 2), name=f"pool_{k}"))
    made.add(layers.Flatten(name="features"))
    made.add(layers.Dense(len(ASKED), name="head"))
    return models.reinitialised(made, seed)


def carried(network: keras.Model, seed: int, shuffled: bool = False) -> keras.Model:
    """The weights of a source of one lead in a network of several; its head stays."""
    twin = models.copied(network)
    told, mine = source(seed, shuffled).network.get_weights()[:-2], twin.get_weights()
    told = [w[None] if w.ndim == 3 else w for w in told]
    copies = mine[0].shape[2]
    told[0] = np.repeat(told[0], copies, axis=2) / copies
    twin.set_weights([*told, *mine[-2:]])
    return twin


@cache
def compiled(leads: int, joined: bool, training: Training) -> tuple[keras.Model, list[Array]]:
    """A network that is ready to be trained, and its optimiser before the first step."""
    net, rate = network(leads, 0, joined), keras.optimizers.schedules.CosineDecay
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    adam = keras.optimizers.Adam(rate(training.rate, training.steps))
    net.compile(adam, loss, jit_compile=False)
    adam.build(net.trainable_variables)
    return net, [v.numpy() for v in adam.variables]


def trained(start: keras.Model, x: Array, y: Array, training: Training, seed: int) -> keras.Model:
    """Three sigmoids, one loss: binary cross-entropy, the mean over diagnoses."""
    joined = isinstance(start.layers[0], keras.layers.Permute)
    net, first = compiled(x.shape[1], joined, training)
    net.set_weights(start.get_weights())
    for variable, value in zip(net.optimizer.variables, first, strict=True):
        variable.assign(value)
    order = in_turn(len(x), training, seed).ravel()
    net.fit(x[order], y[order], batch_size=training.batch, shuffle=False, verbose=0)
    return net


@cache
def ludb() -> tuple[Cohort, Array, Array]:
    """Numbers of the patients, the rarest diagnosis; median beats (n, 12, 126, 1); diagnoses."""
    x, peaks, about = read_ludb(files())
    pairs = zip(x, peaks, strict=True)
    beats = [[np.median(beats_of(lead, 125, at), 0) for lead in one] for one, at in pairs]
    shape = np.array(beats) - np.median(beats, axis=2, keepdims=True)
    shape /= np.ptp(shape, axis=2, keepdims=True)
    y = np.column_stack([written(about, name) for name in ASKED]).astype(float)
    numbers = np.arange(float(len(y)))
    return (
        Cohort("LUDB", numbers, y[:, -1].astype(int), about.index.to_numpy()),
        shape[..., None],
        y,
    )


def one_each(x: Array, y: Array, test: Array, held: float) -> Array:
    """Log odds by a logistic regression for each diagnosis."""
    fit = [
        make_pipeline(StandardScaler(), LogisticRegression(C=held, max_iter=1000)).fit(x, one)
        for one in y.T
    ]
    return np.column_stack([one.decision_function(test) for one in fit])


def scores(strategy: str, few: NDArray[np.intp], test: NDArray[np.intp], repeat: int) -> Array:
    """Log odds of the three diagnoses for each test patient."""
    _, x, y = ludb()
    if strategy in (SINGLE, BEAT):
        x = x[:, ONE]
    if strategy in (BEATS, BEAT):
        flat = x.reshape(len(x), -1)
        return one_each(flat[few], y[few], flat[test], 0.001)
    start = network(x.shape[1], repeat, strategy == JOINED)
    if strategy not in (SCRATCH, RANDOM):
        start = carried(start, repeat % SOURCES, strategy == SHUFFLED)
    if strategy in (FROZEN, RANDOM):
        seen = models.outputs(start, x, "features")
        return one_each(seen[few], y[few], seen[test], 0.001)
    training = ALONE if strategy == SCRATCH else MORE
    return models.outputs(trained(start, x[few], y[few], training, repeat), x[test])


def of_leads(repeat: int, only: Only = ALL) -> list[dict[str, Any]]:
    """The table's rows of one division."""
    pool, test = halves(ludb()[0], 0.5, repeat)
    those, y, rows = test.x.astype(int), ludb()[2], []
    for n in chosen(only, "n", BUDGETS):
        few = draw(pool, n, np.random.default_rng(repeat)).x.astype(int)
        for strategy in chosen(only, "strategy", STRATEGIES):
            told = scores(strategy, few, those, repeat)
            for k, name in enumerate(ASKED):
                auroc = cast(float, roc_auc_score(y[those, k], told[:, k]))
                rows.append({"strategy": strategy, "n": n, "diagnosis": name, "AUROC": auroc})
    return rows


JOBS = [{"repeat": repeat} for repeat in range(1, REPEATS + 1)]
FACTS = {"budgets": list(BUDGETS), "repeats": REPEATS, "sources": SOURCES}
KEYS = ("strategy", "n", "diagnosis")
STUDIES = (Study("signals_leads", JOBS, of_leads, KEYS, PACKAGES, FACTS),)
