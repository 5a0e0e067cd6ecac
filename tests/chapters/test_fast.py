"""Every chapter runs in the fast profile, repeats itself to the bit and stays in its bands."""

from pathlib import Path

import papermill
import pytest

from tests.chapters.anatomy import PARAMETERS
from tests.chapters.running import (
    STAND_INS,
    differences,
    off_band,
    records,
    run,
    unmarked_figures,
)

RUNS = {
    "as it is": {},
    "again": {"attempt": 2},
    "one thread": {"threads": 1},
    "another seed": {"seed": 1},
}


def test_has_the_parameters(chapter: Path) -> None:
    # papermill only warns about a parameter that a notebook does not have.
    assert set(papermill.inspect_notebook(chapter)) == set(PARAMETERS)


@pytest.mark.parametrize("how", RUNS)
def test_stays_in_its_bands(chapter: Path, how: str) -> None:
    nb = run(chapter, **RUNS[how])
    assert len(records(nb)) >= 3, f"{chapter.name} records fewer than three results"
    assert not (faults := off_band(nb)), f"{chapter.name}, {how}: {'; '.join(faults)}"


def test_repeats_itself(chapter: Path) -> None:
    faults = list(differences(run(chapter), run(chapter, **RUNS["again"])))
    assert not faults, f"{chapter.name} run twice: " + "\n".join(faults)


@pytest.mark.parametrize("path", STAND_INS, ids=lambda path: path.stem)
def test_holds_on_simulated_patients_where_the_real_ones_cannot_be_had(path: Path) -> None:
    nb = run(path, data=False)
    said = [o.text for c in nb.cells if c.cell_type == "code" for o in c.outputs if "text" in o]
    assert sum("SIMULATED patients" in text and "downloads heart" in text for text in said) == 1
    assert not (faults := off_band(nb) + unmarked_figures(nb)), "; ".join(faults)
