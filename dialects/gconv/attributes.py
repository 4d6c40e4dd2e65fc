"""Attributes of the gconv dialect: the loop nest, scalar steps, a padding value.

#gconv.nest<N, C op 64 ks 3, H opc 112 ks 7 stride 2 pad 3, W opc 112 ks 7 stride 2 pad 3>
#gconv.steps<add[0], clip(0.0, 6.0)>          `[0]` is the link's first extra operand
#gconv.scalar<-inf>
#gconv.zeros<input 0.387, output 0.725>
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from xdsl.dialects.builtin import StringAttr
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, Data, SpacedOpaqueSyntaxAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from dialects.dtypes import NARROW_DTYPES
from dialects.element_types import numpy_dtype_of
from dialects.gconv.scalar import FUNCTIONS, Arity
from dialects.gconv.spec import Dim, GConv, Reduce, Step, cast_of

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COUNTS = ("g", "op", "opc", "ks", "stride", "dilation", "pad", "up")
_DEFAULT = Dim("")


@irdl_attr_definition
class NestAttr(Data[tuple[Dim, ...]]):
    """The dimensions of a general convolution with their loop counts and addressing constants."""

    name = "gconv.nest"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[Dim, ...]:
        dims: list[Dim] = []
        with parser.in_angle_brackets():
            while (name := parser.parse_optional_identifier()) is not None:
                values: dict[str, int] = {}
                while (key := parser.parse_optional_identifier()) is not None:
                    if key not in _COUNTS or key in values:
                        parser.raise_error(f"expected one of {', '.join(_COUNTS)}, each once, found {key!r}")
                    values[key] = parser.parse_integer(allow_boolean=False)
                dims.append(Dim(name, **values))
                if parser.parse_optional_punctuation(",") is None:
                    break
        return tuple(dims)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_list(self.data, lambda dim: printer.print_string(_dim_text(dim)))

    def verify(self) -> None:
        names = [dim.name for dim in self.data]
        if len(set(names)) != len(names):
            raise VerifyException(f"dimension names must differ: {', '.join(names)}")
        for dim in self.data:
            if not _NAME.fullmatch(dim.name):
                raise VerifyException(f"{dim.name!r} is no dimension name")
            for key in ("g", "op", "opc", "ks", "stride", "dilation", "up"):
                if getattr(dim, key) < 1:
                    raise VerifyException(f"{key} of dimension {dim.name} must be at least 1, is {getattr(dim, key)}")


def _dim_text(dim: Dim) -> str:
    parts = [f"{key} {getattr(dim, key)}" for key in _COUNTS if getattr(dim, key) != getattr(_DEFAULT, key)]
    return " ".join([dim.name, *parts])


def print_number(value: float) -> str:
    """A float as text that `parse_number` reads back exactly (the lexer wants a point before an exponent)."""
    mantissa, mark, exponent = repr(float(value)).partition("e")
    return mantissa + (".0" if mark and "." not in mantissa else "") + mark + exponent


def parse_number(parser: AttrParser) -> float:
    """A float, an integer, `inf`, `-inf` or `nan`."""
    negative = parser.parse_optional_punctuation("-") is not None
    if parser.parse_optional_keyword("inf") is not None:
        value = math.inf
    elif parser.parse_optional_keyword("nan") is not None:
        value = math.nan
    else:
        value = float(parser.parse_number(allow_boolean=False))
    return -value if negative else value


@irdl_attr_definition
class ScalarAttr(Data[float]):
    """One number; two NaNs are equal."""

    name = "gconv.scalar"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> float:
        with parser.in_angle_brackets():
            return parse_number(parser)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(print_number(self.data))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ScalarAttr) and print_number(self.data) == print_number(other.data)

    def __hash__(self) -> int:
        return hash(print_number(self.data))


@dataclass(frozen=True)
class Zeros:
    """Shares of zeros, from 0 to 1: among the words of a link's input, fetched padding included, and of its output."""

    input: float = 0.0
    output: float = 0.0


@irdl_attr_definition
class ZerosAttr(Data[Zeros]):
    """What is known of the data of a link: only predictions use it."""

    name = "gconv.zeros"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Zeros:
        with parser.in_angle_brackets():
            parser.parse_keyword("input")
            read = parse_number(parser)
            parser.parse_punctuation(",")
            parser.parse_keyword("output")
            return Zeros(read, parse_number(parser))

    def print_parameter(self, printer: Printer) -> None:
        text = f"input {print_number(self.data.input)}, output {print_number(self.data.output)}"
        with printer.in_angle_brackets():
            printer.print_string(text)

    def verify(self) -> None:
        if not (0 <= self.data.input <= 1 and 0 <= self.data.output <= 1):
            raise VerifyException("a share of zeros is from 0 to 1")


