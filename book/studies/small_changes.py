"""Small changes to a lung network, for livers and devices; lesion masks as a source (simulated).

Appendix A5 draws the tables. But for the devices, patients, draws, seeds and budgets are those of
`lung_to_liver`, so that its rows can be set beside these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

# First: it decides how TensorFlow starts.
from book.studies import lung_sources, lung_to_liver

# isort: split
import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from book.studies.lung_sources import LIVER, LUNG, Prepare, contrast, in_liver, in_lung
from book.studies.lung_to_liver import COMPARED, EACH, PACKAGES, REPEATS, liver, told
from book.studies.study import ALL, FILTERS, SHAPE, Only, Study, chosen, clinic_of, curve
from medxfer_utils import clinic, images, metrics, models, transfer
from medxfer_utils.cohorts import Cohort
from medxfer_utils.models import Array, Model, Strategy, Training

TABLE, DEVICES, MASKS = "lung_to_liver_small", "small_devices", "masks_as_source"

# --- what moves -----------------------------------------------------------------------------------

Grow = Callable[[keras.Model], keras.Model]
Pick = Callable[[keras.Variable], bool]
Mask = NDArray[np.bool_]
# How a network grows, if it does, and which weights move beside those of the head.
KINDS: dict[str, tuple[Grow, Pick]] = {
    "head only": (models.copied, lambda v: False),
    "biases only": (models.copied, lambda v: v.name in ("bias", "beta")),
    "norms only": (models.copied, lambda v: v.name in ("gamma", "beta")),
    "FiLM": (models.with_film, lambda v: "film_" in v.path),
    "LoRA, rank 1": (lambda net: models.with_lora(net, 1, 0), lambda v: "lora" in v.path),
    "adapters": (models.with_adapters, lambda v: "adapter_" in v.path),
    "all, norms held": (models.copied, lambda v: v.trainable),
}
# Learning rates: the best in repeat 0 of 0.001, 0.003, 0.01, 0.03 (0.1 too, if that was the best).
RATES = {"head only": 0.01, "biases only": 0.003, "norms only": 0.03, "FiLM": 0.03}
RATES |= {"LoRA, rank 1": 0.01, "adapters": 0.03, "all, norms held": 0.003}


def moving(network: keras.Model, pick: Pick) -> list[keras.Variable]:
    """The weights that move: those picked, and those of the head."""
    return [v for v in network.weights if pick(v) or "head" in v.path.split("/")]


def changed(start: Model, t: Cohort, s: int, kind: str) -> Model:
    """A model after training what a kind lets move; the norms keep the lung's statistics."""
    grow, pick = KINDS[kind]
    network, shown = grow(start.network), models.rows(t, start.prepare)
    some = moving(network, pick)
    trained = models.train(network, shown.z, t.y, told(RATES[kind], t), s, only=some)
    return replace(start, network=trained)


def small_strategies(repeat: int) -> dict[str, Strategy]:
    """Each kind, from the repeat's source network."""
    start = lung_to_liver.best(repeat % 4)

    def of(kind: str) -> Strategy:
        return lambda t, s: changed(start, t, s, kind)

    return {kind: of(kind) for kind in KINDS}


def one_small(repeat: int, only: Only = ALL) -> pd.DataFrame:
    """Every kind at two sizes."""
    return curve(small_strategies(repeat), liver(repeat), COMPARED, repeat, only)


# --- another device -------------------------------------------------------------------------------

NUMBERS, SEEN = range(1, 13), (2, 5, 10)
AT_DEVICE = {"pool": 100, "test": 400}
BRIEFLY = Training(steps=30, batch=8, cosine=True, augment=lung_sources.flips)
# By how many patients there are: the best, by log loss, of 0.0001, 0.0003, 0.001, 0.003, 0.01 on
# devices 101 to 104, which are not reported.
AT_RATE = {
    "FiLM": {2: 0.001, 5: 0.003, 10: 0.01},
    "all, norms held": {2: 0.0001, 5: 0.0001, 10: 0.001},
}
# How far a device's constant, and the factor of its log odds minus 1, spread about 0. The latter is
# the best of 0.25, 0.5, 1 and 2 on those devices.
PRIOR = {"constant": (1.0,), "constant and factor": (1.0, 0.5)}
WAYS = ("as is", *PRIOR, *AT_RATE)


