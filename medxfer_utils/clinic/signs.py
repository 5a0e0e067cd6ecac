"""What a radiologist scores on a simulated lesion, and how much of the diagnosis it carries.

The diagnosis y moves a hidden aggressiveness z, z moves every finding, and each finding has noise
of its own: finding = map(a·z + noise), z ~ N(±SEPARATION/2, 1). Images are made from the findings
and from chance that knows nothing of y. So whoever reads an image cannot know more than whoever is
told the findings, and for that reader the best possible score is a small integral: `ideal_logit`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp, ndtr, ndtri

from medxfer_utils.clinic.scanner import Doubles

# Distance of the mean of z between the diagnoses. Our choice, with the loadings below: the ideal
# reader's AUROC is about 0.94, that of the diameter about 0.75.
SEPARATION = 2.7
NODES = 48


@dataclass(frozen=True)
class Finding:
    """One finding: a monotone map of x = loading · z + standard normal noise.

    Parameters
    ----------
    name : str
        Column of the truth.
    loading : float
        How far z moves x; 0 = says nothing about the diagnosis.
    low, high : float
        Range of a measured finding.
    centre, spread : float
        The value is half-way where x = centre; `spread` is how slowly it changes.
    log : bool
        Half-way is meant geometrically.
    absent_below : float
        Below this x the finding is absent: its value is `low`.
    levels, cuts : tuple
        Of a finding with names: level i holds where cuts[i-1] <= x < cuts[i].
    """

    name: str
    loading: float
    low: float = 0.0
    high: float = 1.0
    centre: float = 0.0
    spread: float = 1.7
    log: bool = False
    absent_below: float = -np.inf
    levels: tuple[str, ...] = ()
    cuts: tuple[float, ...] = ()

    def value(self, x: Doubles) -> NDArray[np.generic]:
        """Value of the finding at x."""
        if self.levels:
            return np.array(self.levels, dtype=object)[np.searchsorted(self.cuts, x, side="right")]
        floor = ndtr((self.absent_below - self.centre) / self.spread)
        p = np.maximum(ndtr((x - self.centre) / self.spread) - floor, 0) / (1 - floor)
        if self.log:
            return np.asarray(self.low * (self.high / self.low) ** p)
        return np.asarray(self.low + (self.high - self.low) * p)

    def position(self, value: Doubles) -> Doubles:
        """The x of a value: the inverse of `value`; -inf where the finding is absent."""
        if self.log:
            p = np.log(value / self.low) / np.log(self.high / self.low)
        else:
            p = (value - self.low) / (self.high - self.low)
        floor = ndtr((self.absent_below - self.centre) / self.spread)
        inside = np.clip(floor + p * (1 - floor), 1e-15, 1 - 1e-15)
        x = self.centre + self.spread * ndtri(inside)
        return np.asarray(np.where(p <= 0, -np.inf, x))

    def log_likelihood(self, value: NDArray[np.generic], shift: float, z: Doubles) -> Doubles:
        """Log density (or probability) of each value at each z, up to a term without z."""
        mean = self.loading * z
        if self.levels:
            edges = np.array([-np.inf, *self.cuts, np.inf])[:, None] + shift - mean
            table = np.log(np.maximum(np.diff(ndtr(edges), axis=0), 1e-300))
            return np.asarray(table[pd.Categorical(value, self.levels).codes])
        x = self.position(value.astype(float))[:, None] + shift
        present = np.isfinite(x)
        density = -0.5 * (np.where(present, x, 0) - mean) ** 2
        return np.where(present, density, log_ndtr(self.absent_below + shift - mean))


CALCIUM = ("diffuse", "popcorn", "central", "none", "eccentric")
KINDS = ("cyst", "haemangioma-like", "hyper", "hypo")
# Directions: larger, ill-defined, lobulated or spiculated nodules, those with bubbles or a cavity
# and eccentric calcium are more often malignant; central, popcorn and diffuse calcium speaks for
# benign ones (Erasmus 2000, Snoeckx 2018). Part-solid before solid before ground-glass: the order
# of the Brock coefficients (McWilliams 2013). Loadings, spreads and shares are our choice.
LUNG = (
    # A nodule is 30 mm at most (Hansell 2008). That it is 4 mm at least is our choice.
    Finding("diameter_mm", 0.40, 4, 30, centre=-0.15, spread=1.5, log=True),
    Finding("type", 0.55, levels=("ground-glass", "solid", "part-solid"), cuts=(-1.35, 1.25)),
    Finding("margin", 0.70, centre=0.3),
    Finding("lobulation", 0.60, centre=0.2),
    Finding("spiculation", 0.90, centre=0.9, spread=1.2, absent_below=0.2),
    Finding("heterogeneity", 0.70, centre=0.3),
    Finding("necrosis", 0.60, centre=1.5, spread=1.0, absent_below=1.2),
    Finding("calcification", 0.50, levels=CALCIUM, cuts=(-2.4, -2.0, -1.5, 2.3)),
)
# Directions: water attenuation, sharp margins, an even inside and a haemangioma's enhancement are
# benign features, ill-defined margins and an uneven inside suspicious ones (Gore 2017). A rim and
# necrosis count as uneven. Calcium occurs in both, so it is given no direction: our choice, as are
# loadings, spreads and shares.
LIVER = (
    # The largest of these lies in a patch of 48 mm: our choice.
    Finding("diameter_mm", 0.40, 5, 40, centre=0.0, spread=1.5, log=True),
    Finding("type", 0.75, levels=KINDS, cuts=(-1.4, -0.6, -0.1)),
    Finding("margin", 0.80, centre=0.2),
    Finding("lobulation", 0.60, centre=0.2),
    Finding("rim", 0.60, centre=0.9, spread=1.2, absent_below=0.4),
    Finding("heterogeneity", 0.80, centre=0.2),
    Finding("necrosis", 0.80, centre=1.2, spread=1.0, absent_below=0.7),
    Finding("calcification", 0.0, levels=("none", "coarse"), cuts=(1.6,)),
)
FINDINGS = {"lung": LUNG, "liver": LIVER}
# Case mix: by how much x of a finding must be larger to reach the same value. A screening site
# sees smaller lesions with fewer advanced signs, and more ground glass. Our choice.
CASE_MIX: dict[str, dict[str, float]] = {
    "referral": {},
    "screening": {"diameter_mm": 1.0, "necrosis": 0.6, "type": 0.3, "margin": 0.3},
}


def draw_signs(organ: str, case_mix: str, y: NDArray[np.integer], normal: Doubles) -> pd.DataFrame:
    """Draw the findings of lesions from standard normal numbers, shape (n, 1 + findings)."""
    z = (y - 0.5) * SEPARATION + normal[:, 0]
    shifts = CASE_MIX[case_mix]
    columns = {
        finding.name: finding.value(finding.loading * z + own - shifts.get(finding.name, 0.0))
        for finding, own in zip(FINDINGS[organ], normal[:, 1:].T, strict=True)
    }
    return pd.DataFrame(columns)


def evidence_of_signs(table: pd.DataFrame, organ: str, case_mix: str) -> Doubles:
    """Log of p(findings | y = 1) / p(findings | y = 0), by Gauss-Hermite quadrature over z."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    shifts = CASE_MIX[case_mix]
    given = []
    for sign in (0.5, -0.5):
        z = nodes + sign * SEPARATION
        each = (
            f.log_likelihood(np.asarray(table[f.name]), shifts.get(f.name, 0.0), z)
            for f in FINDINGS[organ]
        )
        given.append(logsumexp(np.log(weights) + sum(each), axis=1))
    return np.asarray(given[0] - given[1])
