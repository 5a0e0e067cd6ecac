"""Every transfer strategy of the course, for tables and images alike.

Each is a function of a source model and the target's labelled patients, and says what it keeps of
the source. Each returns a new model, and prepares the target as the model it is given does: hand it
`restandardised(source, x)` to give the target statistics of its own. `training` is how much a
network is trained and how; for a `Linear` model its steps are gradient steps, and without it the
loss goes to its minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from medxfer_utils import require
from medxfer_utils.cohorts import Cohort, require_disjoint
from medxfer_utils.models import surgery
from medxfer_utils.models.base import (
    Array,
    Classical,
    Labels,
    Prepare,
    Rows,
    Strategy,
    Training,
    Transferable,
    fitted_on,
    rows,
)
from medxfer_utils.models.combined import Average
from medxfer_utils.models.network import Model
from medxfer_utils.models.penalties import Anchor, MapDistance, Penalty, SpectralShrinkage
from medxfer_utils.models.training import Penalised, in_turn

M = TypeVar("M", bound=Transferable)

SHORT = Training(steps=100, batch=None)  # what starts from the source of a small table gets


# --- nothing is trained ---------------------------------------------------------------------------


def restandardised(source: M, x: Array, seed: int = 0) -> M:
    """Keep the parameters, with statistics of the target's own: no label is needed.

    A scaler is fitted anew on unlabelled target features: this matches the mean and the variance
    of each feature, where CORAL [1]_ matches their covariances too. Batch norm gets the mean and
    variance of unlabelled target images (AdaBN [2]_). Taught in lessons 02 and 05.

    Parameters
    ----------
    source : Transferable
    x : ndarray, shape (n, ...)
        Raw features or images of target *training* patients.
    seed : int
        Of the order in which images pass.

    References
    ----------
    .. [1] Sun, Feng and Saenko (2016), doi:10.1609/aaai.v30i1.10306.
    .. [2] Li et al. (2018), doi:10.1016/j.patcog.2018.03.005.
    """
    return source.restandardised(x, seed)


# --- keep nothing, or the patients ----------------------------------------------------------------


def classical(pipeline: Any, target: Cohort) -> Classical:
    """Keep nothing: a copy of a scikit-learn pipeline, fitted on the labelled patients."""
    return Classical(clone(pipeline).fit(target.x, target.y))


def target_only(
    source: M,
    target: Cohort,
    training: Training | None = None,
    seed: int = 0,
    prepare: Prepare | None = None,
) -> M:
    """Keep nothing: an untrained model of the same kind, trained on the target's labels.

    A scaler is fitted on the labelled patients, unless one is given as `prepare` that was fitted on
    more (unlabelled) patients of the target. Taught in lesson 02.
    """
    own = fitted_on(source.prepare, target.x) if prepare is None else prepare
    start = _from_scratch(source, own, seed)
    return start.minimised(rows(target, own), training, seed, strength=start.ridge(len(target)))


def _from_scratch(source: M, prepare: Prepare, seed: int) -> M:
    """An untrained model of the same kind that knows no other way to prepare than this."""
    fresh: Any = source.untrained(seed)
    return cast(M, replace(fresh, prepare=prepare, source_prepare=None))


def joint(
    source: M,
    target: Cohort,
    patients: Cohort,
    weight: float,
    training: Training | None = None,
    seed: int = 0,
) -> M:
    """Keep the patients, at a price: min over θ of L(θ; target) + weight · R(θ; source).

    L and R are mean losses, so the gradient is g_target + weight · g_source. With `weight` 0 this
    is `target_only` on the same scaler; with n_source / n_target every patient counts the same.
    Each site is prepared in its own way, as far as the source model knows it. Taught in lesson 02.

    Raises
    ------
    ValueError
        If the weight is negative, or a patient is in both cohorts.
    """
    require(weight >= 0, f"The weight of the source must not be negative, got {weight}.")
    data, start = _of_both(source, target, patients, weight), source.untrained(seed)
    return start.minimised(data, training, seed, strength=start.ridge(len(target)))


def joint_batches(
    source: Model, target: Cohort, patients: Cohort, training: Training, seed: int = 0
) -> Model:
    """Keep the start, the norms and the patients: they are one half of each batch.

    Taught in lesson 08.
    """
    data = _of_both(source, target, patients, 1.0)
    order = half_and_half(len(target), len(patients), training, seed)
    data = data._replace(weight=np.full(len(data.y), 1 / len(data.y)))
    return source.minimised(data, training, seed, frozen=source.norms, order=order)


def _of_both(source: Transferable, target: Cohort, patients: Cohort, weight: float) -> Rows:
    """Rows of the target, then of the source at a weight, each prepared in its own way."""
    require_disjoint(patients, target)
    theirs = source.prepare if source.source_prepare is None else source.source_prepare
    return rows(target, source.prepare) + rows(patients, theirs, weight)


def half_and_half(target: int, source: int, training: Training, seed: int) -> Labels:
    """Batches of which one half is the target's rows, the other the source's.

    Parameters
    ----------
    target, source : int
        Rows of each; the source's stand behind the target's.
    training : Training
        Its steps and batch; the target gets the smaller half of an odd batch.
    seed : int
        Of the order of the target's rows; the source's have the next.

    Returns
    -------
    ndarray of int, shape (steps, batch)

    Raises
    ------
    ValueError
        If a batch is the whole set, or of one row.
    """
    batch = training.batch or 0
    require(batch > 1, f"A batch of {training.batch} cannot be shared by target and source.")
    mine = in_turn(target, replace(training, batch=batch // 2), seed)
    theirs = in_turn(source, replace(training, batch=batch - batch // 2), seed + 1)
    return np.hstack([mine, target + theirs])


# --- keep the backbone ----------------------------------------------------------------------------


def frozen_features(
    source: M, target: Cohort, training: Training | None = None, seed: int = 0
) -> M:
    """Keep the backbone: only a new head is trained on the target.

    For a linear model the backbone is its score, and the new head a slope and an intercept on it.
    Taught in lessons 02 and 05.
    """
    return _head_trained(source.with_new_head(seed), target, training, seed)


def _head_trained(start: M, target: Cohort, training: Training | None, seed: int) -> M:
    data, strength = rows(target, start.prepare), start.ridge(len(target))
    return start.minimised(data, training, seed, strength=strength, frozen=start.backbone)


def classical_head(
    source: Model, target: Cohort, classifier: Any, layer: str = "features"
) -> Classical:
    """Keep the backbone: a scikit-learn classifier on its standardised features, layer `layer`.

    Taught in lesson 08.
    """

    def take(x: Array) -> Array:  # no bound method: its copy would copy the network
        return source.features(x, layer)

    return classical(make_pipeline(FunctionTransformer(take), StandardScaler(), classifier), target)


# --- keep the start -------------------------------------------------------------------------------


def fine_tuned(
    source: M, target: Cohort, training: Training = SHORT, seed: int = 0, frozen: Sequence[str] = ()
) -> M:
    """Keep the start: train on the target from the source's parameters; `frozen` ones stay.

    Taught in lessons 02 and 05.
    """
    return source.minimised(rows(target, source.prepare), training, seed, frozen=frozen)


def first_blocks_frozen(
    source: Model, target: Cohort, training: Training, seed: int = 0, first: int = 2
) -> Model:
    """Keep the first blocks as they are and the others as a start. Taught in lesson 05."""
    return fine_tuned(source, target, training, seed, surgery.blocks(source.network, first))


def discriminative_rates(
    source: Model, target: Cohort, training: Training, seed: int = 0, ratio: float = 2.0
) -> Model:
    """Keep the start, more of it the nearer the image: each block learns `ratio` times slower.

    The head learns at the full rate, the last block at 1 / `ratio` of it [1]_. Taught in lesson 05.

    References
    ----------
    .. [1] Howard and Ruder (2018), Universal language model fine-tuning for text classification.
       ACL, doi:10.18653/v1/P18-1031.
    """
    numbers = surgery.block_numbers(source.network)
    top = max(numbers.values()) + 1
    rates = {name: ratio ** (block - top) for name, block in numbers.items()}
    return source.minimised(rows(target, source.prepare), training, seed, multipliers=rates)


def gradually_unfrozen(source: Model, target: Cohort, training: Training, seed: int = 0) -> Model:
    """Keep one block after another: train the head, then block after block from the top as well.

    Each stage gets an equal share of the steps [1]_. Taught in lesson 05.

    References
    ----------
    .. [1] Howard and Ruder (2018), doi:10.18653/v1/P18-1031.
    """
    there = max(surgery.block_numbers(source.network).values())
    shares = np.diff(np.linspace(0, training.steps, there + 2).astype(int))
    for stage, steps in enumerate(shares):
        part, still = replace(training, steps=int(steps)), there - stage
        frozen = surgery.blocks(source.network, still)
        source = fine_tuned(source, target, part, seed + stage, frozen)
    return source


def lp_ft(
    source: M,
    target: Cohort,
    training: Training = SHORT,
    seed: int = 0,
    head: Training | None = None,
) -> M:
    """Keep the backbone until the head fits it, then the start: fine-tune all but the norms [1]_.

    The head starts as the source's; hand over `source.with_new_head(seed)` for a new one.
    Taught in lesson 04.

    References
    ----------
    .. [1] Kumar et al. (2022), Fine-tuning can distort pretrained features and underperform
       out-of-distribution. ICLR.
    """
    probed = _head_trained(source, target, head, seed)
    return fine_tuned(probed, target, training, seed + 1, probed.norms)


# --- keep an anchor -------------------------------------------------------------------------------


def l2_sp(
    source: M, target: Cohort, strength: float, training: Training | None = None, seed: int = 0
) -> M:
    """Keep an anchor: min over θ of L(θ; target) + strength · ½‖θ − θ_source‖² [1]_.

    A linear model's intercept is free, unless the model holds it. Strength 0 forgets the source (a
    network still starts from it), a great strength keeps it as it is. Taught in lesson 02.

    Raises
    ------
    ValueError
        If the strength is negative.

    References
    ----------
    .. [1] Li, Grandvalet and Davoine (2018), Explicit inductive bias for transfer learning with
       convolutional networks. ICML.
    """
    require(strength >= 0, f"The strength of the anchor must not be negative, got {strength}.")
    return source.anchored(rows(target, source.prepare), strength, training, seed)


def penalised(
    source: Model,
    target: Cohort,
    penalty: Penalty,
    strength: float,
    training: Training,
    seed: int = 0,
) -> Model:
    """Keep the start, and what a penalty holds. Taught in lesson 08."""
    held = Penalised(penalty, strength)
    return source.minimised(rows(target, source.prepare), training, seed, penalty=held)


def l1_sp(
    source: Model, target: Cohort, strength: float, training: Training, seed: int = 0
) -> Model:
    """Keep an anchor, and most weights exactly on it: strength · ‖θ − θ_source‖₁.

    Taught in lesson 08.
    """
    return penalised(source, target, Anchor(1), strength, training, seed)


def bss(source: Model, target: Cohort, strength: float, training: Training, seed: int = 0) -> Model:
    """Keep the start, but not the weakest direction of the features (`SpectralShrinkage`).

    Taught in lesson 08.
    """
    return penalised(source, target, SpectralShrinkage(1), strength, training, seed)


def delta(
    source: Model,
    target: Cohort,
    strength: float,
    training: Training,
    seed: int = 0,
    layers: tuple[str, ...] = ("relu_3", "relu_4"),
) -> Model:
    """Keep the maps of some layers, those channels more that matter (DELTA, `MapDistance`).

    Taught in lesson 08.
    """
    data = rows(target, source.prepare)
    attention = surgery.channel_attention(source.network, data.z, target.y, layers)
    held = Penalised(MapDistance(layers), strength, attention=attention)
    return source.minimised(data, training, seed, penalty=held)


# --- keep all, and add small weights --------------------------------------------------------------


def lora(source: Model, target: Cohort, training: Training, seed: int = 0, rank: int = 4) -> Model:
    """Keep all but the head and add small weights: low-rank increments to the kernels.

    Taught in lesson 08.
    """
    grown = replace(source, network=surgery.with_lora(source.network, rank, seed))
    parts = surgery.weighted(grown.network)
    frozen = [part.name for part in parts if not getattr(part, "lora_enabled", False)]
    tuned = fine_tuned(grown, target, training, seed, frozen)
    return replace(source, network=surgery.merged(tuned.network, source.network))


def residual_adapters(source: Model, target: Cohort, training: Training, seed: int = 0) -> Model:
    """Keep all but the head and add small weights: a 1×1 convolution beside each convolution.

    Taught in lesson 08.
    """
    grown = replace(source, network=surgery.with_adapters(source.network))
    frozen = [layer.name for layer in surgery.weighted(source.network)]
    tuned = fine_tuned(grown, target, training, seed, frozen)
    return replace(source, network=surgery.merged(tuned.network, source.network))


# --- several --------------------------------------------------------------------------------------


def ensemble(strategy: Strategy, members: int) -> Strategy:
    """Keep what a strategy keeps, several times: the mean of fits that differ in their seed only.

    Taught in lesson 08.
    """
    return lambda target, seed: Average([strategy(target, 100 * seed + k) for k in range(members)])
