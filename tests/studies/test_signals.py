"""Studies of signals: stretches sewn from beats, weights that move to other leads, counts."""

from __future__ import annotations

# First: it decides how TensorFlow starts.
from medxfer_utils import models

# isort: split
import numpy as np
import pytest

from book.studies import ecg, signals_leads, signals_rhythm
from medxfer_utils import results
from medxfer_utils.data.ecg import AFTER, BEFORE

RNG = np.random.default_rng(0)


def test_a_sewn_stretch_has_its_peaks_where_it_was_told() -> None:
    time = np.cumsum([0.5, 0.7, 1.4, 0.9, 2.0, 0.8])
    pieces = np.zeros((len(time), BEFORE + AFTER))
    pieces[:, BEFORE] = 1
    line = signals_rhythm.sewn(time, pieces)
    assert line.shape == (600,)
    peaks = np.flatnonzero((line[1:-1] > line[:-2]) & (line[1:-1] > line[2:]) & (line[1:-1] > 0.1))
    assert np.abs((peaks + 1) / 60 - time).max() <= 1 / 60
    mean, spread = signals_rhythm.two_numbers(time)
    assert mean == pytest.approx(1.16)
    assert spread == pytest.approx(np.std([0.7, 1.4, 0.9, 2, 0.8]) / 1.16)


def test_chirps_have_a_rhythm_that_varies() -> None:
    drawn = signals_rhythm.of_chirps(RNG)
    told = np.array([signals_rhythm.two_numbers(next(drawn)[0]) for _ in range(40)])
    assert told[:, 0].min() < 0.6 < 1 < told[:, 0].max()
    assert told[:, 1].min() < 0.05 < 0.2 < told[:, 1].max()


@pytest.mark.parametrize("joined", [False, True])
def test_carried_weights_see_each_lead_as_the_source_does(
    joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = models.Model(ecg.network(126, 3), ecg.centred)
    monkeypatch.setattr(signals_leads, "source", lambda seed, shuffled: start)
    x = RNG.normal(size=(4, 3, 126))
    x = np.repeat(x[:, :1], 3, axis=1) if joined else x
    twin = signals_leads.carried(signals_leads.network(3, 0, joined), 0)
    seen = models.outputs(twin, x[..., None], "features").reshape(4, -1, 15 * 32)
    for k in range(seen.shape[1]):
        wanted = models.outputs(start.network, x[:, k, :, None], "features")
        assert np.abs(seen[:, k] - wanted).max() < 1e-4


def test_multiplications_are_counted() -> None:
    found = {row["network"]: row["multiplications"] for row in signals_rhythm.cost(0)}
    widths, places = (1, 16, 16, 32, 32, 32), (600, 300, 150, 75, 37)
    by_hand = sum(7 * a * b * n for a, b, n in zip(widths[:-1], widths[1:], places, strict=True))
    assert found["over time"] == by_hand + 32
    stored = results.load("signals_cost").set_index("network")["multiplications"]
    assert found == pytest.approx(stored.to_dict(), rel=1e-4)


def test_every_strategy_of_a_patient_was_asked_about_the_same_beats() -> None:
    table = results.load("signals_personal")
    true = {kind: table.filter(regex=f"^{kind} as ").sum(axis=1) for kind in "NSVF"}
    counts = table[["patient"]].assign(**true).groupby("patient")
    assert len(counts) == 21
    assert not {201, 202} & set(table["patient"])
    assert (counts.nunique() == 1).all(axis=None)
