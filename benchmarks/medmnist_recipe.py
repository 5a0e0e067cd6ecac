"""PneumoniaMNIST and BreastMNIST on the CPU, beside the published figures.

X-rays: an ensemble of small networks at 28 pixels. Ultrasound: half of such an ensemble, half of a
logistic regression on what a MobileNet that was trained on photographs sees at 224 pixels.
Everything in it was chosen on the official training and validation images; the test images are
scored once for each seed. Some ultrasound images of the test have a near copy in training: the
figures are given with and without them. Run it with `make benchmark`, or alone; `README.md` beside
this file says what was tried and how to read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, cast

from medxfer_utils.models import Training, backbone, outputs, reinitialised, train, weights_url

# isort: split
import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from statsmodels.stats.proportion import proportion_confint

from book.studies.study import ALL, Only, Study, chosen
from medxfer_utils import metrics, results
from medxfer_utils.data import KNOWN_COPIES, MedMNIST, imagenet_weights, medmnist
from medxfer_utils.images import near_copies, scaled

Array = NDArray[np.floating]
Labels = NDArray[np.integer]

NAME = "medmnist_recipe"
SEEDS = {"pneumoniamnist": 5, "breastmnist": 3}
BATCH, RATE, SMOOTHING = 64, 0.003, 0.1
ALPHA, PIXELS, STRENGTH = 0.25, 128, 0.03  # width of MobileNet, its images; C of the regression
STAGES = (3, 5, 7, 9, 11, 13)  # blocks of MobileNet whose mean over the image is a feature
TOGETHER = ("ensemble", "networks only")
NOTHING = np.full(3, np.nan)
DRAWS = 1000  # resamples, and random choices of images
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "keras")


@dataclass(frozen=True)
class Plan:
    """What differs between the two data sets.

    Parameters
    ----------
    epochs : int
        How often a network sees each training image.
    networks : int
        Of an ensemble. Every other one reads standardised images.
    balanced : bool
        Whether both classes count alike in training, whatever their share.
    shown : tuple of int
        Pixels of what MobileNet is shown of images of 224 pixels; it has half of the say, or none.
    alike : float
        Correlation above which two images are near copies.
    """

    epochs: int
    networks: int
    balanced: bool
    shown: tuple[int, ...]
    alike: float


PLANS = {
    "pneumoniamnist": Plan(12, 4, balanced=True, shown=(), alike=0.97),
    "breastmnist": Plan(60, 4, balanced=False, shown=(PIXELS, 224), alike=0.93),
}
# What was compared before the recipe was fixed, within training and validation images; `README.md`
# tells how. The test images had no part in it.
TRIED = {
    "pneumoniamnist": {"networks": 8, "classifiers of features": 2, "ensembles": 19},
    "breastmnist": {"networks": 7, "classifiers of features": 61, "ensembles": 20},
}
# AUROC and accuracy at 28 pixels: Yang et al. (2023), MedMNIST v2, doi:10.1038/s41597-022-01721-8.
# AutoML had the 28 pixels as well.
PUBLISHED = {
    "pneumoniamnist": {
        "ResNet-18": (0.944, 0.854),
        "ResNet-50": (0.948, 0.854),
        "auto-sklearn": (0.942, 0.855),
        "AutoKeras": (0.947, 0.878),
        "Google AutoML Vision": (0.991, 0.946),
    },
    "breastmnist": {
        "ResNet-18": (0.901, 0.863),
        "ResNet-50": (0.857, 0.812),
        "auto-sklearn": (0.836, 0.803),
        "AutoKeras": (0.871, 0.831),
        "Google AutoML Vision": (0.919, 0.861),
    },
}


def official(labels: Labels, score: Array) -> tuple[float, float]:
    """AUROC and accuracy as MedMNIST's own evaluator computes them for a binary set.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        As in the file: BreastMNIST's 1 is "normal or benign".
    score : ndarray, shape (n,)
        Probability of label 1. An image is called 1 if it is above 0.5; 0.5 itself is 0.
    """
    return metrics.auroc(labels, score), float(np.mean((score > 0.5) == (labels == 1)))


def each_once(x: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Where each different image stands for the first time, in order."""
    return np.sort(np.unique(x.reshape(len(x), -1), axis=0, return_index=True)[1])


