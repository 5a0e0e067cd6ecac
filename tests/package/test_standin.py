"""The simulated hospitals: counts that are exact, and distributions that are about right.

Where `MEDXFER_DATA` holds the files of the real hospitals, the stored statistics are computed anew.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from book.studies import hospitals_statistics as study
from medxfer_utils.cohorts import Cohort, require_disjoint
from medxfer_utils.data import catalogue, standin
from medxfer_utils.data import hospitals as tabular
from medxfer_utils.data.files import ContentError, DataError, find_local
from medxfer_utils.data.hospitals import HEART_FEATURES

FILES = catalogue.HEART.values()
HERE = all(find_local(file.name, file.folder) for file in FILES)
REAL = [False, *([True] if HERE else [])]
KNOWN = standin.statistics()
STRATA = [(name, y) for name in KNOWN["hospitals"] for y in (0, 1)]
SIZES = {"Cleveland": 303, "Budapest": 294, "Zurich": 123, "Long Beach": 200}
ILL = {"Cleveland": 139, "Budapest": 106, "Zurich": 115, "Long Beach": 149}
DRAWS = 40


@pytest.fixture(scope="module")
def draws() -> list[dict[str, Cohort]]:
    """The four hospitals, simulated many times."""
    return [standin.four_hospitals(np.random.default_rng(seed)) for seed in range(DRAWS)]


def values(draws: list[dict[str, Cohort]], name: str, y: int) -> np.ndarray:
    """Everybody in one hospital with one diagnosis, in all draws."""
    return np.concatenate([draw[name].x[draw[name].y == y] for draw in draws])


def marginal_of(name: str, y: int, feature: str) -> Any:
    diagnosis = standin.DIAGNOSES[y]
    own = KNOWN["hospitals"][name][diagnosis]["marginals"]
    return own.get(feature, KNOWN["diagnoses"][diagnosis]["marginals"][feature])


# --- what is simulated ----------------------------------------------------------------------------


def test_sizes_diagnoses_and_names_are_those_of_the_real_ones(
    draws: list[dict[str, Cohort]],
) -> None:
    assert list(draws[0]) == list(catalogue.HEART)
    for hospitals in draws[:3]:
        assert {name: len(cohort) for name, cohort in hospitals.items()} == SIZES
        assert {name: int(cohort.y.sum()) for name, cohort in hospitals.items()} == ILL
        for name, cohort in hospitals.items():
            assert (cohort.name, cohort.features) == (name, HEART_FEATURES)
            assert cohort.patient[0] == f"simulated-{name}-001"
        require_disjoint(*hospitals.values())


@pytest.mark.parametrize(("name", "y"), STRATA)
def test_what_is_missing_together_is_exact(
    draws: list[dict[str, Cohort]], name: str, y: int
) -> None:
    stored = KNOWN["hospitals"][name][standin.DIAGNOSES[y]]["missing"]
    for draw in draws[:3]:
        gaps = np.isnan(draw[name].x[draw[name].y == y]).astype(int)
        assert Counter("".join(map(str, row)) for row in gaps.tolist()) == stored


def test_the_order_of_patients_tells_nothing(draws: list[dict[str, Cohort]]) -> None:
    for name in SIZES:
        first = [draw[name].y[: len(draw[name]) // 2].mean() for draw in draws]
        assert np.mean(first) == pytest.approx(ILL[name] / SIZES[name], abs=0.03)
    # Whose values are missing is not decided by the place in the file either.
    scanned = [~np.isnan(draw["Budapest"].x[:147, -1]) for draw in draws]
    assert np.mean(scanned) == pytest.approx(28 / 294, abs=0.03)


def test_a_seed_gives_the_same_patients_and_another_does_not(
    draws: list[dict[str, Cohort]],
) -> None:
    again = standin.four_hospitals(np.random.default_rng(3))
    for name, cohort in again.items():
        np.testing.assert_array_equal(cohort.x, draws[3][name].x)
        np.testing.assert_array_equal(cohort.y, draws[3][name].y)
        assert not np.array_equal(cohort.x, draws[4][name].x, equal_nan=True)


@pytest.mark.parametrize(("name", "y"), STRATA)
def test_every_value_is_one_that_the_file_could_hold(
    draws: list[dict[str, Cohort]], name: str, y: int, tmp_path: Path
) -> None:
    for feature, x in zip(HEART_FEATURES, values(draws, name, y).T, strict=True):
        known, marginal = x[~np.isnan(x)], marginal_of(name, y, feature)
        if feature in tabular.CODES:
            assert set(known) <= {float(code) for code, share in marginal.items() if share > 0}
            continue
        digits = 1 if feature == "ST depression" else 0
        np.testing.assert_array_equal(known, np.round(known, digits))
        if len(known):
            least, greatest = marginal[0], marginal[-1]
            assert (known >= least - 0.5).all()
            assert (known <= greatest + 0.5).all()


@pytest.mark.parametrize(("name", "y"), STRATA)
def test_numbers_are_distributed_as_in_the_hospital(
    draws: list[dict[str, Cohort]], name: str, y: int
) -> None:
    table = values(draws, name, y)
    for feature in ("age", "maximum heart rate", "ST depression"):
        x = table[:, HEART_FEATURES.index(feature)]
        knots = np.array(marginal_of(name, y, feature))
        # Between two knots all values are equally likely.
        mean = ((knots[1:] + knots[:-1]) / 2 * np.diff(KNOWN["levels"])).sum()
        error = np.nanstd(x) / np.sqrt((~np.isnan(x)).sum())
        assert abs(np.nanmean(x) - mean) < 4.5 * error + 0.02, feature
        assert np.nanmedian(x) == pytest.approx(knots[3], abs=0.25 * np.nanstd(x)), feature


@pytest.mark.parametrize(("name", "y"), STRATA)
def test_codes_have_the_shares_of_the_hospital(
    draws: list[dict[str, Cohort]], name: str, y: int
) -> None:
    table = values(draws, name, y)
    for feature in tabular.CODES:
        x = table[:, HEART_FEATURES.index(feature)]
        known = x[~np.isnan(x)]
        for code, share in marginal_of(name, y, feature).items():
            error = np.sqrt(max(share * (1 - share), 0.01) / len(known))
            assert abs(np.mean(known == float(code)) - share) < 4.5 * error, (feature, code)


@pytest.mark.parametrize("y", [0, 1])
def test_features_go_together_as_in_the_statistics(draws: list[dict[str, Cohort]], y: int) -> None:
    stored = np.array(KNOWN["diagnoses"][standin.DIAGNOSES[y]]["correlation"])
    groups = [values(draws, name, y) for name in SIZES]
    pairs = np.triu_indices(len(stored), 1)
    error = np.abs(study.correlation(groups) - stored)[pairs]
    # The estimate is of first order: strong correlations of rare codes come out stronger.
    assert error[np.abs(stored[pairs]) < 0.35].max() < 0.07
    assert error.max() < 0.2
    assert error.mean() < 0.02
    age, rate = (HEART_FEATURES.index(feature) for feature in ("age", "maximum heart rate"))
    spoken = groups[0][:, [age, rate]]
    assert np.corrcoef(spoken.T)[0, 1] == pytest.approx(stored[age, rate], abs=0.05)
    assert stored[age, rate] < -0.2  # the old have slower hearts


def test_the_ill_can_be_told_from_the_healthy_as_well_as_in_cleveland(
    draws: list[dict[str, Cohort]],
) -> None:
    aurocs = []
    for draw in draws[:5]:
        cohort = tabular.encoded(draw["Cleveland"])
        model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
        score = cross_val_predict(model, cohort.x, cohort.y, cv=5, method="predict_proba")[:, 1]
        aurocs.append(roc_auc_score(cohort.y, score))
    # The real ones: 0.91.
    assert min(aurocs) > 0.80
    assert max(aurocs) < 0.95


# --- real or simulated ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["no such folder", "another file", "no network"])
def test_without_the_files_the_patients_are_said_to_be_simulated(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDXFER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MEDXFER_DATA", str(tmp_path))
    if fault == "no such folder":
        monkeypatch.setenv("MEDXFER_DATA", str(tmp_path / "typo"))
    elif fault == "another file":
        (tmp_path / "processed.cleveland.data").write_text("63,1\n", "utf-8")
    else:
        file = catalogue.HEART["Cleveland"]
        elsewhere = replace(file, url="http://127.0.0.1:9/processed.cleveland.data")
        monkeypatch.setattr(tabular, "HEART", {"Cleveland": elsewhere})
    cohorts, message = standin.hospitals("builtin", np.random.default_rng(0))
    for name, cohort in standin.four_hospitals(np.random.default_rng(0)).items():
        np.testing.assert_array_equal(cohorts[name].x, cohort.x)
    advised, reason = message.split("\n")
    assert advised.startswith("SIMULATED patients. ")
    assert advised.endswith("python -m medxfer_utils.data heart")
    assert len(advised) < 90  # a page shows it without scrolling
    assert reason.count(". ") == 1  # of the error only what went wrong; the advice is the book's
    reasons = {"no such folder": "typo': there is no such folder."}
    reasons |= {"another file": "not the official processed.cleveland.data"}
    assert reasons.get(fault, "no connection, or it broke off: ConnectionError)") in reason
    for advice in ("python -m medxfer_utils.data heart", "folder uci_heart of MEDXFER_DATA"):
        assert advice in message


PATIENT = "63,1,4,145,233,1,2,150,0,2.3,3,0,6,2\n"


def test_a_folder_is_read_and_its_faults_are_not_hidden(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match=r"processed\.cleveland\.data is neither in"):
        standin.hospitals(str(tmp_path), rng)
    for file in FILES:
        (tmp_path / file.name).write_text(PATIENT, "utf-8")
    cohorts, message = standin.hospitals(str(tmp_path), rng)
    assert (message, list(cohorts)) == ("", list(SIZES))
    assert cohorts["Zurich"].patient.tolist() == ["Zurich-001"]
    (tmp_path / "processed.va.data").write_text(PATIENT + "63\n", "utf-8")
    with pytest.raises(ContentError, match=r"processed\.va\.data, line 2"):
        standin.hospitals(str(tmp_path), rng)


@pytest.mark.parametrize("real", REAL)
def test_where_the_files_are_nothing_is_simulated(
    real: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = SIZES
    if not real:  # files of one patient that pass for official ones
        monkeypatch.setenv("MEDXFER_DATA", str(tmp_path))
        monkeypatch.setattr("medxfer_utils.data.files.verify", lambda file, path, also: path)
        sizes = dict.fromkeys(SIZES, 1)
        for file in FILES:
            (tmp_path / file.name).write_text(PATIENT, "utf-8")
    rng = np.random.default_rng(0)
    cohorts, message = standin.hospitals("builtin", rng)
    assert message == ""
    assert {name: len(cohort) for name, cohort in cohorts.items()} == sizes
    assert cohorts["Zurich"].patient[0] == "Zurich-001"


# --- the statistics -------------------------------------------------------------------------------


def without_correlations(found: dict[str, Any]) -> dict[str, Any]:
    """All numbers that are the same on any processor."""
    diagnoses = {key: value["marginals"] for key, value in found["diagnoses"].items()}
    kept = {key: value for key, value in found.items() if key not in ("record", "diagnoses")}
    return {**kept, "diagnoses": diagnoses}


@pytest.mark.parametrize("real", REAL)
def test_the_statistics_come_out_again(real: bool, draws: list[dict[str, Cohort]]) -> None:
    cohorts = tabular.four_hospitals() if real else draws[0]
    again = json.loads(json.dumps(study.statistics(cohorts)))
    assert again.keys() | {"record"} == KNOWN.keys()
    for name, y in STRATA:
        diagnosis = standin.DIAGNOSES[y]
        stored, found = (known["hospitals"][name][diagnosis] for known in (KNOWN, again))
        assert found["missing"] == stored["missing"]
        assert found["marginals"].keys() == stored["marginals"].keys()
    tolerance = 0.0011 if real else 0.35
    for diagnosis in standin.DIAGNOSES:
        stored, found = (known["diagnoses"][diagnosis]["correlation"] for known in (KNOWN, again))
        numbers = [feature not in tabular.CODES for feature in HEART_FEATURES]
        chosen = np.full(13, True) if real else np.array(numbers)
        pairs = np.ix_(chosen, chosen)
        np.testing.assert_allclose(np.array(found)[pairs], np.array(stored)[pairs], atol=tolerance)
    if real:
        assert without_correlations(again) == without_correlations(KNOWN)


def test_nobody_can_be_put_together_from_the_statistics() -> None:
    # Nothing of a stratum but a few quantiles or shares of one feature at a time, and counts.
    for name, y in STRATA:
        own = KNOWN["hospitals"][name][standin.DIAGNOSES[y]]
        assert set(own) == {"missing", "marginals"}
        n = sum(own["missing"].values())
        assert n == (ILL[name] if y else SIZES[name] - ILL[name])
        for feature, marginal in own["marginals"].items():
            measured = sum(
                count
                for pattern, count in own["missing"].items()
                if pattern[HEART_FEATURES.index(feature)] == "0"
            )
            assert measured >= study.FEWEST
            wanted = len(tabular.CODES.get(feature, study.LEVELS))
            assert len(marginal) == wanted
    assert standin.FILE.stat().st_size < 40_000


def test_what_was_hardly_measured_is_taken_from_all_hospitals() -> None:
    zurich = KNOWN["hospitals"]["Zurich"]
    assert not {"cholesterol", "vessels"} & (
        zurich["healthy"]["marginals"].keys() | zurich["ill"]["marginals"].keys()
    )
    assert "fasting sugar" in zurich["ill"]["marginals"]
    assert "fasting sugar" not in zurich["healthy"]["marginals"]  # 1 of 8
    for diagnosis in standin.DIAGNOSES:
        of_all = KNOWN["diagnoses"][diagnosis]
        assert tuple(of_all["marginals"]) == HEART_FEATURES
        matrix = np.array(of_all["correlation"])
        np.testing.assert_array_equal(matrix, matrix.T)
        np.testing.assert_array_equal(np.diag(matrix), 1)
        assert np.linalg.eigvalsh(matrix)[0] > 0


def test_the_record_says_where_the_statistics_came_from() -> None:
    record = KNOWN["record"]
    assert record["uncommitted"] == []
    assert int(record["commit"], 16)
    assert set(record["packages"]) == set(study.PACKAGES)
    assert record["files"] == {name: file.sum for name, file in catalogue.HEART.items()}
    assert record["fewest"] == study.FEWEST
    assert datetime.fromisoformat(record["date"]).tzinfo


# --- how they are made ----------------------------------------------------------------------------


def test_a_marginal_is_known_quantiles_or_shares() -> None:
    x = np.array([np.nan, *range(101)])
    assert study.marginal(x, "age") == [0, 5, 25, 50, 75, 95, 100]
    codes = np.array([3, 3, 3, 7, np.nan])
    assert study.marginal(codes, "thallium scan") == {"3": 0.75, "6": 0, "7": 0.25}
    table = np.full((6, 13), 1.0)
    table[:, 0] = [40, 50, 60, 70, np.nan, np.nan]
    table[0, 1] = np.nan
    assert tuple(study.marginals(table, 5)) == HEART_FEATURES[1:]
    assert study.missing(table) == {
        "0000000000000": 3, "0100000000000": 1, "1000000000000": 2,
    }  # fmt: skip


def test_scores_are_the_means_of_shares_of_a_normal_variable() -> None:
    # The halves of a normal variable have means of ∓√(2/π), and the variance 2/π.
    half = np.sqrt(2 / np.pi)
    found = study.scores(np.array([5, np.nan, 1, 1, 5.0]))
    np.testing.assert_allclose(found, [half, np.nan, -half, -half, half])
    many = study.scores(np.random.default_rng(0).normal(size=2001) ** 3)
    assert many.var() == pytest.approx(1, abs=0.01)
    assert np.isnan(study.scores(np.full(3, np.nan))).all()


@pytest.mark.parametrize("r", [-0.6, 0.3])
def test_the_correlation_behind_numbers_and_codes_is_found(r: float) -> None:
    rng = np.random.default_rng(0)
    groups = []
    for shift in (0, 5):  # hospitals that differ are no correlation
        x = rng.normal(size=(4000, 13))
        x[:, 1] = r * x[:, 0] + np.sqrt(1 - r**2) * x[:, 1]
        x[:, 2] = x[:, 1] > norm.ppf(0.7)
        x[:, 3:5] += shift
        x[rng.random(4000) < 0.3, 0] = np.nan
        groups.append(np.column_stack([np.exp(x[:, 0]), x[:, 1:]]))
    found = study.correlation(groups)
    assert found[0, 1] == pytest.approx(r, abs=0.03)
    assert found[0, 2] == pytest.approx(r, abs=0.05)
    assert found[3, 4] == pytest.approx(0, abs=0.04)


def test_correlations_that_do_not_fit_together_are_made_to() -> None:
    impossible = np.array([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]])
    assert np.linalg.eigvalsh(impossible)[0] < -0.5
    fitted = study.positive_definite(impossible)
    assert np.linalg.eigvalsh(fitted)[0] > 0.001
    np.testing.assert_allclose(np.diag(fitted), 1)
    assert (np.sign(fitted) == np.sign(impossible)).all()
    fine = np.array([[1, 0.5], [0.5, 1]])
    np.testing.assert_allclose(study.positive_definite(fine), fine)
