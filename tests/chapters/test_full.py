"""Every chapter, run again in the full profile, shows what its committed file shows."""

from pathlib import Path

from tests.chapters.running import (
    STAND_INS,
    nbval,
    off_band,
    patients_can_be_had,
    run,
    unmarked_figures,
)


def test_outputs_are_those_committed(chapter: Path) -> None:
    if chapter in STAND_INS and not patients_can_be_had():
        # The file shows real patients. Here it runs on simulated ones, and must hold all the same.
        nb = run(chapter, profile="full")
        assert not (faults := off_band(nb) + unmarked_figures(nb)), "; ".join(faults)
        return
    result = nbval(chapter, "--quiet")
    assert result.returncode == 0, f"{chapter.name}\n{result.stdout}{result.stderr}"
