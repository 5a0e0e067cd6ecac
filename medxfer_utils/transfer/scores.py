"""Scores that rank sources before any training on the target: the larger, the more promising.

Each score reads what a frozen source model makes of labelled target patients: its features, shape
(n, d), or its class probabilities, shape (n, k). ``y`` holds their labels, shape (n,), of two or
more classes. A score compares sources on the *same* patients; its value alone means little.
Whatever breaks the convention raises ``ValueError``. Nothing here changes its arguments.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from medxfer_utils import require

Array = npt.NDArray[Any]
Values = npt.ArrayLike


def _checked(name: str, values: Values, y: Values) -> tuple[Array, Array]:
    """Check `values` (n, d) and `y` (n,); return the values as floats and the classes 0, 1, ..."""
    table, labels = np.asarray(values, dtype=float), np.asarray(y)
    alike = table.ndim == 2 and labels.shape == table.shape[:1] and table.size
    both = f"{name} has shape {table.shape} and y {labels.shape}"
    require(alike, f"{both}: pass a row of values (n, d) and a label (n,) for each patient")
    row, column = np.unravel_index(np.argmax(~np.isfinite(table)), table.shape)
    place = f"{name} is {table[row, column]} in row {row}, column {column}"
    require(np.isfinite(table).all(), f"{place}: find out what the source model was fed there")
    gaps = labels != labels
    require(not gaps.any(), f"y is NaN in row {np.argmax(gaps)}: pass labelled patients only")
    classes, coded = np.unique(labels, return_inverse=True)
    one = f"y holds class {classes[0]} only ({len(labels)} rows): a score needs two"
    require(len(classes) > 1, f"{one}; label more patients or stratify the draw")
    return table, coded


def _spanned(features: Array) -> tuple[Array, Array]:
    """Orthonormal basis (n, r) of what the columns span, and the squared singular values (r,).

    Directions that rounding alone can explain are left out, by NumPy's criterion for a rank.
    """
    basis, size, _ = np.linalg.svd(features, full_matrices=False)
    kept = size > size[0] * max(features.shape) * np.finfo(float).eps
    return basis[:, kept], size[kept] ** 2


def logme(features: Values, y: Values) -> float:
    """Log of maximum evidence (LogME [1]_): how well linear models of the features explain labels.

    For each class, its indicator t is taken for a linear function of the features plus noise,
    t ~ N(Fw, I/β) with w ~ N(0, I/α). The evidence log p(t | F, α, β) integrates over w, so a
    source is not rewarded for features that merely could fit. It is maximised over α and β, divided
    by n, and averaged over the classes.

    As in the original nothing is centred and no column of ones is added: an offset that all
    patients share in a feature serves as the intercept, so the score changes when it is removed.
    It does not change when all features are multiplied by one number, or rotated.

    Parameters
    ----------
    features : array, shape (n, d)
        What the source model computes before its head.
    y : array, shape (n,)
        Labels.

    Returns
    -------
    float
        Of either sign; in nats per patient.

    Raises
    ------
    ValueError
        If an argument breaks the module's convention, or an indicator is an exact linear function
        of fewer than n features: its evidence grows without limit as the noise vanishes.

    References
    ----------
    .. [1] You, Liu, Wang and Long (2021), LogME: practical assessment of pre-trained models for
       transfer learning. ICML.
    """
    table, coded = _checked("features", features, y)
    basis, size = _spanned(table)
    indicators = np.eye(coded.max() + 1)[coded]
    return float(np.mean([_maximum_evidence(t, basis, size) for t in indicators.T]) / len(coded))


def _maximum_evidence(t: Array, basis: Array, size: Array) -> float:
    """Maximum over α and β of log p(t | F, α, β), F with this `basis` and squared `size`.

    MacKay's fixed point: at a maximum α = γ / ‖m‖² and β = (n - γ) / ‖t - Fm‖², with m the
    posterior mean and γ the number of directions that the labels determine. Without an inner
    maximum (features that say nothing, or as many as patients) α or β grows for ever while the
    evidence settles: so the evidence decides when to stop.
    """
    n, onto = len(t), basis.T @ t
    along, missed = onto**2, t - basis @ onto
    outside = missed @ missed  # what no linear function of the features can reach
    if not along.any():  # the features have nothing to say: noise alone, β = n / ‖t‖²
        return float(n * (np.log(n / (2 * np.pi * t @ t)) - 1) / 2)
    exact = "a class is an exact linear function of the features, so its evidence has no maximum"
    fine = len(size) >= n or outside >= 1e-20 * (t @ t)
    require(fine, f"{exact}: look for a feature that holds the label, or score more patients")
    ratio, before, evidence = size.mean(), -np.inf, np.inf  # ratio = α / β
    while abs(evidence - before) > 1e-10 * n:
        determined = (size / (size + ratio)).sum()
        beta = (n - determined) / (outside + (along * (ratio / (size + ratio)) ** 2).sum())
        alpha = determined / (along * size / (size + ratio) ** 2).sum()
        before, ratio = evidence, alpha / beta
        # log N(t; 0, I/β + FFᵀ/α), along the basis and outside it
        square = beta * (outside + (along * ratio / (size + ratio)).sum())
        evidence = (n * np.log(beta / (2 * np.pi)) - np.log1p(size / ratio).sum() - square) / 2
    return float(evidence)


def leep(source_p: Values, y: Values) -> float:
    """Log expected empirical prediction (LEEP [1]_): what the source's classes tell of ours.

    The source's classes need not be the target's. P(y | z), the share of label y among patients of
    source class z, turns the source's probabilities of z into probabilities of y; the score is the
    mean log probability of the patients' own labels.

    Parameters
    ----------
    source_p : array, shape (n, k)
        The source model's class probabilities, in [0, 1], each row with sum 1. From a binary model
        with probability p of the disease: ``np.column_stack([1 - p, p])``.
    y : array, shape (n,)
        Labels.

    Returns
    -------
    float
        In nats per patient, at most 0; at least minus the entropy of the labels.

    Raises
    ------
    ValueError
        If an argument breaks the module's convention, or a row is not a distribution.

    References
    ----------
    .. [1] Nguyen, Hassner, Seeger and Archambeau (2020), LEEP: a new measure to evaluate
       transferability of learned representations. ICML.
    """
    table, coded = _checked("source_p", source_p, y)
    wrong = (table < 0).any(axis=1) | ~np.isclose(table.sum(axis=1), 1, atol=1e-5)
    first = int(np.argmax(wrong))
    about = f"sum {table[first].sum():.4g}, smallest {table[first].min():.4g}"
    lost = f"source_p: {wrong.sum()} of {len(table)} rows are no distribution, row {first} first"
    require(not wrong.any(), f"{lost} ({about}): pass probabilities of every class, not logits")
    joint = np.eye(coded.max() + 1)[coded].T @ table  # (classes, k)
    met = joint.sum(axis=0) > 0  # a source class that nobody has is evidence of nothing
    translation = joint[:, met] / joint[:, met].sum(axis=0)
    return float(np.mean(np.log((translation[coded] * table[:, met]).sum(axis=1))))


def h_score(features: Values, y: Values) -> float:
    """H-score [1]_: variance between classes, counted in units of the variance of the features.

    tr(pinv(cov(f)) cov(E[f | y])), both covariances with the same divisor (which cancels). Any
    invertible linear map of the features, and any offset, leaves it unchanged.

    Parameters
    ----------
    features : array, shape (n, d)
        What the source model computes before its head.
    y : array, shape (n,)
        Labels.

    Returns
    -------
    float
        From 0 to min(d, number of classes - 1). With d ≥ n - 1 features in general position it is
        the number of classes - 1 for every source, and says nothing.

    Raises
    ------
    ValueError
        If an argument breaks the module's convention.

    References
    ----------
    .. [1] Bao, Li, Huang, Zhang, Zheng, Zamir and Guibas (2019), An information-theoretic approach
       to transferability in task transfer learning. ICIP. doi:10.1109/ICIP.2019.8803726.
    """
    table, coded = _checked("features", features, y)
    # With f = U S Vᵀ and P the averaging within classes, the trace is that of UᵀPU: no covariance
    # is inverted, and what is nearly singular stays harmless.
    basis, _ = _spanned(table - table.mean(axis=0))
    within = [basis[coded == c] for c in range(coded.max() + 1)]
    return float(sum(len(rows) * (rows.mean(axis=0) ** 2).sum() for rows in within))


def transrate(
    features: Values, y: Values, eps: float = 1e-4, *, equal_classes: bool = False
) -> float:
    """TransRate [1]_: how much shorter the code of the features becomes once labels are known.

    R(Z) - Σ n_c/n R(Z_c), where Z are the features minus their overall mean, Z_c the rows of class
    c, and R(Z) = ½ log det(I + ZᵀZ / (n eps)) the rate that codes a row of Z to precision eps. A
    class counts by its size; the code that the authors gave out takes the plain mean instead.

    As in the original a class is *not* centred on its own mean. Two classes of one size and one
    shape lie symmetrically about the overall mean, need the same code, and score 0 however far
    apart they are. So read it with three classes or more, or when one class is much rarer.

    Parameters
    ----------
    features : array, shape (n, d)
        What the source model computes before its head. The unit matters: bring sources to one.
    y : array, shape (n,)
        Labels.
    eps : float
        Squared error that the code may leave, above 0.
    equal_classes : bool
        Let each class count the same, as in the authors' code, instead of each patient: for
        figures that are to be compared with theirs. The two agree where classes are equally large.

    Returns
    -------
    float
        In nats per patient; at least 0, unless `equal_classes`.

    Raises
    ------
    ValueError
        If an argument breaks the module's convention, or `eps` is not above 0.

    References
    ----------
    .. [1] Huang, Huang, Rong, Yang and Wei (2022), Frustratingly easy transferability estimation.
       ICML.
    """
    require(eps > 0, f"eps must be above 0, not {eps}: no code is free of error")
    table, coded = _checked("features", features, y)
    centred = table - table.mean(axis=0)
    classes = [centred[coded == c] for c in range(coded.max() + 1)]
    sizes = None if equal_classes else [len(rows) for rows in classes]
    conditional = np.average([_coding_rate(rows, eps) for rows in classes], weights=sizes)
    return float(_coding_rate(centred, eps) - conditional)


def _coding_rate(rows: Array, eps: float) -> float:
    """½ log det(I + ZᵀZ / (n eps)), from the singular values of Z."""
    size = np.linalg.svd(rows, compute_uv=False) ** 2
    return float(np.log1p(size / (len(rows) * eps)).sum() / 2)
