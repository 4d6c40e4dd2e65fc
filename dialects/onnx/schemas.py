"""The ONNX operator schemas as plain Python values, read from `onnx.defs` when first asked for."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy.typing as npt
from xdsl.dialects.builtin import BFloat16Type, ComplexType, IntegerType, Signedness, TensorType
from xdsl.ir import Attribute

from dialects.element_types import numpy_dtype_of

if TYPE_CHECKING:
    import onnx

AttributeValue: TypeAlias = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | npt.NDArray[Any]


class AttributeKind(StrEnum):
    """The kinds of ONNX attribute (`AttributeProto.AttributeType`) that the IR can hold."""

    INT = "INT"
    INTS = "INTS"
    FLOAT = "FLOAT"
    FLOATS = "FLOATS"
    STRING = "STRING"
    STRINGS = "STRINGS"
    TENSOR = "TENSOR"


class Arity(StrEnum):
    """How many values one formal parameter stands for."""

    SINGLE = "Single"
    OPTIONAL = "Optional"
    VARIADIC = "Variadic"


@dataclass(frozen=True)
class Parameter:
    """One formal input or output.

    `variable` is the type variable (or the literal type) that binds its element type, `allowed` the ONNX type
    strings it may take. The values of a heterogeneous variadic parameter need not agree.
    """

    name: str
    arity: Arity
    homogeneous: bool
    minimum: int
    variable: str
    allowed: frozenset[str]


@dataclass(frozen=True)
class AttributeSchema:
    """One attribute: `kind` is None for what the IR cannot hold (graphs, sparse tensors, types)."""

    name: str
    kind: AttributeKind | None
    required: bool
    default: AttributeValue | None


@dataclass(frozen=True)
class OperatorSchema:
    """One version of one operator of the default domain."""

    op_type: str
    since_version: int
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    minimum_inputs: int
    maximum_inputs: int
    minimum_outputs: int
    maximum_outputs: int
    attributes: dict[str, AttributeSchema]
    deprecated: bool
    deterministic: bool

    def input_index(self, name: str) -> int:
        """The position of a formal input. Raises `KeyError` for a name the schema does not have."""
        return _index_of(self.inputs, name, f"{self.op_type} (version {self.since_version}) has no input")

    def output_index(self, name: str) -> int:
        """The position of a formal output. Raises `KeyError` for a name the schema does not have."""
        return _index_of(self.outputs, name, f"{self.op_type} (version {self.since_version}) has no output")


def _index_of(parameters: tuple[Parameter, ...], name: str, problem: str) -> int:
    for index, parameter in enumerate(parameters):
        if parameter.name == name:
            return index
    raise KeyError(f"{problem} {name!r}; it has {', '.join(p.name for p in parameters) or 'none'}")


def parameter_at(parameters: tuple[Parameter, ...], index: int) -> Parameter | None:
    """The formal parameter that the actual value at `index` belongs to: the last one if it is variadic."""
    if index < len(parameters):
        return parameters[index]
    if parameters and parameters[-1].arity is Arity.VARIADIC:
        return parameters[-1]
    return None


@functools.cache
def operator_schema(op_type: str, since_version: int) -> OperatorSchema:
    """The schema of one operator version. Raises `KeyError` if there is none."""
    from onnx import defs

    try:
        schema = defs.get_schema(op_type, max_inclusive_version=since_version, domain="")
    except defs.SchemaError:
        raise KeyError(f"no operator {op_type} in version {since_version}") from None
    if schema.since_version != since_version:
        raise KeyError(f"operator {op_type} has no version {since_version}")
    constraints = {
        constraint.type_param_str: frozenset(constraint.allowed_type_strs) for constraint in schema.type_constraints
    }
    return OperatorSchema(
        op_type=schema.name,
        since_version=schema.since_version,
        inputs=tuple(_parameter(formal, constraints) for formal in schema.inputs),
        outputs=tuple(_parameter(formal, constraints) for formal in schema.outputs),
        minimum_inputs=schema.min_input,
        maximum_inputs=schema.max_input,
        minimum_outputs=schema.min_output,
        maximum_outputs=schema.max_output,
        attributes={name: _attribute(attribute) for name, attribute in sorted(schema.attributes.items())},
        deprecated=schema.deprecated,
        deterministic=schema.name not in RANDOM_OPERATORS,
    )


def _parameter(formal: onnx.defs.OpSchema.FormalParameter, constraints: dict[str, frozenset[str]]) -> Parameter:
    return Parameter(
        name=formal.name,
        arity=Arity(_enum_name(formal.option)),
        homogeneous=formal.is_homogeneous,
        minimum=formal.min_arity,
        variable=formal.type_str,
        allowed=constraints.get(formal.type_str, frozenset({formal.type_str})),
    )


def _enum_name(value: Any) -> str:
    """The name of a member of an enumeration of `onnx.defs`, whose type stubs do not declare `name`."""
    return value.name


def _attribute(attribute: onnx.defs.OpSchema.Attribute) -> AttributeSchema:
    name = _enum_name(attribute.type)
    kind = AttributeKind(name) if name in AttributeKind.__members__ else None
    default = None if kind is None else python_value(attribute.default_value)
    return AttributeSchema(attribute.name, kind, attribute.required, default)


def python_value(attribute: onnx.AttributeProto) -> AttributeValue | None:
    """The value of an `AttributeProto`; None if it has none or one that the IR cannot hold.

    Raises `UnicodeDecodeError` for a string that is not UTF-8, and what `onnx.numpy_helper` raises for a
    damaged tensor (`ValueError`, `TypeError`).
    """
    from onnx import AttributeProto, numpy_helper

    match attribute.type:
        case AttributeProto.INT:
            return attribute.i
        case AttributeProto.INTS:
            return tuple(attribute.ints)
        case AttributeProto.FLOAT:
            return attribute.f
        case AttributeProto.FLOATS:
            return tuple(attribute.floats)
        case AttributeProto.STRING:
            return attribute.s.decode()
        case AttributeProto.STRINGS:
            return tuple(text.decode() for text in attribute.strings)
        case AttributeProto.TENSOR:
            return numpy_helper.to_array(attribute.t)
        case _:
            return None


RANDOM_OPERATORS = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
"""Operators whose equal inputs need not give equal outputs."""


@dataclass(frozen=True)
class OperatorVersion:
    """The identity of one operator version and the name of its op in the dialect."""

    op_type: str
    since_version: int
    op_name: str
    deterministic: bool


def operator_versions() -> Iterator[OperatorVersion]:
    """Every version of every operator of the default domain, newest first."""
    from onnx import defs

    schemas = [schema for schema in defs.get_all_schemas_with_history() if schema.domain == ""]
    schemas.sort(key=lambda schema: (schema.name, -schema.since_version))
    return (operator_version(schema.name, schema.since_version) for schema in schemas)


def operator_version(op_type: str, since_version: int) -> OperatorVersion:
    """One version of an operator of the default domain.

    The newest version is `onnx.Conv`, the others `onnx.Conv_v1` and so on.
    """
    from onnx import defs

    is_newest = since_version == defs.get_schema(op_type, domain="").since_version
    suffix = "" if is_newest else f"_v{since_version}"
    return OperatorVersion(op_type, since_version, f"onnx.{op_type}{suffix}", op_type not in RANDOM_OPERATORS)


@functools.cache
def onnx_type_string(value_type: Attribute) -> str | None:
    """The ONNX name of a value's type, such as `tensor(float)`; None if ONNX has no such type."""
    match value_type:
        case TensorType(element_type=element_type):
            name = _element_type_name(element_type)
            return None if name is None else f"tensor({name})"
        case _:
            return None


_NAMES_OF_DTYPES = {
    "float32": "float",
    "float64": "double",
    "float8_e4m3fn": "float8e4m3fn",
    "float8_e4m3fnuz": "float8e4m3fnuz",
    "float8_e5m2": "float8e5m2",
    "float8_e5m2fnuz": "float8e5m2fnuz",
    "float8_e8m0fnu": "float8e8m0",
    "float4_e2m1fn": "float4e2m1",
}


def _element_type_name(element_type: Attribute) -> str | None:
    match element_type:
        case BFloat16Type():
            return "bfloat16"
        case ComplexType(element_type=inner):
            return {"float": "complex64", "double": "complex128"}.get(_element_type_name(inner) or "")
        case IntegerType(width=width, signedness=sign) if width.data in (2, 4):
            return f"{'u' if sign.data is Signedness.UNSIGNED else ''}int{width.data}"
        case _:
            pass
    try:
        name = numpy_dtype_of(element_type).name
    except TypeError:
        return None
    return _NAMES_OF_DTYPES.get(name, name)
