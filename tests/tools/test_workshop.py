"""The workshop kit is complete, repeatable, and installs what a student needs and no more."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, requires
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from jupyterlab_server.settings_utils import get_settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from book.tools.teach import __main__ as command
from book.tools.teach import workshop
from book.tools.teach.kit import start
from medxfer_utils import data
from tests.tools.books import write_files

ROOT = Path(__file__).resolve().parents[2]
LOCK = """# made by uv
alpha==1.0 \\
    --hash=sha256:{a} \\
    --hash=sha256:{b}
    # via
    #   beta
    #   medxfer-utils (pyproject.toml)
beta==2.0 ; sys_platform == 'win32' \\
    --hash=sha256:{b}
    # via Gamma.x
beta==2.1 ; sys_platform != 'win32' \\
    --hash=sha256:{a}
    # via gamma-x
delta==1 \\
    --hash=sha256:{b}
    # via pytest
gamma-x==3 \\
    --hash=sha256:{a}
    # via medxfer-utils (pyproject.toml)
""".format(a="a" * 64, b="b" * 64)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The kit of this book."""
    return workshop.contents(ROOT)


def test_the_same_book_gives_the_same_bytes(files: dict[str, bytes]) -> None:
    once = workshop.packed(files)
    assert workshop.packed(dict(reversed(files.items()))) == once
    assert workshop.packed(workshop.contents(ROOT)) == once
    with zipfile.ZipFile(BytesIO(once)) as archive:
        assert archive.testzip() is None
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {name.split("/")[0] for name in archive.namelist()} == {workshop.NAME}
        assert archive.read(f"{workshop.NAME}/start.py") == files["start.py"]


def test_the_kit_has_what_a_student_needs_and_nothing_of_ours(files: dict[str, bytes]) -> None:
    for pattern in ("medxfer_utils/*.py", "book/results/*.csv", "book/results/sources/*"):
        there = {path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern)}
        assert there <= files.keys()
    assert not [name for name in files if "__pycache__" in name or name.startswith("book/_")]
    assert not [name for name in files if re.match(r"book/(results|tools/(?!env)).*\.py$", name)]
    chapters = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {name[10:] for name in files if name.startswith("notebooks/")} == chapters
    assert "jupyter/labconfig/default_setting_overrides.json" in files
    for name in chapters:
        tags = [
            c["metadata"].get("tags", []) for c in json.loads(files[f"notebooks/{name}"])["cells"]
        ]
        assert name.startswith("A") or any("answer" in cell for cell in tags)
        assert not [cell for cell in tags if "solution" in cell]


