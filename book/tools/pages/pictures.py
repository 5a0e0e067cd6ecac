"""Draw the pictures that pages of prose ask for.

A page asks with `![](pictures/NAME.png)`, NAME being a function of this module that draws it. The
picture is drawn when the pages are staged, and `book/_ext/generated.py` takes the alt text out of
it. Finished pictures are kept; one is drawn again when the code that it comes from has changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from book.tools.chapters.keys import digest, needed
from book.tools.chapters.run import write_whole

ASKED = re.compile(r"!\[\]\(pictures/([\w-]+)\.png\)")
DPI = 150  # the page weighs less than 1.5 MB
PLOT = "drawn-plot"  # the class of figures whose light and dark may be exchanged: see book.css
KINDS = ("benign", "malignant")
WINDOWS = {"lung": (-1350.0, 250.0), "liver": (0.0, 200.0)}
BLUES = ("#00121d", "#00436a", "#3d8fbf", "#e3f1f9")  # around the accent of book.css


def _gallery(organ: str, y: int) -> str:
    """Draw 32 patients of one organ and class."""
    from medxfer_utils import clinic, plots

    made = clinic.simulate(clinic.Site(organ), 80, seed=0)
    rows = (made.cohort.y == y).nonzero()[0][:32]
    # The whole name would run into the next one.
    kinds = made.truth["type"].iloc[rows].str.removesuffix("-like").tolist()
    title = f"{organ.capitalize()}, {KINDS[y]} (simulated)"
    return plots.patches(made.cohort.x[rows], kinds, WINDOWS[organ], pixel=0.75, title=title)


def _compare(organ: str, sites: Mapping[str, dict[str, object]], title: str) -> str:
    """Draw three patients, one a row, at each of several sites, one a column."""
    import numpy as np

    from medxfer_utils import clinic, plots

    windows = {"CT": WINDOWS[organ], "MR": (0.0, 1000.0)}
    columns = []
    for changed in sites.values():
        site = clinic.Site(organ, **{"slice_thickness": 1.0, **changed})  # type: ignore[arg-type]
        low, high = windows[site.modality]
        images = clinic.simulate(site, 14, seed=4).cohort.x[[2, 9, 14]]
        columns.append((images - low) / (high - low))
    images = np.stack(columns, axis=1).reshape(-1, 64, 64)
    return plots.patches(images, list(sites) * 3, (0, 1), 0.75, title, len(sites))


def axes() -> str:
    """The same patients at sites that differ from the first in one axis."""
    sites: dict[str, dict[str, object]] = {
        "reference": {}, "blur 3 mm": {"blur": 3.0}, "dose × 1/20": {"dose": 0.05},
        "slice 6 mm": {"slice_thickness": 6.0}, "sharp kernel": {"kernel": "sharp"},
        "screening": {"case_mix": "screening"}, "polarity −1": {"polarity": -1},
        "MR-like": {"modality": "MR"},
    }  # fmt: skip
    title = "Three patients, one a row, at eight sites (simulated; each in its own window)"
    return _compare("lung", sites, title)


def modalities() -> str:
    """The same livers in both phases and in an MR-like image."""
    sites: dict[str, dict[str, object]] = {
        "CT, portal": {"slice_thickness": 3.0},
        "CT, unenhanced": {"slice_thickness": 3.0, "phase": "unenhanced"},
        "MR-like": {"slice_thickness": 3.0, "modality": "MR"},
    }
    return _compare("liver", sites, "Three livers, one a row (simulated)")


def _lesions(organ: str, number: int) -> list[Any]:
    """Return sharp images with little noise, from black (0) to white (1)."""
    import numpy as np

    from medxfer_utils import clinic

    site = clinic.Site(organ, size=96, pixel=0.5, dose=20.0, slice_thickness=3.0)
    images = clinic.simulate(site, number, seed=3).cohort.x[:number]
    low, high = WINDOWS[organ]
    return list(np.clip((images - low) / (high - low), 0, 1))


def title() -> str:
    """The book's title picture: lung nodules, in grey, turn into liver lesions, in blue."""
    import matplotlib.pyplot as plt
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap

    rows, columns, tile = 4, 16, 0.54  # inches
    plt.rcParams.update({"savefig.facecolor": BLUES[0], "figure.constrained_layout.use": False})
    ax = plt.figure(figsize=(columns * tile, rows * tile)).add_axes((0, 0, 1, 1))
    tissues = [_lesions(organ, rows * columns) for organ in WINDOWS]
    colours: list[Any] = ["gray", LinearSegmentedColormap.from_list("accent", BLUES)]
    share = 1 / (1 + np.exp((columns - 1) / 2 - np.arange(columns)))
    organs = np.random.default_rng(1).random((rows, columns)) < share
    look: dict[str, Any] = {"vmin": 0, "vmax": 1, "interpolation": "bilinear"}
    for (row, column), organ in np.ndenumerate(organs.astype(int)):
        place = (column + 0.015, column + 0.985, row + 0.985, row + 0.015)
        ax.imshow(tissues[organ].pop(0), cmap=colours[organ], extent=place, **look)
    ax.set(xlim=(0, columns), ylim=(rows, 0))
    ax.set_axis_off()
    return (
        f"Mosaic of {rows * columns} simulated CT images: on the left bright nodules in the lung, "
        "in grey; to the right more and more dark lesions in the liver, in blue."
    )


GALLERIES = {
    f"{organ}_{kind}": partial(_gallery, organ, y)
    for organ in WINDOWS
    for y, kind in enumerate(KINDS)
}
OTHERS = {"axes": axes, "modalities": modalities, "title": title}
PICTURES: Mapping[str, Callable[[], str]] = {**GALLERIES, **OTHERS}


def drawn(function: Callable[[], str]) -> bytes:
    """Return the PNG of what `function` draws, with its description and what kind it is of."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from PIL.PngImagePlugin import PngInfo

    from medxfer_utils import plots

    with plt.style.context(Path(plots.__file__).with_name("medxfer.mplstyle")):
        about = PngInfo()
        about.add_itxt("Description", function())
        about.add_text("Kind", plots.kind(plt.gcf()))
        png = plots.rendered(plt.gcf(), DPI, about)
        plt.close()
    return png


def key(root: Path) -> str:
    """Return one digest of all that the pictures depend on."""
    code = Path(__file__).read_text("utf-8")
    return digest((path for path in needed(code, root) if "tools" not in path.parts), root, code)


def picture(name: str, today: str, folder: Path) -> bytes:
    """Return a picture, drawn now unless `folder` has it as today's code (its `key`) draws it.

    Raises
    ------
    ValueError
        If no picture has this name.
    """
    if name not in PICTURES:
        raise ValueError(f"No picture is called {name!r}. There are: {', '.join(PICTURES)}")
    kept = folder / f"{name}-{today}.png"
    if not kept.is_file():
        print(f"Drawing {name}", flush=True)
        png = drawn(PICTURES[name])
        for former in folder.glob(f"{name}-*.png"):
            former.unlink()
        write_whole(png, kept)
    return kept.read_bytes()


def asked_for(files: Mapping[str, bytes], root: Path, folder: Path) -> dict[str, bytes]:
    """Return the pictures that staged pages ask for, each under its place beside the page."""
    wanted = {
        Path(page).with_name("pictures") / f"{name}.png": name
        for page, content in files.items()
        if page.endswith(".md")
        for name in ASKED.findall(content.decode("utf-8"))
    }
    today = key(root) if wanted else ""
    return {place.as_posix(): picture(name, today, folder) for place, name in wanted.items()}
