"""Better mappings near a finished one: with other tiles of two loops at a time, again and again.

What a dive ends with rarely has the best tiles, as it tries few. The nest stays, but for loops that may be cut above
every store, too. A round prices all pairs of changes at once, and takes the best one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dialects.hierarchy import Axis, Hierarchy
from passes.mapper.counts import Counts, Flags
from passes.mapper.effort import GROUP, Effort, SpentError
from passes.mapper.finished import Finished
from passes.mapper.nest import Column, For, Nest, Node, Par, Store
from passes.mapper.partial import in_banks
from passes.mapper.pricing import Values
from passes.mapper.problem import Problem

_ROUNDS = 16
"""How many rounds are made, at most: nearly always some are left."""

_PAIRED = 96
"""Of how many changes all pairs are tried: the cheapest, whether they fit or not."""

_WORTHWHILE = 1 - 1e-9
"""A share of the value that counts as less."""


@dataclass(frozen=True)
class LocalSearch:
    """Looks for mappings of a link with a lower `price`. A round counts as much as so many parts of mappings."""

    problem: Problem
    hierarchy: Hierarchy
    price: Callable[[Counts], Values]
    effort: Effort
    wanted: Collection[str] | None = None
    """The events that the price hangs on, if not on all."""

    def improved(self, made: Finished, value: float | None = None) -> Finished:
        """A mapping that no pair of changes makes better, or the best one found when the effort is spent.

        It is the same one if there is none better. `value` is its price, where that is known.
        """
        if value is None:
            value = float(self.price(self._counts(made.nest.nodes, made.tiles, 1))[0])
        with suppress(SpentError):
            for _ in range(_ROUNDS):
                nodes, tiles = self._widened(*self._without_idle_nodes(made))
                found = self._best_neighbour(nodes, self._factors(nodes, tiles))
                if found is None or found[1] >= value * _WORTHWHILE:
                    break
                value = found[1]
                made = Finished(self.problem, Nest(nodes), found[0])
        return made

    def _without_idle_nodes(self, made: Finished) -> tuple[list[Node], list[int]]:
        """Nodes and tiles without those that cut nothing."""
        nodes: list[Node] = []
        tiles: list[int] = []
        reached = list(self.problem.extents)
        for node, column in zip(made.nest.nodes, made.tiles, strict=True):
            tile = int(column[0])
            if not isinstance(node, Store):
                if tile >= reached[node.loop]:
                    continue
                reached[node.loop] = tile
            nodes.append(node)
            tiles.append(tile)
        return nodes, tiles

    def _widened(self, nodes: Sequence[Node], tiles: Sequence[int]) -> tuple[tuple[Node, ...], list[int]]:
        """With nodes that cut nothing yet above every store: innermost of loops that leave its operand alone."""
        loops = [loop for loop, extent in enumerate(self.problem.extents) if extent > 1]
        wide: list[Node] = []
        of_wide: list[int | None] = []
        begin = 0  # of the loops right above
        for node, tile in zip(nodes, tiles, strict=True):
            if isinstance(node, Store):
                there = {each.loop for each in wide[begin:] if isinstance(each, For)}
                idle = self.problem.idle(node.operand)
                new = [loop for loop in loops if loop not in there]
                around = [For(loop) for loop in new if loop not in idle]
                inside = [For(loop) for loop in new if loop in idle]
                wide[begin:begin] = around
                of_wide[begin:begin] = [None] * len(around)
                wide += inside
                of_wide += [None] * len(inside)
            wide.append(node)
            of_wide.append(tile)
            if not isinstance(node, For):
                begin = len(wide)
        reached = list(self.problem.extents)
        known: list[int] = []
        for node, tile in zip(wide, of_wide, strict=True):
            if isinstance(node, Store):
                known.append(1)
                continue
            reached[node.loop] = reached[node.loop] if tile is None else tile
            known.append(reached[node.loop])
        return tuple(wide), known

    def _factors(self, nodes: Sequence[Node], tiles: Sequence[int]) -> npt.NDArray[np.int64]:
        """How many of the tiles inside make a tile of each node; 1 of stores."""
        inner = dict.fromkeys(range(len(self.problem.extents)), 1)
        factors = np.ones(len(nodes), np.int64)
        for place in reversed(range(len(nodes))):
            node = nodes[place]
            if not isinstance(node, Store):
                factors[place] = -(-tiles[place] // inner[node.loop])
                inner[node.loop] = tiles[place]
        return factors

    def _tiles(self, nodes: Sequence[Node], factors: Column) -> list[Column]:
        """The tiles of candidates, whose factors are columns."""
        inner: dict[int, Column] = {}
        tiles: list[Column] = [np.ones(1, np.int64)] * len(nodes)
        for place in reversed(range(len(nodes))):
            node = nodes[place]
            if not isinstance(node, Store):
                tile = factors[place] * inner.get(node.loop, 1)
                tiles[place] = inner[node.loop] = np.minimum(tile, self.problem.extents[node.loop])
        return tiles

    def _best_neighbour(
        self, nodes: tuple[Node, ...], factors: npt.NDArray[np.int64]
    ) -> tuple[list[Column], float] | None:
        """The tiles of the best candidate with one or two other factors, and its price; None if none fits."""
        places, changed = self._changes(nodes, factors)
        if not len(places):
            return None
        single = np.repeat(factors[:, None], len(places), axis=1)
        single[places, np.arange(len(places))] = changed
        self.effort.spend(GROUP + single.shape[1])
        chosen: Column = np.arange(len(places))
        if len(chosen) > _PAIRED:
            prices = self.price(self._counts(nodes, self._tiles(nodes, single), len(chosen)))
            chosen = np.sort(np.argsort(prices, kind="stable")[:_PAIRED])
        first, second = np.triu_indices(len(chosen), 1)
        first, second = chosen[first], chosen[second]
        apart = places[first] != places[second]
        first, second = first[apart], second[apart]
        self.effort.spend(GROUP + len(first))
        pairs = single[:, first]
        pairs[places[second], np.arange(len(second))] = changed[second]
        candidates = np.concatenate([single, pairs], axis=1)
        tiles = self._tiles(nodes, candidates)
        fitting = np.flatnonzero(self._fit(self._counts(nodes, tiles, candidates.shape[1])))
        if not len(fitting):
            return None
        tiles = [tile if len(tile) == 1 else tile[fitting] for tile in tiles]
        prices = self.price(self._counts(nodes, tiles, len(fitting)))
        row = int(prices.argmin())
        return [tile if len(tile) == 1 else tile[row : row + 1] for tile in tiles], float(prices[row])

    def _changes(self, nodes: Sequence[Node], factors: npt.NDArray[np.int64]) -> tuple[Column, Column]:
        """Other factors that are tried, with the places of their nodes."""
        places: list[int] = []
        changed: list[int] = []
        for place, node in enumerate(nodes):
            if isinstance(node, Store):
                continue
            most = self.problem.extents[node.loop]
            if isinstance(node, Par):
                most = min(most, self.hierarchy.axis(node.axis).size)
            now = int(factors[place])
            others = {1, now - 1, now + 1, now // 2, -(-now // 2), 2 * now, now // 3, 3 * now, 4 * now, most} - {now}
            some = sorted(each for each in others if 1 <= each <= most)
            places += [place] * len(some)
            changed += some
        return np.array(places, np.intp), np.array(changed, np.int64)

    def _fit(self, counts: Counts) -> Flags:
        """Which candidates the machine has room for."""
        fits = np.ones(counts.candidates, np.bool_)
        elements: Column = np.ones(1, np.int64)
        for level in self.hierarchy.levels:
            if isinstance(level, Axis):
                along = counts.elements(level.name)
                fits &= along <= level.size
                elements = elements * along
                continue
            held = counts.occupancy.get(level.name, {})
            for operand, words in held.items():
                if operand in level.rooms:
                    fits &= words * level.buffers <= level.rooms[operand]
            if level.words is not None and held:
                fits &= sum(in_banks(level, words * level.buffers) for words in held.values()) <= level.words
        return fits if self.hierarchy.elements is None else fits & (elements <= self.hierarchy.elements)

    def _counts(self, nodes: tuple[Node, ...], tiles: list[Column], candidates: int) -> Counts:
        return Counts(self.problem, self.hierarchy, Nest(nodes), tiles, self.wanted, candidates)
