"""The clinic as a whole: same patients at every site, parts that add up, limits that hold."""

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from medxfer_utils import clinic
from medxfer_utils.clinic import Clinic, Site, simulate, stream
from medxfer_utils.cohorts import require_disjoint

ORGANS = pytest.mark.parametrize("organ", ["lung", "liver"])
SMALL = Site(size=16, pixel=3.0)


def same(a: Clinic, b: Clinic, images: bool = True) -> bool:
    """Whether two clinics agree to the bit."""
    pd.testing.assert_frame_equal(a.truth, b.truth)
    pd.testing.assert_frame_equal(a.record, b.record)
    assert a.reports == b.reports
    assert np.array_equal(a.cohort.patient, b.cohort.patient)
    assert np.array_equal(a.cohort.y, b.cohort.y)
    return np.array_equal(a.cohort.x, b.cohort.x) if images else True


@ORGANS
@pytest.mark.parametrize("batch", [1, 24, 50, 1000])
def test_parts_put_together_are_the_whole(organ: str, batch: int) -> None:
    site = replace(SMALL, organ=organ)
    parts = list(stream(site, 61, 3, batch=batch))
    assert len(parts) == {1: 3, 24: 3, 50: 2, 1000: 1}[batch]
    assert same(clinic._joined(parts), simulate(site, 61, 3))


def test_the_first_patients_do_not_depend_on_how_many_follow() -> None:
    few, many = simulate(SMALL, 48, 0), simulate(SMALL, 100, 0)
    n = len(few.cohort)
    assert np.array_equal(few.cohort.x, many.cohort.x[:n])
    assert few.reports == many.reports[:n]


def test_a_seed_gives_the_same_clinic_and_another_seed_another() -> None:
    first, again, other = (simulate(SMALL, 30, seed) for seed in (1, 1, 2))
    assert same(first, again)
    require_disjoint(
        first.cohort, other.cohort, simulate(replace(SMALL, organ="liver"), 30, 1).cohort
    )
    n = min(len(first.cohort), len(other.cohort))
    assert not np.isclose(first.truth.diameter_mm[:n], other.truth.diameter_mm[:n]).any()


def test_memory_does_not_grow_with_the_number_of_patients() -> None:
    def peak(patients: int) -> int:
        tracemalloc.start()
        for part in stream(SMALL, patients, 0, batch=24):
            assert len(part.cohort)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(48)
    assert peak(480) < 1.3 * peak(96)


SCANNER_AXES: list[dict[str, Any]] = [
    {"blur": 3.0}, {"dose": 0.1}, {"slice_thickness": 5.0}, {"kernel": "sharp"}, {"kernel": "soft"},
    {"polarity": -1}, {"modality": "MR"}, {"phase": "unenhanced"},
]  # fmt: skip


@ORGANS
@pytest.mark.parametrize("axis", SCANNER_AXES, ids=str)
def test_another_scanner_shows_the_same_patients(organ: str, axis: dict[str, Any]) -> None:
    site = Site(organ, size=32, pixel=1.5)
    a, b = simulate(site, 24, 0), simulate(replace(site, **axis), 24, 0)
    assert not same(a, b)
    # The same anatomy: patch by patch the images go together, much more than with another patient.
    u, v = (c.cohort.x.reshape(len(c.cohort), -1) for c in (a, b))
    own = np.array([abs(np.corrcoef(p, q)[0, 1]) for p, q in zip(u, v, strict=True)])
    strange = np.array([abs(np.corrcoef(p, q)[0, 1]) for p, q in zip(u, v[::-1], strict=True)])
    assert np.median(own) > 0.5
    assert np.median(own) > 2 * np.median(strange)


@ORGANS
def test_prevalence_changes_only_those_who_fall_ill(organ: str) -> None:
    site = replace(SMALL, organ=organ, prevalence=0.2)
    rare, common = simulate(site, 300, 0), simulate(replace(site, prevalence=0.6), 300, 0)
    assert np.array_equal(rare.cohort.patient, common.cohort.patient)
    assert (common.cohort.y >= rare.cohort.y).all()
    assert rare.cohort.prevalence == pytest.approx(0.2, abs=0.08)
    assert common.cohort.prevalence == pytest.approx(0.6, abs=0.08)
    alike = common.cohort.y == rare.cohort.y
    assert np.array_equal(rare.cohort.x[alike], common.cohort.x[alike])
    pd.testing.assert_frame_equal(rare.truth[alike], common.truth[alike])
    pd.testing.assert_frame_equal(rare.record[alike], common.record[alike])
    assert (common.truth.diameter_mm[~alike] > rare.truth.diameter_mm[~alike]).all()


