"""The one trainer of networks: in batches or on the whole set, for tables and images alike.

A network is never changed in place: `train` returns a new one. Training is a function from weights
to weights that is compiled once for each kind of fit (`keras.Model.fit` traces a new graph for
every fit, and a comparison has hundreds of small ones). Each call first sets every weight, the
optimiser's memory and the chance of dropout, so nothing passes from one fit to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from medxfer_utils import require, settle_tensorflow
from medxfer_utils.models.architectures import chance, every_layer, places, settle, thaw
from medxfer_utils.models.base import Array, Augmentation, Labels, Training
from medxfer_utils.models.penalties import Penalty, Seen

settle_tensorflow()  # first: it decides how TensorFlow starts

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

BATCH = 256  # rows at a time in inference
SCALING = keras.layers.Rescaling, keras.layers.Normalization
KIND: dict[str, Any] = {"squares": np.float32}  # of the labels; they are integers otherwise
MAKERS: dict[str, Callable[[float], keras.Optimizer]] = {
    "SGD": keras.optimizers.SGD,
    "momentum": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
    "Adam": keras.optimizers.Adam,
    # Some hundred steps at a rate near 0.001: the usual decay of 0.01 would move nothing.
    "AdamW": lambda rate: keras.optimizers.AdamW(rate, weight_decay=1.0),
}


@dataclass(frozen=True, eq=False)
class Penalised:
    """A penalty, times a strength: what is added to the loss while a network is trained.

    What it holds is held to the network as it stands before the first step. Taught in lesson 08.

    Parameters
    ----------
    penalty : Penalty
        One of `medxfer_utils.models.penalties`.
    strength : float
        Its weight λ ≥ 0 beside the mean loss; 0 is plain fine-tuning.
    attention : sequence of ndarray
        For a penalty on maps, one vector for each of its layers, see `channel_attention`.
    """

    penalty: Penalty
    strength: float
    attention: Sequence[Array] = ()

    def __post_init__(self) -> None:
        require(self.strength >= 0, f"Strength must not be negative, got {self.strength}.")


def train(
    network: keras.Model,
    x: Array,
    y: Labels | Array,
    training: Training,
    seed: int,
    frozen: Iterable[str] = (),
    multipliers: Mapping[str, float] | None = None,
    penalty: Penalised | None = None,
    order: NDArray[np.integer] | None = None,
    weight: Array | None = None,
    only: Sequence[keras.Variable] = (),
) -> keras.Model:
    """Train a copy of a network from where it stands. Taught in lesson 05.

    Parameters
    ----------
    network : keras.Model
        Read, never changed.
    x : ndarray, shape (n, ...)
        What the network is fed: scaled features, prepared images.
    y : ndarray, shape (n,)
        0 or 1 for a network with one output, else the class number; for the loss "squares" numbers
        of shape (n, outputs), NaN where unknown.
    training : Training
    seed : int
        Of the order of the rows, of the augmentation, and of layers that draw, as dropout does.
    frozen : iterable of str
        Layers that keep their weights, those of a network within it too. As everywhere in Keras, a
        frozen batch norm also runs in inference mode: it keeps its mean and variance.
    multipliers : mapping of str to float, optional
        Layers whose every update is multiplied by a number (discriminative learning rates).
    penalty : Penalised, optional
        What is added to the loss.
    order : ndarray of int, shape (steps, batch), optional
        Which rows each step sees; by default all in random order, then all again.
    weight : ndarray, shape (n,), optional
        How much each row counts in the mean over a batch; 1 if not given.
    only : sequence of keras.Variable
        Weights of the network that alone move, such as its biases. Its layers then run in inference
        mode: norms keep their mean and variance. None named: all that is not frozen moves.

    Returns
    -------
    keras.Model

    Raises
    ------
    ValueError
        If rows and labels do not fit the network or each other, a row holds NaN or raw pixels, the
        head has an activation, a layer does not exist or computes in another precision than
        float32, or all are frozen.
    """
    multipliers, frozen = dict(multipliers or {}), tuple(sorted(frozen))
    _require_fit(network, x, y, training, {*multipliers, *frozen})
    kinds = training.optimiser, training.loss, training.augment, getattr(penalty, "penalty", None)
    fit, owners = _compiled_fit(Graph(network.to_json(), frozen, *kinds, places(network, only)))
    order = in_turn(len(x), training, seed) if order is None else order
    strength, attention = (penalty.strength, penalty.attention) if penalty else (0.0, ())
    told = [training.rate, training.smoothing, training.cosine, strength]
    # The innermost layer that is named decides.
    slower = [next((multipliers[n] for n in names if n in multipliers), 1.0) for names in owners]
    trained = fit(
        *(network.get_weights(), tf.constant(x, tf.float32)),
        tf.constant(np.asarray(y, KIND.get(training.loss, np.int32))),
        tf.constant(np.ones(len(x)) if weight is None else weight, tf.float32),
        *(tf.constant(order, tf.int32), *(tf.constant(n, tf.float32) for n in (slower, told))),
        *([tf.constant(a, tf.float32) for a in attention], tf.constant(seed)),
    )
    return with_weights(network, [w.numpy() for w in trained])


def with_statistics_of(network: keras.Model, x: Array, seed: int) -> keras.Model:
    """The same weights with batch-norm statistics of unlabelled inputs `x` (AdaBN [1]_).

    They pass through in training mode in 60 random batches of 128; after that, less than 0.2 % of
    the old running mean and variance is left. Taught in lesson 05.

    References
    ----------
    .. [1] Li et al. (2018), Adaptive batch normalization for practical domain adaptation. Pattern
       Recognition, doi:10.1016/j.patcog.2018.03.005.
    """
    training = Training(steps=60, batch=128)
    _require_fit(network, x, np.zeros(len(x), int), training, set())
    twin = copied(network)
    thaw(twin)  # a frozen batch norm would keep its statistics
    for batch in in_turn(len(x), training, seed):
        twin(tf.constant(x[batch], tf.float32), training=True)
    return with_weights(network, twin.get_weights())


def with_weights(network: keras.Model, weights: Sequence[Array]) -> keras.Model:
    """The same architecture with these weights, and what its layers hold beside them."""
    twin = keras.models.clone_model(network)
    twin.set_weights(weights)
    settle(twin)
    for mine, its in zip(chance(twin), chance(network), strict=True):
        mine.assign(its)
    return twin


def copied(network: keras.Model) -> keras.Model:
    """A copy with weights of its own."""
    return with_weights(network, network.get_weights())


def in_turn(n: int, training: Training, seed: int) -> NDArray[np.int32]:
    """Which rows each step sees, shape (steps, batch): all in random order, then all again."""
    steps, batch = training.steps, training.batch
    if batch is None:  # the whole set
        return np.tile(np.arange(n, dtype=np.int32), (steps, 1))
    rng = np.random.default_rng(seed)
    rounds = -(-steps * batch // n)
    queue = np.concatenate([rng.permutation(n) for _ in range(rounds)] or [np.arange(0)])
    return queue[: steps * batch].reshape(steps, batch).astype(np.int32)


def _require_fit(
    network: keras.Model, x: Array, y: Labels | Array, training: Training, named: set[str]
) -> None:
    """Raise ValueError unless rows, labels and names of layers fit the network and each other."""
    _require_readable(network, x)
    layers = every_layer(network)
    strange = sorted(named - {layer.name for layer in layers})
    require(not strange, f"The network has no layers {strange}.")
    odd = {layer.compute_dtype for layer in layers} & {"float16", "bfloat16", "float64"}
    require(not odd, f"Layers compute in {sorted(odd)}: build the network in float32 to train it.")
    width, squares = network.output_shape[-1], training.loss == "squares"
    shape, wanted = np.shape(y), (len(x), width) if squares else (len(x),)
    one = f"{len(x)} rows and labels of shape {shape}: give one label for each row, shape {wanted}"
    require(len(x) and shape == wanted, f"{one}; of a column of labels y[:, 0].")
    require(np.isfinite(x).all(), "Some inputs are not finite; look for NaN before scaling them.")
    known = squares or np.isin(y, np.arange(max(width, 2))).all()
    require(known, f"Labels {np.unique(y)} do not fit a network with {width} outputs.")
    if not squares:
        require_logit(network)
    alone = training.loss != "Brier" or width == 1
    require(alone, f"The Brier loss here needs one output, the network has {width}.")


def require_logit(network: keras.Model) -> None:
    """Raise ValueError if a network ends in an activation, such as a sigmoid."""
    end = network.layers[-1]
    while isinstance(end, keras.Model):
        end = end.layers[-1]
    free = getattr(end, "activation", keras.activations.linear) is keras.activations.linear
    free = free and not isinstance(end, keras.layers.Softmax)
    require(free, "The last layer must give log odds: leave its activation out.")


def _require_readable(network: keras.Model, x: Array) -> None:
    """Raise ValueError unless a network can read rows of this shape, type and range."""
    built = getattr(network, "inputs", None) or ()
    require(len(built) == 1, "Build the network with one keras.Input.")
    wanted, shape = network.input_shape[1:], x.shape[1:]
    fits = len(wanted) == len(shape) and all(map(lambda n, m: n in (None, m), wanted, shape))
    require(fits, f"The network reads rows of shape {wanted}, these are {shape}.")
    low, high = (x.min(), x.max()) if x.size else (0, 0)
    # Images from 0 to 1 or about 0 are fine, and photographs without their mean are.
    raw = x.dtype.kind == "u" or (x.ndim > 3 and ((low >= 0 and high > 20) or high - low > 500))
    raw = raw and not any(isinstance(layer, SCALING) for layer in every_layer(network))
    require(
        not raw, f"Raw pixels ({x.dtype}, {low} to {high}): scale them first, see images.scaled."
    )


# --- one graph for each kind of fit ---------------------------------------------------------------


class Graph(NamedTuple):
    """What decides which graph is compiled; the numbers are handed over at each call."""

    architecture: str
    frozen: tuple[str, ...]
    optimiser: str
    loss: str
    augment: Augmentation | None
    penalty: Penalty | None
    only: tuple[int, ...] = ()


class _Parts:
    """The networks and the optimiser of a graph, and the weights that move."""

    def __init__(self, graph: Graph) -> None:
        layers = graph.penalty.layers if graph.penalty else ()
        self.template, self.spy = _spied(graph.architecture, layers)
        self.teacher, self.before = _spied(graph.architecture, layers)  # stays at the source
        every = every_layer(self.template)  # the outer before the inner
        for layer in every:
            if layer.name in graph.frozen:
                layer.trainable = False
        some = [self.template.weights[k] for k in graph.only]
        self.moving = some or self.template.trainable_variables
        require(self.moving, "Every layer is frozen: nothing is left to train.")
        inside = [(m.name, {*map(id, m.trainable_variables)}) for m in every[::-1]]
        self.owners = [[name for name, held in inside if id(v) in held] for v in self.moving]
        self.chance = chance(self.template)
        self.places = [[v is m for v in self.template.weights].index(True) for m in self.moving]
        self.optimiser = MAKERS[graph.optimiser](0.0)
        self.optimiser.build(self.moving)
        self.start = [v.numpy() for v in self.optimiser.variables]

    def values(self) -> list[Any]:
        return [v.value for v in self.moving]

    def restart(self, weights: Any, seed: Any) -> None:
        """Set every weight, the optimiser's memory, and the chance of layers that draw."""
        state = [*self.template.weights, *self.teacher.weights, *self.optimiser.variables]
        for variable, value in zip(state, [*weights, *weights, *self.start]):  # noqa: B905
            variable.assign(value)
        for k, variable in enumerate(self.chance):
            variable.assign(tf.cast(tf.stack([len(self.chance) * seed + k, 0]), tf.uint32))
        settle(self.template)
        settle(self.teacher)

    def charge(self, penalty: Penalty, maps: Any, batch: Any, attention: Any) -> Any:
        """What a penalty charges for a step."""
        anchors, before = [self.teacher.weights[k].value for k in self.places], []
        if penalty.compares:
            before = tf.nest.flatten(self.before(batch, training=False))[:-1]
        return penalty(Seen(self.values(), anchors, maps, before, attention))

    def step(self, gradients: Any, rate: Any, multipliers: Any) -> None:
        """One update, times each layer's multiplier."""
        self.optimiser.learning_rate.assign(rate)
        before = [tf.identity(value) for value in self.values()]
        self.optimiser.apply(gradients)
        for k, (variable, old) in enumerate(zip(self.moving, before)):  # noqa: B905
            variable.assign(old + multipliers[k] * (variable.value - old))


