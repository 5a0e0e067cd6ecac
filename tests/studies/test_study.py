"""A study: run in two processes, interrupted, gone on with, stored, asked for some rows again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from book.studies.study import ALL, Only, Study, chosen
from medxfer_utils import results


def study(folder: Path) -> Study:
    """Two sites, two repeats; a file is left for each row; one job fails while `bad` is there."""

    def rows(site: str, repeat: int, only: Only = ALL) -> Iterator[dict[str, Any]]:
        if (folder / "bad").exists() and (site, repeat) == ("B", 1):
            raise MemoryError("no more")
        for strategy in chosen(only, "strategy", ("as is", "tuned")):
            (folder / f"{site}{repeat}{strategy}").touch(exist_ok=False)
            yield {"strategy": strategy, "AUROC": repeat / 3 + (strategy == "tuned")}

    jobs = [{"site": site, "repeat": repeat} for site in "AB" for repeat in (1, 2)]
    return Study("tried", jobs, rows, ("strategy",), ("numpy",), {"repeats": [1, 2]})


def test_a_study_goes_on_is_stored_and_repeats_what_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(results, "provenance", lambda packages, **facts: {"commit": "c", **facts})
    monkeypatch.setattr(results, "ROOT", tmp_path)
    (folder / "bad").touch()
    with pytest.raises(MemoryError, match="no more"):
        study(folder).store()
    assert not (tmp_path / "results").exists()
    before = len(list(folder.iterdir())) - 1
    assert before >= 2
    (folder / "bad").unlink()
    study(folder).store()  # a row that was there already would be refused
    frame = results.load("tried")
    assert frame[["site", "repeat", "strategy"]].values.tolist() == [
        [site, repeat, strategy]
        for site in "AB"
        for repeat in (1, 2)
        for strategy in ("as is", "tuned")
    ]
    record = json.loads((tmp_path / "results" / "tried.json").read_text())
    assert record["repeats"] == [1, 2]
    assert record["seconds"] >= 0
    other = tmp_path / "again"
    other.mkdir()
    some = frame.iloc[[5, 0]].reset_index(drop=True)
    pd.testing.assert_frame_equal(study(other).again(some)[list(some)], some, rtol=1e-4)
    assert {path.name for path in other.iterdir()} == {"B1tuned", "A1as is"}
