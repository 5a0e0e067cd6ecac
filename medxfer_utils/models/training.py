"""Small convolutional networks: one architecture, one training loop, and what may be kept frozen.

A network is never changed in place: `train` returns a new one, so no arm of a comparison can
inherit another's weights. Images are float arrays of shape (n, height, width, channels), already
scaled (see `imaging.window`); a binary network has one output, the log odds of the disease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from medxfer_utils import settle_tensorflow
from medxfer_utils.models.penalties import Penalty, Seen

settle_tensorflow()  # first: it decides how TensorFlow starts, and keeps the start quiet

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

Array = NDArray[np.floating]
Augmentation = Callable[[Any, Any], Any]

STARTS = {
    keras.layers.Conv2D: keras.initializers.HeNormal,
    keras.layers.Dense: keras.initializers.GlorotUniform,
}
FILTERS = (16, 32, 64)
BATCH = 256  # images at a time in inference
OPTIMISERS: dict[str, Callable[[float], keras.Optimizer]] = {
    "SGD": keras.optimizers.SGD,
    "momentum": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
    "Adam": keras.optimizers.Adam,
    # Some hundred steps at a rate near 0.001: the usual decay of 0.01 would move nothing.
    "AdamW": lambda rate: keras.optimizers.AdamW(rate, weight_decay=1.0),
}


def image_network(
    shape: tuple[int, int, int],
    outputs: int = 1,
    filters: Sequence[int] = FILTERS,
    seed: int = 0,
    groups: int = 0,
) -> keras.Model:
    """The image network of the course: blocks of convolution, batch norm, ReLU and pooling.

    Block k is made of the layers `conv_k`, `norm_k`, `relu_k` and `pool_k`; then follow the mean
    over all places (`features`) and one dense layer, the `head`.

    Parameters
    ----------
    shape : tuple of int
        Height, width and channels of an image.
    outputs : int
        1 for log odds of the disease; the number of classes otherwise.
    filters : sequence of int
        Filters of each block.
    seed : int
        Of the initial weights: He's normal distribution [1]_ for the convolutions, Glorot's for
        the head, biases zero.
    groups : int
        With 1 or more, group normalisation [2]_ in so many groups takes the place of batch norm:
        it has no memory of the patients it was trained on.

    References
    ----------
    .. [1] He et al. (2015), Delving deep into rectifiers. ICCV.
    .. [2] Wu and He (2018), Group normalization. ECCV.
    """
    network = keras.Sequential([keras.Input(shape, name="image")], name="image_network")
    for k, width in enumerate(filters, start=1):
        network.add(keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv_{k}"))
        if groups:
            network.add(keras.layers.GroupNormalization(groups, name=f"norm_{k}"))
        else:
            network.add(keras.layers.BatchNormalization(momentum=0.9, name=f"norm_{k}"))
        network.add(keras.layers.ReLU(name=f"relu_{k}"))
        network.add(keras.layers.MaxPooling2D(name=f"pool_{k}"))
    network.add(keras.layers.GlobalAveragePooling2D(name="features"))
    network.add(keras.layers.Dense(outputs, name="head"))
    return reinitialised(network, seed)


def reinitialised(network: keras.Model, seed: int) -> keras.Model:
    """The same architecture with fresh weights; the seed is not part of its configuration."""
    twin = keras.models.clone_model(network)
    for k, layer in enumerate(twin.layers):
        if start := STARTS.get(type(layer)):
            layer.kernel.assign(start(seed=len(twin.layers) * seed + k)(layer.kernel.shape))
    return twin


def blocks(network: keras.Model, first: int) -> tuple[str, ...]:
    """Names of the layers with weights in the `first` blocks, counted from the image.

    Raises
    ------
    ValueError
        If the network has fewer blocks.
    """
    there = sum(layer.name.startswith("conv_") for layer in network.layers)
    if not 0 <= first <= there:
        raise ValueError(f"Cannot freeze {first} blocks of a network that has {there}.")
    return tuple(f"{kind}_{k}" for k in range(1, first + 1) for kind in ("conv", "norm"))


def body(network: keras.Model) -> tuple[str, ...]:
    """Names of all layers with weights but the head."""
    return tuple(layer.name for layer in network.layers if layer.weights and layer.name != "head")


def with_body_of(source: keras.Model, target: keras.Model) -> keras.Model:
    """A copy of `target` whose body has the weights of `source`; the head stays the target's.

    The class counts of the two may differ, their bodies may not.

    Raises
    ------
    ValueError
        If a layer of the body is missing in the source, or has weights of another shape there.
    """
    twin = copied(target)
    for name in body(target):
        if name not in body(source):
            raise ValueError(f"The source has no layer {name!r}; its body is {body(source)}.")
        shapes = [[w.shape for w in net.get_layer(name).get_weights()] for net in (source, twin)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"Layer {name!r}: weights {shapes[0]} do not fit into {shapes[1]}.")
        twin.get_layer(name).set_weights(source.get_layer(name).get_weights())
    return twin


def copied(network: keras.Model) -> keras.Model:
    """A copy with weights of its own."""
    twin = keras.models.clone_model(network)
    twin.set_weights(network.get_weights())
    return twin


def outputs(network: keras.Model, x: Array, layer: str = "head") -> Array:
    """What a layer gives for images `x`, in inference mode, as float64.

    The `head` gives logits, `features` the vector of shape (n, filters) that the head sees.
    """
    weights, forward = network.get_weights(), _forward(network.to_json(), layer)
    parts = np.split(np.asarray(x, "float32"), range(BATCH, len(x), BATCH))
    return np.concatenate([forward(weights, tf.constant(p)).numpy() for p in parts]).astype(float)


@lru_cache(maxsize=64)
def _forward(architecture: str, layer: str) -> Callable[..., Any]:
    """Inference as a function of weights and images; `predict` traces anew for each network."""
    template = keras.models.model_from_json(architecture)
    part = keras.Model(template.inputs, template.get_layer(layer).output)

    def forward(weights: Any, images: Any) -> Any:
        for variable, value in zip(template.weights, weights, strict=True):
            variable.assign(value)
        return part(images, training=False)

    signature = [tf.TensorSpec(w.shape) for w in template.weights]
    return _compiled(forward, signature, tf.TensorSpec(template.inputs[0].shape))


def _compiled(function: Callable[..., Any], *signature: Any) -> Callable[..., Any]:
    """Compile now; TensorFlow takes many small compilations, counted at the call, for a mistake."""
    compiled = tf.function(function, input_signature=signature).get_concrete_function()
    return cast(Callable[..., Any], compiled)


@dataclass(frozen=True, eq=False)
class ImageModel:
    """A network together with how a raw image becomes its input.

    Parameters
    ----------
    network : keras.Model
        One output: the log odds of the disease.
    prepare : callable
        From raw images (n, height, width) to inputs (n, height, width, channels).
    """

    network: keras.Model
    prepare: Callable[[Array], Array]

    def logit(self, x: Array) -> Array:
        """Log odds of the disease, shape (n,), for raw images."""
        return outputs(self.network, self.prepare(x))[:, 0]

    def probability(self, x: Array) -> Array:
        """Probability of the disease, shape (n,), for raw images."""
        return cast(Array, expit(self.logit(x)))


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; two arms with the same recipe have the same budget.

    Parameters
    ----------
    steps : int
        Updates of the weights.
    rate : float
        Learning rate, at the start if it decays.
    batch : int
        Images an update. The images are shuffled and used up before any comes again.
    optimiser : {"Adam", "AdamW", "momentum", "SGD"}
        Keras's own, with its defaults; "momentum" is SGD with momentum 0.9, "AdamW" shrinks
        every weight by the rate itself at each step, beside the gradient.
    loss : {"cross-entropy", "Brier"}
        "Brier" is the mean squared difference of probability and label; for one output only.
    smoothing : float
        Share of each label that is spread evenly over the classes.
    cosine : bool
        Let the rate fall to zero along a half cosine.
    augment : callable, optional
        (images, seed) -> images, in TensorFlow, where the seed is a pair of integers that is new
        at each step; see `flips_and_turns`.
    """

    steps: int
    rate: float = 0.003
    batch: int = 32
    optimiser: str = "Adam"
    loss: Literal["cross-entropy", "Brier"] = "cross-entropy"
    smoothing: float = 0.0
    cosine: bool = False
    augment: Augmentation | None = None

    def __post_init__(self) -> None:
        if self.optimiser not in OPTIMISERS:
            raise ValueError(f"optimiser {self.optimiser!r}: choose one of {[*OPTIMISERS]}.")
        if self.loss not in ("cross-entropy", "Brier"):
            raise ValueError(f"loss {self.loss!r}: choose 'cross-entropy' or 'Brier'.")
        if self.steps < 0 or self.batch < 1 or self.rate <= 0 or not 0 <= self.smoothing < 1:
            raise ValueError(f"steps ≥ 0, batch ≥ 1, rate > 0, 0 ≤ smoothing < 1, got {self}.")


