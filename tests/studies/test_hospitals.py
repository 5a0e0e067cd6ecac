"""How the tables of lessons 10 and 11 are made, and what they say of shuffled labels and gates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from book.studies import hospitals as four_hospitals
from book.studies import hospitals_choice as hospital_choice
from book.studies import hospitals_gaps as hospital_gaps

# isort: split
import numpy as np
import pandas as pd
import pytest

from benchmarks import four_hospitals as benchmark
from medxfer_utils import missing, results
from medxfer_utils.cohorts import Cohort, draw, require_disjoint
from medxfer_utils.data import HEART, fetch, find_local, simulated_hospitals
from medxfer_utils.data import four_hospitals as real_hospitals
from medxfer_utils.transfer import gate

HERE = all(find_local(file.name, file.folder) for file in HEART.values())
SIMULATED = simulated_hospitals(np.random.default_rng(0))
SHARED = four_hospitals.shared(SIMULATED)


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every study finds simulated patients at the four hospitals."""
    kept = (four_hospitals.hospitals, hospital_choice.candidates, hospital_gaps.cohort_of)
    for study in (four_hospitals, hospital_gaps):
        monkeypatch.setattr(study, "four_hospitals", lambda: SIMULATED)
    for cached in (*kept, hospital_choice.source_network):
        cached.cache_clear()
    yield
    for cached in (*kept, hospital_choice.source_network):
        cached.cache_clear()


# --- what the tables say --------------------------------------------------------------------------


def test_the_smallest_hospital_is_not_asked_beyond_its_patients() -> None:
    frame = results.load(four_hospitals.SOURCES)
    sizes = frame.groupby("target")["n"].agg(set).to_dict()
    asked = {name: {0, 10, 20, 40, 80} for name in sizes}
    assert sizes == asked | {"Zurich": {0, 10, 20, 40}}  # its pool has 62 patients
    assert (frame["rows"] == frame["n"].where(frame["n"] > 0, 10)).all()


def test_the_gate_speaks_by_its_level_and_then_decides() -> None:
    frame = results.load(four_hospitals.PAIRS)
    assert set(frame["answer"]) == set(gate.VERDICTS)
    told = frame["answer"] != gate.CANNOT_TELL
    np.testing.assert_array_equal(told, frame["p"] <= gate.LEVEL)
    assert ((frame["gain"] > 0) == (frame["answer"] == gate.TRANSFER))[told].all()
    for answer, who in {gate.TRANSFER: "transfer", gate.KEEP_OUT: "alone"}.items():
        part = frame[frame["answer"] == answer]
        np.testing.assert_allclose(part["AUROC, gated"], part[f"AUROC, {who}"], atol=1e-4)
        np.testing.assert_allclose(part["log loss, gated"], part[f"log loss, {who}"], rtol=1e-3)


def test_sources_with_shuffled_labels_know_nothing() -> None:
    frame = results.load(hospital_choice.CHOICE).query("target != 'Zurich'")
    shuffled = frame["source"].str.contains("shuffled")
    assert frame[shuffled]["as is"].mean() == pytest.approx(0.5, abs=0.1)
    assert frame[~shuffled]["as is"].mean() > 0.7


def test_the_truth_of_a_gap_is_known_where_it_was_made() -> None:
    frame = results.load(hospital_gaps.TABLE)
    met = frame.groupby("mechanism")["imputer"].agg(set)
    for mechanism in (*hospital_gaps.MECHANISMS, "as it came"):
        assert met[mechanism] == {*hospital_gaps.IMPUTERS, hospital_gaps.DELETION}
    error = frame.set_index("mechanism")["RMSE"]
    assert error["none"].eq(0).all()
    assert error["as it came"].isna().all()


def test_published_accuracies_and_the_benchmarks_division() -> None:
    frame = results.load(benchmark.TABLE)
    patients = frame.groupby("hospital")["patients"].max()
    # Test patients as stated by the benchmark's authors.
    assert patients.to_dict() == {"Cleveland": 104, "Budapest": 89, "Zurich": 16, "Long Beach": 45}
    known = frame.dropna(subset="right")
    np.testing.assert_allclose(known["accuracy"], known["right"] / known["patients"], atol=1e-4)


# --- how they are made ----------------------------------------------------------------------------


@pytest.mark.usefixtures("simulated")
def test_on_simulated_patients_the_same_code_makes_the_same_rows() -> None:
    jobs = {
        four_hospitals.STUDIES[0]: {"target": "Long Beach", "repeat": 7},
        four_hospitals.STUDIES[1]: {"source": "Zurich", "target": "Cleveland", "repeat": 9},
        hospital_choice.STUDIES[0]: {"target": "Cleveland", "repeat": 6},
        hospital_choice.STUDIES[1]: {"target": "Budapest", "repeat": 2},
        hospital_gaps.STUDIES[0]: {"hospital": "Cleveland", "repeat": 5},
    }
    tables = {}
    for study, job in jobs.items():
        stored = results.load(study.table)
        stored = stored[(stored[list(job)] == pd.Series(job)).all(axis=1)]
        some = [*study.keys[:1], *{"mechanism", "transfer"}.intersection(stored)]
        fresh = tables[study.table] = study.again(stored.drop_duplicates(some))
        assert np.isfinite(fresh.filter(regex="^(AUROC|as is|log loss)")).all(axis=None), (
            study.table
        )
    loss = tables[four_hospitals.SOURCES].set_index("strategy")["log loss"]
    assert loss["pooled + intercept"] < loss["target only"]  # the source helps, with few labels
    as_is = tables[four_hospitals.PAIRS].query("transfer == 'as is'")
    assert (as_is["log loss, transfer"] > as_is["log loss, alone"]).all()
    assert tables[hospital_choice.CHOICE].query("source == 'Budapest'")["as is"].item() > 0.7
    error = tables[hospital_gaps.TABLE].set_index(["mechanism", "imputer"])["RMSE"]
    assert error["MCAR", "iterative"] < error["MCAR", "median"]


