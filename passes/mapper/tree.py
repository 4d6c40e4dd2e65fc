"""The tree of moves, searched best first: from the inside out, level by level, many parts of mappings at a time.

What waits is taken in the order of its lower bound, so that the search ends when no bound is below the best mapping
found; stopped before, it knows how far from the best possible one that is at most.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dialects.hierarchy import Axis, Hierarchy, Level, Memory
from passes.mapper.bounds import Bounds
from passes.mapper.effort import SpentError
from passes.mapper.moves import Moves
from passes.mapper.nest import Column
from passes.mapper.partial import Flags, Parts
from passes.mapper.pricing import Values

_GROUP = 300
"""What it takes to look at some parts together costs as much as these, each on its own."""

_BEAM = 48
_CHUNKS = (32, 128, 512, 2048)


@dataclass
class Incumbent:
    """The best parts found so far (one row, all levels done), shared by all trees of a search."""

    value: float = np.inf
    parts: Parts | None = None

    def offer(self, parts: Parts, values: Values) -> None:
        """Take the best of some, if it is better."""
        chosen = int(values.argmin())
        if values[chosen] < self.value:
            self.value, self.parts = float(values[chosen]), parts.take(np.array([chosen]))


@dataclass(order=True)
class _Waiting:
    """Parts before a stage; those with the lowest bound come first, later stages before earlier ones."""

    bound: float
    order: tuple[int, int]
    parts: Parts = field(compare=False)

    @property
    def stage(self) -> int:
        """How many stages are done."""
        return -self.order[0]


@dataclass(frozen=True)
class Tree:
    """The mappings with one assignment of operands to memories.

    `stages` are the levels from the inside out, but for the outermost memory; `outer[i]` is what links to memories of
    `stages[i:]` cost at least. `value` combines energy and cycles; `price` says what finished parts cost exactly.
    """

    hierarchy: Hierarchy
    moves: Moves
    bounds: Bounds
    stages: tuple[Level, ...]
    outer: tuple[float, ...]
    value: Callable[[Values, Values], Values]
    price: Callable[[Parts], Values]

    def dive(self, start: int, parts: Parts, best: Incumbent) -> None:
        """Follow only the parts with the lowest bounds."""
        groups = [parts]
        for stage in range(start, len(self.stages)):
            grown = [more for each in groups for more in self._expanded(stage, each, _lowest)]
            bounds = [self._bound(stage + 1, each) for each in grown]
            if not grown:
                return
            limit = np.concatenate(bounds)[_lowest(np.concatenate(bounds))].max()
            groups = [
                each.take(rows)
                for each, bound in zip(grown, bounds, strict=True)
                if len(rows := np.flatnonzero(bound <= limit)[:_BEAM])
            ]
        self._finish(groups, best)

    def search(self, start: int, parts: Parts, best: Incumbent) -> float:
        """Search all of the tree; a lower bound of what is in it, or the value of the best if that is less.

        What was begun when the effort is spent is not followed, and bounds the result like what still waited.
        """
        numbers = itertools.count()
        heap: list[_Waiting] = []

        def chosen(bounds: Values) -> Flags:
            self.moves.effort.spend(_GROUP)
            return bounds < best.value

        self._push(heap, numbers, start, parts, best)
        while heap and heap[0].bound < best.value:
            first = heapq.heappop(heap)
            if first.stage == len(self.stages):
                self._finish([first.parts], best)
                continue
            try:
                for more in self._expanded(first.stage, first.parts, chosen):
                    self._push(heap, numbers, first.stage + 1, more, best)
            except SpentError:
                return min(first.bound, best.value)
        return best.value

    def root_bound(self, start: int, parts: Parts) -> float:
        """A lower bound of everything in the tree."""
        return float(self._bound(start, parts).min())

    def _push(self, heap: list[_Waiting], numbers: Iterator[int], stage: int, parts: Parts, best: Incumbent) -> None:
        bounds = self._bound(stage, parts)
        rows = np.flatnonzero(bounds < best.value)
        rows = rows[np.argsort(bounds[rows], kind="stable")]
        sizes = itertools.chain(_CHUNKS, itertools.repeat(_CHUNKS[-1]))
        while len(rows):
            size = next(sizes)
            chunk, rows = rows[:size], rows[size:]
            heapq.heappush(heap, _Waiting(float(bounds[chunk[0]]), (-stage, next(numbers)), parts.take(chunk)))

    def _expanded(self, stage: int, parts: Parts, chosen: Callable[[Values], Flags]) -> Iterator[Parts]:
        """The parts after one more stage whose bounds are `chosen`."""
        level = self.stages[stage]
        if isinstance(level, Axis):
            laid = self.moves.laying(parts, level, lambda each, left: chosen(self._bound(stage, each, left)))
            if laid.count:
                yield laid
            return

        def promising(some: Parts) -> Parts:
            if not some.count:
                return some
            settled = self.bounds.settled(some)
            rows = chosen(self._bound(stage, settled, memory=level.name))
            return settled if rows.all() else settled.take(np.flatnonzero(rows))

        operands = self.bounds.assignment.get(level.name, ())
        further = frozenset(
            operand for other in self.stages[stage + 1 :] for operand in self.bounds.assignment.get(other.name, ())
        )
        yield from self.moves.storing(parts, level.name, operands, further, promising)

    def _finish(self, groups: Sequence[Parts], best: Incumbent) -> None:
        for group in groups:
            for parts in self.moves.finishing(group):
                best.offer(parts, self.price(parts))

    def _bound(self, stage: int, parts: Parts, left: Column | None = None, memory: str = "") -> Values:
        """A lower bound for parts before a stage, or in the middle of it.

        In the middle of an axis, `left` times as many elements of it may still work; in that of a `memory`, some of
        its operands may be there.
        """
        within = left is not None or bool(memory)
        axes = [level for level in self.stages[stage:] if isinstance(level, Axis)]
        room: Column = np.ones(parts.count, np.int64) if left is None else left
        room = room * math.prod(axis.size for axis in (axes[1:] if left is not None else axes))
        if self.hierarchy.elements is not None:
            room = np.maximum(np.minimum(room, self.hierarchy.elements // np.prod(parts.busy, axis=0)), 1)
        energy = self.bounds.energy(parts, room, axes, memory) + self.outer[stage + within]
        if not within and stage < len(self.stages) and isinstance(level := self.stages[stage], Memory):
            without = self.bounds.energy(parts, room, axes, level.name) + self.outer[stage + 1]
            energy = np.maximum(energy, without)
        return self.value(energy, self.bounds.cycles(parts, room))


def _lowest(bounds: Values) -> Flags:
    """Which bounds a dive follows."""
    return (
        bounds <= np.partition(bounds, _BEAM - 1)[_BEAM - 1] if len(bounds) > _BEAM else np.ones(len(bounds), np.bool_)
    )


def stages_of(hierarchy: Hierarchy) -> tuple[Level, ...]:
    """The levels from the inside out, but for the outermost memory."""
    return tuple(reversed(hierarchy.levels[1:]))


def outer_bounds(
    tree: Callable[[tuple[float, ...]], Tree], stages: tuple[Level, ...], nothing: Parts, quick: Moves
) -> tuple[float, ...]:
    """What the links to memories from each stage outwards cost at least, were the inside of no size.

    `tree` makes a tree from such bounds of the stages further out, padded with zeros; `quick` moves are those of dives.
    """
    found = [0.0]
    for stage in reversed(range(1, len(stages))):
        if isinstance(stages[stage], Memory):
            part = tree((0.0,) * (stage + 1) + tuple(found))
            best = Incumbent()
            replace(part, moves=quick).dive(stage, nothing, best)
            found.insert(0, part.search(stage, nothing, best))
        else:
            found.insert(0, found[0])
    return (found[0], *found)
