"""The pages about data say what the catalogue says: names, licences, sums, sizes, faults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sklearn.datasets import load_breast_cancer

from medxfer_utils import data

BOOK = Path(__file__).resolve().parents[2] / "book"
DATA, FILES = ((BOOK / f"{name}.md").read_text("utf-8") for name in ("data", "data_files"))


def rows(page: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith("|")]


def section(label: str) -> str:
    """Return a section of the page about data, by its label, on one line."""
    text = DATA.split(f"({label})=\n## ", 1)[1].split("\n## ", 1)[0]
    return " ".join(text.split())


@pytest.mark.parametrize("name", data.SETS)
def test_each_image_set_is_described_as_in_the_catalogue(name: str) -> None:
    about = data.SETS[name]
    (row,) = [row for row in rows(DATA) if row.lower().startswith(f"| {name} ")]
    parts = (about.licence, about.citation, f"{sum(about.counts):,} ")
    assert [part for part in parts if part not in row] == []
    (beware,) = re.findall(rf"^- {name}: (.+)$", DATA, re.MULTILINE | re.IGNORECASE)
    assert beware.startswith(about.faults)
    assert f"| {', '.join(map(str, about.md5))} |" in row


def test_every_file_has_its_folder_and_its_sum() -> None:
    listed = [
        file for file in data.REGISTRY.values() if "_" not in file.name or file.folder != "medmnist"
    ]
    wanted = [f"| `{file.folder}` | `{file.name}` | `{file.sum}` |" for file in listed]
    assert [row for row in rows(FILES) if row.startswith("| `") and row.count("|") == 4] == wanted


def test_the_known_copies_are_told_with_what_is_known_of_them() -> None:
    wanted = [f"| `{known}` | {what} |" for known, what in data.KNOWN_COPIES.items()]
    assert rows(FILES)[-len(wanted) :] == wanted


def counted(hospital: str, diagnosis: str, feature: str = "") -> int:
    """Count the patients, or those who lack a feature, from the stored statistics."""
    patterns = data.heart_statistics()["hospitals"][hospital][diagnosis]["missing"]
    at = data.HEART_FEATURES.index(feature) if feature else None
    return sum(n for pattern, n in patterns.items() if at is None or pattern[at] == "1")


def numbers(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_hospitals_are_those_of_the_catalogue() -> None:
    text = section("four-hospitals")
    assert {file.licence for file in data.HEART.values()} == {"CC BY 4.0"}
    assert all(part in text for part in ("CC BY 4.0", data.HEART["Zurich"].citation))
    total = 0
    for hospital in data.HEART:
        (row,) = [row for row in rows(DATA) if row.startswith(f"| {hospital}")]
        ill, healthy = counted(hospital, "ill"), counted(hospital, "healthy")
        assert numbers(row)[1:3] == [str(ill + healthy), f"{100 * ill / (ill + healthy):.1f} %"]
        total += ill + healthy
    assert f"{total} patients" in text


@pytest.mark.parametrize("feature", ["cholesterol", "maximum heart rate", "vessels"])
def test_what_is_missing_in_the_hospitals_is_counted(feature: str) -> None:
    (row,) = [row for row in rows(DATA) if numbers(row)[0].endswith(feature)]
    found = [
        sum(counted(hospital, diagnosis, feature) for diagnosis in data.DIAGNOSES)
        for hospital in data.HEART
    ]
    assert numbers(row)[1:] == [str(n) for n in found]


def test_the_nodules_are_those_of_the_catalogue() -> None:
    text = section("lung-nodules")
    parts = (
        f"`{data.LIDC.name}`",
        data.LIDC.licence,
        data.LIDC.citation,
        f"folder `{data.LIDC.folder}`",
        "middle 28",
    )
    assert [part for part in parts if part not in text] == []


def test_the_weights_have_the_licence_and_the_sources_of_the_catalogue() -> None:
    text = section("imagenet")
    assert {file.licence for file in data.WEIGHTS} == {"Apache-2.0"}
    parts = ("Apache-2.0", *(file.citation for file in data.WEIGHTS))
    assert [part for part in parts if part not in text] == []


def test_scikit_learn_has_as_many_samples_as_the_page_says() -> None:
    assert f"{len(load_breast_cancer().target)} fine-needle" in section("two-laboratories")


@pytest.mark.parametrize("page", [DATA, FILES], ids=["data", "data_files"])
def test_no_table_is_broken_in_its_middle(page: str) -> None:
    """A row without the line of dashes above it would be shown as text."""
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        head, dashes, *body = table.splitlines()
        assert re.fullmatch(r"\|(:?-+:?\|)+", dashes), table
        assert {line.count("|") for line in (head, *body)} == {dashes.count("|")}
        assert body