@dataclass(frozen=True, eq=False)
class Hold:
    """What holds a network while it is trained: a penalty, times a strength.

    Parameters
    ----------
    penalty : Penalty
        One of `medxfer_utils.models.penalties`.
    strength : float
        Its weight λ ≥ 0 beside the mean loss; 0 is plain fine-tuning.
    source : keras.Model, optional
        Of the same architecture: what it is held to. The network itself, as it stands before the
        first step, if not given.
    attention : sequence of ndarray
        For a penalty on maps, one vector for each of its layers, see `channel_attention`.
    """

    penalty: Penalty
    strength: float
    source: keras.Model | None = None
    attention: Sequence[Array] = ()

    def __post_init__(self) -> None:
        if self.strength < 0:
            raise ValueError(f"The strength of a hold must not be negative, got {self.strength}.")


def train(
    network: keras.Model,
    x: Array,
    y: NDArray[np.integer],
    recipe: Recipe,
    seed: int,
    frozen: Iterable[str] = (),
    pace: Mapping[str, float] | None = None,
    hold: Hold | None = None,
    order: NDArray[np.integer] | None = None,
) -> keras.Model:
    """Train a copy of a network on images from where it stands.

    Parameters
    ----------
    network : keras.Model
        Read, never changed.
    x : ndarray, shape (n, height, width, channels)
    y : ndarray of int, shape (n,)
        0 or 1 for a network with one output, else the class number.
    recipe : Recipe
    seed : int
        Of the order of the images and of the augmentation.
    frozen : iterable of str
        Layers that keep their weights. As everywhere in Keras, a frozen batch norm also runs in
        inference mode: it keeps its mean and variance.
    pace : mapping of str to float, optional
        Layers whose every update is multiplied by a number (discriminative learning rates).
    hold : Hold, optional
        A penalty that is added to the loss.
    order : ndarray of int, shape (steps, batch), optional
        Which images each step sees; by default all in random order, then all again.

    Returns
    -------
    keras.Model

    Raises
    ------
    ValueError
        If images and labels do not fit the network or each other, or a layer does not exist.
    """
    _check(network, x, y, recipe)
    pace, frozen = dict(pace or {}), tuple(sorted(frozen))
    if strange := {*pace, *frozen} - {layer.name for layer in network.layers}:
        raise ValueError(f"The network has no layers {sorted(strange)}.")
    # What decides which graph is compiled; the numbers are handed over at each call.
    penalty = hold.penalty if hold else None
    structure: Any = recipe.optimiser, recipe.loss, recipe.augment, penalty
    trainer, moving = _trainer(network.to_json(), frozen, *structure)
    if order is None:
        order = _order(len(x), recipe.steps, recipe.batch, seed)
    speeds = tf.constant([pace.get(layer, 1.0) for layer in moving], tf.float32)
    images, labels = tf.constant(x, tf.float32), tf.constant(y, tf.int32)
    strength = hold.strength if hold else 0.0
    told = tf.constant([recipe.rate, recipe.smoothing, recipe.cosine, strength], tf.float32)
    source = (hold.source if hold else None) or network
    attention = [tf.constant(a, tf.float32) for a in (hold.attention if hold else ())]
    trained = trainer(
        *(network.get_weights(), source.get_weights(), images, labels),
        *(tf.constant(order, tf.int32), speeds, told, attention, tf.constant(seed)),
    )
    twin = keras.models.clone_model(network)
    twin.set_weights([w.numpy() for w in trained])
    return twin


