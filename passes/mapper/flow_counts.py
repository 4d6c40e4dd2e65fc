"""What candidates of a dataflow move, of the whole nest or of a part of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from dialects.hierarchy import Hierarchy
from dialects.schedule import Operand
from passes.mapper.candidates import Candidates
from passes.mapper.counts import Counts
from passes.mapper.dataflow import BoundFlow
from passes.mapper.nest import Column, Nest, Store
from passes.mapper.notation import one_number


class FlowCounts:
    """The counts of candidates, of `wanted` events of operands if not of all.

    `outside` is the nest left of the bar, where what comes further in is brought, too.
    """

    def __init__(self, flow: BoundFlow, hierarchy: Hierarchy, wanted: Collection[str] | None = None):
        self._flow = flow
        self._wanted = wanted
        self._hierarchy = hierarchy
        self.outside = _outside(flow)

    def elements(self, counts: Counts) -> Column:
        """Elements that work side by side."""
        product: Column = np.ones(counts.candidates, np.int64)
        for axis in self._hierarchy.axes:
            product = product * counts.elements(axis.name)
        return product

    def of(self, candidates: Candidates, nest: Nest | None = None, whole: Iterable[int] = ()) -> Counts:
        """The counts of candidates, with the loops of some nodes whole."""
        nest = nest or self._flow.nest
        tiles = self._flow.tiles(candidates.columns, candidates.count)[: len(nest.nodes)]
        for place in whole:
            tiles[place] = one_number(self._flow.problem.extents[self._flow.loop(place)])
        missing = [one_number(1)] * (len(nest.nodes) - len(tiles))
        return self.by_tiles(tiles + missing, candidates.count, nest)

    def by_tiles(self, tiles: list[Column], candidates: int, nest: Nest | None = None) -> Counts:
        """The counts of some tiles of a nest, of that of the dataflow if no other one is said."""
        return Counts(self._flow.problem, self._hierarchy, nest or self._flow.nest, tiles, self._wanted, candidates)

    def of_events(self, wanted: Collection[str]) -> FlowCounts:
        """The same of some events of operands only."""
        return FlowCounts(self._flow, self._hierarchy, wanted)


def _outside(flow: BoundFlow) -> Nest:
    """The nest left of the bar, with operands that are brought further in brought there."""
    nodes = flow.nest.nodes[: flow.seam]
    there = {node.operand for node in nodes if isinstance(node, Store)}
    further: dict[Operand, Store] = {}
    for node in flow.nest.nodes[flow.seam :]:
        if isinstance(node, Store) and node.operand not in there:
            further.setdefault(node.operand, node)
    return Nest((*nodes, *further.values()))
