"""The learning curves of chapter 03: complete, reproducible, and honest about their making."""

from datetime import datetime

from book.studies import images_ct_mr as script

# isort: split
import numpy as np
import pytest

from medxfer_utils import results
from medxfer_utils.cohorts import require_disjoint

FRAME = results.load(script.TABLE)
RECORD = results.record_of(script.TABLE)


def test_every_fit_is_there_once() -> None:
    fits = FRAME.groupby(["target", "strategy"])[["n", "repeat"]]
    assert set(FRAME["target"]) == set(script.TARGETS)
    assert fits.ngroups == len(script.TARGETS) * 12
    for _, rows in fits:
        assert not rows.duplicated().any()
        assert len(rows) == len(script.WORLDS) * len(script.SIZES)
    assert FRAME[["AUROC", "accuracy", "Brier", "log loss"]].notna().all(axis=None)


def test_the_record_says_where_the_table_came_from() -> None:
    assert RECORD["uncommitted"] == []
    assert int(RECORD["commit"], 16)
    assert (RECORD["worlds"], RECORD["sizes"]) == (list(script.WORLDS), list(script.SIZES))
    assert RECORD["patients"] == script.PATIENTS
    assert set(RECORD["packages"]) == set(script.PACKAGES)
    assert datetime.fromisoformat(RECORD["date"]).tzinfo


def test_no_patient_is_on_two_sides_and_both_targets_have_the_same() -> None:
    pools = {target: script.divide(target, 3) for target in script.TARGETS}
    for pool, test in pools.values():
        require_disjoint(pool, test)
    for mine, other in zip(pools["South"], pools["MR"], strict=True):
        np.testing.assert_array_equal(mine.patient, other.patient)
        np.testing.assert_array_equal(mine.y, other.y)
        assert not np.array_equal(mine.x, other.x)


@pytest.mark.parametrize("world", [2, 7])
def test_a_sample_of_rows_comes_out_again(world: int) -> None:
    strategies = ["as is", "fine-tuned, slowly", "scratch", "ruler"]
    again = script.one_world(world, sizes=[20], targets=["South"], strategies=strategies)
    stored = FRAME.query("target == 'South' and n == 20 and repeat == @world")
    stored = stored.set_index("strategy").loc[again["strategy"]]
    # Networks differ a little from processor to processor; the source network most of all.
    np.testing.assert_allclose(again["AUROC"], stored["AUROC"], atol=0.02)
