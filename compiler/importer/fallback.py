"""Import with the host as a fallback: which nodes go to it, and the module with segments for them.

A node goes to the host if it cannot be a chain, or if it uses what only the host can hold: tensors whose shapes are
not static, text, sequences. Nodes are then numbered by phases, even ones on the device and odd ones on the host, each
as early as its inputs allow; the host's nodes of one phase are one segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import BlockArgument, Operation, SSAValue

from compiler.importer.building import ModuleBuilder, ports_of, ports_of_inputs, value_hint
from compiler.importer.declared_shapes import is_open_tensor
from compiler.importer.graph import ModelGraph, NamedNode
from compiler.importer.inputs import StaticInput
from compiler.importer.segments import HostValue, device_type, infer_outputs, segment_model
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.element_types import element_type_of
from dialects.host_segment import SegmentOp, host_port
from dialects.locations import fuse_locations, node_location
from dialects.onnx import OnnxOp
from dialects.onnx.translation import value_type_of
from dialects.onnx.values import ValueType
from passes.lower_onnx.checking import problems_of

if TYPE_CHECKING:
    import onnx

_UNSUPPORTED = frozenset({"CAT-U001", "CAT-U002", "CAT-U003", "CAT-U004"})
"""What the host may be able to do."""


@dataclass
class Plan:
    """Where every node runs: `phases` by node name, odd for the host.

    `declared` is what the host makes, by name; `types` are those of it that the device can hold. `open_shapes` are, for
    nodes that follow others to the host, the tensors whose shapes would have to be known for the device to go on.
    """

    phases: dict[str, int] = field(default_factory=dict[str, int])
    declared: dict[str, onnx.ValueInfoProto] = field(default_factory=dict[str, "onnx.ValueInfoProto"])
    types: dict[str, ValueType] = field(default_factory=dict[str, ValueType])
    open_shapes: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def is_host(self, node: NamedNode) -> bool:
        """Whether the host executes a node."""
        return self.phases.get(node.name, 0) % 2 == 1


def import_with_fallback(
    graph: ModelGraph, inputs: Sequence[StaticInput], host_inputs: Sequence[onnx.ValueInfoProto], folder: Path | None
) -> ModuleOp:
    """The module of a graph, with host segments for what cannot be a chain.

    Raises `CatenaError` with every problem that the host is no help for, CAT-C004 if it is needed and ONNX Runtime is
    not installed.
    """
    forced: set[str] = set()
    while True:
        trial = _Trial(graph, folder, host_inputs, forced)
        plan = trial.plan(inputs)
        found = trial.late_problems()
        if not found:
            break
        forced |= found
    if not any(phase % 2 for phase in plan.phases.values()):
        return ModuleBuilder(graph, folder).build(inputs)
    return _SegmentedBuilder(graph, folder, host_inputs, plan).build(inputs)


class _Trial(ModuleBuilder):
    """Imports node after node to see which of them the device cannot execute; what it builds is thrown away."""

    def __init__(
        self,
        graph: ModelGraph,
        folder: Path | None,
        host_inputs: Sequence[onnx.ValueInfoProto],
        forced: Iterable[str],
    ):
        super().__init__(graph, folder)
        self._forced = set(forced)
        self._host_inputs = {value.name: value for value in host_inputs}
        self._only_host = set(self._host_inputs)
        self._tensor_phases: dict[str, int] = {}
        self._makers: dict[str, NamedNode] = {}
        self._ops: dict[Operation, NamedNode] = {}
        self._plan = Plan()

    def plan(self, inputs: Sequence[StaticInput]) -> Plan:
        """Where every node runs. Raises `CatenaError` with every problem that the host is no help for."""
        for value in inputs:
            self.add_input(value)
        self.read_initializers(self.graph, self.scope)
        for node in self.graph.nodes:
            self._place(node)
        if self.problems:
            raise CatenaError(self.problems)
        return self._plan

    def late_problems(self) -> set[str]:
        """Nodes on the device that cannot stay there because of who uses their results."""
        return {node.name for op, node in self._ops.items() if isinstance(op, OnnxOp) and any(problems_of(op))}

    def _place(self, node: NamedNode) -> None:
        phase = max((self._tensor_phases.get(name, 0) for name in node.uses), default=0)
        is_host = node.name in self._forced or not self._only_host.isdisjoint(node.uses)
        if not is_host:
            problems = self._attempt(node)
            is_host = bool(problems) and all(each.code in _UNSUPPORTED for each in problems)
            if problems and not is_host:
                self.problems += problems
                return
        if is_host:
            self._plan.open_shapes[node.name] = set().union(*map(self._open_shapes, node.uses))
            self._give_to_host(node)
        phase += phase % 2 != is_host
        self._plan.phases[node.name] = phase
        self._tensor_phases.update(dict.fromkeys(node.proto.output, phase))

    def _attempt(self, node: NamedNode) -> list[Diagnostic]:
        """Import a node; what stands in the way."""
        last, before = self.block.last_op, len(self.problems)
        try:
            self.add_node(node, self.scope)
        except CatenaError as error:
            del self.problems[before:]
            return list(error.diagnostics)
        found = self.problems[before:]
        del self.problems[before:]
        op = self.block.first_op if last is None else last.next_op
        while op is not None:
            if isinstance(op, OnnxOp):
                self._ops[op] = node
                found += problems_of(op)
            op = op.next_op
        if found:
            self._ops = {op: maker for op, maker in self._ops.items() if maker is not node}
        return found

    def _give_to_host(self, node: NamedNode) -> None:
        for name in node.proto.output:
            self._makers[name] = node
        try:
            found = self._made_on_host(node)
        except CatenaError as error:
            self.problems += error.diagnostics
            found = []
        self._plan.declared.update((value.name, value) for value in found)
        types = {value.name: device_type(value) for value in found}
        for name in filter(None, node.proto.output):
            kind = types.get(name)
            if kind is None:
                self._only_host.add(name)
                self.values.pop(name, None)
                continue
            self._plan.types[name] = kind
            argument = self.block.insert_arg(TensorType(element_type_of(kind.dtype), kind.shape), len(self.block.args))
            self.values[name] = argument

    def _open_shapes(self, name: str) -> set[str]:
        """The first tensors without a static shape on the way to one that the device cannot hold."""
        if name not in self._only_host or name not in self._makers:
            return set()
        earlier = self._plan.open_shapes[self._makers[name].name]
        is_open = name in self._plan.declared and is_open_tensor(self._plan.declared[name])
        return earlier or ({name} if is_open else set())

    def _made_on_host(self, node: NamedNode) -> list[onnx.ValueInfoProto]:
        """What a node makes, by the host's own inference over all that it makes on the way to it."""
        needed: dict[str, NamedNode] = {}
        waiting = [node]
        while waiting:
            each = waiting.pop()
            needed[each.name] = each
            waiting += [self._makers[name] for name in each.uses if name in self._only_host and name in self._makers]
        nodes = [each for each in self.graph.nodes if each.name in needed]
        made = {name for each in nodes for name in each.proto.output}
        used = dict.fromkeys(name for each in nodes for name in each.uses if name not in made)
        values = {name: self._host_value(name) for name in used if name in self.values or name in self._host_inputs}
        inputs = [name for name, value in values.items() if value.array is None]
        outputs = [name for name in node.proto.output if name]
        model = segment_model(
            nodes,
            self.graph.opsets,
            values,
            inputs,
            outputs,
            ir_version=self.graph.ir_version,
            folder=self.folder,
        )
        return infer_outputs(model, node.name, self.graph.declared)

    def _host_value(self, name: str) -> HostValue:
        return host_value(name, self.values, self._host_inputs)


