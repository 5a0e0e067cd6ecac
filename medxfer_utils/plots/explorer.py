"""A ROC curve with a threshold and a prevalence to move: a still picture that a script enlivens.

Without a script, and in JupyterLab, it is a drawing and a table. On the pages of the book,
`explorer.js` adds the sliders; it counts nobody, since every count it needs is in the page.
"""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from IPython.display import display
from sklearn.metrics import roc_curve

from medxfer_utils import metrics
from medxfer_utils.plots import curves as plots

# Round numbers, by hundredths in the middle and ever finer towards 0 and 1: a model at the wrong
# site may give nearly everybody a risk of 0.999 and more.
_ENDS = [digit * 10.0**-power for power in range(6, 2, -1) for digit in (1, 2, 5)]
_UPPER = [1 - end for end in reversed(_ENDS)]
THRESHOLDS = [round(t, 6) for t in (0, *_ENDS, *np.arange(1, 100) / 100, *_UPPER, 1)]
IN_TABLE = (0.1, 0.3, 0.5, 0.7, 0.9)
START = 0.5

# The drawing: where its square of 280 units lies in a box of 344 by 334.
LEFT, TOP, SIDE = 54, 8, 280
COLOURS, DASHES = (plots.BLUE, plots.VERMILION), ("", ' stroke-dasharray="6 4"')


@dataclass(frozen=True)
class _Curve:
    """One model: its name, the truth (True = ill) and the risk, both of shape (n,)."""

    name: str
    ill: npt.NDArray[np.bool_]
    risk: npt.NDArray[np.floating]

    def point(self, threshold: float) -> dict[str, float]:
        return metrics.operating_point(self.ill, self.risk, threshold)

    def counts(self) -> dict[str, Any]:
        """Return what the script needs: who is called ill at each of `THRESHOLDS`, by the truth."""
        called = self.risk[:, None] >= np.array(THRESHOLDS)
        return {
            "name": self.name,
            "ill": int(self.ill.sum()),
            "healthy": int((~self.ill).sum()),
            "found": called[self.ill].sum(axis=0).tolist(),
            "alarms": called[~self.ill].sum(axis=0).tolist(),
        }


