"""From lung to liver: what a network for lung nodules is worth for liver lesions (simulated).

Chapter 04 draws these tables. Each repeat has liver patients of its own, to be labelled and to be
tested on; four source networks of each kind (`lung_sources`) serve five repeats each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

# First: it decides how TensorFlow starts.
from book.studies import lung_sources
from book.studies.lung_sources import (
    DOSES,
    FILTERS,
    LIVER,
    SEEDS,
    SHAPE,
    SOURCES,
    Prepare,
    flips,
    in_liver,
    in_lung,
    lung,
    source,
    window,
)

# isort: split
import keras
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from book.studies.study import ALL, Only, Study, chosen, curve
from medxfer_utils import experiments, metrics
from medxfer_utils import clinic
from medxfer_utils.cohorts import Cohort, draw, split
from medxfer_utils.experiments import Arm, Classical, Predicts
from medxfer_utils.models import penalties
from medxfer_utils.models import surgery as finetuning
from medxfer_utils.models import training as convnets
from medxfer_utils.models.training import Array, Hold, ImageModel, Recipe

TABLE, SHIFTS, STARTS = "lung_to_liver", "lung_to_liver_shifts", "lung_to_liver_starts"
EXTRAS = "lung_to_liver_extras"
PACKAGES = (*lung_sources.PACKAGES, "joblib")
# Repeat 0 is the one on which rates and strengths were chosen; it is not reported.
REPEATS, SIZES, MANY = range(1, 21), (10, 20, 50, 100, 200), 1400
PATIENTS = {"pool": 1400, "test": 750}
BEST = "doses"


@cache
def liver(repeat: int) -> tuple[Cohort, Cohort]:
    """A repeat's liver patients: those who may be labelled, and those who are only tested."""
    patients = PATIENTS["pool"] + PATIENTS["test"]
    everybody = clinic.simulate(LIVER, patients, seed=30_000 + repeat).cohort
    share = PATIENTS["pool"] / patients
    pool, test = split(everybody, (share, 1 - share), np.random.default_rng(repeat))
    return pool, test


def steps(n: int) -> int:
    """Updates that every arm gets for `n` labelled patients."""
    return 150 if n <= 50 else 300 if n <= 100 else 500 if n <= 200 else 2000


def recipe(rate: float, n: int, **more: Any) -> Recipe:
    """The budget of an arm: its learning rate is its own, all else is the same for all."""
    batch = 16 if n <= 200 else 64
    return Recipe(steps(n), rate, batch, cosine=True, augment=flips, **more)


SCRATCH, TUNE, HEAD, SMALL = 0.005, 0.001, 0.01, 0.003  # learning rates, chosen in repeat 0
STRENGTH = {"L2-SP": 0.1, "L1-SP": 0.001, "BSS": 0.1, "DELTA": 0.1}  # chosen in repeat 0
LAYERS = ("relu_3", "relu_4")


def features(network: keras.Model, prepare: Prepare, classifier: Callable[[int], Any]) -> Arm:
    """A scikit-learn classifier on the frozen features of a network."""

    def take(hu: Array) -> Array:
        return convnets.outputs(network, prepare(hu), "features")

    def arm(t: Cohort, s: int) -> Classical:
        pipeline = make_pipeline(FunctionTransformer(take), StandardScaler(), classifier(s))
        return Classical(pipeline.fit(t.x, t.y))

    return arm


def regression(s: int) -> LogisticRegression:
    """Logistic regression; C chosen in repeat 0."""
    return LogisticRegression(C=0.01)


def fine_tuned(
    start: Callable[[int], keras.Model], prepare: Prepare, rate: float, **more: Any
) -> Arm:
    """Training from a start (which may depend on the seed), with what `convnets.train` takes."""

    def arm(t: Cohort, s: int) -> ImageModel:
        told = recipe(rate, len(t.patients))
        return ImageModel(convnets.train(start(s), prepare(t.x), t.y, told, s, **more), prepare)

    return arm


