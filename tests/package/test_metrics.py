"""The measures against numbers made elsewhere, against properties, and against bad input."""

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import norm, ttest_1samp
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    roc_auc_score,
)

from medxfer_utils import metrics

Array = np.ndarray[Any, Any]
Measure = Callable[[Any, Any], Any]

# 113 patients with aneurysmal subarachnoid haemorrhage: poor outcome (1), the WFNS grade, and the
# protein S100b in µg/l. Data set aSAH of the R package pROC (Robin et al., BMC Bioinformatics
# 2011, 12:77), first published by Turck et al. (Intensive Care Medicine 2010, 36:107-115).
OUTCOME = (
    "00001101001011001011101000000000100110110000000001100010001010011101101111000110100000010000"
    "000000001111110001000"
)
WFNS = (
    "11113254125255125225211112121134214541425511241125521251222151125214524414121421232421451154"
    "221113125225552445111"
)
S100B_HUNDREDTHS = (
    "13 14 10 4 13 10 47 16 18 10 12 10 44 71 4 8 49 4 7 33 9 9 7 11 7 17 7 11 13 19 5 16 41 14 34 "
    "35 48 9 96 25 50 46 16 7 43 45 11 8 9 86 52 8 6 13 207 10 14 15 7 6 77 5 9 30 3 9 4 23 70 9 "
    "27 71 8 26 8 16 9 13 10 8 11 33 11 28 7 10 32 22 7 5 24 38 10 15 8 14 10 7 4 19 56 14 58 32 "
    "82 74 15 47 17 44 15 50 48"
)
POOR = np.array(list(OUTCOME), dtype=int)
GRADE = np.array(list(WFNS), dtype=int)
PROTEIN = np.array(S100B_HUNDREDTHS.split(), dtype=int) / 100


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


def _cohort(rng: np.random.Generator, n: int = 300) -> tuple[Array, Array]:
    """`n` patients, a third of them ill, and probabilities that are related to it but not right."""
    y = (rng.random(n) < 1 / 3).astype(int)
    return y, expit(2 * rng.normal(size=n) + 1.5 * y)


# Lists of at least two ill and two healthy patients, with a few integer scores: many ties.
scores_of = st.lists(st.integers(-4, 4), min_size=2, max_size=12)


def _joined(ill: list[int], healthy: list[int]) -> tuple[Array, Array]:
    return np.repeat([1, 0], [len(ill), len(healthy)]), np.array(ill + healthy, dtype=float)


# --- discrimination: published values, R, scikit-learn -----------------------------------------


@pytest.mark.parametrize(
    ("y", "score", "area", "variance"),
    [  # pROC 1.18.0, var(roc(outcome, wfns)); a score of two values; ties between the classes
        (POOR, GRADE, 0.823678861788618, 0.00146991470882363),
        (POOR, PROTEIN, 0.731368563685637, 0.00266868245717244),
        (POOR, PROTEIN > 0.2, 0.719850948509485, 0.00200156425993627),
        ([0, 0, 0, 1, 1, 1], [1, 2, 3, 2, 3, 4], 0.777777777777778, 0.0432098765432099),
    ],
)
def test_delong_gives_the_published_areas_and_the_variances_of_proc(
    y: Any, score: Any, area: float, variance: float
) -> None:
    assert metrics.delong(y, score) == pytest.approx((area, variance))


def test_paired_delong_test_gives_the_published_comparison() -> None:
    difference, z, p = metrics.delong_test(POOR, GRADE, PROTEIN)
    assert difference == pytest.approx(0.8236789 - 0.7313686, abs=1e-6)
    assert (z, p) == pytest.approx((2.2089835914409077, 0.0271757822291882))
    assert metrics.delong_test(POOR, PROTEIN, GRADE) == pytest.approx((-difference, -z, p))


