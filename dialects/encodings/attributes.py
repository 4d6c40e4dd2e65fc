"""Encodings of tensor types in IR.

tensor<64x3x7x7xf32, #encodings.spots<height 4>>      a format by its name, with what is not as usual
tensor<8x112x112xf32, #encodings.rlc>
tensor<64x147xf32, #encodings.levels<d1 : bitmap, d0 floordiv 4 : bitmap, d0 mod 4 : dense>>

A type without an encoding is dense. An encoding says how a tensor is stored, never what it is: two types that differ in
it alone have the same values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from xdsl.dialects.builtin import NoneAttr, TensorType
from xdsl.ir import Attribute, Data, Dialect
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer

from dialects.encodings.format import Format
from dialects.encodings.levels import PARAMETERS, Level, LevelKind, Levels
from dialects.encodings.names import format_of, parameters_text


class _FormatAttr(Data[Format]):
    """A named format, with its parameters in angle brackets."""

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Format:
        start = parser.pos
        parameters = parser.parse_optional_comma_separated_list(
            parser.Delimiter.ANGLE, lambda: (parser.parse_identifier(), parser.parse_integer(allow_negative=False))
        )
        try:
            return format_of(cls.name.removeprefix("encodings."), parameters or ())
        except ValueError as error:
            parser.raise_error(str(error), start)

    def print_parameter(self, printer: Printer) -> None:
        if parameters := parameters_text(self.data):
            with printer.in_angle_brackets():
                printer.print_string(parameters)


@irdl_attr_definition
class BitmapAttr(_FormatAttr):
    """A bit for every word."""

    name = "encodings.bitmap"


@irdl_attr_definition
class CompressedRowsAttr(_FormatAttr):
    """CSR."""

    name = "encodings.csr"


@irdl_attr_definition
class CompressedColumnsAttr(_FormatAttr):
    """CSC."""

    name = "encodings.csc"


@irdl_attr_definition
class RunLengthAttr(_FormatAttr):
    """Eyeriss's run-length code."""

    name = "encodings.rlc"


@irdl_attr_definition
class SpotsBlocksAttr(_FormatAttr):
    """The blocks of SPOTS."""

    name = "encodings.spots"


@irdl_attr_definition
class LevelsAttr(Data[Levels]):
    """Levels from the outside in."""

    name = "encodings.levels"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Levels:
        start = parser.pos
        levels = parser.parse_comma_separated_list(parser.Delimiter.ANGLE, lambda: _parse_level(parser))
        try:
            return Levels(tuple(levels))
        except ValueError as error:
            parser.raise_error(str(error), start)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(", ".join(map(str, self.data.levels)))


def _parse_level(parser: AttrParser) -> Level:
    dims = [_parse_dim(parser)]
    while parser.parse_optional_keyword("x") is not None:
        dims.append(_parse_dim(parser))
    block, inner = 0, False
    for word in ("floordiv", "mod"):
        if parser.parse_optional_keyword(word) is not None:
            block, inner = parser.parse_integer(allow_boolean=False, allow_negative=False), word == "mod"
            if not block:
                parser.raise_error("a block has at least one index")
            break
    parser.parse_punctuation(":")
    name = parser.parse_identifier()
    if name not in tuple(LevelKind):
        parser.raise_error(f"expected one of {', '.join(LevelKind)}, found {name!r}")
    kind = LevelKind(name)
    parameters = parser.parse_optional_comma_separated_list(
        parser.Delimiter.PAREN, lambda: parser.parse_integer(allow_boolean=False, allow_negative=False)
    )
    return Level(tuple(dims), kind, PARAMETERS[kind] if parameters is None else tuple(parameters), block, inner)


def _parse_dim(parser: AttrParser) -> int:
    name = parser.parse_identifier()
    if name[0] != "d" or not (name[1:].isascii() and name[1:].isdigit()):
        parser.raise_error(f"expected a dimension, as in d0, found {name!r}")
    return int(name[1:])


_ATTRIBUTES: Sequence[type[_FormatAttr]] = (
    BitmapAttr,
    CompressedRowsAttr,
    CompressedColumnsAttr,
    RunLengthAttr,
    SpotsBlocksAttr,
)
_ATTRIBUTE_OF = {kind.name: kind for kind in _ATTRIBUTES}


def encoding_attribute(encoding: Format) -> Attribute:
    """An encoding as an attribute of a tensor type."""
    if isinstance(encoding, Levels):
        return LevelsAttr(encoding)
    return _ATTRIBUTE_OF[f"encodings.{encoding.name}"](encoding)


def encoding_of(kind: Attribute) -> Format | None:
    """How the tensors of a type are stored; None if they are dense.

    Raises `TypeError` for an encoding that is none of ours.
    """
    attribute = cast("TensorType[Attribute]", kind).encoding if isinstance(kind, TensorType) else NoneAttr()
    if isinstance(attribute, NoneAttr):
        return None
    if isinstance(attribute, (*_ATTRIBUTES, LevelsAttr)):
        return cast("Format", attribute.data)
    raise TypeError(f"{attribute} is no encoding")


def encoded_type(kind: TensorType[Attribute], encoding: Format | None) -> TensorType[Attribute]:
    """The same type, its tensors stored in some way; None: dense."""
    attribute = NoneAttr() if encoding is None else encoding_attribute(encoding)
    return TensorType(kind.element_type, kind.shape.data, attribute)


ENCODINGS = Dialect("encodings", [], [*_ATTRIBUTES, LevelsAttr])
