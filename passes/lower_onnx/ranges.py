"""Range and the window functions: sequences of a declared length, computed from bounds that only a run has."""

from __future__ import annotations

import math

import numpy as np

from dialects.element_types import numpy_dtype_of
from passes.lower_onnx.arithmetic import Value
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.declared_results import is_not_count, is_outside, unless
from passes.lower_onnx.lowering import lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor

_TOLERANCE = 1e-4
"""How far a quotient of f32 numbers of some thousand may be from the number of steps."""

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
        broken = is_not_count(count, limit - start, delta)
    else:
        # Rounded up, that is the number of steps.
        broken = is_outside((limit - start) / delta, count - 1 + _TOLERANCE, count + _TOLERANCE)
    first = Value(chain, unless(chain, broken, start.tensor))
    return (first + delta * np.arange(count)).tensor


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
