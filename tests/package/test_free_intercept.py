"""A device that shifts and stretches its features moves mostly one number: the intercept."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from medxfer_utils import cohorts, metrics, models, transfer

WEIGHTS = np.array([2.0, -1.5, 1.0, 0.5, 0.0])
STRETCH = np.array([1.4, 1.6, 1.2, 1.5, 1.3])


def site(name: str, n: int, rng: np.random.Generator, first: int) -> cohorts.Cohort:
    x = rng.normal(size=(n, 5))
    y = (rng.random(n) < expit(3 * x @ WEIGHTS)).astype(int)
    return cohorts.Cohort(name, x, y, first + np.arange(n))


def brier(model: models.Linear, pool: cohorts.Cohort, test: cohorts.Cohort) -> float:
    """Mean over draws of sixteen labelled patients."""
    losses = []
    for draw in range(8):
        few = cohorts.draw(pool, 16, np.random.default_rng(draw))
        p = transfer.l2_sp(model, few, strength=0.1).probability(test.x)
        losses.append(metrics.brier(test.y, p))
    return float(np.mean(losses))


@pytest.mark.parametrize("seed", range(3))
def test_a_free_intercept_repairs_a_wrong_scaler_and_a_held_one_does_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    home = site("home", 300, rng, 0)
    away = site("away", 900, rng, 1000)
    # Each feature is shifted so that it looks more ill.
    away = replace(away, x=away.x * STRETCH + 1.5 * np.sign(WEIGHTS))
    pool, test = cohorts.split(away, (0.3, 0.7), rng)
    start = models.Linear.zero(home.x)
    source = start.minimised(models.rows(home, start.prepare), strength=start.ridge(len(home)))
    free = brier(source, pool, test)
    held = brier(replace(source, hold_intercept=True), pool, test)
    own = brier(transfer.restandardised(source, pool.x), pool, test)
    assert free - own < 0.02
    assert held - free > 0.02
