"""What a transfer to or from DRAM takes of the off-chip link, from the addresses that it touches."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=1 << 14)
def burst_words(shape: tuple[int, ...], strides: tuple[int, ...], burst: int) -> int:
    """Words of the bursts of a strided transfer; 0 on a machine without bursts.

    Words are taken in the order of their addresses, repeated ones in a sweep of their own. Each run of consecutive
    words takes whole bursts; a burst begins at any word, so that where the tensor lies does not matter.
    """
    if not burst or 0 in shape:
        return 0
    outermost_first = sorted(zip(map(abs, strides), shape, strict=True), key=lambda a: (a[0] == 0, *a), reverse=True)
    addresses = np.zeros(1, np.int64)
    for stride, size in outermost_first:
        addresses = np.add.outer(addresses, np.arange(size) * stride).reshape(-1)
    last = np.flatnonzero(np.append(np.diff(addresses) != 1, True))
    runs = np.diff(last, prepend=-1)
    return int((-(-runs // burst)).sum()) * burst
