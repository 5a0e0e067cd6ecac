"""One contract for every stored table: complete, of a known origin, and a sample made anew.

In each run, of the light tables a row of every strategy; of the dear ones one table a week, by the
number of the calendar week. With ALL=1, a row of every strategy of every table.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from benchmarks import four_hospitals as flamby
from benchmarks import medmnist_recipe, tabular_transfer
from book.studies import (
    decisions_skin,
    decisions_stays,
    fusion_skin,
    fusion_text,
    liver_real,
    lung_sources,
)
from book.studies.__main__ import studies
from book.studies.study import Study

# isort: split
import numpy as np
import pandas as pd
import pytest

from medxfer_utils import results
from medxfer_utils.data import HEART, LIDC, find_local
from medxfer_utils.data.ecg import FILES

STUDIES: dict[str, Study] = studies() | {
    script.STUDIES[0].table: script.STUDIES[0]
    for script in (flamby, medmnist_recipe, tabular_transfer)
}
NEEDED = {
    "hospitals": [(file.name, file.folder) for file in HEART.values()],
    "lidc": [(LIDC.name, "lidc"), ("breastmnist.npz", "medmnist")],
    "medmnist": [
        *((f"{name}.npz", "medmnist") for name in medmnist_recipe.PLANS),
        ("mobilenet_2_5_224_tf_no_top.h5", "weights"),
    ],
    "ultrasound": [
        ("breastmnist_224.npz", "medmnist"),
        ("mobilenet_2_5_224_tf_no_top.h5", "weights"),
    ],
    "stays": [(name, "icu") for name in decisions_stays.FILES],
    "skin": [
        *((name, "skin") for name in fusion_skin.FILES),
        ("mobilenet_2_5_224_tf_no_top.h5", "weights"),
    ],
    "heartbeats": [(name, "ecg") for name in FILES],
    "archive": [
        ("ECG5000_TRAIN.txt", "ecg"),
        ("ECG5000_TEST_4499.npz", "ecg"),
        ("ECG200_TRAIN.tsv", "ecg"),
    ],
    "livers": [(liver_real.FILE, liver_real.FOLDER)],
    "genes": [("golub_leukaemia_7129.npz", "gene")],
    "reports": [fusion_text.FILE],
    "bladders": [("bladderbatch_22283.npz", "gene")],
    "nothing": [],
}
NEEDED["dermoscopy"] = [
    *NEEDED["skin"],
    *((name, "skin") for name in fusion_skin.DERMOSCOPY),
]
NEEDED["recipe"] = [*NEEDED["medmnist"], ("breastmnist_224.npz", "medmnist")]
HERE = {name for name, files in NEEDED.items() if all(find_local(*file) for file in files)}


@dataclass(frozen=True)
class Expected:
    """What a table must hold, and how near a row must come that is computed on another processor.

    `own` are the tolerances of some columns; `dear` tells what takes too long for every run.
    """

    rows: int
    strategies: int
    near: float
    own: Mapping[str, float] = field(default_factory=dict)
    needs: str = "nothing"
    dear: bool = False


# Photographs that change sides where two probabilities are nearly equal.
SAID = {f"said {kind}": 6 for kind in decisions_skin.KINDS}
EXACT = {"rows": 0, "patients": 0, "right": 0, "train": 0, "answer": 0}
COUNTS = {f"{a} as {b}": 100 for a in "NSVF" for b in "NSVF"}  # beats of one patient
TABLES = {
    "hospitals_sources": Expected(9650, 18, 2e-3, {"calibration slope": 0.1}, "hospitals"),
    "hospitals_pairs": Expected(3600, 2, 2e-3, {"p": 0.02}, "hospitals"),
    "hospitals_choice": Expected(
        2400, 18, 0.03, {"proxy A-distance": 1e-3, "MMD": 1e-3, "TransRate": 3, "LogME": 0.1},
        "hospitals",
    ),
    "hospitals_principles": Expected(990, 11, 0.03, {"log loss": 0.1}, "hospitals"),
    "hospitals_gaps": Expected(630, 6, 0.02, {"AUROC": 0.01}, "hospitals"),
    "hospitals_flamby": Expected(28, 7, 1e-4, {}, "hospitals"),
    "tabular_transfer_benchmark": Expected(10_400, 13, 0.005),
    "image_transfer": Expected(1440, 12, 0.02, {"log loss": 0.2}, dear=True),
    "xray_ultrasound": Expected(300, 4, 0.02, {}, "medmnist", dear=True),
    "generalising": Expected(432, 24, 0.02, {"log loss": 0.2}, "medmnist", dear=True),
    "fusion": Expected(1280, 16, 0.02, {"log loss": 0.2}, dear=True),
    "fusion_missing": Expected(640, 5, 0.02, {"log loss": 0.2}, dear=True),
    "fusion_skin": Expected(24, 8, 0.02, {}, "skin", dear=True),
    "fusion_text": Expected(384, 4, 0.01, {}, dear=True),
    "fusion_indiana": Expected(192, 4, 0.01, {}, "reports", dear=True),
    "fusion_attention": Expected(640, 8, 0.02, {"log loss": 0.2}, dear=True),
    "fusion_moved": Expected(240, 10, 0.02, {"log loss": 0.2}, dear=True),
    "fusion_diagnoses": Expected(15, 5, 0.02, {}, "skin", dear=True),
    "fusion_dermoscopy": Expected(88, 8, 0.06, {}, "dermoscopy", dear=True),
    "first_transfer": Expected(192, 8, 0.03, {}, "ultrasound", dear=True),
    "ecg_transfer": Expected(640, 8, 0.03, {}, "heartbeats", dear=True),
    "ecg_archive": Expected(60, 2, 0.05, {}, "archive", dear=True),
    "genes": Expected(80, 4, 0.03, {}, "genes"),
    "genes_batches": Expected(120, 6, 0.03, {"within a batch": 0.05}, "bladders"),
    "signals_sources": Expected(240, 10, 0.05, {}, "heartbeats", dear=True),
    "signals_rhythm": Expected(288, 12, 0.05, {}, "heartbeats", dear=True),
    "signals_cost": Expected(2, 2, 0),
    "signals_leads": Expected(648, 9, 0.05, {}, "heartbeats", dear=True),
    "signals_personal": Expected(840, 10, 0.05, COUNTS, "heartbeats", dear=True),
    "signals_archive": Expected(40, 4, 0.05, {}, "archive", dear=True),
    "handful": Expected(5280, 11, 0.03, dear=True),
    "handful_skin": Expected(1155, 11, 0.03, {}, "dermoscopy", dear=True),
    "handful_tasks": Expected(84, 9, 0.03, {}, "lidc", dear=True),
    "medmnist_recipe": Expected(22, 4, 0.02, {"accuracy": 0.03}, "recipe", dear=True),
    "lidc_transfer": Expected(3100, 12, 0.03, {"log loss": 0.2}, "lidc", dear=True),
    "lung_sources": Expected(32, 8, 0.02, dear=True),
    "lung_to_liver": Expected(1488, 25, 0.02, {"log loss": 0.2}, dear=True),
    "lung_to_liver_shifts": Expected(1200, 15, 0.02, dear=True),
    "lung_to_liver_extras": Expected(240, 6, 0.02, {"log loss": 0.2}, dear=True),
    "lung_to_liver_starts": Expected(20, 6, 0.02, dear=True),
    "lung_to_liver_prepared": Expected(200, 5, 0.02, {"log loss": 0.2}, dear=True),
    "lung_to_liver_curves": Expected(180, 3, 0.02, {"log loss": 0.2}, dear=True),
    "lung_to_liver_small": Expected(168, 7, 0.02, {"log loss": 0.2}, dear=True),
    "small_devices": Expected(720, 5, 0.03, {"log loss": 0.2}, dear=True),
    "masks_as_source": Expected(192, 8, 0.04, {"log loss": 0.2}, dear=True),
    "liver_planted": Expected(416, 13, 0.04, {"log loss": 0.2}, "livers", dear=True),
    "liver_outlines": Expected(16, 4, 0.03, {"patients": 0}, "livers", dear=True),
    "ultrasound_prepared": Expected(144, 6, 0.03, {"log loss": 0.2}, "lidc", dear=True),
    "stays_hours": Expected(160, 4, 0.02, {"log loss": 0.2}, "stays"),
    "skin_diagnoses": Expected(12, 6, 0.02, SAID, "skin", dear=True),
    "skin_groups": Expected(98, 7, 0.05, {}, "skin", dear=True),
}  # fmt: skip
LOOSE = {"calibration slope": 0.3, "average precision": 0.05}
TURNS = [  # `lung_sources` trains for minutes; its stored networks are looked at elsewhere
    name for name, t in TABLES.items() if t.dear and t.needs in HERE and name != "lung_sources"
]
YEAR, WEEK, _ = date.today().isocalendar()


def everything() -> bool:
    return os.environ.get("ALL") == "1"


def tables() -> list[str]:
    """What is computed anew in this run."""
    this_week = TURNS[WEEK % len(TURNS)]
    return [
        name
        for name, table in TABLES.items()
        if table.needs in HERE and (everything() or not table.dear or name == this_week)
    ]


def affordable(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Without what takes minutes, such as training a source network that is not stored."""
    if name == "tabular_transfer_benchmark":  # adapt is not in the book's environment
        return frame[~frame["strategy"].str.startswith("adapt")]
    if everything():
        return frame
    if name == "medmnist_recipe":
        return frame[~frame["model"].isin(medmnist_recipe.TOGETHER)]
    if name == "lung_to_liver_starts":
        stored = frame["source"].isin(lung_sources.STORED) & (frame["steps"] == 3000)
        short = (frame["steps"] <= 500) & (frame["patients"] <= 1500)
        return frame[short | (stored & (frame["patients"] == 12_000))]
    dear = [f"source: {kind}" for kind in {*lung_sources.SOURCES} - {*lung_sources.STORED}]
    if name.startswith("lung_to_liver"):
        return frame[~frame["strategy"].isin([*dear, "source: shuffled labels"])]
    return frame


