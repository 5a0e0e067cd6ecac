"""The workshop kit, unpacked elsewhere and cut off from the network, runs a student's chapter."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

from __future__ import annotations

import os
import subprocess
import sys
import venv
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from book.tools.env import venv_python
from book.tools.teach import workshop
from tests.chapters.running import ROOT, off_band, said

pytestmark = pytest.mark.shape
QUICKEST = "09_four_hospitals.ipynb"
PARAMETER = 'PROFILE = "full"'
# What every Python of the environment does first.
CUT_OFF = '''"""Let no connection leave this machine."""
import socket

def refuse(self, address, ask=socket.socket.connect):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
        raise OSError(f"the network is cut off, and {address[0]} was wanted")
    return ask(self, address)

socket.socket.connect = refuse
'''
PROBE = """
import socket, sys, medxfer_utils
from medxfer_utils import results
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as error:
    print(error)
print(medxfer_utils.__file__, results.FOLDER, *sys.path, sep="\\n")
"""


@dataclass
class Kit:
    """An unpacked kit with an environment of its own."""

    folder: Path

    @property
    def python(self) -> Path:
        return venv_python(self.folder)

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run its Python, as a student who has nothing else and no network."""
        home = self.folder.parent / "home"
        settings = {"HOME": str(home), "USERPROFILE": str(home), "MEDXFER_CACHE": str(home)}
        settings |= dict.fromkeys(("https_proxy", "http_proxy"), "http://127.0.0.1:9")
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
        return subprocess.run(
            [str(self.python), *map(str, arguments)],
            cwd=self.folder / "notebooks",
            env={**kept, **settings, "JUPYTER_PREFER_ENV_PATH": "1"},
            capture_output=True,
            text=True,
            check=False,
        )


def install(kit: Kit) -> None:
    """Install the kit's lock and its package from what is on this machine.

    uv's cache has what `make book` once installed. If it was emptied since, the installed packages
    themselves are lent: then the test shows that the kit's files suffice, not that its lock does.
    """
    uv = [sys.executable, "-m", "uv", "pip"]
    to = ["--quiet", "--offline", "--python", str(kit.python)]
    sync = [*uv, "sync", *to, "--require-hashes", str(kit.folder / "requirements.txt")]
    (site,) = kit.folder.glob(".venv/**/site-packages")
    (site / "sitecustomize.py").write_text(CUT_OFF)
    if subprocess.run(sync, check=False, capture_output=True).returncode == 0:
        own = ["--no-deps", "--no-build-isolation", "-e", str(kit.folder)]
        subprocess.run([*uv, "install", *to, *own], check=True)
        return
    (site / "lent.pth").write_text(f"{kit.folder}\n{Path(pytest.__file__).parents[1]}\n", "utf-8")
    warnings.warn("uv's cache lacks packages: the kit's lock was not tried", stacklevel=1)


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """The kit in a folder with a space in its name, installed without a network."""
    outside = tmp_path_factory.mktemp("a class")
    (outside / "home").mkdir()
    packed = outside / "kit.zip"
    packed.write_bytes(workshop.packed(workshop.contents(ROOT)))
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(outside / "on the stick")
    made = Kit(outside / "on the stick" / workshop.NAME)
    venv.create(made.folder / ".venv", with_pip=False)
    install(made)
    return made


def test_nothing_of_the_repository_and_no_network_is_in_reach(kit: Kit) -> None:
    said, package, stored, *path = kit.run("-c", PROBE).stdout.splitlines()
    assert said == "the network is cut off, and 192.0.2.1 was wanted"
    assert Path(package) == kit.folder / "medxfer_utils" / "__init__.py"
    assert Path(stored) == kit.folder / "book" / "results"
    assert not [
        place for place in path if Path(place) == ROOT or ROOT / "book" in Path(place).parents
    ]


def test_a_student_s_chapter_runs_and_stays_in_its_bands(kit: Kit) -> None:
    path = kit.folder / "notebooks" / QUICKEST
    text = path.read_text("utf-8")
    assert text.count(PARAMETER.replace('"', r"\"")) == 1
    path.write_text(text.replace(PARAMETER.replace('"', r"\""), r"PROFILE = \"fast\""), "utf-8")
    done = kit.run(
        "-m", "nbconvert", "--to", "notebook", "--execute", "--output", "run.ipynb", path
    )
    assert done.returncode == 0, done.stderr[-3000:]
    nb = nbformat.read(path.with_name("run.ipynb"), as_version=4)
    assert len(said(nb)) >= 3
    assert off_band(nb) == []
    checks = said(nb, "medxfer_check")
    assert checks
    assert not any(check["answered"] for check in checks)
