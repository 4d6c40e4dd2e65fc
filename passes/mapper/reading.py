"""What results read of other tensors, such as biases and residuals, whatever the mapping."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from dialects.schedule import Operand
from passes.mapper.links import OPERATION
from passes.mapper.partial import read_by
from passes.mapper.paths import Paths
from passes.mapper.pricing import Prices, Values
from passes.mapper.problem import Problem


class Reading:
    """Where these tensors lie, what their words cost, and how many are read at least; `timed` where cycles count."""

    def __init__(self, problem: Problem, prices: Prices, paths: Paths, *, timed: bool):
        self._problem, self._prices, self._paths, self._timed = problem, prices, paths, timed
        self._hierarchy = prices.hierarchy

    @cached_property
    def prices(self) -> Values:
        """The price of a word that results read, of each of the other tensors."""
        prices = [self._prices.event(f"{memory}.extra.read") for memory in self.memories]
        return np.array(prices, np.float64)

    @cached_property
    def memories(self) -> list[str]:
        """Where each of the tensors lies that results read."""
        return [extra.memory or self._hierarchy.memories[0].name for extra in self._problem.extras]

    @cached_property
    def sent_from(self) -> str | None:
        """The outermost place of sums, from which finished ones leave in tiles; None if all leave one by one."""
        place = self._paths.of(Operand.OUTPUT)[1]
        return None if place == OPERATION else place

    @cached_property
    def together(self) -> int:
        """Tiles of results that leave at a time, at most: those of elements side by side."""
        place = self.sent_from
        axes = self._hierarchy.axes if place is None else self._hierarchy.axes_outside(place)
        return math.prod(axis.size for axis in axes)

    @cached_property
    def hangs_on_axes(self) -> bool:
        """Whether how often results read the same words hangs on what is laid along axes, too."""
        return bool(self._problem.rereading) and self.counts and self.together > 1

    @cached_property
    def counts(self) -> bool:
        """Whether it makes a difference how many words are read."""
        return bool(self.prices.any()) or self._timed

    @cached_property
    def fewest(self) -> Values:
        """Words that results read of each other tensor, at least, in a column.

        They are those of whole loops, or of one index if sums have no place.
        """
        pieces = self._problem.whole if self.sent_from is None else np.ones_like(self._problem.whole)
        return read_by(self._problem, pieces, self.together)

    @cached_property
    def none(self) -> Values:
        """No words beyond the fewest; not to be written to."""
        return np.zeros_like(self.fewest)
