"""From lung to liver: what a network for lung nodules is worth for liver lesions (simulated).

Lessons 07 and 08 draw these tables. Each repeat has liver patients of its own, to be labelled and
to be tested on; four source networks of each kind (`lung_sources`) serve five repeats each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

# First: it decides how TensorFlow starts.
from book.studies import lung_sources, study
from book.studies.lung_sources import BEST, LIVER, SEEDS, SOURCES, in_liver, in_lung, lung, source

# isort: split
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from book.studies.study import ALL, Only, Study, chosen, clinic_of, curve, stacked
from medxfer_utils import clinic, metrics, models, transfer
from medxfer_utils.cohorts import Cohort, draw
from medxfer_utils.models import Array, Average, Model, Predicts, Shrink, Strategy, Training

TABLE, SHIFTS, STARTS = "lung_to_liver", "lung_to_liver_shifts", "lung_to_liver_starts"
EXTRAS = "lung_to_liver_extras"
PACKAGES = (*study.PACKAGES, "joblib")
# Repeat 0 is the one on which rates and strengths were chosen; it is not reported.
REPEATS, SIZES, MANY = range(1, 21), (10, 20, 50, 100, 200), 1400
PATIENTS = {"pool": 1400, "test": 750}


@cache
def liver(repeat: int) -> tuple[Cohort, Cohort]:
    """A repeat's liver patients: those who may be labelled, and those who are only tested."""
    return clinic_of(LIVER, PATIENTS, 30_000 + repeat, repeat)


def told(rate: float, t: Cohort, **changes: Any) -> Training:
    """The budget of a strategy: its learning rate is its own, all else is the same for all."""
    n = len(t.patients)
    steps = 150 if n <= 50 else 300 if n <= 100 else 500 if n <= 200 else 2000
    batch, augment = 16 if n <= 200 else 64, lung_sources.flips
    return replace(Training(steps, rate, batch, cosine=True, augment=augment), **changes)


SCRATCH, TUNE, HEAD, SMALL = 0.005, 0.001, 0.01, 0.003  # learning rates, chosen in repeat 0
STRENGTH = {"L2-SP": 0.1, "L1-SP": 0.001, "BSS": 0.1, "DELTA": 0.1}  # chosen in repeat 0
REGRESSION = LogisticRegression(C=0.01)  # on frozen features; C chosen in repeat 0
Change = Callable[[Training], Training]


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


FIVE = make_pipeline(FunctionTransformer(measured), StandardScaler(), LogisticRegression())


def fresh(s: int = 0) -> Model:
    """The course's image network with new weights."""
    return Model(lung_sources.untrained(s), in_liver)


def best(seed: int) -> Model:
    """The best source network, as the liver is shown to it, and as the lung was."""
    return Model(source(BEST, seed), in_liver, in_lung)


def stored(kind: str, seed: int) -> Model:
    """A source network of a kind, as the liver is shown to it."""
    return Model(source(kind, seed), SOURCES[kind][1] if kind in SOURCES else in_liver)


def tuned(start: Model, rate: float = TUNE, **more: Any) -> Strategy:
    """Fine-tuning within the budget."""
    return lambda t, s: transfer.fine_tuned(start, t, told(rate, t), s, **more)


def from_stored(kind: str, seed: int) -> Strategy:
    """Fine-tuning from a source network that is looked for when its turn comes."""
    return lambda t, s: tuned(stored(kind, seed))(t, s)


def scratch(change: Change = lambda training: training) -> Strategy:
    """Training from scratch within the budget, which may be changed."""
    return lambda t, s: transfer.target_only(fresh(), t, change(told(SCRATCH, t)), s)


