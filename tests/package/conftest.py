"""What the tests of the package share."""

from __future__ import annotations

from typing import Any

import pytest

from medxfer_utils import chapter
from medxfer_utils.plots import explorer, figure

Shown = list[tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What is displayed: data and metadata of each output, the newest last."""
    outputs: Shown = []
    for module in (chapter, explorer, figure):
        keep = lambda data, raw, metadata: outputs.append((data, metadata))  # noqa: E731
        monkeypatch.setattr(module, "display", keep)
    return outputs
