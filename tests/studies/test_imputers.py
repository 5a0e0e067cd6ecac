"""What fills a gap in lesson 11's table: nothing leaks, and the autoencoder learns."""

from __future__ import annotations

from typing import Any

from book.studies.hospitals_gaps import IMPUTERS, Denoising, rmse

# isort: split
import keras
import numpy as np
import pytest

from medxfer_utils.missing import amputed
from tests.package.test_missing import GAPS, TEST, TRAIN, clinic

FITTED: dict[str, Any] = {name: make(0).fit(TRAIN) for name, make in IMPUTERS.items()}
NETWORK = FITTED["denoising autoencoder"]


def test_observed_values_stay_and_a_patient_is_filled_as_if_alone() -> None:
    before, seen = TEST.copy(), ~np.isnan(TEST)
    changed = TEST.copy()
    changed[3] = np.where(np.isnan(TEST[3]), 1e3, np.nan)
    for name, imputer in FITTED.items():
        filled = imputer.transform(TEST)
        np.testing.assert_array_equal(TEST, before)
        assert filled.shape == (200, 26 if name == "median + indicator" else 13)
        assert np.isfinite(filled).all()
        np.testing.assert_array_equal(filled[:, :13][seen], TEST[seen])
        alone = np.concatenate([imputer.transform(TEST[[k]]) for k in range(10)])
        np.testing.assert_allclose(alone, filled[:10], rtol=1e-5, atol=1e-5, err_msg=name)
        after = imputer.transform(changed)
        assert (after[3] != filled[3]).any()
        others = np.arange(200) != 3
        np.testing.assert_allclose(after[others], filled[others], rtol=1e-6, err_msg=name)


def test_a_column_that_training_never_saw_is_filled_with_0_and_tells_nothing() -> None:
    blank, test = TRAIN.copy(), TEST.copy()
    blank[:, 4], test[0, 4] = np.nan, 7.0
    for name, make in IMPUTERS.items():
        imputer = make(0).fit(blank)
        filled = imputer.transform(test)
        assert filled[0, 4] == 7
        assert (filled[np.isnan(test[:, 4]), 4] == 0).all(), name
        other = test.copy()
        other[0, 4] = -700.0
        rest = np.arange(filled.shape[1]) != 4
        np.testing.assert_allclose(imputer.transform(other)[:, rest], filled[:, rest], rtol=1e-6)


@pytest.mark.parametrize("mechanism", ["MCAR", "MAR", "MNAR"])
def test_the_autoencoder_errs_much_less_than_the_median(mechanism: str) -> None:
    # Three causes make thirteen measurements: what is seen tells most of what is not. The noise
    # alone leaves an error of 0.4 / √(3 + 0.16) ≈ 0.2; the median errs by 1 under MCAR.
    train, test, rng = clinic(100), clinic(200), np.random.default_rng(0)
    holes, gaps = (amputed(x, mechanism, 0.3, rng, GAPS) for x in (train, test))
    network, median = (
        rmse(test, IMPUTERS[name](0).fit(holes).transform(gaps), np.isnan(gaps), train.std(axis=0))
        for name in ("denoising autoencoder", "median")
    )
    assert network < 0.7 * median


def test_training_is_the_same_to_the_bit_and_depends_on_the_seed_but_not_on_units() -> None:
    assert [layer.units for layer in NETWORK.network.layers] == [32, 16, 32, 13]
    keras.utils.set_random_seed(99)
    again, other = (Denoising(seed).fit(TRAIN).transform(TEST).tobytes() for seed in (0, 8))
    plain = NETWORK.transform(TEST)
    assert again == plain.tobytes() != other
    assert IMPUTERS["iterative"](5).random_state == IMPUTERS["denoising autoencoder"](5).seed == 5
    unit = np.logspace(-3, 3, 13)
    scaled = Denoising(0).fit(TRAIN * unit + unit).transform(TEST * unit + unit)
    error = (scaled / unit - 1 - plain) / np.nanstd(TRAIN, axis=0)
    assert np.abs(error).max() < 0.1  # 500 steps in single precision


def test_what_is_missing_does_not_enter_the_loss() -> None:
    # Gaps are read as 0. Were they restored too, the fill of a shifted group would shrink to 0.
    rng = np.random.default_rng(0)
    x = np.repeat(rng.choice([-1.0, 1.0], size=(400, 1)), 6, axis=1)
    holes = amputed(x, "MCAR", 0.5, rng)
    several = (~np.isnan(holes)).sum(axis=1) >= 3
    filled = Denoising(0).fit(holes).transform(holes)
    assert np.abs(filled - x)[np.isnan(holes) & several[:, None]].mean() < 0.15


def test_a_column_without_variation_is_filled_with_its_value() -> None:
    x = TRAIN.copy()
    x[:, 2] = np.where(np.isnan(x[:, 2]), np.nan, 0.1)
    imputer = Denoising(0).fit(x)
    assert (imputer.transform(x)[:, 2] == 0.1).all()
    elsewhere = np.array([np.where(np.arange(13) == 2, 1e6, np.nan)])  # another hospital's value
    expected = np.where(np.arange(13) == 2, 1e6, imputer.transform(np.full((1, 13), np.nan)))
    np.testing.assert_array_equal(imputer.transform(elsewhere), expected)


def test_the_error_of_two_gaps_by_hand() -> None:
    truth = np.array([[1.0, 10.0], [2.0, 20.0]])
    filled = np.array([[1.0, 16.0], [6.0, 99.0]])
    was_missing = np.array([[False, True], [True, False]])  # 99 was observed: it does not count
    # (16 - 10) / 2 = 3 and (6 - 2) / 1 = 4.
    expected = np.sqrt((3**2 + 4**2) / 2)
    assert rmse(truth, filled, was_missing, np.array([1.0, 2.0])) == pytest.approx(expected)
