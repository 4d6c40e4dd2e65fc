"""Host segments at import: nodes of the model as an ONNX model of their own, and what ONNX Runtime says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compiler.importer.declared_shapes import complete
from compiler.importer.graph import NamedNode
from compiler.importer.loading import STAGE
from compiler.importer.node_types import runtime_dtype
from compiler.importer.nodes import double_narrowed, read_node
from compiler.importer.tensors import Array
from compiler.onnx_runtime import Level, Session
from compiler.segment_notes import OPEN_SHAPES, RESULTS, write_note
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.element_types import element_type_of
from dialects.onnx.inference import declared_type, type_proto
from dialects.onnx.values import ValueType
from passes.constant_evaluation import ConstantBudget

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

PURPOSE = "a host segment"

_NEWEST_IR = 10


@dataclass(frozen=True)
class HostValue:
    """A tensor that a segment is given: its words, its type, or what the model declares of an input."""

    array: Array | None = None
    type: ValueType | None = None
    declared: onnx.ValueInfoProto | None = None


def segment_model(
    nodes: Sequence[NamedNode],
    opsets: Mapping[str, int],
    values: Mapping[str, HostValue],
    inputs: Sequence[str],
    outputs: Sequence[str],
    results: Iterable[str] = (),
    open_shapes: Iterable[str] = (),
    *,
    ir_version: int,
    folder: Path | None,
) -> onnx.ModelProto:
    """The nodes as a model with these inputs and outputs; constants among `values` become initializers.

    Floats other than float32 become float32, as on the device. `results` and `open_shapes` are what
    the notes of those names say (`compiler.segment_notes`).
    """
    from onnx import ValueInfoProto, helper, numpy_helper

    used = {name for node in nodes for name in node.uses}
    constants = [
        numpy_helper.from_array(_narrowed(value.array), name)
        for name, value in values.items()
        if name in used and value.array is not None and name not in inputs
    ]
    graph = helper.make_graph(
        [_proto(node, folder) for node in nodes],
        "host segment",
        [_declared(name, values[name]) for name in inputs],
        [ValueInfoProto(name=name) for name in outputs],
        constants,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in sorted(opsets.items())],
        ir_version=min(max(ir_version, 4), _NEWEST_IR),
        producer_name="catena",
    )
    write_note(model, RESULTS, results)
    write_note(model, OPEN_SHAPES, open_shapes)
    return model


def infer_outputs(
    model: onnx.ModelProto, node: str, declared: Mapping[str, onnx.ValueInfoProto]
) -> list[onnx.ValueInfoProto]:
    """Declare the outputs of a model as what ONNX Runtime finds them to be before it runs.

    What it leaves open of their shapes is what `declared`, the words of the whole model, say. Raises `CatenaError`:
    CAT-C004 if it is not installed, CAT-U001 if it refuses the model, CAT-M003 if it contradicts what is declared.
    """
    try:
        found = Session(model.SerializeToString(), Level.NONE, PURPOSE).output_types()
        kinds = {value.name: _type_of(*kind) for value, kind in zip(model.graph.output, found, strict=True)}
        for name in _of_unknown_rank(model, kinds):
            kinds[name].tensor_type.ClearField("shape")
    except CatenaError as error:
        (problem,) = error.diagnostics
        if problem.code == "CAT-C004":
            raise
        message = f"the host cannot execute it either: {problem.message}"
        raise CatenaError(Diagnostic("CAT-U001", message, stage=STAGE, node=node)) from error
    for value in model.graph.output:
        value.type.CopyFrom(kinds[value.name])
        if value.name in declared:
            complete(value, declared[value.name], node)
    return list(model.graph.output)


def _of_unknown_rank(model: onnx.ModelProto, kinds: Mapping[str, onnx.TypeProto]) -> list[str]:
    """The outputs whose rank ONNX Runtime does not know; it describes them as it does scalars.

    But it knows the extent of their shapes, which is 0 for a scalar.
    """
    from onnx import ModelProto, ValueInfoProto, helper

    names = [name for name, kind in kinds.items() if kind.HasField("tensor_type") and not kind.tensor_type.shape.dim]
    if not names:
        return []
    probe = ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    for name in names:
        shape = f"the shape of {name}"
        probe.graph.node.append(helper.make_node("Shape", [name], [shape]))
        probe.graph.output.append(ValueInfoProto(name=shape))
    found = Session(probe.SerializeToString(), Level.NONE, PURPOSE).output_types()
    return [name for name, (_, extents) in zip(names, found, strict=True) if extents != [0]]


def device_type(value: onnx.ValueInfoProto) -> ValueType | None:
    """The type of a tensor that the device can hold: of static shape, not empty, of an element type of the IR."""
    found = declared_type(value)
    if found is None or not found.size or runtime_dtype(found.dtype) != found.dtype:
        return None
    try:
        element_type_of(found.dtype)
    except TypeError:
        return None
    return found


def _type_of(text: str, shape: Sequence[object]) -> onnx.TypeProto:
    """The type that ONNX writes like this, of that shape if it is a tensor; maps are left undefined."""
    from onnx import TensorProto, TypeProto, helper

    kind, _, inner = text.removesuffix(")").partition("(")
    if kind == "tensor":
        element = TensorProto.DataType.Value(inner.upper())
        return helper.make_tensor_type_proto(element, [n if isinstance(n, int) else None for n in shape])
    if kind == "seq":
        return helper.make_sequence_type_proto(_open(inner))
    if kind == "optional":
        return helper.make_optional_type_proto(_open(inner))
    return TypeProto()


def _open(text: str) -> onnx.TypeProto:
    """The type of the entries of a sequence: tensors among them may have any shape."""
    found = _type_of(text, ())
    if found.HasField("tensor_type"):
        found.tensor_type.ClearField("shape")
    return found


def _proto(node: NamedNode, folder: Path | None) -> onnx.NodeProto:
    """A node as it is, its floats narrowed as on the device; one with subgraphs or of another domain stays."""
    proto = node.proto
    if not node.bodies and not proto.domain:
        try:
            proto = double_narrowed(read_node(node, folder, ConstantBudget())).proto
        except CatenaError:
            # An attribute that the IR cannot hold, such as a type, is the host's own.
            proto = node.proto
    copy = type(proto)()
    copy.CopyFrom(proto)
    copy.name = node.name
    return copy


def _narrowed(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _declared(name: str, value: HostValue) -> onnx.ValueInfoProto:
    from onnx import helper

    kind = value.type
    if kind is None and value.declared is not None:
        kind = declared_type(value.declared)
        if kind is None:
            return value.declared
    if kind is None:
        return helper.make_empty_tensor_value_info(name)
    if kind.dtype.name in ("float16", "bfloat16", "float64"):
        kind = ValueType(np.dtype(np.float32), kind.shape)
    return helper.make_value_info(name, type_proto(kind))
