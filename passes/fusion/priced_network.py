"""Which links of a network to fuse for least energy, time, or product of both, by the machine's own prices.

A group can run by each mapping on its front of capacity, words off-chip and operations; with the nests that its links
get it costs so much energy and so many cycles, and a network costs the sums of its groups. The best of all such
networks is a shortest path over cuts, where for the product paths are kept of which none is better in both.

What a group costs at least is known at once: by the words and operations that it cannot do without. A search has its
front, and what each of its points costs at least; only making the nests of a point tells what it costs. So paths are
found with what is known, and what the best path stands for is looked at, until all of it is priced: every other path
costs no less. A path that is priced also says how many words a group may move at most to be of use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple, Protocol

from dialects.fused_mapping import FusedMapping
from dialects.gconv.spec import LoopKind
from dialects.schedule import Objective
from passes.fusion.group import Group
from passes.fusion.inference import turns_of
from passes.fusion.level_prices import Priced
from passes.fusion.model import FusedCosts
from passes.fusion.network import Chosen, GroupSearches, Network, NetworkPlan
from passes.fusion.paths import (
    NOTHING,
    Costs,
    Edge,
    EdgeT,
    best_path,
    good_path,
    least_from,
    least_to,
    totals,
    value_of,
)
from passes.fusion.search import Point
from passes.fusion.stretches import Node, Part, parts_of

_UNBOUNDED = 1 << 44
"""Words that no group moves."""


class Prices(Protocol):
    """What groups cost on a machine."""

    def of(
        self, group: Group, words: dict[str, int], operations: int, more: int = 0, turns: int | None = None
    ) -> tuple[float, float]:
        """The least energy and cycles of a group in so many turns at most, or any number.

        It moves so many words of each tensor, so many more of any, and has so many operations.
        """
        ...

    def of_mapping(self, group: Group, mapping: FusedMapping, passing: int) -> Priced | None:
        """The price of a mapping beside so many words of the buffer that stay; None if it cannot be run."""
        ...


@dataclass(frozen=True)
class AloneCost:
    """A link by a mapping of its own: words off-chip, energy in pJ, cycles."""

    words: int
    energy: float
    cycles: float


@dataclass(eq=False)
class _Offer:
    """A way to run a part. What it costs is a lower bound unless it is `priced`; then the mapping has nests.

    Without a `point` it is a link alone, or stands for all points of a group that was not searched. `is_weighed`: the
    bound is that of the words of each tensor.
    """

    part: Part
    energy: float
    cycles: float
    point: Point | None = None
    mapping: FusedMapping | None = None
    is_weighed: bool = False
    is_priced: bool = False

    @property
    def nodes(self) -> tuple[Node, Node]:
        """The cuts at its ends."""
        return self.part.stretch.nodes


@dataclass(eq=False)
class _Option:
    """A part, and what is offered for it."""

    part: Part
    kind: int
    """A number that it has in common with groups that are alike."""
    offers: list[_Offer]
    unsearched: _Offer | None
    """Stands for the group's front until that is known."""
    limit: int = -1
    """Words that points of its front may move, where it was searched."""
    refused: list[Point] = field(default_factory=list[Point])
    best: list[_Offer] = field(default_factory=list[_Offer])
    """The offers that no other is as good as."""
    guesses: list[_Guess] = field(default_factory=list["_Guess"])
    guessed_at: tuple[float, float] | None = None
    """How many times their bounds offers are taken to cost in `guesses`; None if these are out of date."""

    @property
    def all(self) -> list[_Offer]:
        """What is offered, with what stands for the front; first what is priced."""
        every = sorted(self.offers, key=lambda each: not each.is_priced)
        return every if self.unsearched is None else [*every, self.unsearched]


class _Guess(NamedTuple):
    """An offer at the costs that it is guessed to have."""

    offer: _Offer
    energy: float
    cycles: float

    @property
    def nodes(self) -> tuple[Node, Node]:
        """The cuts at its ends."""
        return self.offer.nodes


