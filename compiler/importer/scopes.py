"""Names while a graph is imported: those of the model itself and those of copies of the graphs within it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from compiler.importer.graph import ModelGraph, NamedNode


class UniqueNames:
    """Gives out every name once."""

    def __init__(self, taken: Iterable[str] = ()):
        self._taken = set(taken)

    def fresh(self, base: str) -> str:
        """`base`, or `base#2` and so on if it has been given out."""
        name, count = base, 1
        while name in self._taken:
            count += 1
            name = f"{base}#{count}"
        self._taken.add(name)
        return name


@dataclass(frozen=True)
class Scope:
    """Where the names in one copy of a graph lead: to names that are unique in the whole model.

    What the graph does not define itself is looked up in `parent`. Nodes and tensors of the copy are called
    `{prefix}{name}{suffix}`; `opsets` are the operator sets that its nodes are of.
    """

    names: dict[str, str]
    opsets: Mapping[str, int]
    parent: Scope | None = None
    prefix: str = ""
    suffix: str = ""

    @classmethod
    def of_model(cls, graph: ModelGraph) -> Scope:
        """The scope of the model's own graph, in which names lead to themselves."""
        names = [value.name for value in graph.inputs]
        names += graph.initializers
        names += [name for node in graph.nodes for name in node.proto.output if name]
        return cls({name: name for name in names}, graph.opsets)

    def knows(self, name: str) -> bool:
        """Whether a name is defined here or around this graph."""
        return name in self.names or (self.parent is not None and self.parent.knows(name))

    def resolve(self, name: str) -> str:
        """The unique name behind a name of the graph; "" stays, an optional input that is left out."""
        if not name:
            return name
        if name in self.names:
            return self.names[name]
        assert self.parent is not None, name
        return self.parent.resolve(name)

    def local(self, name: str) -> str:
        """What a node or tensor of this copy is called, before it is made unique."""
        return f"{self.prefix}{name}{self.suffix}"

    def localized(self, node: NamedNode, node_names: UniqueNames) -> NamedNode:
        """A node of the graph under the names of this copy; its subgraphs keep theirs."""
        if self.parent is None:
            return node
        proto = type(node.proto)()
        proto.CopyFrom(node.proto)
        del proto.input[:], proto.output[:]
        proto.input.extend(self.resolve(name) for name in node.proto.input)
        proto.output.extend(self.resolve(name) for name in node.proto.output)
        captured = tuple(self.resolve(name) for name in node.captured)
        return NamedNode(node_names.fresh(self.local(node.name)), proto, node.bodies, captured)


@dataclass(frozen=True)
class Body:
    """A graph within the model, ready to be copied: `scope` leads to its initializers and to what is around it."""

    graph: ModelGraph
    scope: Scope
    names: UniqueNames = field(repr=False)

    def copy(self, arguments: Iterable[str], suffix: str = "") -> Scope:
        """The scope of a new copy whose inputs are the tensors `arguments`."""
        scope = Scope({}, self.scope.opsets, self.scope, self.scope.prefix, suffix)
        for value, argument in zip(self.graph.inputs, arguments, strict=True):
            scope.names[value.name] = argument
        for node in self.graph.nodes:
            for name in filter(None, node.proto.output):
                scope.names[name] = self.names.fresh(scope.local(name))
        return scope

    @property
    def passes_on_condition(self) -> bool:
        """Whether the body of a `Loop` returns the condition that it is given, or one that its nodes do not make."""
        makers = {name: node.proto for node in self.graph.nodes for name in node.proto.output}
        name = self.graph.outputs[0].name
        while name in makers and makers[name].op_type == "Identity":
            name = makers[name].input[0]
        return name not in makers and name not in {value.name for value in self.graph.inputs[2:]}

    def results(self, copy: Scope) -> tuple[str, ...]:
        """The tensors that a copy's outputs are."""
        return tuple(copy.resolve(value.name) for value in self.graph.outputs)
