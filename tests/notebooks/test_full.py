"""Every chapter, run again in the full profile, shows what its committed file shows."""

from pathlib import Path

from tests.notebooks.running import nbval


def test_outputs_are_those_committed(chapter: Path) -> None:
    result = nbval(chapter, "--quiet")
    assert result.returncode == 0, f"{chapter.name}\n{result.stdout}{result.stderr}"
