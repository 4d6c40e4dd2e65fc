"""Attributes of placed layers that say where words are: strided accesses of buffers, and lookups by index tensors."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import Data
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from dialects.gconv import View


@irdl_attr_definition
class AccessAttr(Data[View]):
    """The words of a buffer that a layer reads or writes: shape, strides and start, relative to the buffer."""

    name = "spatial.access"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> View:
        with parser.in_angle_brackets():
            return _view(parser)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(_view_text(self.data))


@dataclass(frozen=True)
class Lookup:
    """Where a layer reads the index tensor of an operand, and what makes addresses of it.

    `index` has the layer's dimensions. A term (place, step, extent) is a component of the index: its word lies `place`
    words behind that of `index`, counts `step` words of the operand and is below `extent`.
    """

    index: View
    terms: tuple[tuple[int, int, int], ...]


@irdl_attr_definition
class LookupAttr(Data[Lookup]):
    """The index of an operand: `<[8, 64] by [1, 0] from 0, [0: 64 of 1000]>`."""

    name = "spatial.lookup"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Lookup:
        def term() -> tuple[int, int, int]:
            place = parser.parse_integer(allow_boolean=False)
            parser.parse_punctuation(":")
            step = parser.parse_integer(allow_boolean=False)
            parser.parse_keyword("of")
            return place, step, parser.parse_integer(allow_boolean=False, allow_negative=False)

        with parser.in_angle_brackets():
            index = _view(parser)
            parser.parse_punctuation(",")
            return Lookup(index, tuple(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, term)))

    def print_parameter(self, printer: Printer) -> None:
        terms = ", ".join(f"{place}: {step} of {extent}" for place, step, extent in self.data.terms)
        with printer.in_angle_brackets():
            printer.print_string(f"{_view_text(self.data.index)}, [{terms}]")

    def verify(self) -> None:
        if not self.data.terms:
            raise VerifyException("an address needs an index of one component at least")
        for _, step, extent in self.data.terms:
            if extent < 1:
                raise VerifyException(f"'{step} of {extent}' has no index")


def _view(parser: AttrParser) -> View:
    shape = _integers(parser, allow_negative=False)
    parser.parse_keyword("by")
    strides = _integers(parser, allow_negative=True)
    offset = 0
    if parser.parse_optional_keyword("from") is not None:
        offset = parser.parse_integer(allow_boolean=False, allow_negative=False)
    if len(shape) != len(strides):
        parser.raise_error(f"{len(shape)} extents and {len(strides)} strides")
    return View(shape, strides, offset)


def _view_text(view: View) -> str:
    return f"{list(view.shape)} by {list(view.strides)}" + (f" from {view.offset}" if view.offset else "")


def _integers(parser: AttrParser, *, allow_negative: bool) -> tuple[int, ...]:
    def integer() -> int:
        return parser.parse_integer(allow_boolean=False, allow_negative=allow_negative)

    return tuple(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, integer))
