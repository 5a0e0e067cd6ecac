"""Run every script of a folder, one after another: `make benchmark`.

    python book/tools/env.py -m book.tools.scripts FOLDER

A `requirements.txt` in the folder names libraries that only these scripts compare with. They are
installed without their own dependencies, into a folder outside the book's environment: some would
bring a second TensorFlow with them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def overlay(folder: Path, root: Path) -> Path:
    """Install what the scripts of `folder` compare with, and return where it is."""
    target = root / "_build" / "overlay" / folder.name
    requirements = folder / "requirements.txt"
    if requirements.is_file():
        install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", target]
        install += ["--no-deps", "--require-hashes", "-r", requirements]
        subprocess.run([str(part) for part in install], check=True)
    return target


def run_scripts(folder: Path, root: Path) -> list[str]:
    """Run the scripts of `folder` and return the names of those that failed.

    Raises
    ------
    ValueError
        If there is no script.
    """
    scripts = sorted(folder.glob("*.py"))
    if not scripts:
        raise ValueError(f"There is no script in {folder} to run.")
    paths = [str(overlay(folder, root)), str(root), os.environ.get("PYTHONPATH", "")]
    # One thread for each fit: the scripts run several at a time, and stored tables were made so.
    environment = {"MEDXFER_THREADS": "1", **os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    failed = []
    for script in scripts:
        print(f"\n== {script.name}", flush=True)
        command = [sys.executable, str(script)]
        if subprocess.run(command, cwd=root, env=environment, check=False).returncode:
            failed.append(script.name)
    return failed


def main(folder: str) -> int:
    """Run the scripts of a folder of the repository and say which failed."""
    try:
        failed = run_scripts(ROOT / folder, ROOT)
    except (ValueError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
