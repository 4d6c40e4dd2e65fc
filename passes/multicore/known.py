"""What the turns of a block know of all cores: most of it from the first turn on, more and more of some of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from passes.multicore.tables import Ints, Point

Row = npt.NDArray[np.int32]
"""A number for every core, or for every turn."""
ANY = np.iinfo(np.int32).max
"""More turns than a core has."""
Rows = npt.NDArray[np.int32]
"""Turns by cores."""


@dataclass
class Known:
    """What every turn of a block knows at both points: how many turns of every core are over.

    Most is known from the first turn on: a row for all cores, by point. Only of `cores` (sorted) the turns of a block
    know more and more; `load` and `store` have a column for each of these.
    """

    always: tuple[Row, Row]
    cores: Ints
    load: Rows
    store: Rows

    @classmethod
    def constant(cls, load: Row, store: Row) -> Known:
        """All turns know the same."""
        none = np.zeros((0, 0), np.int32)
        return cls((load, store), np.zeros(0, np.int64), none, none)

    def of(self, point: Point) -> Rows:
        """The columns at a point."""
        return self.load if point is Point.LOAD else self.store

    def row(self, point: Point, turn: int) -> Row:
        """What a turn knows of all cores."""
        row = self.always[point].copy()
        if len(self.cores):
            row[self.cores] = self.of(point)[turn]
        return row

    def column(self, point: Point, turns: Ints | Row, core: int) -> Row:
        """What turns know of a core."""
        at = int(np.searchsorted(self.cores, core))
        if at < len(self.cores) and self.cores[at] == core:
            return self.of(point)[turns, at]
        return np.full(len(turns), self.always[point][core], np.int32)

    def at_most(self) -> Row:
        """Of every core, how many turns may be known to be over at the end of some turn."""
        row = self.always[Point.STORE].copy()
        row[self.cores] = ANY
        return row

    def same(self, other: Known) -> bool:
        """Whether turns know the same."""
        single = np.ones(len(self.always[0]), np.bool_)
        single[self.cores] = single[other.cores] = False
        if any((mine[single] != theirs[single]).any() for mine, theirs in zip(self.always, other.always, strict=True)):
            return False
        turns = max(len(self.load), len(other.load))
        return all(
            np.array_equal(self._full(point, turns, ~single), other._full(point, turns, ~single)) for point in Point
        )

    def _full(self, point: Point, turns: int, cores: npt.NDArray[np.bool_]) -> Rows:
        """A column for each of these cores, those that it has among them."""
        found = np.broadcast_to(self.always[point][cores], (turns, int(cores.sum()))).copy()
        if len(self.cores):
            found[:, np.searchsorted(np.flatnonzero(cores), self.cores)] = self.of(point)
        return found

    def widen(self, cores: npt.NDArray[np.bool_], turns: int) -> None:
        """Have a column for each of these cores, too."""
        wanted = cores.copy()
        wanted[self.cores] = True
        chosen = np.flatnonzero(wanted)
        if len(chosen) == len(self.cores):
            return
        at = np.searchsorted(chosen, self.cores)
        made = [np.broadcast_to(always[chosen], (turns, len(chosen))).copy() for always in self.always]
        for table, columns in zip(made, (self.load, self.store), strict=True):
            if len(at):
                table[:, at] = columns
        self.cores, (self.load, self.store) = chosen, made