def training_images(data: MedMNIST, small: MedMNIST | None = None) -> tuple[Any, Labels]:
    """Official training and validation images, each (told by `small`) once, as in the file."""
    x = np.concatenate([data.train.x, data.val.x])
    y = np.concatenate([data.train.y, data.val.y])
    first = each_once(x if small is None else np.concatenate([small.train.x, small.val.x]))
    return x[first], y[first]


def network(seed: int) -> keras.Model:
    """Six convolutions; the first one, of stride 2, makes the rest four times cheaper."""
    net = keras.Sequential([keras.Input((28, 28, 1), name="image")], name="medmnist")
    for k, (width, pool) in enumerate([(32, 0), (32, 0), (32, 1), (64, 0), (64, 1), (128, 0)]):
        shape = {"kernel_size": 3 if k else 4, "strides": 1 if k else 2, "name": f"conv_{k}"}
        net.add(keras.layers.Conv2D(width, padding="same", use_bias=False, **shape))
        net.add(keras.layers.BatchNormalization(momentum=0.9, name=f"norm_{k}"))
        net.add(keras.layers.ReLU(name=f"relu_{k}"))
        if pool:
            net.add(keras.layers.MaxPooling2D(name=f"pool_{k}"))
    net.add(keras.layers.GlobalAveragePooling2D(name="features"))
    net.add(keras.layers.Dense(1, name="head"))
    return reinitialised(net, seed)


def moved(images: Any, seed: Any) -> Any:
    """Shift (2 pixels), zoom (10 %), turn (6°), contrast (35 %) and brightness (0.2) at random.

    No mirroring: in a chest it would change the side of the heart.
    """
    n, middle = tf.shape(images)[0], (images.shape[1] - 1) / 2
    u = tf.random.stateless_uniform([7, n], seed, -1, 1)
    wide, high = tf.exp(0.1 * u[1]), tf.exp(0.1 * u[2])
    cos, sin = tf.cos(0.1 * u[0]), tf.sin(0.1 * u[0])
    a, b, c, d = cos * wide, -sin * high, sin * wide, cos * high
    across, down = middle * (1 - a - b) + 2 * u[3], middle * (1 - c - d) + 2 * u[4]
    images = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a, b, across, c, d, down, 0 * a, 0 * a], 1),
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    contrast, brightness = tf.exp(0.3 * u[5]), 0.2 * u[6]
    mean = tf.reduce_mean(images, [1, 2, 3], keepdims=True)
    return mean + brightness[:, None, None, None] + (images - mean) * contrast[:, None, None, None]


def grey(x: NDArray[np.uint8], standardised: bool = False) -> Array:
    """Network input (n, 28, 28, 1): grey from 0 to 1, or with each image's own mean and spread."""
    images = scaled(x)[..., None]
    if not standardised:
        return images
    mean, spread = (f(axis=(1, 2, 3), keepdims=True) for f in (images.mean, images.std))
    return cast(Array, (images - mean) / np.maximum(spread, 1e-3))


def balanced_rows(y: Labels, rng: np.random.Generator) -> NDArray[np.integer]:
    """Every image, those of the rarer class repeated until both classes are of one size."""
    groups = sorted((np.flatnonzero(y == label) for label in (0, 1)), key=len)
    times, rest = divmod(len(groups[1]), len(groups[0]))
    return np.concatenate(
        [groups[1], np.tile(groups[0], times), rng.choice(groups[0], rest, replace=False)]
    )


def seen_by_mobilenet(x: NDArray[np.uint8], pixels: int = PIXELS) -> Array:
    """Features (n, 2, 736): images and their mirror images, resized, as MobileNet sees them.

    Means over the image after six blocks of MobileNet (α = 0.25) with ImageNet's weights.
    """
    weights = imagenet_weights(weights_url("MobileNet", ALPHA))
    photographs = backbone("MobileNet", pixels, weights, ALPHA).layers[-1]
    stages = [photographs.get_layer(f"conv_pw_{k}_relu").output for k in STAGES]
    pool = keras.layers.GlobalAveragePooling2D()
    see = keras.Model(photographs.inputs, keras.layers.Concatenate()([pool(s) for s in stages]))

    def seen(images: Array) -> Array:
        large = keras.ops.image.resize(images, (pixels, pixels), "bicubic", antialias=True)
        return np.asarray(see(keras.ops.repeat(2 * large - 1, 3, axis=-1), training=False))

    parts = np.split(grey(x), range(128, len(x), 128))
    both = [np.concatenate([seen(p[:, :, ::way]) for p in parts]) for way in (1, -1)]
    return np.stack(both, axis=1).astype(float)


