"""Accumulators of so many bits: products lose bits before they are added, and sums wrap around."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.fields import Array
from dialects.gconv.contraction import Factor

_BLOCK = 1 << 15
"""Sums of a block, which stays in a cache of the emulator's own machine."""


@dataclass(frozen=True)
class Accumulators:
    """A product p is added as floor((p + 2^(shift - 1)) / 2^shift), in `bits` bits of two's complement."""

    bits: int
    shift: int

    def rounded(self, products: Any) -> Any:
        """Products as they are added."""
        return (products + ((1 << self.shift) >> 1)) >> self.shift

    def summed(self, kernel: Factor, patches: Factor) -> Array:
        """Sums of rounded products of integers, not wrapped yet: (groups, kernels, patches).

        `kernel` is (groups, kernels, terms), `patches` (groups, terms, patches).
        """
        left, right = (each.converted(np.int64) for each in (kernel, patches))
        groups, kernels, terms = left.shape
        found = np.zeros((groups, kernels, right.shape[2]), np.int64)
        width = max(_BLOCK // max(kernels, 1), 1)
        for group in range(groups):
            for start in range(0, right.shape[2], width):
                part = right[group, :, start : start + width]
                block = found[group, :, start : start + width]
                for term in range(terms):
                    weights = left[group, :, term]
                    if weights.any():
                        block += self.rounded(weights[:, None] * part[term])
        return found

    def wrapped(self, sums: Array) -> tuple[Array, int]:
        """Sums as accumulators keep them, and how many of them did not fit."""
        top = 1 << (self.bits - 1)
        kept = ((sums + top) & (2 * top - 1)) - top
        return kept, int(np.count_nonzero(kept != sums))

    def restored(self, sums: Array) -> Array:
        """Finished sums in units of products."""
        return sums << self.shift
