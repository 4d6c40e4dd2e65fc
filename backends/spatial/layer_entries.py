"""What a program says of a placed layer, for people and for explanations: its kind, mapping, search and work."""

from __future__ import annotations

from typing import cast

from backends.program import LayerWork, SearchEntry
from backends.segments import SEGMENT
from dialects.gconv import PASS, GConv
from dialects.gemm_mapping import GemmAttr
from dialects.host_segment import SegmentOp
from dialects.multicore_mapping import CrossbarsAttr, VectorAttr
from dialects.schedule import HostAttr, MappingAttr
from dialects.spatial import BufferOp, LayerOp
from passes.work import ATTRIBUTES


def work_entry(op: LayerOp, buffers: dict[BufferOp, str]) -> LayerWork:
    """What a layer computes, as attributes in IR text."""
    tensors = tuple(buffers[cast(BufferOp, value.owner)] for value in op.tensors)
    return LayerWork(tensors, **{name: str(op.properties[name]) for name in ATTRIBUTES if name in op.properties})


def kind_of_layer(op: LayerOp | SegmentOp) -> str:
    """A short word for what a layer does, and who does it if that is not the array."""
    if isinstance(op, SegmentOp):
        return SEGMENT
    return f"host {_kind(op.spec)}" if isinstance(op.mapping, HostAttr) else _kind(op.spec)


def mapping_text(op: LayerOp | SegmentOp) -> str:
    """The nodes of a layer's mapping, or `host`."""
    if isinstance(op, SegmentOp):
        return ""
    match op.mapping:
        case MappingAttr() | GemmAttr():
            return str(op.mapping.data)
        case HostAttr():
            return "host"
        case CrossbarsAttr() | VectorAttr():
            return str(op.mapping)
        case _:
            return ""


def search_entry(op: LayerOp | SegmentOp) -> SearchEntry | None:
    """How good a layer's mapping is, if it was searched for."""
    if isinstance(op, SegmentOp) or op.search is None:
        return None
    found = op.search.data
    return SearchEntry(found.objective.value, found.space.value, found.gap)


def _kind(spec: GConv) -> str:
    """A short word for what a layer does."""
    if spec.is_multiply_accumulate:
        return "conv" if any(dim.is_window for dim in spec.dims) else "matmul"
    if any(dim.ks > 1 for dim in spec.dims):
        return "pool" if any(dim.is_window for dim in spec.dims) else "reduce"
    return "move" if spec.main == PASS and not spec.post and not spec.pre else "map"
