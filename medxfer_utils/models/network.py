"""The models of the course: one linear, one Keras network, behind the same few methods.

A model is a scaler and a function of the scaled features. The transfer strategies need only four
things of it: its parameters, an untrained twin, its loss minimised from where it stands, and the
same for its head alone. Models are never changed in place: each method returns a new one, so no
arm of a comparison can inherit another's weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.preprocessing import StandardScaler

from medxfer_utils import settle_tensorflow
from medxfer_utils.cohorts import Cohort

settle_tensorflow()  # first: it decides how TensorFlow starts, and keeps the start quiet

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

Array = NDArray[np.floating]


class Rows(NamedTuple):
    """Scaled features (n, d), labels (n,), weights (n,); the loss is the weighted sum over rows."""

    z: Array
    y: Array
    weight: Array

    def __add__(self, other: Rows) -> Rows:  # type: ignore[override]
        return Rows(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


def rows(cohort: Cohort, scaler: StandardScaler, total: float = 1.0) -> Rows:
    """A cohort as weighted rows; with `total` = 1 their weighted loss is the cohort's mean loss."""
    z = scaler.transform(cohort.x)
    return Rows(z, cohort.y.astype(float), np.full(len(cohort), total / len(cohort)))


def fit_scaler(x: Array) -> StandardScaler:
    """Mean and standard deviation of each column: the ruler with which a site is read."""
    return StandardScaler().fit(x)


def logistic_loss(theta: Array, data: Rows) -> tuple[float, Array]:
    """Weighted logistic loss of a linear model and its gradient.

    Parameters
    ----------
    theta : ndarray, shape (d + 1,)
        Coefficients of the scaled features, then the intercept.
    data : Rows
        Where to evaluate it.

    Returns
    -------
    loss : float
    gradient : ndarray, shape (d + 1,)
    """
    z1 = np.column_stack([data.z, np.ones(len(data.y))])
    logit = z1 @ theta
    loss = data.weight @ (np.logaddexp(0, logit) - data.y * logit)
    return float(loss), z1.T @ (data.weight * (expit(logit) - data.y))


def steepest_curvature(data: Rows) -> float:
    """Upper bound of the second derivative of `logistic_loss` in any direction, at any theta.

    It is the largest eigenvalue of ¼ · sum(weight · z zᵀ), since p(1 - p) ≤ ¼. With features read
    by a wrong ruler it is tens of times larger than with the right one.
    """
    z1 = np.column_stack([data.z, np.ones(len(data.y))])
    return float(np.linalg.eigvalsh(z1.T * data.weight @ z1)[-1]) / 4


@dataclass(frozen=True, eq=False)
class Model(ABC):
    """What every transfer strategy may rely on.

    Parameters
    ----------
    scaler : StandardScaler
        Applied to whatever the model is shown.
    source_scaler : StandardScaler
        The scaler of the patients on whom the model was trained. It differs from `scaler` only
        after `transfer.restandardised`.
    """

    scaler: StandardScaler
    source_scaler: StandardScaler

    def probability(self, x: Array) -> Array:
        """Probability of the disease, shape (n,), for raw (unscaled) features of shape (n, d)."""
        return cast(Array, expit(self.logit(x)))

    @abstractmethod
    def logit(self, x: Array) -> Array:
        """Log odds of the disease, shape (n,), for raw features of shape (n, d)."""

    @abstractmethod
    def fresh(self, scaler: StandardScaler, seed: int) -> Self:
        """An untrained model of the same kind, for features scaled by `scaler`."""

    @abstractmethod
    def with_new_head(self, seed: int) -> Self:
        """The same body under an untrained head."""

    @abstractmethod
    def ridge(self, n: int) -> float:
        """Strength of the pull towards zero when the model is trained on `n` patients alone."""

    @abstractmethod
    def minimised(
        self,
        data: Rows,
        anchor: Self | None = None,
        strength: float = 0.0,
        steps: int | None = None,
        head_only: bool = False,
    ) -> Self:
        """Train on `data`, from here: loss + strength / 2 * ||parameters - anchor's||².

        Parameters
        ----------
        data : Rows
            Weighted, scaled training patients.
        anchor : Model, optional
            Where the parameters are pulled to; zero if not given.
        strength : float
            λ ≥ 0 of the pull.
        steps : int, optional
            Gradient steps; the model's own default if not given.
        head_only : bool
            Move only the head, keep the body.
        """


