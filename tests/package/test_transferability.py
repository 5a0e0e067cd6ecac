"""Each score against a second way to compute it, against properties, and against bad input."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import multivariate_normal

from medxfer_utils.transfer import h_score, leep, logme, transrate
from tests.faults import untold

Array = np.ndarray[Any, Any]
Score = Callable[[Any, Any], float]
ON_FEATURES: list[Score] = [logme, h_score, transrate]
seeds = st.integers(0, 10**6)


def site(seed: int, n: int = 40, d: int = 3, apart: float = 1.0, classes: int = 2) -> Any:
    """Normal features of which the first moves by `apart` from class to class; a rare last class.

    The same seed gives the same patients, so that `apart` alone differs.
    """
    rng = np.random.default_rng(seed)
    y = np.minimum(np.arange(n) * (classes + 1) // n, classes)
    y = np.maximum(y - 1, 0)
    x = rng.normal(size=(n, d)) + 0.5
    x[:, 0] += apart * y
    return x, y


# --- LogME ----------------------------------------------------------------------------------------


def densest(x: Array, t: Array) -> float:
    """Maximum over log α and log β of the dense density of `t`, found without a fixed point."""

    def surprise(v: Array) -> float:
        covariance = np.eye(len(t)) * np.exp(-v[1]) + x @ x.T * np.exp(-v[0])
        return -float(multivariate_normal.logpdf(t, np.zeros(len(t)), covariance))

    tight = {"xatol": 1e-7, "fatol": 1e-11, "maxiter": 4000}
    starts = [(0.0, 0.0), (3.0, 1.0), (-2.0, 3.0)]
    return -float(
        min(minimize(surprise, s, method="Nelder-Mead", options=tight).fun for s in starts)
    )


def test_logme_is_the_maximum_of_the_dense_evidence() -> None:
    for (n, d), classes in product(((12, 1), (12, 3), (20, 8), (10, 15)), (2, 3)):
        x, y = site(n + d, n, d, classes=classes)
        expected = np.mean([densest(x, (y == c).astype(float)) for c in range(classes)]) / n
        assert logme(x, y) == pytest.approx(expected, abs=1e-6), (n, d, classes)


def test_logme_takes_an_offset_for_an_intercept() -> None:
    x, y = site(0)
    bare = x - x.mean(axis=0)
    ones = np.column_stack([bare, np.ones(len(x))])
    assert logme(ones, y) > logme(bare, y)
    assert logme(bare, y) != pytest.approx(logme(x, y), abs=1e-3)


@pytest.mark.parametrize("x", [np.zeros((4, 2)), np.array([[1.0], [-1.0], [0.0], [0.0]])])
def test_logme_of_features_that_say_nothing_is_that_of_noise(x: Array) -> None:
    y = np.array([0, 0, 0, 1])
    # Each indicator as N(0, mean square): squares 3/4 and 1/4.
    noise = np.mean([-(np.log(2 * np.pi * s) + 1) / 2 for s in (3 / 4, 1 / 4)])
    assert logme(x, y) == pytest.approx(noise)


# --- LEEP -----------------------------------------------------------------------------------------


def test_leep_of_four_patients_by_hand() -> None:
    p = [[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.1, 0.9]]
    y = [0, 0, 1, 0]
    # Source class 0 is met 0.8 + 0.6 + 0.3 + 0.1 = 1.8 times, of these 1.5 with label 0;
    # source class 1 0.2 + 0.4 + 0.7 + 0.9 = 2.2 times, of these 1.5 with label 0.
    zero, one = 1.5 / 1.8, 1.5 / 2.2
    own = [0.8 * zero + 0.2 * one, 0.6 * zero + 0.4 * one, None, 0.1 * zero + 0.9 * one]
    own[2] = 0.3 * (1 - zero) + 0.7 * (1 - one)
    assert leep(p, y) == pytest.approx(np.mean(np.log(np.array(own, dtype=float))))


def test_leep_is_zero_for_a_certain_source_and_minus_the_entropy_for_a_constant_one() -> None:
    y = np.array([0, 0, 0, 1])
    assert leep(np.eye(3)[2 - y], y) == 0  # a class that nobody has, and the others renamed
    assert leep(np.full((4, 2), 0.5), y) == pytest.approx(0.75 * np.log(0.75) + 0.25 * np.log(0.25))


@given(seeds)
def test_leep_lies_between_minus_the_entropy_and_zero(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, p = rng.permutation(np.arange(20) % 3), rng.dirichlet(np.ones(4), size=20)
    share = np.bincount(y) / 20
    assert (share * np.log(share)).sum() - 1e-12 <= leep(p, y) <= 0
    assert leep(p[:, [2, 0, 3, 1]], y) == pytest.approx(leep(p, y))


# --- H-score --------------------------------------------------------------------------------------


@given(seeds)
def test_h_score_of_two_classes_is_fishers_ratio(seed: int) -> None:
    x, y = site(seed)
    share = y.mean()
    d = x[y == 1].mean(axis=0) - x[y == 0].mean(axis=0)
    # Divisor n in both covariances; n - 1 in both would give the same.
    expected = share * (1 - share) * d @ np.linalg.solve(np.cov(x.T, bias=True), d)
    assert h_score(x, y) == pytest.approx(expected)


def test_h_score_of_several_classes_is_the_trace_of_its_definition() -> None:
    x, y = site(1, n=60, classes=3)
    means = np.array([x[y == c].mean(axis=0) for c in y])  # E[f | y], for each patient
    doubled = np.column_stack([x, x[:, 0]])  # a singular covariance, which pinv allows
    expected = np.trace(np.linalg.pinv(np.cov(x.T)) @ np.cov(means.T))
    assert h_score(x, y) == pytest.approx(expected)
    assert h_score(doubled, y) == pytest.approx(expected)


def test_h_score_is_full_with_as_many_features_as_patients() -> None:
    x, _ = site(0, n=12, d=11)
    assert h_score(x, np.arange(12) % 3) == pytest.approx(2)  # whatever the labels
    assert h_score(x, np.arange(12) // 6) == pytest.approx(1)


# --- TransRate ------------------------------------------------------------------------------------


def rate(z: Array, eps: float) -> float:
    """½ log det(I + ZᵀZ / (n eps)), written out."""
    return float(np.linalg.slogdet(np.eye(z.shape[1]) + z.T @ z / (len(z) * eps))[1] / 2)


def test_transrate_is_its_definition() -> None:
    for (n, d, classes), eps in product(((40, 3, 2), (40, 3, 3), (10, 15, 2)), (1e-4, 0.3)):
        x, y = site(2, n, d, classes=classes)
        z = x - x.mean(axis=0)
        parts = [(y == c).mean() * rate(z[y == c], eps) for c in range(classes)]
        assert transrate(x, y, eps) == pytest.approx(rate(z, eps) - sum(parts))
        assert transrate(x, y, eps) > 0


def test_transrate_of_the_authors_lets_each_class_count_the_same() -> None:
    # Z = 2, -1, -1 and eps = 1: R(Z) = ½ log 3; the classes' rates are ½ log 5 and ½ log 2.
    x, y = np.array([[3.0], [0.0], [0.0]]), [1, 0, 0]
    by_size, equal = (transrate(x, y, 1.0, equal_classes=same) for same in (False, True))
    assert by_size == pytest.approx(np.log(3) / 2 - (np.log(5) / 2 + 2 * np.log(2) / 2) / 3)
    assert equal == pytest.approx(np.log(3) / 2 - np.log(10) / 4)
    assert [round(by_size, 4), round(equal, 4)] == [0.05, -0.0263]
    even = np.array([[1.0], [2.0], [5.0], [9.0]]), [0, 0, 1, 1]
    assert transrate(*even) == pytest.approx(transrate(*even, equal_classes=True))


def test_transrate_is_blind_to_two_equal_classes() -> None:
    healthy = np.random.default_rng(0).normal(size=(20, 3)) - 5
    y = np.repeat([0, 1], 20)
    assert transrate(np.concatenate([healthy, -healthy]), y) == pytest.approx(0, abs=1e-12)


# --- all four -------------------------------------------------------------------------------------


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_a_change_of_coordinates_that_tells_nothing_changes_nothing(seed: int) -> None:
    x, y = site(seed)
    rng = np.random.default_rng(seed)
    turn, away = np.linalg.qr(rng.normal(size=(3, 3)))[0], rng.normal(size=3)
    map_ = rng.normal(size=(3, 3)) + 4 * np.eye(3)
    assert logme(x @ turn * 10 ** rng.uniform(-6, 6), y) == pytest.approx(logme(x, y), abs=1e-6)
    assert h_score(x @ map_ + away, y) == pytest.approx(h_score(x, y), abs=1e-8)
    assert transrate(x @ turn + away, y) == pytest.approx(transrate(x, y), abs=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_classes_further_apart_score_higher(seed: int) -> None:
    for score, classes in product(ON_FEATURES, (2, 3)):
        found = [score(*site(seed, 80, apart=a, classes=classes)) for a in (1.0, 2.0, 4.0, 8.0)]
        assert (np.diff(found) > 0).all(), (score, classes)
    x, y = site(seed, 80, apart=1.0)
    p = [expit(k * (2 * y - 1) + x[:, 1]) for k in (0.0, 0.5, 1.0, 2.0, 4.0)]
    assert (np.diff([leep(np.column_stack([1 - q, q]), y) for q in p]) > 0).all()


@pytest.mark.parametrize("score", [*ON_FEATURES, leep])
def test_order_of_patients_and_names_of_classes_do_not_matter(score: Score) -> None:
    x, y = site(3, classes=3)
    x = np.abs(x) / np.abs(x).sum(axis=1, keepdims=True)  # distributions, for LEEP
    order = np.random.default_rng(0).permutation(len(y))
    assert score(x[order], y[order]) == pytest.approx(score(x, y))
    assert score(x.tolist(), np.array(["lung", "liver", "none"])[y]) == pytest.approx(score(x, y))


def test_bad_input_is_named_and_good_input_is_not_changed() -> None:
    p, y = np.full((6, 2), 0.5), np.array([0, 1, 0, 1, 0, 1])
    x, labels = site(0)
    bad: list[tuple[Any, Any, str]] = [
        (np.where(np.arange(12).reshape(6, 2) == 5, np.nan, p), y, "nan in row 2, column 1"),
        (p * np.inf, y, "inf in row 0, column 0"),
        (p, np.ones(6), "class 1.0 only"),
        (p, y[:4], r"shape \(6, 2\) and y \(4,\)"),
        (p[:, 0], y, r"shape \(6,\)"),
        (p, p, r"y \(6, 2\)"),
        (p[:0], y[:0], r"shape \(0, 2\)"),
        (p, np.where(y == 0, np.nan, 1), "y is NaN in row 0"),
    ]
    faults: dict[str, tuple[Any, str]] = {
        f"{score.__name__}: {words}": (partial(score, values, told), words)
        for score in (*ON_FEATURES, leep)
        for values, told, words in bad
    }
    for row, words in (([0.5, 0.4], "row 4 first .sum 0.9"), ([1.2, -0.2], "smallest -0.2")):
        faults[words] = partial(leep, np.vstack([p[:4], row, p[5:]]), y), words
    held = np.column_stack([x, labels])  # a feature that holds the label
    faults["label"] = partial(logme, held, labels), "exact linear function"
    faults["eps"] = partial(transrate, x, labels, eps=0.0), "eps must be above 0, not 0"
    assert untold(faults, lambda _, call: call(), ValueError) == {}
    for score in (*ON_FEATURES, leep):
        score(p, y)
    assert (p == 0.5).all()
    assert y.tolist() == [0, 1, 0, 1, 0, 1]
