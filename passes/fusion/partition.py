"""Which links of a chain to fuse: the cuts between groups that give the best of all networks of groups.

Groups are runs of neighbouring links, each with a front of its own: (capacity, traffic, operations) of its mappings of
which none is better than another in everything. Groups run one after the other, so that a network needs the capacity of
the group that needs most, and the traffic and the operations of all together. Dynamic programming over cuts is exact:
whatever follows a cut, what is as good before it in all three costs can take the place of anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from passes.fusion.front import Costs, pareto

GroupFront = Callable[[int, int], Costs]
"""The front of the links from one number up to, and without, another; no rows if they are no group."""


@dataclass(frozen=True)
class Part:
    """A group of a partition: its links, from `first` up to and without `end`, and the row of their front."""

    first: int
    end: int
    row: int


@dataclass(frozen=True)
class Partition:
    """A network as groups, and what it costs: words, words and operations."""

    parts: tuple[Part, ...]
    capacity: int
    traffic: int
    operations: int


@dataclass(frozen=True)
class _Prefixes:
    """The best partitions of the links before a cut: what each costs, and its last group."""

    costs: Costs
    before: npt.NDArray[np.int64]
    """First link of the last group, row of the partition before that link, row of the group's front."""


def partitions(links: int, front: GroupFront, longest: int, capacity: int | None = None) -> list[Partition]:
    """The front of all partitions of so many links into groups of at most `longest`, by rising capacity.

    With a `capacity`, only those that fit. Nothing if there is none.
    """
    empty = _Prefixes(np.zeros((1, 3), np.int64), np.zeros((1, 3), np.int64))
    prefixes = [empty]
    for end in range(1, links + 1):
        extended = [_extended(prefixes[first], first, front(first, end)) for first in range(max(0, end - longest), end)]
        costs = np.concatenate([each.costs for each in extended])
        before = np.concatenate([each.before for each in extended])
        if capacity is not None:
            fits = costs[:, 0] <= capacity
            costs, before = costs[fits], before[fits]
        best = pareto(costs)
        prefixes.append(_Prefixes(costs[best], before[best]))
    return [_partition(prefixes, row) for row in range(len(prefixes[-1].costs))]


def _extended(prefixes: _Prefixes, first: int, group: Costs) -> _Prefixes:
    """Every partition before a group with every mapping of the group behind it."""
    rows, columns = (each.reshape(-1) for each in np.indices((len(prefixes.costs), len(group))))
    costs = prefixes.costs[rows] + group[columns]
    costs[:, 0] = np.maximum(prefixes.costs[rows, 0], group[columns, 0])
    return _Prefixes(costs, np.stack([np.full_like(rows, first), rows, columns], axis=1))


def _partition(prefixes: list[_Prefixes], row: int) -> Partition:
    capacity, traffic, operations = prefixes[-1].costs[row].tolist()
    parts: list[Part] = []
    end = len(prefixes) - 1
    while end:
        first, before, option = prefixes[end].before[row].tolist()
        parts.append(Part(first, end, option))
        end, row = first, before
    return Partition(tuple(reversed(parts)), capacity, traffic, operations)