def device(number: int) -> clinic.Site:
    """A device, with a scanner, a protocol and a prevalence of its own; a third is MR-like."""
    rng = np.random.default_rng((88, number))
    blur, dose, thickness, prevalence = rng.uniform((0.4, -1, 1, 0.2), (2, 0.3, 5, 0.8))
    return replace(
        LIVER,
        blur=blur,
        dose=10**dose,
        slice_thickness=thickness,
        prevalence=prevalence,
        kernel=str(rng.choice(["soft", "standard", "sharp"])),
        phase=str(rng.choice(["unenhanced", "portal"])),
        modality="CT" if number % 3 else "MR",
    )


def recalibrated(z: Array, y: NDArray[np.integer], spreads: tuple[float, ...]) -> Array:
    """What to add to log odds and to their factor 1: the most probable."""
    at = z[:, None] ** np.arange(len(spreads))
    return models.posterior_mode(at, y, np.zeros(len(spreads)), spreads, offset=z)


def adjusted(way: str, network: keras.Model, x: Array, few: Cohort, later: Array) -> Array:
    """Log odds of later patients, when a device's first ones may adjust the source this way."""
    if way in AT_RATE:
        grow, pick = KINDS[way]
        network, how = grow(network), replace(BRIEFLY, rate=AT_RATE[way][len(few.patients)])
        network = models.train(network, x, few.y, how, 0, only=moving(network, pick))
    z = models.outputs(network, later)[:, 0]
    if way not in PRIOR:
        return z
    b = recalibrated(models.outputs(network, x)[:, 0], few.y, PRIOR[way])
    return z + z[:, None] ** np.arange(len(b)) @ b


def one_device(number: int, only: Only = ALL) -> Iterator[dict[str, object]]:
    """Every way after a device's first patients, as they came, from each source network."""
    site = device(number)
    pool, test = clinic_of(site, AT_DEVICE, 70_000 + number, number)
    unit = 250.0 if site.modality == "MR" else lung_sources.UNIT["liver"]
    later = images.contrast(test.x, unit)[..., None]
    for n in chosen(only, "n", SEEN):
        few = pool.of(pool.patients[:n])
        x = images.contrast(few.x, unit)[..., None]
        for seed in chosen(only, "source", lung_sources.SEEDS):
            start = lung_to_liver.best(seed).network
            for way in chosen(only, "strategy", WAYS):
                z = adjusted(way, start, x, few, later)
                found = {"AUROC": metrics.auroc(test.y, z)}
                found["log loss"] = metrics.log_loss(test.y, expit(z))
                yield {"strategy": way, "n": n, "source": seed} | found


# --- masks as a source ----------------------------------------------------------------------------

SOURCE = Training(steps=300, rate=0.003, batch=32, cosine=True, augment=contrast)
PATIENTS, FEW = 1500, (10, 20, 50)
MOST, FEWER = 12, 8  # repeats: three and two for each source network
AT_ONCE = ("diagnoses", "masks")  # also trained without first fitting the head, fast


def segmenter(x: Array, mask: Mask, training: Training, start: keras.Model) -> keras.Model:
    """A U-Net trained on images and masks, mirrored, turned, inverted and scaled together."""
    network, both = models.copied(start), np.concatenate([x, mask[..., None]], -1).astype("float32")
    rows = tf.data.Dataset.from_tensor_slices(both).shuffle(len(both), seed=1).repeat()

    def pair(k: tf.Tensor, some: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if training.augment is not None:
            some = training.augment(some, tf.stack([tf.cast(k, tf.int32), 1]))
        return some[..., :-1], tf.cast(some[..., -1:] != 0, tf.float32)

    rate = keras.optimizers.schedules.CosineDecay(training.rate, training.steps)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(rate), loss)
    network.fit(rows.batch(training.batch).enumerate().map(pair), epochs=1, verbose=0,
                steps_per_epoch=training.steps)  # fmt: skip
    return network


