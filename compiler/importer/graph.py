"""The graph of a model, checked and put in order: what the rest of the importer works on."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compiler.importer.loading import (
    DEFAULT_DOMAINS,
    STAGE,
    opset_of,
    subgraph_attributes,
)
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.onnx.native_errors import NATIVE_ERRORS, reason_of

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class NamedNode:
    """A node and the name it goes by: its own, or one made from operator and position."""

    name: str
    proto: onnx.NodeProto


@dataclass(frozen=True)
class ModelGraph:
    """A checked graph: nodes in an order in which they can run, none of them without effect on an output."""

    opset: int
    nodes: tuple[NamedNode, ...]
    inputs: tuple[onnx.ValueInfoProto, ...]
    outputs: tuple[onnx.ValueInfoProto, ...]
    initializers: dict[str, onnx.TensorProto | onnx.SparseTensorProto]


def prepare_graph(model: onnx.ModelProto) -> ModelGraph:
    """Check the structure of a model without local functions and sort its nodes.

    Raises `CatenaError` with every problem of one kind: CAT-M001 (structure, attributes), CAT-U001, CAT-U003,
    CAT-U004 (operators, domains, subgraphs), CAT-U005 (opset).
    """
    opset = opset_of(model)
    nodes = _live_nodes(model.graph, _sorted_nodes(model.graph, _named_nodes(model.graph)))
    _refuse(problem for node in nodes for problem in _support_problems(node, opset))
    if opset is None:
        raise CatenaError(_invalid("the model does not say which version of the default operator set it uses"))
    _refuse(_schema_problems(nodes, opset, model.ir_version))
    initializers = _initializers(model.graph)
    return ModelGraph(
        opset=opset,
        nodes=tuple(nodes),
        inputs=tuple(value for value in model.graph.input if value.name not in initializers),
        outputs=tuple(model.graph.output),
        initializers=initializers,
    )


def _refuse(problems: Iterable[Diagnostic]) -> None:
    found = tuple(problems)
    if found:
        raise CatenaError(found)


def _invalid(message: str, node: str = "", hint: str = "") -> Diagnostic:
    return Diagnostic("CAT-M001", message, stage=STAGE, node=node, hint=hint)


def _named_nodes(graph: onnx.GraphProto) -> list[NamedNode]:
    """The nodes with unique names: `Conv_3` for the nameless, `name#2` for the second one of a name."""
    taken = {node.name for node in graph.node if node.name}
    seen: Counter[str] = Counter()
    named: list[NamedNode] = []
    for index, node in enumerate(graph.node):
        base = node.name or f"{node.op_type}_{index}"
        name = base
        while seen[name] or (name != node.name and name in taken):
            seen[base] += 1
            name = f"{base}#{seen[base]}"
        seen[name] += 1
        named.append(NamedNode(name, _in_short_domain(node)))
    return named


def _in_short_domain(node: onnx.NodeProto) -> onnx.NodeProto:
    """The node with the default domain written as "", the only form that ONNX's checker knows."""
    if node.domain != "ai.onnx":
        return node
    copy = type(node)()
    copy.CopyFrom(node)
    copy.domain = ""
    return copy


def _initializers(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto | onnx.SparseTensorProto]:
    dense = {tensor.name: tensor for tensor in graph.initializer}
    return dense | {tensor.values.name: tensor for tensor in graph.sparse_initializer}


def _sorted_nodes(graph: onnx.GraphProto, nodes: Sequence[NamedNode]) -> list[NamedNode]:
    """The nodes in file order as far as every value is made before it is used.

    Raises `CatenaError` (CAT-M001) for values defined twice, never or in a cycle.
    """
    problems: list[Diagnostic] = []
    initializers = _initializers(graph)
    if len(initializers) != len(graph.initializer) + len(graph.sparse_initializer):
        names = [tensor.name for tensor in graph.initializer]
        names += [tensor.values.name for tensor in graph.sparse_initializer]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        problems += [_invalid(f"two initializers are named {name!r}") for name in twice]
    inputs = Counter(value.name for value in graph.input)
    problems += [_invalid(f"two inputs are named {name!r}") for name, count in inputs.items() if count > 1]
    given = set(initializers) | set(inputs)
    producer: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in filter(None, node.proto.output):
            if name in producer:
                message = f"tensor {name!r} is made by this node and by {nodes[producer[name]].name!r}"
                problems.append(_invalid(message, node.name))
            elif name in given:
                problems.append(_invalid(f"tensor {name!r} is also an input or initializer", node.name))
            producer[name] = index
    for node in nodes:
        for name in dict.fromkeys(filter(None, node.proto.input)):
            if name not in given and name not in producer:
                hint = "the file may have lost an initializer"
                problems.append(_invalid(f"input {name!r} is not made by anything", node.name, hint))
    for value in graph.output:
        if value.name not in given and value.name not in producer:
            problems.append(_invalid(f"output {value.name!r} is not made by anything"))
    if not graph.output:
        problems.append(_invalid("the graph has no outputs"))
    _refuse(problems)
    return _in_order(nodes, producer)


