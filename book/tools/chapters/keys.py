"""What the outputs of a chapter depend on, as one key.

A chapter is run again exactly when its key has changed. The key covers its code cells and their
tags (but for the one that puts a cell on a slide), the modules of the helper package that it
imports (directly or through other modules; of an imported folder all, for its face is lazy), the
stored results that it names, the lock of the environment, the parameters of the run, and whether
the real patients are here in whose place it would otherwise show simulated ones. It does not cover
the prose.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

PACKAGE = "medxfer_utils"
RESULTS, EXTENSIONS = Path("book", "results"), Path("book", "_ext")
PYTHON = (".py", ".pyi")  # a face names what it imports late in the one beside it
# Tags that say where a cell is shown, and change nothing in its outputs.
OF_SHOWING = {"slide"}
MODULE = re.compile(rf"{PACKAGE}(\.\w+)+")
# What a chapter says that asks for real patients and has simulated ones in their place.
STAND_IN = re.compile(
    r"\b(heart_hospitals|breast_ultrasound|breast_recurrence|chest_xrays|heartbeats|twelve_leads)\("
)
# Lines for IPython's own ears; they are no Python, and import nothing of ours.
MAGIC = re.compile(r"^(\s*)[%!].*$", flags=re.MULTILINE)


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the code cells of a notebook, without those that papermill has injected."""
    return [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
        and "injected-parameters" not in cell["metadata"].get("tags", [])
    ]


def source(cell: dict[str, Any]) -> str:
    """Return the text of a cell; a notebook file may hold it as a list of lines."""
    text: str | list[str] = cell["source"]
    return text if isinstance(text, str) else "".join(text)


def prose(notebook: dict[str, Any]) -> list[str]:
    """Return the texts of a notebook that are no code, in their order."""
    return [source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]


def tags(cell: dict[str, Any]) -> list[str]:
    """Return the tags of a cell that its outputs may depend on."""
    return [tag for tag in cell["metadata"].get("tags", []) if tag not in OF_SHOWING]


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield dotted names that this code may import; `package` is where relative ones start."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            # Each name may be a module of its own: `from medxfer_utils import plots`.
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and MODULE.fullmatch(str(node.value)):
            yield str(node.value)  # importlib.import_module("medxfer_utils.plots.curves")


def files_of(name: str, root: Path) -> Iterator[Path]:
    """Yield the files of ours that `import name` may execute: parents first, then its own.

    A folder's face imports what stands behind it late, when a name is first asked for; so who
    imports a folder may execute every file in it.
    """
    parts = name.split(".")
    root = root / EXTENSIONS if (root / EXTENSIONS / f"{parts[0]}.py").is_file() else root
    for depth in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:depth])
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file():
                yield path
    if len(parts) > 1 and root.joinpath(*parts, "__init__.py").is_file():
        yield from (p for p in sorted(root.joinpath(*parts).rglob("*")) if p.suffix in PYTHON)


def modules(code: str, root: Path) -> set[Path]:
    """Return the files of ours that this code imports, directly or indirectly."""
    waiting = [(code, PACKAGE)]
    found: set[Path] = set()
    while waiting:
        text, package = waiting.pop()
        for name in imported(ast.parse(text), package):
            for path in files_of(name, root):
                if path not in found:
                    found.add(path)
                    home = ".".join(path.parent.relative_to(root).parts)
                    waiting.append((path.read_text("utf-8"), home))
    return found


def package_data(root: Path) -> Iterator[Path]:
    """Yield what the package holds besides Python, the style sheet of the figures for one."""
    for path in (root / PACKAGE).rglob("*"):
        if path.is_file() and path.suffix not in PYTHON and "__pycache__" not in path.parts:
            yield path


def named_results(texts: Iterable[str], root: Path) -> Iterator[Path]:
    """Yield the stored results whose name, with or without its ending, stands in a text."""
    text = "\n".join(texts)
    for path in (root / RESULTS).rglob("*"):
        if path.is_file() and path.stem in text:
            yield path


def needed(code: str, root: Path) -> list[Path]:
    """Return, sorted, every file of the repository that this code depends on."""
    helpers = modules(code, root)
    data = set(package_data(root)) if any(PACKAGE in path.parts for path in helpers) else set()
    results = set(named_results([code, *(path.read_text("utf-8") for path in helpers)], root))
    return sorted({*helpers, *data, *results, root / "requirements.txt"})


def asks_for_patients(notebook: dict[str, Any]) -> list[str]:
    """Name what a chapter's own code calls for real patients, and has a stand-in for."""
    calls = (STAND_IN.findall(source(cell)) for cell in code_cells(notebook))
    return sorted({name for found in calls for name in found})


def patients_here() -> list[str]:
    """Name the files on this machine without which a chapter would simulate."""
    from medxfer_utils import data
    from medxfer_utils.data.ecg import FILES

    sets = ("breastmnist_224", "breastmnist", "pneumoniamnist")
    images = (data.REGISTRY[f"{name}.npz"] for name in sets)
    files = [*data.HEART.values(), *data.BREAST.values(), *images, data.WEIGHTS[0]]
    wanted = [(file.name, file.folder) for file in files] + [(name, "ecg") for name in FILES]
    try:
        own = [name for name, folder in wanted if data.find_local(name, folder)]
    except data.DataError:  # the reader's folder is not there: the chapter will say so
        own = []
    kept = [f.name for f in files if (data.cache_folder() / f.folder / f.name).is_file()]
    kept += [f.name for f in files if (data.keras_cache() / f.name).is_file()]
    return sorted({*own, *kept})


def read(notebook: Path) -> dict[str, Any]:
    """Return the content of a chapter's file.

    Raises
    ------
    ValueError
        If the file is no notebook, or a code cell cannot be parsed; the message says what to do.
    """
    try:
        content: dict[str, Any] = json.loads(notebook.read_text("utf-8"))
        for cell in code_cells(content):
            ast.parse(MAGIC.sub(r"\1pass", source(cell)))
    except (SyntaxError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{notebook.name} cannot be read: {error}. If an edit or a merge has broken it, "
            f"git restore notebooks/{notebook.name} brings back the version last committed."
        ) from error
    return content


def chapter_key(notebook: Path, root: Path, parameters: dict[str, Any]) -> str:
    """Return the key of a chapter: equal keys promise equal outputs.

    Parameters
    ----------
    notebook
        The notebook file.
    root
        The repository, in which the helper package and the results are looked for.
    parameters
        What the parameters cell is told.

    Raises
    ------
    ValueError
        If the file is no notebook, or a code cell cannot be parsed.
    """
    content = read(notebook)
    cells = [(source(cell), tags(cell)) for cell in code_cells(content)]
    here = patients_here() if asks_for_patients(content) else []
    told = [cells, sorted(parameters.items()), sys.version_info[:2], here]
    code = "\n".join(MAGIC.sub(r"\1pass", text) for text, _ in cells)
    return digest(needed(code, root), root, told)


def digest(files: Iterable[Path], root: Path, told: object = ()) -> str:
    """Return one digest of the names and contents of files, and of what is told besides."""
    whole = hashlib.sha256(json.dumps(told).encode())
    for path in files:
        whole.update(path.relative_to(root).as_posix().encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
