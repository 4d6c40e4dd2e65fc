"""Matrix products in the arithmetic of their type: integers exact and wrapped around, floats in an order of BLAS's."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from dialects.gconv.scalar import Array

_EXACT: tuple[tuple[npt.DTypeLike, int], ...] = ((np.float32, 1 << 24), (np.float64, 1 << 53))
"""Floating-point types and the magnitude up to which they hold every integer."""


class Factor:
    """An operand of products in a type, with what is worked out of its words once for all of them.

    Integers stay in the narrower type that they are stored in until a product asks for another one.
    """

    def __init__(self, words: Array, dtype: npt.DTypeLike):
        self.dtype = np.dtype(dtype)
        are_integers = words.dtype.kind in "iu" and self.dtype.kind in "iu"
        is_kept = are_integers and np.can_cast(words.dtype, self.dtype, "safe")
        self._words = words if is_kept else words.astype(self.dtype, copy=False)
        self._converted: dict[np.dtype[np.generic], Array] = {self._words.dtype: self._words}

    @property
    def words(self) -> Array:
        """The words in the type of the products."""
        return self.converted(self.dtype)

    def converted(self, dtype: npt.DTypeLike) -> Array:
        """The words in another type."""
        wanted = np.dtype(dtype)
        if wanted not in self._converted:
            self._converted[wanted] = self._words.astype(wanted)
        return self._converted[wanted]

    @cached_property
    def magnitude(self) -> int:
        """The largest absolute value of integers."""
        words = self._words
        return max(abs(int(words.min())), abs(int(words.max()))) if words.size else 0


def product(left: Factor, right: Factor, terms: int) -> Array:
    """left (..., M, K) times right (..., K, N), both of one type, in that type; `terms` is K; without warnings.

    Integers go through BLAS in the narrowest floating-point type that holds every partial sum exactly.
    """
    with np.errstate(all="ignore"):
        if left.dtype.kind not in "iu":
            return np.matmul(left.words, right.words)
        bound = left.magnitude * right.magnitude * terms
        for dtype, limit in _EXACT:
            if bound < limit:
                sums = np.matmul(left.converted(dtype), right.converted(dtype))
                return _integers(sums, bound, left.dtype)
        return np.matmul(left.words, right.words)


def _integers(sums: Array, bound: int, dtype: np.dtype[Any]) -> Array:
    """Whole numbers of at most `bound`, wrapped around in an integer type."""
    limits = np.iinfo(dtype)
    if limits.min <= -bound and bound <= limits.max:
        return sums.astype(dtype)
    return sums.astype(np.int64).astype(dtype)
