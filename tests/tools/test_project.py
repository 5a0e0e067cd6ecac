"""The commands that people and machines are told to use are the same ones."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from book.tools import check
from book.tools.pages.site import NOT_STAGED

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
WORKFLOWS = ROOT / ".github" / "workflows"
BOOK, RELEASE = (yaml.safe_load((WORKFLOWS / f"{n}.yml").read_text()) for n in ("book", "release"))
JOB = BOOK["jobs"]["book"]


def recipe(target: str) -> str:
    """Return the command of a target, without the part that makes the environment."""
    found = re.search(rf"^{target}:.*\n\t@?(.*)", MAKEFILE, flags=re.MULTILINE)
    assert found, f"make {target} is missing"
    return found[1].replace("$(RUN)", "python book/tools/env.py")


def test_the_workflow_runs_the_two_commands_on_three_systems() -> None:
    systems = [name.split("-")[0] for name in JOB["strategy"]["matrix"]["os"]]
    assert systems == ["ubuntu", "macos", "windows"]
    commands = [(step.get("if", ""), step["run"]) for step in JOB["steps"] if "run" in step]
    with_make = [command for when, command in commands if when == "runner.os != 'Windows'"]
    without = [command for when, command in commands if when == "runner.os == 'Windows'"]
    assert with_make == ["make book", "make test"]
    assert without == [recipe("book"), recipe("test")]


def test_the_weekly_run_is_cold() -> None:
    # YAML 1.1 reads the key "on" as True.
    assert re.fullmatch(r"\d+ \d+ \* \* \d", BOOK[True]["schedule"][0]["cron"])
    caches = [step for step in JOB["steps"] if "cache" in step.get("uses", "")]
    assert all(step["if"] == "github.event_name != 'schedule'" for step in caches)
    assert JOB["env"]["ALL"] == "${{ github.event_name == 'schedule' && '1' || '' }}"


def test_a_release_holds_pages_pdf_and_workshop_with_their_checksums() -> None:
    said = [step["run"] for step in RELEASE["jobs"]["release"]["steps"] if "run" in step]
    assert RELEASE[True] == {"push": {"tags": ["v*"]}}
    assert said[:3] == ["make book", "make pdf", "make workshop"]
    places = ("_build/html", "_build/pdf/*.pdf", "_build/workshop/*.zip", "sha256sum")
    assert [place for place in places if place not in said[3]] == []


def test_the_quick_checks_before_a_commit_are_those_of_make_test() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    entries = {hook["id"]: hook["entry"].split()[1:] for hook in hooks}
    for name in ("format", "lint", "types"):
        wanted = [word for word in check.CHECKS[name][1:] if word != "."]
        assert [word for word in entries[name] if word != "--force-exclude"] == wanted
    assert (ROOT / entries["notebooks"][-1]).is_file()


def test_set_up_without_make_gives_the_commands_of_the_targets() -> None:
    told = (ROOT / "book" / "setup.md").read_text("utf-8")
    targets = ("book", "test", "lab", "rehearse", "doctor")
    assert [name for name in targets if f"\n{recipe(name)}\n" not in told] == []


def test_help_lists_every_target_in_one_line() -> None:
    targets = re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE)
    said = subprocess.run(["make", "-C", ROOT, "-s"], capture_output=True, text=True, check=True)
    listed = [line.split()[1] for line in said.stdout.splitlines() if line.startswith("make ")]
    assert listed == targets
    assert {"book", "test", "lab", "lint", "rehearse", "lock", "benchmark", "clean"} <= set(targets)


def test_ci_calls_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    last = script.strip().splitlines()[-1]
    assert last == "make test"
    assert re.search(rf"^\s*{last}\b", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_every_notebook_is_in_the_table_of_contents() -> None:
    listed = re.findall(r"file: notebooks/(\S+)", (ROOT / "book" / "_toc.yml").read_text())
    assert listed == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_every_page_of_prose_is_in_the_table_of_contents() -> None:
    listed = re.findall(r"(?:file|root): book/(\S+)", (ROOT / "book" / "_toc.yml").read_text())
    pages = [path.relative_to(ROOT / "book") for path in (ROOT / "book").rglob("*.md")]
    prose = [page for page in pages if page.parts[0] not in NOT_STAGED]
    assert sorted(listed) == sorted(page.with_suffix("").as_posix() for page in prose)


def test_a_failed_check_is_named_and_the_others_still_run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    python = check.PYTHON
    monkeypatch.setattr(
        check,
        "CHECKS",
        {
            "first": [python, "-c", "raise SystemExit(1)"],
            "second": [python, "-c", "print('the second ran')"],
        },
    )
    assert check.main([]) == 1
    said = capfd.readouterr().out
    assert "the second ran" in said
    assert said.splitlines()[-1] == "Failed: first"
    assert check.main(["second"]) == 0
