"""Records follow the published coefficients; reports know the findings and nothing else."""

import re

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from medxfer_utils.clinic import Clinic, Site, reports, signs, simulate
from medxfer_utils.clinic.reports import FIELDS

ORGANS = pytest.mark.parametrize("organ", ["lung", "liver"])
# Words that would give the diagnosis away, or a judgement that comes close to it.
TELLING = re.compile(
    r"malign|benign|cancer|carcin|metasta|tumou?r|neoplas|sarcom|lymphom|adenom|granulom|hamartom"
    r"|\bHCC\b|suspicious|worrisome|biops|resect|label|diagnos|\by\b",
    re.IGNORECASE,
)


@pytest.fixture(scope="module", params=["lung", "liver"])
def seen(request: pytest.FixtureRequest) -> Clinic:
    return simulate(Site(request.param, size=8, pixel=4.0), 400, 5)


def records(organ: str, n: int) -> tuple[pd.DataFrame, NDArray[np.int_]]:
    y = np.arange(n) % 2
    return reports.draw_record(
        organ, y, np.random.default_rng(0).random((n, len(FIELDS[organ])))
    ), y


@ORGANS
def test_log_odds_move_by_the_published_coefficients(organ: str) -> None:
    table, y = records(organ, 60_000)
    x = table.to_numpy(float)
    scale = x.std(axis=0)
    fitted = LogisticRegression(C=1e6, max_iter=500).fit((x - x.mean(axis=0)) / scale, y)
    published = np.array([field.coefficient for field in FIELDS[organ]])
    # In units of each field's spread; a standard error is about 0.009.
    assert np.allclose(fitted.coef_[0], published * scale, atol=0.04)


def test_coefficients_are_those_of_the_papers() -> None:
    lung = {f.name: f.coefficient for f in FIELDS["lung"]}
    brock = {"age": 0.0287, "female": 0.6011, "family_history": 0.2961, "emphysema": 0.2953}
    assert lung == brock | {"ever_smoked": 0.7917, "upper_lobe": 0.6581}
    liver = {f.name: f.coefficient for f in FIELDS["liver"]}
    assert liver == {"age": 0.06, "male": 0.89, "albi": 0.48, "platelets": -0.01}


@ORGANS
def test_likelihood_ratios_are_ratios(organ: str) -> None:
    # The mean of p1/p0 over p0 is 1.
    table, y = records(organ, 200_000)
    ratio = np.exp(reports.evidence_of_record(table[y == 0], organ))
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    score = reports.evidence_of_record(table, organ)
    group = np.abs(score - 0.5) < 0.1
    assert logit(y[group].mean()) == pytest.approx(0.5, abs=0.06)


def test_no_field_value_or_sentence_gives_the_label(seen: Clinic) -> None:
    text = [*seen.reports, *map(str, seen.record.columns), *map(str, seen.truth.columns)]
    text += [str(v) for v in seen.record.select_dtypes(exclude="number").to_numpy().ravel()]
    assert not [line for line in text if TELLING.search(line)]
    assert TELLING.search("Probably a Metastasis.")


def test_the_clinic_hands_no_diagnosis_to_its_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def spy(
        organ: str, truth: pd.DataFrame, record: pd.DataFrame, u: NDArray[np.float64]
    ) -> list[str]:
        given.append((truth, record, u))
        return [""] * len(truth)

    monkeypatch.setattr(reports, "write_reports", spy)
    made = simulate(Site(size=8, pixel=4.0, prevalence=0.3), 200, 1)
    other = simulate(Site(size=8, pixel=4.0, prevalence=0.6), 200, 1)
    columns = {f.name for f in signs.FINDINGS["lung"]}
    assert set(given[0][0].columns) == columns
    assert set(given[0][1].columns) == {f.name for f in FIELDS["lung"]}
    # The chance in a report does not follow the diagnosis: those who fell ill have the same.
    assert (made.cohort.y != other.cohort.y).any()
    half = len(given) // 2
    for before, after in zip(given[:half], given[half:], strict=True):
        assert np.array_equal(before[2], after[2])


def test_reports_round_vary_hedge_omit_and_name_what_is_there(seen: Clinic) -> None:
    sizes = [float(re.findall(r"(\d+)(?: x \d+)? mm", r)[0]) for r in seen.reports]
    assert np.abs(sizes - seen.truth.diameter_mm).max() <= 0.5
    assert len(set(seen.reports)) > 0.8 * len(seen.reports)
    assert 3 < np.mean([len(r.split()) for r in seen.reports]) < 30
    doubt, margin = re.compile("possible|suspected|questionable", re.I), re.compile("margin", re.I)
    assert 0.05 < np.mean([bool(doubt.search(report)) for report in seen.reports]) < 0.6
    told = np.array([bool(margin.search(report)) for report in seen.reports])
    assert 0.7 < told[seen.truth.margin > 0.75].mean() < 1
    hole = re.compile(r"(?<!no )(central low attenuation|cavitation)", re.I)
    for report, row in zip(seen.reports, seen.truth.itertuples(), strict=True):
        assert reports.KINDS[str(row.type)].capitalize() in report
        assert row.necrosis or not hole.search(report)
    if "spiculation" in seen.truth:  # of the lung
        upper = ["upper lobe" in report for report in seen.reports]
        assert upper == seen.record.upper_lobe.tolist()
