"""Compute the stored tables anew, all of them or those that are named.

    python book/tools/env.py -m book.studies hospitals_pairs hospitals_gaps

A study that was interrupted goes on where it was, as long as the commit is the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# One thread for each fit: two jobs run side by side, and stored tables were made so.
os.environ.setdefault("MEDXFER_THREADS", "1")

# First: it decides how TensorFlow starts.
from medxfer_utils.models import training as training

# isort: split
from book.studies import (
    decisions_skin,
    decisions_stays,
    ecg,
    first_transfer,
    fusion,
    fusion_attention,
    fusion_lesions,
    fusion_moved,
    fusion_skin,
    fusion_text,
    generalising,
    genes,
    handful,
    handful_skin,
    handful_tasks,
    hospitals,
    hospitals_choice,
    hospitals_gaps,
    hospitals_statistics,
    images_ct_mr,
    images_xray_ultrasound,
    liver_real,
    lung_prepared,
    lung_real,
    lung_sources,
    lung_to_liver,
    signals,
    signals_leads,
    signals_personal,
    signals_rhythm,
    small_changes,
)
from book.studies.study import Study

# `lung_to_liver` needs the networks of `lung_sources`.
SCRIPTS = (
    *(decisions_skin, decisions_stays, ecg, first_transfer, fusion, fusion_attention),
    *(fusion_lesions, fusion_moved, fusion_skin, fusion_text, generalising, genes),
    *(handful, handful_skin, handful_tasks, hospitals, hospitals_choice, hospitals_gaps),
    *(images_ct_mr, images_xray_ultrasound, lung_real, lung_sources, lung_to_liver),
    *(lung_prepared, signals, signals_leads, signals_personal, signals_rhythm),
    *(small_changes, liver_real),
)


def studies() -> dict[str, Study]:
    """Every study of this folder by the name of its table."""
    return {study.table: study for module in SCRIPTS for study in module.STUDIES}


def main(names: Sequence[str]) -> None:
    """Compute and store."""
    every = studies()
    if strange := set(names) - set(every):
        sys.exit(f"No study is called {', '.join(sorted(strange))}; there are {', '.join(every)}.")
    for name in names or every:
        every[name].store()
    if not names:
        hospitals_statistics.main()


if __name__ == "__main__":
    main(sys.argv[1:])
