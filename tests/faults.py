"""A family of injected faults in one test: which of them are not told as they should be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any


def untold(
    faults: Mapping[str, tuple[Any, str]],
    call: Callable[[str, Any], object],
    error: type[Exception],
    silent: Callable[[Exception], bool] = lambda raised: True,
) -> dict[str, str]:
    """Faults (name: what is injected, words that must be said) with what was said instead.

    `silent` tells whether an error keeps back what it must not say.
    """
    wrong = {}
    for name, (injected, words) in faults.items():
        try:
            call(name, injected)
        except error as raised:
            if not re.search(words, str(raised)) or not silent(raised):
                wrong[name] = str(raised)
        else:
            wrong[name] = "no error"
    return wrong
