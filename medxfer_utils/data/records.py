"""One recording of an electrocardiogram from a file: WFDB, CSV or npz; always in millivolts.

WFDB is the format of PhysioNet: a header of text, whole numbers, and annotations, in three files.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medxfer_utils import require
from medxfer_utils.data.ecg import Array, require_ecg
from medxfer_utils.data.files import ContentError, DataError, read_array

MILLIVOLTS = {"V": 1e3, "mV": 1.0, "uV": 1e-3, "µV": 1e-3}  # of one unit
RATES = (50, 20_000)  # samples a second of a recorder of hearts
Found = tuple[Array, float, Sequence[str], Sequence[str]]  # signals, Hz, leads, units


class Recording(NamedTuple):
    """One recording.

    Parameters
    ----------
    x : ndarray, shape (leads, samples)
        mV.
    hz : float
        Samples a second.
    leads : tuple of str
        The name of each row.
    marks : ndarray of int
        Samples at which something is annotated; empty without annotations.
    symbols : tuple of str
        What, for each mark; `N` is a normal beat.
    """

    x: Array
    hz: float
    leads: tuple[str, ...]
    marks: NDArray[np.integer]
    symbols: tuple[str, ...]


def read_record(path: str | Path, leads: Sequence[str] = ()) -> Recording:
    """Read a recording in millivolts, with the annotations that lie beside it. Used in appendix A7.

    Parameters
    ----------
    path : str or Path
        Of a WFDB record, with or without `.hea` (formats as the package `wfdb` knows them, such as
        212 and 16; annotations in `.atr`); a `.csv` with a column `seconds` and one for each lead,
        named as `II (mV)`; or an `.npz` with arrays `x` (leads, samples), `hz`, `lead`, `unit`.
    leads : sequence of str
        Those wanted, in this order; all, if none is named.

    Raises
    ------
    DataError
        If a file is missing, or the package `wfdb` is.
    ContentError
        If the file is cut off; a gain, unit or rate is missing or impossible; a lead is missing or
        flat, holds NaN, or is far from millivolts; or an annotation lies beyond the signal.
    """
    path = Path(path)
    known: dict[str, Callable[[Path], Found]] = {".csv": _csv, ".npz": _npz}
    whole = path if path.suffix in known else path.with_suffix(".hea")
    require(whole.is_file(), f"{whole} is not there: check the name and the folder.", DataError)
    x, hz, found, units = known.get(path.suffix, _wfdb)(whole)
    here, said = f"Record {path.stem}", ", ".join(found)
    fine = RATES[0] <= hz <= RATES[1]
    require(fine, f"{here}: {hz:g} Hz is no rate of an ECG; check the header.", ContentError)
    require(len({*found}) == len(found), f"{here}: two leads share a name: {said}.", ContentError)
    for lead, unit in zip(found, units, strict=True):
        wrong = f"{here}, lead {lead}: the unit is {unit!r}, not {', '.join(MILLIVOLTS)}."
        require(unit in MILLIVOLTS, wrong, ContentError)
    wanted = tuple(leads) or tuple(found)
    lacking = ", ".join(name for name in wanted if name not in found)
    require(not lacking, f"{here}: lead {lacking} is missing; there are {said}.", ContentError)
    rows = [list(found).index(name) for name in wanted]
    mv = x[rows] * np.array([[MILLIVOLTS[units[row]]] for row in rows])
    marks, symbols = _annotations(whole)
    return Recording(require_ecg(mv, path.stem, wanted, marks), float(hz), wanted, marks, symbols)


def _by_wfdb(call: str, path: Path, *told: str) -> Any:
    """Call a reader of the package `wfdb` with the path of a record."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pandas, about the code of wfdb
            import wfdb

            return getattr(wfdb, call)(str(path.with_suffix("")), *told)
    except ImportError as error:
        raise DataError(f"{path} needs the package wfdb: pip install wfdb.") from error
    except Exception as error:  # of NumPy, or of the file system
        why = f"a file is cut off, or does not fit its header ({error})"
        raise ContentError(f"Record {path.stem}: {why}; get it again.") from error


def _wfdb(header: Path) -> Found:
    """Signals of a WFDB record. A gain of 0 means "unknown"; `wfdb` would take 200 instead."""
    lines = [line.split() for line in header.read_text("utf-8").splitlines() if line[:1] != "#"]
    first, *signals = [line for line in lines if line] or [[""]]
    segments = f"Record {header.stem} is of several segments: read each by itself."
    require("/" not in first[0], segments, ContentError)
    for k, line in enumerate(signals, start=1):
        number = re.match(r"[-+.\de]+", line[2]) if len(line) > 2 else None
        lead = " ".join(line[8:]) or f"number {k}"
        gain = f"Record {header.stem}, lead {lead}: the header gives no gain, so no millivolts."
        require(number and float(number[0]) > 0, gain, ContentError)
    record = _by_wfdb("rdrecord", header)
    return record.p_signal.T, record.fs, record.sig_name, record.units


def _annotations(path: Path) -> tuple[NDArray[np.integer], tuple[str, ...]]:
    """Marks and symbols in the file `.atr` beside a WFDB record, if there is one."""
    if path.suffix != ".hea" or not path.with_suffix(".atr").is_file():
        return np.zeros(0, int), ()
    found = _by_wfdb("rdann", path, "atr")
    return found.sample, tuple(found.symbol)


def _csv(path: Path) -> Found:
    """Signals of a table; the rate is that of its column `seconds`."""
    table = pd.read_csv(path)
    heads = [re.fullmatch(r"(\S+) \((\S+)\)", str(name)) for name in table.columns[1:]]
    named = [one.groups() for one in heads if one]
    fine = table.columns[0] == "seconds" and 0 < len(named) == len(heads) and len(table) > 1
    require(fine, f"{path}: columns 'seconds', then leads as 'II (mV)', and rows.", ContentError)
    values = table.apply(pd.to_numeric, errors="coerce").to_numpy(float)
    steps = np.diff(values[:, 0])
    uneven = np.flatnonzero(~(np.abs(steps - np.median(steps)) < 0.1 * np.median(steps)))
    said = f"{path}: the time does not go on evenly at sample {uneven[:1] + 1}; fill the gap."
    require(not len(uneven), said, ContentError)
    leads, units = zip(*named, strict=True)
    return values[:, 1:].T, len(steps) / float(np.ptp(values[:, 0])), leads, units


def _npz(path: Path) -> Found:
    """Signals of arrays."""
    with np.load(path, allow_pickle=False) as stored:
        x, hz, lead, unit = (read_array(stored, name, path) for name in ("x", "hz", "lead", "unit"))
    fine = x.ndim == 2 and x.dtype.kind in "iuf" and len(lead) == len(x)
    fine = fine and hz.ndim == unit.ndim == 0
    said = f"{path}: x (leads, samples), one name a lead, and one hz and one unit for all."
    require(fine, said, ContentError)
    return x.astype(float), float(hz), [*map(str, lead)], [str(unit)] * len(x)
