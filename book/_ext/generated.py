"""What the book knows of itself, written into the pages that ask for it.

| directive | its argument | what it writes |
|---|---|---|
| `runs` | `full` or `fast` | what each chapter took, in its own run or the last rehearsal's |
| `exercises` | | the exercises of all chapters, by difficulty |
| `schedule` | a name in `book/teaching/schedules.yml` | the timetable of a workshop |
| `running-order` | | the slides of each lesson, one after the other |
| `cite` | | how to cite the book, from `CITATION.cff` |
| `{locked}` (a role) | a package | its version in the lock |

A picture of `pictures/` that has no description gets the one that was drawn with it. The title of a
lesson begins with the number of its file, wherever it is shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from PIL import Image
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective, SphinxRole

from book.tools.chapters.run import find_lessons, find_notebooks, load, title
from book.tools.pages.citation import about, citation
from book.tools.pages.pictures import PLOT
from book.tools.pages.site import HERE, RUNS
from book.tools.teach.index import by_difficulty
from book.tools.teach.notebooks import notes_on
from book.tools.teach.plain import Plain
from book.tools.teach.timetable import PLAN, lesson_of, running_order, schedule

LESSON = re.compile(r"notebooks/([A-Z]?\d+)_")
NONE = "*No rehearsal was run where these pages were built. `make rehearse` makes one.*"


def table(runs: Sequence[tuple[str, Mapping[str, Any] | None]]) -> str:
    """Return a table in Markdown, and where and when the runs were made.

    Parameters
    ----------
    runs
        Title of each chapter, and what `measured` returned; None if it was not measured.
    """
    rows = [
        "| Lesson | Seconds | Longest cell | Its seconds | Memory, MB | Cells of code |",
        "|---|--:|---|--:|--:|--:|",
    ]
    made: dict[str, list[str]] = {}
    for name, run in runs:
        if run is None:
            rows.append(f"| {name} | not measured | | | | |")
            continue
        words = run["longest_cell"].replace("`", "'").replace("|", "\\|")
        rows.append(
            f"| {name} | {run['seconds']:.0f} | `{words}` | {run['longest_seconds']:.1f} "
            f"| {run['peak_mb']:,} | {run['cells']} |"
        )
        place = f"{run['processor']}, {run['threads']} threads, {run['date']}"
        made.setdefault(place, []).append(name.split()[0])
    done = [run for _, run in runs if run is not None]
    if len(done) > 1:
        seconds, cells = (sum(run[what] for run in done) for what in ("seconds", "cells"))
        peak = max(run["peak_mb"] for run in done)
        rows.append(f"| **All** | {seconds:.0f} | | | {peak:,} | {cells} |")
    return "\n".join([*rows, "", *(f"- Lessons {', '.join(n)}: {p}." for p, n in made.items())])


class Generated(SphinxDirective):
    """A directive without content, whose Markdown a tool of the book writes."""

    @property
    def root(self) -> Path:
        """Where the chapters and pages lie that Sphinx reads."""
        return Path(self.env.srcdir)

    def runs(self, profile: str) -> Mapping[str, dict[str, Any] | None]:
        """Return what was measured of each chapter, by the stem of its name."""
        known: dict[str, Any] = json.loads((self.root / RUNS).read_text("utf-8"))[profile]
        return known

    def markdown(self) -> str:
        """Return the text; a ValueError says what hinders it."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        try:
            text = self.markdown()
        except ValueError as problem:
            raise self.error(str(problem)) from problem
        around = nodes.Element()
        lines = StringList(text.splitlines(), self.env.docname)
        self.state.nested_parse(lines, 0, around, match_titles=True)
        return list(around.children)


class Runs(Generated):
    """What the chapters took to run."""

    required_arguments = 1

    def markdown(self) -> str:
        (profile,) = self.arguments
        runs = self.runs(profile)
        if profile == "fast" and not any(runs.values()):
            return NONE
        return table([(title(path), runs[path.stem]) for path in find_notebooks(self.root)])


class Exercises(Generated):
    """The exercises of all chapters by difficulty."""

    def markdown(self) -> str:
        return by_difficulty({path.stem: load(path) for path in find_lessons(self.root)})


class Schedule(Generated):
    """The timetable of a workshop."""

    required_arguments = 1

    def markdown(self) -> str:
        found = [lesson_of(p.stem, load(p), notes_on(p)) for p in find_lessons(self.root)]
        plans = (self.root / PLAN).read_text("utf-8")
        return schedule(plans, self.arguments[0], {lesson.stem: lesson for lesson in found})


class RunningOrder(Generated):
    """The slides of each lesson, one after the other."""

    def markdown(self) -> str:
        plain = Plain(self.root, beside=".html")
        tables = (
            running_order(path.stem, plain.notebook(load(path)), notes_on(path))
            for path in find_lessons(self.root)
        )
        return "\n\n".join(tables)


class Cite(Generated):
    """How to cite the book."""

    def markdown(self) -> str:
        return citation(about(self.root / "CITATION.cff"))


class Locked(SphinxRole):
    """The version of a package in the lock, of each where it depends on the Python."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        lock = (HERE / "requirements.txt").read_text("utf-8")
        found = re.findall(rf"^{re.escape(self.text)}==(\S+)", lock, flags=re.MULTILINE)
        if found:
            return [nodes.Text(" or ".join(dict.fromkeys(found)))], []
        wrong = f"requirements.txt locks no package {self.text!r}"
        return [], [self.inliner.reporter.error(wrong, line=self.lineno)]


class DescribePictures(SphinxTransform):
    """Give a picture that a tool has drawn the words that were drawn with it."""

    default_priority = 4  # before translators are shown what there is (5)

    def apply(self, **_: Any) -> None:
        page = Path(self.env.doc2path(self.env.docname))
        for image in self.document.findall(nodes.image):
            if image.get("alt") or not image["uri"].startswith("pictures/"):
                continue
            with Image.open(page.parent / image["uri"]) as picture:
                picture.load()
                image["alt"] = picture.info["Description"]
                image["classes"] += [PLOT] * (picture.info["Kind"] == "plot")
            source = image.parent.rawsource
            image.parent.rawsource = source.replace("![](", f"![{image['alt']}](")


class NumberLessons(SphinxTransform):
    """Put the number of a lesson's file before its title."""

    default_priority = 25  # after translators' titles have come (20)

    def apply(self, **_: Any) -> None:
        found = LESSON.match(self.env.docname)
        title = next(iter(self.document.findall(nodes.title)), None)
        if found and title is not None and self.app.builder.name != "gettext":
            title.insert(0, nodes.Text(f"{found[1]} · "))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    directives = {"runs": Runs, "exercises": Exercises, "schedule": Schedule, "cite": Cite}
    directives["running-order"] = RunningOrder
    for name, directive in directives.items():
        app.add_directive(name, directive)
    app.add_role("locked", Locked())
    app.add_transform(DescribePictures)
    app.add_transform(NumberLessons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
