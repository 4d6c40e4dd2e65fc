"""The numerics of one product on a crossbar: encodings, converters and the physics of cells and wires.

Everything is optional and off unless asked for; what is left is the exact integer product.
"""

from backends.rram.crossbar.converters import Adc, AdcRange, Subtraction, lossless_bits
from backends.rram.crossbar.crossbar import Crossbar, Format
from backends.rram.crossbar.physics import Deviation, DeviationModel, Drift, Physics, StuckCells

__all__ = [
    "Adc",
    "AdcRange",
    "Crossbar",
    "Deviation",
    "DeviationModel",
    "Drift",
    "Format",
    "Physics",
    "StuckCells",
    "Subtraction",
    "lossless_bits",
]
