"""The two laboratories: published counts, what each reports, and who is where."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer

from medxfer_utils.data import breast_cancer, two_laboratories

FILE = load_breast_cancer()


A, B = two_laboratories(np.random.default_rng(0))
FEATURES = {
    *("radius", "texture", "perimeter", "area", "smoothness", "compactness"),
    *("concavity", "concave points", "symmetry", "fractal dimension"),
}


def test_malignant_is_one_and_the_counts_are_the_published_ones() -> None:
    # Street, Wolberg and Mangasarian 1993: 569 images, 212 malignant and 357 benign.
    cohort = breast_cancer()
    assert (cohort.x.shape, len(cohort.patients), int(cohort.y.sum())) == ((569, 30), 569, 212)
    # Malignant nuclei are larger. The first patient of the file, 842302, is malignant (M).
    radius = cohort.x[:, cohort.features.index("mean radius")]
    assert radius[cohort.y == 1].mean() > 1.3 * radius[cohort.y == 0].mean()
    assert (cohort.y[0], radius[0]) == (1, 17.99)


def test_each_laboratory_reports_its_own_statistic() -> None:
    names = FILE.feature_names.tolist()
    for laboratory, statistic in ((A, "mean"), (B, "worst")):
        columns = [names.index(f"{statistic} {feature}") for feature in laboratory.features]
        np.testing.assert_array_equal(laboratory.x, FILE.data[laboratory.patient][:, columns])
        np.testing.assert_array_equal(laboratory.y, FILE.target[laboratory.patient] == 0)
        assert set(laboratory.features) == FEATURES
    assert A.features == B.features
    assert (A.name, B.name) == ("laboratory A", "laboratory B")
    # The mean of the three largest nuclei is no smaller than the mean over all: so B measures
    # higher than A would, in every feature of every patient.
    mean, worst = ([names.index(f"{which} {f}") for f in A.features] for which in ("mean", "worst"))
    assert (FILE.data[:, worst] >= FILE.data[:, mean]).all()


def test_every_patient_is_in_one_laboratory_by_the_seed() -> None:
    assert sorted([*A.patient, *B.patient]) == list(range(569))
    assert abs(len(A) - len(B)) <= 2
    assert abs(int(A.y.sum()) - int(B.y.sum())) <= 1
    same, other = (two_laboratories(np.random.default_rng(seed))[0] for seed in (0, 1))
    assert A.patient.tolist() == same.patient.tolist() != other.patient.tolist()
