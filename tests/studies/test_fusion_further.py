"""Appendix A6 rests on these: no order in the encoder, attention that hears all, nobody twice."""

from __future__ import annotations

import re
from typing import Any, cast

# First: it decides how TensorFlow starts.
from book.studies import fusion_attention, fusion_lesions, fusion_moved, fusion_text

# isort: split
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from medxfer_utils import clinic, models
from medxfer_utils.cohorts import Cohort
from medxfer_utils.models import Modalities

PARTS = {
    "image": pd.DataFrame(np.random.default_rng(0).normal(size=(30, 256))).add_prefix("p"),
    "record": pd.DataFrame(np.random.default_rng(1).normal(size=(30, 6))).add_prefix("r"),
}
KINDS = Modalities({name: tuple(map(str, part)) for name, part in PARTS.items()})
NETWORKS = {
    "early": fusion_attention.side_by_side(KINDS, hidden=False),
    "hidden": fusion_attention.side_by_side(KINDS, hidden=True),
    "gated": fusion_attention.gated(KINDS),
    "attention": fusion_attention.cross_attention(KINDS),
}


def test_the_encoder_reads_empty_foreign_and_long_texts_without_a_network() -> None:
    odd = ["", "Nódulo sólido en el lóbulo superior.", "右肺上叶结节", "word " * 10_000]
    lengths = np.linalg.norm(fusion_text.embedded(odd), axis=1)
    assert np.allclose(lengths, [0, 1, 1, 1])


def test_the_encoder_cannot_tell_what_a_no_belongs_to() -> None:
    pair = ["spiculation, no cavitation", "no spiculation, cavitation"]
    one, other = fusion_text.embedded(pair)
    assert np.allclose(one, other, atol=1e-6)
    assert not np.allclose(
        one, fusion_text.embedded(["no spiculation, no cavitation"])[0], atol=0.01
    )


def test_another_habit_says_the_same_in_other_words() -> None:
    written = clinic.simulate(clinic.Site(size=8), 200, seed=3).reports
    local = [*map(fusion_text.rewritten, written)]
    assert all("spiculation" not in text and "nodule" not in text for text in local)
    denied = [
        ("no spiculation" in a.lower()) == ("spicules: none" in b)
        for a, b in zip(written, local, strict=True)
    ]
    assert all(denied)
    assert not [text for text in local if re.search("malignan|benign|cancer|diagnos", text)]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_reaches_every_part_of_a_network_that_reads_the_table(name: str) -> None:
    network = KINDS.one_input(NETWORKS[name])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(network(tf.constant(KINDS.table(PARTS), tf.float32)) ** 2)
    moved = tape.gradient(loss, network.trainable_variables)
    # A key's offset adds the same to all places, so that it changes no weight of them.
    named = zip(network.trainable_variables, moved, strict=True)
    still = [v.path for v, g in named if g is None or not float(tf.reduce_max(tf.abs(g))) > 1e-12]
    assert all(re.search("attention/key/bias", path) for path in still)


@pytest.mark.parametrize(
    ("name", "sum_of_two"),
    [("early", True), ("hidden", False), ("gated", False), ("attention", False)],
)
def test_only_branches_without_a_layer_above_are_a_sum_of_two(name: str, sum_of_two: bool) -> None:
    network, x = KINDS.one_input(NETWORKS[name]), KINDS.table(PARTS)
    other = np.roll(x, 1, axis=0)
    crossed = [np.hstack([a[:, :256], b[:, 256:]]) for a in (x, other) for b in (x, other)]
    a, b, c, d = (models.outputs(network, rows) for rows in crossed)
    assert np.allclose(a - b - c + d, 0, atol=1e-5) is sum_of_two


def test_a_held_part_stays_at_its_source_as_long_as_labels_say_nothing() -> None:
    tables = {name: pd.DataFrame(np.zeros((8, 2))).add_prefix(name) for name in fusion_moved.OWN}
    kinds = Modalities({name: tuple(map(str, table)) for name, table in tables.items()})
    source = {name: np.array([1.0, -2.0]) for name in fusion_moved.OWN}
    cohort = Cohort("here", kinds.table(tables), np.arange(8) % 2, np.arange(8))
    nobody = cast(Any, None)  # no image network is asked
    here = fusion_moved.Moved(cohort, cohort, kinds, source, nobody)
    held, fresh = (fusion_moved.learnt(here, fusion_moved.OWN, h, cohort) for h in (True, False))
    assert np.allclose(held.theta[:-1], [1, -2] * 3)
    assert np.allclose(fresh.theta[:-1], 0)


def test_recall_counts_every_diagnosis_alike_and_no_group_is_cut() -> None:
    y, said = np.array([*"aaab"]), np.array([*"aaaa"])
    assert fusion_lesions.recall(y, said) == 0.5
    groups = np.repeat(np.arange(20).astype(str), 3)
    one, other = fusion_lesions.cut(groups, 0)
    assert len(one) + len(other) == 60
    assert not set(groups[one]) & set(groups[other])
