"""Input words of one dimension under columns of tiles: what is read of it, in tiles, and by elements."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np

from dialects.gconv import Dim
from passes.mapping.columns import Column, tabulate
from passes.mapping.tiling import Pieces, cut, distinct_positions, real_positions, touching


def positions_read(dim: Dim) -> int:
    """Positions of one dimension that are read at all, padding included."""
    return distinct_positions(dim.opc, dim.ks, dim.stride, dim.dilation)


def fewest_real(dim: Dim, extent: int) -> int:
    """A lower bound of the positions of one dimension that are read at all, of the `extent` that are in DRAM."""
    if dim.up > 1:
        return 0
    low, high = dim.window
    return max(positions_read(dim) - max(-low, 0) - max(high - extent + 1, 0), 0)


def words_of_tiles(dim: Dim, extent: int, outputs: Column, kernels: Column) -> tuple[Column, Column]:
    """Real and padded positions of one dimension in all its input tiles of `outputs` by `kernels` indices."""
    out_pieces, kernel_pieces = -(-dim.opc // outputs), -(-dim.ks // kernels)
    padded = (
        kernel_pieces * dim.stride * (dim.opc - out_pieces)
        + out_pieces * dim.dilation * (dim.ks - kernel_pieces)
        + out_pieces * kernel_pieces
    )
    low, high = dim.window
    if low >= 0 and high < extent and dim.up == 1:
        return padded, padded

    return tabulate(partial(_real_words, dim, extent), outputs, kernels), padded


@lru_cache(maxsize=1 << 12)
def _real_words(dim: Dim, extent: int, out_tile: int, kernel_tile: int) -> int:
    """Positions of one dimension in all its input tiles that are in DRAM."""
    return real_positions(dim, extent, _starts(dim.opc, out_tile), _starts(dim.ks, kernel_tile))


def tiles_with_words(dim: Dim, extent: int, out_tile: int, kernel_tile: int) -> int:
    """Input tiles of one dimension with any positions that are in DRAM."""
    return touching(dim, extent, _starts(dim.opc, out_tile), _starts(dim.ks, kernel_tile))


def _starts(extent: int, tile: int) -> Column:
    """(first index, size) of every piece of a loop."""
    first = np.arange(0, extent, tile, dtype=np.int64)
    return np.stack((first, np.minimum(tile, extent - first)), axis=1)


def words_of_sliding(dim: Dim, out_pass: int, out_element: int, kernel_pass: int, kernel_element: int) -> int:
    """Positions of one dimension that all elements receive that slide along it."""

    def pieces(extent: int, in_pass: int, in_element: int) -> Pieces:
        return cut(cut({extent: 1}, in_pass), in_element)

    return sum(
        n * k * distinct_positions(a, b, dim.stride, dim.dilation)
        for a, n in pieces(dim.opc, out_pass, out_element).items()
        for b, k in pieces(dim.ks, kernel_pass, kernel_element).items()
    )
