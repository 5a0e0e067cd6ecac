"""Every figure of the book; each function draws into axes and returns its alt text."""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sklearn.metrics import roc_curve

from medxfer_utils import metrics

# Colours that most colour-blind readers can tell apart (Okabe and Ito 2008). Their yellow is left
# out: a thin yellow line on white cannot be seen.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, BLACK, SKY_BLUE = "#E69F00", "#000000", "#56B4E9"
OKABE_ITO = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, BLACK, SKY_BLUE)

# What a colour stands for, the same in every chapter.
COLOURS = {"source": BLUE, "target": VERMILION, "benign": SKY_BLUE, "malignant": VERMILION}
COLOURS |= {"reference": BLACK, "within": GREEN, "outside": VERMILION}

# A second sign for each curve, for whoever cannot use colour.
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3)), (0, (1, 3)))
MARKERS = "osD^vPX"
REFERENCE: dict[str, Any] = {"color": BLACK, "linestyle": ":", "linewidth": 1.2}
# For each name on a figure: truth (1 = ill) and score or predicted risk, both of shape (n,).
Curves = Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]]

SHORTEST_ALT = 40
DPI = 160
CSS_PIXELS_PER_INCH = 96
PALETTE, GREYS = 96, 64

_mark = ""


def mark(text: str) -> None:
    """Write `text` on every figure that is shown from now on, and into its alt text; "" for none.

    A chapter that has to run on simulated patients in the place of real ones says so with it.
    """
    global _mark
    _mark = text


def use_style() -> None:
    """Apply the book's style sheet to every figure that is opened from now on."""
    plt.style.use(Path(__file__).with_name("medxfer.mplstyle"))


def show(alt: str, stored: bool = False) -> None:
    """Display the open figure as an image with its alt text, and close it.

    Parameters
    ----------
    alt : str
        What one sees, with the numbers, in at least 40 characters. The plot functions return it.
    stored : bool
        The figure is of a stored result, which `mark` does not concern.

    Raises
    ------
    ValueError
        If the text is too short, or if not exactly one figure is open.
    """
    if len(alt.strip()) < SHORTEST_ALT:
        raise ValueError(f"alt text {alt!r}: say in {SHORTEST_ALT} characters what one sees")
    if len(plt.get_fignums()) != 1:
        raise ValueError(f"{len(plt.get_fignums())} figures are open: a cell draws exactly one")
    figure = plt.gcf()
    if _mark and not stored:
        figure.supxlabel(_mark, x=0.99, ha="right", fontsize=10, color=VERMILION, weight="bold")
        alt = f"{_mark}. {alt}"
    png = rendered(figure)
    width = round(figure.get_figwidth() * CSS_PIXELS_PER_INCH)
    about = {"alt": alt, "width": width, "kind": kind(figure)}
    plt.close(figure)
    data = {"image/png": png, "text/plain": f"Figure: {alt}"}
    display(data, raw=True, metadata={"image/png": about})


def kind(figure: Figure) -> str:
    """Return "image" if a brightness means something in a figure (an image, a map), else "plot".

    On a dark page plots are shown with light and dark exchanged, images as they are.
    """
    # The bar that explains a scale of colours is a QuadMesh.
    shaded = figure.findobj(lambda artist: isinstance(artist, AxesImage | QuadMesh))
    return "image" if shaded else "plot"


def rendered(figure: Figure, dpi: int = DPI, about: PngInfo | None = None) -> bytes:
    """Return a figure as a PNG file of few colours, with text chunks if any are given."""
    png, small = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=dpi)
    with Image.open(png) as drawn:
        _reduced(drawn.convert("RGB")).save(small, "png", optimize=True, pnginfo=about)
    return small.getvalue()


