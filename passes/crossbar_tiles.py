"""The matrix of a link that multiplies and adds, and the crossbars that it is cut into."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from dialects.gconv import GConv


@dataclass(frozen=True)
class Tile:
    """What one crossbar holds: groups in a diagonal, or part of one group's matrix."""

    groups: range
    rows: range
    columns: range


@dataclass(frozen=True)
class MatrixShape:
    """Of each group, kernel positions are rows (im2col), parallel kernels columns, output positions vectors."""

    groups: int
    rows: int
    columns: int
    vectors: int

    @classmethod
    def of(cls, spec: GConv) -> MatrixShape:
        """All loops of a kind together."""
        return cls(*(math.prod(each) for each in zip(*((d.g, d.ks, d.op, d.opc) for d in spec.dims), strict=True)))

    @property
    def dense(self) -> MatrixShape:
        """All groups as one matrix, with zeros outside of its diagonal: how PIMCOMP lays grouped convolutions."""
        return MatrixShape(1, self.groups * self.rows, self.groups * self.columns, self.vectors)

    def tiles(self, tall: int, wide: int) -> Iterator[Tile]:
        """Tiles of at most `tall` rows and `wide` columns; several groups share one if they fit in a diagonal."""
        together = min(tall // self.rows, wide // self.columns)
        if self.groups > 1 and together > 1:
            for first in range(0, self.groups, together):
                yield Tile(range(first, min(first + together, self.groups)), range(self.rows), range(self.columns))
            return
        for group in range(self.groups):
            for row in range(0, self.rows, tall):
                for column in range(0, self.columns, wide):
                    rows = range(row, min(row + tall, self.rows))
                    columns = range(column, min(column + wide, self.columns))
                    yield Tile(range(group, group + 1), rows, columns)

    def crossbars(self, tall: int, wide: int) -> int:
        """Tiles of a copy of the matrix: P_V times P_H for a group of its own."""
        together = min(tall // self.rows, wide // self.columns)
        if self.groups > 1 and together > 1:
            return -(-self.groups // together)
        return self.groups * self.strips(tall) * -(-self.columns // wide)

    def strips(self, tall: int) -> int:
        """Tiles below one another, P_V: those that add to the same sums."""
        return -(-self.rows // tall)

    def products(self, tall: int) -> int:
        """Products of vectors and strips of rows, whose tiles beside one another share their inputs."""
        return self.groups * self.vectors * self.strips(tall)
