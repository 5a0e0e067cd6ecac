"""Run every check of the book, the quick ones first: `make test`.

    python book/tools/env.py -m book.tools.check

All checks run even when an early one fails; the exit status is 1 if any did. Tests of what has not
changed since it was proved are left out, unless ALL=1 is in the environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
CHECKS = {
    "format": [PYTHON, "-m", "ruff", "format", "--check", "."],
    "lint": [PYTHON, "-m", "ruff", "check", "."],
    "types": [PYTHON, "-m", "mypy"],
    "imports": [str(Path(PYTHON).with_name("lint-imports")), "--no-cache"],
    # The pages that the tests look at show the outputs in the repository, which nbval holds.
    "pages": [PYTHON, "-m", "book.tools.build", "--committed"],
    "tests": [PYTHON, "-m", "book.tools.proved"],
}


def run(names: list[str], root: Path) -> list[str]:
    """Run these checks in the repository `root` and return the names of those that failed."""
    environment = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"}
    failed = []
    for name in names:
        print(f"\n== {name}", flush=True)
        if subprocess.run(CHECKS[name], cwd=root, env=environment, check=False).returncode:
            failed.append(name)
    return failed


def main(names: list[str]) -> int:
    """Run the named checks, or all, and say on the last line how it went."""
    try:
        failed = run(names or list(CHECKS), ROOT)
    except KeyboardInterrupt:
        print("\nInterrupted.")
        return 130
    print(f"\nFailed: {', '.join(failed)}" if failed else "\nEvery check passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
