"""The four hospitals: the real ones, the simulated ones, and the statistics between them.

The simulated ones go through every test, and the real ones too where `MEDXFER_DATA` holds their
files; then the stored statistics are computed anew.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path

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
from medxfer_utils import data
from medxfer_utils.cohorts import Cohort, require_disjoint
from medxfer_utils.data import HEART, HEART_FEATURES, SHARED
from tests.faults import untold

Patch = pytest.MonkeyPatch
Hospitals = dict[str, Cohort]

HERE = all(data.find_local(file.name, file.folder) for file in HEART.values())
REAL = [False, *([True] if HERE else [])]
KNOWN = data.heart_statistics()
STRATA = [(name, y) for name in KNOWN["hospitals"] for y in (0, 1)]
# heart-disease.names, section 10: all, and all but class 0.
SIZES = {"Cleveland": 303, "Budapest": 294, "Zurich": 123, "Long Beach": 200}
ILL = {"Cleveland": 139, "Budapest": 106, "Zurich": 115, "Long Beach": 149}
# An invented patient: a man of 63 who is ill, with a value in every field.
PATIENT = "63.0,1.0,4.0,145.0,233,1,2.0,150.0,0.0,2.3,3.0,0.0,6.0,2"
X = [63, 1, 4, 145, 233, 1, 2, 150, 0, 2.3, 3, 0, 6]


def with_field(name: str, text: str) -> str:
    """The invented patient with something else in one field."""
    fields = PATIENT.split(",")
    fields[(*HEART_FEATURES, "diagnosis").index(name)] = text
    return ",".join(fields)


def read(content: str | bytes, path: Path, name: str = "Zurich") -> Cohort:
    """A file with this content, read."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return data.read_hospital(path, name)


def column(cohort: Cohort, feature: str) -> np.ndarray:
    return cohort.x[:, cohort.features.index(feature)]


def complete(cohort: Cohort) -> int:
    """How many patients have no missing value."""
    return int((~np.isnan(cohort.x)).all(axis=1).sum())


def same(one: Cohort, other: Cohort) -> bool:
    return np.array_equal(one.x, other.x, equal_nan=True) and np.array_equal(one.y, other.y)


@pytest.fixture(params=REAL, ids=lambda real: "real" if real else "simulated")
def hospitals(request: pytest.FixtureRequest) -> Hospitals:
    simulated = data.simulated_hospitals(np.random.default_rng(0))
    return data.four_hospitals() if request.param else simulated


def test_the_hospitals_have_the_published_counts(hospitals: Hospitals) -> None:
    found = {name: (len(c), len(c.patients), int(c.y.sum())) for name, c in hospitals.items()}
    assert found == {name: (n, n, ILL[name]) for name, n in SIZES.items()}
    assert list(hospitals) == list(HEART)
    require_disjoint(*hospitals.values())
    assert all((c.name, c.features) == (name, HEART_FEATURES) for name, c in hospitals.items())
    assert hospitals["Zurich"].patient[0] in ("Zurich-001", "simulated-Zurich-001")
    assert "93.5 % are ill" in HEART["Zurich"].faults
    assert hospitals["Zurich"].prevalence == pytest.approx(0.935, abs=0.0005)


def test_no_zero_passes_for_a_measurement(hospitals: Hospitals) -> None:
    without = [feature for feature in SHARED if feature != "cholesterol"]
    patients = {
        name: tuple(complete(data.restricted(cohort, some)) for some in (SHARED, without))
        for name, cohort in hospitals.items()
    }
    # Others who take 0 for a cholesterol count 303, 261, 46 and 130 complete patients.
    expected = {"Cleveland": (303, 303), "Budapest": (261, 284)}
    assert patients == expected | {"Zurich": (0, 46), "Long Beach": (97, 133)}
    zeros = ("cholesterol", "resting pressure")
    assert not any((column(c, feature) == 0).any() for c in hospitals.values() for feature in zeros)