def gradually_unfrozen(
    network: keras.Model,
    x: Array,
    y: NDArray[np.integer],
    recipe: Recipe,
    seed: int,
) -> keras.Model:
    """Train the head, then block after block from the top as well [1]_, each for a share of steps.

    References
    ----------
    .. [1] Howard and Ruder (2018), Universal language model fine-tuning for text classification.
       ACL, doi:10.18653/v1/P18-1031.
    """
    there = len(body(network)) // 2
    shares = np.diff(np.linspace(0, recipe.steps, there + 2).astype(int))
    for stage, steps in enumerate(shares):
        part = replace(recipe, steps=int(steps))
        network = train(network, x, y, part, seed + stage, frozen=blocks(network, there - stage))
    return network


def with_statistics_of(network: keras.Model, x: Array, seed: int) -> keras.Model:
    """The same weights with batch-norm statistics of unlabelled images `x` (AdaBN [1]_).

    Images pass through in training mode in 60 random batches of 128; after that, less than 0.2 %
    of the old running mean and variance is left.

    References
    ----------
    .. [1] Li et al. (2018), Adaptive batch normalization for practical domain adaptation. Pattern
       Recognition, doi:10.1016/j.patcog.2018.03.005.
    """
    still = dict.fromkeys([*body(network), "head"], 0.0)
    look = Recipe(steps=60, batch=128)
    return train(network, x, np.zeros(len(x), int), look, seed, pace=still)


