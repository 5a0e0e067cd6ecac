"""Every figure of the book: curves, pictures, the explorer of thresholds; each with its text."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
