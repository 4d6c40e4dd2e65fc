"""What comes next in the loops of a layer, as its code says: which instruction, on which ranges of the loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backends.effects import Cut, cut_of
from backends.isa import Instruction, Isa
from backends.program import LayerEntry, Program
from backends.spatial.codes import Kind
from backends.spatial.isa import End, Loop
from dialects.gconv import PASS, GConv

_SHOWN = ("load", "pass", "multiply", "store")
"""Instructions that machines which execute loops as they come show the effects of, one for each."""


@dataclass(frozen=True)
class Extents:
    """Counts of the loops (g, op, opc, ks) of a dimension that are worked through."""

    counts: tuple[int, int, int, int]


@dataclass(frozen=True)
class Step:
    """A loop over a kind of loops that begins at an address, or an end there, after which it `repeats` or is left."""

    address: int
    kind: Kind
    repeats: bool = False


@dataclass(frozen=True, eq=False)
class Turn:
    """An instruction that has to show an effect, on which words, and the loops that begin or end right before it."""

    address: int
    cut: Cut
    loops: tuple[Step, ...]


@dataclass(frozen=True, eq=False)
class Turns:
    """What has to come, in order, and the addresses of all instructions that show effects."""

    addresses: frozenset[int]
    all: Iterator[Turn]


def turns_of(program: Program, layer: LayerEntry, spec: GConv, isa: Isa) -> Turns | None:
    """All that a layer has to show; None of layers in groups, on several cores, or whose nests run at once."""
    if layer.group or len(program.code) != 1:
        return None
    code = list(isa.decode(program.code[0]))
    own = [
        (pc, code[pc]) for entry in program.debug if entry.layer == layer.name for pc in range(entry.start, entry.end)
    ]
    shown = frozenset(pc for pc, instruction in own if _shows(isa, instruction))
    if not shown:
        return None
    extents = [Extents((dim.g, 1 if spec.main == PASS else dim.op, dim.opc, dim.ks)) for dim in spec.dims]
    return Turns(shown, _Walk(own, extents, isa).turns())


def _shows(isa: Isa, instruction: Instruction) -> bool:
    return isa.format(instruction).split()[0] in _SHOWN


class _Walk:
    """The code of a layer, followed loop by loop."""

    def __init__(self, code: Sequence[tuple[int, Instruction]], extents: Sequence[Extents], isa: Isa) -> None:
        self._code, self._extents, self._isa = code, extents, isa
        self._starts = [[0] * len(Kind) for _ in extents]
        self._sizes = [list(each.counts) for each in extents]
        self._before: list[Step] = []

    def turns(self) -> Iterator[Turn]:
        yield from self._run(0, len(self._code))

    def _run(self, first: int, end: int) -> Iterator[Turn]:
        place = first
        while place < end:
            address, instruction = self._code[place]
            if isinstance(instruction, Loop):
                close = self._end_of(place)
                yield from self._repeat(instruction, place, close)
                place = close
            elif _shows(self._isa, instruction):
                yield Turn(address, cut_of(self._extents, self._starts, self._sizes), tuple(self._before))
                self._before = []
            place += 1

    def _repeat(self, loop: Loop, place: int, close: int) -> Iterator[Turn]:
        starts, sizes = self._starts[loop.dim], self._sizes[loop.dim]
        start, size = starts[loop.kind], sizes[loop.kind]
        self._before.append(Step(self._code[place][0], loop.kind))
        for at in range(start, start + size, loop.tile):
            starts[loop.kind], sizes[loop.kind] = at, min(loop.tile, start + size - at)
            yield from self._run(place + 1, close)
            self._before.append(Step(self._code[close][0], loop.kind, at + loop.tile < start + size))
        starts[loop.kind], sizes[loop.kind] = start, size

    def _end_of(self, place: int) -> int:
        """Where the loop that begins at a place ends."""
        depth = 0
        for index in range(place, len(self._code)):
            depth += isinstance(self._code[index][1], Loop) - isinstance(self._code[index][1], End)
            if not depth:
                return index
        return len(self._code) - 1
