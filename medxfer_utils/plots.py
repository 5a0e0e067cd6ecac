"""Every figure of the book; each function draws into axes and returns its alt text."""

import io
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import display

OKABE_ITO = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky blue": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
}
"""Colours that most colour-blind readers can tell apart (Okabe and Ito, 2008)."""

COLOURS = {
    "source": OKABE_ITO["blue"],
    "target": OKABE_ITO["vermilion"],
    "benign": OKABE_ITO["sky blue"],
    "malignant": OKABE_ITO["vermilion"],
    "reference": OKABE_ITO["black"],
    "transfer": OKABE_ITO["green"],
    "classical": OKABE_ITO["orange"],
    "within": OKABE_ITO["green"],
    "outside": OKABE_ITO["vermilion"],
}
"""What a colour stands for, the same in every chapter."""

SHORTEST_ALT = 40
DPI = 160
CSS_PIXELS_PER_INCH = 96


def use_style() -> None:
    """Apply the book's style sheet to every figure that is opened from now on."""
    plt.style.use(Path(__file__).with_name("medxfer.mplstyle"))


def show(alt: str) -> None:
    """Display the open figure as an image with its alt text, and close it.

    Parameters
    ----------
    alt : str
        What one sees, with the numbers, in at least 40 characters. The plot functions return it.

    Raises
    ------
    ValueError
        If the text is too short, or if not exactly one figure is open.
    """
    if len(alt.strip()) < SHORTEST_ALT:
        raise ValueError(
            f"alt text {alt!r} is too short: say in {SHORTEST_ALT} characters or more what one sees"
        )
    if len(plt.get_fignums()) != 1:
        raise ValueError(f"{len(plt.get_fignums())} figures are open: a cell draws exactly one")
    figure = plt.gcf()
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI)
    width = round(figure.get_figwidth() * CSS_PIXELS_PER_INCH)
    plt.close(figure)
    display(
        {"image/png": png.getvalue(), "text/plain": f"Figure: {alt}"},
        raw=True,
        metadata={"image/png": {"alt": alt, "width": width}},
    )
