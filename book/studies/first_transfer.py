"""What photographs are worth to breast ultrasound: strategies, label budgets and resolutions.

Every division is by groups of near copies, so that no image has a copy on the other side. Every
strategy is shown each image and its mirror image, and its scores of the two are averaged. A row is
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
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupShuffleSplit, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from book.studies.study import ALL, Only, Study, chosen
from medxfer_utils import data, images

Array = NDArray[np.floating]
NAME, SIZE = "first_transfer", 224
BUDGETS = (40, 160, 480)  # labelled images; about all of a division
DIVISIONS, TEST = 8, 0.3
PARTS = 12  # in which a network sees the 780 images
SIZES = (32, 64, 128, 224)  # pixels of a side that MobileNet is shown
PENALTIES = {"logisticregression__C": np.logspace(-4, 0, 5)}  # chosen within the labelled images
FROZEN = {f"frozen, {size} pixels": size for size in SIZES[:-1]} | {"frozen": SIZE}
SCRATCH, TUNED, PIXELS, RANDOM = "from scratch", "fine-tuned", "pixels", "random weights"
STRATEGIES = (PIXELS, RANDOM, SCRATCH, *FROZEN, TUNED)
CUT = "conv_pw_11_relu"  # fine-tuning moves what lies above
OWN = models.Training(300, 0.003, batch=32, cosine=True, augment=models.flips_and_turns)
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


def mirrored(x: Array) -> Array:
    """All images, and all as in a mirror, shape (2, n, ...)."""
    return np.stack([x, x[:, :, ::-1]])


def seen_by(network: keras.Model, size: int) -> Array:
    """What a network makes of every image and its mirror image, shown with so many pixels."""
    x = mirrored(pictures().x)
    parts = [as_colour(some, size) for some in np.split(x.reshape(-1, SIZE, SIZE), 2 * PARTS)]
    seen = np.concatenate([np.asarray(network(part, training=False)) for part in parts])
    return cast(Array, seen.reshape(2, x.shape[1], *seen.shape[1:]))


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
    """All images and their mirror images, of fewer pixels, from -1 to 1."""
    resized = tf.image.resize(pictures().x[..., None], (size, size), method="area")
    return mirrored(resized.numpy() / 127.5 - 1)


def features(strategy: str, division: int) -> Array:
    """What a linear model is shown."""
    if strategy == PIXELS:
        return small(28).reshape(2, len(group()), -1)
    if strategy == RANDOM:
        return random(division // 2)
    return frozen(FROZEN[strategy])


@cache
def random(number: int) -> Array:
    """The features of a network that was never trained; two divisions share each."""
    keras.utils.set_random_seed(number)
    return seen_by(mobilenet(SIZE, None), SIZE)


@cache
def frozen(size: int) -> Array:
    """The features of ImageNet."""
    return seen_by(mobilenet(size, weights()), size)


@cache
def below_the_cut() -> Array:
    """The maps from which fine-tuning starts."""
    whole = mobilenet(SIZE, weights())
    return seen_by(keras.Model(whole.inputs, whole.get_layer(CUT).output), SIZE)


def linear(x: Array, train: NDArray[np.intp]) -> Any:
    """Logistic regression, its penalty chosen by cross-validation that keeps groups together."""
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    search = GridSearchCV(model, PENALTIES, scoring="neg_log_loss", cv=folds)
    rows, y, groups = np.concatenate(x[:, train]), pictures().y[train], group()[train]
    return search.fit(rows, np.tile(y, 2), groups=np.tile(groups, 2)).best_estimator_


def tuned(train: NDArray[np.intp], seed: int) -> keras.Model:
    """Fine-tune what lies above the cut, from the head of the frozen features on."""
    scaler, last = linear(frozen(SIZE), train)
    whole = mobilenet(SIZE, weights())
    head = keras.layers.Dense(1, name="head")
    upper = keras.Model(whole.get_layer(CUT).output, head(whole.output))
    slopes = last.coef_[0] / scaler.scale_
    head.set_weights([slopes[:, None], last.intercept_ - slopes @ scaler.mean_])
    norms = [one.name for one in upper.layers if isinstance(one, keras.layers.BatchNormalization)]
    rows, y = np.concatenate(below_the_cut()[:, train]), np.tile(pictures().y[train], 2)
    return models.train(upper, rows, y, MORE, seed, frozen=norms)


def scratch(train: NDArray[np.intp], seed: int) -> keras.Model:
    """A small network that has seen nothing before."""
    fresh = models.image_network((64, 64, 1), filters=(16, 32, 64, 64), seed=seed)
    return models.train(fresh, small()[0][train], pictures().y[train], OWN, seed)


def scores(strategy: str, train: NDArray[np.intp], test: NDArray[np.intp], division: int) -> Array:
    """Log odds of the test images, the mean of each and its mirror image."""
    if strategy in (TUNED, SCRATCH):
        x = below_the_cut() if strategy == TUNED else small()
        network = tuned(train, division) if strategy == TUNED else scratch(train, division)
        return np.mean([models.outputs(network, one[test])[:, 0] for one in x], axis=0)
    x = features(strategy, division)
    model = linear(x, train)
    return np.mean([model.decision_function(one[test]) for one in x], axis=0)


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
