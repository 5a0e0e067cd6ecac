"""Six diagnoses of the skin from photograph and record, and a source of another device.

The first table is of PAD-UFES-20, where a record is known: what photograph, record and both are
worth, and what the mere gaps of the record tell. The second starts from dermoscopic images
(HAM10000, 28 pixels) and goes to photographs of smartphones, reduced to the same size. Both are
scored by balanced accuracy, the mean of the recalls, and never share a patient or a lesion.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, cast

# First: it decides how TensorFlow starts.
from book.studies import fusion_skin

# isort: split
import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from book.studies.study import ALL, PACKAGES, Only, Study, chosen
from medxfer_utils import models
from medxfer_utils.models import Array, Training

Names = NDArray[Any]
DIVISIONS, DRAWS = 3, 300
GAPS = "all images, gaps of the record only"


def recall(y: Names, said: Names, weight: Array | None = None) -> float:
    """Balanced accuracy: the mean, over the diagnoses that are there, of the share found."""
    return float(balanced_accuracy_score(y, said, sample_weight=weight))


# --- six diagnoses --------------------------------------------------------------------------------


@cache
def parts() -> tuple[dict[str, Array], Names, Names]:
    """Features of the photographs, and the record, of those who have one; diagnosis, patient."""
    known = fusion_skin.table()["gender"].notna().to_numpy()
    rows = fusion_skin.table()[known]
    record = fusion_skin.encoded(rows).loc[:, lambda frame: frame.nunique() > 1]
    both = {"image": fusion_skin.seen()[known], "record": record.to_numpy()}
    return both, rows["diagnostic"].to_numpy(str), rows["patient_id"].to_numpy(str)


def log_odds(x: Array, widths: list[int], y: Names, who: Names, division: int) -> Array:
    """Log probability of each diagnosis, all counted alike, by models that never saw the patient.

    As in `fusion_ways.linear`, each kind of d columns is held back as a whole.
    """
    scale = np.repeat(np.array(widths) ** -0.5, widths)
    last = LogisticRegression(class_weight="balanced", max_iter=2000)
    held = FunctionTransformer(partial(np.multiply, scale))
    model = make_pipeline(StandardScaler(), held, last)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=division)
    cut = list(folds.split(x, y, who))
    return cast(Array, cross_val_predict(model, x, y, cv=cut, method="predict_log_proba"))


def named(scores: Array, y: Names) -> Names:
    """The diagnosis with the highest score."""
    return cast(Names, np.unique(y)[scores.argmax(axis=1)])


def one_division(division: int, only: Only = ALL) -> list[dict[str, Any]]:
    """Every strategy on one division of the patients, with the gain over the record alone."""
    x, y, who = parts()
    z = {n: log_odds(one, [one.shape[1]], y, who, division) for n, one in x.items()}
    widths = [one.shape[1] for one in x.values()]
    z["early"] = log_odds(np.hstack([*x.values()]), widths, y, who, division)
    z["late"] = z["image"] + z["record"]
    said = {name: named(scores, y) for name, scores in z.items()}
    codes, names = pd.factorize(who)
    rng = np.random.default_rng(division)
    many = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS)[:, codes]
    rows: list[dict[str, Any]] = []
    for name in chosen(only, "strategy", said):
        gain = [recall(y, said[name], n) - recall(y, said["record"], n) for n in many.astype(float)]
        low, high = np.quantile(gain, [0.025, 0.975])
        mean = recall(y, said[name]) - recall(y, said["record"])
        about = {"strategy": name, "balanced accuracy": recall(y, said[name])}
        rows.append(about | {"gain": mean, "low": low, "high": high})
    if chosen(only, "strategy", [GAPS]):
        everybody = fusion_skin.table()
        gaps = everybody[[*fusion_skin.NUMBERS, *fusion_skin.WORDS]].isna().to_numpy(float)
        kind, patient = (everybody[c].to_numpy(str) for c in ("diagnostic", "patient_id"))
        scores = log_odds(gaps, [gaps.shape[1]], kind, patient, division)
        rows.append({"strategy": GAPS, "balanced accuracy": recall(kind, named(scores, kind))})
    return rows


# --- from dermoscopy to photographs ---------------------------------------------------------------

# Five diagnoses that both have: actinic keratosis with squamous cell carcinoma, basal cell
# carcinoma, benign keratosis, melanoma, naevus.
DERMOSCOPY = {"akiec": 0, "bcc": 1, "bkl": 2, "mel": 3, "nv": 4}
SMARTPHONE = {"ACK": 0, "SCC": 0, "BCC": 1, "SEK": 2, "MEL": 3, "NEV": 4}
SIDE, BUDGETS, SEEDS = 28, (50, 200, 600), range(4)
LONG = Training(800, 0.003, 64, cosine=True, augment=models.flips_and_turns)
FINE = Training(200, 0.001, 32, augment=models.flips_and_turns)
SCRATCH = Training(200, 0.003, 32, augment=models.flips_and_turns)
TESTED = 0.4
HOME = "at home"
Images = tuple[Array, NDArray[np.int_], Names]


def untrained(seed: int) -> keras.Model:
    """The course's image network, for five diagnoses."""
    return models.image_network((SIDE, SIDE, 3), 5, (16, 32, 64, 64), seed)


