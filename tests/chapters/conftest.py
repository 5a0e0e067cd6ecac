"""Every chapter, found by itself, and one sound sample to break."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

import copy
from collections.abc import Callable
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat import NotebookNode

from tests.chapters import running, sample


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # With no notebook at all this collects nothing, which the configuration makes an error.
    if "chapter" in metafunc.fixturenames:
        metafunc.parametrize("chapter", running.CHAPTERS, ids=lambda path: path.stem)


@pytest.fixture(scope="session")
def executed(tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    """The sample chapter as it would be committed: run in the full profile."""
    nb = sample.sample()
    path = sample.save(nb, tmp_path_factory.mktemp("sample") / "sample.ipynb")
    papermill.execute_notebook(path, path, progress_bar=False, cwd=path.parent)
    nb = nbformat.read(path, as_version=4)
    for part in (nb, *nb.cells):
        part.metadata.pop("papermill", None)
    return nb


@pytest.fixture
def sound(executed: NotebookNode) -> NotebookNode:
    """A copy of the sample chapter that a test may break."""
    return copy.deepcopy(executed)


Breaking = Callable[[NotebookNode], None]


@pytest.fixture
def saved(sound: NotebookNode, tmp_path: Path) -> Callable[[Breaking], Path]:
    """Break the sample chapter, write it, and return where it lies."""

    def write(breaking: Breaking) -> Path:
        breaking(sound)
        return sample.save(sound, tmp_path / "broken.ipynb")

    return write
