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
from tests.faults import untold
from tests.package.conftest import Shown

TRUTH = np.array([0] * 60 + [1] * 40)
rng = np.random.default_rng(5)
GOOD = np.clip(rng.normal(0.3 + 0.4 * TRUTH, 0.2), 0, 1)
HIGH = 1 - (1 - GOOD) ** 8 / 100
CURVES = {"good": (TRUTH, GOOD), "high <b>": (TRUTH, HIGH)}


def explored(
    shown: Shown, curves: Any, title: str = "Two models"
) -> tuple[Any, BeautifulSoup, Any]:
    """What is displayed, its HTML, and the data that the script reads."""
    plots.threshold_explorer(curves, title)
    output = shown[-1][0] | shown[-1][1]
    soup = BeautifulSoup(output["text/html"], "html.parser")
    script = soup.find("script", type="application/json")
    assert script is not None
    return output, soup, json.loads(script.get_text())


def test_counts_at_each_threshold_are_those_of_the_metrics_and_no_patient_is_in_them(
    shown: Shown,
) -> None:
    _, _, data = explored(shown, CURVES)
    assert set(data) == {"thresholds", "start", "prevalence", "box", "models"}
    assert data["prevalence"] == 0.4
    for model, risk in zip(data["models"], (GOOD, HIGH), strict=True):
        assert {*model} == {"name", "ill", "healthy", "found", "alarms"}
        points = [metrics.operating_point(TRUTH, risk, t) for t in data["thresholds"]]
        found, alarms = (np.array(model[key]) for key in ("found", "alarms"))
        assert found / model["ill"] == pytest.approx([p["sensitivity"] for p in points])
        assert 1 - alarms / model["healthy"] == pytest.approx([p["specificity"] for p in points])
    _, _, many = explored(shown, {"many": (np.tile(TRUTH, 30), np.tile(GOOD, 30))})
    assert len(json.dumps(many)) < len(json.dumps(data)) < 5000, "it does not grow"


def test_thresholds_are_round_numbers_from_everybody_to_hardly_anybody(shown: Shown) -> None:
    steps = explorer.THRESHOLDS
    assert steps == sorted(set(steps))
    assert {0, 0.000001, 0.01, 0.5, 0.57, 0.99, 0.9995, 0.999999, 1} <= set(steps)
    assert all(len(str(round(min(t, 1 - t) * 1e6)).rstrip("0")) <= 2 for t in steps)
    sure = {"sure": ([0, 0, 1, 1], [0, 0.9999999, 0.5, 1.0])}
    (model,) = explored(shown, sure)[2]["models"]
    assert (model["found"][0], model["alarms"][0]) == (2, 2)
    assert (model["found"][-1], model["alarms"][-1]) == (1, 0), "only a risk of one reaches 1"


def test_the_picture_lies_where_the_script_puts_its_point(shown: Shown) -> None:
    """The rings at one half are found in the pixels, at the place that the data state."""
    _, soup, data = explored(shown, {"good": (TRUTH, GOOD)})
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


def test_words_and_names_are_text_and_say_what_is_shown(shown: Shown) -> None:
    _, soup, data = explored(shown, {"</script><b>": (TRUTH, GOOD)}, "A < B & </figure>")
    assert (soup.b, data["models"][0]["name"]) == (None, "</script><b>")
    assert soup.figcaption is not None
    assert soup.figcaption.get_text() == "A < B & </figure>"
    output, soup, _ = explored(shown, CURVES)
    words = output["text/plain"]
    assert output["medxfer_explorer"] == {"title": "Two models", "models": ["good", "high <b>"]}
    assert soup.select(".explorer-still")[0].get_text() == words
    point = metrics.operating_point(TRUTH, GOOD, 0.7)
    assert f"good: AUROC {metrics.auroc(TRUTH, GOOD):.3f};" in words
    assert f"0.7: {point['sensitivity']:.2f}, {point['specificity']:.2f};" in words


def test_unusable_curves_are_refused() -> None:
    two = {"a": (TRUTH, GOOD)}
    faults: dict[str, tuple[Any, str]] = {
        "none": ({}, r"0 curves \[\]: the explorer shows one or two"),
        "many": (dict.fromkeys("abc", (TRUTH, GOOD)), "3 curves .* shows one or two"),
        "risk": (two | {"b": (TRUTH, 2 * GOOD)}, "curve 'b': score: .* outside"),
        "class": ({"a": (np.ones(100), GOOD)}, "curve 'a': y holds class 1 only"),
        "rows": ({"a": (TRUTH, GOOD[:9])}, "curve 'a': y has 100 rows but score has 9"),
        "truths": (two | {"b": (1 - TRUTH, GOOD)}, "different truths: let both models judge"),
    }
    show = lambda _, curves: plots.threshold_explorer(curves, "Nothing")  # noqa: E731
    assert untold(faults, show, ValueError) == {}