def masked(site: clinic.Site, seed: int) -> tuple[clinic.Clinic, Mask]:
    """A source's patients, and where their lesions are."""
    number = 50_000 + 10 * seed
    return clinic.simulate(site, PATIENTS, number), clinic.lesions(site, PATIENTS, number)[0] >= 0.5


@cache
def encoders(seed: int) -> dict[str, keras.Model]:
    """Four source networks: three kinds of label on the same lungs, and masks of livers."""
    lungs, mask = masked(LUNG, seed)
    x, size = in_lung(lungs.cohort.x), np.log(lungs.truth["diameter_mm"].to_numpy())
    size = ((size - size.mean()) / size.std())[:, None]
    start, fresh = lung_sources.untrained(seed), models.unet(SHAPE, FILTERS, seed)
    livers, where = masked(LIVER, seed)
    squares = replace(SOURCE, loss="squares")
    return {
        "diagnoses": models.train(start, x, lungs.cohort.y, SOURCE, seed),
        "diameters": models.train(start, x, size, squares, seed),
        "masks": segmenter(x, mask, SOURCE, fresh),
        "masks of livers": segmenter(in_liver(livers.cohort.x), where, SOURCE, fresh),
    }


def by_mask(network: keras.Model, hu: Array) -> Array:
    """Size (mm), contrast and unevenness (HU) of what a U-Net outlines."""
    z = models.outputs(network, in_liver(hu))[..., 0]
    inside = (z > 0) | (z >= z.max((1, 2), keepdims=True))  # one pixel at least
    away = hu - np.median(hu, axis=(1, 2), keepdims=True)
    mean, spread = (f(away, axis=(1, 2), where=inside) for f in (np.mean, np.std))
    side = np.sqrt(inside.sum((1, 2))) * LIVER.pixel
    return np.column_stack([side, mean, np.abs(mean), spread])


def under_new_head(
    source: keras.Model, at_once: bool = False, prepare: Prepare | None = None
) -> Strategy:
    """An encoder under a new head: first the head is fitted, then all (LP-FT), or all at once.

    Livers are prepared as the sign-blind networks see them, or as told.
    """

    def strategy(t: Cohort, s: int) -> Model:
        start = lung_to_liver.fresh(s)
        network = models.with_backbone_of(source, start.network)
        start = replace(start, network=network, prepare=prepare or start.prepare)
        if at_once:
            return transfer.fine_tuned(start, t, told(lung_to_liver.SCRATCH, t), s)
        return lung_to_liver.lp_ft(start, t, s)

    return strategy


def source_strategies(repeat: int) -> dict[str, Strategy]:
    """Each encoder under a new head, from scratch, and the outlines measured."""
    every = encoders(repeat % 4)
    take = FunctionTransformer(lambda hu: by_mask(every["masks of livers"], hu))
    measured = make_pipeline(take, StandardScaler(), LogisticRegression())
    kinds = {name: under_new_head(network) for name, network in every.items()}
    kinds |= {f"{name}, all at once": under_new_head(every[name], True) for name in AT_ONCE}
    return kinds | {
        "scratch": lung_to_liver.scratch(),
        "outlines measured": lambda t, s: transfer.classical(measured, t),
    }


def one_source(repeat: int, only: Only = ALL) -> pd.DataFrame:
    """Every source at three sizes."""
    return curve(source_strategies(repeat), liver(repeat), FEW, repeat, only)


FACTS = {"repeats": list(REPEATS[:MOST]), "sizes": COMPARED, "rates": RATES}
PLACED = {"sizes": SEEN, "rates": AT_RATE, "patients": AT_DEVICE}
SEGMENTED = {"repeats": list(REPEATS[:FEWER]), "sizes": FEW, "patients": PATIENTS}
STUDIES = (
    Study(TABLE, EACH[:MOST], one_small, ("strategy", "n"), PACKAGES, FACTS),
    Study(
        *(DEVICES, [{"number": number} for number in NUMBERS], one_device),
        *(("strategy", "n", "source"), PACKAGES, PLACED),
    ),
    Study(MASKS, EACH[:FEWER], one_source, ("strategy", "n"), PACKAGES, SEGMENTED),
)
