"""A loop nest with its tile sizes left open: the shape that many mappings share.

A nest is a path of nodes as in `dialects.schedule`. Tile sizes are columns: node k of candidate c cuts its loop into
tiles of `tiles[k][c]` indices, so that one formula prices all candidates of a nest at once (`passes.mapper.counts`).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from dialects.schedule import Mapping, Operand, Spatial, Storage, Temporal
from passes.mapper.problem import Problem

Column = npt.NDArray[Any]
"""One number for every candidate: whole ones, or fractions where papers count fractions of tiles."""


@dataclass(frozen=True)
class For:
    """Tiles of a loop one after another."""

    loop: int


@dataclass(frozen=True)
class Par:
    """Tiles of a loop side by side along an array axis."""

    loop: int
    axis: str


@dataclass(frozen=True)
class Store:
    """The place at which the words of an operand that everything below needs are brought into a memory."""

    memory: str
    operand: Operand


Node = For | Par | Store


@dataclass(frozen=True)
class Place:
    """Where an operand lies: `node` is the index of its store, -1 for the outermost memory, the end for operations."""

    node: int
    memory: str


@dataclass(frozen=True)
class Nest:
    """Nodes, outermost first. What no node cuts is executed index by index inside one element."""

    nodes: tuple[Node, ...]

    def stores(self, operand: Operand) -> tuple[tuple[int, Store], ...]:
        """The places of an operand from the outermost inwards, with the indices of their nodes."""
        return self._stores.get(operand, ())

    @cached_property
    def _stores(self) -> dict[Operand, tuple[tuple[int, Store], ...]]:
        stores: dict[Operand, tuple[tuple[int, Store], ...]] = {}
        for index, node in enumerate(self.nodes):
            if isinstance(node, Store):
                stores[node.operand] = (*stores.get(node.operand, ()), (index, node))
        return stores

    def path(self, operand: Operand, begins: str) -> tuple[Place, ...]:
        """The places of an operand that comes from a memory, from there to operations."""
        if (operand, begins) not in self._paths:
            stored = (Place(index, store.memory) for index, store in self.stores(operand))
            self._paths[operand, begins] = (Place(-1, begins), *stored, Place(len(self.nodes), "operation"))
        return self._paths[operand, begins]

    @cached_property
    def _paths(self) -> dict[tuple[Operand, str], tuple[Place, ...]]:
        return {}

    @cached_property
    def spatial(self) -> tuple[tuple[int, Par], ...]:
        """The nodes that lay loops along axes, with their indices."""
        return tuple((index, node) for index, node in enumerate(self.nodes) if isinstance(node, Par))

    def cuts(self, loop: int) -> tuple[tuple[int, For | Par], ...]:
        """The nodes that cut a loop from the outermost inwards, with their indices."""
        return self._cuts.get(loop, ())

    def depth(self, loop: int, end: int) -> int:
        """How many nodes above another one cut a loop."""
        return bisect_left(self._cut_places[loop], end) if loop in self._cut_places else 0

    @cached_property
    def _cut_places(self) -> dict[int, list[int]]:
        return {loop: [index for index, _ in cuts] for loop, cuts in self._cuts.items()}

    @cached_property
    def _cuts(self) -> dict[int, tuple[tuple[int, For | Par], ...]]:
        cuts: dict[int, tuple[tuple[int, For | Par], ...]] = {}
        for index, node in enumerate(self.nodes):
            if not isinstance(node, Store):
                cuts[node.loop] = (*cuts.get(node.loop, ()), (index, node))
        return cuts


def nest_of(problem: Problem, mapping: Mapping) -> tuple[Nest, list[Column]]:
    """A mapping as a nest and one candidate; nodes that cut nothing are left out."""
    nodes: list[Node] = []
    tiles: list[Column] = []
    reached = list(problem.extents)
    for node in mapping.nodes:
        if isinstance(node, Storage):
            nodes.extend(Store(node.memory, operand) for operand in node.operands)
            tiles.extend(np.ones(1, np.int64) for _ in node.operands)
            continue
        loop = problem.index(node.loop)
        if loop is None or node.tile >= reached[loop]:
            continue
        reached[loop] = node.tile
        nodes.append(For(loop) if isinstance(node, Temporal) else Par(loop, node.axis))
        tiles.append(np.array([node.tile], np.int64))
    return Nest(tuple(nodes)), tiles


def mapping_of(problem: Problem, nest: Nest, tiles: list[Column], candidate: int) -> Mapping:
    """One candidate of a nest as a mapping; nodes that cut nothing are left out."""
    reached = list(problem.extents)
    nodes: list[Temporal | Spatial | Storage] = []
    for node, column in zip(nest.nodes, tiles, strict=True):
        if isinstance(node, Store):
            last = nodes[-1] if nodes else None
            if isinstance(last, Storage) and last.memory == node.memory:
                nodes[-1] = Storage(node.memory, (*last.operands, node.operand))
            else:
                nodes.append(Storage(node.memory, (node.operand,)))
            continue
        tile = min(int(column[candidate]), reached[node.loop])
        if tile == reached[node.loop]:
            continue
        reached[node.loop] = tile
        loop = problem.loops[node.loop]
        nodes.append(Temporal(loop, tile) if isinstance(node, For) else Spatial(loop, tile, node.axis))
    return Mapping(tuple(nodes))
