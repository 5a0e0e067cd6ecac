"""What holds for all tests."""

from hypothesis import settings

# A busy machine is slow, and that is no fault of the code.
settings.register_profile("book", deadline=None)
settings.load_profile("book")