def host_value(name: str, values: Mapping[str, object], host_inputs: Mapping[str, onnx.ValueInfoProto]) -> HostValue:
    """What a segment is given under a name."""
    if name in host_inputs:
        return HostValue(declared=host_inputs[name])
    value = values.get(name)
    if isinstance(value, SSAValue):
        return HostValue(type=value_type_of(value.type))
    return HostValue(array=value) if value is not None else HostValue()  # pyright: ignore[reportArgumentType]


class _SegmentedBuilder(ModuleBuilder):
    """Builds the phases of a plan, one after the other."""

    def __init__(self, graph: ModelGraph, folder: Path | None, host_inputs: Sequence[onnx.ValueInfoProto], plan: Plan):
        super().__init__(graph, folder)
        self._host_inputs = {value.name: value for value in host_inputs}
        self._plan = plan
        self._made_on_host = {name for node in graph.nodes if plan.is_host(node) for name in node.proto.output if name}
        self._to_host: dict[str, SSAValue] = {}
        self._from_host: list[str] = []
        self._users: set[SSAValue] = set()

    def build(self, inputs: Sequence[StaticInput]) -> ModuleOp:
        for value in inputs:
            self.add_input(value)
        self._users = set(self.block.args)
        arguments = ports_of_inputs(inputs, self.block.args)
        self.read_initializers(self.graph, self.scope)
        phases = self._plan.phases
        for phase in range(max(phases.values(), default=0) + 1):
            nodes = [node for node in self.graph.nodes if phases.get(node.name, 0) == phase]
            if phase % 2:
                self._add_segment(phase // 2, nodes)
            else:
                self.add_nodes(nodes, self.scope)
        outputs = [value for value in self.graph.outputs if value.name not in self._made_on_host]
        results = self.outputs(outputs)
        return self.module(
            [*arguments, *map(host_port, self._from_host)],
            [*results, *self._to_host.values()],
            [*ports_of(outputs, results), *map(host_port, self._to_host)],
        )

    def _add_segment(self, index: int, nodes: Sequence[NamedNode]) -> None:
        """The nodes of one phase as a segment."""
        made = [name for node in nodes for name in node.proto.output if name]
        used = dict.fromkeys(name for node in nodes for name in node.uses if name not in made)
        values = {name: self._given(name) for name in used}
        reads = [name for name in used if self._is_on_device(name)]
        others = [name for name in used if name not in reads and values[name].array is None]
        after = [node for node in self.graph.nodes if node not in nodes]
        on_device = {name for node in after if not self._plan.is_host(node) for name in node.uses}
        makes = [name for name in made if name in on_device and name in self._plan.types]
        results = {value.name for value in self.graph.outputs}.intersection(made)
        on_host = {name for node in after if self._plan.is_host(node) for name in node.uses}
        kept = [name for name in made if name not in makes and (name in results or name in on_host)]
        model = segment_model(
            nodes,
            self.graph.opsets,
            values,
            [*reads, *others],
            [*makes, *kept],
            results,
            set().union(*(self._plan.open_shapes[node.name] for node in nodes)),
            ir_version=self.graph.ir_version,
            folder=self.folder,
        )
        infer_outputs(model, nodes[0].name, self.graph.declared)
        op = SegmentOp.of(index, model.SerializeToString(deterministic=True), reads, makes)
        op.location = fuse_locations(node_location(node.name) for node in nodes)
        self.builder.insert(op)
        for name in reads:
            self._to_host[name] = self.value(name, name)
        for name in makes:
            kind = self._plan.types[name]
            argument = self.block.insert_arg(TensorType(element_type_of(kind.dtype), kind.shape), len(self.block.args))
            argument.name_hint = value_hint(name)
            self.values[name] = argument
            self._from_host.append(name)

    def _given(self, name: str) -> HostValue:
        if name in self._plan.declared:
            return HostValue(declared=self._plan.declared[name])
        return host_value(name, self.values, self._host_inputs)

    def _is_on_device(self, name: str) -> bool:
        """Whether the device makes a tensor: no constant, nothing that the user or the host has."""
        value = self.values.get(name)
        if name in self._made_on_host or not isinstance(value, SSAValue):
            return False
        return not (isinstance(value, BlockArgument) and value in self._users)
