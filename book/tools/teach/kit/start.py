"""Make the environment of the workshop, check it, and open the notebooks: python start.py.

It needs Python 3.11, 3.12 or 3.13 and nothing else. If the folder `wheels` lies beside this file,
everything is installed from there and no network is used; each file must have the hash of the lock.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENV = HERE / "book" / "tools" / "env.py"

# Settings of JupyterLab: a class has no use for its news, and often no network to fetch them.
SETTINGS = HERE / "jupyter"


def offline(wheels: Path) -> dict[str, str]:
    """Return the settings with which pip and uv install from a folder and from nowhere else."""
    # An address has no spaces and no commas, at which pip and uv would cut the folder's name.
    link = wheels.as_uri()
    alone = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": link}
    return alone | {"UV_OFFLINE": "1", "UV_NO_CONFIG": "1", "UV_FIND_LINKS": link}


def call(*arguments: str) -> int:
    """Run the environment's Python, which is made first if need be; return its exit status."""
    environment = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"}
    others = environment.get("JUPYTER_CONFIG_PATH")
    environment["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, [str(SETTINGS), others]))
    if (data := HERE / "data").is_dir():  # weights, and what the teacher has put beside them
        environment.setdefault("MEDXFER_DATA", str(data))
    wheels = HERE / "wheels"
    if wheels.is_dir():
        environment.update(offline(wheels))
    command = [sys.executable, str(ENV), *arguments]
    return subprocess.run(command, cwd=HERE, env=environment, check=False).returncode


def main() -> int:
    """Install, check, open JupyterLab; stop only if the installation fails."""
    if status := call():
        print("\nSee 'If it fails' in start.html.", file=sys.stderr)
        return status
    checks = HERE / "medxfer_utils" / "__main__.py"
    if checks.is_file() and call("-m", "medxfer_utils"):
        print("\nThe check above says what to fix. JupyterLab opens all the same.", flush=True)
    print("\nJupyterLab opens in your browser. To end it, press Ctrl-C here.", flush=True)
    return call("-m", "jupyterlab", "notebooks")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
