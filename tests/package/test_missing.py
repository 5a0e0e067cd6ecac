"""How values go missing, and what fills them: against statistics, scikit-learn and leaks."""

import pickle
from typing import Any

import keras
import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medxfer_utils.missing import IMPUTERS, Denoising, amputed, complete_rows, rmse, ruler
from medxfer_utils.models.network import Linear, Rows

Array = np.ndarray[Any, Any]
MECHANISMS = ["MCAR", "MAR", "MNAR"]
GAPS = [0, 1, 2, 3, 4, 5]  # of the 13 columns of a clinic, those where values go missing


def clinic(seed: int, n: int = 200) -> Array:
    """Thirteen measurements of three hidden causes, in units from 0.1 to 100."""
    rng = np.random.default_rng(seed)
    causes = np.random.default_rng(0).normal(size=(3, 13))  # the same in every clinic
    x: Array = (rng.normal(size=(n, 3)) @ causes + 0.4 * rng.normal(size=(n, 13)) + 5) * (
        np.logspace(-1, 2, 13)
    )
    return x


def holed(seed: int, n: int = 200, share: float = 0.3) -> Array:
    return amputed(clinic(seed, n), "MCAR", share, np.random.default_rng(seed))


TRAIN, TEST = holed(1), holed(2)
FITTED = {name: make(0).fit(TRAIN) for name, make in IMPUTERS.items()}


