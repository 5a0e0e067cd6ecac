"""One address of the repository, everywhere; containers and Binder build from the lock."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from light import remove_buttons

from book.tools.pages import address

ROOT = Path(__file__).resolve().parents[2]
NEW = "https://github.com/some-school/transfer.book"
BUTTONS = ("repository_url", "repository_branch", "use_repository_button", "launch_buttons")
CONTAINER = (ROOT / ".devcontainer" / "Dockerfile").read_text("utf-8")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the address stands in."""
    for name in (*address.FILES, "CITATION.cff", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    return tmp_path


def texts(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): path.read_text("utf-8")
        for path in root.rglob("*")
        if path.is_file()
    }


def test_a_new_address_stands_everywhere_and_the_former_nowhere(copy: Path) -> None:
    former, before = address.present(copy), texts(copy)
    changed = {path.relative_to(copy).as_posix() for path in address.stamp(copy, NEW)}
    assert address.present(copy) == NEW
    after = texts(copy)
    chapters = {name for name in after if name.startswith("notebooks/")}
    named = {name for name, text in after.items() if NEW in text}
    assert named == {"pyproject.toml", "_config.yml", "CITATION.cff"} | chapters
    assert changed == {name for name in after if after[name] != before[name]}
    assert not [name for name, text in after.items() if former in text]
    assert all(f'git+{NEW}\\"' in after[name] and json.loads(after[name]) for name in chapters)
    address.stamp(copy, former)  # the way back changes nothing but the citation
    again = texts(copy)
    assert {name for name in again if again[name] != before[name]} <= {"CITATION.cff"}


def test_the_repository_is_stamped(copy: Path) -> None:
    """Fails after `make lock` or a new chapter until `make address` has been run."""
    assert address.stamp(copy, address.present(copy)) == []


def test_what_is_no_address_is_refused_and_nothing_written(copy: Path) -> None:
    before = texts(copy)
    for wrong in ("", "github.com/a/b", "https://example.org/a/b", f"{NEW}/x y"):
        with pytest.raises(ValueError, match="is not of the form https://github"):
            address.stamp(copy, wrong)
    assert texts(copy) == before


def test_a_chapter_without_the_cell_is_named(copy: Path) -> None:
    path = sorted((copy / "notebooks").glob("*.ipynb"))[0]
    path.write_text(path.read_text("utf-8").replace('"colab"', '"other"'), "utf-8")
    with pytest.raises(ValueError, match=rf"{path.name}: 0 cells are tagged 'colab'"):
        address.stamp(copy, NEW)


def test_buttons_appear_with_the_address_and_not_before() -> None:
    options = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["sphinx"]["config"][
        "html_theme_options"
    ]
    for place, kept in ((address.UNKNOWN, set()), (NEW, {*BUTTONS})):
        config = SimpleNamespace(html_theme_options={**options, "repository_url": place})
        remove_buttons(None, config)  # type: ignore[arg-type]
        assert {*BUTTONS} & {*config.html_theme_options} == kept
        assert "home_page_in_toc" in config.html_theme_options, "all else stays"


def test_colab_gets_the_locked_versions() -> None:
    lock = (ROOT / "requirements.txt").read_text("utf-8")
    named = re.findall(r"[\w-]+==[\w.]+", address.colab_cell(ROOT, NEW))
    assert len(named) == len(address.LACKING)
    assert [pin for pin in named if f"\n{pin} " not in lock] == []


def test_the_cell_calls_pip_on_colab_and_does_nothing_elsewhere() -> None:
    called: list[tuple[str, str]] = []

    class Shell:
        def run_line_magic(self, name: str, line: str) -> None:
            called.append((name, line))

    for place in ("{}", '{"COLAB_RELEASE_TAG": "1"}'):
        text = address.colab_cell(ROOT, NEW).replace("os.environ", place)
        exec(text, {"get_ipython": Shell})
    ((magic, line),) = called
    assert magic == "pip"
    assert re.fullmatch(rf"install -q --no-deps git\+{NEW}( [\w-]+==[\w.]+)+", line)


def test_an_installed_package_has_the_stored_results(tmp_path: Path) -> None:
    """As on Colab: a wheel, unpacked where nothing else of the book is."""
    source, wheels, place = tmp_path / "source", tmp_path / "wheels", tmp_path / "place"
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in ("medxfer_utils", "book/results"):
        shutil.copytree(ROOT / name, source / name, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(source)]
    subprocess.run(build, check=True)
    (wheel,) = wheels.glob("*.whl")
    shutil.unpack_archive(wheel, place, "zip")
    asked = (
        "import json; from medxfer_utils import results as r; print(json.dumps([str(r.FOLDER), "
        "len(r.load('hospitals_pairs')), len(list(r.FOLDER.glob('sources/*.keras')))]))"
    )
    alone = {"PYTHONPATH": str(place), "PATH": ""}
    command = [sys.executable, "-c", asked]
    said = subprocess.run(command, capture_output=True, check=True, env=alone, cwd=tmp_path).stdout
    rows = len((ROOT / "book/results/hospitals_pairs.csv").read_text().splitlines()) - 1
    assert json.loads(said) == [str(place / "medxfer_utils" / "stored"), rows, 8]


def test_the_container_builds_from_the_lock_with_the_books_own_tool() -> None:
    image = re.search(r"^FROM python:3\.(1[123])-slim AS base$", CONTAINER, re.M)
    assert image
    assert "RUN python book/tools/env.py\n" in CONTAINER
    assert "pip install" not in CONTAINER
    (command,) = re.findall(r"^CMD (\[.*\])$", CONTAINER, re.M)
    script, *rest = json.loads(command)[1:]
    told = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    dockerfile, prepares = told["build"]["dockerfile"], told["postCreateCommand"].split()[1]
    files = (script, f".devcontainer/{dockerfile}", prepares)
    assert [name for name in files if not (ROOT / name).is_file()] == []
    assert (ROOT / rest[2]).is_dir(), "JupyterLab is told of a folder that is there"
    assert re.search(rf"^FROM \S+ AS {told['build']['target']}$", CONTAINER, re.M)
    assert re.search(rf"useradd .*\b{told['remoteUser']}$", CONTAINER, re.M)


def test_binder_finds_its_files_and_no_dockerfile_before_them() -> None:
    """repo2docker takes `.binder`, `binder` or a Dockerfile at the top instead, if there is one."""
    assert not [name for name in ("binder", ".binder", "Dockerfile") if (ROOT / name).exists()]
    assert (ROOT / "environment.yml").is_file()
    assert (ROOT / "postBuild").stat().st_mode & 0o111
    last = (ROOT / "postBuild").read_text("utf-8").splitlines()[-1]
    setup = (ROOT / "book" / "setup.md").read_text("utf-8")
    assert last.removeprefix("python -m ") in setup, "the same line as for conda"
