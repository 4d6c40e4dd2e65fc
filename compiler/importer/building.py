"""One pass over the nodes: fold what is constant, infer types of the rest, emit ops."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from xdsl.builder import Builder
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, NoneType, StringAttr, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.rewriter import InsertPoint

from compiler.importer.graph import ModelGraph, NamedNode
from compiler.importer.inputs import StaticInput
from compiler.importer.loading import STAGE
from compiler.importer.nodes import ReadNode, double_narrowed, read_node
from compiler.importer.tensors import Array, read_initializer
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.element_types import element_type_of, numpy_dtype_of
from dialects.locations import node_location
from dialects.onnx import KnownValue, NoValueOp, OnnxOp, ValueType, operation_class
from dialects.onnx.inference import NotATensorError, ShapeContradictionError, infer_results, may_be_declared_larger
from dialects.onnx.translation import known_value
from dialects.onnx.verification import problems_of
from dialects.weights import ConstantOp
from passes.constant_evaluation import Node, fold

if TYPE_CHECKING:
    import onnx

_UNPRINTABLE = re.compile(r"[^A-Za-z0-9_$.-]")
_NUMBERED = re.compile(r"_(?=\d+(?:_\d+)*$)")


class ModuleBuilder:
    """Turns the nodes of a graph into the body of `func.func @main`.

    Every tensor of the graph is a constant (an array), a run-time value (an SSA value), or unknown because the
    node that makes it has an error; nodes that use an unknown one are passed over, so that an error shows once.
    """

    def __init__(self, graph: ModelGraph, folder: Path | None):
        self.graph = graph
        self.folder = folder
        self.problems: list[Diagnostic] = []
        self.values: dict[str, SSAValue | Array] = {}
        self.constants: dict[str, SSAValue] = {}
        self.after_dropped_windows: set[str] = set()
        """Tensors whose shapes may be declared larger than they are: a pool before them drops windows."""
        self.block = Block()
        self.builder = Builder(InsertPoint.at_end(self.block))

    def build(self, inputs: Sequence[StaticInput]) -> ModuleOp:
        """The module. Raises `CatenaError` with every problem found in any node."""
        for value in inputs:
            self._add_input(value)
        self._read_initializers()
        for node in self.graph.nodes:
            try:
                self._add_node(node)
            except CatenaError as error:
                self.problems += error.diagnostics
        results = self._outputs()
        if self.problems:
            raise CatenaError(self.problems)
        self.builder.insert(ReturnOp(*results))
        arguments = zip(inputs, self.block.args, strict=True)
        function = FuncOp(
            "main",
            (self.block.arg_types, [value.type for value in results]),
            Region(self.block),
            arg_attrs=_named((each.name, each.element_type, value) for each, value in arguments),
            res_attrs=_named(
                (each.name, each.type.tensor_type.elem_type, value)
                for each, value in zip(self.graph.outputs, results, strict=True)
            ),
        )
        return ModuleOp([function])

    def _add_input(self, value: StaticInput) -> None:
        from onnx import helper

        try:
            dtype = _runtime_dtype(np.dtype(helper.tensor_dtype_to_np_dtype(value.element_type)))
            element_type = element_type_of(dtype)
        except (KeyError, TypeError):
            self.problems.append(_unsupported_type(f"input {value.name!r}", value.element_type))
            return
        argument = self.block.insert_arg(TensorType(element_type, value.shape), len(self.block.args))
        argument.name_hint = value_hint(value.name)
        self.values[value.name] = argument

    def _read_initializers(self) -> None:
        used = {name for node in self.graph.nodes for name in node.proto.input}
        used.update(value.name for value in self.graph.outputs)
        for name, tensor in self.graph.initializers.items():
            if name in used:
                try:
                    self.values[name] = read_initializer(name, tensor, self.folder)
                except CatenaError as error:
                    self.problems += error.diagnostics

    def _add_node(self, named: NamedNode) -> None:
        names = tuple(named.proto.input)
        if any(name and name not in self.values for name in names):
            return
        node = read_node(named, self.folder)
        inputs = tuple(self._known(name) for name in names)
        operation = operation_class(node.proto.op_type, self.graph.opset)
        # Shape arithmetic keeps float64; what meets a run-time value is float32 from there on.
        if not _all_constant(inputs):
            node, inputs = double_narrowed(node), _narrowed(inputs)
        results = _infer(node, operation, inputs)
        folded = fold(Node(operation.op_type, operation.since_version, node.attributes, inputs, results))
        if folded is not None:
            for name, value in zip(node.proto.output, folded, strict=True):
                self.values[name] = self.values[names[value]] if isinstance(value, int) else value
            return
        if _all_constant(inputs):
            node, inputs = double_narrowed(node), _narrowed(inputs)
            results = _infer(node, operation, inputs)
        if may_be_declared_larger(node.proto, operation.since_version, inputs) or (
            not self.after_dropped_windows.isdisjoint(names)
        ):
            self.after_dropped_windows.update(node.proto.output)
        self._add_op(node, operation, results)

    def _known(self, name: str) -> KnownValue | None:
        if not name:
            return None
        value = self.values[name]
        return known_value(value) if isinstance(value, SSAValue) else KnownValue.of(value)

    def _add_op(self, node: ReadNode, operation: type[OnnxOp], results: tuple[ValueType | None, ...]) -> None:
        outputs = tuple(node.proto.output)
        result_types = [_result_type(node, name, result) for name, result in zip(outputs, results, strict=True)]
        operands = [self._value(name, node.name) for name in _without_trailing_gaps(node.proto.input)]
        op = operation.of(operands, result_types, outputs=outputs, attributes=node.attributes, node=node.name)
        self.builder.insert(op)
        self.problems += (
            Diagnostic("CAT-M003", f"{op.op_type}: {problem}", stage=STAGE, node=node.name)
            for problem in problems_of(op)
        )
        for name, result in zip(outputs, op.results, strict=True):
            if name:
                result.name_hint = value_hint(name)
                self.values[name] = result

    def _value(self, name: str, user: str) -> SSAValue:
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
            op = ConstantOp.of(array.astype(_runtime_dtype(array.dtype), copy=False))
        except TypeError as error:
            raise CatenaError(_unsupported_type(f"tensor {name!r}", array.dtype)) from error
        op.location = node_location(name)
        op.result.name_hint = value_hint(name)
        self.builder.insert(op)
        return op.result

    def _outputs(self) -> list[SSAValue]:
        results: list[SSAValue] = []
        for declared in self.graph.outputs:
            if declared.name not in self.values:
                continue
            try:
                value = self._value(declared.name, declared.name)
            except CatenaError as error:
                self.problems += error.diagnostics
                continue
            results.append(value)
            self.problems += _contradictions(declared, value, declared.name in self.after_dropped_windows)
        return results


def value_hint(name: str) -> str | None:
    """A name for an SSA value that resembles the tensor's and prints the same after every round trip.

    xDSL drops a trailing `_3` from a hint, so `_` before trailing numbers becomes `.`.
    """
    text = _NUMBERED.sub(".", _UNPRINTABLE.sub("_", name))
    return f"t{text}" if text[:1].isdigit() else text or None


def _named(values: Iterable[tuple[str, int, SSAValue]]) -> ArrayAttr[DictionaryAttr]:
    """The names of function arguments or results, and their ONNX types where others are carried."""
    entries: list[DictionaryAttr] = []
    for name, declared, value in values:
        entry: dict[str, Attribute] = {"onnx.name": StringAttr(name)}
        kind = value.type
        assert isinstance(kind, TensorType)
        dtype = _declared_dtype(declared)
        if dtype is not None and dtype != numpy_dtype_of(kind.element_type):
            entry["onnx.dtype"] = StringAttr(dtype.name)
        entries.append(DictionaryAttr(entry))
    return ArrayAttr(entries)


def _declared_dtype(element_type: int) -> np.dtype[Any] | None:
    """The NumPy type of a `TensorProto.DataType`, None for an undefined one."""
    from onnx import helper

    return np.dtype(helper.tensor_dtype_to_np_dtype(element_type)) if element_type else None


def _without_trailing_gaps(names: Sequence[str]) -> tuple[str, ...]:
    count = max((index + 1 for index, name in enumerate(names) if name), default=0)
    return tuple(names[:count])


def _runtime_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The element type that a value has at run time: floats other than float32 become float32."""
    return np.dtype(np.float32) if dtype.name in ("float16", "bfloat16", "float64") else dtype


