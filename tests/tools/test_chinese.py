"""The Chinese edition: its configuration, its catalogues, the way to it and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from translation import SUMMARY, notice, percent

from book.tools.chapters.run import Edition
from book.tools.pages import chinese
from book.tools.pages.chinese import in_chinese, join, merged
from book.tools.pages.site import MARK, PagesError

ROOT = Path(__file__).resolve().parents[2]


def test_changes_are_merged_at_every_depth() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    changed = {"a": {"b": 1, "c": [3]}, "d": 1, "e": {"f": 2}}
    assert merged(base, {"a": {"c": [3]}, "e": {"f": 2}}) == changed
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 1}


def test_the_second_configuration_keeps_the_rest_of_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = (ROOT / "_config.yml").read_bytes()
    changes = yaml.safe_load((ROOT / chinese.HOME / "config.yml").read_text("utf-8"))
    english = yaml.safe_load(first)
    made = {"_config.yml": first, "book/index.md": b"#"}
    monkeypatch.setattr("book.tools.pages.site.staged", lambda _: made)
    files = in_chinese(Edition(ROOT))
    config = yaml.safe_load(files["_config.yml"])
    assert files["book/index.md"] == b"#"
    assert "book/locales/zh_CN/LC_MESSAGES/book/index.po" in files
    extensions = {**english["sphinx"]["local_extensions"], "translation": "book/_ext"}
    assert config["sphinx"]["local_extensions"] == extensions
    assert config["execute"] == english["execute"]
    for name, value in changes["sphinx"]["config"].items():
        assert value != english["sphinx"]["config"].get(name), f"{name} changes nothing"


@pytest.fixture
def edition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edition:
    """A book with one catalogue, whose pages of today are `book/a` and `book/b`."""

    def make(_: Edition) -> Path:
        home = tmp_path / "made" / "book"
        home.mkdir(parents=True, exist_ok=True)
        for page, text in (("a", "Today's text of a page."), ("b", "Another page.")):
            said = f'msgid ""\nmsgstr ""\n\nmsgid "{text}"\nmsgstr ""\n'
            (home / f"{page}.pot").write_text(said)
        return home.parent

    monkeypatch.setattr(chinese, "templates", make)
    catalogue = tmp_path / chinese.CATALOGUES / "book" / "a.po"
    catalogue.parent.mkdir(parents=True)
    catalogue.write_text(
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'
        'msgid "Yesterday\'s text of a page."\nmsgstr "文字"\n',
        "utf-8",
    )
    return Edition(tmp_path)


def test_catalogues_follow_the_text_and_begin_with_a_page_that_is_named(edition: Edition) -> None:
    with pytest.raises(PagesError, match=r"No page is called book/c\. There are: .*'book/b'"):
        chinese.update_catalogues(edition, ["book/c"])
    chinese.update_catalogues(edition)
    text = (edition.root / chinese.CATALOGUES / "book" / "a.po").read_text("utf-8")
    assert '#, fuzzy\nmsgid "Today\'s text of a page."\nmsgstr "文字"' in text
    assert "Yesterday" not in text
    assert chinese.begun(edition.root) == ["book/a"]
    chinese.update_catalogues(edition, ["book/b"])
    assert chinese.begun(edition.root) == ["book/a", "book/b"]


def test_a_page_says_on_top_how_much_is_translated() -> None:
    """Only all is all, and only nothing is nothing."""
    parts = [0, 0.001, 0.5, 0.999, 1]
    assert [percent(part) for part in parts] == ["0 %", "1 %", "50 %", "99 %", "100 %"]
    assert notice(1) == ""
    assert "尚未翻译" in notice(0)
    assert "已译 12 %" in notice(0.12)


def test_answers_of_a_quiz_are_taken_out_of_their_html() -> None:
    text = '<details class="right"><summary>Yes.</summary>\n<details><summary>No,\nnot.</summary>'
    pieces = SUMMARY.split(text)
    assert pieces[1::2] == ["Yes.", "No,\nnot."]
    assert "".join(pieces) == text


ARTICLE = '<html><body><article class="bd-article">{}</article></body></html>'


def site(folder: Path, mark: str, text: str, *pages: str) -> None:
    for name in pages:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ARTICLE.format(text), "utf-8")
    (folder / MARK).write_text(mark)


def hrefs(page: Path) -> list[str]:
    return [part.split('"')[0] for part in page.read_text("utf-8").split('<a href="')[1:]]


def test_editions_lead_to_each_other_if_both_are_there(tmp_path: Path) -> None:
    english, inside = tmp_path / "html", tmp_path / "html" / "zh"
    site(english, "e", "English", "book/index.html", "notebooks/01.html", "book/only.html")
    assert not join(tmp_path)
    assert hrefs(english / "book" / "index.html") == []
    for mark in ("one", "two"):  # joining again leaves one link and takes the new pages
        site(tmp_path / "zh/html", mark, f"中文 {mark}", "book/index.html", "notebooks/01.html")
        assert join(tmp_path)
    for name in ("book/index.html", "notebooks/01.html"):
        (there,), (back,) = hrefs(english / name), hrefs(inside / name)
        assert (english / name).parent.joinpath(there).resolve() == (inside / name).resolve()
        assert (inside / name).parent.joinpath(back).resolve() == (english / name).resolve()
    assert "中文 two" in (inside / "book" / "index.html").read_text("utf-8")
    assert hrefs(english / "book" / "only.html") == []
    assert hrefs(tmp_path / "zh" / "html" / "book" / "index.html") == []
    assert list(english.glob("zh.*")) == []


def test_a_theme_without_a_place_for_the_link_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    page.write_text("<main></main>")
    with pytest.raises(PagesError, match="did the theme change"):
        chinese.lead(page, tmp_path / "b.html", "English", "en")
    assert page.read_text() == "<main></main>"
