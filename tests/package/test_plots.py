"""Every figure says in words what it shows, can be read, and keeps to the book's colours."""

import inspect
import io
import struct
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib import colors
from matplotlib.text import Text
from PIL import Image
from scipy import stats
from sklearn.metrics import roc_auc_score

from medxfer_utils import plots
from medxfer_utils.plots import curves, explorer, figure, pictures
from tests.faults import untold
from tests.package.conftest import Shown

plt.switch_backend("agg")
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 2, 200)
RISK = 1 / (1 + np.exp(-(4 * Y - 2 + RNG.normal(size=200))))
CURVES = {"source": (Y, RISK), "re-standardised": (Y, RISK**3)}
STRATEGIES = ["source as is", "target only", "L2-SP"]
RESULTS = pd.DataFrame(
    [(name, n, draw) for name in STRATEGIES for n in (8, 16, 64) for draw in range(5)],
    columns=["strategy", "n", "repeat"],
).assign(AUROC=lambda frame: 0.9 + 0.02 * RNG.random(len(frame)))
ESTIMATES = pd.DataFrame(
    {"mean": [0.2, -0.3], "low": [0.1, -0.4], "high": [0.4, -0.1]},
    index=pd.Index(["LEEP", "MMD"], name="score"),
)
TWICE = {"real": ESTIMATES, "simulated": 2 * ESTIMATES}
MAP = pd.DataFrame(
    [[0.61, 0.72], [0.83, 0.54]],
    index=pd.Index([0, 3], name="frozen blocks"),
    columns=pd.Index(["0.001", "0.01"], name="learning rate"),
)

Plot = Callable[[Any], str]
# Each public plot: how to call it, and the names that its words must hold.
PLOTS: dict[str, tuple[Plot, list[str]]] = {
    "roc": (lambda ax: plots.roc(CURVES, ax), [*CURVES]),
    "reliability": (lambda ax: plots.reliability(CURVES, ax), [*CURVES]),
    "learning_curves": (
        lambda ax: plots.learning_curves(RESULTS, "AUROC", ax, limit=0.957),
        STRATEGIES,
    ),
    "paired_differences": (
        lambda ax: plots.paired_differences(RESULTS, "AUROC", "target only", ax),
        STRATEGIES,
    ),
    "intervals": (
        lambda ax: plots.intervals(TWICE, "τ", 0, ax),
        ["real, LEEP 0.200 (0.100 to 0.400)", "simulated, MMD -0.600 (-0.800 to -0.200)"],
    ),
}
# Plots of images, which have no legend and other colours.
PICTURES = {"panels", "patches", "heat_map"}
ALT = "A line that goes from one to two, drawn to try things."
# Okabe & Ito, Color Universal Design (2008), figure 16: RGB in 0 to 255.
PUBLISHED = [(0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66)]
PUBLISHED += [(0, 114, 178), (213, 94, 0), (204, 121, 167)]
OKABE_ITO = {"#{:02x}{:02x}{:02x}".format(*rgb) for rgb in PUBLISHED}


@pytest.fixture(autouse=True)
def no_figure_left() -> Iterator[None]:
    plots.use_style()
    yield
    plt.close("all")


def drawn_colours() -> set[str]:
    """Colours of all data on the figure: lines, areas and bars."""
    axes, found = plt.gcf().axes, set()
    for ax in [*axes, *(inset for host in axes for inset in host.child_axes)]:
        found |= {colors.to_hex(line.get_color()) for line in ax.lines}
        areas: list[Any] = [*ax.collections, *ax.patches]
        for paint in (paint for area in areas for paint in (area.get_fc(), area.get_ec())):
            found |= {colors.to_hex(c) for c in colors.to_rgba_array(paint) if c[3] > 0}
    return found


def test_every_plot_is_tried() -> None:
    modules = {module.__name__: module for module in (curves, explorer, figure, pictures)}
    found = [pair for m in modules.values() for pair in inspect.getmembers(m, inspect.isfunction)]
    every = {name for name, f in found if f.__module__ in modules and name[0] != "_"}
    others = {"show", "kind", "rendered", "use_style", "mark", "axes_of", "threshold_explorer"}
    assert every - others == {*PLOTS, *PICTURES}
    assert every - {"axes_of"} <= {*dir(plots)}


