"""What is fitted in chapter 05 never sees a patient who is held out: samplers, imputers, cuts."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pytest
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.pipeline import make_pipeline
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from medxfer_utils import metrics

RNG = np.random.default_rng(0)
N = 120
# The first column says who the patient is, so that a leak can be seen.
X = np.column_stack([np.arange(N, dtype=float), RNG.normal(size=(N, 3))])
Y = (np.arange(N) % 5 == 0).astype(int)
FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)
seen: list[set[int]] = []


class WatchingSampler(RandomOverSampler):  # type: ignore[misc]
    """Over-sampling that writes down whom it was shown."""

    def fit_resample(self, x: Any, y: Any) -> Any:
        seen.append({int(who) for who in x[:, 0]})
        return super().fit_resample(x, y)


class WatchingImputer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The median, which writes down whom it was fitted on."""

    def fit(self, x: Any, y: Any = None) -> Self:
        seen.append({int(who) for who in x[:, 0]})
        self.inner_ = SimpleImputer(strategy="median").fit(x)
        return self

    def transform(self, x: Any) -> Any:
        return self.inner_.transform(x)


@pytest.mark.parametrize("part", [WatchingSampler(random_state=0), WatchingImputer()])
def test_in_a_pipeline_a_fold_is_hidden_from_what_is_fitted(part: Any) -> None:
    seen.clear()
    pipeline = make_pipeline(part, LogisticRegression(max_iter=5000))
    cross_val_predict(pipeline, X, Y, cv=FOLDS, method="predict_proba")
    held_out = [set(outside.tolist()) for _, outside in FOLDS.split(X, Y)]
    assert len(seen) == 5
    assert all(not hidden & shown for hidden, shown in zip(held_out, seen, strict=True))


def test_resampling_before_the_split_is_the_leak_that_it_is_said_to_be() -> None:
    # Labels by lot: no model can know them, unless copies of a patient stand on both sides.
    y = (np.random.default_rng(1).random(N) < 0.2).astype(int)
    x = np.random.default_rng(2).normal(size=(N, 30))
    model = LogisticRegression(max_iter=5000)
    honest = make_pipeline(SMOTE(random_state=0), model)
    p = cross_val_predict(honest, x, y, cv=FOLDS, method="predict_proba")[:, 1]
    assert metrics.auroc(y, p) < 0.65
    more, labels = SMOTE(random_state=0).fit_resample(x, y)
    leaked = cross_val_predict(model, more, labels, cv=FOLDS, method="predict_proba")[:, 1]
    assert metrics.auroc(labels, leaked) > 0.75


def test_a_threshold_is_chosen_without_the_test_patients() -> None:
    score = np.random.default_rng(3).normal(size=N) + Y
    inside, outside = next(iter(FOLDS.split(X, Y)))
    chosen = metrics.threshold_at_sensitivity(Y[inside], score[inside], 0.9)
    score[outside] += 100  # whatever the test patients have
    assert metrics.threshold_at_sensitivity(Y[inside], score[inside], 0.9) == chosen
    assert np.mean(score[inside][Y[inside] == 1] >= chosen) >= 0.9
