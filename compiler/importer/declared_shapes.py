"""What a model declares of the shapes of its tensors, where inference leaves them open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from compiler.importer.inputs import is_tensor_of_numbers
from compiler.importer.loading import STAGE
from compiler.importer.nodes import ReadNode
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.onnx import KnownValue, OnnxOp, ValueType
from dialects.onnx.inference import declared_type, infer_open_results

if TYPE_CHECKING:
    import onnx

_Extents: TypeAlias = "list[int | None]"


def declared_results(
    node: ReadNode,
    operation: type[OnnxOp],
    inputs: Sequence[KnownValue | None],
    results: Sequence[ValueType | None],
    declared: Mapping[str, onnx.ValueInfoProto],
) -> tuple[ValueType | None, ...]:
    """The result types of a node whose inputs are fine, with declared extents where inference leaves some open.

    Raises `CatenaError` (CAT-M003) for a declaration that contradicts what is inferred.
    """
    from onnx import ValueInfoProto

    names = node.proto.output
    inferred = infer_open_results(node.proto, operation.since_version, inputs)
    completed: list[ValueType | None] = []
    for name, result in zip(names, results, strict=True):
        if result is None and name in declared and name in inferred:
            value = ValueInfoProto(name=name, type=inferred[name])
            complete(value, declared[name], node.name)
            result = declared_type(value)
        completed.append(result)
    return tuple(completed)


def complete(value: onnx.ValueInfoProto, declared: onnx.ValueInfoProto, node: str) -> None:
    """Give what is open in the shape of a tensor, its rank or some extents, the declared values.

    A shape in which nothing is open stays as it is. Declared extents of 0 are open: exporters write them for unknown
    ones. Raises `CatenaError` (CAT-M003) if what is known, which `node` makes, contradicts what is declared.
    """
    if not (value.type.HasField("tensor_type") and declared.type.tensor_type.HasField("shape")):
        return
    there: _Extents = [dimension.dim_value or None for dimension in declared.type.tensor_type.shape.dim]
    known = _known(value.type.tensor_type)
    if known is None:
        known = [None] * len(there)
    elif None not in known:
        return
    if not _agree(known, there):
        raise CatenaError(
            Diagnostic(
                "CAT-M003",
                f"tensor {value.name!r} is declared with another shape than its node gives it",
                stage=STAGE,
                node=node,
                expected=_text(there),
                found=_text(known),
            )
        )
    _declare(value, [other if mine is None else mine for mine, other in zip(known, there, strict=True)])


def is_open_tensor(value: onnx.ValueInfoProto) -> bool:
    """Whether a value is a tensor of numbers whose shape is not static."""
    known = _known(value.type.tensor_type)
    return is_tensor_of_numbers(value) and (known is None or None in known)


def _known(tensor: onnx.TypeProto.Tensor) -> _Extents | None:
    """The extents that inference found, None for an unknown rank."""
    if not tensor.HasField("shape"):
        return None
    return [dimension.dim_value if dimension.HasField("dim_value") else None for dimension in tensor.shape.dim]


def _agree(known: Sequence[int | None], there: Sequence[int | None]) -> bool:
    return len(known) == len(there) and all(
        mine is None or other is None or mine == other for mine, other in zip(known, there, strict=True)
    )


def _declare(value: onnx.ValueInfoProto, extents: Sequence[int | None]) -> None:
    from onnx import helper

    value.type.CopyFrom(helper.make_tensor_type_proto(value.type.tensor_type.elem_type, extents))


def _text(extents: Sequence[int | None]) -> str:
    return f"[{', '.join('?' if extent is None else str(extent) for extent in extents)}]"
