"""The anatomy of a lesson, as checks: each takes a notebook and returns what is wrong with it.

An appendix, `A1_…`, is checked by those of this file alone, a lesson by those of `lesson`, too.
"""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

import ast
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from nbformat import NotebookNode

from book.tools.pages import address
from tests.chapters import lesson
from tests.chapters.parts import ON_COLAB, code_cells, output_texts, prose, syntax, tagged
from tests.chapters.running import ROOT, off_band, said

Check = Callable[[NotebookNode], list[str]]

PARAMETERS = {"PROFILE": "full", "SEED": 0, "DATA": "builtin"}
# No tag of nbval or papermill that skips a cell or accepts an error.
TAGS = {"parameters", "solution", "hide-cell", "hide-input", "remove-cell"}
TAGS |= {"fails-on-purpose", "slide"}
SHORTEST_ALT = 40
LARGEST_BYTES = 1_000_000
ABSOLUTE_PATH = re.compile(r"(?:^|[\s\"'(=])((?:/[\w.-]+){2,}|[A-Za-z]:\\\w+|file://\S+)", re.M)
UNSTABLE = re.compile(r"\b0x[0-9a-f]{6,}|[CG]PU times|Wall time|\d ?m?s/(?:step|epoch)|\d+it/s")
DIRECTIVE_IMAGE = re.compile(r"^([:`]{3,})\{(?:image|figure)\}(.*?)^\1", re.M | re.S)


def check_syntax(nb: NotebookNode) -> list[str]:
    return [
        f"code cell {index} is not plain Python: no magics, no shell commands"
        for index, cell in enumerate(code_cells(nb))
        if cell.source.strip()
        and not (syntax(cell).body or re.fullmatch(r"(\s*#.*)+", cell.source))
    ]


def check_colab(nb: NotebookNode) -> list[str]:
    cells = [cell for cell in nb.cells if cell.metadata.get("tags", []) == ON_COLAB]
    wanted = address.colab_cell(ROOT, address.present(ROOT))
    if nb.cells[1:2] != cells or cells[0].source != wanted or cells[0].outputs:
        return [f"the second cell must be tagged {ON_COLAB} and read as `make address` writes it"]
    folded = cells[0].metadata.get("jupyter", {}).get("source_hidden", False)
    return [] if folded else ['the cell for Colab must be folded: "jupyter": "source_hidden"']


def check_parameters(nb: NotebookNode) -> list[str]:
    cells = tagged(nb, "parameters")
    if len(cells) != 1 or not code_cells(nb) or cells[0] is not code_cells(nb)[0]:
        return ["the first code cell, and no other, must be tagged 'parameters'"]
    wanted = "\n".join(f"{name} = {value!r}" for name, value in PARAMETERS.items())
    if ast.unparse(syntax(cells[0])) != wanted:
        return [f"the parameters cell must read\n{wanted}"]
    return []


def check_start(nb: NotebookNode) -> list[str]:
    cells = code_cells(nb)[1:2]
    *imports, last = (syntax(cells[0]).body if cells else []) or [ast.Pass()]
    wrong = []
    if ast.unparse(last) != "book = chapter.start(PROFILE, SEED, DATA)":
        wrong.append("the second code cell must end with book = chapter.start(PROFILE, SEED, DATA)")
    if not all(isinstance(line, ast.Import | ast.ImportFrom) for line in imports):
        wrong.append("the second code cell must hold imports and the start, nothing else")
    return wrong


def check_profile(nb: NotebookNode) -> list[str]:
    return [
        f"code cell {index} branches on the profile: use book.pick, so that only sizes differ"
        for index, cell in enumerate(code_cells(nb))
        for node in ast.walk(syntax(cell))
        if isinstance(node, ast.Compare | ast.Match | ast.Subscript)
        and re.search(r"\bPROFILE\b|\bbook\.profile\b", ast.unparse(node))
    ]


def check_tags(nb: NotebookNode) -> list[str]:
    wrong = [
        f"cell {index} has the tag {tag!r}; allowed are {', '.join(sorted(TAGS))}"
        for index, cell in enumerate(nb.cells)
        if cell.metadata.get("tags", []) != ON_COLAB
        for tag in sorted(set(cell.metadata.get("tags", [])) - TAGS)
    ]
    return wrong + [
        f"code cell {index} has a comment that keeps nbval from checking it"
        for index, cell in enumerate(code_cells(nb))
        if re.search(r"#\s*(NBVAL_|PYTEST_VALIDATE_)", cell.source)
    ]


