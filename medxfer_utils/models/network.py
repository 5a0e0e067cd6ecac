"""The one model: a Keras network, and how what is measured becomes its input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medxfer_utils import require
from medxfer_utils.models import penalties, surgery
from medxfer_utils.models import training as trainer
from medxfer_utils.models.architectures import every_layer, reinitialised, thaw
from medxfer_utils.models.base import Array, Prepare, Rows, Training, Transferable, prepared

# isort: split
import keras

WHOLE_SET = Training(steps=300, batch=None)  # how a network for a small table is trained


@dataclass(frozen=True, eq=False)
class Model(Transferable):
    """A Keras network whose last layer, named "head", gives the log odds of the disease.

    Taught in lessons 02 and 05.

    Parameters
    ----------
    network : keras.Model
        Input (n, ...), output (n, 1). Read, never changed.
    prepare : StandardScaler, Pipeline or callable
        From raw features (n, d) or images (n, height, width) to what the network is fed.
    source_prepare : StandardScaler, Pipeline or callable, optional
        How its training patients were prepared, where that differs.

    Raises
    ------
    ValueError
        If the last layer has another name, several outputs, or an activation.
    """

    network: keras.Model
    prepare: Prepare
    source_prepare: Prepare | None = None

    def __post_init__(self) -> None:
        last, wide = self.network.layers[-1].name, self.network.output_shape
        fine = last == "head" and wide[1:] == (1,)
        require(
            fine, f"The last layer, {last!r}, gives {wide}: name it 'head', and give it 1 unit."
        )
        trainer.require_logit(self.network)

    @property
    def backbone(self) -> tuple[str, ...]:
        return surgery.backbone_layers(self.network)

    @property
    def norms(self) -> tuple[str, ...]:
        return surgery.norms(self.network)

    def logit(self, x: Array) -> Array:
        return trainer.outputs(self.network, prepared(self.prepare, x))[:, 0]

    def features(self, x: Array, layer: str = "features") -> Array:
        """What a layer gives for raw features or images, shape (n, ...)."""
        return trainer.outputs(self.network, prepared(self.prepare, x), layer)

    def untrained(self, seed: int = 0) -> Model:
        network = reinitialised(self.network, seed)
        thaw(network)  # what is frozen in the source must be learnt now
        return replace(self, network=network)

    def with_new_head(self, seed: int = 0) -> Model:
        fresh = reinitialised(self.network, seed)
        return replace(self, network=surgery.with_backbone_of(self.network, fresh))

    def minimised(
        self,
        data: Rows,
        training: Training | None = None,
        seed: int = 0,
        *,
        strength: float = 0.0,
        frozen: Sequence[str] = (),
        multipliers: Mapping[str, float] | None = None,
        penalty: trainer.Penalised | None = None,
        order: NDArray[np.integer] | None = None,
    ) -> Model:
        """As `Transferable.minimised`; and what else `train` takes."""
        if strength:
            penalty = trainer.Penalised(penalties.Shrink(2), strength)
        told = self.network, data.z, data.y, training or WHOLE_SET, seed
        counts = data.weight * len(data.weight)
        counts = np.ones(len(counts)) if np.allclose(counts, 1) else counts
        trained = trainer.train(*told, frozen, multipliers, penalty, order, counts)
        return replace(self, network=trained)

    def anchored(
        self, data: Rows, strength: float, training: Training | None = None, seed: int = 0
    ) -> Model:
        penalty = trainer.Penalised(penalties.Anchor(2), strength)
        return self.minimised(data, training, seed, penalty=penalty)

    def restandardised(self, x: Array, seed: int = 0) -> Model:
        """The same weights; scaler and batch norm with statistics of unlabelled `x`."""
        model = super().restandardised(x)
        layers = every_layer(self.network)
        if not any(isinstance(m, keras.layers.BatchNormalization) for m in layers):
            return model
        network = trainer.with_statistics_of(self.network, prepared(model.prepare, x), seed)
        return replace(model, network=network)
