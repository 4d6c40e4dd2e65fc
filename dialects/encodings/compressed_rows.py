"""CSR, compressed rows: where each row begins among the words that are not zero, their columns, and they themselves.

Rows of the matrix are one dimension of the tensor, columns all others.
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
from dialects.encodings.sections import SectionReader, word_bytes

_PART_WORDS = 1 << 16


@dataclass(frozen=True)
class CompressedRows(Format):
    """Three sections: `positions` (one more than rows) and `coordinates` (columns) of stated widths, and `values`."""

    position_bits: int = 32
    coordinate_bits: int = 16
    rows: int = 0

    name: ClassVar[str] = "csr"

    def __post_init__(self) -> None:
        for bits in (self.position_bits, self.coordinate_bits):
            if bits not in (8, 16, 32, 64):
                raise ValueError(f"positions and coordinates have 8, 16, 32 or 64 bits, not {bits}")

    def problem(self, shape: Sequence[int]) -> str:
        if not 0 <= self.rows < max(1, len(shape)):
            return f"there is no dimension {self.rows}"
        rows, columns = self.rows_and_columns(shape)
        if rows * columns >= 1 << self.position_bits or columns > 1 << self.coordinate_bits:
            return "a tensor of this shape has too many words for positions or coordinates of these widths"
        return ""

    def encode(self, tensor: Array) -> Stream:
        """As `Format.encode`. Raises `ValueError` if the shape does not fit the widths."""
        if problem := self.problem(tensor.shape):
            raise ValueError(f"{self}, shape {tensor.shape}: {problem}")
        words = self.matrix(words_of(tensor))
        rows, columns = words.shape
        positions = np.zeros(rows + 1, np.int64)
        np.cumsum(np.count_nonzero(words, axis=1), out=positions[1:])
        coordinates: list[Array] = []
        values: list[Array] = []
        # Some rows at a time: what is made of them stays in a cache.
        for first in range(0, rows, step := max(1, _PART_WORDS // max(1, columns))):
            part, ends = words[first : first + step], positions[first : first + step + 1]
            places = np.flatnonzero(part)
            values.append(part.reshape(-1)[places])
            places -= np.repeat(np.arange(len(part), dtype=np.int64) * columns, np.diff(ends))
            coordinates.append(places.astype(f"u{self.coordinate_bits // 8}"))
        sections = [word_bytes(positions.astype(f"u{self.position_bits // 8}"))]
        return np.concatenate([*sections, *map(word_bytes, coordinates), *map(word_bytes, values)])

    def decode(self, stream: Stream, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
        reader = SectionReader(self.name, stream)
        rows, columns = self.rows_and_columns(shape)
        stored = reader.compressed("", rows, columns, self.position_bits, self.coordinate_bits)
        words = np.zeros(rows * columns, f"u{np.dtype(dtype).itemsize}")
        words[stored.reshape(-1)] = reader.values(int(np.count_nonzero(stored)), words.dtype)
        reader.end()
        return tensor_of(self.from_matrix(words.reshape(rows, columns), shape), shape, dtype)

    def size(self, tensor: Array, bits: int | None = None) -> Size:
        count = int(np.count_nonzero(words_of(tensor)))
        rows, _ = self.rows_and_columns(tensor.shape)
        metadata = (rows + 1) * self.position_bits + count * self.coordinate_bits
        return Size(metadata, count * (bits or word_bits(tensor.dtype)), filling(metadata))

    def rows_and_columns(self, shape: Sequence[int]) -> tuple[int, int]:
        """What is compressed, by what coordinates count."""
        return matrix_shape(shape, self.rows)

    def matrix(self, words: Array) -> Array:
        """Words of a tensor as a matrix of `rows_and_columns`."""
        return np.ascontiguousarray(as_matrix(words, self.rows))

    def from_matrix(self, words: Array, shape: Sequence[int]) -> Array:
        """The tensor of such a matrix."""
        return from_matrix(words, shape, self.rows)
