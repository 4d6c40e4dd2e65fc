"""Models of opsets 1 to 6, raised to opset 7 by ONNX's version converter.

Before opset 7 broadcasting was an attribute: `axis` said at which axis of the first operand the second one begins.
The converter appends the missing dimensions at the wrong end, so they are appended here before it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from compiler.importer.graph import ModelGraph
from compiler.importer.inputs import StaticInput
from compiler.importer.loading import STAGE
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.onnx.native_errors import NATIVE_ERRORS, reason_of

if TYPE_CHECKING:
    import onnx

OLDEST_OPSET = 7
"""The first opset that the rest of the importer reads."""

_BROADCASTING_OPSET = OLDEST_OPSET - 1
_BROADCASTING = frozenset({"Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor"})


def raise_opset(model: onnx.ModelProto, graph: ModelGraph, inputs: Sequence[StaticInput]) -> onnx.ModelProto:
    """A model of an opset before `OLDEST_OPSET`, converted to it, with these shapes of its inputs.

    Only the nodes of `graph` are kept, in its order and by its names. Raises `CatenaError` (CAT-U005) if ONNX's
    version converter cannot do it.
    """
    from onnx import ModelProto

    for node in graph.nodes:
        if node.bodies:
            raise _cannot_convert(graph.opset, f"{node.proto.op_type} has subgraphs", node.name)
    copy = ModelProto()
    copy.CopyFrom(model)
    copy.ir_version = max(model.ir_version, 3)
    if not copy.opset_import:
        copy.opset_import.add(domain="", version=graph.opset)
    del copy.graph.node[:]
    for node in graph.nodes:
        copy.graph.node.add().CopyFrom(node.proto)
        copy.graph.node[-1].name = node.name
    _declare_inputs(copy.graph, inputs)
    if graph.opset < _BROADCASTING_OPSET:
        copy = _converted(copy, graph.opset, _BROADCASTING_OPSET)
    _align_operands(copy, graph.opset)
    return _converted(copy, graph.opset, OLDEST_OPSET)


def _converted(model: onnx.ModelProto, opset: int, target: int) -> onnx.ModelProto:
    from google.protobuf.message import DecodeError, EncodeError
    from onnx import shape_inference, version_converter

    own_errors = (version_converter.ConvertError, shape_inference.InferenceError)
    try:
        return version_converter.convert_version(model, target)
    except (DecodeError, EncodeError, *own_errors, *NATIVE_ERRORS) as error:
        # An assertion of the converter's C++ code: file, line, function, condition, "failed:", reason.
        raise _cannot_convert(opset, reason_of(error).rpartition("failed: ")[2]) from error


def _cannot_convert(opset: int, reason: str, node: str = "") -> CatenaError:
    return CatenaError(
        Diagnostic(
            "CAT-U005",
            f"opset {opset} cannot be converted to opset {OLDEST_OPSET}: {reason}",
            stage=STAGE,
            node=node,
            expected=f"opset {OLDEST_OPSET} or newer",
            found=str(opset),
            hint="export the model again with a newer opset",
        )
    )


def _declare_inputs(graph: onnx.GraphProto, inputs: Sequence[StaticInput]) -> None:
    # The converter asks for static shapes, and for initializers that are inputs as well, as IR version 3 does.
    from onnx import helper

    del graph.input[:]
    graph.input.extend(helper.make_tensor_value_info(each.name, each.element_type, each.shape) for each in inputs)
    graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in graph.initializer
    )


def _align_operands(model: onnx.ModelProto, opset: int) -> None:
    """Give every second operand that begins at an `axis` the trailing dimensions that NumPy's rules ask for."""
    from onnx import helper

    ranks = _ranks(model)
    nodes: list[onnx.NodeProto] = []
    for index, node in enumerate(model.graph.node):
        axis = _broadcast_axis(node)
        if axis is not None:
            left, right = node.input
            if left not in ranks or right not in ranks:
                raise _cannot_convert(opset, "an operand that is broadcast has no known rank", node.name)
            start = axis + ranks[left] if axis < 0 else axis
            missing = ranks[left] - start - ranks[right]
            if missing > 0:
                aligned = f"{right}.aligned.{index}"
                axes = range(ranks[right], ranks[right] + missing)
                name = f"{node.name}.align" if node.name else ""
                nodes.append(helper.make_node("Unsqueeze", [right], [aligned], name, axes=list(axes)))
                node.input[1] = aligned
            kept = [attribute for attribute in node.attribute if attribute.name != "axis"]
            del node.attribute[:]
            node.attribute.extend(kept)
        nodes.append(node)
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _broadcast_axis(node: onnx.NodeProto) -> int | None:
    """The axis of the first operand at which the second one begins; the slopes of PRelu are those of channels."""
    if node.op_type == "PRelu":
        return 1
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type in _BROADCASTING and len(node.input) == 2 and attributes.get("broadcast"):
        return attributes.get("axis")
    return None


def _ranks(model: onnx.ModelProto) -> Mapping[str, int]:
    from onnx import shape_inference

    try:
        graph = shape_inference.infer_shapes(model).graph
    except (shape_inference.InferenceError, *NATIVE_ERRORS):
        graph = model.graph
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            ranks[value.name] = len(value.type.tensor_type.shape.dim)
    return ranks