def by_features(seen: Array, y: Labels, seen_test: Array, balanced: bool) -> Array:
    """Log odds by logistic regression on both views of the training images, (test images,)."""
    weight = "balanced" if balanced else None
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=STRENGTH, class_weight=weight, max_iter=500)
    )
    model.fit(np.concatenate([seen[:, 0], seen[:, 1]]), np.tile(y, 2))
    views = [model.decision_function(seen_test[:, way]) for way in (0, 1)]
    return cast(Array, np.mean(views, axis=0))


def by_network(
    x: NDArray[np.uint8], y: Labels, x_test: NDArray[np.uint8], plan: Plan, member: int, seed: int
) -> Array:
    """Log odds by one network of the ensemble."""
    standardised, own = bool(member % 2), plan.networks * seed + member
    rng = np.random.default_rng(own)
    rows = balanced_rows(y, rng) if plan.balanced else np.arange(len(y))
    steps = plan.epochs * len(rows) // BATCH
    training = Training(steps, RATE, BATCH, smoothing=SMOOTHING, cosine=True, augment=moved)
    fitted = train(network(own), grey(x[rows], standardised), y[rows], training, own)
    return outputs(fitted, grey(x_test, standardised))[:, 0]


def fit_and_score(
    x: NDArray[np.uint8],
    y: Labels,
    x_test: NDArray[np.uint8],
    seen: Sequence[Array],
    plan: Plan,
    seed: int,
    members: int,
) -> dict[str, Array]:
    """Log odds of the test images, by the ensemble and by its parts."""
    networks = [by_network(x, y, x_test, plan, member, seed) for member in range(members)]
    whole = cast(Array, np.mean(networks, axis=0))
    found = {"ensemble": whole, "one network": networks[0]}
    if plan.shown:
        features = by_features(seen[0], y, seen[1], plan.balanced)
        found["ensemble"] = (whole + features) / 2
        found |= {"networks only": whole, "ImageNet features only": features}
    return found


def without_as_many(copy: NDArray[np.bool_], labels: Labels, rng: np.random.Generator) -> Any:
    """Rows left when as many images of each class go as have a copy, whichever they are."""
    shuffled = [rng.permutation(np.flatnonzero(labels == k)) for k in (0, 1)]
    return np.concatenate([r[np.sum(copy[r]) :] for r in shuffled])


def without_copies(
    place: int, labels: Labels, score: Array, copy: NDArray[np.bool_], group: Labels
) -> tuple[Iterable[float], Iterable[float]]:
    """AUROC (place 0) or accuracy (1) without images that have a copy, and without as many others.

    The first has a 95 % interval over resampled groups, the second the middle 95 % of the draws.
    """

    def found(labels: Labels, score: Array, copy: NDArray[Any]) -> float:
        return official(labels[copy == 0], score[copy == 0])[place]

    told, rng = (labels, score, copy.astype(float)), np.random.default_rng(0)
    ends = metrics.bootstrap_interval(found, *told, groups=group, repeats=DRAWS, rng=rng)
    rows = [without_as_many(copy, labels, rng) for _ in range(DRAWS)]
    drawn = [official(labels[r], score[r])[place] for r in rows]
    return (found(*told), *ends), (np.mean(drawn), *np.quantile(drawn, [0.025, 0.975]))


def row(data: MedMNIST, log_odds: Array, group: Labels) -> dict[str, float]:
    """Official scores of the test images, with 95 % intervals over patients (DeLong, Wilson).

    `group` tells near copies, of the images of training, validation and test in this order. If some
    test images have one in the others, there are also scores without these.
    """
    p, labels = expit(log_odds), data.test.official
    area, accuracy = official(labels, _of_label_1(data, p))
    three = area, *metrics.auroc_interval(data.test.y, log_odds)
    right = proportion_confint(round(accuracy * len(p)), len(p), method="wilson")
    found = named("AUROC", three) | named("accuracy", (accuracy, *right))
    found["Brier"] = metrics.brier(data.test.y, p)
    copy = np.isin(group[-len(p) :], group[: -len(p)])
    told = labels, _of_label_1(data, p), copy, group[-len(p) :]
    for place, measure in enumerate(("AUROC", "accuracy")):
        without, other = without_copies(place, *told) if copy.any() else (NOTHING, NOTHING)
        found |= named(f"{measure} without copies", without)
        found |= named(f"{measure} without as many at random", other)
    return found


