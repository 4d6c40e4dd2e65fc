"""Matrix products in the arithmetic of their type: floats as BLAS rounds them, integers exact and wrapped around."""

from __future__ import annotations

import numpy as np

from dialects.gconv.scalar import Array

_EXACT = ((np.float32, 1 << 24), (np.float64, 1 << 53))
"""Floating-point types and the magnitude up to which they hold every integer."""


def contraction(left: Array, right: Array) -> Array:
    """left (..., M, K) times right (..., K, N), both of one type, in that type; without warnings.

    Integers go through BLAS in the narrowest floating-point type that holds every partial sum exactly.
    """
    with np.errstate(all="ignore"):
        if left.dtype.kind not in "iu":
            return np.matmul(left, right)
        bound = _magnitude(left) * _magnitude(right) * left.shape[-1]
        for dtype, limit in _EXACT:
            if bound < limit:
                return np.matmul(left.astype(dtype), right.astype(dtype)).astype(np.int64).astype(left.dtype)
        return np.matmul(left, right)


def _magnitude(array: Array) -> int:
    """The largest absolute value of an integer array."""
    return max(abs(int(array.min())), abs(int(array.max()))) if array.size else 0