def lp_ft(start: Model, t: Cohort, s: int) -> Model:
    """LP-FT: one half of the steps for the head, the other for all."""
    half = told(TUNE, t)
    half = replace(half, steps=half.steps // 2)
    return transfer.lp_ft(start, t, half, s, replace(half, rate=HEAD))


def strategies(start: Model, beside: Cohort) -> dict[str, Strategy]:
    """Every strategy from one source network; `beside` are lung patients for joint training."""
    x, v = transfer, STRENGTH
    return {
        "as is": lambda t, s: start,
        "frozen features + regression": lambda t, s: x.classical_head(start, t, REGRESSION),
        "fine-tuned": tuned(start),
        "two blocks frozen": lambda t, s: x.first_blocks_frozen(start, t, told(TUNE, t), s, 2),
        "LP-FT": lambda t, s: lp_ft(start, t, s),
        "gradual unfreezing": lambda t, s: x.gradually_unfrozen(start, t, told(TUNE, t), s),
        "discriminative rates": lambda t, s: x.discriminative_rates(start, t, told(TUNE, t), s),
        "L2-SP": lambda t, s: x.l2_sp(start, t, v["L2-SP"], told(TUNE, t), s),
        "L1-SP": lambda t, s: x.l1_sp(start, t, v["L1-SP"], told(TUNE, t), s),
        "BSS": lambda t, s: x.bss(start, t, v["BSS"], told(TUNE, t), s),
        "DELTA": lambda t, s: x.delta(start, t, v["DELTA"], told(TUNE, t), s),
        "joint training": lambda t, s: x.joint_batches(start, t, beside, told(TUNE, t), s),
        "residual adapters": lambda t, s: x.residual_adapters(start, t, told(SMALL, t), s),
        "LoRA": lambda t, s: x.lora(start, t, told(SMALL, t), s),
    }


def baselines() -> dict[str, Strategy]:
    """What uses nothing of the lung."""
    return {"scratch": scratch(), "five measurements": lambda t, s: transfer.classical(FIVE, t)}


def ladder(seed: int, pool: Cohort) -> dict[str, Strategy]:
    """From the naive transfer upwards, one repair at a time; all fine-tune everything."""
    naive = stored("window", seed)
    own = transfer.restandardised(naive, pool.x)
    strategies = {f"source: {kind}": from_stored(kind, seed) for kind in SOURCES if kind != BEST}
    return strategies | {
        "source: window, statistics of the lung": tuned(naive, frozen=naive.norms),
        "source: window, statistics of the liver": tuned(own, frozen=own.norms),
    }


def borrowed(kind: str, seed: int, s: int) -> Model:
    """The backbone of a source whose classes are not the liver's, under a new head."""
    start = fresh(s)
    return replace(start, network=models.with_backbone_of(source(kind, seed), start.network))


def controls(seed: int) -> dict[str, Strategy]:
    """Sources that know nothing of lesions."""
    return {
        "source: digits": lambda t, s: tuned(borrowed("digits", seed, s), SCRATCH)(t, s),
        "source: textures": lambda t, s: tuned(borrowed("textures", seed, s), SCRATCH)(t, s),
    }


def strategies_of(repeat: int) -> dict[str, Strategy]:
    """Every strategy of a repeat."""
    seed = repeat % len(SEEDS)
    beside = lung(seed, lung_sources.DOSES).of(lung(seed, lung_sources.DOSES).patients[:1000])
    pool, _ = liver(repeat)
    every = baselines() | strategies(best(seed), beside) | ladder(seed, pool)
    return every | controls(seed)


# These are followed over all sizes; the others are compared at two.
FOLLOWED = (
    *("scratch", "five measurements", "as is", "frozen features + regression"),
    *("fine-tuned", "L2-SP", "DELTA", "source: window"),
)
COMPARED = (20, 100)


def one_repeat(repeat: int, only: Only = ALL) -> pd.DataFrame:
    """Learning curves, all strategies at two sizes, and as many labels as anyone could wish."""
    every, parts = strategies_of(repeat), liver(repeat)
    followed = {name: every.pop(name) for name in FOLLOWED}
    most = {name: followed[name] for name in ("scratch", "fine-tuned")}
    grids = [(followed, SIZES), (every, COMPARED), (most, (MANY,))]
    asked = grids if repeat in REPEATS[:4] else grids[:2]
    return stacked(curve(strategies, parts, sizes, repeat, only) for strategies, sizes in asked)


# --- other scanners, and what else is said to generalise ------------------------------------------

FEW = 50
SCANNERS = {
    "same scanner": LIVER,
    "another scanner": replace(LIVER, kernel="sharp", blur=1.6),
    "a quarter of the dose": replace(LIVER, dose=0.25),
    "slices of 5 mm": replace(LIVER, slice_thickness=5.0),
}


def generalising(seed: int) -> dict[str, Strategy]:
    """What may help a model to hold elsewhere, on top of plain fine-tuning."""
    start, every = best(seed), [best(k) for k in SEEDS]
    x, strong, bare = transfer, STRENGTH["L2-SP"], {"augment": None}
    return {
        "scratch": scratch(),
        "scratch, ensemble of 5": x.ensemble(scratch(), 5),
        "fine-tuned": tuned(start),
        "no augmentation": lambda t, s: x.fine_tuned(start, t, told(TUNE, t, **bare), s),
        "L1": lambda t, s: x.penalised(start, t, Shrink(1), 1e-4, told(TUNE, t), s),
        "L2": lambda t, s: x.penalised(start, t, Shrink(2), 1e-3, told(TUNE, t), s),
        "decoupled weight decay": lambda t, s: x.fine_tuned(
            start, t, told(TUNE, t, optimiser="AdamW"), s
        ),
        "L2-SP": lambda t, s: x.l2_sp(start, t, strong, told(TUNE, t), s),
        "ensemble of 1": x.ensemble(tuned(start), 1),
        "ensemble of 5": x.ensemble(tuned(start), 5),
        "ensemble of 4 sources": lambda t, s: Average([tuned(m)(t, s) for m in every]),
        "frozen features + regression": lambda t, s: x.classical_head(start, t, REGRESSION),
        "frozen features + bagging": lambda t, s: x.classical_head(
            start, t, RandomForestClassifier(300, random_state=s)
        ),
        "frozen features + boosting": lambda t, s: x.classical_head(
            start, t, HistGradientBoostingClassifier(min_samples_leaf=5, random_state=s)
        ),
        "five measurements": lambda t, s: x.classical(FIVE, t),
    }


def one_shift(repeat: int, only: Only = ALL) -> Iterator[Mapping[str, Any]]:
    """Each strategy once, on the same test patients seen by four scanners."""
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
        "AUROC": metrics.auroc(test.y, models.ranking(model, test.x)),
        "Brier": metrics.brier(test.y, p),
        "calibration slope": metrics.calibration(test.y, p)[1],
    }


