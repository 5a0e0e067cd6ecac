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
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import jupyter_client.kernelspec
import psutil
import pytest
from packaging.specifiers import SpecifierSet

from medxfer_utils.data.files import sums_of
from medxfer_utils.doctor import checks as setup_python
from medxfer_utils.doctor import data as setup_data
from medxfer_utils.doctor import machine as setup_machine
from medxfer_utils.doctor import report as setup_check
from medxfer_utils.doctor import trial
from medxfer_utils.doctor.machine import Verdict
from medxfer_utils.models import training as convnets

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"name", "status", "message", "todo", "facts"}


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book's folder with nothing in it."""
    for module in (setup_machine, setup_python):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of Anna, who has no files yet."""
    home = tmp_path / "anna"
    (home / "data").mkdir(parents=True)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    for name in ("USER", "USERNAME"):
        monkeypatch.setenv(name, "anna")
    monkeypatch.setenv("MEDXFER_DATA", str(home / "data"))
    monkeypatch.setenv("MEDXFER_CACHE", str(home / "cache"))
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


# The whole, here


def test_here_everything_is_there_and_nothing_is_on_stderr() -> None:
    done = run("--json")
    made = strict(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert made["ok"] is True
    assert set(made) == {"format", "ok", "date", "system", "machine", "checks"}
    assert all(set(check) == KEYS for check in made["checks"])
    names = [check["name"] for check in made["checks"]]
    assert {*names} >= {*setup_check.CHECKS} - {"data"} | {
        group.name for group in setup_data.GROUPS
    }
    assert len(names) == len(set(names))
    assert made["checks"][-1]["facts"]["images_per_second"] > 0
    # What a teacher's own script may read is what the documentation names, and in both directions.
    facts = {key for check in made["checks"] for key in check["facts"]}
    keys = facts | KEYS | {*made}
    assert {*re.findall(r"``(\w+)``", setup_check.__doc__ or "")} == keys


def test_a_python_without_a_single_package_is_told_what_to_do(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare")
    bare = tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin") / "python"
    done = run(python=bare, COLUMNS="100")
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    states = {words[1]: words[0] for line in lines if (words := line.split()) and line[0] in "onF"}
    assert states == dict.fromkeys(setup_check.CHECKS, "FAILS") | {
        "python": "ok",
        "threads": "ok",
    }
    assert "make doctor (without make: python book/tools/env.py -m medxfer_utils)" in done.stdout
    assert lines[-1].startswith("To be mended: packages, kernel")


@pytest.mark.parametrize("module", ["__main__", "setup_check", "setup_class", "setup_machine"])
def test_what_is_imported_first_can_be_read_by_an_old_python(module: str) -> None:
    for name in (module, "setup_python", "__init__"):
        source = (ROOT / "medxfer_utils" / f"{name}.py").read_text("utf-8")
        ast.parse(source, feature_version=(3, 9))


@pytest.mark.parametrize(
    "arguments", [["--nonsense"], ["extra"], ["--json", "--class", "."], ["--class", "no/folder"]]
)
def test_a_command_that_is_not_understood_ends_with_two(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        setup_check.main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m medxfer_utils" in capsys.readouterr().err


def checks(monkeypatch: pytest.MonkeyPatch, **given: Callable[[], Any]) -> None:
    monkeypatch.setattr(setup_check, "CHECKS", given)


def good() -> list[Verdict]:
    return [Verdict("good", "ok", "all is well")]


def test_a_fault_in_one_check_is_a_line_and_the_others_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fault() -> list[Verdict]:
        raise ZeroDivisionError("somewhere")

    def missing() -> list[Verdict]:
        raise ModuleNotFoundError("No module named 'psutil'")

    checks(monkeypatch, broken=fault, memory=missing, good=good)
    assert setup_check.main([]) == 1
    said = capsys.readouterr().out
    assert "ZeroDivisionError: somewhere" in said
    assert "No module named 'psutil'" in said
    assert "ok     good           all is well" in said
    assert said.splitlines()[-1] == "To be mended: broken, memory."


def test_a_note_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks(monkeypatch, good=good, data=lambda: [Verdict("data", "note", "absent", "get it")])
    assert setup_check.main([]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Everything is there."
    assert setup_check.main(["--json"]) == 0
    assert strict(capsys.readouterr().out)["ok"] is True


def test_long_texts_are_folded_and_commands_are_not() -> None:
    command = "python -c " + "word " * 30
    verdict = Verdict("x", "fails", "word " * 30, f"{'word ' * 30}\n{command}")
    lines = setup_check.line(verdict, 70).splitlines()
    assert lines[-1] == " " * 22 + "> " + command
    assert len(lines) > 5
    assert max(map(len, lines[:-1])) <= 70


# Python, packages, kernel


@pytest.mark.parametrize("version", [(3, 10, 4), (3, 14, 0), (4, 0, 0)])
def test_another_python_is_refused(
    version: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    verdict = setup_python.python()
    assert verdict.status == "fails"
    assert "make book PYTHON=python3.12" in verdict.todo


def test_a_python_of_32_bits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    assert setup_python.python().status == "fails"
    assert "32 bits" in setup_python.python().message


def test_the_versions_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = SpecifierSet(project["requires-python"])
    for minor in range(8, 20):
        told = setup_python.OLDEST <= (3, minor) < setup_python.TOO_NEW
        assert told is wanted.contains(f"3.{minor}")
    assert project["name"] == setup_python.PACKAGE


def lock(book: Path, *lines: str) -> Verdict:
    """What the check says of a lock with hashes and comments, written as uv does."""
    text = "".join(f"{line} \\\n    --hash=sha256:00\n    # via keras\n" for line in lines)
    (book / "requirements.txt").write_text("# This file was autogenerated\n" + text)
    return setup_python.packages()


def test_packages_that_are_as_in_the_lock_are_ok(book: Path) -> None:
    here = metadata.version("numpy")
    verdict = lock(
        book, f"numpy=={here} ; python_full_version > '3'", "pywin32==1 ; os_name == 'no'"
    )
    assert verdict.status == "ok"
    assert verdict.facts == {"against": "requirements.txt", "compared": 1, "different": []}


def test_wrong_versions_and_missing_packages_are_named(book: Path) -> None:
    here = metadata.version("numpy")
    verdict = lock(
        book, "numpy==0.1", "not-on-this-machine==1.2", f"scipy=={metadata.version('scipy')}"
    )
    assert verdict.status == "fails"
    assert verdict.facts["different"] == [
        f"numpy is {here}, not 0.1",
        "not-on-this-machine is missing",
    ]
    assert verdict.message.startswith("2 of 3 differ from requirements.txt: numpy is")


def test_only_the_first_few_of_many_are_printed_and_all_are_kept(book: Path) -> None:
    verdict = lock(book, *(f"missing-{k}==1" for k in range(9)))
    assert verdict.message.count("missing-") == 5
    assert verdict.message.endswith("and 4 more.")
    assert len(verdict.facts["different"]) == 9


def test_without_a_lock_the_package_is_asked_for_itself(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = ["numpy>=1", "scipy<1", "nowhere", "ruff==0 ; extra == 'test'", "x ; os_name == 'no'"]
    monkeypatch.setattr(metadata, "requires", {"medxfer-utils": wishes}.__getitem__)
    verdict = setup_python.packages()
    assert verdict.facts["against"] == "metadata"
    assert "no lock is here" in verdict.message
    scipy = metadata.version("scipy")
    assert verdict.facts["different"] == [f"scipy is {scipy}, not <1", "nowhere is missing"]
    # Nobody may be sent to an index for a name that the book does not own there.
    assert "pip install" not in verdict.todo


def test_nothing_to_compare_with_is_not_ok(book: Path) -> None:
    assert lock(book).status == "fails"


def test_what_mends_the_packages_depends_on_the_python(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (book / "requirements.txt").touch()
    assert "python -m pip install -r requirements.txt" in setup_python.mending()
    monkeypatch.setattr(sys, "prefix", str(book / ".venv"))
    assert setup_python.mending().startswith("make book (without make: python book/tools/env.py)")


def kernels(monkeypatch: pytest.MonkeyPatch, command: str | None) -> Verdict:
    """What the check says where Jupyter starts kernels by this command."""

    class Manager:
        def get_kernel_spec(self, name: str) -> Any:
            if command is None:
                raise jupyter_client.kernelspec.NoSuchKernel(name)
            return namedtuple("Spec", "argv")([command, "-m", "ipykernel_launcher"])

    monkeypatch.setattr(jupyter_client.kernelspec, "KernelSpecManager", Manager)
    return setup_python.kernel()


def test_the_kernel_must_be_this_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = "python" + ".".join(map(str, sys.version_info[:2]))
    assert kernels(monkeypatch, own).status == "ok"
    assert kernels(monkeypatch, sys.executable).status == "ok"
    # A link to the same Python, as the Python of another environment is.
    other = tmp_path / "python"
    other.symlink_to(os.path.realpath(sys.executable))
    for command in (str(other), None, "python2.7"):
        verdict = kernels(monkeypatch, command)
        assert verdict.status == "fails"
        assert verdict.todo == "python -m ipykernel install --sys-prefix --name python3"


def test_the_chapters_ask_for_the_kernel_that_is_looked_for() -> None:
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        notebook = json.loads(path.read_text("utf-8"))
        assert notebook["metadata"]["kernelspec"]["name"] == setup_python.KERNEL


# Memory, disk, cache, threads


def test_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    state = namedtuple("state", "total available")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: state(8e9, 0.9e9))
    verdict = setup_machine.memory()
    assert (verdict.status, verdict.facts["free_gb"]) == ("fails", 0.9)
    assert "8.0 GB, 0.9 free" in verdict.message
    monkeypatch.setattr(psutil, "virtual_memory", lambda: state(8e9, 1.7e9))
    assert setup_machine.memory().status == "ok"


@pytest.mark.parametrize(
    ("free", "needs"), [((0.4e9, 9e9), "the book needs 0.5"), ((9e9, 1e6), "the cache needs 0.05")]
)
def test_a_full_disk(
    free: tuple[float, float], needs: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    spaces = {setup_machine.ROOT: usage(free[0]), home: usage(free[1])}
    monkeypatch.setattr(shutil, "disk_usage", lambda where: spaces[where])
    verdict = setup_machine.disk()
    assert verdict.status == "fails"
    assert verdict.message.endswith(f"but {needs} GB.")


def test_a_cache_is_tried_and_left_as_it_was(home: Path) -> None:
    assert setup_machine.cache().status == "ok"
    assert [path.name for path in home.iterdir()] == ["data"]


def test_a_cache_that_cannot_be_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("MEDXFER_CACHE", str(home / "file" / "cache"))
    verdict = setup_machine.cache()
    assert verdict.status == "fails"
    assert "MEDXFER_CACHE" in verdict.todo


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    for text, status in (("4", "ok"), ("5", "note"), ("two", "fails")):
        monkeypatch.setenv("MEDXFER_THREADS", text)
        assert setup_machine.processors().status == status
    assert "'two'" in setup_machine.processors().message


# Files of real patients


def of(name: str) -> Verdict:
    return {verdict.name: verdict for verdict in setup_data.verdicts()}[name]


def test_absent_files_are_notes_that_say_how_to_have_them(home: Path) -> None:
    found = list(setup_data.verdicts())
    assert [verdict.name for verdict in found] == [group.name for group in setup_data.GROUPS]
    assert {verdict.status for verdict in found} == {"note"}
    assert all(verdict.todo for verdict in found)
    assert of("hospitals").todo == "python -m medxfer_utils.data heart"


def test_a_file_with_a_wrong_checksum(home: Path) -> None:
    (home / "data" / "uci_heart").mkdir()
    (home / "data" / "uci_heart" / "processed.va.data").write_text("63.0,1.0\n")
    verdict = of("hospitals")
    assert verdict.status == "fails"
    assert verdict.facts["wrong"] == ["processed.va.data"]
    assert len(verdict.facts["absent"]) == 3
    assert "not the official processed.va.data" in verdict.message


def test_files_are_found_in_the_caches_and_compared(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = home / ".keras" / "models" / "mobilenet_2_5_224_tf_no_top.h5"
    image = home / "cache" / "medmnist" / "breastmnist.npz"
    for path in (weights, image):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"what is published")
    assert (of("weights").status, of("breastmnist").status) == ("fails", "fails")
    total = sums_of(weights)[0]
    published = [
        replace(group, files=[replace(file, sum=total) for file in group.files])
        for group in setup_data.GROUPS
    ]
    monkeypatch.setattr(setup_data, "GROUPS", published)
    assert (of("weights").status, of("breastmnist").status) == ("ok", "ok")
    monkeypatch.setattr(setup_data, "KNOWN_COPIES", {total: "saved again"})
    assert of("breastmnist").status == "note"
    assert "saved again" in of("breastmnist").message


def test_a_file_that_no_chapter_speaks_of_is_compared_too(home: Path) -> None:
    (home / "data" / "bloodmnist_64.npz").write_bytes(b"cut off")
    assert of("others").facts["wrong"] == ["bloodmnist_64.npz"]


def test_nodules_are_looked_into(home: Path) -> None:
    (home / "data" / "lidc_centre_slices_64.npz").write_bytes(b"<html>")
    assert "web page" in of("nodules").message


def test_a_folder_that_is_not_there_is_told_once(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDXFER_DATA", str(home / "dta"))
    (verdict,) = setup_data.verdicts()
    assert verdict.status == "fails"
    assert "there is no such folder" in verdict.message


def test_a_file_that_cannot_be_read_does_not_hide_the_others(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> tuple[str, str]:
        raise PermissionError(13, "Permission denied", str(path))

    (home / "data" / "breastmnist.npz").touch()
    monkeypatch.setattr(setup_data, "sums_of", refuse)
    found = {verdict.name: verdict for verdict in setup_data.verdicts()}
    assert found["breastmnist"].status == "fails"
    assert "Permission denied" in found["breastmnist"].message
    assert found["weights"].status == "note"


# Training


def test_a_tensorflow_that_cannot_be_imported_is_a_line_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = tmp_path / "tensorflow"
    stub.mkdir()
    # What TensorFlow says on Windows, with its advice below the error.
    text = "Traceback:\\nImportError: DLL load failed\\n\\n\\nIf you need help, create an issue"
    (stub / "__init__.py").write_text(f'raise ImportError("{text}")\n')
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    verdict = setup_check.training()
    assert verdict.status == "fails"
    assert verdict.message == "A small network could not be trained. ImportError: DLL load failed"
    assert "Visual C++" in verdict.todo


def test_a_tensorflow_that_ends_the_process_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorflow.py").write_text("import os, sys; os._exit(7)\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert setup_check.training().message.endswith("Python ended with status 7")


@pytest.mark.parametrize("status", [-4, 0xC000001D])
def test_a_processor_that_is_too_old_is_told(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.CompletedProcess([], status, "", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert "AVX" in setup_check.training().message


def test_a_trial_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, timeout: float, **__: object) -> None:
        raise subprocess.TimeoutExpired("trial", timeout)

    monkeypatch.setattr(subprocess, "run", never)
    assert "not trained within 300 seconds" in setup_check.training().message


def judged(monkeypatch: pytest.MonkeyPatch, said: str) -> Verdict:
    done = subprocess.CompletedProcess([], 0, said, "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    return setup_check.training()


def test_a_loss_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "RECIPE", convnets.Recipe(steps=3, rate=1e38))
    verdict = judged(monkeypatch, json.dumps(trial.trial()))
    assert verdict.status == "fails"
    assert "The loss is no number" in verdict.message
    assert verdict.facts["loss_after"] is None
    strict(json.dumps(setup_check.document([verdict]), allow_nan=False))


def test_a_loss_that_does_not_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "RECIPE", convnets.Recipe(steps=0))
    verdict = judged(monkeypatch, "a greeting\n" + json.dumps(trial.trial()))
    assert verdict.status == "fails"
    assert "did not fall" in verdict.message


# What leaves the machine


def test_neither_home_nor_user_is_in_what_is_given_away(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = repr(str(home / "data"))

    def told() -> list[Verdict]:
        facts = {"places": [f"{home}/x", {"deep": f"/scratch/anna/{home.name}"}]}
        return [
            Verdict("a", "ok", f"at {place} or {home}", f"see /mnt/anna/book or {home}.", facts)
        ]

    def fault() -> list[Verdict]:
        raise OSError(2, "No such file", str(home / "data"))

    checks(monkeypatch, a=told, b=fault)
    for arguments in ([], ["--json"]):
        setup_check.main(arguments)
        said = capsys.readouterr().out
        assert "anna" not in said
        assert "~" in said
        assert "(user)" in said


def test_words_that_hold_the_name_of_the_user_stay(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"{home}-else /data/annabel, anna"
    assert setup_check.private(text) == text
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, os.sep)
    assert setup_check.private("/data / anna") == "/data / anna"


# A class


def report(status: str) -> dict[str, Any]:
    found = [Verdict("python", "ok", "Python"), Verdict("memory", status, "8 GB")]
    return setup_check.document(found)


def test_a_class_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "anna.json").write_text(json.dumps(report("note")))
    # PowerShell's > writes UTF-16 with a mark, some editors UTF-8 with one.
    (tmp_path / "ben.json").write_text(json.dumps(report("fails")), "utf-16")
    (tmp_path / "clara.json").write_text(json.dumps(report("ok")), "utf-8-sig")
    (tmp_path / "notes.txt").write_text("no report")
    assert setup_check.main(["--class", str(tmp_path)]) == 1
    rows = capsys.readouterr().out.splitlines()
    assert rows == ["anna   ok", "ben    FAILS  memory", "clara  ok", "2 of 3 ok"]
    (tmp_path / "ben.json").unlink()
    assert setup_check.main(["--class", str(tmp_path)]) == 0


def broken(**changes: Any) -> str:
    return json.dumps(report("ok") | changes)


def check(**changes: Any) -> list[dict[str, Any]]:
    return [report("ok")["checks"][0] | changes]


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"format": 1, "checks": [',
        "[1, 2]",
        "[" * 100_000,
        broken(format=99),
        broken(format=[1]),
        broken(checks=[]),
        broken(checks="python"),
        broken(checks=[7]),
        broken(checks=check(status="perhaps")),
        broken(checks=check(status=["ok"])),
        broken(checks=check(name="\x1b[2J")),
        broken(checks=check(facts=None)),
    ],
)
def test_a_bad_file_is_named_and_the_others_are_read(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.json").write_text(content)
    (tmp_path / "good.json").write_text(json.dumps(report("ok")))
    (tmp_path / "folder.json").mkdir()
    assert setup_check.main(["--class", str(tmp_path)]) == 1
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].startswith("bad     BAD    the file is ")
    assert rows[1].startswith("folder  BAD    the file cannot be read")
    assert rows[2:] == ["good    ok", "1 of 3 ok"]


def test_a_class_without_files_is_told_how_to_make_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert setup_check.main(["--class", str(tmp_path)]) == 1
    assert "python -m medxfer_utils --json" in capsys.readouterr().out


def test_the_example_on_the_page_could_have_been_printed() -> None:
    page = (ROOT / "book" / "setup.md").read_text("utf-8")
    names = {*setup_check.CHECKS} | {group.name for group in setup_data.GROUPS}
    shown = re.findall(r"^(ok    |note  |FAILS ) (\S+) ", page, re.MULTILINE)
    assert {status.strip() for status, _ in shown} == {"ok", "note", "FAILS"}
    assert {name for _, name in shown} <= names
