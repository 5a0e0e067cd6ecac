"""The set-up check: each bad case is provoked, none hides another, no name leaves the machine."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from collections import namedtuple
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import jupyter_client.kernelspec
import psutil
import pytest
from packaging.specifiers import SpecifierSet

from medxfer_utils import data
from medxfer_utils.data import HEART, WEIGHTS, sums_of
from medxfer_utils.doctor import Outcome, checks, main, report

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"name", "status", "message", "todo", "facts"}
KINDS = {"hospitals", "ultrasound", "pneumoniamnist", "breastmnist", "nodules", "weights"}
Patch = pytest.MonkeyPatch


@pytest.fixture
def book(tmp_path: Path, monkeypatch: Patch) -> Path:
    """A book's folder with nothing in it."""
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: Patch) -> Path:
    """The home folder of Anna, who has no files yet."""
    home = tmp_path / "anna"
    (home / "data").mkdir(parents=True)
    places = {"HOME": home, "USERPROFILE": home, "USER": "anna", "USERNAME": "anna"}
    places |= {"MEDXFER_DATA": home / "data", "MEDXFER_CACHE": home / "cache"}
    for name, value in places.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    return home


def run(*arguments: str, python: str | Path = sys.executable, **env: str) -> Any:
    """`python -m medxfer_utils` in a process of its own."""
    command = [str(python), "-m", "medxfer_utils", *arguments]
    given = os.environ | {"PYTHONPATH": str(ROOT)} | env
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False)


