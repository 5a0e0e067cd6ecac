"""What holds for all tests."""

from __future__ import annotations

import json
import os
from collections import defaultdict

# Before NumPy is imported. On small matrices, several threads on busy cores wait for each other:
# a simulation of 4 seconds takes two minutes.
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from book.tools.proved import DUE, ROOT, group_of, keep  # noqa: E402

# A busy machine is slow, and that is no fault of the code.
settings.register_profile("book", deadline=None)
settings.load_profile("book")

DIGESTS: dict[str, str] = json.loads(os.environ.get(DUE, "{}"))
OUTCOMES: dict[str, set[str]] = defaultdict(set)
# Two processes share the work, file by file; what takes long goes first.
LONGEST = ["test_runs.py", "test_workshop.py", "test_pdf.py", "test_chinese.py", "tests/site"]


def turn(item: pytest.Item) -> int:
    """Return what is smaller for a test that takes longer."""
    place = [k for k, name in enumerate(LONGEST) if name in item.nodeid]
    return min(place, default=len(LONGEST))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    out = [item for item in items if DIGESTS and group_of(item.nodeid) not in DIGESTS]
    config.hook.pytest_deselected(items=out)
    items[:] = sorted((item for item in items if item not in out), key=turn)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    OUTCOMES[group_of(report.nodeid)].add(report.outcome)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        OUTCOMES[group_of(report.nodeid)].add("failed")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep which groups have been proved: all of each ran, and nothing in it failed."""
    to_its_end = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if to_its_end and not hasattr(session.config, "workerinput"):
        keep(ROOT, {group: d for group, d in DIGESTS.items() if OUTCOMES[group] == {"passed"}})
