"""What lesson 06 writes out, beside Keras, scikit-learn and the formulas."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

import ast
from functools import cache
from types import FunctionType, SimpleNamespace
from typing import Any

from medxfer_utils import models

# isort: split
import keras
import nbformat
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from tests.chapters.parts import code_cells, syntax
from tests.chapters.running import ROOT

RNG = np.random.default_rng(6)
X, Y = RNG.normal(size=(80, 5)), (RNG.normal(size=80) > 0).astype(int)
X[:, 0] += 1.5 * Y
IMAGES: models.Array = RNG.uniform(-1, 1, (12, 28, 28, 1)).astype("float32")
ROWS = np.arange(60)
STUMP = DecisionTreeClassifier(max_depth=1, random_state=0)
FOUND: dict[str, Any] = {
    "tf": tf, "keras": keras, "np": np, "models": models, "expit": expit, "minimize": minimize,
    "SEED": 0, "Tree": DecisionTreeClassifier,
    "LogisticRegression": LogisticRegression, "z_home": X, "y": Y, "w0": np.ones(5), "b0": 0.5,
    "book": SimpleNamespace(rng=lambda name: np.random.default_rng([*name.encode()])),
}  # fmt: skip


@cache
def lesson() -> dict[str, Any]:
    """The functions of the lesson, by name."""
    nb = nbformat.read(ROOT / "notebooks" / "06_generalising.ipynb", as_version=4)
    body = [s for cell in code_cells(nb) for s in syntax(cell).body]
    names = dict(FOUND)
    functions: list[ast.stmt] = [s for s in body if isinstance(s, ast.FunctionDef)]
    exec(compile(ast.Module(functions, []), "lesson 06", "exec"), names)
    return names


# --- augmentation ---------------------------------------------------------------------------------


def test_two_epochs_differ_and_one_epoch_comes_again() -> None:
    for name in ("moved", "any_exposure"):
        first, again, other = (lesson()[name](IMAGES, [0, k]).numpy() for k in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert first.shape == IMAGES.shape
        assert (np.abs(first - other).max(axis=(1, 2, 3)) > 0.01).all()


def test_nothing_moves_where_chance_says_nothing() -> None:
    still = SimpleNamespace(stateless_uniform=lambda shape, *_: tf.zeros(shape))
    quiet = SimpleNamespace(**{**vars(tf), "random": still})
    moved = FunctionType(lesson()["moved"].__code__, {**lesson(), "tf": quiet})
    np.testing.assert_allclose(moved(IMAGES, [0, 0]), IMAGES, atol=1e-5)


def test_the_mean_loss_of_changed_copies_is_that_of_the_formula() -> None:
    net, truth = models.image_network((28, 28, 1)), np.arange(12) % 2
    copies = [lesson()["moved"](IMAGES, [0, m]).numpy() for m in range(3)]

    def each(z: models.Array) -> models.Array:
        return np.logaddexp(0, (1 - 2 * truth) * models.outputs(net, z)[:, 0])

    formula = each(IMAGES).sum() / 12 + sum(each(z).sum() for z in copies) / (12 * 3)
    whole = np.concatenate(copies)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    keras_says = [
        float(loss(t[:, None], models.outputs(net, z)))
        for t, z in ((truth, IMAGES), (np.tile(truth, 3), whole))
    ]
    assert formula == pytest.approx(sum(keras_says), rel=1e-4)


# --- penalties ------------------------------------------------------------------------------------


def test_l2_sp_is_at_a_minimum_and_goes_to_the_source() -> None:
    far = lesson()["l2_sp"](X, Y, 1e4)
    np.testing.assert_allclose(far[:-1], 1, atol=1e-2)
    fitted, about = lesson()["l2_sp"](X, Y, 0.3), 1e-4

    def loss(w: NDArray[np.floating]) -> float:
        margin = (2 * Y - 1) * (X @ w[:-1] + w[-1])
        return float(np.logaddexp(0, -margin).mean() + 0.15 * np.sum((w[:-1] - 1) ** 2))

    slope = [(loss(fitted + about * e) - loss(fitted - about * e)) / (2 * about) for e in np.eye(6)]
    np.testing.assert_allclose(slope, 0, atol=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_pulls_to_zero_satisfy_their_own_formulas(share: float) -> None:
    w = lesson()["to_zero"](share)(X, Y, 0.1)
    slope = X.T @ (expit(X @ w[:-1] + w[-1]) - Y) / len(Y)
    pull = 0.1 * (share * np.sign(w[:-1]) + (1 - share) * w[:-1])
    kept = w[:-1] != 0
    np.testing.assert_allclose((slope + pull)[kept], 0, atol=5e-3)
    assert (np.abs(slope[~kept]) <= 0.1 * share + 5e-3).all()  # too weak to leave zero


def test_an_adamw_step_is_that_of_the_formula_and_of_keras() -> None:
    step = lesson()["first_step"]
    assert step(keras.optimizers.Adam(0.1)) == pytest.approx([1.9, 1.9], abs=2e-3)
    assert step(keras.optimizers.Adam(0.1), pull=0.5) == pytest.approx([1.9, 1.9], abs=2e-3)
    decayed = step(keras.optimizers.AdamW(0.1, weight_decay=0.5))
    assert decayed == pytest.approx([2 - 0.1 - 0.1 * 0.5 * 2] * 2, abs=2e-3)


# --- ensembles ------------------------------------------------------------------------------------


def test_boosting_is_adaboost() -> None:
    theirs = AdaBoostClassifier(STUMP, n_estimators=8).fit(X[ROWS], Y[ROWS])
    mine = lesson()["boosted"](ROWS, 8)(X)
    score = theirs.decision_function(X)  # with weights that sum to 1
    np.testing.assert_allclose(mine / np.abs(mine).max(), score / np.abs(score).max(), atol=1e-6)


def test_bagging_is_a_mean_of_trees_and_one_tree_is_itself() -> None:
    one, many = (lesson()["bagged"](ROWS, k)(X) for k in (1, 40))
    again = np.random.default_rng([*b"bag 0"]).choice(ROWS, len(ROWS))
    tree = DecisionTreeClassifier(max_depth=4, random_state=0).fit(X[again], Y[again])
    np.testing.assert_allclose(one, tree.predict_proba(X)[:, 1])
    theirs = BaggingClassifier(DecisionTreeClassifier(max_depth=4), 40, random_state=0)
    score = theirs.fit(X[ROWS], Y[ROWS]).predict_proba(X)[:, 1]
    assert np.corrcoef(many, score)[0, 1] > 0.95


def test_an_ensemble_of_one_network_is_that_network() -> None:
    net = models.Model(models.image_network((28, 28, 1)), np.asarray)
    alone = models.Average([net]).probability(IMAGES)
    np.testing.assert_allclose(alone, net.probability(IMAGES))
