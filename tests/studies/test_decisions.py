"""The studies of appendix A4: what is known at an hour, and what is counted in a group."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from book.studies import decisions_skin as skin
from book.studies import decisions_stays as stays

# isort: split
from medxfer_utils import metrics

RNG = np.random.default_rng(4)


@pytest.fixture
def two_stays(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Two stays of four hours, three variables; the last is measured in the first stay only."""
    gap = np.nan
    x = np.array(
        [
            [[1, gap, 7], [3, 5, gap], [gap, 6, gap], [9, 2, gap]],
            [[gap, gap, gap], [2, gap, gap], [4, 8, gap], [gap, gap, gap]],
        ]
    )
    about = pd.DataFrame({"Age": [60.0, 70], "Gender": [0.0, 1]})
    monkeypatch.setattr(stays, "stays", lambda: (x, about))
    monkeypatch.setattr(stays, "described", stays.described.__wrapped__)
    return x


def test_a_stay_is_described_by_what_was_known(two_stays: np.ndarray) -> None:
    found = stays.described(2, stays.OWN)
    assert found[0].tolist() == [60, 0, 2, 1, 1, 3, 5, 7, 2, 5, 7, 1, 5, 7, 3, 5, 7]
    count, last = found[1, 2:5], found[1, 5:8]
    assert count.tolist() == [1, 0, 0]
    assert (last[0], *np.isnan(last[1:])) == (2, True, True)
    assert stays.described(2, stays.GAPS).tolist() == found[:, :5].tolist()


def test_only_look_ahead_knows_the_future(two_stays: np.ndarray) -> None:
    honest, ahead = (stays.described(2, s) for s in (stays.OWN, stays.AHEAD))
    assert ahead[1, 6] == 8  # comes in the third hour
    two_stays[:, 2:] = -1
    np.testing.assert_array_equal(stays.described(2, stays.OWN), honest)
    assert stays.described(2, stays.AHEAD)[1, 6] == -1
    one, other = (np.nan_to_num(stays.described(4, s)) for s in (stays.OWN, stays.AHEAD))
    np.testing.assert_array_equal(one, other)


def test_shares_of_a_group_are_those_of_its_confusion_matrix() -> None:
    p, ill = RNG.random(200), RNG.random(200) < 0.4
    shares = skin.shares(p, ill)
    found = {name: top.sum() / bottom.sum() for name, (top, bottom) in shares.items()}
    point = metrics.operating_point(ill.astype(int), p, skin.THRESHOLD)
    assert found["sensitivity"] == pytest.approx(point["sensitivity"])
    assert found["false alarms"] == pytest.approx(1 - point["specificity"])
    assert found["net benefit"] == pytest.approx(metrics.net_benefit(ill, p, skin.THRESHOLD))
    wanted = metrics.net_benefit(ill, np.ones(200), skin.THRESHOLD)
    assert found["net benefit, all"] == pytest.approx(wanted)
    assert found["observed minus predicted"] == pytest.approx(ill.mean() - p.mean())


def test_the_constant_of_a_group_repairs_doubled_odds() -> None:
    z = RNG.normal(size=20_000)
    ill = RNG.random(len(z)) < 1 / (1 + np.exp(-z))
    assert skin.constant(z + np.log(2), ill) == pytest.approx(-np.log(2), abs=0.06)