def test_logit_interval_agrees_with_r_and_brackets_the_published_plain_one() -> None:
    # R: plogis(qlogis(A) + c(-1, 1) * qnorm(.975) * sqrt(V) / (A * (1 - A))), A and V from pROC.
    assert metrics.auroc_interval(POOR, GRADE) == pytest.approx(
        (0.735764096647305, 0.886841844332612)
    )
    # Published for s100b without a transformation: 0.6301 to 0.8326. The logit moves both down.
    low, high = metrics.auroc_interval(POOR, PROTEIN)
    assert (low, high) == pytest.approx((0.6301, 0.8326), abs=0.015)
    assert low < 0.6301
    assert high < 0.8326


def test_differences_without_variance_are_not_tested() -> None:
    assert metrics.delong_test(POOR, PROTEIN, np.exp(PROTEIN)) == (0.0, 0.0, 1.0)
    y = [0, 0, 0, 1, 1, 1]
    assert metrics.delong_test(y, y, np.ones(6)) == pytest.approx(
        (0.5, np.nan, np.nan), nan_ok=True
    )


def test_interval_at_the_ends_is_the_exact_binomial_one() -> None:
    # Of 3 and 5 patients there are 3 disjoint pairs: Clopper-Pearson for 3 out of 3.
    for level, ill in itertools.product((0.9, 0.95), (3, 5)):
        bound = sm.stats.proportion_confint(3, 3, alpha=1 - level, method="beta")[0]
        y, score = np.repeat([1, 0], [ill, 8 - ill]), np.arange(8)
        assert metrics.auroc_interval(y, -score, level) == pytest.approx((bound, 1))
        assert metrics.auroc_interval(y, score, level) == pytest.approx((0, 1 - bound))


@pytest.mark.parametrize("area", [0.75, 0.97])
def test_logit_interval_covers_the_true_area_about_95_times_in_100(
    area: float, rng: np.random.Generator
) -> None:
    """Two normal distributions whose area is known, 40 ill and 60 healthy patients."""
    y = np.repeat([1, 0], [40, 60])
    shift = np.sqrt(2) * norm.ppf(area)
    intervals = [metrics.auroc_interval(y, rng.normal(size=100) + shift * y) for _ in range(1000)]
    covered = np.mean([low <= area <= high for low, high in intervals])
    assert 0.93 <= covered <= 0.98  # the standard error of 1,000 repeats is 0.007


def test_delong_variance_agrees_with_the_bootstrap(rng: np.random.Generator) -> None:
    low, high = metrics.bootstrap_interval(metrics.auroc, POOR, GRADE, rng=rng)
    error = (high - low) / (2 * norm.ppf(0.975))
    assert error == pytest.approx(np.sqrt(metrics.delong(POOR, GRADE)[1]), rel=0.1)


def test_thin_measures_equal_scikit_learn(rng: np.random.Generator) -> None:
    y, p = _cohort(rng)
    p = p.round(1)  # ties, zeros and ones
    assert metrics.auroc(y, p) == pytest.approx(roc_auc_score(y, p))
    assert metrics.average_precision(y, p) == pytest.approx(average_precision_score(y, p))
    assert metrics.brier(y, p) == pytest.approx(brier_score_loss(y, p))
    assert metrics.log_loss(y, p) == pytest.approx(log_loss(y, p))


@given(scores_of, scores_of, st.randoms(use_true_random=False))
def test_area_ignores_row_order_and_monotone_change(
    ill: list[int], healthy: list[int], random: Any
) -> None:
    y, score = _joined(ill, healthy)
    order = random.sample(range(len(y)), len(y))
    expected = metrics.delong(y, score)
    assert metrics.delong(y[order], score[order]) == pytest.approx(expected, abs=1e-12)
    assert metrics.delong(y, np.exp(score) - 7) == pytest.approx(expected, abs=1e-12)
    assert metrics.auroc(y, score) == pytest.approx(expected[0])


