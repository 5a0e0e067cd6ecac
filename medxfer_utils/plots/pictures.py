"""Images and maps of numbers."""

from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from medxfer_utils.plots.figure import axes_of


def panels(
    images: Iterable[npt.NDArray[np.floating]],
    columns: int,
    alt: str,
    captions: Sequence[str] = (),
    cmap: str = "gray",
    limits: tuple[float | None, float | None] = (None, None),
) -> str:
    """Draw images without axes, side by side, in a new figure.

    Parameters
    ----------
    images : iterable of array, shape (height, width)
        In any unit.
    columns : int
        Images in a row.
    alt : str
        What one sees.
    captions : sequence of str
        One for each image, or none.
    cmap : str
        Matplotlib's name of the colour map.
    limits : tuple of float
        Values at the two ends of the colour map; each image's own if not given.

    Returns
    -------
    str
        `alt`, as it is.
    """
    images = list(images)
    lines = -(-len(images) // columns)
    size = 8.0, 0.3 + lines * (8.0 / columns + 0.25)
    _, axes = plt.subplots(lines, columns, figsize=size, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, image, caption in zip(axes.flat, images, captions or [""] * len(images), strict=False):
        ax.imshow(image, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="nearest")
        ax.set_title(caption, fontsize=9 if columns > 4 else 11, pad=2)
    return alt


def patches(
    images: npt.NDArray[np.floating],
    captions: Sequence[str],
    window: tuple[float, float],
    pixel: float,
    title: str,
    columns: int = 8,
) -> str:
    """Draw image patches side by side in a new figure, with a bar of 10 mm in the first.

    Parameters
    ----------
    images : ndarray, shape (n, size, size)
        HU, or the arbitrary units of MR.
    captions : sequence of str
        One for each patch.
    window : tuple of float
        What is black and what is white, in the unit of the images.
    pixel : float
        Side of a square pixel, in mm.
    title : str
        What they are, and whether they are simulated.
    columns : int
        Patches in a row.

    Returns
    -------
    str
        The figure's text.
    """
    panels(images, columns, title, captions, limits=window)
    figure = plt.gcf()
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = figure.axes
    place, bar = 0.93 * images.shape[1], [2, 2 + 10 / pixel]
    axes[0].plot(bar, [place, place], color="white", linewidth=2)
    said = ", ".join(f"{captions.count(c)} × {c}" for c in dict.fromkeys(captions))
    side = pixel * images.shape[1]
    return (
        f"{title}: {len(images)} grey-scale patches of {side:.0f} mm, shown from {window[0]:g} to "
        f"{window[1]:g}, with a bar of 10 mm: {said}."
    )


def heat_map(table: pd.DataFrame, label: str, ax: Axes | None = None) -> str:
    """Draw a table as a map, with each number written into its field.

    Parameters
    ----------
    table : DataFrame
        Numbers; the names of its index and columns become those of the axes.
    label : str
        What the numbers are.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    str
        The figure's text, with the highest and the lowest number.
    """
    ax = axes_of(ax, 1.6 + 0.9 * table.shape[1], 1.4 + 0.6 * table.shape[0])
    values = table.to_numpy(dtype=float)
    drawn = ax.imshow(values, cmap="cividis", aspect="auto")
    middle = (values.max() + values.min()) / 2
    for (row, column), value in np.ndenumerate(values):
        colour = "black" if value > middle else "white"
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
    ax.set_xticks(range(table.shape[1]), [str(name) for name in table.columns])
    ax.set_yticks(range(table.shape[0]), [str(name) for name in table.index])
    ax.set(xlabel=table.columns.name, ylabel=table.index.name)
    ax.grid(False)
    plt.colorbar(drawn, ax=ax, label=label)
    ends = []
    for at in (values.argmax(), values.argmin()):
        row, column = divmod(int(at), values.shape[1])
        ends.append(f"{values[row, column]:.2f} at {table.index[row]} and {table.columns[column]}")
    return (
        f"Map of {label} by {table.index.name} (rows) and {table.columns.name} (columns): "
        f"highest {ends[0]}, lowest {ends[1]}."
    )
