"""Several kinds of data about one patient: what is put together, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

# First: it decides how TensorFlow starts.
from medxfer_utils import models

# isort: split
import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from medxfer_utils import clinic
from medxfer_utils.models import Average, Modalities, Model, Training

PARTS = {
    "image": pd.DataFrame(np.random.default_rng(0).normal(size=(40, 5))).add_prefix("i"),
    "record": pd.DataFrame(np.random.default_rng(1).normal(size=(40, 3)), columns=[*"abc"]),
    "report": pd.DataFrame(np.random.default_rng(2).normal(size=(40, 4))).add_prefix("w"),
}
KINDS = Modalities({name: tuple(map(str, part)) for name, part in PARTS.items()})
Y = (PARTS["record"]["a"] > 0).astype(int).to_numpy()
# Nobody may read the diagnosis in a report.
LABELS = "malignan|benign|cancer|carcinom|tumou?r|metasta|neoplas|diagnos"


def branches(kinds: Modalities) -> tuple[dict[str, Any], list[Any]]:
    named = {n: keras.Input((len(c),), name=n) for n, c in kinds.columns.items()}
    dense = keras.layers.Dense
    return named, [dense(4, "tanh", name=f"{n}_branch")(part) for n, part in named.items()]


def early(kinds: Modalities) -> keras.Model:
    named, each = branches(kinds)
    joined = keras.layers.Concatenate()(each) if len(each) > 1 else each[0]
    return keras.Model(named, keras.layers.Dense(1, name="head")(joined))


def gated(kinds: Modalities) -> keras.Model:
    named, each = branches(kinds)
    joined = keras.layers.Concatenate()(each)
    gate = keras.layers.Dense(len(each), "softmax", name="gate")(joined)
    mixed = keras.layers.Dot(1)([gate, keras.layers.Reshape((len(each), 4))(joined)])
    return keras.Model(named, keras.layers.Dense(1, name="head")(mixed))


Build = Callable[[Modalities], keras.Model]


@pytest.mark.parametrize("build", [early, gated])
def test_a_network_reads_the_table_as_it_read_its_named_inputs(build: Build) -> None:
    network = build(KINDS)
    named = network({name: part.to_numpy("float32") for name, part in PARTS.items()})
    told = models.outputs(KINDS.one_input(network), KINDS.table(PARTS))
    assert np.allclose(told, named, atol=1e-6)


@pytest.mark.parametrize("build", [early, gated])
def test_the_gradient_reaches_every_branch(build: Build) -> None:
    network = KINDS.one_input(build(KINDS))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(network(tf.constant(KINDS.table(PARTS), tf.float32)) ** 2)
    moved = tape.gradient(loss, network.trainable_variables)
    kernels = [g for g in moved if g is not None and len(g.shape) == 2]
    assert len(moved) == len(network.trainable_variables)
    assert all(float(tf.reduce_max(tf.abs(g))) > 0 for g in kernels)


def test_fusion_of_one_input_is_that_inputs_model() -> None:
    one = Modalities({"record": KINDS.columns["record"]})
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh")])
    plain.add(keras.layers.Dense(1, name="head"))
    fused = one.one_input(early(one))
    fused.set_weights(plain.get_weights())
    x, training = one.table({"record": PARTS["record"]}), Training(20, 0.01, batch=8)
    one_by_one, both = (models.train(net, x, Y, training, seed=3) for net in (plain, fused))
    assert np.allclose(models.outputs(one_by_one, x), models.outputs(both, x), atol=1e-5)


def test_late_fusion_of_equal_models_is_the_model() -> None:
    model = Model(KINDS.one_input(early(KINDS)), np.asarray)
    x = KINDS.table(PARTS)
    mean = Average([model] * 3, of="log odds")
    assert np.allclose(mean.logit(x), model.logit(x))
    prior = 0.7  # added, with the prior once: three that know nothing but it say no more than it
    same = Average([_Says(prior)] * 3, np.ones(3), "log odds", (1 - 3) * prior)
    assert np.allclose(same.logit(x), prior)


class _Says:
    def __init__(self, log_odds: float) -> None:
        self.log_odds = log_odds

    def logit(self, x: Any) -> Any:
        return np.full(len(x), self.log_odds)

    def probability(self, x: Any) -> Any:
        return 1 / (1 + np.exp(-self.logit(x)))


def test_columns_in_another_order_are_put_right_and_picked_by_their_names() -> None:
    x = KINDS.table(PARTS)
    turned = {name: part[part.columns[::-1]] for name, part in reversed(PARTS.items())}
    assert np.array_equal(KINDS.table(turned), x)
    assert np.array_equal(KINDS.of("record").transform(x), PARTS["record"])
    assert np.array_equal(KINDS.of("report", "image").transform(x)[:, :4], PARTS["report"])


WRONG = {
    "without a kind": ({"image": PARTS["image"]}, r"lacks \['record', 'report'\]"),
    "an unknown kind": (PARTS | {"gene": PARTS["image"]}, r"brings \['gene'\]"),
    "without a column": (PARTS | {"record": PARTS["record"][["a", "b"]]}, r"record lacks \['c'\]"),
    "another's rows": (PARTS | {"record": PARTS["record"][::-1]}, "the same patients"),
    "fewer rows": (PARTS | {"report": PARTS["report"][:9]}, "the same patients"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_belong_together_is_refused_in_words(wrong: str) -> None:
    parts, said = WRONG[wrong]
    with pytest.raises(ValueError, match=said):
        KINDS.table(parts)


def test_an_unknown_kind_or_a_network_of_other_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"brings \['gene'\]"):
        KINDS.of("gene")
    other = Modalities({**KINDS.columns, "report": ("w0",)})
    with pytest.raises(ValueError, match="the table has"):
        other.one_input(early(KINDS))


def test_a_row_without_its_record_is_refused_where_nothing_fills_it() -> None:
    x = KINDS.table(PARTS)
    x[3, KINDS.places("record")] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        models.train(KINDS.one_input(early(KINDS)), x, Y, Training(1), seed=0)


@pytest.mark.parametrize("organ", ["lung", "liver"])
def test_no_report_holds_a_word_for_the_diagnosis(organ: str) -> None:
    written = clinic.simulate(clinic.Site(organ=organ, size=8), 400, seed=5).reports
    assert [text for text in written if re.search(LABELS, text.lower())] == []


VECTORISERS = [TfidfVectorizer(ngram_range=(1, 2)), HashingVectorizer(n_features=64)]
ODD = [
    "",
    "Nódulo sólido en el lóbulo superior, sin espiculación.",
    "右肺上叶结节",
    "word " * 10_000,
]


@pytest.mark.parametrize("way", VECTORISERS, ids=["TF-IDF", "hashing"])
def test_empty_foreign_and_long_reports_get_a_finite_risk(way: Any) -> None:
    seen = clinic.simulate(clinic.Site(size=8), 100, seed=6)
    reader = make_pipeline(way, LogisticRegression()).fit(seen.reports, seen.cohort.y)
    assert np.isfinite(reader.decision_function(ODD)).all()


def test_single_words_cannot_tell_what_a_no_belongs_to_and_pairs_can() -> None:
    pair = ["Spiculation, no cavitation.", "No spiculation, cavitation."]
    single, pairs = (TfidfVectorizer(ngram_range=(1, n)).fit(pair) for n in (1, 2))
    assert np.array_equal(*single.transform(pair).toarray())
    assert not np.array_equal(*pairs.transform(pair).toarray())
