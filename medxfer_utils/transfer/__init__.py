"""Strategies, several hospitals as sources, a gate against harm, and scores of sources."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
