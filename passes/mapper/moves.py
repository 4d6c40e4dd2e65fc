"""Which moves lead from a part of a mapping to the next, such that no better mapping is left out.

A loop that is cut further out than it was makes the tiles between smaller, and costs nothing more but where

- it was inside a link that is alive for it,
- it was inside a place of the input, whose tiles overlap, or inside a loop along which a window slides, or
- it made a tile larger, which then stays while other loops run, with a place of an operand that this loop leaves alone
  between them.

So these cuts are tried, right inside the store of an operand, and no others: none inside of an axis, and of the tiles
that cut a loop into equally many only the smallest.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from dialects.hierarchy import Axis, Hierarchy
from dialects.schedule import Operand
from passes.mapper.effort import Effort
from passes.mapper.footprint import tile_words
from passes.mapper.nest import Column, Store
from passes.mapper.partial import Flags, Parts, Rows, in_banks
from passes.mapper.problem import Problem

Filter = Callable[[Parts], Parts]
"""Those parts that may still be part of a mapping that is better than what is known."""


class Moves:
    """The moves on one machine; `promising` drops parts on the way.

    Tiles that are larger for the sake of others are many, and rarely pay; without `larger` they are left out. With
    `values`, only so many tiles of a loop are tried at a time, and the search is no longer exact.
    """

    def __init__(
        self, problem: Problem, hierarchy: Hierarchy, effort: Effort, *, larger: bool = True, values: int | None = None
    ):
        self.effort = effort
        self._values = values
        self._problem = problem
        self._hierarchy = hierarchy
        self._larger = larger
        self._windows = tuple(loop for window in problem.windows for loop in (window.outputs, window.kernels))

    def storing(
        self,
        parts: Parts,
        memory: str,
        operands: Sequence[Operand],
        further: frozenset[Operand],
        promising: Filter,
    ) -> Iterator[Parts]:
        """All ways to give operands a place in a memory, cuts between them included.

        `further` operands get a place in memories further out.
        """
        if not operands:
            yield parts
            return
        for operand in operands:
            others = [each for each in operands if each is not operand]
            for cut, owed in self._cuts(parts, memory, operand, further.union(others), promising):
                if _is_swapped(cut, memory, operand):
                    continue
                stored = promising(cut.stored(self._hierarchy, memory, operand, owed))
                if stored.count:
                    yield from self.storing(stored, memory, others, further, promising)

    def laying(self, parts: Parts, axis: Axis, promising: Callable[[Parts, Column], Flags]) -> Parts:
        """With every loop that may be laid along an axis laid over as many elements as there are, or fewer.

        `promising` is also told how many times as many elements the axis still has.
        """
        used: Column = np.ones(parts.count, np.int64)
        for loop in range(len(self._problem.loops)):
            if self._problem.loops[loop].kind not in axis.loops:
                continue
            rows, factors = self._factors(self._left(parts, loop), axis.size // used)
            laid, used = parts.laid(axis, loop, factors, rows), used[rows] * factors
            allowed = promising(laid, axis.size // used)
            if self._hierarchy.elements is not None:
                allowed = allowed & (np.prod(laid.busy, axis=0) <= self._hierarchy.elements)
            fits = np.flatnonzero(allowed)
            parts, used = laid.take(fits), used[fits]
        return parts

    def finishing(self, parts: Parts) -> Iterator[Parts]:
        """All ways to order what is left outside everything: what is to stay alive runs innermost."""

        def grown(some: Parts, loops: tuple[int, ...]) -> Parts:
            left = np.stack([self._left(some, loop) for loop in loops]) if loops else np.zeros((0, some.count))
            rows = np.flatnonzero((left > 1).any(axis=0))
            return some.cut(loops, left[:, rows], rows) if len(rows) else _none(some)

        for some in (parts, *self._slid(parts, grown)):
            yield some
            for loops in dict.fromkeys(self._problem.idle(link.operand) for link in some.links if link.alive):
                cut = grown(some, loops)
                if cut.count:
                    yield cut

    def _cuts(
        self, parts: Parts, memory: str, operand: Operand, later: frozenset[Operand], promising: Filter
    ) -> Iterator[tuple[Parts, frozenset[Operand]]]:
        """With all sequences of cuts right inside the store of an operand, and for whom its tile is then larger.

        Loops for which a link is alive come first, so that it is alive for as many of them as there will be. Those who
        may profit from a larger tile get a place `later`.
        """

        def grown(some: Parts, loops: tuple[int, ...]) -> Parts:
            return promising(self._grown(some, loops, memory, operand)) if loops and some.count else _none(some)

        slid = self._windows if operand is Operand.INPUT else ()
        others = [each for each in self._problem.operands if each is not operand and each in later]
        profiting = _subsets(others) if self._larger and self._hierarchy.memory(memory).stays else [()]
        for before in (parts, *self._slid(parts, grown)):
            for loops in ((), *dict.fromkeys(self._problem.idle(link.operand) for link in before.links if link.alive)):
                first = grown(before, loops) if loops else before
                for overlapping in dict.fromkeys(((), tuple(loop for loop in slid if loop not in loops))):
                    second = grown(first, overlapping) if overlapping else first
                    for several in profiting:
                        last = second
                        for other in several:
                            last = grown(last, tuple(loop for loop in self._problem.idle(other) if loop not in loops))
                        if last.count:
                            yield last, frozenset(several)

    def _slid(self, parts: Parts, grown: Callable[[Parts, tuple[int, ...]], Parts]) -> Iterator[Parts]:
        """With one loop of a window cut where a memory keeps what its steps share.

        Inside of it, loops that leave the input alone.
        """
        for link in parts.links:
            if link.alive and link.slides:
                for inside in (parts, grown(parts, self._problem.idle(link.operand))):
                    for loop in self._windows:
                        slid = grown(inside, (loop,))
                        if slid.count:
                            yield slid

    def _grown(self, parts: Parts, loops: tuple[int, ...], memory: str, operand: Operand) -> Parts:
        """With all cuts of loops, of one at least, for which a tile of the operand fits into the memory."""
        rows: Rows = np.arange(parts.count)
        factors: list[Column] = []
        tiles = parts.tiles
        for loop in loops:
            more, by = self._factors(self._left(parts, loop)[rows])
            tiles = tiles[:, more].copy()
            tiles[loop] = np.minimum(tiles[loop] * by, self._problem.extents[loop])
            fits = np.flatnonzero(self._fits(parts, rows[more], tiles, memory, operand))
            rows, tiles = rows[more][fits], tiles[:, fits]
            factors = [*(each[more][fits] for each in factors), by[fits]]
        stacked = np.stack(factors)
        some = np.flatnonzero((stacked > 1).any(axis=0))
        return parts.cut(loops, stacked[:, some], rows[some])

    def _fits(self, parts: Parts, rows: Rows, tiles: Column, memory: str, operand: Operand) -> Flags:
        level = self._hierarchy.memory(memory)
        words = tile_words(self._problem, operand, tiles) * level.buffers
        fits = np.ones(len(rows), np.bool_)
        if level.words is not None:
            fits &= in_banks(level, words) + (parts.held[memory][rows] if memory in parts.held else 0) <= level.words
        if operand in level.rooms:
            fits &= words <= level.rooms[operand]
        return fits

    def _factors(self, left: Column, most: Column | None = None) -> tuple[Rows, Column]:
        """Rows, each repeated with every factor that is worth trying: up to `most`, one always."""
        rows: list[Rows] = [np.zeros(0, np.intp)]
        factors: list[Column] = [np.zeros(0, np.int64)]
        key = left if most is None else left * (int(most.max(initial=1)) + 1) + most
        for value in np.unique(key):
            some = np.flatnonzero(key == value)
            values = even(int(left[some[0]]))
            if most is not None:
                values = values[values <= most[some[0]]]
            if self._values is not None and len(values) > self._values:
                values = values[np.linspace(0, len(values) - 1, self._values).astype(np.intp)]
            self.effort.spend(len(some) * len(values))
            rows.append(np.repeat(some, len(values)))
            factors.append(np.tile(values, len(some)))
        return np.concatenate(rows), np.concatenate(factors)

    def _left(self, parts: Parts, loop: int) -> Column:
        """How many tiles of a loop there are to run over."""
        return -(-self._problem.extents[loop] // parts.tiles[loop])


def even(extent: int) -> Column:
    """The smallest tile for every number of tiles that a loop can be cut into."""
    return np.unique(-(-extent // np.arange(1, extent + 1)))


def _is_swapped(parts: Parts, memory: str, operand: Operand) -> bool:
    """Whether the store before, with nothing in between, could as well come later, and is tried so."""
    last = parts.nodes[-1] if parts.nodes else None
    order = list(Operand)
    return isinstance(last, Store) and last.memory == memory and order.index(last.operand) > order.index(operand)


def _none(parts: Parts) -> Parts:
    return parts.take(np.zeros(0, np.intp))


def _subsets(operands: Sequence[Operand]) -> list[tuple[Operand, ...]]:
    return [some for number in range(len(operands) + 1) for some in itertools.combinations(operands, number)]
