"""The environment is made once, completely, and from locked packages alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from book.tools import env, lock
from book.tools.teach.workshop import pins

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["requirements.txt", "book/tools/uv.txt", "benchmarks/requirements.txt"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository, in a folder with a space, whose installation makes nothing."""
    root = tmp_path / "a folder"
    root.mkdir()
    for name in ("requirements.txt", "pyproject.toml"):
        (root / name).write_text("")

    def pretend(what: str, *command: object) -> None:
        env.venv_python(root).parent.mkdir(parents=True, exist_ok=True)
        env.venv_python(root).touch()

    monkeypatch.setattr(env, "call", pretend)
    return root


def refuse(what: str, *command: object) -> None:
    raise AssertionError(f"{what} was called: {command}")


def test_an_environment_that_is_up_to_date_is_left_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.ensure(root)
    monkeypatch.setattr(env, "call", refuse)
    env.ensure(root)


def test_another_lock_project_or_python_makes_another_environment(root: Path) -> None:
    stamps = {env.wanted_stamp(root, (3, 11)), env.wanted_stamp(root, (3, 12))}
    for name in ("requirements.txt", "pyproject.toml"):
        (root / name).write_text("# changed")
        stamps.add(env.wanted_stamp(root, (3, 11)))
    assert len(stamps) == 4


def test_an_interrupted_installation_is_repeated(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(where: Path) -> None:
        raise KeyboardInterrupt

    env.ensure(root)
    (root / "requirements.txt").write_text("# changed")
    with monkeypatch.context() as patch:
        patch.setattr(env, "install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            env.ensure(root)
    # Back to the old lock: what was half installed must not pass for the old environment.
    (root / "requirements.txt").write_text("")
    monkeypatch.setattr(env, "call", refuse)
    with pytest.raises(AssertionError, match="was called"):
        env.ensure(root)


@pytest.mark.parametrize("version", [(3, 10), (3, 14), (4, 0)])
def test_an_unsupported_python_looks_for_another_and_says_so(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int]
) -> None:
    monkeypatch.setattr(sys, "version_info", (*version, 0))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(env.SetupError, match=r"needs Python 3\.11, 3\.12 or 3\.13"):
        env.find_python()
    monkeypatch.setattr(
        shutil,
        "which",
        lambda name: f"/bin/{name}" if name in ("python3.11", "python3.12") else None,
    )
    # python3.11 is a shim with nothing behind it.
    monkeypatch.setattr(env, "version_of", lambda path: (3, 12) if "3.12" in path else ())
    assert env.find_python() == ("/bin/python3.12", (3, 12))


def test_version_of_a_python_that_does_not_start_is_empty(tmp_path: Path) -> None:
    assert env.version_of(tmp_path / "python") == ()
    assert env.version_of(sys.executable) == sys.version_info[:2]


def test_a_step_that_fails_says_which_and_what_to_do() -> None:
    with pytest.raises(env.SetupError, match=r"counting failed[\s\S]*run the same command again"):
        env.call("counting", sys.executable, "-c", "raise SystemExit(3)")


def test_the_exit_status_of_the_command_is_passed_on() -> None:
    command = [sys.executable, str(ROOT / "book/tools/env.py"), "-c", "raise SystemExit(7)"]
    assert subprocess.run(command, check=False, cwd=os.sep).returncode == 7


def test_every_locked_package_has_one_version_and_a_hash_and_no_lock_names_an_index() -> None:
    for name in LOCKS:
        text = (ROOT / name).read_text()
        assert not re.search(r"://|--(extra-)?index|--find-links", text), name
        entries = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).strip())
        loose = [
            entry[:80]
            for entry in entries
            if not re.match(r"[a-z0-9_.-]+==\S+ ", entry) or "--hash=sha256:" not in entry
        ]
        assert (loose, entries == [""]) == ([], False), name


# What `requirements.txt` pins: name, version and condition; some have a version per system.
LOCKED = [
    (str(pin.name), str(pin.requirement.specifier)[2:], pin.requirement.marker)
    for pin in pins((ROOT / "requirements.txt").read_text("utf-8"))
]


def test_the_lock_holds_all_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    asked = [*project["dependencies"], *(text for extra in extras for text in extra)]
    for wish in map(Requirement, asked):
        versions = [v for name, v, _ in LOCKED if name == canonicalize_name(wish.name)]
        assert versions, wish
        assert all(map(wish.specifier.contains, versions)), wish


def test_the_environment_that_runs_this_is_the_locked_one() -> None:
    here = {name: str(value) for name, value in default_environment().items()}
    wanted = {name: v for name, v, marker in LOCKED if not marker or marker.evaluate(here)}
    installed = {str(canonicalize_name(d.metadata["Name"])): d.version for d in distributions()}
    assert {name: installed.get(name) for name in wanted} == wanted


def test_conda_makes_the_same_environment() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    *own, pip = conda["dependencies"]
    assert own == ["python=3.11", "pip"]
    # The lock was resolved for this Python and later ones, and holds every package.
    assert pip == {"pip": ["--requirement requirements.txt"]}
    assert lock.COMPILE[lock.COMPILE.index("--python-version") + 1] == "3.11"


def test_every_place_names_the_same_versions_of_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    assert (env.OLDEST, env.TOO_NEW) == ((3, 11), (3, 14))
