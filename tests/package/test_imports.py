"""Faces: importing one imports nothing heavy, and all that it names is there and is explained.

Who may import whom is a contract in `pyproject.toml`, held by `lint-imports`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "medxfer_utils"
FACES = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.pyi"))
TAUGHT = re.compile(r"[Tt]aught\s+in\b(?:\s+lessons?\s+((?:\d\d(?:,\s+|\s+and\s+)?)+))?")
WITH_DOCSTRING = ast.Module | ast.ClassDef | ast.FunctionDef

FRESH = """
import json, os, sys
before = set(sys.modules)
import medxfer_utils
from medxfer_utils import {faces}
for name in ({faces},): dir(name)
print(json.dumps([sorted(set(sys.modules) - before), dict(os.environ)]))
"""


def fresh(**environment: str) -> tuple[list[str], dict[str, str]]:
    """Import the package and its faces in a new process: new modules, and the environment."""
    run = subprocess.run(
        [sys.executable, "-c", FRESH.format(faces=", ".join(FACES))],
        env={"PATH": "", "PYTHONPATH": str(ROOT), **environment},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    modules, environ = json.loads(run.stdout)
    return modules, environ


def test_the_package_and_its_faces_import_nothing_heavy_and_prepare_tensorflow() -> None:
    modules, environ = fresh()
    allowed = {*sys.stdlib_module_names, "lazy_loader", "medxfer_utils"}
    assert {name.split(".")[0] for name in modules} <= allowed
    assert [name for name in modules if name.count(".") > 1] == [], "a file behind a face"
    wanted = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    assert {name: environ[name] for name in wanted} == wanted
    assert fresh(TF_CPP_MIN_LOG_LEVEL="0")[1]["TF_CPP_MIN_LOG_LEVEL"] == "0", "a choice is kept"


def test_all_that_a_face_names_is_there_and_is_explained() -> None:
    wrong = []
    for face in FACES:
        lines = (PACKAGE / face / "__init__.pyi").read_text("utf-8").splitlines()
        if len(lines) > 25 or len((PACKAGE / face / "__init__.py").read_text().splitlines()) > 25:
            wrong.append(f"{face}: a face of more than 25 lines")
        module = importlib.import_module(f"medxfer_utils.{face}")
        for name in module.__all__:
            value = getattr(module, name, None)
            own = inspect.isfunction(value) or inspect.isclass(value)
            if value is None or inspect.ismodule(value) or (own and not inspect.getdoc(value)):
                wrong.append(f"{face}.{name}: missing, shadowed by its file, or not explained")
    assert FACES
    assert wrong == []


def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}


def test_no_name_stands_twice() -> None:
    names = Counter(
        node.name
        for tree in trees().values()
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    )
    assert [name for name, times in names.items() if times > 1] == []


def test_whatever_is_said_to_be_taught_is_taught_in_a_lesson_that_exists() -> None:
    chapters = {path.name[:2] for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")}
    said = [
        (f"{path.name}: {getattr(node, 'name', 'module')}", re.findall(r"\d\d", numbers))
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, WITH_DOCSTRING)
        for numbers in TAUGHT.findall(ast.get_docstring(node) or "")
    ]
    assert len(said) > 20
    assert [where for where, numbers in said if not numbers or not {*numbers} <= chapters] == []
