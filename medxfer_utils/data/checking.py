"""Faults of files in words: the first that is there is raised, and nothing of a file is quoted."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from medxfer_utils import require
from medxfer_utils.images import ImagingError

T = TypeVar("T")


def refuse(
    error: type[Exception], faults: Mapping[str, Any], before: str = "", after: str = ""
) -> None:
    """`require` none of several `faults` (words: whether it is there), between two texts."""
    for words, there in faults.items():
        require(not there, f"{before}{words}{after}", error)


def attempt(call: Callable[[], T], words: Callable[[Exception], str]) -> T:
    """Call a library, and say in our words what goes wrong: its own may quote the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()
    except ImagingError:
        raise
    except Exception as error:
        why = words(error)
    raise ImagingError(why)  # outside `except`, so that nothing is chained to it
