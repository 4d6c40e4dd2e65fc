"""CSR, compressed rows: where each row begins among the words that are not zero, their columns, and they themselves.

The matrix is the tensor's first dimension by all others.
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
    filling,
    matrix_shape,
    tensor_of,
    word_bits,
    words_of,
)
from dialects.encodings.sections import SectionReader, word_bytes


@dataclass(frozen=True)
class CompressedRows(Format):
    """Three sections: `positions` (one more than rows) and `coordinates` (columns) of stated widths, and `values`."""

    position_bits: int = 32
    coordinate_bits: int = 16

    name: ClassVar[str] = "csr"

    def __post_init__(self) -> None:
        for bits in (self.position_bits, self.coordinate_bits):
            if bits not in (8, 16, 32, 64):
                raise ValueError(f"positions and coordinates have 8, 16, 32 or 64 bits, not {bits}")

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether positions and coordinates of every tensor of a shape have room in their bits."""
        rows, columns = self.rows_and_columns(shape)
        return rows * columns < 1 << self.position_bits and columns <= 1 << self.coordinate_bits

    def encode(self, tensor: Array) -> Stream:
        """As `Format.encode`. Raises `ValueError` if the shape does not fit the widths."""
        if not self.fits(tensor.shape):
            raise ValueError(f"{self}: a tensor of shape {tensor.shape} has too many words")
        words = self.matrix(words_of(tensor))
        rows, columns = words.shape
        positions = np.zeros(rows + 1, np.int64)
        np.cumsum(np.count_nonzero(words, axis=1), out=positions[1:])
        places = np.flatnonzero(words)
        values = words.reshape(-1)[places]
        places -= np.repeat(np.arange(rows, dtype=np.int64) * columns, np.diff(positions))
        return np.concatenate(
            (
                word_bytes(positions.astype(f"u{self.position_bits // 8}")),
                word_bytes(places.astype(f"u{self.coordinate_bits // 8}")),
                word_bytes(values),
            )
        )

    def decode(self, stream: Stream, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
        reader = SectionReader(self.name, stream)
        rows, columns = self.rows_and_columns(shape)
        given = reader.words("positions", rows + 1, f"u{self.position_bits // 8}")
        falls = np.concatenate((given[:1] != 0, given[1:] < given[:-1]))
        if falls.any() or int(given[-1]) > rows * columns:
            wrong = int(np.argmax(falls)) if falls.any() else rows
            expected = f"from 0 upwards, to {rows * columns} at most"
            found = str(int(given[wrong]))
            raise reader.error("positions", f"word {wrong}", "positions are no ends of rows", expected, found)
        positions = given.astype(np.int64)
        count = int(positions[-1])
        coordinates = reader.words("coordinates", count, f"u{self.coordinate_bits // 8}")
        steps = coordinates[1:] > coordinates[:-1]
        starts = positions[1:-1]
        steps[starts[(starts > 0) & (starts < count)] - 1] = True
        outside = coordinates >= columns if columns < 1 << self.coordinate_bits else np.zeros(count, np.bool_)
        if outside.any() or not steps.all():
            wrong = int(np.argmax(outside)) if outside.any() else int(np.argmin(steps)) + 1
            expected = f"upwards within a row, below {columns}"
            found = str(int(coordinates[wrong]))
            raise reader.error("coordinates", f"word {wrong}", "a coordinate is out of order", expected, found)
        words = np.zeros(rows * columns, f"u{np.dtype(dtype).itemsize}")
        row_starts = np.repeat(np.arange(rows, dtype=np.int64) * columns, np.diff(positions))
        words[row_starts + coordinates] = reader.values(count, words.dtype)
        reader.end()
        return tensor_of(self.from_matrix(words.reshape(rows, columns)), shape, dtype)

    def size(self, tensor: Array) -> Size:
        count = int(np.count_nonzero(words_of(tensor)))
        rows, _ = self.rows_and_columns(tensor.shape)
        metadata = (rows + 1) * self.position_bits + count * self.coordinate_bits
        return Size(metadata, count * word_bits(tensor.dtype), filling(metadata))

    def rows_and_columns(self, shape: Sequence[int]) -> tuple[int, int]:
        """What is compressed, by what coordinates count."""
        return matrix_shape(shape)

    def matrix(self, words: Array) -> Array:
        """Words of a tensor as a matrix of `rows_and_columns`."""
        return words.reshape(matrix_shape(words.shape))

    def from_matrix(self, words: Array) -> Array:
        """The words of the tensor in row-major order."""
        return words
