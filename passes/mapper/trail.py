"""How parts of mappings were made: what is needed to write them down as nests, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from passes.mapper.nest import Column, Node

Rows = npt.NDArray[np.intp]


class Trail(NamedTuple):
    """Nodes from the inside out, with a column of tiles each, around that of `inside[which]` in its `row`."""

    nodes: tuple[Node, ...]
    columns: tuple[Column, ...]
    inside: tuple[Trail, ...]
    which: Rows
    row: Rows

    @classmethod
    def empty(cls, count: int = 1) -> Trail:
        """Of parts of which nothing is made."""
        origin: Rows = np.zeros(count, np.intp)
        return cls((), (), (), origin, origin)

    def take(self, rows: Rows) -> Trail:
        """Of some parts."""
        columns = tuple([column[rows] for column in self.columns])
        return Trail(self.nodes, columns, self.inside, self.which[rows], self.row[rows])

    def around(self, nodes: Sequence[Node], columns: Sequence[Column]) -> Trail:
        """With more nodes around it."""
        return Trail((*self.nodes, *nodes), (*self.columns, *columns), self.inside, self.which, self.row)

    @property
    def _numbers(self) -> list[int]:
        """The numbers of those inside that something is around, in their order."""
        return np.bincount(self.which).nonzero()[0].tolist()

    def made(self) -> tuple[tuple[Node, ...], tuple[Column, ...]]:
        """Nodes and columns from the very inside out, of parts that were made alike."""
        if not self.inside:
            return self.nodes, self.columns
        (number,) = self._numbers
        nodes, columns = self.inside[number].take(self.row).made()
        return (*nodes, *self.nodes), (*columns, *self.columns)

    def alike(self) -> Iterator[Rows]:
        """The rows of parts that were made alike, apart."""
        if not self.inside:
            yield np.arange(len(self.which))
            return
        for number in self._numbers:
            rows = (self.which == number).nonzero()[0]
            for some in self.inside[number].take(self.row[rows]).alike():
                yield rows[some]

    def compact(self) -> Trail:
        """Without those inside that nothing is around."""
        inside: list[Trail] = []
        which, row = np.zeros_like(self.which), np.zeros_like(self.row)
        for number in self._numbers if self.inside else ():
            rows = (self.which == number).nonzero()[0]
            which[rows], row[rows] = len(inside), np.arange(len(rows))
            inside.append(self.inside[number].take(self.row[rows]))
        return Trail(self.nodes, self.columns, tuple(inside), which, row)


def merged(trails: Sequence[Trail]) -> Trail:
    """The trails of parts that are put together."""
    inside: list[Trail] = []
    which: list[Rows] = []
    row: list[Rows] = []
    for trail in trails:
        count = len(trail.which)
        if trail.inside and not trail.nodes:
            which.append(trail.which + len(inside))
            row.append(trail.row)
            inside.extend(trail.inside)
        else:
            which.append(np.full(count, len(inside), np.intp))
            row.append(np.arange(count))
            inside.append(trail)
    return Trail((), (), tuple(inside), np.concatenate(which), np.concatenate(row))
