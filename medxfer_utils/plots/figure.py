"""What all figures share: colours, style, how one is shown with its text and how it is stored."""

import io
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image
from PIL.PngImagePlugin import PngInfo

# Colours that most colour-blind readers can tell apart (Okabe and Ito 2008). Their yellow is left
# out: a thin yellow line on white cannot be seen.
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#000000", "#56B4E9")
BLUE, VERMILION, GREEN, PURPLE, ORANGE, BLACK, SKY_BLUE = OKABE_ITO

# What a colour stands for, the same in every lesson.
COLOURS = {"source": BLUE, "target": VERMILION, "benign": SKY_BLUE, "malignant": VERMILION}
COLOURS |= {"reference": BLACK, "within": GREEN, "outside": VERMILION}
# One colour for one strategy, by the name that tables and legends give it.
COLOURS |= {"from scratch": VERMILION, "target only": VERMILION, "as is": BLUE, "frozen": ORANGE}
COLOURS |= {"fine-tuned": GREEN, "L2-SP": PURPLE, "joint": SKY_BLUE, "pooled": SKY_BLUE}
COLOURS |= {"re-standardised": GREEN, "recalibrated": ORANGE, "ideal": BLACK}
# "ImageNet features" are a frozen backbone, too; "pixels" are a rival without any source.
COLOURS |= {"ImageNet features": ORANGE, "pixels": BLACK, "shifted": SKY_BLUE}
REFERENCE: dict[str, Any] = {"color": BLACK, "linestyle": ":", "linewidth": 1.2}

SHORTEST_ALT = 40
MOST_LINES = 4  # in one picture; who needs more draws a second one, or a table
DPI = 160
CSS_PIXELS_PER_INCH = 96
PALETTE, GREYS = 96, 64

_mark = ""


def mark(text: str) -> None:
    """Write `text` on every figure that is shown from now on, and into its alt text; "" for none.

    A lesson that has to run on simulated patients in the place of real ones says so with it.
    """
    global _mark
    _mark = text


def use_style() -> None:
    """Apply the book's style sheet to every figure that is opened from now on."""
    plt.style.use(Path(__file__).with_name("medxfer.mplstyle"))


def show(alt: str, stored: bool = False) -> None:
    """Display the open figure as an image with its alt text, and close it.

    Parameters
    ----------
    alt : str
        What one sees, with the numbers, in at least 40 characters. The plot functions return it.
    stored : bool
        The figure is of a stored result, which `mark` does not concern.

    Raises
    ------
    ValueError
        If the text is too short, not exactly one figure is open, or a picture in it has more than
        four lines. Marks, and the dotted lines of a reference, are not counted.
    """
    if len(alt.strip()) < SHORTEST_ALT:
        raise ValueError(f"alt text {alt!r}: say in {SHORTEST_ALT} characters what one sees")
    if len(plt.get_fignums()) != 1:
        raise ValueError(f"{len(plt.get_fignums())} figures are open: a cell draws exactly one")
    figure = plt.gcf()
    if (most := max(map(_drawn_lines, figure.axes), default=0)) > MOST_LINES:
        raise ValueError(f"{most} lines in one picture: draw {MOST_LINES} at most")
    if _mark and not stored:
        figure.supxlabel(_mark, x=0.99, ha="right", fontsize=10, color=VERMILION, weight="bold")
        alt = f"{_mark}. {alt}"
    png = rendered(figure)
    width = round(figure.get_figwidth() * CSS_PIXELS_PER_INCH)
    about = {"alt": alt, "width": width, "kind": kind(figure)}
    plt.close(figure)
    data = {"image/png": png, "text/plain": f"Figure: {alt}"}
    display(data, raw=True, metadata={"image/png": about})


def _drawn_lines(ax: Axes) -> int:
    """Count the lines that look different; those of a reference and single marks are none."""
    looks = {(str(line.get_color()), line.get_linestyle()) for line in ax.lines}
    reference = (REFERENCE["color"], REFERENCE["linestyle"])
    return sum(look != reference and look[1] != "None" for look in looks)


def kind(figure: Figure) -> str:
    """Return "image" if a brightness means something in a figure (an image, a map), else "plot".

    On a dark page plots are shown with light and dark exchanged, images as they are.
    """
    # The bar that explains a scale of colours is a QuadMesh.
    shaded = figure.findobj(lambda artist: isinstance(artist, AxesImage | QuadMesh))
    return "image" if shaded else "plot"


def rendered(figure: Figure, dpi: int = DPI, about: PngInfo | None = None) -> bytes:
    """Return a figure as a PNG file of few colours.

    Parameters
    ----------
    figure : Figure
        What is drawn.
    dpi : int
        Pixels to the inch.
    about : PngInfo, optional
        Text to store in the file.

    Returns
    -------
    bytes
        The file; a third as large as Matplotlib's own.
    """
    png, small = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=dpi)
    with Image.open(png) as drawn:
        _reduced(drawn.convert("RGB")).save(small, "png", optimize=True, pnginfo=about)
    return small.getvalue()


def _reduced(drawn: Image.Image) -> Image.Image:
    """A drawing in fewer colours, to no visible loss; the file is a third as large."""
    red, green, blue = drawn.split()
    if red.tobytes() == green.tobytes() == blue.tobytes():
        # Even steps: a palette chosen by frequency leaves specks in a grey photograph.
        return red.point([round(v / 255 * (GREYS - 1)) * 255 // (GREYS - 1) for v in range(256)])
    return drawn.quantize(PALETTE, dither=Image.Dither.NONE)


def axes_of(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the given axes, or those of a new figure of this size in inches."""
    return plt.subplots(figsize=(width, height))[1] if ax is None else ax
