"""What opens and closes a chapter: seed, profile, expected bands, recorded results."""

import html
import math
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

# Keras imports it, and it draws from Python's random numbers then: do so before they are seeded.
import rich.style  # noqa: F401
import threadpoolctl
from IPython.core.getipython import get_ipython
from IPython.display import display

from medxfer_utils import seed_tensorflow, threads
from medxfer_utils.plots import COLOURS, mark, use_style

PROFILES = ("full", "fast")
# What a student is told whose number is outside its band.
OFF = (
    ". Read the exercise again: is it the right sign, the right unit, the right way round? (This "
    "run has PROFILE {!r} and SEED {}; others move the number a little, seldom out of its band.)"
)
T = TypeVar("T")


def start(profile: str, seed: int, data: str) -> "Chapter":
    """Open a chapter: check its parameters, then make the run repeatable.

    Seeds Python, NumPy and (now, or when it is imported) Keras, fixes the number of threads to
    `medxfer_utils.threads`, asks TensorFlow for deterministic kernels and applies the book's plot
    style. A second call in the same kernel starts afresh, with nothing recorded.

    Parameters
    ----------
    profile : {"full", "fast"}
        The sizes and repeats of the book, or small ones for a rehearsal.
    seed : int
        From 0 to 2**32 - 1.
    data : str
        Where the cohorts come from: "builtin", or a folder of the reader's own.

    Returns
    -------
    Chapter
        The open chapter.

    Raises
    ------
    ValueError
        If a parameter is none of the allowed values.
    """
    if profile not in PROFILES:
        raise ValueError(f"PROFILE is {profile!r}: choose one of {', '.join(PROFILES)}")
    if data != "builtin" and not Path(data).expanduser().is_dir():
        raise ValueError(f"DATA is {data!r}: choose 'builtin', or the path of a folder that exists")
    # A bool is an int in Python, but nobody means SEED = True.
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"SEED is {seed!r}: choose a whole number from 0 to {2**32 - 1}")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads())  # of the libraries that are still to come
    threadpoolctl.threadpool_limits(limits=threads())
    random.seed(seed)
    np.random.seed(seed)
    seed_tensorflow(seed)
    use_style()
    mark("")  # of the kernel's former chapter
    return Chapter(profile, seed)


class Chapter:
    """An open chapter; made by `start`.

    Attributes
    ----------
    profile : {"full", "fast"}
        The profile of this run.
    seed : int
        The seed of this run.
    """

    def __init__(self, profile: str, seed: int) -> None:
        self.profile = profile
        self.seed = seed
        self._recorded: dict[str, tuple[str | None, int]] = {}

    def pick(self, *, full: T, fast: T) -> T:
        """Return the value that belongs to this profile.

        Parameters
        ----------
        full, fast : object
            A size or a number of repeats, for the one profile and for the other.
        """
        return full if self.profile == "full" else fast

    def rng(self, name: str) -> np.random.Generator:
        """Return a fresh random generator for one purpose.

        Parameters
        ----------
        name : str
            The purpose. Another name gives an independent stream, so that drawing more for one
            purpose changes nothing elsewhere; the same name gives the same numbers again.
        """
        return np.random.default_rng([self.seed, *name.encode()])

    def record(self, name: str, value: float, band: tuple[float, float], label: str) -> None:
        """Show a result beside the band it is expected in, and store both in the notebook.

        A value outside its band is shown as such and is no error: the tests of the book fail on it.

        Parameters
        ----------
        name : str
            Identifier, used once in a chapter.
        value : float
            The result.
        band : tuple of float
            Lowest and highest expected value, both included.
        label : str
            What the value is, for the reader.

        Raises
        ------
        ValueError
            If the value is NaN, an end of the band is not finite, the ends are the wrong way round,
            or the name was used before. Running the same cell again in JupyterLab is allowed.
        """
        value = float(value)
        if math.isnan(value):
            raise ValueError(f"record {name!r}: the value is NaN")
        entry = {"name": name, **_against_band(f"record {name!r}", value, band)}
        self._claim(name)
        verdict = "within band" if entry["within"] else "OUTSIDE BAND"
        before = f", expected {entry['low']:g} to {entry['high']:g}: "
        display(_line(label, before, verdict, entry), raw=True, metadata={"medxfer": entry})

    def check(self, name: str, answer: object, band: tuple[float, float], label: str) -> None:
        """Tell a student whether an answer lies in the band it is expected in.

        Whatever the answer is, this shows a line and raises nothing, so that a notebook whose
        exercises are still open runs to its end. It may be called any number of times.

        Parameters
        ----------
        name : str
            Identifier of the result that the exercise asks for.
        answer : object
            One number, also as a scalar or an array with one element. Ellipsis and None mean that
            the exercise is still open.
        band : tuple of float
            Lowest and highest expected value, both included.
        label : str
            What the answer is, for the reader.

        Raises
        ------
        ValueError
            If an end of the band is not finite, or the ends are the wrong way round: that is a
            mistake of the chapter, not of the student.
        """
        entry = _against_band(f"check {name!r}", _number(answer), band)
        answered = answer is not ... and answer is not None
        if not answered:
            data = _line(label, "", "not answered yet: replace the ... above")
        elif math.isnan(entry["value"]):
            wanted = f"one number is wanted, and this is {_described(answer)}"
            data = _line(label, "", wanted)
        elif entry["within"]:
            data = _line(label, ", ", "within the expected band", entry)
        else:
            off = f"outside the expected band {entry['low']:g} to {entry['high']:g}"
            data = _line(label, ", ", off, entry, OFF.format(self.profile, self.seed))
        about = {"name": name, "answered": answered, "within": entry["within"]}
        display(data, raw=True, metadata={"medxfer_check": about})

    def _claim(self, name: str) -> None:
        """Refuse a name used before, unless a reader runs the same cell again."""
        cell, run = _running_cell()
        if name in self._recorded:
            first_cell, first_run = self._recorded[name]
            if cell is None or cell != first_cell or run == first_run:
                raise ValueError(f"record {name!r}: this name is used already, choose another")
        self._recorded[name] = cell, run


