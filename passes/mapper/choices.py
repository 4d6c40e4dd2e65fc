"""Which tiles of a loop are tried, and into how many they may be cut."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from passes.mapper.nest import Column
from passes.mapper.problem import Problem


@lru_cache(maxsize=4096)
def even(extent: int) -> Column:
    """The smallest tile for every number of tiles that a loop can be cut into; not to be written to."""
    tiles = np.unique(-(-extent // np.arange(1, extent + 1)))
    tiles.flags.writeable = False
    return tiles


def worthwhile(problem: Problem, loop: int, extent: int, *, every: bool = True) -> Column:
    """The tiles of so many indices of a loop among which none better is missing; with not `every`, those of `even`."""
    window = problem.window_of(loop)
    has_gaps = every and window is not None and (window.stride > 1 or window.dilation > 1)
    return np.arange(1, extent + 1) if has_gaps else even(extent)


def sampled(tiles: Column, extent: int, number: int) -> Column:
    """So many of some tiles of a loop, evenly: first of those that divide it."""
    whole = extent % tiles == 0
    chosen = _spread(tiles[whole], number)
    more = _spread(tiles[~whole], number - len(chosen))
    return np.sort(np.concatenate([chosen, more]))


def _spread(values: Column, number: int) -> Column:
    if len(values) <= number:
        return values
    return values[np.linspace(0, len(values) - 1, number).astype(np.intp)]
