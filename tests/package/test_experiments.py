"""The comparison: the same patients for every strategy, the same bits for the same seed."""

import random
from typing import Any

from medxfer_utils import models, transfer

# isort: split
import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
)
from sklearn.naive_bayes import GaussianNB

from medxfer_utils.cohorts import Cohort, draw, split
from medxfer_utils.data import two_laboratories
from medxfer_utils.experiments import MEASURES, USUAL, learning_curve, score
from medxfer_utils.models import Classical, Predicts, Strategy

A, B = two_laboratories(np.random.default_rng(0))
POOL, TEST = split(B, (0.5, 0.5), np.random.default_rng(1))
START = models.Model(models.tabular_network(A.x.shape[1], 0), models.fit_scaler(A.x))
STRATEGIES: dict[str, Strategy] = {
    "bayes": lambda labelled, seed: Classical(GaussianNB().fit(labelled.x, labelled.y)),
    "network": lambda labelled, seed: transfer.target_only(START, labelled, seed=seed),
    "guess": lambda labelled, seed: Classical(
        DummyClassifier(strategy="uniform", random_state=seed).fit(labelled.x, labelled.y)
    ),
}


class Witness:
    """A strategy that notes whom it is shown, with what seed."""

    def __init__(self) -> None:
        self.seen: list[tuple[list[Any], int]] = []
        self.tested: list[bytes] = []

    def __call__(self, labelled: Cohort, seed: int) -> Predicts:
        self.seen.append((labelled.patient.tolist(), seed))
        return self

    def probability(self, x: Any) -> Any:
        self.tested.append(x.tobytes())
        return np.linspace(0, 1, len(x))


def curve(some: dict[str, Strategy], seed: int = 7, repeats: int = 3, **more: Any) -> pd.DataFrame:
    """A comparison without the time that it took, which is never the same."""
    frame = learning_curve(some, POOL, TEST, sizes=(8, 16), repeats=repeats, seed=seed, **more)
    assert (frame["seconds"] >= 0).all()
    return frame.drop(columns="seconds")


def test_every_strategy_sees_the_same_nested_draws_and_the_same_seed() -> None:
    one, other = Witness(), Witness()
    curve({"one": one, "other": other})
    assert one.seen == other.seen
    assert set(one.tested) == set(other.tested) == {TEST.x.tobytes()}
    assert all(set(patients) <= set(POOL.patient.tolist()) for patients, _ in one.seen)
    small, large = one.seen[::2], one.seen[1::2]
    for (few, seed), (many, same_seed) in zip(small, large, strict=True):
        assert (len(few), len(many), seed) == (8, 16, same_seed)
        assert set(few) < set(many)
    assert len({tuple(few) for few, _ in small}) == len({seed for _, seed in small}) == 3


def test_the_seed_decides_to_the_bit_and_more_repeats_leave_the_first_as_they_were() -> None:
    pd.testing.assert_frame_equal(curve(STRATEGIES), curve(STRATEGIES), check_exact=True)
    assert not curve(STRATEGIES).equals(curve(STRATEGIES, seed=8))
    more, fewer = (curve({"bayes": STRATEGIES["bayes"]}, repeats=n) for n in (5, 3))
    pd.testing.assert_frame_equal(more[more["repeat"] < 3], fewer, check_exact=True)


def test_a_fit_starts_from_its_own_seed_and_the_caller_s_chance_is_left_as_it_was() -> None:
    seen = []

    def looks(labelled: Cohort, seed: int) -> Predicts:
        seen.append((seed, random.random(), np.random.rand()))
        return STRATEGIES["bayes"](labelled, seed)

    random.seed(1)
    np.random.seed(2)
    expected = random.Random(1).random(), np.random.RandomState(2).rand()
    curve({"one": looks, "two": looks})
    assert (random.random(), np.random.rand()) == expected
    assert len(seen) == 12
    assert len(set(seen)) == len({seed for seed, _, _ in seen}) == 3  # one for each repeat
    assert all(number == random.Random(seed).random() for seed, number, _ in seen)


def test_a_row_is_the_fit_that_it_names() -> None:
    frame = curve(STRATEGIES, measures=tuple(MEASURES))
    assert frame.columns.tolist() == ["strategy", "n", "repeat", *MEASURES, "rows", "error"]
    assert curve(STRATEGIES).columns.tolist() == [
        "strategy",
        "n",
        "repeat",
        *USUAL,
        "rows",
        "error",
    ]
    assert len(frame) == 3 * 2 * 3
    assert frame["rows"].tolist() == frame["n"].tolist()  # one sample of each patient
    assert (frame["error"] == "").all()
    row = frame[(frame.strategy == "bayes") & (frame.n == 16) & (frame.repeat == 2)].iloc[0]
    labelled = draw(POOL, 16, np.random.default_rng([7, 2]))
    p = GaussianNB().fit(labelled.x, labelled.y).predict_proba(TEST.x)[:, 1]
    assert row["AUROC"] == pytest.approx(roc_auc_score(TEST.y, p))
    assert row["accuracy"] == pytest.approx(accuracy_score(TEST.y, p >= 0.5))
    assert row["average precision"] == pytest.approx(average_precision_score(TEST.y, p))
    epsilon = np.finfo(float).eps
    log_odds = logit(np.clip(p, epsilon, 1 - epsilon))[:, None]
    cox = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(log_odds, TEST.y)
    assert row["calibration slope"] == pytest.approx(cox.coef_[0, 0], rel=1e-3)


def test_the_scores_are_those_of_scikit_learn() -> None:
    p = np.clip(np.random.default_rng(0).normal(0.4 + 0.3 * TEST.y, 0.2), 0.01, 0.99)
    assert score(TEST.y, p) == pytest.approx(
        {
            "AUROC": roc_auc_score(TEST.y, p),
            "accuracy": accuracy_score(TEST.y, p >= 0.5),
            "Brier": brier_score_loss(TEST.y, p),
            "log loss": log_loss(TEST.y, p),
        }
    )


def test_a_strategy_may_return_what_scikit_learn_fits_and_is_told_what_else_is_wanted() -> None:
    plain: Any = {"bayes": lambda labelled, seed: GaussianNB().fit(labelled.x, labelled.y)}
    pd.testing.assert_frame_equal(
        curve(plain), curve({"bayes": STRATEGIES["bayes"]}), check_exact=True
    )
    with pytest.warns(RuntimeWarning, match="a Sequential: return one with .*models.Model"):
        frame = curve({"bare": lambda labelled, seed: START.network})
    assert frame["AUROC"].isna().all()


class FarLogits:
    """Log odds of 50 and more, in the right order; as probabilities they are all exactly 1."""

    def logit(self, x: Any) -> Any:
        return 50.0 + TEST.y

    def probability(self, x: Any) -> Any:
        return np.ones(len(x))


def test_patients_are_ranked_by_log_odds_where_the_model_has_them() -> None:
    frame = curve({"far": lambda labelled, seed: FarLogits()}, measures=tuple(MEASURES))
    assert (frame[["AUROC", "average precision"]] == 1).all(axis=None)
    assert frame["calibration slope"].isna().all()  # all probabilities are equal
    np.testing.assert_array_equal(frame["Brier"], np.mean(TEST.y == 0))