def _running_cell() -> tuple[str | None, int]:
    """Return the id that JupyterLab gives the running cell, if any, and its execution count."""
    shell: Any = get_ipython()
    if shell is None or not hasattr(shell, "get_parent"):
        return None, 0
    return shell.get_parent().get("metadata", {}).get("cellId"), shell.execution_count


def _number(answer: object) -> float:
    """Return the one number that `answer` holds, NaN if it is none; text is no number."""
    try:
        item = np.asarray(answer).item()
        return math.nan if isinstance(item, str | bytes) else float(item)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _described(answer: object) -> str:
    """Say what was given in place of a number, in a few words."""
    if isinstance(answer, str | bytes):
        return f"the text {answer[:40]!r}"
    if isinstance(answer, float | np.floating):
        return "NaN"
    shape = getattr(answer, "shape", ())
    return f"of type {type(answer).__name__}" + (f" and shape {tuple(shape)}" if shape else "")


def _against_band(what: str, value: float, band: tuple[float, float]) -> dict[str, Any]:
    """Return a value with the ends of its band, and whether it lies between them."""
    low, high = float(band[0]), float(band[1])
    # False for NaN as well, so every unusable band ends here.
    if not -math.inf < low <= high < math.inf:
        raise ValueError(
            f"{what}: the band runs from {low} to {high}; give two finite numbers, the lower first"
        )
    return {"value": value, "low": low, "high": high, "within": low <= value <= high}


def _line(
    label: str, before: str, verdict: str, entry: Mapping[str, Any] | None = None, after: str = ""
) -> dict[str, str]:
    """Return label and verdict as text and as HTML; of an entry with its value beside its band."""
    kind = bar = value = strong = ""
    if entry:
        kind, bar = (" band-ok" if entry["within"] else " band-off"), _bar(entry)
        value = f"{entry['value']:.3f}"
        strong = f'<strong class="band-value">{value}</strong>'
    line = (
        f'<div class="band{kind}">{bar}{html.escape(label)}: {strong}{before}'
        f'<span class="band-verdict">{html.escape(verdict)}</span>{html.escape(after)}</div>'
    )
    return {"text/plain": f"{label}: {value}{before}{verdict}{after}", "text/html": line}


def _bar(entry: Mapping[str, Any]) -> str:
    """Return a number line as SVG, with the band and the value."""
    low, high, value = entry["low"], entry["high"], entry["value"]
    # The band takes the middle half of the line; a value far off sticks to the line's end.
    share = (value - low) / (high - low) if high > low else (0.5 if value == low else math.inf)
    share = min(max(share, -0.45), 1.45)
    colour = COLOURS["within" if entry["within"] else "outside"]
    return (
        f'<svg class="band-bar" width="120" height="12" viewBox="0 0 120 12" aria-hidden="true">'
        f'<path d="M0 6H120" stroke="currentColor" opacity="0.4"/>'
        f'<rect x="30" y="2" width="60" height="8" fill="currentColor" opacity="0.2"/>'
        f'<circle cx="{30 + 60 * share:.1f}" cy="6" r="5" fill="{colour}"/></svg> '
    )
