"""Types of the tensors of a node: inferred, narrowed to what the IR holds, compared with what the model declares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from xdsl.dialects.builtin import NoneType, TensorType
from xdsl.ir import Attribute, SSAValue

from compiler.importer.inputs import MOST_ELEMENTS
from compiler.importer.loading import STAGE
from compiler.importer.nodes import ReadNode
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.element_types import element_type_of, numpy_dtype_of, tensor_type
from dialects.onnx import KnownValue, OnnxOp, ValueType
from dialects.onnx.inference import NotATensorError, ShapeContradictionError, infer_results

if TYPE_CHECKING:
    import onnx


def runtime_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The element type that a value has at run time: floats other than float32 become float32."""
    return np.dtype(np.float32) if dtype.name in ("float16", "bfloat16", "float64") else dtype


def infer(
    node: ReadNode, operation: type[OnnxOp], inputs: tuple[KnownValue | None, ...]
) -> tuple[ValueType | None, ...]:
    """Result types of a node. Raises `CatenaError`: CAT-M003 for a contradiction, CAT-U002 for other than tensors."""
    if operation.op_type == "Constant":
        return (None,)
    try:
        return infer_results(node.proto, operation.since_version, inputs)
    except ShapeContradictionError as error:
        code, message = "CAT-M003", f"shape inference of {operation.op_type} failed: {error}"
    except NotATensorError as error:
        code, message = "CAT-U002", f"{operation.op_type} makes something else than a tensor: {error}"
    types = ", ".join(str(value.type) for value in inputs if value is not None)
    raise CatenaError(Diagnostic(code, message, stage=STAGE, node=node.name, found=types))


def all_constant(inputs: Iterable[KnownValue | None]) -> bool:
    """Whether the words of all inputs that are given are known."""
    return all(value is None or value.array is not None for value in inputs)


def has_double(node: ReadNode, inputs: Iterable[KnownValue | None]) -> bool:
    """Whether a node casts to float64 or uses a constant of that type."""
    from onnx import TensorProto

    constants = (value.array for value in inputs if value is not None and value.array is not None)
    return node.attributes.get("to") == TensorProto.DOUBLE or any(each.dtype == np.float64 for each in constants)


def narrowed(inputs: Iterable[KnownValue | None]) -> tuple[KnownValue | None, ...]:
    """The inputs with float64 constants as float32."""
    return tuple(
        KnownValue.of(value.array.astype(np.float32))
        if value is not None and value.array is not None and value.array.dtype == np.float64
        else value
        for value in inputs
    )


def result_type(node: ReadNode, name: str, result: ValueType | None, may_be_declared: bool) -> Attribute:
    """The IR type of an output.

    Raises `CatenaError`: CAT-U002 if its shape is not known or too large, or its type not supported, CAT-M003 for a
    negative extent.

    `may_be_declared` says whether the shape would do as a declaration of the model.
    """
    if not name:
        return NoneType()
    if result is None:
        raise CatenaError(
            Diagnostic(
                "CAT-U002",
                f"the shape of output {name!r} of {node.proto.op_type} is not known before run time",
                stage=STAGE,
                node=node.name,
                expected="a shape that follows from the shapes of the inputs"
                + (", or that the model declares" if may_be_declared else ""),
                hint="it depends on the values of a run-time tensor; "
                + (f"declare it (value_info of {name!r}), or " if may_be_declared else "")
                + "cut the model before this node",
            )
        )
    if any(extent < 0 for extent in result.shape):
        message = f"output {name!r} of {node.proto.op_type} has a negative extent"
        raise CatenaError(Diagnostic("CAT-M003", message, stage=STAGE, node=node.name, found=str(result)))
    if result.size > MOST_ELEMENTS:
        raise CatenaError(
            Diagnostic(
                "CAT-U002",
                f"output {name!r} of {node.proto.op_type} is too large",
                stage=STAGE,
                node=node.name,
                expected=f"at most {MOST_ELEMENTS} elements",
                found=f"{result}, {result.size} elements",
            )
        )
    try:
        return tensor_type(element_type_of(result.dtype), result.shape)
    except TypeError as error:
        raise CatenaError(unsupported_type(f"output {name!r}", result.dtype, node.name)) from error


def not_folded(node: ReadNode, expected: str, found: str) -> Diagnostic:
    """The problem of a node of constants whose result is too large to be computed at compile time (CAT-U002)."""
    return Diagnostic(
        "CAT-U002",
        f"the result of {node.proto.op_type} is too large to be computed at compile time",
        stage=STAGE,
        node=node.name,
        expected=expected,
        found=found,
    )


def unsupported_type(what: str, found: object, node: str = "") -> Diagnostic:
    """The problem of a tensor whose elements the IR cannot hold (CAT-U002)."""
    return Diagnostic(
        "CAT-U002",
        f"the element type of {what} is not supported",
        stage=STAGE,
        node=node,
        expected="float, integer or bool",
        found=str(found),
    )


def contradictions(declared: onnx.ValueInfoProto, value: SSAValue, may_be_larger: bool) -> Iterator[Diagnostic]:
    """Where the type that the model declares for an output is not the one that follows from its nodes.

    Extents that are declared larger pass if they may be: older tools count windows of pools that nothing computes.
    """
    kind = value.type
    if declared.type.WhichOneof("value") != "tensor_type" or not isinstance(kind, TensorType):
        return
    tensor = declared.type.tensor_type
    extents = [dimension.dim_value or None for dimension in tensor.shape.dim]
    shape = kind.get_shape()
    same_shape = not tensor.HasField("shape") or (
        len(extents) == len(shape)
        and all(
            extent in (None, found) or (may_be_larger and extent > found)
            for extent, found in zip(extents, shape, strict=True)
        )
    )
    dtype_there = declared_dtype(tensor.elem_type)
    dtype = numpy_dtype_of(kind.element_type)
    if not same_shape or (dtype_there is not None and runtime_dtype(dtype_there) != dtype):
        yield Diagnostic(
            "CAT-M003",
            f"output {declared.name!r} is declared with another type than its node gives it",
            stage=STAGE,
            expected=f"{dtype_there} {extents}",
            found=f"{dtype} {list(shape)}",
        )


def declared_dtype(element_type: int) -> np.dtype[Any] | None:
    """The NumPy type of a `TensorProto.DataType`, None for an undefined one.

    Raises `CatenaError` (CAT-M001) for a number that stands for no type.
    """
    from onnx import helper

    try:
        return np.dtype(helper.tensor_dtype_to_np_dtype(element_type)) if element_type else None
    except KeyError as error:
        message = f"{element_type} is the number of no element type"
        raise CatenaError(Diagnostic("CAT-M001", message, stage=STAGE)) from error
