"""Which tiles of a loop are tried, and into how many they may be cut."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from passes.mapper.nest import Column
from passes.mapper.problem import Problem


@lru_cache(maxsize=4096)
def even(extent: int) -> Column:
    """The smallest tile for every number of tiles that a loop can be cut into; not to be written to."""
    every = -(-extent // np.arange(extent, 0, -1))
    tiles = every[np.append(True, every[1:] > every[:-1])]
    tiles.flags.writeable = False
    return tiles


def worthwhile(problem: Problem, loop: int, extent: int) -> Column:
    """The tiles of so many indices of a loop among which none better is missing."""
    window = problem.window_of(loop)
    has_gaps = window is not None and (window.stride > 1 or window.dilation > 1)
    return np.arange(1, extent + 1) if has_gaps else even(extent)


def sampled(tiles: Column, extent: int, number: int) -> Column:
    """So many of some tiles of a loop, evenly: first of those that divide it."""
    whole = extent % tiles == 0
    chosen = _spread(tiles[whole], number)
    more = _spread(tiles[~whole], number - len(chosen))
    return np.sort(np.concatenate([chosen, more]))


@lru_cache(maxsize=1 << 16)
def few_even(extent: int, most: int | None, number: int) -> Column:
    """As `sampled`, of the tiles of `even` up to `most`; not to be written to."""
    tiles = even(extent)
    chosen = sampled(tiles if most is None else tiles[tiles <= most], extent, number)
    chosen.flags.writeable = False
    return chosen


def _spread(values: Column, number: int) -> Column:
    if len(values) <= number:
        return values
    return values[np.linspace(0, len(values) - 1, number).astype(np.intp)]


_MANY = 256
"""Keys of which each is looked up once, as that takes less time then."""


class Tried:
    """Values by keys, for many keys at once; they are added when they are needed first."""

    def __init__(self) -> None:
        self._values: list[Column] = [np.zeros(0, np.int64)]
        self._ends = [0, 0]
        self._places: dict[int, int] = {}
        self._table: tuple[Column, Column, Column] | None = None

    def missing(self, keys: Column) -> list[int]:
        """Those of some sorted keys that have no values yet."""
        return [key for key in dict.fromkeys(keys.tolist()) if key not in self._places]

    def add(self, key: int, values: Column) -> None:
        """Keep the values of a key."""
        self._places[key] = len(self._values)
        self._values.append(values)
        self._ends.append(self._ends[-1] + len(values))
        self._table = None

    def each(self, keys: Column) -> tuple[Column, Column]:
        """Rows of keys, each repeated with every value of its key; and these."""
        if self._table is None:
            ends = np.array(self._ends)
            self._table = np.concatenate(self._values), ends[:-1], np.diff(ends)
        values, begins, counts = self._table
        if len(keys) > _MANY:
            distinct, numbers = np.unique(keys, return_inverse=True)
            places = np.array([self._places[key] for key in distinct.tolist()], np.intp)[numbers]
        else:
            places = np.array([self._places[key] for key in keys.tolist()], np.intp)
        numbers = counts[places]
        rows = np.repeat(np.arange(len(keys)), numbers)
        shift = begins[places] - (numbers.cumsum() - numbers)
        return rows, values[np.arange(len(rows)) + shift[rows]]
