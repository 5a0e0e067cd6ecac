"""The explorer of thresholds: complete without a script, true to the metrics, no patient in it."""

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from bs4 import BeautifulSoup
from matplotlib.colors import to_rgb
from PIL import Image

from medxfer_utils import metrics, plots
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


def soup_of(output: dict[str, Any]) -> BeautifulSoup:
    return BeautifulSoup(output["text/html"], "html.parser")


def data_of(output: dict[str, Any]) -> dict[str, Any]:
    script = soup_of(output).find("script", type="application/json")
    assert script is not None
    found: dict[str, Any] = json.loads(script.get_text())
    return found


def test_counts_at_each_threshold_are_those_of_the_metrics(shown: list[dict[str, Any]]) -> None:
    plots.threshold_explorer(CURVES, "Two models")
    data = data_of(shown[-1])
    assert data["prevalence"] == 0.4
    for model, risk in zip(data["models"], (GOOD, HIGH), strict=True):
        points = [metrics.operating_point(TRUTH, risk, t) for t in data["thresholds"]]
        found, alarms = (np.array(model[key]) for key in ("found", "alarms"))
        assert found / model["ill"] == pytest.approx([p["sensitivity"] for p in points])
        assert 1 - alarms / model["healthy"] == pytest.approx([p["specificity"] for p in points])


def test_thresholds_are_round_numbers_from_everybody_to_hardly_anybody(
    shown: list[dict[str, Any]],
) -> None:
    steps = explorer.THRESHOLDS
    assert steps == sorted(set(steps))
    assert {0, 0.000001, 0.01, 0.5, 0.57, 0.99, 0.9995, 0.999999, 1} <= set(steps)
    assert all(len(str(round(min(t, 1 - t) * 1e6)).rstrip("0")) <= 2 for t in steps)
    plots.threshold_explorer({"sure": ([0, 0, 1, 1], [0, 0.9999999, 0.5, 1.0])}, "One")
    (model,) = data_of(shown[-1])["models"]
    assert (model["found"][0], model["alarms"][0]) == (2, 2)
    assert (model["found"][-1], model["alarms"][-1]) == (1, 0), "only a risk of one reaches 1"


def test_no_patient_is_in_the_data_which_does_not_grow(shown: list[dict[str, Any]]) -> None:
    plots.threshold_explorer(CURVES, "Two models")
    data = data_of(shown[-1])
    assert set(data) == {"thresholds", "start", "prevalence", "box", "models"}
    assert {*data["models"][0]} == {"name", "ill", "healthy", "found", "alarms"}
    plots.threshold_explorer({"many": (np.tile(TRUTH, 30), np.tile(GOOD, 30))}, "Many")
    assert len(json.dumps(data_of(shown[-1]))) < len(json.dumps(data)) < 5000


def test_the_picture_lies_where_the_script_puts_its_point(shown: list[dict[str, Any]]) -> None:
    """The rings at one half are found in the pixels, at the place that the data state."""
    plots.threshold_explorer({"good": (TRUTH, GOOD)}, "One")
    soup, data = soup_of(shown[-1]), data_of(shown[-1])
    drawing = soup.svg
    assert drawing is not None
    assert (drawing["role"], drawing["viewbox"]) == ("img", f"0 0 {explorer.SIZE} {explorer.SIZE}")
    assert str(drawing["aria-label"]).startswith("ROC curves. AUROC with 95 % interval: good 0.9")
    png = base64.b64decode(str(soup.select("image")[0]["href"]).split(",")[1])
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) / 255
    scale = len(pixels) / explorer.SIZE
    point = metrics.operating_point(TRUTH, GOOD, 0.5)
    left, top, side = (data["box"][key] for key in ("left", "top", "side"))
    x, y = left + side * (1 - point["specificity"]), top + side * (1 - point["sensitivity"])
    blue = np.abs(pixels - to_rgb(plots.BLUE)).max(axis=2) < 0.15
    # The curve passes through the middle of the ring, and the ring reaches beyond the curve.
    around = [(x + 5 * np.cos(a), y + 5 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 24)]
    hit = [blue[round(v * scale) - 2 :, round(u * scale) - 2 :][:5, :5].any() for u, v in around]
    assert np.mean(hit) > 0.9


def test_names_are_text_and_cannot_leave_the_data(shown: list[dict[str, Any]]) -> None:
    plots.threshold_explorer({"</script><b>": (TRUTH, GOOD)}, "A < B & </figure>")
    soup = soup_of(shown[-1])
    assert soup.b is None
    assert data_of(shown[-1])["models"][0]["name"] == "</script><b>"
    assert soup.figcaption is not None
    assert soup.figcaption.get_text() == "A < B & </figure>"


def test_words_and_metadata_name_what_is_shown(shown: list[dict[str, Any]]) -> None:
    plots.threshold_explorer(CURVES, "Two models")
    words = shown[-1]["text/plain"]
    assert shown[-1]["medxfer_explorer"] == {"title": "Two models", "models": ["good", "high <b>"]}
    assert soup_of(shown[-1]).select(".explorer-still")[0].get_text() == words
    point = metrics.operating_point(TRUTH, GOOD, 0.7)
    assert f"good: AUROC {metrics.auroc(TRUTH, GOOD):.3f};" in words
    assert f"0.7: {point['sensitivity']:.2f}, {point['specificity']:.2f};" in words


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
        plots.threshold_explorer(curves, "Nothing")
