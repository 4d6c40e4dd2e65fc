"""How nested tiles cut a loop: sizes and counts of the pieces, in closed form.

A loop of extent 10 cut into tiles of 4 has pieces of 4, 4 and 2; cutting those again into tiles of 3 gives
3, 1, 3, 1, 2. Only the multiset of sizes matters to most counts, so pieces are kept as {size: count}.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from dialects.gconv import Dim, GConv, LoopKind
from dialects.schedule import Loop, Spatial, Storage, Temporal
from dialects.schedule import Mapping as LinkMapping

Pieces = dict[int, int]

_Column = npt.NDArray[np.int64]
_SMALL_TABLE = 4096
"""Pairs of pieces that are counted one by one rather than by sorting."""


def cut(pieces: Pieces, tile: int) -> Pieces:
    """Cut every piece into tiles, the last of which may be smaller."""
    result: Pieces = {}
    for size, count in pieces.items():
        whole, rest = divmod(size, tile)
        if whole:
            result[tile] = result.get(tile, 0) + whole * count
        if rest:
            result[rest] = result.get(rest, 0) + count
    return result


def products(first: Pieces, second: Pieces) -> Pieces:
    """The products of every piece of one loop and every piece of another."""
    found: Pieces = {}
    for size, count in first.items():
        for piece, times in second.items():
            found[size * piece] = found.get(size * piece, 0) + count * times
    return found


def number(pieces: Pieces) -> int:
    """How many pieces there are."""
    return sum(pieces.values())


def distinct_positions(outputs: int, kernels: int, stride: int, dilation: int) -> int:
    """How many different values a*stride + b*dilation takes for 0 <= a < outputs, 0 <= b < kernels.

    Two pairs meet when a grows by dilation/gcd while b shrinks by stride/gcd; every such step is one word saved.
    """
    common = math.gcd(stride, dilation)
    across, along = dilation // common, stride // common
    return outputs * kernels - max(0, outputs - across) * max(0, kernels - along)


def span(outputs: int, kernels: int, dim: Dim) -> int:
    """Positions from the first to the last input word that a piece of a dimension touches, gaps included."""
    return (outputs - 1) * dim.stride + (kernels - 1) * dim.dilation + 1


def real_positions(dim: Dim, extent: int, outputs: npt.ArrayLike, kernels: npt.ArrayLike) -> int:
    """Input positions that exist, summed over the spans of all pairs of pieces of one dimension (`real_sizes`).

    Without gaps a span from low to high has min(max(high + 1, 0), extent) - min(max(low, 0), extent) of them, so that
    no table of pairs is needed; a small one takes less time.
    """
    a, n = np.asarray(outputs, np.int64).T
    b, m = np.asarray(kernels, np.int64).T
    if dim.up > 1 or len(a) * len(b) <= _SMALL_TABLE:
        return int(_table_of_sizes(dim, extent, a, n, b, m).sum())
    ends = _clamped_sums((a + n - 1) * dim.stride, (b + m - 1) * dim.dilation + 1 - dim.pad, extent)
    return ends - _clamped_sums(a * dim.stride, b * dim.dilation - dim.pad, extent)


def _clamped_sums(x: _Column, y: _Column, limit: int) -> int:
    """The sum of min(max(x + y, 0), limit) over all pairs; `x` in order."""
    before = np.concatenate((np.zeros(1, np.int64), np.cumsum(x)))
    low, high = np.searchsorted(x, -y), np.searchsorted(x, limit - y)
    return int((before[high] - before[low] + (high - low) * y + (len(x) - high) * limit).sum())


def real_sizes(dim: Dim, extent: int, outputs: npt.ArrayLike, kernels: npt.ArrayLike) -> list[int]:
    """Input positions that exist in the span of each pair of pieces of one dimension.

    Pieces are rows (first index, size); `extent` are the positions of one group. Padding and the gaps between dilated
    words do not exist.
    """
    a, n = np.asarray(outputs, np.int64).T
    b, m = np.asarray(kernels, np.int64).T
    return _table_of_sizes(dim, extent, a, n, b, m).reshape(-1).tolist()


def _table_of_sizes(dim: Dim, extent: int, a: _Column, n: _Column, b: _Column, m: _Column) -> _Column:
    low = a[:, None] * dim.stride + b[None, :] * dim.dilation - dim.pad
    high = low + (n[:, None] - 1) * dim.stride + (m[None, :] - 1) * dim.dilation
    first = np.maximum(-(-low // dim.up), 0)
    last = np.minimum(high // dim.up, extent - 1)
    return np.maximum(last - first + 1, 0)


def touching(dim: Dim, extent: int, outputs: npt.ArrayLike, kernels: npt.ArrayLike) -> int:
    """How many pairs of pieces of one dimension span any input position that exists."""
    return sum(size > 0 for size in real_sizes(dim, extent, outputs, kernels))


@dataclass(frozen=True)
class Depth:
    """A point in a mapping: the pieces that every loop has been cut into above it."""

    pieces: dict[Loop, Pieces]

    def of(self, dim: Dim, kind: LoopKind) -> Pieces:
        """The pieces of one loop."""
        return self.pieces[Loop(dim.name, kind)]

    def count(self, dim: Dim, *kinds: LoopKind) -> int:
        """The number of combinations of pieces of some loops of one dimension."""
        return math.prod(number(self.of(dim, kind)) for kind in kinds)

    @property
    def largest(self) -> dict[Loop, int]:
        """The size of the first, and largest, piece of every loop."""
        return {loop: max(pieces) for loop, pieces in self.pieces.items()}


@lru_cache(maxsize=64)
def indices_of(spec: GConv) -> Mapping[Loop, int]:
    """The indices of every loop that are worked through."""
    return MappingProxyType({Loop(dim.name, kind): spec.worked(dim, kind) for dim in spec.dims for kind in LoopKind})


@lru_cache(maxsize=64)
def _whole(spec: GConv) -> Depth:
    """Loops that nothing has cut."""
    return Depth({loop: {indices: 1} for loop, indices in indices_of(spec).items()})


class Tiling:
    """The pieces of all loops of a general convolution at every point of a mapping."""

    def __init__(self, spec: GConv, mapping: LinkMapping):
        self.spec = spec
        self.mapping = mapping
        self._depths = [_whole(spec)]

    def at(self, position: int) -> Depth:
        """The depth just above node `position`; `len(nodes)` is inside one processing element."""
        for node in self.mapping.nodes[len(self._depths) - 1 : position]:
            above = self._depths[-1]
            if not isinstance(node, Storage):
                above = Depth({**above.pieces, node.loop: cut(above.pieces[node.loop], node.tile)})
            self._depths.append(above)
        return self._depths[position]

    @cached_property
    def in_pass(self) -> Depth:
        """What one processing pass covers: below all temporal nodes, above the spatial ones."""
        spatial = [i for i, node in enumerate(self.mapping.nodes) if isinstance(node, Spatial)]
        return self.at(spatial[0] if spatial else len(self.mapping.nodes))

    @cached_property
    def in_element(self) -> Depth:
        """What one processing element covers in one pass."""
        return self.at(len(self.mapping.nodes))

    def elements(self, loop: Loop, size: int) -> int:
        """Over how many processing elements the spatial nodes lay a piece of a loop."""
        return number(self._spread({size: 1}, loop))

    def first_indices(self, loop: Loop, size: int) -> list[int]:
        """Where the parts of a piece of a loop begin that the spatial nodes lay on processing elements."""
        parts = [(0, size)]
        for node in self.mapping.spatial:
            if node.loop == loop:
                parts = [
                    (start + begin, min(node.tile, length - begin))
                    for start, length in parts
                    for begin in range(0, length, node.tile)
                ]
        return [start for start, _ in parts]

    def _spread(self, pieces: Pieces, loop: Loop) -> Pieces:
        for node in self.mapping.spatial:
            if node.loop == loop:
                pieces = cut(pieces, node.tile)
        return pieces

    def first_below(self, loop: Loop, size: int, position: int) -> int:
        """The size of the first piece of a pass that the temporal nodes from `position` on cut from a piece."""
        tiles = [n.tile for n in self.mapping.nodes[position:] if isinstance(n, Temporal) and n.loop == loop]
        return min([size, *tiles])

    @cached_property
    def sliding(self) -> Dim | None:
        """The dimension along which an element slides its window and keeps the words that neighbours share.

        It is the dimension of the innermost loop that an element streams over, if that is an output-position loop.
        """
        sizes = self.in_element.largest
        for dim in reversed(self.spec.dims):
            if sizes[Loop(dim.name, LoopKind.OPC)] > 1:
                return dim
            if sizes[Loop(dim.name, LoopKind.G)] > 1:
                return None
        return None

    def scratchpad_words(self) -> dict[str, int]:
        """Words that an element needs at a time in its input, kernel and output scratchpads."""
        sizes = self.in_element.largest
        sliding = self.sliding

        def held(dim: Dim) -> int:
            kernels = sizes[Loop(dim.name, LoopKind.KS)]
            return span(1, kernels, dim) if dim is sliding and dim.dilation > 1 else kernels

        def product(*kinds: LoopKind) -> int:
            return math.prod(sizes[Loop(dim.name, kind)] for dim in self.spec.dims for kind in kinds)

        return {
            "input": math.prod(held(dim) for dim in self.spec.dims),
            "kernel": product(LoopKind.G, LoopKind.OP, LoopKind.KS),
            "output": product(LoopKind.OP),
        }


def padded_words(dims: Iterable[Dim], depth: Depth) -> int:
    """Words of one input tile per combination of pieces, padding and gaps included, summed over all combinations."""
    total = 1
    for dim in dims:
        outputs, kernels = depth.of(dim, LoopKind.OPC), depth.of(dim, LoopKind.KS)
        windows = sum(n * m * span(a, b, dim) for a, n in outputs.items() for b, m in kernels.items())
        total *= dim.g * number(depth.of(dim, LoopKind.OP)) * windows
    return total
