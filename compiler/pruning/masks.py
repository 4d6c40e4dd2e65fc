"""Which weights stay: the units of a structure by their magnitude, the smallest pruned first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from compiler.arrays import Array
from compiler.pruning.options import PruneOptions, Structure

Mask = npt.NDArray[np.bool_]


def kept_weights(weights: Array, options: PruneOptions) -> Mask:
    """Which of the weights stay: [groups, filters, channels, positions of a channel], as given.

    Filters of different groups of a convolution are never in one unit. A unit counts by the mean magnitude of its
    weights; of units that count the same, the first is pruned. As many units go as bring the share of pruned weights
    nearest to what is asked.
    """
    groups, filters, channels, positions = weights.shape
    magnitudes = np.abs(weights.astype(np.float64)).reshape(groups, filters, channels * positions)
    rows, columns = (filters, positions) if options.structure is Structure.CHANNEL else options.unit
    down, across = (_firsts(extent, size) for extent, size in ((filters, rows), (channels * positions, columns)))
    if not magnitudes.size:
        return np.ones(weights.shape, np.bool_)
    heights, widths = np.diff(down, append=filters), np.diff(across, append=channels * positions)
    sizes = np.broadcast_to(heights[:, None] * widths, (groups, down.size, across.size))
    sums = np.add.reduceat(np.add.reduceat(magnitudes, down, axis=1), across, axis=2)
    order = np.argsort((sums / sizes).reshape(-1), kind="stable")
    pruned = np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes.reshape(-1)[order])))
    count = int(np.argmin(np.abs(pruned - options.sparsity * weights.size)))
    kept = np.ones(order.size, np.bool_)
    kept[order[:count]] = False
    whole = np.repeat(np.repeat(kept.reshape(sizes.shape), heights, axis=1), widths, axis=2)
    return whole.reshape(weights.shape)


def _firsts(extent: int, size: int) -> npt.NDArray[np.int64]:
    """Where units of `size` begin; the last one is smaller if need be."""
    return np.arange(0, extent, size, dtype=np.int64)
