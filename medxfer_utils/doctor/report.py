"""Whether everything is there that the chapters need: `python -m medxfer_utils`.

It prints one line for each check: "ok", "note" (worth knowing, but every chapter runs) or "FAILS"
with what to do. A check that goes wrong itself is a line as well, so the others still run.

With ``--json`` it prints one JSON document instead. Its keys: ``format`` (1), ``ok``, ``date``
(UTC), ``system``, ``machine``, and ``checks``, a list of objects with ``name``, ``status`` ("ok",
"note" or "fails"), ``message``, ``todo`` and ``facts``. The facts of a check that came to its end:

- python: ``version``, ``bits``
- packages: ``against``, ``compared``, ``different``
- memory: ``total_gb``, ``free_gb``, ``needed_gb``
- disk: ``book_free_gb``, ``cache_free_gb``
- threads: ``used``, ``cores``
- each kind of data: names of files, ``here``, ``absent``, ``wrong``
- training: ``loss_before``, ``loss_after``, ``images_per_second``

There is no host name in it; the home folder is written as ~, and a folder that is called like the
user as (user).

The exit status is 0 if nothing fails, 1 if something does, 2 if the command was not understood.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from medxfer_utils.doctor import checks as setup_python
from medxfer_utils.doctor import group as setup_class
from medxfer_utils.doctor import machine as setup_machine
from medxfer_utils.doctor.checks import mending
from medxfer_utils.doctor.machine import Verdict

FORMAT = 1
ABOVE = "Mend the packages first, see above."
PATIENCE = 300  # seconds; a first import of TensorFlow from a slow disk may take a minute
END = r"(?![\w-]|\.\w)"  # of the name of a folder
Check = Callable[[], Iterable[Verdict]]


def training() -> Verdict:
    """Train a small network in a process of its own, and judge its loss."""
    command = [sys.executable, "-m", "medxfer_utils.doctor.trial"]
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        message = f"A small network was not trained within {PATIENCE} seconds."
        return Verdict("training", "fails", message, "Close other programs, and try once more.")
    if run.returncode:
        return _broken(run.returncode, run.stderr)
    return _judged(json.loads(run.stdout.splitlines()[-1]))


def _broken(status: int, said: str) -> Verdict:
    """Say why the trial did not come to its end."""
    # TensorFlow writes advice for its own makers below the last error.
    errors = re.findall(r"^[\w.]+(?:Error|Exception)\b.*", said, re.MULTILINE)
    last = errors[-1] if errors else f"Python ended with status {status}"
    todo = mending()
    # What systems call an instruction that the processor does not have.
    if status in (-int(signal.SIGILL), 0xC000001D):
        last = "This processor lacks instructions (AVX) that TensorFlow uses."
        todo = "Use another computer: TensorFlow offers no package for this processor."
    elif last.startswith("ModuleNotFoundError"):
        todo = ABOVE
    elif "DLL load failed" in said:
        todo = f"Install Microsoft's Visual C++ Redistributable (x64). If it is there:\n{todo}"
    return Verdict("training", "fails", f"A small network could not be trained. {last}", todo)


def _judged(found: dict[str, float]) -> Verdict:
    """Tell whether the loss of the trial is a number, and fell."""
    before, after = found["loss_before"], found["loss_after"]
    facts = {name: round(v, 4) if math.isfinite(v) else None for name, v in found.items()}
    speed = f"{found['images_per_second']:,.0f} images a second"
    if not (math.isfinite(before) and math.isfinite(after)):
        message = f"The loss is no number: {before:.3g} before the training, {after:.3g} after it."
        return Verdict("training", "fails", message, mending(), facts)
    if after >= before:
        message = f"The loss did not fall: {before:.3f} before the training, {after:.3f} after it."
        return Verdict("training", "fails", message, mending(), facts)
    message = f"a small network learns, {speed}; its loss fell from {before:.2g} to {after:.2g}"
    return Verdict("training", "ok", message, facts=facts)


def _files() -> Iterable[Verdict]:
    from medxfer_utils.doctor import data as setup_data  # needs packages that may be missing

    return setup_data.verdicts()


def _one(check: Callable[[], Verdict]) -> Check:
    return lambda: [check()]


CHECKS: dict[str, Check] = {
    "python": _one(setup_python.python),
    "packages": _one(setup_python.packages),
    "kernel": _one(setup_python.kernel),
    "memory": _one(setup_machine.memory),
    "disk": _one(setup_machine.disk),
    "cache": _one(setup_machine.cache),
    "threads": _one(setup_machine.processors),
    "data": _files,
    "training": _one(training),
}


def verdicts() -> Iterator[Verdict]:
    """Run every check, each whatever became of the others."""
    for name, check in CHECKS.items():
        try:
            yield from check()
        except ImportError as problem:
            todo = mending() if name == "packages" else ABOVE
            yield Verdict(name, "fails", f"Not checked: {problem}.", todo)
        except Exception as problem:
            message = f"This check failed itself. {type(problem).__name__}: {problem}"
            yield Verdict(name, "fails", message, "If it stays so, tell those who give the course.")


def private(text: str) -> str:
    """Write the home folder as ~, and a folder that is called like the user as (user)."""
    home = Path(os.path.expanduser("~"))
    if home.parent == home:
        return text
    for form in sorted({str(home), str(home.resolve()), home.as_posix()}, key=len, reverse=True):
        for shown in (form, form.replace("\\", "\\\\")):
            text = re.sub(re.escape(shown) + END, "~", text, flags=re.IGNORECASE)
    user = os.environ.get("USER") or os.environ.get("USERNAME") or home.name
    return re.sub(rf"(?<=[/\\]){re.escape(user)}{END}", "(user)", text)


def _cleaned(value: Any) -> Any:
    """Apply `private` to each text in facts."""
    if isinstance(value, dict):
        return {key: _cleaned(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_cleaned(part) for part in value]
    return private(value) if isinstance(value, str) else value


def document(found: Iterable[Verdict]) -> dict[str, Any]:
    """Return what ``--json`` prints; the text above names its keys."""
    checks = [_cleaned(vars(verdict)) for verdict in found]
    return {
        "format": FORMAT,
        "ok": all(check["status"] != "fails" for check in checks),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "system": platform.system(),
        "machine": platform.machine(),
        "checks": checks,
    }


def line(verdict: Verdict, width: int) -> str:
    """Return a verdict as text: its status, its name, what was found, and what to do."""
    status = "FAILS" if verdict.status == "fails" else verdict.status
    head, gap = f"{status:<6} {verdict.name:<15}", " " * 22
    rows = [(head, gap, verdict.message)]
    rows += [(gap + "> ", gap + "  ", todo) for todo in verdict.todo.splitlines()]
    return "\n".join(
        # A command is kept on one line, to be copied.
        first + private(text) if "python " in text
        else textwrap.fill(private(text), width, initial_indent=first, subsequent_indent=rest,
                           break_on_hyphens=False, break_long_words=False)
        for first, rest, text in rows
    )  # fmt: skip


def _show() -> int:
    """Print each verdict as soon as it is there, then the sum of them."""
    width = max(60, min(100, shutil.get_terminal_size().columns))
    print("The last check trains a small network, which takes up to a minute.", flush=True)
    failed = []
    for verdict in verdicts():
        print(line(verdict, width), flush=True)
        failed += [verdict.name] if verdict.status == "fails" else []
    print(f"To be mended: {', '.join(failed)}." if failed else "Everything is there.")
    return 1 if failed else 0


def main(arguments: list[str] | None = None) -> int:
    """Check whether everything is there that the chapters need; exit status 1 if not."""
    parser = argparse.ArgumentParser("python -m medxfer_utils", description=main.__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--json", action="store_true", help="one JSON document, for a teacher")
    choice.add_argument("--class", dest="folder", metavar="FOLDER", help="a table of such files")
    asked = parser.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):  # a Windows console need not have every letter
        sys.stdout.reconfigure(errors="backslashreplace")
    if asked.folder is not None:
        if not Path(asked.folder).is_dir():
            parser.error(f"there is no folder {asked.folder}")
        return setup_class.show(Path(asked.folder))
    if not asked.json:
        return _show()
    made = document(verdicts())
    print(json.dumps(made, indent=1, allow_nan=False))
    return 0 if made["ok"] else 1
