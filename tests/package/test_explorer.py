"""The explorer of thresholds: complete without a script, true to the metrics, no patient in it."""

import json
import re
from typing import Any

import numpy as np
import pytest
from bs4 import BeautifulSoup

from medxfer_utils import metrics
from medxfer_utils.plots import explorer

TRUTH = np.array([0] * 60 + [1] * 40)
rng = np.random.default_rng(5)
GOOD = np.clip(rng.normal(0.3 + 0.4 * TRUTH, 0.2), 0, 1)
HIGH = 1 - (1 - GOOD) ** 8 / 100
CURVES = {"good": (TRUTH, GOOD), "high <b>": (TRUTH, HIGH)}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was displayed, newest last."""
    outputs: list[dict[str, Any]] = []
    monkeypatch.setattr(
        explorer, "display", lambda data, raw, metadata: outputs.append(data | metadata)
    )
    return outputs


def page(shown: list[dict[str, Any]]) -> BeautifulSoup:
    explorer.threshold_explorer(CURVES, "Two models")
    return BeautifulSoup(shown[-1]["text/html"], "html.parser")


def data_of(soup: BeautifulSoup) -> dict[str, Any]:
    script = soup.find("script", type="application/json")
    assert script is not None
    found: dict[str, Any] = json.loads(script.get_text())
    return found


def test_counts_at_each_threshold_are_those_of_the_metrics(shown: list[dict[str, Any]]) -> None:
    data = data_of(page(shown))
    for model, risk in zip(data["models"], (GOOD, HIGH), strict=True):
        for step, threshold in enumerate(data["thresholds"]):
            point = metrics.operating_point(TRUTH, risk, threshold)
            assert model["found"][step] / model["ill"] == pytest.approx(point["sensitivity"])
            assert 1 - model["alarms"][step] / model["healthy"] == pytest.approx(
                point["specificity"]
            )


def test_thresholds_are_round_numbers_from_everybody_to_hardly_anybody() -> None:
    steps = explorer.THRESHOLDS
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (0, 1)
    assert {0.000001, 0.01, 0.5, 0.57, 0.99, 0.9995, 0.999999} <= set(steps)
    assert all(len(str(round(min(t, 1 - t) * 1e6)).rstrip("0")) <= 2 for t in steps)


def test_the_last_threshold_is_reached_by_a_risk_of_one_only(shown: list[dict[str, Any]]) -> None:
    explorer.threshold_explorer({"sure": ([0, 0, 1, 1], [0, 0.9999999, 0.5, 1.0])}, "One")
    model = data_of(BeautifulSoup(shown[-1]["text/html"], "html.parser"))["models"][0]
    assert (model["found"][0], model["alarms"][0]) == (2, 2)
    assert (model["found"][-1], model["alarms"][-1]) == (1, 0)


def test_no_risk_of_a_patient_is_in_the_data(shown: list[dict[str, Any]]) -> None:
    data = data_of(page(shown))
    assert set(data) == {"thresholds", "start", "prevalence", "box", "models"}
    assert {*data["models"][0]} == {"name", "ill", "healthy", "found", "alarms"}
    assert len(json.dumps(data)) < 5000


def test_size_does_not_grow_with_the_patients(shown: list[dict[str, Any]]) -> None:
    small = len(json.dumps(data_of(page(shown))))
    explorer.threshold_explorer({"many": (np.tile(TRUTH, 30), np.tile(GOOD, 30))}, "Many")
    large = len(json.dumps(data_of(BeautifulSoup(shown[-1]["text/html"], "html.parser"))))
    assert large < small


def test_table_says_what_the_metrics_say(shown: list[dict[str, Any]]) -> None:
    rows = page(shown).select(".explorer-table tbody")[0].find_all("tr")[1:]
    assert [row.find_all("th")[0].get_text() for row in rows] == ["0.1", "0.3", "0.5", "0.7", "0.9"]
    point = metrics.operating_point(TRUTH, GOOD, 0.5)
    wanted = [f"{100 * point[key]:.1f} %" for key in ("sensitivity", "specificity", "PPV", "NPV")]
    assert [cell.get_text() for cell in rows[2].find_all("td")] == wanted


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (1.0, "100 %"),
        (0.0, "0 %"),
        (0.99999, "> 99.9 %"),
        (0.00001, "< 0.1 %"),
        (0.125, "12.5 %"),
        (np.nan, "no alarm"),
    ],
)
def test_only_exact_shares_are_called_all_and_nothing(share: float, said: str) -> None:
    assert explorer._percent(share, "no alarm") == said


def test_nobody_called_ill_has_no_ppv(shown: list[dict[str, Any]]) -> None:
    explorer.threshold_explorer({"shy": ([0, 1, 1], [0.1, 0.2, 0.4])}, "Shy")
    rows = BeautifulSoup(shown[-1]["text/html"], "html.parser").select("tbody tr")
    assert rows[3].find_all("td")[2].get_text() == "no alarm"


def test_drawing_is_described_and_goes_from_corner_to_corner(shown: list[dict[str, Any]]) -> None:
    soup = page(shown)
    drawing = soup.svg
    assert drawing is not None
    assert drawing["role"] == "img"
    assert drawing["aria-label"] == shown[-1]["text/plain"]
    for row, risk in enumerate((GOOD, HIGH), start=1):
        path = soup.select(f".explorer-curve-{row} path")[0]["d"]
        points = np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", str(path)), dtype=float)
        x = (points[:, 0] - explorer.LEFT) / explorer.SIDE
        y = 1 - (points[:, 1] - explorer.TOP) / explorer.SIDE
        assert (x[0], y[0]) == pytest.approx((0, 0))
        assert (x[-1], y[-1]) == pytest.approx((1, 1))
        assert np.trapezoid(y, x) == pytest.approx(metrics.auroc(TRUTH, risk), abs=1e-3)


def test_ring_is_at_the_operating_point_of_one_half(shown: list[dict[str, Any]]) -> None:
    ring = page(shown).select(".explorer-curve-2 circle")[0]
    point = metrics.operating_point(TRUTH, HIGH, 0.5)
    x, y = float(str(ring["cx"])), float(str(ring["cy"]))
    assert (x - explorer.LEFT) / explorer.SIDE == pytest.approx(1 - point["specificity"], abs=1e-3)
    assert 1 - (y - explorer.TOP) / explorer.SIDE == pytest.approx(point["sensitivity"], abs=1e-3)


def test_names_are_text_and_cannot_leave_the_data(shown: list[dict[str, Any]]) -> None:
    explorer.threshold_explorer({"</script><b>": (TRUTH, GOOD)}, "A < B & </figure>")
    soup = BeautifulSoup(shown[-1]["text/html"], "html.parser")
    assert soup.b is None
    assert data_of(soup)["models"][0]["name"] == "</script><b>"
    assert soup.figcaption is not None
    assert soup.figcaption.get_text() == "A < B & </figure>"


def test_words_and_metadata_name_what_is_shown(shown: list[dict[str, Any]]) -> None:
    page(shown)
    assert shown[-1]["medxfer_explorer"] == {"title": "Two models", "models": ["good", "high <b>"]}
    area, point = metrics.auroc(TRUTH, GOOD), metrics.operating_point(TRUTH, GOOD, 0.7)
    assert f"good: AUROC {area:.3f};" in shown[-1]["text/plain"]
    rates = f"0.7: {point['sensitivity']:.2f}, {point['specificity']:.2f};"
    assert rates in shown[-1]["text/plain"]


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ({}, r"0 curves \[\]: the explorer shows one or two"),
        (dict.fromkeys("abc", (TRUTH, GOOD)), "3 curves .* shows one or two"),
        ({"a": (TRUTH, GOOD), "b": (TRUTH, 2 * GOOD)}, "curve 'b': score: .* outside"),
        ({"a": (np.ones(100), GOOD)}, "curve 'a': y holds class 1 only"),
        ({"a": (TRUTH, GOOD[:9])}, "curve 'a': y has 100 rows but score has 9"),
        ({"a": (TRUTH, GOOD), "b": (1 - TRUTH, GOOD)}, "different truths: let both models judge"),
    ],
)
def test_unusable_curves_are_refused(curves: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explorer.threshold_explorer(curves, "Nothing")
