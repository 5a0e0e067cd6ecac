"""Imports in the package go downstream only, and TensorFlow comes where it is needed only."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import medxfer_utils

PACKAGE = Path(medxfer_utils.__file__).parent
# Upstream first; a module imports those before it only.
ORDER = [
    *(
        "cohorts",
        "catalogue",
        "downloads",
        "tabular",
        "standin",
        "scanner",
        "findings",
        "anatomy",
        "casenotes",
        "phantoms",
        "scans",
        "imaging",
        "folders",
        "lesions",
        "models",
        "missing",
        "penalties",
        "convnets",
        "backbones",
        "finetuning",
    ),
    *("transfer", "metrics", "shifts", "transferability", "sources"),
    *("journal", "workers", "experiments", "gate", "results", "plots", "explorer", "chapter"),
    *("setup_machine", "setup_python", "setup_data", "setup_trial", "setup_class", "setup_check"),
    "__main__",
]
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


def imported(source: str) -> set[str]:
    """Return the modules of the package that a source text imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.level or node.module == "medxfer_utils"):
            found |= {alias.name for alias in node.names} | {node.module or ""}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").removeprefix("medxfer_utils."))
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("medxfer_utils.") for alias in node.names}
    return found & set(ORDER)


def test_every_module_has_its_place() -> None:
    assert set(MODULES) <= set(ORDER)


def test_imports_are_seen() -> None:
    source = (
        "from medxfer_utils import cohorts as c\nimport medxfer_utils.plots, numpy.transfer\n"
        "def f():\n    from medxfer_utils.models import tabular_net\n    from . import chapter"
    )
    assert imported(source) == {"cohorts", "plots", "models", "chapter"}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downstream_only(module: str) -> None:
    source = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    assert imported(source) <= set(ORDER[: ORDER.index(module)])


HEAVY = {"models", "missing", "penalties", "convnets", "backbones", "finetuning", "transfer"}
HEAVY |= {"sources", "setup_trial"}  # by way of models and of convnets
LIGHT = sorted(set(MODULES) - HEAVY)


@pytest.mark.parametrize("module", LIGHT)
def test_tensorflow_is_not_pulled_in(module: str) -> None:
    source = (
        f"import sys, medxfer_utils.{module} as m\n"
        "if m.__name__.endswith('chapter'): m.start('fast', 0, 'builtin')\n"
        "print({'keras', 'tensorflow'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_package_imports_nothing_heavy_and_prepares_tensorflow() -> None:
    source = (
        "import sys; before = set(sys.modules); import medxfer_utils, os\n"
        "print({'numpy', 'pandas', 'matplotlib', 'keras', 'tensorflow'} & set(sys.modules))\n"
        "print(*(os.environ[n] for n in "
        "('KERAS_BACKEND', 'TF_CPP_MIN_LOG_LEVEL', 'TF_ENABLE_ONEDNN_OPTS')))"
    )
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "KERAS_"))}
    for given, shown in ({}, "tensorflow 2 1"), ({"TF_CPP_MIN_LOG_LEVEL": "0"}, "tensorflow 0 1"):
        run = subprocess.run(
            [sys.executable, "-c", source], env=plain | given, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert run.stdout.split("\n")[:2] == ["set()", shown]
