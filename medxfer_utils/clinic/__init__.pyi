# fmt: off
# ruff: noqa: I001
from .patients import Clinic as Clinic, Site as Site, followed as followed
from .patients import ideal_auroc as ideal_auroc, ideal_logit as ideal_logit, lesions as lesions
from .patients import simulate as simulate, stream as stream
from .scanner import MU_WATER as MU_WATER, PHOTONS as PHOTONS