def _in_order(nodes: Sequence[NamedNode], producer: dict[str, int]) -> list[NamedNode]:
    """Kahn's algorithm, taking the earliest node of the file that is ready."""
    waits_for = [{producer[name] for name in node.proto.input if name in producer} for node in nodes]
    users: list[list[int]] = [[] for _ in nodes]
    for index, makers in enumerate(waits_for):
        for maker in makers:
            users[maker].append(index)
    missing = [len(makers) for makers in waits_for]
    ready = [index for index, count in enumerate(missing) if count == 0]
    order: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for user in users[index]:
            missing[user] -= 1
            if missing[user] == 0:
                heapq.heappush(ready, user)
    if len(order) != len(nodes):
        cycle = _cycle(waits_for, set(range(len(nodes))) - set(order))
        names = " -> ".join(repr(nodes[index].name) for index in cycle)
        raise CatenaError(_invalid(f"the graph has a cycle: {names}", nodes[cycle[0]].name))
    return [nodes[index] for index in order]


def _cycle(waits_for: Sequence[set[int]], stuck: set[int]) -> list[int]:
    """One cycle among nodes that all wait for another one of them."""
    path: list[int] = [min(stuck)]
    position = {path[0]: 0}
    while True:
        following = min(waits_for[path[-1]] & stuck)
        if following in position:
            cycle = path[position[following] :][::-1]
            first = cycle.index(min(cycle))
            return [*cycle[first:], *cycle[:first], cycle[first]]
        position[following] = len(path)
        path.append(following)


def _live_nodes(graph: onnx.GraphProto, nodes: Sequence[NamedNode]) -> list[NamedNode]:
    """The nodes that some output of the graph depends on."""
    needed = {value.name for value in graph.output}
    live: list[NamedNode] = []
    for node in reversed(nodes):
        if needed.intersection(filter(None, node.proto.output)):
            live.append(node)
            needed.update(node.proto.input)
    return live[::-1]


def _support_problems(node: NamedNode, opset: int | None) -> Iterable[Diagnostic]:
    proto = node.proto
    if proto.domain not in DEFAULT_DOMAINS:
        yield Diagnostic(
            "CAT-U003",
            f"operator {proto.op_type} belongs to the custom domain {proto.domain!r}",
            stage=STAGE,
            node=node.name,
            hint="export the model with standard ONNX operators only",
        )
        return
    graphs = sorted(subgraph_attributes(proto))
    if graphs:
        yield Diagnostic(
            "CAT-U004",
            f"operator {proto.op_type} has subgraphs ({', '.join(graphs)})",
            stage=STAGE,
            node=node.name,
            hint="control flow cannot be compiled; fix the condition or unroll the loop before the export",
        )
        return
    hint = None if opset is None else _missing_operator_hint(proto.op_type, opset)
    if hint is not None:
        yield Diagnostic(
            "CAT-U001",
            f"opset {opset} has no operator {proto.op_type}",
            stage=STAGE,
            node=node.name,
            hint=hint,
        )


def _missing_operator_hint(op_type: str, opset: int) -> str | None:
    """Why an opset has no such operator and what to do; None if it has it."""
    import difflib

    from onnx import defs

    try:
        defs.get_schema(op_type, max_inclusive_version=opset, domain="")
    except defs.SchemaError:
        pass
    else:
        return None
    if defs.has(op_type):
        return f"export the model with opset {_first_opset(op_type)} or newer, which has {op_type}"
    if op_type in (
        "Affine",
        "ATen",
        "Crop",
        "GivenTensorFill",
        "GRUUnit",
        "ImageScaler",
        "ParametricSoftplus",
        "Scale",
        "ScaledTanh",
    ):
        return "this experimental operator was removed from ONNX; replace it by standard operators"
    near = difflib.get_close_matches(op_type, {schema.name for schema in defs.get_all_schemas()}, 1)
    return f"did you mean {near[0]}?" if near else "it is not a standard ONNX operator"


def _first_opset(op_type: str) -> int:
    from onnx import defs

    schemas = defs.get_all_schemas_with_history()
    return min(schema.since_version for schema in schemas if schema.name == op_type and not schema.domain)


def _schema_problems(nodes: Sequence[NamedNode], opset: int, ir_version: int) -> list[Diagnostic]:
    from onnx import checker

    context = checker.C.CheckerContext()
    context.ir_version = ir_version
    context.opset_imports = dict.fromkeys(DEFAULT_DOMAINS, opset)
    problems: list[Diagnostic] = []
    for node in nodes:
        try:
            checker.check_node(node.proto, context)
        except UnicodeDecodeError:
            problems.append(_invalid("an attribute of the node is not UTF-8 text", node.name))
        except (checker.ValidationError, *NATIVE_ERRORS) as error:
            problems.append(_invalid(reason_of(error), node.name))
    return problems