@cache
def dermoscopy() -> Images:
    """Images from -1 to 1, diagnosis, lesion."""
    x, rows = fusion_skin.dermoscopy_archive()
    some = rows["dx"].isin([*DERMOSCOPY]).to_numpy()
    y = cast(NDArray[np.int_], rows["dx"][some].map(DERMOSCOPY).to_numpy())
    return x[some], y, np.asarray(rows["lesion_id"][some], str)


@cache
def smartphone() -> Images:
    """Images of the same size from -1 to 1, diagnosis, patient."""
    small = tf.image.resize(fusion_skin.photographs(), (SIDE, SIDE), method="area").numpy()
    rows = fusion_skin.table()
    y = cast(NDArray[np.int_], rows["diagnostic"].map(SMARTPHONE).to_numpy())
    return small.astype(float) / 127.5 - 1, y, np.asarray(rows["patient_id"], str)


def fitted(
    start: keras.Model, x: Array, y: NDArray[np.int_], training: Training, seed: int
) -> keras.Model:
    """Train a copy; every diagnosis that is there weighs the same."""
    counts = np.bincount(y, minlength=5)
    weight = len(y) / (np.count_nonzero(counts) * counts[y])
    return models.train(start, x, y, training, seed, weight=weight)


def cut(groups: Names, seed: int) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Rows to learn from, and rows of other patients or lesions to be tested on."""
    splits = GroupShuffleSplit(1, test_size=TESTED, random_state=seed)
    one, other = next(splits.split(groups, groups=groups))
    return one, other


@cache
def source(seed: int) -> tuple[keras.Model, float]:
    """A network of dermoscopy, and its balanced accuracy on other lesions."""
    x, y, lesion = dermoscopy()
    known, rest = cut(lesion, seed)
    network = fitted(untrained(seed), x[known], y[known], LONG, seed)
    return network, recall(y[rest], models.outputs(network, x[rest]).argmax(axis=1))


def linear(features: Array, y: NDArray[np.int_], rows: NDArray[np.int_]) -> NDArray[np.int_]:
    """What a logistic regression on some rows says of all of them."""
    last = LogisticRegression(C=1 / features.shape[1], class_weight="balanced", max_iter=2000)
    model = make_pipeline(StandardScaler(), last).fit(features[rows], y[rows])
    return cast(NDArray[np.int_], model.predict(features))


def ways(seed: int, pool: NDArray[np.int_]) -> dict[str, Callable[[NDArray[np.int_]], Names]]:
    """By name: what each says of every photograph, after it has seen some labelled rows."""
    (x, y, _), (start, _) = smartphone(), source(seed)

    def said(network: keras.Model) -> Names:
        return cast(Names, models.outputs(network, x).argmax(axis=1))

    def trained(network: keras.Model, training: Training, rows: NDArray[np.int_]) -> Names:
        return said(fitted(network, x[rows], y[rows], training, seed))

    colours = np.column_stack([x.mean(axis=(1, 2)), x.std(axis=(1, 2))])
    return {
        "as is": lambda rows: said(start),
        "re-standardised": lambda rows: said(models.with_statistics_of(start, x[pool], seed)),
        "frozen": lambda rows: linear(models.outputs(start, x, "features"), y, rows),
        "fine-tuned": lambda rows: trained(start, FINE, rows),
        "from scratch": lambda rows: trained(untrained(100 + seed), SCRATCH, rows),
        "colours": lambda rows: linear(colours, y, rows),
        "ImageNet, frozen": lambda rows: linear(fusion_skin.seen(), y, rows),
    }


def across(seed: int, only: Only = ALL) -> list[dict[str, Any]]:
    """Every strategy at every budget of patients, from one source, on one division of patients."""
    _, y, who = smartphone()
    pool, test = cut(who, 50 + seed)
    order = np.random.default_rng(seed).permutation(np.unique(who[pool]))
    rows, known = [], ways(seed, pool)
    for n in chosen(only, "n", BUDGETS):
        labelled = np.flatnonzero(np.isin(who, order[:n]))
        for name in chosen(only, "strategy", known):
            score = recall(y[test], known[name](labelled)[test])
            rows.append({"strategy": name, "n": n, "balanced accuracy": score})
    if chosen(only, "strategy", [HOME]):
        rows.append({"strategy": HOME, "n": 0, "balanced accuracy": source(seed)[1]})
    return rows


FACTS = {"divisions": DIVISIONS, "draws": DRAWS}
MOVED = {"side": SIDE, "budgets": list(BUDGETS), "steps": [LONG.steps, FINE.steps]}
STUDIES = (
    Study("fusion_diagnoses", [{"division": k} for k in range(DIVISIONS)], one_division,
          ("strategy",), PACKAGES, FACTS),
    Study("fusion_dermoscopy", [{"seed": k} for k in SEEDS], across, ("strategy", "n"), PACKAGES,
          MOVED),
)  # fmt: skip
