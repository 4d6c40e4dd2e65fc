"""The best sizes of those tiles of a nest that are left open, the nest itself being given.

Tiles are chosen from the outside in, so that each memory is known to be full as soon as it is. Of the tiles that cut a
loop into as many pieces only the smallest is tried.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dialects.hierarchy import Hierarchy
from dialects.schedule import Mapping, Objective
from passes.mapper.choices import worthwhile
from passes.mapper.counts import Counts, Flags
from passes.mapper.nest import Column, Nest, Par, Store, mapping_of
from passes.mapper.pricing import Prices
from passes.mapper.problem import Problem

MOST = 1 << 21
"""Combinations of tiles that are looked at, at most."""
_CHUNK = 1 << 15


class TooManyError(Exception):
    """More combinations of tiles than are looked at."""


class NoneFitsError(Exception):
    """Whatever the tiles are, a node of the nest asks for more room or elements than there are."""

    def __init__(self, node: int):
        self.node = node
        super().__init__(f"node {node} of the nest fits with no tiles")


def best_tiles(
    problem: Problem,
    hierarchy: Hierarchy,
    nest: Nest,
    tiles: Sequence[int | None],
    objective: Objective = Objective.ENERGY,
) -> Mapping:
    """The mapping of a nest that has the least value; `tiles` has a size, or None, for every node.

    Raises `NoneFitsError`, `TooManyError`.
    """
    columns: list[Column] = []
    count = 1
    for place, (node, tile) in enumerate(zip(nest.nodes, tiles, strict=True)):
        if isinstance(node, Store):
            columns.append(np.ones(count, np.int64))
        else:
            reach = _reach(problem, nest, columns, node.loop, count)
            is_open = tile is None
            rows, column = _open(problem, node.loop, reach) if is_open else (np.arange(count), np.minimum(reach, tile))
            columns = [*(each[rows] for each in columns), column]
        counts = Counts(problem, hierarchy, Nest(nest.nodes[: place + 1]), columns)
        rows = np.flatnonzero(_fits(counts, hierarchy, node))
        columns, count = [each[rows] for each in columns], len(rows)
        if count > MOST:
            raise TooManyError
        if not count:
            raise NoneFitsError(place)
    return mapping_of(problem, nest, columns, _least(problem, hierarchy, nest, columns, objective))


def _reach(problem: Problem, nest: Nest, columns: list[Column], loop: int, count: int) -> Column:
    """The tiles that a loop has been cut into by the nodes that have their columns."""
    reach: Column = np.full(count, problem.extents[loop], np.int64)
    for node, column in zip(nest.nodes, columns, strict=False):
        if not isinstance(node, Store) and node.loop == loop:
            reach = np.minimum(reach, column)
    return reach


def _open(problem: Problem, loop: int, reach: Column) -> tuple[Column, Column]:
    """Rows, each repeated with every tile of a loop that is worth trying within what it reaches."""
    values = {int(each): worthwhile(problem, loop, int(each)) for each in np.unique(reach)}
    lengths = np.array([len(values[int(each)]) for each in reach])
    return np.repeat(np.arange(len(reach)), lengths), np.concatenate([values[int(each)] for each in reach])


def _fits(counts: Counts, hierarchy: Hierarchy, node: object) -> Flags:
    """Whether what the last node brings, or lays over an axis, fits."""
    fits = np.ones(counts.candidates, np.bool_)
    if isinstance(node, Par):
        fits &= counts.elements(node.axis) <= hierarchy.axis(node.axis).size
        if hierarchy.elements is not None:
            product: Column = np.ones(counts.candidates, np.int64)
            for axis in hierarchy.axes:
                product = product * counts.elements(axis.name)
            fits &= product <= hierarchy.elements
    if isinstance(node, Store):
        memory = hierarchy.memory(node.memory)
        held = {operand: memory.buffers * words for operand, words in counts.occupancy[node.memory].items()}
        fits &= held[node.operand] <= memory.rooms.get(node.operand, held[node.operand])
        if memory.words is not None:
            bank = memory.bank or 1
            fits &= sum(-(-words // bank) * bank for words in held.values()) <= memory.words
    return fits


def _least(problem: Problem, hierarchy: Hierarchy, nest: Nest, columns: list[Column], objective: Objective) -> int:
    """The row with the least value; the first of equals."""
    prices = Prices(hierarchy, objective)
    count = len(columns[0]) if columns else 1
    best, least = 0, np.inf
    for start in range(0, count, _CHUNK):
        values = prices.value(Counts(problem, hierarchy, nest, [each[start : start + _CHUNK] for each in columns]))
        chosen = int(values.argmin())
        if values[chosen] < least:
            best, least = start + chosen, float(values[chosen])
    return best