def sample(name: str) -> pd.DataFrame:
    """One row of each strategy of one job; with ALL=1 for each target, scanner, mechanism, too."""
    study, rng = STUDIES[name], np.random.default_rng([YEAR, WEEK, *name.encode()])
    frame = affordable(name, results.load(name)).sample(frac=1, random_state=rng)
    about = list(study.jobs[0])
    setting = [c for c in about if c not in ("repeat", "seed", "division", "steps", "patients")]
    first = frame.drop_duplicates(setting) if setting else frame.head(1)
    jobs = first if everything() or study.keys[0] in about else first.head(1)
    block = frame.merge(jobs[about])
    # Little data take least, and a repeat is asked for with all before it.
    cheap = ("n", "fraction", "repeat") if TABLES[name].dear else ("repeat",)
    if order := [column for column in cheap if column in study.keys]:
        block = block.sort_values(order)
    kinds = [c for c in study.keys if c not in ("n", "fraction", "repeat")]
    return block.drop_duplicates([*setting, *(kinds if everything() else kinds[:1])])


def test_every_table_has_a_study_and_every_study_a_table() -> None:
    there = {path.stem for path in results.FOLDER.glob("*.csv")}
    assert there == set(STUDIES) == set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_the_table_is_whole(name: str) -> None:
    frame, study, wanted = results.load(name), STUDIES[name], TABLES[name]
    assert len(frame) == wanted.rows
    assert frame[study.keys[0]].nunique() == wanted.strategies
    assert not frame.duplicated(study.index).any()
    about = list(study.jobs[0])
    assert {*frame[about].itertuples(index=False, name=None)} == {
        tuple(job.values()) for job in study.jobs
    }
    if "error" in frame:
        assert frame["error"].isna().all(), "no fit has failed"
    if "rows" in frame:  # all strategies of a draw had the same labels
        same = [c for c in ("question", "target", "meaning", "n", "repeat") if c in frame]
        assert (frame.groupby(same)["rows"].nunique() == 1).all()
    shares = frame.filter(regex="^(AUROC|accuracy|Brier)(, [a-z]+)?$")
    assert ((shares >= 0) & (shares <= 1)).all(axis=None)