def test_the_catalogue_tells_what_was_not_measured(hospitals: Hospitals) -> None:
    counted = ("vessels", "thallium scan", "ST slope", "cholesterol")
    measured = {
        name: [int((~np.isnan(column(cohort, feature))).sum()) for feature in counted]
        for name, cohort in hospitals.items()
    }
    expected = {"Cleveland": [303 - 4, 303 - 2, 303, 303], "Budapest": [3, 28, 104, 294 - 23]}
    expected |= {"Zurich": [5, 71, 106, 0], "Long Beach": [2, 34, 98, 200 - 7 - 49]}
    assert measured == expected
    for name, counts in measured.items():
        missing = [len(hospitals[name]) - n for n in counts[:3]]
        told = counts[:3] if name != "Cleveland" else [n for n in missing if n]
        assert all(f" {n} " in HEART[name].faults for n in told), name


def test_what_the_files_themselves_hold(tmp_path: Path) -> None:
    # A row that is there twice; rows without a question mark, where 0 is a cholesterol; the first.
    rows = [PATIENT, with_field("cholesterol", "0"), with_field("age", "?"), PATIENT]
    made = tmp_path / "made.data"
    cohort = read("\n".join(rows), made)
    assert (complete(cohort), cohort.y[0], cohort.y.dtype.kind) == (2, 1, "i")
    cleveland = [63, 1, 1, 145, 233, 1, 2, 150, 0, 2.3, 3, 0, 6]  # typical angina, and healthy
    files = {"Budapest": (made, 1, 3, [*X, 1])}
    for name, counts in {"Cleveland": (0, 303), "Zurich": (0, 46), "Long Beach": (1, 130)}.items():
        if path := data.find_local(HEART[name].name, "uci_heart"):
            files[name] = (path, *counts, [*cleveland, 0] if name == "Cleveland" else [])
    for name, (path, twice, complete_rows, first) in files.items():
        cohort = data.read_hospital(path, name)
        table = np.nan_to_num(np.column_stack([cohort.x, cohort.y]), nan=-99)
        assert len(cohort) - len(np.unique(table, axis=0)) == twice
        assert ("One row is there twice" in HEART[name].faults) == bool(twice)
        fields = [line.split(",")[: len(SHARED)] for line in path.read_text("utf-8").splitlines()]
        assert sum("?" not in each for each in fields) == complete_rows
        assert not first or table[0].tolist() == first
        assert cohort.patient[0] == f"{name}-001"


def test_every_way_to_write_a_patient_that_occurs_is_understood(tmp_path: Path) -> None:
    rows = [with_field("ST depression", text) for text in (".7", "-2.6", "0", "?", "1.")]
    rows += [with_field("diagnosis", text) for text in ("0", "0.0", "1", "4")]
    rows += [with_field("resting pressure", text) for text in ("0", "0.0", "?", "80")]
    for end, mark in (("\n", ""), ("\r", ""), ("\r\n", "\ufeff"), (" \n", "")):
        text = mark + end.join([*rows, "", ""]).replace(",", ", " if end == " \n" else ",")
        cohort = read(text, tmp_path / "some.data", "Basel")
        assert cohort.patient.tolist() == [f"Basel-{n:03d}" for n in range(1, 14)]
    np.testing.assert_array_equal(column(cohort, "ST depression")[:5], [0.7, -2.6, 0, np.nan, 1])
    np.testing.assert_array_equal(column(cohort, "resting pressure")[9:], [*[np.nan] * 3, 80])
    assert cohort.y[5:9].tolist() == [0, 0, 1, 1]


