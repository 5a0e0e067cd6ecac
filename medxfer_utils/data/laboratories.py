"""Two breast-cancer laboratories that measure the same cell nuclei differently."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.datasets import load_breast_cancer

from medxfer_utils.cohorts import Cohort, split


def breast_cancer() -> Cohort:
    """Wisconsin diagnostic breast cancer: 569 patients, 30 features of their cell nuclei.

    Fine-needle aspirates, digitised; ten features of each nucleus, of which the file gives the
    mean, the standard error and the worst (mean of the three largest) over the nuclei of a
    sample [1]_. It comes with scikit-learn, which codes malignant as **0**: here malignant is 1.
    Lengths are in pixels of the original images. One row is one patient.
    Taught in lesson 02.

    References
    ----------
    .. [1] Street, Wolberg and Mangasarian (1993), doi:10.1117/12.148698.
    """
    data = load_breast_cancer()
    features = tuple(str(name) for name in data.feature_names)
    malignant = (data.target == list(data.target_names).index("malignant")).astype(int)
    return Cohort("Wisconsin", data.data, malignant, np.arange(len(malignant)), features)


def _laboratory(cohort: Cohort, name: str, statistic: str) -> Cohort:
    """A laboratory that reports one statistic ("mean" or "worst") of the ten nuclear features."""
    columns = [i for i, feature in enumerate(cohort.features) if statistic in feature.split()]
    bare = tuple(cohort.features[i].replace(statistic, "").strip() for i in columns)
    return replace(cohort, name=name, x=cohort.x[:, columns], features=bare)


def two_laboratories(rng: np.random.Generator) -> tuple[Cohort, Cohort]:
    """Laboratory A reports the mean of each nuclear feature, laboratory B the worst.

    The patients of `breast_cancer` are divided between the two at random, stratified by
    diagnosis; none is in both. The ten columns have the same names and the same meaning, but not
    the same numbers: an acquisition shift that is real, not made. Taught in lesson 02.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides which patient went to which laboratory.

    Returns
    -------
    laboratory_a, laboratory_b : Cohort
        285 and 284 patients (to within one), 10 features, malignant = 1.
    """
    half_a, half_b = split(breast_cancer(), (0.5, 0.5), rng)
    return _laboratory(half_a, "laboratory A", "mean"), _laboratory(half_b, "laboratory B", "worst")
