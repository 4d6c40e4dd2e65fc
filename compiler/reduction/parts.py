"""Parts of ONNX models: some of the nodes of a model, as a model of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from dialects.onnx.native_errors import NATIVE_ERRORS

if TYPE_CHECKING:
    import onnx


def fixed_shapes(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], batch: int | None) -> onnx.ModelProto:
    """A copy whose dynamic inputs have these shapes, and `batch` in their first dimension if it is open.

    Documentation and metadata are left out.
    """
    found = type(model)()
    found.CopyFrom(model)
    found.ClearField("doc_string")
    found.ClearField("metadata_props")
    found.graph.ClearField("doc_string")
    for node in found.graph.node:
        node.ClearField("doc_string")
    for value in found.graph.input:
        dims = value.type.tensor_type.shape.dim
        for place, dim in enumerate(dims):
            if value.name in shapes and len(shapes[value.name]) == len(dims):
                dim.dim_value = shapes[value.name][place]
            elif batch is not None and place == 0 and not dim.HasField("dim_value"):
                dim.dim_value = batch
    return found


def known_values(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Tensors whose type and shape is declared or can be inferred, by name."""
    import onnx

    # Where inference fails, what is declared has to do.
    with suppress(onnx.shape_inference.InferenceError, ValueError):
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    values = (*model.graph.value_info, *model.graph.input, *model.graph.output)
    return {each.name: each for each in values if each.type.tensor_type.HasField("shape")}


def is_valid(model: onnx.ModelProto) -> bool:
    """Whether ONNX takes a model: operators, attributes, names, order of nodes, shapes; and nothing is empty.

    Windows that do not fit into their inputs have outputs of no extent, or of a negative one.
    """
    import onnx

    try:
        onnx.checker.check_model(model)
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, *NATIVE_ERRORS):
        return False
    values = (*inferred.graph.value_info, *inferred.graph.output)
    dims = [dim for value in values for dim in value.type.tensor_type.shape.dim]
    return all(dim.dim_value > 0 for dim in dims if dim.HasField("dim_value"))


def part_of(
    model: onnx.ModelProto, kept: Collection[int], values: Mapping[str, onnx.ValueInfoProto]
) -> onnx.ModelProto | None:
    """The model of some nodes, by their positions; None if one of them reads a tensor of unknown type.

    What they read of others becomes an input; what none of them reads is an output, and so is what was one.
    """
    nodes = [model.graph.node[index] for index in sorted(kept)]
    made = {name for node in nodes for name in node.output if name}
    read = dict.fromkeys(name for node in nodes for name in names_read(node) if name)
    stored = {tensor.name for tensor in model.graph.initializer}
    sparse = {tensor.values.name for tensor in model.graph.sparse_initializer}
    before = {value.name: value for value in model.graph.input}
    inputs: list[onnx.ValueInfoProto] = []
    for name in read:
        if name not in made and name not in stored | sparse:
            value = before.get(name, values.get(name))
            if value is None:
                return None
            inputs.append(value)
    outputs = [value for value in model.graph.output if value.name in made]
    named = {value.name for value in outputs}
    for name in dict.fromkeys(name for node in nodes for name in node.output if name):
        if name not in read and name not in named:
            outputs.append(values.get(name) or _untyped(name))
    found = type(model)()
    found.CopyFrom(model)
    graph = found.graph
    for field in ("node", "input", "output", "value_info", "initializer", "sparse_initializer"):
        graph.ClearField(field)
    graph.node.extend(nodes)
    graph.input.extend(inputs)
    graph.output.extend(outputs)
    graph.initializer.extend(each for each in model.graph.initializer if each.name in read)
    graph.sparse_initializer.extend(each for each in model.graph.sparse_initializer if each.values.name in read)
    return found


def names_read(node: onnx.NodeProto) -> Iterator[str]:
    """The tensors that a node reads from outside, and the graphs in its attributes."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            inside = {each.name for each in (*graph.input, *graph.initializer)}
            inside |= {name for inner in graph.node for name in inner.output}
            wanted = [name for inner in graph.node for name in names_read(inner)]
            yield from (name for name in (*wanted, *(each.name for each in graph.output)) if name not in inside)


def _untyped(name: str) -> onnx.ValueInfoProto:
    import onnx

    return onnx.ValueInfoProto(name=name)
