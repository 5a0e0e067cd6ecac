"""The clinic as a whole: same patients at every site, parts that add up, limits that hold."""

import itertools
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from medxfer_utils.clinic import (
    Clinic,
    Site,
    followed,
    ideal_auroc,
    ideal_logit,
    patients,
    simulate,
    stream,
)
from medxfer_utils.cohorts import require_disjoint
from tests.faults import untold

ORGANS = pytest.mark.parametrize("organ", ["lung", "liver"])
SMALL = Site(size=16, pixel=3.0)
LOT = patients.LOT


def same(a: Clinic, b: Clinic) -> bool:
    """Whether two clinics agree to the bit; all but the images must."""
    pd.testing.assert_frame_equal(a.truth, b.truth)
    pd.testing.assert_frame_equal(a.record, b.record)
    assert a.reports == b.reports
    assert np.array_equal(a.cohort.patient, b.cohort.patient)
    assert np.array_equal(a.cohort.y, b.cohort.y)
    return np.array_equal(a.cohort.x, b.cohort.x)


@ORGANS
def test_parts_put_together_are_the_whole_and_its_first_patients(organ: str) -> None:
    site, number = replace(SMALL, organ=organ), 2 * LOT + 13
    whole, more = simulate(site, number, 3), simulate(site, number + LOT, 3)
    for batch, count in ((1, 3), (LOT, 3), (2 * LOT + 2, 2), (1000, 1)):
        parts = list(stream(site, number, 3, batch=batch))
        assert len(parts) == count
        assert same(patients._joined(parts), whole)
    n = int(np.sum(np.isin(whole.cohort.patient, whole.cohort.patients[: 2 * LOT])))
    assert np.array_equal(whole.cohort.x[:n], more.cohort.x[:n])
    assert whole.reports[:n] == more.reports[:n]


def test_a_seed_gives_the_same_clinic_and_another_seed_another() -> None:
    first, again, other = (simulate(SMALL, 30, seed) for seed in (1, 1, 2))
    assert same(first, again)
    liver = simulate(replace(SMALL, organ="liver"), 30, 1)
    require_disjoint(first.cohort, other.cohort, liver.cohort)
    assert np.array_equal(first.cohort.y, liver.cohort.y), "organs share who falls ill"
    n = min(len(first.cohort), len(other.cohort))
    assert not np.isclose(first.truth.diameter_mm[:n], other.truth.diameter_mm[:n]).any()


@ORGANS
def test_followed_patients_are_the_same_and_their_lesions_grow_as_the_model_says(
    organ: str,
) -> None:
    site = replace(SMALL, organ=organ, size=24, dose=100.0)
    start, soon, late = followed(site, LOT + 9, 3, (0.0, 0.5, 2.0))
    assert same(start, simulate(site, LOT + 9, 3))
    kept = start.truth.columns.drop("diameter_mm")
    for later in (soon, late):
        pd.testing.assert_frame_equal(later.truth[kept], start.truth[kept])
        pd.testing.assert_frame_equal(later.record, start.record)
        assert np.array_equal(later.cohort.patient, start.cohort.patient)
        assert not np.isclose(later.cohort.x, start.cohort.x).all(axis=(1, 2)).any()
    size = np.log(np.stack([c.truth["diameter_mm"] for c in (start, soon, late)]))
    least, most = {"lung": (4, 30), "liver": (5, 40)}[organ]
    assert size.min() >= np.log(least)
    assert size.max() <= np.log(most)
    inside = (size[2] > np.log(least) + 1e-9) & (size[2] < np.log(most) - 1e-9)
    rate = (size[2] - size[0])[inside] / 2
    np.testing.assert_allclose(rate, (size[1] - size[0])[inside] / 0.5, atol=1e-9)
    y = start.cohort.y[inside]
    for ill, (mean, spread) in enumerate(patients.GROWTH):
        assert rate[y == ill].mean() == pytest.approx(mean, abs=0.08)
        assert rate[y == ill].std() == pytest.approx(spread, rel=0.35)


