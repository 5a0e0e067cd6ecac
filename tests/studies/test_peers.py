"""The stored comparison with peers: what it says, and how it is summed up."""

import pandas as pd
import pytest

from benchmarks import tabular_transfer as benchmark


def test_from_sixteen_labels_on_ours_is_level_with_every_peer_or_better() -> None:
    """With eight, what asks for no label of the target is ahead: benchmarks/README.md says so."""
    peers = [*benchmark.PEERS, *benchmark.ADAPTERS, "adapt", "adapt, re-standardised"]
    behind = set()
    for measure in benchmark.MEASURES:
        table = benchmark.summary(pd.read_csv(benchmark.TABLE), measure)
        verdicts = table.query("strategy in @peers")["ours is"].str.split().str[-1]
        assert len(verdicts) == len(peers) * len(benchmark.SIZES)
        behind |= {*verdicts.index[verdicts == "worse"]}
    at_eight = ("skada CORAL", "skada OT mapping", "adapt, re-standardised")
    assert behind == {(8, name) for name in at_eight}


# --- how the table is made ------------------------------------------------------------------------


def test_an_interval_counts_each_division_once() -> None:
    # Means 1, 2, 3 of three divisions: 2 ± t(0.975, 2) · 1/√3, t = 4.302653 from a printed table.
    values = [1.0, 2.0, 2.0, 2.0, 3.0, 3.0]
    index = pd.Index([0, 1, 1, 1, 2, 2], name="division")
    mean, low, high = benchmark.interval(pd.Series(values, index=index))
    assert (mean, low, high) == pytest.approx((2, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))


def test_the_verdict_is_whether_the_interval_leaves_out_zero() -> None:
    said = {(0.01, 0.02): "better", (-0.02, -0.01): "worse", (-0.01, 0.02): "level"}
    said[0.0, 0.1] = "level"
    assert {ends: benchmark.verdict(*ends) for ends in said} == said


def toy(ours: float, peer: float) -> pd.DataFrame:
    """Two divisions that differ a little, two draws each; a peer that is the yardstick of speed."""
    rows = [
        {"division": d, "strategy": s, "n": 8, "repeat": r, "Brier": b + d / 100, "seconds": t}
        for d in (0, 1)
        for r in (0, 1)
        for s, b, t in ((benchmark.OURS, ours, 0.2), (benchmark.YARDSTICK, peer, 0.1))
    ]
    return pd.DataFrame(rows)


def test_a_lower_brier_score_is_a_gain() -> None:
    for ours, peer, said in ((0.1, 0.3, "+0.200 "), (0.3, 0.1, "-0.200 ")):
        table = benchmark.summary(toy(ours, peer), "Brier")
        assert str(table.loc[(8, benchmark.YARDSTICK), "ours is"]).startswith(said)


def test_speed_is_a_multiple_of_the_yardstick() -> None:
    assert benchmark.speed(toy(0.1, 0.3)).to_dict() == {
        benchmark.OURS: 2.0,
        benchmark.YARDSTICK: 1.0,
    }