@pytest.mark.parametrize("name", PLOTS)
def test_a_figure_is_readable_and_says_what_it_shows(name: str) -> None:
    draw, names = PLOTS[name]
    alt = draw(None)
    assert len(alt) >= figure.SHORTEST_ALT
    assert all(part in alt for part in names), alt
    shown = plt.gcf()
    shown.canvas.draw()
    ax = shown.axes[0]
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    assert ax.get_legend() is not None
    texts = [text for text in shown.findobj() if isinstance(text, Text) and text.get_text()]
    assert min(float(text.get_fontsize()) for text in texts) >= 8  # points
    drawn, (width, height) = shown.get_tightbbox(), shown.get_size_inches()
    assert min(drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1) >= 0, "something is cut off"
    assert drawn_colours() <= OKABE_ITO
    plt.close()
    both, axes = plt.subplots(1, 2)
    assert draw(axes[1]) == alt
    assert plt.get_fignums() == [both.number], "given axes are used"
    assert [bool(ax.get_xlabel()) for ax in axes] == [False, True]


def test_strategies_keep_their_colour_and_curves_differ_in_more_than_that() -> None:
    looks = curves._looks(["source", *"abcdef"])
    assert all(len({str(look[k]) for look in looks.values()}) == 7 for k in looks["source"])
    assert looks["source"]["color"] == plots.COLOURS["source"]
    alt = plots.learning_curves(RESULTS, "AUROC", strategies=["target only", "L2-SP"])
    assert "source as is" not in alt
    handles, labels = plt.gca().get_legend_handles_labels()
    bars: list[Any] = [*handles]
    by_label = {label: bar[0].get_color() for bar, label in zip(bars, labels, strict=True)}
    assert by_label == {name: plots.COLOURS[name] for name in ("target only", "L2-SP")}


def test_alt_texts_and_bands_hold_the_numbers_of_other_libraries() -> None:
    assert f"source {roc_auc_score(Y, RISK):.3f} (" in PLOTS["roc"][0](None)
    wide = RESULTS.pivot(index=["n", "repeat"], columns="strategy", values="AUROC").loc[64]
    gain = stats.ttest_rel(wide["L2-SP"], wide["target only"]).confidence_interval()
    alt = PLOTS["paired_differences"][0](None)
    assert f"L2-SP at n = 64 {(wide['L2-SP'] - wide['target only']).mean():+.3f} " in alt
    assert f"({gain.low:+.3f} to {gain.high:+.3f})" in alt
    alt = plots.learning_curves(RESULTS, "AUROC", strategies=["L2-SP"], limit=0.957)
    ends = RESULTS.groupby(["strategy", "n"])["AUROC"].mean().loc["L2-SP"]
    assert f"L2-SP {ends[8]:.3f} to {ends[64]:.3f}; ideal observer 0.957" in alt
    assert [0.957, 0.957] in [np.asarray(line.get_ydata()).tolist() for line in plt.gca().lines]
    draws = RESULTS.query("strategy == 'L2-SP' and n == 16")["AUROC"]
    paths: Any = plt.gca().collections[0].get_paths()
    at_16 = next(path.vertices[:, 1] for path in paths if np.isclose(path.vertices[0, 0], 16))
    interval = stats.t.interval(0.95, 4, draws.mean(), stats.sem(draws))
    assert (at_16.min(), at_16.max()) == pytest.approx(interval)


