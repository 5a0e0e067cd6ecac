"""Several kinds of data about one patient: side by side in one table, and as named inputs.

A fused network has one named `keras.Input` for each kind. The trainer and the strategies know one
table: `Modalities` tells where each kind stands in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from sklearn.preprocessing import FunctionTransformer

from medxfer_utils import require, settle_tensorflow
from medxfer_utils.models.base import Array

settle_tensorflow()  # first: it decides how TensorFlow starts

import keras  # noqa: E402


@dataclass(frozen=True)
class Modalities:
    """Where each kind of data stands in the one table that models are trained on.

    Taught in lesson 12.

    Parameters
    ----------
    columns : mapping of str to sequence of str
        The columns of each kind, in the order in which they stand side by side.
    """

    columns: Mapping[str, Sequence[str]]

    def table(self, parts: Mapping[str, pd.DataFrame]) -> Array:
        """Put the kinds side by side, shape (n, d), whatever the order of their columns.

        Raises
        ------
        ValueError
            If a kind or a column is missing or unknown, or rows are of different patients.
        """
        _require_same("The batch", [*parts], [*self.columns], "inputs")
        for name, known in self.columns.items():
            _require_same(f"The {name}", [*parts[name].columns], [*known], "columns")
        frames = [parts[name][[*known]] for name, known in self.columns.items()]
        rows = [name for name, f in parts.items() if not f.index.equals(frames[0].index)]
        one = f"The rows of {rows} are not those of {next(iter(self.columns))!r}"
        require(not rows, f"{one}: give every part the same patients, in the same order.")
        return np.hstack([frame.to_numpy(float) for frame in frames])

    def places(self, *names: str) -> list[int]:
        """Where some kinds stand in the table: the numbers of their columns."""
        _require_same("The choice", [*names], [n for n in self.columns if n in names], "inputs")
        ends = np.cumsum([0, *map(len, self.columns.values())]).tolist()
        spans = {name: range(*ends[k : k + 2]) for k, name in enumerate(self.columns)}
        return [place for name in names for place in spans[name]]

    def of(self, *names: str) -> FunctionTransformer:
        """Take some kinds out of the table: the first step of a pipeline."""
        return FunctionTransformer(partial(np.take, indices=self.places(*names), axis=1))

    def one_input(self, network: keras.Model) -> keras.Model:
        """The same network, reading the table instead of its named inputs."""
        named = {tensor.name: tensor.shape[1] for tensor in network.inputs}
        told = {name: len(known) for name, known in self.columns.items()}
        require(named == told, f"The network reads {named}, the table has {told}.")
        table = keras.Input((sum(told.values()),), name="table")
        parts = {n: table[:, (p := self.places(n))[0] : p[-1] + 1] for n in told}
        twin = keras.models.clone_model(network)
        twin.set_weights(network.get_weights())
        # Called as a function, it is no layer within another: its own layers are laid out anew.
        inputs = keras.tree.map_structure(lambda tensor: parts[tensor.name], network.input)
        return keras.Model(table, twin.call(inputs), name=network.name)


def _require_same(who: str, given: list[str], known: list[str], what: str) -> None:
    """Raise ValueError unless the same names are given as known, in any order."""
    lacking, foreign = [n for n in known if n not in given], [n for n in given if n not in known]
    told = [f"{verb} {names}" for verb, names in (("lacks", lacking), ("brings", foreign)) if names]
    require(not told, f"{who} {' and '.join(told)}: its {what} are {known}.")
