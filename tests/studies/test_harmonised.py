"""Harmonisation of batches: what it leaves alone, what it takes away, and whom its fit has seen."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from book.studies import genes

# isort: split
import nbformat
import numpy as np
import pytest

from tests.chapters.parts import code_cells, syntax
from tests.chapters.running import ROOT

RNG = np.random.default_rng(0)


def test_equal_batches_stay_as_they_are() -> None:
    same = np.tile(RNG.normal(size=(12, 30)), (3, 1))
    batch = np.repeat([7, 2, 5], 12)
    found = genes.harmonised(same, batch, genes.batch_effects(same, batch))
    assert np.abs(found - same).max() < 1e-9


def test_shift_and_scale_of_a_batch_are_taken_out() -> None:
    batch = np.arange(4000) % 2
    x = RNG.normal(size=(4000, 3)) * np.where(batch, 2.0, 1.0)[:, None] + 5 * batch[:, None]
    found = genes.harmonised(x, batch, genes.batch_effects(x, batch))
    one, other = found[batch == 0], found[batch == 1]
    assert np.abs(one.mean(0) - other.mean(0)).max() < 1e-9
    assert one.std(0) == pytest.approx(other.std(0), rel=0.02)
    assert found.mean(0) == pytest.approx(x.mean(0), abs=1e-9)


def test_the_class_is_kept_if_it_is_told_and_lost_where_it_is_the_batch() -> None:
    y = np.arange(400) % 2
    batch = np.where(RNG.random(400) < 0.9, y, 1 - y)
    x = RNG.normal(size=(400, 1)) + 3 * batch[:, None] + y[:, None]

    def left(x: Any, batch: Any, told: Any) -> Any:
        found = genes.harmonised(x, batch, genes.batch_effects(x, batch, told))
        return float(found[y == 1].mean() - found[y == 0].mean())

    assert left(x, batch, y) == pytest.approx(1, abs=0.25)
    assert left(x, batch, None) < 0.5
    assert left(RNG.normal(size=(400, 1)) + 4 * y[:, None], y, None) == pytest.approx(0, abs=1e-9)


def test_the_fit_has_not_seen_a_test_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    y, batch = np.arange(60) % 2, np.arange(60) // 2 % 3
    x = RNG.normal(size=(60, 40)) + y[:, None]
    rows, test = np.arange(45), np.arange(45, 60)
    moved = np.where(np.arange(60)[:, None] >= 50, 1e4, x)
    scores = {}
    for name, shown in (("as it is", x), ("others moved", moved)):
        monkeypatch.setattr(genes, "bladder", lambda shown=shown: (shown, y, batch))
        for strategy in (genes.PLAIN, genes.HARMONISED, genes.KEPT):
            scores[name, strategy] = genes.of_fold(strategy, rows, test, y)[:5]
    for strategy in (genes.PLAIN, genes.HARMONISED, genes.KEPT):
        assert np.array_equal(scores["as it is", strategy], scores["others moved", strategy])


def test_a_batch_that_was_not_there_is_named() -> None:
    x = RNG.normal(size=(6, 2))
    effects = genes.batch_effects(x, np.array([1, 1, 1, 2, 2, 2]))
    with pytest.raises(ValueError, match=r"Batches \[3\] were not there"):
        genes.harmonised(x[:1], np.array([3]), effects)


def test_pairs_within_a_batch_are_counted() -> None:
    y, batch = np.array([1, 0, 1, 0, 0]), np.array([1, 1, 2, 2, 3])
    assert genes.within(y, np.array([2.0, 1, 0, 0, 9]), batch) == 0.75


def test_what_the_appendix_writes_out_is_what_the_study_does() -> None:
    path = Path(ROOT) / "notebooks" / "A7_signals_further.ipynb"
    cells = [syntax(cell) for cell in code_cells(nbformat.read(path, as_version=4))]
    written: dict[str, Any] = {"np": np}
    for tree in cells:
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name in ("fitted", "harmonise"):
                exec(ast.unparse(node), written)
    x, batch, y = RNG.normal(size=(20, 5)), np.arange(20) % 3, np.arange(20) // 10
    for told in (None, y):
        ours = written["harmonise"](x, batch, *written["fitted"](x, batch, told))
        theirs = genes.harmonised(x, batch, genes.batch_effects(x, batch, told))
        assert np.abs(ours - theirs).max() < 1e-9
