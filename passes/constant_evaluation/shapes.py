"""Evaluators of the operators that move or make data: shape arithmetic is made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dialects.onnx.values import Array
from passes.constant_evaluation.node import FOLD_LIMIT, CannotEvaluateError, Evaluator, Node


def axes_of(node: Node, input_index: int) -> tuple[int, ...] | None:
    """The axes of a node: an attribute in older versions, an input in newer ones."""
    given = node.input_integers(input_index)
    return node.integers("axes") if given is None else given


def _constant(node: Node) -> Sequence[Array]:
    for name, dtype in (("value_float", np.float32), ("value_int", np.int64)):
        if name in node.attributes:
            return [np.array(node.attributes[name], dtype)]
    for name, dtype in (("value_floats", np.float32), ("value_ints", np.int64)):
        if name in node.attributes:
            return [np.array(node.attributes[name], dtype).reshape(-1)]
    value = node.attributes.get("value")
    if isinstance(value, np.ndarray):
        return [value]
    raise CannotEvaluateError("the constant is not a tensor of numbers")


def _constant_of_shape(node: Node) -> Sequence[Array]:
    value = node.attribute("value")
    fill: Array = np.zeros(1, np.float32) if not isinstance(value, np.ndarray) else value
    return [np.full(node.input_integers(0) or (), fill.reshape(-1)[0], fill.dtype)]


def _reshape(node: Node) -> Sequence[Array]:
    data = node.array(0)
    target = node.input_integers(1)
    if target is None:
        target = node.integers("shape") or ()
    if not node.integer("allowzero"):
        target = tuple(data.shape[i] if extent == 0 else extent for i, extent in enumerate(target))
    return [data.reshape(target)]


def _flatten(node: Node) -> Sequence[Array]:
    data = node.array(0)
    axis = node.integer("axis", 1)
    axis += data.ndim if axis < 0 else 0
    return [data.reshape(math.prod(data.shape[:axis]), math.prod(data.shape[axis:]))]


def _squeeze(node: Node) -> Sequence[Array]:
    axes = axes_of(node, 1)
    return [np.squeeze(node.array(0), axes)]


def _unsqueeze(node: Node) -> Sequence[Array]:
    return [np.expand_dims(node.array(0), axes_of(node, 1) or ())]


def _transpose(node: Node) -> Sequence[Array]:
    return [np.transpose(node.array(0), node.integers("perm"))]


def _concat(node: Node) -> Sequence[Array]:
    return [np.concatenate(node.arrays(), node.integer("axis", 1))]


def _gather(node: Node) -> Sequence[Array]:
    data, axis = node.array(0), node.integer("axis")
    return [np.take(data, node.array(1).astype(np.int64), axis=axis)]


def _slice(node: Node) -> Sequence[Array]:
    data = node.array(0)
    starts = node.input_integers(1)
    ends = node.input_integers(2)
    if starts is None or ends is None:
        starts, ends = node.integers("starts") or (), node.integers("ends") or ()
    axes = axes_of(node, 3)
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = node.input_integers(4) or (1,) * len(starts)
    index: list[slice] = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[axis] = slice(start, end, step)
    return [data[tuple(index)]]


def _split(node: Node) -> Sequence[Array]:
    data, axis, count = node.array(0), node.integer("axis"), len(node.results)
    sizes = node.input_integers(1) or node.integers("split")
    if sizes is None:
        chunk = -(-data.shape[axis] // count)
        sizes = (chunk,) * (count - 1) + (data.shape[axis] - chunk * (count - 1),)
    if sum(sizes) != data.shape[axis] or len(sizes) != count:
        raise CannotEvaluateError("the parts do not make up the whole")
    return np.split(data, np.cumsum(sizes)[:-1].tolist(), axis)


def _expand(node: Node) -> Sequence[Array]:
    data, target = node.array(0), node.input_integers(1) or ()
    return [np.broadcast_to(data, np.broadcast_shapes(data.shape, target))]


def _tile(node: Node) -> Sequence[Array]:
    return [np.tile(node.array(0), node.input_integers(1) or ())]


def _range(node: Node) -> Sequence[Array]:
    start, limit, delta = (node.array(index).reshape(()) for index in range(3))
    count = max(math.ceil((limit.item() - start.item()) / delta.item()), 0)
    if count > FOLD_LIMIT:  # the type of a range of floats may not be known
        raise CannotEvaluateError("the range is too long")
    return [start + np.arange(count, dtype=start.dtype) * delta]


def _identity(node: Node) -> Sequence[Array]:
    return [node.array(0)]


EVALUATORS: Mapping[str, Evaluator] = {
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": _identity,
    "Range": _range,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}


def _shape_of(node: Node) -> Array | None:
    value = node.inputs[0] if node.inputs else None
    if value is None:
        return None
    end: Any = node.attribute("end")
    return np.array(value.type.shape[node.integer("start") : end], np.int64)


def _size_of(node: Node) -> Array | None:
    value = node.inputs[0] if node.inputs else None
    return None if value is None else np.array(value.type.size, np.int64)


def _eye_like(node: Node) -> Array | None:
    (result,) = node.results
    if result is None or len(result.shape) != 2 or result.size > FOLD_LIMIT:
        return None
    return np.eye(*result.shape, node.integer("k"), result.dtype)


OF_TYPES: Mapping[str, Callable[[Node], Array | None]] = {"EyeLike": _eye_like, "Shape": _shape_of, "Size": _size_of}
"""Operators whose result needs only the types of inputs; None if that is not known."""
