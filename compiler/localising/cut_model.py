"""The part of an ONNX model that one layer computes, as a model of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from compiler.arrays import Array

if TYPE_CHECKING:
    import onnx


def cut_model(
    model: onnx.ModelProto, nodes: Collection[str], read: Collection[str], output: str, values: Mapping[str, Array]
) -> onnx.ModelProto | None:
    """The nodes that make a tensor of what a layer reads, as a model; None if it cannot be made so.

    `nodes` and `read` are the names of the layer's nodes and of the tensors that it reads: if these are not enough, the
    model has what its nodes read as inputs. `values` has every tensor of the model for some inputs: types and shapes
    come from it, and the values of what does not depend on inputs.
    """
    if output not in values:
        return None
    part = _part(model, output, values, lambda name, maker: name not in read)
    if part is None or not set(part.inputs) <= set(read):
        part = _part(model, output, values, lambda name, maker: maker in nodes)
    return None if part is None or not part.nodes else part.model(model, output, values)


@dataclass
class _Part:
    """Nodes of a model, what they read from outside, and what of that is stored."""

    nodes: list[onnx.NodeProto] = field(default_factory=list["onnx.NodeProto"])
    inputs: list[str] = field(default_factory=list[str])
    stored: dict[str, onnx.TensorProto] = field(default_factory=dict[str, "onnx.TensorProto"])

    def model(self, whole: onnx.ModelProto, output: str, values: Mapping[str, Array]) -> onnx.ModelProto:
        """The part as a model that makes one tensor."""
        from onnx import helper

        def port(name: str) -> onnx.ValueInfoProto:
            kind = helper.np_dtype_to_tensor_dtype(values[name].dtype)
            return helper.make_tensor_value_info(name, kind, values[name].shape)

        in_order = [node for node in whole.graph.node if node in self.nodes]
        name = f"{whole.graph.name}: {output}"
        stored = [*self.stored.values()]
        graph = helper.make_graph(in_order, name, [port(each) for each in self.inputs], [port(output)], stored)
        return helper.make_model(
            graph, opset_imports=whole.opset_import, ir_version=whole.ir_version, functions=whole.functions
        )


def _part(
    model: onnx.ModelProto, output: str, values: Mapping[str, Array], follows: Callable[[str, str], bool]
) -> _Part | None:
    """What a tensor is made by, backwards for as long as `follows` says so of a tensor and the node that makes it."""
    from onnx import numpy_helper

    makers = {name: node for node in model.graph.node for name in node.output if name}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    fixed = _fixed(model, stored)
    part = _Part()
    waiting, seen = [output], {""}
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        maker = makers.get(name)
        if name in stored:
            part.stored[name] = stored[name]
        elif maker is not None and (name == output or follows(name, maker.name)) and name not in fixed:
            if maker not in part.nodes:
                part.nodes.append(maker)
            waiting += [*maker.input, *_outer_names(maker)]
        elif name not in values:
            return None
        elif name in fixed:
            part.stored[name] = numpy_helper.from_array(values[name], name)
        else:
            part.inputs.append(name)
    return part


def _fixed(model: onnx.ModelProto, stored: Collection[str]) -> set[str]:
    """Tensors that are the same for all inputs."""
    fixed = {"", *stored}
    for node in model.graph.node:
        if not _outer_names(node) and all(name in fixed for name in node.input):
            fixed.update(node.output)
    return fixed


def _outer_names(node: onnx.NodeProto) -> list[str]:
    """What the graphs among a node's attributes read that they may not make themselves."""
    return [name for attribute in node.attribute for inner in attribute.g.node for name in inner.input]
