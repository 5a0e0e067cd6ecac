"""A chapter's key changes exactly when its outputs may."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from book.tools.chapters import keys
from book.tools.chapters.keys import chapter_key, modules
from medxfer_utils.data import HEART
from tests.tools import books
from tests.tools.books import write_files

Edit = Callable[[Path], None]
# A face is lazy: who imports a folder depends on all that stands in it.
DEEP = {
    *("__init__.py", "deep/__init__.py", "deep/__init__.pyi"),
    *("deep/inner.py", "deep/other.py", "metrics.py"),
}
PARAMETERS: dict[str, Any] = {"PROFILE": "full", "SEED": 0}
FILES = {
    "requirements.txt": "numpy==2",
    "medxfer_utils/__init__.py": "",
    "medxfer_utils/cohorts.py": "import numpy",
    "medxfer_utils/metrics.py": "import numpy",
    "medxfer_utils/models.py": "from medxfer_utils.cohorts import Cohort",
    "medxfer_utils/transfer.py": "def late():\n    from . import models",
    "medxfer_utils/plots.py": "STYLE = 'book.mplstyle'",
    "medxfer_utils/book.mplstyle": "axes.grid: True",
    "medxfer_utils/deep/__init__.py": "__all__ = lazy_loader.attach_stub(__name__, __file__)",
    "medxfer_utils/deep/__init__.pyi": "from .inner import x as x",
    "medxfer_utils/deep/inner.py": "from ..metrics import auroc",
    "medxfer_utils/deep/other.py": "from .inner import x",
    "book/results/grid.csv": "n,auroc\n8,0.9",
    "book/results/other.csv": "n,auroc\n8,0.8",
    "book/index.md": "# Prose",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_files(tmp_path, FILES)
    code = books.code("from medxfer_utils import transfer\n%matplotlib inline\nread('grid.csv')")
    books.write(tmp_path / "notebooks" / "01.ipynb", "# One", code)
    return tmp_path


def key(root: Path, **changed: object) -> str:
    return chapter_key(root / "notebooks" / "01.ipynb", root, PARAMETERS | changed)


def edit(name: str, old: str = "", new: str = "\n# more") -> Edit:
    """Return what changes a piece of a file, or adds to it."""

    def editing(root: Path) -> None:
        text = (root / name).read_text("utf-8")
        assert old in text
        (root / name).write_text(text.replace(old, new) if old else text + new, "utf-8")

    return editing


replace_in_notebook = partial(edit, "notebooks/01.ipynb")
CHANGE: dict[str, Edit] = {
    "a module that it imports": edit("medxfer_utils/transfer.py"),
    "a module imported inside a function": edit("medxfer_utils/models.py"),
    "a module that this one imports": edit("medxfer_utils/cohorts.py"),
    "the package itself": edit("medxfer_utils/__init__.py"),
    "data of the package": edit("medxfer_utils/book.mplstyle"),
    "a stored result that it names": edit("book/results/grid.csv"),
    "the lock": edit("requirements.txt"),
    "its code": replace_in_notebook("inline", "agg"),
    "a tag": replace_in_notebook('"tags": []', '"tags": ["parameters"]'),
}
STAY: dict[str, Edit] = {
    "a module that it does not import": edit("medxfer_utils/metrics.py"),
    "a stored result that it does not name": edit("book/results/other.csv"),
    "prose elsewhere": edit("book/index.md"),
    "its own prose": replace_in_notebook("# One", "# Uno"),
    "a slide": replace_in_notebook('"tags": []', '"tags": ["slide"]'),
    "committed outputs": replace_in_notebook('"outputs": []', '"outputs": [{"name": "stdout"}]'),
    "a cell that papermill injected": replace_in_notebook(
        '"cells": [', '"cells": [' + json.dumps(books.code("x", "injected-parameters")) + ", "
    ),
}


def test_key_changes_exactly_with_what_outputs_depend_on(root: Path) -> None:
    before, changed = key(root), set()
    kept = {path: path.read_bytes() for path in root.rglob("*.*") if path.is_file()}
    for what, change in (CHANGE | STAY).items():
        change(root)
        changed |= {what} if key(root) != before else set()
        for path, content in kept.items():
            path.write_bytes(content)
    assert changed == set(CHANGE)


def test_key_changes_with_profile_and_seed(root: Path) -> None:
    assert len({key(root), key(root, PROFILE="fast"), key(root, SEED=1)}) == 3


IMPORTS: dict[str, set[str]] = {
    "import medxfer_utils": {"__init__.py"},
    "import medxfer_utils.metrics as m": {"__init__.py", "metrics.py"},
    "from medxfer_utils.models import x": {"__init__.py", "models.py", "cohorts.py"},
    "from medxfer_utils import deep": DEEP,
    "from medxfer_utils.deep import x": DEEP,
    "import medxfer_utils.deep.inner": DEEP - {"deep/__init__.pyi", "deep/other.py"},
    "from importlib import *\nimport_module('medxfer_utils.plots')": {"__init__.py", "plots.py"},
    "import numpy, medxfer_utilities": set(),
}


def test_modules_follows_every_way_to_import(root: Path) -> None:
    package = root / "medxfer_utils"
    found = {
        code: {path.relative_to(package).as_posix() for path in modules(code, root)}
        for code in IMPORTS
    }
    assert found == IMPORTS


def test_a_file_that_is_no_notebook_is_named(root: Path) -> None:
    for text in ("no JSON", '{"metadata": {}}'):
        (root / "notebooks" / "01.ipynb").write_text(text)
        with pytest.raises(ValueError, match=r"01\.ipynb cannot be read"):
            key(root)


def test_a_chapter_with_a_stand_in_depends_on_whether_the_patients_are_here(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_patients(*names: str) -> str:
        monkeypatch.setattr(keys, "patients_here", lambda: list(names))
        return key(root)

    # A chapter without a stand-in does not care, though it imports the room where they are kept.
    replace_in_notebook("transfer", "deep")(root)
    assert with_patients() == with_patients("processed.va.data")
    replace_in_notebook("read(", "heart_hospitals(")(root)
    assert with_patients() != with_patients("processed.va.data")


def test_patients_are_looked_for_in_the_folder_and_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, cache = (HEART[name] for name in ("Cleveland", "Zurich"))
    (tmp_path / "MEDXFER_DATA" / "ecg").mkdir(parents=True)
    (tmp_path / "MEDXFER_DATA" / "ecg" / "mitbih_beats_180hz.npz").touch()
    for variable, file in {"MEDXFER_DATA": own, "MEDXFER_CACHE": cache}.items():
        folder = tmp_path / variable / file.folder
        folder.mkdir(parents=True)
        (folder / file.name).touch()
        monkeypatch.setenv(variable, str(tmp_path / variable))
    beats, *hearts = keys.patients_here()
    assert beats == "mitbih_beats_180hz.npz"
    assert hearts == ["processed.cleveland.data", "processed.switzerland.data"]
    monkeypatch.setenv("MEDXFER_DATA", str(tmp_path / "gone"))
    assert keys.patients_here() == ["processed.switzerland.data"]