def test_dates_that_are_no_calendar_are_refused() -> None:
    calendars: dict[str, tuple[list[float], str]] = {
        "none": ([], "give dates that increase"),
        "back": ([0.0, 1.0, 0.5], "give dates that increase"),
        "twice": ([0.0, 0.0], "give dates that increase"),
        "before": ([-1.0, 0.0], "the first 0 or more"),
    }
    assert untold(calendars, lambda _, years: followed(SMALL, 5, 0, years), ValueError) == {}
    with pytest.raises(ValueError, match="0 patients from seed 1: ask for 1 or more"):
        followed(SMALL, 0, 1, [0.0])


def test_memory_does_not_grow_with_the_number_of_patients() -> None:
    def peak(number: int) -> int:
        tracemalloc.start()
        for part in stream(SMALL, number, 0, batch=LOT):
            assert len(part.cohort)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(LOT)
    assert peak(6 * LOT) < 1.3 * peak(2 * LOT)


SCANNER_AXES: list[dict[str, Any]] = [
    {"blur": 3.0}, {"dose": 0.1}, {"slice_thickness": 5.0}, {"kernel": "sharp"}, {"kernel": "soft"},
    {"polarity": -1}, {"modality": "MR"}, {"phase": "unenhanced"},
]  # fmt: skip


@ORGANS
def test_another_scanner_shows_the_same_patients(organ: str) -> None:
    site = Site(organ, size=32, pixel=1.5)
    a = simulate(site, 24, 0)
    u = a.cohort.x.reshape(len(a.cohort), -1)
    wrong = []
    for axis in SCANNER_AXES:
        b = simulate(replace(site, **axis), 24, 0)
        # The same anatomy: patch by patch the images go together, more than with another patient.
        v = b.cohort.x.reshape(len(b.cohort), -1)
        own, strange = (
            np.median([abs(np.corrcoef(p, q)[0, 1]) for p, q in zip(u, other, strict=True)])
            for other in (v, v[::-1])
        )
        if same(a, b) or own < max(0.5, 2 * strange):
            wrong.append((axis, own, strange))
    assert wrong == []


@ORGANS
def test_prevalence_and_case_mix_show_the_same_patients(organ: str) -> None:
    site = replace(SMALL, organ=organ, prevalence=0.2)
    sites = (site, replace(site, prevalence=0.6), replace(site, case_mix="screening"))
    rare, common, screening = (simulate(each, 300, 0) for each in sites)
    assert rare.cohort.prevalence == pytest.approx(0.2, abs=0.08)
    assert common.cohort.prevalence == pytest.approx(0.6, abs=0.08)
    assert (common.cohort.y >= rare.cohort.y).all()
    assert np.array_equal(rare.cohort.patient, common.cohort.patient)
    alike = common.cohort.y == rare.cohort.y
    assert np.array_equal(rare.cohort.x[alike], common.cohort.x[alike])
    pd.testing.assert_frame_equal(rare.truth[alike], common.truth[alike])
    pd.testing.assert_frame_equal(rare.record[alike], common.record[alike])
    assert (common.truth.diameter_mm[~alike] > rare.truth.diameter_mm[~alike]).all()
    assert np.array_equal(rare.cohort.patient, screening.cohort.patient)
    assert np.array_equal(rare.cohort.y, screening.cohort.y)
    pd.testing.assert_frame_equal(rare.record, screening.record)
    assert (screening.truth.diameter_mm < rare.truth.diameter_mm).all()


@ORGANS
def test_lesions_of_a_patient_share_diagnosis_and_record(organ: str) -> None:
    made = simulate(replace(SMALL, organ=organ), 200, 0)
    shared = made.record.drop(columns="upper_lobe", errors="ignore")
    together = pd.concat([shared, pd.Series(made.cohort.y, name="y")], axis=1)
    assert (together.groupby(made.cohort.patient).nunique() == 1).all(axis=None)
    assert set(pd.Series(made.cohort.patient).value_counts()) == {1, 2, 3}
    assert made.truth.diameter_mm.is_unique


def test_lesions_of_a_patient_share_noise_level_and_density() -> None:
    made = simulate(Site("liver", prevalence=0.0), 120, 0)
    quiet = np.median(made.cohort.x, axis=(1, 2))
    rough = np.abs(np.diff(made.cohort.x, axis=2)).mean(axis=(1, 2))
    for value in (quiet, np.log(rough)):
        groups = pd.Series(value).groupby(made.cohort.patient)
        within = groups.transform(lambda v: v - v.mean())[groups.transform("size") > 1].std()
        assert within < 0.6 * groups.mean().std()


