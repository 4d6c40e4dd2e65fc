"""Which of some costs (capacity, traffic, operations), all to be small, are best: Pareto fronts, least traffic."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

Costs = npt.NDArray[np.int64]
"""One row of capacity, traffic and operations for each candidate."""


def pareto(costs: Costs) -> npt.NDArray[np.int64]:
    """Which rows no other row is as good as in every cost, by rising capacity; of equal rows the first."""
    order = np.lexsort((np.arange(len(costs)), costs[:, 2], costs[:, 1], costs[:, 0]))
    kept: list[int] = []
    # Traffic and operations of the best rows so far, by rising traffic and falling operations.
    traffics: list[int] = []
    works: list[int] = []
    for row, (_, traffic, work) in zip(order.tolist(), costs[order].tolist(), strict=True):
        place = bisect_right(traffics, traffic)
        if place and works[place - 1] <= work:
            continue
        kept.append(row)
        start = bisect_left(traffics, traffic)
        end = start
        while end < len(works) and works[end] >= work:
            end += 1
        traffics[start:end], works[start:end] = [traffic], [work]
    return np.array(kept, np.int64)


class Objective(StrEnum):
    """Which costs are wanted."""

    FRONT = "front"
    """All that nothing else is as good as in every cost."""
    TRAFFIC = "traffic"
    """The least traffic, and of those the least operations; what room it takes does not matter."""

    def best(self, costs: Costs) -> npt.NDArray[np.int64]:
        """The rows that are wanted, by rising capacity."""
        if self is Objective.FRONT or not len(costs):
            return pareto(costs)
        return np.lexsort((costs[:, 0], costs[:, 2], costs[:, 1]))[:1]

    def bound(self, costs: Costs) -> Bound:
        """What known costs, which are all wanted, leave to be found."""
        return FrontBound(costs) if self is Objective.FRONT else TrafficBound(costs)


Column = npt.NDArray[np.int64]


class Bound(Protocol):
    """Known costs that tell which candidates are of no use."""

    def beats(self, capacity: Column, traffic: Column, operations: Column) -> npt.NDArray[np.bool_]:
        """Which rows are no better than what is known; rows may have costs that will only grow."""
        ...


class TrafficBound:
    """Tells which candidates are no better than one that is known, if it is traffic and then operations that count."""

    def __init__(self, costs: Costs):
        self.known = costs[:1, 1:].tolist()

    def beats(self, capacity: Column, traffic: Column, operations: Column) -> npt.NDArray[np.bool_]:
        """Which rows move more, or as much with no fewer operations."""
        for least, fewest in self.known:
            beaten: npt.NDArray[np.bool_] = traffic >= least
            beaten &= (traffic > least) | (operations >= fewest)
            return beaten
        return np.zeros(len(capacity), np.bool_)


class FrontBound:
    """Tells which candidates some known costs are as good as, or better, in every cost.

    For some limits of operations it has the least traffic within a capacity; a candidate is compared with the largest
    of the limits that it exceeds. So a few that are no better are let through, and none is refused wrongly.
    """

    LEVELS = 24

    def __init__(self, costs: Costs):
        works = np.unique(costs[:, 2])
        self.limits = works[np.unique(np.linspace(0, len(works) - 1, self.LEVELS).astype(int))] if len(works) else works
        self.capacities = np.unique(costs[:, 0])
        # Nothing is known within no limit, or within no capacity: the first row, the first column.
        least = np.full((len(self.limits) + 1, len(self.capacities) + 1), np.iinfo(np.int64).max)
        limit, capacity = np.searchsorted(self.limits, costs[:, 2]), np.searchsorted(self.capacities, costs[:, 0])
        np.minimum.at(least, (limit + 1, capacity + 1), costs[:, 1])
        self.least = np.minimum.accumulate(np.minimum.accumulate(least, axis=0), axis=1)
        """The least traffic within a limit of operations and within a capacity, by their indices + 1."""

    def beats(self, capacity: Column, traffic: Column, operations: Column) -> npt.NDArray[np.bool_]:
        """Which rows a known one is as good as in every cost."""
        limit: npt.NDArray[np.intp] = np.searchsorted(self.limits, operations, side="right")
        known: npt.NDArray[np.intp] = np.searchsorted(self.capacities, capacity, side="right")
        return self.least[limit, known] <= traffic