@given(scores_of, scores_of)
def test_turning_the_score_round_mirrors_area_and_interval(
    ill: list[int], healthy: list[int]
) -> None:
    y, score = _joined(ill, healthy)
    low, high = metrics.auroc_interval(y, score)
    assert metrics.auroc(y, -score) == pytest.approx(1 - metrics.auroc(y, score))
    assert metrics.auroc_interval(y, -score) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    assert 0 <= low <= metrics.auroc(y, score) + 1e-12
    assert metrics.auroc(y, score) <= high <= 1


# --- decisions ---------------------------------------------------------------------------------


def test_operating_point_equals_proc_and_the_confusion_table() -> None:
    # pROC 1.18.0, coords at 0.215: 26 true and 14 false positives, 58 and 15 negatives.
    expected = {
        "sensitivity": 0.634146341463415, "specificity": 0.805555555555556, "PPV": 0.65,
        "NPV": 0.794520547945205, "accuracy": 0.743362831858407,
    }  # fmt: skip
    assert metrics.operating_point(POOR, PROTEIN, 0.215) == pytest.approx(expected)
    assert confusion_matrix(POOR, PROTEIN >= 0.215).ravel().tolist() == [58, 14, 15, 26]
    # A score at the threshold is called ill.
    assert metrics.operating_point([0, 1, 1], [0.1, 0.5, 0.4], 0.5)["sensitivity"] == 0.5


def test_predictive_values_follow_bayes_at_another_prevalence() -> None:
    # By hand: sensitivity 3/4, specificity 4/5, prevalence 1/10 of 1,000 people:
    # 75 of 100 ill called, 180 of 900 healthy called; 720 and 25 not called.
    y, called = [1, 1, 1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 0, 1, 0, 0, 0, 0]
    point = metrics.operating_point(y, called, 0.5, prevalence=0.1)
    assert [*point.values()] == pytest.approx([3 / 4, 4 / 5, 75 / 255, 720 / 745, 0.795])


def test_a_rate_of_nobody_is_nan() -> None:
    healthy_only = metrics.operating_point([0, 0, 0], [0.1, 0.2, 0.9], 0.5)
    assert np.isnan(healthy_only["sensitivity"])
    assert healthy_only["PPV"] == 0
    assert healthy_only["specificity"] == pytest.approx(2 / 3)
    nobody_called = metrics.operating_point([0, 1], [0.1, 0.2], 0.5)
    assert np.isnan(nobody_called["PPV"])
    assert nobody_called["NPV"] == 0.5


@given(scores_of, scores_of, st.integers(1, 100))
def test_threshold_is_the_highest_that_reaches_the_sensitivity(
    ill: list[int], healthy: list[int], percent: int
) -> None:
    y, score = _joined(ill, healthy)
    threshold = metrics.threshold_at_sensitivity(y, score, percent / 100)
    found = np.array(ill)
    assert 100 * (found >= threshold).sum() >= percent * len(ill)
    assert 100 * (found > threshold).sum() < percent * len(ill)


def test_threshold_is_not_one_patient_too_low_by_rounding() -> None:
    # 0.07 * 100 is 7.000000000000001 in floating point; seven of a hundred are enough.
    y, score = np.repeat([1, 0], [100, 1]), np.arange(101)
    assert metrics.threshold_at_sensitivity(y, score, 0.07) == 93


# --- calibration -------------------------------------------------------------------------------


def test_calibration_equals_glm_of_r() -> None:
    # R 4.2: coef(glm(y ~ 1, binomial, offset = lp)) and coef(glm(y ~ lp, binomial))["lp"].
    p = expit(-3 + 8 * PROTEIN)
    expected = (0.55239719428335, 0.6130401221671812)
    assert metrics.calibration(POOR, p) == pytest.approx(expected, rel=1e-6)


def test_calibration_equals_statsmodels(rng: np.random.Generator) -> None:
    y, p = _cohort(rng)
    family = sm.families.Binomial()
    fit = sm.GLM(y, np.ones((len(y), 1)), family=family, offset=logit(p)).fit()
    slope = sm.GLM(y, sm.add_constant(logit(p)), family=family).fit().params[1]
    assert metrics.calibration(y, p) == pytest.approx((fit.params[0], slope), abs=1e-6)


