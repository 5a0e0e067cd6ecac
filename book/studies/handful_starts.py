"""What few-shot strategies start from: a source, episodes, Reptile, nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

# First: it decides how TensorFlow starts.
from medxfer_utils import models

# isort: split
import keras
import numpy as np
import tensorflow as tf

from medxfer_utils.cohorts import Cohort, episode
from medxfer_utils.models import Training

Tasks = list[Cohort]
Exam = tuple[Any, Any]  # images and answers of a few patients
FILTERS = (16, 32, 64, 64)
SOURCE = Training(1500, 0.003, batch=64, cosine=True, augment=models.flips_and_turns)
MORE = replace(SOURCE, steps=500, rate=0.0003)
# Episodes and their rate, from the source and from nothing; steps of Reptile, and their rate.
EPISODES, ASKED, META, STEP = {"source": (500, 0.0003), "nothing": (1000, 0.003)}, 15, 500, 0.1


def network(shape: tuple[int, int, int], outputs: int, seed: int) -> keras.Model:
    """Convolutions of stride 2 without batch norm, which a handful of images would upset."""
    how = {"strides": 2, "padding": "same", "activation": "relu"}
    layers = [
        keras.layers.Conv2D(width, 3, name=f"conv_{k}", **how) for k, width in enumerate(FILTERS, 1)
    ]
    head = keras.layers.Dense(outputs, name="head")
    mean = keras.layers.GlobalAveragePooling2D(name="features")
    built = keras.Sequential([keras.Input(shape), *layers, mean, head])
    return models.reinitialised(built, seed)


def drawn(tasks: Tasks, shots: int, asked: int, steps: int, seed: int) -> Iterator[list[Any]]:
    """Episodes of random tasks, mirrored and turned: support and query, each images and answers."""
    rng = np.random.default_rng(seed)
    for k in range(steps):
        both = episode(tasks[rng.integers(len(tasks))], shots, rng, asked)
        turned = [models.flips_and_turns(tf.constant(c.x, tf.float32), [seed, 2 * k + j])
                  for j, c in enumerate(both)]  # fmt: skip
        yield [turned[0], both[0].y.astype("float32"), turned[1], both[1].y.astype("float32")]


def signature(shape: tuple[int, ...]) -> list[tf.TensorSpec]:
    """Of a set of images and their answers."""
    return [tf.TensorSpec([None, *shape]), tf.TensorSpec([None])]


def prototypical(start: keras.Model, tasks: Tasks, seed: int, name: str) -> keras.Model:
    """A network whose features make prototypes work, trained in episodes of five a class."""
    twin, (episodes, rate) = models.copied(start), EPISODES[name]
    backbone = keras.Model(twin.inputs, twin.get_layer("features").output)
    rate = keras.optimizers.schedules.CosineDecay(rate, episodes)
    optimiser, weights = keras.optimizers.Adam(rate), backbone.trainable_weights

    def one(x: Any, y: Any, asked: Any, truth: Any) -> None:
        with tf.GradientTape() as tape:
            z = backbone(tf.concat([x, asked], 0))
            logit = models.prototype_logit(z[: tf.shape(x)[0]], y, z[tf.shape(x)[0] :])
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(truth, logit))
        optimiser.apply(tape.gradient(loss, weights), weights)

    step = tf.function(one, input_signature=2 * signature(start.input_shape[1:]))
    for some in drawn(tasks, 5, ASKED, episodes, seed):
        step(*some)
    return twin


def swapped(exams: list[Exam], seed: int) -> list[Exam]:
    """Yes and no change places in every second task by chance: no answer holds for all tasks."""
    rng = np.random.default_rng(seed)
    return [(x, abs(y - rng.integers(2))) for x, y in exams]


def meta(start: keras.Model, exams: list[Exam]) -> keras.Model:
    """Reptile: five steps of plain gradient descent on each task, and half the way."""
    inner = models.copied(start)

    def five(x: Any, y: Any) -> None:
        for _ in range(5):
            with tf.GradientTape() as tape:
                each = tf.nn.sigmoid_cross_entropy_with_logits(y, inner(x)[:, 0])
                loss = tf.reduce_mean(each)
            slopes = tape.gradient(loss, inner.trainable_weights)
            for weight, slope in zip(inner.trainable_weights, slopes, strict=True):
                weight.assign_sub(STEP * slope)

    descend = tf.function(five, input_signature=signature(start.input_shape[1:]))

    def adapt(twin: keras.Model, task: Exam) -> None:
        inner.set_weights(twin.get_weights())
        descend(*task)
        twin.set_weights(inner.get_weights())

    return models.reptile(start, exams, adapt)


def starts(
    source: keras.Model, longer: keras.Model, tasks: Tasks, seed: int
) -> dict[str, keras.Model]:
    """What strategies start from; the source has learnt all its questions at once."""
    nothing = network(source.input_shape[1:], 1, seed)
    begin = models.with_backbone_of(source, nothing)
    exams = [(x, y) for x, y, *_ in drawn(tasks, 10, 1, META, seed)]  # ten patients a class
    return {
        "source": begin,
        "longer": models.with_backbone_of(longer, nothing),
        "episodes": prototypical(begin, tasks, seed, "source"),
        "episodes alone": prototypical(nothing, tasks, seed, "nothing"),
        "Reptile": meta(begin, exams),
        "Reptile, swapped": meta(begin, swapped(exams, seed)),
        "nothing": nothing,
    }
