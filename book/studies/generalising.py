"""What helps a small network on X-rays of another collection, and what a source is worth there.

Home is what PneumoniaMNIST calls training and validation, the other collection what it calls test.
Each row is a mean over the images of a test set, for one draw of labelled children. Run it with
`make results`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
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

from benchmarks.medmnist_recipe import each_once, files
from book.studies.study import ALL, Only, Study, chosen
from medxfer_utils import data, metrics
from medxfer_utils.models import Training

Array = NDArray[np.floating]
NAME = "generalising"
BUDGETS, FEW, SOURCE, REPEATS = (20, 50, 150, 400), 40, 1500, 4
WIDTHS = {"narrow": (8, 16, 32), "middle": (16, 32, 64), "wide": (32, 64, 128)}
UPDATES, MEMBERS = (0, 10, 25, 50, 100, 200), 4
STARTS = ("from scratch", "cached features", "fine-tuned")
FIT = Training(200, 0.003, cosine=True)
LONG = replace(FIT, steps=300, augment=None)
SHORT = Training(100, 0.003, cosine=True)  # on the other collection's forty
PENALTIES = {"L1": models.Shrink(1), "L2": models.Shrink(2), "elastic net": models.ElasticNet()}
STRENGTHS = {"L1": (1e-4, 1e-3, 1e-2), "L2": (1e-3, 1e-2, 1e-1), "elastic net": (3e-4, 3e-3, 3e-2)}
ANCHORS = (1e-2, 1e-1, 1.0)
PACKAGES = ("numpy", "scipy", "pandas", "keras")


def network(widths: tuple[int, ...], seed: int) -> keras.Model:
    """Three convolutions of stride 2."""
    net = keras.Sequential([keras.Input((28, 28, 1))], name="small")  # one graph for all
    for k, width in enumerate(widths, start=1):
        shape: dict[str, Any] = {"strides": 2, "padding": "same", "use_bias": False}
        net.add(keras.layers.Conv2D(width, 3, name=f"conv_{k}", **shape))
        net.add(keras.layers.BatchNormalization(momentum=0.9, name=f"norm_{k}"))
        net.add(keras.layers.ReLU(name=f"relu_{k}"))
    net.add(keras.layers.GlobalAveragePooling2D(name="features"))
    net.add(keras.layers.Dense(1, name="head"))
    return models.reinitialised(net, seed)


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
    coins = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed)
    return tf.where(coins < 0.5, images[:, :, ::-1], images)


def exposed(images: Any, seed: Any) -> Any:
    """Any contrast (37 to 270 %) and any brightness: density means nothing."""
    u = tf.random.stateless_uniform([2, tf.shape(images)[0], 1, 1, 1], seed, -1, 1)
    return images * tf.exp(u[0]) + u[1]


POLICIES = {"nothing": None, "moved": moved, "mirrored": mirrored, "any exposure": exposed}


class Xrays(NamedTuple):
    """Images (n, 28, 28, 1) from -1 to 1 and labels: home's, and the other collection's."""

    x: Array
    y: NDArray[np.int64]
    other: Array
    other_y: NDArray[np.int64]


@cache
def xrays() -> Xrays:
    """Home in random order, each different image once; the first 600 are never trained on."""
    whole = data.medmnist("pneumoniamnist", also=data.KNOWN_COPIES)
    x, y = (np.concatenate([getattr(p, k) for p in (whole.train, whole.val)]) for k in ("x", "y"))
    first = np.random.default_rng(0).permutation(each_once(x))
    grey = [(images / np.float32(127.5) - 1)[..., None] for images in (x[first], whole.test.x)]
    return Xrays(grey[0], y[first], grey[1], whole.test.y)


@cache
def altered() -> list[Array]:
    """The first 300 of home as four other machines might show them (simulated)."""
    x = xrays().x[:300]
    noise = np.random.default_rng(1).normal(0, 0.2, x.shape)
    tilted = ndimage.rotate(x, 12, axes=(1, 2), reshape=False, order=1, mode="nearest")
    blurred = ndimage.gaussian_filter(x, (0, 1, 1, 0))
    return [2 * ((x + 1) / 2) ** 1.7 - 1, (x + noise).astype("float32"), blurred, tilted]


def drawn(n: int, seed: int) -> NDArray[np.intp]:
    """So many of home's other children, half of them ill; small draws lie within larger ones."""
    rng, y = np.random.default_rng(seed), xrays().y[2100:]
    halves = [rng.permutation(np.flatnonzero(y == k))[: n // 2] for k in (0, 1)]
    return 2100 + np.concatenate(halves)


def log_odds(network: keras.Model, x: Array) -> Array:
    """What a network gives."""
    return models.outputs(network, x)[:, 0]


def row(networks: list[keras.Model], tested: NDArray[np.intp] | None = None) -> dict[str, float]:
    """Scores of networks whose probabilities are averaged, on all images or some of the others."""
    x, y, other, other_y = xrays()
    tested = np.arange(len(other)) if tested is None else tested

    def together(images: Array) -> Array:
        return np.asarray(np.mean([expit(log_odds(net, images)) for net in networks], axis=0))

    p = together(other[tested])
    return {
        "AUROC, home": metrics.auroc(y[:600], together(x[:600])),
        "AUROC, other": metrics.auroc(other_y[tested], p),
        "AUROC, altered": float(np.mean([metrics.auroc(y[:300], together(z)) for z in altered()])),
        "log loss": metrics.log_loss(other_y[tested], p),
    }


def fitted(network: keras.Model, rows: NDArray[np.intp], training: Training, seed: int,
           **told: Any) -> keras.Model:  # fmt: skip
    """A network trained on home's children."""
    return models.train(network, xrays().x[rows], xrays().y[rows], training, seed, **told)


def policies(repeat: int, only: Only) -> Iterator[dict[str, Any]]:
    """Augmentation against label budgets."""
    for n in chosen(only, "n", BUDGETS):
        for name in chosen(only, "strategy", POLICIES):
            training = replace(FIT, augment=POLICIES[name])
            net = fitted(network(WIDTHS["middle"], repeat), drawn(n, repeat), training, repeat)
            yield {"strategy": name, "n": n, "updates": FIT.steps} | row([net])


def ensembles(repeat: int, only: Only) -> Iterator[dict[str, Any]]:
    """Four members in four ways, and one network trained as long as four."""
    labelled, cycle = drawn(100, repeat), replace(FIT, augment=moved)
    long, first = replace(cycle, steps=MEMBERS * FIT.steps), 10 * repeat
    starts = [network(WIDTHS["middle"], first + k) for k in range(MEMBERS)]

    def members(strategy: str) -> list[keras.Model]:
        rng, last = np.random.default_rng(repeat), starts[0]
        if strategy == "one, four times longer":
            return [fitted(last, labelled, long, first)]
        made: list[keras.Model] = []
        for k, start in enumerate(starts):
            again = rng.choice(labelled, len(labelled))
            rows = again if strategy == "bagging" else labelled
            last = fitted(last if strategy == "snapshot" else start, rows, cycle, first + k)
            made.append(last)
        return made[:1] if strategy == "one network" else made

    kinds = ("one network", "one, four times longer", "snapshot", "bagging", "deep")
    for name in chosen(only, "strategy", kinds):
        updates = FIT.steps * (1 if name == "one network" else MEMBERS)
        yield {"strategy": name, "n": 100, "updates": updates} | row(members(name))


@cache
def source_of(size: str, repeat: int) -> keras.Model:
    """A network trained on 1,500 of home's children."""
    return fitted(network(WIDTHS[size], repeat), drawn(SOURCE, repeat), LONG, repeat)


def on_cached(source: keras.Model, x: Array, y: NDArray[np.int64], steps: int) -> keras.Model:
    """The same network with its head trained on features that were computed once."""
    seen = models.outputs(source, x, "features")
    head = keras.Sequential([keras.Input(seen.shape[1:]), keras.layers.Dense(1, name="head")])
    head.set_weights(source.layers[-1].get_weights())
    head = models.train(head, seen, y, replace(SHORT, steps=steps, rate=0.01), 0)
    whole = models.copied(source)
    whole.layers[-1].set_weights(head.get_weights())
    return whole


@cache
def thirds(repeat: int) -> list[NDArray[np.intp]]:
    """Of the other collection: forty to train on, forty to choose on, and the rest, to test on."""
    order = np.random.default_rng(repeat).permutation(len(xrays().other))
    return np.split(order, [FEW, 2 * FEW])


def fit(net: keras.Model, training: Training, repeat: int, **told: Any) -> keras.Model:
    """A network trained on the other collection's forty."""
    few = thirds(repeat)[0]
    return models.train(net, xrays().other[few], xrays().other_y[few], training, repeat, **told)


def best(net: keras.Model, penalty: Any, strengths: tuple[float, ...], repeat: int) -> keras.Model:
    """The strength with the least log loss on validation images."""
    val = thirds(repeat)[1]
    x, signs = xrays().other[val], 2 * xrays().other_y[val] - 1
    fits = [fit(net, SHORT, repeat, penalty=models.Penalised(penalty, s)) for s in strengths]
    losses = [np.mean(np.logaddexp(0, -signs * log_odds(net, x))) for net in fits]
    return fits[int(np.argmin(losses))]


def trained(strategy: str, size: str, updates: int, repeat: int) -> keras.Model:
    """A strategy's network; a choice among strengths takes as many updates for each of them."""
    fresh = network(WIDTHS[size], repeat)
    if strategy in PENALTIES:
        return best(fresh, PENALTIES[strategy], STRENGTHS[strategy], repeat)
    if strategy == "AdamW":
        return fit(fresh, replace(SHORT, optimiser="AdamW"), repeat)
    if strategy == "from scratch":
        return fit(fresh, replace(SHORT, steps=updates), repeat)
    source = source_of(size, repeat)
    if strategy == "L2-SP":
        return best(source, models.Anchor(2), ANCHORS, repeat)
    if strategy == "cached features":
        few = thirds(repeat)[0]
        return on_cached(source, xrays().other[few], xrays().other_y[few], updates)
    return fit(source, replace(SHORT, steps=updates, rate=0.001), repeat)


def starts(repeat: int, only: Only) -> Iterator[dict[str, Any]]:
    """Forty labels of the other collection: penalties, and what a source costs and saves."""
    for name, size, updates in PLAN:
        strategy = name if size == "middle" else f"{name}, {size}"
        if not (chosen(only, "strategy", [strategy]) and updates in only.get("updates", UPDATES)):
            continue
        trained(name, size, min(updates, 1), repeat)  # compiles, and trains the source
        clock = time.process_time()
        net = trained(name, size, updates, repeat)
        spent = time.process_time() - clock
        about = {"strategy": strategy, "n": FEW, "updates": updates, "seconds": spent}
        yield about | row([net], thirds(repeat)[2])


PLAN = [(s, "middle", u) for s in STARTS for u in UPDATES]
PLAN += [(s, size, 100) for s in STARTS for size in ("narrow", "wide")]
PLAN += [(s, "middle", SHORT.steps) for s in (*PENALTIES, "AdamW", "L2-SP")]


def one_repeat(repeat: int, only: Only = ALL) -> list[dict[str, Any]]:
    """Every strategy on one draw of children and one of networks."""
    return [line for part in (policies, ensembles, starts) for line in part(repeat, only)]


FACTS = {"repeats": REPEATS, "budgets": list(BUDGETS), "source": SOURCE, "few": FEW}
JOBS = [{"repeat": repeat} for repeat in range(REPEATS)]
STUDIES = (
    Study(NAME, JOBS, one_repeat, ("strategy", "n", "updates"), PACKAGES, FACTS,
          lambda: files(["pneumoniamnist"])),
)  # fmt: skip
