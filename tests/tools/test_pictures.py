"""Pictures of the prose: drawn on demand, kept, drawn again when their code changes, described."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from book.tools.chapters.run import Edition
from book.tools.pages import pictures
from book.tools.pages.pictures import ASKED, PICTURES, drawn, noted, picture, with_pictures
from book.tools.pages.site import fingerprint, staged

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


def test_a_page_gets_its_picture_and_the_words_for_it(root: Path, drawings: list[str]) -> None:
    files = staged(Edition(root))
    png = files["book/pictures/dot.png"]
    assert png.startswith(b"\x89PNG")
    assert noted(png, "Description") == "A dot, at × = 0."
    text = files["book/page.md"].decode()
    assert "![A dot, at × = 0.](pictures/dot.png){.drawn-plot}" in text
    assert "[image](pictures/other.png)" in text
    assert drawings == ["dot"]


def test_a_kept_picture_is_not_drawn_again(root: Path, drawings: list[str]) -> None:
    first, again = staged(Edition(root)), staged(Edition(root))
    assert first == again
    assert drawings == ["dot"]
    assert [path.name[:4] for path in (root / "_build" / "pictures").iterdir()] == ["dot-"]


def test_another_environment_draws_it_again(root: Path, drawings: list[str]) -> None:
    before = staged(Edition(root))
    (root / "requirements.txt").write_text("numpy==9")
    assert staged(Edition(root)) == before
    assert drawings == ["dot", "dot"]
    assert len(list((root / "_build" / "pictures").iterdir())) == 1


def test_the_code_of_the_package_is_part_of_the_key(root: Path) -> None:
    before = pictures.key(root)
    (root / "medxfer_utils").mkdir()
    (root / "medxfer_utils" / "phantoms.py").write_text("1")
    phantoms = pictures.key(root)
    (root / "medxfer_utils" / "unrelated.py").write_text("1")
    assert before != phantoms == pictures.key(root)
    (root / "medxfer_utils" / "phantoms.py").write_text("from medxfer_utils import unrelated")
    assert pictures.key(root) != phantoms


def test_another_picture_is_another_site(
    root: Path, drawings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint(staged(Edition(root)), root)
    (root / "requirements.txt").write_text(" ")
    former = drawn(pictures.PICTURES["dot"])

    def larger() -> str:
        plt.figure(figsize=(2, 2))
        return "A larger one."

    monkeypatch.setattr(pictures, "PICTURES", {"dot": larger})
    after = staged(Edition(root))
    assert after["book/pictures/dot.png"] != former
    assert fingerprint(after, root) != before


def test_drawing_twice_gives_the_same_bytes_and_leaves_no_figure_open(drawings: list[str]) -> None:
    dot = pictures.PICTURES["dot"]
    assert drawn(dot) == drawn(dot)
    assert drawings == ["dot", "dot"]
    assert not plt.get_fignums()


def test_a_page_that_asks_for_nothing_draws_nothing(root: Path, drawings: list[str]) -> None:
    files = {"book/page.md": b"# No picture\n", "book/raw.bin": b"\xff![](pictures/dot.png)"}
    assert with_pictures(files, root, root / "_build") == files
    assert not drawings


@pytest.mark.usefixtures("drawings")
def test_an_unknown_picture_is_an_error_that_names_those_there(root: Path) -> None:
    with pytest.raises(ValueError, match=r"No picture is called 'dots'. There are: dot"):
        picture("dots", "today", root / "_build")


def test_a_drawing_that_fails_leaves_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise RuntimeError("no ink")

    monkeypatch.setattr(pictures, "PICTURES", {"dot": broken})
    with pytest.raises(RuntimeError, match="no ink"):
        picture("dot", "today", root / "_build" / "pictures")
    assert not list((root / "_build" / "pictures").iterdir())


@pytest.fixture(scope="module")
def real() -> Iterator[dict[str, bytes]]:
    yield {name: drawn(function) for name, function in PICTURES.items()}
    plt.close("all")


def test_the_clinic_page_and_the_first_page_show_every_picture() -> None:
    pages = [
        (REPOSITORY / "book" / f"{name}.md").read_text("utf-8") for name in ("clinic", "index")
    ]
    asked = [name for page in pages for name in ASKED.findall(page)]
    assert sorted(asked) == sorted(PICTURES)


def test_images_are_not_taken_for_plots(real: dict[str, bytes]) -> None:
    assert {noted(png, "Kind") for png in real.values()} == {"image"}


def test_the_pictures_are_light_and_say_how_many_patches_they_show(real: dict[str, bytes]) -> None:
    assert sum(map(len, real.values())) < 1_500_000
    for png in (png for name, png in real.items() if name != "title"):
        said = noted(png, "Description")
        assert "simulated" in said
        total = int(re.findall(r"(\d+) grey-scale patches", said)[0])
        assert sum(map(int, re.findall(r"(\d+) × (?!1/)", said))) == total


def test_32_of_each_organ_and_class_are_shown(real: dict[str, bytes]) -> None:
    for organ in ("lung", "liver"):
        for y in ("benign", "malignant"):
            said = noted(real[f"{organ}_{y}"], "Description")
            title = f"{organ.capitalize()}, {y} (simulated)"
            assert said.startswith(f"{title}: 32 grey-scale patches")