FAULTS = {
    "a field too few": (PATIENT[:-2], "has 13 fields between commas, not 14: age, .*, diagnosis"),
    "a field too many": (f"{PATIENT},", "line 2 has 15 fields between commas, not 14"),
    "semicolons": (PATIENT.replace(",", ";"), "line 2 has 1 fields between commas, not 14"),
    "blank": ("", "line 2 is blank; remove it"),
    "spaces only": ("  ", "line 2 is blank"),
    "no diagnosis": (with_field("diagnosis", "?"), "line 2, diagnosis: it is missing"),
    "word": (with_field("sex", "male"), "line 2, sex: 'male' is not a number; write [?]"),
    "heading": (",".join([*HEART_FEATURES, "num"]), "line 2 is a heading, not a patient: remove"),
    "quoted heading": ('"' + '","'.join([*HEART_FEATURES, "num"]) + '"', "line 2 is a heading"),
    "empty field": (with_field("vessels", ""), "line 2, vessels: '' is not a number"),
    "codes": (with_field("chest pain", "0"), "must be one of 1, 2, 3, 4; correct it"),
    "range": (with_field("cholesterol", "6.0"), "must be from 50 to 1000; correct it"),
}
NO_NUMBERS: dict[str, tuple[str, ...]] = {"age": ("nan", "inf", "٦٣")}  # the last in Arabic digits
IMPOSSIBLE: dict[str, tuple[str, ...]] = {
    **{"age": ("-63", "630"), "sex": ("2",), "chest pain": ("0",), "resting pressure": ("19",)},
    **{"cholesterol": ("6.0",), "fasting sugar": ("110",), "resting ECG": ("3",)},  # mmol/l, mg/dl
    **{"maximum heart rate": ("0",), "exercise angina": ("0.5",), "ST depression": ("23", "-9")},
    **{"ST slope": ("0",), "vessels": ("4",), "thallium scan": ("4",)},
    **{"diagnosis": ("5", "-1", "0.5")},
}
FAULTS |= {
    f"{name} {text}": (
        with_field(name, text),
        f"line 2, {name}: '?{text.removesuffix('.0')}'? {what}",
    )
    for what, of in (("is not a number", NO_NUMBERS), ("is impossible", IMPOSSIBLE))
    for name, texts in of.items()
    for text in texts
}


def test_a_faulty_file_is_refused_with_the_place_of_the_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.data"

    def lines(_: str, line: str) -> Cohort:
        return read("\n".join([PATIENT, line, PATIENT]), path)

    def placed(error: Exception) -> bool:
        return str(error).startswith(f"{path}, line 2")

    assert untold(FAULTS, lines, data.ContentError, placed) == {}
    empty = r"a\.data is empty; it should hold one line a pat"
    files = {repr(content): (content, empty) for content in (b"", b"\n\n", b"  \n")}
    latin = f"{PATIENT}\n{PATIENT}\n63,männlich".encode("latin-1")
    files["latin"] = latin, r"a\.data, line 3: byte 0xe4 is not text in UTF-8"
    assert untold(files, lambda _, content: read(content, path), data.ContentError) == {}


def test_a_folder_is_read_as_it_is_and_its_faults_are_not_hidden(
    hospitals: Hospitals, tmp_path: Path, monkeypatch: Patch
) -> None:
    rng, missing = (
        np.random.default_rng(0),
        r"processed\.switzerland\.data is neither in .*uci_heart",
    )
    monkeypatch.setenv("MEDXFER_DATA", str(tmp_path / "not there"))  # has no part in this
    for at in (".", "uci_heart"):
        folder = tmp_path / f"in {at}" / at
        folder.mkdir(parents=True)
        for name, cohort in hospitals.items():
            table = np.column_stack([cohort.x, 3 * cohort.y]).tolist()
            rows = [",".join("?" if v != v else f"{v:g}" for v in row) for row in table]
            (folder / HEART[name].name).write_text("\n".join(rows) + "\n", "utf-8")
        cohorts, message = data.heart_hospitals(f"{tmp_path}/in {at}", rng)
        assert message == ""
        assert all(same(cohorts[name], cohort) for name, cohort in hospitals.items())
        (folder / HEART["Zurich"].name).unlink()
        for load in (data.four_hospitals, lambda folder: data.heart_hospitals(str(folder), rng)):
            with pytest.raises(data.DataError, match=missing):
                load(tmp_path / f"in {at}")
    (folder / HEART["Zurich"].name).write_text(PATIENT + "\n63\n", "utf-8")
    with pytest.raises(data.ContentError, match=r"processed\.switzerland\.data, line 2"):
        data.heart_hospitals(f"{tmp_path}/in {at}", rng)