def named(name: str, three: Iterable[float]) -> dict[str, float]:
    """A value and the ends of its interval."""
    return dict(zip((name, f"{name} low", f"{name} high"), three, strict=True))


def _of_label_1(data: MedMNIST, disease: Array) -> Array:
    """Probability of the file's label 1, from that of the disease."""
    return disease if np.array_equal(data.test.y, data.test.official) else 1 - disease


def about(data: MedMNIST) -> dict[str, Any]:
    """Which file was used, what is wrong with it, and how many of its images were left out."""
    there = len(data.train.y) + len(data.val.y)
    return {
        "md5": data.sums[0].removeprefix("md5:"),
        "official": data.is_official,
        "faults": data.file.faults,
        "repeated images left out of training": there - len(training_images(data)[1]),
    }


def files(names: Sequence[str]) -> dict[str, Any]:
    """What a record says of the data."""
    return {"files": {name: about(medmnist(name, also=KNOWN_COPIES)) for name in names}}


@cache
def prepared(name: str) -> tuple[MedMNIST, Any, Labels, Labels, list[Array]]:
    """A set, its training images and labels, near copies, and what MobileNet sees."""
    plan, whole = PLANS[name], medmnist(name, also=KNOWN_COPIES)
    x, y = training_images(whole)
    every = np.concatenate([whole.train.x, whole.val.x, whole.test.x])
    group = near_copies(every, plan.alike)
    if not plan.shown:
        return whole, x, y, group, []
    large = medmnist(name, 224, also=KNOWN_COPIES)
    seen = [
        np.concatenate([seen_by_mobilenet(images, pixels) for pixels in plan.shown], axis=-1)
        for images in (training_images(large, whole)[0], large.test.x)
    ]
    return whole, x, y, group, seen


def one_seed(data: str, seed: int, only: Only = ALL) -> Iterator[Mapping[str, Any]]:
    """Every model of one seed on the official test images."""
    whole, x, y, group, seen = prepared(data)
    # One network is enough where no more is wanted of them.
    members = PLANS[data].networks if chosen(only, "model", TOGETHER) else 1
    found = fit_and_score(x, y, whole.test.x, seen, PLANS[data], seed, members)
    for model, log_odds in found.items():
        yield {"model": model} | row(whole, log_odds, group)


FACTS = {"seeds": SEEDS, "tried": TRIED}
EACH = [{"data": name, "seed": seed} for name in PLANS for seed in range(SEEDS[name])]
FILES = partial(files, tuple(PLANS))
STUDIES = (Study(NAME, EACH, one_seed, ("model",), PACKAGES, FACTS, FILES),)


def summary(frame: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Mean over the seeds with its 95 % interval, seed 0 with its interval over patients."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for (name, model), block in frame.groupby(["data", "model"], sort=False):
        first = block[block["seed"] == 0].iloc[0]
        best = max(figures[measure == "accuracy"] for figures in PUBLISHED[str(name)].values())
        mean = block[measure].mean()
        spread = ""
        if len(block) > 1:
            mean, low, high = metrics.mean_interval(block[measure])
            spread = f" ({low:.3f} to {high:.3f})"
        lines[str(name), str(model)] = {
            "seeds": f"{mean:.3f}{spread}",
            "patients, seed 0": f"{first[f'{measure} low']:.3f} to {first[f'{measure} high']:.3f}",
            "best published": best,
            "ratio": round(mean / best, 3),
            "errors, ratio": round((1 - mean) / (1 - best), 2),
        }
    return pd.DataFrame(lines).T.rename_axis(["data", "model"])


def main() -> None:
    """Run the recipe on both data sets, store the rows with their provenance, print the tables."""
    STUDIES[0].store()
    for measure in ("AUROC", "accuracy"):
        print(f"\n{measure}\n{summary(results.load(NAME), measure).to_string()}")


if __name__ == "__main__":
    from benchmarks import medmnist_recipe  # by its name, so that other processes find it too

    medmnist_recipe.main()
