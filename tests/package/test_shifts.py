"""The tests of shift against hand-made numbers, against simulated truth, and against bad input."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import optimize, stats
from scipy.spatial.distance import cdist
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from medxfer_utils import shifts
from tests.faults import untold

Array = np.ndarray[Any, Any]

# At a true level of 5 %, the rate of false alarms is above the second once in 1,000 times.
REPEATS = 60
MOST_FALSE_ALARMS = stats.binom.ppf(0.999, REPEATS, 0.05) / REPEATS


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


# --- how far apart ------------------------------------------------------------------------------


def test_proxy_distance_has_the_values_that_theory_gives(rng: np.random.Generator) -> None:
    x, distance = rng.normal(size=(60, 3)), shifts.proxy_a_distance
    assert distance(x, x + np.array([0, 100, 0]), rng) == 2
    # Half of b is like a and is called a: errors 0 and 1/2, e = 1/4, though a has more patients.
    assert distance(np.zeros((90, 1)), np.repeat([0, 10], 15)[:, None], rng) == 1
    # Two normals one standard deviation apart: the best line errs with probability Φ(−1/2).
    a, b = rng.normal(size=(20_000, 1)), rng.normal(size=(5_000, 1)) + 1
    expected = 2 * (1 - 2 * stats.norm.cdf(-0.5))
    assert distance(a, b, rng) == pytest.approx(expected, abs=0.04)
    # Calling everybody a would be right in 400 of 440 cases, and yet tell nothing.
    alike = [distance(rng.normal(size=(400, 3)), rng.normal(size=(40, 3)), rng) for _ in range(20)]
    assert np.mean(alike) < 0.2
    assert min(alike) == 0
    # Units do not matter.
    a, b = rng.normal(size=(80, 3)), rng.normal(size=(60, 3)) + np.array([0, 1, 0])
    units = np.array([[1, 1, 1], [1000, 0.001, 1]])
    first, second = (distance(u * a + 7, u * b + 7, np.random.default_rng(1)) for u in units)
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


def test_mmd2_sees_neither_order_nor_origin_and_is_unbiased(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(9, 2)), rng.normal(size=(6, 2)) + 1
    turned = np.array([[0.6, -0.8], [0.8, 0.6]])
    same = ((b, a, 1), (a[::-1] + 40, b + 40, 1), (a @ turned, b @ turned, 1), (3 * a, 3 * b, 3))
    found = [shifts.mmd2(*told) for told in same]
    assert found == pytest.approx([shifts.mmd2(a, b, 1)] * 4)
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


def test_pairs_that_do_not_fit_into_memory_are_taken_in_turn(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = rng.normal(size=(31, 3)), rng.normal(size=(22, 3)) + 0.4

    def values() -> list[float]:
        whole = shifts.mmd_test(a, b, np.random.default_rng(1), 49)
        return [shifts.mmd2(a, b, 1.3), shifts.median_bandwidth(a), *whole]

    whole, largest = values(), list[int]()

    def measured(*of: Any) -> Any:
        distances = cdist(*of)
        largest.append(distances.size)
        return distances

    monkeypatch.setattr(shifts, "PAIRS", 200)
    monkeypatch.setattr(shifts, "cdist", measured)
    assert values() == pytest.approx(whole)
    assert max(largest) <= 4 * 53
    monkeypatch.setattr(shifts, "FOR_MEDIAN", 10)
    assert 0.7 < shifts.median_bandwidth(a) / whole[1] < 1.4
    three_sites = np.repeat([[0.0], [10], [20]], 4000, axis=0) + rng.normal(size=(12_000, 1))
    assert 8 < shifts.median_bandwidth(three_sites) < 12
    # Of all pairs at once: a hundred million million bytes.
    assert shifts.median_bandwidth(rng.normal(size=(5_000_000, 1))) > 0


def test_rows_of_one_patient_are_no_evidence_of_a_shift(rng: np.random.Generator) -> None:
    """Six images of each of sixteen patients, all of one population."""
    rows = np.repeat([[f"{site} {k}" for k in range(16)] for site in "ab"], 6, axis=1)
    found: dict[str, list[tuple[float, ...]]] = {"rows": [], "patients": []}
    for _ in range(20):
        a, b = (np.repeat(rng.normal(size=(16, 3)), 6, axis=0) + rng.normal(0, 0.2, (96, 3))
                for _ in range(2))  # fmt: skip
        for what, groups in (("rows", None), ("patients", (*rows,))):
            told: dict[str, Any] = {"groups": groups}
            apart = shifts.proxy_a_distance(a, b, rng, **told)
            found[what].append((shifts.mmd_test(a, b, rng, 59, **told)[1], apart))
    by_row, by_patient = (np.array(found[what]).T for what in ("rows", "patients"))
    assert np.mean(by_patient[0] <= 0.05) <= 0.2  # at a true 5 %, passed 3 times in 1,000
    assert np.mean(by_row[0] <= 0.05) > 0.8
    assert by_patient[1].mean() < 0.6 * by_row[1].mean()
    # Who has one row counts as without groups, to the bit.
    x, y, each = a[::6], b[::6], (np.arange(16), np.arange(16))
    for call in (shifts.mmd_test, shifts.proxy_a_distance, shifts.density_ratio):
        plain, named = (call(x, y, np.random.default_rng(1), groups=g) for g in (None, each))
        np.testing.assert_array_equal(plain, named)
    strata = np.tile([0] * 6 + [1] * 6, (2, 8))
    assert shifts.mmd_test(a, b, rng, 99, (*strata,), (*rows,))[1] > 0.01
    assert shifts.mmd_test(a, b + 1, rng, 99, (*strata,), (*rows,))[1] < 0.05


# --- prevalence ---------------------------------------------------------------------------------


def test_prevalence_test_is_fishers() -> None:
    # The lady tasting tea: 3 of 4 and 1 of 4 right; two-sided p = 34/70.
    assert shifts.prevalence_test([1, 1, 1, 0], [1, 0, 0, 0]) == pytest.approx((-0.5, 34 / 70))
    assert shifts.prevalence_test([0, 0], [0, 0, 0]) == (0, 1)
    # The same eight cups, some tasted twice: ill if any taste was.
    cups = [1, 2, 3, 4, 4], ["e", "f", "f", "g", "h"]
    twice = shifts.prevalence_test([1, 1, 1, 0, 0], [1, 0, 0, 0, 0], cups)
    assert twice == pytest.approx((-0.5, 34 / 70))


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
    """The same logistic model in both hospitals; with 13 features the smaller one separates."""

    def sample(n: int, slopes: list[float]) -> Any:
        x = rng.normal(size=(n, len(slopes)))
        return x, (rng.random(n) < expit(x @ slopes)).astype(int)

    def chi_squared(x: Array, y: Array, n: int) -> float:
        design = sm.add_constant(np.column_stack([x, np.arange(len(x)) >= n]))
        larger = np.column_stack([design, x * design[:, -1:]])
        small, large = (sm.Logit(y, d).fit(disp=0).llf for d in (design, larger))
        return float(stats.chi2.sf(2 * (large - small), x.shape[1]))

    easy, hard = [], []
    for _ in range(REPEATS):
        x, y = sample(200, [1.4, -1, 0, 0, 0, 0])
        test = shifts.concept_test(x[:150], y[:150], x[150:], y[150:], rng, 39)
        easy.append((*test, chi_squared(x, y, 150)))
        x, y = sample(166, [2.0] + 12 * [0.0])
        hard.append(shifts.concept_test(x[:120], y[:120], x[120:], y[120:], rng, 39))
    intercept, slopes, by_chi_squared = np.mean(np.array(easy) <= 0.05, axis=0)
    separated = np.mean(np.array(hard) <= 0.05, axis=0)
    assert max(intercept, slopes, *separated) <= MOST_FALSE_ALARMS
    assert slopes < by_chi_squared
    # Nor too cautious: the standard error of a mean of 60 is 0.037.
    assert np.mean(hard, axis=0) == pytest.approx([0.5, 0.5], abs=0.14)


def test_concept_test_knows_no_units_and_ignores_a_constant_feature(
    rng: np.random.Generator,
) -> None:
    x_a, y_a, x_b, y_b = shifts.simulated_pair("label", 60, 40, rng)
    a, b = (np.column_stack([1000 * x - 7, np.ones(len(x))]) for x in (x_a, x_b))
    first = shifts.concept_test(x_a, y_a, x_b, y_b, np.random.default_rng(1))
    assert shifts.concept_test(a, y_a, b, y_b, np.random.default_rng(1)) == first


# --- which test answers to which shift ----------------------------------------------------------

# Share of 25 repeats in which each may reject: not far above 5 %, nearly always, or as it likes. At
# a true level of 5 % the first is passed 12 times in 10,000, fewer by all tests of one table.
QUIET, LOUD, FREE = (0, 0.2), (0.8, 1), (0, 1)
TRUTH = {  # mmd_test, the same with strata, intercept and slopes of concept_test, prevalence_test
    "none": (QUIET, QUIET, QUIET, QUIET, QUIET),
    "covariate": (LOUD, LOUD, QUIET, QUIET, (0.2, 1)),
    "label": ((0.2, 1), QUIET, LOUD, QUIET, LOUD),
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
            shifts.prevalence_test(y_a, y_b)[1],
        )

    rates = np.mean([np.asarray(p_values()) <= 0.05 for _ in range(25)], axis=0)
    low, high = np.transpose(TRUTH[kind])
    assert ((low <= rates) & (rates <= high)).all(), rates


@pytest.mark.parametrize("kind", shifts.KINDS)
def test_simulated_hospitals_have_the_truth_that_they_state(
    kind: str, rng: np.random.Generator
) -> None:
    x_a, y_a, x_b, y_b = shifts.simulated_pair(kind, 40_000, 30_000, rng)
    unpenalised = LogisticRegression(C=np.inf)
    fits = [clone(unpenalised).fit(x, y) for x, y in ((x_a, y_a), (x_b, y_b))]
    intercepts = [logit(p) for p in shifts.PREVALENCES] if kind == "label" else [0, 0]
    slopes_b = shifts.SLOPES[::-1] if kind == "concept" else shifts.SLOPES
    assert [x_a.shape, x_b.shape, len(y_a), len(y_b)] == [(40_000, 5), (30_000, 5), 40_000, 30_000]
    for fit, slopes, intercept in zip(fits, (shifts.SLOPES, slopes_b), intercepts, strict=True):
        found = [*fit.coef_[0], *fit.intercept_]
        assert found == pytest.approx([*slopes, intercept], abs=0.07)
    if kind == "covariate":
        assert x_b.mean(axis=0) == pytest.approx(shifts.SHIFT, abs=0.03)
        assert y_b.mean() > y_a.mean() + 0.05
    if kind == "label":
        assert (y_a.mean(), y_b.mean()) == pytest.approx(shifts.PREVALENCES, abs=0.02)


# --- another prevalence -------------------------------------------------------------------------


def test_at_prevalence_by_hand_and_back(rng: np.random.Generator) -> None:
    # Odds 1, 1/4 and 0, times (0.2/0.8) / (0.5/0.5): 1/4, 1/16 and 0.
    assert shifts.at_prevalence([0.5, 0.2, 0, 1], 0.5, 0.2) == pytest.approx([1 / 5, 1 / 17, 0, 1])
    p = rng.random(20)
    there = shifts.at_prevalence(p, 0.3, 0.6)
    assert shifts.at_prevalence(there, 0.6, 0.3) == pytest.approx(p)


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
    weights = shifts.density_ratio(rng.normal(size=(500, 1)), rng.normal(size=(300, 1)) + 2, rng)
    assert np.isclose(weights, weights.max()).sum() == 5, "the largest hundredth is cut"
    assert weights.min() > 0
    alike = shifts.density_ratio(rng.normal(size=(900, 2)), rng.normal(size=(300, 2)), rng)
    assert alike == pytest.approx(np.ones(900), abs=0.5)


# --- chance, and what is refused ----------------------------------------------------------------

Y = np.arange(12) % 2
X = np.random.default_rng(2).normal(size=(12, 2))


def seed() -> np.random.Generator:
    return np.random.default_rng(0)


PAIRS: list[Callable[[Any, Any], Any]] = [
    lambda a, b: shifts.proxy_a_distance(a, b, seed()),
    lambda a, b: shifts.mmd2(a, b, 1),
    lambda a, b: shifts.mmd_test(a, b, seed()),
    lambda a, b: shifts.concept_test(a, Y, b, Y, seed()),
    lambda a, b: shifts.density_ratio(a, b, seed()),
]
TESTS: list[Callable[[Any, Any], Any]] = [
    lambda a, b: shifts.mmd_test(X, X, seed(), strata=(a, b)),
    lambda a, b: shifts.concept_test(X, a, X, b, seed()),
]


def test_the_seed_is_the_only_chance_and_arguments_stay_as_they_were() -> None:
    for compare in PAIRS:
        a, b = X.copy(), X[::-1] + 1
        kept = b.copy()
        np.testing.assert_equal(compare(a, b), compare(a, b))
        np.testing.assert_array_equal((a, b), (X, kept))
    assert 0 <= shifts.proxy_a_distance(X, X[:4], seed(), folds=4) <= 2


def test_what_cannot_be_compared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    gaps, one = X.copy(), (np.arange(12) == 0).astype(int)
    gaps[[3, 5], 1] = np.nan, np.inf
    code, no_share = r"y_b: pass 0 or 1 \(the disease\)", "must lie between 0 and 1, not"
    strange: list[Any] = [Y + 1, ["B"] * 12, Y[:, None], []]
    no_p: list[Any] = [[], [0.2, 1.2], [-0.1], [np.nan], [[0.1]]]
    bad_x = (
        (gaps, r"x_(b|target): 2 values are NaN or infinite; impute"),
        (X[:, :1], r"\(12, 2\).*\(12, 1\): pass the same features"),
        (X[:, 0], r"\(12,\).*: pass \(patients, features\)"),
        (X[:1], r"\(1, 2\).*with two patients at least"),
    )
    s = shifts
    table: list[tuple[Callable[..., Any], tuple[Any, ...], str]] = [
        *((compare, (X, b), words) for compare in PAIRS for b, words in bad_x),
        *((compare, (Y, y), code) for compare in (*TESTS, s.prevalence_test) for y in strange),
        *((compare, (Y, Y[:10]), r"\[12, 10\] rows, .* \[12, 12\]") for compare in TESTS),
        (TESTS[0], (Y, one), "y_b: 1 ill and 11 healthy patients; 2 of each"),
        (TESTS[0], (1 - one, Y), "y_a: 11 ill and 1 healthy patients; 2 of each"),
        (TESTS[1], (Y, 0 * Y), "y_b: 0 ill and 12 healthy patients; 1 of each"),
        (s.proxy_a_distance, (X, X[:4], seed()), "12 and 4 patients do not fill 5 folds"),
        (s.median_bandwidth, ([[1.0]] * 4 + [[9.0]],), "half of all pairs .* are equal"),
        (s.simulated_pair, ("prior", 9, 9, seed()), "one of none, covariate, .*, not 'prior'"),
        *((s.mmd2, (X, X, w), f"must be above 0, not {w}") for w in (0, -1, np.nan)),
        *((s.at_prevalence, (p, 0.5, 0.2), "p: pass one probability") for p in no_p),
        *((s.at_prevalence, ([0.5], k, 0.5), f"old {no_share} {k}") for k in (0, 1, np.nan)),
        *((s.at_prevalence, ([0.5], 0.5, k), f"new {no_share} {k}") for k in (0, 1, 1.5)),
        *(
            (lambda g, f=f: f(X, X, seed(), groups=g), ((range(12), [3]),), r"\(12,\), \(1,\)")
            for f in (s.proxy_a_distance, s.mmd_test, s.density_ratio)
        ),
        (lambda: s.mmd_test(X, X, seed(), groups=([7] * 12, range(12))), (), "two patients of"),
        (lambda: s.density_ratio(X, X, seed(), groups=([7] * 12, range(12))), (), "1 and 12 pat"),
        (lambda: s.prevalence_test(Y, Y, groups=(Y, Y[:3])), (), r"\(12,\), \(3,\)"),
    ]
    faults = {
        f"{k}: {words}": (partial(f, *told), words) for k, (f, told, words) in enumerate(table)
    }
    assert untold(faults, lambda _, call: call(), ValueError) == {}
    monkeypatch.setattr(shifts, "NEWTON_STEPS", 2)  # a fit that does not settle is not returned
    with pytest.raises(ValueError, match="No logistic fit in 2 steps: look for extreme outliers"):
        shifts.concept_test(X, Y, X, Y, seed())