@ORGANS
def test_case_mix_shows_the_same_patients_with_smaller_lesions(organ: str) -> None:
    site = replace(SMALL, organ=organ)
    referral, screening = simulate(site, 60, 0), simulate(replace(site, case_mix="screening"), 60, 0)
    assert np.array_equal(referral.cohort.patient, screening.cohort.patient)
    assert np.array_equal(referral.cohort.y, screening.cohort.y)
    pd.testing.assert_frame_equal(referral.record, screening.record)
    assert (screening.truth.diameter_mm < referral.truth.diameter_mm).all()


def test_organs_share_diagnoses_and_surroundings_but_no_ids() -> None:
    lung, liver = simulate(SMALL, 40, 0), simulate(replace(SMALL, organ="liver"), 40, 0)
    assert np.array_equal(lung.cohort.y, liver.cohort.y)
    assert not set(lung.cohort.patients) & set(liver.cohort.patients)


@ORGANS
def test_lesions_of_a_patient_share_diagnosis_and_record(organ: str) -> None:
    made = simulate(replace(SMALL, organ=organ), 200, 0)
    shared = made.record.drop(columns="upper_lobe", errors="ignore")
    together = pd.concat([shared, pd.Series(made.cohort.y, name="y")], axis=1)
    assert (together.groupby(made.cohort.patient).nunique() == 1).all(axis=None)
    counts = pd.Series(made.cohort.patient).value_counts()
    assert set(counts) == {1, 2, 3}
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


@pytest.mark.parametrize("size", [28, 33, 64, 96])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_any_size_works(size: int, modality: str) -> None:
    made = simulate(Site(size=size, pixel=48 / size, modality=modality), 5, 0)
    assert made.cohort.x.shape == (len(made.truth), size, size)
    assert made.cohort.x.dtype == np.float32
    assert np.isfinite(made.cohort.x).all()
    assert len(made.reports) == len(made.record) == len(made.cohort)


@pytest.mark.parametrize(
    ("axis", "said"),
    [
        ({"organ": "brain"}, "organ is 'brain'; choose from"), ({"size": 4}, "size is 4"),
        ({"size": 32.5}, "whole number"), ({"pixel": 0.0}, "pixel is 0.0"),
        ({"blur": -1.0}, "blur is -1.0"),
        ({"dose": 0.0}, "dose is 0.0; choose from 0.01 to 100"), ({"kernel": "bone"}, "kernel"),
        ({"slice_thickness": 20.0}, "slice_thickness"), ({"prevalence": 1.5}, "prevalence"),
        ({"case_mix": "all"}, "case_mix"), ({"phase": "arterial"}, "phase"),
        ({"polarity": 0}, "polarity"), ({"modality": "PET"}, "modality"),
        ({"dose": float("nan")}, "dose"),
    ],
)  # fmt: skip
def test_an_impossible_site_is_refused(axis: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Site(**axis)


@pytest.mark.parametrize(("patients", "seed", "batch"), [(0, 0, 24), (5, -1, 24), (5, 0, 0)])
def test_impossible_numbers_are_refused(patients: int, seed: int, batch: int) -> None:
    with pytest.raises(ValueError, match="ask for 1 patient or more"):
        next(stream(SMALL, patients, seed, batch))


@ORGANS
def test_the_task_is_solved_neither_by_size_nor_by_brightness(organ: str) -> None:
    made = simulate(Site(organ, size=32, pixel=1.5), 1000, 0)
    y = made.cohort.y
    size = roc_auc_score(y, made.truth.diameter_mm)
    brightness = roc_auc_score(y, made.cohort.x.mean(axis=(1, 2)))
    centre = roc_auc_score(y, made.cohort.x[:, 12:20, 12:20].mean(axis=(1, 2)))
    assert 0.70 < size < 0.80
    assert max(brightness, 1 - brightness, centre, 1 - centre) < 0.80


@ORGANS
def test_ideal_observer_stands_where_it_should(organ: str) -> None:
    site = Site(organ)
    limit = clinic.ideal_auroc(site)
    assert 0.93 < limit < 0.96
    assert limit < clinic.ideal_auroc(site, record=True) < 0.98
    made = simulate(replace(SMALL, organ=organ), 1500, 4)
    score = clinic.ideal_logit(made.truth, site, made.record)
    assert roc_auc_score(made.cohort.y, score) == pytest.approx(
        clinic.ideal_auroc(site, record=True), abs=0.015
    )


def test_ideal_logit_knows_the_prevalence() -> None:
    made = simulate(replace(SMALL, prevalence=0.1), 2000, 0)
    p = 1 / (1 + np.exp(-clinic.ideal_logit(made.truth, replace(SMALL, prevalence=0.1))))
    assert p.mean() == pytest.approx(made.cohort.y.mean(), abs=0.015)
