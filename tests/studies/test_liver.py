"""The tables and source networks of chapter 04: complete, and made as they say."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from book.studies import lung_sources, lung_to_liver

# isort: split
import numpy as np
import pytest

from medxfer_utils import models, results
from medxfer_utils.cohorts import require_disjoint

CURVES, SHIFTS, STARTS = (
    results.load(name) for name in (lung_to_liver.TABLE, lung_to_liver.SHIFTS, lung_to_liver.STARTS)
)
SOURCES = results.load(lung_sources.TABLE)
REPEATS = list(lung_to_liver.REPEATS)


def test_every_fit_is_there_once() -> None:
    assert not CURVES.duplicated(["strategy", "n", "repeat"]).any()
    assert CURVES["error"].isna().all(), "no fit has failed"
    repeats = CURVES.groupby(["strategy", "n"])["repeat"].agg(list).map(sorted).reset_index()
    wanted = repeats["n"].map(lambda n: REPEATS[:4] if n == lung_to_liver.MANY else REPEATS)
    assert list(repeats["repeat"]) == list(wanted)
    sizes = CURVES.groupby("strategy")["n"].agg(set)
    many = {lung_to_liver.MANY}
    for strategy, found in sizes.items():
        followed = strategy in lung_to_liver.FOLLOWED
        sized = set(lung_to_liver.SIZES if followed else lung_to_liver.COMPARED)
        assert found - many == sized, strategy
    assert len(sizes) == 25


def test_measures_are_there_and_possible() -> None:
    assert CURVES[["AUROC", "Brier", "average precision", "rows", "seconds"]].notna().all(axis=None)
    assert CURVES["AUROC"].between(0, 1).all()
    assert (CURVES["rows"] >= CURVES["n"]).all()


def test_all_arms_of_a_draw_had_the_same_labels() -> None:
    assert (CURVES.groupby(["n", "repeat"])["rows"].nunique() == 1).all()


def test_the_four_scanners_saw_the_same_fits() -> None:
    fits = SHIFTS.groupby(["strategy", "repeat"])["scanner"].agg(set)
    assert all(found == set(lung_to_liver.SCANNERS) for found in fits)
    assert len(fits) == 15 * len(REPEATS)


def test_an_ensemble_of_one_is_its_member() -> None:
    wide = SHIFTS.pivot(index=["scanner", "repeat"], columns="strategy", values="AUROC")
    # Not the same fit: its seed is another, so the order of the images is.
    assert (wide["ensemble of 1"] - wide["fine-tuned"]).abs().mean() < 0.01


@pytest.mark.parametrize(
    ("table", "script"),
    [
        (lung_to_liver.TABLE, lung_to_liver),
        (lung_to_liver.SHIFTS, lung_to_liver),
        (lung_to_liver.STARTS, lung_to_liver),
        (lung_sources.TABLE, lung_sources),
    ],
)
def test_the_record_says_where_the_table_came_from(table: str, script: object) -> None:
    record = results.record_of(table)
    assert record["uncommitted"] == []
    assert int(record["commit"], 16)
    assert set(record["packages"]) == set(script.PACKAGES)  # type: ignore[attr-defined]
    assert datetime.fromisoformat(record["date"]).tzinfo


def test_no_patient_is_on_two_sides() -> None:
    pool, test = lung_to_liver.liver(3)
    another, _ = lung_to_liver.liver(4)
    few = lung_sources.lung(3, lung_sources.DOSES, 300)
    require_disjoint(pool, test, another, few, lung_sources.lung_test(3))
    assert len(test) > 1000


@pytest.mark.parametrize("kind", lung_sources.STORED)
@pytest.mark.parametrize("seed", [0, 3])
def test_a_stored_network_does_what_its_row_says(kind: str, seed: int) -> None:
    again = lung_sources.held_out(kind, lung_sources.source(kind, seed), seed)
    stored = SOURCES.query("source == @kind and seed == @seed").iloc[0]
    for organ, value in again.items():
        assert value == pytest.approx(stored[organ], abs=0.002), organ


def test_a_source_network_that_is_not_stored_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lung_sources, "SEEDS", range(1))
    with pytest.raises(FileNotFoundError, match="'digits' 99"):
        lung_sources.source("digits", 99)


def test_training_a_source_is_repeatable_and_learns() -> None:
    few = replace(lung_sources.LONG, steps=60)
    one, two = (lung_sources.trained_source("doses", 1, few, patients=300) for _ in range(2))
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert lung_sources.held_out("doses", one, 1)["lung"] > 0.6


@pytest.mark.parametrize("repeat", [2, 7])
def test_a_sample_of_rows_comes_out_again(repeat: int) -> None:
    strategies = ["as is", "fine-tuned", "DELTA", "scratch", "five measurements", "LoRA"]
    again = lung_to_liver.one_repeat(repeat, [20], strategies, jobs=1)
    stored = CURVES.query("n == 20 and repeat == @repeat").set_index("strategy")
    # Networks differ a little from processor to processor.
    np.testing.assert_allclose(again["AUROC"], stored["AUROC"].loc[again["strategy"]], atol=0.02)


def test_a_row_of_the_scanners_comes_out_again() -> None:
    again = lung_to_liver.one_shift(5, some=["fine-tuned", "five measurements"])
    keys = ["strategy", "scanner"]
    stored = SHIFTS.query("repeat == 5").set_index(keys)["AUROC"]
    wanted = stored.loc[list(again[keys].itertuples(index=False, name=None))]
    np.testing.assert_allclose(again["AUROC"], wanted, atol=0.02)


def test_measurements_by_rule_find_a_disc() -> None:
    hu = np.full((2, 32, 32), 100.0)
    place = np.hypot(*np.mgrid[-16:16, -16:16]) * 1.5 <= 9  # a disc of 18 mm, 60 HU darker
    hu[0][place] = 40
    disc, nothing = lung_to_liver.measured(hu)
    assert disc[0] == pytest.approx(np.sqrt(np.pi) * 9, rel=0.15)
    assert disc[1] == pytest.approx(-60, abs=15)  # smoothing and the blurred edge take a quarter
    assert nothing[1] == pytest.approx(0)


def test_features_are_those_of_the_network() -> None:
    network, (pool, _) = lung_sources.source("doses", 0), lung_to_liver.liver(3)
    few = pool.of(pool.patients[:12])
    fitted = lung_to_liver.features(network, lung_sources.in_liver, lung_to_liver.regression)
    taken = fitted(few, 0).fitted.steps[0][1].transform(few.x)  # type: ignore[attr-defined]
    wanted = models.outputs(network, lung_sources.in_liver(few.x), "features")
    np.testing.assert_array_equal(taken, wanted)


def test_shuffled_labels_are_dealt_out_by_patient() -> None:
    cohort = lung_sources.lung(3, lung_sources.DOSES, 300)
    dealt = lung_sources.shuffled(cohort, 0)
    np.testing.assert_array_equal(dealt.x, cohort.x)
    for patient in dealt.patients[:50]:
        assert len(np.unique(dealt.of([patient]).y)) == 1
    assert 0.3 < np.mean(dealt.y == cohort.y) < 0.7
    assert abs(dealt.prevalence - cohort.prevalence) < 0.1
