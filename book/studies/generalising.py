"""What helps a small network on X-rays of another collection, and what a source is worth there.

Home is what PneumoniaMNIST calls training and validation, the other collection what it calls test.
No file names a child, so every image counts as one. A row is a fit on one draw of labelled images,
from a network (and, for a transfer, a source) of its own. Run it with `make results`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, NamedTuple

# First: it decides how TensorFlow starts.
from medxfer_utils import models

# isort: split
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from benchmarks.medmnist_recipe import files
from book.studies.study import ALL, Only, Study, chosen
from medxfer_utils import data, metrics
from medxfer_utils.models import Array, Training

NAME, REPEATS = "generalising", 8
HELD, BUDGETS, FEW, SOURCE = 600, (20, 50, 150, 400), 40, 1500
WIDTHS = {"narrow": (8, 16, 32), "middle": (16, 32, 64), "wide": (32, 64, 128)}
UPDATES, MEMBERS = (0, 10, 25, 50, 100, 200), 4
STARTS = ("from scratch", "cached features", "fine-tuned")
FIT = Training(200, 0.003, cosine=True)
SHORT = replace(FIT, steps=100)  # on forty images of the other collection
PACKAGES = ("numpy", "scipy", "pandas", "keras")


@dataclass(frozen=True)
class ElasticNet:
    """Both pulls to zero, half of each: ½Σ|w| + ¼Σw² over kernels."""

    layers: tuple[str, ...] = field(default=(), init=False)
    compares: bool = field(default=False, init=False)

    def __call__(self, seen: models.Seen) -> Any:
        return (models.Shrink(1)(seen) + models.Shrink(2)(seen)) / 2


# What each may choose from, on validation images: the penalty, and three strengths.
PENALTIES: dict[str, tuple[Any, tuple[float, ...]]] = {
    "L1": (models.Shrink(1), (1e-4, 1e-3, 1e-2)),
    "L2": (models.Shrink(2), (1e-3, 1e-2, 1e-1)),
    "elastic net": (ElasticNet(), (3e-4, 3e-3, 3e-2)),
    "L2-SP": (models.Anchor(2), (1e-2, 1e-1, 1.0)),
}


def network(widths: tuple[int, ...], seed: int) -> keras.Model:
    """Three convolutions of stride 2, with names throughout: each width is compiled once."""
    net = keras.Sequential([keras.Input((28, 28, 1), name="image")], name="small")
    for k, width in enumerate(widths, start=1):
        shape: dict[str, Any] = {"strides": 2, "padding": "same", "use_bias": False}
        net.add(keras.layers.Conv2D(width, 3, name=f"c{k}", **shape))
        net.add(keras.layers.BatchNormalization(momentum=0.9, name=f"n{k}"))
        net.add(keras.layers.ReLU(name=f"r{k}"))
    net.add(keras.layers.GlobalAveragePooling2D(name="features"))
    net.add(keras.layers.Dense(1, name="head"))
    return models.reinitialised(net, seed)


# --- augmentation ---------------------------------------------------------------------------------


def moved(images: Any, seed: Any) -> Any:
    """Turn (6°), zoom (10 %), shift (2 pixels), contrast (30 %) and brightness (0.2) at random."""
    u = tf.random.stateless_uniform([6, tf.shape(images)[0]], seed, -1, 1)
    size, zero = tf.exp(0.1 * u[1]), 0 * u[0]
    cos, sin = size * tf.cos(0.1 * u[0]), size * tf.sin(0.1 * u[0])
    right, down = 13.5 * (1 - cos + sin) + 2 * u[2], 13.5 * (1 - sin - cos) + 2 * u[3]
    rows = tf.stack([cos, -sin, right, sin, cos, down, zero, zero], 1)
    images = keras.ops.image.affine_transform(images, rows, fill_mode="nearest")
    contrast, light = tf.exp(0.3 * u[4]), 0.2 * u[5]
    return images * contrast[:, None, None, None] + light[:, None, None, None]


def mirrored(images: Any, seed: Any) -> Any:
    """Left and right exchanged in half of the images."""
    chance = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed)
    return tf.where(chance < 0.5, images[:, :, ::-1], images)


def exposed(contrast: float, brightness: float, images: Any, seed: Any) -> Any:
    """Contrast times exp(±contrast), plus or minus a brightness."""
    u = tf.random.stateless_uniform([2, tf.shape(images)[0], 1, 1, 1], seed, -1, 1)
    return images * tf.exp(contrast * u[0]) + brightness * u[1]


PARTS = {"any contrast": partial(exposed, 1, 0), "any brightness": partial(exposed, 0, 1)}
POLICIES = {"nothing": None, "moved": moved, "mirrored": mirrored}
POLICIES |= {"any exposure": partial(exposed, 1, 1)} | PARTS
# Name, labelled images, updates: the parts of an exposure, and longer training, at one budget.
GRID = [(name, n, FIT.steps) for n in BUDGETS for name in POLICIES if name not in PARTS]
GRID += [(name, 150, FIT.steps) for name in PARTS]
GRID += [(name, 150, 4 * FIT.steps) for name in ("nothing", "moved", "any exposure")]


# --- images and scores ----------------------------------------------------------------------------


class Xrays(NamedTuple):
    """Images (n, 28, 28, 1) from -1 to 1 and labels: home's, and the other collection's."""

    x: Array
    y: NDArray[np.int64]
    other: Array
    other_y: NDArray[np.int64]


@cache
def xrays() -> Xrays:
    """Home in random order, each different image once; the first `HELD` are never trained on."""
    shown = data.chest_xrays()
    grey = (shown.x / np.float32(127.5) - 1)[..., None]
    home = np.random.default_rng(0).permutation(np.flatnonzero(shown.part != "test"))
    test = shown.part == "test"
    return Xrays(grey[home], shown.y[home], grey[test], shown.y[test])


@cache
def altered() -> list[Array]:
    """The first 300 of home as four other machines might show them (simulated)."""
    x = xrays().x[:300]
    noise = np.random.default_rng(1).normal(0, 0.2, x.shape)
    tilted = ndimage.rotate(x, 12, axes=(1, 2), reshape=False, order=1, mode="nearest")
    blurred = ndimage.gaussian_filter(x, (0, 1, 1, 0))
    return [2 * ((x + 1) / 2) ** 1.7 - 1, (x + noise).astype("float32"), blurred, tilted]


def drawn(n: int, seed: int) -> NDArray[np.intp]:
    """So many of home's other images, half of them ill; small draws lie within larger ones."""
    rng, y = np.random.default_rng(seed), xrays().y[HELD:]
    halves = [rng.permutation(np.flatnonzero(y == k))[: n // 2] for k in (0, 1)]
    return HELD + np.concatenate(halves)


@cache
def thirds(repeat: int) -> list[NDArray[np.intp]]:
    """Of the other collection: forty to train on, forty to choose on, and the rest, to test on."""
    order = np.random.default_rng(repeat).permutation(len(xrays().other))
    return np.split(order, [FEW, 2 * FEW])


def row(networks: list[keras.Model], tested: Any = slice(None)) -> dict[str, float]:
    """Scores of networks whose probabilities are averaged, on all of the others or some."""
    x, y, other, other_y = xrays()

    def together(images: Array) -> Array:
        each = [expit(models.outputs(net, images)[:, 0]) for net in networks]
        return np.asarray(np.mean(each, axis=0))

    p = together(other[tested])
    return {
        "AUROC, home": metrics.auroc(y[:HELD], together(x[:HELD])),
        "AUROC, other": metrics.auroc(other_y[tested], p),
        "AUROC, altered": float(np.mean([metrics.auroc(y[:300], together(z)) for z in altered()])),
        "log loss": metrics.log_loss(other_y[tested], p),
    }


# --- strategies -----------------------------------------------------------------------------------


def at_home(net: keras.Model, rows: NDArray[np.intp], training: Training, seed: int) -> keras.Model:
    """A network trained on home's images."""
    return models.train(net, xrays().x[rows], xrays().y[rows], training, seed)


def policies(repeat: int, only: Only) -> Iterator[dict[str, Any]]:
    """Augmentation against label budgets."""
    for name, n, updates in GRID:
        training = replace(FIT, augment=POLICIES[name], steps=updates)
        if _wanted(only, name, n, updates):
            net = at_home(network(WIDTHS["middle"], repeat), drawn(n, repeat), training, repeat)
            yield {"strategy": name, "n": n, "updates": updates} | row([net])


def ensembles(repeat: int, only: Only) -> Iterator[dict[str, Any]]:
    """Four members in three ways, and one network trained as long as four; all with `moved`."""
    labelled, cycle = drawn(100, repeat), replace(FIT, augment=moved)
    first = MEMBERS * repeat

    def members(strategy: str, steps: int) -> list[keras.Model]:
        rng, made = np.random.default_rng(repeat), [network(WIDTHS["middle"], first)]
        for k in range(MEMBERS if steps == FIT.steps else 1):
            start = network(WIDTHS["middle"], first + k)
            rows = rng.choice(labelled, len(labelled)) if strategy == "bagging" else labelled
            start = made[-1] if strategy == "snapshot" else start
            made.append(at_home(start, rows, replace(cycle, steps=steps), first + k))
        return made[1:2] if strategy == "one network" else made[1:]

    for name in ("one network", "longer", "snapshot", "bagging", "deep"):
        updates = FIT.steps * (1 if name == "one network" else MEMBERS)
        if _wanted(only, name, 100, updates):
            steps = updates if name == "longer" else FIT.steps
            yield {"strategy": name, "n": 100, "updates": updates} | row(members(name, steps))


@cache
def source_of(size: str, repeat: int) -> keras.Model:
    """A network trained on 1,500 of home's images."""
    training = replace(FIT, steps=300)
    return at_home(network(WIDTHS[size], repeat), drawn(SOURCE, repeat), training, repeat)


def at_other(net: keras.Model, training: Training, repeat: int, penalty: Any = None) -> keras.Model:
    """A network trained on the other collection's forty."""
    few = thirds(repeat)[0]
    x, y = xrays().other[few], xrays().other_y[few]
    return models.train(net, x, y, training, repeat, penalty=penalty)


def on_cached(source: keras.Model, steps: int, repeat: int) -> keras.Model:
    """The same network with its head trained on features that were computed once."""
    few = thirds(repeat)[0]
    seen = models.outputs(source, xrays().other[few], "features")
    layers = keras.Input(seen.shape[1:], name="seen"), keras.layers.Dense(1, name="head")
    head = keras.Sequential(layers, name="alone")
    head.set_weights(source.layers[-1].get_weights())
    training = replace(SHORT, steps=steps, rate=0.01)
    head = models.train(head, seen, xrays().other_y[few], training, repeat)
    whole = models.copied(source)
    whole.layers[-1].set_weights(head.get_weights())
    return whole


def best(net: keras.Model, strategy: str, repeat: int) -> keras.Model:
    """The strength with the least log loss on validation images."""
    x, y = xrays().other[thirds(repeat)[1]], xrays().other_y[thirds(repeat)[1]]
    (penalty, strengths), rate = PENALTIES[strategy], 0.001 if strategy == "L2-SP" else 0.003
    slow, held = replace(SHORT, rate=rate), partial(models.Penalised, penalty)
    fits = [at_other(net, slow, repeat, held(s)) for s in strengths]
    losses = [metrics.log_loss(y, expit(models.outputs(net, x)[:, 0])) for net in fits]
    return fits[int(np.argmin(losses))]


def trained(strategy: str, size: str, updates: int, repeat: int) -> keras.Model:
    """A strategy's network; a choice among strengths takes as many updates for each of them."""
    fresh, scratch = network(WIDTHS[size], repeat), strategy == "from scratch"
    if strategy in PENALTIES:
        return best(source_of(size, repeat) if strategy == "L2-SP" else fresh, strategy, repeat)
    if strategy == "cached features":
        return on_cached(source_of(size, repeat), updates, repeat)
    start, rate = (fresh, 0.003) if scratch else (source_of(size, repeat), 0.001)
    return at_other(start, replace(SHORT, steps=updates, rate=rate), repeat)


PLAN = [(s, "middle", u) for s in STARTS for u in UPDATES]
PLAN += [(s, size, 100) for s in STARTS for size in ("narrow", "wide")]
PLAN += [(s, "middle", 100) for s in PENALTIES]


def starts(repeat: int, only: Only) -> Iterator[dict[str, Any]]:
    """Forty labels of the other collection: penalties, and what a source costs and saves."""
    for name, size, updates in PLAN:
        strategy = name if size == "middle" else f"{name}, {size}"
        if _wanted(only, strategy, FEW, updates):
            trained(name, size, min(updates, 1), repeat)  # compiles, and trains the source
            clock = time.process_time()
            net = trained(name, size, updates, repeat)
            about = {"strategy": strategy, "n": FEW, "updates": updates}
            spent = {"seconds": time.process_time() - clock}
            yield about | spent | row([net], thirds(repeat)[2])


def _wanted(only: Only, strategy: str, n: int, updates: int) -> bool:
    """Whether a row is asked for."""
    told = {"strategy": strategy, "n": n, "updates": updates}
    return all(chosen(only, key, [value]) for key, value in told.items())


def one_repeat(repeat: int, only: Only = ALL) -> list[dict[str, Any]]:
    """Every strategy on one draw of images and one of networks."""
    return [line for part in (policies, ensembles, starts) for line in part(repeat, only)]


FACTS = {"repeats": REPEATS, "budgets": list(BUDGETS), "source": SOURCE, "few": FEW}
JOBS, KEYS = [{"repeat": repeat} for repeat in range(REPEATS)], ("strategy", "n", "updates")
FILES = partial(files, ["pneumoniamnist"])
STUDIES = (Study(NAME, JOBS, one_repeat, KEYS, PACKAGES, FACTS, FILES),)
