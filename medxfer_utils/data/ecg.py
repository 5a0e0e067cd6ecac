"""Electrocardiograms (ECG): the beats of MIT-BIH, and the twelve leads of LUDB.

Signals are in millivolts, times in seconds, rates in hertz. Both are read from files that somebody
has cut out of the records of PhysioNet; nobody offers these for download.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import resample_poly

from medxfer_utils import require
from medxfer_utils.data.files import ContentError, DataError, find_in, read_array

Array = NDArray[np.floating]
HZ, BEFORE, AFTER = 180, 44, 82  # of a beat: samples a second, before its R peak, from it on
LEADS = ("i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6")
FILES = ("mitbih_beats_180hz.npz", "ludb_12lead_10s_125hz.npz", "ludb.csv")


class Beats(NamedTuple):
    """Heartbeats cut out around their R peaks, at `HZ`: R stands at sample `BEFORE`.

    Parameters
    ----------
    x : ndarray, shape (n, 126)
        mV.
    kind : ndarray, shape (n,)
        AAMI class: N, S (supraventricular), V (ventricular), F (fusion) or Q (paced or unknown).
    record, patient : ndarray, shape (n,)
        Two records may be of one patient.
    part : ndarray, shape (n,)
        1 and 2 for de Chazal's DS1 and DS2, 0 for the records with a pacemaker.
    rr : ndarray, shape (n, 2)
        Seconds to the beat before and to the next; NaN where there is none.
    """

    x: Array
    kind: NDArray[np.str_]
    record: NDArray[np.integer]
    patient: NDArray[np.integer]
    part: NDArray[np.integer]
    rr: Array


def require_ecg(x: Array, record: object, leads: Iterable[str], peaks: Iterable[int] = ()) -> Array:
    """One record, shape (leads, samples), in mV; ContentError names record, lead and sample.

    Taught in lesson 15.

    Raises
    ------
    ContentError
        If a lead is missing, flat, or far from millivolts, a sample is NaN, or a peak lies beyond
        the signal.
    """
    names, here = [*leads], f"Record {record}"
    turned = f"{here} has shape {x.shape}: turn it, x.T, so that a row is a lead."
    require(x.shape[::-1][0] != len(names) or len(x) == len(names), turned, ContentError)
    lacking = ", ".join(names[len(x) :]) or f"a name for lead {len(names) + 1}"
    wanted = f"{here} has {len(x)} leads of {len(names)}: {lacking} is missing"
    require(len(x) == len(names), f"{wanted}; leave the record out.", ContentError)
    for name, lead in zip(names, x, strict=True):
        lead_of, gaps = f"{here}, lead {name}", np.flatnonzero(~np.isfinite(lead))
        first = f"{len(gaps)} samples are NaN or infinite, the first is sample {gaps[:1]}"
        require(not len(gaps), f"{lead_of}: {first}; cut the gap out.", ContentError)
        height = float(np.ptp(lead))
        flat = f"the line is flat at {lead[0]:g} mV from sample 0 on: the electrode was off."
        require(height > 0, f"{lead_of}: {flat}", ContentError)
        gain = f"it spans {height:.3g} mV, and a heart gives 0.1 to 20: divide by the right gain."
        require(0.1 <= height <= 20, f"{lead_of}: {gain}", ContentError)
    beyond = [int(k) for k in peaks if not 0 <= k < x.shape[1]]
    last = f"annotation at sample {beyond[:1]}, beyond the signal of {x.shape[1]} samples"
    require(not beyond, f"{here}: {last}; check its sampling rate.", ContentError)
    return x


def wrists_swapped(x: Array) -> Array:
    """Twelve leads (..., 12, n), ordered as `LEADS`, if the wrists' electrodes change places.

    I is turned over, II and III change places, and so do aVR and aVL. Used in appendix A7.
    """
    turned = x[..., [0, 2, 1, 4, 3, *range(5, 12)], :]
    turned[..., 0, :] *= -1
    return turned


def resampled(x: Array, before: float, after: float) -> Array:
    """A signal at another rate (Hz), along the last axis. Taught in lesson 15.

    It is filtered first, so that nothing above half the new rate folds down into what is left.
    """
    ratio = Fraction(after / before).limit_denominator(1000)
    return np.asarray(resample_poly(x, ratio.numerator, ratio.denominator, axis=-1))


def _require_beats(path: Path, name: str, fine: NDArray[np.bool_] | bool, wanted: str) -> None:
    """Name the first row of an array of a file that is not `fine`."""
    wrong = np.flatnonzero(~np.atleast_1d(fine))
    said = f"{path}: {name}, row {wrong[:1]} is not {wanted}; fix or leave out the row."
    require(not len(wrong), said, ContentError)


def read_mitbih(path: Path) -> Beats:
    """Read the beats of MIT-BIH that somebody has cut out of its records; lesson 15 says how.

    Raises
    ------
    ContentError
        If an array is missing or of another length, or a record is impossible.
    """
    names = ("x", "aami", "record", "ds", "rr_pre", "rr_post")
    with np.load(path, allow_pickle=False) as stored:
        x, aami, record, part, pre, post = (read_array(stored, name, path) for name in names)
    counts = {len(one) for one in (x, aami, record, part, pre, post)}
    whole = x.ndim == 2 and x.shape[1] == BEFORE + AFTER and len(counts) == 1
    require(whole, f"{path}: beats of {BEFORE + AFTER} samples, one row each.", ContentError)
    _require_beats(path, "record", np.issubdtype(record.dtype, np.integer), "numbers of records")
    _require_beats(path, "aami", np.isin(aami, range(5)), "0 to 4 for N, S, V, F and Q")
    _require_beats(path, "ds", np.isin(part, range(3)), "1 and 2 for DS1 and DS2, 0 for neither")
    for name, column in (("rr_pre", pre), ("rr_post", post)):
        known = column.astype(float)
        _require_beats(path, name, (known >= 36) | (known == -1), "360ths of a second")
    _require_beats(path, "x", np.ptp(x, axis=1) > 0, "a beat that is not a flat line")
    mv = 0.005 * x.astype(np.float32)  # a unit is 5 µV
    for one in np.unique(record):
        lead = "V5" if one in (102, 104, 114) else "MLII"  # the first channel of the record
        require_ecg(mv[record == one].reshape(1, -1), one, [lead])
    rr = np.column_stack([pre, post]) / 360.0
    patient = np.where(record == 202, 201, record)  # one person, twice
    kind = np.array([*"NSVFQ"])[aami.astype(int)]
    return Beats(mv, kind, record, patient, part, np.where(rr > 0, rr, np.nan))  # type: ignore[arg-type]


def read_ludb(folder: Path) -> tuple[Array, list[NDArray[np.integer]], pd.DataFrame]:
    """Read LUDB [1]_: signals (n, 12, 1250) at 125 Hz, R peaks of lead II, diagnoses.

    Each lead of the file spans about 1 mV, whatever it was: the gains are lost, and with them all
    voltages. Shapes and signs are right. Used in lesson 15, which says so, and appendix A7, which
    shows it by Einthoven's law.

    Raises
    ------
    DataError
        If a file is missing; ContentError, if a record is impossible.

    References
    ----------
    .. [1] Kalyakulina et al. (2020), LUDB. doi:10.1109/ACCESS.2020.3029211.
    """
    paths = [find_in(folder, name, "ecg") for name in FILES[1:]]
    lacking = [name for name, path in zip(FILES[1:], paths, strict=True) if path is None]
    require(not lacking, f"{', '.join(lacking)}: not in {folder} nor its subfolder ecg.", DataError)
    signals, table = [path for path in paths if path]
    with np.load(signals, allow_pickle=False) as stored:
        x, found, number = (read_array(stored, name, signals) for name in ("x", "qrs", "id"))
    about = pd.read_csv(table).set_index("ID")
    strange = sorted({*number.tolist()} - {*about.index}) or [
        *about.index[about.index.duplicated()]
    ]
    said = f"{table}: each record of {signals.name} needs one row; see ID {strange[:1]}."
    require(not strange and len(found) == len(x) == len(number), said, ContentError)
    about = about.loc[number.tolist()]
    mv = x.astype(np.float32) / 1000  # a unit is 1 µV
    peaks = [row[row >= 0] for row in found.astype(int)]
    for one, lead, marks in zip(number, mv, peaks, strict=True):
        require_ecg(lead, one, LEADS, marks)
    return mv, peaks, about


def beats_of(x: Array, hz: float, peaks: Iterable[float]) -> Array:
    """Every whole beat around its R peak (sample of `x`, one lead), at `HZ`, shape (n, 126).

    Raises
    ------
    ValueError
        If `x` has several leads, the rate is not above 0, or a peak lies beyond the signal.
    """
    at = np.array([*peaks], float)
    require(np.ndim(x) == 1, f"x has shape {np.shape(x)}: take one lead, x[lead].")
    require(hz > 0, f"hz is {hz}: a rate is above 0 samples a second.")
    beyond = at[~((at >= 0) & (at < len(x)))]
    require(not len(beyond), f"peak {beyond[:1]} is beyond the {len(x)} samples: check the rate.")
    signal, places = resampled(x, hz, HZ), np.rint(at * HZ / hz).astype(int)
    whole = places[(places >= BEFORE) & (places + AFTER <= len(signal))]
    return signal[whole[:, None] + np.arange(-BEFORE, AFTER)]
