"""Splits and draws: by patient, stratified, seeded, fair; and what they refuse."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from medxfer_utils.cohorts import Cohort, draw, require_disjoint, split
from medxfer_utils.models import fit_scaler

Rng = np.random.Generator


def cohort_of(ill: int, healthy: int, rows_each: int = 1, seed: int = 0) -> Cohort:
    """Patients "p000", "p001" … with `rows_each` rows, in random order; one row of the ill is 1."""
    rng = np.random.default_rng(seed)
    patient = np.repeat([f"p{i:03d}" for i in range(ill + healthy)], rows_each)
    y = np.zeros(len(patient), int)
    y[: ill * rows_each : rows_each] = 1
    order = rng.permutation(len(patient))
    x = rng.normal(3, 5, (len(patient), 2))
    return Cohort("here", x[order], y[order], patient[order], ("size", "texture"))


def ill_patients(cohort: Cohort) -> set[Any]:
    return set(cohort.patient[cohort.y == 1].tolist())


sizes = st.integers(4, 40)
fractions = st.sampled_from([(0.5, 0.5), (0.6, 0.2, 0.2), (0.25, 0.75), (1.0,)])


# --- split -------------------------------------------------------------------------------------


@given(sizes, sizes, st.integers(1, 3), fractions, st.integers(0, 99))
def test_split_puts_every_patient_on_one_side_with_all_its_rows(
    ill: int, healthy: int, rows_each: int, shares: Sequence[float], seed: int
) -> None:
    cohort = cohort_of(ill, healthy, rows_each)
    parts = split(cohort, shares, np.random.default_rng(seed))
    assert len(parts) == len(shares)
    everybody = np.concatenate([part.patients for part in parts])
    assert sorted(everybody) == sorted(set(cohort.patient.tolist()))  # none twice, none lost
    assert sum(map(len, parts)) == len(cohort)
    require_disjoint(*parts)


@given(sizes, sizes, fractions, st.integers(0, 99))
def test_split_is_stratified_to_within_one_patient(
    ill: int, healthy: int, shares: Sequence[float], seed: int
) -> None:
    cohort = cohort_of(ill, healthy, rows_each=2)
    for share, part in zip(shares, split(cohort, shares, np.random.default_rng(seed)), strict=True):
        n_ill = len(ill_patients(part))
        assert abs(n_ill - share * ill) <= 1
        assert abs(len(part.patients) - n_ill - share * healthy) <= 1


def test_rows_keep_their_order_labels_and_features() -> None:
    cohort = cohort_of(10, 20, rows_each=3)
    part = split(cohort, (0.3, 0.7), np.random.default_rng(1))[0]
    rows = [i for i, patient in enumerate(cohort.patient) if patient in part.patients]
    np.testing.assert_array_equal(part.x, cohort.x[rows])
    np.testing.assert_array_equal(part.y, cohort.y[rows])
    assert (part.name, part.features) == ("here", ("size", "texture"))


@pytest.mark.parametrize(
    "divide", [lambda c, rng: split(c, (0.5, 0.5), rng)[0], lambda c, rng: draw(c, 16, rng)]
)
def test_the_seed_decides_to_the_bit(divide: Callable[[Cohort, Rng], Cohort]) -> None:
    cohort = cohort_of(20, 30)
    one, same, other = (divide(cohort, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert one.x.tobytes() == same.x.tobytes()
    assert one.patients.tolist() == same.patients.tolist() != other.patients.tolist()


@pytest.mark.parametrize("divide", ["split", "draw"])
def test_the_order_of_the_rows_does_not_decide_who_is_chosen(divide: str) -> None:
    def chosen(c: Cohort) -> list[Any]:
        rng = np.random.default_rng(3)
        part = split(c, (0.5, 0.5), rng)[0] if divide == "split" else draw(c, 16, rng)
        return list(part.patients.tolist())

    cohort = cohort_of(20, 30, rows_each=2)
    order = np.random.default_rng(8).permutation(len(cohort))
    assert chosen(cohort) == chosen(
        Cohort("here", cohort.x[order], cohort.y[order], cohort.patient[order])
    )


@pytest.mark.parametrize("divide", ["split", "draw"])
def test_every_patient_of_a_class_is_chosen_equally_often(divide: str) -> None:
    # 600 divisions of 8 ill and 12 healthy into halves: each patient Binomial(600, 1/2) times.
    cohort, times = cohort_of(8, 12), 600
    counts = dict.fromkeys(cohort.patients.tolist(), 0)
    for seed in range(times):
        rng = np.random.default_rng([77, seed])
        part = split(cohort, (0.5, 0.5), rng)[0] if divide == "split" else draw(cohort, 10, rng)
        for patient in part.patients.tolist():
            counts[patient] += 1
    low, high = binom.interval(1 - 1e-4 / len(counts), times, 0.5)  # one false alarm in 10,000
    assert low <= min(counts.values())
    assert max(counts.values()) <= high


@pytest.mark.parametrize("shares", [(0.5, 0.6), (0.5, 0.4), (1.2, -0.2), (0.0, 1.0), (np.nan, 1)])
def test_fractions_that_are_no_division_are_refused(shares: Sequence[float]) -> None:
    with pytest.raises(ValueError, match="fractions must be positive and sum to 1"):
        split(cohort_of(5, 5), shares, np.random.default_rng(0))


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(ValueError, match="'here' has no rows"):
        split(cohort_of(2, 2), (0.01, 0.99), np.random.default_rng(0))


# --- draw --------------------------------------------------------------------------------------


@given(st.integers(8, 40), st.integers(8, 40), st.integers(0, 99), st.data())
def test_draws_of_one_seed_are_nested_and_keep_the_prevalence(
    ill: int, healthy: int, seed: int, data: st.DataObject
) -> None:
    cohort = cohort_of(ill, healthy)
    n = data.draw(st.integers(12, ill + healthy))
    m = data.draw(st.integers(12, n))
    few, many = (draw(cohort, k, np.random.default_rng(seed)) for k in (m, n))
    assert set(few.patients.tolist()) <= set(many.patients.tolist())
    for k, drawn in ((m, few), (n, many)):
        assert len(drawn.patients) == k
        assert abs(drawn.y.sum() - k * cohort.prevalence) <= 1


def test_a_draw_brings_all_rows_of_a_patient() -> None:
    assert len(draw(cohort_of(10, 10, rows_each=3), 6, np.random.default_rng(0))) == 18


@pytest.mark.parametrize("n", [0, -1, 21])
def test_a_number_that_cannot_be_drawn_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=f"Cannot draw {n} patients from 'here', which has 20"):
        draw(cohort_of(10, 10), n, np.random.default_rng(0))


def test_a_draw_of_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"3 patients of 'here' .* hold one class only; draw more"):
        draw(cohort_of(2, 98), 3, np.random.default_rng(0))


# --- who shares whom ----------------------------------------------------------------------------


def test_shared_patients_are_counted_and_named() -> None:
    one, other = cohort_of(3, 5).of(["p001", "p004", "p006"]), cohort_of(3, 5)
    with pytest.raises(ValueError, match="'here' and 'here' share 3 patients, p001 first"):
        require_disjoint(one, other)


def test_the_third_cohort_is_checked_too() -> None:
    a, b = split(cohort_of(10, 10), (0.5, 0.5), np.random.default_rng(0))
    with pytest.raises(ValueError, match="share"):
        require_disjoint(a, b, b.of(b.patients[:1]))


# --- a cohort -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "patient", "message"),
    [
        (np.ones((3, 2)), np.array([0, 1]), np.arange(3), "lengths differ, .*'x': 3, 'y': 2"),
        (np.ones((2, 2)), np.array([0, 1]), np.arange(3), "lengths differ, .*'patient': 3"),
        (np.ones((0, 2)), np.array([], int), np.array([], int), "has no rows"),
        (np.ones((2, 2)), np.array([1, 2]), np.arange(2), r"labels must be 0 or 1 .* \[2\]"),
        (np.ones((2, 2)), np.array([-1, 1]), np.arange(2), r"found \[-1\]"),
        (np.ones((2, 2)), np.array([0, np.nan]), np.arange(2), r"found \[nan\]"),
    ],
)
def test_bad_cohorts_are_refused(x: Any, y: Any, patient: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"Cohort 'ward 3'.*{message}"):
        Cohort("ward 3", x, y, patient)


def test_prevalence_counts_rows_and_patients_are_distinct() -> None:
    cohort = cohort_of(1, 3, rows_each=2)
    assert cohort.prevalence == 1 / 8
    assert cohort.patients.tolist() == ["p000", "p001", "p002", "p003"]


# --- nothing of the test patients reaches what is fitted -----------------------------------------


def test_test_rows_do_not_reach_a_fitted_scaler() -> None:
    cohort = cohort_of(20, 30, rows_each=2)

    def scaler(c: Cohort) -> tuple[bytes, bytes]:
        train, _ = split(c, (0.5, 0.5), np.random.default_rng(4))
        fitted = fit_scaler(train.x)
        return fitted.mean_.tobytes(), fitted.scale_.tobytes()

    before = scaler(cohort)
    _, test = split(cohort, (0.5, 0.5), np.random.default_rng(4))
    rows = np.flatnonzero(np.isin(cohort.patient, test.patients))
    cohort.x[rows] = cohort.x[rows[::-1]] * 1000 + 7  # permuted and spoilt
    assert scaler(cohort) == before


@given(st.permutations(range(24)))
def test_permuting_the_rows_does_not_change_a_fitted_scaler(order: list[int]) -> None:
    x = cohort_of(12, 12).x
    one, other = fit_scaler(x), fit_scaler(x[order])
    # Sums in another order round differently, in the last of 16 digits.
    np.testing.assert_allclose(other.mean_, one.mean_, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(other.scale_, one.scale_, rtol=1e-13)
