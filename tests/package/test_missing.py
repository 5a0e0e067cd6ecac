"""How values go missing, against the statistics they should have; the scaler that fills them."""

from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit
from sklearn.preprocessing import StandardScaler

from medxfer_utils.missing import amputed, complete_rows, median_scaler
from medxfer_utils.models import Linear, Rows

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


def pair(n: int = 20_000) -> Array:
    """Two measurements with correlation 0.6 and a third by itself."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3))
    x[:, 0] = 0.6 * x[:, 1] + 0.8 * x[:, 0]
    return 10 * x + 3


# --- how values go missing ------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_share_is_reached_in_each_column_and_for_a_few_skewed_patients(mechanism: str) -> None:
    for share in (0.05, 0.3, 0.8):
        gone = np.isnan(amputed(pair(), mechanism, share, np.random.default_rng(1), [0, 1]))
        # The standard error of a share of 20,000 is 0.0035 at most.
        np.testing.assert_allclose(gone.mean(axis=0), [share, share, 0], atol=0.012)
    x, rng = np.exp(2 * np.random.default_rng(0).normal(size=(15, 3))), np.random.default_rng(1)
    few = [np.isnan(amputed(x, mechanism, 0.3, rng, [0, 1])).mean() * 3 / 2 for _ in range(1000)]
    assert np.mean(few) == pytest.approx(0.3, abs=0.01)  # the standard error is 0.003 at most


def pulls(mechanism: str) -> Array:
    """How the log odds of a gap rise with a standard deviation of: the value, column 1, column 2.

    Values go missing in column 0 only; the regression knows what is no longer on record.
    """
    x = pair()
    gone = np.isnan(amputed(x, mechanism, 0.3, np.random.default_rng(1), [0])[:, 0])
    design = sm.add_constant(StandardScaler().fit_transform(x))
    fit = sm.GLM(gone.astype(float), design, family=sm.families.Binomial()).fit()
    return np.asarray(fit.params[1:])


ONE = np.sqrt(2)  # two independent columns, summed and standardised: 2 / √2 for each


def test_what_decides_is_nothing_or_what_is_on_record_or_the_value() -> None:
    for mechanism, slopes in {"MCAR": [0, 0, 0], "MAR": [0, ONE, ONE], "MNAR": [2, 0, 0]}.items():
        # Standard errors 0.02 to 0.03.
        np.testing.assert_allclose(pulls(mechanism), slopes, atol=0.1, err_msg=mechanism)


def test_what_stays_is_the_value_that_was_and_chance_has_a_seed() -> None:
    x = clinic(0)
    before = x.copy()
    for mechanism in MECHANISMS:
        found, again, other = (
            amputed(x, mechanism, 0.4, np.random.default_rng(seed), GAPS) for seed in (3, 3, 4)
        )
        np.testing.assert_array_equal(x, before)
        np.testing.assert_array_equal(found, again)
        np.testing.assert_array_equal(found, np.where(np.isnan(found), np.nan, x))
        assert not np.isnan(found[:, len(GAPS) :]).any()
        assert (np.isnan(found) != np.isnan(other)).any()
        if mechanism != "MAR":  # everywhere, unless columns are named
            everywhere = amputed(x, mechanism, 0.3, np.random.default_rng(0))
            assert np.isnan(everywhere).any(axis=0).all()


def test_a_constant_column_goes_missing_by_lot() -> None:
    x = np.full((2000, 2), 0.1)
    gone = np.isnan(amputed(x, "MNAR", 0.25, np.random.default_rng(0)))
    assert gone.mean() == pytest.approx(0.25, abs=0.03)


def test_what_cannot_be_amputed_is_named() -> None:
    given: dict[str, Any] = {"x": np.eye(4, 2), "mechanism": "MCAR", "share": 0.5}
    wrong: list[tuple[dict[str, Any], str]] = [
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
    ]
    for changed, message in wrong:
        with pytest.raises(ValueError, match=message):
            amputed(**(given | changed), rng=np.random.default_rng(0))


def test_complete_rows_are_those_without_a_gap() -> None:
    x = np.array([[1.0, 2.0], [np.nan, 2.0], [1.0, np.nan], [0.0, 0.0]])
    assert complete_rows(x).tolist() == [True, False, False, True]


# --- the scaler ----------------------------------------------------------------------


def test_the_median_scaler_fills_with_the_median_and_standardises() -> None:
    x = np.array([[1.0, np.nan], [2.0, np.nan], [np.nan, np.nan], [9.0, np.nan]])
    full = np.array([1.0, 2.0, 2.0, 9.0])
    expected = np.column_stack([(full - full.mean()) / full.std(), np.zeros(4)])
    np.testing.assert_allclose(median_scaler(x).transform(x), expected)


def test_a_feature_that_the_fitted_patients_lack_is_zero_for_everybody() -> None:
    x = np.array([[1.0, np.nan], [3.0, np.nan]])
    later = np.array([[3.0, 246.0], [np.nan, np.nan]])
    assert median_scaler(x).transform(later).tolist() == [[1, 0], [0, 0]]


def test_the_median_scaler_prepares_for_a_model() -> None:
    y = (clinic(1)[:, 6] > np.median(clinic(1)[:, 6])).astype(float)
    scaler = median_scaler(TRAIN)
    data = Rows(scaler.transform(TRAIN), y, np.full(200, 1 / 200))
    model = Linear(np.zeros(14), scaler).minimised(data, strength=1 / 200)
    z = scaler.transform(TEST)
    np.testing.assert_allclose(
        model.probability(TEST), expit(z @ model.theta[:-1] + model.theta[-1])
    )
    assert np.mean((model.probability(TRAIN) > 0.5) == y) > 0.8
