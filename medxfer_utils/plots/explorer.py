"""A ROC curve with a threshold and a prevalence to move: a still figure that a script enlivens.

Without a script, and in JupyterLab, it is a figure and its words. On the pages of the book,
`explorer.js` adds the sliders; it counts nobody, since every count it needs is in the page.
"""

import base64
import html
import json
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from IPython.display import display

from medxfer_utils import metrics
from medxfer_utils.plots.curves import Curves, roc
from medxfer_utils.plots.figure import CSS_PIXELS_PER_INCH, rendered

# Round numbers, by hundredths in the middle and ever finer towards 0 and 1: a model at the wrong
# site may give nearly everybody a risk of 0.999 and more.
_ENDS = [digit * 10.0**-power for power in range(6, 2, -1) for digit in (1, 2, 5)]
_UPPER = [1 - end for end in reversed(_ENDS)]
THRESHOLDS = [round(t, 6) for t in (0, *_ENDS, *np.arange(1, 100) / 100, *_UPPER, 1)]
IN_WORDS = (0.1, 0.3, 0.5, 0.7, 0.9)
START = 0.5

# The figure is a square of so many CSS pixels; where the square of its axes lies in it.
SIZE = 384
BOX = {"left": 58, "top": 12, "side": 312}

Risks = dict[str, npt.NDArray[np.floating]]  # of each model, all for the same patients


def threshold_explorer(curves: Curves, title: str) -> None:
    """Show ROC curves, their operating points in words and, on a page of the book, sliders.

    The sliders move the threshold, from which on a patient is called ill, and the prevalence. The
    reader sees the confusion matrix of the sample and that of 1,000 people, with PPV and NPV by
    Bayes' rule, as in `metrics.operating_point`. Taught in lesson 02.

    Parameters
    ----------
    curves : mapping of str to (truth, risk)
        One or two models that judge the same patients: truth (1 = ill) and predicted risk in
        [0, 1], both of shape (n,).
    title : str
        What is shown, for the caption.

    Raises
    ------
    ValueError
        If there are more curves than two or none, if a truth or risk is unusable (the message names
        the model), or if the models judge different patients.
    """
    ill, risks = _same_patients(curves)
    words = _in_words(ill, risks, title)
    page = (
        f'<figure class="explorer"><figcaption><strong>{html.escape(title)}</strong></figcaption>'
        f'{_still(ill, risks)}<p class="explorer-still">{html.escape(words)}</p>'
        f"{_script_data(ill, risks)}</figure>"
    )
    metadata = {"medxfer_explorer": {"title": title, "models": [*curves]}}
    display({"text/plain": words, "text/html": page}, raw=True, metadata=metadata)


def _same_patients(curves: Curves) -> tuple[npt.NDArray[np.bool_], Risks]:
    """Check what was passed; return who is ill, and the risks."""
    if not 1 <= len(curves) <= 2:
        raise ValueError(f"{len(curves)} curves {[*curves]}: the explorer shows one or two")
    for name, (truth, risk) in curves.items():
        try:
            metrics.auroc(truth, risk)  # both classes are there
            metrics.brier(truth, risk)  # the risk is a probability
        except ValueError as error:
            raise ValueError(f"curve {name!r}: {error}") from error
    ill, *others = (np.asarray(truth) == 1 for truth, _ in curves.values())
    if not all(np.array_equal(ill, other) for other in others):
        advice = "let both models judge the same patients in the same order"
        raise ValueError(f"the curves {[*curves]} have different truths: {advice}")
    return ill, {name: np.asarray(risk, dtype=float) for name, (_, risk) in curves.items()}


def _in_words(ill: npt.NDArray[np.bool_], risks: Risks, title: str) -> str:
    """Return what the figure shows. No PPV: one patient more or less may move it far."""
    said = [f"{title}. ROC curves with the sensitivity and specificity at some thresholds."]
    for name, risk in risks.items():
        points = [(t, metrics.operating_point(ill, risk, t)) for t in IN_WORDS]
        rates = [f"{t}: {p['sensitivity']:.2f}, {p['specificity']:.2f}" for t, p in points]
        said.append(f"{name}: AUROC {metrics.auroc(ill, risk):.3f}; {'; '.join(rates)}.")
    return " ".join(said)


def _still(ill: npt.NDArray[np.bool_], risks: Risks) -> str:
    """Draw the curves, each with a ring at `START`; the script lays its point over the picture."""
    sizes = ("font.size", "xtick.labelsize", "ytick.labelsize", "legend.fontsize")
    small: dict[Any, Any] = dict.fromkeys(sizes, 9) | {"axes.labelsize": 10, "savefig.bbox": None}
    inches = SIZE / CSS_PIXELS_PER_INCH
    with plt.rc_context(small):
        figure = plt.figure(figsize=(inches, inches), layout="none")
        low, side = SIZE - BOX["top"] - BOX["side"], BOX["side"]
        ax = figure.add_axes((BOX["left"] / SIZE, low / SIZE, side / SIZE, side / SIZE))
        alt = roc({name: (ill, risk) for name, risk in risks.items()}, ax)
        ax.set(xlim=(0, 1), ylim=(0, 1))
        for line, risk in zip(ax.lines[1:], risks.values(), strict=True):
            point = metrics.operating_point(ill, risk, START)
            at = ([1 - point["specificity"]], [point["sensitivity"]])
            ax.plot(*at, "o", color=line.get_color(), fillstyle="none", clip_on=False)
        png = base64.b64encode(rendered(figure)).decode()
        plt.close(figure)
    return (
        f'<svg class="explorer-roc" viewBox="0 0 {SIZE} {SIZE}" width="{SIZE}" role="img" '
        f'aria-label="{html.escape(alt)}" style="max-width: 100%; height: auto">'
        f'<image width="{SIZE}" height="{SIZE}" href="data:image/png;base64,{png}"/></svg>'
    )


def _script_data(ill: npt.NDArray[np.bool_], risks: Risks) -> str:
    """Return what the script reads: who is called ill at each threshold, no record of a patient."""
    of_truth: Mapping[str, Any] = {"ill": int(ill.sum()), "healthy": int((~ill).sum())}
    models = []
    for name, risk in risks.items():
        called = risk[:, None] >= np.array(THRESHOLDS)
        sums = {"found": called[ill].sum(axis=0), "alarms": called[~ill].sum(axis=0)}
        models.append({"name": name, **of_truth} | {k: v.tolist() for k, v in sums.items()})
    data = {"thresholds": THRESHOLDS, "start": THRESHOLDS.index(START), "box": BOX}
    data |= {"prevalence": float(ill.mean()), "models": models}
    text = json.dumps(data, separators=(",", ":")).replace("<", r"\u003c")
    return f'<script type="application/json">{text}</script>'
