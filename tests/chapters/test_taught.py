"""What a cell writes out is what the package does: each pair is run on one small input."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

from medxfer_utils import cohorts, images, metrics, models, shifts, transfer

# isort: split
import keras
import nbformat
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logit

from medxfer_utils.plots.curves import _smooth
from medxfer_utils.transfer.gate import sign_flip_test
from tests.chapters.parts import code_cells, syntax
from tests.chapters.running import CHAPTERS

pytestmark = pytest.mark.shape
RNG = np.random.default_rng(5)


def people(name: str, first: int, moved: float) -> cohorts.Cohort:
    x = RNG.normal(moved, 1.3, (60, 3))
    ill = x[:, 0] - moved + RNG.normal(size=60) > 0
    return cohorts.Cohort(name, x, ill.astype(int), np.arange(first, first + 60))


A, B, C, D = (people(name, 100 * k, 0.4 * k) for k, name in enumerate("ABCD"))
FEW = cohorts.draw(B, 16, RNG)
P = RNG.beta(0.5, 0.8, len(B)).round(1).clip(0.02, 0.98)  # rounded: some patients tie
LINE = models.Linear.zero(A.x)
ROWS_FEW = models.rows(FEW, LINE.prepare)
SOURCE = LINE.minimised(models.rows(A, LINE.prepare), strength=0.1)
POOLED = transfer.pooled([A, C, D], B.x)
SCALED = POOLED.prepare.transform(np.concatenate([A.x, C.x, D.x]))
GAINS = RNG.normal(0.15, 0.5, 40)
KERNEL = RNG.normal(size=(3, 3))
HU: models.Array = RNG.normal(40, 60, (9, 8, 8)).astype("float32")
ONE, OTHER = (models.image_network((8, 8, 1), filters=(3, 4), seed=k) for k in (1, 2))


def numbers(network: keras.Model) -> models.Array:
    return np.concatenate([w.numpy().ravel() for w in network.weights])


@dataclass(frozen=True)
class Pair:
    given: str  # which of `GIVEN` its cells find
    names: str  # what the cells of a lesson bind, whichever lesson it is
    cell: str  # their value, in the words of the lesson
    package: Callable[[SimpleNamespace], Any]  # the same from the package
    apart: float = 1e-6


# What cells find when they are run: a lesson's names for one small input.
SHARED = {"p": P, "y": B.y, "few": B, "SEED": 3, "book": SimpleNamespace(rng=lambda name: RNG)}
GIVEN: dict[str, dict[str, Any]] = {
    "fits": {"z": ROWS_FEW.z, "y": ROWS_FEW.y, "theta_a": SOURCE.theta},
    "nets": {
        "image": HU[0],
        "kernel": KERNEL,
        "source": ONE,
        "other": OTHER,
        "alike": np.repeat(HU[:1, ..., None], 8, axis=0),
    },
    "sites": {"a": A.x, "b": C.x, "width": 2.0, "z": SCALED, "others": [A, C, D], "gains": GAINS},
}
GIVEN["risks"] = {"test": B, "score": logit(P), "grid": logit(_smooth("P", B.y, P)[0])}
GIVEN["sites"] |= {"labels": np.concatenate([A.y, C.y, D.y]), "pooled": POOLED}
PICTURES = 255 * np.kron(np.random.default_rng(6).random((len(B), 7, 7)), np.ones((8, 8)))
PICTURES[1::5] = PICTURES[::5] // 2 + 40  # near copies
GIVEN["copies"] = {"images": PICTURES.astype("uint8"), "patient": np.arange(len(B))}
HELD = replace(SOURCE, hold_intercept=True)
# fmt: off
PAIRS = [
    Pair("copies", "thumbs correlation alike group", "group", lambda c:
         images.near_copies(c.images)),
    Pair("sites", "pairs_in_order", "pairs_in_order(y, p)", lambda c: metrics.auroc(B.y, P)),
    Pair("risks", "both share_of_ill", "share_of_ill(score, grid)",
         lambda c: _smooth("P", B.y, P)[1]),
    Pair("fits", "loss_and_gradient", "np.append(*loss_and_gradient(theta_a, z, y))",
         lambda c: np.append(*models.logistic_loss(SOURCE.theta, ROWS_FEW))),
    Pair("fits", "loss_and_gradient l2_sp_minimum", "l2_sp_minimum(z, y, 0.3, True)",
         lambda c: transfer.l2_sp(HELD, FEW, 0.3).theta, 1e-3),
    Pair("fits", "l2_sp_minimum loss_and_gradient", "l2_sp_minimum(z, y, 0.3, False)",
         lambda c: transfer.l2_sp(SOURCE, FEW, 0.3).theta, 1e-3),
    Pair("fits", "loss_and_gradient gradient_steps", "gradient_steps(z, y)",
         lambda c: transfer.fine_tuned(SOURCE, FEW).theta),
    Pair("nets", "convolve", "convolve(image, kernel)", lambda c:
         tf.nn.conv2d(HU[:1, ..., None], KERNEL[..., None, None], 1, "SAME")[0, ..., 0], 1e-3),
    Pair("nets", "backbone_only",
         "np.concatenate([w.numpy().ravel() for w in backbone_only(source, other).weights])",
         lambda c: numbers(models.with_backbone_of(ONE, OTHER))),
    Pair("nets", "with_own_statistics",  # of images all alike: whichever are drawn, the same
         "np.concatenate([w.numpy().ravel() for w in"
         " with_own_statistics(source, alike, 60, book.rng('own')).weights])",
         lambda c: numbers(models.with_statistics_of(ONE, c.alike, seed=3)), 1e-3),
    Pair("nets", "inverted_and_scaled",
         "inverted_and_scaled(tf.constant(alike), tf.constant([3, 1]))", lambda c:
         models.flips_turns_and_contrast(tf.constant(c.alike), tf.constant([3, 1])), 1e-3),
    Pair("sites", "risk needed", "risk(np.log(p / (1 - p)), 0.4)",
         lambda c: shifts.at_prevalence(P, 0.4, 0.2)),
    Pair("sites", "folds both classifier guess error", "2 * (1 - 2 * error)", lambda c:
         shifts.proxy_a_distance(A.x, C.x, np.random.default_rng(0)), 0.2),  # of other folds
    Pair("sites", "likeness mmd2", "mmd2", lambda c: shifts.mmd2(A.x, C.x, 2.0)),
    Pair("sites", "constant out_of_fold", "constant(pooled.logit(few.x), few.y)", lambda c:
         transfer.recalibrated(POOLED, B).theta[-1] - POOLED.theta[-1], 1e-4),
    Pair("sites", "own ridge fitted", "[*fitted[:-3], 2 * fitted[-3:].mean()]",
         lambda c: POOLED.theta, 1e-3),
    Pair("sites", "signs p_value", "p_value", lambda c: sign_flip_test(GAINS, RNG), 0.05),
    Pair("sites", "answers joint given leep", "leep", lambda c: transfer.leep(c.answers, B.y)),
    Pair("fits", "episode", "episode(few, 3, np.random.default_rng(1))[1].patient",
         lambda c: cohorts.episode(B, 3, np.random.default_rng(1))[1].patient),
    Pair("fits", "prototype_logit",
         "prototype_logit(*np.float32([z[:8]]), np.float32(y[:8]), np.float32(z))",
         lambda c: models.prototype_logit(ROWS_FEW.z[:8], c.y[:8], ROWS_FEW.z), 1e-4),
]
# fmt: on


def bound(statement: ast.stmt) -> set[str]:
    """The names that a statement at top level binds, those inside a function left out."""
    if isinstance(statement, ast.FunctionDef):
        return {statement.name}
    nodes = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return {node.id for node in nodes if isinstance(node.ctx, ast.Store)}


@cache
def lessons() -> list[tuple[str, list[list[ast.stmt]]]]:
    """Return what each lesson's cells say."""
    notebooks = [(p.stem, nbformat.read(p, as_version=4)) for p in CHAPTERS]
    return [(stem, [syntax(cell).body for cell in code_cells(nb)]) for stem, nb in notebooks]


