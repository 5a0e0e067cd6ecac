"""What holds for all tests."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, defaultdict

# Before NumPy is imported. On small matrices, several threads on busy cores wait for each other:
# a simulation of 4 seconds takes two minutes.
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from book.tools import proved  # noqa: E402

# A busy machine is slow, and that is no fault of the code.
settings.register_profile("book", deadline=None)
settings.load_profile("book")

proved.tracked()
sys.addaudithook(proved.watch)
STARTED, CHOOSING = time.time(), proved.DUE in os.environ
DUE: Counter[str] = Counter()  # how many tests of a group, and of a file, are to run here
OUTCOMES: dict[str, list[str]] = defaultdict(list)  # three of each test
SHAPES: dict[str, tuple[str, ...] | None] = {}
REMEMBERING = ("tests/", "book/studies/", "benchmarks/", "medxfer_utils/")
# Two processes share the work, file by file; what takes long goes first.
LONGEST = ["test_runs.py", "test_workshop.py", "test_pdf.py", "test_chinese.py", "tests/site"]


def turn(item: pytest.Item) -> int:
    """Return what is smaller for a test that takes longer."""
    place = [k for k, name in enumerate(LONGEST) if name in item.nodeid]
    return min(place, default=len(LONGEST))


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_remembered() -> None:
    """Let each file of tests read anew what it looks at, so that it is noted."""
    for module in list(sys.modules.values()):
        if proved.inside(getattr(module, "__file__", "")).startswith(REMEMBERING):
            for value in vars(module).values():
                if callable(forget := getattr(value, "cache_clear", None)):
                    forget()


def groups(test: str) -> set[str]:
    """Return the group of a test and its file, of which it is a part."""
    return {proved.group_of(test), test.partition("::")[0]}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    out = [item for item in items if CHOOSING and proved.is_proved(proved.group_of(item.nodeid))]
    config.hook.pytest_deselected(items=out)
    items[:] = sorted((item for item in items if item not in out), key=turn)
    for item in items:
        told = item.get_closest_marker("shape")
        for group in groups(item.nodeid):
            DUE[group] += 1
            SHAPES[group] = told.args if told else None


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for group in groups(report.nodeid):
        OUTCOMES[group].append(report.outcome)


def pytest_sessionfinish() -> None:
    """Keep which groups have been proved, in the process in which all of each ran."""
    for group, number in DUE.items() if CHOOSING else ():
        if OUTCOMES[group] == ["passed"] * 3 * number and not proved.is_proved(group):
            proved.keep(group, SHAPES[group], STARTED)
