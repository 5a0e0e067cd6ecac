"""How fast the book's training loop is: beside Keras's own fit and a plain loop in PyTorch.

The same network (that of `medmnist_recipe.py`), the same images, batch, optimiser and number of
threads, no augmentation. PyTorch is used if it can be imported: `README.md` says how to add it.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from medxfer_utils.models import Training, copied, train

# isort: split
import keras
import numpy as np
import pandas as pd

from medxfer_utils import results, threads

sys.path.append(str(results.ROOT))  # a script's own folder is there already, the root is not
from benchmarks.medmnist_recipe import Array, Labels, network

IMAGES, STEPS, ROUNDS, RATE = 2048, 60, 5, 0.001
BATCHES = (32, 128)
OURS = "medxfer_utils.models.train"
WITHOUT_TORCH = "PyTorch is not installed here, so it is left out; see benchmarks/README.md."


def images() -> tuple[Array, Labels]:
    """Noise with labels: what is seen does not change how long it takes."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((IMAGES, 28, 28, 1)).astype("float32")
    return x, rng.integers(2, size=IMAGES)


def by_fit(x: Array, y: Labels, batch: int) -> Callable[[], Any]:
    """Keras's own loop, compiled once; a copy of the network is trained."""
    model = copied(network(0))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(RATE), loss)
    rows = np.arange(STEPS * batch) % len(x)
    seen, labels = x[rows], y[rows, None]
    return lambda: model.fit(seen, labels, batch_size=batch, epochs=1, verbose=0)


def by_torch(x: Array, y: Labels, batch: int) -> Callable[[], Any]:
    """The loop of PyTorch's tutorials, its weights laid out with the channels last."""
    import torch

    torch.set_num_threads(threads())
    layers: list[Any] = []
    inputs = 1
    for layer in network(0).layers:
        if isinstance(layer, keras.layers.Conv2D):
            size, stride = layer.kernel_size[0], layer.strides[0]
            # Padding "same": 3 with stride 1 and 4 with stride 2 both need one pixel around.
            layers.append(torch.nn.Conv2d(inputs, layer.filters, size, stride, 1, bias=False))
            inputs = layer.filters
        elif isinstance(layer, keras.layers.BatchNormalization):
            layers.append(torch.nn.BatchNorm2d(inputs))
        elif isinstance(layer, keras.layers.ReLU):
            layers.append(torch.nn.ReLU())
        elif isinstance(layer, keras.layers.MaxPooling2D):
            layers.append(torch.nn.MaxPool2d(2))
        elif isinstance(layer, keras.layers.GlobalAveragePooling2D):
            layers += [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
        else:
            layers.append(torch.nn.Linear(inputs, layer.units))
    model = torch.nn.Sequential(*layers).to(memory_format=torch.channels_last)
    assert sum(p.numel() for p in model.parameters()) == sum(
        int(np.prod(w.shape)) for w in network(0).trainable_weights
    )
    adam, loss = torch.optim.Adam(model.parameters(), RATE), torch.nn.BCEWithLogitsLoss()
    seen = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    labels = torch.from_numpy(y.astype("float32"))

    def loop() -> None:
        model.train()
        for step in range(STEPS):
            rows = torch.arange(step * batch, (step + 1) * batch) % len(seen)
            part = seen[rows].contiguous(memory_format=torch.channels_last)
            adam.zero_grad()
            loss(model(part)[:, 0], labels[rows]).backward()
            adam.step()

    return loop


def main() -> None:
    """Time every loop in turn, and print images a second and ratios."""
    x, y = images()
    with_torch = importlib.util.find_spec("torch") is not None
    table = []
    for batch in BATCHES:
        training, start = Training(STEPS, RATE, batch), network(0)
        loops: dict[str, Callable[[], Any]] = {
            OURS: partial(train, start, x, y, training, 0),
            "keras.Model.fit": by_fit(x, y, batch),
        }
        if with_torch:
            loops["plain PyTorch, channels last"] = by_torch(x, y, batch)
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        for turn in range(ROUNDS + 1):
            for name, loop in loops.items():  # in turn: a busy machine slows all of them
                before = time.perf_counter()
                loop()
                if turn:  # the first one warms up and compiles
                    seconds[name].append(time.perf_counter() - before)
        rates = {name: STEPS * batch / float(np.median(s)) for name, s in seconds.items()}
        for name, rate in rates.items():
            row = {"batch": batch, "loop": name, "images a second": round(rate)}
            table.append(row | {"ours is, times as fast": round(rates[OURS] / rate, 2)})
    print(f"{threads()} threads, median of {ROUNDS} runs of {STEPS} steps each, after a warm-up")
    print(pd.DataFrame(table).to_string(index=False))
    if not with_torch:
        print(WITHOUT_TORCH)


if __name__ == "__main__":
    main()