def test_some_features_are_kept_in_the_order_asked_for(hospitals: Hospitals) -> None:
    cohort = hospitals["Budapest"]
    some = data.restricted(cohort, ("cholesterol", "age"))
    assert some.features == ("cholesterol", "age")
    np.testing.assert_array_equal(some.x, cohort.x[:, [4, 0]])
    np.testing.assert_array_equal(some.patient, cohort.patient)
    with pytest.raises(ValueError, match="'Budapest' has no feature 'chol': choose from age, sex"):
        data.restricted(cohort, ["age", "chol"])


def test_choices_become_columns(tmp_path: Path, hospitals: Hospitals) -> None:
    none = ",".join("?" * len(HEART_FEATURES)) + ",0"
    rows = [PATIENT, "40,0,1,120,200,0,0,170,0,0,1,0,3,0", none]  # the second has all references
    cohort = data.encoded(read("\n".join(rows), tmp_path / "three.data"))
    expected = {
        **{"age": (63, 40), "sex": (1, 0), "chest pain = 2": (0, 0), "chest pain = 3": (0, 0)},
        **{"chest pain = 4": (1, 0), "resting pressure": (145, 120), "cholesterol": (233, 200)},
        **{"fasting sugar": (1, 0), "resting ECG = 1": (0, 0), "resting ECG = 2": (1, 0)},
        **{"maximum heart rate": (150, 170), "exercise angina": (0, 0), "ST depression": (2.3, 0)},
        **{"ST slope = 2": (0, 0), "ST slope = 3": (1, 0), "vessels": (0, 0)},
        **{"thallium scan = 6": (1, 0), "thallium scan = 7": (0, 0)},
    }
    assert cohort.features == tuple(expected)
    np.testing.assert_array_equal(cohort.x[:2].T, list(expected.values()))
    assert np.isnan(cohort.x[2]).all()
    # Any features can be encoded, and nothing is lost.
    few = data.restricted(hospitals["Long Beach"], ("ST slope", "age"))
    some = data.encoded(few)
    assert some.features == ("ST slope = 2", "ST slope = 3", "age")
    back = 1 + column(some, "ST slope = 2") + 2 * column(some, "ST slope = 3")
    np.testing.assert_array_equal(np.column_stack([back, some.x[:, 2]]), few.x)
    assert np.isnan(back).sum() == 102


# --- What is simulated ---


@pytest.fixture(scope="module")
def draws() -> list[Hospitals]:
    """The four hospitals, simulated many times."""
    return [data.simulated_hospitals(np.random.default_rng(seed)) for seed in range(40)]


def values(draws: list[Hospitals], name: str, y: int) -> np.ndarray:
    """Everybody in one hospital with one diagnosis, in all draws."""
    return np.concatenate([draw[name].x[draw[name].y == y] for draw in draws])


