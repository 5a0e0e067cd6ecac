"""Real livers: their outlines as a source, and simulated lesions planted in them (half simulated).

The livers are those of the Medical Segmentation Decathlon, slices in grey values. No lesion of
theirs is labelled; the diagnoses are those of simulated lesions that are added to real tissue. The
control is the same tissue with its phases scrambled: each patch keeps its brightness and its
spectrum, and loses its vessels and borders. Source networks are the stored ones of `lung_sources`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

# First: it decides how TensorFlow starts.
from book.studies import lung_to_liver, small_changes

# isort: split
import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from book.studies.lung_prepared import as_nodule, from_scratch
from book.studies.lung_sources import LIVER, in_liver
from book.studies.lung_to_liver import stored, tuned
from book.studies.study import ALL, FILTERS, Only, Study, chosen, curve, lung_window
from medxfer_utils import clinic, data, images, metrics, models, require
from medxfer_utils.cohorts import Cohort
from medxfer_utils.models import Array, Strategy, Training

FILE, FOLDER = "msd_liver_slices_128.npz", "liver_ct"
PLANTED, OUTLINES = "liver_planted", "liver_outlines"
SIDE, COARSE, INSIDE = 16, 3.0, 0.9  # pixels of a patch, mm, share of it that is liver
# How HU became grey is told nowhere. This guess puts fat at -105, muscle at 60 and kidneys at 190.
LOW, WIDTH, GAMMA = -150.0, 400.0, 2.2
POOL, DRAWN = 0.7, 800  # share of patients who may be labelled; simulated patients
SIZES, REPEATS, TISSUES = (20, 80), range(1, 9), ("real", "scrambled")
FEW = 10  # patients whose outlines somebody has drawn
DRAWING = Training(steps=150, rate=0.003, batch=8, cosine=True, augment=None)


class Slices(NamedTuple):
    """Slices of livers: grey values and outlines, (n, 128, 128), and whose they are, (n,)."""

    grey: NDArray[np.uint8]
    liver: NDArray[np.bool_]
    patient: NDArray[np.str_]


def file() -> Path:
    """Where the reader's file is."""
    path = data.find_local(FILE, FOLDER)
    said = f"{FILE} is not in the folder {FOLDER} of MEDXFER_DATA: see the page on data."
    require(path, said, data.DataError)
    return Path(str(path))


