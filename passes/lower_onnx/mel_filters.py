"""MelWeightMatrix: triangles along the spectrum whose corners are computed from rates that only a run has."""

from __future__ import annotations

import math

import numpy as np

from dialects.element_types import numpy_dtype_of
from passes.lower_onnx.arithmetic import Value
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import table_within_limit
from passes.lower_onnx.declared_results import unless
from passes.lower_onnx.lowering import lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor

_MELS = 2595 / math.log(10)
_BREAK = 700.0
"""Hertz and mels: mel = 2595 * log10(1 + hertz / 700)."""


@lowering(
    "MelWeightMatrix",
    constraints=(table_within_limit("the result", lambda node: math.prod(node.result_shape())),),
    declared_extents=True,
)
def mel_weight_matrix(node: Node, chain: Chain) -> Tensor:
    """some links on vectors of corners and one table of the result's size; a constant where all inputs are"""
    bins, length, rate, low, high = (Value.input(chain, node, index) for index in range(5))
    rows, columns = node.result_shape()
    is_other = 1 - (bins.equals(columns) & (length / 2 + 1).equals(rows))
    length = Value(chain, unless(chain, is_other, length.tensor)).as_type(np.float32)
    lowest, highest = ((edge.as_type(np.float32) / _BREAK + 1.0).apply("log") * _MELS for edge in (low, high))
    mels = (highest - lowest) / (columns + 2) * np.arange(columns + 2) + lowest
    hertz = ((mels / _MELS).apply("exp") - 1.0) * _BREAK
    corners = (hertz * (length + 1.0) / rate.as_type(np.float32)).apply("floor")
    left, middle, right = (corners[at : at + columns] for at in range(3))
    places = Value(chain, np.arange(rows, dtype=np.float32).reshape(-1, 1))
    # A side without width still has its corner.
    rising = (places - left + middle.equals(left)) / (middle - left).at_least(1.0)
    falling = (right - places + right.equals(middle)) / (right - middle).at_least(1.0)
    weights = rising.at_most(falling).at_least(0.0).at_most(1.0)
    return weights.as_type(numpy_dtype_of(node.result_type())).tensor


MEL_FILTERS = (*mel_weight_matrix,)