def test_calibration_undoes_a_known_distortion(rng: np.random.Generator) -> None:
    right = expit(rng.normal(size=40_000))
    y = rng.random(40_000) < right
    assert metrics.calibration(y, right) == pytest.approx((0, 1), abs=0.05)
    # Twice too extreme: slope 1/2. Odds lowered by e in everybody: intercept 1.
    assert metrics.calibration(y, expit(2 * logit(right)))[1] == pytest.approx(0.5, abs=0.03)
    assert metrics.calibration(y, expit(logit(right) - 1)) == pytest.approx((1, 1), abs=0.05)


def test_calibration_intercept_holds_for_certain_and_wrong_predictions() -> None:
    # Zeros and ones are kept one epsilon away: a large finite number, the same on both sides.
    # The ordinary GLM fit diverges to 1e15 on such data and says that it converged.
    y = [0, 0, 0, 1, 1, 1, 0, 1]
    p = [0, 0, 0, 1, 1, 1, 1, 0]
    intercept, slope = metrics.calibration(y, p)
    assert intercept == pytest.approx(0, abs=1e-6)
    # Three of four are right at either end: log odds 3 against log odds 1 / epsilon.
    assert slope == pytest.approx(np.log(3) / -np.log(np.finfo(float).eps), rel=1e-6)


@given(st.lists(st.floats(0, 1), min_size=4, max_size=30), st.integers(1, 29))
def test_calibration_intercept_makes_the_mean_probability_right(p: list[float], cut: int) -> None:
    y = (np.arange(len(p)) < min(cut, len(p) - 1)).astype(int)
    intercept, _ = metrics.calibration(y, p)
    epsilon = np.finfo(float).eps
    shifted = expit(logit(np.clip(p, epsilon, 1 - epsilon)) + intercept)
    assert shifted.mean() == pytest.approx(y.mean(), abs=1e-6)


def test_calibration_slope_is_nan_where_no_finite_one_exists() -> None:
    for p in (
        [0.1, 0.2, 0.3, 0.7, 0.8, 0.9],  # separated
        [0.9, 0.8, 0.7, 0.3, 0.2, 0.1],  # separated, the wrong way round
        [0.1, 0.2, 0.5, 0.5, 0.8, 0.9],  # separated but for one shared value
        [0.4, 0.4, 0.4, 0.4, 0.4, 0.4],  # nothing to have a slope on
    ):
        intercept, slope = metrics.calibration([0, 0, 0, 1, 1, 1], p)
        assert np.isnan(slope)
        assert np.isfinite(intercept)


def test_calibration_error_and_brier_of_four_patients_by_hand() -> None:
    y, p = [0, 1, 1, 0], [0.1, 0.3, 0.8, 0.9]
    # Two bins: (0.1, 0.3) promise 0.2, observe 1/2; (0.8, 0.9) promise 0.85, observe 1/2.
    assert metrics.expected_calibration_error(y, p, bins=2) == pytest.approx((0.3 + 0.35) / 2)
    # Ten bins, one patient each: 0.1, 0.7, 0.2 and 0.9 away.
    assert metrics.expected_calibration_error(y, p) == pytest.approx((0.1 + 0.7 + 0.2 + 0.9) / 4)
    assert metrics.brier(y, p) == pytest.approx((0.01 + 0.49 + 0.04 + 0.81) / 4)


def test_probabilities_of_healthy_patients_only_are_still_judged() -> None:
    y, p = [0, 0], [0.1, 0.3]
    assert metrics.brier(y, p) == pytest.approx((0.01 + 0.09) / 2)
    assert metrics.log_loss(y, p) == pytest.approx(-(np.log(0.9) + np.log(0.7)) / 2)
    assert metrics.expected_calibration_error(y, p) == pytest.approx(0.2)
    # Bins weigh as many as their patients: three promise 0.2, one of them 0.9.
    y, p = [0, 0, 0, 1], [0.2, 0.2, 0.2, 0.9]
    assert metrics.expected_calibration_error(y, p, bins=2) == pytest.approx((3 * 0.2 + 0.1) / 4)


