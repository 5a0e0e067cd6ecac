"""Net benefit, outcomes at a horizon, the two countries; and what lesson 13 writes out itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import check_grad
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, log_loss
from statsmodels.duration.survfunc import SurvfuncRight

from medxfer_utils import data, metrics
from medxfer_utils.data.breast import simulated_breast
from tests.chapters.test_taught import written_out
from tests.faults import untold

RNG = np.random.default_rng(13)
REAL = all(data.find_local(file.name, file.folder) for file in data.BREAST.values())
# Ten patients by hand: risk, ill or not.
P = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05])
Y = np.array([1, 1, 0, 1, 0, 0, 1, 0, 0, 0])
COLUMNS = ("age", "postmenopausal", "size", "grade 3", "nodes", "PGR", "ER")
GERMAN = "pid,age,meno,size,grade,nodes,pgr,er,hormon,rfstime,status\n1,50,0,21,3,2,5,0,0,900,1\n"


def cell(*names: str) -> dict[str, Any]:
    """What the lesson that has them, 13 or A4, binds to these names."""
    found: dict[str, Any] = {}
    exec(compile(written_out(list(names)), "lesson 13", "exec"), found)
    return found


# --- Net benefit


@pytest.mark.parametrize(
    ("threshold", "worth"),
    [
        (0.5, 3 / 10 - 2 / 10 * 1),  # five treated, three of them ill
        (0.2, 4 / 10 - 4 / 10 / 4),  # a patient with exactly the threshold is treated
        (0.75, 2 / 10),  # nobody in vain
        (0.95, 0),  # nobody treated
    ],
)
def test_net_benefit_is_that_of_a_table_made_by_hand(threshold: float, worth: float) -> None:
    assert metrics.net_benefit(Y, P, threshold) == pytest.approx(worth)
    assert cell("benefit")["benefit"](Y, P, np.ones(10), threshold) == pytest.approx(worth)


def test_net_benefit_is_that_of_a_confusion_matrix_with_weights() -> None:
    weight = RNG.uniform(0, 2, 10)
    tn, fp, fn, tp = confusion_matrix(Y, P >= 0.3, sample_weight=weight).ravel()
    wanted = (tp - fp * 0.3 / 0.7) / (tn + fp + fn + tp)
    assert metrics.net_benefit(Y, P, 0.3, weight) == pytest.approx(wanted)


def test_treating_all_at_the_prevalence_is_worth_nothing() -> None:
    assert metrics.net_benefit(Y, np.ones(10), Y.mean()) == pytest.approx(0)
    assert metrics.net_benefit(Y, Y, 0.37) == pytest.approx(Y.mean())  # an oracle's


def test_a_true_risk_is_worth_no_less_than_any_other_call() -> None:
    risk = RNG.uniform(size=200_000)
    ill = RNG.random(len(risk)) < risk
    right = [metrics.net_benefit(ill, risk, t) for t in (0.2, 0.5)]
    wrong = [metrics.net_benefit(ill, risk**k, t) for t in (0.2, 0.5) for k in (0.5, 2)]
    assert min(right[0] - max(wrong[:2]), right[1] - max(wrong[2:])) > 0


# --- Lost before the horizon


def followed(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Times in whole units, so that many are equal, and who had the event."""
    ill, lost = RNG.exponential(10, n), RNG.exponential(14, n)
    return np.ceil(np.minimum(ill, lost)), (ill <= lost).astype(int)


@pytest.mark.parametrize("horizon", [1, 4, 7.5, 12])
def test_weights_give_the_risk_of_kaplan_and_meier(horizon: float) -> None:
    time, event = followed()
    y, weight = metrics.known_by(time, event, horizon)
    curve = SurvfuncRight(time, event)
    alive = curve.surv_prob[curve.surv_times <= horizon][-1]
    assert np.average(y, weights=weight) == pytest.approx(1 - alive)
    assert weight.sum() == pytest.approx(len(time))
    assert ((weight == 0) == ((time < horizon) & (event == 0))).all()
    one = cell("still_followed")["still_followed"](time, event, horizon)
    assert weight[time >= horizon].max() == pytest.approx(1 / one)


def test_where_nobody_is_lost_everybody_counts_once() -> None:
    y, weight = metrics.known_by([3, 5, 9, 9], [1, 1, 0, 0], 6)
    assert y.tolist() == [1, 1, 0, 0]
    assert weight.tolist() == [1, 1, 1, 1]


