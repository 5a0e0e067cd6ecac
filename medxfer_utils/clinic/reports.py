"""The clinical record and the short report of simulated patients.

A record field is tilted by the diagnosis just so that the log odds move by a published
coefficient. A report is written from the findings and the record alone. Neither names the
diagnosis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri

from medxfer_utils.clinic.scanner import Doubles


@dataclass(frozen=True)
class Field:
    """One field of the record: a number (normal), or yes/no.

    Parameters
    ----------
    name : str
        Column of the record.
    coefficient : float
        Log odds of the diagnosis for each unit, from the cited model.
    mean, sd : float
        Of the patients without the disease; for yes/no, `mean` is the share and `sd` 0.
    """

    name: str
    coefficient: float
    mean: float
    sd: float = 0.0

    def draw(self, y: NDArray[np.integer], u: Doubles) -> NDArray[np.generic]:
        """Value of the field for uniform numbers u."""
        if self.sd:
            # Bayes: two normal distributions whose means differ by b·sd² have log odds b·x + c.
            return np.asarray(self.mean + self.coefficient * self.sd**2 * y + self.sd * ndtri(u))
        return np.asarray(u < expit(logit(self.mean) + self.coefficient * y))

    def log_likelihood_ratio(self, value: NDArray[np.generic]) -> Doubles:
        """Log of p(value | y = 1) / p(value | y = 0)."""
        b = self.coefficient
        if self.sd:
            return np.asarray(b * (value.astype(float) - self.mean) - 0.5 * (b * self.sd) ** 2)
        odds = np.log1p(-expit(logit(self.mean) + b)) - np.log1p(-self.mean)
        return np.asarray(b * value.astype(float) + odds)


# The full model with spiculation of McWilliams et al. (2013), doi:10.1056/NEJMoa1214726; smoking
# from Swensen et al. (1997), doi:10.1001/archinte.1997.00440290031002. Means and shares: our
# choice.
LUNG = (
    Field("age", 0.0287, 62.0, 7.0),
    Field("female", 0.6011, 0.45),
    Field("family_history", 0.2961, 0.20),
    Field("emphysema", 0.2953, 0.30),
    Field("ever_smoked", 0.7917, 0.60),
    Field("upper_lobe", 0.6581, 0.50),
)
# aMAP (Fan et al. 2020, doi:10.1016/j.jhep.2020.07.025): made for the risk of hepatocellular
# carcinoma in chronic hepatitis; here it only gives the directions and sizes of the link.
LIVER = (
    Field("age", 0.06, 54.0, 9.0),
    Field("male", 0.89, 0.50),
    Field("albi", 0.48, -2.7, 0.5),
    Field("platelets", -0.01, 220.0, 60.0),
)
FIELDS = {"lung": LUNG, "liver": LIVER}
PER_LESION = {"upper_lobe"}


def draw_record(organ: str, y: NDArray[np.integer], u: Doubles) -> pd.DataFrame:
    """Draw the record from uniform numbers, shape (n, fields)."""
    columns = {f.name: f.draw(y, column) for f, column in zip(FIELDS[organ], u.T, strict=True)}
    return pd.DataFrame(columns)


def evidence_of_record(table: pd.DataFrame, organ: str) -> Doubles:
    """Log of p(record | y = 1) / p(record | y = 0)."""
    parts = [f.log_likelihood_ratio(table[f.name].to_numpy()) for f in FIELDS[organ]]
    return np.asarray(np.sum(parts, axis=0))


SIZES: tuple[str, ...] = ("measuring {d:.0f} mm", "{d:.0f} mm in diameter", "of about {d:.0f} mm")
SIZES += ("{d:.0f} x {e:.0f} mm",)
# What is said of a graded finding: name, threshold, then words for absent and for present.
GRADES: dict[str, tuple[tuple[str, float, str, str], ...]] = {
    "lung": (
        ("margin", 0.55, "well-defined margin", "ill-defined margin"),
        ("lobulation", 0.6, "smooth contour", "lobulated contour"),
        ("spiculation", 0.3, "no spiculation", "spiculation"),
        ("heterogeneity", 0.6, "homogeneous attenuation", "internal lucencies"),
        ("necrosis", 0.15, "no cavitation", "central low attenuation or cavitation"),
    ),
    "liver": (
        ("margin", 0.55, "sharp margin", "indistinct margin"),
        ("lobulation", 0.6, "smooth contour", "irregular contour"),
        ("rim", 0.3, "no rim", "a peripheral rim"),
        ("heterogeneity", 0.6, "homogeneous appearance", "heterogeneous appearance"),
        ("necrosis", 0.15, "no central low attenuation", "central low attenuation"),
    ),
}
HEDGES = ("", "", "possible ", "suspected ", "questionable ")
KINDS = {
    "ground-glass": "ground-glass nodule", "solid": "solid nodule",
    "part-solid": "part-solid nodule", "cyst": "water-attenuation lesion",
    "haemangioma-like": "lesion with peripheral nodular enhancement",
    "hyper": "hyperattenuating lesion", "hypo": "hypoattenuating lesion",
}  # fmt: skip
REPORT_NUMBERS = 10


def _remark(grade: float, finding: tuple[str, float, str, str], u: Doubles) -> str:
    """What is said of one finding: near its threshold readers hedge, and some say nothing."""
    _, threshold, absent, present = finding
    if u[0] < (0.15 if grade > threshold else 0.5):
        return ""
    # Readers disagree: each has a threshold of their own.
    sign = grade > threshold + 0.2 * (u[1] - 0.5)
    near = abs(grade - threshold) < 0.15
    return (HEDGES[2 + int(3 * u[1])] if near and sign else "") + (present if sign else absent)


def _report(organ: str, row: Mapping[Any, Any], about: Mapping[Any, Any], u: Doubles) -> str:
    """One report: what, where and how large, the remarks, calcium, and sometimes the lungs."""
    d = row["diameter_mm"]
    size = SIZES[int(len(SIZES) * u[0])].format(d=d, e=max(d * (0.75 + 0.2 * u[1]), 3))
    lobe = "upper" if about.get("upper_lobe") else "lower"
    where = f"in the {lobe} lobe" if organ == "lung" else "in the liver"
    text = [f"{KINDS[row['type']].capitalize()} {where}, {size}."]
    said = [_remark(row[f[0]], f, u[2 + i : 4 + i]) for i, f in enumerate(GRADES[organ])]
    if any(said):
        text.append(", ".join(filter(None, said)).capitalize() + ".")
    if row["calcification"] != "none" and u[8] > 0.1:
        text.append(f"{row['calcification']} calcification.".capitalize())
    if organ == "lung" and about["emphysema"] and u[9] < 0.7:
        text.append("Background emphysema.")
    return " ".join(text)


def write_reports(organ: str, truth: pd.DataFrame, record: pd.DataFrame, u: Doubles) -> list[str]:
    """Write a report of each lesion from its findings and record, and uniform numbers (n, 10).

    Readers round, hedge near a threshold, disagree on it, and leave out what is not there.
    """
    rows = zip(truth.to_dict("records"), record.to_dict("records"), u, strict=True)
    return [_report(organ, row, about, own) for row, about, own in rows]