def measured(hu: Array) -> Array:
    """Area (mm²), contrast (HU), unevenness (HU) and edge (HU/pixel) of what stands out, by rules.

    What stands out is more than 15 HU from the patch's median after smoothing by one pixel.
    """
    smooth = np.stack([gaussian_filter(image, 1) for image in hu])
    away = smooth - np.median(smooth, axis=(1, 2), keepdims=True)
    middle = away[:, 8:24, 8:24]
    inside = np.abs(middle) > 15
    inside |= (inside.sum((1, 2)) == 0)[:, None, None]
    area = inside.sum((1, 2)) * LIVER.pixel**2
    edge = np.abs(np.diff(middle, axis=2)).max((1, 2))
    mean, spread = (f(middle, axis=(1, 2), where=inside) for f in (np.mean, np.std))
    return np.column_stack([np.sqrt(area), mean, np.abs(mean), spread, edge])


def rules(t: Cohort, s: int) -> Classical:
    """The simple baseline: logistic regression on the five measurements."""
    take = FunctionTransformer(measured)
    return Classical(make_pipeline(take, StandardScaler(), LogisticRegression()).fit(t.x, t.y))


def fresh(s: int) -> keras.Model:
    """The course's image network with new weights."""
    return convnets.image_network(SHAPE, filters=FILTERS, seed=s)


def strategies(start: keras.Model, beside: Cohort) -> dict[str, Arm]:
    """Every strategy from one source network; `beside` are lung patients for joint training."""
    prepare, whole = in_liver, convnets.body(start)
    norms = finetuning.norms(start)
    pace = {name: 2.0 ** (int(name[-1]) - 5) for name in whole}

    def held(penalty: penalties.Penalty, strength: float) -> Arm:
        hold = Hold(penalty, strength, start)
        return fine_tuned(lambda s: start, prepare, TUNE, hold=hold)

    def delta(t: Cohort, s: int) -> ImageModel:
        attention = finetuning.channel_attention(start, prepare(t.x), t.y, LAYERS)
        hold = Hold(penalties.MapDistance(LAYERS), STRENGTH["DELTA"], start, attention)
        return fine_tuned(lambda s: start, prepare, TUNE, hold=hold)(t, s)  # type: ignore[return-value]

    def lp_ft(t: Cohort, s: int) -> ImageModel:
        n = len(t.patients)
        half = steps(n) // 2
        head, rest = (replace(recipe(rate, n), steps=half) for rate in (HEAD, TUNE))
        return ImageModel(finetuning.lp_ft(start, prepare(t.x), t.y, (head, rest), s), prepare)

    def gradual(t: Cohort, s: int) -> ImageModel:
        told = recipe(TUNE, len(t.patients))
        return ImageModel(convnets.gradually_unfrozen(start, prepare(t.x), t.y, told, s), prepare)

    def joint(t: Cohort, s: int) -> ImageModel:
        told = recipe(TUNE, len(t.patients))
        x = np.concatenate([prepare(t.x), in_lung(beside.x)])
        y = np.concatenate([t.y, beside.y])
        order = finetuning.joint_order(len(t), len(beside), told, s)
        net = convnets.train(start, x, y, told, s, frozen=norms, order=order)
        return ImageModel(net, prepare)

    def small(build: Callable[[int], keras.Model], frozen: tuple[str, ...]) -> Arm:
        def arm(t: Cohort, s: int) -> ImageModel:
            told = recipe(SMALL, len(t.patients))
            net = convnets.train(build(s), prepare(t.x), t.y, told, s, frozen=frozen)
            return ImageModel(finetuning.merged(net, start), prepare)

        return arm

    bent = finetuning.convolutions(start)
    return {
        "as is": lambda t, s: ImageModel(start, prepare),
        "frozen features + regression": features(start, prepare, regression),
        "fine-tuned": fine_tuned(lambda s: start, prepare, TUNE),
        "two blocks frozen": fine_tuned(
            lambda s: start,
            prepare,
            TUNE,
            frozen=convnets.blocks(start, 2),
        ),
        "LP-FT": lp_ft,
        "gradual unfreezing": gradual,
        "discriminative rates": fine_tuned(lambda s: start, prepare, TUNE, pace=pace),
        "L2-SP": held(penalties.Anchor(2), STRENGTH["L2-SP"]),
        "L1-SP": held(penalties.Anchor(1), STRENGTH["L1-SP"]),
        "BSS": held(penalties.SpectralShrinkage(1), STRENGTH["BSS"]),
        "DELTA": delta,
        "joint training": joint,
        "residual adapters": small(lambda s: finetuning.with_adapters(start), (*bent, *norms)),
        "LoRA": small(lambda s: finetuning.with_lora(start, 4, s), norms),
    }


