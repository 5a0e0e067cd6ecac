"""What appendix A4 writes out: held against scikit-learn, fairlearn and tables made by hand."""

from __future__ import annotations

from typing import Any

import fairlearn.metrics as fair
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score

from tests.package.test_decisions import RNG, cell

NESTED = ("PENALTIES", "SETTINGS", "fitted", "score", "fold_score", "flat", "nested")


def few_patients(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    y = RNG.permutation(n) % 2
    return RNG.normal(size=(n, 12)) + 0.6 * y[:, None] * (np.arange(12) < 2), y


def test_nested_cross_validation_is_that_of_scikit_learn() -> None:
    names, (x, y) = cell(*NESTED), few_patients()
    outer, inner = (StratifiedKFold(k, shuffle=True, random_state=k) for k in (5, 3))
    names["SETTINGS"][:] = [0.001, 0.1, 10]
    names["fitted"] = lambda c, x, y: LogisticRegression(C=c).fit(x, y)
    names["score"] = lambda model, x: model.decision_function(x)
    about: dict[str, Any] = {"scoring": "roc_auc", "cv": inner}
    search = GridSearchCV(LogisticRegression(), {"C": names["SETTINGS"]}, **about)
    wanted = cross_val_score(search, x, y, scoring="roc_auc", cv=outer).mean()
    assert names["nested"](x, y, outer, inner) == pytest.approx(wanted)
    best, promised = names["flat"](x, y, inner)
    search.fit(x, y)
    assert [best, promised] == [search.best_params_["C"], pytest.approx(search.best_score_)]


def test_no_choice_sees_an_outer_fold() -> None:
    names, (x, y) = cell(*NESTED), few_patients()
    x[:, 0], seen = np.arange(60), list[set[float]]()  # the first column names the patient
    fit = names["fitted"]

    def spied(setting: object, x: np.ndarray, y: np.ndarray) -> object:
        seen.append({*x[:, 0]})
        return fit(setting, x, y)

    names["fitted"] = spied
    outer, inner = (StratifiedKFold(k, shuffle=True, random_state=k) for k in (5, 3))
    names["nested"](x, y, outer, inner)
    each = len(seen) // 5
    assert each == len(names["SETTINGS"]) * 3 + 1
    for k, (_, test) in enumerate(outer.split(x, y)):
        assert not set.union(*seen[k * each : (k + 1) * each]) & {*test.astype(float)}


def test_the_risk_coverage_curve_is_that_of_a_table_made_by_hand() -> None:
    curve = cell("risk_coverage")["risk_coverage"]
    sure, wrong = np.array([0.6, 0.9, 0.7, 0.8]), np.array([1, 0, 0, 1])
    share, error = curve(sure, wrong, np.ones(4))
    assert [*share, *error] == pytest.approx([0.25, 0.5, 0.75, 1, 0, 1 / 2, 1 / 3, 1 / 2])
    share, error = curve(sure, wrong, np.array([2, 0, 1, 1]))  # the surest was lost
    assert [share[0], error[0], error[-1]] == pytest.approx([0.25, 1, 3 / 4])


def test_one_against_the_rest_is_the_mean_over_the_classes() -> None:
    y, p = RNG.permutation(60) % 4, RNG.dirichlet(np.ones(4), 60)
    mean, each = cell("one_against_rest")["one_against_rest"](y, p)
    assert mean == pytest.approx(roc_auc_score(y, p, multi_class="ovr"))
    pairs = [(a > b) + (a == b) / 2 for a in p[y == 2, 2] for b in p[y != 2, 2]]
    assert each[2] == pytest.approx(np.mean(pairs))


def test_unequal_groups_are_those_of_fairlearn() -> None:
    unequal, y = cell("unequal")["unequal"], RNG.integers(0, 2, 90)
    call, group = RNG.integers(0, 2, 90), RNG.choice(["I", "III", "VI"], 90)
    found, about = unequal(y, call, group), {"sensitive_features": group}
    theirs = fair.equal_opportunity_difference, fair.equalized_odds_difference
    assert [*found.values()] == pytest.approx([one(y, call, **about) for one in theirs])
    hand = unequal([1, 1, 0, 0, 1, 1, 0, 0], [1, 1, 0, 1, 1, 0, 0, 0], [*"aaaabbbb"])
    assert hand == {"equal opportunity": 0.5, "equalised odds": 0.5}
