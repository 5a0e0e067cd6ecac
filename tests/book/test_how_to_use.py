"""The map of the chapters and its table say what the chapters themselves say they need."""

from __future__ import annotations

import json
import re
from pathlib import Path

from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book" / "how_to_use.md").read_text("utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def opening(notebook: Path) -> str:
    """Return the first cell of a chapter."""
    return "".join(json.loads(notebook.read_text("utf-8"))["cells"][0]["source"])


def needed() -> dict[str, set[str]]:
    """Return which chapters each chapter asks for, in its own words."""
    asked = {nb.name[:2]: re.findall(r"\{doc\}`(\d\d)_\w+`", opening(nb)) for nb in NOTEBOOKS}
    return {chapter: set(numbers) for chapter, numbers in asked.items()}


def test_the_table_names_what_each_chapter_asks_for() -> None:
    rows = re.findall(r"^\| \{doc\}`(\d\d) <\S+>` \| ([\d, ]*)\|", PAGE, re.MULTILINE)
    assert {chapter: set(re.findall(r"\d\d", cell)) for chapter, cell in rows} == needed()


def test_the_arrows_of_the_map_lead_from_what_is_needed() -> None:
    arrows = BeautifulSoup(PAGE, "html.parser").select("path[data-needs]")
    direct = {(str(arrow["data-needs"]), str(arrow["data-chapter"])) for arrow in arrows}

    def before(chapter: str) -> set[str]:
        above = {source for source, target in direct if target == chapter}
        return above.union(*(before(each) for each in above))

    # What is needed by way of another chapter has no arrow of its own.
    assert {chapter: numbers - before(chapter) for chapter, numbers in needed().items()} == {
        chapter: set() for chapter in needed()
    }
    assert all(source in needed()[target] for source, target in direct)


def test_the_map_has_a_box_for_each_chapter_and_names_all_in_its_text() -> None:
    drawing = BeautifulSoup(PAGE, "html.parser").select_one(".map svg")
    assert drawing is not None
    names = [text.get_text() for text in drawing.select("text")]
    titles = [opening(nb).splitlines()[0].removeprefix("# ") for nb in NOTEBOOKS]
    assert len(names) == len(titles) == len(drawing.select("rect"))
    for notebook, name, title in zip(NOTEBOOKS, names, titles, strict=True):
        assert name.startswith(notebook.name[:2])
        assert title.startswith(name[3:])
        assert notebook.name[:2] in str(drawing["aria-label"])


def test_sections_that_the_paths_name_exist() -> None:
    headings = {
        line.lstrip("# ").split("?")[0].split(":")[0]
        for notebook in NOTEBOOKS
        for cell in json.loads(notebook.read_text("utf-8"))["cells"]
        if cell["cell_type"] == "markdown"
        for line in "".join(cell["source"]).splitlines()
        if line.startswith("##")
    }
    paths = PAGE.split("## Three readers")[1].split("## Pages or JupyterLab")[0]
    named = re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", paths)
    assert len(named) >= 4
    assert {" ".join(name.split()).rstrip("?") for name in named} <= headings
