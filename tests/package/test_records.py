"""Recordings of hearts from files: read back as they were written, or refused by name and place."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wfdb

from medxfer_utils.data import DataError, read_record, simulated_ecg
from medxfer_utils.data.files import ContentError

HZ = 360
LEAD = simulated_ecg([0.8] * 8, HZ)
BOTH = np.stack([LEAD, -0.5 * LEAD])  # mV
MARKS = np.rint(np.cumsum([0.8] * 7) * HZ).astype(int)


def written(folder: Path, fmt: str = "212", x: Any = BOTH, **more: Any) -> Path:
    """A WFDB record of two leads with annotations."""
    told: dict[str, Any] = {"units": ["mV"] * 2, "sig_name": ["MLII", "V5"], "fmt": [fmt] * 2}
    told |= {"adc_gain": [200] * 2, "baseline": [0] * 2, "fs": HZ}
    wfdb.wrsamp("100", p_signal=np.asarray(x).T, write_dir=str(folder), **{**told, **more})
    kinds = ["N"] * 6 + ["V"]
    wfdb.wrann("100", "atr", MARKS, symbol=kinds, fs=HZ, write_dir=str(folder))
    return folder / "100.hea"


@pytest.mark.parametrize("fmt", ["212", "16"])
def test_a_record_is_read_back_in_millivolts_with_leads_rate_and_marks(
    tmp_path: Path, fmt: str
) -> None:
    path = written(tmp_path, fmt)
    found = read_record(path)
    assert found.x.shape == BOTH.shape
    assert np.abs(found.x - BOTH).max() <= 1 / 200, "one step of the converter"
    assert (found.hz, found.leads) == (HZ, ("MLII", "V5"))
    assert found.marks.tolist() == MARKS.tolist()
    assert "".join(found.symbols) == "NNNNNNV"
    # The suffix may be left out, a lead may be chosen, annotations may be lacking.
    (tmp_path / "100.atr").unlink()
    one = read_record(str(tmp_path / "100"), leads=["V5"])
    assert np.array_equal(one.x, found.x[1:])
    assert (one.leads, len(one.marks), one.symbols) == (("V5",), 0, ())


def test_leads_have_gains_and_units_of_their_own(tmp_path: Path) -> None:
    micro = np.stack([LEAD, -500 * LEAD])
    found = read_record(written(tmp_path, "16", micro, units=["mV", "uV"], adc_gain=[1000, 2]))
    assert np.abs(found.x - BOTH).max() <= 1 / 1000


def as_csv(folder: Path, **columns: Any) -> Path:
    table = pd.DataFrame({"seconds": np.arange(len(LEAD)) / HZ, "II (mV)": LEAD, "V1 (uV)": 0.0})
    table["V1 (uV)"] = 1000 * LEAD
    path = folder / "one.csv"
    table.assign(**columns).to_csv(path, index=False)
    return path


def as_npz(folder: Path, **changes: Any) -> Path:
    whole = np.rint(1000 * BOTH).astype(np.int16)
    arrays = {"x": whole, "hz": np.array(HZ), "lead": np.array(["I", "II"]), "unit": np.array("uV")}
    path = folder / "one.npz"
    np.savez(path, **{**arrays, **changes})
    return path


def test_tables_and_arrays_are_read_with_their_units(tmp_path: Path) -> None:
    table = read_record(as_csv(tmp_path))
    assert np.allclose(table.x, [LEAD, LEAD])
    assert table.hz == pytest.approx(HZ)
    assert table.leads == ("II", "V1")
    arrays = read_record(as_npz(tmp_path), leads=["II", "I"])
    assert np.abs(arrays.x - BOTH[::-1]).max() <= 0.0005
    assert arrays.leads == ("II", "I")
    assert arrays.hz == HZ


def edited(old: str, new: str) -> Callable[[Path], Path]:
    """A record whose header somebody has edited."""

    def make(folder: Path) -> Path:
        path = written(folder)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return path

    return make


def cut(suffix: str, share: float) -> Callable[[Path], Path]:
    """A record of which one file was not copied to its end."""

    def make(folder: Path) -> Path:
        path = written(folder)
        part = path.with_suffix(suffix)
        part.write_bytes(part.read_bytes()[: int(share * part.stat().st_size)])
        return path

    return make


def holed(folder: Path) -> Path:
    x = BOTH.copy()
    x[1, 77:80] = np.nan
    return written(folder, "16", x)


def late(folder: Path) -> Path:
    path = written(folder)
    wfdb.wrann("100", "atr", np.array([5, 99_999]), symbol=["N", "N"], write_dir=str(folder))
    return path


FAULTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "gain 0": (edited("200(0)/mV", "0(0)/mV"), "Record 100, lead MLII: the header gives no gain"),
    "no gain": (edited("200(0)/mV 12 0 219 43811 0 MLII", ""), "lead number 1: .* gives no gain"),
    "wrong gain": (edited("200(0)/mV", "2(0)/mV"), "Record 100, lead MLII: it spans .* right gain"),
    "unit": (edited("/mV", "/mmHg"), "Record 100, lead MLII: the unit is 'mmHg', not V, mV"),
    "rate": (edited("100 2 360", "100 2 3"), "Record 100: 3 Hz is no rate"),
    "names": (edited("V5", "MLII"), "Record 100: two leads share a name: MLII, MLII"),
    "segments": (edited("100 2", "100/3 2"), "Record 100 is of several segments"),
    "truncated": (cut(".dat", 0.5), "Record 100: a file is cut off, or does not fit"),
    "truncated marks": (cut(".atr", 0.3), "Record 100: a file is cut off|beyond the signal"),
    "flat": (lambda p: written(p, "16", BOTH * [[1], [0]]), "lead V5: the line is flat at 0 mV"),
    "NaN": (holed, r"Record 100, lead V5: 3 samples are NaN .* the first is sample \[77\]"),
    "annotation": (late, r"annotation at sample \[99999\], beyond the signal of 2305 samples"),
    "csv heads": (lambda p: as_csv(p, V2=LEAD), "columns 'seconds', then leads as"),
    "csv text": (lambda p: as_csv(p, **{"V1 (uV)": "x"}), r"lead V1: 2305 samples are NaN"),
    "csv gap": (lambda p: as_csv(p, seconds=np.array([*range(9), *range(30, 2326)]) / HZ),
                r"the time does not go on evenly at sample \[9\]"),
    "npz unit": (lambda p: as_npz(p, unit=np.array("adu")), "lead I: the unit is 'adu'"),
    "npz names": (lambda p: as_npz(p, lead=np.array(["I"])), "one name a lead"),
    "npz lacks": (lambda p: as_npz(p, x=np.zeros(3)), r"x \(leads, samples\)"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_refused_with_record_and_place(tmp_path: Path, fault: str) -> None:
    make, said = FAULTS[fault]
    with pytest.raises(ContentError, match=said):
        read_record(make(tmp_path))


def test_a_lead_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="Record 100: lead V1, III is missing; there are MLII"):
        read_record(written(tmp_path), leads=["V1", "V5", "III"])


def test_a_missing_file_or_package_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"101\.hea is not there"):
        read_record(tmp_path / "101")
    path, plain = written(tmp_path), builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name == "wfdb":
            raise ImportError(name)
        return plain(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match="pip install wfdb"):
        read_record(path)


def test_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("a reader of files needs no network")

    monkeypatch.setattr("socket.socket.connect", refused)
    assert len(read_record(written(tmp_path)).x) == 2
