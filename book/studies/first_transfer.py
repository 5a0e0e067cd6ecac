"""What photographs are worth to breast ultrasound: strategies, label budgets and resolutions.

Every division is by groups of near copies, so that no image has a copy on the other side. A row is
a fit on one draw of labelled images of one division. Run it with `make results`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

# First: it decides how TensorFlow starts.
from medxfer_utils import models

# isort: split
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from book.studies.study import ALL, Only, Study, chosen
from medxfer_utils import data, images

Array = NDArray[np.floating]
NAME, SIZE = "first_transfer", 224
BUDGETS = (40, 160, 480)  # labelled images; about all of a division
DIVISIONS, TEST = 10, 0.3
SIZES = (32, 64, 128, 224)  # pixels of a side that MobileNet is shown
STRENGTHS = np.logspace(-4, 0, 5)  # chosen by cross-validation within the labelled images
FROZEN = {f"frozen, {size} pixels": size for size in SIZES[:-1]} | {"frozen": SIZE}
SCRATCH, TUNED, PIXELS, RANDOM = "from scratch", "fine-tuned", "pixels", "random weights"
STRATEGIES = (PIXELS, RANDOM, SCRATCH, *FROZEN, TUNED)
CUT = "conv_pw_11_relu"  # fine-tuning moves what lies above
OWN = models.Training(500, 0.003, batch=32, cosine=True, augment=models.flips_and_turns)
MORE = models.Training(60, 1e-4, batch=32)
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "keras")


def mobilenet(size: int, weights: Any) -> keras.Model:
    """Keras's MobileNet of a quarter of the width, without its head."""
    about = {"alpha": 0.25, "include_top": False, "pooling": "avg", "weights": weights}
    network: keras.Model = keras.applications.MobileNet(input_shape=(size, size, 3), **about)
    return network


def weights() -> Any:
    """Of ImageNet, from wherever they can be had."""
    return data.imagenet_weights(models.weights_url("MobileNet", 0.25))


def as_colour(x: NDArray[np.uint8], size: int) -> tf.Tensor:
    """Grey images as MobileNet wants them: three channels from -1 to 1."""
    resized = tf.image.resize(tf.cast(x[..., None], tf.float32), (size, size), antialias=True)
    return keras.applications.mobilenet.preprocess_input(tf.repeat(resized, 3, axis=-1))


def seen_by(network: keras.Model, size: int) -> Array:
    """What a network makes of every image, shown with so many pixels."""
    x = pictures().x
    parts = [network(as_colour(x[i : i + 64], size), training=False) for i in range(0, len(x), 64)]
    return cast(Array, np.concatenate([np.asarray(part) for part in parts]))


@cache
def pictures() -> data.Pictures:
    """Every image, its diagnosis and its part."""
    return data.breast_ultrasound()


@cache
def group() -> NDArray[np.intp]:
    """Number of the near copies that each image belongs to."""
    return images.near_copies(pictures().x)


@cache
def small(size: int = 64) -> Array:
    """All images, of fewer pixels, from -1 to 1."""
    resized = tf.image.resize(pictures().x[..., None], (size, size), method="area")
    return cast(Array, resized.numpy() / 127.5 - 1)


@cache
def features(strategy: str, division: int) -> Array:
    """What a linear model is shown."""
    if strategy == PIXELS:
        return small(28).reshape(len(group()), -1)
    if strategy == RANDOM:  # another network for each division
        keras.utils.set_random_seed(division)
        return seen_by(mobilenet(SIZE, None), SIZE)
    return frozen(FROZEN[strategy])


@cache
def frozen(size: int) -> Array:
    """The features of ImageNet."""
    return seen_by(mobilenet(size, weights()), size)


@cache
def below_the_cut() -> Array:
    """The maps from which fine-tuning starts."""
    whole = mobilenet(SIZE, weights())
    return seen_by(keras.Model(whole.inputs, whole.get_layer(CUT).output), SIZE)


def linear(x: Array, y: Array, seed: int) -> Any:
    """Logistic regression, its penalty chosen by cross-validation."""
    last = LogisticRegressionCV(
        Cs=STRENGTHS, cv=5, scoring="neg_log_loss", max_iter=2000, random_state=seed,
        l1_ratios=(0.0,), use_legacy_attributes=False,
    )  # fmt: skip
    return make_pipeline(StandardScaler(), last).fit(x, y)


def tuned(train: NDArray[np.intp], test: NDArray[np.intp], seed: int) -> Array:
    """Fine-tune what lies above the cut, from the head of the frozen features on."""
    x, y = frozen(SIZE), pictures().y
    start = linear(x[train], y[train], seed)
    scaler, last = start[0], start[-1]
    whole = mobilenet(SIZE, weights())
    head = keras.layers.Dense(1, name="head")
    upper = keras.Model(whole.get_layer(CUT).output, head(whole.output))
    slopes = last.coef_[0] / scaler.scale_
    head.set_weights([slopes[:, None], last.intercept_ - slopes @ scaler.mean_])
    norms = [one.name for one in upper.layers if isinstance(one, keras.layers.BatchNormalization)]
    upper = models.train(upper, below_the_cut()[train], y[train], MORE, seed, frozen=norms)
    return models.outputs(upper, below_the_cut()[test])[:, 0]


def scores(strategy: str, train: NDArray[np.intp], test: NDArray[np.intp], division: int) -> Array:
    """Log odds of the test images."""
    y = pictures().y
    if strategy == TUNED:
        return tuned(train, test, division)
    if strategy == SCRATCH:
        fresh = models.image_network((64, 64, 1), filters=(16, 32, 64, 64), seed=division)
        return models.outputs(models.train(fresh, small()[train], y[train], OWN, division),
                              small()[test])[:, 0]  # fmt: skip
    x = features(strategy, division)
    made: Array = linear(x[train], y[train], division).decision_function(x[test])
    return made


def drawn(pool: NDArray[np.intp], n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """So many images of a pool, as often malignant as there."""
    y = pictures().y[pool]
    ill = round(n * y.mean())
    return np.concatenate(
        [rng.permutation(pool[y == 1])[:ill], rng.permutation(pool[y == 0])[: n - ill]]
    )


def one_division(division: int, only: Only = ALL) -> list[dict[str, Any]]:
    """Every strategy at every budget on one division, the same labels for all."""
    y = pictures().y
    parts = GroupShuffleSplit(1, test_size=TEST, random_state=division)
    pool, test = next(parts.split(y, groups=group()))
    rng, rows = np.random.default_rng(division), []
    for n in BUDGETS:
        train = drawn(pool, n, rng)
        if n not in chosen(only, "n", BUDGETS):
            continue
        for strategy in chosen(only, "strategy", STRATEGIES):
            auroc = roc_auc_score(y[test], scores(strategy, train, test, division))
            rows.append({"strategy": strategy, "n": n, "AUROC": auroc})
    return rows


FACTS = {"budgets": list(BUDGETS), "divisions": DIVISIONS, "test": TEST, "sizes": list(SIZES)}
JOBS = [{"division": division} for division in range(DIVISIONS)]
STUDIES = (Study(NAME, JOBS, one_division, ("strategy", "n"), PACKAGES, FACTS),)
