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
    from onnx import defs, helper, numpy_helper, shape_inference

    known = {key: value for key, value in zip(proto.input, inputs, strict=True) if key and value is not None}
    types = {key: _type_proto(value.type) for key, value in known.items()}
    data = {
        key: numpy_helper.from_array(value.array, key)
        for key, value in known.items()
        if value.array is not None and value.array.size <= _DATA_LIMIT
    }
    schema = defs.get_schema(proto.op_type, max_inclusive_version=opset, domain="")
    try:
        if schema.has_type_and_shape_inference_function:
            imports = [helper.make_opsetid("", opset)]
            found = shape_inference.infer_node_outputs(
                schema, proto, types, data, opset_imports=imports, ir_version=ir_version
            )
        else:
            found = _infer_by_function_body(proto, types, data, opset, ir_version)
    except (shape_inference.InferenceError, RuntimeError, ValueError) as error:
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


def _infer_by_function_body(
    proto: onnx.NodeProto,
    types: dict[str, onnx.TypeProto],
    data: dict[str, onnx.TensorProto],
    opset: int,
    ir_version: int,
) -> dict[str, onnx.TypeProto]:
    from onnx import helper, shape_inference

    graph = helper.make_graph(
        [proto],
        "node",
        [helper.make_value_info(key, value) for key, value in types.items()],
        [helper.make_empty_tensor_value_info(key) for key in proto.output if key],
        list(data.values()),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    return {value.name: value.type for value in inferred.graph.output}


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