def check_executed(nb: NotebookNode) -> list[str]:
    wrong = [
        f"code cell {index} has execution count {cell.execution_count}, not {index + 2}: "
        "run all cells in order in a fresh kernel"
        for index, cell in enumerate(code_cells(nb))
        if cell.execution_count != index + 2  # the cell for Colab is the first
    ]
    for index, cell in enumerate(code_cells(nb)):
        for output in cell.outputs:
            if output.output_type == "error":
                wrong.append(f"code cell {index} ends in {output.ename}: catch it and print it")
            if output.get("name") == "stderr":
                wrong.append(f"code cell {index} writes to stderr: {output.text.strip()[:80]!r}")
    return wrong


def check_stable(nb: NotebookNode) -> list[str]:
    return [
        f"code cell {index} shows {found[0]!r}, which another run will not show again"
        for index, text in output_texts(nb)
        if (found := UNSTABLE.search(text))
    ]


def check_figures(nb: NotebookNode) -> list[str]:
    wrong = []
    for index, cell in enumerate(code_cells(nb)):
        images = [
            output.metadata.get(kind, {})
            for output in cell.outputs
            for kind in output.get("data", {})
            if kind.startswith("image/")
        ]
        if len(images) > 1:
            wrong.append(f"code cell {index} shows {len(images)} figures, not one")
        if any(len(image.get("alt", "")) < SHORTEST_ALT for image in images):
            wrong.append(f"code cell {index} shows a figure without alt text: use plots.show")
    if re.search(r"!\[\s*\]\(|<img(?![^>]*\balt=\"\w)", prose(nb)) or any(
        ":alt:" not in block for _, block in DIRECTIVE_IMAGE.findall(prose(nb))
    ):
        wrong.append("an image in the text has no alt text")
    return wrong


def check_paths(nb: NotebookNode) -> list[str]:
    texts = [(f"cell {index}", cell.source) for index, cell in enumerate(nb.cells)]
    texts += [(f"the output of code cell {index}", text) for index, text in output_texts(nb)]
    return [
        f"{where} names the absolute path {path!r}"
        for where, text in texts
        for path in ABSOLUTE_PATH.findall(text)
    ]


def check_records(nb: NotebookNode) -> list[str]:
    found = said(nb)
    wrong = (
        [f"there are {len(found)} recorded results, not three or more"] if len(found) < 3 else []
    )
    return wrong + off_band(nb)


def check_metadata(nb: NotebookNode) -> list[str]:
    wrong = []
    if nb.metadata.get("kernelspec", {}).get("name") != "python3":
        wrong.append("the notebook's kernel is not python3")
    if any("papermill" in part.metadata for part in (nb, *nb.cells)):
        wrong.append("papermill's metadata is left in the notebook: strip it")
    return wrong


def checks(names: Mapping[str, object]) -> dict[str, Check]:
    """Return the checks among the names of a module."""
    return {
        n.removeprefix("check_"): c
        for n, c in names.items()
        if n.startswith("check_") and callable(c)
    }


PLAIN = checks(globals())
ALL = PLAIN | checks(vars(lesson))


def faults(nb: NotebookNode, *, appendix: bool = False) -> dict[str, list[str]]:
    """Run every check, on an appendix the plain ones, and keep those that complain."""
    found = {name: check(nb) for name, check in (PLAIN if appendix else ALL).items()}
    return {name: wrong for name, wrong in found.items() if wrong}


def defined_twice(notebooks: Mapping[str, NotebookNode]) -> list[str]:
    """Find functions and classes that two notebooks define at top level."""
    homes: dict[str, set[str]] = {}
    for name, nb in notebooks.items():
        for cell in code_cells(nb):
            for node in syntax(cell).body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    homes.setdefault(node.name, set()).add(name)
    return [
        f"{name} is defined in {' and '.join(sorted(where))}: keep it in medxfer_utils"
        for name, where in homes.items()
        if len(where) > 1
    ]


def too_large(path: Path) -> list[str]:
    """Say whether the file is too heavy for a browser or a diff."""
    size = path.stat().st_size
    return [f"the file has {size} bytes, more than {LARGEST_BYTES}"] if size > LARGEST_BYTES else []
