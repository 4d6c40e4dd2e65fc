"""Sums of integer products in accumulators of few bits: what `sums B shift S` of a mapping means."""

from __future__ import annotations

import numpy as np

from dialects.gconv.scalar import Array


def narrow_sums(windows: Array, kernel: Array, bits: int, shift: int) -> Array:
    """The sums (groups, parallel kernels, outputs) of windows (groups, outputs, terms) and (groups, kernels, terms).

    A product p is added as floor((p + 2^(shift - 1)) / 2^shift), sums wrap around as two's complement of `bits` bits,
    and what is left of them is multiplied by 2^shift.
    """
    groups, outputs, terms = windows.shape
    total = np.zeros((groups, kernel.shape[1], outputs), np.int64)
    half = (1 << shift) >> 1
    for term in range(terms):
        products = kernel[:, :, None, term].astype(np.int64) * windows[:, None, :, term].astype(np.int64)
        total += np.floor_divide(products + half, 1 << shift)
    top = 1 << (bits - 1)
    return (np.mod(total + top, 2 * top) - top) * (1 << shift)