@lru_cache(maxsize=64)
def _compiled_fit(graph: Graph) -> tuple[Callable[..., Any], list[list[str]]]:
    """Training as a compiled function, and the layers of each moving weight."""
    parts = _Parts(graph)

    def objective(batch: Any, y: Any, weight: Any, told: Any, attention: Any) -> Any:
        *maps, logits = tf.nest.flatten(parts.spy(batch, training=not graph.only))
        loss = mean_loss(logits, y, told[1], graph.loss, weight)
        if graph.penalty is None:
            return loss
        return loss + told[3] * parts.charge(graph.penalty, maps, batch, attention)

    def fit(
        weights: Any, x: Any, y: Any, weight: Any, order: Any, multipliers: Any, told: Any,
        attention: Any, seed: Any,
    ) -> Any:  # fmt: skip
        parts.restart(weights, seed)
        told = tf.unstack(told)
        for step in tf.range(tf.shape(order)[0]):
            batch, labels = tf.gather(x, order[step]), tf.gather(y, order[step])
            counts = tf.gather(weight, order[step])
            if graph.augment is not None:
                batch = graph.augment(batch, tf.stack([seed, step]))
            with tf.GradientTape() as tape:
                loss = objective(batch, labels, counts, told, attention)
            gradients = tape.gradient(loss, parts.values())
            parts.step(gradients, _rate(step, order, told), multipliers)
        return [tf.identity(v) for v in parts.template.weights]

    return compiled(fit, *_signature(graph, parts)), parts.owners


