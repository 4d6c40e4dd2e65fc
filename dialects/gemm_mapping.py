"""How a link becomes matrix products: in how many arrays, which tiles are where, and what is kept of patches.

    #schedule.gemm<split 4, ring 16 resumes rewinds, sums 24 shift 9, for C.op 128, store sram [K], for H.opc 8,
                   store sram [O], store sram [I], for C.ks 64>

* `split S`: the array is divided into `S` arrays of fewer rows. They get the same kernels and take patches in turn.
* `ring R`: patch units hand words of a window on to the next, and keep of `R` channels what the next row of patches
  needs. `stream` stands for patches whose words all come from the memory.
* `resumes`: rows are also kept from pass to pass, for `R` channels of every pass that makes patches of the same rows,
  so that a strip of rows goes on where the strip before it ended. Without, every pass begins with nothing.
* `rewinds`: what a strip found there stays until it is done, so that of several tiles of kernels that are worked on
  strip by strip each goes on where the strip before ended. It takes twice the room. Without, only the first one does.
* `sums B shift S`: integer products lose S bits, rounded, and are added in accumulators of B bits, which wrap around.
  Without, sums are as wide as the link's.
* The rest are tiles over time as in `#schedule.mapping`: every tensor is stored once, below all loops that it depends
  on; what no loop cuts is one pass.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import Data
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from dialects.schedule import Mapping, MappingAttr, Node, Spatial, parse_nodes, verify_mapping

MOST_SUM_BITS = 48
"""Bits of accumulators at most: sums of products in them do not leave 64 bits."""
SRAM = "sram"
"""What mappings call the memories on the chip: each tensor has its own."""


@dataclass(frozen=True)
class Sums:
    """Accumulators of so many bits, to which integer products without their lowest `shift` bits are added."""

    bits: int
    shift: int

    def __str__(self) -> str:
        return f"sums {self.bits} shift {self.shift}"


@dataclass(frozen=True)
class GemmMapping:
    """A mapping; `reserved` channels are kept for the next row of patches, None if nothing is handed on at all.

    With `resumes`, rows are kept from one pass to the next, too, with `rewinds` for every tile of kernels. Without
    `sums`, these are as wide as the link's.
    """

    split: int
    reserved: int | None
    tiles: Mapping
    resumes: bool = False
    sums: Sums | None = None
    rewinds: bool = False

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Its tiles over time."""
        return self.tiles.nodes

    @property
    def form(self) -> str:
        """What it says beside tiles: how the array is divided, what becomes of patches, and how sums are added up."""
        kept = " resumes" * self.resumes + " rewinds" * self.rewinds
        patches = "stream" if self.reserved is None else f"ring {self.reserved}{kept}"
        return ", ".join((f"split {self.split}", patches, *([] if self.sums is None else [str(self.sums)])))

    def __str__(self) -> str:
        return ", ".join((self.form, *map(str, self.tiles.nodes)))


@irdl_attr_definition
class GemmAttr(Data[GemmMapping]):
    """A mapping to matrix products as IR."""

    name = "schedule.gemm"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> GemmMapping:
        with parser.in_angle_brackets():
            parser.parse_keyword("split")
            return _behind_split(parser)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(str(self.data))

    def verify(self) -> None:
        verify_nest(self.data)


Nest = Mapping | GemmMapping
"""What a link does in a turn of a fused group, on machines of either kind."""


def attribute_of(nest: Nest) -> MappingAttr | GemmAttr:
    """A nest as the mapping of a link."""
    return GemmAttr(nest) if isinstance(nest, GemmMapping) else MappingAttr(nest)


def parse_nest(parser: AttrParser) -> Nest:
    """The nodes of a mapping in angle brackets, those to matrix products with what stands before them."""
    with parser.in_angle_brackets():
        if parser.parse_optional_keyword("split") is not None:
            return _behind_split(parser)
        return Mapping(parse_nodes(parser))


def _behind_split(parser: AttrParser) -> GemmMapping:
    split = parser.parse_integer(allow_boolean=False)
    parser.parse_punctuation(",")
    reserved, resumes, rewinds = None, False, False
    if parser.parse_optional_keyword("stream") is None:
        parser.parse_keyword("ring")
        reserved = parser.parse_integer(allow_boolean=False)
        resumes = parser.parse_optional_keyword("resumes") is not None
        rewinds = parser.parse_optional_keyword("rewinds") is not None
    sums, goes_on = None, parser.parse_optional_punctuation(",") is not None
    if goes_on and parser.parse_optional_keyword("sums") is not None:
        bits = parser.parse_integer(allow_boolean=False, allow_negative=False)
        parser.parse_keyword("shift")
        sums = Sums(bits, parser.parse_integer(allow_boolean=False, allow_negative=False))
        goes_on = parser.parse_optional_punctuation(",") is not None
    return GemmMapping(split, reserved, Mapping(parse_nodes(parser) if goes_on else ()), resumes, sums, rewinds)


def verify_nest(nest: Nest) -> None:
    """Raises `VerifyException` for a mapping that says nothing sound on any machine."""
    if isinstance(nest, Mapping):
        verify_mapping(nest)
        return
    verify_mapping(nest.tiles)
    if nest.split < 1 or (nest.reserved or 0) < 0:
        raise VerifyException("there is at least one array, and nothing less than nothing is kept")
    if nest.resumes and nest.reserved is None:
        raise VerifyException("nothing is kept of patches that share no words")
    if nest.rewinds and not nest.resumes:
        raise VerifyException("what strips do not resume from is not kept for their end")
    sums = nest.sums
    if sums is not None and not (2 <= sums.bits <= MOST_SUM_BITS and sums.shift < MOST_SUM_BITS):
        raise VerifyException(f"accumulators have 2 to {MOST_SUM_BITS} bits, and products lose fewer")
    if any(isinstance(node, Spatial) for node in nest.nodes):
        raise VerifyException("rows and columns of the array are those of the matrix product: no loop lies along one")