def test_reliability_curve_has_wilson_intervals_and_no_empty_bins() -> None:
    curve = metrics.reliability_curve(POOR, expit(-3 + 8 * PROTEIN))
    assert curve["patients"].sum() == 113
    assert curve["patients"].min() > 0
    # R 4.2: prop.test(9, 44, correct = FALSE) and prop.test(3, 5, correct = FALSE).
    assert curve[["observed", "low", "high"]].to_numpy()[0] == pytest.approx(
        [9 / 44, 0.111532530700813, 0.345005780611017]
    )
    assert curve[["low", "high"]].to_numpy()[3] == pytest.approx(
        [0.230724281276013, 0.882379225767352]
    )


def test_bins_are_closed_on_the_right_and_hold_zero_and_one() -> None:
    curve = metrics.reliability_curve([0, 1, 1, 1], [0.0, 0.5, 0.6, 1.0], bins=2)
    assert curve["patients"].tolist() == [2, 2]
    assert metrics.reliability_curve([0, 1], [0.0, 1.0]).index.tolist() == [0, 9]


# --- intervals over patients and over draws ----------------------------------------------------


def test_bootstrap_draws_patients_not_rows(rng: np.random.Generator) -> None:
    """Four identical rows for each patient add no information."""
    y, p = _cohort(rng, 80)
    rows = np.repeat(np.arange(80), 4)

    def interval(y: Array, p: Array, groups: Array | None = None) -> tuple[float, float]:
        seeded = np.random.default_rng(1)
        return metrics.bootstrap_interval(
            metrics.auroc, y, p, groups=groups, repeats=500, rng=seeded
        )

    alone = interval(y, p)
    assert interval(y[rows], p[rows], np.char.add("patient ", rows.astype(str))) == pytest.approx(
        alone
    )
    by_row = interval(y[rows], p[rows])
    assert by_row[1] - by_row[0] < 0.7 * (alone[1] - alone[0])  # half, in the long run


def test_bootstrap_keeps_every_row_of_a_drawn_patient(rng: np.random.Generator) -> None:
    groups = np.array([2, 0, 1, 2, 1, 2])
    seen: list[Array] = []

    def remember(y: Array, row: Array) -> float:
        seen.append(row)
        return 0.0

    metrics.bootstrap_interval(
        remember, [0, 0, 1, 1, 1, 0], np.arange(6.0), groups=groups, repeats=50, rng=rng
    )
    counts = np.array([np.bincount(rows.astype(int), minlength=6) for rows in seen])
    for rows in ([0, 3, 5], [2, 4]):
        assert (counts[:, rows] == counts[:, rows[:1]]).all()
    assert (counts[:, [0, 1, 2]].sum(axis=1) == 3).all()  # as many draws as patients


def test_bootstrap_of_a_paired_difference_agrees_with_the_paired_delong_test(
    rng: np.random.Generator,
) -> None:
    low, high = metrics.bootstrap_interval(
        lambda y, a, b: metrics.auroc(y, a) - metrics.auroc(y, b), POOR, GRADE, PROTEIN, rng=rng
    )
    # pROC 1.18.0 gives 0.0104 to 0.1742 for the difference by DeLong's method.
    assert (low, high) == pytest.approx((0.0104, 0.1742), abs=0.015)


def test_bootstrap_redraws_resamples_of_one_class(rng: np.random.Generator) -> None:
    # With one ill patient of ten every third resample lacks them; auroc would raise there.
    y, score = np.arange(10) == 0, np.arange(10.0)
    assert metrics.bootstrap_interval(metrics.auroc, y, score, repeats=200, rng=rng) == (0, 0)