def _rate(step: Any, order: Any, told: Any) -> Any:
    """Learning rate of a step, which may fall along a half cosine."""
    done = tf.cast(step, tf.float32) / tf.cast(tf.shape(order)[0], tf.float32)
    return told[0] * (1 - told[2] * (1 - tf.cos(np.pi * done)) / 2)


def _signature(graph: Graph, parts: _Parts) -> list[Any]:
    weights = [tf.TensorSpec(v.shape) for v in parts.template.weights]
    penalty = graph.penalty
    layers = penalty.layers if penalty and penalty.compares else ()
    maps = [tf.TensorSpec(parts.template.get_layer(n).output.shape[-1:]) for n in layers]
    wide = [None, None] if graph.loss == "squares" else [None]
    y = tf.TensorSpec(wide, KIND.get(graph.loss, np.int32))
    rows = tf.TensorSpec(parts.template.inputs[0].shape), y, tf.TensorSpec([None])
    told = tf.TensorSpec([len(parts.moving)]), tf.TensorSpec([4])
    order, seed = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([], tf.int32)
    return [weights, *rows, order, *told, maps, seed]


def mean_loss(logits: Any, labels: Any, smoothing: Any, kind: str, weight: Any = 1.0) -> Any:
    """Mean loss of a batch, each row times its weight."""
    if kind == "squares":
        known = tf.math.is_finite(labels)
        wrong = tf.where(known, logits - tf.where(known, labels, 0.0), 0.0)
        return tf.reduce_sum(wrong**2) / tf.reduce_sum(tf.cast(known, tf.float32))
    if logits.shape[-1] > 1:
        classes = logits.shape[-1]
        wanted = tf.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
        each = tf.nn.softmax_cross_entropy_with_logits(wanted, logits)
    else:
        wanted = tf.cast(labels, tf.float32) * (1 - smoothing) + smoothing / 2
        if kind == "Brier":
            each = (tf.sigmoid(logits[:, 0]) - wanted) ** 2
        else:
            each = tf.nn.sigmoid_cross_entropy_with_logits(wanted, logits[:, 0])
    return tf.reduce_mean(weight * each)


