"""What stock `xdsl-opt` finds of Catena, through the entry point group `xdsl.universe`."""

from __future__ import annotations

from xdsl.universe import Universe

from dialects.registry import available_dialects
from passes.registry import available_passes

UNIVERSE = Universe(all_dialects=available_dialects(), all_passes=available_passes())
