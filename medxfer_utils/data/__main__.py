"""Fetch a data set from the command line: `python -m medxfer_utils.data heart`."""

from __future__ import annotations

import argparse

from medxfer_utils.data.breast import read_breast
from medxfer_utils.data.catalogue import BREAST, HEART, PARTS, REGISTRY, SETS, WEIGHTS
from medxfer_utils.data.files import DataError, fetch, imagenet_weights
from medxfer_utils.data.image_sets import medmnist


def _fetched(name: str, size: int) -> str:
    """Fetch what is asked for, and say how much of it there is."""
    if name == "weights":  # the smallest network, whose results the book stores
        return f"{imagenet_weights(WEIGHTS[0].url)}: {WEIGHTS[0].licence}."
    if name == "breast":  # nobody publishes sums: every value is read
        women = {site: len(read_breast(fetch(f), site)) for site, f in BREAST.items()}
        return "\n".join(f"{s}: {n} women. Beware: {BREAST[s].faults}" for s, n in women.items())
    if name == "heart":
        # `fetch` has made sure that these are the official files, in which a line is a patient.
        count = {site: len(fetch(f).read_text("ascii").splitlines()) for site, f in HEART.items()}
        told = "{}: {} patients. Beware: {}".format
        return "\n".join(told(site, n, HEART[site].faults) for site, n in count.items())
    found = medmnist(name, size)
    parts = ", ".join(f"{len(getattr(found, part).y)} in {part}" for part in PARTS)
    return f"{name} at {size} pixels: {parts}. Beware: {found.file.faults}"


def from_command_line(arguments: list[str] | None = None) -> int:
    """Fetch a data set from the command line, or list what there is."""
    parser = argparse.ArgumentParser(
        "python -m medxfer_utils.data", description=from_command_line.__doc__
    )
    parser.add_argument("name", nargs="?", choices=[*SETS, "breast", "heart", "weights"])
    parser.add_argument("--size", type=int, default=28, help="pixels of a side of an image")
    parser.add_argument("--list", action="store_true", help="every file, its address and licence")
    asked = parser.parse_args(arguments)
    if asked.list or asked.name is None:
        print(*(f"{f.name}  {f.licence}  {f.sum}  {f.url}" for f in REGISTRY.values()), sep="\n")
        return 0
    try:
        print(_fetched(asked.name, asked.size))
    except (DataError, ValueError) as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(from_command_line())
