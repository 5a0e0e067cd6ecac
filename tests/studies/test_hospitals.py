"""The tables of chapter 05: complete, and made as they say."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import ModuleType

from book.studies import hospitals as four_hospitals
from book.studies import hospitals_choice as hospital_choice
from book.studies import hospitals_gaps as hospital_gaps

# isort: split
import numpy as np
import pandas as pd
import pytest

from benchmarks import four_hospitals as benchmark
from medxfer_utils import data, metrics, missing, results
from medxfer_utils.cohorts import Cohort, draw, require_disjoint
from medxfer_utils.data import (
    HEART,
    SHARED,
    encoded,
    fetch,
    find_local,
    restricted,
    simulated_hospitals,
)
from medxfer_utils.transfer import gate

HERE = all(find_local(file.name, file.folder) for file in HEART.values())
TABLES: dict[str, ModuleType] = {
    four_hospitals.SOURCES: four_hospitals,
    four_hospitals.PAIRS: four_hospitals,
    hospital_choice.CHOICE: hospital_choice,
    hospital_choice.PRINCIPLES: hospital_choice,
    hospital_gaps.TABLE: hospital_gaps,
    benchmark.TABLE: benchmark,
}
# Where the files are not, the same code runs on the stand-in.
REAL_OR_NOT = pytest.mark.parametrize("real", [False, *([True] if HERE else [])])


def hospitals(real: bool) -> dict[str, Cohort]:
    return data.four_hospitals() if real else simulated_hospitals(np.random.default_rng(0))


@pytest.mark.parametrize("table", TABLES)
def test_the_record_says_where_the_table_came_from(table: str) -> None:
    record = results.record_of(table)
    assert record["uncommitted"] == []
    assert int(record["commit"], 16)
    assert set(record["packages"]) == set(TABLES[table].PACKAGES)
    assert datetime.fromisoformat(record["date"]).tzinfo
    if "repeats" in record:
        assert 0 not in record["repeats"]  # the one on which choices were made
        assert set(results.load(table)["repeat"]) == set(record["repeats"])


def test_every_strategy_is_there_once() -> None:
    frame = results.load(four_hospitals.SOURCES)
    assert frame["error"].isna().all(), "no fit has failed"
    assert not frame.duplicated(["target", "strategy", "n", "repeat"]).any()
    counts = frame.groupby(["target", "strategy", "n"])["repeat"].nunique()
    assert (counts == len(four_hospitals.REPEATS)).all()
    sizes = frame.groupby("target")["n"].agg(set)
    assert sizes["Zurich"] == {0, 10, 20, 40}  # its pool has 62 patients
    assert all(sizes[name] == {0, 10, 20, 40, 80} for name in sizes.index if name != "Zurich")
    kinds = frame.groupby("strategy")["n"].min()
    assert ((kinds == 0) == kinds.index.isin(frame[frame["n"] == 0]["strategy"])).all()
    assert len(kinds) == 18


def test_all_arms_of_a_study_had_the_same_labels() -> None:
    frame = results.load(four_hospitals.SOURCES)
    assert (frame["rows"] == frame["n"].where(frame["n"] > 0, 10)).all()


def test_every_pair_was_asked() -> None:
    frame = results.load(four_hospitals.PAIRS)
    keys = ["source", "target", "transfer", "n", "repeat"]
    assert not frame.duplicated(keys).any()
    assert len(frame) == 12 * 2 * len(four_hospitals.GATE_SIZES) * len(four_hospitals.REPEATS)
    assert set(frame["answer"]) == set(gate.VERDICTS)
    told = frame["answer"] != gate.CANNOT_TELL
    np.testing.assert_array_equal(told, frame["p"] <= gate.LEVEL)
    assert ((frame["gain"] > 0) == (frame["answer"] == gate.TRANSFER))[told].all()


def test_a_gated_model_is_one_of_the_two_when_the_gate_has_spoken() -> None:
    frame = results.load(four_hospitals.PAIRS)
    for answer, who in {gate.TRANSFER: "transfer", gate.KEEP_OUT: "alone"}.items():
        part = frame[frame["answer"] == answer]
        np.testing.assert_allclose(part["AUROC, gated"], part[f"AUROC, {who}"], atol=1e-4)
        np.testing.assert_allclose(part["log loss, gated"], part[f"log loss, {who}"], rtol=1e-3)


def test_every_candidate_was_scored() -> None:
    frame = results.load(hospital_choice.CHOICE)
    assert not frame.duplicated(["target", "source", "n", "repeat"]).any()
    assert (frame.groupby(["target", "n", "repeat"])["source"].nunique() == 10).all()
    assert frame.notna().all(axis=None)
    assert set(hospital_choice.SCORES) < set(frame)


def test_sources_with_shuffled_labels_know_nothing() -> None:
    frame = results.load(hospital_choice.CHOICE).query("target != 'Zurich'")
    shuffled = frame["source"].str.contains("shuffled")
    assert frame[shuffled]["as is"].mean() == pytest.approx(0.5, abs=0.1)
    assert frame[~shuffled]["as is"].mean() > 0.7


def test_every_principle_was_broken_in_every_repeat() -> None:
    frame = results.load(hospital_choice.PRINCIPLES)
    assert not frame.duplicated(["target", "repeat", "principle", "arm"]).any()
    arms = frame.groupby("principle")["arm"].nunique()
    assert arms.to_dict() == {"data distribution": 3, "model structure": 4, "training scheme": 4}
    assert set(frame["target"]) == set(hospital_choice.TARGETS)


def test_every_imputer_met_every_mechanism() -> None:
    frame = results.load(hospital_gaps.TABLE)
    assert not frame.duplicated(["mechanism", "imputer", "repeat"]).any()
    each = {*missing.IMPUTERS, hospital_gaps.DELETION}
    for mechanism in (*hospital_gaps.MECHANISMS, "as it came"):
        assert set(frame[frame["mechanism"] == mechanism]["imputer"]) == each
    error = frame.set_index("mechanism")["RMSE"]
    assert error["none"].eq(0).all()
    assert error["as it came"].isna().all(), "the truth is not known there"


def test_published_accuracies_and_the_benchmarks_division() -> None:
    frame = results.load(benchmark.TABLE)
    patients = frame.groupby("hospital")["patients"].max()
    # Test patients as stated by the benchmark's authors.
    assert patients.to_dict() == {"Cleveland": 104, "Budapest": 89, "Zurich": 16, "Long Beach": 45}
    known = frame.dropna(subset="right")
    np.testing.assert_allclose(known["accuracy"], known["right"] / known["patients"], atol=1e-4)


# --- how the tables are made ----------------------------------------------------------------------


@REAL_OR_NOT
def test_no_patient_is_on_two_sides(real: bool) -> None:
    data = four_hospitals.shared(hospitals(real))
    for target, cohort in data.items():
        pool, test = four_hospitals.divide(cohort, 3)
        require_disjoint(pool, test, *(c for name, c in data.items() if name != target))
        assert abs(len(pool) - len(test)) <= 2
        again = four_hospitals.divide(cohort, 4)[1]
        assert set(again.patients) != set(test.patients)


@pytest.mark.parametrize("target", ["Cleveland", "Zurich"])
def test_a_test_patient_is_judged_without_the_others(target: str) -> None:
    # Nothing may be fitted on those who are tested, not even a median while they are predicted.
    data = four_hospitals.shared(hospitals(False))
    pool, test = four_hospitals.divide(data[target], 1)
    others = [cohort for name, cohort in data.items() if name != target]
    few = draw(pool, 10, np.random.default_rng(1))
    arms = four_hospitals.without_labels(others, pool.x, 1)
    arms |= four_hospitals.with_labels(others, pool.x)
    for name, arm in arms.items():
        model = arm(few, 1)
        together = model.probability(test.x)[:5]
        one_by_one = [model.probability(test.x[i : i + 1])[0] for i in range(5)]
        np.testing.assert_allclose(one_by_one, together, atol=1e-9, err_msg=name)


def test_no_imputer_has_seen_a_test_patient() -> None:
    cohort = hospitals(False)["Long Beach"]
    few = encoded(restricted(cohort, SHARED))
    train, test = four_hospitals.divide(few, 1)
    fills = hospital_gaps.filled(train.x, 0)
    for name, fill in fills.items():
        together = fill(test.x)
        alone = np.concatenate([fill(test.x[i : i + 1]) for i in range(5)])
        np.testing.assert_allclose(alone, together[:5], rtol=1e-4, atol=1e-4, err_msg=name)


@REAL_OR_NOT
def test_a_sample_of_rows_comes_out_again(real: bool) -> None:
    some = ["pooled", "average of hospitals", "skada: CORAL", "pooled + intercept", "gated"]
    some += ["target only", "stacking", "mixture", "all hospitals in one model"]
    data, target, repeat = four_hospitals.shared(hospitals(real)), "Long Beach", 7
    again = four_hospitals.one_repeat(data, target, repeat, some)
    assert set(again["strategy"]) == set(some)
    if not real:
        # Simulated patients: the source helps, with few labels.
        wide = again.query("n == 10").set_index("strategy")["log loss"]
        assert wide["pooled + intercept"] < wide["target only"]
        return
    keys = ["strategy", "n"]
    stored = results.load(four_hospitals.SOURCES).query("target == @target and repeat == @repeat")
    stored = stored.set_index(keys).loc[list(again[keys].itertuples(index=False, name=None))]
    for measure in ("AUROC", "log loss", "Brier"):
        np.testing.assert_allclose(again[measure], stored[measure], atol=2e-3)


@REAL_OR_NOT
def test_a_pair_comes_out_again(real: bool) -> None:
    data, about = four_hospitals.shared(hospitals(real)), ("Zurich", "Cleveland", 9)
    again = pd.DataFrame(four_hospitals.one_pair(data, *about))
    if not real:
        as_is = again[again["transfer"] == "as is"]
        assert (as_is["log loss, transfer"] > as_is["log loss, alone"]).all()
        return
    frame = results.load(four_hospitals.PAIRS)
    stored = frame.query("source == 'Zurich' and target == 'Cleveland' and repeat == 9")
    assert again["answer"].tolist() == stored["answer"].tolist()
    for column in ("gain", "AUROC, gated", "log loss, alone"):
        np.testing.assert_allclose(again[column], stored[column], atol=2e-3)


@REAL_OR_NOT
def test_a_row_of_choices_comes_out_again(real: bool) -> None:
    data, networks = four_hospitals.shared(hospitals(real)), hospital_choice.Networks()
    name, repeat = "Budapest", 6
    pool, test = four_hospitals.divide(data["Cleveland"], repeat)
    few = draw(pool, 20, np.random.default_rng([repeat, 0]))
    model = networks.of(name, data[name], repeat % hospital_choice.SEEDS)
    assert networks.of(name, data[name], repeat % hospital_choice.SEEDS) is model
    found = hospital_choice.distances(model, data[name], pool.x, repeat)
    found |= hospital_choice.promises(model, few)
    found["as is"] = metrics.auroc(test.y, model.logit(test.x))
    assert set(found) - {"as is"} == set(hospital_choice.SCORES)
    if not real:
        assert found["as is"] > 0.7
        return
    frame = results.load(hospital_choice.CHOICE)
    stored = frame.query(
        "target == 'Cleveland' and source == @name and repeat == @repeat and n == 20"
    ).iloc[0]
    # Networks differ a little from processor to processor.
    for column in ("proxy A-distance", "MMD"):
        assert found[column] == pytest.approx(stored[column], abs=1e-3)
    for column in ("as is", "AUROC on the labels", "LEEP", "log loss on the labels"):
        assert found[column] == pytest.approx(stored[column], abs=0.03)


def test_agreement_is_kendalls_and_a_constant_ranks_nobody() -> None:
    frame = pd.DataFrame({name: [1.0, 2, 3, 4] for name in hospital_choice.SCORES})
    frame["MMD"] = [4.0, 3, 2, 1]
    frame["LogME"] = 7.0
    frame["LEEP"] = [1.0, 2, 4, 3]  # one of six pairs is the wrong way round
    frame = frame.assign(target="t", n=20, repeat=1, worth=[0.1, 0.2, 0.3, 0.4])
    found = hospital_choice.agreement(frame, "worth").iloc[0]
    assert found["MMD"] == pytest.approx(-1)
    assert found["LogME"] == 0
    assert found["LEEP"] == pytest.approx(4 / 6)
    assert found["H-score"] == pytest.approx(1)


def test_the_most_alike_are_the_most_alike() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 200)
    source = Cohort("s", rng.normal(size=(400, 2)), y, np.arange(400))
    likeness = source.x[:, 0]
    means = []
    for which in ("the least alike", "at random", "the most alike"):
        part = hospital_choice.alike(source, likeness, which, np.random.default_rng(1))
        assert len(part) == hospital_choice.FEW
        assert part.prevalence == 0.5
        means.append(part.x[:, 0].mean())
    assert means[0] < -0.5 < abs(means[1]) + 0.3 < 0.6 < means[2]


def test_what_a_target_network_takes_over_is_what_it_says() -> None:
    cohort = four_hospitals.shared(hospitals(False))["Cleveland"]
    few = draw(cohort, 20, np.random.default_rng(0))
    scaler = missing.ruler(cohort.x)
    source = hospital_choice.trained(cohort, scaler, 0, steps=5)
    models = hospital_choice.structure(source, few, 0)
    given = source.network.get_weights()
    shapes = {name: [w.shape for w in m.network.get_weights()] for name, m in models.items()}
    assert shapes["same structure, all layers"] == [w.shape for w in given]
    assert shapes["other width, first layer"][2] == (64, 16)
    assert shapes["other widths, nothing"][0][1] == 48
    # Fine-tuning moves weights a little: those that were taken over are near the source's.
    first = models["other width, first layer"].network.get_weights()[0]
    assert np.corrcoef(first.ravel(), given[0].ravel())[0, 1] > 0.7


@REAL_OR_NOT
def test_a_row_of_gaps_comes_out_again(real: bool) -> None:
    cohort = hospitals(real)["Cleveland"]
    complete = cohort.of(cohort.patient[missing.complete_rows(cohort.x)])
    assert len(complete) == 297
    again = pd.DataFrame(hospital_gaps.known(complete, 5)).set_index(["mechanism", "imputer"])
    if not real:
        error = again["RMSE"]
        assert error["MCAR", "iterative"] < error["MCAR", "median"]
        return
    stored = results.load(hospital_gaps.TABLE).query("repeat == 5")
    stored = stored.set_index(["mechanism", "imputer"]).loc[again.index]
    assert again["train"].tolist() == stored["train"].tolist()
    np.testing.assert_allclose(again["RMSE"], stored["RMSE"], atol=0.02)
    np.testing.assert_allclose(again["AUROC"], stored["AUROC"], atol=0.01)


def test_one_class_teaches_nothing() -> None:
    x, y = np.zeros((4, 2)), np.ones(4, int)
    assert hospital_gaps.auroc(x, y, x, np.array([0, 1, 0, 1])) == 0.5


def test_complete_rows_are_those_of_the_benchmark(tmp_path: Path) -> None:
    row = "63.0,1.0,1.0,145.0,233.0,1.0,2.0,150.0,0.0,2.3,3.0,0.0,6.0,0"
    rows = [
        row,
        row.replace("233.0", "?"),
        row.replace("233.0", "0"),
        row.replace("0.0,6.0", "?,?"),
    ]
    path = tmp_path / "processed.data"
    path.write_text("\n".join(rows) + "\n")
    # A cholesterol of 0 counts as measured there; a vessel need not be.
    assert benchmark.complete(path).tolist() == [True, False, True, True]


@REAL_OR_NOT
def test_the_division_is_the_benchmarks(real: bool) -> None:
    for name, cohort in hospitals(real).items():
        whole = benchmark.complete(fetch(HEART[name])) if real else ~np.isnan(cohort.x[:, 3])
        train, test = benchmark.flamby_split(cohort, whole)
        require_disjoint(train, test)
        assert len(train) + len(test) == whole.sum()
        # As stated on the benchmark's own page.
        sizes = {"Cleveland": (199, 104), "Budapest": (172, 89), "Zurich": (30, 16)}
        if real:
            assert (len(train), len(test)) == {**sizes, "Long Beach": (85, 45)}[name]


def test_the_cautious_rule_takes_the_least_c_within_one_standard_error() -> None:
    losses = np.tile(np.linspace(0.7, 0.5, 9), (10, 1))
    assert benchmark.chosen(losses, cautious=False) == benchmark.STRENGTHS[-1]
    assert benchmark.chosen(losses, cautious=True) == benchmark.STRENGTHS[-1]  # no spread
    spread = losses + np.linspace(-0.1, 0.1, 10)[:, None]
    # Standard error of ten values spread evenly over 0.2: 0.0213; steps of 0.025.
    assert benchmark.chosen(spread, cautious=True) == benchmark.STRENGTHS[-1]
    wide = losses + np.linspace(-0.2, 0.2, 10)[:, None]
    assert benchmark.chosen(wide, cautious=True) == benchmark.STRENGTHS[-2]


def test_hospitals_are_read_with_their_own_column() -> None:
    data = four_hospitals.shared(hospitals(False))
    blind, knowing = (benchmark.Pooled(data, own) for own in (False, True))
    z = knowing.read("Zurich", data["Zurich"].x)
    assert z[:, -4:].mean(axis=0).tolist() == [0, 0, 1, 0]
    np.testing.assert_array_equal(blind.read("Zurich", data["Zurich"].x), z[:, :-4])
