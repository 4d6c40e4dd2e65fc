"""What an ONNX file says of itself: for models that cannot be imported, of which there is no IR to summarise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.importer.loading import opset_of, read_model
from compiler.tables import Table, number, table
from dialects.diagnostics import Diagnostic

if TYPE_CHECKING:
    import onnx

MOST_NODES = 60
"""Nodes that are listed one by one; of larger models only how many there are of each operator."""


def model_facts(model: onnx.ModelProto, problems: Sequence[Diagnostic]) -> dict[str, object]:
    """What is said in single facts."""
    return {
        "not supported": f"{len(problems)} problem{'s' if len(problems) > 1 else ''}, see below",
        "opset": opset_of(model) or "not stated",
        "nodes": len(model.graph.node),
        "initializers": len(model.graph.initializer) + len(model.graph.sparse_initializer),
    }


def model_tables(model: onnx.ModelProto, problems: Iterable[Diagnostic]) -> list[Table]:
    """What stands in the way, the inputs and outputs as they are declared, and the nodes."""
    rows = [(each.code, each.node, each.message) for each in problems]
    found = [table(("code", "node", "problem"), rows, "Problems"), _ports(model.graph)]
    if len(model.graph.node) <= MOST_NODES:
        return [*found, _nodes(model.graph)]
    counts = Counter(_operator(node) for node in model.graph.node)
    return [*found, table(("operator", number("count")), sorted(counts.items()), "Operators")]


def read_message(source: str) -> onnx.ModelProto:
    """The message of a model. Raises `CatenaError` as `read_model` does."""
    return read_model(Path(source)).model


def _ports(graph: onnx.GraphProto) -> Table:
    held = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in held]
    rows = [("input", value.name, *_type(value)) for value in inputs]
    rows += [("output", value.name, *_type(value)) for value in graph.output]
    return table(("port", "tensor", "shape", "type"), rows, "Inputs and outputs")


def _type(value: onnx.ValueInfoProto) -> tuple[str, str]:
    from onnx import TensorProto

    if not value.type.HasField("tensor_type"):
        return "", value.type.WhichOneof("value") or "not declared"
    tensor = value.type.tensor_type
    names = TensorProto.DataType.keys()
    kind = names[tensor.elem_type].lower() if 0 < tensor.elem_type < len(names) else "not declared"
    if not tensor.HasField("shape"):
        return "not declared", kind
    extents = (
        each.dim_param or (str(each.dim_value) if each.HasField("dim_value") else "?") for each in tensor.shape.dim
    )
    return "x".join(extents) or "scalar", kind


def _nodes(graph: onnx.GraphProto) -> Table:
    rows = ((node.name, _operator(node), ", ".join(node.input), ", ".join(node.output)) for node in graph.node)
    return table(("node", "operator", "inputs", "outputs"), rows, "Nodes")


def _operator(node: onnx.NodeProto) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type
