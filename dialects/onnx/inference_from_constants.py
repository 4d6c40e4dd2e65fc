"""Result types that follow from constant inputs which ONNX's own inference functions do not look at."""

from __future__ import annotations

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
    """Compress: the condition says how many are kept."""
    data, condition = inputs[0], inputs[1]
    if data is None or condition is None or condition.array is None:
        return None
    kept = int(np.count_nonzero(condition.array))
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), None)
    if axis is None:
        return (ValueType(data.type.dtype, (kept,)),)
    shape = list(data.type.shape)
    shape[axis] = kept
    return (ValueType(data.type.dtype, tuple(shape)),)


_RULES: Mapping[str, Callable[[onnx.NodeProto, Known], Results | None]] = {
    "Compress": _compressed,
    "MaxUnpool": _unpooled,
}
