"""Choose the newest versions that `pyproject.toml` allows and write their hashes: `make lock`.

The lock holds for every system and every supported Python, and names no package index. It is a
requirements file, not `uv.lock`, which would spell out the index.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPILE = [sys.executable, "-m", "uv", "pip", "compile", "--upgrade", "--quiet"]
COMPILE += ["--universal", "--python-version", "3.11", "--generate-hashes"]
COMPILE += ["--no-emit-index-url", "--no-emit-find-links"]
COMPILE += ["--custom-compile-command", "make lock"]


def lock(root: Path) -> int:
    """Write the locks of the book and of the benchmarks, and return uv's exit status."""
    book = ["--all-extras", "pyproject.toml", "--output-file", "requirements.txt"]
    # What the benchmarks compare with is installed alone, without what it would pull in.
    peers = ["--no-deps", "benchmarks/requirements.in", "--output-file"]
    peers += ["benchmarks/requirements.txt"]
    for what in (book, peers):
        if status := subprocess.run([*COMPILE, *what], cwd=root, check=False).returncode:
            return status
    print("Wrote requirements.txt and benchmarks/requirements.txt. Now: make test")
    return 0


if __name__ == "__main__":
    sys.exit(lock(ROOT))
