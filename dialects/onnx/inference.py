"""Result types of one ONNX node, by ONNX's own inference functions."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dialects.onnx.inference_from_constants import completed
from dialects.onnx.native_errors import NATIVE_ERRORS, reason_of
from dialects.onnx.values import KnownValue, ValueType

if TYPE_CHECKING:
    import onnx

_DATA_LIMIT = 4096
"""The most elements a constant may have to be shown to shape inference: shapes, axes, pads, scales."""


_POOLS = frozenset({"AveragePool", "LpPool", "MaxPool"})
_POOLS_WITHOUT_EMPTY_WINDOWS = 22
"""The opset from which on the inference of pools drops windows that start in the padding after the input."""


class ShapeContradictionError(Exception):
    """The inputs and attributes of a node contradict each other."""


class NotATensorError(Exception):
    """An output of the node is a sequence, an optional or a sparse tensor."""


@functools.cache
def type_proto(value_type: ValueType) -> onnx.TypeProto:
    """The type as ONNX writes it."""
    from onnx import helper

    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value_type.dtype), list(value_type.shape))


def declared_type(value: onnx.ValueInfoProto) -> ValueType | None:
    """The type that a graph declares for one of its values, None if it is not that of a static tensor."""
    try:
        return _value_type(value.name, value.type)
    except NotATensorError:
        return None


def infer_results(
    node: onnx.NodeProto, since_version: int, inputs: Sequence[KnownValue | None]
) -> tuple[ValueType | None, ...]:
    """The type of every output of a node; None for one that is left out or whose shape cannot be inferred.

    `inputs` are what is known of `node.input`, one by one. Pools that round up (`ceil_mode`) follow opset 22 in every
    version, as ONNX Runtime does: a window that starts in the padding after the input does not count.
    Raises `ShapeContradictionError` and `NotATensorError`.
    """
    # The op's own version first: it refuses attributes that only later versions have.
    results = _infer_as_version(node, since_version, inputs)
    if since_version < _POOLS_WITHOUT_EMPTY_WINDOWS and _is_pool_rounding_up(node):
        return _infer_as_version(node, _POOLS_WITHOUT_EMPTY_WINDOWS, inputs)
    return results


def may_be_declared_larger(node: onnx.NodeProto, since_version: int, inputs: Sequence[KnownValue | None]) -> bool:
    """Whether ONNX infers more windows for this version of a pool than there are, and so may what a model declares.

    Raises `ShapeContradictionError` and `NotATensorError` as `infer_results` does.
    """
    if since_version >= _POOLS_WITHOUT_EMPTY_WINDOWS or not _is_pool_rounding_up(node):
        return False
    return _infer_as_version(node, since_version, inputs) != infer_results(node, since_version, inputs)


def _is_pool_rounding_up(node: onnx.NodeProto) -> bool:
    return node.op_type in _POOLS and any(each.name == "ceil_mode" and each.i for each in node.attribute)


def infer_open_results(
    node: onnx.NodeProto, since_version: int, inputs: Sequence[KnownValue | None]
) -> Mapping[str, onnx.TypeProto]:
    """What ONNX infers of the types of a node's outputs, open extents included; nothing if it has no function for it.

    Raises `ShapeContradictionError`.
    """
    from onnx import checker, defs, numpy_helper, shape_inference

    schema = defs.get_schema(node.op_type, max_inclusive_version=since_version, domain="")
    if not schema.has_type_and_shape_inference_function:
        return {}
    known = {name: value for name, value in zip(node.input, inputs, strict=True) if name and value is not None}
    if node.op_type == "Range":
        known = {name: _scalar(value) for name, value in known.items()}
    types = {name: type_proto(value.type) for name, value in known.items()}
    data = {
        name: numpy_helper.from_array(value.array, name)
        for name, value in known.items()
        if value.array is not None and value.array.size <= _DATA_LIMIT
    }
    try:
        return shape_inference.infer_node_outputs(schema, _with_defaults(node), types, data)
    except (checker.ValidationError, shape_inference.InferenceError, *NATIVE_ERRORS) as error:
        raise ShapeContradictionError(reason_of(error)) from error


def _infer_as_version(
    node: onnx.NodeProto, version: int, inputs: Sequence[KnownValue | None]
) -> tuple[ValueType | None, ...]:
    from onnx import defs

    schema = defs.get_schema(node.op_type, max_inclusive_version=version, domain="")
    if not schema.has_type_and_shape_inference_function:
        return completed(node, inputs, _without_inference_function(node, inputs))
    found = infer_open_results(node, version, inputs)
    results = tuple(_value_type(name, found.get(name)) for name in node.output)
    return completed(node, inputs, results)


def _with_defaults(node: onnx.NodeProto) -> onnx.NodeProto:
    """The node with attributes whose absence ONNX's inference takes for another value than their default."""
    if node.op_type != "STFT" or any(each.name == "onesided" for each in node.attribute):
        return node
    from onnx import NodeProto, helper

    explicit = NodeProto()
    explicit.CopyFrom(node)
    explicit.attribute.append(helper.make_attribute("onesided", 1))
    return explicit


def _scalar(value: KnownValue) -> KnownValue:
    """A tensor of one element without axes: runtimes take it as a number, and bodies of ONNX's functions rely on it."""
    if value.type.size != 1:
        return value
    return KnownValue(ValueType(value.type.dtype, ()), None if value.array is None else value.array.reshape(()))


def _without_inference_function(
    node: onnx.NodeProto, inputs: Sequence[KnownValue | None]
) -> tuple[ValueType | None, ...]:
    """Result types of the operator versions from opset 7 on for which ONNX has no inference function."""
    types = [value.type for value in inputs if value is not None]
    match node.op_type:
        case "GroupNormalization" | "MeanVarianceNormalization":
            return (types[0],)
        case "GreaterOrEqual" | "LessOrEqual":
            try:
                shape = np.broadcast_shapes(*(value.shape for value in types))
            except ValueError as error:
                raise ShapeContradictionError(str(error)) from error
            return (ValueType(np.dtype(np.bool_), shape),)
        case _:
            return (None,) * len(node.output)


def _value_type(name: str, found: onnx.TypeProto | None) -> ValueType | None:
    from onnx import helper

    kind = None if found is None else found.WhichOneof("value")
    if not name or found is None or kind is None:
        return None
    if kind != "tensor_type":
        raise NotATensorError(f"output {name!r} is of kind {kind.removesuffix('_type')}")
    tensor = found.tensor_type
    extents = tensor.shape.dim
    if not tensor.elem_type or not tensor.HasField("shape"):
        return None
    if not all(extent.HasField("dim_value") for extent in extents):
        return None
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return ValueType(dtype, tuple(extent.dim_value for extent in extents))
