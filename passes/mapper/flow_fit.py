"""Which candidates of a dataflow fit on the machine, and which may while parameters are missing.

Inner parameters are dropped if they do not fit with the smallest outer ones that matter. Let these leave m indices of a
loop at the bar. Where every tile right of it that p is in has m indices with the next smaller p, too, that p gives the
same mapping and is tried as well. So p has to fit only where m is more than such a tile (`_least_reach`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import numpy as np
import numpy.typing as npt

from dialects.hierarchy import Hierarchy, Memory
from passes.mapper.candidates import Candidates
from passes.mapper.chains import cut_by
from passes.mapper.counts import Counts
from passes.mapper.dataflow import BoundFlow
from passes.mapper.flow_counts import FlowCounts
from passes.mapper.flow_values import FlowValues
from passes.mapper.nest import Column, Nest, Store
from passes.mapper.partial import in_banks

Flags = npt.NDArray[np.bool_]


class FlowFit:
    """Says which candidates fit; `even` are the loops that must be cut into equal tiles only."""

    def __init__(self, flow: BoundFlow, hierarchy: Hierarchy, values: FlowValues, counts: FlowCounts):
        self._flow = flow
        self._hierarchy = hierarchy
        self._values = values
        self._counts = counts
        left = {node.memory for node in flow.nest.nodes[: flow.seam] if isinstance(node, Store)}
        self.memories_outside = tuple(each for each in hierarchy.memories if each.name in left)
        self._left = Nest(flow.nest.nodes[: flow.seam])
        self._cut_outside = cut_by(flow, frozenset(flow.flow.outer))
        self._replaceable = self._find_replaceable()
        self.even = [flow.places[part] for part in hierarchy.dataflow.even] if hierarchy.dataflow else []

    def all_fit(self, candidates: Candidates) -> Flags:
        """Whether candidates of which all parameters are known fit, and others with what is known."""
        counts = self._counts.of(candidates)
        fits = self._fits_in(candidates, counts, self._hierarchy.memories) & self._fits_array(candidates, counts)
        return fits & self._is_even(candidates)

    def fit_outside(self, candidates: Candidates) -> Flags:
        """Whether what is stored left of the bar fits, with the smallest tiles that missing parameters leave."""
        return self._fits_in(candidates, self._counts.of(candidates, self._left), self.memories_outside)

    def may_fit(self, candidates: Candidates) -> Flags:
        """Whether inner parameters may fit for some outer ones: with the least tiles left of the bar."""
        tiles = self._flow.tiles(candidates.columns, candidates.count)
        least = self._least_reach(candidates)
        for place in self._cut_outside:
            loop = self._flow.loop(place)
            if loop in least:
                tiles[place] = np.maximum(tiles[place], least[loop])
        counts = self._counts.by_tiles(tiles, candidates.count)
        return self._fits_in(candidates, counts, self._hierarchy.memories) & self._fits_array(candidates, counts)

    def _is_even(self, candidates: Candidates) -> Flags:
        """Whether the loops that must be cut into equal tiles only are, or may be while parameters are missing."""
        fits = np.ones(candidates.count, np.bool_)
        if any(name not in candidates.columns for name in self._values.parameters):
            return fits
        tiles = self._flow.tiles(candidates.columns, candidates.count)
        for loop in self.even:
            around: Column = np.full(candidates.count, 1 if loop is None else self._flow.problem.extents[loop])
            for node, tile in zip(self._flow.nest.nodes, tiles, strict=True):
                if not isinstance(node, Store) and node.loop == loop:
                    fits &= (around % tile == 0) | (tile >= around)
                    around = np.minimum(around, tile)
        return fits

    def _find_replaceable(self) -> dict[str, tuple[int, tuple[int, ...]]]:
        """Inner parameters whose values make no difference but to one loop, right of the bar: with it, and their nodes.

        Outer parameters cut that loop, too. Those that are decided later may have the same values with a smaller one.
        """
        flow, inner = self._flow.flow, self._flow.flow.inner
        reserving = frozenset(name for each in flow.reserves.values() for name in each.names)
        found: dict[str, tuple[int, tuple[int, ...]]] = {}
        for number, name in enumerate(inner):
            places = cut_by(self._flow, frozenset({name}))
            loops = {self._flow.loop(place) for place in places}
            later = flow.factors_of(name) & frozenset(inner[number + 1 :])
            if (
                len(loops) == 1
                and loops <= {self._flow.loop(place) for place in self._cut_outside}
                and places[0] >= self._flow.seam
                and name not in reserving
                and later <= self._values.free
            ):
                found[name] = loops.pop(), places
        return found

    def _least_reach(self, candidates: Candidates) -> dict[int, Column]:
        """By loop, the indices left of it at the bar with which no smaller parameter gives the same mapping, at least.

        They are more than the least tile that the parameter is in with its next smaller value; with missing parameters,
        at least as many.
        """
        least: dict[int, Column] = {}
        for name, (loop, places) in self._replaceable.items():
            if name not in candidates.columns:
                continue
            column = candidates.columns[name]
            before = candidates.beside(name, self._values.smaller(candidates, name))
            tiles = self._flow.tiles(before.columns, before.count)
            reach = reduce(np.minimum, (tiles[place] for place in places)) + 1
            reach = np.where(column > 1, reach, 1)
            least[loop] = np.maximum(least.get(loop, 1), reach)
        return least

    def _fits_in(self, candidates: Candidates, counts: Counts, memories: Iterable[Memory]) -> Flags:
        fits = np.ones(candidates.count, np.bool_)
        for memory in memories:
            if memory.words is None and not memory.rooms:
                continue
            held = {operand: memory.buffers * words for operand, words in counts.occupancy.get(memory.name, {}).items()}
            for operand, words in held.items():
                if operand in memory.rooms:
                    fits &= words <= memory.rooms[operand]
            if memory.words is not None and held:
                taken = sum(in_banks(memory, words) for words in held.values())
                fits &= taken <= self._flow.room(memory.name, memory.words, candidates.columns)
        return fits

    def _fits_array(self, candidates: Candidates, counts: Counts) -> Flags:
        """Whether there are as many elements as missing parameters leave busy at least."""
        missing = [name for name in (*self._flow.flow.inner, *self._flow.flow.outer) if name not in candidates.columns]
        # A larger tile lays fewer: one that is not known yet may lay none.
        unknown = cut_by(self._flow, frozenset(missing))
        fits = np.ones(counts.candidates, np.bool_)
        product: Column = np.ones(counts.candidates, np.int64)
        for axis in self._hierarchy.axes:
            elements = counts.elements(axis.name, unknown)
            fits &= elements <= axis.size
            product = product * elements
        return fits if self._hierarchy.elements is None else fits & (product <= self._hierarchy.elements)