# --- longer training from scratch, harder controls ------------------------------------------------

TOGETHER = ("L2-SP, ensemble of 4 sources", "scratch, ensemble of 5")


def extra_strategies(repeat: int) -> dict[str, Strategy]:
    """What a critic asks for."""
    seed = repeat % len(SEEDS)
    start, every, strong = best(seed), [best(k) for k in SEEDS], STRENGTH["L2-SP"]
    contrast = models.flips_turns_and_contrast
    return {
        "fine-tuned, norms frozen": tuned(start, frozen=start.norms),
        "scratch, 3 times longer": scratch(lambda its: replace(its, steps=3 * its.steps)),
        "scratch, contrast augmentation": scratch(lambda its: replace(its, augment=contrast)),
        "source: shuffled labels": from_stored("shuffled", seed),
        "L2-SP, ensemble of 4 sources": lambda t, s: Average(
            [transfer.l2_sp(m, t, strong, told(TUNE, t), s) for m in every]
        ),
        "scratch, ensemble of 5": transfer.ensemble(scratch(), 5),
    }


def one_extra(repeat: int, only: Only = ALL) -> pd.DataFrame:
    """Training longer from scratch, harder controls, ensembles."""
    every, parts = extra_strategies(repeat), liver(repeat)
    together = {name: every.pop(name) for name in TOGETHER}
    grids = ((every, COMPARED), (together, (20, 200)))
    return stacked(curve(strategies, parts, sizes, repeat, only) for strategies, sizes in grids)


# --- is a better source model a better start? ----------------------------------------------------

LESS = [
    (steps, patients) for steps in (50, 150, 500, 1500, 3000) for patients in (300, 1500, 12_000)
]


def one_start(
    source: str, steps: int, patients: int, only: Only = ALL
) -> Iterator[Mapping[str, Any]]:
    """A source network from less training or fewer patients, and what it is worth at the liver."""
    training = replace(lung_sources.LONG, steps=steps)
    if (steps, patients) == LESS[-1]:
        network = lung_sources.source(source, 0)
    else:
        network = lung_sources.trained_source(source, 0, training, patients)
    row = {"n": 20} | lung_sources.held_out(source, network, 0)
    yield row | {"AUROC": worth(Model(network, SOURCES[source][1]), draws=5, n=20)}


def worth(start: Model, draws: int, n: int) -> float:
    """Mean AUROC for liver lesions after fine-tuning on `n` patients, over several draws."""
    each = []
    for repeat in range(1, draws + 1):
        pool, test = liver(repeat)
        model = tuned(start)(draw(pool, n, np.random.default_rng([repeat, 0])), 1000 * repeat)
        each.append(scored(model, test)["AUROC"])
    return float(np.mean(each))


# --- the tables -----------------------------------------------------------------------------------

FACTS = {"repeats": list(REPEATS), "sizes": [*SIZES, MANY], "patients": PATIENTS}
EACH = [{"repeat": repeat} for repeat in REPEATS]
QUALITIES = [(BEST, *less) for less in LESS] + [(k, *LESS[-1]) for k in SOURCES if k != BEST]
STARTED = [dict(zip(("source", "steps", "patients"), some, strict=True)) for some in QUALITIES]
STUDIES = (
    Study(TABLE, EACH, one_repeat, ("strategy", "n"), PACKAGES, FACTS),
    Study(SHIFTS, EACH, one_shift, ("strategy", "scanner"), PACKAGES, FACTS),
    Study(EXTRAS, EACH, one_extra, ("strategy", "n"), PACKAGES, FACTS),
    Study(STARTS, STARTED, one_start, ("source",), PACKAGES, FACTS),
)
