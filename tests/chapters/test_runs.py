"""Every chapter runs three times, and its students' notebook once.

In full by nbval, against the committed outputs; in the fast profile as it is; and once more with
another seed, as if on another processor, and without real patients. Each has one thread, for two
lessons run side by side; once a week nbval has two, as if on another processor. The students'
notebook, whose exercises are open, must repeat what the chapter showed, to the bit.
"""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

import ast
import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat
import pytest

from book.tools.chapters.run import load, patients_can_be_had
from book.tools.teach.exercises import Wanted, exercises, variable
from book.tools.teach.notebooks import student
from medxfer_utils.chapter import Chapter
from tests.chapters import running
from tests.chapters.running import another_processor, off_band, run, said, stands_in
from tests.chapters.sample import save

pytestmark = pytest.mark.shape
ELSEWHERE = {**another_processor(), "MEDXFER_THREADS": "2"}
WEEK = date.today().isocalendar().week
PROCESSORS = (False, True) if os.environ.get("ALL") == "1" else (False,)  # weekly: both


@pytest.mark.parametrize("elsewhere", PROCESSORS)
def test_outputs_are_those_committed(chapter: Path, elsewhere: bool) -> None:
    if stands_in(chapter) and not patients_can_be_had(chapter):
        # The file shows real patients. Here it runs on simulated ones, and must hold all the same.
        nb = run(chapter, profile="full", elsewhere=elsewhere)
        assert not (faults := off_band(nb) + running.not_called_simulated(nb)), "; ".join(faults)
        return
    result = running.nbval(chapter, "--quiet", **(ELSEWHERE if elsewhere else {}))
    assert result.returncode == 0, f"{chapter.name}\n{result.stdout}{result.stderr}"


def test_stays_in_its_bands(chapter: Path) -> None:
    assert len(said(run(chapter))) >= 3, f"{chapter.name} records fewer than three results"
    assert not (faults := off_band(run(chapter))), f"{chapter.name}: {'; '.join(faults)}"


def test_stays_in_its_bands_elsewhere(chapter: Path) -> None:
    simulated = stands_in(chapter)
    nb = run(chapter, seed=1, elsewhere=True, data=not simulated)
    faults = off_band(nb) + (running.not_called_simulated(nb) if simulated else [])
    assert not faults, f"{chapter.name}: {'; '.join(faults)}"


def strangers() -> list[Path]:
    """The lessons with a stand-in: the one whose week it is, or all."""
    lessons = [path for path in running.CHAPTERS if stands_in(path)]
    return lessons if os.environ.get("ALL") == "1" else [lessons[WEEK % len(lessons)]]


@pytest.mark.parametrize("path", strangers(), ids=lambda path: path.stem)
def test_a_stranger_without_data_runs_it_in_full(path: Path) -> None:
    nb = run(path, profile="full", data=False)
    assert not (faults := off_band(nb) + running.not_called_simulated(nb)), "; ".join(faults)


def wanted(path: Path) -> list[Wanted]:
    return [one for exercise in exercises(load(path)) for one in exercise.wanted()]


def test_a_students_notebook_repeats_the_chapter_to_the_bit(chapter: Path, tmp_path: Path) -> None:
    nb = nbformat.from_dict(student(load(chapter)))
    unsolved = run(save(nb, tmp_path / "open.ipynb"))
    checks = [(check["name"], check["answered"]) for check in said(unsolved, "medxfer_check")]
    assert checks == [(one.name, False) for one in wanted(chapter)]
    faults = list(running.differences(unsolved, run(chapter)))
    assert not faults, f"{chapter.name} run twice: " + "\n".join(faults)


def passed(path: Path, answers: Mapping[str, float]) -> list[str]:
    """Return the names of the checks in a students' notebook that these answers pass."""
    shown: list[dict[str, Any]] = []
    names: dict[str, Any] = {variable(one): answers[one.name] for one in wanted(path)}
    with mock.patch("medxfer_utils.chapter.display", lambda *_, **about: shown.append(about)):
        for cell in student(load(path))["cells"]:
            if cell["metadata"].get("tags") == ["check"]:
                exec(cell["source"], {"book": Chapter("fast", 0), **names})
    checks = [about["metadata"]["medxfer_check"] for about in shown]
    assert [check["name"] for check in checks if check["answered"]] == [*answers]
    return [check["name"] for check in checks if check["within"]]


def test_what_the_solutions_find_passes_the_checks_and_wrong_numbers_do_not(chapter: Path) -> None:
    bands = {one.name: ast.literal_eval(one.band) for one in wanted(chapter)}
    found = {record["name"]: record["value"] for record in said(run(chapter))}
    assert passed(chapter, {name: found[name] for name in bands}) == [*bands]
    assert passed(chapter, {name: low - 0.01 for name, (low, _) in bands.items()}) == []
    assert passed(chapter, {name: high + 0.01 for name, (_, high) in bands.items()}) == []