@dataclass(frozen=True, eq=False)
class Linear(Model):
    """Logistic regression, written out so that it can be transferred.

    Its body is the direction `coef`; its head is the slope and intercept put on that one score.

    Parameters
    ----------
    theta : ndarray, shape (d + 1,)
        Coefficients of the scaled features, then the intercept.
    """

    theta: Array

    TOLERANCE = 1e-8  # of the gradient, at the minimum

    @classmethod
    def untrained(cls, x: Array) -> Linear:
        """All parameters zero, the scaler fitted on the training features `x`, shape (n, d)."""
        scaler = fit_scaler(x)
        return cls(scaler, scaler, np.zeros(x.shape[1] + 1))

    def logit(self, x: Array) -> Array:
        return cast(Array, self.scaler.transform(x) @ self.theta[:-1] + self.theta[-1])

    def fresh(self, scaler: StandardScaler, seed: int) -> Linear:
        return Linear(scaler, scaler, np.zeros_like(self.theta))

    def with_new_head(self, seed: int) -> Linear:
        return self  # the head is convex: where it starts makes no difference

    def ridge(self, n: int) -> float:
        return 1.0 / n  # C = 1, scikit-learn's default, in terms of the mean loss

    def minimised(
        self,
        data: Rows,
        anchor: Linear | None = None,
        strength: float = 0.0,
        steps: int | None = None,
        head_only: bool = False,
    ) -> Linear:
        if head_only:
            return self._head_minimised(data, strength)
        centre = np.zeros_like(self.theta) if anchor is None else anchor.theta

        def objective(theta: Array) -> tuple[float, Array]:
            loss, gradient = logistic_loss(theta, data)
            away = theta - centre
            return loss + float(strength / 2 * away @ away), gradient + strength * away

        if steps is None:  # the loss is convex: go to its minimum
            found = minimize(objective, self.theta, jac=True, tol=self.TOLERANCE)
            return replace(self, theta=found.x)
        theta = self.theta
        step = 1 / (steepest_curvature(data) + strength)  # the longest that cannot overshoot
        for _ in range(steps):
            theta = theta - step * objective(theta)[1]
        return replace(self, theta=theta)

    def _head_minimised(self, data: Rows, strength: float) -> Linear:
        score = data._replace(z=data.z @ self.theta[:-1, None])
        slope, intercept = (
            replace(self, theta=np.zeros(2)).minimised(score, strength=strength).theta
        )
        return replace(self, theta=np.append(slope * self.theta[:-1], intercept))


def tabular_network(features: int, seed: int) -> keras.Model:
    """The tabular network of the course, 64-32-1: two hidden layers (the body) and a logit (head).

    Parameters
    ----------
    features : int
        Number of input columns.
    seed : int
        Of the initial weights.
    """
    network = keras.Sequential(
        [
            keras.Input((features,), name="features"),
            keras.layers.Dense(64, activation="relu", name="body_1"),
            keras.layers.Dense(32, activation="relu", name="body_2"),
            keras.layers.Dense(1, name="head"),
        ],
        name="tabular",
    )
    for k, layer in enumerate(network.layers):
        start = keras.initializers.GlorotUniform(seed=len(network.layers) * seed + k)
        layer.kernel.assign(start(layer.kernel.shape))
    return network


