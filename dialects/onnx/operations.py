"""The ops of the `onnx` dialect: one class for each operator version, all driven by `OnnxOp`."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import ArrayAttr, NoneType, StringAttr, TensorType
from xdsl.ir import Attribute, Dialect, Operation, OpResult, OpTraits, SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition, result_def, traits_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from dialects.locations import node_location
from dialects.onnx.attributes import from_attribute, parse_value, print_value, string_array, to_attribute
from dialects.onnx.schemas import (
    Arity,
    AttributeKind,
    AttributeValue,
    OperatorSchema,
    operator_schema,
    operator_version,
    operator_versions,
)

OUTPUTS = "outputs"
"""The property with the ONNX names of an op's results; no ONNX operator has an attribute of this name."""


@irdl_op_definition
class NoValueOp(IRDLOperation):
    """Stands for an optional input that a node leaves out before one that it gives."""

    name = "onnx.NoValue"

    result = result_def(NoneType)

    traits = traits_def(Pure())

    assembly_format = "attr-dict `:` type($result)"

    def __init__(self) -> None:
        super().__init__(result_types=[NoneType()])


class OnnxOp(Operation):
    """An ONNX operator. Operands and results are the node's inputs and outputs, in order.

    Trailing optional inputs that the node leaves out are left out; one in the middle is an `onnx.NoValue`. An
    optional output without a name has type `none`. Text form:

        %y = onnx.Conv(%x, %w) {strides = [2, 2], outputs = ["y"]} : (tensor<..>, tensor<..>) -> tensor<..>
    """

    op_type: ClassVar[str]
    since_version: ClassVar[int]

    @classmethod
    def schema(cls) -> OperatorSchema:
        """The ONNX schema of this version of the operator."""
        return operator_schema(cls.op_type, cls.since_version)

    @classmethod
    def of(
        cls,
        operands: Sequence[SSAValue],
        result_types: Sequence[Attribute],
        *,
        outputs: Sequence[str],
        attributes: Mapping[str, AttributeValue] | None = None,
        node: str | None = None,
    ) -> Self:
        """An op with the given ONNX attributes and output names; `node` becomes its location.

        Raises `KeyError` for an attribute that the schema does not know, `TypeError` or `ValueError` for a value
        that is not of the attribute's kind.
        """
        known = cls.schema().attributes
        properties: dict[str, Attribute] = {}
        for key, value in (attributes or {}).items():
            kind = known[key].kind
            if kind is None:
                raise TypeError(f"the IR cannot hold attribute {key!r} of {cls.op_type}")
            properties[key] = to_attribute(kind, value)
        properties[OUTPUTS] = string_array(tuple(outputs))
        return cls.create(
            operands=operands,
            result_types=result_types,
            properties=properties,
            location=None if node is None else node_location(node),
        )

    @property
    def output_names(self) -> tuple[str, ...]:
        """The ONNX name of each result, empty for an output that the node leaves out."""
        match self.properties.get(OUTPUTS):
            case ArrayAttr(data=names):
                return tuple(name.data for name in names if isinstance(name, StringAttr))
            case _:
                return ()

    def rename_output(self, index: int, name: str) -> None:
        """Give a result another ONNX name."""
        names = list(self.output_names)
        names[index] = name
        self.properties[OUTPUTS] = string_array(tuple(names))

    def operand(self, name: str) -> SSAValue | None:
        """The value of a single or optional input by its name in the schema, None if it is left out.

        Raises `KeyError` if the schema has no such input and `TypeError` if it is variadic.
        """
        schema = self.schema()
        index = schema.input_index(name)
        if schema.inputs[index].arity is Arity.VARIADIC:
            raise TypeError(f"input {name!r} of {self.op_type} is variadic")
        if index >= len(self._operands):
            return None
        value = self._operands[index]
        return None if isinstance(value.type, NoneType) else value

    def variadic(self, name: str) -> tuple[SSAValue, ...]:
        """The values of a variadic input by its name in the schema.

        Raises `KeyError` if the schema has no such input and `TypeError` if it is not variadic.
        """
        schema = self.schema()
        index = schema.input_index(name)
        if schema.inputs[index].arity is not Arity.VARIADIC:
            raise TypeError(f"input {name!r} of {self.op_type} is not variadic")
        return tuple(self._operands[index:])

    def result(self, name: str) -> OpResult | None:
        """A result by its name in the schema (the first one of a variadic output), None if it is left out.

        Raises `KeyError` if the schema has no such output.
        """
        index = self.schema().output_index(name)
        if index >= len(self.results) or isinstance(self.results[index].type, NoneType):
            return None
        return self.results[index]

    def has_attribute(self, name: str) -> bool:
        """Whether the node itself gives this attribute."""
        return name in self.properties

    def attribute(self, name: str, default: AttributeValue | None = None) -> AttributeValue | None:
        """An ONNX attribute: the node's value, else the schema's default, else `default`.

        Raises `KeyError` if the schema has no such attribute.
        """
        schema = self.schema()
        if name not in schema.attributes:
            raise KeyError(f"{self.op_type} (version {self.since_version}) has no attribute {name!r}")
        stored = self.properties.get(name)
        if stored is not None:
            return from_attribute(stored)
        declared = schema.attributes[name].default
        return default if declared is None else declared

    def int_attribute(self, name: str, default: int | None = None) -> int:
        """An INT attribute. Raises `KeyError` if there is no value, `TypeError` if it is of another kind."""
        value = self._given(name, default)
        if isinstance(value, int):
            return value
        raise _wrong_kind(self, name, AttributeKind.INT)

    def float_attribute(self, name: str, default: float | None = None) -> float:
        """A FLOAT attribute, as `int_attribute`."""
        value = self._given(name, default)
        if isinstance(value, float | int):
            return float(value)
        raise _wrong_kind(self, name, AttributeKind.FLOAT)

    def string_attribute(self, name: str, default: str | None = None) -> str:
        """A STRING attribute, as `int_attribute`."""
        value = self._given(name, default)
        if isinstance(value, str):
            return value
        raise _wrong_kind(self, name, AttributeKind.STRING)

    def ints_attribute(self, name: str, default: Sequence[int] | None = None) -> tuple[int, ...]:
        """An INTS attribute, as `int_attribute`."""
        value = self._given(name, None if default is None else tuple(default))
        integers = tuple(item for item in value if isinstance(item, int)) if isinstance(value, tuple) else ()
        if isinstance(value, tuple) and len(integers) == len(value):
            return integers
        raise _wrong_kind(self, name, AttributeKind.INTS)

    def floats_attribute(self, name: str, default: Sequence[float] | None = None) -> tuple[float, ...]:
        """A FLOATS attribute, as `int_attribute`."""
        value = self._given(name, None if default is None else tuple(default))
        numbers = tuple(float(item) for item in value) if isinstance(value, tuple) else None
        if numbers is not None:
            return numbers
        raise _wrong_kind(self, name, AttributeKind.FLOATS)

    def tensor_attribute(self, name: str, default: npt.NDArray[np.generic] | None = None) -> npt.NDArray[np.generic]:
        """A TENSOR attribute, as `int_attribute`."""
        value = self._given(name, default)
        if isinstance(value, np.ndarray):
            return value
        raise _wrong_kind(self, name, AttributeKind.TENSOR)

    def _given(self, name: str, default: AttributeValue | None) -> AttributeValue:
        value = self.attribute(name, default)
        if value is None:
            raise KeyError(f"{self.op_type} has no value for attribute {name!r}")
        return value

    def verify_(self) -> None:
        from dialects.onnx.verification import inference_problems, problems_of

        problems = problems_of(self) or list(inference_problems(self))
        if problems:
            raise VerifyException("; ".join(problems))

    def print(self, printer: Printer) -> None:
        known = self.schema().attributes
        printer.print_operands(self.operands)
        printer.print_string(" {")
        for index, (key, value) in enumerate(self.properties.items()):
            printer.print_string(", " if index else "")
            printer.print_identifier_or_string_literal(key)
            printer.print_string(" = ")
            print_value(printer, known[key].kind if key in known else None, value)
        printer.print_string("}")
        printer.print_op_attributes(self.attributes, print_keyword=True)
        printer.print_string(" : ")
        printer.print_function_type(self.operand_types, self.result_types)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        known = cls.schema().attributes

        def parse_entry() -> tuple[str, Attribute]:
            key = parser.parse_identifier_or_str_literal()
            parser.parse_punctuation("=")
            return key, parse_value(parser, known[key].kind if key in known else None)

        arguments = parser.parse_op_args_list()
        start = parser.pos
        entries = parser.parse_comma_separated_list(parser.Delimiter.BRACES, parse_entry)
        properties = dict(entries)
        if len(properties) != len(entries):
            parser.raise_error("an attribute is given twice", start)
        attributes = parser.parse_optional_attr_dict_with_keyword()
        parser.parse_punctuation(":")
        start = parser.pos
        function_type = parser.parse_function_type()
        return cls.create(
            operands=parser.resolve_operands(arguments, function_type.inputs.data, start),
            result_types=function_type.outputs.data,
            properties=properties,
            attributes={} if attributes is None else attributes.data,
        )


