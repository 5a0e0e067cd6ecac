"""What learns from a handful of patients: prototypes, Reptile, and several tasks at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from medxfer_utils import require
from medxfer_utils.models.training import copied

# isort: split
import keras
from keras import ops

Task = TypeVar("Task")


def prototype_logit(support: Any, y: Any, query: Any) -> Any:
    """How much nearer each query lies to the mean of the ill than to that of the healthy.

    The log odds of a prototypical network [1]_: squared distance to the healthy prototype, minus
    squared distance to the ill one. Taught in lesson 14.

    Parameters
    ----------
    support, query : array or tensor, shapes (n, d) and (m, d)
        Features; gradients flow through both.
    y : array or tensor, shape (n,)
        1 for the ill; both classes must be there.

    Returns
    -------
    tensor, shape (m,)

    References
    ----------
    .. [1] Snell, Swersky and Zemel (2017), Prototypical networks for few-shot learning. NeurIPS.
    """
    ill, z, new = (ops.cast(part, "float32") for part in (y, support, query))
    centres = [ops.sum(z * one[:, None], 0) / ops.sum(one) for one in (1 - ill, ill)]
    healthy, diseased = (ops.sum((new - centre) ** 2, axis=1) for centre in centres)
    return healthy - diseased


def reptile(
    network: keras.Model,
    tasks: Sequence[Task],
    adapt: Callable[[keras.Model, Task], object],
    share: float = 0.5,
) -> keras.Model:
    """Weights from which a few steps lead to any of the tasks (Reptile [1]_).

    For each task in turn: train on it, then go a share of the way to where that led. The share
    falls to zero along a straight line. The head is kept: if "yes" means something alike in all
    tasks, it learns that answer, which new tasks need not share. Taught in lesson 14.

    Parameters
    ----------
    network : keras.Model
        Read, never changed.
    tasks : sequence
        One for each step, such as small cohorts.
    adapt : callable
        (network, task): trains the network on the task, in place.
    share : float
        Of the way that is gone, at first; in (0, 1].

    Returns
    -------
    keras.Model

    References
    ----------
    .. [1] Nichol, Achiam and Schulman (2018), On first-order meta-learning algorithms.
    """
    require(0 < share <= 1, f"share must lie above 0 and be at most 1, not {share}.")
    twin = copied(network)
    for k, task in enumerate(tasks):
        before, part = twin.get_weights(), share * (1 - k / len(tasks))
        adapt(twin, task)
        after = twin.get_weights()
        twin.set_weights([b + part * (a - b) for b, a in zip(before, after, strict=True)])
    return twin


def uncertainty_weighted(losses: Any, log_variances: Any, squares: Any) -> Any:
    """The sum of several tasks' losses, each by how sure one is of its task [1]_.

    Task t with log variance s counts exp(−s) times its loss, half of it if that is a squared
    error, plus s / 2, which keeps the variance from growing for nothing. Taught in lesson 14.

    Parameters
    ----------
    losses, log_variances : array or tensor, shape (tasks,)
        The log variances are trained with the network.
    squares : array, shape (tasks,)
        1 where the loss is a squared error, 0 where it is a cross-entropy.

    Returns
    -------
    tensor, one number

    References
    ----------
    .. [1] Kendall, Gal and Cipolla (2018), Multi-task learning using uncertainty to weigh losses.
       CVPR.
    """
    counts = 1 - ops.cast(squares, "float32") / 2
    s = ops.cast(log_variances, "float32")
    return ops.sum(counts * ops.exp(-s) * losses + s / 2)
