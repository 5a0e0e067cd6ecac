"""Real livers: the file, who is on which side, and what is planted; what moves in a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from book.studies import liver_real, small_changes

# isort: split
import numpy as np
import pytest
from scipy.special import expit

from medxfer_utils import models
from medxfer_utils.cohorts import require_disjoint
from medxfer_utils.data import ContentError, DataError
from tests.faults import untold

study: Any = liver_real  # its functions that remember have attributes no type knows
SIDE = 32


def arrays(**changes: Any) -> dict[str, Any]:
    """Forty slices of ten patients, all liver but a margin."""
    rng = np.random.default_rng(0)
    mask = np.zeros((40, SIDE, SIDE), bool)
    mask[:, 3:-3, 3:-3] = True
    whole: dict[str, Any] = {"x": rng.integers(80, 110, mask.shape).astype(np.uint8)}
    whole |= {"mask": np.packbits(mask.reshape(40, -1), axis=1), "volume": np.arange(40) // 4}
    return {name: array for name, array in (whole | changes).items() if array is not None}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder; what was remembered of another is forgotten."""
    monkeypatch.setenv("MEDXFER_DATA", str(tmp_path))
    (tmp_path / study.FOLDER).mkdir()
    for one in (study.slices, study.patches, study.planted, study.divided):
        monkeypatch.setattr(study, one.__name__, one.__wrapped__)
    return tmp_path / str(study.FOLDER)


def test_a_missing_or_wrong_file_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="liver_ct of MEDXFER_DATA: see the page on data"):
        study.slices()
    wrong = {
        "no masks": ({"mask": None}, r"no arrays \['mask'\]"),
        "masks of another size": ({"mask": np.zeros((40, 8), np.uint8)}, r"masks \(40, 8\).*fit"),
        "fewer patients": ({"volume": np.arange(39)}, "39 patients do not fit"),
        "HU": ({"x": np.zeros((40, SIDE, SIDE), np.int16)}, "do not fit"),
    }

    def reads(name: str, changes: dict[str, Any]) -> None:
        np.savez(folder / study.FILE, **arrays(**changes))
        study.slices()

    assert untold(wrong, reads, ContentError) == {}


def test_lesions_are_planted_in_livers_whose_patients_are_on_one_side(folder: Path) -> None:
    np.savez(folder / study.FILE, **arrays())
    one, other = (study.planted(tissue, 1) for tissue in study.TISSUES)
    assert one.x.shape == (40, 32, 32)
    for name in ("y", "patient"):  # the same lesions in both tissues
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert all(len(np.unique(one.of([who]).y)) == 1 for who in one.patients)
    pool, test = study.divided(1)
    require_disjoint(one.of(pool), one.of(test))
    assert len(pool) + len(test) == 10
    plain = study.hounsfield(np.array([0.0, 255.0]))
    assert plain.tolist() == [-150, 250]


def test_scrambled_tissue_has_the_same_spectrum_and_mean() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(100, 20, (5, 16, 16))
    y = study.scrambled(x, rng)
    before, after = (np.abs(np.fft.rfft2(z))[:, 1:-1, 1:-1] for z in (x, y))
    np.testing.assert_allclose(before, after, rtol=1e-6)
    np.testing.assert_allclose(x.mean((1, 2)), y.mean((1, 2)))
    assert abs(np.corrcoef(x.ravel(), y.ravel())[0, 1]) < 0.2


@pytest.mark.parametrize("kind", small_changes.KINDS)
def test_each_kind_moves_what_it_says(kind: str) -> None:
    net = models.image_network((8, 8, 1), filters=(3, 4))
    grow, pick = small_changes.KINDS[kind]
    numbers = sum(int(np.prod(v.shape)) for v in small_changes.moving(grow(net), pick))
    head, kernels = 5, 9 * 3 + 9 * 12
    small = {"head only": 0, "biases only": 7, "norms only": 14, "FiLM": 14, "adapters": 3 + 12}
    small |= {"LoRA, rank 1": (9 + 3) + (27 + 4), "all, norms held": kernels + 14}
    assert numbers == head + small[kind]


def test_recalibration_finds_the_most_probable_constant_and_factor() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(0, 3, 400)
    y = (rng.random(400) < expit(1 + 0.5 * z)).astype(int)
    for spreads in ((1.0,), (1.0, 0.5)):
        at = z[:, None] ** np.arange(len(spreads))
        b = small_changes.recalibrated(z, y, spreads)
        slope = at.T @ (y - expit(z + at @ b)) - b / np.square(spreads)
        np.testing.assert_allclose(slope, 0, atol=1e-6)
        np.testing.assert_allclose(
            small_changes.recalibrated(z, y, (1e-4,) * len(spreads)), 0, atol=1e-3
        )
    np.testing.assert_allclose(b, (1, -0.5), atol=0.3)
    alike = small_changes.recalibrated(z[:2], np.ones(2, int), (1.0,))
    assert 0 < alike[0] < 2


def test_devices_are_always_the_same_and_a_third_is_mr_like() -> None:
    devices = [small_changes.device(number) for number in small_changes.NUMBERS]
    assert devices == [small_changes.device(number) for number in small_changes.NUMBERS]
    assert len({device.prevalence for device in devices}) == len(devices) == 12
    assert [device.modality for device in devices].count("MR") == 4
    assert {device.kernel for device in devices} == {"soft", "standard", "sharp"}