def test_bootstrap_reproduces_from_the_generator() -> None:
    first, again, other = (
        metrics.bootstrap_interval(
            metrics.auroc, POOR, PROTEIN, repeats=100, rng=np.random.default_rng(seed)
        )
        for seed in (3, 3, 4)
    )
    assert first == again != other


def test_draws_that_share_a_source_count_once() -> None:
    # Two networks, .1 apart, ten draws each: what a third would do is hardly known.
    rng = np.random.default_rng(0)
    network = np.repeat([0, 1], 10)
    differences = 0.1 * network + rng.normal(0, 0.001, 20)
    mean, low, high = metrics.mean_interval(differences, groups=network)
    means = [differences[network == k].mean() for k in (0, 1)]
    wanted = ttest_1samp(means, 0).confidence_interval()
    assert (mean, low, high) == pytest.approx((np.mean(means), *wanted))
    assert high - low > 5 * np.diff(metrics.mean_interval(differences)[1:])


def test_an_interval_over_sources_covers_as_it_says() -> None:
    # Networks and draws both vary; the truth is 0. Over draws alone it would cover too rarely.
    rng, network, inside = np.random.default_rng(1), np.tile(range(4), 5), []
    for _ in range(2000):
        differences = rng.normal(0, 1, 4)[network] + rng.normal(0, 1, 20)
        both = [metrics.mean_interval(differences, groups=g)[1:] for g in (network, None)]
        inside.append([low < 0 < high for low, high in both])
    grouped, pooled = np.mean(inside, axis=0)
    assert 0.93 < grouped < 0.97
    assert pooled < 0.85


def test_mean_interval_equals_t_test_of_r() -> None:
    # R 4.2: t.test(c(0.01, 0.03, -0.02, 0.05, 0.02))$conf.int
    assert metrics.mean_interval([0.01, 0.03, -0.02, 0.05, 0.02]) == pytest.approx(
        (0.018, -0.0141396757073199, 0.0501396757073199)
    )


def test_summary_puts_every_measure_under_its_name() -> None:
    p = expit(-3 + 8 * PROTEIN)
    intercept, slope = metrics.calibration(POOR, p)
    assert metrics.summary(POOR, p, 0.3) == {
        "AUROC": metrics.auroc(POOR, p),
        "AP": metrics.average_precision(POOR, p),
        **metrics.operating_point(POOR, p, 0.3),
        "Brier": metrics.brier(POOR, p),
        "log loss": metrics.log_loss(POOR, p),
        "calibration intercept": intercept,
        "calibration slope": slope,
        "ECE": metrics.expected_calibration_error(POOR, p),
    }


# --- what is accepted and what is refused ------------------------------------------------------


@pytest.mark.parametrize("kind", [list, np.array, pd.Series, lambda v: np.asarray(v, dtype=bool)])
def test_labels_may_come_as_any_sequence(kind: Callable[[Any], Any]) -> None:
    assert metrics.auroc(kind([0, 1, 0, 1]), pd.Series([1, 2, 3, 4], index=[7, 5, 3, 1])) == 0.75


def test_single_precision_certainty_is_judged_by_its_own_epsilon() -> None:
    p = np.array([1.0, 1.0, 0.0, 0.0], dtype=np.float32)  # a saturated sigmoid
    expected = -np.log(np.finfo(np.float32).eps) / 4
    assert metrics.log_loss([1, 0, 0, 0], p) == pytest.approx(expected, rel=1e-3)


BOTH_CLASSES: list[Measure] = [
    metrics.auroc, metrics.delong, metrics.auroc_interval,
    lambda y, s: metrics.delong_test(y, s, s),
    metrics.average_precision, metrics.threshold_at_sensitivity,
    lambda y, s: metrics.bootstrap_interval(metrics.auroc, y, s, rng=np.random.default_rng(0)),
    lambda y, s: metrics.operating_point(y, s, 0.5, prevalence=0.1),
]  # fmt: skip
BOTH_CLASSES_PROBABLE: list[Measure] = [
    metrics.calibration, lambda y, p: metrics.summary(y, p, 0.5),
]  # fmt: skip
ONE_CLASS: list[Measure] = [lambda y, s: metrics.operating_point(y, s, 0.5)]
ONE_CLASS_PROBABLE: list[Measure] = [
    metrics.brier, metrics.log_loss, metrics.reliability_curve, metrics.expected_calibration_error,
]  # fmt: skip
ALL = BOTH_CLASSES + BOTH_CLASSES_PROBABLE + ONE_CLASS + ONE_CLASS_PROBABLE


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


