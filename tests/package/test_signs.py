"""Findings and the ideal observer, against closed forms and against a simulation."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from medxfer_utils.clinic import signs
from medxfer_utils.clinic.signs import FINDINGS, SEPARATION

ORGANS = pytest.mark.parametrize("organ", ["lung", "liver"])


def drawn(organ: str, n: int, case_mix: str = "referral") -> tuple[pd.DataFrame, NDArray[np.int_]]:
    rng, y = np.random.default_rng(0), np.arange(n) % 2
    normal = rng.standard_normal((n, 1 + len(FINDINGS[organ])))
    return signs.draw_signs(organ, case_mix, y, normal), y


def test_a_value_leads_back_to_its_position() -> None:
    x = np.linspace(-4, 4, 80)
    for finding in (f for organ in FINDINGS.values() for f in organ if not f.levels):
        value = finding.value(x).astype(float)
        absent = x <= finding.absent_below
        assert (np.diff(value) >= 0).all()
        assert (value[absent] == finding.low).all()
        assert np.allclose(finding.position(value)[~absent], x[~absent], atol=1e-5)
        assert finding.low <= value.min() <= value.max() <= finding.high


@ORGANS
def test_likelihood_ratio_of_measured_findings_has_a_closed_form(
    organ: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # x = a z + noise is linear and normal: the log likelihood ratio is d a·x / (1 + a·a).
    chosen = tuple(f for f in FINDINGS[organ] if not f.levels and np.isinf(f.absent_below))
    monkeypatch.setitem(FINDINGS, organ, chosen)
    x = np.random.default_rng(1).normal(0, 1.5, (200, len(chosen)))
    table = pd.DataFrame({f.name: f.value(column) for f, column in zip(chosen, x.T, strict=True)})
    a = np.array([f.loading for f in chosen])
    expected = SEPARATION * x @ a / (1 + a @ a)
    assert np.allclose(signs.evidence_of_signs(table, organ, "referral"), expected, atol=1e-4)


@ORGANS
def test_ideal_probabilities_come_true(organ: str) -> None:
    for case_mix in ("referral", "screening"):
        table, y = drawn(organ, 60_000, case_mix)
        p = expit(signs.evidence_of_signs(table, organ, case_mix))
        for _, group in pd.DataFrame({"p": p, "y": y}).groupby(pd.qcut(p, 10, labels=False)):
            # 4 standard errors of a share.
            within = 4 * np.sqrt(group.p.mean() * (1 - group.p.mean()) / len(group))
            assert group.y.mean() == pytest.approx(group.p.mean(), abs=within)


@ORGANS
def test_every_directed_finding_is_needed(organ: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table, y = drawn(organ, 15_000)

    def loss() -> float:
        evidence = signs.evidence_of_signs(table, organ, "referral")
        return float(np.logaddexp(0, np.where(y == 1, -evidence, evidence)).mean())

    whole = loss()
    for finding in FINDINGS[organ]:
        with monkeypatch.context() as patch:
            rest = tuple(f for f in FINDINGS[organ] if f is not finding)
            patch.setitem(FINDINGS, organ, rest)
            change = loss() - whole
        assert change > 0.001 or (finding.loading == 0 and abs(change) < 1e-9), finding.name


@ORGANS
def test_screening_shows_smaller_lesions_in_the_same_order(organ: str) -> None:
    referral, _ = drawn(organ, 2000)
    screening, _ = drawn(organ, 2000, "screening")
    assert (screening.diameter_mm < referral.diameter_mm).all()
    assert screening.diameter_mm.corr(referral.diameter_mm, method="spearman") > 0.9999
    assert (screening.necrosis <= referral.necrosis).all()
    untouched = [f.name for f in FINDINGS[organ] if f.name not in signs.CASE_MIX["screening"]]
    pd.testing.assert_frame_equal(screening[untouched], referral[untouched])


@ORGANS
def test_lesions_fit_in_their_patch_and_every_level_occurs_in_both_diagnoses(organ: str) -> None:
    table, y = drawn(organ, 20_000)
    low, middle, high = {"lung": (4, 10, 30), "liver": (5, 12, 40)}[organ]
    assert low <= table.diameter_mm.min() < table.diameter_mm.max() <= high < 48
    assert middle < table.diameter_mm.median() < 18
    for finding in (f for f in FINDINGS[organ] if f.levels):
        counts = pd.crosstab(table[finding.name], y)
        assert set(counts.index) == set(finding.levels)
        assert counts.to_numpy().min() > 0