def test_a_smooth_calibration_curve_finds_the_true_share_of_ill() -> None:
    risk = RNG.uniform(0.02, 0.98, 4000)
    curves_ = {"right": (RNG.random(4000) < risk, risk), "high": (RNG.random(4000) < risk**2, risk)}
    plots.reliability(curves_)
    by_label = {str(line.get_label()): line for line in plt.gca().lines}
    for name, power in (("right", 1), ("high", 2)):
        at, share = (np.asarray(v) for v in by_label[name].get_data())
        assert share == pytest.approx(at**power, abs=0.06)
        assert (at.min(), at.max()) == pytest.approx(np.quantile(risk, [0.01, 0.99]))
    marks: list[Any] = [line.get_xdata() for line in plt.gca().lines if line.get_marker() == "|"]
    assert [len(x) for x in marks] == [4000, 4000], "each patient is a mark"


def test_a_picture_has_four_lines_at_most(shown: Shown) -> None:
    def draw(lines: int) -> None:
        _, axes = plt.subplots(1, 2)
        for ax in axes:
            ax.axhline(0, **plots.REFERENCE)
            ax.plot([0, 1], [0, 1], "o", color="C9")
            for k in range(lines):
                ax.errorbar([0, 1, 2], [k, k, k + 1], 0.1, color=plots.OKABE_ITO[k])

    draw(4)
    plots.show(ALT)
    draw(5)
    with pytest.raises(ValueError, match=r"^5 lines in one picture: draw 4 at most$"):
        plots.show(ALT)


def test_unusable_results_are_refused() -> None:
    def lacking() -> str:
        return plots.paired_differences(RESULTS.iloc[1:], "AUROC", "L2-SP")

    faults: dict[str, tuple[Callable[[], str], str]] = {
        "none": (lambda: plots.roc({}), "0 curves"),
        "many": (lambda: plots.roc(dict.fromkeys("abcdefgh", (Y, RISK))), "draw 1 to 7"),
        "metric": (
            lambda: plots.learning_curves(RESULTS, "Brier"),
            r"lack the columns \['Brier'\]",
        ),
        "strategy": (
            lambda: plots.learning_curves(RESULTS, "AUROC", strategies=["X"]),
            r"no strategy \['X'",
        ),
        "base": (lambda: plots.paired_differences(RESULTS, "AUROC", "X"), r"no strategy \['X'"),
        "equal": (lambda: plots.reliability({"a": ([0, 1], [0.3, 0.3])}), "'a'.*unequal risks"),
        "healthy": (lambda: plots.reliability({"a": ([0, 0], [0.3, 0.4])}), "'a'.* needs ill"),
        "draw": (lacking, "missing for some draws: {'source as is': 1}"),
    }
    assert untold(faults, lambda _, draw: draw(), ValueError) == {}
    assert not plt.get_fignums(), "no half-drawn figure is left"


def test_images_are_shown_as_they_are_in_one_window_or_each_in_its_own() -> None:
    images = RNG.normal(-400, 300, (5, 12, 12))
    captions = ["benign", "malignant"] * 2 + ["benign"]
    alt = plots.patches(images, captions, (-1200, 400), 1.5, "Simulated nodules", columns=3)
    assert alt.startswith("Simulated nodules: 5 grey-scale patches of 18 mm, shown from -1200 to")
    assert plt.gcf().get_suptitle() == "Simulated nodules"
    assert alt.endswith("3 × benign, 2 × malignant.")
    axes = plt.gcf().axes
    for ax, image in zip(axes, images, strict=False):
        (drawn,) = ax.images
        np.testing.assert_array_equal(drawn.get_array(), image)
        assert drawn.get_clim() == (-1200, 400)
    left, right = np.asarray(axes[0].lines[0].get_xdata())
    assert (right - left) * 1.5 == pytest.approx(10)  # the bar, in mm
    assert plots.panels([np.full((4, 4), -1.0), np.eye(4)], 2, ALT, ["a", "b"]) == ALT
    assert [ax.get_title("left") for ax in plt.gcf().axes] == ["a", "b"]
    assert plt.gcf().axes[1].images[0].get_clim() == (0, 1)


