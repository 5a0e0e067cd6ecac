"""Does cross-attention of record and image help? It is held against simpler fusions.

Fields of the record look at four places of the image. All networks are given the same 256 numbers
of the image. In the table's part "reversed", half of the patients are ill, and what the image shows
means the opposite in lower lobes: there, no sum of two opinions can work. How long each network is
trained, and how strongly it is held, was chosen for each part on a draw that is not in the table.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

# First: it decides how TensorFlow starts.
from book.studies import fusion, fusion_ways

# isort: split
import keras
import numpy as np
import pandas as pd

from book.studies.study import ALL, PACKAGES, Only, Study, curve, halves, lung_window
from medxfer_utils import clinic, models, results
from medxfer_utils.cohorts import Cohort
from medxfer_utils.models import Array, Modalities, Model, Strategy, Training

BUDGETS, REPEATS, PATIENTS = (20, 50, 100, 200, 400), 8, {"pool": 400, "test": 1200}
PLACES, WIDTH, HEADS = 4, 8, 2
MEANINGS = ("clinic", "reversed")
NETWORKS = ("early", "early, hidden layer", "gated", "cross-attention")
# Updates, and strength of the ridge.
CHOSEN = {
    "clinic": ((400, 0.03), (400, 0.1), (100, 0.03), (100, 0.1)),
    "reversed": ((400, 0.03), (400, 0.03), (400, 0.01), (400, 0.01)),
}


def seen_by(number: int, x: Array, layer: str) -> Array:
    """What a layer of a stored network makes of images, as rows."""
    network = keras.models.load_model(results.FOLDER / "sources" / f"window_{number}.keras")
    return models.outputs(network, lung_window(x), layer).reshape(len(x), -1)


# --- does attention help? -------------------------------------------------------------------------


def inputs(kinds: Modalities) -> tuple[dict[str, Any], Any]:
    """Named inputs, and the mean of the image's places."""
    named = {n: keras.Input((len(c),), name=n) for n, c in kinds.columns.items()}
    places = keras.layers.Reshape((PLACES, -1), name="places")(named["image"])
    return named, (places, keras.layers.GlobalAveragePooling1D(name="mean")(places))


def side_by_side(kinds: Modalities, hidden: bool) -> keras.Model:
    """Branches side by side under a head; with a hidden layer, what one says may change another."""
    named, (_, mean) = inputs(kinds)
    each = [keras.layers.Dense(WIDTH, "relu", name="image_branch")(mean)]
    each.append(keras.layers.Dense(WIDTH, "relu", name="record_branch")(named["record"]))
    joined = keras.layers.Concatenate(name="all")(each)
    joined = keras.layers.Dense(WIDTH, "relu", name="hidden")(joined) if hidden else joined
    return keras.Model(named, keras.layers.Dense(1, name="head")(joined))


def gated(kinds: Modalities) -> keras.Model:
    """Branches weighed by a gate that looks at both."""
    named, (_, mean) = inputs(kinds)
    each = [keras.layers.Dense(WIDTH, "relu", name="image_branch")(mean)]
    each.append(keras.layers.Dense(WIDTH, "relu", name="record_branch")(named["record"]))
    joined = keras.layers.Concatenate(name="all")(each)
    gate = keras.layers.Dense(2, "softmax", name="gate")(joined)
    stack = keras.layers.Reshape((2, WIDTH), name="stack")(joined)
    mixed = keras.layers.Dot(1, name="mixed")([gate, stack])
    return keras.Model(named, keras.layers.Dense(1, name="head")(mixed))


def cross_attention(kinds: Modalities) -> keras.Model:
    """Each field of the record is a token that asks the places of the image."""
    named, (places, _) = inputs(kinds)
    fields = (len(kinds.columns["record"]), WIDTH)
    own = keras.layers.EinsumDense("bf,fd->bfd", fields, bias_axes="fd", name="fields")
    asking = own(named["record"])
    shown = keras.layers.Dense(WIDTH, name="shown")(places)
    told = keras.layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name="attention")(asking, shown)
    both = keras.layers.Add(name="both")([asking, told])
    mean = keras.layers.GlobalAveragePooling1D(name="all")(both)
    hidden = keras.layers.Dense(WIDTH, "relu", name="hidden")(mean)
    return keras.Model(named, keras.layers.Dense(1, name="head")(hidden))


def strategies(kinds: Modalities, meaning: str) -> dict[str, Strategy]:
    """By name."""
    names = ("image", "record")
    known: dict[str, Strategy] = {n: partial(fusion_ways.linear, kinds, [n]) for n in names}
    known |= {w.__name__: partial(w, kinds, names) for w in (fusion_ways.late, fusion_ways.stacked)}
    built = [side_by_side(kinds, hidden) for hidden in (False, True)]
    built += [gated(kinds), cross_attention(kinds)]
    each = zip(NETWORKS, built, CHOSEN[meaning], strict=True)
    return known | {name: partial(trained, net, kinds, *told) for name, net, told in each}


def trained(
    network: keras.Model, kinds: Modalities, steps: int, pull: float, labelled: Cohort, seed: int
) -> Model:
    """Train a network with named inputs on the table."""
    prepare = models.fit_scaler(labelled.x)
    start = Model(kinds.one_input(network), prepare).untrained(seed)
    training = Training(steps, 0.003, batch=None)
    return start.minimised(models.rows(labelled, prepare), training, seed, strength=pull)


def patients(repeat: int, meaning: str) -> tuple[tuple[Cohort, Cohort], Modalities]:
    """Those who may be labelled and those who are tested; four source networks take turns."""
    site = replace(fusion.SITE, prevalence=0.5) if meaning == MEANINGS[1] else fusion.SITE
    here = clinic.simulate(site, sum(PATIENTS.values()), seed=8400 + repeat)
    parts = {"image": pd.DataFrame(seen_by(repeat % 4, here.cohort.x, "pool_4")).add_prefix("p")}
    parts["record"] = here.record.astype(float)
    kinds = Modalities({name: tuple(map(str, part)) for name, part in parts.items()})
    turned = (meaning == MEANINGS[1]) & ~here.record["upper_lobe"].to_numpy(bool)
    y = np.where(turned, 1 - here.cohort.y, here.cohort.y)
    everybody = replace(here.cohort, x=kinds.table(parts), y=y)
    return halves(everybody, PATIENTS["pool"] / sum(PATIENTS.values()), repeat), kinds


def attended(meaning: str, repeat: int, only: Only = ALL) -> pd.DataFrame:
    """Every fusion at every budget, on one draw of patients."""
    pair, kinds = patients(repeat, meaning)
    table = curve(strategies(kinds, meaning), pair, BUDGETS, repeat, only)
    return table[["strategy", "n", "AUROC", "log loss", "rows"]]


FACTS = {"patients": PATIENTS, "budgets": list(BUDGETS), "places": PLACES, "width": WIDTH}
FACTS |= {"updates and ridge": CHOSEN}
JOBS = [{"meaning": meaning, "repeat": k} for meaning in MEANINGS for k in range(REPEATS)]
STUDIES = (Study("fusion_attention", JOBS, attended, ("strategy", "n"), PACKAGES, FACTS),)
