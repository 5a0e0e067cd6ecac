"""Every chapter has the anatomy of a chapter."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

from pathlib import Path

import nbformat

from tests.chapters import anatomy, running


def test_anatomy(chapter: Path) -> None:
    nb = nbformat.read(chapter, as_version=4)
    faults = anatomy.faults(nb, appendix=chapter.stem.startswith("A"))
    told = "\n".join(f"{name}: {one}" for name, wrong in faults.items() for one in wrong)
    assert not faults, f"{chapter.name}:\n{told}"


def test_format(chapter: Path) -> None:
    nbformat.validate(nbformat.read(chapter, as_version=4))
    assert not (faults := anatomy.too_large(chapter)), f"{chapter.name}: {faults}"


def test_nothing_is_defined_twice() -> None:
    paths = [path for path in running.CHAPTERS if not path.stem.startswith("A")]
    notebooks = {path.name: nbformat.read(path, as_version=4) for path in paths}
    assert not (faults := anatomy.defined_twice(notebooks)), "; ".join(faults)
