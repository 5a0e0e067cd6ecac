"""The small extensions of Sphinx, and the scripts' runner."""

from __future__ import annotations

from pathlib import Path

import pytest
from references import plain_references

from book.tools.scripts import run_scripts


def test_references_become_plain_text() -> None:
    docstring = [
        "The penalty of [1]_ and [2]_; see a[1].",
        "",
        ".. [1] Li, X. et al. (2018). A title",
        "   that goes on.",
        ".. [2] Another.",
        "",
        "The end.",
    ]
    assert plain_references(docstring) == [
        "The penalty of [1] and [2]; see a[1].",
        "",
        "1. Li, X. et al. (2018). A title that goes on.",
        "2. Another.",
        "",
        "The end.",
    ]


def test_every_script_of_a_folder_runs_and_failures_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("raise SystemExit(1)")
    (tmp_path / "b.py").write_text("from pathlib import Path\nPath('ran').touch()")
    assert run_scripts(tmp_path, tmp_path) == ["a.py"]
    assert (tmp_path / "ran").exists()


def test_a_folder_without_scripts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no script"):
        run_scripts(tmp_path, tmp_path)