@pytest.mark.parametrize("name", TABLES)
def test_the_record_says_where_the_table_came_from(name: str) -> None:
    record = json.loads((results.FOLDER / f"{name}.json").read_text("utf-8"))
    study = STUDIES[name]
    assert record["uncommitted"] == []  # the code that ran is the code of that commit
    assert len(record["commit"]) == 40
    assert int(record["commit"], 16)
    assert set(study.packages) <= set(record["packages"])
    assert all(record["packages"].values())
    facts = json.loads(json.dumps(study.facts))
    if name == "lung_sources":
        del facts["recipe"]  # names an address
    assert {key: record[key] for key in facts} == facts
    assert datetime.fromisoformat(record["date"]).tzinfo
    assert record["processor"]
    assert record["threads"]
    for repeats in (record.get("repeats"), record.get("replicates")):
        # The one on which choices were made.
        assert not isinstance(repeats, list) or 0 not in repeats


@pytest.mark.parametrize("name", tables())
def test_a_sample_comes_out_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "lung_sources":  # the stored networks stay as they are
        monkeypatch.setattr(lung_sources, "path", lambda kind, seed: tmp_path / f"{kind}.keras")
    stored, wanted = sample(name).reset_index(drop=True), TABLES[name]
    fresh = STUDIES[name].again(stored)
    assert set(stored) <= set(fresh)
    assert len(fresh) == len(stored) > 0
    near = {**LOOSE, **wanted.own, **EXACT}
    different: list[Any] = []
    for column in set(stored) - {"seconds", "error"}:
        one, other = fresh[column], stored[column]
        if pd.api.types.is_numeric_dtype(other):
            tolerance = near.get(str(column), wanted.near)
            same = np.isclose(one.astype(float), other, rtol=1e-4, atol=tolerance, equal_nan=True)
        else:
            same = (one == other).to_numpy()
        named = stored.loc[~same, STUDIES[name].index].to_dict("records")
        different += [
            (column, row, a, b) for row, a, b in zip(named, one[~same], other[~same], strict=True)
        ]
    assert not different
