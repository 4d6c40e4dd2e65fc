"""Tiles of kernels on the chip: dense ones, and streams of SPOTS blocks that the machine decodes from their bitmaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.fields import Array
from backends.spatial.codes import Tensor
from backends.spatial.holds import HoldState
from backends.spatial.layer import LayerState
from backends.spatial.memory import Fault, MemoryBank
from dialects.diagnostics import CatenaError
from dialects.encodings.format import words_of
from dialects.encodings.sections import SectionReader
from dialects.encodings.spots_blocks import BlockParts, SpotsBlocks

Mask = npt.NDArray[np.bool_]
_PLACE_BYTES = 8
"""Of every tile two numbers of 32 bits: the words where its bitmaps and its values begin."""


@dataclass(frozen=True)
class BlocksConfig:
    """How the kernel of a layer lies in blocks: their height, where its bitmaps are, words of these on the chip."""

    height: int
    address: int
    words: int


@dataclass(frozen=True)
class KernelWords:
    """A tile of a kernel: (groups, kernels, terms), and what the machine knows of its zeros.

    `columns` [groups, terms] says which indices are worked on, `stored` of how many kernels they have words. `values`,
    `bitmaps` and `places` are the words that came.
    """

    matrices: Array
    columns: Mask
    stored: npt.NDArray[np.int64]
    values: int
    bitmaps: int = 0
    places: int = 0
    flags: Mask | None = None
    """[groups, terms, blocks of kernels]: whether a block is there; None for dense kernels."""


def dense_words(matrices: Array) -> KernelWords:
    """A tile that lies dense: nothing is known of its zeros."""
    groups, kernels, terms = matrices.shape
    whole = np.ones((groups, terms), np.bool_)
    return KernelWords(matrices, whole, np.full((groups, terms), kernels, np.int64), matrices.size)


class BlockStreams:
    """The streams of one layer's kernel: its words and their bitmaps in the off-chip memory, or in holds."""

    def __init__(
        self,
        layer: LayerState,
        config: BlocksConfig,
        values: MemoryBank | HoldState,
        bitmaps: MemoryBank | HoldState,
        word_bits: int,
    ):
        self._layer, self._config = layer, config
        self._memory_of_values, self._memory_of_bitmaps = values, bitmaps
        self._word: np.dtype[Any] = np.dtype(f"<u{word_bits // 8}")
        self._format = SpotsBlocks(config.height)

    def tile(self, number: int, groups: int, kernels: int, terms: int) -> KernelWords:
        """Bring and decode a tile. Raises `Fault`: CAT-P005 for bitmaps or values that are no stream of such a tile."""
        place = _PLACE_BYTES // self._word.itemsize
        where = self._bitmap_words(number * place, place).view(np.uint8).view("<u4")
        start, value = (int(each) for each in where)
        shape = kernels, groups, terms
        try:
            reader, columns, blocks, words = self._bitmaps(start, shape)
            values = self._values(value, self._format.stored(blocks, kernels))
            self._format.check_blocks(reader, words_of(values), blocks, kernels)
        except CatenaError as error:
            (found,) = error.diagnostics
            message = f"tile {number} of the kernel, {found.where}: {found.message}"
            raise Fault(found.code, message, found.expected, found.found) from error
        matrix = self._format.join(BlockParts(columns, blocks, values), shape)
        flags = np.zeros((columns.size, blocks.shape[1]), np.bool_)
        flags[columns] = blocks
        return KernelWords(
            np.ascontiguousarray(np.moveaxis(matrix, 0, 1)),
            columns.reshape(groups, terms),
            (flags @ self._format.heights(kernels)).reshape(groups, terms),
            values.size,
            words,
            place,
            flags.reshape(groups, terms, -1),
        )

    def _bitmaps(self, start: int, shape: tuple[int, int, int]) -> tuple[SectionReader, Mask, Mask, int]:
        """M1 and M2 of the tile whose bitmaps begin at a word, and how many words they take: M1 says how long M2 is."""
        kernels, groups, terms = shape
        first = -(-groups * terms // 8)
        kept = SectionReader(self._format.name, self._bytes(start, first)).bits("M1", groups * terms)
        size = first + -(-int(np.count_nonzero(kept)) * self._format.blocks_of(kernels) // 8)
        reader = SectionReader(self._format.name, self._bytes(start, size))
        columns, blocks = self._format.read_bitmaps(reader, shape)
        return reader, columns, blocks, -(-size // self._word.itemsize)

    def _bytes(self, start: int, size: int) -> npt.NDArray[np.uint8]:
        """Bytes from the beginning of a word."""
        return self._bitmap_words(start, -(-size // self._word.itemsize)).view(np.uint8)[:size]

    def _bitmap_words(self, start: int, count: int) -> Array:
        found = self._memory_of_bitmaps.read(self._config.address + start, (count,), (1,), self._word)
        return np.ascontiguousarray(found)

    def _values(self, start: int, count: int) -> Array:
        source = self._layer.address(Tensor.KERNEL)
        if not count:
            return np.zeros(0, source.dtype)
        return np.ascontiguousarray(self._memory_of_values.read(source.address + start, (count,), (1,), source.dtype))
