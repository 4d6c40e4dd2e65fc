"""What words cost on their way between two places, and at least while not all is known of these.

A link costs a price for every word that leaves the upper place (`read`, or `update` and `add` of sums), and one for
every word that arrives at the lower one (`fill`, or `hop`). Of the sums that arrive at a place all but the first of
each word are additions, so that a word that goes further out saves one of the link inside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from dialects.hierarchy import Axis
from dialects.schedule import Operand
from passes.mapper.counts import OPERAND_NAMES
from passes.mapper.links import OPERATION
from passes.mapper.paths import Paths
from passes.mapper.pricing import Prices


class Rate(NamedTuple):
    """What a word of a link costs: `shared` if elements that share it count once, `own` if all count."""

    shared: float
    own: float


@dataclass(frozen=True)
class Tariff:
    """What a word of a link costs `at_least`, and if it is `added` where it arrives.

    All sums that arrive are, once their place is there, but for those that leave it again: they save `saved` in the
    link inside.
    """

    at_least: Rate
    added: Rate
    saved: float = 0.0


class Tariffs:
    """The tariffs of all links of some operands, whose paths are known."""

    def __init__(self, paths: Paths, prices: Prices):
        self._paths = paths
        self._prices = prices
        self._hierarchy = prices.hierarchy

    @cached_property
    def by_link(self) -> Mapping[tuple[Operand, str], Tariff]:
        """By operand and lower place."""
        found: dict[tuple[Operand, str], Tariff] = {}
        for operand in self._paths.operands:
            links = list(pairwise(self._paths.of(operand)))
            if operand is Operand.OUTPUT:
                found |= self._sums(links)
                continue
            name = OPERAND_NAMES[operand]
            for upper, lower in links:
                rate = Rate(self.event(f"{upper}.{name}.read"), self.event(f"{lower}.{name}.fill"))
                found[operand, lower] = Tariff(rate, rate)
        return found

    @cached_property
    def merge(self) -> float:
        """The least price of a merge: two sums become one where they arrive, or on their way along an axis.

        All mappings make as many, so that links cost only what is above it.
        """
        return min((self._prices.event(event) for event in self._merges), default=0.0)

    @cached_property
    def _merges(self) -> frozenset[str]:
        """The events that are merges."""
        found: set[str] = set()
        for upper, lower in pairwise(self._paths.of(Operand.OUTPUT)):
            found.add(f"{upper}.output.add")
            between = self._paths.between.get((Operand.OUTPUT, lower), frozenset())
            if any(axis.name in between and axis.reduces for axis in self._hierarchy.axes):
                found.add(f"{upper}.output.hop")
        return frozenset(found)

    def event(self, name: str) -> float:
        """The price of an event, above that of the cheapest merge if it is one."""
        price = self._prices.event(name)
        return price - self.merge if name in self._merges else price

    def least_price(self, operand: Operand, memory: str) -> float:
        """The price of a word that goes to a memory, at least."""
        tariff = self.by_link[operand, memory]
        if self.is_even(operand, memory):
            return sum(tariff.added) - tariff.saved
        axes = [axis for axis in self._hierarchy.axes if axis.name in self._paths.between[operand, memory]]
        elements = math.prod(axis.size for axis in axes if shares(axis, operand))
        return max(0.0, tariff.at_least.own - tariff.saved) + tariff.at_least.shared / elements

    def most_saved(self, operand: Operand, memory: str) -> float:
        """What a word that goes to a memory saves inside above its own price, which `least_price` leaves out."""
        tariff = self.by_link[operand, memory]
        return 0.0 if self.is_even(operand, memory) else max(0.0, tariff.saved - tariff.at_least.own)

    def is_even(self, operand: Operand, place: str) -> bool:
        """Whether elements share no words of a place on the way in or out; then staying is not dearer than leaving."""
        return not self._paths.between[operand, place]

    def _sums(self, links: list[tuple[str, str]]) -> dict[tuple[Operand, str], Tariff]:
        event = self.event
        found: dict[tuple[Operand, str], Tariff] = {}
        for upper, lower in links:
            hop, update = event(f"{upper}.output.hop"), event(f"{upper}.output.update")
            added = update + event(f"{upper}.output.add")
            # no more words arrive than were sent, so that each costs the less of both on its way
            at_least, rate = (Rate(max(0.0, each - hop), min(each, hop)) for each in (update, added))
            saved = 0.0 if lower == OPERATION else event(f"{lower}.output.add")
            found[Operand.OUTPUT, lower] = Tariff(at_least, rate, saved)
        return found


def shares(axis: Axis, operand: Operand) -> bool:
    """Whether words of an operand may count once for all elements along an axis."""
    return axis.reduces if operand is Operand.OUTPUT else operand in axis.multicast
