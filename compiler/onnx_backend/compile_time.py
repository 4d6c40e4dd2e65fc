"""Which inputs of a model must be known when it is compiled: shapes, axes, pads and k, and no others.

A chain is static: these are part of it. A graph input that is one of those, or from which one is computed, is a
constant of the compiled model; every other one is a run-time input. Where other inputs say how large a result is (the
ends of a slice, scales, bounds, lengths, trip counts), the shape that the model declares for the result has to be
static, and runs check that it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from types import MappingProxyType

import onnx

_SHAPE = "the shape of the result"
_AXES = "the axes that are worked on"
_PADS = "how much is padded"

_REDUCTIONS = (
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
)

COMPILE_TIME: Mapping[tuple[str, int], str] = MappingProxyType(
    {
        ("AffineGrid", 1): _SHAPE,
        ("CenterCropPad", 1): _SHAPE,
        ("Col2Im", 1): _SHAPE,
        ("Col2Im", 2): "the shape of a block",
        ("ConstantOfShape", 0): _SHAPE,
        ("CumProd", 1): _AXES,
        ("CumSum", 1): _AXES,
        ("DFT", 2): _AXES,
        ("Expand", 1): _SHAPE,
        ("MaxUnpool", 2): _SHAPE,
        ("Pad", 1): _PADS,
        ("Pad", 3): _AXES,
        **{(op_type, 1): _AXES for op_type in _REDUCTIONS},
        ("Reshape", 1): _SHAPE,
        ("Resize", 3): _SHAPE,
        ("Slice", 3): _AXES,
        ("Split", 1): "the extents of the results along the axis, a part of their shapes",
        ("Squeeze", 1): _AXES,
        ("Tile", 1): "the shape of the result, in multiples of the input's",
        ("TopK", 1): "k, an extent of the results",
        ("Trilu", 1): "k, the diagonal",
        ("Unsqueeze", 1): _AXES,
    }
)
"""Why an input of an operator, by its position, must be known at compile time."""

DATA_FREE = ("EyeLike", "Shape", "Size")
"""Operators whose result follows from the shape of what they are given."""


def compile_time_inputs(model: onnx.ModelProto) -> tuple[str, ...]:
    """The graph inputs that must be known, in the model's order.

    An input counts if it is used where `COMPILE_TIME` says so, or if such a value is computed from it; in the latter
    case only if it can be a number or a list of integers, never a tensor of data.
    """
    nodes = list(_nodes(model.graph.node))
    direct = {name for node in nodes for index, name in enumerate(node.input) if (node.op_type, index) in COMPILE_TIME}
    needed = set(direct)
    known = 0
    while known != len(needed):
        known = len(needed)
        for node in reversed(nodes):
            needed.update(_sources(node, needed))
    return tuple(
        value.name
        for value in model.graph.input
        if value.name in direct or (value.name in needed and _may_be_parameter(value))
    )


def _nodes(nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The nodes, and those of the graphs in their attributes, which may use values from outside."""
    for node in nodes:
        yield node
        for graph in _graphs(node):
            yield from _nodes(graph.node)


def _graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _sources(node: onnx.NodeProto, needed: Set[str]) -> Iterator[str]:
    """What a node computes needed values from."""
    is_needed = not needed.isdisjoint(node.output)
    if is_needed and node.op_type not in DATA_FREE:
        yield from node.input
    for graph in _graphs(node):
        if is_needed:
            yield from (value.name for value in graph.output)
        # The inputs of a body stand for those of the node, in order.
        yield from (name for value, name in zip(graph.input, node.input, strict=False) if value.name in needed)


def _may_be_parameter(value: onnx.ValueInfoProto) -> bool:
    tensor = value.type.tensor_type
    rank = len(tensor.shape.dim)
    return rank == 0 or (rank == 1 and tensor.elem_type in (onnx.TensorProto.INT32, onnx.TensorProto.INT64))
