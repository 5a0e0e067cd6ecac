"""Let nbval compare numbers with a tolerance, and let no cell be skipped.

    python -m pytest -p tests.chapters.nbval_plugin --nbval notebooks

Another processor changes the last digits of a network's results, so a number with a decimal point
may move by 5 % or by 0.02; counts and words may not. A recorded result may move anywhere within
its band. Of a picture, drawn or to play with, only its presence and its text are compared.
"""

import copy
import functools
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from nbval.plugin import IPyNbCell

RELATIVE, ABSOLUTE = 0.05, 0.02
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+\.\d+(?:[eE][-+]?\d+)?(?!\w|\.\d)")
RECORDED = re.compile(r"(?<=: )\S+(?=, expected )")

Output = dict[str, Any]
Compare = Callable[..., bool]


def align(test: str, reference: str) -> str:
    """Return `reference` if the two differ in spaces and in close numbers only, else `test`."""
    frames = [re.sub(r"\s+", " ", NUMBER.sub("#", text)) for text in (test, reference)]
    if frames[0] != frames[1]:
        return test
    pairs = zip(NUMBER.findall(test), NUMBER.findall(reference), strict=True)
    close = all(
        math.isclose(number(a), number(b), rel_tol=RELATIVE, abs_tol=ABSOLUTE) for a, b in pairs
    )
    return reference if close else test


def number(text: str) -> float:
    """Read a number that may have a true minus sign."""
    return float(text.replace("−", "-"))


def stable(output: Output) -> Output:
    """Return an output without what may differ from run to run: pixels, and values in bands."""
    output = copy.deepcopy(output)
    data = output.get("data", {})
    for kind in data:
        if kind.startswith("image/"):
            data[kind] = "an image"
    if "medxfer" in output.get("metadata", {}):
        data.pop("text/html", None)  # the same words, and a drawing of the value
        data["text/plain"] = RECORDED.sub("#", data["text/plain"])
    if "medxfer_explorer" in output.get("metadata", {}):
        data.pop("text/html", None)  # counts at a hundred thresholds; the words say what matters
    return output


def compare(original: Compare, skipped: tuple[str, ...], test: Any, reference: Any) -> bool:
    """Call nbval's own comparison on outputs in which close numbers are made equal."""
    test = [stable(output) for output in test]
    reference = [stable(output) for output in reference]
    for ours, theirs in zip(test, reference, strict=False):
        for a, b in ((ours, theirs), (ours.get("data", {}), theirs.get("data", {}))):
            for key in (a.keys() & b.keys()) - set(skipped):
                if isinstance(a[key], str) and isinstance(b[key], str):
                    a[key] = align(a[key], b[key])
    return original(test, reference, skipped)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Have every cell run and compared, whatever its tags and comments ask for."""
    if isinstance(item, IPyNbCell):
        item.options.update(skip=False, check=True, check_exception=False)
        # nbval does not compare a cell without a count, as if it had never been run.
        item.cell.execution_count = item.cell.execution_count or 0
        skipped = tuple(k for k in item.parent.skip_compare if not k.startswith("image/"))
        item.compare_outputs = functools.partial(compare, item.compare_outputs, skipped)
