"""What the sequencer does with one loop of a layer: all ranges that its turns and positions give, one by one.

The turns of different loops do not depend on one another, so that a transfer meets every combination of the states that
each loop alone goes through. States that differ only in where they are count together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from backends.generic.nest import LoopNode, NestLayer, ParNode
from backends.spatial.codes import Kind

INDEX = -1
"""The loop of an element over the indices that nothing else cuts, as a node."""


@dataclass(frozen=True)
class Piece:
    """A range of a loop at one position: `place` has the position along each spatial node of this loop."""

    place: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True)
class State:
    """The ranges of all positions at a time, relative to the first; `first` are the nodes in their first turn."""

    pieces: tuple[Piece, ...]
    first: frozenset[int]


States = dict[State, int]
"""States, and how often each is met."""


class LoopRanges:
    """The states of every loop of a layer at every depth of its nest."""

    def __init__(self, layer: NestLayer):
        self._layer = layer
        self._known: dict[tuple[int, Kind, int, bool], States] = {}

    def at(self, dim: int, kind: Kind, end: int, *, indices: bool = False) -> States:
        """The states of a loop above node `end`; with `indices`, index by index within elements."""
        key = (dim, kind, end, indices)
        if key not in self._known:
            self._known[key] = self._states(*key)
        return self._known[key]

    def numbers(self, dim: int, kind: Kind) -> list[int]:
        """The numbers of the spatial nodes of a loop, in the order of `Piece.place`."""
        nodes = self._layer.nodes
        return [n.number for n in nodes if isinstance(n, ParNode) and (n.dim, n.kind) == (dim, kind)]

    def largest(self, dim: int, kind: Kind, end: int) -> int:
        """The largest range of a loop above a node."""
        return max(piece.size for state in self.at(dim, kind, end) for piece in state.pieces)

    def _states(self, dim: int, kind: Kind, end: int, indices: bool) -> States:
        if indices:
            return _turned(self.at(dim, kind, end), INDEX, 1)
        for index in reversed(range(end)):
            node = self._layer.nodes[index]
            if isinstance(node, LoopNode | ParNode) and (node.dim, node.kind) == (dim, kind):
                before = self.at(dim, kind, index)
                return _turned(before, index, node.tile) if isinstance(node, LoopNode) else _laid(before, node.tile)
        sizes = self._layer.whole_sizes(dim)
        return {State((Piece((), 0, sizes[kind]),), frozenset()): 1}


def _turned(states: States, node: int, tile: int) -> States:
    """The states within the turns of a loop over time."""
    found: States = {}
    for state, count in states.items():
        sizes = {piece.size for piece in state.pieces}
        turns = -(-max(sizes) // tile)
        # Between these turns every position has a whole tile, or none.
        changes = {0, 1, turns, *(size // tile for size in sizes), *(-(-size // tile) for size in sizes)}
        bounds = sorted(turn for turn in changes if turn <= turns)
        for begin, stop in pairwise(bounds):
            first = state.first | {node} if begin == 0 else state.first
            pieces = [
                Piece(piece.place, piece.start + begin * tile, min(tile, piece.size - begin * tile))
                for piece in state.pieces
                if piece.size > begin * tile
            ]
            inside = _relative(pieces, first)
            found[inside] = found.get(inside, 0) + count * (stop - begin)
    return found


def _laid(states: States, tile: int) -> States:
    """The states with every range cut into positions side by side."""
    found: States = {}
    for state, count in states.items():
        pieces = [
            Piece((*piece.place, place), piece.start + begin, min(tile, piece.size - begin))
            for piece in state.pieces
            for place, begin in enumerate(range(0, piece.size, tile))
        ]
        inside = _relative(pieces, state.first)
        found[inside] = found.get(inside, 0) + count
    return found


def _relative(pieces: list[Piece], first: frozenset[int]) -> State:
    base = pieces[0].start
    return State(tuple(Piece(piece.place, piece.start - base, piece.size) for piece in pieces), first)


Span = tuple[int, int]
"""First index and number of indices."""
Rectangle = tuple[Span, Span]
"""A range of output positions and one of kernel positions of a dimension."""


def distinct_positions(rectangles: Iterable[Rectangle], stride: int, dilation: int) -> int:
    """Input positions that some ranges touch, each counted once."""
    return _distinct(_moved_to_zero(rectangles), stride, dilation)


def new_positions(now: Rectangle, before: Rectangle, stride: int, dilation: int) -> int:
    """Input positions that one pair of ranges touches and another does not."""
    return _fresh(now, before, stride, dilation)


def _moved_to_zero(rectangles: Iterable[Rectangle]) -> tuple[Rectangle, ...]:
    """Ranges from index 0: where they are does not matter."""
    distinct = sorted(set(rectangles))
    outputs, kernels = (min(each[side][0] for each in distinct) for side in (0, 1))
    return tuple(((a - outputs, m), (b - kernels, n)) for (a, m), (b, n) in distinct)


@lru_cache(maxsize=1 << 14)
def _distinct(rectangles: tuple[Rectangle, ...], stride: int, dilation: int) -> int:
    if len(rectangles) == 1:
        return len(_positions(rectangles[0], stride, dilation))
    return len(np.unique(np.concatenate([_positions(each, stride, dilation) for each in rectangles])))


@lru_cache(maxsize=1 << 14)
def _fresh(now: Rectangle, before: Rectangle, stride: int, dilation: int) -> int:
    return len(np.setdiff1d(_positions(now, stride, dilation), _positions(before, stride, dilation)))


def _positions(rectangle: Rectangle, stride: int, dilation: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    (outputs, rows), (kernels, columns) = rectangle
    if columns == 1 or rows == 1:
        return (
            np.arange(rows * columns) * (stride if columns == 1 else dilation) + outputs * stride + kernels * dilation
        )
    along = (outputs + np.arange(rows)) * stride
    across = (kernels + np.arange(columns)) * dilation
    return along + across if 1 in (rows, columns) else np.unique(np.add.outer(along, across))


def groups(pieces: Iterable[Piece], kept: list[bool]) -> Iterator[tuple[tuple[int, ...], Piece]]:
    """Every piece with its place along the kept nodes alone."""
    for piece in pieces:
        yield tuple(p for p, keep in zip(piece.place, kept, strict=False) if keep), piece
