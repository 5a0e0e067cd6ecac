"""Leave out what would lead nowhere: Thebe without a network, buttons without an address.

The theme brings the extension sphinx-thebe with it, which adds to every page a script that would
load code from another host. As long as the book has no address, no button asks GitHub for it.
"""

from __future__ import annotations

from sphinx.application import Sphinx
from sphinx.config import Config

from book.tools.pages.address import UNKNOWN


def remove_thebe(app: Sphinx, _config: Config) -> None:
    """Let no handler of sphinx-thebe hear of any event, and forget its style sheet."""
    styles = app.registry.css_files
    styles[:] = [style for style in styles if "thebe" not in style[0]]
    for listeners in app.events.listeners.values():
        for listener in list(listeners):
            if listener.handler.__module__.startswith("sphinx_thebe"):
                app.events.disconnect(listener.id)


def remove_buttons(_app: Sphinx, config: Config) -> None:
    """Forget the theme's buttons that need the address of the repository, if it has none."""
    options = config.html_theme_options
    if options.get("repository_url") == UNKNOWN:
        config.html_theme_options = {
            name: value
            for name, value in options.items()
            if name != "launch_buttons" and "repository" not in name
        }


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("config-inited", remove_thebe)
    app.connect("config-inited", remove_buttons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
