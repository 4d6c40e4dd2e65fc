"""Pareto fronts of (capacity, traffic, operations), all to be small."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

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


class Bound:
    """Tells which candidates some known costs are as good as, or better, in every cost.

    For some limits of operations it has the least traffic within a capacity; a candidate is compared with the largest
    of the limits that it exceeds. So a few that are no better are let through, and none is refused wrongly.
    """

    LEVELS = 24

    def __init__(self, costs: Costs):
        self.costs = costs
        works = np.unique(costs[:, 2])
        self.limits = works[np.unique(np.linspace(0, len(works) - 1, self.LEVELS).astype(int))] if len(works) else works
        self.steps: list[tuple[Costs, Costs]] = []
        order = np.lexsort((costs[:, 1], costs[:, 0]))
        for limit in self.limits:
            within = order[costs[order, 2] <= limit]
            self.steps.append((costs[within, 0], np.minimum.accumulate(costs[within, 1])))

    def beats(self, costs: Costs) -> npt.NDArray[np.bool_]:
        """Which rows are no better than a known one; rows may have costs that will only grow."""
        beaten = np.zeros(len(costs), np.bool_)
        levels: npt.NDArray[np.int64] = np.searchsorted(self.limits, costs[:, 2], side="right") - 1
        for level, (capacities, traffics) in enumerate(self.steps):
            rows = np.flatnonzero(levels == level)
            wanted: Costs = costs[rows, 0]
            count: npt.NDArray[np.intp] = np.searchsorted(capacities, wanted, side="right")
            # With no point of so small a capacity the last one is compared, and does not count.
            beaten[rows] = (count > 0) & (traffics[count - 1] <= costs[rows, 1])
        return beaten