class PricedSearch:
    """The network of groups, and of links alone, that costs least by an objective in a buffer of so many words.

    `alone` has for every link what it costs by a mapping of its own. `misplaced` says of the groups of a plan, by
    number, which find no place beside what stays: these are given up. After so many prices as `most_priced`, or once
    the searches are over, the best network that is known is taken, if there is one. `elsewhere` is what all else costs
    that runs: the product is that of all of it.
    """

    def __init__(
        self,
        network: Network,
        capacity: int,
        searches: GroupSearches,
        prices: Prices,
        objective: Objective,
        alone: Sequence[AloneCost] = (),
        misplaced: Callable[[Sequence[Chosen]], Collection[int]] = lambda parts: (),
        most_priced: float = inf,
        elsewhere: Costs = NOTHING,
    ):
        assert len(alone) in (0, network.count)
        self.network, self.capacity, self.searches, self.objective = network, capacity, searches, objective
        self._prices, self._alone, self._misplaced, self._most_priced = prices, alone, misplaced, most_priced
        self._elsewhere = elsewhere
        self._known: dict[tuple[Group, FusedMapping, int], Priced | None] = {}
        self._kinds: dict[Group, int] = {}
        self._weights: dict[tuple[Group, FusedMapping], tuple[float, float]] = {}
        self._ends: tuple[Node, Node] = (0, frozenset()), (network.count, frozenset())
        self._options = [self._option(part) for part in parts_of(network, capacity, searches.space)]
        self._option_of = {option.part.stretch: option for option in self._options}
        self._ratios: dict[int, tuple[float, float]] = {}
        """Of groups with a price: how many times its bounds a point cost, in energy and in cycles, at least."""
        self._ratio = (1.0, 1.0)
        """The mean of these."""
        self._exact = True
        for option in self._options:
            self._compare(option)

    plan: NetworkPlan | None = None

    def run(self) -> NetworkPlan | None:
        """The plan that costs least; None if none fits."""
        for _ in self.improving():
            pass
        return self.plan

    @property
    def priced(self) -> int:
        """How many mappings were priced."""
        return len(self._known)

    def improving(self) -> Iterator[float]:
        """Search, with the least that may be reached as far as is known, which rises.

        First paths are found by what offers are guessed to cost, as much more than their bounds as others did cost:
        so a good network is known soon. Then by the bounds alone, until none can be better.
        """
        guesses = True
        while (path := self._best_path(guesses)) is not None:
            known = self._known_value()
            unknown = [offer for offer in path if not offer.is_priced]
            is_over = self.searches.is_over()
            if unknown and (is_over or self.priced >= self._most_priced) and known < inf:
                self._do_without_unknown()
            elif unknown and is_over:
                return
            elif unknown:
                if not guesses:
                    yield self._value(path)
                self._look_at(path, unknown, inf if guesses else known)
            elif guesses:
                guesses = False
            else:
                plan = self._plan_of(path)
                misplaced = self._misplaced(plan.parts)
                if not misplaced:
                    self.plan = plan
                    return
                self._give_up([path[number] for number in misplaced])

    def _look_at(self, path: list[_Offer], unknown: list[_Offer], known: float) -> None:
        """Learn more of what a path stands for, those first that take least time, until it is no more use."""
        energy, cycles = totals(path, self._elsewhere)
        for offer in sorted(unknown, key=lambda each: len(each.part.alike.group.links)):
            option = self._option_of[offer.part.stretch]
            before = offer.energy, offer.cycles
            if offer.point is None:
                self._search(option)
            elif not offer.is_weighed:
                self._weigh(offer)
            else:
                self._price(option, offer)
            self._compare(option)
            if not option.best or offer.point is None:
                return
            energy, cycles = energy + offer.energy - before[0], cycles + offer.cycles - before[1]
            if value_of(self.objective, energy, cycles) >= known:
                return

    def _best_path(self, guesses: bool) -> list[_Offer] | None:
        """The path that costs least by bounds, or by guesses."""
        if not guesses:
            return best_path(self._offers(), *self._ends, self.objective, self._elsewhere)
        found = [guess for option in self._options for guess in self._guesses(option)]
        path = good_path(found, *self._ends, self.objective, self._elsewhere)
        return None if path is None else [each.offer for each in path]

    def _guesses(self, option: _Option) -> list[_Guess]:
        """The offers of a part that no other is guessed to be as good as."""
        ratio = self._ratios.get(option.kind, self._ratio)
        if option.guessed_at != ratio:
            energy, cycles = ratio
            option.guessed_at = ratio
            option.guesses = self._not_beaten(
                [
                    _Guess(each, each.energy, each.cycles)
                    if each.is_priced
                    else _Guess(each, energy * each.energy, cycles * each.cycles)
                    for each in option.all
                ]
            )
        return option.guesses

    # What is known ----------------------------------------------------------------------------------------------------

    def _offers(self) -> list[_Offer]:
        return [offer for option in self._options for offer in option.best]

    def _known_value(self) -> float:
        """What a network costs of which all is priced: the best one, or a good one."""
        known = [offer for option in self._options for offer in option.offers if offer.is_priced]
        path = good_path(known, *self._ends, self.objective, self._elsewhere)
        return inf if path is None else self._value(path)

    def _value(self, path: Sequence[Edge]) -> float:
        return value_of(self.objective, *totals(path, self._elsewhere))

    def _compare(self, option: _Option) -> None:
        """Find out which offers of a part no other is as good as; of equal ones those count that are priced."""
        option.best, option.guessed_at = self._not_beaten(option.all), None

    def _not_beaten(self, offers: list[EdgeT]) -> list[EdgeT]:
        is_time = self.objective is Objective.LATENCY
        offers = sorted(offers, key=lambda each: (each.cycles, each.energy) if is_time else (each.energy, each.cycles))
        if self.objective is not Objective.EDP:
            return offers[:1]
        kept: list[EdgeT] = []
        for offer in offers:
            if not kept or offer.cycles < kept[-1].cycles:
                kept.append(offer)
        return kept

    def _option(self, part: Part) -> _Option:
        offers: list[_Offer] = []
        if self._alone and part.stretch.is_plain:
            cost = self._alone[part.stretch.first]
            offers = [_Offer(part, cost.energy, cost.cycles, is_weighed=True, is_priced=True)]
        kind = self._kinds.setdefault(part.alike.group, len(self._kinds))
        return _Option(part, kind, offers, self._unsearched(part))

    def _unsearched(self, part: Part) -> _Offer:
        group = part.alike.group
        return _Offer(part, *self._prices.of(group, self._words(part), self.searches.operations(group)))

    def _words(self, part: Part) -> dict[str, int]:
        """What a part moves at least: its inputs and results, each once, but for what stays."""
        network, stretch, alike = self.network, part.stretch, part.alike
        group = network.group(stretch.first, stretch.end)
        tabulation = self.searches.tables(alike.group).tabulation
        outside = {*group.external, group.head.result, *group.exported} - part.resident
        return {alike.names[name]: int(tabulation.elements(alike.names[name])) for name in sorted(outside)}

    # Learning more ----------------------------------------------------------------------------------------------------

    def _search(self, option: _Option) -> None:
        """Look for the front of a group, as far as it may be of use beside a network that is known."""
        part, group = option.part, option.part.alike.group
        words = self._words(part)
        work, turns = self.searches.operations(group), self._most_turns(group)
        known = self._known_value()
        more = self._most(part, lambda extra: self._prices.of(group, words, work, extra, turns), known)
        option.unsearched, option.limit = None, sum(words.values()) + more
        if more < 0:
            return
        room = self.capacity - part.passing - (self.searches.space.spare if len(group.links) > 1 else 0)
        limit = None if more >= _UNBOUNDED else option.limit
        points, exact = self.searches.front(group, part.alike.called(part.resident), room, limit)
        self._exact &= exact
        seen = {
            each.mapping for each in (*option.refused, *(offer.point for offer in option.offers)) if each is not None
        }
        for point in (point for point in points if point.mapping not in seen):
            extra, turns = point.traffic - sum(words.values()), math.prod(turns_of(group.head, point.mapping))
            costs = self._prices.of(group, words, point.operations, extra, turns)
            option.offers.append(_Offer(part, *costs, point))

    def _most_turns(self, group: Group) -> int:
        """How many turns a mapping of a group has at most."""
        counts = sorted((dim.count(kind) for dim in group.head.spec.dims for kind in LoopKind), reverse=True)
        return math.prod(counts[: self.searches.space.of(group).most_loops])

    def _most(self, part: Part, least: Callable[[int], tuple[float, float]], known: float) -> int:
        """How many words more than it must a group may move to be of use; -1 if it is of none."""
        if known == inf:
            return _UNBOUNDED
        start, goal = self._ends
        offers, (first, end) = self._offers(), part.stretch.nodes
        weights: list[Callable[[Edge], float]] = [lambda each: each.energy, lambda each: each.cycles]
        around = [
            spent + least_from(offers, start, weight).get(first, inf) + least_to(offers, goal, weight).get(end, inf)
            for spent, weight in zip(self._elsewhere, weights, strict=True)
        ]

        def is_of_use(more: int) -> bool:
            energy, cycles = least(more)
            return value_of(self.objective, around[0] + energy, around[1] + cycles) < known

        if is_of_use(_UNBOUNDED):
            return _UNBOUNDED
        low, high = -1, _UNBOUNDED
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if is_of_use(middle) else (low, middle)
        return low

    def _weigh(self, offer: _Offer) -> None:
        """Bound what a point costs by the words that it moves of each tensor."""
        assert offer.point is not None
        key = offer.part.alike.group, offer.point.mapping
        if key not in self._weights:
            costs = FusedCosts(*key)
            words = dict(costs.reads)
            for name, count in costs.writes.items():
                words[name] = words.get(name, 0) + count
            self._weights[key] = self._prices.of(key[0], words, offer.point.operations)
        energy, cycles = self._weights[key]
        offer.energy, offer.cycles = max(offer.energy, energy), max(offer.cycles, cycles)
        offer.is_weighed = True

    def _price(self, option: _Option, offer: _Offer) -> None:
        """Find out what a point costs; it goes if no code can be made of it."""
        assert offer.point is not None
        key = option.part.alike.group, offer.point.mapping, option.part.passing
        if key not in self._known:
            self._known[key] = self._prices.of_mapping(*key)
        priced = self._known[key]
        if priced is None:
            option.offers.remove(offer)
            option.refused.append(offer.point)
        else:
            self._learn(option.kind, priced.energy / offer.energy, priced.cycles / offer.cycles)
            offer.mapping, offer.energy, offer.cycles = priced.mapping, priced.energy, priced.cycles
            offer.is_priced = True

    def _learn(self, kind: int, energy: float, cycles: float) -> None:
        """Remember how far a price was above its bound."""
        known = self._ratios.get(kind, (inf, inf))
        self._ratios[kind] = min(known[0], energy), min(known[1], cycles)
        every = list(self._ratios.values())
        self._ratio = sum(each[0] for each in every) / len(every), sum(each[1] for each in every) / len(every)

    # Doing without ----------------------------------------------------------------------------------------------------

    def _do_without_unknown(self) -> None:
        self._exact = False
        for option in self._options:
            option.unsearched = None
            option.offers = [offer for offer in option.offers if offer.is_priced]
            self._compare(option)

    def _give_up(self, refused: list[_Offer]) -> None:
        """Do without some offers. What was of no use beside networks with them may be of some again."""
        self._exact = False
        for offer in refused:
            assert offer.point is not None, "a link alone is no group"
            option = self._option_of[offer.part.stretch]
            option.offers.remove(offer)
            option.refused.append(offer.point)
        may_look = self.priced < self._most_priced and not self.searches.is_over()
        for option in self._options:
            if option.unsearched is None and option.limit < _UNBOUNDED and may_look:
                option.offers = [offer for offer in option.offers if offer.is_priced]
                option.unsearched = self._unsearched(option.part)
            self._compare(option)

    def _plan_of(self, path: list[_Offer]) -> NetworkPlan:
        parts: list[Chosen] = []
        for offer in path:
            part, stretch, point = offer.part, offer.part.stretch, offer.point
            group = self.network.group(stretch.first, stretch.end)
            if point is None or offer.mapping is None:
                words, work = self._alone[stretch.first].words, self.searches.operations(part.alike.group)
                parts.append(Chosen(group, None, 0, words, work, part.passing, offer.energy, offer.cycles))
                continue
            mapping = part.alike.mapping_of_other(offer.mapping)
            capacity = FusedCosts(part.alike.group, offer.mapping).capacity(self.searches.memory)
            costs = point.traffic, point.operations
            parts.append(Chosen(group, mapping, capacity, *costs, part.passing, offer.energy, offer.cycles))
        return NetworkPlan(tuple(parts), self._exact)