def test_the_seed_decides_who_is_there_and_their_order_tells_nothing(
    draws: list[Hospitals],
) -> None:
    again = data.simulated_hospitals(np.random.default_rng(3))
    assert all(same(cohort, draws[3][name]) for name, cohort in again.items())
    assert not any(same(cohort, draws[4][name]) for name, cohort in again.items())
    for name in SIZES:
        first = [draw[name].y[: len(draw[name]) // 2].mean() for draw in draws]
        assert np.mean(first) == pytest.approx(ILL[name] / SIZES[name], abs=0.03)
    # Whose values are missing is not decided by the place in the file either.
    scanned = [~np.isnan(draw["Budapest"].x[:147, -1]) for draw in draws]
    assert np.mean(scanned) == pytest.approx(28 / 294, abs=0.03)


@pytest.mark.parametrize(("name", "y"), STRATA)
def test_values_are_missing_and_distributed_as_in_the_hospital(
    draws: list[Hospitals], name: str, y: int
) -> None:
    own = KNOWN["hospitals"][name][data.DIAGNOSES[y]]
    for draw in draws[:3]:  # what is missing together is exact
        gaps = np.isnan(draw[name].x[draw[name].y == y]).astype(int)
        assert Counter("".join(map(str, row)) for row in gaps.tolist()) == own["missing"]
    marginals = KNOWN["diagnoses"][data.DIAGNOSES[y]]["marginals"] | own["marginals"]
    for feature, x in zip(HEART_FEATURES, values(draws, name, y).T, strict=True):
        known, marginal = x[~np.isnan(x)], marginals[feature]
        if not len(known):
            continue
        if feature in data.CODES:
            assert set(known) <= {float(code) for code, share in marginal.items() if share > 0}
            for code, share in marginal.items():
                error = np.sqrt(max(share * (1 - share), 0.01) / len(known))
                assert abs(np.mean(known == float(code)) - share) < 4.5 * error, (feature, code)
            continue
        np.testing.assert_array_equal(known, np.round(known, feature == "ST depression"))
        knots, spread = np.array(marginal), known.std()
        assert knots[0] - 0.5 <= known.min() <= known.max() <= knots[-1] + 0.5
        if feature in ("age", "maximum heart rate", "ST depression"):
            # Between two knots all values are equally likely.
            mean = ((knots[1:] + knots[:-1]) / 2 * np.diff(KNOWN["levels"])).sum()
            assert abs(known.mean() - mean) < 4.5 * spread / np.sqrt(len(known)) + 0.02, feature
            assert np.median(known) == pytest.approx(knots[3], abs=0.25 * spread), feature


@pytest.mark.parametrize("y", [0, 1])
def test_features_go_together_as_in_the_statistics(draws: list[Hospitals], y: int) -> None:
    stored = np.array(KNOWN["diagnoses"][data.DIAGNOSES[y]]["correlation"])
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
    draws: list[Hospitals],
) -> None:
    aurocs = []
    for draw in draws[:5]:
        cohort = data.encoded(draw["Cleveland"])
        model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
        score = cross_val_predict(model, cohort.x, cohort.y, cv=5, method="predict_proba")[:, 1]
        aurocs.append(roc_auc_score(cohort.y, score))
    assert 0.80 < min(aurocs) < max(aurocs) < 0.95  # the real ones: 0.91


# --- Real or simulated ---


def test_without_the_official_files_the_patients_are_said_to_be_simulated(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setenv("MEDXFER_CACHE", str(tmp_path / "cache"))
    simulated = data.simulated_hospitals(np.random.default_rng(0))
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "processed.cleveland.data").write_text("63,1\n", "utf-8")
    elsewhere = replace(HEART["Cleveland"], url="http://127.0.0.1:9/processed.cleveland.data")
    monkeypatch.setattr("medxfer_utils.data.hospitals.HEART", {"Cleveland": elsewhere})
    for folder, why in {
        "typo": "typo': there is no such folder.",
        "wrong": "not the official processed.cleveland.data",
        "": "no connection, or it broke off: ConnectionError)",
    }.items():
        monkeypatch.setenv("MEDXFER_DATA", str(tmp_path / folder))
        with pytest.raises(data.DataError):
            data.four_hospitals()
        cohorts, message = data.heart_hospitals("builtin", np.random.default_rng(0))
        assert all(same(cohorts[name], cohort) for name, cohort in simulated.items())
        advised, reason = message.split("\n")
        command = "python -m medxfer_utils.data heart"
        assert advised == f"SIMULATED patients. For the real ones: {command}"
        assert len(advised) < 90  # a page shows it without scrolling
        assert "folder uci_heart of MEDXFER_DATA" in reason
        assert reason.count(". ") == 1  # only what went wrong; the advice is the book's
        assert why in reason


@pytest.mark.parametrize("real", REAL)
def test_where_the_files_are_nothing_is_simulated(
    real: bool, tmp_path: Path, monkeypatch: Patch
) -> None:
    sizes = SIZES if real else dict.fromkeys(SIZES, 1)
    if not real:  # files of one patient that pass for official ones
        monkeypatch.setenv("MEDXFER_DATA", str(tmp_path))
        monkeypatch.setattr("medxfer_utils.data.files.verify", lambda file, path, also: path)
        for file in HEART.values():
            (tmp_path / file.name).write_text(PATIENT, "utf-8")
    cohorts, message = data.heart_hospitals("builtin", np.random.default_rng(0))
    assert (message, {name: len(cohort) for name, cohort in cohorts.items()}) == ("", sizes)
    assert cohorts["Zurich"].patient[0] == "Zurich-001"


# --- The statistics ---


@pytest.mark.parametrize("real", REAL)
def test_the_statistics_come_out_again(real: bool, draws: list[Hospitals]) -> None:
    cohorts = data.four_hospitals() if real else draws[0]
    again = json.loads(json.dumps(study.statistics(cohorts)))
    assert again.keys() | {"record"} == KNOWN.keys()
    for name, y in STRATA:
        stored, found = (known["hospitals"][name][data.DIAGNOSES[y]] for known in (KNOWN, again))
        assert found["missing"] == stored["missing"]
        assert found["marginals"].keys() == stored["marginals"].keys()
        assert found == stored or not real
    chosen = np.array([real or feature not in data.CODES for feature in HEART_FEATURES])
    pairs, tolerance = np.ix_(chosen, chosen), 0.0011 if real else 0.35
    for diagnosis in data.DIAGNOSES:  # only correlations differ between processors
        stored, found = (known["diagnoses"][diagnosis] for known in (KNOWN, again))
        one, other = (np.array(known["correlation"])[pairs] for known in (stored, found))
        np.testing.assert_allclose(one, other, atol=tolerance)
        assert found["marginals"] == stored["marginals"] or not real
    assert again["levels"] == KNOWN["levels"]


def test_nobody_can_be_put_together_from_the_statistics() -> None:
    # Nothing of a stratum but a few quantiles or shares of one feature at a time, and counts.
    for name, y in STRATA:
        own = KNOWN["hospitals"][name][data.DIAGNOSES[y]]
        assert set(own) == {"missing", "marginals"}
        assert sum(own["missing"].values()) == (ILL[name] if y else SIZES[name] - ILL[name])
        for feature, marginal in own["marginals"].items():
            place, counts = HEART_FEATURES.index(feature), own["missing"].items()
            assert sum(n for pattern, n in counts if pattern[place] == "0") >= study.FEWEST
            assert len(marginal) == len(data.CODES.get(feature, study.LEVELS))
    assert data.STATISTICS.stat().st_size < 40_000


def test_what_was_hardly_measured_is_taken_from_all_and_all_have_a_record() -> None:
    own = {
        diagnosis: KNOWN["hospitals"]["Zurich"][diagnosis]["marginals"]
        for diagnosis in data.DIAGNOSES
    }
    assert not {"cholesterol", "vessels"} & {*own["healthy"], *own["ill"]}
    assert "fasting sugar" in own["ill"].keys() - own["healthy"].keys()  # 1 of 8
    for diagnosis in data.DIAGNOSES:
        of_all = KNOWN["diagnoses"][diagnosis]
        assert tuple(of_all["marginals"]) == HEART_FEATURES
        matrix = np.array(of_all["correlation"])
        assert (matrix == matrix.T).all()
        assert (np.diag(matrix) == 1).all()
        assert np.linalg.eigvalsh(matrix)[0] > 0
    record = KNOWN["record"]
    assert (record["uncommitted"], record["fewest"]) == ([], study.FEWEST)
    assert set(record["packages"]) == set(study.PACKAGES)
    assert record["files"] == {name: file.sum for name, file in HEART.items()}
    assert int(record["commit"], 16)
    assert datetime.fromisoformat(record["date"]).tzinfo


# --- How they are made ---


def test_a_marginal_is_known_quantiles_or_shares() -> None:
    x = np.array([np.nan, *range(101)])
    assert study.marginal(x, "age") == [0, 5, 25, 50, 75, 95, 100]
    codes = np.array([3, 3, 3, 7, np.nan])
    assert study.marginal(codes, "thallium scan") == {"3": 0.75, "6": 0, "7": 0.25}
    table = np.full((6, 13), 1.0)
    table[:, 0] = [40, 50, 60, 70, np.nan, np.nan]
    table[0, 1] = np.nan
    assert tuple(study.marginals(table, 5)) == HEART_FEATURES[1:]
    assert study.missing(table) == {"0" * 13: 3, "01" + "0" * 11: 1, "1" + "0" * 12: 2}


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
    rng, groups = np.random.default_rng(0), []
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
