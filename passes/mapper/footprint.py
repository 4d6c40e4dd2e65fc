"""How many words of an operand a tile has, and all tiles of a cut together, for many candidates at once."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial, reduce
from types import MappingProxyType

import numpy as np

from dialects.gconv import LoopKind
from dialects.schedule import Operand
from passes.mapper.nest import Column
from passes.mapper.pieces import Pieces
from passes.mapper.problem import Problem, Window

_TABLE = 1 << 18
"""Entries of the largest table that is made."""

_NO_VISITS: Mapping[int, Column] = MappingProxyType({})


class Moved:
    """Words of operands that are brought in one tile after another, by the tiles that loops are cut into."""

    def __init__(self, problem: Problem):
        self._problem = problem
        self._gains: dict[tuple[int, frozenset[LoopKind]], Column | None] = {}

    def words(self, operand: Operand, tiles: Column, visits: Mapping[int, Column] = _NO_VISITS) -> Column:
        """Words of all tiles together, with a row of `tiles` for every loop.

        Loops that the operand is not indexed by come `visits` times, or once for every tile.
        """
        result: Column = np.ones(tiles.shape[1], np.int64) * self._plain(operand, tiles)
        for loop in self._problem.idle(operand):
            result = result * (visits[loop] if loop in visits else -(-self._problem.extent(loop, tiles) // tiles[loop]))
        if operand is Operand.INPUT:
            for number, window in enumerate(self._problem.windows):
                result = result * self._positions(number, window, tiles)
        return result

    def once(self, operand: Operand, tiles: Column) -> Column:
        """As `words`, if each loop that the operand is not indexed by comes once; one number if it is for all."""
        result = self._plain(operand, tiles)
        if operand is Operand.INPUT:
            for number, window in enumerate(self._problem.windows):
                result = result * self._positions(number, window, tiles)
        return result

    def _plain(self, operand: Operand, tiles: Column) -> Column:
        """Words of an operand that no window slides over, of which there are such tiles."""
        return self._plain_words[operand]

    @cached_property
    def _plain_words(self) -> Mapping[Operand, Column]:
        return {operand: np.full(1, self._problem.words(operand), np.int64) for operand in Operand}

    def overlap(self, tiles: Column, kinds: frozenset[LoopKind]) -> Column:
        """How many times as few words of windows there are, at most, if tiles grow along some kinds of loops."""
        gain: Column = np.ones_like(tiles[0], np.float64)
        for number, window in enumerate(self._problem.windows):
            gain = gain * self._gain(number, window, kinds, tiles)
        return gain

    def _gain(self, number: int, window: Window, kinds: frozenset[LoopKind], tiles: Column) -> Column:
        table = self.gains(number, kinds)
        outputs, kernels = tiles[window.outputs], tiles[window.kernels]
        return self._overlap(window, kinds, outputs, kernels) if table is None else table[outputs, kernels]

    def gains(self, number: int, kinds: frozenset[LoopKind]) -> Column | None:
        """What `overlap` is of one window, for every pair of tiles, where there are not too many."""
        if (number, kinds) not in self._gains:
            window = self._problem.windows[number]
            self._gains[number, kinds] = self._table(window, partial(self._overlap, window, kinds))
        return self._gains[number, kinds]

    def _overlap(self, window: Window, kinds: frozenset[LoopKind], outputs: Column, kernels: Column) -> Column:
        """The same of one window. The larger a tile, either way, the fewer words it has for a pair of positions."""
        extents = [self._problem.extents[loop] for loop in (window.outputs, window.kernels)]
        largest = [
            np.full_like(tile, extent) if kind in kinds else tile
            for kind, extent, tile in zip((LoopKind.OPC, LoopKind.KS), extents, (outputs, kernels), strict=True)
        ]
        least = math.prod(extents) * touched(window, *largest) / (largest[0] * largest[1])
        return self._cut(window, outputs, kernels) / least

    @cached_property
    def tables(self) -> list[Column | None]:
        """By window, the words for every pair of tiles, where there are not too many."""
        return [self._table(window, partial(self._cut, window)) for window in self._problem.windows]

    def _table(self, window: Window, of: Callable[[Column, Column], Column]) -> Column | None:
        """What there is for every pair of tiles of a window; None if these are too many."""
        outputs, kernels = (self._problem.extents[loop] for loop in (window.outputs, window.kernels))
        if outputs * kernels > _TABLE:
            return None
        grid = np.meshgrid(np.arange(1, outputs + 1), np.arange(1, kernels + 1), indexing="ij")
        values = of(*(axis.ravel() for axis in grid))
        table = np.zeros((outputs + 1, kernels + 1), values.dtype)
        table[1:, 1:] = values.reshape(outputs, kernels)
        return table

    def _positions(self, number: int, window: Window, tiles: Column) -> Column:
        table = self.tables[number]
        outputs, kernels = tiles[window.outputs], tiles[window.kernels]
        return self._cut(window, outputs, kernels) if table is None else table[outputs, kernels]

    def _cut(self, window: Window, outputs: Column, kernels: Column) -> Column:
        pieces = (
            Pieces.whole(self._problem.extents[loop], len(tiles)).cut(tiles)
            for loop, tiles in ((window.outputs, outputs), (window.kernels, kernels))
        )
        return positions(window, *pieces)


def tile_words(problem: Problem, operand: Operand, sizes: Sequence[Column] | Column | Mapping[int, Column]) -> Column:
    """Words of a tile with `sizes[l]` indices of loop l; of loops that leave the operand alone none need be known."""
    factors = [sizes[loop] for loop in problem.plain(operand)]
    if operand is Operand.INPUT:
        factors += [touched(window, sizes[window.outputs], sizes[window.kernels]) for window in problem.windows]
    if not factors:
        # no loop changes it, as in a link of one operation; a mapping may have none of the loops there are
        return np.ones_like(sizes[0]) if len(sizes) else np.ones(1, np.int64)
    return reduce(operator.mul, factors)


def touched(window: Window, outputs: Column, kernels: Column) -> Column:
    """Input positions of single pieces of a window, as `positions` says."""
    if window.across == window.along == 1 and outputs.dtype.kind == kernels.dtype.kind == "i":
        return outputs + kernels - 1
    early = np.minimum(outputs, window.across)
    return kernels * early + (outputs - early) * np.minimum(kernels, window.along)


def positions(window: Window, outputs: Pieces, kernels: Pieces) -> Column:
    """Input positions of all pairs of pieces of a window, those that a pair meets twice once.

    A piece of a outputs and b kernel positions touches b of each of the first `across` outputs, and of each further
    one those that earlier ones did not: at most `along`.
    """
    early = outputs.capped(window.across)
    return kernels.total * early + (outputs.total - early) * kernels.capped(window.along)
