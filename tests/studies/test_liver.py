"""The tables and source networks of lesson 07: how they are made, and what controls say."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

from book.studies import lung_prepared, lung_sources, lung_to_liver, study

# isort: split
import numpy as np
import pandas as pd
import pytest

from medxfer_utils import metrics, results
from medxfer_utils.cohorts import require_disjoint

SOURCES = results.load(lung_sources.TABLE)


def test_every_size_was_asked_and_the_largest_in_four_repeats() -> None:
    frame = results.load(lung_to_liver.TABLE)
    sizes, most = frame.groupby("strategy")["n"].agg(set), {lung_to_liver.MANY}
    for strategy, found in sizes.items():
        followed = strategy in lung_to_liver.FOLLOWED
        sized = set(lung_to_liver.SIZES if followed else lung_to_liver.COMPARED)
        assert found - most == sized, strategy
    assert frame[frame["n"] == lung_to_liver.MANY]["repeat"].nunique() == 4
    assert (frame["rows"] >= frame["n"]).all()


def test_a_source_that_was_taught_nonsense_is_worth_no_more_than_training_from_scratch() -> None:
    extras = results.load(lung_to_liver.EXTRAS).query("n == 20")
    taught = results.load(lung_to_liver.TABLE).query("n == 20")
    means = pd.concat([taught, extras]).groupby("strategy")["AUROC"].mean()
    assert means["fine-tuned"] > means["source: shuffled labels"] + 0.02
    assert abs(means["source: shuffled labels"] - means["scratch"]) < 0.05


def test_an_ensemble_of_one_is_its_member() -> None:
    shifts = results.load(lung_to_liver.SHIFTS)
    wide = shifts.pivot(index=["scanner", "repeat"], columns="strategy", values="AUROC")
    # Not the same fit: its seed is another, so the order of the images is.
    assert (wide["ensemble of 1"] - wide["fine-tuned"]).abs().mean() < 0.01


def test_no_patient_is_on_two_sides_and_shuffled_labels_are_dealt_out_by_patient() -> None:
    pool, test = lung_to_liver.liver(3)
    few = lung_sources.lung(3, lung_sources.DOSES, 300)
    others = lung_to_liver.liver(4)[0], few, lung_sources.lung_test(3)
    require_disjoint(pool, test, *others)
    assert len(test) > 1000
    dealt = lung_sources.shuffled(few, 0)
    np.testing.assert_array_equal(dealt.x, few.x)
    assert all(len(np.unique(dealt.of([who]).y)) == 1 for who in dealt.patients[:50])
    assert 0.3 < np.mean(dealt.y == few.y) < 0.7
    assert abs(dealt.prevalence - few.prevalence) < 0.1


def test_a_stored_network_does_what_its_row_says() -> None:
    for kind, seed in product(lung_sources.STORED, (0, 3)):
        again = lung_sources.held_out(kind, lung_sources.source(kind, seed), seed)
        stored = SOURCES.query("source == @kind and seed == @seed").iloc[0]
        assert again == pytest.approx(stored[list(again)].to_dict(), abs=0.002), (kind, seed)


def test_a_source_network_that_is_not_stored_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(lung_sources.LONG, steps=2)
    monkeypatch.setattr(lung_sources, "LONG", few)
    monkeypatch.setattr(lung_sources, "path", lambda kind, seed: tmp_path / f"{kind}_{seed}.keras")
    made = lung_sources.source.__wrapped__("digits", 99)
    monkeypatch.setattr(lung_sources, "made", None)
    again = lung_sources.source.__wrapped__("digits", 99)
    assert all(map(np.array_equal, made.get_weights(), again.get_weights()))
    assert [path.name for path in tmp_path.iterdir()] == ["digits_99.keras"]


def test_training_a_source_is_repeatable_and_learns() -> None:
    few = replace(lung_sources.LONG, steps=60)
    one, two = (lung_sources.trained_source("doses", 1, few, patients=300) for _ in range(2))
    assert all(map(np.array_equal, one.get_weights(), two.get_weights()))
    assert lung_sources.held_out("doses", one, 1)["lung"] > 0.6


def test_measurements_by_rule_find_a_disc() -> None:
    hu = np.full((2, 32, 32), 100.0)
    place = np.hypot(*np.mgrid[-16:16, -16:16]) * 1.5 <= 9  # a disc of 18 mm, 60 HU darker
    hu[0][place] = 40
    disc, nothing = lung_to_liver.measured(hu)
    assert disc[0] == pytest.approx(np.sqrt(np.pi) * 9, rel=0.15)
    assert disc[1] == pytest.approx(-60, abs=15)  # smoothing and the blurred edge take a quarter
    assert nothing[1] == pytest.approx(0)


def test_a_dark_lesion_of_the_liver_is_made_to_look_like_a_nodule() -> None:
    hu = np.full((1, 32, 32), 100.0)
    hu[0, 14:18, 14:18] = 60  # 40 HU darker: 300 HU brighter than lung
    shown = lung_prepared.as_nodule(hu)
    wanted = study.lung_window(np.array([[[-830.0, -530.0]]]))
    np.testing.assert_allclose(shown[0, [0, 15], [0, 15], 0], wanted[0, 0, :, 0], atol=1e-6)


def test_a_better_preparation_helps_without_any_lung() -> None:
    prepared = results.load(lung_prepared.LIVER)
    frame = pd.concat([results.load(lung_to_liver.TABLE), prepared])
    for n in lung_to_liver.COMPARED:
        wide = frame[frame["n"] == n].pivot(index="repeat", columns="strategy", values="AUROC")
        nodule = wide["scratch, as a nodule"]
        for gain in (nodule - wide["scratch"], wide["as a nodule"] - nodule):
            assert metrics.mean_interval(gain, groups=np.asarray(wide.index) % 4)[1] > 0
