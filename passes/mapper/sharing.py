"""How few words of several links there may be, if more elements come to share them.

An axis makes the words of one operand fewer for every loop that is laid along it: inputs for `op`, kernels for `opc`,
sums for `ks`. So if all links together have room for so many elements, the product of what each gains is no more. The
windows of the input are an exception: laid along `opc` or `ks` they overlap, so that inputs become fewer with kernels
or sums. What they gain that way at most takes no room, but the input gains no more than there is room for either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from passes.mapper.nest import Column
from passes.mapper.pricing import Values

_ROUNDING = 1e-12


@dataclass
class Sharing:
    """Costs of links that up to `room` further elements may share; those of `overlapping` windows with their gain."""

    room: Column | int
    costs: list[Values] = field(default_factory=list[Values])
    overlapping: tuple[Values, Values] | None = None

    def copy(self) -> Sharing:
        """As many links, to which others are put."""
        return Sharing(self.room, list(self.costs), self.overlapping)

    @property
    def least(self) -> Values | float:
        """What the links cost at least, all together."""
        if self.overlapping is None:
            return least_sum(self.costs, self.room)
        cost, gain = self.overlapping
        if not self.costs:
            return least_sum([cost], self.room)
        together = least_sum([*self.costs, cost / np.minimum(gain, self.room)], self.room)
        return np.maximum(together, least_sum(self.costs, self.room) + least_sum([cost], self.room))


def least_sum(terms: Sequence[Values], room: Column | int) -> Values | float:
    """The least sum of terms if each may be divided by a number of at least one, all together by `room`.

    The largest terms are divided so that they become equal, as many of them as that leaves above the others.
    """
    if not terms:
        return 0.0
    if len(terms) == 1:
        return terms[0] / room * (1 - _ROUNDING)
    if len(terms) == 2:
        high, low = np.maximum(*terms), np.minimum(*terms)
        divided = high / room
        equal = 2 * np.sqrt(high * low / room)
        return np.where(divided >= low, divided + low, equal) * (1 - _ROUNDING)
    ordered = -np.sort(-np.stack(np.broadcast_arrays(*terms)), axis=0)
    logarithms = np.log(np.maximum(ordered, np.finfo(np.float64).tiny))
    result = np.full(ordered.shape[1], np.nan)
    for several in range(len(terms), 0, -1):
        level = np.exp((logarithms[:several].sum(axis=0) - np.log(room)) / several)
        applies = np.isnan(result) & ((level <= ordered[several - 1]) | (several == 1))
        result = np.where(applies, several * level + ordered[several:].sum(axis=0), result)
    return result * (1 - _ROUNDING)
