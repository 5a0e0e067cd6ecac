"""A small chapter with the whole anatomy, to try the machinery and to break on purpose."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book.tools.pages import address

ROOT = Path(__file__).resolve().parents[2]
FILLER = "A cohort is the set of patients of one site, and every split keeps a patient whole. " * 5

OPENING = """# A sample

Which of two laboratories does a small model serve better?

**What you will be able to do**

- name the source
- name the target
- read a band

Prerequisites: none. Reading time: 2 minutes; running time: 5 seconds.
"""

EXERCISE = """## Exercises

### Exercise 1 · Double it

*Easy, 5 minutes.*

Double the number 4.
"""

SECOND = """<details class="answer"><summary>The answer in words</summary>

Twice four patients are eight.

</details>

### Exercise 2 · Halve it

*Hard, 25 minutes.*

Halve the number 4.
"""

QUIZ = """## Quiz

<div class="quiz">

**Which laboratory is the source?**

<details class="right"><summary>The one with the labels.</summary>

Right. Its labels train the model that the other one borrows.

</details>
<details class="wrong"><summary>The one without labels.</summary>

Not quite. Without labels there is nothing to train a first model on.

</details>
</div>
"""

CLOSING = """## Take-aways

- the source lends
- the target borrows
- a band says what to expect

## On real patients

The same code ran on real patients elsewhere.

## Further reading

See {cite:p}`nobody`.
"""


def code(source: str, *tags: str) -> NotebookNode:
    # So short a chapter goes into the slides as a whole, but for what solves an exercise.
    if "colab" in tags:
        metadata = {"tags": list(tags), "jupyter": {"source_hidden": True}}
        return new_code_cell(source, metadata=metadata)
    if "solution" not in tags:
        return new_code_cell(source, metadata={"tags": [*tags, "slide"]})
    prompts = {"code_prompt_show": "Show the solution", "code_prompt_hide": "Hide the solution"}
    folded = {"outputs_hidden": True, "source_hidden": True}
    metadata = {"tags": list(tags), "mystnb": prompts, "jupyter": folded}
    return new_code_cell(source, metadata=metadata)


def sample() -> NotebookNode:
    """Return a sound chapter, not run yet."""
    draw = 'plt.plot([3, noise[0]])\nplots.show("A line from three to the first random number.")'
    solution = ("solution", "hide-cell")
    cells = [
        new_markdown_cell(OPENING),
        code(address.colab_cell(ROOT, address.present(ROOT)), "colab", "remove-cell"),
        code('PROFILE = "full"\nSEED = 0\nDATA = "builtin"', "parameters"),
        code(
            "import matplotlib.pyplot as plt\nfrom medxfer_utils import chapter, plots\n"
            "book = chapter.start(PROFILE, SEED, DATA)"
        ),
        new_markdown_cell("## How it goes\n\n" + FILLER),
        code('noise = book.rng("noise").normal(size=book.pick(full=400, fast=100))'),
        code('book.record("mean", noise.mean(), (-0.5, 0.5), "Mean of the noise")'),
        code('book.record("spread", noise.std(), (0.5, 1.5), "Spread of the noise")'),
        code('book.record("top", noise.max(), (1, 6), "Largest of the noise")'),
        code(draw),
        code("print(noise[1] > 100)", "fails-on-purpose"),
        new_markdown_cell(EXERCISE),
        code('book.record("double", 2 * 4, (7.5, 8.5), "Twice the number")', *solution),
        new_markdown_cell(SECOND),
        code('half = 4 / 2\nbook.record("half", half, (1.5, 2.5), "Half of it")', *solution),
        new_markdown_cell(QUIZ),
        new_markdown_cell(CLOSING),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def save(nb: NotebookNode, path: Path) -> Path:
    """Write the notebook to `path` and return it."""
    nbformat.write(nb, path)
    return path
