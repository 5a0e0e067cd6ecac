"""The two laboratories and the four hospitals: published counts, columns, faults, who is where.

The hospitals are the simulated ones, and the real ones too where `MEDXFER_DATA` holds their files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from medxfer_utils.cohorts import Cohort, require_disjoint
from medxfer_utils.data import hospitals as tabular
from medxfer_utils.data import standin
from medxfer_utils.data.catalogue import HEART
from medxfer_utils.data.files import ContentError, DataError, find_local
from medxfer_utils.data.hospitals import (
    HEART_FEATURES,
    SHARED,
    breast_cancer,
    encoded,
    read_hospital,
    restricted,
    two_laboratories,
)

FILE = load_breast_cancer()
HERE = all(find_local(file.name, file.folder) for file in HEART.values())
REAL = [False, *([True] if HERE else [])]


@pytest.fixture(scope="module")
def laboratories() -> tuple[Cohort, Cohort]:
    return two_laboratories(np.random.default_rng(0))


def test_malignant_is_one_and_the_counts_are_the_published_ones() -> None:
    # Street, Wolberg and Mangasarian 1993: 569 images, 212 malignant and 357 benign.
    cohort = breast_cancer()
    assert (len(cohort), int(cohort.y.sum())) == (569, 212)
    assert cohort.x.shape == (569, 30)
    # Malignant nuclei are larger. The first patient of the file, 842302, is malignant (M).
    radius = cohort.x[:, cohort.features.index("mean radius")]
    assert radius[cohort.y == 1].mean() > 1.3 * radius[cohort.y == 0].mean()
    assert (cohort.y[0], radius[0]) == (1, 17.99)


def test_one_row_is_one_patient() -> None:
    assert len(breast_cancer().patients) == 569


@pytest.mark.parametrize(("which", "statistic"), [(0, "mean"), (1, "worst")])
def test_each_laboratory_reports_its_own_statistic(
    laboratories: tuple[Cohort, Cohort], which: int, statistic: str
) -> None:
    laboratory = laboratories[which]
    names = FILE.feature_names.tolist()
    columns = [names.index(f"{statistic} {feature}") for feature in laboratory.features]
    assert len(columns) == 10
    np.testing.assert_array_equal(laboratory.x, FILE.data[laboratory.patient][:, columns])
    np.testing.assert_array_equal(laboratory.y, FILE.target[laboratory.patient] == 0)


def test_both_laboratories_name_their_columns_alike(laboratories: tuple[Cohort, Cohort]) -> None:
    a, b = laboratories
    assert a.features == b.features
    assert set(a.features) == {
        *("radius", "texture", "perimeter", "area", "smoothness", "compactness"),
        *("concavity", "concave points", "symmetry", "fractal dimension"),
    }
    assert (a.name, b.name) == ("laboratory A", "laboratory B")


def test_every_patient_is_in_one_laboratory(laboratories: tuple[Cohort, Cohort]) -> None:
    a, b = laboratories
    assert sorted([*a.patient, *b.patient]) == list(range(569))
    assert abs(len(a) - len(b)) <= 2
    assert abs(int(a.y.sum()) - int(b.y.sum())) <= 1


def test_another_generator_sends_other_patients_to_a(laboratories: tuple[Cohort, Cohort]) -> None:
    same, other = (two_laboratories(np.random.default_rng(seed))[0] for seed in (0, 1))
    assert laboratories[0].patient.tolist() == same.patient.tolist() != other.patient.tolist()


def test_worst_is_above_the_mean_of_the_same_patient() -> None:
    # The mean of the three largest nuclei is no smaller than the mean over all: so B measures
    # higher than A would, in every feature of every patient.
    cohort = breast_cancer()
    for feature in two_laboratories(np.random.default_rng(0))[0].features:
        mean, worst = (
            cohort.x[:, cohort.features.index(f"{statistic} {feature}")]
            for statistic in ("mean", "worst")
        )
        assert (worst >= mean).all(), feature


# --- the four hospitals ---------------------------------------------------------------------------

# An invented patient: a man of 63 who is ill, with a value in every field.
PATIENT = "63.0,1.0,4.0,145.0,233,1,2.0,150.0,0.0,2.3,3.0,0.0,6.0,2"
X = [63, 1, 4, 145, 233, 1, 2, 150, 0, 2.3, 3, 0, 6]


def with_field(name: str, text: str) -> str:
    """The invented patient with something else in one field."""
    fields = PATIENT.split(",")
    fields[(*HEART_FEATURES, "diagnosis").index(name)] = text
    return ",".join(fields)


def written(cohort: Cohort, path: Path) -> None:
    """Write a cohort as the archive does."""
    rows = [
        ",".join([*("?" if np.isnan(value) else f"{value:g}" for value in x), str(3 * y)])
        for x, y in zip(cohort.x, cohort.y, strict=True)
    ]
    path.write_text("\n".join(rows) + "\n", "utf-8")


def column(cohort: Cohort, feature: str) -> np.ndarray:
    return cohort.x[:, cohort.features.index(feature)]


def complete(cohort: Cohort) -> int:
    """How many patients have no missing value."""
    return int((~np.isnan(cohort.x)).all(axis=1).sum())


@pytest.fixture(params=REAL, ids=lambda real: "real" if real else "simulated")
def hospitals(request: pytest.FixtureRequest) -> dict[str, Cohort]:
    simulated = standin.four_hospitals(np.random.default_rng(0))
    return tabular.four_hospitals() if request.param else simulated


def test_the_hospitals_have_the_published_counts(hospitals: dict[str, Cohort]) -> None:
    # heart-disease.names, section 10: all, and all but class 0.
    found = {name: (len(cohort), int(cohort.y.sum())) for name, cohort in hospitals.items()}
    published = {"Cleveland": (303, 139), "Budapest": (294, 106), "Zurich": (123, 115)}
    assert found == published | {"Long Beach": (200, 149)}
    assert list(hospitals) == ["Cleveland", "Budapest", "Zurich", "Long Beach"] == list(HEART)
    for name, cohort in hospitals.items():
        assert (cohort.name, cohort.features) == (name, HEART_FEATURES)
        assert len(cohort.patients) == len(cohort)
    require_disjoint(*hospitals.values())


def test_no_zero_passes_for_a_cholesterol(hospitals: dict[str, Cohort]) -> None:
    without = [feature for feature in SHARED if feature != "cholesterol"]
    patients = {
        name: (complete(restricted(cohort, SHARED)), complete(restricted(cohort, without)))
        for name, cohort in hospitals.items()
    }
    # Others who take 0 for a cholesterol count 303, 261, 46 and 130 complete patients.
    assert patients == {
        "Cleveland": (303, 303), "Budapest": (261, 284), "Zurich": (0, 46), "Long Beach": (97, 133),
    }  # fmt: skip
    for cohort in hospitals.values():
        for feature in ("cholesterol", "resting pressure"):
            values = column(cohort, feature)
            assert not (values == 0).any()


@pytest.mark.parametrize("real", REAL)
def test_a_file_has_more_rows_without_a_question_mark_than_complete_patients(
    real: bool, tmp_path: Path
) -> None:
    paths = {name: find_local(file.name, file.folder) for name, file in HEART.items()}
    expected = {"Cleveland": 303, "Budapest": 261, "Zurich": 46, "Long Beach": 130}
    if not real:
        rows = [PATIENT, with_field("cholesterol", "0"), with_field("age", "?")]
        (tmp_path / "three.data").write_text("\n".join(rows), "utf-8")
        paths, expected = {"Zurich": tmp_path / "three.data"}, {"Zurich": 2}
        assert complete(read_hospital(tmp_path / "three.data", "Zurich")) == 1
    for name, path in paths.items():
        assert path is not None
        lines = path.read_text("utf-8").splitlines()
        assert sum("?" not in line.split(",")[: len(SHARED)] for line in lines) == expected[name]


def test_the_catalogue_tells_what_was_not_measured(hospitals: dict[str, Cohort]) -> None:
    counted = ("vessels", "thallium scan", "ST slope", "cholesterol")
    measured = {
        name: [int((~np.isnan(column(cohort, feature))).sum()) for feature in counted]
        for name, cohort in hospitals.items()
    }
    assert measured == {
        "Cleveland": [303 - 4, 303 - 2, 303, 303],
        "Budapest": [3, 28, 104, 294 - 23],
        "Zurich": [5, 71, 106, 0],
        "Long Beach": [2, 34, 98, 200 - 7 - 49],
    }
    for name, counts in measured.items():
        missing = [len(hospitals[name]) - n for n in counts[:3]]
        told = counts[:3] if name != "Cleveland" else [n for n in missing if n]
        assert all(f" {n} " in HEART[name].faults for n in told), name
    assert "93.5 % are ill" in HEART["Zurich"].faults
    assert hospitals["Zurich"].prevalence == pytest.approx(0.935, abs=0.0005)


@pytest.mark.parametrize("real", REAL)
def test_a_row_that_is_there_twice_is_found(real: bool, tmp_path: Path) -> None:
    paths = {name: find_local(file.name, file.folder) for name, file in HEART.items()}
    expected = {"Cleveland": 0, "Budapest": 1, "Zurich": 0, "Long Beach": 1}
    if not real:
        (tmp_path / "twice.data").write_text("\n".join([PATIENT] * 2), "utf-8")
        paths, expected = {"Budapest": tmp_path / "twice.data"}, {"Budapest": 1}
    for name, path in paths.items():
        assert path is not None
        cohort = read_hospital(path, name)
        rows = np.nan_to_num(np.column_stack([cohort.x, cohort.y]), nan=-99)
        assert len(cohort) - len(np.unique(rows, axis=0)) == expected[name]
        assert ("One row is there twice" in HEART[name].faults) == bool(expected[name])


def test_the_slope_was_reported_for_the_ill_more_often(hospitals: dict[str, Cohort]) -> None:
    budapest = hospitals["Budapest"]
    reported = ~np.isnan(column(budapest, "ST slope"))
    assert reported[budapest.y == 1].mean() > 3 * reported[budapest.y == 0].mean()


def test_the_ill_have_the_findings_of_the_disease(hospitals: dict[str, Cohort]) -> None:
    for name in ("Cleveland", "Budapest"):
        cohort = hospitals[name]
        ill, healthy = cohort.of(cohort.patient[cohort.y == 1]), cohort.y == 0
        for feature in ("age", "exercise angina", "ST depression"):
            assert np.nanmean(column(ill, feature)) > np.nanmean(column(cohort, feature)[healthy])
        slower = np.nanmean(column(ill, "maximum heart rate")) - 5
        assert slower < np.nanmean(column(cohort, "maximum heart rate")[healthy]) - 10


@pytest.mark.parametrize("real", REAL)
def test_the_first_patient_is_read_as_it_is_written(real: bool, tmp_path: Path) -> None:
    path, x, y = tmp_path / "one.data", X, 1
    path.write_text(PATIENT, "utf-8")
    if real:  # typical angina, and healthy
        path = find_local(HEART["Cleveland"].name, HEART["Cleveland"].folder) or path
        x, y = [63, 1, 1, 145, 233, 1, 2, 150, 0, 2.3, 3, 0, 6], 0
    cohort = read_hospital(path, "Cleveland")
    assert cohort.x[0].tolist() == x
    assert (cohort.y[0], cohort.patient[0]) == (y, "Cleveland-001")
    assert cohort.y.dtype.kind == "i"
    assert cohort.x.dtype == float


def test_every_way_to_write_a_patient_that_occurs_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "some.data"
    rows = [with_field("ST depression", text) for text in (".7", "-2.6", "0", "?", "1.")]
    rows += [with_field("diagnosis", text) for text in ("0", "0.0", "1", "4")]
    rows += [with_field("resting pressure", text) for text in ("0", "0.0", "?", "80")]
    path.write_bytes("\r\n".join([*rows, "", ""]).encode())
    cohort = read_hospital(path, "Basel")
    assert cohort.patient.tolist() == [f"Basel-{n:03d}" for n in range(1, 14)]
    np.testing.assert_array_equal(column(cohort, "ST depression")[:5], [0.7, -2.6, 0, np.nan, 1])
    assert cohort.y[5:9].tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(column(cohort, "resting pressure")[9:], [*[np.nan] * 3, 80])


FAULTS = {
    "a field too few": (PATIENT[:-2], "line 2 has 13 fields, not 14: age, sex, .*, diagnosis"),
    "a field too many": (f"{PATIENT},", "line 2 has 15 fields, not 14"),
    "semicolons": (PATIENT.replace(",", ";"), "line 2 has 1 fields, not 14"),
    "blank": ("", "line 2 is blank; remove it"),
    "spaces only": ("  ", "line 2 is blank"),
    "no diagnosis": (with_field("diagnosis", "?"), "line 2, diagnosis: it is missing"),
    "diagnosis 5": (with_field("diagnosis", "5"), "diagnosis: 5 is impossible.*0, 1, 2, 3, 4"),
    "diagnosis -1": (with_field("diagnosis", "-1"), "diagnosis: -1 is impossible"),
    "diagnosis 0.5": (with_field("diagnosis", "0.5"), r"diagnosis: 0\.5 is impossible"),
    "word": (with_field("sex", "male"), "line 2, sex: 'male' is not a number; write [?]"),
    "heading": (",".join([*HEART_FEATURES, "num"]), "line 2, age: 'age' is not a number"),
    "empty field": (with_field("vessels", ""), "line 2, vessels: '' is not a number"),
    "nan": (with_field("age", "nan"), "age: 'nan' is not a number"),
    "infinity": (with_field("age", "inf"), "age: 'inf' is not a number"),
    "Arabic digits": (with_field("age", "٦٣"), "age: '٦٣' is not a number"),
    "negative age": (with_field("age", "-63"), "age: -63 is impossible, it must be from 0 to 120"),
    "age 630": (with_field("age", "630"), "age: 630 is impossible"),
    "sex 2": (with_field("sex", "2"), "sex: 2 is impossible, it must be one of 0, 1;"),
    "chest pain 0": (with_field("chest pain", "0"), "chest pain: 0 is .* one of 1, 2, 3, 4;"),
    "pressure in kPa": (with_field("resting pressure", "19"), "resting pressure: 19 .* 40 to 300"),
    "mmol/l": (with_field("cholesterol", "6.0"), "cholesterol: 6 is .* 50 to 1000"),
    "sugar": (with_field("fasting sugar", "110"), "fasting sugar: 110 is impossible"),
    "ECG 3": (with_field("resting ECG", "3"), "resting ECG: 3 is impossible"),
    "heart rate": (with_field("maximum heart rate", "0"), "maximum heart rate: 0 is .* 30 to 250"),
    "angina": (with_field("exercise angina", "0.5"), r"exercise angina: 0\.5 is impossible"),
    "depression": (with_field("ST depression", "23"), "ST depression: 23 is .* -5 to 10"),
    "elevation": (with_field("ST depression", "-9"), "ST depression: -9 is impossible"),
    "slope 0": (with_field("ST slope", "0"), "ST slope: 0 is impossible"),
    "vessels 4": (with_field("vessels", "4"), "vessels: 4 is impossible"),
    "scan 4": (with_field("thallium scan", "4"), "thallium scan: 4 is .* one of 3, 6, 7;"),
}


@pytest.mark.parametrize(("line", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_line_is_refused_with_its_place(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "faulty.data"
    path.write_text("\n".join([PATIENT, line, PATIENT]), "utf-8")
    with pytest.raises(ContentError, match=message) as refused:
        read_hospital(path, "Zurich")
    assert str(refused.value).startswith(f"{path}, line 2")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"  \n"])
def test_an_empty_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "empty.data").write_bytes(content)
    with pytest.raises(ContentError, match=r"empty\.data is empty; it should hold one line a pat"):
        read_hospital(tmp_path / "empty.data", "Zurich")


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.data"
    path.write_bytes(f"{PATIENT}\n{PATIENT}\n".encode() + "63,männlich".encode("latin-1"))
    with pytest.raises(ContentError, match=r"latin\.data, line 3: byte 0xe4 is not text in UTF-8"):
        read_hospital(path, "Zurich")


@pytest.mark.parametrize("at", [".", "uci_heart"])
def test_a_folder_is_read_as_it_is(
    hospitals: dict[str, Cohort], at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDXFER_DATA", str(tmp_path / "not there"))  # has no part in this
    (tmp_path / at).mkdir(exist_ok=True)
    for name, cohort in hospitals.items():
        written(cohort, tmp_path / at / HEART[name].name)
    read = tabular.four_hospitals(str(tmp_path))
    for name, cohort in hospitals.items():
        np.testing.assert_array_equal(read[name].x, cohort.x)
        np.testing.assert_array_equal(read[name].y, cohort.y)
    (tmp_path / at / HEART["Zurich"].name).unlink()
    with pytest.raises(DataError, match=r"processed\.switzerland\.data is neither in .*uci_heart"):
        tabular.four_hospitals(tmp_path)


def test_without_a_folder_only_the_official_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDXFER_DATA", str(tmp_path))
    for file in HEART.values():
        (tmp_path / file.name).write_text(PATIENT, "utf-8")
    with pytest.raises(DataError, match=r"not the official processed\.cleveland\.data"):
        tabular.four_hospitals()
    assert len(tabular.four_hospitals(tmp_path)["Zurich"]) == 1


def test_some_features_are_kept_in_the_order_asked_for(hospitals: dict[str, Cohort]) -> None:
    cohort = hospitals["Budapest"]
    some = restricted(cohort, ("cholesterol", "age"))
    assert some.features == ("cholesterol", "age")
    np.testing.assert_array_equal(some.x, cohort.x[:, [4, 0]])
    np.testing.assert_array_equal(some.patient, cohort.patient)
    assert restricted(cohort, SHARED).x.shape == (294, 10)
    with pytest.raises(ValueError, match="'Budapest' has no feature 'chol': choose from age, sex"):
        restricted(cohort, ["age", "chol"])


def test_choices_become_columns(tmp_path: Path) -> None:
    path = tmp_path / "three.data"
    none = ",".join("?" * len(HEART_FEATURES)) + ",0"
    reference = "40,0,1,120,200,0,0,170,0,0,1,0,3,0"
    path.write_text("\n".join([PATIENT, reference, none]), "utf-8")
    cohort = encoded(read_hospital(path, "Zurich"))
    expected = {
        "age": (63, 40), "sex": (1, 0),
        "chest pain = 2": (0, 0), "chest pain = 3": (0, 0), "chest pain = 4": (1, 0),
        "resting pressure": (145, 120), "cholesterol": (233, 200), "fasting sugar": (1, 0),
        "resting ECG = 1": (0, 0), "resting ECG = 2": (1, 0),
        "maximum heart rate": (150, 170), "exercise angina": (0, 0), "ST depression": (2.3, 0),
        "ST slope = 2": (0, 0), "ST slope = 3": (1, 0), "vessels": (0, 0),
        "thallium scan = 6": (1, 0), "thallium scan = 7": (0, 0),
    }  # fmt: skip
    assert cohort.features == tuple(expected)
    np.testing.assert_array_equal(cohort.x[:2].T, list(expected.values()))
    assert np.isnan(cohort.x[2]).all()
    assert cohort.patient.tolist() == ["Zurich-001", "Zurich-002", "Zurich-003"]


def test_any_features_can_be_encoded(hospitals: dict[str, Cohort]) -> None:
    cohort = restricted(hospitals["Long Beach"], ("ST slope", "age"))
    some = encoded(cohort)
    assert some.features == ("ST slope = 2", "ST slope = 3", "age")
    slope = column(cohort, "ST slope")
    back = 1 + column(some, "ST slope = 2") + 2 * column(some, "ST slope = 3")
    np.testing.assert_array_equal(back, slope)
    assert np.isnan(slope).sum() == 102
    np.testing.assert_array_equal(column(some, "age"), column(cohort, "age"))
    assert encoded(restricted(cohort, ["age"])).features == ("age",)