def baselines() -> dict[str, Arm]:
    """What uses nothing of the lung."""
    return {"scratch": fine_tuned(fresh, in_liver, SCRATCH), "five measurements": rules}


def ladder(seed: int, pool: Cohort) -> dict[str, Arm]:
    """From the naive transfer upwards, one repair at a time; all fine-tune everything."""
    arms = {
        f"source: {kind}": fine_tuned(partial(_stored, kind, seed), SOURCES[kind][1], TUNE)
        for kind in SOURCES
        if kind != BEST
    }
    naive = source("window", seed)
    norms = finetuning.norms(naive)
    own = convnets.with_statistics_of(naive, window(pool.x), seed=0)
    for name, network in {"statistics of the lung": naive, "statistics of the liver": own}.items():
        arm = fine_tuned(partial(_same, network), window, TUNE, frozen=norms)
        arms[f"source: window, {name}"] = arm
    return arms


def _same(network: keras.Model, s: int) -> keras.Model:
    return network


def _stored(kind: str, seed: int, s: int) -> keras.Model:
    return source(kind, seed)


def _borrowed(kind: str, seed: int, s: int) -> keras.Model:
    """The body of a source whose classes are not the liver's, under a new head."""
    return convnets.with_body_of(source(kind, seed), fresh(s))


def controls(seed: int) -> dict[str, Arm]:
    """Sources that know nothing of lesions."""
    return {
        f"source: {kind}": fine_tuned(partial(_borrowed, kind, seed), in_liver, SCRATCH)
        for kind in ("digits", "textures")
    }


def arms_of(repeat: int) -> dict[str, Arm]:
    """Every arm of a repeat."""
    seed = repeat % len(SEEDS)
    beside = lung(seed, DOSES).of(lung(seed, DOSES).patients[:1000])
    pool, _ = liver(repeat)
    every = baselines() | strategies(source(BEST, seed), beside) | ladder(seed, pool)
    return every | controls(seed)


# These are followed over all sizes; the others are compared at two.
FOLLOWED = (
    *("scratch", "five measurements", "as is", "frozen features + regression"),
    *("fine-tuned", "L2-SP", "DELTA", "source: window"),
)
COMPARED = (20, 100)


def one_repeat(repeat: int, only: Only = ALL) -> pd.DataFrame:
    """Learning curves, all strategies at two sizes, and as many labels as anyone could wish."""
    every, halves, frames = arms_of(repeat), liver(repeat), []
    followed = {name: every.pop(name) for name in FOLLOWED}
    most = {name: followed[name] for name in ("scratch", "fine-tuned")}
    parts = [(followed, SIZES), (every, COMPARED), (most, (MANY,))]
    for arms, sizes in parts if repeat in REPEATS[:4] else parts[:2]:
        frames.append(curve(arms, halves, sizes, repeat, only))
    return pd.concat([frame for frame in frames if len(frame)], ignore_index=True)


# --- other scanners, and what else is said to generalise ------------------------------------------

FEW = 50
SCANNERS = {
    "same scanner": LIVER,
    "another scanner": replace(LIVER, kernel="sharp", blur=1.6),
    "a quarter of the dose": replace(LIVER, dose=0.25),
    "slices of 5 mm": replace(LIVER, slice_thickness=5.0),
}


def ensemble(arm: Arm, members: int) -> Arm:
    """The mean of several fits that differ in their seed only."""

    def fit(t: Cohort, s: int) -> finetuning.Ensemble:
        return finetuning.Ensemble([arm(t, 100 * s + k) for k in range(members)])  # type: ignore[misc]

    return fit