@dataclass(frozen=True, eq=False)
class Network(Model):
    """A Keras network whose last layer, named "head", gives the logit of the disease.

    Parameters
    ----------
    network : keras.Model
        Input (n, d), output (n, 1). Read, never changed.
    """

    network: keras.Model

    STEPS = 300

    @classmethod
    def untrained(cls, x: Array, seed: int) -> Network:
        """A `tabular_network` with the scaler fitted on the training features `x`, (n, d)."""
        scaler = fit_scaler(x)
        return cls(scaler, scaler, tabular_network(x.shape[1], seed))

    def logit(self, x: Array) -> Array:
        z = self.scaler.transform(x).astype("float32")
        return np.asarray(self.network(z))[:, 0].astype(float)

    def fresh(self, scaler: StandardScaler, seed: int) -> Network:
        return Network(scaler, scaler, tabular_network(self.network.input_shape[1], seed))

    def with_new_head(self, seed: int) -> Network:
        fresh = self.fresh(self.scaler, seed).network.get_weights()
        head = len(self.network.get_layer("head").weights)
        twin = keras.models.clone_model(self.network)
        twin.set_weights([*self.network.get_weights()[:-head], *fresh[-head:]])
        return replace(self, network=twin)

    def ridge(self, n: int) -> float:
        return 0.0  # a network is held back by the number of its steps instead

    def minimised(
        self,
        data: Rows,
        anchor: Network | None = None,
        strength: float = 0.0,
        steps: int | None = None,
        head_only: bool = False,
    ) -> Network:
        weights = self.network.get_weights()
        centre = [0 * w for w in weights] if anchor is None else anchor.network.get_weights()
        train = _trainer(self.network.to_json(), head_only)
        tensors = Rows(*(tf.constant(a, tf.float32) for a in data))
        steps = self.STEPS if steps is None else steps
        pull = tf.constant(strength, tf.float32)
        trained = train(weights, centre, tensors, pull, tf.constant(steps))
        twin = keras.models.clone_model(self.network)
        twin.set_weights([w.numpy() for w in trained])
        return replace(self, network=twin)


def network_loss(network: keras.Model, data: Rows, centre: Any, strength: Any) -> Any:
    """What a network minimises: weighted logistic loss + strength / 2 * ||weights - centre||²."""
    logit = network(data.z, training=True)[:, 0]
    each = tf.nn.sigmoid_cross_entropy_with_logits(labels=data.y, logits=logit)
    away = [tf.reduce_sum((v - c) ** 2) for v, c in zip(network.weights, centre, strict=True)]
    return tf.reduce_sum(data.weight * each) + strength / 2 * tf.add_n(away)


@lru_cache
def _trainer(architecture: str, head_only: bool) -> Callable[..., Any]:
    """Full-batch Adam as a function from weights to weights, compiled once for each architecture.

    `keras.Model.fit` traces a new graph for every fit, and a learning curve has hundreds of small
    ones; this traces one. Each call first sets every weight and the optimiser's memory, so nothing
    passes from one fit to the next.
    """
    template = keras.models.model_from_json(architecture)
    moving = (template.get_layer("head") if head_only else template).trainable_variables
    adam = keras.optimizers.Adam(learning_rate=0.003)
    adam.build(moving)
    state, start = [*template.weights, *adam.variables], [v.numpy() for v in adam.variables]

    def train(weights: Any, centre: Any, data: Rows, strength: Any, steps: Any) -> Any:
        for variable, value in zip(state, [*weights, *start], strict=True):
            variable.assign(value)
        for _ in tf.range(steps):
            with tf.GradientTape() as tape:
                objective = network_loss(template, data, centre, strength)
            adam.apply(tape.gradient(objective, [v.value for v in moving]))
        return [tf.identity(v) for v in template.weights]

    weight_specs = [tf.TensorSpec(v.shape) for v in template.weights]
    row_specs = Rows(tf.TensorSpec(template.inputs[0].shape), *[tf.TensorSpec([None])] * 2)
    scalars = tf.TensorSpec([]), tf.TensorSpec([], tf.int32)
    signature = [weight_specs, weight_specs, row_specs, *scalars]
    return cast(Callable[..., Any], tf.function(train, input_signature=signature))
