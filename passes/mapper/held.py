"""The counts of a nest whose outermost tiles lie in holds, run on ranges smaller than those it was made for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from dialects.hierarchy import Hierarchy
from dialects.schedule import Operand
from passes.mapper.counts import Counts
from passes.mapper.nest import Column, Nest
from passes.mapper.problem import Problem

NOTHING_KEPT: Mapping[Operand, str] = MappingProxyType({})


class HeldCounts(Counts):
    """As `Counts`, without what brings operands into the memories that keep them, by `kept`, and takes sums there.

    `planned` are the counts of the ranges that the nest was made for: its transfers are the same for smaller ones.
    Unless sums of the result begin, all that come to its hold are added to what is there.
    """

    def __init__(
        self,
        problem: Problem,
        hierarchy: Hierarchy,
        nest: Nest,
        tiles: list[Column],
        kept: Mapping[Operand, str] = NOTHING_KEPT,
        planned: Counts | None = None,
        *,
        begins: bool = True,
    ):
        super().__init__(problem, hierarchy, nest, tiles)
        self._kept_in, self.planned, self._begins = kept, planned, begins

    @cached_property
    def events(self) -> dict[str, Column]:
        """Words by event, `memory.operand.event`, and `operation`."""
        counted = {"operation": np.full(self.candidates, self._problem.operations, np.int64)}
        for operand in self._problem.operands:
            for upper, lower in pairwise(self._path(operand)[operand in self._kept_in :]):
                counted |= self._between(operand, upper, lower)
        if not self._begins:
            name = f"{self._kept_in[Operand.OUTPUT]}.output"
            counted[f"{name}.add"] = counted[f"{name}.update"]
        return counted | self.read_after

    @cached_property
    def occupancy(self) -> dict[str, dict[Operand, Column]]:
        """Words that each memory holds of each operand at a time, at most, but for holds."""
        kept: dict[str, dict[Operand, Column]] = {}
        for operand in self._problem.operands:
            for place in self._path(operand)[1:-1]:
                if place.memory == self._kept_in.get(operand):
                    continue
                kept.setdefault(place.memory, {})[operand] = self._tile_words(operand, place.node)
        return kept
