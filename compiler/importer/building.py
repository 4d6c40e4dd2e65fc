"""One pass over the nodes: fold what is constant, infer types of the rest, emit ops."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from xdsl.builder import Builder
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, OpResult, Region, SSAValue
from xdsl.rewriter import InsertPoint

from compiler.importer.control_flow import CONTROL_FLOW, expand_control_flow
from compiler.importer.declared_shapes import declared_results
from compiler.importer.functions import function_body
from compiler.importer.graph import ModelGraph, NamedNode, prepare_body
from compiler.importer.inlining import UNROLL_LIMIT
from compiler.importer.inputs import StaticInput
from compiler.importer.loading import STAGE
from compiler.importer.node_types import (
    all_constant,
    contradictions,
    declared_dtype,
    has_double,
    infer,
    narrowed,
    not_folded,
    result_type,
    runtime_dtype,
    unsupported_type,
)
from compiler.importer.nodes import ReadNode, double_narrowed, read_node
from compiler.importer.scopes import Body, Scope, UniqueNames
from compiler.importer.support import custom_operator
from compiler.importer.symbols import with_equal_extents
from compiler.importer.tensors import Array, read_initializer
from dialects.diagnostics import CatenaError, Diagnostic, memory_for
from dialects.element_types import element_type_of, numpy_dtype_of
from dialects.locations import node_location
from dialects.onnx import KnownValue, NoValueOp, OnnxOp, ValueType, operation_class
from dialects.onnx.inference import may_be_declared_larger
from dialects.onnx.translation import known_value
from dialects.onnx.verification import problems_of
from dialects.weights import ConstantOp
from passes.constant_evaluation import ConstantBudget, Node, fold, too_large
from passes.lower_onnx.table import LOWERINGS

if TYPE_CHECKING:
    import onnx

LOG = logging.getLogger("catena.import")

_UNPRINTABLE = re.compile(r"[^A-Za-z0-9_$.-]")
_NUMBERED = re.compile(r"_(?=\d+(?:_\d+)*$)")


class ModuleBuilder:
    """Turns the nodes of a graph into the body of `func.func @main`.

    Every tensor of the graph is a constant (an array), a run-time value (an SSA value), or unknown because the
    node that makes it has an error; nodes that use an unknown one are passed over, so that an error shows once.
    Control flow and functions are replaced by copies of their bodies, whose names are made unique (`Scope`).
    """

    def __init__(self, graph: ModelGraph, folder: Path | None):
        self.graph = graph
        self.folder = folder
        self.problems: list[Diagnostic] = []
        self.doubles: list[str] = []
        """Inputs and nodes with values of float64, which are float32 from there on."""
        self.values: dict[str, SSAValue | Array] = {}
        self.budget = ConstantBudget()
        self.constants: dict[str, SSAValue] = {}
        self.after_dropped_windows: set[str] = set()
        """Tensors whose shapes may be declared larger than they are: a pool before them drops windows."""
        self.block = Block()
        self.builder = Builder(InsertPoint.at_end(self.block))
        self.scope = Scope.of_model(graph)
        self.tensor_names = UniqueNames(self.scope.names)
        self.node_names = UniqueNames(node.name for node in graph.nodes)
        self.bodies: dict[int, tuple[onnx.GraphProto, ModelGraph]] = {}
        """Checked subgraphs by the identity of their messages, which are kept so that none is used again."""
        self.unrolled = 0
        self.inputs: list[StaticInput] = []

    @cached_property
    def declared(self) -> Mapping[str, onnx.ValueInfoProto]:
        """What the model says of its tensors, and what follows from that; needed only where inference is at its end."""
        return with_equal_extents(self.graph, self.inputs)

    def build(self, inputs: Sequence[StaticInput]) -> ModuleOp:
        """The module. Raises `CatenaError` with every problem found in any node."""
        for value in inputs:
            self.add_input(value)
        self.read_initializers(self.graph, self.scope)
        self.add_nodes(self.graph.nodes, self.scope)
        results = self.outputs(self.graph.outputs)
        return self.module(ports_of_inputs(inputs, self.block.args), results, ports_of(self.graph.outputs, results))

    def module(
        self, argument_ports: list[DictionaryAttr], results: Sequence[SSAValue], result_ports: list[DictionaryAttr]
    ) -> ModuleOp:
        """The module of what has been imported. Raises `CatenaError` with every problem found."""
        if self.problems:
            raise CatenaError(self.problems)
        if self.doubles:
            first, *others = self.doubles
            more = f" and {len(others)} more" if others else ""
            LOG.warning("float64 is computed and stored as float32, with 24 instead of 53 bits: %s%s", first, more)
        self.builder.insert(ReturnOp(*results))
        function = FuncOp(
            "main",
            (self.block.arg_types, [value.type for value in results]),
            Region(self.block),
            arg_attrs=ArrayAttr(argument_ports),
            res_attrs=ArrayAttr(result_ports),
        )
        return ModuleOp([function])

    def add_input(self, value: StaticInput) -> None:
        """An argument of the function; a problem if the IR has no such element type."""
        from onnx import TensorProto, helper

        try:
            dtype = runtime_dtype(np.dtype(helper.tensor_dtype_to_np_dtype(value.element_type)))
            element_type = element_type_of(dtype)
        except (KeyError, TypeError):
            self.problems.append(unsupported_type(f"input {value.name!r}", value.element_type))
            return
        if value.element_type == TensorProto.DOUBLE:
            self.doubles.append(f"input {value.name!r}")
        self.inputs.append(value)
        argument = self.block.insert_arg(TensorType(element_type, value.shape), len(self.block.args))
        argument.name_hint = value_hint(value.name)
        # What holds no elements is known without being read.
        self.values[value.name] = argument if math.prod(value.shape) else np.zeros(value.shape, dtype)

    def read_initializers(self, graph: ModelGraph, scope: Scope) -> None:
        """Make the initializers that a graph uses known."""
        used = {name for node in graph.nodes for name in node.uses}
        used.update(value.name for value in graph.outputs)
        for name, tensor in graph.initializers.items():
            if name in used:
                try:
                    self.values[scope.resolve(name)] = read_initializer(name, tensor, self.folder, self.budget)
                except CatenaError as error:
                    self.problems += error.diagnostics

    def add_nodes(self, nodes: Iterable[NamedNode], scope: Scope) -> None:
        """Import nodes of a graph whose names lead where `scope` says; problems are collected."""
        for node in nodes:
            try:
                localized = scope.localized(node, self.node_names)
                with memory_for(localized.name, STAGE):
                    self.add_node(localized, scope)
            except CatenaError as error:
                self.problems += error.diagnostics

    def add_node(self, named: NamedNode, scope: Scope) -> None:
        """Fold a node, expand it or emit its op. Raises `CatenaError` with what is wrong with it."""
        if any(name not in self.values for name in named.uses):
            return
        if named.proto.op_type in CONTROL_FLOW and not named.proto.domain:
            self._alias(named.proto.output, expand_control_flow(named, scope, self))
            return
        if named.proto.domain:
            types = [None if known is None else known.type for known in map(self._known, named.proto.input)]
            if not self._expand_function(named, named.proto, types, scope):
                raise CatenaError(custom_operator(named.name, named.proto))
            return
        node = read_node(named, self.folder, self.budget)
        names = tuple(node.proto.input)
        inputs = tuple(self._known(name) for name in names)
        operation = operation_class(node.proto.op_type, scope.opsets[""])
        # Shape arithmetic keeps float64; what meets a run-time value is float32 from there on.
        if not all_constant(inputs):
            if has_double(node, inputs):
                self.doubles.append(f"node {node.name!r}")
            node, inputs = double_narrowed(node), narrowed(inputs)
        results = inferred = infer(node, operation, inputs)
        if node.proto.op_type == "Constant" and scope.parent is None:
            self.budget.give(sum(value.nbytes for value in node.attributes.values() if isinstance(value, np.ndarray)))
        evaluated = Node(operation.op_type, operation.since_version, node.attributes, inputs, results)
        folded = fold(evaluated, self.budget)
        if folded is not None:
            for name, value in zip(node.proto.output, folded, strict=True):
                self.values[name] = self.values[names[value]] if isinstance(value, int) else value
            return
        is_open = any(name and result is None for name, result in zip(node.proto.output, results, strict=True))
        if is_open and _takes_declared_extents(operation.op_type):
            results = declared_results(node, operation, inputs, results, self.declared)
        # What is all known folds in the body of a window function, whose lowering is for a size that a run has.
        folds = all_constant(inputs) and _takes_declared_extents(operation.op_type)
        has_links = operation.op_type in LOWERINGS and not folds
        excess = None if has_links else too_large(evaluated, self.budget)
        if excess is not None:
            raise CatenaError(not_folded(node, *excess))
        if not has_links and any(result is not None for result in results):
            types = [None if known is None else known.type for known in inputs]
            if self._expand_function(named, node.proto, types, scope):
                return
        if all_constant(inputs):
            given = (node, *inputs)
            node, inputs = double_narrowed(node), narrowed(inputs)
            is_same = all(new is old for new, old in zip((node, *inputs), given, strict=True))
            results = inferred if is_same else infer(node, operation, inputs)
        if may_be_declared_larger(node.proto, operation.since_version, inputs) or (
            not self.after_dropped_windows.isdisjoint(names)
        ):
            self.after_dropped_windows.update(node.proto.output)
        self._add_op(node, operation, results)

    def _expand_function(
        self, named: NamedNode, proto: onnx.NodeProto, types: Sequence[ValueType | None], scope: Scope
    ) -> bool:
        """Import the body by which ONNX defines an operator; False if it has none."""
        found = function_body(proto, scope.opsets[proto.domain], types)
        if found is None:
            return False
        graph, opsets = found
        body = self._body(graph, named, Scope({}, {**scope.opsets, **opsets}, scope, f"{named.name}/"))
        self._alias([name for name in proto.output if name], self.inline(body, tuple(proto.input)))
        return True

    def _alias(self, names: Iterable[str], sources: Sequence[str] | None) -> None:
        """Let the outputs of a node that was expanded stand for these tensors; None after a problem."""
        for name, source in zip(names, sources or (), strict=False):
            if not name or source not in self.values:
                continue
            value = self.values[name] = self.values[source]
            if source in self.after_dropped_windows:
                self.after_dropped_windows.add(name)
            if isinstance(value, OpResult) and isinstance(value.op, OnnxOp) and source not in self.scope.names:
                value.op.rename_output(value.index, name)

    def body_of(self, node: NamedNode, attribute: str, scope: Scope) -> Body:
        """As `Inliner.body_of`."""
        graph = node.bodies.get(attribute)
        if graph is None:
            message = f"{node.proto.op_type} has no attribute {attribute!r}"
            raise CatenaError(Diagnostic("CAT-M001", message, stage=STAGE, node=node.name))
        return self._body(graph, node, Scope({}, scope.opsets, scope, f"{node.name}/"))

    def _body(self, graph: onnx.GraphProto, node: NamedNode, scope: Scope) -> Body:
        """A graph within the model, checked once; its initializers are read into `scope`."""
        if id(graph) not in self.bodies:
            checked = prepare_body(graph, scope.opsets, self.graph.ir_version, scope.knows)
            self.bodies[id(graph)] = (graph, checked)
        _, checked = self.bodies[id(graph)]
        for name in checked.initializers:
            scope.names[name] = self.tensor_names.fresh(scope.local(name))
        self.read_initializers(checked, scope)
        return Body(checked, scope, self.tensor_names)

    def inline(self, body: Body, arguments: Sequence[str], suffix: str = "") -> tuple[str, ...] | None:
        """As `Inliner.inline`."""
        before = len(self.problems)
        copy = body.copy(arguments, suffix)
        self.add_nodes(body.graph.nodes, copy)
        return body.results(copy) if len(self.problems) == before else None

    def constant(self, name: str) -> Array | None:
        """As `Inliner.constant`."""
        value = self.values[name]
        return None if isinstance(value, SSAValue) else value

    def value_type(self, name: str) -> ValueType:
        """As `Inliner.value_type`."""
        known = self._known(name)
        assert known is not None, name
        return known.type

    def declared_extent(self, name: str) -> int | None:
        """As `Inliner.declared_extent`."""
        if name not in self.declared:
            return None
        extents = self.declared[name].type.tensor_type.shape.dim
        return (extents[0].dim_value or None) if extents else None

    def define(self, name: str, array: Array) -> str:
        """As `Inliner.define`."""
        unique = self.tensor_names.fresh(name)
        self.values[unique] = array
        return unique

    def emit(self, node: onnx.NodeProto, scope: Scope) -> str:
        """As `Inliner.emit`."""
        (name,) = node.output
        node.output[0] = self.tensor_names.fresh(name)
        self.add_node(NamedNode(self.node_names.fresh(node.name), node), scope)
        return node.output[0]

    def charge(self, node: NamedNode, count: int, copies: int = 1) -> None:
        """As `Inliner.charge`."""
        self.unrolled += max(count, 1) * copies
        if self.unrolled > UNROLL_LIMIT:
            raise CatenaError(
                Diagnostic(
                    "CAT-U004",
                    f"unrolling {node.proto.op_type} makes too many nodes",
                    stage=STAGE,
                    node=node.name,
                    expected=f"at most {UNROLL_LIMIT} nodes in all unrolled loops",
                    found=f"{self.unrolled} or more",
                    hint="export a shorter sequence, or an operator that holds the loop (LSTM, GRU)",
                )
            )

    def _known(self, name: str) -> KnownValue | None:
        if not name:
            return None
        value = self.values[name]
        return known_value(value) if isinstance(value, SSAValue) else KnownValue.of(value)

    def _add_op(self, node: ReadNode, operation: type[OnnxOp], results: tuple[ValueType | None, ...]) -> None:
        outputs = tuple(node.proto.output)
        unknown = [name for name in node.attributes if name not in operation.schema().attributes]
        if unknown:
            message = f"{node.proto.op_type} has no attribute {unknown[0]!r}"
            raise CatenaError(Diagnostic("CAT-M001", message, stage=STAGE, node=node.name))
        may_be_declared = None in results and _takes_declared_extents(operation.op_type)
        result_types = [
            result_type(node, name, result, may_be_declared) for name, result in zip(outputs, results, strict=True)
        ]
        operands = [self.value(name, node.name) for name in _without_trailing_gaps(node.proto.input)]
        op = operation.of(operands, result_types, outputs=outputs, attributes=node.attributes, node=node.name)
        self.builder.insert(op)
        self.problems += (
            Diagnostic("CAT-M003", f"{op.op_type}: {problem}", stage=STAGE, node=node.name)
            for problem in problems_of(op)
        )
        for name, result, kind in zip(outputs, op.results, results, strict=True):
            if name:
                result.name_hint = value_hint(name)
                self.values[name] = np.zeros(kind.shape, kind.dtype) if kind is not None and not kind.size else result

    def value(self, name: str, user: str) -> SSAValue:
        """The SSA value of a tensor; a constant becomes an op where it is first used."""
        value = self.values.get(name)
        if isinstance(value, SSAValue):
            return value
        if name not in self.constants:
            self.constants[name] = self._no_value(user) if value is None else self._constant(name, value)
        return self.constants[name]

    def _no_value(self, user: str) -> SSAValue:
        op = NoValueOp()
        op.location = node_location(user)
        self.builder.insert(op)
        return op.result

    def _constant(self, name: str, array: Array) -> SSAValue:
        try:
            op = ConstantOp.of(array.astype(runtime_dtype(array.dtype), copy=False))
        except TypeError as error:
            raise CatenaError(unsupported_type(f"tensor {name!r}", array.dtype)) from error
        op.location = node_location(name)
        op.result.name_hint = value_hint(name)
        self.builder.insert(op)
        return op.result

    def outputs(self, declared: Iterable[onnx.ValueInfoProto]) -> list[SSAValue]:
        """The values of those outputs that are known; types other than the declared ones are problems."""
        results: list[SSAValue] = []
        for output in declared:
            if output.name not in self.values:
                continue
            try:
                value = self.value(output.name, output.name)
            except CatenaError as error:
                self.problems += error.diagnostics
                continue
            results.append(value)
            self.problems += contradictions(output, value, output.name in self.after_dropped_windows)
        return results


def value_hint(name: str) -> str | None:
    """A name for an SSA value that resembles the tensor's and prints the same after every round trip.

    xDSL drops a trailing `_3` from a hint, so `_` before trailing numbers becomes `.`.
    """
    text = _NUMBERED.sub(".", _UNPRINTABLE.sub("_", name))
    return f"t{text}" if text[:1].isdigit() else text or None


def ports_of_inputs(inputs: Iterable[StaticInput], values: Iterable[SSAValue]) -> list[DictionaryAttr]:
    """The attributes of arguments: their ONNX names, and their ONNX types where others are carried.

    After a problem there may be fewer values than inputs.
    """
    return [_port(each.name, each.element_type, value) for each, value in zip(inputs, values, strict=False)]


def ports_of(outputs: Iterable[onnx.ValueInfoProto], values: Iterable[SSAValue]) -> list[DictionaryAttr]:
    """As `ports_of_inputs`, for results."""
    pairs = zip(outputs, values, strict=False)
    return [_port(each.name, each.type.tensor_type.elem_type, value) for each, value in pairs]


def _port(name: str, declared: int, value: SSAValue) -> DictionaryAttr:
    entry: dict[str, Attribute] = {"onnx.name": StringAttr(name)}
    kind = value.type
    assert isinstance(kind, TensorType)
    dtype = declared_dtype(declared)
    if dtype is not None and dtype != numpy_dtype_of(kind.element_type):
        entry["onnx.dtype"] = StringAttr(dtype.name)
    return DictionaryAttr(entry)


def _takes_declared_extents(op_type: str) -> bool:
    return op_type in LOWERINGS and LOWERINGS[op_type].declared_extents


def _without_trailing_gaps(names: Sequence[str]) -> tuple[str, ...]:
    count = max((index + 1 for index, name in enumerate(names) if name), default=0)
    return tuple(names[:count])
