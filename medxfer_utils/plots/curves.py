"""Curves and intervals; each function draws into axes and returns its alt text."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from medxfer_utils import metrics
from medxfer_utils.plots.figure import COLOURS, OKABE_ITO, REFERENCE, axes_of

# A second sign for each curve, for whoever cannot use colour.
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3)), (0, (1, 3)))
MARKERS = "osD^vPX"
Values = npt.NDArray[Any]
# For each name on a figure: truth (1 = ill) and score or predicted risk, both of shape (n,).
Curves = Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]]


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


def _distance(table: pd.DataFrame, centre: str) -> list[pd.Series]:
    """Return how far `low` is below the centre, and `high` above it."""
    # Rounding may put an end of Wilson's interval a hair inside its own centre.
    return [(table[centre] - table["low"]).clip(0), (table["high"] - table[centre]).clip(0)]


def roc(curves: Curves, ax: Axes | None = None) -> str:
    """Draw ROC curves, with each AUROC and its 95 % interval (DeLong) in the legend.

    Parameters
    ----------
    curves : mapping of str to (truth, score)
        One to seven; truth (1 = ill) and score (any scale), both of shape (n,).
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    str
        The figure's text.
    """
    looks, said = _looks(curves), []
    ax = axes_of(ax, 5.6, 5.4)
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
    """Draw smooth calibration curves: the share of ill against the risk; patients are marks below.

    A curve is a logistic regression of the truth on splines of the log odds, drawn between the
    1 % and the 99 % quantile of its patients' risks. Taught in lesson 02.

    Parameters
    ----------
    curves : mapping of str to (truth, score)
        One to four; truth (1 = ill) and predicted risk in [0, 1], both of shape (n,).
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    str
        The figure's text.

    Raises
    ------
    ValueError
        If a truth or risk is unusable, nobody is ill or nobody healthy, or all risks are equal.
    """
    looks, said, drawn = _looks(curves), [], []
    for place, (name, look) in enumerate(looks.items()):
        y, p = (np.asarray(values) for values in curves[name])
        error = metrics.expected_calibration_error(y, p)
        risk = f"{p.mean():.2f} predicted, {y.mean():.2f} observed"
        said.append(f"{name} mean risk {risk}, expected calibration error {error:.2f}")
        marks = look | {"linestyle": "", "marker": "|", "alpha": 0.4}
        drawn.append((p, np.full(len(p), -0.04 * (place + 1)), marks))
        drawn.append((*_smooth(name, y, p), look | {"marker": "", "label": name}))
    ax = axes_of(ax, 5.6, 5.0)
    ax.plot([0, 1], [0, 1], **REFERENCE, label="perfect")
    for x, height, look in drawn:
        ax.plot(x, height, **look)
    ax.set(xlabel="predicted risk", ylabel="observed share of ill")
    ax.legend()
    return f"Smooth calibration curves, each patient a mark, and the diagonal: {'; '.join(said)}."


def _smooth(name: str, y: Values, p: Values) -> tuple[Values, Values]:
    """Return risks and the smoothed share of ill at each of them."""
    z = logit(p.astype(float).clip(1e-12, 1 - 1e-12))[:, None]
    if len({*y.tolist()}) < 2 or np.ptp(z) == 0:
        raise ValueError(f"{name!r}: a calibration curve needs ill, healthy and unequal risks")
    smooth = make_pipeline(SplineTransformer(4), StandardScaler(), LogisticRegression()).fit(z, y)
    low, high = np.quantile(z, [0.01, 0.99])
    at = np.linspace(low, high, 300)
    return expit(at), smooth.predict_proba(at[:, None])[:, 1]


def _by_draw(frame: pd.DataFrame, metric: str, wanted: Iterable[str]) -> pd.DataFrame:
    """Reshape to one row for each (n, repeat) and one column for each strategy, in their order."""
    if missing := {"strategy", "n", "repeat", metric} - set(frame):
        raise ValueError(f"the results lack the columns {sorted(missing)}: they have {[*frame]}")
    there = frame["strategy"].unique()
    if unknown := set(wanted) - set(there):
        raise ValueError(f"no strategy {sorted(unknown)} in the results: there are {[*there]}")
    wide = frame.pivot(index=["n", "repeat"], columns="strategy", values=metric)
    if (gaps := wide.isna().sum()).any():
        raise ValueError(f"{metric} is missing for some draws: {gaps[gaps > 0].to_dict()}")
    return wide[there]


def _intervals(draws: pd.Series) -> pd.DataFrame:
    """Mean over the draws of each n and its 95 % interval: columns mean, low, high."""
    rows = {n: metrics.mean_interval(values) for n, values in draws.groupby(level="n")}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high"])


def learning_curves(
    frame: pd.DataFrame,
    metric: str,
    ax: Axes | None = None,
    strategies: Sequence[str] | None = None,
    limit: float | None = None,
) -> str:
    """Draw the mean of a metric against n, with the 95 % interval of the mean over draws.

    Parameters
    ----------
    frame : DataFrame
        Columns strategy, n (labelled patients), repeat and `metric`; one row for each draw.
    metric : str
        The column to draw.
    ax : Axes, optional
        Where to draw; a new figure if not given.
    strategies : sequence of str, optional
        What to draw, four at most; all if not given.
    limit : float, optional
        The metric of an ideal observer, drawn as a line.

    Returns
    -------
    str
        The figure's text, with the means at both ends.

    Raises
    ------
    ValueError
        If a column, a strategy or the result of a draw is missing.
    """
    wide = _by_draw(frame, metric, strategies or ())
    looks = _looks(strategies or [*wide])
    # The legend lists the strategies from the highest to the lowest mean at the largest n.
    tables = {name: _intervals(wide[name]) for name in looks}
    order = sorted(tables, key=lambda name: -tables[name]["mean"].iloc[-1])
    ax = axes_of(ax, 8.6, 4.6)
    said = []
    for place, name in enumerate(order):
        table, look = tables[name], looks[name] | {"label": name}
        at = table.index * 2 ** (0.04 * (place - (len(order) - 1) / 2))  # no bar hides another
        ax.errorbar(at, table["mean"], _distance(table, "mean"), elinewidth=1, capsize=0, **look)
        said.append(f"{name} {table['mean'].iloc[0]:.3f} to {table['mean'].iloc[-1]:.3f}")
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

    An interval that leaves out 0 says that the two differ; the intervals are Student's, of the mean
    paired difference. Taught in lesson 04.

    Parameters
    ----------
    frame : DataFrame
        That of `learning_curves`, with seven values of n at most.
    metric : str
        The column to draw.
    baseline : str
        The strategy that is subtracted.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    str
        The figure's text, with the differences at both ends.

    Raises
    ------
    ValueError
        As `learning_curves`.
    """
    wide = _by_draw(frame, metric, [baseline])
    differences = wide.sub(wide.pop(baseline), axis=0)
    tables = {name: _intervals(differences[name]) for name in differences}
    table = pd.concat(tables, names=["strategy", "n"])
    by_n = {f"n = {n}": part.droplevel("n") for n, part in table.groupby(level="n")}
    intervals(by_n, f"{metric}: strategy minus {baseline}", reference=0, ax=ax)
    ends = table.groupby(level="strategy", sort=False).nth([0, -1])
    form = "{} at n = {} {:+.3f} ({:+.3f} to {:+.3f})"
    said = [form.format(*at, *numbers) for at, *numbers in ends.itertuples()]
    what = f"{metric} of each strategy minus that of {baseline}, paired, with 95 % intervals"
    return f"{what}: {'; '.join(said)}."


