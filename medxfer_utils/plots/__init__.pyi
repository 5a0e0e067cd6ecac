# fmt: off
# ruff: noqa: I001
from .curves import Curves as Curves, intervals as intervals, learning_curves as learning_curves
from .curves import paired_differences as paired_differences, reliability as reliability, roc as roc
from .explorer import threshold_explorer as threshold_explorer
from .figure import BLACK as BLACK, BLUE as BLUE, COLOURS as COLOURS, GREEN as GREEN
from .figure import OKABE_ITO as OKABE_ITO, REFERENCE as REFERENCE, SKY_BLUE as SKY_BLUE
from .figure import VERMILION as VERMILION
from .figure import kind as kind, mark as mark, rendered as rendered, show as show
from .figure import use_style as use_style
from .pictures import heat_map as heat_map, panels as panels, patches as patches