def pair(n: int = 20_000) -> Array:
    """Two measurements with correlation 0.6 and a third by itself."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3))
    x[:, 0] = 0.6 * x[:, 1] + 0.8 * x[:, 0]
    return 10 * x + 3


# --- how values go missing ------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
def test_the_share_is_reached_in_each_column(mechanism: str, share: float) -> None:
    gone = np.isnan(amputed(pair(), mechanism, share, np.random.default_rng(1), [0, 1]))
    # The standard error of a share of 20,000 is 0.0035 at most.
    np.testing.assert_allclose(gone.mean(axis=0), [share, share, 0], atol=0.012)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_share_of_a_few_skewed_patients_is_right_in_expectation(mechanism: str) -> None:
    x, rng = np.exp(2 * np.random.default_rng(0).normal(size=(15, 3))), np.random.default_rng(1)
    gone = [np.isnan(amputed(x, mechanism, 0.3, rng, [0, 1])).mean() * 3 / 2 for _ in range(1000)]
    assert np.mean(gone) == pytest.approx(0.3, abs=0.01)  # the standard error is 0.003 at most


def pulls(mechanism: str) -> Array:
    """How the log odds of a gap rise with a standard deviation of: the value, column 1, column 2.

    Values go missing in column 0 only; the regression knows what is no longer on record.
    """
    x = pair()
    gone = np.isnan(amputed(x, mechanism, 0.3, np.random.default_rng(1), [0])[:, 0])
    design = sm.add_constant(StandardScaler().fit_transform(x))
    fit = sm.GLM(gone.astype(float), design, family=sm.families.Binomial()).fit()
    return np.asarray(fit.params[1:])


def test_mcar_depends_on_nothing() -> None:
    np.testing.assert_allclose(pulls("MCAR"), 0, atol=0.1)  # standard errors 0.02 to 0.03


def test_mar_depends_on_what_is_on_record_and_not_on_the_value() -> None:
    # Two independent columns, summed and standardised: 2 / √2 for each.
    np.testing.assert_allclose(pulls("MAR"), [0, np.sqrt(2), np.sqrt(2)], atol=0.1)


def test_mnar_depends_on_the_value_alone() -> None:
    np.testing.assert_allclose(pulls("MNAR"), [2, 0, 0], atol=0.1)


def test_mar_shifts_the_observed_mean_only_through_what_is_on_record() -> None:
    # Without the record the value of column 0 does differ between gap and no gap.
    x = pair()
    gone = np.isnan(amputed(x, "MAR", 0.3, np.random.default_rng(1), [0])[:, 0])
    assert x[gone, 0].mean() - x[~gone, 0].mean() > 3


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_what_stays_is_the_value_that_was(mechanism: str) -> None:
    x = clinic(0)
    before = x.copy()
    found = amputed(x, mechanism, 0.4, np.random.default_rng(0), GAPS)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(found, np.where(np.isnan(found), np.nan, x))
    assert not np.isnan(found[:, len(GAPS) :]).any()


def test_values_go_missing_everywhere_unless_columns_are_named() -> None:
    for mechanism in ("MCAR", "MNAR"):
        found = amputed(clinic(0), mechanism, 0.3, np.random.default_rng(0))
        assert np.isnan(found).any(axis=0).all()


def test_amputation_is_seeded() -> None:
    first, again, other = (
        np.isnan(amputed(clinic(0), "MNAR", 0.3, np.random.default_rng(seed))) for seed in (3, 3, 4)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_a_constant_column_goes_missing_by_lot() -> None:
    x = np.full((2000, 2), 0.1)
    gone = np.isnan(amputed(x, "MNAR", 0.25, np.random.default_rng(0)))
    assert gone.mean() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": np.full((4, 2), np.nan)}, "8 NaN or infinite"),
        ({"x": np.ones(4)}, r"shape \(4,\)"),
        ({"mechanism": "mar"}, "'mar': choose MCAR, MAR or MNAR"),
        ({"share": 0.0}, "between 0 and 1, not 0.0"),
        ({"share": 1}, "between 0 and 1, not 1"),
        ({"columns": [0, 2]}, r"\[0, 2\]: name some of 0 to 1"),
        ({"columns": [-1]}, r"\[-1\]: name some"),
        ({"columns": []}, r"\[\]: name some"),
        ({"mechanism": "MAR"}, "none would stay complete"),
        ({"mechanism": "MAR", "columns": [1, 0, 1]}, "none would stay complete"),
    ],
)
def test_what_cannot_be_amputed_is_named(changed: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"x": np.eye(4, 2), "mechanism": "MCAR", "share": 0.5}
    with pytest.raises(ValueError, match=message):
        amputed(**(given | changed), rng=np.random.default_rng(0))


def test_complete_rows_are_those_without_a_gap() -> None:
    x = np.array([[1.0, 2.0], [np.nan, 2.0], [1.0, np.nan], [0.0, 0.0]])
    assert complete_rows(x).tolist() == [True, False, False, True]


# --- every imputer --------------------------------------------------------------------------------

NAMES = sorted(IMPUTERS)


@pytest.mark.parametrize("name", NAMES)
def test_observed_values_stay_and_gaps_are_filled(name: str) -> None:
    before = TEST.copy()
    filled = FITTED[name].transform(TEST)
    np.testing.assert_array_equal(TEST, before)
    assert np.isfinite(filled).all()
    seen = ~np.isnan(TEST)
    np.testing.assert_array_equal(filled[:, :13][seen], TEST[seen])
    assert filled.shape == (200, 26 if name == "median + indicator" else 13)


@pytest.mark.parametrize("name", NAMES)
def test_a_patient_is_filled_as_if_alone(name: str) -> None:
    together = FITTED[name].transform(TEST)
    alone = np.concatenate([FITTED[name].transform(TEST[[k]]) for k in range(10)])
    np.testing.assert_allclose(alone, together[:10], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_patient_changes_nobody_else(name: str) -> None:
    before, changed = FITTED[name].transform(TEST), TEST.copy()
    changed[3] = np.where(np.isnan(TEST[3]), 1e3, np.nan)
    after = FITTED[name].transform(changed)
    assert (after[3] != before[3]).any()
    others = np.arange(200) != 3
    np.testing.assert_allclose(after[others], before[others], rtol=1e-9)
    np.testing.assert_array_equal(FITTED[name].transform(TEST), before)  # nor the imputer


@pytest.mark.parametrize("name", NAMES)
def test_a_column_that_training_never_saw_is_filled_with_0(name: str) -> None:
    blank, test = TRAIN.copy(), TEST.copy()
    blank[:, 4], test[0, 4] = np.nan, 7.0
    imputer = IMPUTERS[name](0).fit(blank)
    filled = imputer.transform(test)
    assert filled[0, 4] == 7
    assert (filled[np.isnan(test[:, 4]), 4] == 0).all()
    test[0, 4] = -700.0  # nothing was learnt of it, so it tells nothing of the others
    others = np.arange(filled.shape[1]) != 4
    np.testing.assert_allclose(imputer.transform(test)[:, others], filled[:, others], rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_imputers_work_in_a_pipeline_and_as_clones(name: str) -> None:
    y = (clinic(1)[:, 6] > np.median(clinic(1)[:, 6])).astype(int)
    pipe = make_pipeline(IMPUTERS[name](0), StandardScaler(), LogisticRegression())
    first, again = (clone(pipe).fit(TRAIN, y).predict_proba(TEST) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert pipe.fit(TRAIN, y).score(TRAIN, y) > 0.8


def test_imputers_are_made_with_the_seed() -> None:
    assert IMPUTERS["denoising autoencoder"](5).seed == 5
    assert IMPUTERS["iterative"](5).random_state == 5


def errors(name: str, mechanism: str, columns: list[int], seed: int) -> float:
    """RMSE on a test clinic after training on another, both amputed alike."""
    train, test = clinic(100 + seed), clinic(200 + seed)
    rng = np.random.default_rng(seed)
    holes, gaps = (amputed(x, mechanism, 0.3, rng, columns) for x in (train, test))
    filled = IMPUTERS[name](seed).fit(holes).transform(gaps)[:, :13]
    return rmse(test, filled, np.isnan(gaps), train.std(axis=0))


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_autoencoder_errs_much_less_than_the_median(mechanism: str, seed: int) -> None:
    # Three causes make thirteen measurements: what is seen tells most of what is not. The noise
    # alone leaves an error of 0.4 / √(3 + 0.16) ≈ 0.2; the median errs by 1 under MCAR.
    network, median = (
        errors(name, mechanism, GAPS, seed) for name in ("denoising autoencoder", "median")
    )
    assert network < 0.7 * median


# --- the autoencoder ------------------------------------------------------------------------------


def test_the_network_is_32_16_32() -> None:
    layers = FITTED["denoising autoencoder"].network_.layers
    assert [layer.units for layer in layers] == [32, 16, 32, 13]


def test_training_is_the_same_to_the_bit_and_depends_on_the_seed() -> None:
    first = Denoising(7).fit(TRAIN).transform(TEST)
    keras.utils.set_random_seed(99)
    Denoising(8).fit(holed(5, n=50))
    Denoising(8).fit(np.ones((3, 2)))
    assert Denoising(7).fit(TRAIN).transform(TEST).tobytes() == first.tobytes()
    assert Denoising(8).fit(TRAIN).transform(TEST).tobytes() != first.tobytes()


def test_what_is_missing_does_not_enter_the_loss() -> None:
    # Gaps are read as 0. Were they restored too, the fill of a shifted group would shrink to 0.
    rng = np.random.default_rng(0)
    x = np.repeat(rng.choice([-1.0, 1.0], size=(400, 1)), 6, axis=1)
    holes = amputed(x, "MCAR", 0.5, rng)
    several = (~np.isnan(holes)).sum(axis=1) >= 3
    filled = Denoising().fit(holes).transform(holes)
    gaps = np.isnan(holes) & several[:, None]
    assert np.abs(filled - x)[gaps].mean() < 0.15


def test_units_do_not_matter() -> None:
    unit = np.logspace(-3, 3, 13)
    plain = Denoising().fit(TRAIN).transform(TEST)
    scaled = Denoising().fit(TRAIN * unit + unit).transform(TEST * unit + unit)
    error = (scaled / unit - 1 - plain) / np.nanstd(TRAIN, axis=0)
    assert np.abs(error).max() < 0.1  # 500 steps in single precision


def test_a_column_without_variation_is_filled_with_its_value() -> None:
    x = TRAIN.copy()
    x[:, 2] = np.where(np.isnan(x[:, 2]), np.nan, 0.1)
    imputer = Denoising().fit(x)
    assert (imputer.transform(x)[:, 2] == 0.1).all()
    elsewhere = np.array([np.where(np.arange(13) == 2, 1e6, np.nan)])  # another hospital's value
    nothing = np.full((1, 13), np.nan)
    expected = np.where(np.arange(13) == 2, 1e6, imputer.transform(nothing))
    np.testing.assert_array_equal(imputer.transform(elsewhere), expected)


def test_a_fitted_autoencoder_survives_the_way_to_a_worker() -> None:
    imputer = FITTED["denoising autoencoder"]
    twin = pickle.loads(pickle.dumps(imputer))
    np.testing.assert_array_equal(twin.transform(TEST), imputer.transform(TEST))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 0.95))
def test_any_patient_is_filled_by_their_own_values(seed: int, share: float) -> None:
    imputer, rng = FITTED["denoising autoencoder"], np.random.default_rng(seed)
    rows = np.where(rng.random((6, 13)) < share, np.nan, 3 * rng.normal(size=(6, 13)))
    together = imputer.transform(rows)
    np.testing.assert_allclose(imputer.transform(rows[[4]])[0], together[4], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(imputer.transform(rows[::-1])[::-1], together, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((3, 2), np.inf), "infinity"),
        (np.ones(3), "1D array"),
        (np.ones((0, 2)), "0 sample"),
    ],
)
def test_the_autoencoder_refuses_what_is_no_table(x: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Denoising().fit(x)


def test_the_autoencoder_refuses_another_number_of_columns() -> None:
    with pytest.raises(ValueError, match="X has 12 features, but Denoising is expecting 13"):
        FITTED["denoising autoencoder"].transform(TEST[:, :12])


# --- the ruler and the error ----------------------------------------------------------------------


def test_the_ruler_fills_with_the_median_and_standardises() -> None:
    x = np.array([[1.0, np.nan], [2.0, np.nan], [np.nan, np.nan], [9.0, np.nan]])
    full = np.array([1.0, 2.0, 2.0, 9.0])
    expected = np.column_stack([(full - full.mean()) / full.std(), np.zeros(4)])
    np.testing.assert_allclose(ruler(x).transform(x), expected)


def test_the_ruler_is_the_scaler_of_a_model() -> None:
    y = (clinic(1)[:, 6] > np.median(clinic(1)[:, 6])).astype(float)
    scaler = ruler(TRAIN)
    data = Rows(scaler.transform(TRAIN), y, np.full(200, 1 / 200))
    model = Linear(scaler, scaler, np.zeros(14)).minimised(data, strength=1 / 200)
    z = scaler.transform(TEST)
    np.testing.assert_allclose(
        model.probability(TEST), expit(z @ model.theta[:-1] + model.theta[-1])
    )
    assert np.mean((model.probability(TRAIN) > 0.5) == y) > 0.8


def test_the_error_of_two_gaps_by_hand() -> None:
    truth = np.array([[1.0, 10.0], [2.0, 20.0]])
    filled = np.array([[1.0, 16.0], [6.0, 99.0]])
    was_missing = np.array([[False, True], [True, False]])  # 99 was observed: it does not count
    # (16 - 10) / 2 = 3 and (6 - 2) / 1 = 4.
    expected = np.sqrt((3**2 + 4**2) / 2)
    assert rmse(truth, filled, was_missing, np.array([1.0, 2.0])) == pytest.approx(expected)


ONE = np.ones((3, 2))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"filled": np.ones((3, 4))}, r"filled\[:, :d\]"),
        ({"scale": np.ones(3)}, r"scale \(3,\)"),
        ({"scale": np.array([1.0, 0.0])}, "smallest scale is 0.0"),
        ({"was_missing": ONE < 0}, "^0 entries were missing"),
        ({"filled": ONE * np.nan}, "6 of 6 entries that were missing are NaN"),
    ],
)
def test_errors_that_mean_nothing_are_refused(changed: dict[str, Any], message: str) -> None:
    given = {"truth": ONE, "filled": ONE, "was_missing": ONE > 0, "scale": np.ones(2)}
    with pytest.raises(ValueError, match=message):
        rmse(**(given | changed))
