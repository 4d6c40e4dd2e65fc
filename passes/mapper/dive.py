"""Good mappings at little cost: of the parts before every place of an operand, and before every axis, few are followed.

Such a beam of parts with the lowest bounds finds mappings near the best one, if it is not full of parts that are nearly
the same: those come first that use the elements in other ways than better ones do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from passes.mapper.dominance import cheapest, numbered
from passes.mapper.effort import GROUP
from passes.mapper.moves import Made
from passes.mapper.nest import Column
from passes.mapper.partial import Flags, Parts, Rows
from passes.mapper.pricing import Values
from passes.mapper.stages import Place, axes_of, nexts
from passes.mapper.tree import Incumbent, Pool, Tree

_CROWDING = 0.1
"""By how much of itself a bound counts as higher, for every better one among parts that use the elements alike."""

_SCATTER, _SCATTERED = np.uint64(2654435761), np.uint64(1 << 32)
"""Multiples of a number that has no factor in common with another one, modulo that: they are in no order."""

_TIE = 1e-9 / float(_SCATTERED)


@lru_cache(maxsize=64)
def _ties(count: int) -> Values:
    """By what to multiply so many equal bounds, such that they are in no order; not to be written to."""
    order = np.arange(count, dtype=np.uint64) * _SCATTER % _SCATTERED
    return 1 + _TIE * order.astype(np.float64)


@dataclass(frozen=True)
class Dive:
    """One dive through a tree that follows `width` parts; what it finds is offered to `best`."""

    tree: Tree
    best: Incumbent
    width: int
    step: float = 0.0
    """By how much of itself a bound must be lower than another one to say something."""

    def run(self, parts: Parts) -> None:
        """Lead parts through all levels. Raises `SpentError` if the tree's effort is spent."""
        self.tree.finish(self.led(parts), self.best)

    def led(self, parts: Parts) -> list[Parts]:
        """What becomes of parts, but for what is left to run outside everything. Raises `SpentError` as `run`."""
        tree, best = self.tree, self.best
        pools = [self._pool() for _ in range(len(tree.stages) + 1)]
        tree.put(pools, 0, [parts], best)
        for stage, levels in enumerate(tree.stages):
            taken = self._taken(pools[stage])
            if axes := axes_of(levels):
                grown = (tree.laid(stage, axes, parts, self._lowest) for parts in taken)
            else:
                grown = self._stored(stage, taken)
            tree.put(pools, stage + 1, grown, best)
        return self._taken(pools[-1])

    def _stored(self, stage: int, groups: Iterable[Parts]) -> Iterable[Parts]:
        """With all places in the memories of a stage: one more at a time, whichever may be next."""
        tree = self.tree
        places, further = tree.places(stage)
        promising = tree.promising(stage, self._followed, self._takes_all)
        reached: dict[tuple[Place, ...], Iterable[Parts]] = {tuple(places): groups}
        for _ in places:
            placed: dict[tuple[Place, ...], list[Parts]] = {}
            for waiting, several in reached.items():
                for parts in several:
                    # after the first place they come out of a pool of those with the lowest bounds
                    made = Made(parts, promising=len(waiting) < len(places))
                    for place, others in nexts(waiting):
                        found = tree.moves.placing(parts, place, others, further, promising, made)
                        placed.setdefault(others, []).extend(found)
            reached = {others: self._narrowed(stage, several) for others, several in placed.items()}
        return reached.get((), ())

    def _narrowed(self, stage: int, groups: Sequence[Parts]) -> list[Parts]:
        """The most promising parts in the middle of memories."""
        tree, pool = self.tree, self._pool()
        settled = [tree.bounds.settled(parts, tree.axes(stage)) for parts in groups]

        def chosen(parts: Parts) -> Rows:
            return cheapest(parts, tree.bounds, tree.axes(stage))

        pool.put(tree.several(stage, settled, storing=True), chosen)
        return self._taken(pool)

    def _taken(self, pool: Pool) -> list[Parts]:
        return list(pool.take(self.width, self.best, self._ranked))

    def _pool(self) -> Pool:
        return Pool(brief=True)

    def _ranked(self, parts: Parts, bounds: Values) -> Values:
        """Bounds by which parts are taken from a pool."""
        return apart(parts, self._blurred(bounds))

    def _takes_all(self, parts: Parts) -> bool:
        """Whether so many parts are followed whatever their bounds: they are few, and nothing is known to be better."""
        if parts.count > self.width or self.best.value < np.inf:
            return False
        self.tree.moves.effort.spend(GROUP)
        return True

    def _followed(self, parts: Parts, bounds: Values) -> Flags:
        """As `_lowest`, of parts that are not all taken."""
        return self._lowest(parts, bounds)

    def _lowest(self, parts: Parts, bounds: Values) -> Flags:
        """Which of some parts to follow on the way, by their bounds."""
        self.tree.moves.effort.spend(GROUP)
        if len(bounds) <= self.width:
            return bounds < self.best.value
        followed = np.zeros(len(bounds), np.bool_)
        followed[np.argsort(self._blurred(bounds), kind="stable")[: self.width]] = True
        return followed & (bounds < self.best.value)

    def _blurred(self, bounds: Values) -> Values:
        """Bounds in steps, so that which are the lowest of those that are nearly equal is a matter of chance."""
        return tied(bounds, self.step, slice(len(bounds))) if self.step else bounds


def tied(bounds: Values, step: float, places: Rows | slice) -> Values:
    """Bounds in steps of so much of themselves, of parts in these places: those that are equal come in no order."""
    steps: Values = np.exp(np.floor(np.log(np.maximum(bounds, 1.0)) / step) * step)
    return steps * _ties(1 << len(bounds).bit_length())[places]


def apart(parts: Parts, bounds: Values, beside: Column | None = None) -> Values:
    """Bounds that count as higher where better parts use the elements in the same way, and are the same `beside`."""
    used = numbered(parts.busy if beside is None else np.concatenate([parts.busy, beside]))
    order = np.lexsort((bounds, used))
    used = used[order]
    first = np.searchsorted(used, used)
    better = np.empty(len(order), np.int64)
    better[order] = np.arange(len(order)) - first
    return bounds * (1 + _CROWDING * better)
