"""What turns of one loop need where they share nothing: loops over channels, heads, or rows without overlap.

Such a loop divides each tensor in one of few ways (`Kind`), so that all numbers follow from how many turns there are
and how large they are. For loops of hundreds of indices tables of every turn would be large.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from dialects.gconv.spec import PASS, Dim, LoopKind
from passes.fusion.group import GroupLink, Operand, Role
from passes.fusion.link_walk import Counted, Cut, Known, Ratios, Stance, Union, Walk
from passes.fusion.turn_walk import TurnWalk


class NotPlainError(Exception):
    """Turns of the loop share a part of what they need, or it divides something in another way than the others."""


class Kind(Enum):
    """Which turns need what of a set."""

    TILE = "tile"
    """Each a part that no other needs."""
    ALWAYS = "always"
    """All turns all of it."""
    ONCE = "once"
    """The first turn all of it, the others nothing."""
    FIRST = "first"
    """The first turn all of it, the others each a part that no other needs: a `TILE` and `ONCE` together."""


@dataclass(frozen=True)
class Part:
    """What turns need of a tensor. Of a part, `index // step % count` along an axis is the index of the loop."""

    kind: Kind
    axis: int = -1
    step: int = 0


@dataclass(frozen=True)
class _Worked:
    """What a link works through: a part of its results or, with `dim`, of one of its loops."""

    kind: Kind
    dim: int = -1
    loop: LoopKind = LoopKind.OPC
    step: int = 0


ALWAYS, ONCE = Part(Kind.ALWAYS), Part(Kind.ONCE)


class PlainWalk(Walk[Part, _Worked]):
    """A walk for all tile sizes of a loop; `whole` is the walk without loops. Raises `NotPlainError`."""

    def __init__(
        self, known: Known, cut: Cut, stances: dict[str, tuple[Stance, ...]], whole: TurnWalk, low: bool = False
    ):
        super().__init__(known, (cut,), stances, low)
        self._cut, self._whole, self._compared = cut, whole, iter(whole.unions)
        self._turns = cut.turns.astype(np.float64)
        self._last = cut.count - (cut.turns - 1) * np.asarray(cut.tiles)
        self._moved: set[tuple[str, int]] = set()
        self._walk()

    # What links work through ------------------------------------------------------------------------------------------

    def _head(self) -> tuple[Part, _Worked]:
        loop = self._cut.loop
        dims = self.group.head.spec.dims
        index = next(index for index, dim in enumerate(dims) if dim.name == loop.dim)
        worked = _Worked(Kind.TILE, index, loop.kind, 1)
        return self._result(self.group.head, worked), worked

    def _result(self, link: GroupLink, worked: _Worked) -> Part:
        dim = link.spec.dims[worked.dim]
        match worked.loop:
            case LoopKind.G:
                return Part(Kind.TILE, worked.dim, worked.step * dim.op * dim.opc)
            case LoopKind.OP:
                return Part(Kind.TILE, worked.dim, worked.step * dim.opc)
            case LoopKind.OPC:
                return Part(Kind.TILE, worked.dim, worked.step)
            case LoopKind.KS:
                return ALWAYS

    def _windows(self, link: GroupLink, made: Part) -> _Worked:
        if made.kind is Kind.FIRST:
            raise NotPlainError
        if made.kind is not Kind.TILE:
            return _Worked(made.kind)
        dim, inner = link.spec.dims[made.axis], 1
        for kind in (LoopKind.OPC, LoopKind.OP, LoopKind.G):
            count = dim.count(kind)
            step, rest = divmod(made.step, inner)
            if not rest and step >= 1 and count % (step * self._cut.count) == 0:
                return _Worked(Kind.TILE, made.axis, kind, step)
            inner *= count
        raise NotPlainError

    def _work(self, link: GroupLink, windows: _Worked) -> Ratios:
        if windows.kind is Kind.TILE and windows.loop is LoopKind.OP and link.spec.main == PASS:
            # Without a kernel `op` is no work, so that each turn does all of it.
            raise NotPlainError
        return float(self._whole.work[link.name][0]) * self._times(windows.kind)

    # What operands read -----------------------------------------------------------------------------------------------

    def _accessed(self, operand: Operand, link: GroupLink, windows: _Worked) -> Part:
        if windows.kind is not Kind.TILE:
            return Part(windows.kind)
        index = windows.dim
        dim, extent = link.spec.dims[index], operand.shape[index]
        match operand.role:
            case Role.INPUT:
                step = _input_step(dim, extent, windows)
            case Role.KERNEL if self.group.is_kernel_alone(operand.tensor):
                # As `kernel_factors` has it: two axes for each dimension.
                if windows.loop is LoopKind.OPC:
                    return ALWAYS
                of_kernel = windows.loop is LoopKind.KS
                step = windows.step * (dim.op if windows.loop is LoopKind.G else 1)
                return Part(Kind.TILE, 2 * index + of_kernel, step)
            case Role.KERNEL:
                steps = {LoopKind.G: dim.op * dim.ks, LoopKind.OP: dim.ks, LoopKind.OPC: 0, LoopKind.KS: 1}
                step = windows.step * steps[windows.loop]
            case Role.POST:
                # Of a loop over kernels every turn has to do with all results.
                part = self._result(link, windows)
                step = part.step if extent == dim.output_extent else 0
        return self._on_tensor(operand, index, step) if step else ALWAYS

    def _on_tensor(self, operand: Operand, index: int, step: int) -> Part:
        """The part of a tensor where an operand's index of one dimension is that of the loop, times `step`."""
        axes = [number for number, axis in enumerate(operand.axes) if index in (dim for dim, _ in axis.terms)]
        if not axes:
            return ALWAYS
        if len(axes) > 1:
            raise NotPlainError
        (number,) = axes
        axis, size = operand.axes[number], self.group.tensor(operand.tensor).shape[number]
        # The dimensions have to be digits of the axis's index, all of it.
        inner, mine = 1, 0
        for dim, stride in sorted(axis.terms, key=lambda term: term[1]):
            if operand.shape[dim] > 1:
                if stride != inner:
                    raise NotPlainError
                mine = inner if dim == index else mine
                inner *= operand.shape[dim]
        if axis.offset or inner != size or not mine:
            raise NotPlainError
        return Part(Kind.TILE, number, step * mine)

    def _nothing(self, tensor: str) -> Part:
        return ALWAYS

    def _union(self, unions: list[Union], first: Part, second: Part) -> Part:
        static = next(self._compared)
        within, around = bool(static.first_in_second[0]), bool(static.second_in_first[0])
        differing = int(static.differing[0])
        union = first
        if first != second:
            tile, other = sorted((first, second), key=lambda part: part.kind is not Kind.TILE)
            # Both are all that either has of the tensor, so that they differ along the axis of the tile only.
            if not (within and around) or tile.kind is not Kind.TILE or other.kind not in (Kind.ALWAYS, Kind.ONCE):
                raise NotPlainError
            always = other.kind is Kind.ALWAYS
            union = ALWAYS if always else Part(Kind.FIRST, tile.axis, tile.step)
            within, around = always and first is tile, always and second is tile
            differing |= 1 << tile.axis
        count = self.combinations
        unions.append(Union(np.full(count, within), np.full(count, around), np.full(count, differing, np.int64)))
        return union

    def _missing(self, needed: Part, stances: tuple[Stance, ...]) -> Part:
        if all(stance is Stance.FORGET for stance in stances) or needed.kind is Kind.TILE:
            return needed
        if needed.kind is Kind.FIRST and Stance.KEEP not in stances:
            raise NotPlainError
        return ONCE

    # Numbers ----------------------------------------------------------------------------------------------------------

    def _times(self, kind: Kind) -> Ratios:
        """How often all turns together make all of a set."""
        return self._turns if kind is Kind.ALWAYS else np.ones_like(self._turns)

    def _count(self, tensor: str, part: Part, link: str | None = None) -> Counted:
        counted = self._whole.counted[tensor] if link is None else self._whole.read[link, tensor]
        key = self._cut, part.kind, float(counted.most[0])
        found = self.known.plain.get(key)
        if found is None:
            found = self.known.plain[key] = self._counted(*key[1:])
        return found

    def _counted(self, kind: Kind, size: float) -> Counted:
        """So many elements, of which turns need what the kind of a set says."""
        every = np.full_like(self._turns, size)
        tiles, count = np.asarray(self._cut.tiles), self._cut.count
        tile, second, last = (every * each / count for each in (tiles, np.minimum(tiles, count - tiles), self._last))
        nothing = np.zeros_like(every)
        # What the first turn finds after the last one; what the others find after the one before; what all need.
        match kind:
            case Kind.TILE:
                common, most = (nothing, nothing, every), tile
            case Kind.ALWAYS:
                common, most = (every, every * (self._turns - 1), every * self._turns), every
            case Kind.ONCE:
                common, most = (nothing, nothing, every), every
            case Kind.FIRST:
                common, most = (last, second, 2 * every - tile), every
        return Counted(np.stack(common, axis=-1), most, most)

    def _words(self, tensor: str, part: Part) -> Ratios:
        if part.kind is Kind.FIRST:
            raise NotPlainError
        return float(self._whole.made_words[tensor][0]) * self._times(part.kind)

    def _note(self, tensor: str, part: Part) -> None:
        if part.axis >= 0:
            self._moved.add((tensor, part.axis))

    def moved(self) -> set[tuple[str, int]]:
        return self._moved

    def contents(self) -> tuple[bytes, ...]:
        return (repr([(needed, made) for _, needed, made in self.results]).encode(),) * self.combinations


def _input_step(dim: Dim, extent: int, worked: _Worked) -> int:
    """How many input indices a step of a loop is, 0 if it has nothing to do with them."""
    group = extent // dim.g
    if worked.loop is LoopKind.OP:
        return 0
    if worked.loop is LoopKind.G:
        return worked.step * group
    beside = dim.opc == 1 or dim.stride == dim.ks
    if not beside or dim.pad or dim.dilation > 1 or dim.up > 1 or group != dim.opc * dim.ks:
        raise NotPlainError
    return worked.step * (dim.ks if worked.loop is LoopKind.OPC else 1)
