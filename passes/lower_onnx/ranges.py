"""Range and the window functions: sequences of a declared length, computed from bounds that only a run has."""

from __future__ import annotations

import math

import numpy as np

from dialects.element_types import numpy_dtype_of
from passes.lower_onnx.arithmetic import Value, side_by_side
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.declared_results import is_not_count, unless
from passes.lower_onnx.lowering import lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.reduction import contracted
from passes.lower_onnx.tensor import Tensor

_COEFFICIENTS = {
    "HannWindow": (0.5, 0.5, 0.0),
    "HammingWindow": (25 / 46, 21 / 46, 0.0),
    "BlackmanWindow": (0.42, 0.5, 0.08),
}
"""a, b and c of the window a - b * cos(t) + c * cos(2 * t) over one turn t."""


@lowering("Range", declared_extents=True)
def range_(node: Node, chain: Chain) -> Tensor:
    """a few links, start + i * delta; a constant where all inputs are"""
    start, limit, delta = (Value.input(chain, node, index) for index in range(3))
    (count,) = node.result_shape()
    if start.dtype.kind in "iu":
        broken = is_not_count(count, limit.as_type(np.int64) - start, delta.as_type(np.int64))
    else:
        broken = _is_other_count(chain, count, start, limit, delta)
    first = Value(chain, unless(chain, broken, start.tensor))
    return (first + delta * np.arange(count)).tensor


def _is_other_count(chain: Chain, count: int, start: Value, limit: Value, delta: Value) -> Value:
    """1, as an integer, where floats take another number of steps; decided without rounding, as a sum is carried."""
    bounds = side_by_side(chain, [limit, start, delta], 0).tensor
    left = np.array([[1, -1, 1 - count], [1, -1, -count]], start.dtype)
    rest = Value(chain, contracted(chain, bounds, 0, chain.constant(left), 2)) * delta.apply("sign")
    return (1.0 - ((rest[0:1] > 0.0) & (rest[1:2] <= 0.0))).as_type(np.int32)


@lowering("HannWindow", "HammingWindow", "BlackmanWindow", declared_extents=True)
def window(node: Node, chain: Chain) -> Tensor:
    """a few links, cosines of the places; a constant where the size is"""
    size = Value.input(chain, node, 0)
    (count,) = node.result_shape()
    size = Value(chain, unless(chain, 1 - size.equals(count), size.tensor)).as_type(np.float32)
    period = size if node.integer("periodic", 1) else size - 1
    turn = np.arange(count, dtype=np.float32) / period * (2 * math.pi)
    a, b, c = _COEFFICIENTS[node.op_type]
    result = turn.apply("cos") * -b + a
    if c:
        result = result + (turn * 2).apply("cos") * c
    return result.as_type(numpy_dtype_of(node.result_type())).tensor


RANGES = (*range_,)
WINDOWS = (*window,)
