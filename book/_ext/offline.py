"""Keep the pages whole without a network: no Thebe.

The theme brings the extension sphinx-thebe with it, which adds to every page a script that would
load code from another host.
"""

from __future__ import annotations

from sphinx.application import Sphinx
from sphinx.config import Config


def remove_thebe(app: Sphinx, _config: Config) -> None:
    """Let no handler of sphinx-thebe hear of any event, and forget its style sheet."""
    styles = app.registry.css_files
    styles[:] = [style for style in styles if "thebe" not in style[0]]
    for listeners in app.events.listeners.values():
        for listener in list(listeners):
            if listener.handler.__module__.startswith("sphinx_thebe"):
                app.events.disconnect(listener.id)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("config-inited", remove_thebe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
