"""Resampling never sees a patient who is held out; before the split, it is a leak."""

from __future__ import annotations

from typing import Any

import numpy as np
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.pipeline import make_pipeline
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


def test_in_a_pipeline_a_fold_is_hidden_from_what_is_fitted() -> None:
    seen.clear()
    pipeline = make_pipeline(WatchingSampler(random_state=0), LogisticRegression(max_iter=5000))
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