def test_no_patient_is_on_two_sides() -> None:
    for data in (SHARED, *([four_hospitals.hospitals()] if HERE else [])):
        for target, cohort in data.items():
            pool, test = four_hospitals.divide(cohort, 3)
            require_disjoint(pool, test, *(c for name, c in data.items() if name != target))
            assert abs(len(pool) - len(test)) <= 2
            again = four_hospitals.divide(cohort, 4)[1]
            assert set(again.patients) != set(test.patients)


def test_a_test_patient_is_judged_without_the_others() -> None:
    # Nothing may be fitted on those who are tested, not even a median while they are predicted.
    pool, test = four_hospitals.divide(SHARED["Zurich"], 1)
    others = [cohort for name, cohort in SHARED.items() if name != "Zurich"]
    few = draw(pool, 10, np.random.default_rng(1))
    ways = four_hospitals.without_labels(others, pool.x, 1)
    for name, way in (ways | four_hospitals.with_labels(others, pool.x)).items():
        model = way(few, 1)
        together = model.probability(test.x)[:5]
        one_by_one = [model.probability(test.x[i : i + 1])[0] for i in range(5)]
        np.testing.assert_allclose(one_by_one, together, atol=1e-9, err_msg=name)


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
    cohort = SHARED["Cleveland"]
    few = draw(cohort, 20, np.random.default_rng(0))
    source = hospital_choice.trained(cohort, missing.median_scaler(cohort.x), 0, steps=5)
    made = {
        k: m.network.get_weights() for k, m in hospital_choice.structure(source, few, 0).items()
    }
    given, other = source.network.get_weights(), made["other width, first layer"]
    assert [w.shape for w in made["same structure, all layers"]] == [w.shape for w in given]
    assert (other[2].shape, made["other widths, nothing"][0].shape[1]) == ((64, 16), 48)
    # Fine-tuning moves weights a little: those that were taken over are near the source's.
    assert np.corrcoef(other[0].ravel(), given[0].ravel())[0, 1] > 0.7


def test_one_class_teaches_nothing() -> None:
    x, y = np.zeros((4, 2)), np.ones(4, int)
    assert hospital_gaps.auroc(x, y, x, np.array([0, 1, 0, 1])) == 0.5


def test_complete_rows_are_those_of_the_benchmark(tmp_path: Path) -> None:
    row = "63.0,1.0,1.0,145.0,233.0,1.0,2.0,150.0,0.0,2.3,3.0,0.0,6.0,0"
    rows = [row, row.replace("233.0", "?"), row.replace("233.0", "0")]
    path = tmp_path / "processed.data"
    path.write_text("\n".join([*rows, row.replace("0.0,6.0", "?,?")]) + "\n")
    # A cholesterol of 0 counts as measured there; a vessel need not be.
    assert benchmark.complete(path).tolist() == [True, False, True, True]


def test_the_division_is_the_benchmarks() -> None:
    # As stated on the benchmark's own page.
    sizes = {"Cleveland": (199, 104), "Budapest": (172, 89), "Zurich": (30, 16)}
    sizes["Long Beach"] = (85, 45)
    for real in (False, *([True] if HERE else [])):
        for name, cohort in (real_hospitals() if real else SIMULATED).items():
            whole = benchmark.complete(fetch(HEART[name])) if real else ~np.isnan(cohort.x[:, 3])
            train, test = benchmark.flamby_split(cohort, whole)
            require_disjoint(train, test)
            assert len(train) + len(test) == whole.sum()
            assert not real or (len(train), len(test)) == sizes[name]


def test_the_cautious_rule_takes_the_least_c_within_one_standard_error() -> None:
    losses = np.tile(np.linspace(0.7, 0.5, 9), (10, 1))
    # Standard error of ten values spread evenly over 0.2: 0.0213; steps of 0.025.
    for spread, cautious, place in (
        (0, False, -1),
        (0, True, -1),
        (0.1, True, -1),
        (0.2, True, -2),
    ):
        found = benchmark.chosen(losses + np.linspace(-spread, spread, 10)[:, None], cautious)
        assert found == benchmark.STRENGTHS[place]
    blind, knowing = (benchmark.Pooled(SHARED, own) for own in (False, True))
    z = knowing.read("Zurich", SHARED["Zurich"].x)  # hospitals are read with their own column
    assert z[:, -4:].mean(axis=0).tolist() == [0, 0, 1, 0]
    np.testing.assert_array_equal(blind.read("Zurich", SHARED["Zurich"].x), z[:, :-4])
