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


class Pieces:
    """The multiset of piece sizes of one loop: columns of sizes with columns of counts, the largest size first."""

    def __init__(self, sizes: Sequence[Column], counts: Sequence[Column]):
        self._sizes = tuple(sizes)
        self._counts = tuple(counts)

    @classmethod
    def whole(cls, extent: int, candidates: int) -> Pieces:
        """A loop that nothing has cut yet."""
        return cls([np.full(candidates, extent, np.int64)], [np.ones(candidates, np.int64)])

    def cut(self, tile: Column, once: npt.NDArray[np.bool_] | None = None) -> Pieces:
        """Every piece cut into tiles, the last one of each may be smaller; into the first ones where `once` says so."""
        full: Column | None = None
        sizes: list[Column] = []
        counts: list[Column] = []
        for size, count in zip(self._sizes, self._counts, strict=True):
            whole = size // tile
            rest = size - whole * tile
            if once is not None:
                rest = np.where(once & (whole > 0), 0, rest)
                whole = np.where(once, np.minimum(whole, 1), whole)
            whole = count * whole
            full = whole if full is None else full + whole
            if rest.any():
                sizes.append(rest)
                counts.append(count * (rest > 0))
        assert full is not None
        return Pieces([np.minimum(tile, self._sizes[0]), *sizes], [full, *counts])

    def first(self, tile: Column) -> Pieces:
        """Only the first, and largest, tile of every piece."""
        return Pieces([np.minimum(size, tile) for size in self._sizes], self._counts)

    def evened(self, extent: int) -> Pieces:
        """The largest size only, as often as it goes into the loop, which may be a fraction."""
        return Pieces([self._sizes[0]], [(extent / self._sizes[0]).astype(np.float64)])

    def where(self, condition: npt.NDArray[np.bool_], other: Pieces) -> Pieces:
        """These pieces for candidates with the condition, others' for the rest."""
        slots = max(len(self._sizes), len(other._sizes))
        here, there = self._slots(slots), other._slots(slots)
        return Pieces(
            [np.where(condition, a, b) for (a, _), (b, _) in zip(here, there, strict=True)],
            [np.where(condition, a, b) for (_, a), (_, b) in zip(here, there, strict=True)],
        )

    def _slots(self, number: int) -> list[tuple[Column, Column]]:
        """Sizes and counts, the last size once more without a count as often as is missing."""
        slots = list(zip(self._sizes, self._counts, strict=True))
        return slots + [(self._sizes[-1], np.zeros_like(self._counts[-1]))] * (number - len(slots))

    @property
    def largest(self) -> Column:
        """The size of the largest piece."""
        return self._sizes[0]

    @property
    def number(self) -> Column:
        """How many pieces there are."""
        return sum(self._counts[1:], start=self._counts[0])

    @property
    def total(self) -> Column:
        """The sum of all sizes."""
        return self.capped(None)

    def capped(self, limit: int | None) -> Column:
        """The sum over pieces of their size, or of `limit` where they are larger."""
        sizes = self._sizes if limit is None else [np.minimum(size, limit) for size in self._sizes]
        return sum((s * c for s, c in zip(sizes[1:], self._counts[1:], strict=True)), start=sizes[0] * self._counts[0])