@pytest.mark.parametrize(
    ("y", "score", "message"),
    [
        ([0, 1, 1], [0.1, 0.2], "y has 3 rows but score( 1)? has 2"),
        ([0, 1, 1], [0.1, np.nan, np.inf], r"2 of 3 values, the first at position 1 \(nan\)"),
        ([0, 1, 2, 9], [0.1] * 4, r"labels other than 0 and 1 \(2, 9\)"),
        (["M", "B"], [0.1] * 2, r"labels other than 0 and 1 \('M', 'B'\)"),
        ([0, 1, np.nan], [0.1] * 3, r"labels other than 0 and 1 \(nan\)"),
        ([], [], "y is empty"),
        ([0, 1], [[0.1], [0.2]], r"score( 1)? has shape \(2, 1\), not \(n,\)"),
        ([[0], [1]], [0.1, 0.2], r"y has shape \(2, 1\), not \(n,\)"),
    ],
)
def test_bad_input_is_refused_everywhere(y: Any, score: Any, message: str) -> None:
    assert accepted(*((measure, (y, score), message) for measure in ALL)) == []


def test_what_cannot_be_measured_is_refused() -> None:
    probable, both = (
        BOTH_CLASSES_PROBABLE + ONE_CLASS_PROBABLE,
        BOTH_CLASSES + BOTH_CLASSES_PROBABLE,
    )
    missed = accepted(
        *(
            (f, ([0, 1, 1], [0.1, 1.0, p]), rf"1 of 3 .* position 2 \({p}\), are outside \[0, 1\]")
            for f, p in itertools.product(probable, (-0.1, 1.5))
        ),
        *(
            (f, ([y] * 3, [0.1, 0.2, 0.3]), rf"holds class {y} only \(3 rows\)")
            for f, y in itertools.product(both, (0, 1))
        ),
        (metrics.delong_test, ([0, 1], [0.1, 0.2], [0.1, 0.2, 0.3]), "but score 2 has 3"),
        (metrics.delong_test, ([0, 1], [0.1, 0.2], [0.1, np.nan]), "score 2: 1 of 2 values"),
        (metrics.delong, ([1, 0, 0, 0], [0.4, 0.3, 0.2, 0.1]), "1 ill and 3 healthy patients"),
        *(
            (metrics.mean_interval, (d,), "one-dimensional, finite and at least two")
            for d in ([0.1], [0.1, np.nan], [[0.1, 0.2]])
        ),
        *(
            (metrics.threshold_at_sensitivity, ([0, 1], [0.1, 0.2], share), f"not {share}")
            for share in (0, 1.1)
        ),
        *(
            (metrics.operating_point, ([0, 1], [0.1, 0.2], 0.5, k), f"between 0 and 1, not {k}")
            for k in (0, 1, 1.5)
        ),
        (metrics.reliability_curve, ([0, 1], [0.1, 0.2], 0), "bins must be at least 1, not 0"),
    )
    assert missed == []


@pytest.mark.parametrize(
    ("groups", "message"),
    [([1, 2], "it has 2 rows"), ([1, 2, None, 3], "1 missing"), ([5, 5, 5, 5], "1 patients")],
)
def test_bad_groups_are_refused(groups: Any, message: str, rng: np.random.Generator) -> None:
    y, p = [0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4]
    with pytest.raises(ValueError, match=message):
        metrics.bootstrap_interval(metrics.auroc, y, p, groups=groups, rng=rng)
