"""What turns of loops need, element by element along each axis, for many tile sizes at once.

Tables have the axes (turns of each loop, index); a loop has the turns of its tile sizes one after another (`Turns`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from dialects.gconv.spec import Dim, LoopKind
from dialects.schedule import Loop
from passes.fusion.access import Window, accessed, kernel_factors, operations
from passes.fusion.group import Group, GroupLink, Operand
from passes.fusion.link_walk import Counted, Cut, Known, Ratios, Stance, Step, Union, Walk
from passes.fusion.region import Box, Table, any_of, is_still, lengths
from passes.fusion.turns_of_tiles import Turns

Windows = tuple[Window, ...]


_MOST_PLACES = 1 << 25
"""Places of a table, at most: turns of all loops in all tile sizes, by indices of an axis. Larger ones take minutes."""
_NO_NUMBERS: Ratios = np.empty(0)
_ONES = np.array([each.bit_count() for each in range(256)], np.uint8)
"""How many bits of a byte are set."""


class NotFactorisableError(Exception):
    """Two axes of a tensor depend on one loop, or two loops on one axis in a way that is no product."""


class TooLargeError(NotFactorisableError):
    """Loops that depend on one another have so many turns together that no table of them is made."""


class TurnWalk(Walk[Box, Windows]):
    """A walk with sets for all tile sizes and turns, or the `first` turns alone.

    The head works no more than the first indices of some loops that are not cut, as many as `within` says.

    Raises `NotFactorisableError`; before all else `TooLargeError`.
    """

    def __init__(
        self,
        known: Known,
        cuts: tuple[Cut, ...],
        stances: dict[str, tuple[Stance, ...]],
        low: bool = False,
        first: bool = False,
        within: Mapping[Loop, int] = MappingProxyType({}),
    ):
        super().__init__(known, cuts, stances, low)
        self._first, self._within = first, within
        self._divided = {cut.loop.dim for cut in cuts} | {loop.dim for loop in within}
        """Dimensions of the head of which turns have parts."""
        self._passed: list[tuple[str, tuple[Stance, ...]]] = []
        self._boxes: list[tuple[str, Box]] = []
        """Of every operand what it reads, and what the head makes."""
        self._turns = [Turns(cut, first) for cut in cuts]
        self._shape = tuple(turns.count for turns in self._turns)
        longest = _longest_axis(self.group, {cut.loop.dim for cut in cuts}) if len(cuts) > 1 else 0
        if math.prod(self._shape) * longest > _MOST_PLACES:
            raise TooLargeError
        self._walk()

    def _step(self, link: GroupLink, read: dict[str, list[tuple[str, Box]]]) -> Step[Box]:
        self._passed.append((link.result, self.stances.get(link.result, ())))
        key = (self.cuts, self.low, self._first, *self._within.items(), *self._passed)
        step = self.known.steps.get(key)
        if step is None:
            step = self.known.steps[key] = super()._step(link, read)
        return step

    def _head(self) -> tuple[Box, Windows]:
        windows = tuple(self._head_window(dim) for dim in self.group.head.spec.dims)
        return self._there(tuple(results for results, _ in windows)), windows

    def _windows(self, link: GroupLink, made: Box) -> Windows:
        return tuple(
            (results, np.ones((1,) * len(self.cuts) + (dim.ks,), np.bool_))
            for results, dim in zip(made, link.spec.dims, strict=True)
        )

    def _accessed(self, operand: Operand, link: GroupLink, windows: Windows) -> Box:
        if self.group.is_kernel_alone(operand.tensor):
            return self._there(kernel_factors(link, windows))
        return self._there(accessed(operand, link, windows, self.group.tensor(operand.tensor).shape))

    def _work(self, link: GroupLink, windows: Windows) -> Ratios:
        return self._sums(self._counts(operations(link, windows)))

    def _words(self, tensor: str, part: Box) -> Ratios:
        return self._sums(self._counts(part))

    def _count(self, tensor: str, part: Box, link: str | None = None) -> Counted:
        if all(is_still(table) for table in part):
            size = float(_elements(part))
            every = np.full(self.combinations, size)
            return Counted(size * self._still if self.cuts else every[:, np.newaxis], every, every)
        counts = self._counts(part)
        most, first = counts, counts
        for loop, turns in enumerate(self._turns):
            most, first = turns.most(most, loop), turns.first(first, loop)
        return Counted(self._common(part, self._sums(counts)), most.ravel(), first.ravel())

    def _nothing(self, tensor: str) -> Box:
        nothing = np.zeros((1,) * len(self.cuts) + (1,), np.bool_)
        return self._there(tuple(nothing for _ in self.group.tensor(tensor).shape))

    def _note(self, tensor: str, part: Box) -> None:
        self._boxes.append((tensor, part))

    def moved(self) -> set[tuple[str, int]]:
        return {(tensor, axis) for tensor, box in self._boxes for axis, table in enumerate(box) if not _is_guard(table)}

    def contents(self) -> tuple[bytes, ...]:
        parts: list[list[bytes]] = [[] for _ in range(self.combinations)]
        ranges = [[turns.of(tile) for tile in range(len(turns.starts))] for turns in self._turns]
        for box in (box for _, *boxes in self.results for box in boxes):
            axis = self._moving(box)
            packed = np.packbits(np.broadcast_to(box[axis], (*self._shape, box[axis].shape[-1])), axis=-1)
            for part, where in zip(parts, itertools.product(*ranges), strict=True):
                part += [bytes([axis]), packed[where].tobytes()]
        return tuple(b"".join(part) for part in parts)

    # Tiles ------------------------------------------------------------------------------------------------------------

    def _head_window(self, dim: Dim) -> Window:
        if dim.name not in self._divided:
            extents, shape = (dim.g * dim.op * dim.opc, dim.ks), (1,) * len(self.cuts)
            results, positions = (np.ones((*shape, extent), np.bool_) for extent in extents)
            return results, positions
        g, op, opc, ks = (self._tile(Loop(dim.name, kind), dim.count(kind)) for kind in LoopKind)
        results = g[..., :, None, None] & op[..., None, :, None] & opc[..., None, None, :]
        return results.reshape(*results.shape[:-3], math.prod(results.shape[-3:])), ks

    def _tile(self, loop: Loop, count: int) -> Table:
        shape = [1] * len(self.cuts) + [count]
        for index, (cut, turns) in enumerate(zip(self.cuts, self._turns, strict=True)):
            if cut.loop == loop:
                shape[index] = turns.count
                return turns.indices().reshape(shape)
        return np.arange(count).reshape(shape) < self._within.get(loop, count)

    # Sets -------------------------------------------------------------------------------------------------------------

    def _there(self, box: Box) -> Box:
        """A box with one axis at most that depends on the loops, and then on all of them."""
        if not self.cuts:
            return box
        loops = len(self.cuts)
        moving = [axis for axis, table in enumerate(box) if max(table.shape[:loops]) > 1]
        if not moving:
            return box
        # what moves one axis alone need not be told apart
        real = [axis for axis in moving if not _is_guard(box[axis])] if len(moving) > 1 else moving
        if len(real) > 1:
            raise NotFactorisableError
        (kept,) = real or moving[:1]
        pieces = list(box)
        for axis in moving:
            if axis != kept:
                pieces[kept] = pieces[kept] & any_of(pieces[axis], -1)
                pieces[axis] = any_of(pieces[axis].reshape(-1, pieces[axis].shape[-1]), 0).reshape((1,) * loops + (-1,))
        pieces[kept] = np.broadcast_to(pieces[kept], (*self._shape, pieces[kept].shape[-1]))
        return tuple(pieces)

    def _union(self, unions: list[Union], first: Box, second: Box) -> Box:
        shape = tuple(len(cut.tiles) for cut in self.cuts)

        def always(table: Table) -> npt.NDArray[np.bool_]:
            holds: npt.NDArray[np.bool_] = np.asarray(table.all(axis=-1))
            for loop, turns in enumerate(self._turns):
                holds = turns.every(holds, loop)
            return np.broadcast_to(holds, shape).ravel()

        within, around = np.ones(math.prod(shape), np.bool_), np.ones(math.prod(shape), np.bool_)
        differing = np.zeros(math.prod(shape), np.int64)
        for axis, (mine, theirs) in enumerate(zip(first, second, strict=True)):
            less, more = always(~mine | theirs), always(~theirs | mine)
            within, around = within & less, around & more
            differing |= np.where(less & more, 0, 1 << axis)
        unions.append(Union(within, around, differing))
        return self._there(tuple(mine | theirs for mine, theirs in zip(first, second, strict=True)))

    def _missing(self, needed: Box, stances: tuple[Stance, ...]) -> Box:
        if not self.cuts:
            return needed
        if all(stance is Stance.FORGET for stance in stances):
            return needed
        axis = self._moving(needed)
        table: Table = np.broadcast_to(needed[axis], (*self._shape, needed[axis].shape[-1]))
        missing = table
        for loop, stance in enumerate(stances):
            if stance is not Stance.FORGET:
                inner = table
                for further in range(loop + 1, len(self.cuts)):
                    inner = self._turns[further].together(inner, further)
                turns = self._turns[loop]
                there = turns.before(inner, loop) if stance is Stance.SLIDE else turns.earlier(inner, loop)
                missing = missing & ~there
        return (*needed[:axis], missing, *needed[axis + 1 :])

    def _moving(self, box: Box) -> int:
        """The axis that depends on the loops; where none does, a short one, which takes least to write out for them."""
        sizes = [math.prod(table.shape[:-1]) for table in box]
        most = max(sizes)
        return sizes.index(most) if most > 1 else min(range(len(box)), key=lambda axis: box[axis].shape[-1])

    # Numbers ----------------------------------------------------------------------------------------------------------

    def _counts(self, box: Box) -> Ratios:
        """Elements in every turn."""
        counts = np.full(self._shape, float(_elements(tuple(table for table in box if is_still(table)))))
        for table in box:
            if not is_still(table):
                counts *= lengths(table)
        return counts

    def _sums(self, counts: Ratios) -> Ratios:
        """Numbers of turns added up, for every combination."""
        for loop, turns in enumerate(self._turns):
            counts = turns.total(counts, loop)
        return counts.ravel()

    @cached_property
    def _still(self) -> Ratios:
        """What `_common` has of an element that all turns need."""
        loops = len(self.cuts)
        turns = [
            each.lengths.astype(np.float64).reshape([-1 if axis == loop else 1 for axis in range(loops)])
            for loop, each in enumerate(self._turns)
        ]
        codes = [math.prod(turns[:stay]) * (turns[stay] - 1 if step else 1) for stay in range(loops) for step in (0, 1)]
        shape = tuple(len(cut.tiles) for cut in self.cuts)
        every = (np.broadcast_to(np.asarray(code), shape).ravel() for code in (*codes, math.prod(turns)))
        return np.stack(list(every), axis=-1)

    def _common(self, box: Box, total: Ratios) -> Ratios:
        """See `AxisTable.common`: (combinations, codes), of which the last one is the total."""
        if not self.cuts:
            return total[:, np.newaxis]
        axis = self._moving(box)
        others = float(math.prod(int(np.count_nonzero(table)) for table in (*box[:axis], *box[axis + 1 :])))
        codes: list[Ratios] = []
        packed = np.packbits(box[axis], axis=-1)
        for stay, step in itertools.product(range(len(self.cuts)), (0, 1)):
            now = before = packed
            for loop, turns in list(enumerate(self._turns))[stay:]:
                if step and loop == stay:
                    before = turns.before(before, loop)
                else:
                    now, before = turns.first(now, loop), turns.last(before, loop)
            shared = _ONES[now & before].sum(axis=-1, dtype=np.float64)
            for loop, turns in list(enumerate(self._turns))[: stay + step]:
                shared = turns.total(shared, loop)
            codes.append(shared.ravel() * others)
        return np.stack([*codes, total], axis=-1)


class UncountedWalk(TurnWalk):
    """A walk that only tells which axes are `moved`: most of a walk is to count elements."""

    def _work(self, link: GroupLink, windows: Windows) -> Ratios:
        return _NO_NUMBERS

    def _words(self, tensor: str, part: Box) -> Ratios:
        return _NO_NUMBERS

    def _count(self, tensor: str, part: Box, link: str | None = None) -> Counted:
        return Counted(_NO_NUMBERS, _NO_NUMBERS, _NO_NUMBERS)


def _longest_axis(group: Group, dims: set[str]) -> int:
    """The most indices that an axis of a table has that some dimensions of the head move, be it on the way only."""
    head = group.head
    moved = {head.result: {index for index, dim in enumerate(head.spec.dims) if dim.name in dims}}
    longest = 1
    for link in reversed(group.links):
        mine = moved.get(link.result, set())
        longest = max([longest, *(link.spec.dims[index].output_extent for index in mine)])
        for operand in link.operands:
            if group.is_kernel_alone(operand.tensor):
                kernels = (link.spec.dims[index] for index in mine)
                longest = max([longest, *(max(dim.g * dim.op, dim.ks) for dim in kernels)])
                continue
            shape, its = group.tensor(operand.tensor).shape, moved.setdefault(operand.tensor, set())
            for index in mine:
                axes = {axis for axis, read in enumerate(operand.axes) if index in (dim for dim, _ in read.terms)}
                # One that moves no axis decides whether anything is read, which the first one tells.
                its |= axes or {0}
                longest = max(longest, operand.shape[index])
            for axis in its:
                terms = math.prod(operand.shape[dim] for dim, _ in operand.axes[axis].terms)
                longest = max(longest, shape[axis], terms)
    return longest


def _elements(box: Box) -> int:
    """The elements of a box that no loop moves."""
    return math.prod(int(np.count_nonzero(table)) for table in box)


def _is_guard(table: Table) -> bool:
    """Whether all that depends on the loops is whether anything is there."""
    if is_still(table):
        return True
    flat = table.reshape(-1, table.shape[-1])
    return bool(np.array_equal(flat, flat.any(axis=0) & flat.any(axis=1, keepdims=True)))
