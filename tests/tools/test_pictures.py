"""Pictures of the prose: drawn on demand, kept, drawn again when their code changes, described."""

from __future__ import annotations

import io
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from docutils import nodes
from PIL import Image

from book.tools.chapters.run import Edition
from book.tools.pages import pictures
from book.tools.pages.pictures import ASKED, PICTURES, asked_for, drawn, picture
from book.tools.pages.site import fingerprint, staged
from tests.tools.tiny import Tiny

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = "# A page\n\n![](pictures/dot.png)\n\nProse, and an [image](pictures/other.png).\n"


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have one cheap picture, and note each time that it is drawn."""
    log: list[str] = []

    def dot() -> str:
        log.append("dot")
        plt.figure(figsize=(1, 1))
        plt.plot([0], [0], "o")
        return "A dot, at × = 0."

    monkeypatch.setattr(pictures, "PICTURES", {"dot": dot})
    return log


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "_config.yml").write_text("")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "page.md").write_text(PAGE)
    return tmp_path


def noted(png: bytes, what: str) -> str:
    """Return what a picture says of itself: its "Description", or its "Kind"."""
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        return str(image.info[what])


def test_a_page_gets_its_picture_and_the_words_for_it(root: Path, drawings: list[str]) -> None:
    files = staged(Edition(root))
    png = root / "book/pictures/dot.png"
    png.parent.mkdir()
    png.write_bytes(files["book/pictures/dot.png"])
    assert drawings == ["dot"]
    page = Tiny(root, {}, "generated").page("book/page")
    (image,) = page.findall(nodes.image)
    assert (image["alt"], image["classes"]) == ("A dot, at × = 0.", ["drawn-plot"])
    assert image.parent.rawsource == "![A dot, at × = 0.](pictures/dot.png)"  # for translators


def test_a_picture_is_kept_until_the_environment_changes(root: Path, drawings: list[str]) -> None:
    first, again = staged(Edition(root)), staged(Edition(root))
    assert first == again
    assert drawings == ["dot"]
    (root / "requirements.txt").write_text("numpy==9")
    assert staged(Edition(root)) == first
    assert drawings == ["dot", "dot"]
    assert [path.name[:4] for path in (root / "_build" / "pictures").iterdir()] == ["dot-"]


def test_the_code_of_the_package_is_part_of_the_key(root: Path) -> None:
    clinic, other = (root / f"medxfer_utils/{n}.py" for n in ("clinic/patients", "other"))
    clinic.parent.mkdir(parents=True)
    (clinic.parent / "__init__.py").touch()
    keys = []
    for path, text in ((clinic, "1"), (other, "1"), (clinic, "from medxfer_utils import other")):
        keys.append(pictures.key(root))
        path.write_text(text)
    first, with_clinic, with_other = keys
    assert first != with_clinic == with_other != pictures.key(root)


def test_another_picture_is_another_site_and_the_same_one_has_the_same_bytes(
    root: Path, drawings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint(staged(Edition(root)), root)
    dot = pictures.PICTURES["dot"]
    assert drawn(dot) == drawn(dot)
    assert not plt.get_fignums(), "no figure is left open"
    (root / "requirements.txt").write_text(" ")
    monkeypatch.setattr(pictures, "PICTURES", {"dot": lambda: dot() + " Another one."})
    after = staged(Edition(root))
    assert after["book/pictures/dot.png"] != drawn(dot)
    assert fingerprint(after, root) != before


def test_a_page_that_asks_for_nothing_draws_nothing(root: Path, drawings: list[str]) -> None:
    files = {"book/page.md": b"# No picture\n", "book/raw.bin": b"\xff![](pictures/dot.png)"}
    assert asked_for(files, root, root / "_build") == {}
    assert not drawings


def test_an_unknown_picture_is_named_and_one_that_fails_leaves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "PICTURES", {"dot": lambda: 1 / 0})
    with pytest.raises(ValueError, match=r"No picture is called 'dots'. There are: dot"):
        picture("dots", "today", root / "_build")
    with pytest.raises(ZeroDivisionError):
        picture("dot", "today", root / "_build")
    assert not (root / "_build").exists()


def test_every_picture_is_shown_and_says_what_it_shows() -> None:
    pages = [(REPOSITORY / "book" / name).read_text("utf-8") for name in ("clinic.md", "index.md")]
    assert sorted(name for page in pages for name in ASKED.findall(page)) == sorted(PICTURES)
    real = {name: drawn(function) for name, function in PICTURES.items()}
    assert {noted(png, "Kind") for png in real.values()} == {"image"}, "taken for a plot"
    assert sum(map(len, real.values())) < 1_500_000
    for name, png in real.items():
        said = noted(png, "Description")
        assert "simulated" in said
        if name != "title":
            total = int(re.findall(r"(\d+) grey-scale patches", said)[0])
            assert sum(map(int, re.findall(r"(\d+) × (?!1/)", said))) == total
        if name.partition("_")[2]:
            organ, _, y = name.partition("_")
            start = f"{organ.capitalize()}, {y} (simulated): 32 grey-scale patches"
            assert said.startswith(start)