def test_a_map_shows_every_number_and_says_the_ends() -> None:
    alt = plots.heat_map(MAP, "AUROC")
    assert "highest 0.83 at 3 and 0.001, lowest 0.54 at 3 and 0.01" in alt
    ax = plt.gcf().axes[0]
    assert [text.get_text() for text in ax.texts] == ["0.61", "0.72", "0.83", "0.54"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("learning rate", "frozen blocks")
    for text in ax.texts:  # light on dark or dark on light, never in between
        shade = plt.get_cmap("cividis")((float(text.get_text()) - 0.54) / (0.83 - 0.54))
        brightness = float(np.dot([0.2126, 0.7152, 0.0722], shade[:3]))
        assert abs(brightness - (text.get_color() == "white")) > 0.3


def test_show_displays_one_image_with_its_words(shown: Shown) -> None:
    plt.subplots(figsize=(5, 3))
    plots.show(ALT)
    ((data, metadata),) = shown
    assert data["text/plain"] == f"Figure: {ALT}"
    assert metadata == {"image/png": {"alt": ALT, "width": 5 * 96, "kind": "plot"}}
    assert data["image/png"][:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data["image/png"][16:24]) == (5 * 160, 3 * 160)
    assert not plt.get_fignums()


def scatter(scale: bool) -> None:
    shown, ax = plt.subplots()
    drawn = ax.scatter([0, 1], [0, 1], c=[0, 1])
    if scale:
        shown.colorbar(drawn)  # its colours are read off a scale


def test_a_figure_whose_brightness_means_something_is_an_image() -> None:
    drawn: list[tuple[str, Callable[[], Any]]] = [
        ("plot", lambda: scatter(scale=False)),
        ("image", lambda: scatter(scale=True)),
        ("image", lambda: plt.figure().add_subplot().imshow(np.eye(4))),
        ("image", lambda: plt.figure().add_subplot().pcolormesh(np.eye(4))),
        ("image", lambda: plt.subplots()[1].inset_axes((0, 0, 1, 1)).imshow(np.eye(4))),
    ]
    for kind, draw in drawn:
        draw()
        assert plots.kind(plt.gcf()) == kind


def test_figures_of_simulated_patients_say_so_but_not_those_of_stored_results(shown: Shown) -> None:
    for mark, stored in [("", False), ("SIMULATED", False), ("SIMULATED", True)]:
        plots.mark(mark)
        plt.subplots(figsize=(5, 3))
        plots.show(ALT, stored=stored)
    plots.mark("")
    alts = [metadata["image/png"]["alt"] for _, metadata in shown]
    assert alts == [ALT, f"SIMULATED. {ALT}", ALT]
    plain, marked, of_stored = (data["image/png"] for data, _ in shown)
    assert plain == of_stored != marked
    red = np.asarray(Image.open(io.BytesIO(marked)).convert("RGB")).astype(int)
    # The words are in vermilion, at the lower right; there is nothing else of that colour.
    rows, columns = np.nonzero((red[..., 0] > 180) & (red[..., 2] < 60))
    assert rows.min() > 0.9 * red.shape[0]
    assert columns.min() > 0.5 * red.shape[1]


def test_a_grey_photograph_is_off_by_half_a_step_at_most(shown: Shown) -> None:
    grey = RNG.integers(0, 256, (40, 40)).astype("uint8")
    drawing = plt.figure(figsize=(0.5, 0.5), dpi=160, layout="none")
    ax = drawing.add_axes((0, 0, 0.5, 0.5))  # 40 by 40 pixels of the file
    ax.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set_axis_off()
    plots.show(ALT)
    drawn = np.asarray(Image.open(io.BytesIO(shown[0][0]["image/png"])))
    assert np.abs(drawn[40:, :40].astype(int) - grey).max() <= 255 / 63 / 2 + 1


def test_show_refuses_a_short_text_and_any_number_of_figures_but_one() -> None:
    def show(alt: str, figures: int) -> None:
        plt.close("all")
        for _ in range(figures):
            plt.figure()
        plots.show(alt)

    faults = {"Too short": (1, "alt text 'Too short': say in 40"), " " * 50: (1, "say in 40")}
    assert untold(faults, show, ValueError) == {}
    for n in (0, 2):
        assert untold({ALT: (n, f"{n} figures are open")}, show, ValueError) == {}
