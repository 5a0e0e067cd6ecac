"""Six diagnoses of the skin from photographs, and the same model by sex and by skin type.

Appendix A4 draws these tables. Patients of PAD-UFES-20 whose record is known, so that sex and skin
type are: every prediction is made by a model that never saw the patient (five folds by patient).
Intervals draw patients anew, each with all of their photographs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

# First: it decides how TensorFlow starts.
from book.studies.first_transfer import mobilenet, weights

# isort: split
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from book.studies import fusion_skin
from book.studies.study import ALL, PACKAGES, Only, Study, chosen
from medxfer_utils import metrics
from medxfer_utils.data import sums_of

Array = NDArray[np.floating]
KINDS = ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK")
HEADS = ("softmax", "sigmoid")
COLOURS, FROZEN = "colours", "frozen"
SIZE, PENALTY, THRESHOLD, DRAWS, LABELS = 128, 0.01, 0.5, 1000, 20
DARK, PALE = "skin IV to VI", "skin I and II"
PAIRS = (("women", "men"), (DARK, PALE))


@cache
def photographs() -> tuple[NDArray[np.uint8], pd.DataFrame]:
    """The photographs whose patient has a record, and what it says."""
    known = fusion_skin.table()["fitspatrick"].notna().to_numpy()
    return fusion_skin.photographs()[known], fusion_skin.table()[known].set_index("img_id")


@cache
def features(strategy: str) -> Array:
    """What a linear model is shown: mean and spread of three colours, or MobileNet's features."""
    x = photographs()[0]
    if strategy == COLOURS:
        return np.column_stack([x.mean(axis=(1, 2)), x.std(axis=(1, 2))])
    network, ready = mobilenet(SIZE, weights()), fusion_skin.as_shown(x, SIZE, 12)
    return np.concatenate([np.asarray(network(part, training=False)) for part in ready])


def predicted(strategy: str, y: NDArray[Any], head: str = "softmax") -> Array:
    """Probabilities of each class, by models that never saw the patient."""
    last: Any = LogisticRegression(C=PENALTY, max_iter=2000)
    last = OneVsRestClassifier(last) if head == "sigmoid" else last
    model, x = make_pipeline(StandardScaler(), last), features(strategy)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=1)
    parts = list(folds.split(x, y, photographs()[1]["patient_id"]))
    return cast(Array, cross_val_predict(model, x, y, cv=parts, method="predict_proba"))


@cache
def times(draws: int) -> Array:
    """How often each photograph is in the sample: patients drawn anew, the first as they are."""
    patient, names = pd.factorize(photographs()[1]["patient_id"])
    rng = np.random.default_rng(1)
    many = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return np.vstack([np.ones(len(patient)), many[:, patient]])


def ended(values: Array) -> dict[str, float]:
    """Value and interval, from all as they are and the draws."""
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return {"value": values[0], "low": low, "high": high}


# --- six diagnoses --------------------------------------------------------------------------------


def one_head(head: str, only: Only = ALL) -> list[dict[str, Any]]:
    """For each diagnosis: what was said, the recall, and its AUROC against all others."""
    table = photographs()[1]
    kind = table["diagnostic"].to_numpy()
    p = predicted(FROZEN, kind, head)
    said, rows, n = np.array(KINDS)[p.argmax(axis=1)], [], times(DRAWS)
    for name in chosen(only, "true", KINDS):
        true = kind == name
        recall = ended(n @ (true & (said == name)) / (n @ true))
        row: dict[str, Any] = {"head": head, "true": name, "images": int(true.sum())}
        row |= {"patients": table["patient_id"][true].nunique()}
        row |= {"recall" if w == "value" else f"recall, {w}": v for w, v in recall.items()}
        row |= {"AUROC": metrics.auroc(true, p[:, KINDS.index(name)])}
        rows.append(row | {f"said {other}": int((said[true] == other).sum()) for other in KINDS})
    return rows


# --- groups ---------------------------------------------------------------------------------------


