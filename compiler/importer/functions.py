"""Operators that ONNX defines by other operators: their bodies, with the attributes of a node put in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compiler.importer.loading import DEFAULT_DOMAINS
from compiler.importer.microsoft_functions import MICROSOFT_DOMAIN, is_microsoft_function, microsoft_body
from compiler.importer.ml_functions import ML_BODY_OPSET, ML_DOMAIN, is_ml_function, ml_body
from dialects.onnx.inference import type_proto
from dialects.onnx.schemas import RANDOM_OPERATORS
from dialects.onnx.values import ValueType

if TYPE_CHECKING:
    import onnx


def has_body(op_type: str, domain: str, opset: int) -> bool:
    """Whether an operator, in the version of `opset`, is a function of operators of the default domain."""
    if domain == ML_DOMAIN:
        return is_ml_function(op_type)
    if domain == MICROSOFT_DOMAIN:
        return is_microsoft_function(op_type)
    schema = _schema(op_type, domain, opset)
    return schema is not None and (schema.has_function or schema.has_context_dependent_function)


def function_body(
    node: onnx.NodeProto, opset: int, types: Sequence[ValueType | None]
) -> tuple[onnx.GraphProto, Mapping[str, int]] | None:
    """What a node comes to: a graph, and the operator sets it is written in.

    `opset` is the version of the node's domain, `types` those of the inputs, None for one that is left out. The
    inputs of the graph are the formal ones, fewer if the node leaves out the last ones: those read as ""; its outputs
    are those that the node names. None if the operator is no function.
    """
    from onnx import FunctionProto

    if node.domain == ML_DOMAIN:
        body = ml_body(node, types)
        return None if body is None else (body, {"": ML_BODY_OPSET})
    if node.domain == MICROSOFT_DOMAIN:
        return microsoft_body(node, types)
    schema = _schema(node.op_type, node.domain, opset)
    if schema is None:
        return None
    if schema.has_function:
        version = _closest(schema.function_opset_versions, opset)
        content = schema.get_function_with_opset_version(version)
    elif schema.has_context_dependent_function:
        version = _closest(schema.context_dependent_function_opset_versions, opset)
        encoded = [b"" if each is None else type_proto(each).SerializeToString() for each in types]
        content = schema.get_context_dependent_function_with_opset_version(version, node.SerializeToString(), encoded)
    else:
        return None
    function = FunctionProto.FromString(content)
    opsets = {entry.domain: entry.version for entry in function.opset_import}
    defaults = {name: each.default_value for name, each in schema.attributes.items() if each.default_value.name}
    given = {attribute.name: attribute for attribute in node.attribute}
    return _graph_of(function, node, defaults | given), opsets


def _schema(op_type: str, domain: str, opset: int) -> Any:
    """The `OpSchema` of an operator, None if there is none; ONNX's type stubs do not declare its functions."""
    from onnx import defs

    # A body that draws random numbers is no help.
    if op_type in RANDOM_OPERATORS:
        return None
    try:
        return defs.get_schema(op_type, max_inclusive_version=opset, domain="" if domain in DEFAULT_DOMAINS else domain)
    except defs.SchemaError:
        return None


def _closest(versions: Sequence[int], opset: int) -> int:
    """The newest version of a body that a model of `opset` may use; any body means the same."""
    return max((version for version in versions if version <= opset), default=min(versions))


def _graph_of(
    function: onnx.FunctionProto, call: onnx.NodeProto, attributes: Mapping[str, onnx.AttributeProto]
) -> onnx.GraphProto:
    from onnx import GraphProto

    graph = GraphProto(name=function.name)
    missing = set(function.input[len(call.input) :])
    for name, _ in zip(function.input, call.input, strict=False):
        graph.input.add(name=name)
    for name, wanted in zip(function.output, call.output, strict=False):
        if wanted:
            graph.output.add(name=name)
    for node in function.node:
        _add_bound(graph, node, attributes, missing)
    return graph


def _add_bound(
    graph: onnx.GraphProto, node: onnx.NodeProto, attributes: Mapping[str, onnx.AttributeProto], missing: set[str]
) -> None:
    """Add a node of a function: references to the function's attributes become values, those not given vanish."""
    added = graph.node.add(op_type=node.op_type, domain=node.domain, name=node.name, output=node.output)
    added.input.extend("" if name in missing else name for name in node.input)
    for attribute in node.attribute:
        source = attributes.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        if source is None:
            continue
        bound = added.attribute.add()
        bound.CopyFrom(source)
        bound.name = attribute.name
        if bound.HasField("g"):
            inner = type(graph)(name=bound.g.name, input=bound.g.input, output=bound.g.output)
            inner.initializer.extend(bound.g.initializer)
            for each in bound.g.node:
                _add_bound(inner, each, attributes, missing)
            bound.g.CopyFrom(inner)
