"""What parts of mappings will cost at least, however they are completed.

A link costs a price for every word that leaves the upper place (`read`, or `update` and `add` of sums), and one for
every word that arrives at the lower one (`fill`, or `hop`). Of the sums that arrive at a place all but the first of
each word are additions, so that a word that goes further out saves one of the link inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from dialects.gconv import LoopKind
from dialects.hierarchy import Axis, Hierarchy
from dialects.schedule import Operand
from passes.mapper.counts import OPERAND_NAMES
from passes.mapper.footprint import Moved
from passes.mapper.nest import Column
from passes.mapper.partial import OPERATION, Link, Parts
from passes.mapper.pricing import Prices, Values
from passes.mapper.problem import Problem

_ROUNDING = 1e-12

Assignment = Mapping[str, tuple[Operand, ...]]
"""Which operands have a place in which memory; the outermost one is not among them."""


@dataclass(frozen=True)
class Tariff:
    """What a word of a link costs: `shared` if elements that share it count once, `own` if all count.

    `added` are the costs of an addition where sums arrive, which all words that do are once their place is there, but
    for those that leave it again: they save `saved` in the link inside.
    """

    shared: float
    own: float
    added: float = 0.0
    saved: float = 0.0


class Bounds:
    """Lower bounds for one link, machine and assignment of operands to memories."""

    def __init__(self, problem: Problem, prices: Prices, assignment: Assignment):
        self._problem = problem
        self._prices = prices
        self._hierarchy: Hierarchy = prices.hierarchy
        self.assignment = assignment
        self._moved = Moved(problem)

    @cached_property
    def tariffs(self) -> Mapping[tuple[Operand, str], Tariff]:
        """By operand and lower place."""
        found: dict[tuple[Operand, str], Tariff] = {}
        for operand in self._problem.operands:
            links = list(pairwise(self._path(operand)))
            if operand is Operand.OUTPUT:
                found |= self._sums(links)
                continue
            name = OPERAND_NAMES[operand]
            for upper, lower in links:
                read, fill = self._prices.event(f"{upper}.{name}.read"), self._prices.event(f"{lower}.{name}.fill")
                found[operand, lower] = Tariff(read, fill)
        return found

    @cached_property
    def constant(self) -> float:
        """What every mapping saves: the first arrival of a sum in the outermost memory adds nothing."""
        if Operand.OUTPUT not in self._problem.operands:
            return 0.0
        outermost = self._hierarchy.memories[0].name
        return -self._prices.event(f"{outermost}.output.add") * self._least[Operand.OUTPUT]

    def energy(self, parts: Parts, room: Column | int = 1, axes: Sequence[Axis] = (), memory: str = "") -> Values:
        """The least energy of the links that are there, and of those that `memory` is still to get.

        Up to `room` further elements may share words along `axes`.
        """
        total = parts.sunk
        spread: list[Values] = []
        for link in parts.links:
            if not link.alive:
                total = total + self._ended(parts, link, axes, spread)
        for operand in self.assignment.get(memory, ()):
            if (operand, memory) not in parts.placed:
                tariff = self.tariffs[operand, memory]
                total = total + (tariff.shared + tariff.own) * self._least[operand]
        alive = [link for link in parts.links if link.alive]
        if not alive:
            return total + least_sum(spread, room)
        # the next cut is of loops of one kind, and links that are not alive for it end there
        best: Values = np.full(parts.count, np.inf)
        for kind in self._kinds(alive):
            terms = list(spread)
            links: Values = np.zeros(parts.count)
            for link in alive:
                loops = self._further(link, kind)
                links = links + (self._whole(parts, link, loops) if loops else self._ended(parts, link, axes, terms))
            best = np.minimum(best, links + least_sum(terms, room))
        return total + best

    def _ended(self, parts: Parts, link: Link, axes: Sequence[Axis], spread: list[Values]) -> Values:
        """What a link costs that no further loop is free for; what elements may still share is added to `spread`."""
        tariff = self.tariffs[link.operand, link.lower]
        own: Values = tariff.own * self._moved.words(link.operand, link.own) - self._saved(parts, link)
        price = self._price(link)
        if not price:
            return own
        shared: Values = price * self._moved.words(link.operand, link.shared)
        if link.upper is None and any(_shares(axis, link.operand) for axis in axes):
            spread.append(shared)
            return own
        return own + shared

    def _whole(self, parts: Parts, link: Link, loops: list[int]) -> Values:
        """What a link costs at least if some loops run inside it."""
        extents = np.array(self._problem.extents, np.int64)[loops, None]
        total: Values = -self._saved(parts, link)
        for price, tiles in ((self.tariffs[link.operand, link.lower].own, link.own), (self._price(link), link.shared)):
            if price:
                grown = tiles.copy()
                grown[loops] = extents
                total = total + price * self._moved.words(link.operand, grown)
        return total

    def _price(self, link: Link) -> float:
        """The price of a word that elements share."""
        tariff = self.tariffs[link.operand, link.lower]
        return tariff.shared + (0.0 if link.upper is None and self._upper[link.operand, link.lower] else tariff.added)

    def _saved(self, parts: Parts, link: Link) -> Values:
        """What the words of a link save, at most, where they were added up: in the link inside, if it is there."""
        inside = self._inner.get((link.operand, link.lower))
        saved = self.tariffs[link.operand, link.lower].saved if inside in parts.placed else 0.0
        most = np.full(link.own.shape[1], saved * self._least[link.operand], np.float64)
        if saved:
            for loop in self._problem.idle(link.operand):
                most = most * (-(-self._problem.extents[loop] // (link.own[loop] * link.laid[loop])) * link.laid[loop])
        return most

    def settled(self, parts: Parts) -> Parts:
        """With links of which nothing is open any more among what is sunk."""
        done = [link for link in parts.links if not link.alive and link.upper is not None]
        if not done:
            return parts
        sunk = parts.sunk
        for link in done:
            sunk = sunk + self._ended(parts, link, (), [])
        return replace(
            parts, links=tuple(link for link in parts.links if all(link is not each for each in done)), sunk=sunk
        )

    def _kinds(self, alive: Sequence[Link]) -> list[LoopKind]:
        """The kinds of loops for which the next cut may be; one that ends all links, if there is no other."""
        kinds = [kind for kind in LoopKind if any(self._further(link, kind) for link in alive)]
        owed = [link for link in alive if link.owed is not None]
        return [kind for kind in kinds or [LoopKind.G] if all(self._further(link, kind) for link in owed)]

    def _further(self, link: Link, kind: LoopKind) -> list[int]:
        """The loops of a kind that a link may outlive."""
        loops = [loop for loop in self._problem.idle(link.operand) if self._problem.loops[loop].kind is kind]
        if link.slides:
            slid = (loop for window in self._problem.windows for loop in (window.outputs, window.kernels))
            loops += [loop for loop in slid if self._problem.loops[loop].kind is kind]
        return loops

    def cycles(self, parts: Parts, room: Column | int = 1) -> Values:
        """The fewest cycles, if up to `room` times as many elements work."""
        extents = np.array(self._problem.extents, np.int64)[:, None]
        return np.prod(-(-extents // parts.busy), axis=0) / np.asarray(room, np.float64)

    @cached_property
    def _least(self) -> Mapping[Operand, int]:
        """Words of each operand."""
        whole = np.array(self._problem.extents, np.int64)[:, None]
        return {operand: int(self._moved.words(operand, whole)[0]) for operand in self._problem.operands}

    def _path(self, operand: Operand) -> list[str]:
        memories = [memory.name for memory in self._hierarchy.memories]
        return [
            memories[0],
            *(memory for memory in memories[1:] if operand in self.assignment.get(memory, ())),
            OPERATION,
        ]

    def _sums(self, links: list[tuple[str, str]]) -> dict[tuple[Operand, str], Tariff]:
        event = self._prices.event
        found: dict[tuple[Operand, str], Tariff] = {}
        for upper, lower in links:
            hop, update = event(f"{upper}.output.hop"), event(f"{upper}.output.update")
            # no more words arrive than were sent
            shared, own = (update - hop, hop) if update >= hop else (0.0, update)
            saved = 0.0 if lower == OPERATION else event(f"{lower}.output.add")
            found[Operand.OUTPUT, lower] = Tariff(shared, own, event(f"{upper}.output.add"), saved)
        return found

    @cached_property
    def _upper(self) -> Mapping[tuple[Operand, str], bool]:
        """By operand and lower place, whether the upper one is another than the outermost memory."""
        return {
            (operand, lower): place > 0
            for operand in self._problem.operands
            for place, lower in enumerate(self._path(operand)[1:])
        }

    @cached_property
    def _inner(self) -> Mapping[tuple[Operand, str], tuple[Operand, str]]:
        """By operand and lower place, the link further in."""
        return {
            (operand, lower): (operand, inside)
            for operand in self._problem.operands
            for lower, inside in pairwise(self._path(operand)[1:])
        }


def least_sum(terms: Sequence[Values], room: Column | int) -> Values | float:
    """The least sum of terms if each may be divided by a number of at least one, all together by `room`.

    The largest terms are divided so that they become equal, as many of them as that leaves above the others.
    """
    if not terms:
        return 0.0
    ordered = -np.sort(-np.stack(terms), axis=0)
    logarithms = np.log(np.maximum(ordered, np.finfo(np.float64).tiny))
    result = np.full(ordered.shape[1], np.nan)
    for several in range(len(terms), 0, -1):
        level = np.exp((logarithms[:several].sum(axis=0) - np.log(room)) / several)
        applies = np.isnan(result) & ((level <= ordered[several - 1]) | (several == 1))
        result = np.where(applies, several * level + ordered[several:].sum(axis=0), result)
    return result * (1 - _ROUNDING)


def _shares(axis: Axis, operand: Operand) -> bool:
    return axis.reduces if operand is Operand.OUTPUT else operand in axis.multicast
