"""How two hospitals differ: which shift lies between them, and what can be done without labels.

Hospital a is the source, b the target. ``x_a`` (n, d) and ``x_b`` (m, d) are features without
gaps, ``y_a`` (n,) and ``y_b`` (m,) diagnoses: 1 for the disease, 0 without it. A row is a patient,
unless `groups` says whose rows they are, as two arrays of identifiers (n,) and (m,): rows of one
patient resemble each other, and taken for patients they make every difference look sure. Whatever
breaks this raises ``ValueError`` with the place and the remedy. Three tests answer to three shifts;
"–" means no more often than their level:

==============================================  ===================  ===========  ===========
what differs                                    `mmd_test`, strata   intercept†   slopes†
==============================================  ===================  ===========  ===========
none                                            –                    –            –
covariate shift: P(x), but not P(y | x)         **rejects**          –            –
label shift: P(y), but not P(x | y)             –                    **rejects**  –
concept shift: the slopes of P(y | x)           may reject           may reject   **rejects**
==============================================  ===================  ===========  ===========

† Of `concept_test`, which takes P(y | x) to be logistic: a curve that this misses can pass for a
concept shift. `prevalence_test` alone decides nothing, since the other shifts can change the
prevalence too; `mmd_test` without strata rejects under label shift. `simulated_pair` has the truth.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.spatial.distance import cdist, pdist
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medxfer_utils import require

Array = npt.NDArray[Any]
Values = npt.ArrayLike
Groups = tuple[Values, Values] | None

KINDS = ("none", "covariate", "label", "concept")
# The truth of `simulated_pair`: log odds ratio of each feature, where the covariate shift takes
# the mean of x, and the prevalences of the label shift.
SLOPES = np.array([1.0, 0.8, 0.6, 0.0, 0.0])
SHIFT = np.array([0.6, 0.0, 0.0, 0.6, 0.0])
PREVALENCES = (0.3, 0.6)
NEWTON_STEPS = 50  # a dozen are enough on clinical features
PAIRS = 10**7  # of rows at a time, of which a kernel is computed
FOR_MEDIAN = 5000  # rows are enough to find a median distance


def _features(**given: Values) -> list[Array]:
    """Return features as floats; refuse gaps and hospitals that measure different things."""
    arrays = {name: np.asarray(x, dtype=float) for name, x in given.items()}
    shapes = ", ".join(f"{name} {x.shape}" for name, x in arrays.items())
    enough = all(x.ndim == 2 and len(x) > 1 for x in arrays.values())
    require(enough, f"{shapes}: pass (patients, features), with two patients at least.")
    alike = len({x.shape[1] for x in arrays.values()}) == 1
    require(alike, f"{shapes}: pass the same features of both hospitals, in one order.")
    for name, x in arrays.items():
        gaps = int((~np.isfinite(x)).sum())
        require(not gaps, f"{name}: {gaps} values are NaN or infinite; impute them first.")
    return list(arrays.values())


def _diagnoses(y_a: Values, y_b: Values, fewest: int, *x: Array) -> tuple[Array, Array]:
    """Return diagnoses as integers; refuse other codes, and fewer than `fewest` of a class."""
    arrays = np.asarray(y_a), np.asarray(y_b)
    for name, y in zip(("y_a", "y_b"), arrays, strict=True):
        known = y.ndim == 1 and len(y) and np.isin(y, (0, 1)).all()
        require(known, f"{name}: pass 0 or 1 (the disease) for each patient, shape (n,).")
        ill, healthy = (y == 1).sum(), (y == 0).sum()
        few = f"{name}: {ill} ill and {healthy} healthy patients; {fewest} of each are needed."
        require(min(ill, healthy) >= fewest, few)
    sizes, rows = [len(y) for y in arrays], [len(part) for part in x]
    require(not x or rows == sizes, f"y_a, y_b have {sizes} rows, their features {rows}.")
    return arrays[0].astype(int), arrays[1].astype(int)


def _owners(groups: Groups, *rows: int) -> list[Array]:
    """Whose each row is, of a and of b: numbers from 0."""
    if groups is None:
        return [np.arange(n) for n in rows]
    shapes = [np.shape(part) for part in groups]
    fine = shapes == [(n,) for n in rows]
    require(fine, f"groups: name the patient of each of {rows} rows; the shapes are {shapes}.")
    return [np.unique(part, return_inverse=True)[1] for part in groups]


def _log_odds_of_b(
    x_a: Array, x_b: Array, rng: np.random.Generator, folds: int, groups: Groups
) -> Array:
    """Out-of-fold log odds that a row is of b, as if both hospitals were equally large."""
    whose = _owners(groups, len(x_a), len(x_b))
    n, m = (part.max() + 1 for part in whose)
    few = f"{n} and {m} patients do not fill {folds} folds; use more patients."
    require(min(n, m) >= folds, few)
    x, of_b = np.vstack([x_a, x_b]), np.repeat([0, 1], [len(x_a), len(x_b)])
    classifier = LogisticRegression(class_weight="balanced", max_iter=1000)
    model = make_pipeline(StandardScaler(), classifier)
    single = n + m == len(x)
    kind = StratifiedKFold if single else StratifiedGroupKFold
    own = None if single else np.concatenate([whose[0], n + whose[1]])
    divide = kind(folds, shuffle=True, random_state=int(rng.integers(2**31))).split
    # Divided here: a library that routes metadata would refuse groups.
    told = {"cv": list(divide(x, of_b, own)), "method": "decision_function"}
    return np.asarray(cross_val_predict(model, x, of_b, **told))


def proxy_a_distance(
    x_a: Values, x_b: Values, rng: np.random.Generator, folds: int = 5, groups: Groups = None
) -> float:
    """How well a line tells two hospitals apart, from 0 (not at all) to 2 (every patient) [1]_.

    Taught in lesson 09.

    2 (1 − 2e), and 0 where that is negative; e is the mean of the error rates in a and in b, out
    of fold, of a logistic regression that weights both alike. Folds are stratified by hospital,
    and all rows of a patient are in one; features are standardised inside each.

    References
    ----------
    .. [1] Ben-David et al. (2010), A theory of learning from different domains. Machine Learning,
       doi:10.1007/s10994-009-5152-4.
    """
    a, b = _features(x_a=x_a, x_b=x_b)
    called_b = _log_odds_of_b(a, b, rng, folds, groups) > 0
    error = (called_b[: len(a)].mean() + (~called_b[len(a) :]).mean()) / 2
    return max(0.0, float(2 * (1 - 2 * error)))


def median_bandwidth(x: Values) -> float:
    """Median distance between two rows of `x` (n, d), the usual width of the kernel; above 0.

    Of more than 5,000 rows as many are looked at, at equal steps.

    Raises
    ------
    ValueError
        If half of all pairs of rows are equal.
    """
    (rows,) = _features(x=x)
    steps = np.linspace(0, len(rows) - 1, min(len(rows), FOR_MEDIAN)).astype(int)
    width = float(np.median(pdist(rows[steps])))
    require(width, "x: half of all pairs of rows are equal; choose the bandwidth by hand.")
    return width


def _mmd2(x: Array, bandwidth: float, in_a: Array) -> Array:
    """MMD² for each column of `in_a` (rows, k), 1 for a and 0 for b, two of each at least.

    The kernel of all pairs may not fit into memory: it is computed for some rows at a time.
    """
    n, m = in_a.sum(axis=0), (1 - in_a).sum(axis=0)
    inside_a, from_a, both = np.zeros(len(n)), np.zeros(len(n)), 0.0
    for part in np.array_split(np.arange(len(x)), -(-(len(x) ** 2) // PAIRS)):
        kernel = cdist(x[part], x, "sqeuclidean")
        np.exp(np.multiply(kernel, -0.5 / bandwidth**2, out=kernel), out=kernel)
        near_a = kernel @ in_a
        inside_a, from_a = inside_a + (in_a[part] * near_a).sum(axis=0), from_a + near_a.sum(axis=0)
        both += kernel.sum()
    between = from_a - inside_a
    inside_b = both - inside_a - 2 * between
    # A patient's likeness to itself, always 1, is left out: that makes the estimate unbiased.
    inside = (inside_a - n) / (n * (n - 1)) + (inside_b - m) / (m * (m - 1))
    return np.asarray(inside - 2 * between / (n * m))


def mmd2(x_a: Values, x_b: Values, bandwidth: float) -> float:
    """Unbiased squared maximum mean discrepancy, kernel exp(−‖x − x'‖² / (2 bandwidth²)) [1]_.

    Features are taken as they are. 0 on average when P(x) is the same, so often below 0; below 2.
    The time grows with the square of the rows: a sample of some 10,000 is seconds. Taught in lesson
    09.

    References
    ----------
    .. [1] Gretton et al. (2012), A kernel two-sample test. JMLR 13:723-773.
    """
    a, b = _features(x_a=x_a, x_b=x_b)
    require(bandwidth > 0, f"bandwidth must be above 0, not {bandwidth}; see median_bandwidth.")
    in_a = np.repeat([1.0, 0.0], [len(a), len(b)])[:, None]
    return float(_mmd2(np.vstack([a, b]), bandwidth, in_a)[0])


def mmd_test(
    x_a: Values,
    x_b: Values,
    rng: np.random.Generator,
    permutations: int = 499,
    strata: tuple[Values, Values] | None = None,
    groups: Groups = None,
) -> tuple[float, float]:
    """Is P(x) the same in both hospitals, or P(x | y)? MMD² and its permutation p value.

    Features are standardised and the bandwidth is `median_bandwidth`, both over all patients.
    With `strata`, ``(y_a, y_b)``, hospitals are exchanged within a diagnosis only, and the
    statistic is the mean of the diagnoses' MMD², weighted by their patients: pure label shift is
    then the null hypothesis. Each hospital needs two patients of each diagnosis. With `groups` a
    patient is exchanged with all rows (of a diagnosis). Taught in lesson 09.

    Returns
    -------
    mmd2, p : float
        p = (1 + permutations with no smaller statistic) / (1 + permutations).
    """
    a, b = _features(x_a=x_a, x_b=x_b)
    label = np.zeros(len(a) + len(b))
    if strata is not None:
        label = np.concatenate(_diagnoses(*strata, 2, a, b))
    x, whose = StandardScaler().fit_transform(np.vstack([a, b])), _owners(groups, len(a), len(b))
    width, in_a = median_bandwidth(x), np.repeat([1.0, 0.0], [len(a), len(b)])
    patient, values = np.concatenate([whose[0], len(a) + whose[1]]), np.zeros(1 + permutations)
    for rows in (np.flatnonzero(label == one) for one in np.unique(label)):
        _, first, own = np.unique(patient[rows], return_index=True, return_inverse=True)
        of_a = in_a[rows][first]
        enough = 1 < of_a.sum() < len(of_a) - 1
        require(enough, "groups: two patients of each hospital, and diagnosis, are needed.")
        mixed = rng.permuted(np.tile(of_a, (permutations, 1)), axis=1)[:, own]
        share = len(rows) / len(x)
        values += share * _mmd2(x[rows], width, np.vstack([in_a[rows], mixed]).T)
    # Rounding must not decide a tie, and a tie counts against the observed value.
    return float(values[0]), float(np.mean(values >= values[0] - 1e-12))


def prevalence_test(y_a: Values, y_b: Values, groups: Groups = None) -> tuple[float, float]:
    """Prevalence in b minus prevalence in a, and the two-sided p value of Fisher's exact test.

    With `groups` a patient is ill if any row is.

    Returns
    -------
    difference, p : float
        In [-1, 1] and (0, 1].
    """
    y = _diagnoses(y_a, y_b, 0)
    whose = _owners(groups, *map(len, y))
    a, b = ((np.bincount(who, rows) > 0).astype(int) for who, rows in zip(whose, y, strict=True))
    table = [[int(y.sum()), int((1 - y).sum())] for y in (a, b)]
    return float(b.mean() - a.mean()), float(stats.fisher_exact(table).pvalue)


class ConceptTest(NamedTuple):
    """The p values of `concept_test`, in (0, 1]."""

    intercept_p: float
    slopes_p: float


def _ridge_fits(design: Array, y: Array) -> tuple[Array, Array]:
    """Ridge logistic regressions, by Newton's method, of each row of `y` (s, n) on `design` (n, k).

    Returns coefficients (s, k) and penalised log likelihoods (s,).
    """
    # A normal prior of standard deviation 1 for each log odds ratio: weak, yet enough where a
    # small hospital separates. The intercept is all but free.
    penalty = np.append(1e-6, np.ones(design.shape[1] - 1))
    squares = np.einsum("ni,nj->nij", design, design).reshape(len(design), -1)
    beta = np.zeros((len(y), len(penalty)))
    for _ in range(NEWTON_STEPS):
        p = expit(beta @ design.T)
        gradient = (y - p) @ design - penalty * beta
        curvature = ((p * (1 - p)) @ squares).reshape(len(y), *2 * penalty.shape)
        step = np.linalg.solve(curvature + np.diag(penalty), gradient[:, :, None])[:, :, 0]
        beta = beta + step
        if np.abs(step).max() < 1e-6:
            log_odds = beta @ design.T
            likelihood = (y * log_odds - np.logaddexp(0, log_odds)).sum(axis=1)
            return beta, likelihood - beta**2 @ penalty / 2
    raise ValueError(
        f"No logistic fit in {NEWTON_STEPS} steps: look for extreme outliers in x, "
        "or take logarithms."
    )


def _bootstrap_p(null: Array, full: Array, y: Array, rng: np.random.Generator, draws: int) -> float:
    """Likelihood ratio of `full` to `null`, judged by `y` drawn anew from the fitted `null`."""
    beta, height = _ridge_fits(null, y[None])
    observed = _ridge_fits(full, y[None])[1] - height
    drawn = (rng.random((draws, len(y))) < expit(beta @ null.T)).astype(float)
    ratios = _ridge_fits(full, drawn)[1] - _ridge_fits(null, drawn)[1]
    return float((1 + (ratios >= observed).sum()) / (1 + draws))


def concept_test(
    x_a: Values,
    y_a: Values,
    x_b: Values,
    y_b: Values,
    rng: np.random.Generator,
    simulations: int = 199,
) -> ConceptTest:
    """Is P(y | x) the same in both hospitals? Likelihood-ratio tests of logistic regressions.

    intercept: y ~ x against y ~ x + hospital, 1 coefficient more. slopes: that against
    y ~ x + hospital + x:hospital, d more. Features are standardised over all patients; a weak
    ridge helps small hospitals, which separate. The p values come from a parametric bootstrap
    [1]_: diagnoses are drawn anew from the smaller model, and both are fitted to them. Without
    ridge the chi-squared distribution rejects far too often: equal slopes in more than one study
    of four with 120 and 46 patients and 13 features. With it, too rarely. Each hospital needs both
    classes. `simulations` are the draws; the least p is 1 / (1 + simulations). Of a patient with
    several rows take one: the draws are of rows.

    References
    ----------
    .. [1] Davison and Hinkley (1997), Bootstrap methods and their application, section 4.2.3,
       doi:10.1017/CBO9780511802843.
    """
    a, b = _features(x_a=x_a, x_b=x_b)
    y = np.concatenate(_diagnoses(y_a, y_b, 1, a, b)).astype(float)
    x = StandardScaler().fit_transform(np.vstack([a, b]))
    # ±½, so that the ridge treats both hospitals alike.
    hospital = np.repeat([-0.5, 0.5], [len(a), len(b)])[:, None]
    common = np.hstack([np.ones_like(hospital), x])
    own_intercept = np.hstack([common, hospital])
    own_slopes = np.hstack([own_intercept, x * hospital])
    return ConceptTest(
        _bootstrap_p(common, own_intercept, y, rng, simulations),
        _bootstrap_p(own_intercept, own_slopes, y, rng, simulations),
    )


def simulated_pair(
    kind: str, n_a: int, n_b: int, rng: np.random.Generator
) -> tuple[Array, Array, Array, Array]:
    """``x_a, y_a, x_b, y_b`` of two simulated hospitals between which one shift of `KINDS` lies.

    Five features; P(y | x) is logistic in both hospitals, and log odds are ``x @ SLOPES`` unless
    said otherwise. none: x is standard normal. covariate: in b its mean is `SHIFT`, which raises
    the prevalence. concept: b has the `SLOPES` in reverse order. label: within a class x is
    normal, the means `SLOPES` apart; the prevalences are `PREVALENCES`, of which the log odds of
    each hospital have their intercept.
    """
    require(kind in KINDS, f"kind must be one of {', '.join(KINDS)}, not {kind!r}.")
    x_a, x_b = (rng.normal(size=(n, len(SLOPES))) for n in (n_a, n_b))
    chance = rng.random(n_a), rng.random(n_b)
    if kind == "label":
        y_a, y_b = ((u < p).astype(int) for u, p in zip(chance, PREVALENCES, strict=True))
        return x_a + np.outer(y_a - 0.5, SLOPES), y_a, x_b + np.outer(y_b - 0.5, SLOPES), y_b
    x_b = x_b + SHIFT * (kind == "covariate")
    slopes_b = SLOPES[::-1] if kind == "concept" else SLOPES
    log_odds = x_a @ SLOPES, x_b @ slopes_b
    y_a, y_b = ((u < expit(z)).astype(int) for u, z in zip(chance, log_odds, strict=True))
    return x_a, y_a, x_b, y_b


def _probabilities(p: Values, **prevalences: float) -> Array:
    """Return probabilities as floats; refuse what is none, and prevalences of 0 or 1."""
    values = np.asarray(p, dtype=float)
    fine = values.ndim == 1 and len(values) and ((values >= 0) & (values <= 1)).all()
    require(fine, "p: pass one probability, in [0, 1], for each patient, shape (n,).")
    for name, prevalence in prevalences.items():
        require(0 < prevalence < 1, f"{name} must lie between 0 and 1, not {prevalence}.")
    return values


def at_prevalence(p: Values, old: float, new: float) -> Array:
    """Probabilities (n,) that hold at prevalence `old`, brought to prevalence `new` by Bayes' rule.

    The odds are multiplied by new / (1 − new) and divided by old / (1 − old): right under label
    shift only.
    """
    values = _probabilities(p, old=old, new=new)
    ill, healthy = values * new / old, (1 - values) * (1 - new) / (1 - old)
    return np.asarray(ill / (ill + healthy))


def density_ratio(
    x_source: Values, x_target: Values, rng: np.random.Generator, groups: Groups = None
) -> Array:
    """Weights (n,), mean 1, under which the source's patients resemble the target's [1]_.

    The odds that a row is of the target, out of five folds, by a logistic regression on
    standardised features; cut at their 99 % quantile, so that no few patients decide alone.

    References
    ----------
    .. [1] Bickel, Brückner and Scheffer (2009), Discriminative learning under covariate shift.
       JMLR 10:2137-2155.
    """
    source, target = _features(x_source=x_source, x_target=x_target)
    odds = np.exp(_log_odds_of_b(source, target, rng, 5, groups)[: len(source)])
    cut = np.minimum(odds, np.quantile(odds, 0.99))
    return np.asarray(cut / cut.mean())
