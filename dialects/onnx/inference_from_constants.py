"""Result types that ONNX's own inference functions leave open: most follow from constants that they do not look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dialects.onnx.values import KnownValue, ValueType

if TYPE_CHECKING:
    import onnx

Known = Sequence[KnownValue | None]
Results = tuple[ValueType | None, ...]


def completed(node: onnx.NodeProto, inputs: Known, results: Results) -> Results:
    """The result types of a node, with those that ONNX leaves open filled in where constants fix them."""
    rule = _RULES.get(node.op_type)
    return results if rule is None or None not in results else rule(node, inputs) or results


def _unpooled(node: onnx.NodeProto, inputs: Known) -> Results | None:
    """MaxUnpool: the shape is an input."""
    data, shape = inputs[0], inputs[2] if len(inputs) > 2 else None
    if data is None or shape is None or shape.array is None or shape.array.size != len(data.type.shape):
        return None
    return (ValueType(data.type.dtype, tuple(int(extent) for extent in shape.array.reshape(-1))),)


def _compressed(node: onnx.NodeProto, inputs: Known) -> Results | None:
    """Compress: as many places stay as the condition chooses. None if it chooses places that do not exist."""
    data, condition = inputs
    if data is None or condition is None or condition.array is None:
        return None
    axis = next((each.i for each in node.attribute if each.name == "axis"), None)
    shape = data.type.shape if axis is not None else (math.prod(data.type.shape),)
    along = axis or 0
    if not -len(shape) <= along < len(shape) or condition.array.reshape(-1)[shape[along] :].any():
        return None
    extents = list(shape)
    extents[along] = int(np.count_nonzero(condition.array))
    return (ValueType(data.type.dtype, tuple(extents)),)


def _gathered(node: onnx.NodeProto, inputs: Known) -> Results | None:
    """GatherND: an index of one vector, with a component for every dimension, names a scalar."""
    data, index = inputs
    if data is None or index is None or index.type.shape != (len(data.type.shape),):
        return None
    return (ValueType(data.type.dtype, ()),)


_RULES: Mapping[str, Callable[[onnx.NodeProto, Known], Results | None]] = {
    "Compress": _compressed,
    "GatherND": _gathered,
    "MaxUnpool": _unpooled,
}
