"""The schedule dialect: mappings of links and of groups of links as attributes."""

from __future__ import annotations

from xdsl.ir import Dialect

from dialects.fused_attribute import FusedAttr
from dialects.gemm_live import LiveAttr
from dialects.gemm_mapping import GemmAttr
from dialects.schedule import HostAttr, LoopAttr, MappingAttr, RowStationaryAttr, SearchAttr

SCHEDULE = Dialect(
    "schedule", [], [MappingAttr, LoopAttr, RowStationaryAttr, SearchAttr, HostAttr, FusedAttr, GemmAttr, LiveAttr]
)
