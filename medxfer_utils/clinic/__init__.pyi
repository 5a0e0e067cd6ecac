# fmt: off
# ruff: noqa: I001
from .patients import Clinic as Clinic, Site as Site, ideal_auroc as ideal_auroc
from .patients import ideal_logit as ideal_logit, lesions as lesions, simulate as simulate
from .patients import stream as stream
from .scanner import MU_WATER as MU_WATER, PHOTONS as PHOTONS
