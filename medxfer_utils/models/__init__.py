"""One model, one learner, one trainer; what a network is made of, and what holds it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