def one_start_each(networks: list[keras.Model]) -> Arm:
    """Ensemble of the same fine-tuning from several source networks."""

    def fit(t: Cohort, s: int) -> finetuning.Ensemble:
        arms = [fine_tuned(partial(_same, n), in_liver, TUNE) for n in networks]
        return finetuning.Ensemble([arm(t, s) for arm in arms])  # type: ignore[misc]

    return fit


def generalising(seed: int) -> dict[str, Arm]:
    """What may help a model to hold elsewhere, on top of plain fine-tuning."""
    start = source(BEST, seed)
    every = [source(BEST, k) for k in SEEDS]
    tuned = partial(fine_tuned, partial(_same, start), in_liver, TUNE)

    def bare(t: Cohort, s: int) -> ImageModel:
        told = replace(recipe(TUNE, len(t.patients)), augment=None)
        return ImageModel(convnets.train(start, in_liver(t.x), t.y, told, s), in_liver)

    def decoupled(t: Cohort, s: int) -> ImageModel:
        told = replace(recipe(TUNE, len(t.patients)), optimiser="AdamW")
        return ImageModel(convnets.train(start, in_liver(t.x), t.y, told, s), in_liver)

    return {
        "scratch": fine_tuned(fresh, in_liver, SCRATCH),
        "scratch, ensemble of 5": ensemble(fine_tuned(fresh, in_liver, SCRATCH), 5),
        "fine-tuned": tuned(),
        "no augmentation": bare,
        "L1": tuned(hold=Hold(penalties.Shrink(1), 1e-4)),
        "L2": tuned(hold=Hold(penalties.Shrink(2), 1e-3)),
        "decoupled weight decay": decoupled,
        "L2-SP": tuned(hold=Hold(penalties.Anchor(2), STRENGTH["L2-SP"], start)),
        "ensemble of 1": ensemble(tuned(), 1),
        "ensemble of 5": ensemble(tuned(), 5),
        "ensemble of 4 sources": one_start_each(every),
        "frozen features + regression": features(start, in_liver, regression),
        "frozen features + bagging": features(
            start, in_liver, lambda s: RandomForestClassifier(300, random_state=s)
        ),
        "frozen features + boosting": features(
            start,
            in_liver,
            lambda s: HistGradientBoostingClassifier(min_samples_leaf=5, random_state=s),
        ),
        "five measurements": rules,
    }


def one_shift(repeat: int, only: Only = ALL) -> Iterator[Mapping[str, Any]]:
    """Each arm once, on the same test patients seen by four scanners."""
    pool, _ = liver(repeat)
    labelled = draw(pool, FEW, np.random.default_rng([repeat, 0]))
    tests = {
        name: clinic.simulate(SCANNERS[name], PATIENTS["test"], seed=40_000 + repeat).cohort
        for name in chosen(only, "scanner", SCANNERS)
    }
    every = generalising(repeat % len(SEEDS))
    for strategy in chosen(only, "strategy", every):
        model = every[strategy](labelled, 1000 * repeat)
        for scanner, test in tests.items():
            row = {"strategy": strategy, "scanner": scanner, "n": FEW}
            yield row | scored(model, test)


def scored(model: Predicts, test: Cohort) -> dict[str, float]:
    """AUROC by log odds, Brier score and calibration slope."""
    p = model.probability(test.x)
    return {
        "AUROC": metrics.auroc(test.y, experiments.ranking(model, test.x)),
        "Brier": metrics.brier(test.y, p),
        "calibration slope": metrics.calibration(test.y, p)[1],
    }


# --- stronger fresh starts, harder controls -------------------------------------------------------

CONTROLS = (
    *("fine-tuned, norms frozen", "scratch, 3 times longer"),
    *("scratch, contrast augmentation", "source: shuffled labels"),
)
TOGETHER = ("L2-SP, ensemble of 4 sources", "scratch, ensemble of 5")