def groups() -> dict[str, NDArray[np.bool_]]:
    """Who belongs to which group."""
    table = photographs()[1]
    skin = table["fitspatrick"].to_numpy()
    women = table["gender"].to_numpy() == "FEMALE"
    members = {"all": skin > 0, "women": women, "men": ~women}
    members |= {PALE: skin <= 2, "skin III": skin == 3, DARK: skin >= 4}
    return {name: np.asarray(one) for name, one in members.items()}


def shares(p: Array, ill: NDArray[np.bool_]) -> Mapping[str, tuple[Any, Any]]:
    """Each measure as a sum over photographs, divided by another sum."""
    call, one = p >= THRESHOLD, np.ones(len(p))
    worth = np.where(ill, 1, -THRESHOLD / (1 - THRESHOLD))
    return {
        "prevalence": (ill, one),
        "sensitivity": (call & ill, ill),
        "false alarms": (call & ~ill, ~ill),
        "observed minus predicted": (ill - p, one),
        "net benefit": (call * worth, one),
        "net benefit, all": (worth, one),
    }


def constant(z: Array, ill: NDArray[np.bool_]) -> float:
    """What to add to the log odds, with the weak penalty of lesson 09."""

    def loss(a: float) -> float:
        return float(np.sum(np.logaddexp(0, z + a) - ill * (z + a)) + a**2 / 8)

    return float(minimize_scalar(loss).x)


def after_labels(p: Array, ill: NDArray[np.bool_], members: NDArray[np.bool_]) -> dict[str, float]:
    """What a constant from twenty patients of a group saves of its log loss on the others."""
    patient, z, saved = photographs()[1]["patient_id"].to_numpy(), logit(p), []
    for k in range(DRAWS // 5):
        some = np.random.default_rng(k + 1).permutation(np.unique(patient[members]))[:LABELS]
        few = members & np.isin(patient, some)
        rest = members & ~few
        moved = expit(z[rest] + constant(z[few], ill[few]))
        saved.append(metrics.log_loss(ill[rest], p[rest]) - metrics.log_loss(ill[rest], moved))
    return ended(np.array([np.mean(saved), *saved]))


def one_strategy(strategy: str, only: Only = ALL) -> list[dict[str, Any]]:
    """Every measure of every group, and of two pairs of groups the difference."""
    table, n = photographs()[1], times(DRAWS)
    rows: list[dict[str, Any]] = []
    ill = table["malignant"].to_numpy() == 1
    p = predicted(strategy, ill)[:, 1]
    members = groups()
    for measure, (top, bottom) in shares(p, ill).items():
        found = {g: (n @ (top * m)) / (n @ (bottom * m)) for g, m in members.items()}
        found |= {f"{a} minus {b}": found[a] - found[b] for a, b in PAIRS}
        rows += [{"measure": measure, "group": g, **ended(v)} for g, v in found.items()]
    saved = after_labels(p, ill, members[DARK])
    rows.append({"measure": "log loss saved by twenty patients", "group": DARK, **saved})
    for row in rows:
        m = members.get(row["group"], np.ones(len(ill), dtype=bool))
        row |= {
            "images": m.sum(),
            "patients": table["patient_id"][m].nunique(),
            "ill": ill[m].sum(),
        }
    measures = {row["measure"] for row in rows}
    return [row for row in rows if row["measure"] in chosen(only, "measure", measures)]


def sums() -> dict[str, Any]:
    """What the files were."""
    return {"files": {n: sums_of(fusion_skin.file(n))[1] for n in fusion_skin.FILES}}


FACTS = {"size": SIZE, "penalty": PENALTY, "threshold": THRESHOLD, "draws": DRAWS}
HEADED, EACH = [{"head": head} for head in HEADS], [{"strategy": s} for s in (COLOURS, FROZEN)]
STUDIES = (
    Study("skin_diagnoses", HEADED, one_head, ("true",), PACKAGES, FACTS, sums),
    Study("skin_groups", EACH, one_strategy, ("measure", "group"), PACKAGES, FACTS, sums),
)