def test_the_weights_are_in_the_kit_if_they_can_be_had_and_are_the_right_ones(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = data.WEIGHTS[0]
    if data.find_local(known.name, known.folder):
        found = hashlib.sha256(files[f"data/weights/{known.name}"]).hexdigest()
        assert known.sum == f"sha256:{found}"

    def nowhere(url: str) -> Path:
        raise data.DownloadError(f"{url} does not answer")

    monkeypatch.setattr(data, "imagenet_weights", nowhere, raising=False)
    assert workshop.weights() == {}


def test_the_start_page_lists_the_chapters_and_needs_no_other_host(files: dict[str, bytes]) -> None:
    page = BeautifulSoup(files["start.html"], "html.parser")
    targets = [str(link["href"]) for link in page.find_all("a")]
    inside = [target for target in targets if not target.startswith("https://www.python.org/")]
    assert [target for target in inside if target not in files] == []
    chapters = [name for name in sorted(files) if name.startswith("notebooks/")]
    assert [target for target in inside if target.startswith("notebooks/")] == chapters
    items = [item.get_text() for item in page.find_all("li") if item.find("a", href=chapters[0])]
    assert items[0].startswith("Your first transfer")
    assert items[0].endswith("?")
    assert not page.find_all(["script", "img", "iframe"])
    assert {tag["href"] for tag in page.find_all("link")} == {"data:,"}


def test_a_package_brings_all_that_it_asks_for() -> None:
    found = [str(pin.requirement) for pin in workshop.needed(workshop.pins(LOCK), ["gamma.X"])]
    assert found == [
        "alpha==1.0",
        'beta==2.0; sys_platform == "win32"',
        'beta==2.1; sys_platform != "win32"',
        "gamma-x==3",
    ]


def test_the_students_lock_is_a_part_of_the_book_s() -> None:
    def entries(text: str) -> set[tuple[str, tuple[str, ...]]]:
        return {(str(pin.requirement), pin.hashes) for pin in workshop.pins(text)}

    whole = entries((ROOT / "requirements.txt").read_text("utf-8"))
    part = entries(workshop.student_lock(ROOT))
    assert part < whole
    names = {Requirement(text).name for text, _ in part}
    assert {"jupyterlab", "ipykernel", "setuptools", "tensorflow", "tensorflow-cpu"} <= names
    assert not names & {"pytest", "sphinx", "playwright", "jieba", "mypy", "papermill"}


def test_nothing_that_a_student_s_packages_ask_for_is_missing() -> None:
    names = {pin.name for pin in workshop.student_pins(ROOT)}
    asked = {}
    for name in sorted(names):
        try:
            wishes = [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:  # of another system
            continue
        kept = [w for w in wishes if not w.marker or w.marker.evaluate({"extra": ""})]
        asked[name] = {canonicalize_name(wish.name) for wish in kept}
    assert len(asked) > 100
    assert {name: wish - names for name, wish in asked.items() if wish - names} == {}


def test_a_lock_that_lacks_something_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(LOCK)
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = ['gamma_x', 'zeta>=1']")
    with pytest.raises(ValueError, match="lacks jupyterlab, setuptools, zeta: make lock"):
        workshop.student_lock(tmp_path)


def test_each_system_gets_its_own_packages_each_in_one_version() -> None:
    own = {
        "linux": {"tensorflow-cpu", "pexpect"},
        "macos": {"tensorflow", "pexpect", "appnope"},
        "windows": {"tensorflow", "pywinpty"},
    }
    for system, mine in own.items():
        (text,) = workshop.lists(ROOT, system, "3.12").values()
        assert ";" not in text
        names = re.findall(r"^([\w.-]+)==", text, flags=re.M)
        assert {*names} & set[str]().union(*own.values()) == mine
        assert {"uv", "numpy"} <= {*names}
        assert len(names) == len(set(names))


def test_pythons_that_differ_in_their_last_digit_get_both_versions() -> None:
    first, other = workshop.lists(ROOT, "linux", "3.11").items()
    assert {first[0], other[0]} == {"3.11.0", "3.11.99"}
    assert first[1] != other[1]


def test_every_wanted_wheel_is_asked_for_and_those_of_a_former_lock_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "_build" / "workshop" / "wheels"
    lock = f"kept==1 \\\n    --hash=sha256:{hashlib.sha256(b'kept').hexdigest()}\n"
    write_files(tmp_path, {"requirements.txt": lock, "book/tools/uv.txt": ""})
    write_files(folder, {"old.whl": "old", "kept.whl": "kept"})
    asked = []
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(workshop, "lists", lambda root, system, python: {f"{python}.0": system})
    monkeypatch.setattr(
        workshop, "download", lambda path, *about: asked.append((path.read_text(), *about))
    )
    systems, pythons = ("macos", "windows"), ("3.12", "3.13")
    assert command.main(["wheels", "--platform", *systems, "--python", *pythons]) == 0
    assert [path.name for path in folder.iterdir()] == ["kept.whl"]
    assert [path.name for path in folder.parent.iterdir()] == ["wheels"]
    assert asked == [(one, one, f"{two}.0", folder) for one in systems for two in pythons]


def test_without_a_wish_it_is_this_system_and_this_python() -> None:
    asked = command.options(["wheels"])
    system = {"linux": "linux", "darwin": "macos", "win32": "windows"}[sys.platform]
    assert (asked.platform, asked.python) == ([system], [f"3.{sys.version_info[1]}"])


LAB = ("-m", "jupyterlab", "notebooks")
CHECK = ("-m", "medxfer_utils")


STARTS = [  # what installing and checking return, whether there is a check, and what is called
    (0, 0, True, [(), CHECK, LAB]),
    (0, 1, True, [(), CHECK, LAB]),  # it says what to fix, and stops nothing
    (1, 0, True, [()]),
    (0, 1, False, [(), LAB]),  # a kit without a check
]


def test_the_start_installs_checks_and_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(start, "HERE", tmp_path)
    for installed, checked, there, expected in STARTS:
        shutil.rmtree(tmp_path / "medxfer_utils", ignore_errors=True)
        if there:
            write_files(tmp_path, {"medxfer_utils/__main__.py": ""})
        statuses, calls = {(): installed, CHECK: checked}, list[tuple[str, ...]]()

        def call(*arguments: str, known: Any = statuses, made: Any = calls) -> int:
            made.append(arguments)
            return int(known.get(arguments, 0))

        monkeypatch.setattr(start, "call", call)
        assert (start.main(), calls) == (installed, expected)
        assert ("says what to fix" in capsys.readouterr().out) == bool(checked and there)


def test_no_news_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """JupyterLab finds the settings of the kit, knows them all, and takes their values."""
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(workshop.KIT / "jupyter"))
    folder = Path(sys.prefix, "share", "jupyter", "lab")
    name = "@jupyterlab/apputils-extension:notification"
    found, _ = get_settings(str(folder / "settings"), str(folder / "schemas"), "", schema_name=name)
    values = {key: one["default"] for key, one in found["schema"]["properties"].items()}
    assert (values["fetchNews"], values["checkForUpdates"]) == ("false", False)


@pytest.mark.parametrize("stick", [False, True])
@pytest.mark.parametrize("own", ["", "/etc/mine"])
def test_a_folder_of_wheels_replaces_the_network_and_the_kit_s_settings_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stick: bool, own: str
) -> None:
    here = tmp_path / "my stick, new"  # its name must not be cut by pip or uv
    here.mkdir()
    for name in ("wheels", "data") if stick else ():
        (here / name).mkdir()
    names = ["JUPYTER_CONFIG_PATH", "PIP_NO_INDEX", "PIP_FIND_LINKS", "UV_OFFLINE", "UV_FIND_LINKS"]
    names += ["MEDXFER_DATA"]
    script = f"import json, os; print(json.dumps({{n: os.environ.get(n, '') for n in {names}}}))"
    (tmp_path / "env.py").write_text(f"{script[:-1]}, file=open({str(tmp_path / 'said')!r}, 'w'))")
    monkeypatch.setattr(start, "HERE", here)
    monkeypatch.setattr(start, "ENV", tmp_path / "env.py")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", own)
    for name in names[1:]:
        monkeypatch.delenv(name, raising=False)
    assert start.call() == 0
    link = f"{tmp_path.as_uri()}/my%20stick%2C%20new/wheels" if stick else ""
    config = os.pathsep.join([str(start.SETTINGS), own] if own else [str(start.SETTINGS)])
    data_too = str(here / "data") if stick else ""
    expected = (config, "1" if stick else "", link, "1" if stick else "", link, data_too)
    assert json.loads((tmp_path / "said").read_text()) == dict(zip(names, expected, strict=True))
