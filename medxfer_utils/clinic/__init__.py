"""The virtual CT clinic: simulated patients, their signs, tissue, scans, records and reports."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
