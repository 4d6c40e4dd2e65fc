"""What turns of loops need, element by element along each axis, for many tile sizes at once.

Tables have the axes (tile size of each loop, turn of each loop, index). Tile sizes with fewer turns are padded with
turns that need nothing.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

from dialects.gconv.spec import Dim, LoopKind
from dialects.schedule import Loop
from passes.fusion.access import Window, accessed, kernel_factors, operations
from passes.fusion.group import GroupLink, Operand
from passes.fusion.link_walk import Counted, Cut, Known, Ratios, Stance, Step, Union, Walk
from passes.fusion.region import Box, Table, any_of

Windows = tuple[Window, ...]


class NotFactorisableError(Exception):
    """Two axes of a tensor depend on one loop, or two loops on one axis in a way that is no product."""


class TurnWalk(Walk[Box, Windows]):
    """A walk with sets for all tile sizes and turns. Raises `NotFactorisableError`."""

    def __init__(
        self,
        known: Known,
        cuts: tuple[Cut, ...],
        stances: dict[str, tuple[Stance, ...]],
        low: bool = False,
    ):
        super().__init__(known, cuts, stances, low)
        self._passed: list[tuple[str, tuple[Stance, ...]]] = []
        self._boxes: list[tuple[str, Box]] = []
        """Of every tensor what is needed or, of what several links read, what they read."""
        self._presence = self._turns_there()
        self._walk()

    def _step(self, link: GroupLink, read: dict[str, list[tuple[str, Box]]]) -> Step[Box]:
        self._passed.append((link.result, self.stances.get(link.result, ())))
        key = (self.cuts, self.low, *self._passed)
        step = self.known.steps.get(key)
        if step is None:
            step = self.known.steps[key] = super()._step(link, read)
        return step

    def _head(self) -> tuple[Box, Windows]:
        windows = tuple(self._head_window(dim) for dim in self.group.head.spec.dims)
        return self._there(tuple(results for results, _ in windows)), windows

    def _windows(self, link: GroupLink, made: Box) -> Windows:
        return tuple(
            (results, np.ones((1,) * (2 * len(self.cuts)) + (dim.ks,), np.bool_))
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
        counts = self._flat(self._counts(part))
        self._boxes.append((tensor, part))
        return Counted(self._common(part), counts.max(axis=1), counts[:, 0])

    def _nothing(self, tensor: str) -> Box:
        nothing = np.zeros((1,) * (2 * len(self.cuts)) + (1,), np.bool_)
        return self._there(tuple(nothing for _ in self.group.tensor(tensor).shape))

    def moved(self) -> set[tuple[str, int]]:
        return {(tensor, axis) for tensor, box in self._boxes for axis, table in enumerate(box) if not _is_guard(table)}

    def contents(self) -> tuple[bytes, ...]:
        parts: list[npt.NDArray[np.uint8]] = []
        for box in (box for _, *boxes in self.results for box in boxes):
            axis = self._moving(box)
            full = np.broadcast_to(box[axis], (*self._presence.shape[:-1], box[axis].shape[-1]))
            rows = full.reshape(self.combinations, -1)
            parts += [np.full((self.combinations, 1), axis, np.uint8), np.packbits(rows, axis=1)]
        return tuple(row.tobytes() for row in np.concatenate(parts, axis=1))

    # Tiles ------------------------------------------------------------------------------------------------------------

    def _turns_there(self) -> Table:
        """Which turns tile sizes have at all, as a table with one index."""
        there: Table = np.ones((1,) * (2 * len(self.cuts)) + (1,), np.bool_)
        for index, cut in enumerate(self.cuts):
            most = int(cut.turns.max())
            there = there & self._placed(index, np.arange(most) < cut.turns[:, np.newaxis], 1)
        return there

    def _placed(self, index: int, table: Table, extent: int) -> Table:
        shape = [1] * (2 * len(self.cuts)) + [extent]
        shape[index], shape[len(self.cuts) + index] = table.shape[:2]
        return table.reshape(shape)

    def _head_window(self, dim: Dim) -> Window:
        g, op, opc, ks = (self._tile(Loop(dim.name, kind), dim.count(kind)) for kind in LoopKind)
        results = g[..., :, None, None] & op[..., None, :, None] & opc[..., None, None, :]
        return results.reshape(*results.shape[:-3], math.prod(results.shape[-3:])), ks

    def _tile(self, loop: Loop, count: int) -> Table:
        for index, cut in enumerate(self.cuts):
            if cut.loop == loop:
                turn = np.arange(int(cut.turns.max()))[np.newaxis, :, np.newaxis]
                tiles = np.asarray(cut.tiles)[:, np.newaxis, np.newaxis]
                return self._placed(index, np.arange(count) // tiles == turn, count)
        return np.ones((1,) * (2 * len(self.cuts)) + (count,), np.bool_)

    # Sets -------------------------------------------------------------------------------------------------------------

    def _there(self, box: Box) -> Box:
        """A box with at most one axis that depends on the loops, and nothing in turns that are not there."""
        if not self.cuts:
            return box
        loops = 2 * len(self.cuts)
        moving = [axis for axis, table in enumerate(box) if max(table.shape[:loops]) > 1]
        real = [axis for axis in moving if not _is_guard(box[axis])]
        if len(real) > 1:
            raise NotFactorisableError
        (kept,) = real or moving[:1] or [0]
        pieces = list(box)
        pieces[kept] = pieces[kept] & self._presence
        for axis in moving:
            if axis != kept:
                pieces[kept] = pieces[kept] & any_of(pieces[axis], -1)
                pieces[axis] = any_of(pieces[axis].reshape(-1, pieces[axis].shape[-1]), 0).reshape((1,) * loops + (-1,))
        return tuple(pieces)

    def _union(self, unions: list[Union], first: Box, second: Box) -> Box:
        count = len(self.cuts)
        shape = tuple(len(cut.tiles) for cut in self.cuts)

        def always(table: Table) -> npt.NDArray[np.bool_]:
            holds = table.all(axis=(*range(count, 2 * count), -1))
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
        count = len(self.cuts)
        axis = self._moving(needed)
        table: Table = needed[axis]
        missing = table
        for loop, stance in enumerate(stances):
            if stance is not Stance.FORGET:
                turn = count + loop
                inner: Table = np.any(table, axis=tuple(range(turn + 1, 2 * count)), keepdims=True)
                if stance is Stance.KEEP:
                    inner = np.logical_or.accumulate(inner, axis=turn)
                where = (slice(None),) * turn
                before = np.zeros_like(inner)
                before[(*where, slice(1, None))] = inner[(*where, slice(None, -1))]
                missing = missing & ~before
        return (*needed[:axis], missing, *needed[axis + 1 :])

    def _moving(self, box: Box) -> int:
        """The axis that depends on the loops."""
        sizes = [math.prod(table.shape[:-1]) for table in box]
        return sizes.index(max(sizes))

    # Numbers ----------------------------------------------------------------------------------------------------------

    def _counts(self, box: Box) -> Ratios:
        """Elements in every turn that is there."""
        counts = self._presence[..., 0].astype(np.float64)
        for table in box:
            counts = counts * np.count_nonzero(table, axis=-1)
        return counts

    def _flat(self, numbers: Ratios) -> Ratios:
        """Numbers with axes for tile sizes only, or with turns behind them: (combinations, turns)."""
        tiles = [len(cut.tiles) for cut in self.cuts]
        turns = [int(cut.turns.max()) for cut in self.cuts]
        return np.broadcast_to(numbers, (*tiles, *turns)).reshape(math.prod(tiles), math.prod(turns))

    def _sums(self, counts: Ratios) -> Ratios:
        return self._flat(counts).sum(axis=1)

    def _common(self, box: Box) -> Ratios:
        """See `AxisTable.common`: (combinations, codes)."""
        if not self.cuts:
            return np.array([[_total(box)]])
        count, axis = len(self.cuts), self._moving(box)
        others = _total((*box[:axis], *box[axis + 1 :]))
        codes: list[Ratios] = []
        for stay, step in [*itertools.product(range(count), (0, 1)), (count, 0)]:
            now = before = box[axis]
            for loop in range(stay, count):
                turn = count + loop
                if step and loop == stay:
                    now, before = _part(now, turn, slice(1, None)), _part(before, turn, slice(0, -1))
                else:
                    now, before = _part(now, turn, slice(0, 1)), self._last(before, loop)
            shared = np.count_nonzero(now & before, axis=-1).astype(np.float64)
            sums = shared.sum(axis=tuple(range(count, 2 * count)))
            codes.append(sums.ravel() * others)
        return np.stack(codes, axis=-1)

    def _last(self, table: Table, loop: int) -> Table:
        count = len(self.cuts)
        shape = [1] * table.ndim
        shape[loop] = -1
        last = (self.cuts[loop].turns - 1).reshape(shape)
        return np.take_along_axis(table, last, axis=count + loop)


def _total(box: Box) -> float:
    """Elements of a box that depends on no loop."""
    return float(math.prod(int(np.count_nonzero(table)) for table in box))


def _part(table: Table, axis: int, part: slice) -> Table:
    return table[(*(slice(None),) * axis, part)]


def _is_guard(table: Table) -> bool:
    """Whether all that depends on the loops is whether anything is there."""
    flat = table.reshape(-1, table.shape[-1])
    return bool(np.array_equal(flat, flat.any(axis=0) & flat.any(axis=1, keepdims=True)))