def _reduced(drawn: Image.Image) -> Image.Image:
    """A drawing in fewer colours, to no visible loss; the file is a third as large."""
    red, green, blue = drawn.split()
    if red.tobytes() == green.tobytes() == blue.tobytes():
        # Even steps: a palette chosen by frequency leaves specks in a grey photograph.
        return red.point([round(v / 255 * (GREYS - 1)) * 255 // (GREYS - 1) for v in range(256)])
    return drawn.quantize(PALETTE, dither=Image.Dither.NONE)


def panels(
    images: Iterable[npt.NDArray[np.floating]],
    columns: int,
    alt: str,
    captions: Sequence[str] = (),
    cmap: str = "gray",
    limits: tuple[float | None, float | None] = (None, None),
) -> str:
    """Draw images without axes, in rows of `columns`, in a new figure; returns `alt`.

    `limits` are the values at the two ends of the colour map; each image's own if not given.
    """
    images = list(images)
    lines = -(-len(images) // columns)
    size = 8.0, 0.3 + lines * (8.0 / columns + 0.25)
    _, axes = plt.subplots(lines, columns, figsize=size, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, image, caption in zip(axes.flat, images, captions or [""] * len(images), strict=False):
        ax.imshow(image, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="nearest")
        ax.set_title(caption, fontsize=9 if columns > 4 else 11, pad=2)
    return alt


def patches(
    images: npt.NDArray[np.floating],
    captions: Sequence[str],
    window: tuple[float, float],
    pixel: float,
    title: str,
    columns: int = 8,
) -> str:
    """Draw image patches side by side in a new figure, black at `window[0]`, white at `window[1]`.

    `images` has the shape (n, size, size) and square pixels of `pixel` mm; each patch gets one of
    the `captions`. A bar of 10 mm is drawn into the first. The title says what they are, and
    whether they are simulated.
    """
    panels(images, columns, title, captions, limits=window)
    figure = plt.gcf()
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = figure.axes
    place, bar = 0.93 * images.shape[1], [2, 2 + 10 / pixel]
    axes[0].plot(bar, [place, place], color="white", linewidth=2)
    said = ", ".join(f"{captions.count(c)} × {c}" for c in dict.fromkeys(captions))
    side = pixel * images.shape[1]
    return (
        f"{title}: {len(images)} grey-scale patches of {side:.0f} mm, shown from {window[0]:g} to "
        f"{window[1]:g}, with a bar of 10 mm: {said}."
    )


def heat_map(table: pd.DataFrame, label: str, ax: Axes | None = None) -> str:
    """Draw a table as a map, with each number written into its field.

    The names of the table's index and columns become the names of the axes.
    """
    ax = _axes(ax, 1.6 + 0.9 * table.shape[1], 1.4 + 0.6 * table.shape[0])
    values = table.to_numpy(dtype=float)
    drawn = ax.imshow(values, cmap="cividis", aspect="auto")
    middle = (values.max() + values.min()) / 2
    for (row, column), value in np.ndenumerate(values):
        colour = "black" if value > middle else "white"
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
    ax.set_xticks(range(table.shape[1]), [str(name) for name in table.columns])
    ax.set_yticks(range(table.shape[0]), [str(name) for name in table.index])
    ax.set(xlabel=table.columns.name, ylabel=table.index.name)
    ax.grid(False)
    plt.colorbar(drawn, ax=ax, label=label)
    ends = []
    for at in (values.argmax(), values.argmin()):
        row, column = divmod(int(at), values.shape[1])
        ends.append(f"{values[row, column]:.2f} at {table.index[row]} and {table.columns[column]}")
    return (
        f"Map of {label} by {table.index.name} (rows) and {table.columns.name} (columns): "
        f"highest {ends[0]}, lowest {ends[1]}."
    )


def _axes(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the given axes, or those of a new figure of this size in inches."""
    return plt.subplots(figsize=(width, height))[1] if ax is None else ax


def _looks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Give each name a line style, a marker and the colour of its role, or the next free one."""
    names = list(names)
    if not 0 < len(names) <= len(OKABE_ITO):
        raise ValueError(f"{len(names)} curves {names}: draw 1 to {len(OKABE_ITO)} in a figure")
    roles = {name: COLOURS[name] for name in names if name in COLOURS}
    free = (colour for colour in OKABE_ITO if colour not in roles.values())
    return {
        name: {"color": roles.get(name) or next(free), "linestyle": line, "marker": marker}
        for name, line, marker in zip(names, LINE_STYLES, MARKERS, strict=False)
    }


def _reach(table: pd.DataFrame, centre: str) -> list[pd.Series]:
    """Return how far the interval `low` to `high` reaches below and above the centre."""
    # Rounding may put an end of Wilson's interval a hair inside its own centre.
    return [(table[centre] - table["low"]).clip(0), (table["high"] - table[centre]).clip(0)]


def roc(curves: Curves, ax: Axes | None = None) -> str:
    """Draw ROC curves, with each AUROC and its 95 % interval (DeLong) in the legend."""
    looks, said = _looks(curves), []
    ax = _axes(ax, 5.6, 5.4)
    ax.plot([0, 1], [0, 1], **REFERENCE, label="chance")
    for name, look in looks.items():
        low, high = metrics.auroc_interval(*curves[name])
        said.append(f"{name} {metrics.auroc(*curves[name]):.3f} ({low:.3f} to {high:.3f})")
        false_alarms, found, _ = roc_curve(*curves[name])
        ax.plot(false_alarms, found, label=said[-1], **(look | {"marker": ""}))
    ax.set(xlabel="1 − specificity", ylabel="sensitivity", aspect="equal")
    ax.legend(loc="lower right", title="AUROC (95 % interval)", alignment="right")
    return f"ROC curves. AUROC with 95 % interval: {'; '.join(said)}."


def reliability(curves: Curves, ax: Axes | None = None) -> str:
    """Draw observed against predicted risk with Wilson's 95 % intervals, under a histogram."""
    looks, said = _looks(curves), []
    ax = _axes(ax, 5.6, 6.0)
    strip = ax.inset_axes((0, 1.04, 1, 0.2), sharex=ax)
    ax.plot([0, 1], [0, 1], **REFERENCE, label="perfect")
    for name, look in looks.items():
        y, p = curves[name]
        table = metrics.reliability_curve(y, p)
        reach = _reach(table, "observed")
        # No line between the bins: it would draw a path where a few patients decide.
        points = look | {"linestyle": "", "label": name}
        ax.errorbar(table["predicted"], table["observed"], reach, **points)
        outline = {"color": look["color"], "linestyle": look["linestyle"], "linewidth": 1.6}
        strip.hist(np.asarray(p), bins=40, range=(0, 1), histtype="step", **outline)
        error = metrics.expected_calibration_error(y, p)
        risk = f"{np.mean(np.asarray(p)):.2f} predicted, {np.mean(np.asarray(y)):.2f} observed"
        said.append(f"{name} mean risk {risk}, expected calibration error {error:.2f}")
    strip.set_ylabel("patients")
    strip.tick_params(labelbottom=False)
    ax.set(xlabel="predicted risk", ylabel="observed share of ill")
    ax.legend()
    return f"Calibration plot with 95 % intervals and the diagonal: {'; '.join(said)}."


def score_densities(
    y: npt.ArrayLike, p: npt.ArrayLike, threshold: float = 0.5, ax: Axes | None = None
) -> str:
    """Draw histograms of the predicted risk of benign and malignant samples, and the threshold.

    `y` and `p`, both of shape (n,): truth (1 = malignant) and prediction in [0, 1].
    """
    ax = _axes(ax, 6.4, 4.2)
    said = []
    for value, (name, hatch) in enumerate({"benign": "", "malignant": "///"}.items()):
        risk = np.asarray(p)[np.asarray(y) == value]
        said.append(f"{(risk >= threshold).sum()} of {len(risk)} {name} samples")
        look: dict[str, Any] = {"color": COLOURS[name], "hatch": hatch, "edgecolor": BLACK}
        look |= {"label": f"{name} ({len(risk)})", "alpha": 0.7, "linewidth": 0.6}
        ax.hist(risk, bins=20, range=(0, 1), **look)
    ax.axvline(threshold, color=BLACK, linestyle="--", label=f"threshold {threshold:.2f}")
    ax.set(xlabel="predicted risk of malignancy", ylabel="samples")
    ax.legend()
    return (
        f"Histograms of predicted risk: {' and '.join(said)} reach the threshold {threshold:.2f}."
    )


def _by_draw(frame: pd.DataFrame, metric: str, arms: Iterable[str]) -> pd.DataFrame:
    """Reshape to one row for each (n, repeat) and one column for each strategy, in their order."""
    if missing := {"strategy", "n", "repeat", metric} - set(frame):
        raise ValueError(f"the results lack the columns {sorted(missing)}: they have {[*frame]}")
    strategies = frame["strategy"].unique()
    if unknown := set(arms) - set(strategies):
        raise ValueError(f"no strategy {sorted(unknown)} in the results: there are {[*strategies]}")
    wide = frame.pivot(index=["n", "repeat"], columns="strategy", values=metric)
    if (gaps := wide.isna().sum()).any():
        raise ValueError(f"{metric} is missing for some draws: {gaps[gaps > 0].to_dict()}")
    return wide[strategies]


def _intervals(draws: pd.Series) -> pd.DataFrame:
    """Mean over the draws of each n and its 95 % interval: columns mean, low, high."""
    rows = {n: metrics.mean_interval(values) for n, values in draws.groupby(level="n")}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high"])


def learning_curves(
    frame: pd.DataFrame,
    metric: str,
    ax: Axes | None = None,
    arms: Sequence[str] | None = None,
    limit: float | None = None,
) -> str:
    """Draw the mean of a metric against n, with the 95 % interval of the mean over draws.

    `frame` has the columns strategy, n, repeat and `metric`; `arms` are the strategies to draw,
    seven at most; `limit` is the metric of an ideal observer, drawn as a line. Raises
    ``ValueError`` if a column, an arm or the result of a draw is missing.
    """
    wide = _by_draw(frame, metric, arms or ())
    looks = _looks(arms or [*wide])
    # The legend lists the arms from the highest to the lowest mean at the largest n.
    tables = sorted(
        ((arm, _intervals(wide[arm])) for arm in looks), key=lambda item: -item[1]["mean"].iloc[-1]
    )
    ax = _axes(ax, 8.6, 4.6)
    said = []
    for arm, table in tables:
        ax.plot(table["mean"], label=arm, **looks[arm])
        shade = {"color": looks[arm]["color"], "alpha": 0.15, "linewidth": 0}
        ax.fill_between(table.index, table["low"], table["high"], **shade)
        said.append(f"{arm} {table['mean'].iloc[0]:.3f} to {table['mean'].iloc[-1]:.3f}")
    if limit is not None:
        ax.axhline(limit, **REFERENCE, label="ideal observer")
        said.append(f"ideal observer {limit:.3f}")
    ax.set_xscale("log", base=2)
    ax.set_xticks(table.index, [str(n) for n in table.index])
    ax.set(xlabel="labelled target patients, n", ylabel=f"{metric}, mean and 95 % interval")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), handlelength=3)
    span = f"from n = {table.index[0]} to n = {table.index[-1]}"
    return f"Learning curves with 95 % intervals. Mean {metric} {span}: {'; '.join(said)}."


def paired_differences(
    frame: pd.DataFrame, metric: str, baseline: str, ax: Axes | None = None
) -> str:
    """Draw each strategy's metric minus that of `baseline`, on the same draws, with 95 % intervals.

    `frame` is that of `learning_curves`, with seven values of n at most. An interval that leaves
    out 0 says that the two differ; the intervals are Student's, of the mean paired difference.
    """
    wide = _by_draw(frame, metric, [baseline])
    differences = wide.sub(wide.pop(baseline), axis=0)
    table = pd.concat(
        {arm: _intervals(differences[arm]) for arm in differences}, names=["strategy", "n"]
    )
    by_n = {f"n = {n}": part.droplevel("n") for n, part in table.groupby(level="n")}
    intervals(by_n, f"{metric}: strategy minus {baseline}", reference=0, ax=ax)
    ends = table.groupby(level="strategy", sort=False).nth([0, -1])
    said = [
        f"{arm} at n = {n} {mean:+.3f} ({low:+.3f} to {high:+.3f})"
        for (arm, n), mean, low, high in ends.itertuples()
    ]
    what = f"{metric} of each strategy minus that of {baseline}, paired, with 95 % intervals"
    return f"{what}: {'; '.join(said)}."


def intervals(
    tables: Mapping[str, pd.DataFrame],
    label: str,
    reference: float | None = None,
    ax: Axes | None = None,
) -> str:
    """Draw estimates with their intervals, a row for each name, an own mark for each table.

    Each table has the columns mean, low and high; all have the same index, whose name becomes that
    of the axis. `reference` is where "no difference" lies.
    """
    index = next(iter(tables.values())).index
    rows = np.arange(len(index))
    ax = _axes(ax, 7.2, 1.6 + (0.25 + 0.1 * len(tables)) * len(rows))
    step = 0.64 / (len(tables) + 1)  # of the distance between two rows
    for place, (name, look) in enumerate(_looks(tables).items()):
        look |= {"linestyle": "", "label": name}
        height = rows + step * (place - (len(tables) - 1) / 2)
        ax.errorbar(tables[name]["mean"], height, xerr=_reach(tables[name], "mean"), **look)
    if reference is not None:
        ax.axvline(reference, **REFERENCE)
    ax.set_yticks(rows, [str(name) for name in index])
    ax.set_ylim(len(rows) - 0.5, -0.5)  # the first on top
    ax.locator_params("x", nbins=5)
    ax.set(xlabel=label, ylabel=index.name)
    if len(tables) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    said = [
        f"{name}, {row} {mean:.3f} ({low:.3f} to {high:.3f})"
        for name, table in tables.items()
        for row, mean, low, high in table[["mean", "low", "high"]].itertuples()
    ]
    return f"{label}, with intervals: {'; '.join(said)}."
