"""Result types of one node from the types of its inputs and the words of its constant ones."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from compiler.importer.loading import STAGE
from dialects.diagnostics import CatenaError, Diagnostic
from passes.constant_evaluation import KnownValue, ValueType

if TYPE_CHECKING:
    import onnx

_DATA_LIMIT = 4096
"""The most elements a constant may have to be shown to shape inference: shapes, axes, pads, scales."""


@functools.cache
def _type_proto(value_type: ValueType) -> onnx.TypeProto:
    from onnx import helper

    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value_type.dtype), list(value_type.shape))


def infer_results(
    name: str, proto: onnx.NodeProto, inputs: Sequence[KnownValue | None], opset: int, ir_version: int
) -> tuple[ValueType | None, ...]:
    """The type of every output of a node; None for one that is left out or that ONNX cannot infer.

    Raises `CatenaError`: CAT-M003 if the inputs contradict each other, CAT-U002 for outputs that are no tensors.
    """
    from onnx import checker, defs, helper, numpy_helper, shape_inference

    known = {key: value for key, value in zip(proto.input, inputs, strict=True) if key and value is not None}
    types = {key: _type_proto(value.type) for key, value in known.items()}
    data = {
        key: numpy_helper.from_array(value.array, key)
        for key, value in known.items()
        if value.array is not None and value.array.size <= _DATA_LIMIT
    }
    schema = defs.get_schema(proto.op_type, max_inclusive_version=opset, domain="")
    if not schema.has_type_and_shape_inference_function:
        return _without_inference_function(proto, inputs)
    imports = [helper.make_opsetid("", opset)]
    try:
        found = shape_inference.infer_node_outputs(
            schema, proto, types, data, opset_imports=imports, ir_version=ir_version
        )
    except (checker.ValidationError, shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise CatenaError(
            Diagnostic(
                "CAT-M003",
                f"shape inference of {proto.op_type} failed: {_first_line(error)}",
                stage=STAGE,
                node=name,
                found=", ".join(f"{key}: {_text(value.type)}" for key, value in known.items()),
            )
        ) from error
    return tuple(_value_type(name, proto, found.get(key)) if key else None for key in proto.output)


def _without_inference_function(
    proto: onnx.NodeProto, inputs: Sequence[KnownValue | None]
) -> tuple[ValueType | None, ...]:
    """Result types of the operator versions from opset 7 on for which ONNX has no inference function."""
    types = [value.type for value in inputs if value is not None]
    match proto.op_type:
        case "GroupNormalization" | "MeanVarianceNormalization":
            return (types[0],)
        case "GreaterOrEqual" | "LessOrEqual":
            try:
                shape = np.broadcast_shapes(*(value.shape for value in types))
            except ValueError:
                return (None,)
            return (ValueType(np.dtype(np.bool_), shape),)
        case _:
            return (None,) * len(proto.output)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _text(value_type: ValueType) -> str:
    return f"{value_type.dtype.name}{list(value_type.shape)}"


def _value_type(name: str, proto: onnx.NodeProto, found: onnx.TypeProto | None) -> ValueType | None:
    from onnx import helper

    kind = None if found is None else found.WhichOneof("value")
    if found is None or kind is None:
        return None
    if kind != "tensor_type":
        raise CatenaError(
            Diagnostic(
                "CAT-U002",
                f"{proto.op_type} makes something else than a tensor",
                stage=STAGE,
                node=name,
                expected="tensor",
                found=kind.removesuffix("_type"),
            )
        )
    tensor = found.tensor_type
    dimensions = tensor.shape.dim
    if not tensor.elem_type or not tensor.HasField("shape"):
        return None
    if not all(dimension.HasField("dim_value") for dimension in dimensions):
        return None
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return ValueType(dtype, tuple(dimension.dim_value for dimension in dimensions))