def threshold_explorer(curves: plots.Curves, title: str) -> None:
    """Show ROC curves, a table of operating points and, on a page of the book, sliders.

    The sliders move the threshold, from which on a patient is called ill, and the prevalence. The
    reader sees the confusion matrix of the sample and that of 1,000 people, with PPV and NPV by
    Bayes' rule, as in `metrics.operating_point`.

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
    checked = _checked(curves)
    prevalence = float(checked[0].ill.mean())
    text = _in_words(checked, title)
    body = [
        f'<figure class="explorer"><figcaption><strong>{html.escape(title)}</strong></figcaption>',
        _drawing(checked, text),
        _table(checked, prevalence),
        _data(checked, prevalence),
        "</figure>",
    ]
    metadata = {"medxfer_explorer": {"title": title, "models": [*curves]}}
    display({"text/plain": text, "text/html": "\n".join(body)}, raw=True, metadata=metadata)


def _checked(curves: plots.Curves) -> list[_Curve]:
    """Check what was passed; return the curves in their order."""
    if not 1 <= len(curves) <= 2:
        raise ValueError(f"{len(curves)} curves {[*curves]}: the explorer shows one or two")
    checked = []
    for name, (truth, risk) in curves.items():
        try:
            metrics.auroc(truth, risk)  # both classes are there
            metrics.brier(truth, risk)  # the risk is a probability
        except ValueError as error:
            raise ValueError(f"curve {name!r}: {error}") from error
        checked.append(_Curve(name, np.asarray(truth) == 1, np.asarray(risk, dtype=float)))
    if not np.array_equal(checked[0].ill, checked[-1].ill):
        raise ValueError(
            f"the curves {[*curves]} have different truths: let both models judge the same "
            "patients in the same order, or make an explorer for each"
        )
    return checked


def _in_words(curves: Sequence[_Curve], title: str) -> str:
    """Return what the drawing shows. No PPV: one patient more or less may move it far."""
    said = []
    for curve in curves:
        area = metrics.auroc(curve.ill, curve.risk)
        points = [(t, curve.point(t)) for t in IN_TABLE]
        rates = [f"{t}: {p['sensitivity']:.2f}, {p['specificity']:.2f}" for t, p in points]
        said.append(f"{curve.name}: AUROC {area:.3f}; {'; '.join(rates)}.")
    head = f"{title}. ROC curves with the sensitivity and specificity at some thresholds."
    return " ".join([head, *said])


def _place(share: float, from_right: float) -> str:
    """Return where a point lies in the drawing: sensitivity and 1 − specificity as "x y"."""
    return f"{LEFT + SIDE * from_right:.1f} {TOP + SIDE * (1 - share):.1f}"


def _drawing(curves: Sequence[_Curve], text: str) -> str:
    """Return the curves with their axes as SVG; it needs no style sheet."""
    parts = [
        f'<svg class="explorer-roc" viewBox="0 0 344 334" width="344" role="img" '
        f'aria-label="{html.escape(text)}" fill="currentColor" font-size="12" '
        f'font-family="sans-serif" style="max-width: 100%; height: auto">',
        f'<path d="M{LEFT} {TOP}v{SIDE}h{SIDE}" fill="none" stroke="currentColor"/>',
        f'<path d="M{_place(0, 0)}L{_place(1, 1)}" stroke="currentColor" stroke-dasharray="1 4"/>',
        *(_tick(value / 10) for value in range(0, 11, 2)),
        f'<text x="{LEFT + SIDE / 2:g}" y="{TOP + SIDE + 36}" text-anchor="middle">'
        "1 − specificity (healthy called ill)</text>",
        f'<text transform="translate(14 {TOP + SIDE / 2:g}) rotate(-90)" text-anchor="middle">'
        "sensitivity (ill called ill)</text>",
    ]
    for row, curve in enumerate(curves):
        parts.append(_line(curve, row, last=TOP + SIDE - 18 * (len(curves) - row)))
    return "".join([*parts, "</svg>"])


def _tick(value: float) -> str:
    x, y = LEFT + SIDE * value, TOP + SIDE * (1 - value)
    return (
        f'<path d="M{x:g} {TOP + SIDE}v4M{LEFT} {y:g}h-4" stroke="currentColor"/>'
        f'<text x="{x:g}" y="{TOP + SIDE + 17}" text-anchor="middle">{value:g}</text>'
        f'<text x="{LEFT - 7}" y="{y + 4:g}" text-anchor="end">{value:g}</text>'
    )


def _line(curve: _Curve, row: int, last: int) -> str:
    """Return one curve, its dot at the threshold `START`, and its line of the legend."""
    false_alarms, found, _ = roc_curve(curve.ill, curve.risk)
    path = "L".join(map(_place, found, false_alarms))
    point = curve.point(START)
    x, y = _place(point["sensitivity"], 1 - point["specificity"]).split()
    name = f"{curve.name} (AUROC {metrics.auroc(curve.ill, curve.risk):.3f})"
    look = f'stroke="{COLOURS[row]}" stroke-width="2.5" fill="none"'
    return (
        f'<g class="explorer-curve-{row + 1}"><path d="M{path}" {look}{DASHES[row]}/>'
        f'<circle cx="{x}" cy="{y}" r="5" {look}/>'
        f'<path d="M{LEFT + SIDE - 32} {last}h28" {look}{DASHES[row]}/></g>'
        f'<text x="{LEFT + SIDE - 38}" y="{last + 4}" text-anchor="end">{html.escape(name)}</text>'
    )


def _percent(share: float, if_nobody: str) -> str:
    """Return a share as explorer.js writes it: 100 % and 0 % only where they are exact."""
    if np.isnan(share):
        return if_nobody
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    if not 0.0005 <= share < 0.9995:
        return "> 99.9 %" if share > 0.5 else "< 0.1 %"
    return f"{100 * share:.1f} %"


def _table(curves: Sequence[_Curve], prevalence: float) -> str:
    """Return the operating points at the thresholds of `IN_TABLE`, at the sample's prevalence."""
    heads = ("threshold", "sensitivity", "specificity", "PPV", "NPV")
    rows = []
    for curve in curves:
        name = html.escape(curve.name)
        rows.append(f'<tbody><tr><th colspan="5" scope="rowgroup">{name}</th></tr>')
        for threshold in IN_TABLE:
            point = curve.point(threshold)
            cells = [
                _percent(point["sensitivity"], ""),
                _percent(point["specificity"], ""),
                _percent(point["PPV"], "no alarm"),
                _percent(point["NPV"], "no all-clear"),
            ]
            data = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
            rows.append(f'<tr><th scope="row">{threshold}</th>{data}</tr>')
        rows.append("</tbody>")
    return (
        f'<table class="explorer-table"><caption>At the sample\'s own prevalence, '
        f"{_percent(prevalence, '')} ill. A patient is called ill from the threshold on; the rings "
        f"in the picture are at {START}.</caption><thead><tr>"
        + "".join(f'<th scope="col">{head}</th>' for head in heads)
        + f"</tr></thead>{''.join(rows)}</table>"
    )


def _data(curves: Sequence[_Curve], prevalence: float) -> str:
    """Return what the script reads: counts at each threshold, no record of any patient."""
    models = [curve.counts() for curve in curves]
    box = {"left": LEFT, "top": TOP, "side": SIDE}
    data = {"thresholds": THRESHOLDS, "start": THRESHOLDS.index(START), "prevalence": prevalence}
    text = json.dumps(data | {"box": box, "models": models}, separators=(",", ":"))
    return f'<script type="application/json">{text.replace("<", chr(92) + "u003c")}</script>'
