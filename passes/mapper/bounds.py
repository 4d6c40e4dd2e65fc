"""What parts of mappings will cost at least, however they are completed: `passes.mapper.tariffs` prices their words."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, reduce
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from dialects.gconv import LoopKind
from dialects.hierarchy import Axis, Hierarchy, Memory
from dialects.schedule import Operand
from passes.mapper.footprint import Moved
from passes.mapper.least_cycles import LeastCycles
from passes.mapper.links import Link
from passes.mapper.nest import Column
from passes.mapper.partial import Parts, read_by
from passes.mapper.paths import Assignment, Paths
from passes.mapper.ports import Ports
from passes.mapper.pricing import Objective, Prices, Values
from passes.mapper.problem import Problem
from passes.mapper.reading import Reading
from passes.mapper.sharing import Sharing, least_sum
from passes.mapper.tariffs import Rate, Tariffs, shares

_ONE: Column = np.ones(1, np.int64)
_NOT_OPEN: tuple[bool, frozenset[LoopKind]] = (False, frozenset())


class Terms(NamedTuple):
    """What a link costs: what is `fixed`, and what elements may still `share`, with the `gain` of windows, if any."""

    fixed: Values
    shared: Values | None = None
    gain: Values | None = None

    def spread_over(self, spread: Sharing) -> Values:
        """What is fixed; what elements may share is added to others."""
        if self.shared is not None:
            if self.gain is not None:
                spread.overlapping = self.shared, self.gain
            else:
                spread.costs.append(self.shared)
        return self.fixed


class Bounds:
    """Lower bounds for one link, machine and assignment of operands to memories."""

    def __init__(self, problem: Problem, prices: Prices, assignment: Assignment, moved: Moved | None = None):
        self._problem = problem
        self._prices = prices
        self._hierarchy: Hierarchy = prices.hierarchy
        self.assignment = assignment
        self.moved = moved or Moved(problem)
        self._paths = Paths(problem.operands, self._hierarchy, assignment)
        self._tariffs = Tariffs(self._paths, prices)
        self._reading = Reading(problem, prices, self._paths, timed=self.timed)
        self._inside_of: dict[object, list[list[list[list[int]]]]] = {}
        self._waiting_of: dict[tuple[str, frozenset[tuple[Operand, str]]], tuple[Operand, ...]] = {}
        self._floors_of: dict[tuple[str, tuple[Operand, ...]], tuple[Values, Values]] = {}
        self._least_prices: dict[tuple[Operand, str], float] = {}
        self._prices_of: dict[object, tuple[float, float]] = {}
        self._are_settled: dict[object, bool] = {}
        self._open_of: dict[object, tuple[bool, frozenset[LoopKind]]] = {}

    @cached_property
    def _levels(self) -> dict[str, Memory]:
        return {memory.name: memory for memory in self._hierarchy.memories}

    @cached_property
    def constant(self) -> float:
        """What every mapping costs beside its links.

        All that is added up costs as much as the cheapest merge; the first arrival of a sum where its path begins adds
        nothing. Results read other tensors once at least.
        """
        begin, results = self._hierarchy.begins(Operand.OUTPUT), self.least[Operand.OUTPUT]
        merges = self._problem.operations - results
        sums = self._tariffs.merge * merges - self._tariffs.event(f"{begin}.output.add") * results
        return sums + float(self._reading.prices @ self._reading.fewest[:, 0])

    @property
    def lays_reading(self) -> bool:
        """Whether how often results read the same words hangs on what is laid along axes, too."""
        return self._reading.hangs_on_axes

    def read_energy(self, parts: Parts, again: Values) -> Values | float:
        """What every mapping costs beside its links, if results read so many words beyond the fewest."""
        if again is self._reading.none:
            return self._constant_of(parts)
        return self._constant_of(parts) + self._reading.prices @ again

    def _constant_of(self, parts: Parts) -> Values | float:
        return self.constant

    def read_again(self, parts: Parts) -> Values:
        """Words that results read beyond the fewest, at least, a row for every other tensor.

        Tiles of results grow no further than there is room. Once it is known how many words these are they are no
        longer among what is left.
        """
        place = self._reading.sent_from
        if place is None or not self._problem.rereading or not self._reading.counts:
            return self._reading.none
        if (Operand.OUTPUT, place) in parts.placed:
            if parts.sent is None:
                return self._reading.none
            return (
                read_by(self._problem, -(-self._problem.extents_of(parts.sent) // parts.sent), self._reading.together)
                - self._reading.fewest
            )
        waiting = self._waiting(place, parts.placed)
        growth = np.maximum(self._growth(parts, place, waiting)[Operand.OUTPUT], 1.0)
        return read_by(self._problem, parts.left, growth * self._reading.together) - self._reading.fewest

    def energy(self, parts: Parts, room: Column | int, axes: Sequence[Axis], memories: Sequence[str] = ()) -> Values:
        """The least energy of the links that are there, and of those that `memories` are still to get.

        Up to `room` further elements may share words along `axes`.
        """
        total = parts.sunk
        spread = Sharing(room)
        terms: dict[int, Terms] = {}
        for link in parts.links:
            if not link.alive:
                total = total + self._terms(parts, link, axes).spread_over(spread)
        alive = [link for link in parts.links if link.alive]
        inner = [link for link in alive if link.lower not in memories]
        energy = total + self._next(parts, inner, axes, spread, terms)
        for memory in memories:
            energy = energy + self.crowded(parts, memory)
        if len(inner) < len(alive):
            energy = np.maximum(energy, total + self._next(parts, alive, axes, spread, terms))
        return energy

    def _next(
        self, parts: Parts, alive: Sequence[Link], axes: Sequence[Axis], spread: Sharing, ended: dict[int, Terms]
    ) -> Values | float:
        """The least of links that are alive: the next cut is of loops of one kind, and those not alive for it end.

        What each of them costs then is kept in `ended`, by its id.
        """
        if not alive:
            return spread.least
        best: Values | float | None = None
        for inside in self._insides(alive):
            terms = spread.copy()
            links: Values | float = 0.0
            for link, choices in zip(alive, inside, strict=True):
                if choices:
                    wholes = [self._whole(parts, link, loops, axes, spread.room) for loops in choices]
                    links = links + (wholes[0] if len(wholes) == 1 else reduce(np.minimum, wholes))
                else:
                    if id(link) not in ended:
                        ended[id(link)] = self._terms(parts, link, axes)
                    links = links + ended[id(link)].spread_over(terms)
            cost = links + terms.least
            best = cost if best is None else np.minimum(best, cost)
        return np.full(parts.count, np.inf) if best is None else best

    def _insides(self, alive: Sequence[Link]) -> list[list[list[list[int]]]]:
        """By kind of loops of which the next cut may be, which loops each link may outlive then: see `_inside`."""
        key = tuple([(link.operand, link.stays, link.slides, link.owed is None) for link in alive])
        if key not in self._inside_of:
            self._inside_of[key] = [[self._inside(link, kind) for link in alive] for kind in self.kinds(alive)]
        return self._inside_of[key]

    def crowded(self, parts: Parts, memory: str) -> Values | float:
        """The least energy of links to a memory that are not there yet, or still alive.

        Either the operand that comes last or one that stays until the end has a tile that has grown with all loops for
        the sake of which others stay; how far it can grow is a question of room.
        """
        links = {link.operand: link for link in parts.links if link.alive and link.lower == memory}
        waiting = self._waiting(memory, parts.placed)
        if not waiting:
            total = sum(self._least_cost(operand, memory, parts.tiles) for operand in links)
            return total - self._saved(links, memory)
        if links or memory in parts.held:
            return self._crowded(parts, memory, links, waiting)
        key = (self, memory)
        if key not in parts.known:
            parts.known[key] = self._crowded(parts, memory, links, waiting)
        return parts.known[key]

    def _waiting(self, memory: str, placed: frozenset[tuple[Operand, str]]) -> tuple[Operand, ...]:
        """The operands that are to get a place in a memory and have none."""
        key = (memory, placed)
        if key not in self._waiting_of:
            assigned = self.assignment.get(memory, ())
            self._waiting_of[key] = tuple(each for each in assigned if (each, memory) not in placed)
        return self._waiting_of[key]

    def _saved(self, links: Mapping[Operand, Link], memory: str) -> Values | float:
        """What links to a memory save inside above their own prices."""
        saved: Values | float = 0.0
        for operand, link in links.items():
            if most := self._tariffs.most_saved(operand, memory):
                saved = saved + most * self._words(operand, link.own) * self._turns(link, self._problem.idle(operand))
        return saved

    def _crowded(
        self, parts: Parts, memory: str, links: Mapping[Operand, Link], waiting: tuple[Operand, ...]
    ) -> Values:
        """As `crowded`, with the links to the memory that are alive, and the operands that still wait for a place.

        All at once, with a row for each.
        """
        operands = (*links, *waiting)
        least, floors = self._floors(memory, operands, parts.tiles)
        terms = np.empty((len(operands), parts.count))
        growth = np.ones_like(terms)
        for row, operand in enumerate(operands):
            idle = self._problem.idle(operand)
            times = self._turns(links[operand], idle) if operand in links else parts.turns(idle)
            np.multiply(least[row], times, out=terms[row])
        for row, each in enumerate(self._growth(parts, memory, waiting).values(), start=len(links)):
            growth[row] = each
        room = np.maximum(growth, 1.0)
        if len(operands) == 1:
            others: Values | float = 0.0
        elif len(operands) == 2:
            others = least_sum([terms[::-1]], room)
        else:
            others = least_sum([terms.take([1, 0, 0], axis=0), terms.take([2, 2, 1], axis=0)], room)
        costs = least + np.maximum(others, floors)
        best: Values = reduce(np.minimum, np.where(growth < 1, np.inf, costs))
        return best - self._saved(links, memory) if links else best

    def _floors(self, memory: str, waiting: tuple[Operand, ...], tiles: Column) -> tuple[Values, Values]:
        """What each of some operands costs at least, and all others together; columns."""
        key = (memory, waiting)
        if key not in self._floors_of:
            least = [self._least_cost(operand, memory, tiles) for operand in waiting]
            total = sum(least)
            self._floors_of[key] = (
                np.array(least).reshape(len(least), -1),
                np.array([total - each for each in least]).reshape(len(least), -1),
            )
        return self._floors_of[key]

    def _turns(self, link: Link, loops: tuple[int, ...]) -> Column:
        """How often some loops run over the tiles of a link."""
        found = link.known.get("turns")
        if found is None:
            turns = [self._problem.turns_of(loop, link.own) for loop in loops]
            found = link.known["turns"] = reduce(operator.mul, turns) if turns else _ONE
        return found

    def _growth(self, parts: Parts, memory: str, waiting: Sequence[Operand]) -> Mapping[Operand, Values]:
        """How often the tile of each operand that waits fits into a memory, at most, beside what else must be there.

        As the last tile of a loop may be smaller, tiles need not grow as much as they become fewer.
        """
        level = self._levels[memory]
        problem = self._problem
        buffers = level.buffers
        words = {
            operand: parts.words(operand) * buffers if buffers > 1 else parts.words(operand) for operand in waiting
        }
        uneven = self._unevenness(parts)
        found: dict[Operand, Values] = {}
        for operand in waiting:
            room: Values | float = np.inf
            if level.words is not None:
                room = level.words - parts.held.get(memory, 0)
                for other in waiting:
                    if other is not operand:
                        room = room - words[other]
            if operand in level.rooms:
                room = np.minimum(room, level.rooms[operand])
            if operand is Operand.INPUT and problem.windows:
                growth = self._input_growth(parts, room) / buffers
            else:
                growth = room / words[operand]
            # whether it fits at all is not a matter of how many tiles there are
            found[operand] = growth if uneven is None else np.where(growth < 1, growth, growth * uneven)
        return found

    def _unevenness(self, parts: Parts) -> Values | None:
        """How many more words there are than in all tiles, if last ones were as large as others; None if no more."""
        found = parts.known.get("uneven")
        if found is None:
            found = np.multiply.reduce(parts.left * parts.tiles / self._problem.extents_of(parts.tiles), axis=0)
            parts.known["uneven"] = found
        return found

    def _input_growth(self, parts: Parts, room: Values | float) -> Values:
        """How often the tile of an input with windows fits into so much room, at most."""
        problem = self._problem
        kernels = tuple(window.kernels for window in problem.windows)
        return room * parts.turns(kernels) / self._new_inputs(parts)

    def _new_inputs(self, parts: Parts) -> Column:
        """So many words does every further output bring, however many kernel positions there are."""
        found = parts.known.get("new inputs")
        if found is None:
            tiles = parts.tiles
            factors = [tiles[loop] for loop in self._problem.plain(Operand.INPUT)]
            for window in self._problem.windows:
                factors.append(tiles[window.outputs])
                if window.along > 1:
                    factors.append(np.minimum(window.along, tiles[window.kernels]))
            found = parts.known["new inputs"] = reduce(operator.mul, factors)
        return found

    def _least_cost(self, operand: Operand, memory: str, tiles: Column) -> Values | float:
        """What the words of an operand, of which there are such tiles, cost that go to a memory, at least."""
        if (operand, memory) not in self._least_prices:
            self._least_prices[operand, memory] = self._tariffs.least_price(operand, memory)
        return self._least_prices[operand, memory] * self._words(operand, tiles)

    def _words(self, operand: Operand, tiles: Column) -> Column | int:
        """Words of an operand of which there are such tiles."""
        return self.least[operand]

    def _terms(self, parts: Parts, link: Link, axes: Sequence[Axis]) -> Terms:
        """What a link costs that no further loop is free for; what elements may still share apart from the rest."""
        own_price, price = self._link_prices(parts, link)
        own_words, words = self._link_words(link)
        own: Values = own_price * own_words
        if not price:
            return Terms(own)
        shared: Values = price * words
        is_open, kinds = self._open(link, axes)
        if not is_open:
            return Terms(own + shared)
        if not kinds:
            return Terms(own, shared)
        gain = link.known.get(kinds)
        if gain is None:
            gain = link.known[kinds] = self.moved.overlap(link.shared, kinds)
        return Terms(own, shared, gain)

    def _link_prices(self, parts: Parts, link: Link) -> tuple[float, float]:
        """The price of a word of an element, and of one that elements share."""
        inside = self._paths.inner.get((link.operand, link.lower)) in parts.placed
        key = (link.operand, link.lower, link.upper is None, inside)
        if key not in self._prices_of:
            self._prices_of[key] = self.own_price(parts, link), self._price(link)
        return self._prices_of[key]

    def _link_words(self, link: Link) -> tuple[Column, Column]:
        """Words of a link if all elements count, and if those that may share a word count once."""
        own, shared = link.known.get("own"), link.known.get("shared")
        if own is None or shared is None:
            loops = self._problem.idle(link.operand)
            own = self.moved.once(link.operand, link.own)
            shared = own if link.shared is link.own else self.moved.once(link.operand, link.shared)
            is_alone = link.shared is link.own and link.laid is None
            for loop in loops:
                visits = link.visits(self._problem, loop)
                own = own * visits
                if not is_alone:
                    alone = link.shared[loop] == link.lasting(self._problem, loop)
                    apart = self._problem.turns_of(loop, link.shared)
                    shared = shared * np.where(alone, visits, apart)
            if is_alone:
                shared = own
            link.known["own"], link.known["shared"] = own, shared
        return own, shared

    def _whole_words(self, link: Link) -> tuple[Column, Column]:
        """As `_link_words`, if all loops that leave the operand alone run inside the link.

        Each element over which one is laid needs a tile once.
        """
        own, shared = link.known.get("own whole"), link.known.get("shared whole")
        if own is None or shared is None:
            own = self.moved.once(link.operand, link.own)
            shared = own if link.shared is link.own else self.moved.once(link.operand, link.shared)
            for loop in self._problem.idle(link.operand) if link.laid is not None else ():
                elements = link.elements(self._problem, loop)
                own = own * elements
                alone = link.shared[loop] == link.lasting(self._problem, loop)
                shared = shared * np.where(alone, elements, 1)
            link.known["own whole"], link.known["shared whole"] = own, shared
        return own, shared

    def _ended(self, parts: Parts, link: Link) -> Values:
        """What a link costs that no further loop is free for, and whose words no further elements share."""
        own_price, price = self._link_prices(parts, link)
        own_words, words = self._link_words(link)
        return own_price * own_words + price * words if price else own_price * own_words

    def _open(self, link: Link, axes: Sequence[Axis]) -> tuple[bool, frozenset[LoopKind]]:
        """Whether elements along the outermost axes may still share words of a link, and what `_overlapping` says."""
        if link.upper is not None or not axes:
            return _NOT_OPEN
        key = (link.operand, link.lower, len(axes))
        if key not in self._open_of:
            left = self.axes_left(link, axes)
            self._open_of[key] = bool(left), self._overlapping(link, left)
        return self._open_of[key]

    def _overlapping(self, link: Link, axes: Sequence[Axis]) -> frozenset[LoopKind]:
        """The kinds of loops along which windows of a link may overlap, so that elements share more of them."""
        if link.operand is not Operand.INPUT or not self._problem.windows:
            return frozenset()
        return frozenset(kind for axis in axes for kind in axis.loops) & {LoopKind.OPC, LoopKind.KS}

    def _visits(self, link: Link) -> dict[int, Column]:
        return {loop: link.visits(self._problem, loop) for loop in self._problem.idle(link.operand)}

    def _shared_visits(self, link: Link, visits: Mapping[int, Column]) -> Mapping[int, Column]:
        """As `visits`, of elements that may share words: as many, where none do."""
        if link.shared is link.own and link.laid is None:
            return visits
        found: dict[int, Column] = {}
        for loop, own in visits.items():
            extent = self._problem.extent(loop, link.own)
            alone = link.shared[loop] == link.lasting(self._problem, loop)
            found[loop] = np.where(alone, own, -(-extent // link.shared[loop]))
        return found

    def _whole(self, parts: Parts, link: Link, loops: list[int], axes: Sequence[Axis], room: Column | int) -> Values:
        """What a link costs at least if some loops run inside it."""
        own_price, shared_price = self._link_prices(parts, link)
        if self._tariffs.is_even(link.operand, link.lower):
            # nobody shares: the same words
            own_price, shared_price = own_price + shared_price, 0.0
        are_idle = not link.slides or tuple(loops) == self._problem.idle(link.operand)
        own_words, words = self._whole_words(link) if are_idle else self._slid_words(link, loops)
        total: Values = own_price * (self.moved.words(link.operand, link.own) if own_price < 0 else own_words)
        if not shared_price:
            return total
        cost: Values = shared_price * words
        kinds = self._open(link, axes)[1]
        if kinds:
            shared = link.shared.copy()
            shared[loops] = self._problem.extents_of(shared)[loops]
            cost = cost / np.minimum(self.moved.overlap(shared, kinds), room)
        return total + cost

    def _slid_words(self, link: Link, loops: list[int]) -> tuple[Column, Column]:
        """As `_whole_words`, if some loops run inside a link, along which windows may slide."""
        shared, own = link.shared.copy(), link.own.copy()
        for loop in loops:
            shared[loop] = own[loop] = self._problem.extent(loop, own)
        visits = self._visits(link)
        together = dict(self._shared_visits(link, visits))
        # each element over which a loop is laid needs a tile once
        for loop in set(loops) & visits.keys():
            alone = link.shared[loop] == link.lasting(self._problem, loop)
            visits[loop] = link.elements(self._problem, loop)
            together[loop] = np.where(alone, visits[loop], 1)
        return self.moved.words(link.operand, own, visits), self.moved.words(link.operand, shared, together)

    def axes_left(self, link: Link, axes: Sequence[Axis]) -> list[Axis]:
        """Of some axes, those along which elements may share words of a link."""
        between = self._paths.between[link.operand, link.lower] if link.upper is None else ()
        return [axis for axis in axes if axis.name in between and shares(axis, link.operand)]

    def _price(self, link: Link) -> float:
        """The price of a word that elements share."""
        return self._rate(link).shared

    def own_price(self, parts: Parts, link: Link, rate: Rate | None = None) -> float:
        """The price of a word of an element, less what it saves in the link inside, if that is there."""
        tariff = self._tariffs.by_link[link.operand, link.lower]
        inside = self._paths.inner.get((link.operand, link.lower))
        counts = inside in parts.placed or self._tariffs.is_even(link.operand, link.lower)
        return (rate or self._rate(link)).own - (tariff.saved if counts else 0.0)

    def _rate(self, link: Link) -> Rate:
        """What a word costs as far as is known: how many sums arrive first in a place that is not there is not."""
        tariff = self._tariffs.by_link[link.operand, link.lower]
        place = self._paths.upper[link.operand, link.lower]
        waits = link.upper is None and place is not None and not self._tariffs.is_even(link.operand, place)
        return tariff.at_least if waits else tariff.added

    def kinds(self, alive: Sequence[Link]) -> list[LoopKind]:
        """The kinds of loops for which the next cut may be; one that ends all links, if there is no other."""
        kinds = [kind for kind in LoopKind if any(self.further(link, kind) for link in alive)]
        owed = [link for link in alive if link.owed is not None]
        return [kind for kind in kinds or [LoopKind.G] if all(self.further(link, kind) for link in owed)]

    def further(self, link: Link, kind: LoopKind) -> list[int]:
        """The loops of a kind that a link may outlive."""
        idle = self._problem.idle(link.operand) if link.stays else ()
        loops = [loop for loop in idle if self._problem.loops[loop].kind is kind]
        if link.slides:
            slid = (loop for window in self._problem.windows for loop in (window.outputs, window.kernels))
            loops += [loop for loop in slid if self._problem.loops[loop].kind is kind]
        return loops

    def _inside(self, link: Link, kind: LoopKind) -> list[list[int]]:
        """Which loops a link may outlive at most, if the next cut is of a kind; none if it ends with that.

        After loops that leave the input alone a window may still slide along one.
        """
        loops = self.further(link, kind)
        if not loops or not link.slides or self._problem.window_of(loops[0]) is not None:
            return [loops] if loops else []
        slid = [loop for window in self._problem.windows for loop in (window.outputs, window.kernels)]
        return [[*loops, loop] for loop in slid] or [loops]

    def branched(self, parts: Parts) -> Iterator[Parts]:
        """Parts for every kind of loops of which the next cut may be: links that are not alive for it end here."""
        alive = [link for link in parts.links if link.alive]
        for kind in self.kinds(alive):
            links = (link.ended if link.alive and not self.further(link, kind) else link for link in parts.links)
            yield parts.being(links=tuple(links))

    def settled(self, parts: Parts, axes: Sequence[Axis] = ()) -> Parts:
        """With links of which nothing is open any more among what is sunk, where `axes` are still to be laid along."""
        done = [link for link in parts.links if not link.alive and self._is_settled(parts, link, axes)]
        is_read = parts.sent is not None and not self._reading.hangs_on_axes
        if not done and not is_read:
            return parts
        sunk, flows = parts.sunk, parts.flows
        if is_read:
            again = self.read_again(parts)
            sunk = sunk + self._reading.prices @ again
            flows = flows + self._ports.reads @ again if self._ports.all else flows
        for link in done:
            sunk = sunk + self._ended(parts, link)
        links = tuple(link for link in parts.links if all(link is not each for each in done))
        for link in done if self._ports.all else ():
            flows = flows + np.stack(self._ports.words_of(link, *self._counted(link)))
        return parts.being(links=links, sunk=sunk, flows=flows, sent=None if is_read else parts.sent)

    def _is_settled(self, parts: Parts, link: Link, axes: Sequence[Axis]) -> bool:
        """Whether nothing that follows changes what a link costs that is not alive."""
        inside = self._paths.inner.get((link.operand, link.lower))
        is_there = inside is None or inside in parts.placed
        key = (link.operand, link.lower, link.upper is None, is_there, len(axes))
        if key not in self._are_settled:
            self._are_settled[key] = not self.axes_left(link, axes) and (
                link.operand is not Operand.OUTPUT
                or link.upper is not None
                # whether words that are sent save additions inside depends on what is there
                or (is_there and self._is_sent_alone(link))
            )
        return self._are_settled[key]

    def _is_sent_alone(self, link: Link) -> bool:
        """Whether elements share no sums on the way out of the place above a link, if it goes on from there."""
        place = self._paths.upper[link.operand, link.lower]
        return place is None or self._tariffs.is_even(link.operand, place)

    def _counted(self, link: Link) -> tuple[Values, Values]:
        """Words of a link as they are summed up."""
        own, shared = self._link_words(link)
        return own.astype(np.float64), shared.astype(np.float64)

    def pending(self, parts: Parts, axes: Sequence[Axis]) -> Values:
        """What elements cost each on their own in links that end here, but whose shared words are still open."""
        total: Values = np.zeros(parts.count)
        for link in parts.links:
            if not link.alive and self.axes_left(link, axes):
                words = self._link_words(link)[0]
                rate = self._tariffs.by_link[link.operand, link.lower].added
                total = total + self.own_price(parts, link, rate) * words
        return total

    def cycles(self, parts: Parts, room: Column | int, again: Values) -> Values:
        """The fewest cycles, if up to `room` times as many elements work; 0 where cycles do not count.

        `again` are words that results read beyond the fewest, a row for every tensor.
        """
        if not self.timed:
            return np.zeros(parts.count)
        return self._cycles.of(parts, room, again)

    @cached_property
    def exact(self) -> bool:
        """Whether links of which nothing is open cost what is said, where parts are sure.

        Not if it is cheaper to let a sum arrive and add it than to add it up on the way: the bound has all sums arrive
        then.
        """
        links = pairwise(self._paths.of(Operand.OUTPUT))
        event = self._prices.event
        return all(
            event(f"{upper}.output.hop") <= event(f"{upper}.output.update") + event(f"{upper}.output.add")
            for upper, _ in links
        )

    @cached_property
    def timed(self) -> bool:
        """Whether cycles count."""
        return self._prices.objective in (Objective.LATENCY, Objective.EDP)

    @cached_property
    def limited(self) -> bool:
        """Whether fewer elements may work than there are positions."""
        return self._hierarchy.elements is not None

    @cached_property
    def flows(self) -> int:
        """How many rows `Parts.flows` has."""
        return len(self._ports.all) + 1 if self._ports.all else 0

    @cached_property
    def _ports(self) -> Ports:
        return Ports(self._hierarchy, self._paths, self.least, self._reading.memories, timed=self.timed)

    @cached_property
    def _cycles(self) -> LeastCycles:
        return LeastCycles(self._ports, self._reading, reads=bool(self._problem.extras))

    @cached_property
    def least(self) -> Mapping[Operand, int]:
        """Words of each operand."""
        return {operand: int(self.moved.words(operand, self._problem.whole)[0]) for operand in self._problem.operands}
