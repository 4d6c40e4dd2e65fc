"""Shape rules of operators that ONNX's inference functions do not check.

Each rule is a generator of short sentences, one for each contradiction between the shapes of an op.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import TensorType
from xdsl.ir import SSAValue

if TYPE_CHECKING:
    from dialects.onnx.operations import OnnxOp

Shape = tuple[int, ...]


def shape_problems(op: OnnxOp) -> Iterator[str]:
    """Every contradiction between the shapes of an op that passed the checks of its schema."""
    rule = _RULES.get(op.op_type)
    if rule is not None:
        yield from rule(op)


def _shape(value: SSAValue | None) -> Shape | None:
    match None if value is None else value.type:
        case TensorType(shape=extents):
            return tuple(extent.data for extent in extents)
        case _:
            return None


def _operand_shape(op: OnnxOp, index: int) -> Shape | None:
    return _shape(op.operands[index]) if index < len(op.operands) else None


def _convolution(op: OnnxOp, weight_index: int, bias_index: int) -> Iterator[str]:
    data, weight = _operand_shape(op, 0), _operand_shape(op, weight_index)
    if data is None or weight is None:
        return
    group = op.int_attribute("group", 1)
    if len(data) != len(weight) or len(data) < 3:
        yield f"input {list(data)} and weights {list(weight)} must have the same rank, at least 3"
        return
    if group < 1 or weight[1] * group != data[1]:
        yield f"{data[1]} input channels for weights of {weight[1]} channels in {group} groups"
    if group > 0 and weight[0] % group:
        yield f"{weight[0]} output channels cannot be divided into {group} groups"
    yield from _kernel(op, weight)
    yield from _vector(op, bias_index, "bias", weight[0])
    yield from _not_empty(op)


def _transposed_convolution(op: OnnxOp) -> Iterator[str]:
    data, weight = _operand_shape(op, 0), _operand_shape(op, 1)
    if data is None or weight is None:
        return
    group = op.int_attribute("group", 1)
    if len(data) != len(weight) or len(data) < 3:
        yield f"input {list(data)} and weights {list(weight)} must have the same rank, at least 3"
        return
    if weight[0] != data[1]:
        yield f"{data[1]} input channels for weights of {weight[0]} channels"
    if group < 1 or weight[0] % group:
        yield f"{weight[0]} input channels cannot be divided into {group} groups"
    yield from _kernel(op, weight)
    yield from _vector(op, 2, "bias", weight[1] * group)
    yield from _not_empty(op)


def _kernel(op: OnnxOp, weight: Shape) -> Iterator[str]:
    kernel = op.ints_attribute("kernel_shape", weight[2:])
    if kernel != weight[2:]:
        yield f"kernel_shape {list(kernel)} for weights {list(weight)}"


def _vector(op: OnnxOp, index: int, name: str, length: int) -> Iterator[str]:
    shape = _operand_shape(op, index)
    if shape is not None and shape != (length,):
        yield f"{name} has shape {list(shape)}, expected [{length}]"


def _not_empty(op: OnnxOp) -> Iterator[str]:
    data, result = _operand_shape(op, 0), _shape(op.results[0])
    if data is not None and result is not None and 0 in result and 0 not in data:
        yield f"the kernel is larger than the padded input {list(data)}"


def _per_channel(op: OnnxOp) -> Iterator[str]:
    data = _operand_shape(op, 0)
    if data is None:
        return
    channels = data[1] if len(data) > 1 else 1
    for index, parameter in enumerate(op.schema().inputs[1:], start=1):
        yield from _vector(op, index, parameter.name, channels)


def _gemm(op: OnnxOp) -> Iterator[str]:
    left, right, result = _operand_shape(op, 0), _operand_shape(op, 1), _shape(op.results[0])
    if left is None or right is None or len(left) != 2 or len(right) != 2:
        yield "the factors must be matrices"
        return
    inner_left = left[0] if op.int_attribute("transA", 0) else left[1]
    inner_right = right[1] if op.int_attribute("transB", 0) else right[0]
    if inner_left != inner_right:
        yield f"the inner extents differ: {inner_left} and {inner_right}"
    addend = _operand_shape(op, 2)
    if addend is not None and result is not None and not _broadcasts_to(addend, result):
        yield f"the addend {list(addend)} does not broadcast to {list(result)}"


def _slope(op: OnnxOp) -> Iterator[str]:
    data, slope = _operand_shape(op, 0), _operand_shape(op, 1)
    # Before version 7 a vector counted channels.
    if op.since_version >= 7 and data is not None and slope is not None and not _broadcasts_to(slope, data):
        yield f"the slope {list(slope)} does not broadcast to {list(data)}"


def _broadcasts_to(shape: Shape, target: Shape) -> bool:
    if len(shape) > len(target):
        return False
    return all(extent in (1, into) for extent, into in zip(reversed(shape), reversed(target), strict=False))


def _permutation(op: OnnxOp) -> Iterator[str]:
    data = _operand_shape(op, 0)
    if data is None:
        return
    perm = op.ints_attribute("perm", tuple(reversed(range(len(data)))))
    if sorted(perm) != list(range(len(data))):
        yield f"perm {list(perm)} is no permutation of the {len(data)} axes"


def _axis(op: OnnxOp) -> Iterator[str]:
    data = _operand_shape(op, 0)
    axis = op.int_attribute("axis", 0)
    if data is not None and not -len(data) <= axis <= len(data) - (op.since_version >= 13):
        yield f"axis {axis} is outside the {len(data)} axes of the input"


def _same_size(op: OnnxOp) -> Iterator[str]:
    data, result = _operand_shape(op, 0), _shape(op.results[0])
    if data is not None and result is not None and math.prod(data) != math.prod(result):
        yield f"{list(data)} and {list(result)} have different numbers of elements"


_RULES: Mapping[str, Callable[[OnnxOp], Iterator[str]]] = {
    "AveragePool": _not_empty,
    "BatchNormalization": _per_channel,
    "Conv": lambda op: _convolution(op, 1, 2),
    "ConvInteger": lambda op: _convolution(op, 1, len(op.operands)),
    "ConvTranspose": _transposed_convolution,
    "DepthToSpace": _same_size,
    "Flatten": _same_size,
    "Gemm": _gemm,
    "Hardmax": _axis,
    "InstanceNormalization": _per_channel,
    "LogSoftmax": _axis,
    "LpPool": _not_empty,
    "MaxPool": _not_empty,
    "PRelu": _slope,
    "QLinearConv": lambda op: _convolution(op, 3, 8),
    "Reshape": _same_size,
    "Softmax": _axis,
    "SpaceToDepth": _same_size,
    "Squeeze": _same_size,
    "Transpose": _permutation,
    "Unsqueeze": _same_size,
}
