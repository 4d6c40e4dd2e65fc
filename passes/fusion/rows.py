"""Tables of parts of mappings of one group, a part in each row."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from passes.fusion.factors import Ids, Mask
from passes.fusion.front import Costs

WITHIN = -1
"""The level of a tensor that has no place yet, and at last of one that has none above the links."""

Numbers = npt.NDArray[np.float64]
Small = npt.NDArray[np.int8]

COMPARED = 24
"""With so many rows of the same future a row is compared at most."""


@dataclass
class Rows:
    """Parts of mappings that have the same loops cut."""

    states: Ids
    """Of every factor."""
    levels: Small
    """Of every tensor; `WITHIN` until it has a place."""
    positions: Small
    """Of every loop, outermost 0; -1 if it is not cut."""
    costs: Costs
    """Of the tensors that have places."""
    held: Numbers
    """What a place of each tensor holds at most, if it stands below all loops."""
    moved: Numbers
    """What such a place moves off-chip, (rows, tensors)."""
    worked: Numbers
    """The operations that make the tensor then, (rows, tensors)."""
    above: Ids
    """Which row of another table, without their last loop, they were made of."""

    def __len__(self) -> int:
        return len(self.costs)

    def where(self, which: Mask | Ids) -> Rows:
        """Some of the rows."""
        ids = np.flatnonzero(which) if which.dtype == np.bool_ else which
        states, levels = self.states.take(ids, axis=0), self.levels.take(ids, axis=0)
        positions, costs = self.positions.take(ids, axis=0), self.costs.take(ids, axis=0)
        held, moved = self.held.take(ids, axis=0), self.moved.take(ids, axis=0)
        return Rows(states, levels, positions, costs, held, moved, self.worked.take(ids, axis=0), self.above.take(ids))

    def without_numbers(self, which: Ids) -> Rows:
        """Some of the rows, of which new ones are made, without what is not known of these yet."""
        none = np.empty((len(which), 0))
        states, levels = self.states.take(which, axis=0), self.levels.take(which, axis=0)
        positions, costs = self.positions.take(which, axis=0), self.costs.take(which, axis=0)
        return Rows(states, levels, positions, costs, none, none, none, which)

    @staticmethod
    def root(factors: int, tensors: int, loops: int) -> Rows:
        """The part of a mapping in which no loop is cut, and no tensor has a place."""
        zeros = np.zeros((1, tensors))
        return Rows(
            np.zeros((1, factors), np.int64),
            np.full((1, tensors), WITHIN, np.int8),
            np.full((1, loops), -1, np.int8),
            np.zeros((1, 3), np.int64),
            np.full_like(zeros, np.inf),
            zeros,
            zeros,
            np.zeros(1, np.int64),
        )

    @staticmethod
    def all_of(parts: list[Rows]) -> Rows:
        """The rows of some tables."""
        if len(parts) == 1:
            return parts[0]
        return Rows(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Rows)))


def worse(futures: Ids, costs: Numbers) -> Mask:
    """Which rows cost no less, in anything, than another with the same future, which is one row of numbers."""
    order = np.lexsort((*costs.T[::-1], *futures.T))
    futures, costs = futures[order], costs[order]
    follows = (futures[1:] == futures[:-1]).all(axis=1)
    group = np.concatenate([[0], np.cumsum(~follows)])
    beaten = np.zeros(len(order), np.bool_)
    for distance in range(1, min(COMPARED, len(order))):
        same = np.flatnonzero(group[distance:] == group[:-distance])
        if not len(same):
            break
        beaten[same + distance] |= (costs[same] <= costs[same + distance]).all(axis=1)
    result = np.zeros(len(order), np.bool_)
    result[order] = beaten
    return result
