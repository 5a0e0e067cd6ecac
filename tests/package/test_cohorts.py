"""Splits and draws: by patient, stratified, seeded, fair; and what they refuse."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from medxfer_utils.cohorts import Cohort, draw, folds, require_disjoint, split, together
from tests.faults import untold

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


def test_prevalence_counts_rows_and_patients_are_distinct() -> None:
    cohort = cohort_of(1, 3, rows_each=2)
    assert cohort.prevalence == 1 / 8
    assert cohort.patients.tolist() == ["p000", "p001", "p002", "p003"]


def test_values_decide_nothing() -> None:
    cohort = cohort_of(20, 30, rows_each=2)
    train, test = split(cohort, (0.5, 0.5), np.random.default_rng(4))
    rows = np.flatnonzero(np.isin(cohort.patient, test.patients))
    cohort.x[rows] = cohort.x[rows[::-1]] * 1000 + 7  # permuted and spoilt
    again = split(cohort, (0.5, 0.5), np.random.default_rng(4))[0]
    assert again.x.tobytes() == train.x.tobytes()


@given(sizes, sizes, st.integers(2, 10), st.integers(0, 99))
def test_folds_differ_by_one_patient_and_by_one_ill_patient(
    ill: int, healthy: int, k: int, seed: int
) -> None:
    cohort = cohort_of(ill, healthy, rows_each=2)
    parts = folds(cohort, k, np.random.default_rng(seed))
    assert sorted(np.concatenate(parts)) == sorted(cohort.patients)
    for counts in (
        [len(part) for part in parts],
        [len(ill_patients(cohort) & {*p}) for p in parts],
    ):
        assert max(counts) - min(counts) <= 1


def test_pooled_data_hold_everybody_once() -> None:
    one, other = split(cohort_of(3, 5, rows_each=2), (0.5, 0.5), np.random.default_rng(0))
    pooled = together([one, other])
    assert pooled.name == "pooled data"
    np.testing.assert_array_equal(pooled.x, np.concatenate([one.x, other.x]))
    np.testing.assert_array_equal(pooled.patient, [*one.patient, *other.patient])
    assert pooled.features == one.features


def test_each_fault_has_its_own_error() -> None:
    rng, eight = np.random.default_rng(0), cohort_of(3, 5)
    a, b = split(cohort_of(10, 10), (0.5, 0.5), rng)
    other = replace(b, features=("size",))
    faults: dict[str, tuple[Callable[[], Any], str]] = {
        "share": (
            lambda: require_disjoint(eight.of(["p001", "p004"]), eight),
            "2 patients, p001 fi",
        ),
        "third": (lambda: require_disjoint(a, b, b.of(b.patients[:1])), "'here' and 'here' share"),
        "together": (lambda: together([a, a]), "share 10 patients"),
        "features": (lambda: together([a, other]), "differ in their features"),
        "empty part": (lambda: split(cohort_of(2, 2), (0.01, 0.99), rng), "'here' has no rows"),
        "one class": (lambda: draw(cohort_of(2, 98), 3, rng), r"3 patients of 'here' .* draw more"),
    }
    for shares in ((0.5, 0.6), (0.5, 0.4), (1.2, -0.2), (0.0, 1.0), (np.nan, 1)):
        message = "fractions must be positive and sum to 1"
        faults[f"{shares}"] = partial(split, eight, shares, rng), message
    for n in (0, -1, 9):
        message = f"Cannot draw {n} patients from 'here', which has 8"
        faults[f"{n}"] = partial(draw, eight, n, rng), message
    bad: tuple[tuple[int, list[float], int, str], ...] = (
        (3, [0, 1], 3, "lengths differ, .*'x': 3, 'y': 2"),
        (2, [0, 1], 3, "lengths differ, .*'patient': 3"),
        (0, [], 0, "has no rows"),
        (2, [1, 2], 2, r"labels must be 0 or 1 .* \[2"),
        (2, [-1, 1], 2, r"found \[-1"),
        (2, [0, np.nan], 2, r"found \[nan\]"),
    )
    for x, y, patient, message in bad:
        made = partial(Cohort, "ward 3", np.ones((x, 2)), np.array(y), np.arange(patient))
        faults[message] = made, f"Cohort 'ward 3'.*{message}"
    assert untold(faults, lambda _, call: call(), ValueError) == {}
