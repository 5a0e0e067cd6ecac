"""Every chapter has the anatomy of a chapter."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

from pathlib import Path

import nbformat

from tests.chapters import anatomy, running

# Each of the five chapters of the former cut goes when the last of its lessons has come.
FORMER = {"01_what_transfers", "02_breast_cancer", "03_images", "04_lung_to_liver"}
FORMER |= {"05_four_hospitals"}


def test_anatomy(chapter: Path) -> None:
    if chapter.stem in FORMER:
        return
    nb = nbformat.read(chapter, as_version=4)
    faults = anatomy.faults(nb, appendix=chapter.stem.startswith("A"))
    told = "\n".join(f"{name}: {one}" for name, wrong in faults.items() for one in wrong)
    assert not faults, f"{chapter.name}:\n{told}"


def test_format(chapter: Path) -> None:
    nbformat.validate(nbformat.read(chapter, as_version=4))
    assert not (faults := anatomy.too_large(chapter)), f"{chapter.name}: {faults}"


def test_nothing_is_defined_twice() -> None:
    paths = [path for path in running.CHAPTERS if path.stem not in FORMER]
    notebooks = {path.name: nbformat.read(path, as_version=4) for path in paths}
    assert not (faults := anatomy.defined_twice(notebooks)), "; ".join(faults)
