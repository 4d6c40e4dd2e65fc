"""What the code of cores says that comes: the actions of every core, piece by piece, and in how many turns."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from backends.isa import Instruction, Isa
from backends.program import Program
from backends.rram.isa import ISA, Range, Reuse, Run, Wait
from backends.spatial.codes import Kind
from backends.spatial.isa import Dim, End, Layer, Loop
from compiler.localising.configuration.streams import action_of

Awaiting = Wait | Reuse


@dataclass
class CodePiece:
    """Turns in which a core does the same, of a layer; `loops` are the addresses of those around."""

    layer: int
    turns: int
    loops: tuple[int, ...] = ()
    actions: list[tuple[int, Instruction]] = field(default_factory=list[tuple[int, Instruction]])

    @property
    def awaits(self) -> bool:
        """Whether turns may be held up."""
        return any(isinstance(each, Awaiting) for _, each in self.actions)


def pieces_of_cores(program: Program, layers: Collection[int], isa: Isa) -> list[list[CodePiece]] | None:
    """By core, what it does for some layers; None of machines that have no streams."""
    if isa is not ISA:
        return None
    return [[each for each in _pieces(list(isa.decode(code))) if each.layer in layers] for code in program.code]


def _pieces(code: Sequence[Instruction]) -> Iterator[CodePiece]:
    """The pieces of a core, in order."""
    reader = _Reader()
    for address, instruction in enumerate(code):
        reader.take(address, instruction)
    return iter(reader.pieces)


class _Reader:
    """Reads the code of a core."""

    def __init__(self) -> None:
        self.pieces: list[CodePiece] = []
        self._layer = -1
        self._counts: dict[tuple[int, Kind], int] = {}
        self._opened: list[tuple[int, int]] = []
        """Address and turns of loops that have not ended."""
        self._at: tuple[tuple[int, int], ...] | None = None
        """The loops around the last piece; None before the first of a layer."""

    def take(self, address: int, instruction: Instruction) -> None:
        """Go on with an instruction."""
        match instruction:
            case Layer():
                self._layer, self._counts, self._at = instruction.index, {}, None
            case Dim():
                counts = instruction.g, instruction.op, instruction.opc, instruction.ks
                self._counts |= {(instruction.dim, kind): count for kind, count in zip(Kind, counts, strict=True)}
            case Range():
                self._counts[instruction.dim, instruction.kind] = instruction.count
            case Run():
                self._opened.append((address, instruction.turns))
            case Loop():
                extent = self._counts.get((instruction.dim, instruction.kind), 1)
                self._opened.append((address, -(-extent // instruction.tile)))
            case End() if self._opened:
                self._opened.pop()
            case _ if action_of(instruction) is not None:
                self._add(address, instruction)
            case _:
                pass

    def _add(self, address: int, instruction: Instruction) -> None:
        around = tuple(self._opened)
        if around != self._at:
            turns = 1
            for _, count in around:
                turns *= count
            self.pieces.append(CodePiece(self._layer, turns, tuple(place for place, _ in around)))
            self._at = around
        self.pieces[-1].actions.append((address, instruction))
