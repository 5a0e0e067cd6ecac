"""Keep the pages whole without a network: MathJax from our own files, and no Thebe.

The theme brings the extension sphinx-thebe with it, which adds to every page a script that would
load code from another host. MathJax is taken from the installed package sphinx-mathjax-offline.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

MATHJAX = "tex-svg-full.js"  # the one build of MathJax 3 with every font and TeX package inside


def remove_thebe(app: Sphinx, _config: Config) -> None:
    """Let no handler of sphinx-thebe hear of any event, and forget its style sheet."""
    styles = app.registry.css_files
    styles[:] = [style for style in styles if "thebe" not in style[0]]
    for listeners in app.events.listeners.values():
        for listener in list(listeners):
            if listener.handler.__module__.startswith("sphinx_thebe"):
                app.events.disconnect(listener.id)


def add_mathjax(app: Sphinx) -> None:
    """Copy MathJax into the site, before Sphinx asks for its checksum."""
    package = find_spec("sphinx-mathjax-offline")
    if package is None or package.origin is None:
        raise FileNotFoundError("The package sphinx-mathjax-offline is missing: run make book")
    script = Path(package.origin).parent / "static" / "mathjax" / MATHJAX
    target = Path(app.outdir) / "_static" / "mathjax" / MATHJAX
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(script.read_bytes())


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("config-inited", remove_thebe)
    app.connect("builder-inited", add_mathjax)
    app.config.mathjax_path = f"mathjax/{MATHJAX}"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
