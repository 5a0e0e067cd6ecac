"""Splits and draws: by patient, stratified, seeded, fair; and what they refuse."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from medxfer_utils.cohorts import Cohort, draw, folds, require_disjoint, split, together
from tests.faults import untold


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
def test_split_puts_every_patient_on_one_side_with_all_rows_and_is_stratified_to_one(
    ill: int, healthy: int, rows_each: int, shares: Sequence[float], seed: int
) -> None:
    cohort = cohort_of(ill, healthy, rows_each)
    parts = split(cohort, shares, np.random.default_rng(seed))
    everybody = np.concatenate([part.patients for part in parts])
    assert sorted(everybody) == sorted(set(cohort.patient.tolist()))  # none twice, none lost
    assert sum(map(len, parts)) == len(cohort)
    require_disjoint(*parts)
    for share, part in zip(shares, parts, strict=True):
        n_ill = len(ill_patients(part))
        assert abs(n_ill - share * ill) <= 1
        assert abs(len(part.patients) - n_ill - share * healthy) <= 1


def half(cohort: Cohort, seed: int | list[int]) -> Cohort:
    return split(cohort, (0.5, 0.5), np.random.default_rng(seed))[0]


def drawn(cohort: Cohort, seed: int | list[int]) -> Cohort:
    return draw(cohort, len(cohort.patients) // 2, np.random.default_rng(seed))


def test_the_seed_alone_decides_not_the_values_nor_the_order_of_the_rows() -> None:
    cohort = cohort_of(20, 30, rows_each=2)
    order = np.random.default_rng(8).permutation(len(cohort))
    x, y, patient = (getattr(cohort, name)[order] for name in ("x", "y", "patient"))
    mixed = Cohort("here", x, y, patient)
    for divide in (half, drawn):
        one, same, other = (divide(cohort, seed) for seed in (5, 5, 6))
        assert one.x.tobytes() == same.x.tobytes()
        assert one.patients.tolist() == same.patients.tolist() != other.patients.tolist()
        assert divide(mixed, 5).patients.tolist() == one.patients.tolist()
        rest = ~np.isin(cohort.patient, one.patients)
        spoilt = replace(cohort, x=np.where(rest[:, None], cohort.x[::-1] * 1000 + 7, cohort.x))
        assert divide(spoilt, 5).x.tobytes() == one.x.tobytes()
        rows = [i for i, patient in enumerate(cohort.patient) if patient in one.patients]
        np.testing.assert_array_equal(one.x, cohort.x[rows])  # in their order
        assert len(one) == 2 * len(one.patients)
        assert (one.name, one.features) == ("here", ("size", "texture"))


@pytest.mark.parametrize("divide", [half, drawn])
def test_every_patient_of_a_class_is_chosen_equally_often(divide: Any) -> None:
    # 600 divisions of 8 ill and 12 healthy into halves: each patient Binomial(600, 1/2) times.
    cohort, times = cohort_of(8, 12), 600
    chosen = [divide(cohort, [77, seed]).patients for seed in range(times)]
    counts = np.unique(np.concatenate(chosen), return_counts=True)[1]
    assert len(counts) == 20
    low, high = binom.interval(1 - 1e-4 / 20, times, 0.5)  # one false alarm in 10,000
    assert low <= counts.min() <= counts.max() <= high


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


def test_prevalence_counts_rows_and_patients_are_distinct() -> None:
    cohort = cohort_of(1, 3, rows_each=2)
    assert cohort.prevalence == 1 / 8
    assert cohort.patients.tolist() == ["p000", "p001", "p002", "p003"]


@given(sizes, sizes, st.integers(2, 8), st.integers(0, 99))
def test_folds_differ_by_one_patient_and_by_one_ill_patient(
    ill: int, healthy: int, k: int, seed: int
) -> None:
    cohort = cohort_of(ill, healthy, rows_each=2)
    parts = folds(cohort, k, np.random.default_rng(seed))
    assert sorted(np.concatenate(parts)) == sorted(cohort.patients)
    ill_ones = ill_patients(cohort)
    counts = np.array([(len(part), len(ill_ones & {*part})) for part in parts])
    assert (np.ptp(counts, axis=0) <= 1).all()


def test_columns_of_pandas_and_lists_are_what_arrays_are() -> None:
    x, y, who = np.arange(16.0).reshape(8, 2), [0, 1] * 4, [f"p{k}" for k in range(8)]
    table = pd.DataFrame(x).assign(ill=y, who=who).set_index(pd.Index(range(50, 58)))
    given: list[tuple[Any, Any, Any]] = [(x, np.array(y), np.array(who)), (x.tolist(), y, who)]
    given.append((table[[0, 1]], table["ill"], table["who"]))
    halves = [split(Cohort("own", *told), (0.5, 0.5), np.random.default_rng(0)) for told in given]
    for one, other in halves[1:]:
        for a, b in zip((one, other), halves[0], strict=True):
            np.testing.assert_array_equal(a.x, b.x)
            assert a.patient.tolist() == b.patient.tolist()
            assert a.y.sum() == 2


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
        "share": (lambda: require_disjoint(eight.of(["p001", "p004"]), eight), "2 .*, p001 first"),
        "third": (lambda: require_disjoint(a, b, b.of(b.patients[:1])), "'here' and 'here' share"),
        "together": (lambda: together([a, a]), "share 10 patients"),
        "features": (lambda: together([a, other]), "differ in their features"),
        "empty part": (lambda: split(cohort_of(2, 2), (0.01, 0.99), rng), "'here' has no rows"),
        "one class": (lambda: draw(cohort_of(2, 98), 3, rng), r"3 patients of 'here' .* draw more"),
    }
    for shares in ((0.5, 0.6), (0.5, 0.4), (1.2, -0.2), (0.0, 1.0), (np.nan, 1)):
        message = "fractions must be positive and sum to 1"
        faults[f"{shares}"] = partial(split, eight, shares, rng), message
    for k in (0, 9):
        faults[f"{k} folds"] = partial(folds, eight, k, rng), f"8 patients of 'here' into {k}"
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
    two, column = np.ones((2, 2)), np.array([[0], [1]])
    for y, who, message in (
        (column, [1, 2], r"y has shape \(2, 1\); use y\[:, 0\]"),
        ([0, 1], column, r"patient has shape \(2, 1\)"),
        ([0, 1], pd.Series([7, None]), r"1 rows have no patient, \[1\] first"),
        ([0, 1], pd.Series(["p7", None]), r"1 rows have no patient, \[1\] first"),
    ):
        made = partial(Cohort, "ward 3", two, y, who)  # type: ignore[arg-type]
        faults[f"{message} {who}"] = made, f"Cohort 'ward 3': {message}"
    for x, labels, patient, message in bad:
        made = partial(Cohort, "ward 3", np.ones((x, 2)), np.array(labels), np.arange(patient))
        faults[message] = made, f"Cohort 'ward 3'.*{message}"
    assert untold(faults, lambda _, call: call(), ValueError) == {}
