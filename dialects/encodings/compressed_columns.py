"""CSC, compressed columns: CSR of the transposed matrix. In a convolution's weights, a column is a reduction index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dialects.encodings.compressed_rows import CompressedRows
from dialects.encodings.format import Array, as_matrix, from_matrix, matrix_shape


@dataclass(frozen=True)
class CompressedColumns(CompressedRows):
    """Three sections: `positions` (one more than columns), `coordinates` (rows) and `values`."""

    name: ClassVar[str] = "csc"

    def rows_and_columns(self, shape: Sequence[int]) -> tuple[int, int]:
        rows, columns = matrix_shape(shape, self.rows)
        return columns, rows

    def matrix(self, words: Array) -> Array:
        return np.ascontiguousarray(as_matrix(words, self.rows).T)

    def from_matrix(self, words: Array, shape: Sequence[int]) -> Array:
        return from_matrix(words.T, shape, self.rows)
