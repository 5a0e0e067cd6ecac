"""A small lesson with the whole anatomy, to try the machinery and to break on purpose."""

# nbformat says nothing of its types.
# mypy: allow-untyped-calls, no-warn-return-any

from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book.tools.pages import address

ROOT = Path(__file__).resolve().parents[2]
FILLER = "A cohort is the set of patients of one site, and every split keeps a patient whole. " * 3

OPENING = """# A sample

Which of two laboratories does a small model serve better?

**What you will be able to do**

- name the source
- name the target
- read a band

**Prerequisites:** none.

**Reading:** 3 minutes. **Exercises:** 12 minutes. **Running:** 5 seconds.
"""

EXERCISE = """### Exercise 1 · Double it

*Easy, 2 minutes.*

Double the number 4.
"""

SECOND = """<details class="answer"><summary>The answer in words</summary>

Twice four patients are eight.

</details>

### Exercise 2 · Halve it

*Hard, 8 minutes.*

Halve the number 4.
"""

THIRD = """### Exercise 3 · Take one away

*Medium, 2 minutes.*

What is left of 4?
"""

QUESTION = """<div class="quiz">

**Which laboratory is the source{}?**

<details class="right"><summary>The one with the labels.</summary>

Right. Its labels train the model that the other one borrows.

</details>
<details class="wrong"><summary>The one without labels.</summary>

Not quite. Without labels there is nothing to train a first model on.

</details>
<details class="wrong"><summary>The one that is the{} nearest.</summary>

Not quite. How near it is says nothing of what it has to lend.

</details>
</div>
"""
QUIZ = "## Quiz\n\n" + "\n".join(
    QUESTION.format(*words) for words in [("", ""), (", now", " very"), (", then", " very")]
)

CLOSING = """## Take-aways

- the source lends
- the target borrows
- a band says what to expect

## On real patients

The same code ran on real patients elsewhere.

## Further reading

See {cite:p}`nobody`.
"""


FOLDED = {"outputs_hidden": True, "source_hidden": True}
PROMPTS = {"code_prompt_show": "Show the solution", "code_prompt_hide": "Hide the solution"}


def code(source: str, *tags: str) -> NotebookNode:
    """Return a cell; so short a lesson goes into the slides as far as it can be seen."""
    metadata: dict[str, object] = {"tags": list(tags)}
    if "solution" in tags:
        metadata |= {"mystnb": PROMPTS, "jupyter": FOLDED}
    elif "remove-cell" in tags:
        metadata |= {"jupyter": {"source_hidden": True} if "colab" in tags else FOLDED}
    elif "hide-input" in tags:
        metadata |= {"tags": [*tags, "slide"], "jupyter": {"source_hidden": True}}
    else:
        metadata |= {"tags": [*tags, "slide"]}
    return new_code_cell(source, metadata=metadata)


def solution(source: str) -> NotebookNode:
    return code(source, "solution", "hide-cell")


def sample() -> NotebookNode:
    """Return a sound lesson, not run yet."""
    draw = 'plt.plot([3, noise[0]])\nplots.show("A line from three to the first random number.")'
    top = 'book.record("top", noise.max(), (1, 6), "Largest of the noise")'
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
        code('book.record("mean", noise.mean(), (-0.5, 0.5), "Mean of the noise")', "hide-input"),
        code(
            'book.record("spread", noise.std(), (0.5, 1.5), "Spread of the noise")\n' + top,
            "remove-cell",
        ),
        new_markdown_cell("Where does the line end?"),
        code(draw, "hide-input"),
        new_markdown_cell("**Figure 1.** It ends where noise does. Noise has no sense."),
        code("print(noise[1] > 100)", "fails-on-purpose"),
        new_markdown_cell(EXERCISE),
        solution(
            'twice = 2 * 4  # fill in\nbook.record("double", twice, (7.5, 8.5), "Twice the number")'
        ),
        new_markdown_cell(SECOND),
        solution(
            'half = 4 / 2  # fill in\nbook.record("half", half, (1.5, 2.5), "Half the number")'
        ),
        new_markdown_cell(THIRD),
        solution('book.record("less", 4 - 1, (2.5, 3.5), "One less")'),
        new_markdown_cell(QUIZ),
        new_markdown_cell(CLOSING),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def save(nb: NotebookNode, path: Path) -> Path:
    """Write the notebook to `path` and return it."""
    nbformat.write(nb, path)
    return path