def written_out(names: list[str]) -> ast.Module:
    """The imports of the lesson that binds these names, and what binds each where it is first."""
    for _, cells in lessons():
        hits = [first_to_bind(cells, name) for name in names]
        if all(hits):
            imports = [
                s for cell in cells for s in cell if isinstance(s, ast.Import | ast.ImportFrom)
            ]
            wanted = sorted({hit for found in hits for hit in found})
            return ast.Module([*imports, *(cells[i][k] for i, k in wanted)], [])
    raise NameError(f"no lesson defines all of {', '.join(names)}")


def first_to_bind(cells: list[list[ast.stmt]], name: str) -> list[tuple[int, int]]:
    """Where the first cell that binds a name does so: numbers of cell and statement."""
    for i, cell in enumerate(cells):
        if found := [(i, k) for k, statement in enumerate(cell) if name in bound(statement)]:
            return found
    return []


def fault(pair: Pair) -> str:
    """What is wrong with a pair, or nothing."""
    names = SHARED | GIVEN[pair.given]
    try:
        exec(compile(written_out(pair.names.split()), pair.names, "exec"), names)
        found = np.asarray(eval(pair.cell, names), dtype=float)
        wanted = np.asarray(pair.package(SimpleNamespace(**names)), dtype=float)
        off = np.abs(found - wanted).max()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if off <= pair.apart else f"{off:.2g} apart, more than {pair.apart}"


def test_what_cells_write_out_is_what_the_package_does() -> None:
    faults = {pair.names: fault(pair) for pair in PAIRS}
    wrong = [f"{name}: {what}" for name, what in faults.items() if what]
    assert not wrong, "\n".join(wrong)
