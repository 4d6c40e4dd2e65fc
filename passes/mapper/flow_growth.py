"""Candidates of a dataflow with further parameters: all their values that fit, or the largest of those."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import numpy.typing as npt

from dialects.hierarchy import Hierarchy
from passes.mapper.candidates import CHUNK, Candidates, joined
from passes.mapper.chains import tiles_within
from passes.mapper.dataflow import BoundFlow
from passes.mapper.flow_values import FlowValues

_PROBED = 16
"""Candidates of which is looked how many they become."""
_AT_A_TIME, _FEW = 7, 4096
"""Values that are tried at a time to find the largest that fits, if that makes fewer candidates together."""

Flags = npt.NDArray[np.bool_]
Fits = Callable[[Candidates], Flags]
"""Which candidates to go on with."""


class FlowGrowth:
    """Grows candidates; with `every`, the last outer parameter has all values that fit, not the largest only."""

    def __init__(self, flow: BoundFlow, hierarchy: Hierarchy, values: FlowValues, *, every: bool):
        self._flow = flow
        self._hierarchy = hierarchy
        self._values = values
        self._every = every

    def with_outer(
        self,
        candidates: Candidates,
        fits: Fits,
        *,
        every: bool = False,
        within: Fits | None = None,
        decided: Collection[str] = (),
    ) -> Candidates:
        """With all values of the outer parameters that fit; of the last one the largest, as less seldom costs less.

        With `every`, all of the last one, too. Those that are not `within` a limit may be missing. Some that come first
        may be `decided`.
        """
        left = [name for name in self._flow.flow.outer if name not in decided]
        if not left:
            return candidates.take(np.flatnonzero(fits(candidates)))
        *names, last = left
        for name in names:
            candidates = self.grown(candidates, name, fits)
            if within is not None and candidates.count and self._values.number_of(name) > 1:
                some = [within(chunk) for chunk in candidates.chunks()]
                candidates = candidates.take(np.flatnonzero(np.concatenate(some)))
        if every or self._every or last in self._values.unordered:
            # The largest that fits need not divide its loop, takes longest to arrive, or is not the best.
            return self.grown(candidates, last, fits)
        return self._smaller_too(self._filled(candidates, last, fits), last)

    def as_many(self, candidates: Candidates, name: str, fits: Fits, most: int) -> int:
        """How many of the first candidates become at most so many with a further parameter, judged by a few of them."""
        _, _, number = self._values.tables(self._values.left_of(candidates, name), name)
        if number.sum() <= most:
            return candidates.count
        some = candidates.take(np.arange(min(_PROBED, candidates.count)))
        return max(some.count, most * some.count // max(1, self.grown(some, name, fits).count))

    def grown(self, candidates: Candidates, name: str, fits: Fits) -> Candidates:
        """With all values of a further parameter that fit."""
        rows, values = self._values.ragged(candidates, name)
        kept: list[npt.NDArray[np.intp]] = []
        for some in np.array_split(np.arange(len(rows)), max(1, len(rows) // CHUNK)):
            if len(some):
                kept.append(some[fits(candidates.take(rows[some]).beside(name, values[some]))])
        every = np.concatenate(kept) if kept else np.zeros(0, np.intp)
        return candidates.take(rows[every]).beside(name, values[every])

    def _smaller_too(self, candidates: Candidates, name: str) -> Candidates:
        """With the smaller values of a parameter, too, that may cost less than the largest that fits."""
        most = candidates.columns[name]
        values = [most]
        if name not in self._values.counted:
            tiles = self._flow.tiles(candidates.columns, candidates.count)
            for place in tiles_within(self._flow, name, timed=self._values.timed) or ():
                tile = tiles[place]
                if self._hierarchy.nested:
                    values.append(np.where(tile <= most, most // tile * tile, most))
                if name in self._values.inwards:
                    values.append(np.minimum(tile, most))
        elif name in self._values.inwards:
            values.append(np.ones_like(most))
        if len(values) == 1:
            return candidates
        rows = [np.arange(candidates.count)]
        for number, column in enumerate(values[1:], 1):
            is_new = np.all([column != each for each in values[:number]], axis=0)
            rows.append(np.flatnonzero(is_new))
        return joined([candidates.take(some).beside(name, each[some]) for each, some in zip(values, rows, strict=True)])

    def _filled(self, candidates: Candidates, name: str, fits: Fits) -> Candidates:
        """With the largest value of a further parameter that fits, found by bisection, of all candidates at a time."""
        table, first, number = self._values.tables(self._values.left_of(candidates, name), name)
        last = first + number - 1
        filled = [Candidates(0, dict.fromkeys((*candidates.columns, name), np.zeros(0, np.int64)))]
        for rows in np.array_split(np.arange(candidates.count), max(1, candidates.count // CHUNK)):
            chunk = candidates.take(rows)
            low, high = first[rows] - 1, last[rows]
            # of few candidates several values at a time take hardly longer than one
            parts = _AT_A_TIME if chunk.count * _AT_A_TIME < _FEW else 1
            shares = np.arange(1, parts + 1)
            while (low < high).any():
                tried = low[:, None] + ((high - low)[:, None] * shares + parts) // (parts + 1)
                wide = chunk.take(np.repeat(np.arange(chunk.count), parts))
                fit = fits(wide.beside(name, table[tried.ravel()])).reshape(tried.shape) | (tried == low[:, None])
                # what is tried ascends, and so fits up to some number
                fitting = fit.sum(axis=1)[:, None]
                bounds = np.concatenate([low[:, None], tried, high[:, None] + 1], axis=1)
                low = np.take_along_axis(bounds, fitting, axis=1)[:, 0]
                high = np.take_along_axis(bounds, fitting + 1, axis=1)[:, 0] - 1
            some = np.flatnonzero(low >= first[rows])
            filled.append(chunk.take(some).beside(name, table[low[some]]))
        return joined(filled)
