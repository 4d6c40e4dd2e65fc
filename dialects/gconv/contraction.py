"""Matrix products in the arithmetic of their type: integers exact and wrapped around, floats in an order of BLAS's.

BLAS rounds a product and its addition at once and adds in an order of its own. With at most two terms that are not zero
no order matters, and each is rounded as the definition says, so that such sums (linear interpolation) are the same
bit for bit however a mapping divides them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from dialects.gconv.scalar import Array

_EXACT: tuple[tuple[npt.DTypeLike, int], ...] = ((np.float32, 1 << 24), (np.float64, 1 << 53))
"""Floating-point types and the magnitude up to which they hold every integer."""

_PAIR = 2


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

    @cached_property
    def is_finite(self) -> bool:
        """Whether zero times any of the words is zero."""
        return bool(np.isfinite(self.words).all())

    @cached_property
    def pairs(self) -> _Pairs | None:
        """The words of rows that have two at most which are not zero, if some have two and none has more."""
        words = self.words
        if not words.size or np.count_nonzero(words.reshape(-1, words.shape[-1])[0]) > _PAIR:
            return None
        used = words != 0
        if used.sum(axis=-1).max() != _PAIR:
            return None
        first = used.argmax(axis=-1)[..., None]
        last = words.shape[-1] - 1 - used[..., ::-1].argmax(axis=-1)[..., None]
        others = np.where(first == last, 0, np.take_along_axis(words, last, -1))
        return _Pairs(first, np.take_along_axis(words, first, -1), last, others)


@dataclass(frozen=True)
class _Pairs:
    """Two positions and words for every row of a matrix, (..., M, 1)."""

    first: npt.NDArray[np.intp]
    first_words: Array
    last: npt.NDArray[np.intp]
    last_words: Array

    def times(self, right: Array) -> Array:
        """The product with a matrix (..., K, N) of finite words, the two terms of each sum rounded one by one."""
        firsts = self.first_words * np.take_along_axis(right, self.first, -2)
        return firsts + self.last_words * np.take_along_axis(right, self.last, -2)


def contraction(left: Array, right: Array) -> Array:
    """left (..., M, K) times right (..., K, N), both of one type, in that type; without warnings."""
    return product(Factor(left, left.dtype), Factor(right, right.dtype), left.shape[-1])


def product(left: Factor, right: Factor, terms: int) -> Array:
    """`contraction` of two factors of one type with `terms` = K.

    Integers go through BLAS in the narrowest floating-point type that holds every partial sum exactly.
    """
    with np.errstate(all="ignore"):
        if left.dtype.kind not in "iu":
            if left.pairs is not None and right.is_finite:
                return left.pairs.times(right.words)
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