@irdl_attr_definition
class StepsAttr(Data[tuple[Step, ...]]):
    """Scalar functions applied one after another."""

    name = "gconv.steps"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[Step, ...]:
        steps: list[Step] = []
        with parser.in_angle_brackets():
            while (function := parser.parse_optional_identifier()) is not None:
                operand: int | None = None
                parameters: list[float] = []
                if parser.parse_optional_punctuation("[") is not None:
                    operand = parser.parse_integer(allow_boolean=False, allow_negative=False)
                    parser.parse_punctuation("]")
                if parser.parse_optional_punctuation("(") is not None:
                    parameters.append(parse_number(parser))
                    while parser.parse_optional_punctuation(",") is not None:
                        parameters.append(parse_number(parser))
                    parser.parse_punctuation(")")
                steps.append(Step(function, tuple(parameters), operand))
                if parser.parse_optional_punctuation(",") is None:
                    break
        return tuple(steps)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_list(self.data, lambda step: printer.print_string(step_text(step)))

    def verify(self) -> None:
        for step in self.data:
            function = FUNCTIONS.get(step.function)
            if function is None:
                raise VerifyException(f"unknown scalar function {step.function!r}")
            if len(step.parameters) != len(function.parameters):
                raise VerifyException(
                    f"{step.function} takes {len(function.parameters)} parameters, {len(step.parameters)} given"
                )
            if (step.operand is not None) != (function.arity is Arity.BINARY):
                raise VerifyException(
                    f"{step.function} is {function.arity}: an operand must be given if and only if binary"
                )


def step_text(step: Step) -> str:
    """A step as it stands in IR text."""
    operand = "" if step.operand is None else f"[{step.operand}]"
    parameters = f"({', '.join(print_number(p) for p in step.parameters)})" if step.parameters else ""
    return f"{step.function}{operand}{parameters}"


@irdl_attr_definition
class ReduceAttr(EnumAttribute[Reduce], SpacedOpaqueSyntaxAttribute):  # pyright: ignore[reportInvalidTypeArguments]
    """The reduction of a general convolution."""

    name = "gconv.reduce"


@irdl_attr_definition
class StridedAttr(Data[tuple[int, tuple[int, ...]]]):
    """Where a view starts in its base and how far apart its elements are: (offset, strides)."""

    name = "gconv.strided"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[int, tuple[int, ...]]:
        with parser.in_angle_brackets():
            strides = parser.parse_comma_separated_list(
                parser.Delimiter.SQUARE, lambda: parser.parse_integer(allow_boolean=False)
            )
            offset = 0
            if parser.parse_optional_punctuation(",") is not None:
                parser.parse_keyword("offset")
                offset = parser.parse_integer(allow_boolean=False, allow_negative=False)
            return offset, tuple(strides)

    def print_parameter(self, printer: Printer) -> None:
        offset, strides = self.data
        with printer.in_angle_brackets():
            printer.print_string(f"[{', '.join(map(str, strides))}]" + (f", offset {offset}" if offset else ""))


def main_operator(attribute: StringAttr) -> str:
    """The main operator's name, checked.

    Raises `VerifyException` unless it is `pass` or a binary scalar function.
    """
    name = attribute.data
    if name != "pass" and (name not in FUNCTIONS or FUNCTIONS[name].arity is not Arity.BINARY):
        raise VerifyException(f"{name!r} is no main operator: expected pass or a binary scalar function")
    return name


def computing_type(acc: Attribute | None) -> None:
    """Check the type that a link computes in. Raises `VerifyException` for one that nothing computes in."""
    if acc is None:
        return
    try:
        name = numpy_dtype_of(acc).name
    except TypeError as error:
        raise VerifyException(f"nothing computes in {acc}") from error
    if name in NARROW_DTYPES:
        raise VerifyException(f"{acc} is a type to store words in, not to compute in")


def post_only_steps(spec: GConv) -> None:
    """Check what only `post` may do. Raises `VerifyException` for operands and casts elsewhere."""
    for step in (*spec.pre, *spec.mid):
        if step.operand is not None:
            raise VerifyException("only post steps may have an operand")
        if cast_of(step) is not None:
            raise VerifyException(f"only post steps may change the type: {step.function}")