def flips_and_turns(images: Any, seed: Any) -> Any:
    """Mirror and turn each square image at random into one of its 8 exact positions.

    No pixel is interpolated, so noise and edges stay what they are. Right for a lesion in the
    middle of a patch; wrong wherever left and right, or up and down, mean something.
    """
    coins = tf.random.stateless_uniform([3, tf.shape(images)[0], 1, 1, 1], seed) < 0.5
    images = tf.where(coins[0], images[:, :, ::-1], images)
    images = tf.where(coins[1], images[:, ::-1], images)
    return tf.where(coins[2], tf.transpose(images, [0, 2, 1, 3]), images)


def flips_turns_and_contrast(images: Any, seed: Any) -> Any:
    """`flips_and_turns`, then each image's contrast inverted or not and scaled by 0.2 to 1.5.

    For images whose zero means "as bright as the surroundings". A network trained so cannot rest
    on lesions being bright, nor on how far they stand out.
    """
    images = flips_and_turns(images, seed)
    other = seed + tf.constant([0, 1 << 20])  # chance of its own, not that of the flips
    coins = tf.random.stateless_uniform([2, tf.shape(images)[0], 1, 1, 1], other)
    sign = tf.where(coins[0] < 0.5, 1.0, -1.0)
    return images * sign * tf.exp(np.log(0.2) + coins[1] * np.log(1.5 / 0.2))


def _check(network: keras.Model, x: Array, y: NDArray[np.integer], recipe: Recipe) -> None:
    shape, width = network.input_shape[1:], network.output_shape[-1]
    if x.shape[1:] != shape:
        raise ValueError(f"The network reads images {shape}, these are {x.shape[1:]}.")
    if len(x) != len(y) or not len(x):
        raise ValueError(f"{len(x)} images and {len(y)} labels: give one label for each image.")
    if not np.isfinite(x).all():
        raise ValueError("Some pixels are not finite; look for NaN before the images are scaled.")
    if not np.isin(y, np.arange(max(width, 2))).all():
        raise ValueError(f"Labels {np.unique(y)} do not fit a network with {width} outputs.")
    if recipe.loss == "Brier" and width != 1:
        raise ValueError(f"The Brier loss here needs one output, the network has {width}.")


def _order(n: int, steps: int, batch: int, seed: int) -> NDArray[np.int32]:
    """Which images each step sees, shape (steps, batch): all in random order, then all again."""
    rng = np.random.default_rng(seed)
    rounds = -(-steps * batch // n)
    queue = np.concatenate([rng.permutation(n) for _ in range(rounds)] or [np.arange(0)])
    return queue[: steps * batch].reshape(steps, batch).astype(np.int32)


def _loss(logits: Any, labels: Any, smoothing: Any, kind: str) -> Any:
    """Mean loss of a batch."""
    if logits.shape[-1] == 1:
        wanted = tf.cast(labels, tf.float32) * (1 - smoothing) + smoothing / 2
        if kind == "Brier":
            return tf.reduce_mean((tf.sigmoid(logits[:, 0]) - wanted) ** 2)
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(wanted, logits[:, 0]))
    classes = logits.shape[-1]
    wanted = tf.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(wanted, logits))