def intervals(
    tables: Mapping[str, pd.DataFrame],
    label: str,
    reference: float | None = None,
    ax: Axes | None = None,
) -> str:
    """Draw estimates with their intervals, a row for each name, an own mark for each table.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Columns mean, low and high; all with the same index, whose name becomes that of the axis.
        A row of NaN is left blank.
    label : str
        What is estimated, with its unit.
    reference : float, optional
        Where "no difference" lies.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    str
        The figure's text, with every estimate.
    """
    index = next(iter(tables.values())).index
    rows = np.arange(len(index))
    ax = axes_of(ax, 7.2, 1.6 + (0.25 + 0.1 * len(tables)) * len(rows))
    step = 0.64 / (len(tables) + 1)  # of the distance between two rows
    for place, (name, look) in enumerate(_looks(tables).items()):
        look |= {"linestyle": "", "label": name}
        height = rows + step * (place - (len(tables) - 1) / 2)
        ax.errorbar(tables[name]["mean"], height, xerr=_distance(tables[name], "mean"), **look)
    if reference is not None:
        ax.axvline(reference, **REFERENCE)
    ax.set_yticks(rows, [str(name) for name in index])
    ax.set_ylim(len(rows) - 0.5, -0.5)  # the first on top
    ax.locator_params("x", nbins=5)
    ax.set(xlabel=label, ylabel=index.name)
    if len(tables) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    form, named = "{}, {} {:.3f} ({:.3f} to {:.3f})", ["mean", "low", "high"]
    rows_of = {name: table[named].dropna().itertuples() for name, table in tables.items()}
    said = [form.format(name, *row) for name, table in rows_of.items() for row in table]
    return f"{label}, with intervals: {'; '.join(said)}."
