"""What a cell writes out is what the package does: each pair is run on one small input."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from medxfer_utils import cohorts, experiments, images, metrics, models, shifts, transfer

# isort: split
import keras
import nbformat
import numpy as np
import tensorflow as tf

from medxfer_utils.transfer.gate import sign_flip_test
from tests.chapters.parts import code_cells, syntax
from tests.chapters.running import CHAPTERS

RNG = np.random.default_rng(5)


def people(name: str, first: int, moved: float) -> cohorts.Cohort:
    x = RNG.normal(moved, 1.3, (60, 3))
    ill = x[:, 0] - moved + RNG.normal(size=60) > 0
    return cohorts.Cohort(name, x, ill.astype(int), np.arange(first, first + 60))


A, B, C, D = (people(name, 100 * k, 0.4 * k) for k, name in enumerate("ABCD"))
FEW = cohorts.draw(B, 16, RNG)
P = RNG.beta(0.5, 0.8, len(B)).round(1).clip(0.02, 0.98)  # rounded: some patients tie
LINE = models.Linear.zero(A.x)
ROWS_A, ROWS_FEW = (models.rows(c, LINE.prepare) for c in (A, FEW))
SOURCE = LINE.minimised(ROWS_A, strength=0.1)
POOLED = transfer.pooled([A, C, D], B.x)
SCALED = POOLED.prepare.transform(np.concatenate([A.x, C.x, D.x]))
GAINS = RNG.normal(0.15, 0.5, 40)
MAPS: models.Array = RNG.normal(size=(3, 6, 4, 4, 5)).astype("float32")
KERNEL = MAPS[0, 0, :3, :3, 0]
SHARE = np.array([0.1, 0.4, 0.2, 0.2, 0.1], "float32")
HU: models.Array = RNG.normal(40, 60, (9, 8, 8)).astype("float32")
ONE, OTHER = (models.image_network((8, 8, 1), filters=(3, 4), seed=k) for k in (1, 2))
CHANCE = tf.constant([3, 1])


def numbers(network: keras.Model) -> models.Array:
    return np.concatenate([w.numpy().ravel() for w in network.weights])


def seen(**given: Any) -> models.Seen:
    return models.Seen(**{key: [] for key in models.Seen._fields} | given)


@dataclass(frozen=True)
class Pair:
    chapter: str
    names: str  # what the chapter's cells bind
    cell: str  # their value, in the words of the chapter
    package: Callable[[SimpleNamespace], Any]  # the same from the package
    apart: float = 1e-6


# What the cells find when they are run: their chapter's names for one small input.
# fmt: off
GIVEN: dict[str, dict[str, Any]] = {
    "01": {"p": P, "ill": B.y == 1, "x": A.x, "pool": B, "test": C, "draws": 2, "target": ROWS_FEW,
           "source": ROWS_A, "start": SOURCE.theta, "book": SimpleNamespace(seed=3)},
    "02": {"p_as_is": P, "log_odds": np.log(P / (1 - P)), "test": B, "pool": C, "few": FEW,
           "source": SOURCE},
    "03": {"image": HU[0], "kernel": KERNEL, "hu": HU[..., None], "source": ONE, "other": OTHER,
           "SEED": 3, "numbers": numbers, "look": models.Training(60, batch=128)},
    "04": {"hu": HU, "x": HU[..., None], "seed": CHANCE, "now": MAPS[0], "before": MAPS[1],
           "share": SHARE, "p": P},
    "05": {"a": A.x, "b": C.x, "width": 2.0, "SEED": 3, "z": SCALED, "others": [A, C, D],
           "labels": np.concatenate([A.y, C.y, D.y]), "pooled": POOLED, "p": P, "few": B,
           "prevalence": 0.45, "gains": GAINS,
           "book": SimpleNamespace(rng=lambda name: RNG)},
}
PAIRS = [
    Pair("01", "outranked", "(outranked + .5 * (p[ill][:, None] == p[~ill])).mean()",
         lambda c: metrics.auroc(B.y, P)),
    Pair("01", "target_regression by_hand repeat", "by_hand", lambda c:
         experiments.learning_curve({"": c.target_regression}, B, C, (8,), 2, 3)["AUROC"]),
    Pair("01", "own_ruler", "own_ruler(x)", lambda c: models.fit_scaler(A.x).transform(A.x)),
    Pair("01", "mean_loss", "np.append(*mean_loss(start, target))",
         lambda c: np.append(*models.logistic_loss(SOURCE.theta, ROWS_FEW))),
    Pair("01", "mean_loss l2_sp_objective lowest", "lowest(l2_sp_objective, target, start, 0.3)",
         lambda c: transfer.l2_sp(replace(SOURCE, hold_intercept=True), FEW, 0.3).theta, 1e-3),
    Pair("01", "mean_loss joint_objective joint_with_ridge lowest",
         "lowest(joint_with_ridge, target, source, 0.3)",
         lambda c: transfer.joint(SOURCE, FEW, A, 0.3).theta, 1e-3),
    Pair("02", "ill outranks per_ill variance", "(outranks.mean(), variance)",
         lambda c: metrics.delong(B.y, P)),
    Pair("02", "in_bin by_bin table", "table[['predicted', 'observed', 'patients']]",
         lambda c: metrics.reliability_curve(B.y, P)[["predicted", "observed", "patients"]]),
    Pair("02", "intercept", "intercept", lambda c: metrics.calibration(B.y, P)[0]),
    Pair("02", "mean z p_own", "p_own",
         lambda c: transfer.restandardised(SOURCE, C.x).probability(B.x)),
    Pair("02", "cross_validated", "cross_validated(source, few, 0.3)",
         lambda c: transfer.held_out_losses(
             lambda t, s: transfer.l2_sp(SOURCE, t, 0.3), FEW,
             [FEW.patient[k] for _, k in c.StratifiedKFold(4).split(FEW.x, FEW.y)], 0)),
    Pair("05", "both judge folds guess error", "2 * (1 - 2 * error)", lambda c:
         shifts.proxy_a_distance(A.x, C.x, np.random.default_rng(0)), 0.2),  # of other folds
    Pair("05", "likeness mmd2", "mmd2", lambda c: shifts.mmd2(A.x, C.x, 2.0)),
    Pair("05", "own ridge fitted", "[*fitted[:-3], 2 * fitted[-3:].mean()]",
         lambda c: POOLED.theta, 1e-3),
    Pair("05", "objective shift", "shift",
         lambda c: transfer.recalibrated(POOLED, B).theta[-1] - POOLED.theta[-1], 1e-4),
    Pair("05", "answers joint given leep", "leep",
         lambda c: transfer.leep(c.answers, B.y)),
    Pair("05", "signs p_value", "p_value", lambda c: sign_flip_test(GAINS, RNG), 0.05),
    Pair("05", "new adjusted", "new", lambda c: shifts.estimated_prevalence(P, 0.45)[0], 1e-3),
    Pair("03", "convolve", "convolve(image, kernel)", lambda c:
         tf.nn.conv2d(HU[:1, ..., None], KERNEL[..., None, None], 1, "SAME")[0, ..., 0], 1e-3),
    Pair("03", "with_own_statistics", "numbers(with_own_statistics(source, hu, look))",
         lambda c: numbers(models.with_statistics_of(ONE, HU[..., None], seed=3))),
    Pair("03", "body_only", "numbers(body_only(source, models.reinitialised(other, 4)))",
         lambda c: numbers(models.with_backbone_of(ONE, models.reinitialised(OTHER, 4)))),
    Pair("04", "by_hand", "by_hand(hu, 40)", lambda c: images.contrast(HU, 40)[..., None], 1e-4),
    Pair("04", "inverted_and_scaled", "inverted_and_scaled(x, seed)",
         lambda c: models.flips_turns_and_contrast(HU[..., None], CHANCE), 1e-3),
    Pair("04", "l2_sp", "l2_sp(now, before)",
         lambda c: models.Anchor(2)(seen(weights=list(MAPS[0]), source=list(MAPS[1]))), 1e-3),
    Pair("04", "bss", "bss(now[0, 0])",
         lambda c: models.SpectralShrinkage(1)(seen(maps=[MAPS[0, 0, 0]])), 1e-4),
    Pair("04", "delta", "delta(now, before, share)", lambda c: models.MapDistance(("x",))(
         seen(maps=[MAPS[0]], source_maps=[MAPS[1]], attention=[SHARE])), 1e-4),
    Pair("04", "odds risk", "risk(odds(p) + odds(0.1) - odds(0.4))",
         lambda c: shifts.at_prevalence(P, 0.4, 0.1)),
]
# fmt: on


def bound(statement: ast.stmt) -> set[str]:
    """The names that a statement at top level binds, those inside a function left out."""
    if isinstance(statement, ast.FunctionDef):
        return {statement.name}
    nodes = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return {node.id for node in nodes if isinstance(node.ctx, ast.Store)}


def written_out(chapter: str, names: list[str]) -> ast.Module:
    """A chapter's imports, and from the first cell that binds each name what binds it there."""
    (path,) = (path for path in CHAPTERS if path.name.startswith(chapter))
    cells = [syntax(cell).body for cell in code_cells(nbformat.read(path, as_version=4))]
    body = [s for cell in cells for s in cell if isinstance(s, ast.Import | ast.ImportFrom)]
    wanted: set[tuple[int, int]] = set()
    for name in names:
        hits = [
            (i, k) for i, cell in enumerate(cells) for k, s in enumerate(cell) if name in bound(s)
        ]
        if not hits:
            raise NameError(f"no cell defines {name}")
        wanted |= {hit for hit in hits if hit[0] == hits[0][0]}
    return ast.Module([*body, *(cells[i][k] for i, k in sorted(wanted))], [])


def fault(pair: Pair) -> str:
    """What is wrong with a pair, or nothing."""
    names = dict(GIVEN[pair.chapter])
    try:
        exec(compile(written_out(pair.chapter, pair.names.split()), pair.chapter, "exec"), names)
        found = np.asarray(eval(pair.cell, names), dtype=float)
        wanted = np.asarray(pair.package(SimpleNamespace(**names)), dtype=float)
        off = np.abs(found - wanted).max()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if off <= pair.apart else f"{off:.2g} apart, more than {pair.apart}"


def test_what_cells_write_out_is_what_the_package_does() -> None:
    faults = {f"{pair.chapter} {pair.names}": fault(pair) for pair in PAIRS}
    wrong = [f"{name}: {what}" for name, what in faults.items() if what]
    assert not wrong, "\n".join(wrong)