def strict(text: str) -> Any:
    """Read JSON as other languages do, which know no NaN."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    return json.loads(text, parse_constant=refuse)


def test_here_everything_is_there_and_nothing_is_on_stderr() -> None:
    done = run("--json")
    made = strict(done.stdout)
    assert (done.returncode, done.stderr, made["ok"]) == (0, "", True)
    assert all(set(check) == KEYS for check in made["checks"])
    names = [check["name"] for check in made["checks"]]
    assert {*names} - {"others"} == {*report.CHECKS} - {"data"} | KINDS
    assert len(names) == len(set(names))
    assert made["checks"][-1]["facts"]["images_per_second"] > 0
    # What a teacher's own script may read is what the documentation names, and in both directions.
    keys = {key for check in made["checks"] for key in check["facts"]} | KEYS | {*made}
    assert {*re.findall(r"``(\w+)``", report.__doc__ or "")} == keys


def test_a_python_without_a_single_package_is_told_what_to_do(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare")
    bare = tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin") / "python"
    done = run(python=bare, COLUMNS="100")
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    states = {words[1]: words[0] for line in lines if (words := line.split()) and line[0] in "onF"}
    fine = {"python": "ok", "threads": "ok"}
    assert states == dict.fromkeys(report.CHECKS, "FAILS") | fine
    assert "make doctor (without make: python book/tools/env.py -m medxfer_utils)" in done.stdout
    assert lines[-1].startswith("To be fixed: packages, kernel")


def test_what_is_imported_first_can_be_read_by_an_old_python() -> None:
    for name in ("__main__", "__init__", "doctor/__init__", "doctor/checks", "doctor/report"):
        source = (ROOT / "medxfer_utils" / f"{name}.py").read_text("utf-8")
        ast.parse(source, feature_version=(3, 9))


def test_a_command_that_is_not_understood_ends_with_two(capsys: Any) -> None:
    for arguments in (["--nonsense"], ["extra"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert "usage: python -m medxfer_utils" in capsys.readouterr().err


def test_a_fault_in_one_check_is_a_line_and_the_others_run(monkeypatch: Patch, capsys: Any) -> None:
    def fault() -> Outcome:
        raise ZeroDivisionError("somewhere")

    def missing() -> Outcome:
        raise ModuleNotFoundError("No module named 'psutil'")

    def good() -> list[Outcome]:  # a note is no failure
        return [Outcome("good", "ok", "all is well"), Outcome("data", "note", "absent", "get it")]

    tried = {"broken": fault, "memory": missing, "good": good}
    monkeypatch.setattr(report, "CHECKS", tried)
    assert main([]) == 1
    said = capsys.readouterr().out
    for words in ("ZeroDivisionError: somewhere", "No module named 'psutil'"):
        assert words in said
    assert "ok     good           all is well" in said
    assert said.splitlines()[-1] == "To be fixed: broken, memory."
    monkeypatch.setattr(report, "CHECKS", {"good": good})
    assert main([]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Everything is there."
    assert main(["--json"]) == 0
    assert strict(capsys.readouterr().out)["ok"] is True


def test_long_texts_are_folded_and_commands_are_not() -> None:
    command = "python -c " + "word " * 30
    found = Outcome("x", "fails", "word " * 30, f"{'word ' * 30}\n{command}")
    lines = report.line(found, 70).splitlines()
    assert lines[-1] == " " * 22 + "> " + command
    assert len(lines) > 5
    assert max(map(len, lines[:-1])) <= 70


def test_another_python_is_refused(monkeypatch: Patch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["name"] == checks.PACKAGE
    wanted = SpecifierSet(project["requires-python"])
    for version in [(3, minor) for minor in range(8, 20)]:
        monkeypatch.setattr(sys, "version_info", version)
        found = checks.python()
        assert found.status == ("ok" if wanted.contains("{}.{}".format(*version)) else "fails")
        assert ("make book PYTHON=python3.12" in found.todo) is (found.status == "fails")
    monkeypatch.setattr(sys, "version_info", (3, 11))
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    assert (checks.python().status, checks.python().facts["bits"]) == ("fails", 32)


def lock(book: Path, *lines: str) -> Outcome:
    """What the check says of a lock with hashes and comments, written as uv does."""
    text = "".join(f"{line} \\\n    --hash=sha256:00\n    # via keras\n" for line in lines)
    (book / "requirements.txt").write_text("# This file was autogenerated\n" + text)
    return checks.packages()


def test_packages_are_compared_with_the_lock(book: Path) -> None:
    here, scipy = metadata.version("numpy"), f"scipy=={metadata.version('scipy')}"
    found = lock(book, f"numpy=={here} ; python_full_version > '3'", "pywin32==1 ; os_name == 'no'")
    assert found.status == "ok"
    assert found.facts == {"against": "requirements.txt", "compared": 1, "different": []}
    found = lock(book, "numpy==0.1", "not-on-this-machine==1.2", scipy)
    different = [f"numpy is {here}, not 0.1", "not-on-this-machine is missing"]
    assert (found.status, found.facts["different"]) == ("fails", different)
    assert found.message.startswith("2 of 3 differ from requirements.txt: numpy is")
    found = lock(book, *(f"missing-{k}==1" for k in range(9)))  # the first few are printed
    assert found.message.count("missing-") == 5
    assert found.message.endswith("and 4 more.")
    assert len(found.facts["different"]) == 9
    assert lock(book).status == "fails"  # nothing to compare with is not ok


def test_without_a_lock_the_package_is_asked_for_itself(book: Path, monkeypatch: Patch) -> None:
    wishes = ["numpy>=1", "scipy<1", "nowhere", "ruff==0 ; extra == 'test'", "x ; os_name == 'no'"]
    monkeypatch.setattr(metadata, "requires", {"medxfer-utils": wishes}.__getitem__)
    found = checks.packages()
    assert found.facts["against"] == "metadata"
    assert "no lock is here" in found.message
    scipy = metadata.version("scipy")
    assert found.facts["different"] == [f"scipy is {scipy}, not <1", "nowhere is missing"]
    # Nobody may be sent to an index for a name that the book does not own there.
    assert "pip install" not in found.todo
    (book / "requirements.txt").touch()
    assert "python -m pip install -r requirements.txt" in checks.fixing()
    monkeypatch.setattr(sys, "prefix", str(book / ".venv"))
    assert checks.fixing().startswith("make book (without make: python book/tools/env.py)")


def test_the_kernel_must_be_this_python(monkeypatch: Patch, tmp_path: Path) -> None:
    def kernel(command: str | None) -> Outcome:
        """What the check says where Jupyter starts kernels by this command."""

        class Manager:
            def get_kernel_spec(self, name: str) -> Any:
                if command is None:
                    raise jupyter_client.kernelspec.NoSuchKernel(name)
                return namedtuple("Spec", "argv")([command, "-m", "ipykernel_launcher"])

        monkeypatch.setattr(jupyter_client.kernelspec, "KernelSpecManager", Manager)
        return checks.kernel()

    assert kernel("python" + ".".join(map(str, sys.version_info[:2]))).status == "ok"
    assert kernel(sys.executable).status == "ok"
    # A link to the same Python, as the Python of another environment is.
    other = tmp_path / "python"
    other.symlink_to(os.path.realpath(sys.executable))
    for command in (str(other), None, "python2.7"):
        assert kernel(command).status == "fails"
        assert kernel(command).todo == "python -m ipykernel install --sys-prefix --name python3"
    for path in (ROOT / "notebooks").glob("*.ipynb"):  # what the chapters ask for
        notebook = json.loads(path.read_text("utf-8"))
        assert notebook["metadata"]["kernelspec"]["name"] == checks.KERNEL


def test_memory_disk_threads_or_a_cache_that_is_short(home: Path, monkeypatch: Patch) -> None:
    state = namedtuple("state", "total available")
    usage = namedtuple("usage", "free")
    for free, status in ((0.9e9, "fails"), (1.7e9, "ok")):
        monkeypatch.setattr(psutil, "virtual_memory", lambda free=free: state(8e9, free))
        found = checks.memory()
        assert (found.status, found.facts["free_gb"]) == (status, round(free / 1e9, 1))
    for book, kept, status in ((0.4e9, 9e9, "fails"), (9e9, 1e6, "fails"), (9e9, 9e9, "ok")):
        spaces = {checks.ROOT: usage(book), home: usage(kept)}
        monkeypatch.setattr(shutil, "disk_usage", spaces.__getitem__)
        assert checks.disk().status == status
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    for text, status in (("4", "ok"), ("5", "note"), ("two", "fails")):
        monkeypatch.setenv("MEDXFER_THREADS", text)
        assert checks.processors().status == status
    assert "'two'" in checks.processors().message
    assert checks.cache().status == "ok"
    assert [path.name for path in home.iterdir()] == ["data"]  # it is left as it was
    (home / "file").touch()
    monkeypatch.setenv("MEDXFER_CACHE", str(home / "file" / "cache"))
    assert (checks.cache().status, "MEDXFER_CACHE" in checks.cache().todo) == ("fails", True)


# --- Files of real patients ---


def of(name: str) -> Outcome:
    return {found.name: found for found in checks.files()}[name]


def test_files_are_found_in_folder_and_caches_and_compared(home: Path, monkeypatch: Patch) -> None:
    absent = list(checks.files())  # notes that say how to have them
    assert {each.name for each in absent} == KINDS
    assert all(each.status == "note" and each.todo for each in absent)
    assert of("hospitals").todo == "python -m medxfer_utils.data heart"
    weights = home / ".keras" / "models" / WEIGHTS[0].name
    wrong = {
        home / "data" / "uci_heart" / "processed.va.data": "hospitals",
        home / "data" / "lidc_centre_slices_64.npz": "nodules",  # no official sum: looked into
        home / "cache" / "medmnist" / "breastmnist.npz": "breastmnist",
        home / "data" / "bloodmnist_64.npz": "others",  # no chapter speaks of it
        weights: "weights",
    }
    for path, name in wrong.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"<html>")
        found = of(name)
        assert (found.status, found.facts["wrong"]) == ("fails", [path.name])
        assert "web page" in found.message
    assert len(of("hospitals").facts["absent"]) == len(HEART) - 1
    weights.write_bytes(b"\x89HDF\r\n\x1a\n")
    assert "not the official" in of("weights").message
    published = replace(WEIGHTS[0], sum=sums_of(weights)[0])
    monkeypatch.setattr(data, "WEIGHTS", (published,), raising=False)
    assert of("weights").status == "ok"


def test_a_folder_or_file_that_cannot_be_read_hides_no_other(
    home: Path, monkeypatch: Patch
) -> None:
    (home / "data" / "breastmnist.npz").mkdir()  # no file: passed over
    (home / "data" / "pneumoniamnist.npz").touch()

    def refuse(file: object, path: Path, also: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(data, "verify", refuse, raising=False)
    assert "Permission denied" in of("pneumoniamnist").message
    assert of("breastmnist").status == of("weights").status == "note"
    monkeypatch.setenv("MEDXFER_DATA", str(home / "dta"))
    assert [each.status for each in checks.files()] == ["fails"]
    assert "there is no such folder" in of("data").message


# --- Training ---


def ended(monkeypatch: Patch, status: int, said: str = "") -> Outcome:
    """What the check says of a trial that ended so."""
    done = subprocess.CompletedProcess([], status, said, "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    return report.training()


def test_a_tensorflow_that_does_not_work_or_end_is_a_line_of_its_own(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    stub = tmp_path / "tensorflow.py"
    # What TensorFlow says on Windows, with its advice below the error.
    text = "Traceback:\\nImportError: DLL load failed\\n\\n\\nIf you need help, create an issue"
    stub.write_text(f'raise ImportError("{text}")\n')
    found = report.training()
    assert found.status == "fails"
    assert found.message == "A small network could not be trained. ImportError: DLL load failed"
    assert "Visual C++" in found.todo
    stub.write_text("import os, sys; os._exit(7)\n")
    assert report.training().message.endswith("Python ended with status 7")

    def never(*_: object, timeout: float, **__: object) -> None:
        raise subprocess.TimeoutExpired("trial", timeout)

    monkeypatch.setattr(subprocess, "run", never)
    assert "not trained within 300 seconds" in report.training().message
    assert all("AVX" in ended(monkeypatch, status).message for status in (-4, 0xC000001D))


def test_a_loss_that_does_not_fall_or_is_no_number(monkeypatch: Patch, capsys: Any) -> None:
    report.trial(rate=1e38)
    said = capsys.readouterr().out
    for text in (said, 'a greeting\n{"loss_before": 1, "loss_after": 1, "images_per_second": 9}'):
        found = ended(monkeypatch, 0, text)
        assert (found.status, "did not fall" in found.message) == ("fails", True)
        strict(json.dumps(vars(found), allow_nan=False))
    assert json.loads(said)["loss_after"] != json.loads(said)["loss_after"]  # no number


# --- What leaves the machine ---


def test_neither_home_nor_user_is_in_what_is_given_away(
    home: Path, monkeypatch: Patch, capsys: Any
) -> None:
    place = repr(str(home / "data"))

    def told() -> Outcome:
        return Outcome("a", "ok", f"at {place} or {home}", f"see /mnt/anna/book or {home}.")

    def fault() -> Outcome:
        raise OSError(2, "No such file", str(home / "data"))

    monkeypatch.setattr(report, "CHECKS", {"a": told, "b": fault})
    for arguments in ([], ["--json"]):
        main(arguments)
        said = capsys.readouterr().out
        assert "anna" not in said
        assert "~" in said
        assert "(user)" in said
    text = f"{home}-else /data/annabel, anna"  # words that hold the name of the user stay
    assert report.private(text) == text
    monkeypatch.setattr(os.path, "expanduser", lambda _: r"C:\Users\anna")
    assert report.private(repr(r"C:\Users\anna\data")) == r"'~\\data'"
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, os.sep)
    monkeypatch.setattr(os.path, "expanduser", lambda _: os.sep)
    assert report.private("/data / anna") == "/data / anna"


def test_the_example_on_the_page_could_have_been_printed() -> None:
    page = (ROOT / "book" / "setup.md").read_text("utf-8")
    shown = re.findall(r"^(ok    |note  |FAILS ) (\S+) ", page, re.MULTILINE)
    assert {status.strip() for status, _ in shown} == {"ok", "note", "FAILS"}
    assert {name for _, name in shown} <= {*report.CHECKS} | KINDS