@cache
def slices() -> Slices:
    """All slices, checked."""
    with np.load(file(), allow_pickle=False) as there:
        missing = {"x", "mask", "volume"} - {*there.files}
        require(not missing, f"{FILE} has no arrays {sorted(missing)}.", data.ContentError)
        grey, packed, volume = (there[name] for name in ("x", "mask", "volume"))
    n, side = len(volume), grey.shape[-1]
    fits = grey.shape == (n, side, side) and packed.shape == (n, side * side // 8)
    shapes = f"{FILE}: images {grey.shape}, masks {packed.shape}, {n} patients do not fit together"
    require(fits and grey.dtype == np.uint8, f"{shapes}.", data.ContentError)
    mask = np.unpackbits(packed, axis=1).reshape(grey.shape).astype(bool)
    return Slices(grey, mask, np.char.mod("liver-%d", volume))


@cache
def divided(seed: int) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """The patients who may be labelled or drawn, and those who are only tested."""
    order = np.random.default_rng([seed, 3]).permutation(np.unique(slices().patient))
    cut = round(POOL * len(order))
    return order[:cut], order[cut:]


def hounsfield(grey: NDArray[Any]) -> Array:
    """HU of grey values, as we guess them."""
    return np.asarray(LOW + WIDTH * (grey / 255) ** (1 / GAMMA))


# --- planted lesions ------------------------------------------------------------------------------


@cache
def patches(repeat: int) -> tuple[Array, NDArray[np.str_]]:
    """A patch in HU of each slice that has room, at a place drawn at random, and whose it is."""
    rng, every = np.random.default_rng([repeat, 1]), slices()
    found, who = [], []
    for grey, mask, patient in zip(*every, strict=True):
        cover = ndimage.uniform_filter(mask.astype(float), SIDE, mode="constant")
        places = np.argwhere(cover >= INSIDE)  # pixel SIDE // 2 of the patch
        if len(places):
            centre = places[rng.integers(len(places))]
            found.append(images.crop(grey, (SIDE, SIDE), 0, centre))
            who.append(patient)
    return hounsfield(np.stack(found)), np.array(who)


def scrambled(x: Array, rng: np.random.Generator) -> Array:
    """The same spectra with phases of white noise."""
    noise = np.fft.rfft2(rng.normal(size=x.shape))
    spectrum = np.abs(np.fft.rfft2(x)) * noise / np.abs(noise)
    spectrum[:, 0, 0] = x.sum((1, 2))
    return np.asarray(np.fft.irfft2(spectrum, x.shape[1:]))


@cache
def planted(tissue: str, repeat: int) -> Cohort:
    """Simulated lesions in real livers: one a slice, all of a patient benign or all malignant.

    A lesion's contrast is added, so that the noise of the tissue stays. At the pixel of the source
    networks.
    """
    rng, site = np.random.default_rng([repeat, 2]), replace(LIVER, size=SIDE, pixel=COARSE)
    hu, who = patches(repeat)
    ill = dict(zip(names := np.unique(who), rng.permutation(len(names)) % 2, strict=True))
    y = np.array([ill[name] for name in who])
    drawn = 70_000 + repeat
    share, contrast = clinic.lesions(site, DRAWN, drawn)
    kinds = clinic.simulate(site, DRAWN, drawn).cohort.y
    one = np.empty(len(y), int)
    for k in (0, 1):
        one[y == k] = rng.choice(np.flatnonzero(kinds == k), (y == k).sum(), replace=False)
    hu = scrambled(hu, rng) if tissue == "scrambled" else hu
    hu = np.clip(hu + (share * contrast)[one], LOW, LOW + WIDTH)
    fine = ndimage.zoom(hu, (1, 2, 2), order=1)
    return Cohort(f"{tissue} liver, simulated lesions", fine.astype("float32"), y, who)


def planted_strategies(seed: int) -> dict[str, Strategy]:
    """What lessons 07 and 08 conclude, and the outlines of real livers as a source."""
    naive, blind = stored("window", seed), lung_to_liver.best(seed)
    turned = replace(naive, prepare=as_nodule)
    return {
        "scratch": from_scratch(in_liver),
        "scratch, window": from_scratch(lung_window),
        "scratch, as a nodule": from_scratch(as_nodule),
        "as is, window": lambda t, s: naive,
        "as is, as a nodule": lambda t, s: turned,
        "as is": lambda t, s: blind,
        "source: window": tuned(naive),
        "as a nodule": tuned(turned),
        "fine-tuned": tuned(blind),
        "scratch, as drawn": from_scratch(as_drawn),
        "source: outlines": small_changes.under_new_head(outliner(seed)),
        "source: outlines, as drawn": small_changes.under_new_head(
            outliner(seed), prepare=as_drawn
        ),
        "five measurements": lung_to_liver.baselines()["five measurements"],
    }


def one_planting(tissue: str, repeat: int, only: Only = ALL) -> pd.DataFrame:
    """Every strategy on one planting; its division is that of its source networks."""
    everybody, seed = planted(tissue, repeat), repeat % 4
    pool, test = (everybody.of(side) for side in divided(seed))
    return curve(planted_strategies(seed), (pool, test), SIZES, repeat, only)


# --- outlines -------------------------------------------------------------------------------------


def as_drawn(hu: Array) -> Array:
    """Hundreds of HU above black, with a channel: how who draws outlines sees a liver."""
    return (hu[..., None] - LOW) / 100


@cache
def outlines() -> tuple[Array, NDArray[np.bool_], NDArray[np.str_]]:
    """Slices and their outlines at half the resolution."""
    grey, mask, who = slices()
    hu = hounsfield(grey).reshape(len(grey), 64, 2, 64, 2).mean((2, 4))
    half = mask.reshape(len(mask), 64, 2, 64, 2).mean((2, 4)) >= 0.5
    some = half.any((1, 2))
    return as_drawn(hu[some]), half[some], who[some]


def drawn(seed: int, few: int | None, start: keras.Model) -> keras.Model:
    """A U-Net trained on the outlines of some patients of the pool, or of all."""
    x, mask, who = outlines()
    some = np.random.default_rng(seed).permutation(divided(seed)[0])[:few]
    rows = np.isin(who, some)
    return small_changes.segmenter(x[rows], mask[rows], DRAWING, start)


def untrained(seed: int, lung: bool = False) -> keras.Model:
    """A U-Net with new weights, or with the encoder of the sign-blind lung network."""
    network = models.unet((64, 64, 1), FILTERS, seed)
    for name in lung_to_liver.best(seed).backbone if lung else ():
        weights = lung_to_liver.best(seed).network.get_layer(name).get_weights()
        network.get_layer(name).set_weights(weights)
    return network


@cache
def outliner(seed: int) -> keras.Model:
    """A U-Net trained on all outlines of the pool."""
    return drawn(seed, None, untrained(seed))


DRAWERS = ("all patients", "ten patients", "ten patients, lung's encoder", "a threshold")


def found_by(kind: str, seed: int) -> NDArray[np.bool_]:
    """What is taken for liver on the test patients' slices."""
    x, mask, who = outlines()
    test, pool = (np.isin(who, part) for part in divided(seed)[::-1])
    if kind == "a threshold":  # between the 5th and the 95th percentile of livers drawn by hand
        low, high = np.percentile(x[pool][mask[pool]], [5, 95])
        return np.asarray(((x >= low) & (x <= high))[test, ..., 0])
    if kind == "all patients":
        network = outliner(seed)
    else:
        network = drawn(seed, FEW, untrained(seed, "lung" in kind))
    return np.asarray(models.outputs(network, x[test])[..., 0] > 0)


def one_outline(seed: int, only: Only = ALL) -> Iterator[Mapping[str, Any]]:
    """Dice on patients who were not drawn, and its interval over patients."""
    _, mask, who = outlines()
    test = np.isin(who, divided(seed)[1])
    for kind in chosen(only, "strategy", DRAWERS):
        each = metrics.dice(mask[test], found_by(kind, seed))
        means = pd.Series(each).groupby(who[test]).mean()
        mean, low, high = metrics.mean_interval(means)
        yield {"strategy": kind, "Dice": mean, "low": low, "high": high, "patients": len(means)}


def found() -> dict[str, Any]:
    """The file that was read."""
    return {"file": list(data.sums_of(file()))}


PACKAGES = lung_to_liver.PACKAGES
GUESSED = {"low": LOW, "width": WIDTH, "gamma": GAMMA}
FACTS = {"repeats": [*REPEATS], "sizes": SIZES, **GUESSED, "half simulated": True}
EACH = [{"tissue": tissue, "repeat": repeat} for repeat in REPEATS for tissue in TISSUES]
SEEDS = [{"seed": seed} for seed in range(4)]
STUDIES = (
    Study(PLANTED, EACH, one_planting, ("strategy", "n"), PACKAGES, FACTS, found),
    Study(OUTLINES, SEEDS, one_outline, ("strategy",), PACKAGES, {"few": FEW, **GUESSED}, found),
)