def _wrong_kind(op: OnnxOp, name: str, kind: AttributeKind) -> TypeError:
    return TypeError(f"attribute {name!r} of {op.op_type} is not of kind {kind}")


@functools.cache
def _class_of(op_type: str, since_version: int) -> type[OnnxOp]:
    """The op class of an operator version. There are hundreds, of which a network has some: each is made when asked."""
    version = operator_version(op_type, since_version)
    return type(
        version.op_name.removeprefix("onnx."),
        (OnnxOp,),
        {
            "__module__": __name__,
            "__doc__": f"ONNX operator {version.op_type}, version {version.since_version}.",
            "name": version.op_name,
            "op_type": version.op_type,
            "since_version": version.since_version,
            "traits": OpTraits((lambda: (Pure(),)) if version.deterministic else tuple),
        },
    )


def operation_class(op_type: str, opset: int) -> type[OnnxOp]:
    """The op class of an operator in the version that an opset selects.

    Raises `KeyError` if the opset of the default domain has no such operator.
    """
    from onnx import defs

    try:
        since_version: int = defs.get_schema(op_type, max_inclusive_version=opset, domain="").since_version
    except defs.SchemaError:
        raise KeyError(f"opset {opset} has no operator {op_type}") from None
    return _class_of(op_type, since_version)


class OnnxDialect(Dialect):
    """The `onnx` dialect; its op classes are made from `onnx.defs` when they are first listed."""

    @property
    def operations(self) -> Iterator[type[Operation]]:
        yield NoValueOp
        yield from (_class_of(version.op_type, version.since_version) for version in operator_versions())


ONNX = OnnxDialect("onnx")


def is_static_tensor(value_type: Attribute) -> bool:
    """Whether a type is a ranked tensor with every dimension known."""
    return isinstance(value_type, TensorType) and all(extent >= 0 for extent in value_type.get_shape())
