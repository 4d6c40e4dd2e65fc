"""The mapping attribute: how the loops of a link are spread over time, space and memories.

A mapping is a path of nodes from the outermost loop inwards, in the spirit of LoopTree's tree:

    #schedule.mapping<for C.op 64, for H.opc 7, store glb [O], for C.ks 4, store glb [I], for C.op 32,
                      store spad [K], par H.ks 1 on row, par H.opc 1 on col>

* `for D.k T` splits the current range of loop `k` of dimension `D` into tiles of `T` indices, one after another;
  the last tile may be smaller.
* `par D.k T on A` splits it the same way, all tiles at once, laid along axis `A` of the array.
* `store M [X]` says that at this point the tile of tensor `X` (I input, K kernel, O output) that all the loops below
  need is brought into memory `M`; it stays there until the loops above move on. A tensor may be stored in several
  memories, one inside the other.

Which memories and axes there are is the machine's to say.

What no node splits is executed inside one processing element. Everything starts in the outermost memory.

`#schedule.row_stationary<...>` is the notation of the Eyeriss paper for one family of such mappings.
`#schedule.host` leaves the array alone: the whole link is the work of the host core.
`#schedule.fused<...>` maps a group of links (`dialects.fused_attribute`).

`#schedule.search<energy in all, gap 0.021>` stands beside a mapping that a search found: no mapping of that space takes
less than a share of 0.021 less of what the search made least; `optimal` stands for a gap of 0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from xdsl.ir import Data, ParametrizedAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from dialects.gconv.spec import LoopKind

LARGEST_TILE = (1 << 24) - 1
"""The largest tile of a mapping: no loop has more indices."""

_Choice = TypeVar("_Choice", bound=StrEnum)


class Operand(StrEnum):
    """The tensors of a link that a mapping places."""

    INPUT = "I"
    KERNEL = "K"
    OUTPUT = "O"


class Axis(StrEnum):
    """The axes of an array of rows and columns."""

    ROW = "row"
    COL = "col"


@dataclass(frozen=True, order=True)
class Loop:
    """One of the four loops of one dimension, written `C.op`."""

    dim: str
    kind: LoopKind

    def __str__(self) -> str:
        return f"{self.dim}.{self.kind}"


@dataclass(frozen=True)
class Temporal:
    """Tiles of a loop one after another."""

    loop: Loop
    tile: int

    def __str__(self) -> str:
        return f"for {self.loop} {self.tile}"


@dataclass(frozen=True)
class Spatial:
    """Tiles of a loop side by side along an array axis."""

    loop: Loop
    tile: int
    axis: str

    def __str__(self) -> str:
        return f"par {self.loop} {self.tile} on {self.axis}"


@dataclass(frozen=True)
class Storage:
    """Tensors brought into a memory."""

    memory: str
    operands: tuple[Operand, ...]

    def __str__(self) -> str:
        return f"store {self.memory} [{', '.join(self.operands)}]"


Node = Temporal | Spatial | Storage


@dataclass(frozen=True)
class Mapping:
    """A path of nodes, outermost first."""

    nodes: tuple[Node, ...]

    def position(self, operand: Operand) -> int | None:
        """Index of the storage node of a tensor, or None."""
        for index, node in enumerate(self.nodes):
            if isinstance(node, Storage) and operand in node.operands:
                return index
        return None

    def temporal_before(self, end: int) -> tuple[Temporal, ...]:
        """The temporal nodes above position `end`, outermost first."""
        return tuple(node for node in self.nodes[:end] if isinstance(node, Temporal))

    @property
    def spatial(self) -> tuple[Spatial, ...]:
        """The spatial nodes, outermost first."""
        return tuple(node for node in self.nodes if isinstance(node, Spatial))

    def __str__(self) -> str:
        return ", ".join(map(str, self.nodes))


@dataclass(frozen=True)
class RowStationary:
    """A row-stationary mapping in the notation of the Eyeriss papers (ISCA 2016, table of mapping parameters).

    m output channels and n images have their partial sums in the buffer at a time; a strip has e output rows;
    p filters and q channels are interleaved in a processing element; r sets of elements work on different channels
    and t sets on different filters.
    """

    m: int
    n: int
    e: int
    p: int
    q: int
    r: int
    t: int

    def __str__(self) -> str:
        return ", ".join(f"{field.name} {getattr(self, field.name)}" for field in fields(self))


class Objective(StrEnum):
    """What a search makes least: energy, cycles, their product, or words that go over the off-chip link."""

    ENERGY = "energy"
    LATENCY = "latency"
    EDP = "edp"
    TRAFFIC = "traffic"

    def of(self, energy: npt.NDArray[np.float64], cycles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The value of energies (of words, for `traffic`) and cycles; it grows with both."""
        match self:
            case Objective.LATENCY:
                return cycles
            case Objective.EDP:
                return energy * cycles
            case _:
                return energy


class Space(StrEnum):
    """Among which mappings a search looks: the row-stationary ones, those of a machine's dataflow, or all.

    `EVEN_ROW_STATIONARY` are, where there are too many, row-stationary ones of even shares on full arrays (what
    `passes.mapping.stated_space` says); what is found beside them may be better, but is not compared with all others.
    On machines of matrix products they are `divisions`: what `passes.gemm.candidates` says.
    """

    ROW_STATIONARY = "row_stationary"
    EVEN_ROW_STATIONARY = "even_row_stationary"
    DATAFLOW = "dataflow"
    ALL = "all"
    DIVISIONS = "divisions"


