"""The tiles of a link as sides of matrix products: how many kernels, patches and reduced indices every pass has."""

from __future__ import annotations

import math
from functools import cached_property, lru_cache

from dialects.gconv import Dim, GConv, LoopKind
from dialects.gemm_mapping import GemmMapping
from dialects.schedule import Operand
from passes.mapping.tiling import Depth, Pieces, Tiling, products, real_positions, real_sizes

RELEVANT = {
    Operand.INPUT: (LoopKind.G, LoopKind.OPC, LoopKind.KS),
    Operand.KERNEL: (LoopKind.G, LoopKind.OP, LoopKind.KS),
    Operand.OUTPUT: (LoopKind.G, LoopKind.OP, LoopKind.OPC),
}
"""The loops that a tensor depends on."""


@lru_cache(maxsize=1 << 14)
def _all_words(dim: Dim, extent: int, outputs: int, taps: int) -> int:
    """Input positions that exist in all windows of so many outputs and kernel positions of a dimension.

    Many mappings have tiles that are the same in some dimension.
    """
    return real_positions(dim, extent, _ranges(dim.opc, outputs), _ranges(dim.ks, taps))


@lru_cache(maxsize=1 << 14)
def _largest_words(dim: Dim, extent: int, outputs: int, taps: int) -> int:
    """The same of the largest window."""
    return max(real_sizes(dim, extent, _ranges(dim.opc, outputs), _ranges(dim.ks, taps)))


@lru_cache(maxsize=1 << 14)
def _first_words(dim: Dim, extent: int, outputs: int, taps: int) -> int:
    """The same of the first window."""
    return real_sizes(dim, extent, _ranges(dim.opc, outputs)[:1], _ranges(dim.ks, taps)[:1])[0]


class GemmTiles:
    """A link's tiles under a mapping whose structure is sound (`passes.gemm.legality`).

    `input_shape` are the extents of the input, with all groups.
    """

    def __init__(self, spec: GConv, mapping: GemmMapping, input_shape: tuple[int, ...]):
        self.spec, self.mapping = spec, mapping
        self.extents = tuple(extent // dim.g for dim, extent in zip(spec.dims, input_shape, strict=True))
        self._tiling = Tiling(spec, mapping.tiles)
        self.in_pass = self._tiling.at(len(mapping.tiles.nodes))

    @property
    def groups(self) -> int:
        """Groups of the link, one matrix product each."""
        return math.prod(dim.g for dim in self.spec.dims)

    @cached_property
    def kernels(self) -> Pieces:
        """Kernels of a group in a pass, and how often."""
        return self.side(self.in_pass, LoopKind.OP)

    @cached_property
    def patches(self) -> Pieces:
        """Patches of a group in a pass, and how often."""
        return self.side(self.in_pass, LoopKind.OPC)

    @cached_property
    def terms(self) -> Pieces:
        """Reduced indices in a pass, and how often."""
        return self.side(self.in_pass, LoopKind.KS)

    def side(self, depth: Depth, kind: LoopKind) -> Pieces:
        """The products of the pieces of one kind of loops, over all dimensions."""
        found: Pieces = {1: 1}
        for dim in self.spec.dims:
            found = products(found, depth.of(dim, kind))
        return found

    def above(self, operand: Operand) -> Depth:
        """The pieces that loops above the storage of a tensor make."""
        position = self.mapping.tiles.position(operand)
        assert position is not None
        return self._tiling.at(position)

    def repeats(self, operand: Operand) -> int:
        """How often every tile of a tensor is brought: the pieces of loops outside that it does not depend on."""
        depth = self.above(operand)
        others = [kind for kind in LoopKind if kind not in RELEVANT[operand]]
        return math.prod(depth.count(dim, *others) for dim in self.spec.dims)

    def held_words(self, operand: Operand) -> int:
        """Words of the largest tile of a tensor on the chip; padding is made up, and takes none."""
        largest, words = self.above(operand).largest, 1
        sizes = {(loop.dim, loop.kind): size for loop, size in largest.items()}
        for dim, extent in zip(self.spec.dims, self.extents, strict=True):
            if operand is Operand.INPUT:
                words *= sizes[dim.name, LoopKind.G] * _largest_words(dim, extent, *_window(self.above(operand), dim))
            else:
                words *= math.prod(sizes[dim.name, kind] for kind in RELEVANT[operand])
        return words

    def input_words(self) -> int:
        """Words of all input tiles together, each once."""
        depth, words = self.above(Operand.INPUT), self.groups
        for dim, extent in zip(self.spec.dims, self.extents, strict=True):
            words *= _all_words(dim, extent, *_window(depth, dim))
        return words

    @property
    def distinct_input_words(self) -> int:
        """Words of the input that any window touches."""
        words = self.groups
        for dim, extent in zip(self.spec.dims, self.extents, strict=True):
            words *= _all_words(dim, extent, dim.opc, dim.ks)
        return words

    def first_input_words(self) -> int:
        """Words of the first input tile."""
        depth, words = self.above(Operand.INPUT), 1
        for dim, extent in zip(self.spec.dims, self.extents, strict=True):
            words *= max(depth.of(dim, LoopKind.G)) * _first_words(dim, extent, *_window(depth, dim))
        return words

    def _windows(self, depth: Depth, dim: Dim) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        return (
            ranges(dim.opc, depth.of(dim, LoopKind.OPC)),
            ranges(dim.ks, depth.of(dim, LoopKind.KS)),
        )

    def windows(self) -> dict[str, tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
        """The ranges (first index, size) of output and kernel positions of every dimension in passes."""
        return {dim.name: self._windows(self.in_pass, dim) for dim in self.spec.dims}


def _window(depth: Depth, dim: Dim) -> tuple[int, int]:
    """Output and kernel positions of the largest windows of a dimension."""
    return max(depth.of(dim, LoopKind.OPC)), max(depth.of(dim, LoopKind.KS))


def turns_of(patches: int, split: int, cols: int) -> int:
    """How often arrays take a row of patches each, of so many."""
    return -(-patches // (split * cols))


def ranges(extent: int, pieces: Pieces) -> list[tuple[int, int]]:
    """The pieces of a loop that is cut once, one after another, as (first index, size)."""
    return _ranges(extent, max(pieces))


def _ranges(extent: int, tile: int) -> list[tuple[int, int]]:
    return [(first, min(tile, extent - first)) for first in range(0, extent, tile)]
