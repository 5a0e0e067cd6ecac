"""The map of the lessons, its table and the front page of the repository name what is there."""

from __future__ import annotations

import re
from pathlib import Path

from bs4 import BeautifulSoup

from book.tools.chapters.keys import source
from book.tools.chapters.run import load
from tests.tools.tiny import Tiny

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))}
PAGE = (ROOT / "book" / "how_to_use.md").read_text("utf-8")
MAP = BeautifulSoup(PAGE, "html.parser").select_one(".map svg")


def titles() -> dict[str, str]:
    """Return the title of each lesson, by the stem of its file."""
    first = {stem: source(load(path)["cells"][0]) for stem, path in NOTEBOOKS.items()}
    return {stem: text.splitlines()[0].removeprefix("# ") for stem, text in first.items()}


def test_the_map_has_a_box_for_each_lesson_and_names_all_in_its_text() -> None:
    assert MAP is not None
    boxes = [text.get_text()[:2] for text in MAP.select("text")]
    numbers = [stem[:2] for stem in NOTEBOOKS]
    assert sorted(boxes) == numbers
    assert len(MAP.select("rect")) == len(numbers)
    assert [number for number in numbers if number not in str(MAP["aria-label"])] == []


def test_the_arrows_lead_from_lower_numbers_to_each_lesson_once() -> None:
    assert MAP is not None
    arrows = [(str(a["data-needs"]), str(a["data-lesson"])) for a in MAP.select("path[data-needs]")]
    assert sorted(to for _, to in arrows) == [stem[:2] for stem in NOTEBOOKS][1:]
    assert all(needed < to for needed, to in arrows)


def test_the_table_and_the_readme_lead_to_every_lesson() -> None:
    assert re.findall(r"\{doc\}`\d\d <\.\./notebooks/(\d\d_\w+)>`", PAGE) == [*NOTEBOOKS]
    readme = (ROOT / "README.md").read_text("utf-8")
    found = re.findall(r"\| (\d\d) \| \[([^]]+)\]\(notebooks/(\w+)\.ipynb\)", readme)
    assert {stem: title for _, title, stem in found} == titles()
    assert all(stem.startswith(number) for number, _, stem in found)


def test_a_lesson_is_called_by_the_number_of_its_file_and_a_tool_by_its_version(
    tmp_path: Path,
) -> None:
    pages = {
        "notebooks/07_x.md": "# From lung",
        "notebooks/A1_y.md": "# More",
        "book/p.md": "# Page",
    }
    pages["notebooks/A1_y.md"] += "\n\nKeras {locked}`keras`, {doc}`07_x`\n\n## Not numbered"
    tiny = Tiny(tmp_path, pages, "generated")
    names = {name: tiny.app.env.titles[name].astext() for name in tiny.app.env.titles}
    assert names["notebooks/07_x"] == "07 · From lung"
    assert names["book/p"] == "Page"

    text = tiny.page("notebooks/A1_y").astext()
    assert re.match(r"A1 · More\s+Keras \d+\.\d+\.\d+, 07 · From lung\s+Not numbered", text)
