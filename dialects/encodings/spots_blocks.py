"""The weight format of SPOTS (Soltaniyeh, Martin, Nagarakatte, ACM TACO 2022): two bitmaps and blocks of values.

The matrix has a row for every filter and a column for every index that is summed over. Bitmap M1 has a bit for every
column: whether any filter has a weight there. A kept column is cut into blocks of `height` filters, the last one
smaller if need be; bitmap M2 has a bit for every block: whether it holds anything. Then come the weights of the blocks
that do, whole. M2 and the weights go column by column, as the array takes them. What the paper does not say, the order
of bits and the ends of sections, is ours: every section is in whole bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from dialects.encodings.format import (
    Array,
    Format,
    Mask,
    Size,
    Stream,
    as_matrix,
    filling,
    from_matrix,
    matrix_shape,
    tensor_of,
    word_bits,
    words_of,
)
from dialects.encodings.sections import SectionReader, bitmap_bytes, word_bytes


@dataclass(frozen=True)
class BlockParts:
    """A matrix as the format has it; the type of values is the matrix's own.

    columns: [K] which columns are kept (M1); blocks: [kept columns, ceil(filters / height)] which blocks of these hold
    anything (M2); values: the weights of these blocks, one after the other.
    """

    columns: Mask
    blocks: Mask
    values: Array


@dataclass(frozen=True)
class SpotsBlocks(Format):
    """Three sections: `M1`, `M2` and `values`. A block is `height` filters of a column.

    Filters are dimension `rows` of the tensor, columns all others in their order. In tensors that have `inner` indices
    of a filter in that dimension, too, these are the first of its columns' indices.
    """

    height: int
    rows: int = 0
    inner: int = 1

    name: ClassVar[str] = "spots"

    def __post_init__(self) -> None:
        if self.height < 1:
            raise ValueError(f"a block has at least one filter, not {self.height}")
        if self.inner < 1:
            raise ValueError(f"a dimension has at least one index of a filter, not {self.inner}")

    def problem(self, shape: Sequence[int]) -> str:
        if not 0 <= self.rows < max(1, len(shape)):
            return f"there is no dimension {self.rows}"
        extent = shape[self.rows] if shape else 1
        return f"dimension {self.rows} has no whole filters of {self.inner}" if extent % self.inner else ""

    def split(self, tensor: Array) -> BlockParts:
        """The parts of a tensor."""
        columns, blocks, there = self._bitmaps(words_of(tensor))
        matrix = as_matrix(np.asarray(tensor).reshape(self._divided(tensor.shape)), self.rows)
        return BlockParts(columns, blocks, _kept(matrix, columns).T[there])

    def join(self, parts: BlockParts, shape: Sequence[int]) -> Array:
        """The tensor of parts that belong together."""
        filters, columns = matrix_shape(self._divided(shape), self.rows)
        there = self._rows(parts.blocks, filters)
        kept = np.zeros(there.shape, parts.values.dtype)
        kept[there] = parts.values
        if len(kept) == columns:
            return self._undivided(kept.T, shape)
        matrix = np.zeros((filters, columns), kept.dtype)
        matrix[:, parts.columns] = kept.T
        return self._undivided(matrix, shape)

    def write(self, parts: BlockParts) -> Stream:
        """The stream of parts."""
        values = words_of(parts.values)
        return np.concatenate((bitmap_bytes(parts.columns), bitmap_bytes(parts.blocks), word_bytes(values)))

    def read(self, stream: Stream, shape: Sequence[int], dtype: npt.DTypeLike) -> BlockParts:
        """The parts of a stream. Raises `CatenaError` (CAT-P005) if that is no stream of such a tensor."""
        reader = SectionReader(self.name, stream)
        columns, blocks = self.read_bitmaps(reader, shape)
        filters, _ = matrix_shape(self._divided(shape), self.rows)
        values = reader.words("values", self.stored(blocks, filters), f"u{np.dtype(dtype).itemsize}")
        reader.end()
        self.check_blocks(reader, values, blocks, filters)
        return BlockParts(columns, blocks, tensor_of(values, values.shape, dtype))

    def read_bitmaps(self, reader: SectionReader, shape: Sequence[int]) -> tuple[Mask, Mask]:
        """M1 and M2 of a tensor, from the beginning of its stream. Raises `CatenaError` (CAT-P005) as `read`."""
        filters, count = matrix_shape(self._divided(shape), self.rows)
        columns = reader.bits("M1", count)
        kept = int(np.count_nonzero(columns))
        blocks = reader.bits("M2", kept * self.blocks_of(filters)).reshape(kept, self.blocks_of(filters))
        if not blocks.any(axis=1).all():
            column = int(np.flatnonzero(columns)[np.argmin(blocks.any(axis=1))])
            raise reader.error("M2", f"column {column}", "a column is kept in which there is nothing")
        return columns, blocks

    def encode(self, tensor: Array) -> Stream:
        return self.write(self.split(tensor))

    def decode(self, stream: Stream, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
        return self.join(self.read(stream, shape, dtype), shape)

    def size(self, tensor: Array, bits: int | None = None) -> Size:
        columns, blocks, _ = self._bitmaps(words_of(tensor))
        stored = self.stored(blocks, matrix_shape(self._divided(tensor.shape), self.rows)[0])
        values = stored * (bits or word_bits(tensor.dtype))
        return Size(columns.size + blocks.size, values, filling(columns.size) + filling(blocks.size))

    def blocks_of(self, filters: int) -> int:
        """Blocks of a column."""
        return -(-filters // self.height)

    def heights(self, filters: int) -> npt.NDArray[np.int64]:
        """Filters of every block of a column: `height` each, the last what is left."""
        ends = np.minimum(np.arange(1, self.blocks_of(filters) + 1) * self.height, filters)
        return np.diff(ends, prepend=0)

    def stored(self, blocks: Mask, filters: int) -> int:
        """Weights that blocks hold."""
        return int(np.count_nonzero(blocks, axis=0) @ self.heights(filters))

    def _divided(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The extents of a tensor whose filters are a dimension of their own."""
        if self.inner == 1:
            return tuple(shape)
        return (*shape[: self.rows], shape[self.rows] // self.inner, self.inner, *shape[self.rows + 1 :])

    def _undivided(self, matrix: Array, shape: Sequence[int]) -> Array:
        """The tensor of a matrix."""
        return from_matrix(matrix, self._divided(shape), self.rows).reshape(tuple(shape))

    def _bitmaps(self, words: Array) -> tuple[Mask, Mask, Mask]:
        """M1, M2 and, of every filter in the kept columns, [kept columns, filters], whether its block is stored."""
        matrix = as_matrix(words.reshape(self._divided(words.shape)), self.rows)
        filters, count = matrix.shape
        blocks = np.zeros((self.blocks_of(filters), count), np.bool_)
        for row in range(min(self.height, filters)):
            of_row = matrix[row :: self.height] != 0
            blocks[: len(of_row)] |= of_row
        columns: Mask = np.logical_or.reduce(blocks, axis=0)
        of_kept = np.ascontiguousarray(_kept(blocks, columns).T)
        return columns, of_kept, self._rows(of_kept, filters)

    def _rows(self, blocks: Mask, filters: int) -> Mask:
        """Of every filter in every kept column, whether its block is stored: [kept columns, filters]."""
        return np.repeat(blocks, self.height, axis=1)[:, :filters]

    def check_blocks(self, reader: SectionReader, values: Array, blocks: Mask, filters: int) -> None:
        """Raises `CatenaError` (CAT-P005) if a block is stored in which there is nothing."""
        heights = np.broadcast_to(self.heights(filters), blocks.shape)[blocks]
        starts = np.cumsum(heights) - heights
        if starts.size and not (holds := np.logical_or.reduceat(values != 0, starts)).all():
            place = f"block {int(np.argmin(holds))}"
            raise reader.error("values", place, "a block is stored in which there is nothing")


def _kept(matrix: Array, columns: Mask) -> Array:
    """The columns of a matrix that are kept; all of them without a copy."""
    return matrix if columns.all() else matrix[:, columns]
