"""What is done in every turn of the loops around a fused group, as data: products of ranges that go along with loops.

Along a loop a range is a row of spans: from a turn on, both its ends move evenly. So halos, clipped borders and last
tiles are spans of their own, and the regular turns between them are one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Span:
    """From a turn of a loop on: `size` indices from `first`; every later turn `step` further on, and `growth` more."""

    turn: int
    first: int
    size: int
    step: int = 0
    growth: int = 0

    def at(self, turn: int) -> tuple[int, int]:
        """The first index in a turn, and the one behind the last."""
        first = self.first + (turn - self.turn) * self.step
        return first, first + self.size + (turn - self.turn) * self.growth


@dataclass(frozen=True)
class Along:
    """A range that goes along with the turns of a loop; spans in the order of their turns, the first from turn 0."""

    loop: int
    spans: tuple[Span, ...]

    def at(self, turn: int) -> tuple[int, int]:
        """The first index in a turn, and the one behind the last."""
        return next(span for span in reversed(self.spans) if span.turn <= turn).at(turn)

    def ends(self, turns: int) -> tuple[Numbers, Numbers]:
        """The first index in each of so many turns, and the one behind the last."""
        number: Numbers = np.arange(turns, dtype=np.int64)
        starts = [span.turn for span in self.spans]
        which = np.searchsorted(starts, number, side="right") - 1
        table = np.array([(each.turn, each.first, each.size, each.step, each.growth) for each in self.spans], np.int64)
        start, first, size, step, growth = table[which].T
        first = first + (number - start) * step
        return first, first + size + (number - start) * growth


@dataclass(frozen=True)
class TurnAxis:
    """Indices offset + step * n of an axis, where n is among 0 to count - 1 and in all ranges of `along`."""

    count: int
    along: tuple[Along, ...] = ()
    offset: int = 0
    step: int = 1

    def at(self, turns: Sequence[int]) -> range:
        """The indices in a turn of all loops."""
        low, high = 0, self.count
        for each in self.along:
            first, end = each.at(turns[each.loop])
            low, high = max(low, first), min(high, end)
        return range(self.offset + self.step * low, self.offset + self.step * max(low, high), self.step)

    def sizes(self, turns: Sequence[int]) -> Numbers:
        """How many indices there are in every turn; an extent of 1 for loops that the axis does not go along with."""
        low, high = self.ends(turns)
        return np.maximum(high - low, 0)

    def ends(self, turns: Sequence[int]) -> tuple[Numbers, Numbers]:
        """The first n in every turn, and the one behind the last, in tables as those of `sizes`."""
        low: Numbers = np.zeros((1,) * len(turns), np.int64)
        high: Numbers = np.full_like(low, self.count)
        for each in self.along:
            shape = [1] * len(turns)
            shape[each.loop] = turns[each.loop]
            firsts, ends = each.ends(turns[each.loop])
            low, high = np.maximum(low, firsts.reshape(shape)), np.minimum(high, ends.reshape(shape))
        return low, high


@dataclass(frozen=True)
class TurnBox:
    """A product of ranges, one for each axis, in every turn; where one is empty, there is nothing."""

    axes: tuple[TurnAxis, ...]

    def at(self, turns: Sequence[int]) -> tuple[range, ...]:
        """The ranges in a turn."""
        return tuple(axis.at(turns) for axis in self.axes)

    def total(self, turns: Sequence[int]) -> int:
        """Elements of all turns together."""
        moving = [axis for axis in self.axes if axis.along]
        whole = math.prod(axis.count for axis in self.axes if not axis.along)
        loops = [along.loop for axis in moving for along in axis.along]
        if len(loops) > len({*loops}):
            return whole * sum(math.prod(shape) * times for shape, times in TurnBox(tuple(moving)).shapes(turns))
        # axes that no loop moves together are summed up each on its own
        repeats = math.prod(count for loop, count in enumerate(turns) if loop not in loops)
        return whole * repeats * math.prod(int(axis.sizes(turns).sum()) for axis in moving)

    def shapes(self, turns: Sequence[int]) -> Iterator[tuple[tuple[int, ...], int]]:
        """The different shapes that the box has in turns of some loops, and in how many of them; no empty ones."""
        for shape, _, times in self.marked_shapes(turns, ()):
            yield shape, times

    def marked_shapes(
        self, turns: Sequence[int], marks: Sequence[Numbers]
    ) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], int]]:
        """As `shapes`, with those apart in whose turns any of some marks differ, tables as those of `sizes`."""
        moving = [number for number, axis in enumerate(self.axes) if axis.along]
        columns = [*(self.axes[number].sizes(turns) for number in moving), *marks]
        shape, rank = [axis.count for axis in self.axes], len(moving)
        if not columns:
            if all(shape):
                yield tuple(shape), (), math.prod(turns)
            return
        together = np.broadcast_shapes(*(each.shape for each in columns))
        rows, times = _distinct([np.broadcast_to(each, together).ravel() for each in columns])
        repeats = math.prod(turns) // math.prod(together)
        for row, count in zip(rows.tolist(), times.tolist(), strict=True):
            for number, size in zip(moving, row[:rank], strict=True):
                shape[number] = size
            if all(shape):
                yield tuple(shape), tuple(row[rank:]), count * repeats

    def places(self, turns: Sequence[int]) -> Iterator[tuple[tuple[range, ...], int]]:
        """The different ranges that the box has in turns of some loops, and in how many of them; no empty ones."""
        ends = [each for axis in self.axes for each in axis.ends(turns)]
        together = np.broadcast_shapes(*(each.shape for each in ends))
        places, times = _distinct([np.broadcast_to(each, together).ravel() for each in ends])
        repeats = math.prod(turns) // math.prod(together)
        for place, count in zip(places.tolist(), times.tolist(), strict=True):
            pairs = zip(self.axes, place[::2], place[1::2], strict=True)
            ranges = tuple(
                range(axis.offset + axis.step * low, axis.offset + axis.step * max(low, high), axis.step)
                for axis, low, high in pairs
            )
            if all(map(len, ranges)):
                yield ranges, count * repeats


def _distinct(columns: Sequence[Numbers]) -> tuple[Numbers, Numbers]:
    """The different rows of some columns, sorted, and how often there is each."""
    rows = np.stack(columns, axis=1)
    lowest = rows.min(axis=0)
    counts = [int(count) for count in rows.max(axis=0) - lowest + 1]
    if math.prod(counts) >= 2**62:
        return np.unique(rows, axis=0, return_counts=True)
    # numbers are sorted much sooner than rows
    keys = np.ravel_multi_index(tuple((rows - lowest).T), counts)
    _, index, times = np.unique(keys, return_index=True, return_counts=True)
    return rows[index], times
