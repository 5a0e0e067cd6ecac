"""The two laboratories: published counts, what each reports, and who is where."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from medxfer_utils.cohorts import Cohort
from medxfer_utils.data import breast_cancer, two_laboratories

FILE = load_breast_cancer()


@pytest.fixture(scope="module")
def laboratories() -> tuple[Cohort, Cohort]:
    return two_laboratories(np.random.default_rng(0))


def test_malignant_is_one_and_the_counts_are_the_published_ones() -> None:
    # Street, Wolberg and Mangasarian 1993: 569 images, 212 malignant and 357 benign.
    cohort = breast_cancer()
    assert (len(cohort), len(cohort.patients), int(cohort.y.sum())) == (569, 569, 212)
    assert cohort.x.shape == (569, 30)
    # Malignant nuclei are larger. The first patient of the file, 842302, is malignant (M).
    radius = cohort.x[:, cohort.features.index("mean radius")]
    assert radius[cohort.y == 1].mean() > 1.3 * radius[cohort.y == 0].mean()
    assert (cohort.y[0], radius[0]) == (1, 17.99)


def test_each_laboratory_reports_its_own_statistic(laboratories: tuple[Cohort, Cohort]) -> None:
    names = FILE.feature_names.tolist()
    for laboratory, statistic in zip(laboratories, ("mean", "worst"), strict=True):
        columns = [names.index(f"{statistic} {feature}") for feature in laboratory.features]
        np.testing.assert_array_equal(laboratory.x, FILE.data[laboratory.patient][:, columns])
        np.testing.assert_array_equal(laboratory.y, FILE.target[laboratory.patient] == 0)
    a, b = laboratories
    assert a.features == b.features
    assert set(a.features) == {
        *("radius", "texture", "perimeter", "area", "smoothness", "compactness"),
        *("concavity", "concave points", "symmetry", "fractal dimension"),
    }
    assert (a.name, b.name) == ("laboratory A", "laboratory B")


def test_every_patient_is_in_one_laboratory_by_the_seed(
    laboratories: tuple[Cohort, Cohort],
) -> None:
    a, b = laboratories
    assert sorted([*a.patient, *b.patient]) == list(range(569))
    assert abs(len(a) - len(b)) <= 2
    assert abs(int(a.y.sum()) - int(b.y.sum())) <= 1
    same, other = (two_laboratories(np.random.default_rng(seed))[0] for seed in (0, 1))
    assert a.patient.tolist() == same.patient.tolist() != other.patient.tolist()


def test_worst_is_above_the_mean_of_the_same_patient() -> None:
    # The mean of the three largest nuclei is no smaller than the mean over all: so B measures
    # higher than A would, in every feature of every patient.
    cohort = breast_cancer()
    for feature in two_laboratories(np.random.default_rng(0))[0].features:
        mean, worst = (
            cohort.x[:, cohort.features.index(f"{statistic} {feature}")]
            for statistic in ("mean", "worst")
        )
        assert (worst >= mean).all(), feature
