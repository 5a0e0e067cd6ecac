"""What holds for all tests."""

import os

# Before NumPy is imported. On small matrices, several threads on busy cores wait for each other:
# a simulation of 4 seconds takes two minutes.
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

from hypothesis import settings  # noqa: E402

# A busy machine is slow, and that is no fault of the code.
settings.register_profile("book", deadline=None)
settings.load_profile("book")