def _spied(architecture: str, layers: Sequence[str]) -> tuple[keras.Model, keras.Model]:
    """A network, and the same layers as a model that gives some layers' outputs before its own."""
    network = keras.models.model_from_json(architecture)
    if not layers:
        return network, network
    if not isinstance(network, keras.Sequential):
        outputs = {layer.name: layer.output for layer in network.layers}
        return network, keras.Model(network.inputs, [*map(outputs.get, layers), network.outputs[0]])
    # A Sequential model has called its layers once for each layer that was added, and their
    # `output` may be that of any call: batch norm would count a batch twice.
    h, outputs = keras.Input(network.input_shape[1:]), {}
    image = h
    for layer in network.layers:
        outputs[layer.name] = h = layer(h)
    return network, keras.Model(image, [*map(outputs.get, layers), h])


def compiled(function: Callable[..., Any], *signature: Any) -> Callable[..., Any]:
    """Compile now; TensorFlow takes many small compilations, counted at the call, for a mistake."""
    graph = tf.function(function, input_signature=signature).get_concrete_function()
    return cast(Callable[..., Any], graph)


# --- inference ------------------------------------------------------------------------------------


def outputs(network: keras.Model, x: Array, layer: str = "head") -> Array:
    """What a layer gives for `x`, in inference mode, as float64. Taught in lesson 05.

    The `head` gives logits, shape (n, outputs), `features` the vector that an image's head sees.
    """
    _require_readable(network, x)
    weights, forward = network.get_weights(), _forward(network.to_json(), layer)
    parts = np.split(np.asarray(x, "float32"), range(BATCH, len(x), BATCH))
    return np.concatenate([forward(weights, tf.constant(p)).numpy() for p in parts]).astype(float)


@lru_cache(maxsize=64)
def _forward(architecture: str, layer: str) -> Callable[..., Any]:
    """Inference as a function of weights and rows; `predict` traces anew for each network."""
    template = keras.models.model_from_json(architecture)
    part = keras.Model(template.inputs, template.get_layer(layer).output)

    def forward(weights: Any, rows: Any) -> Any:
        for variable, value in zip(template.weights, weights, strict=True):
            variable.assign(value)
        settle(template)
        return part(rows, training=False)

    signature = [tf.TensorSpec(w.shape) for w in template.weights]
    return compiled(forward, signature, tf.TensorSpec(template.inputs[0].shape))