def test_what_breaks_the_convention_is_told() -> None:
    nan, one = float("nan"), [1.0] * 10
    calls: dict[str, tuple[Callable[[], object], str]] = {
        "0": (lambda: metrics.net_benefit(Y, P, 0.0), "between 0 and 1, not 0.0"),
        "1": (lambda: metrics.net_benefit(Y, P, 1.0), "between 0 and 1, not 1.0"),
        "nan": (lambda: metrics.net_benefit(Y, P, nan), "between 0 and 1, not nan"),
        "odds": (lambda: metrics.net_benefit(Y, 10 * P, 0.2), r"outside \[0, 1\]"),
        "short": (lambda: metrics.net_benefit(Y, P, 0.2, one[:9]), "each of 10 patients"),
        "minus": (lambda: metrics.net_benefit(Y, P, 0.2, -P), "none below 0"),
        "late": (lambda: metrics.known_by(one, Y, 2), "nobody was followed longer than 1"),
        "before": (lambda: metrics.known_by(one, Y, 0), "horizon is 0"),
        "past": (lambda: metrics.known_by([-1.0, 2.0], [0, 1], 1), "below 0.*count from 0"),
        "codes": (lambda: metrics.known_by(one, Y + 1, 1), "labels other than 0 and 1"),
    }
    assert untold(calls, lambda _, call: call(), ValueError) == {}


# --- What the lesson writes out


def test_the_cut_off_keeps_its_promise_for_exchangeable_patients() -> None:
    cutoff = cell("cutoff")["cutoff"]
    assert cutoff(np.arange(1.0, 20), np.ones(19)) == 18  # the 18th of 19: 0.9 × 20
    assert cutoff(np.arange(1.0, 9), np.ones(8)) == np.inf  # eight cannot promise 90 %
    inside = []
    for _ in range(4000):
        score = RNG.normal(size=31)
        inside.append(score[-1] <= cutoff(score[:-1], np.ones(30)))
    assert 0.9 - 0.015 < np.mean(inside) < 0.9 + 1 / 31 + 0.015


def test_the_focal_loss_with_gamma_0_is_the_log_loss_and_its_gradient_is_right() -> None:
    names = cell("focal", "focal_fit")
    x, theta = RNG.normal(size=(50, 3)), RNG.normal(size=3)
    y = (RNG.random(50) < 0.4).astype(int)
    p = 1 / (1 + np.exp(-x @ theta))
    assert names["focal"](theta, x, y, 0.0)[0] / 50 == pytest.approx(log_loss(y, p))
    for gamma in (0.0, 0.5, 2.0):
        one = [lambda t, k=k, g=gamma: names["focal"](t, x, y, g)[k] for k in (0, 1)]
        assert check_grad(*one, theta) < 1e-4
    wanted = LogisticRegression(C=0.3, tol=1e-9, fit_intercept=False).fit(x, y).coef_[0]
    assert names["focal_fit"](x, y, 0.0, 0.3) == pytest.approx(wanted, abs=1e-4)


# --- Two countries


def test_a_table_is_read_as_it_is_written(tmp_path: Path) -> None:
    (path := tmp_path / "gbsg.csv").write_text(GERMAN)
    (row,) = data.read_breast(path, "Germany").itertuples()
    assert tuple(row) == ("Germany-0001", 50, 0, 1, 1, 2, 5, 0, 900, 1)
    wrong = {
        "no nodes": (GERMAN.replace("nodes", "knots"), "has no column nodes"),
        "age": (GERMAN.replace("1,50", "1,500"), "line 2: age is not a number from 15 to 110"),
        "grade": (GERMAN.replace(",3,", ",,"), "line 2: grade"),
        "status": (GERMAN.replace("900,1", "900,7"), "line 2: size, days or event"),
    }

    def read(name: str, text: str) -> object:
        path.write_text(text)
        return data.read_breast(path, name)

    assert untold(wrong, read, data.ContentError) == {}


@pytest.mark.parametrize("real", [False, *([True] if REAL else [])])
def test_both_countries_have_the_published_counts(real: bool) -> None:
    rng = np.random.default_rng(0)
    women = data.breast_recurrence("builtin", rng)[0] if real else simulated_breast(rng)
    assert {name: len(t) for name, t in women.items()} == {"Rotterdam": 2982, "Germany": 686}
    assert (women["Germany"]["nodes"] >= 1).all()
    assert (women["Rotterdam"]["nodes"] == 0).any()
    for t in women.values():
        assert tuple(t) == (*COLUMNS, "days", "event")
        assert not t.index.has_duplicates
        y, weight = metrics.known_by(t["days"], t["event"], 3 * 365.25)
        assert 0.27 < np.average(y, weights=weight) < 0.4
    if real:
        assert women["Germany"]["event"].sum() == 299
        assert pd.concat(women)["days"].max() == 7043


def test_who_names_a_folder_wants_no_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(data.DataError, match=r"rotterdam.csv is neither in"):
        data.breast_recurrence(str(tmp_path), RNG)
    monkeypatch.setenv("MEDXFER_DATA", str(tmp_path))
    monkeypatch.setenv("MEDXFER_CACHE", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    women, note = data.breast_recurrence("builtin", RNG)
    assert note.startswith("SIMULATED")
    assert "tables of MEDXFER_DATA" in note
    assert all(t.index[0].startswith("simulated") for t in women.values())