@dataclass(frozen=True)
class Search:
    """What is known of a mapping that a search found.

    No mapping of the space has a value below (1 - `gap`) times this one's: it is the best one if `gap` is 0.
    """

    objective: Objective
    space: Space
    gap: float = 0.0
    """A number of ten thousandths: a text of few digits."""

    def __str__(self) -> str:
        return f"{self.objective} in {self.space}, {f'gap {self.gap!r}' if self.gap else 'optimal'}"


@irdl_attr_definition
class MappingAttr(Data[Mapping]):
    """A mapping as IR."""

    name = "schedule.mapping"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Mapping:
        return parse_mapping(parser)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(str(self.data))

    def verify(self) -> None:
        verify_mapping(self.data)


def verify_mapping(mapping: Mapping) -> None:
    """Raises `VerifyException` if a mapping stores nothing, or a tensor twice in a memory, or has impossible tiles."""
    stored: set[tuple[str, Operand]] = set()
    for node in mapping.nodes:
        if isinstance(node, Storage):
            if not node.operands:
                raise VerifyException(f"{node}: nothing is stored")
            there = {(node.memory, operand) for operand in node.operands}
            if stored & there or len(there) < len(node.operands):
                raise VerifyException(f"{node}: a tensor is stored twice")
            stored |= there
        else:
            verify_tile(node)


def verify_tile(node: Temporal | Spatial) -> None:
    """Raises `VerifyException` if a tile has no indices, or more than any loop."""
    if not 1 <= node.tile <= LARGEST_TILE:
        raise VerifyException(f"{node}: a tile has 1 to {LARGEST_TILE} indices")


def parse_mapping(parser: AttrParser) -> Mapping:
    """The nodes of a mapping, in angle brackets."""
    with parser.in_angle_brackets():
        return Mapping(parse_nodes(parser))


def parse_nodes(parser: AttrParser) -> tuple[Node, ...]:
    """Nodes of a mapping with commas between them, or none."""
    nodes: list[Node] = []
    keyword = parser.parse_optional_identifier()
    while keyword is not None:
        nodes.append(_parse_node(parser, keyword))
        if parser.parse_optional_punctuation(",") is None:
            break
        keyword = parser.parse_identifier(": for, par or store")
    return tuple(nodes)


def _parse_node(parser: AttrParser, keyword: str) -> Node:
    if keyword == "store":
        memory = parser.parse_identifier(": memory name")
        operands = parser.parse_comma_separated_list(
            parser.Delimiter.SQUARE, lambda: _choice(parser, Operand, parser.parse_identifier())
        )
        return Storage(memory, tuple(operands))
    if keyword not in ("for", "par"):
        parser.raise_error(f"expected for, par or store, found {keyword!r}")
    if keyword == "for":
        return parse_temporal(parser)
    loop = parse_loop(parser)
    tile = parser.parse_integer(allow_boolean=False, allow_negative=False)
    parser.parse_keyword("on")
    return Spatial(loop, tile, parser.parse_identifier(": axis name"))


def parse_temporal(parser: AttrParser) -> Temporal:
    """A loop and its tile, what follows `for`."""
    loop = parse_loop(parser)
    return Temporal(loop, parser.parse_integer(allow_boolean=False, allow_negative=False))


def parse_loop(parser: AttrParser) -> Loop:
    text = parser.parse_identifier(": loop such as C.op")
    dim, dot, kind = text.partition(".")
    if not dot:
        parser.raise_error(f"expected a loop such as C.op, found {text!r}")
    return Loop(dim, _choice(parser, LoopKind, kind))


def _choice(parser: AttrParser, kind: type[_Choice], text: str) -> _Choice:
    if text not in {member.value for member in kind}:
        parser.raise_error(f"expected one of {', '.join(kind)}, found {text!r}")
    return kind(text)


@irdl_attr_definition
class LoopAttr(Data[Loop]):
    """One loop: `<C.op>`."""

    name = "schedule.loop"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Loop:
        with parser.in_angle_brackets():
            return parse_loop(parser)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(str(self.data))


@irdl_attr_definition
class RowStationaryAttr(Data[RowStationary]):
    """A row-stationary mapping in the paper's notation; the mapper expands it."""

    name = "schedule.row_stationary"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> RowStationary:
        values: dict[str, int] = {}
        names = [field.name for field in fields(RowStationary)]
        with parser.in_angle_brackets():
            for index, name in enumerate(names):
                if index:
                    parser.parse_punctuation(",")
                parser.parse_keyword(name)
                values[name] = parser.parse_integer(allow_boolean=False, allow_negative=False)
        return RowStationary(**values)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(str(self.data))

    def verify(self) -> None:
        for field in fields(RowStationary):
            if not 1 <= getattr(self.data, field.name) <= LARGEST_TILE:
                raise VerifyException(f"{field.name} must be 1 to {LARGEST_TILE}")


@irdl_attr_definition
class SearchAttr(Data[Search]):
    """How good a mapping is: `<edp in row_stationary, optimal>`, `<energy in all, gap 0.021>`."""

    name = "schedule.search"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Search:
        with parser.in_angle_brackets():
            objective = _choice(parser, Objective, parser.parse_identifier(": objective"))
            parser.parse_keyword("in")
            space = _choice(parser, Space, parser.parse_identifier(": space"))
            parser.parse_punctuation(",")
            if parser.parse_optional_keyword("optimal") is not None:
                return Search(objective, space)
            parser.parse_keyword("gap")
            return Search(objective, space, float(parser.parse_number()))

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(str(self.data))

    def verify(self) -> None:
        if not 0 <= self.data.gap <= 1:
            raise VerifyException("a gap is a share from 0 to 1")


@irdl_attr_definition
class HostAttr(ParametrizedAttribute):
    """The link leaves the accelerator: the target's host core executes it on tensors in DRAM."""

    name = "schedule.host"
