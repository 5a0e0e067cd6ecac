"""Whether everything is there that the lessons need: `python -m medxfer_utils`.

It prints one line for each check: "ok", "note" (worth knowing, but every lesson runs) or "FAILS"
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

from medxfer_utils.doctor import checks
from medxfer_utils.doctor.checks import Outcome, fixing, outcome

ABOVE = "Fix the packages first, see above."
PATIENCE = 300  # seconds; a first import of TensorFlow from a slow disk may take a minute
END = r"(?![\w-]|\.\w)"  # of the name of a folder
# In a process of its own, because a TensorFlow that does not fit the processor may end it.
TRIAL = [sys.executable, "-c", "from medxfer_utils.doctor import report; report.trial()"]
STEPS, BATCH = 100, 32


def trial(rate: float = 0.003) -> None:
    """Train the image network of the course on noise with a square in half of it; print JSON.

    `loss_before` and `loss_after`, the mean cross-entropy on these images; and
    `images_per_second` of the training, without the time that it takes to compile it.
    """
    import numpy as np

    from medxfer_utils import models

    x = np.random.default_rng(0).normal(size=(256, 32, 32, 1)).astype(np.float32)
    y = np.arange(len(x)) % 2
    x[y == 1, 10:20, 10:20] += 1
    network = models.image_network(x.shape[1:], filters=(16, 32, 64, 64))
    models.train(network, x, y, models.Training(steps=1), seed=0)  # compiles
    told, start = models.Training(STEPS, rate, BATCH), time.perf_counter()
    trained = models.train(network, x, y, told, seed=0)
    speed = STEPS * BATCH / (time.perf_counter() - start)
    with np.errstate(invalid="ignore"):  # whoever reads the loss sees that it is no number
        logits = (models.outputs(each, x)[:, 0] for each in (network, trained))
        before, after = (float(np.logaddexp(0, (1 - 2 * y) * each).mean()) for each in logits)
    print(json.dumps({"loss_before": before, "loss_after": after, "images_per_second": speed}))


def training() -> Outcome:
    """Train a small network in a process of its own, and judge its loss."""
    told: dict[str, Any] = {"capture_output": True, "text": True, "errors": "replace"}
    try:
        run = subprocess.run(TRIAL, **told, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        message = f"A small network was not trained within {PATIENCE} seconds"
        return outcome("training", False, message, "Close other programs, and try once more.")
    if run.returncode:
        return _broken(run.returncode, run.stderr)
    found = json.loads(run.stdout.splitlines()[-1])
    before, after, speed = found.values()
    fell = after < before  # False if one is not a number
    way = f"its loss fell from {before:.2g} to {after:.2g}"
    message = f"a small network learns, {speed:,.0f} images a second; {way}"
    if not fell:
        message = f"The loss did not fall: {before:.3g} before the training, {after:.3g} after it"
    facts = {name: round(v, 4) if math.isfinite(v) else None for name, v in found.items()}
    return outcome("training", fell, message, fixing(), **facts)


def _broken(status: int, said: str) -> Outcome:
    """Say why the trial did not come to its end."""
    # TensorFlow writes advice for its own makers below the last error.
    errors = re.findall(r"^[\w.]+(?:Error|Exception)\b.*", said, re.MULTILINE)
    last = errors[-1] if errors else f"Python ended with status {status}"
    todo = ABOVE if last.startswith("ModuleNotFoundError") else fixing()
    # What systems call an instruction that the processor does not have.
    if status in (-int(signal.SIGILL), 0xC000001D):
        last = "This processor lacks instructions (AVX) that TensorFlow uses."
        todo = "Use another computer: TensorFlow offers no package for this processor."
    elif "DLL load failed" in said:
        todo = f"Install Microsoft's Visual C++ Redistributable (x64). If it is there:\n{todo}"
    return Outcome("training", "fails", f"A small network could not be trained. {last}", todo)


_OF_ONE = (checks.python, checks.packages, checks.kernel, checks.memory, checks.disk, checks.cache)
CHECKS: dict[str, Callable[[], Outcome | Iterable[Outcome]]] = {
    **{check.__name__: check for check in _OF_ONE},
    **{"threads": checks.processors, "data": checks.files, "training": training},
}


def outcomes() -> Iterator[Outcome]:
    """Run every check, each whatever became of the others."""
    for name, check in CHECKS.items():
        try:
            found = check()
            yield from [found] if isinstance(found, Outcome) else found
        except ImportError as problem:
            todo = fixing() if name == "packages" else ABOVE
            yield outcome(name, False, f"Not checked: {problem}", todo)
        except Exception as problem:
            message = f"This check failed itself. {type(problem).__name__}: {problem}"
            yield outcome(name, False, message, "If it stays so, tell those who give the course.")


def private(text: str) -> str:
    """Write the home folder as ~, and a folder that is called like the user as (user)."""
    home = Path(os.path.expanduser("~"))
    if home.parent == home:
        return text
    for form in sorted({str(home), str(home.resolve()), home.as_posix()}, key=len, reverse=True):
        # A path that Python quotes has two backslashes for one.
        spelt = re.escape(form).replace("\\\\", r"\\+")
        text = re.sub(spelt + END, "~", text, flags=re.IGNORECASE)
    user = os.environ.get("USER") or os.environ.get("USERNAME") or home.name
    return re.sub(rf"(?<=[/\\]){re.escape(user)}{END}", "(user)", text)


def line(found: Outcome, width: int) -> str:
    """Return an outcome as text: its status, its name, what was found, and what to do."""
    status = "FAILS" if found.status == "fails" else found.status
    head, gap = f"{status:<6} {found.name:<15}", " " * 22
    rows = [(head, gap, found.message)]
    rows += [(gap + "> ", gap + "  ", todo) for todo in found.todo.splitlines()]
    return "\n".join(
        # A command is kept on one line, to be copied.
        first + private(text) if "python " in text
        else textwrap.fill(private(text), width, initial_indent=first, subsequent_indent=rest,
                           break_on_hyphens=False, break_long_words=False)
        for first, rest, text in rows
    )  # fmt: skip


def _show() -> bool:
    """Print each outcome as soon as it is there, then the sum of them."""
    width = max(60, min(100, shutil.get_terminal_size().columns))
    print("The last check trains a small network, which takes up to a minute.", flush=True)
    failed = []
    for found in outcomes():
        print(line(found, width), flush=True)
        failed += [found.name] if found.status == "fails" else []
    print(f"To be fixed: {', '.join(failed)}." if failed else "Everything is there.")
    return not failed


def _document() -> bool:
    """Print one JSON document; the text above names its keys."""
    checked = [
        vars(found) | {"message": private(found.message), "todo": private(found.todo)}
        for found in outcomes()
    ]
    fine = all(check["status"] != "fails" for check in checked)
    where = {"system": platform.system(), "machine": platform.machine()}
    made = {"format": 1, "ok": fine, "date": time.strftime("%Y-%m-%d", time.gmtime()), **where}
    print(json.dumps(made | {"checks": checked}, indent=1, allow_nan=False))
    return fine


def main(arguments: list[str] | None = None) -> int:
    """Check whether everything is there that the lessons need; exit status 1 if not."""
    parser = argparse.ArgumentParser("python -m medxfer_utils", description=main.__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document, for a teacher")
    asked = parser.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):  # a Windows console need not have every letter
        sys.stdout.reconfigure(errors="backslashreplace")
    return 0 if (_document() if asked.json else _show()) else 1