def extra_arms(repeat: int) -> dict[str, Arm]:
    """What a critic asks for."""
    seed = repeat % len(SEEDS)
    start, every = source(BEST, seed), [source(BEST, k) for k in SEEDS]
    norms = finetuning.norms(start)

    def scratch(change: Callable[[Recipe], Recipe]) -> Arm:
        def arm(t: Cohort, s: int) -> ImageModel:
            told = change(recipe(SCRATCH, len(t.patients)))
            return ImageModel(convnets.train(fresh(s), in_liver(t.x), t.y, told, s), in_liver)

        return arm

    anchored = [
        fine_tuned(
            partial(_same, n), in_liver, TUNE, hold=Hold(penalties.Anchor(2), STRENGTH["L2-SP"], n)
        )
        for n in every
    ]
    return {
        "fine-tuned, norms frozen": fine_tuned(lambda s: start, in_liver, TUNE, frozen=norms),
        "scratch, 3 times longer": scratch(lambda told: replace(told, steps=3 * told.steps)),
        "scratch, contrast augmentation": scratch(
            lambda told: replace(told, augment=convnets.flips_turns_and_contrast)
        ),
        "source: shuffled labels": fine_tuned(partial(_stored, "shuffled", seed), in_liver, TUNE),
        "L2-SP, ensemble of 4 sources": lambda t, s: finetuning.Ensemble(
            [arm(t, s) for arm in anchored]  # type: ignore[misc]
        ),
        "scratch, ensemble of 5": ensemble(fine_tuned(fresh, in_liver, SCRATCH), 5),
    }


def one_extra(repeat: int, only: Only = ALL) -> pd.DataFrame:
    """Stronger fresh starts, harder controls, ensembles."""
    every, halves = extra_arms(repeat), liver(repeat)
    together = {name: every.pop(name) for name in TOGETHER}
    parts = ((every, COMPARED), (together, (20, 200)))
    frames = [curve(arms, halves, sizes, repeat, only) for arms, sizes in parts]
    return pd.concat([frame for frame in frames if len(frame)], ignore_index=True)


# --- is a better source model a better start? ----------------------------------------------------

LESS = [
    (steps, patients) for steps in (50, 150, 500, 1500, 3000) for patients in (300, 1500, 12_000)
]


def one_start(
    source: str, steps: int, patients: int, only: Only = ALL
) -> Iterator[Mapping[str, Any]]:
    """A source network from less training or fewer patients, and what it is worth at the liver."""
    told = replace(lung_sources.LONG, steps=steps)
    if (steps, patients) == LESS[-1]:
        network = lung_sources.source(source, 0)
    else:
        network = lung_sources.trained_source(source, 0, told, patients)
    row = {"n": 20} | lung_sources.held_out(source, network, 0)
    yield row | {"AUROC": worth(network, SOURCES[source][1], draws=5, n=20)}


def worth(network: keras.Model, prepare: Prepare, draws: int, n: int) -> float:
    """Mean AUROC for liver lesions after fine-tuning on `n` patients, over several draws."""
    arm = fine_tuned(partial(_same, network), prepare, TUNE)
    each = []
    for repeat in range(1, draws + 1):
        pool, test = liver(repeat)
        model = arm(draw(pool, n, np.random.default_rng([repeat, 0])), 1000 * repeat)
        each.append(scored(model, test)["AUROC"])
    return float(np.mean(each))


# --- the tables -----------------------------------------------------------------------------------

FACTS = {"repeats": list(REPEATS), "sizes": [*SIZES, MANY], "patients": PATIENTS}
EACH = [{"repeat": repeat} for repeat in REPEATS]
QUALITIES = [(BEST, *less) for less in LESS] + [(k, *LESS[-1]) for k in SOURCES if k != BEST]
STARTED = [dict(zip(("source", "steps", "patients"), some, strict=True)) for some in QUALITIES]
STUDIES = tuple(
    Study(table=table, jobs=jobs, rows=rows, keys=keys, packages=PACKAGES, facts=FACTS)
    for table, jobs, rows, keys in (
        (TABLE, EACH, one_repeat, ("strategy", "n")),
        (SHIFTS, EACH, one_shift, ("strategy", "scanner")),
        (EXTRAS, EACH, one_extra, ("strategy", "n")),
        (STARTS, STARTED, one_start, ("source",)),
    )
)