def _infer(
    node: ReadNode, operation: type[OnnxOp], inputs: tuple[KnownValue | None, ...]
) -> tuple[ValueType | None, ...]:
    """Result types of a node. Raises `CatenaError`: CAT-M003 for a contradiction, CAT-U002 for other than tensors."""
    if operation.op_type == "Constant":
        return (None,)
    try:
        return infer_results(node.proto, operation.since_version, inputs)
    except ShapeContradictionError as error:
        code, message = "CAT-M003", f"shape inference of {operation.op_type} failed: {error}"
    except NotATensorError as error:
        code, message = "CAT-U002", f"{operation.op_type} makes something else than a tensor: {error}"
    types = ", ".join(str(value.type) for value in inputs if value is not None)
    raise CatenaError(Diagnostic(code, message, stage=STAGE, node=node.name, found=types))


def _all_constant(inputs: Iterable[KnownValue | None]) -> bool:
    return all(value is None or value.array is not None for value in inputs)


def _narrowed(inputs: Iterable[KnownValue | None]) -> tuple[KnownValue | None, ...]:
    """The inputs with float64 constants as float32."""
    return tuple(
        KnownValue.of(value.array.astype(np.float32))
        if value is not None and value.array is not None and value.array.dtype == np.float64
        else value
        for value in inputs
    )


