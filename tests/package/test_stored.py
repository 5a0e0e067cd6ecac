"""Storing a table with its record, and reading it again."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from medxfer_utils import results

FRAME = pd.DataFrame({"strategy": ["a", "b"], "AUROC": [0.123456789, 1.0]})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    return tmp_path / "results"


def test_a_stored_table_comes_back_to_five_digits_and_outlives_a_full_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results.store("tried", FRAME, {"seed": 3})
    assert sorted(path.name for path in folder.iterdir()) == ["tried.csv", "tried.json"]

    def full(path: Path, text: str, encoding: str) -> None:
        path.open("w", encoding=encoding).write(text[:5])
        raise OSError("No space left on device")

    for _ in range(2):  # the second time, after a write that failed
        back = results.load("tried")
        assert (back["AUROC"].tolist(), [*back["strategy"]]) == ([0.12346, 1.0], ["a", "b"])
        assert json.loads((folder / "tried.json").read_text()) == {"seed": 3}
        monkeypatch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space"):
            results.store("tried", FRAME.assign(AUROC=0.0), {})
    with pytest.raises(FileNotFoundError, match=r"called 'other'; there are \['tried'\]"):
        results.load("other")


def test_provenance_tells_code_that_is_loaded_and_not_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stray = results.ROOT / "book" / "results" / "never_committed.py"
    stray.write_text("")
    monkeypatch.setitem(sys.modules, "never_committed", SimpleNamespace(__file__=str(stray)))
    try:
        record = results.provenance(["numpy"], seed=3)
    finally:
        stray.unlink()
    assert any(line.endswith("never_committed.py") for line in record["uncommitted"])
    assert re.fullmatch(r"[0-9a-f]{40}", record["commit"])
    assert record["packages"] == {"numpy": np.__version__}
    assert record["seed"] == 3
    assert record["threads"] >= 1
