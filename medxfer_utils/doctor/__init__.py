"""Is everything there that the lessons need? `python -m medxfer_utils` asks it.

Not a lazy face like the others: it has to work in a Python without a single package.
"""

from medxfer_utils.doctor.checks import Outcome
from medxfer_utils.doctor.report import main, outcomes

__all__ = ["Outcome", "main", "outcomes"]
