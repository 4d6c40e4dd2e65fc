"""What makes an `onnx` op valid: its operands, results and attributes against the ONNX schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ArrayAttr, NoneType, StringAttr, TensorType
from xdsl.ir import Attribute

from dialects.onnx.attributes import has_kind
from dialects.onnx.inference import (
    NotATensorError,
    ShapeContradictionError,
    infer_open_results,
    infer_results,
)
from dialects.onnx.schemas import Arity, OperatorSchema, Parameter, onnx_type_string, parameter_at
from dialects.onnx.shape_rules import shape_problems
from dialects.onnx.translation import known_value, node_proto, value_type_of
from dialects.onnx.values import ValueType

if TYPE_CHECKING:
    import onnx

    from dialects.onnx.operations import OnnxOp


def problems_of(op: OnnxOp) -> list[str]:
    """Everything that is wrong with an op, as short sentences; empty if it is valid."""
    schema = op.schema()
    bound: dict[str, str] = {}
    problems = list(_attribute_problems(op, schema))
    problems += _count_problems("inputs", len(op.operands), schema.minimum_inputs, schema.maximum_inputs)
    problems += _type_problems("input", schema.inputs, op.operand_types, bound)
    problems += _count_problems("outputs", len(op.results), schema.minimum_outputs, schema.maximum_outputs)
    problems += _type_problems("output", schema.outputs, op.result_types, bound)
    problems += _output_name_problems(op)
    return problems or list(shape_problems(op))


def inference_problems(op: OnnxOp) -> Iterator[str]:
    """Where the result types of an op without other problems are not what ONNX infers for its operands."""
    try:
        known = tuple(known_value(operand) for operand in op.operands)
        found = tuple(value_type_of(kind) for kind in op.result_types)
        node = node_proto(op)
        inferred = infer_results(node, op.since_version, known)
        open_results: Mapping[str, onnx.TypeProto] = {}
        if None in inferred:
            open_results = infer_open_results(node, op.since_version, known)
    except TypeError:
        # NumPy has no such element type: nothing to compare with.
        return
    except (NotATensorError, ShapeContradictionError) as error:
        yield str(error)
        return
    for index, (expected, actual) in enumerate(zip(inferred, found, strict=True)):
        if expected is not None and actual is not None and expected != actual:
            yield f"output {index} has type {actual}, ONNX infers {expected}"
        elif expected is None and actual is not None and node.output[index] in open_results:
            yield from _open_problems(index, actual, open_results[node.output[index]])


def _open_problems(index: int, actual: ValueType, inferred: onnx.TypeProto) -> Iterator[str]:
    """Where a declared result is not what ONNX infers but for extents that it leaves open."""
    tensor = inferred.tensor_type
    if not tensor.HasField("shape"):
        return
    extents = [each.dim_value if each.HasField("dim_value") else None for each in tensor.shape.dim]
    if len(extents) != len(actual.shape) or any(
        want not in (None, have) for want, have in zip(extents, actual.shape, strict=True)
    ):
        text = ", ".join("?" if extent is None else str(extent) for extent in extents)
        yield f"output {index} has type {actual}, ONNX infers the shape [{text}]"


def _attribute_problems(op: OnnxOp, schema: OperatorSchema) -> Iterator[str]:
    for name, value in op.properties.items():
        known = schema.attributes.get(name)
        if name == "outputs":
            continue
        if known is None:
            yield f"unknown attribute {name!r}"
        elif known.kind is None:
            yield f"attribute {name!r} holds what the IR cannot represent"
        elif not has_kind(known.kind, value):
            yield f"attribute {name!r} must be of kind {known.kind}, found {value}"
    for name, known in schema.attributes.items():
        if known.required and name not in op.properties:
            yield f"required attribute {name!r} is missing"
    for name in op.attributes:
        if "." not in name:
            yield f"unknown attribute {name!r} (discardable attributes are named DIALECT.NAME)"


def _count_problems(what: str, count: int, minimum: int, maximum: int) -> Iterator[str]:
    if count < minimum:
        yield f"needs at least {minimum} {what}, has {count}"
    if count > maximum:
        yield f"takes at most {maximum} {what}, has {count}"


def _type_problems(
    what: str, parameters: tuple[Parameter, ...], types: Sequence[Attribute], bound: dict[str, str]
) -> Iterator[str]:
    for index, value_type in enumerate(types):
        parameter = parameter_at(parameters, index)
        if parameter is None:
            continue
        place = f"{what} {index} ({parameter.name})"
        if isinstance(value_type, NoneType):
            if parameter.arity is Arity.SINGLE:
                yield f"{place} is required"
            continue
        found = onnx_type_string(value_type)
        if found is None or not isinstance(value_type, TensorType):
            yield f"{place} has type {value_type}, which ONNX does not have"
            continue
        if any(extent < 0 for extent in value_type.get_shape()):
            yield f"{place} has a dynamic shape: {value_type}"
        if found not in parameter.allowed:
            yield f"{place} has type {found}, allowed are {', '.join(sorted(parameter.allowed))}"
        elif parameter.homogeneous and bound.setdefault(parameter.variable, found) != found:
            yield f"{place} has type {found}, but {parameter.variable} is {bound[parameter.variable]} here"


def _output_name_problems(op: OnnxOp) -> Iterator[str]:
    match op.properties.get("outputs"):
        case ArrayAttr(data=names) if all(isinstance(name, StringAttr) for name in names):
            pass
        case _:
            yield 'needs the names of its outputs: outputs = ["..."]'
            return
    if len(names) != len(op.results):
        yield f"has {len(op.results)} results and {len(names)} output names"
        return
    for index, (name, result) in enumerate(zip(op.output_names, op.results, strict=True)):
        if (name == "") != isinstance(result.type, NoneType):
            yield f"output {index} must have a name exactly if it has a value"
