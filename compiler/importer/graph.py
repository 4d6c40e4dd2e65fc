"""The graph of a model or of a body within it, checked and put in order: what the rest of the importer works on."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from compiler.importer.loading import STAGE, newest_opset, opset_of, opsets_of, subgraphs
from compiler.importer.support import schema_problems, support_problems
from dialects.diagnostics import CatenaError, Diagnostic

if TYPE_CHECKING:
    import onnx

    Initializer = onnx.TensorProto | onnx.SparseTensorProto | npt.NDArray[Any]


@dataclass(frozen=True)
class NamedNode:
    """A node and the name it goes by: its own, or one made from operator and position.

    `bodies` are its subgraphs by attribute, `captured` the names in them that they do not define themselves.
    """

    name: str
    proto: onnx.NodeProto
    bodies: Mapping[str, onnx.GraphProto] = field(default_factory=dict[str, "onnx.GraphProto"])
    captured: tuple[str, ...] = ()

    @property
    def uses(self) -> tuple[str, ...]:
        """The tensors that the node needs, each once."""
        return tuple(dict.fromkeys(name for name in (*self.proto.input, *self.captured) if name))


@dataclass(frozen=True)
class ModelGraph:
    """A checked graph: nodes in an order in which they can run, none of them without effect on an output.

    `opsets` are the versions of the operator sets by domain, the default one as "". Initializers are messages, or
    arrays where the words are not in the message. `declared` is what the graph says of the types of its outputs and
    of what lies between.
    """

    opsets: Mapping[str, int]
    ir_version: int
    nodes: tuple[NamedNode, ...]
    inputs: tuple[onnx.ValueInfoProto, ...]
    outputs: tuple[onnx.ValueInfoProto, ...]
    initializers: dict[str, Initializer]
    declared: Mapping[str, onnx.ValueInfoProto]

    @property
    def opset(self) -> int:
        """The version of the default operator set."""
        return self.opsets[""]


def prepare_graph(model: onnx.ModelProto, *, is_supported: bool = True) -> ModelGraph:
    """Check the structure of a model without local functions and sort its nodes.

    With `is_supported` False the operators need not be known: the host may know them.

    Raises `CatenaError` with every problem of one kind: CAT-M001 (structure, attributes), CAT-U001, CAT-U003
    (operators, domains), CAT-U005 (opset).
    """
    opset = opset_of(model)
    nodes = _live_nodes(model.graph, _sorted_nodes(model.graph, _named_nodes(model.graph)))
    opsets = opsets_of(model)
    if is_supported:
        _refuse(problem for node in nodes for problem in support_problems(node.name, node.proto, opsets))
    if opset is None:
        if any(not node.proto.domain for node in nodes):
            raise CatenaError(_invalid("the model does not say which version of the default operator set it uses"))
        opsets[""] = newest_opset()
    return _checked(model.graph, nodes, opsets, model.ir_version)


def prepare_body(
    graph: onnx.GraphProto, opsets: Mapping[str, int], ir_version: int, is_outside: Callable[[str], bool]
) -> ModelGraph:
    """As `prepare_graph`, for a graph within a model; `is_outside` says whether a name is defined around it."""
    nodes = _live_nodes(graph, _sorted_nodes(graph, _named_nodes(graph), is_outside))
    _refuse(problem for node in nodes for problem in support_problems(node.name, node.proto, opsets))
    return _checked(graph, nodes, opsets, ir_version)


def _checked(
    graph: onnx.GraphProto, nodes: Sequence[NamedNode], opsets: Mapping[str, int], ir_version: int
) -> ModelGraph:
    named = ((node.name, node.proto) for node in nodes)
    _refuse(schema_problems(named, opsets, ir_version))
    initializers = _initializers(graph)
    return ModelGraph(
        opsets=opsets,
        ir_version=ir_version,
        nodes=tuple(nodes),
        inputs=tuple(value for value in graph.input if value.name not in initializers),
        outputs=tuple(graph.output),
        initializers=initializers,
        declared={value.name: value for value in (*graph.value_info, *graph.output)},
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
        bodies = subgraphs(node)
        captured = (free for body in bodies.values() for free in _free_names(body))
        named.append(NamedNode(name, _in_short_domain(node), bodies, tuple(dict.fromkeys(captured))))
    return named


def _free_names(graph: onnx.GraphProto) -> Iterable[str]:
    """The names that a subgraph uses and does not define."""
    own = {value.name for value in graph.input} | set(_initializers(graph))
    own.update(name for node in graph.node for name in node.output)
    for node in graph.node:
        yield from (name for name in node.input if name and name not in own)
        for body in subgraphs(node).values():
            yield from (name for name in _free_names(body) if name not in own)
    yield from (value.name for value in graph.output if value.name not in own)


def _in_short_domain(node: onnx.NodeProto) -> onnx.NodeProto:
    """The node with the default domain written as "", the only form that ONNX's checker knows."""
    if node.domain != "ai.onnx":
        return node
    copy = type(node)()
    copy.CopyFrom(node)
    copy.domain = ""
    return copy


def _initializers(graph: onnx.GraphProto) -> dict[str, Initializer]:
    dense: dict[str, Initializer] = {tensor.name: tensor for tensor in graph.initializer}
    return dense | {tensor.values.name: tensor for tensor in graph.sparse_initializer}


def _nothing(name: str) -> bool:
    return False


def _sorted_nodes(
    graph: onnx.GraphProto, nodes: Sequence[NamedNode], is_outside: Callable[[str], bool] = _nothing
) -> list[NamedNode]:
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
        for name in node.uses:
            if name not in given and name not in producer and not is_outside(name):
                hint = "the file may have lost an initializer"
                problems.append(_invalid(f"input {name!r} is not made by anything", node.name, hint))
    for value in graph.output:
        if value.name not in given and value.name not in producer and not is_outside(value.name):
            problems.append(_invalid(f"output {value.name!r} is not made by anything"))
    if not graph.output:
        problems.append(_invalid("the graph has no outputs"))
    _refuse(problems)
    return _in_order(nodes, producer)


def _in_order(nodes: Sequence[NamedNode], producer: dict[str, int]) -> list[NamedNode]:
    """Kahn's algorithm, taking the earliest node of the file that is ready."""
    waits_for = [{producer[name] for name in node.uses if name in producer} for node in nodes]
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
            needed.update(node.uses)
    return live[::-1]