def test_dose_scales_the_same_noise() -> None:
    site = Site(size=32)
    x = {dose: simulate(replace(site, dose=dose), 12, 0).cohort.x for dose in (0.25, 1.0, 4.0)}
    # sd is 1/sqrt(dose): steps of 2 - 1 and 1 - 1/2.
    assert np.allclose(x[0.25] - x[1.0], 2 * (x[1.0] - x[4.0]), atol=0.01)


@ORGANS
def test_polarity_inverts_lesion_and_surround(organ: str) -> None:
    site = Site(organ, dose=100, prevalence=1.0)
    plain, inverted = (simulate(replace(site, polarity=p), 24, 0).cohort.x for p in (1, -1))
    middle, border = np.s_[:, 29:35, 29:35], np.s_[:, 8:56, 8:56]
    contrast = [x[middle].mean((1, 2)) - np.median(x[border], (1, 2)) for x in (plain, inverted)]
    assert np.corrcoef(*contrast)[0, 1] < -0.9


def test_any_size_works() -> None:
    for size, modality in itertools.product((8, 28, 33, 96), ("CT", "MR")):
        made = simulate(Site(size=size, pixel=min(4.0, 48 / size), modality=modality), 5, 0)
        assert made.cohort.x.shape == (len(made.truth), size, size)
        assert (str(made.cohort.x.dtype), np.isfinite(made.cohort.x).all()) == ("float32", True)
        assert len(made.reports) == len(made.record) == len(made.cohort)


def test_an_impossible_site_or_number_is_refused() -> None:
    numbers = {"size": 4, "pixel": 0.0, "blur": -1.0, "slice_thickness": 20.0, "prevalence": 1.5}
    others: dict[str, Any] = {
        "organ": "brain",
        "kernel": "bone",
        "case_mix": "all",
        "phase": "arterial",
    }
    others |= {"polarity": 0, "modality": "PET", "dose": float("nan")}
    faults: dict[str, tuple[dict[str, Any], str]] = {
        name: ({name: value}, f"{name} is {value!r}; choose from")
        for name, value in (numbers | others).items()
    }
    faults["whole"] = {"size": 32.5}, "size is 32.5; give a whole number of pixels"
    faults["least"] = {"dose": 0.0}, "dose is 0.0; choose from 0.01 to 100"
    faults["text"] = {"dose": "1"}, "dose is '1'; choose from 0.01 to 100"
    faults["two"] = {"size": 4, "dose": 0}, "size is 4; choose from 8 to 512. dose is 0; choose"
    assert untold(faults, lambda _, axis: Site(**axis), ValueError) == {}
    none = {
        str(asked): (asked, "1 patient or more") for asked in ((0, 0, 24), (5, -1, 24), (5, 0, 0))
    }
    assert untold(none, lambda _, asked: next(stream(SMALL, *asked)), ValueError) == {}


@ORGANS
def test_the_task_is_solved_neither_by_size_nor_by_brightness(organ: str) -> None:
    made = simulate(Site(organ, size=32, pixel=1.5), 1000, 0)
    y = made.cohort.y
    brightness = roc_auc_score(y, made.cohort.x.mean(axis=(1, 2)))
    centre = roc_auc_score(y, made.cohort.x[:, 12:20, 12:20].mean(axis=(1, 2)))
    assert 0.70 < roc_auc_score(y, made.truth.diameter_mm) < 0.80
    assert max(brightness, 1 - brightness, centre, 1 - centre) < 0.80


@ORGANS
def test_ideal_observer_stands_where_it_should_and_knows_the_prevalence(organ: str) -> None:
    site = Site(organ)
    limit, with_record = ideal_auroc(site), ideal_auroc(site, record=True)
    assert 0.93 < limit < 0.96
    assert limit < with_record < 0.98
    made = simulate(replace(SMALL, organ=organ), 1500, 4)
    score = ideal_logit(made.truth, site, made.record)
    assert roc_auc_score(made.cohort.y, score) == pytest.approx(with_record, abs=0.015)
    rare = replace(SMALL, organ=organ, prevalence=0.1)
    made = simulate(rare, 2000, 0)
    p = 1 / (1 + np.exp(-ideal_logit(made.truth, rare)))
    assert p.mean() == pytest.approx(made.cohort.y.mean(), abs=0.015)
