"""The set-up reports of a class, read from a folder of JSON files, as one table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

FORMATS = (1,)


class ReportError(ValueError):
    """The file is no report; the message says why."""


def read(path: Path) -> dict[str, Any]:
    """Read a report that ``python -m medxfer_utils --json`` has printed.

    Raises
    ------
    ReportError
        If it cannot be read, is no JSON, or is something else.
    """
    try:
        # From bytes, because PowerShell's > writes UTF-16.
        made = json.loads(path.read_bytes())
    except OSError as problem:
        raise ReportError(f"cannot be read ({problem.strerror})") from problem
    except (ValueError, RecursionError) as problem:
        raise ReportError("is no JSON: it is empty, cut off, or something else") from problem
    if not isinstance(made, dict) or made.get("format") not in FORMATS:
        raise ReportError("is no set-up report of a kind that this version knows")
    checks = made.get("checks")
    if not isinstance(checks, list) or not checks or not all(map(_is_check, checks)):
        raise ReportError("is a set-up report without proper checks")
    return made


def _is_check(check: Any) -> bool:
    """Tell whether this has a status, and a plain name: others wrote it, and it is printed."""
    if not isinstance(check, dict) or not isinstance(check.get("facts"), dict):
        return False
    name = check.get("name")
    plain = isinstance(name, str) and re.fullmatch(r"[a-z0-9_-]{1,15}", name)
    return bool(plain) and check.get("status") in ("ok", "note", "fails")


def _summary(made: dict[str, Any]) -> tuple[str, str]:
    """Return "ok" or "FAILS", and the names of what fails."""
    failed = [check["name"] for check in made["checks"] if check["status"] == "fails"]
    return ("FAILS", ", ".join(failed)) if failed else ("ok", "")


def show(folder: Path) -> int:
    """Print a line for each JSON file in a folder, by the name of the file.

    Returns
    -------
    int
        0 if all are reports in which nothing fails, and there is one at least; else 1.
    """
    rows = []
    for path in sorted(folder.glob("*.json")):
        name = "".join(letter if letter.isprintable() else "?" for letter in path.stem)
        try:
            rows.append((name, *_summary(read(path))))
        except ReportError as problem:
            rows.append((name, "BAD", f"the file {problem}"))
    if not rows:
        print("There are no .json files in this folder. Each of the class makes one with:\n"
              "python -m medxfer_utils --json > NAME.json")  # fmt: skip
        return 1
    width = max(len(name) for name, *_ in rows)
    for name, status, text in rows:
        print(f"{name:<{width}}  {status:<5}  {text}".rstrip())
    good = sum(status == "ok" for _, status, _ in rows)
    print(f"{good} of {len(rows)} ok")
    return 0 if good == len(rows) else 1
