"""axe, a checker of accessibility, finds no serious fault on any page."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.site.visiting import Visitor

THEMES = ("light", "dark")
# How docutils writes a bibliography; nothing of ours can change it.
OF_DOCUTILS = {("aria-required-children", '<div role="list" class="citation-list">')}


def axe_source() -> str:
    """Return the axe-core script that comes with axe_playwright_python."""
    spec = find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "axe.min.js").read_text("utf-8")


def findings(result: dict[str, Any]) -> set[tuple[str, str]]:
    """Return (rule, element) for what axe calls serious or critical."""
    return {
        (violation["id"], node["html"][:160])
        for violation in result["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    }


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_no_serious_fault(visitor: Visitor, each_page: str, theme: str) -> None:
    page = visitor(theme=theme).open(each_page)
    page.evaluate(axe_source())
    assert findings(page.evaluate("() => axe.run()")) - OF_DOCUTILS == set()