@lru_cache(maxsize=64)
def _trainer(
    architecture: str,
    frozen: tuple[str, ...],
    optimiser_name: str,
    loss: str,
    augment: Augmentation | None,
    penalty: Penalty | None,
) -> tuple[Callable[..., Any], list[str]]:
    """Training as a function from weights to weights, compiled once for each kind of fit.

    `keras.Model.fit` traces a new graph for every fit, and a comparison has hundreds of small
    ones. Each call first sets every weight and the optimiser's memory, so nothing passes from one
    fit to the next. Returned beside it: the layer of each moving weight, in the order in which
    their paces are given.
    """
    layers = penalty.layers if penalty else ()
    template, spy = _spied(architecture, layers)
    teacher, before_spy = _spied(architecture, layers)
    for name in frozen:
        template.get_layer(name).trainable = False
    owners = [layer.name for layer in template.layers for _ in layer.trainable_variables]
    moving = [v for layer in template.layers for v in layer.trainable_variables]
    if not moving:
        raise ValueError("Every layer is frozen: nothing is left to train.")
    places = [[v is m for v in template.weights].index(True) for m in moving]
    optimiser = OPTIMISERS[optimiser_name](0.0)
    optimiser.build(moving)
    start = [v.numpy() for v in optimiser.variables]

    def charge(penalty: Penalty, maps: Any, batch: Any, attention: Any) -> Any:
        anchors = [teacher.weights[k].value for k in places]
        before = tf.nest.flatten(before_spy(batch, training=False))[:-1] if attention else []
        return penalty(Seen([v.value for v in moving], anchors, maps, before, attention))

    def fit(
        weights: Any,
        source: Any,
        images: Any,
        labels: Any,
        order: Any,
        speeds: Any,
        told: Any,
        attention: Any,
        seed: Any,
    ) -> Any:
        state = [*template.weights, *teacher.weights, *optimiser.variables]
        for variable, value in zip(state, [*weights, *source, *start]):  # noqa: B905
            variable.assign(value)
        rate, smoothing, cosine, strength = tf.unstack(told)
        for step in tf.range(tf.shape(order)[0]):
            batch = tf.gather(images, order[step])
            if augment is not None:
                batch = augment(batch, tf.stack([seed, step]))
            with tf.GradientTape() as tape:
                *maps, logits = tf.nest.flatten(spy(batch, training=True))
                objective = _loss(logits, tf.gather(labels, order[step]), smoothing, loss)
                if penalty is not None:
                    objective += strength * charge(penalty, maps, batch, attention)
            gradients = tape.gradient(objective, [v.value for v in moving])
            done = tf.cast(step, tf.float32) / tf.cast(tf.shape(order)[0], tf.float32)
            fall = 1 - cosine * (1 - tf.cos(np.pi * done)) / 2
            optimiser.learning_rate.assign(rate * fall)
            before = [tf.identity(v.value) for v in moving]
            optimiser.apply(gradients)
            for k, (variable, old) in enumerate(zip(moving, before)):  # noqa: B905
                variable.assign(old + speeds[k] * (variable.value - old))
        return [tf.identity(v) for v in template.weights]

    image_spec = tf.TensorSpec(template.inputs[0].shape)
    weight_specs = [tf.TensorSpec(v.shape) for v in template.weights]
    shapes = [teacher.get_layer(name).output.shape for name in layers]
    compares = penalty is not None and penalty.compares
    attention_specs = [tf.TensorSpec([shape[-1]]) for shape in shapes] if compares else []
    integers = tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, None], tf.int32)
    numbers = tf.TensorSpec([len(moving)]), tf.TensorSpec([4]), attention_specs
    signature = weight_specs, weight_specs, image_spec, *integers, *numbers
    return _compiled(fit, *signature, tf.TensorSpec([], tf.int32)), owners


def _spied(architecture: str, layers: Iterable[str]) -> tuple[keras.Model, keras.Model]:
    """A network, and the same layers as a model that gives some layers' outputs before its own."""
    network = keras.models.model_from_json(architecture)
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
