"""The measures against numbers made elsewhere, against properties, and against bad input."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import norm, ttest_1samp
from sklearn import metrics as sklearn_metrics

from medxfer_utils import metrics
from tests.faults import untold

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
RISK = expit(-3 + 8 * PROTEIN)


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


# --- numbers made elsewhere ----------------------------------------------------------------------

BY_R: dict[str, tuple[Any, Any]] = {  # pROC 1.18.0 and R 4.2: what we find, and what they say
    "var(roc(outcome, wfns))": (
        metrics.delong(POOR, GRADE), (0.823678861788618, 0.00146991470882363)),
    "var(roc(outcome, s100b))": (
        metrics.delong(POOR, PROTEIN), (0.731368563685637, 0.00266868245717244)),
    "a score of two values": (
        metrics.delong(POOR, PROTEIN > 0.2), (0.719850948509485, 0.00200156425993627)),
    "ties between the classes": (
        metrics.delong([0, 0, 0, 1, 1, 1], [1, 2, 3, 2, 3, 4]),
        (0.777777777777778, 0.0432098765432099)),
    "plogis(qlogis(A) + c(-1, 1) * qnorm(.975) * sqrt(V) / (A * (1 - A)))": (
        metrics.auroc_interval(POOR, GRADE), (0.735764096647305, 0.886841844332612)),
    "coords at 0.215": (
        [*metrics.operating_point(POOR, PROTEIN, 0.215).values()],
        (0.634146341463415, 0.805555555555556, 0.65, 0.794520547945205, 0.743362831858407)),
    "coef(glm(y ~ 1, offset = lp)), coef(glm(y ~ lp))": (
        metrics.calibration(POOR, RISK), (0.55239719428335, 0.6130401221671812)),
    "t.test(c(0.01, 0.03, -0.02, 0.05, 0.02))$conf.int": (
        metrics.mean_interval([0.01, 0.03, -0.02, 0.05, 0.02]),
        (0.018, -0.0141396757073199, 0.0501396757073199)),
}  # fmt: skip


def test_measures_are_those_of_r() -> None:
    odd = {k: v for k, v in BY_R.items() if v[0] != pytest.approx(v[1], rel=1e-6)}
    assert odd == {}
    # Published for s100b without a transformation: 0.6301 to 0.8326. The logit moves both down.
    low, high = metrics.auroc_interval(POOR, PROTEIN)
    assert (low, high) == pytest.approx((0.6301, 0.8326), abs=0.015)
    assert (low < 0.6301) & (high < 0.8326)


def test_measures_are_those_of_scikit_learn_and_statsmodels(rng: np.random.Generator) -> None:
    y, p = _cohort(rng)
    family = sm.families.Binomial()
    fit = sm.GLM(y, np.ones((len(y), 1)), family=family, offset=logit(p)).fit()
    slope = sm.GLM(y, sm.add_constant(logit(p)), family=family).fit().params[1]
    assert metrics.calibration(y, p) == pytest.approx((fit.params[0], slope), abs=1e-6)
    p = p.round(1)  # ties, zeros and ones
    theirs = ("roc_auc_score", "average_precision_score", "brier_score_loss", "log_loss")
    ours = (metrics.auroc, metrics.average_precision, metrics.brier, metrics.log_loss)
    for measure, name in zip(ours, theirs, strict=True):
        assert measure(y, p) == pytest.approx(getattr(sklearn_metrics, name)(y, p)), name


def test_interval_at_the_ends_is_the_exact_binomial_one_and_none_is_made_of_nothing() -> None:
    # Of 3 and 5 patients there are 3 disjoint pairs: Clopper-Pearson for 3 out of 3.
    for level, ill in itertools.product((0.9, 0.95), (3, 5)):
        bound = sm.stats.proportion_confint(3, 3, alpha=1 - level, method="beta")[0]
        y, score = np.repeat([1, 0], [ill, 8 - ill]), np.arange(8)
        assert metrics.auroc_interval(y, -score, level) == pytest.approx((bound, 1))
        assert metrics.auroc_interval(y, score, level) == pytest.approx((0, 1 - bound))
    assert np.isnan(metrics.auroc_interval([0, 0, 1, 1, 1], [0.3] * 5)).all()
    assert np.isnan(boot([0, 0, 1, 1, 1], [0.3] * 5)).all()
    assert boot([0, 0, 1, 1, 1], [0.3] * 4 + [0.4])[0] == 0.5


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


@given(scores_of, scores_of, st.randoms(use_true_random=False))
def test_area_ignores_row_order_and_monotone_change_and_is_mirrored_by_the_score(
    ill: list[int], healthy: list[int], random: Any
) -> None:
    y, score = _joined(ill, healthy)
    order = random.sample(range(len(y)), len(y))
    expected = metrics.delong(y, score)
    assert metrics.delong(y[order], score[order]) == pytest.approx(expected, abs=1e-12)
    assert metrics.delong(y, np.exp(score) - 7) == pytest.approx(expected, abs=1e-12)
    assert metrics.auroc(y, score) == pytest.approx(expected[0])
    assert metrics.auroc(y, -score) == pytest.approx(1 - expected[0])
    low, high = metrics.auroc_interval(y, score)
    mirrored = pytest.approx((1 - high, 1 - low), abs=1e-9, nan_ok=True)
    assert metrics.auroc_interval(y, -score) == mirrored
    assert np.isnan(low) or 0 <= low <= expected[0] + 1e-12 <= high + 1e-9 <= 1 + 1e-9


# --- decisions, by hand --------------------------------------------------------------------------


def test_operating_points_by_hand() -> None:
    # pROC: 26 true and 14 false positives, 58 and 15 negatives.
    table = sklearn_metrics.confusion_matrix(POOR, PROTEIN >= 0.215)
    assert table.ravel().tolist() == [58, 14, 15, 26]
    # A score at the threshold is called ill.
    assert metrics.operating_point([0, 1, 1], [0.1, 0.5, 0.4], 0.5)["sensitivity"] == 0.5
    # Sensitivity 3/4, specificity 4/5, prevalence 1/10 of 1,000 people:
    # 75 of 100 ill called, 180 of 900 healthy called; 720 and 25 not called.
    y, called = [1, 1, 1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 0, 1, 0, 0, 0, 0]
    point = metrics.operating_point(y, called, 0.5, prevalence=0.1)
    assert [*point.values()] == pytest.approx([3 / 4, 4 / 5, 75 / 255, 720 / 745, 0.795])
    # A rate of nobody is NaN.
    healthy = metrics.operating_point([0, 0, 0], [0.1, 0.2, 0.9], 0.5)
    assert [*healthy.values()][:3] == pytest.approx([np.nan, 2 / 3, 0], nan_ok=True)
    nobody = metrics.operating_point([0, 1], [0.1, 0.2], 0.5)
    assert [nobody["PPV"], nobody["NPV"]] == pytest.approx([np.nan, 0.5], nan_ok=True)


# --- calibration ---------------------------------------------------------------------------------


def test_calibration_holds_at_the_edges() -> None:
    # Zeros and ones are kept one epsilon away: a large finite number, the same on both sides.
    # The ordinary GLM fit diverges to 1e15 on such data and says that it converged.
    intercept, slope = metrics.calibration([0, 0, 0, 1, 1, 1, 0, 1], [0, 0, 0, 1, 1, 1, 1, 0])
    assert intercept == pytest.approx(0, abs=1e-6)
    # Three of four are right at either end: log odds 3 against log odds 1 / epsilon.
    assert slope == pytest.approx(np.log(3) / -np.log(np.finfo(float).eps), rel=1e-6)
    for p in (
        [0.1, 0.2, 0.3, 0.7, 0.8, 0.9],  # separated
        [0.9, 0.8, 0.7, 0.3, 0.2, 0.1],  # separated, the wrong way round
        [0.1, 0.2, 0.5, 0.5, 0.8, 0.9],  # separated but for one shared value
        [0.4, 0.4, 0.4, 0.4, 0.4, 0.4],  # nothing to have a slope on
    ):
        found = np.isfinite(metrics.calibration([0, 0, 0, 1, 1, 1], p))
        assert found.tolist() == [True, False], p


@given(st.lists(st.floats(0, 1), min_size=4, max_size=30), st.integers(1, 29))
def test_calibration_intercept_makes_the_mean_probability_right(p: list[float], cut: int) -> None:
    y = (np.arange(len(p)) < min(cut, len(p) - 1)).astype(int)
    intercept, _ = metrics.calibration(y, p)
    epsilon = np.finfo(float).eps
    shifted = expit(logit(np.clip(p, epsilon, 1 - epsilon)) + intercept)
    assert shifted.mean() == pytest.approx(y.mean(), abs=1e-6)


def test_errors_of_a_few_patients_by_hand() -> None:
    ece, y, p = metrics.expected_calibration_error, [0, 1, 1, 0], [0.1, 0.3, 0.8, 0.9]
    single = np.array([1.0, 1.0, 0.0, 0.0], dtype=np.float32)  # a saturated sigmoid
    by_hand = [
        # Two bins: (0.1, 0.3) promise 0.2, observe 1/2; (0.8, 0.9) promise 0.85, observe 1/2.
        (ece(y, p, bins=2), (0.3 + 0.35) / 2),
        # Ten bins, one patient each: 0.1, 0.7, 0.2 and 0.9 away.
        (ece(y, p), (0.1 + 0.7 + 0.2 + 0.9) / 4),
        (metrics.brier(y, p), (0.01 + 0.49 + 0.04 + 0.81) / 4),
        # Healthy patients only are still judged.
        (metrics.brier([0, 0], [0.1, 0.3]), (0.01 + 0.09) / 2),
        (metrics.log_loss([0, 0], [0.1, 0.3]), -(np.log(0.9) + np.log(0.7)) / 2),
        (ece([0, 0], [0.1, 0.3]), 0.2),
        # Bins weigh as many as their patients: three promise 0.2, one of them 0.9.
        (ece([0, 0, 0, 1], [0.2, 0.2, 0.2, 0.9], bins=2), (3 * 0.2 + 0.1) / 4),
        # Bins are closed on the right: 0 and 0.5 promise 0.25, observe 0; 0.6 and 1 promise 0.8.
        (ece([0, 0, 1, 1], [0.0, 0.5, 0.6, 1.0], bins=2), (2 * 0.25 + 2 * 0.2) / 4),
        # Certainty in single precision is judged by its own epsilon.
        (metrics.log_loss([1, 0, 0, 0], single), -np.log(np.finfo(np.float32).eps) / 4),
    ]
    found, wanted = zip(*by_hand, strict=True)
    assert found == pytest.approx(wanted, rel=1e-3)


# --- intervals over patients ---------------------------------------------------------------------


def test_bootstrap_agrees_with_delong_and_has_a_seed() -> None:
    def of(statistic: Any, *scores: Any, repeats: int = 2000, seed: int = 20) -> Any:
        rng = np.random.default_rng(seed)
        return metrics.bootstrap_interval(statistic, POOR, *scores, repeats=repeats, rng=rng)

    low, high = of(metrics.auroc, GRADE)
    error = (high - low) / (2 * norm.ppf(0.975))
    assert error == pytest.approx(np.sqrt(metrics.delong(POOR, GRADE)[1]), rel=0.1)
    # pROC 1.18.0 gives 0.0104 to 0.1742 for the difference by DeLong's method.
    difference = of(lambda y, a, b: metrics.auroc(y, a) - metrics.auroc(y, b), GRADE, PROTEIN)
    assert difference == pytest.approx((0.0104, 0.1742), abs=0.015)
    first, again, other = (of(metrics.auroc, PROTEIN, repeats=100, seed=s) for s in (3, 3, 4))
    assert first == again != other


def test_bootstrap_draws_patients_with_all_their_rows(rng: np.random.Generator) -> None:
    """Four identical rows for each patient add no information."""
    y, p = _cohort(rng, 80)
    rows = np.repeat(np.arange(80), 4)

    def interval(y: Array, p: Array, groups: Array | None = None) -> tuple[float, float]:
        told: dict[str, Any] = {"groups": groups, "repeats": 500, "rng": np.random.default_rng(1)}
        return metrics.bootstrap_interval(metrics.auroc, y, p, **told)

    alone, named = interval(y, p), np.char.add("patient ", rows.astype(str))
    assert interval(y[rows], p[rows], named) == pytest.approx(alone)
    by_row = interval(y[rows], p[rows])
    assert by_row[1] - by_row[0] < 0.7 * (alone[1] - alone[0])  # half, in the long run

    seen: list[Array] = []

    def remember(y: Array, row: Array) -> float:
        seen.append(row)
        return 0.0

    told: dict[str, Any] = {"groups": np.array([2, 0, 1, 2, 1, 2]), "repeats": 50, "rng": rng}
    metrics.bootstrap_interval(remember, [0, 0, 1, 1, 1, 0], np.arange(6.0), **told)
    counts = np.array([np.bincount(r.astype(int), minlength=6) for r in seen])
    assert (counts[:, [0, 2]] == counts[:, [3, 4]]).all()
    assert (counts[:, 0] == counts[:, 5]).all()
    assert (counts[:, [0, 1, 2]].sum(axis=1) == 3).all()  # as many draws as patients


def test_bootstrap_redraws_resamples_of_one_class(rng: np.random.Generator) -> None:
    # With one ill patient of ten every third resample lacks them; auroc would raise there.
    y, score = np.arange(10) == 0, np.arange(10.0)
    assert metrics.bootstrap_interval(metrics.auroc, y, score, repeats=200, rng=rng) == (0, 0)


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


def test_summary_puts_every_measure_under_its_name() -> None:
    intercept, slope = metrics.calibration(POOR, RISK)
    assert metrics.summary(POOR, RISK, 0.3) == {
        "AUROC": metrics.auroc(POOR, RISK),
        "AP": metrics.average_precision(POOR, RISK),
        **metrics.operating_point(POOR, RISK, 0.3),
        "Brier": metrics.brier(POOR, RISK),
        "log loss": metrics.log_loss(POOR, RISK),
        "calibration intercept": intercept,
        "calibration slope": slope,
        "ECE": metrics.expected_calibration_error(POOR, RISK),
    }


# --- what is accepted and what is refused --------------------------------------------------------


@pytest.mark.parametrize("kind", [list, np.array, pd.Series, lambda v: np.asarray(v, dtype=bool)])
def test_labels_may_come_as_any_sequence(kind: Callable[[Any], Any]) -> None:
    assert metrics.auroc(kind([0, 1, 0, 1]), pd.Series([1, 2, 3, 4], index=[7, 5, 3, 1])) == 0.75


def boot(y: Any, s: Any, **told: Any) -> Any:
    return metrics.bootstrap_interval(metrics.auroc, y, s, rng=np.random.default_rng(0), **told)


def boot_of_two(y: Any, a: Any, b: Any) -> Any:
    rng = np.random.default_rng(0)
    return metrics.bootstrap_interval(lambda y, a, b: 0.0, y, a, b, rng=rng)


RANKED: dict[str, Measure] = {  # need both classes
    name: getattr(metrics, name)
    for name in ("auroc", "delong", "auroc_interval", "average_precision")
} | {
    "bootstrap_interval": boot,
    "at a prevalence": lambda y, s: metrics.operating_point(y, s, 0.5, prevalence=0.1),
}
BOTH = {"calibration": metrics.calibration, "summary": lambda y, p: metrics.summary(y, p, 0.5)}
PROBABLE: dict[str, Measure] = {
    name: getattr(metrics, name) for name in ("brier", "log_loss", "expected_calibration_error")
}
ANY = {"operating_point": lambda y, s: metrics.operating_point(y, s, 0.5)}
BAD: list[tuple[dict[str, Measure], Any, Any, str]] = [
    *((RANKED | BOTH | PROBABLE | ANY, *fault) for fault in (
        ([0, 1, 1], [0.1, 0.2], "y has 3 rows but score( 1)? has 2"),
        ([0, 1, 1], [0.1, np.nan, np.inf], r"2 of 3 values, the first at position 1 \(nan\)"),
        ([0, 1, 2, 9], [0.1] * 4, r"labels other than 0 and 1 \(2, 9\)"),
        (["M", "B"], [0.1] * 2, r"labels other than 0 and 1 \('M', 'B'\)"),
        ([0, 1, np.nan], [0.1] * 3, r"labels other than 0 and 1 \(nan\)"),
        ([], [], "y is empty"),
        ([0, 1], [[0.1], [0.2]], r"score( 1)? has shape \(2, 1\), not \(n,\)"),
        ([[0], [1]], [0.1, 0.2], r"y has shape \(2, 1\), not \(n,\)"),
    )),
    *((BOTH | PROBABLE, [0, 1, 1], [0.1, 1.0, p], rf"1 of 3 .* 2 \({p}\), are outside \[0, 1\]")
      for p in (-0.1, 1.5)),
    *((RANKED | BOTH, [y] * 3, [0.1, 0.2, 0.3], rf"holds class {y} only \(3 rows\)")
      for y in (0, 1)),
]  # fmt: skip


def test_what_cannot_be_measured_is_refused_everywhere() -> None:
    faults: dict[str, tuple[Callable[[], Any], str]] = {
        f"{name} of {y}, {score}": (partial(measure, y, score), words)
        for measures, y, score, words in BAD
        for name, measure in measures.items()
    }
    y, p, m = [0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], metrics
    more: list[tuple[Callable[..., Any], tuple[Any, ...], str]] = [
        (boot_of_two, ([0, 1], [0.1, 0.2], [0.1, 0.2, 0.3]), "but score 2 has 3"),
        (boot_of_two, ([0, 1], [0.1, 0.2], [0.1, np.nan]), "score 2: 1 of 2 values"),
        (m.delong, ([1, 0, 0, 0], p), "1 ill and 3 healthy patients"),
        *((m.mean_interval, (d,), "one-dim.*at least two") for d in ([0.1], [0, np.nan], [[0, 1]])),
        *((m.operating_point, (y, p, 0.5, k), f"between 0 and 1, not {k}") for k in (0, 1, 30)),
        (m.operating_point, (y, p, np.nan), "threshold is NaN"),
        (m.expected_calibration_error, (y, p, 0), "bins must be at least 1, not 0"),
        *((m.auroc_interval, (y, p, k), f"level must .* not {k}") for k in (0, 1)),
        *((call, (y, p, 95), "level .* 0 and 1, not 95") for call in (m.auroc_interval,)),
        (m.mean_interval, (p, 95), "level must lie between 0 and 1, not 95"),
        (partial(boot, level=95), (y, p), "level must lie between 0 and 1, not 95"),
        (partial(boot, groups=[1, 2]), (y, p), "it has 2 rows"),
        (partial(boot, groups=[1, 2, None, 3]), (y, p), "1 missing"),
        (partial(boot, groups=[5, 5, 5, 5]), (y, p), "1 patients"),
    ]
    faults |= {f"{f} {told}": (partial(f, *told), words) for f, told, words in more}
    assert untold(faults, lambda _, call: call(), ValueError) == {}
