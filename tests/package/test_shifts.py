"""The tests of shift against hand-made numbers, against simulated truth, and against bad input."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import optimize, stats
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from medxfer_utils import shifts

Array = np.ndarray[Any, Any]

# At a true level of 5 %, the rate of false alarms is above the second once in 1,000 times.
REPEATS = 100
MOST_FALSE_ALARMS = stats.binom.ppf(0.999, REPEATS, 0.05) / REPEATS


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


def _rejections(p_value: Callable[[], Any], repeats: int = REPEATS) -> Any:
    """Share of repeats in which each p value is 0.05 or less."""
    return np.mean([np.asarray(p_value()) <= 0.05 for _ in range(repeats)], axis=0)


# --- how far apart ------------------------------------------------------------------------------


def test_proxy_distance_is_0_for_alike_hospitals_of_unlike_size(rng: np.random.Generator) -> None:
    # Calling everybody a would be right in 400 of 440 cases, and yet tell nothing.
    distances = [
        shifts.proxy_a_distance(rng.normal(size=(400, 3)), rng.normal(size=(40, 3)), rng)
        for _ in range(20)
    ]
    assert np.mean(distances) < 0.2
    assert min(distances) == 0


def test_proxy_distance_has_the_values_that_theory_gives(rng: np.random.Generator) -> None:
    x = rng.normal(size=(60, 3))
    assert shifts.proxy_a_distance(x, x + np.array([0, 100, 0]), rng) == 2
    # Half of b is like a and is called a: errors 0 and 1/2, e = 1/4, though a has more patients.
    a, b = np.zeros((90, 1)), np.repeat([0, 10], 15)[:, None]
    assert shifts.proxy_a_distance(a, b, rng) == 1
    # Two normals one standard deviation apart: the best line errs with probability Φ(−1/2).
    a, b = rng.normal(size=(20_000, 1)), rng.normal(size=(5_000, 1)) + 1
    expected = 2 * (1 - 2 * stats.norm.cdf(-0.5))
    assert shifts.proxy_a_distance(a, b, rng) == pytest.approx(expected, abs=0.04)


def test_proxy_distance_knows_no_units(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(80, 3)), rng.normal(size=(60, 3)) + np.array([0, 1, 0])
    units = np.array([1000, 0.001, 1])
    first, second = (
        shifts.proxy_a_distance(u * a + 7, u * b + 7, np.random.default_rng(1)) for u in (1, units)
    )
    assert first == pytest.approx(second)


# --- maximum mean discrepancy -------------------------------------------------------------------


def _mmd2_by_hand(a: Array, b: Array, bandwidth: float) -> float:
    """Equation 3 of Gretton et al. (2012), pair by pair."""

    def k(u: Array, v: Array) -> float:
        return float(np.exp(-((u - v) ** 2).sum() / (2 * bandwidth**2)))

    n, m = len(a), len(b)
    inside_a = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j)
    inside_b = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j)
    between = sum(k(u, v) for u in a for v in b)
    return inside_a / (n * (n - 1)) + inside_b / (m * (m - 1)) - 2 * between / (n * m)


def test_mmd2_is_the_double_loop(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(7, 3)), rng.normal(size=(4, 3)) + 0.5
    assert shifts.mmd2(a, b, 1.3) == pytest.approx(_mmd2_by_hand(a, b, 1.3), abs=1e-12)
    # All of a at 0 and all of b at 3, bandwidth 2: 1 + 1 − 2 exp(−9/8).
    assert shifts.mmd2([[0], [0]], [[3], [3]], 2) == pytest.approx(2 - 2 * np.exp(-9 / 8))
    assert shifts.median_bandwidth([[0, 0], [3, 4], [0, 1]]) == np.sqrt(18)  # 5, 1 and √18


def test_mmd2_sees_neither_order_nor_origin(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(9, 2)), rng.normal(size=(6, 2)) + 1
    turned = np.array([[0.6, -0.8], [0.8, 0.6]])
    value = shifts.mmd2(a, b, 1)
    assert shifts.mmd2(b, a, 1) == pytest.approx(value)
    assert shifts.mmd2(a[::-1] + 40, b + 40, 1) == pytest.approx(value)
    assert shifts.mmd2(a @ turned, b @ turned, 1) == pytest.approx(value)
    assert shifts.mmd2(3 * a, 3 * b, 3) == pytest.approx(value)


def test_mmd2_is_unbiased(rng: np.random.Generator) -> None:
    values = [shifts.mmd2(rng.normal(size=(8, 2)), rng.normal(size=(5, 2)), 1) for _ in range(2000)]
    assert abs(np.mean(values)) < 3 * stats.sem(values)
    assert min(values) < 0


def test_permutation_p_counts_every_exchange(rng: np.random.Generator) -> None:
    # 2 + 2 patients can be divided in 6 ways, of which 2 are as far apart as this one: p is 1/3.
    _, p = shifts.mmd_test([[0.0], [0.1]], [[5.0], [5.1]], rng, permutations=4999)
    assert p == pytest.approx(1 / 3, abs=0.03)
    assert shifts.mmd_test([[0.0], [0.1]], [[5.0], [5.1]], rng, permutations=0)[1] == 1
    a = rng.normal(size=(30, 2))
    assert shifts.mmd_test(a, a + 50, rng, permutations=19)[1] == 1 / 20, "one in all"


def test_the_statistic_is_of_standardised_features_and_weights_the_diagnoses(
    rng: np.random.Generator,
) -> None:
    a, b = rng.normal(size=(12, 2)) * [1, 1000], rng.normal(size=(9, 2)) * [1, 1000] + 1
    y_a, y_b = np.arange(12) % 3 == 0, np.arange(9) % 4 == 0
    pooled = np.vstack([a, b])
    z = (pooled - pooled.mean(axis=0)) / pooled.std(axis=0)
    width = shifts.median_bandwidth(z)
    value, _ = shifts.mmd_test(a, b, rng, permutations=9)
    assert value == pytest.approx(_mmd2_by_hand(z[:12], z[12:], width))
    ill, healthy = (_mmd2_by_hand(z[:12][y_a == c], z[12:][y_b == c], width) for c in (1, 0))
    value, _ = shifts.mmd_test(a, b, rng, permutations=9, strata=(y_a, y_b))
    assert value == pytest.approx((7 * ill + 14 * healthy) / 21)


@pytest.mark.parametrize("stratified", [False, True])
def test_mmd_p_values_are_uniform_under_the_null(
    stratified: bool, rng: np.random.Generator
) -> None:
    def p_value() -> float:
        x_a, y_a, x_b, y_b = shifts.simulated_pair("none", 40, 25, rng)
        return shifts.mmd_test(x_a, x_b, rng, 99, (y_a, y_b) if stratified else None)[1]

    p = np.array([p_value() for _ in range(REPEATS)])
    assert np.mean(p <= 0.05) <= MOST_FALSE_ALARMS
    assert stats.kstest(p, "uniform").pvalue > 0.01


# --- prevalence ---------------------------------------------------------------------------------


def test_prior_test_is_fishers() -> None:
    # The lady tasting tea: 3 of 4 and 1 of 4 right; two-sided p = 34/70.
    assert shifts.prior_test([1, 1, 1, 0], [1, 0, 0, 0]) == pytest.approx((-0.5, 34 / 70))
    assert shifts.prior_test([0, 0], [0, 0, 0]) == (0, 1)


# --- concept ------------------------------------------------------------------------------------


def test_fit_finds_the_maximum_of_the_penalised_likelihood(rng: np.random.Generator) -> None:
    design = np.column_stack([np.ones(60), rng.normal(size=(60, 2))])
    y = (rng.random((2, 60)) < expit(design @ [-1, 2, 0])).astype(float)
    beta, height = shifts._ridge_fits(design, y)
    penalty = np.array([1e-6, 1, 1])
    for row in range(2):

        def loss(b: Array, row: int = row) -> float:
            likelihood = stats.bernoulli.logpmf(y[row], expit(design @ b)).sum()
            return float(penalty @ b**2 / 2 - likelihood)

        best = optimize.minimize(loss, np.zeros(3), tol=1e-10)
        assert beta[row] == pytest.approx(best.x, abs=1e-4)
        assert height[row] == pytest.approx(-best.fun)


def test_with_many_patients_concept_p_values_are_the_classical_ones(
    rng: np.random.Generator,
) -> None:
    """Where chi-squared holds and the ridge vanishes, the bootstrap agrees with statsmodels."""
    n, m = 1200, 800
    x = rng.normal(size=(n + m, 2))
    of_b = np.arange(n + m) >= n
    y = (rng.random(n + m) < expit(x[:, 0] + 0.12 * of_b - 0.12 * of_b * x[:, 1])).astype(int)
    designs = [sm.add_constant(x)]
    designs.append(np.column_stack([designs[0], of_b]))
    designs.append(np.column_stack([designs[1], x * of_b[:, None]]))
    heights = np.array([sm.Logit(y, design).fit(disp=0).llf for design in designs])
    expected = stats.chi2.sf(2 * np.diff(heights), [1, 2])
    test = shifts.concept_test(x[:n], y[:n], x[n:], y[n:], rng, 499)
    assert test == pytest.approx(tuple(expected), abs=0.05)
    assert min(expected) > 0.01  # an agreement of numbers, not of zeros


def test_concept_test_keeps_its_size_where_chi_squared_does_not(rng: np.random.Generator) -> None:
    """The same logistic model in both hospitals, 50 of the patients in the smaller one."""

    def p_values() -> tuple[float, float, float]:
        x = rng.normal(size=(200, 6))
        y = (rng.random(200) < expit(1.4 * x[:, 0] - x[:, 1])).astype(int)
        test = shifts.concept_test(x[:150], y[:150], x[150:], y[150:], rng, 39)
        design = sm.add_constant(np.column_stack([x, np.arange(200) >= 150]))
        larger = np.column_stack([design, x * design[:, -1:]])
        small, large = (sm.Logit(y, d).fit(disp=0).llf for d in (design, larger))
        return *test, float(stats.chi2.sf(2 * (large - small), 6))

    intercept, slopes, chi_squared = _rejections(p_values)
    assert intercept <= MOST_FALSE_ALARMS
    assert slopes <= MOST_FALSE_ALARMS
    assert slopes < chi_squared


def test_small_hospitals_that_separate_are_judged_fairly(rng: np.random.Generator) -> None:
    def p_values() -> shifts.ConceptTest:
        x = rng.normal(size=(166, 13))
        y = (rng.random(166) < expit(2 * x[:, 0])).astype(int)
        return shifts.concept_test(x[:120], y[:120], x[120:], y[120:], rng, 39)

    p = np.array([p_values() for _ in range(REPEATS)])
    assert (np.mean(p <= 0.05, axis=0) <= MOST_FALSE_ALARMS).all()
    assert p.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.11)  # nor too cautious; 3.8 errors


def test_concept_test_knows_no_units_and_ignores_a_constant_feature(
    rng: np.random.Generator,
) -> None:
    x_a, y_a, x_b, y_b = shifts.simulated_pair("prior", 60, 40, rng)
    a, b = (np.column_stack([1000 * x - 7, np.ones(len(x))]) for x in (x_a, x_b))
    first = shifts.concept_test(x_a, y_a, x_b, y_b, np.random.default_rng(1))
    assert shifts.concept_test(a, y_a, b, y_b, np.random.default_rng(1)) == first


# --- which test answers to which shift ----------------------------------------------------------

# Share of 40 repeats in which each may reject: not far above 5 %, nearly always, or as it likes. At
# a true level of 5 % the first is passed 7 times in 10,000.
QUIET, LOUD, FREE = (0, 0.175), (0.85, 1), (0, 1)
TRUTH = {  # mmd_test, the same with strata, intercept and slopes of concept_test, prior_test
    "none": (QUIET, QUIET, QUIET, QUIET, QUIET),
    "covariate": (LOUD, LOUD, QUIET, QUIET, (0.2, 1)),
    "prior": ((0.2, 1), QUIET, LOUD, QUIET, LOUD),
    "concept": (FREE, FREE, FREE, LOUD, QUIET),
}


@pytest.mark.parametrize("kind", shifts.KINDS)
def test_each_shift_is_found_by_its_own_test(kind: str, rng: np.random.Generator) -> None:
    def p_values() -> tuple[float, ...]:
        x_a, y_a, x_b, y_b = shifts.simulated_pair(kind, 200, 120, rng)
        return (
            shifts.mmd_test(x_a, x_b, rng, 59)[1],
            shifts.mmd_test(x_a, x_b, rng, 59, (y_a, y_b))[1],
            *shifts.concept_test(x_a, y_a, x_b, y_b, rng, 39),
            shifts.prior_test(y_a, y_b)[1],
        )

    rates = _rejections(p_values, 40)
    low, high = np.transpose(TRUTH[kind])
    assert (low <= rates).all(), rates
    assert (rates <= high).all(), rates


@pytest.mark.parametrize("kind", shifts.KINDS)
def test_simulated_hospitals_have_the_truth_that_they_state(
    kind: str, rng: np.random.Generator
) -> None:
    x_a, y_a, x_b, y_b = shifts.simulated_pair(kind, 40_000, 30_000, rng)
    fit_a, fit_b = (
        LogisticRegression(C=np.inf).fit(x, y) for x, y in ((x_a, y_a), (x_b, y_b))
    )  # no penalty
    intercepts = [logit(p) for p in shifts.PREVALENCES] if kind == "prior" else [0, 0]
    slopes_b = shifts.SLOPES[::-1] if kind == "concept" else shifts.SLOPES
    assert [x_a.shape, x_b.shape, len(y_a), len(y_b)] == [(40_000, 5), (30_000, 5), 40_000, 30_000]
    assert fit_a.coef_[0] == pytest.approx(shifts.SLOPES, abs=0.07)
    assert fit_b.coef_[0] == pytest.approx(slopes_b, abs=0.07)
    assert [fit.intercept_[0] for fit in (fit_a, fit_b)] == pytest.approx(intercepts, abs=0.07)
    if kind == "covariate":
        assert x_b.mean(axis=0) == pytest.approx(shifts.SHIFT, abs=0.03)
        assert y_b.mean() > y_a.mean() + 0.05
    if kind == "prior":
        assert (y_a.mean(), y_b.mean()) == pytest.approx(shifts.PREVALENCES, abs=0.02)


# --- another prevalence -------------------------------------------------------------------------


def test_at_prevalence_by_hand_and_back(rng: np.random.Generator) -> None:
    # Odds 1, 1/4 and 0, times (0.2/0.8) / (0.5/0.5): 1/4, 1/16 and 0.
    assert shifts.at_prevalence([0.5, 0.2, 0, 1], 0.5, 0.2) == pytest.approx([1 / 5, 1 / 17, 0, 1])
    p = rng.random(20)
    there = shifts.at_prevalence(p, 0.3, 0.6)
    assert shifts.at_prevalence(there, 0.6, 0.3) == pytest.approx(p)


def test_estimated_prevalence_by_hand() -> None:
    # Likelihood at π: (1.6π + 0.4(1 − π))² (0.4π + 1.6(1 − π)), largest where
    # 2 · 1.2 / (0.4 + 1.2π) = 1.2 / (1.6 − 1.2π): π = 7/9.
    prevalence, adjusted = shifts.estimated_prevalence([0.8, 0.8, 0.2], 0.5)
    assert prevalence == pytest.approx(7 / 9, abs=1e-7)
    assert adjusted == pytest.approx([14 / 15, 14 / 15, 7 / 15], abs=1e-7)


def test_estimated_prevalence_maximises_the_likelihood(rng: np.random.Generator) -> None:
    # 48 of 80 ill, two normals two apart: log odds of 2z at even odds, brought to the source's.
    z, source = rng.normal(size=80) + np.repeat([1, -1], [48, 32]), 0.35
    p = expit(2 * z + logit(source))

    def loss(new: float) -> float:
        return -float(np.log(new * p / source + (1 - new) * (1 - p) / (1 - source)).sum())

    best = optimize.minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-9})
    prevalence, adjusted = shifts.estimated_prevalence(p, source)
    assert 0.1 < best.x < 0.9
    assert prevalence == pytest.approx(best.x, abs=1e-5)
    assert adjusted.mean() == pytest.approx(prevalence, abs=1e-7)
    assert adjusted == pytest.approx(shifts.at_prevalence(p, source, prevalence))


def test_estimated_prevalence_of_certainty_is_at_the_edge() -> None:
    for certain in (0.0, 1.0):
        prevalence, adjusted = shifts.estimated_prevalence([certain] * 5, 0.5)
        assert prevalence == certain
        assert adjusted == pytest.approx([certain] * 5)


def _error_of_estimate(kind: str, rng: np.random.Generator) -> float:
    """Estimated minus true prevalence of a large hospital b, by a model of a large hospital a."""
    x_a, y_a, x_b, y_b = shifts.simulated_pair(kind, 8000, 8000, rng)
    p = LogisticRegression(C=np.inf).fit(x_a, y_a).predict_proba(x_b)[:, 1]
    return shifts.estimated_prevalence(p, float(y_a.mean()))[0] - float(y_b.mean())


def test_estimated_prevalence_is_right_under_prior_shift_only(rng: np.random.Generator) -> None:
    assert abs(_error_of_estimate("none", rng)) < 0.04
    assert abs(_error_of_estimate("prior", rng)) < 0.04
    assert _error_of_estimate("covariate", rng) > 0.08


# --- importance weights -------------------------------------------------------------------------


def test_weights_are_the_ratio_of_the_densities(rng: np.random.Generator) -> None:
    # Normal with means 0 and (1, 0): the ratio is exp(x₁ − 1/2), whatever the sizes.
    source, target = rng.normal(size=(6000, 2)), rng.normal(size=(2000, 2)) + np.array([1, 0])
    weights = shifts.density_ratio(source, target, rng)
    truth = np.exp(source[:, 0] - 0.5)
    kept = truth < np.quantile(truth, 0.95)
    assert weights.mean() == pytest.approx(1)
    assert np.abs(np.log(weights / truth))[kept].max() < 0.4
    assert np.average(source, axis=0, weights=weights) == pytest.approx([1, 0], abs=0.1)


def test_the_largest_hundredth_of_the_weights_is_cut(rng: np.random.Generator) -> None:
    weights = shifts.density_ratio(rng.normal(size=(500, 1)), rng.normal(size=(300, 1)) + 2, rng)
    assert np.isclose(weights, weights.max()).sum() == 5
    assert weights.min() > 0
    alike = shifts.density_ratio(rng.normal(size=(900, 2)), rng.normal(size=(300, 2)), rng)
    assert alike == pytest.approx(np.ones(900), abs=0.5)


# --- chance, and what is refused ----------------------------------------------------------------

Y = np.arange(12) % 2
X = np.random.default_rng(2).normal(size=(12, 2))
PAIRS: list[Callable[[Any, Any], Any]] = [
    lambda a, b: shifts.proxy_a_distance(a, b, np.random.default_rng(0)),
    lambda a, b: shifts.mmd2(a, b, 1),
    lambda a, b: shifts.mmd_test(a, b, np.random.default_rng(0)),
    lambda a, b: shifts.concept_test(a, Y, b, Y, np.random.default_rng(0)),
    lambda a, b: shifts.density_ratio(a, b, np.random.default_rng(0)),
]
LABELLED: list[Callable[[Any, Any], Any]] = [
    lambda a, b: shifts.mmd_test(X, X, np.random.default_rng(0), strata=(a, b)),
    lambda a, b: shifts.concept_test(X, a, X, b, np.random.default_rng(0)),
]


def accepted(*cases: tuple[Callable[..., Any], tuple[Any, ...], str]) -> list[str]:
    """Messages that were wanted of a call, and did not come."""
    missed = []
    for call, arguments, message in cases:
        try:
            call(*arguments)
        except ValueError as error:
            if not re.search(message, str(error)):
                missed.append(f"{message}, not {error}")
        else:
            missed.append(message)
    return missed


def test_the_seed_is_the_only_chance_and_bad_features_are_refused_everywhere() -> None:
    gaps = X.copy()
    gaps[[3, 5], 1] = np.nan, np.inf
    for compare in PAIRS:
        a, b = X.copy(), X[::-1] + 1
        kept = b.copy()
        np.testing.assert_equal(compare(a, b), compare(a, b))
        np.testing.assert_array_equal((a, b), (X, kept))
        missed = accepted(
            (compare, (X, gaps), r"x_(b|target): 2 values are NaN or infinite; impute"),
            (compare, (X, X[:, :1]), r"\(12, 2\).*\(12, 1\): pass the same features"),
            (compare, (X, X[:, 0]), r"\(12,\).*: pass \(patients, features\)"),
            (compare, (X, X[:1]), r"\(1, 2\).*with two patients at least"),
        )
        assert missed == []


def test_bad_diagnoses_are_refused() -> None:
    one, code = (np.arange(12) == 0).astype(int), r"y_b: pass 0 or 1 \(the disease\)"
    strange = [Y + 1, ["B"] * 12, Y[:, None], []]
    test, concept = LABELLED
    missed = accepted(
        *((compare, (Y, y), code) for compare in (*LABELLED, shifts.prior_test) for y in strange),
        *((compare, (Y, Y[:10]), r"\[12, 10\] rows, .* \[12, 12\]") for compare in LABELLED),
        (test, (Y, one), "y_b: 1 ill and 11 healthy patients; 2 of each"),
        (test, (1 - one, Y), "y_a: 11 ill and 1 healthy patients; 2 of each"),
        (concept, (Y, 0 * Y), "y_b: 0 ill and 12 healthy patients; 1 of each"),
    )
    assert missed == []


def test_impossible_numbers_are_refused(rng: np.random.Generator) -> None:
    no_probability = [[], [0.2, 1.2], [-0.1], [np.nan], [[0.1]]]
    no_share = "must lie between 0 and 1, not"
    missed = accepted(
        (shifts.proxy_a_distance, (X, X[:4], rng), "12 and 4 patients do not fill 5 folds"),
        (shifts.median_bandwidth, ([[1.0]] * 4 + [[9.0]],), "half of all pairs .* are equal"),
        (shifts.simulated_pair, ("label", 9, 9, rng), "one of none, covariate, .*, not 'label'"),
        (shifts.estimated_prevalence, ([0.30001, 0.30002], 0.3), "p_target hardly varies"),
        *((shifts.mmd2, (X, X, w), f"must be above 0, not {w}") for w in (0, -1, np.nan)),
        *((shifts.at_prevalence, (p, 0.5, 0.2), "p: pass one probability") for p in no_probability),
        *((shifts.estimated_prevalence, (p, 0.5), "p: pass one") for p in no_probability),
        *((shifts.at_prevalence, ([0.5], k, 0.5), f"old {no_share} {k}") for k in (0, 1, np.nan)),
        *((shifts.at_prevalence, ([0.5], 0.5, k), f"new {no_share} {k}") for k in (0, 1, 1.5)),
        *((shifts.estimated_prevalence, ([0.5], k), f"_source {no_share} {k}") for k in (0, 1)),
    )
    assert missed == []
    assert 0 <= shifts.proxy_a_distance(X, X[:4], rng, folds=4) <= 2


def test_a_fit_that_does_not_settle_is_not_returned(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(shifts, "NEWTON_STEPS", 2)
    with pytest.raises(ValueError, match="No logistic fit in 2 steps: look for extreme outliers"):
        shifts.concept_test(X, Y, X, Y, rng)
