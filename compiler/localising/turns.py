"""What comes next in the loops of a layer, as its code says: which instruction, on which ranges of the loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backends.effects import Cut, cut_of
from backends.isa import Instruction, Isa
from backends.program import LayerEntry, Program
from backends.spatial import isa as arrays
from backends.spatial.codes import Kind, Tensor
from backends.spatial.isa import End, Loop
from backends.spots import isa as spots
from dialects.gconv import PASS, GConv

_SHOWN = (arrays.Open, arrays.Load, arrays.Pass, arrays.Store, spots.Open, spots.Load, spots.Multiply, spots.Store)
"""Instructions that machines which execute loops as they come show the effects of, one for each."""
_LOADS = (arrays.Load, spots.Load)
_STORES = (arrays.Store, spots.Store)
Ranges = tuple[range, ...]
"""Of (g, op, opc, ks) of every dimension in turn."""


@dataclass(frozen=True)
class Extents:
    """Counts of the loops (g, op, opc, ks) of a dimension that are worked through."""

    counts: tuple[int, int, int, int]


@dataclass(frozen=True)
class Step:
    """A loop of a dimension that `begins` at an address, or an end there, after which it `repeats` or is left."""

    address: int
    dim: int
    kind: Kind
    repeats: bool = False
    begins: bool = False


@dataclass(frozen=True, eq=False)
class Turn:
    """An instruction that has to show an effect, on which words, and the loops that begin or end right before it."""

    address: int
    cut: Cut
    loops: tuple[Step, ...]
    operand: Tensor | None = None
    """Of a load, which it brings."""


@dataclass(frozen=True, eq=False)
class Turns:
    """What has to come, in order, and the addresses of all instructions that show effects."""

    addresses: frozenset[int]
    all: Iterator[Turn]


def turns_of(program: Program, layer: LayerEntry, spec: GConv, isa: Isa) -> Turns | None:
    """All that a layer has to show; None of layers in groups, on several cores, or whose nests run at once."""
    loops = None if layer.group else LayerLoops.of(program, layer, spec, isa)
    return None if loops is None else loops.whole()


@dataclass(frozen=True, eq=False)
class LayerLoops:
    """The code of a layer whose loops run as they come; `own` are its instructions, each with its address."""

    own: Sequence[tuple[int, Instruction]]
    spec: GConv
    addresses: frozenset[int]

    @staticmethod
    def of(program: Program, layer: LayerEntry, spec: GConv, isa: Isa) -> LayerLoops | None:
        """Those of a layer; None on several cores, or of machines whose nests run at once."""
        if len(program.code) != 1:
            return None
        code = list(isa.decode(program.code[0]))
        places = (pc for entry in program.debug if entry.layer == layer.name for pc in range(entry.start, entry.end))
        own = [(pc, code[pc]) for pc in places]
        shown = frozenset(pc for pc, instruction in own if isinstance(instruction, _SHOWN))
        return LayerLoops(own, spec, shown) if shown else None

    @property
    def loads(self) -> frozenset[int]:
        """Where operands are loaded."""
        return frozenset(pc for pc, instruction in self.own if isinstance(instruction, _LOADS))

    def whole(self) -> Turns:
        """All that they have to show on all of the layer."""
        return self.within(tuple(range(count) for dim in self.spec.dims for count in (dim.g, dim.op, dim.opc, dim.ks)))

    def within(self, box: Ranges) -> Turns:
        """All that they have to show on a box; where sums go on later, nothing is stored."""
        kinds, dims = len(Kind), self.spec.dims
        ranges = [box[kinds * number : kinds * (number + 1)] for number in range(len(dims))]
        goes_on = any(each[Kind.KS].stop != dim.ks for each, dim in zip(ranges, dims, strict=True))
        own = [each for each in self.own if not goes_on or not isinstance(each[1], _STORES)]
        sizes = [[len(each) for each in of_dim] for of_dim in ranges]
        for size in sizes if self.spec.main == PASS else ():
            size[Kind.OP] = 1
        extents = [Extents((dim.g, 1 if self.spec.main == PASS else dim.op, dim.opc, dim.ks)) for dim in dims]
        walk = _Walk(own, extents, [[each.start for each in of_dim] for of_dim in ranges], sizes)
        return Turns(frozenset(pc for pc, each in own if isinstance(each, _SHOWN)), walk.turns())


class _Walk:
    """The code of a layer, followed loop by loop."""

    def __init__(
        self,
        code: Sequence[tuple[int, Instruction]],
        extents: Sequence[Extents],
        starts: Sequence[list[int]],
        sizes: Sequence[list[int]],
    ) -> None:
        self._code, self._extents, self._starts, self._sizes = code, extents, starts, sizes
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
            elif isinstance(instruction, _SHOWN):
                operand = instruction.tensor if isinstance(instruction, _LOADS) else None
                yield Turn(address, cut_of(self._extents, self._starts, self._sizes), tuple(self._before), operand)
                self._before = []
            place += 1

    def _repeat(self, loop: Loop, place: int, close: int) -> Iterator[Turn]:
        starts, sizes = self._starts[loop.dim], self._sizes[loop.dim]
        start, size = starts[loop.kind], sizes[loop.kind]
        self._before.append(Step(self._code[place][0], loop.dim, loop.kind, begins=True))
        for at in range(start, start + size, loop.tile):
            starts[loop.kind], sizes[loop.kind] = at, min(loop.tile, start + size - at)
            yield from self._run(place + 1, close)
            self._before.append(Step(self._code[close][0], loop.dim, loop.kind, at + loop.tile < start + size))
        starts[loop.kind], sizes[loop.kind] = start, size

    def _end_of(self, place: int) -> int:
        """Where the loop that begins at a place ends."""
        depth = 0
        for index in range(place, len(self._code)):
            depth += isinstance(self._code[index][1], Loop) - isinstance(self._code[index][1], End)
            if not depth:
                return index
        return len(self._code) - 1