def _result_type(node: ReadNode, name: str, result: ValueType | None) -> Attribute:
    if not name:
        return NoneType()
    if result is None:
        raise CatenaError(
            Diagnostic(
                "CAT-U002",
                f"the shape of output {name!r} of {node.proto.op_type} is not known before run time",
                stage=STAGE,
                node=node.name,
                expected="a shape that follows from the shapes of the inputs",
                hint="it depends on the values of a run-time tensor; cut the model before this node",
            )
        )
    try:
        return TensorType(element_type_of(result.dtype), result.shape)
    except TypeError as error:
        raise CatenaError(_unsupported_type(f"output {name!r}", result.dtype, node.name)) from error


def _unsupported_type(what: str, found: object, node: str = "") -> Diagnostic:
    return Diagnostic(
        "CAT-U002",
        f"the element type of {what} is not supported",
        stage=STAGE,
        node=node,
        expected="float, integer or bool",
        found=str(found),
    )


def _contradictions(declared: onnx.ValueInfoProto, value: SSAValue, may_be_larger: bool) -> Iterator[Diagnostic]:
    """Where the type that the model declares for an output is not the one that follows from its nodes.

    Extents that are declared larger pass if they may be: older tools count windows of pools that nothing computes.
    """
    kind = value.type
    if declared.type.WhichOneof("value") != "tensor_type" or not isinstance(kind, TensorType):
        return
    tensor = declared.type.tensor_type
    extents = [dimension.dim_value or None for dimension in tensor.shape.dim]
    shape = kind.get_shape()
    same_shape = not tensor.HasField("shape") or (
        len(extents) == len(shape)
        and all(
            extent in (None, found) or (may_be_larger and extent > found)
            for extent, found in zip(extents, shape, strict=True)
        )
    )
    declared_dtype = _declared_dtype(tensor.elem_type)
    dtype = numpy_dtype_of(kind.element_type)
    if not same_shape or (declared_dtype is not None and _runtime_dtype(declared_dtype) != dtype):
        yield Diagnostic(
            "CAT-M003",
            f"output {declared.name!r} is declared with another type than its node gives it",
            stage=STAGE,
            expected=f"{declared_dtype} {extents}",
            found=f"{dtype} {list(shape)}",
        )
