"""Into which pieces nested tiles cut a loop, for many candidates at once.

A loop of 10 cut into tiles of 4 has pieces of 4, 4 and 2; cut again into tiles of 3: 3, 1, 3, 1, 2. After k cuts there
are at most k + 1 different sizes: the last tile, and what each cut left over, unless no candidate has any of it.
Columns of a single number stand for the same number for every candidate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from passes.mapper.nest import Column

_Number = Column | float
"""A column, or what is the same for every candidate: NumPy takes ten times as long for one number as Python does."""


class Pieces:
    """The multiset of piece sizes of one loop: columns of sizes with columns of counts, the largest size first."""

    def __init__(self, sizes: Sequence[_Number], counts: Sequence[_Number]):
        self._sizes = tuple(sizes)
        self._counts = tuple(counts)

    @classmethod
    def whole(cls, extent: int, candidates: int) -> Pieces:
        """A loop that nothing has cut yet."""
        if candidates == 1:
            return cls([extent], [1])
        return cls([np.full(candidates, extent, np.int64)], [np.ones(candidates, np.int64)])

    def cut(self, tile: Column, once: npt.NDArray[np.bool_] | None = None) -> Pieces:
        """Every piece cut into tiles, the last one of each may be smaller; into the first ones where `once` says so."""
        by, largest = _number(tile), self._sizes[0]
        if not isinstance(by, np.ndarray) and not isinstance(largest, np.ndarray) and by >= largest:
            return self
        first = once if once is None or len(once) != 1 else bool(once[0])
        full: _Number | None = None
        sizes: list[_Number] = []
        counts: list[_Number] = []
        for size, count in zip(self._sizes, self._counts, strict=True):
            whole = size // by
            rest = size - whole * by
            if first is True:
                rest, whole = _where(whole > 0, 0, rest), _smaller(whole, 1)
            elif isinstance(first, np.ndarray):
                rest = np.where(first & (whole > 0), 0, rest)
                whole = np.where(first, np.minimum(whole, 1), whole)
            whole = count * whole
            full = whole if full is None else full + whole
            # `any` takes ten times as long for few numbers
            if np.count_nonzero(rest) if isinstance(rest, np.ndarray) else rest:
                sizes.append(rest)
                counts.append(count * (rest > 0))
        assert full is not None
        return Pieces([_smaller(by, largest), *sizes], [full, *counts])

    def first(self, tile: Column) -> Pieces:
        """Only the first, and largest, tile of every piece."""
        by = _number(tile)
        return Pieces([_smaller(size, by) for size in self._sizes], self._counts)

    def evened(self, extent: int) -> Pieces:
        """The largest size only, as often as it goes into the loop, which may be a fraction."""
        return Pieces([self._sizes[0]], [extent / self._sizes[0]])

    def where(self, condition: npt.NDArray[np.bool_], other: Pieces) -> Pieces:
        """These pieces for candidates with the condition, others' for the rest."""
        slots = max(len(self._sizes), len(other._sizes))
        here, there = self._slots(slots), other._slots(slots)
        return Pieces(
            [np.where(condition, a, b) for (a, _), (b, _) in zip(here, there, strict=True)],
            [np.where(condition, a, b) for (_, a), (_, b) in zip(here, there, strict=True)],
        )

    def _slots(self, number: int) -> list[tuple[_Number, _Number]]:
        """Sizes and counts, the last size once more without a count as often as is missing."""
        slots = list(zip(self._sizes, self._counts, strict=True))
        return slots + [(self._sizes[-1], 0)] * (number - len(slots))

    @property
    def largest(self) -> Column:
        """The size of the largest piece."""
        return _column(self._sizes[0])

    @property
    def number(self) -> Column:
        """How many pieces there are."""
        return _column(sum(self._counts[1:], start=self._counts[0]))

    @property
    def total(self) -> Column:
        """The sum of all sizes."""
        return self.capped(None)

    def capped(self, limit: int | None) -> Column:
        """The sum over pieces of their size, or of `limit` where they are larger."""
        sizes = self._sizes if limit is None else [_smaller(size, limit) for size in self._sizes]
        return _column(
            sum((s * c for s, c in zip(sizes[1:], self._counts[1:], strict=True)), start=sizes[0] * self._counts[0])
        )


def _number(column: Column) -> _Number:
    return column.item() if len(column) == 1 else column


def _column(number: _Number) -> Column:
    return number if isinstance(number, np.ndarray) else np.array([number])


def _smaller(one: _Number, other: _Number) -> _Number:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.minimum(one, other)
    return min(one, other)


def _where(condition: npt.NDArray[np.bool_] | bool, one: _Number, other: _Number) -> _Number:
    if isinstance(condition, np.ndarray):
        return np.where(condition, one, other)
    return one if condition else other
