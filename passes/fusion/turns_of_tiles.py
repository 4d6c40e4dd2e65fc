"""The turns of a loop for all tile sizes that it may be cut in, one after another along an axis of a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from passes.fusion.link_walk import Cut
from passes.fusion.region import Table

Numbers = npt.NDArray[Any]


class Turns:
    """The turns of a cut, or the first one alone of each tile size.

    Where a method has an `axis`, it is that of the turns, all of which the array has.
    """

    def __init__(self, cut: Cut, first: bool = False):
        self.cut = cut
        self.lengths = np.ones_like(cut.turns) if first else cut.turns
        """How many turns each tile size has."""
        ends = np.cumsum(self.lengths)
        self.count = int(ends[-1])
        """Turns of all tile sizes."""
        self.starts = ends - self.lengths
        """The first turn of each tile size."""
        self._lasts = ends - 1

    def of(self, tile: int) -> slice:
        """The turns of a tile size, by its number."""
        return slice(int(self.starts[tile]), int(self._lasts[tile]) + 1)

    def indices(self) -> Table:
        """Which indices of the loop each turn has: (turns, indices)."""
        turn = np.arange(self.count) - np.repeat(self.starts, self.lengths)
        tiles = np.repeat(np.asarray(self.cut.tiles), self.lengths)[:, np.newaxis]
        first = turn[:, np.newaxis] * tiles
        index = np.arange(self.cut.count)
        return (first <= index) & (index < first + tiles)

    # One for each tile size -------------------------------------------------------------------------------------------

    def total(self, numbers: Numbers, axis: int) -> Numbers:
        """The sum over turns."""
        return np.add.reduceat(numbers, self.starts, axis=axis)

    def most(self, numbers: Numbers, axis: int) -> Numbers:
        """The largest number of any turn."""
        return np.maximum.reduceat(numbers, self.starts, axis=axis)

    def every(self, holds: Table, axis: int) -> Table:
        """Whether something holds in all turns; the axis may be 1 long."""
        return holds if holds.shape[axis] == 1 else np.logical_and.reduceat(holds, self.starts, axis=axis)

    def first(self, numbers: Numbers, axis: int) -> Numbers:
        """That of the first turn."""
        return numbers.take(self.starts, axis=axis)

    def last(self, numbers: Numbers, axis: int) -> Numbers:
        """That of the last turn."""
        return numbers.take(self._lasts, axis=axis)

    # One for each turn ------------------------------------------------------------------------------------------------

    def together(self, table: Table, axis: int) -> Table:
        """What all turns have together."""
        return np.repeat(np.logical_or.reduceat(table, self.starts, axis=axis), self.lengths, axis=axis)

    def before(self, numbers: Numbers, axis: int) -> Numbers:
        """What the turn before has; nothing in the first turn of a tile size."""
        moved = np.zeros_like(numbers)
        where = (slice(None),) * axis
        moved[(*where, slice(1, None))] = numbers[(*where, slice(None, -1))]
        moved[(*where, self.starts)] = 0
        return moved

    def earlier(self, table: Table, axis: int) -> Table:
        """What all earlier turns have."""
        every = np.empty_like(table)
        for tile in range(len(self.starts)):
            where = (*(slice(None),) * axis, self.of(tile))
            np.logical_or.accumulate(table[where], axis=axis, out=every[where])
        return self.before(every, axis)
