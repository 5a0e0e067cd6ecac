"""Heartbeats: resampling and filters, the simulated ECG, who is where, and faulty records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import butter, find_peaks, sosfilt, sosfiltfilt

from medxfer_utils.data import DataError, heartbeats, simulated_ecg
from medxfer_utils.data.ecg import (
    BEFORE,
    HZ,
    LEADS,
    beats_of,
    read_ludb,
    read_mitbih,
    require_ecg,
    resampled,
    wrists_swapped,
)
from medxfer_utils.data.files import ContentError
from medxfer_utils.data.heartbeats import simulated_beats, twelve_leads


@pytest.mark.parametrize(("before", "after"), [(500, 125), (125, 180), (360, 180)])
def test_resampling_keeps_the_frequency_and_the_power_of_a_sine(before: int, after: int) -> None:
    for hertz in (3, 17):
        wave = resampled(np.sin(2 * np.pi * hertz * np.arange(10 * before) / before), before, after)
        assert len(wave) == 10 * after
        spectrum = np.abs(np.fft.rfft(wave)) / len(wave)
        assert np.fft.rfftfreq(len(wave), 1 / after)[spectrum.argmax()] == pytest.approx(hertz)
        assert np.mean(wave[after:-after] ** 2) == pytest.approx(0.5, rel=0.01)


def test_what_the_new_rate_cannot_hold_does_not_fold_down() -> None:
    hum = np.sin(2 * np.pi * 150 * np.arange(5000) / 500)
    assert np.std(resampled(hum, 500, 125)[50:-50]) < 0.01
    assert np.std(hum[::4]) > 0.5, "without a filter it would stay, at another frequency"


def test_a_filter_run_both_ways_shifts_no_peak_and_a_causal_one_does() -> None:
    ecg = simulated_ecg([0.8] * 12)
    told = butter(2, (0.5, 20), "bandpass", fs=HZ, output="sos")
    r = np.rint(np.cumsum([0.8] * 10) * HZ).astype(int)

    def late(filtered: Any) -> Any:
        return [k - 20 + filtered[k - 20 : k + 21].argmax() - k for k in r]

    assert np.abs(late(sosfiltfilt(told, ecg))).max() <= 1
    assert np.min(late(sosfilt(told, ecg))) >= 2
    # The causal one has not seen the beat before it comes; the other has.
    quiet = np.where(np.arange(len(ecg)) < 5 * HZ, 0, ecg)
    assert not sosfilt(told, quiet)[: 5 * HZ].any()
    assert np.abs(sosfiltfilt(told, quiet)[: 5 * HZ]).max() > 0.001


def test_a_simulated_ecg_has_the_intervals_it_was_told() -> None:
    rr = np.random.default_rng(0).uniform(0.6, 1.2, 40)
    ecg = simulated_ecg(rr, hz=500)
    peaks = find_peaks(ecg, height=0.8)[0] / 500
    assert np.abs(peaks - np.cumsum(rr)[: len(peaks)]).max() <= 0.006
    assert len(peaks) >= 39
    assert 0.8 < ecg.max() < 1.3, "millivolts"
    for wrong in ([], [0.8, 0.0], [-1.0]):
        with pytest.raises(ValueError, match="seconds above 0"):
            simulated_ecg(wrong)


def test_beats_are_cut_around_their_peaks_and_only_whole_ones() -> None:
    ecg = simulated_ecg([0.8] * 10, hz=125)
    x = beats_of(ecg, 125, [0, 100, 200, 1000])
    assert x.shape == (2, 126)
    faults: list[tuple[Any, float, list[float], str]] = [
        (np.stack([ecg, ecg]), 125, [100], "take one lead"),
        (ecg, 0, [100], "above 0"),
        (ecg, 125, [100, 2000], r"peak \[2000.\] is beyond"),
        (ecg, 125, [np.nan], "beyond"),
    ]
    for wrong, hz, peaks, said in faults:
        with pytest.raises(ValueError, match=said):
            beats_of(wrong, hz, peaks)
    assert x.argmax(axis=1).tolist() == [BEFORE] * 2


def test_no_patient_is_on_both_sides_of_the_simulated_parts() -> None:
    beats = simulated_beats(np.random.default_rng(0))
    sides = [set(beats.patient[beats.part == k]) for k in (1, 2)]
    assert not sides[0] & sides[1]
    assert sides[0]
    assert sides[1]
    # The lesson draws 6,000 beats of each part, in full.
    assert min(np.bincount(beats.part)[1:]) >= 6000
    # A ventricular beat comes early, and a pause follows.
    ill = beats.kind == "V"
    assert np.nanmean(beats.rr[ill, 0]) < np.nanmean(beats.rr[~ill, 0])
    assert np.nanmean(beats.rr[ill, 1]) > np.nanmean(beats.rr[~ill, 1])


GOOD = np.stack([simulated_ecg([0.8] * 5)] * 12)
FAULTS: dict[str, tuple[Any, list[int], str]] = {
    "gain": (GOOD * 200, [10], "Record 7, lead i: it spans .* mV, .* right gain"),
    "flat": (np.where(np.arange(12)[:, None] == 3, 0.5, GOOD), [10], "lead avr: .* flat at 0.5"),
    "NaN": (np.where(np.arange(721) == 99, np.nan, GOOD), [10], r"the first is sample \[99\]"),
    "turned": (GOOD.T, [10], r"Record 7 has shape \(721, 12\): turn it"),
    "lead": (GOOD[:11], [10], "11 leads of 12: v6 is missing"),
    "peak": (GOOD, [10, 800], r"annotation at sample \[800\], beyond the signal of 721"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_record_is_named_with_the_place(fault: str) -> None:
    x, peaks, said = FAULTS[fault]
    with pytest.raises(ContentError, match=said):
        require_ecg(x, 7, LEADS, peaks)


def test_a_sound_record_passes() -> None:
    assert require_ecg(GOOD, 7, LEADS, [0, 720]) is GOOD


def stored(path: Path, n: int = 8, **changes: Any) -> Path:
    """A small file of beats."""
    beat = np.tile((200 * GOOD[0, 100:226]).astype(np.int16), (n, 1))
    arrays = {"x": beat, "aami": np.arange(n) % 5, "record": np.arange(n) // 4 + 201}
    arrays |= {"ds": np.ones(n, int), "rr_pre": np.full(n, 360), "rr_post": np.full(n, -1)}
    np.savez(path, **{**arrays, **changes})
    return path


def test_the_file_of_beats_is_read_in_millivolts_and_seconds(tmp_path: Path) -> None:
    beats = read_mitbih(stored(tmp_path / "mitbih_beats_180hz.npz"))
    assert beats.x.max() == pytest.approx(GOOD[0, 100:226].max(), abs=0.01)
    assert "".join(beats.kind) == "NSVFQNSV"
    assert beats.rr[0, 0] == 1
    assert np.isnan(beats.rr[:, 1]).all()
    assert set(beats.record) == {201, 202}
    assert set(beats.patient) == {201}, "201 and 202 are one person"
    assert heartbeats(str(tmp_path), np.random.default_rng(0))[1] == ""


def test_a_faulty_file_of_beats_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "beats.npz"
    faults: list[tuple[dict[str, Any], str]] = [
        ({"x": np.zeros((8, 100), np.int16)}, "beats of 126 samples"),
        ({"ds": np.ones(3, int)}, "one row each"),
        ({"x": np.zeros((8, 126), np.int16)}, r"x, row \[0\] is not a beat"),
        ({"x": np.arange(8 * 126, dtype=np.int32).reshape(8, 126) * 50}, "lead MLII: it spans"),
        ({"aami": np.array([0, 1, 2, 3, 4, 0, -1, 2])}, r"aami, row \[6\] is not 0 to 4"),
        ({"aami": np.arange(8) % 4 + 2}, r"aami, row \[3\]"),
        ({"ds": np.full(8, 3)}, r"ds, row \[0\] is not 1 and 2"),
        ({"rr_pre": np.full(8, 0.8)}, r"rr_pre, row \[0\] is not 360ths"),
        ({"record": np.array(["201"] * 8)}, r"record, row \[0\] is not numbers"),
    ]
    for change, said in faults:
        with pytest.raises(ContentError, match=said):
            read_mitbih(stored(path, **change))


def test_who_names_a_folder_wants_no_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="put it there"):
        heartbeats(str(tmp_path), rng)
    with pytest.raises(DataError, match=r"ludb\.csv: not in"):
        read_ludb(tmp_path)
    monkeypatch.delenv("MEDXFER_DATA", raising=False)
    beats, note = heartbeats("builtin", rng)
    assert note.startswith("SIMULATED")
    assert set(beats.kind) == {"N", "V"}


def test_ludb_is_read_with_its_peaks(tmp_path: Path) -> None:
    x = (1000 * np.stack([GOOD[:, :625]] * 2)).astype(np.int16)
    peaks = np.array([[100, 200, -1], [100, -1, -1]])
    np.savez(tmp_path / "ludb_12lead_10s_125hz.npz", x=x, qrs=peaks, id=[1, 2])
    (tmp_path / "ludb.csv").write_text("ID,Hypertrophies\n2,\n1,Left atrial hypertrophy\n")
    mv, marks, about = read_ludb(tmp_path)
    assert mv.max() == pytest.approx(GOOD.max(), abs=0.01)
    assert [len(m) for m in marks] == [2, 1]
    assert about.index.tolist() == [1, 2]
    for rows, said in [("1,a\n1,b\n2,c\n", r"see ID \[1\]"), ("1,a\n", r"see ID \[2\]")]:
        (tmp_path / "ludb.csv").write_text(f"ID,Hypertrophies\n{rows}")
        with pytest.raises(ContentError, match=said):
            read_ludb(tmp_path)


def test_swapped_wrists_obey_the_law_of_three_electrodes_and_are_found_by_v6() -> None:
    rng = np.random.default_rng(0)
    right, left, foot = rng.normal(size=(3, 500))
    middle, chest = (right + left + foot) / 3, rng.normal(size=(6, 500))

    def leads(right: Any, left: Any) -> Any:
        limbs = [left - right, foot - right, foot - left]
        limbs += [1.5 * (one - middle) for one in (right, left, foot)]
        return np.concatenate([limbs, chest])

    as_it_is, swapped = leads(right, left), leads(left, right)
    assert np.allclose(wrists_swapped(as_it_is), swapped), "as if the electrodes changed places"
    assert np.allclose(wrists_swapped(swapped), as_it_is)
    assert np.allclose(swapped[1], swapped[0] + swapped[2]), "Einthoven cannot tell"
    many = np.stack([as_it_is, swapped])
    assert np.array_equal(wrists_swapped(many)[0], wrists_swapped(as_it_is))


def test_simulated_twelve_leads_obey_einthoven_and_their_swaps_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MEDXFER_DATA", raising=False)
    x, peaks, about, note = twelve_leads("builtin", np.random.default_rng(0))
    assert note.startswith("SIMULATED")
    assert 50 < about["Hypertrophies"].str.contains("Left ventricular").sum() < 110
    assert x.shape == (200, 12, 1250)
    assert np.allclose(x[:, 1], x[:, 0] + x[:, 2])
    assert np.allclose(x[:, 3], -(x[:, 0] + x[:, 1]) / 2)
    assert all(5 <= len(marks) <= 18 for marks in peaks)
    for one, marks in zip(x[:5], peaks, strict=False):
        require_ecg(one[[1, 11]], "simulated", ["ii", "v6"], marks)

    def like_v6(x: Any) -> Any:
        return np.array([np.corrcoef(one[0], one[11])[0, 1] for one in x])

    assert np.mean(like_v6(x) < 0) < 0.06
    assert np.mean(like_v6(wrists_swapped(x)) < 0) > 0.95


def test_who_names_a_folder_wants_no_simulated_leads(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ludb\.csv: not in"):
        twelve_leads(str(tmp_path), np.random.default_rng(0))
