"""How a link is laid over the cores of a machine with crossbars, as data and as attributes.

A link that multiplies by constant integers is a matrix for each group (`passes.multicore.matrix`): kernel positions are
rows, output channels columns, output positions the vectors that it is multiplied by.

    #multicore.crossbars<tiles 128 by 32 of 576 by 64, span 4 by 1, copies 2, cores [0, 1, 2, 3, 4, 5, 6, 7],
                         cyclic every 1, phase 0>

says that a crossbar holds a tile of 128 rows and 32 columns of the matrix, that each core has 4 tiles below one another
and 1 beside, that there are two copies, each for a part of the vectors (`copies 2 by 4`: each four times over in the
same cores, for four vectors at a time), and which cores have the parts: those of a copy
after those of another, those beside one another before those below. The rest says in which order cores visit vectors,
how many there are to a signal, and when the weights come: in phase 0 before the network runs, later for this layer.

    #multicore.vector<C.opc, cores [0, 1, 2]>

gives each core as large a part of a loop as the others; their vector units work on it. With `wide` behind it, crossbars
would do so if their cells held the link's weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from xdsl.ir import Data
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from dialects.schedule import Loop, parse_loop


class Scheme(StrEnum):
    """In which order the cores that add to the same sums visit the output vectors."""

    SEQUENTIAL = "sequential"
    LINEAR = "linear"
    CYCLIC = "cyclic"


@dataclass(frozen=True)
class CrossbarMapping:
    """A link on crossbars; `tile`, `matrix` and `span` are (rows, columns), the last in tiles.

    The columns of the matrix are those of all its groups. `cores` is empty until the parts are placed.
    """

    tile: tuple[int, int]
    matrix: tuple[int, int]
    span: tuple[int, int] = (1, 1)
    copies: int = 1
    cores: tuple[int, ...] = ()
    scheme: Scheme = Scheme.LINEAR
    every: int = 1
    phase: int = 0
    abreast: int = 1
    """Copies within the same cores: vectors that are multiplied at a time."""


@dataclass(frozen=True)
class VectorMapping:
    """A link on vector units: the loop that is cut into parts, one for each core; None if there is nothing to cut.

    `is_wide` if crossbars would do it, but for weights outside the range of their cells.
    """

    loop: Loop | None
    cores: tuple[int, ...] = ()
    is_wide: bool = False


def share(extent: int, number: int, parts: int) -> range:
    """The indices of a loop that one of several parts of it has: as many as the others, or one more or less."""
    return range(extent * number // parts, extent * (number + 1) // parts)


@irdl_attr_definition
class CrossbarsAttr(Data[CrossbarMapping]):
    """A link on crossbars."""

    name = "multicore.crossbars"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> CrossbarMapping:
        with parser.in_angle_brackets():
            tile = _after(parser, "tiles"), _after(parser, "by")
            matrix = _after(parser, "of"), _after(parser, "by")
            parser.parse_punctuation(",")
            span = _after(parser, "span"), _after(parser, "by")
            parser.parse_punctuation(",")
            copies = _after(parser, "copies")
            several = parser.parse_optional_keyword("by") is not None
            abreast = parser.parse_integer(allow_boolean=False, allow_negative=False) if several else 1
            parser.parse_punctuation(",")
            cores = _cores(parser)
            parser.parse_punctuation(",")
            scheme = Scheme(parser.parse_identifier(f": {' or '.join(Scheme)}"))
            every = _after(parser, "every")
            parser.parse_punctuation(",")
            phase = _after(parser, "phase")
            return CrossbarMapping(tile, matrix, span, copies, cores, scheme, every, phase, abreast)

    def print_parameter(self, printer: Printer) -> None:
        it = self.data
        abreast = f" by {it.abreast}" if it.abreast > 1 else ""
        with printer.in_angle_brackets():
            printer.print_string(
                f"tiles {it.tile[0]} by {it.tile[1]} of {it.matrix[0]} by {it.matrix[1]}, span {it.span[0]} by "
                f"{it.span[1]}, copies {it.copies}{abreast}, cores {list(it.cores)}, {it.scheme} every {it.every}, "
                f"phase {it.phase}"
            )

    def verify(self) -> None:
        it = self.data
        if min(*it.tile, *it.matrix, *it.span, it.copies, it.every, it.abreast) < 1:
            raise VerifyException("tiles, matrix, span, copies and vectors to a signal are at least 1")


@irdl_attr_definition
class VectorAttr(Data[VectorMapping]):
    """A link on vector units."""

    name = "multicore.vector"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> VectorMapping:
        with parser.in_angle_brackets():
            loop = None
            if parser.parse_optional_keyword("all") is None:
                loop = parse_loop(parser)
            parser.parse_punctuation(",")
            cores = _cores(parser)
            is_wide = parser.parse_optional_punctuation(",") is not None
            if is_wide:
                parser.parse_keyword("wide")
            return VectorMapping(loop, cores, is_wide)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            wide = ", wide" if self.data.is_wide else ""
            printer.print_string(f"{self.data.loop or 'all'}, cores {list(self.data.cores)}{wide}")


def _after(parser: AttrParser, keyword: str) -> int:
    parser.parse_keyword(keyword)
    return parser.parse_integer(allow_boolean=False, allow_negative=False)


def _cores(parser: AttrParser) -> tuple[int, ...]:
    parser.parse_keyword("cores")

    def integer() -> int:
        return parser.parse_integer(allow_boolean=False, allow_negative=False)

    return tuple(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, integer))
