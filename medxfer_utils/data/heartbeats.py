"""SIMULATED electrocardiograms: sums of Gaussians on the cycle of a heartbeat.

They stand in where no file can be had. What is found on them says nothing about real patients.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medxfer_utils import require
from medxfer_utils.data.ecg import AFTER, BEFORE, FILES, HZ, Array, Beats, read_ludb, read_mitbih
from medxfer_utils.data.files import DataError, find_in

Waves = Mapping[str, tuple[float, float, float]]
# Where on the cycle (radians, R at 0), how high (mV) and how wide (radians) each wave is.
NORMAL: Waves = {
    "P": (-1.2, 0.15, 0.25),
    "Q": (-0.26, -0.12, 0.09),
    "R": (0.0, 1.1, 0.1),
    "S": (0.26, -0.22, 0.09),
    "T": (1.7, 0.3, 0.4),
}
# A ventricular beat: no P, a broad QRS, and a T that points the other way.
VENTRICULAR: Waves = {"R": (0.0, 1.5, 0.3), "S": (0.75, -0.5, 0.25), "T": (1.9, -0.4, 0.4)}
PATIENTS, EACH = 44, 300  # of the stand-in, and beats of each


def simulated_ecg(rr: Iterable[float], hz: float = HZ, waves: Waves = NORMAL) -> Array:
    """A SIMULATED ECG in mV: its R peaks stand at 0 and at the running sums of `rr` (seconds).

    Each wave is a Gaussian on the cycle from R to R, after the model of McSharry [1]_. Taught in
    lesson 15.

    References
    ----------
    .. [1] McSharry et al. (2003), A dynamical model for generating synthetic electrocardiogram
       signals. doi:10.1109/TBME.2003.808805.
    """
    ends = np.cumsum([0.0, *rr])
    require((np.diff(ends) > 0).all() and len(ends) > 1, "rr: seconds above 0, one at least.")
    time = np.arange(round(ends[-1] * hz) + 1) / hz
    phase = 2 * np.pi * np.interp(time, ends, np.arange(len(ends)))
    total = np.zeros(len(time))
    for place, height, width in waves.values():
        away = (phase - place + np.pi) % (2 * np.pi) - np.pi
        total += height * np.exp(-(away**2) / (2 * width**2))
    return total


def _own(waves: Waves, rng: np.random.Generator) -> Waves:
    """The same waves as one patient has them."""
    times = rng.lognormal(0, 0.25, (len(waves), 2))
    scaled = zip(waves.items(), times, strict=True)
    return {name: (at, high * a, wide * b) for (name, (at, high, wide)), (a, b) in scaled}


def _one_patient(rng: np.random.Generator) -> tuple[Array, NDArray[np.bool_], Array]:
    """Beats of one simulated patient, whether each is ventricular, and its two RR intervals."""
    usual = rng.uniform(0.6, 1.1)
    ill = rng.random(EACH) < rng.beta(0.6, 5)
    after = usual * rng.normal(1, 0.05, EACH).clip(0.8) * np.where(ill, 1.25, 1)
    after *= np.where(np.append(ill[1:], False), rng.uniform(0.65, 0.95), 1)  # the next is early
    kinds = [simulated_ecg([usual] * 3, waves=_own(w, rng)) for w in (NORMAL, VENTRICULAR)]
    place = round(usual * HZ) + np.arange(-BEFORE, AFTER)
    x = np.stack([kinds[int(one)][place] for one in ill])
    drift = rng.normal(0, 0.1, (EACH, 1)) + 0.1 * np.sin(
        np.arange(x.shape[1]) / 90 + rng.uniform(0, 7, (EACH, 1))
    )
    x = x * rng.normal(1, 0.05, (EACH, 1)) + drift + rng.normal(0, 0.03, x.shape)
    return x, ill, np.column_stack([np.append(np.nan, after[:-1]), after])


def simulated_beats(rng: np.random.Generator) -> Beats:
    """Draw simulated normal and ventricular beats in the place of those of `read_mitbih`."""
    x, ill, rr = map(
        np.concatenate, zip(*(_one_patient(rng) for _ in range(PATIENTS)), strict=True)
    )
    who = np.repeat(np.arange(1, PATIENTS + 1), EACH)
    return Beats(x.astype(np.float32), np.where(ill, "V", "N"), who, who, 1 + who % 2, rr)


def heartbeats(data: str, rng: np.random.Generator) -> tuple[Beats, str]:
    """The beats of MIT-BIH where their file is at hand, else simulated ones, and a message.

    Taught in lesson 15. `data` is "builtin", for the folder `MEDXFER_DATA`, or a folder with the
    file; the message is empty if the beats are real.

    Raises
    ------
    DataError
        If `data` is a folder without the file: who names one wants no stand-in.
    """
    named = os.environ.get("MEDXFER_DATA") if data == "builtin" else data
    path = find_in(Path(named).expanduser(), FILES[0], "ecg") if named else None
    if path:
        return read_mitbih(path), ""
    wanted = f"{FILES[0]} is neither in {named} nor in its subfolder ecg"
    require(data == "builtin", f"{wanted}: put it there.", DataError)
    note = "SIMULATED patients. For real heartbeats, put into the folder MEDXFER_DATA:"
    return simulated_beats(rng), f"{note}\n{FILES[0]}. Nobody offers it for download."


def _one_heart(rng: np.random.Generator) -> tuple[Array, NDArray[np.integer], dict[str, str]]:
    """Ten simulated seconds of twelve leads at 125 Hz, the R peaks in them, and what is wrong."""
    large, short_of_blood, flutters = rng.random(3) < (0.4, 0.25, 0.1)
    rr = rng.uniform(0.7, 1.1) * rng.normal(1, 0.25 if flutters else 0.04, 25).clip(0.6, 1.5)
    peaks = np.rint(np.cumsum(rr) * 125).astype(int)
    axis = np.radians(rng.normal(15 if large else 50, 15))  # of the current; 0 is to the left
    across = {"P": np.full(6, 0.3), "T": np.linspace(0.1, -0.5 if short_of_blood else 1, 6)}
    waves = {name: wave for name, wave in _own(NORMAL, rng).items() if name != "P" or not flutters}
    total = np.zeros((12, 1250))
    for name, wave in waves.items():
        line = simulated_ecg(rr, 125, {name: wave})[:1250]
        turn = axis + np.radians(rng.normal(0, 10))
        one, two = np.cos(turn), np.cos(turn - np.pi / 3)
        limbs = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
        chest = across.get(name, np.linspace(-0.6, 1, 6))
        total += np.concatenate([limbs, chest])[:, None] * line
    told = {"Hypertrophies": "Left ventricular hypertrophy" if large else ""}
    told |= {"Ischemia": "Ischemia" if short_of_blood else ""}
    told |= {"Rhythms": "Atrial fibrillation" if flutters else "Sinus rhythm"}
    return total, peaks[(peaks > 40) & (peaks < 1200)], told


def twelve_leads(
    data: str, rng: np.random.Generator
) -> tuple[Array, list[NDArray[np.integer]], pd.DataFrame, str]:
    """Ten seconds of twelve leads of 200 patients, their R peaks, their diagnoses, and a message.

    LUDB where its files are at hand, see `read_ludb`; else a SIMULATED current with one direction
    for each wave. `data` and the message are as those of `heartbeats`. Used in appendix A7.
    """
    named = os.environ.get("MEDXFER_DATA") if data == "builtin" else data
    if data != "builtin" or (named and find_in(Path(named).expanduser(), FILES[1], "ecg")):
        return *read_ludb(Path(str(named)).expanduser()), ""
    lines, marks, told = zip(*(_one_heart(rng) for _ in range(200)), strict=True)
    note = "SIMULATED patients. For real leads, put into the folder MEDXFER_DATA:"
    return np.stack(lines), [*marks], pd.DataFrame(told), f"{note}\n{FILES[1]} and {FILES[2]}"
