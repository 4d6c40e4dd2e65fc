"""What candidates of a dataflow cost, and at least while parameters are missing.

Removing the innermost cut of a loop never makes an event more frequent, but for additions, which it moves inwards: no
bound counts them at more than they would cost further out (`passes.mapper.cheap_sums`). Nor does removing
another cut, unless what the loop does further in then matters: it runs past loops that left alone what a memory keeps,
or is laid along an axis, each of whose elements gets what one would have kept. Events of operands for which that may be
are counted without all cuts of the loop further in. For sums that leaves little: where all hangs on one parameter being
1, that case is bounded apart (`passes.mapper.flow_shifts.Split`). Tiles that are not whole numbers of those further in
may become more without a cut (5 cut by 4, then 3, has three pieces, cut by 3 first two): they are left out with it.

So the inner parameters alone, with all loops whole that outer ones would cut, bound what a mapping costs inside; the
outer parameters that fit with an inner tile of one bound what the outermost memory costs, less the addition that a sum
saves inside when it arrives there once more. What results read of other tensors is least without cuts as well. Energy
is at least the sum of both; time at least the longest of all steps and of what each memory moves, and what cannot
overlap with it: all that memories without a second buffer move, and the first and last of the least tiles. Inner
parameters that are not decided yet are left out as well, where `passes.mapper.early` allows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dialects.gconv import LoopKind
from dialects.schedule import Objective, Operand
from passes.mapper.candidates import Candidates, distinct_rows
from passes.mapper.chains import cut_by
from passes.mapper.cheap_sums import meeting, with_cheap_sums
from passes.mapper.counts import OPERAND_NAMES, Counts
from passes.mapper.dataflow import BoundFlow
from passes.mapper.early import ROUNDED, Busy, Early
from passes.mapper.flow_counts import FlowCounts
from passes.mapper.flow_fit import FlowFit
from passes.mapper.flow_growth import FlowGrowth
from passes.mapper.flow_shifts import FlowShifts, Split
from passes.mapper.flow_values import FlowValues
from passes.mapper.nest import Column, For, Par, Store
from passes.mapper.notation import one_number
from passes.mapper.pricing import Prices, Values

Flags = npt.NDArray[np.bool_]

_ALIKE = 4
"""How many candidates share a bound of the outermost memory, on average, that is worth its while."""
_ROW = "#"
_Outside = tuple[frozenset[str], frozenset[str], tuple[int, ...]]
"""Outer parameters that are open, others that count, and nodes whose tiles are open."""


class Least(NamedTuple):
    """Lower bounds: of energy, without and with the outermost memory's, and of time.

    The array may overlap with some of that, and has to wait for the rest.
    """

    energy: Values
    total: Values
    overlapped: Values
    serial: Values

    @property
    def cycles(self) -> Values:
        """Of the whole time."""
        return self.overlapped + self.serial


class FlowBounds:
    """Values of candidates by one objective, and lower bounds of them."""

    def __init__(
        self,
        flow: BoundFlow,
        prices: Prices,
        values: FlowValues,
        counts: FlowCounts,
        fit: FlowFit,
        growth: FlowGrowth,
    ):
        self._flow, self._prices, self._fit, self._growth = flow, prices, fit, growth
        self._values = values
        hierarchy = self._hierarchy = prices.hierarchy
        self._objective = prices.objective
        # Words that stay nowhere further in go to elements that may share them: only the whole nest says how often.
        self._passing = [each for each in flow.problem.operands if not flow.nest.stores(each)]
        stored = (each for each in flow.problem.operands if each not in self._passing)
        names = (*(OPERAND_NAMES[each] for each in stored), *(["extra"] if self._turns_outside() else []))
        self._outermost = tuple(f"{hierarchy.memories[0].name}.{name}." for name in names)
        self._costs = search_costs(prices)
        self._cheapest = with_cheap_sums(flow, hierarchy, self._costs)
        self._shifts = FlowShifts(flow, hierarchy)
        self._outer_costs = self._less_what_is_saved(self._cheapest)
        self.counts = counts.of_events(self._find_deciding())
        """Counts the events that decide what candidates cost, or at least; others are left out."""
        self._beside_reserving = cache(self._find_beside_reserving)
        self._outside: dict[_Outside, dict[tuple[int, ...], tuple[float, float]]] = {}
        """The outermost memory's least energy and time, by what is decided, and the tiles and parameters that are."""
        early = Early(flow, hierarchy)
        self._early = frozenset(name for name in flow.flow.inner if early.may_be_open(name))

    def of(self, inner: Candidates, level: int, limit: float = np.inf) -> Values:
        """A lower bound of the value of all candidates with these inner parameters, of which `level` are decided.

        It may be lower than it could be where it is above a limit.
        """
        if not self._early.issuperset(self._flow.flow.inner[level:]):
            return np.zeros(inner.count)
        inside = Least(*map(np.concatenate, zip(*(self._inner_bound(each) for each in inner.chunks()), strict=True)))
        energy, overlapped, serial = inside.energy, inside.overlapped, inside.serial
        least = self._objective.of(energy + self._work, overlapped + serial)
        if self._is_outermost_free:
            return least
        rows = np.flatnonzero(least <= limit) if self._adds_outside else np.arange(inner.count)
        if not len(rows):
            return least
        outside = self._outermost_bound(inner.take(rows))
        assert outside is not None
        outer_energy, outer_cycles = outside
        cycles = np.maximum(overlapped[rows], outer_cycles) + serial[rows]
        least[rows] = self._objective.of(energy[rows] + outer_energy + self._work, cycles)
        return least

    @cached_property
    def _adds_outside(self) -> bool:
        """Whether no event of the outermost memory makes a mapping cheaper."""
        return all(cost >= 0 for cost in self._outer_costs.values())

    @cached_property
    def _is_outermost_free(self) -> bool:
        """Whether the outermost memory never decides what a mapping costs."""
        outermost = self._hierarchy.memories[0]
        return self._objective is Objective.LATENCY and outermost.read is None and outermost.write is None

    def busy(self, inner: Candidates) -> Busy:
        """How busy candidates may keep the array, at most; loops that missing parameters cut are whole."""
        cuts = self._open_cuts(inner)
        least = self._without(inner, cuts)
        most = self._without(self._values.largest_tied(inner), cuts) if self._values.tied else least
        elements: Column = np.ones(inner.count, np.int64)
        for axis in self._hierarchy.axes:
            is_open = any(
                isinstance(node := self._flow.nest.nodes[place], Par) and node.axis == axis.name for place in cuts
            )
            used = axis.size if is_open else np.minimum(most.elements_over(axis.name, least), axis.size)
            elements = elements * used
        if self._hierarchy.elements is not None:
            elements = np.minimum(elements, self._hierarchy.elements)
        steps = -(-self._flow.problem.operations // elements)
        return Busy(elements, steps)

    def value(self, counts: Counts) -> Values:
        """What the search makes least."""
        energy = _priced(counts.events, self._costs, counts.candidates) + self._work
        return self._objective.of(energy, self._prices.cycles(counts) if self._values.timed else energy)

    def may_be_within(self, candidates: Candidates, limit: float | Values) -> Flags:
        """Whether some values of missing parameters may cost no more than a limit, or than one for each candidate.

        All inner parameters are there. What the outermost memory costs at least without further cuts, and with those
        for which there is room, are two bounds.
        """
        least = self._inner_bound(candidates)
        within = self._objective.of(least.total + self._work, least.cycles) * ROUNDED <= limit
        if self._is_outermost_free:
            return within
        rows = np.flatnonzero(within)
        least = Least(*(column[rows] for column in least))
        if not len(rows) or (outside := self._outermost_bound(candidates.take(rows), _ALIKE)) is None:
            return within
        outer_energy, outer_cycles = outside
        cycles = np.maximum(least.overlapped, outer_cycles) + least.serial
        limits = np.broadcast_to(limit, within.shape)[rows]
        within[rows] = self._objective.of(least.energy + outer_energy + self._work, cycles) * ROUNDED <= limits
        return within

    def _inner_bound(self, inner: Candidates) -> Least:
        """Lower bounds of what all memories cost, and of the time."""
        open_cuts = self._open_cuts(inner)
        least = self._evenly_bound(inner, open_cuts)
        uneven, among = self._uneven(inner, open_cuts)
        if uneven:
            rows = np.flatnonzero(among)
            cuts = tuple(sorted({*open_cuts, *uneven}))
            for column, of_rows in zip(least, self._bound_of(inner.take(rows), cuts, None, {}), strict=True):
                column[rows] = of_rows
        return least

    def _evenly_bound(self, inner: Candidates, open_cuts: tuple[int, ...]) -> Least:
        """The same where tiles further in than open cuts are whole numbers of one another."""
        moved: dict[Operand, dict[str, Column]] = {}
        least = self._bound_of(inner, open_cuts, None, moved)
        split = self._shifts.split(open_cuts) if self._hierarchy.nested else None
        if split is None:
            return least
        del moved[Operand.OUTPUT]
        more = self._bound_of(inner, open_cuts, split, moved)
        # Of all indices of the loop at most one remains alone.
        share = 1 - 1 / self._flow.problem.extents[split.loop]
        several = Least(
            least.energy + share * np.maximum(more.energy - least.energy, 0),
            least.total + share * np.maximum(more.total - least.total, 0),
            np.maximum(least.overlapped, share * more.overlapped),
            np.maximum(least.serial, share * more.serial),
        )
        one = self._inner_bound(inner.beside(split.name, np.ones(inner.count, np.int64)))
        return Least(*(np.minimum(a, b) for a, b in zip(several, one, strict=True)))

    def _bound_of(
        self,
        inner: Candidates,
        open_cuts: tuple[int, ...],
        split: Split | None,
        moved: dict[Operand, dict[str, Column]],
    ) -> Least:
        """Lower bounds; with a split, of mappings in which the loop has no index that remains alone.

        What is `moved` of operands is counted where that is not known.
        """
        counts = self._without(inner, open_cuts)
        # An axis that open parameters may lay a loop along takes all of it in the least time, and may share words.
        is_laid = any(isinstance(self._flow.nest.nodes[place], Par) for place in open_cuts)
        fastest = self._without(inner, open_cuts, laid=1) if is_laid else counts
        shifts = self._shifts.of(open_cuts, split)
        events: dict[str, Column] = {"operation": np.full(inner.count, self._flow.problem.operations, np.int64)}
        for operand in self._flow.problem.operands:
            if operand in moved:
                events |= moved[operand]
                continue
            apart, shared = counts, fastest
            if further := shifts.get(operand):
                cuts = (*open_cuts, *further)
                apart = shared = self._without(inner, cuts)
                if self._shifts.lays(cuts):
                    shared = self._without(inner, cuts, laid=1)
            moved[operand] = apart.moved(operand)
            if shared is not apart:
                together = shared.moved(operand)
                moved[operand] = {each: np.minimum(times, together[each]) for each, times in moved[operand].items()}
            events |= moved[operand]
        events |= fastest.read_after
        several = self._shifts.along_several(open_cuts)
        for places in several.values():
            # Any of the axes may take all of the loop, and share words as others do not.
            for number in range(1, len(places)):
                outside = self._without(inner, open_cuts, laid=1, whole=places[:number]).events
                events = {event: np.minimum(times, outside[event]) for event, times in events.items()}
        overlapped, serial = self._times(inner, fastest, events, several)
        inside = {event: times for event, times in events.items() if not event.startswith(self._outermost)}
        energy = _priced(inside, self._cheapest, inner.count)
        further = {event: times for event, times in events.items() if event not in inside}
        return Least(energy, energy + _priced(further, self._cheapest, inner.count), overlapped, serial)

    def _times(
        self, inner: Candidates, fastest: Counts, events: Mapping[str, Column], several: Collection[int]
    ) -> tuple[Values, Values]:
        """What the array may overlap with, and what it waits for, at least, if these events are the least.

        Loops that are laid along `several` axes may lie on any of them.
        """
        serial: Values = np.zeros(inner.count)
        if not self._values.timed:
            return serial.copy(), serial
        overlapped: Values = np.maximum(fastest.steps, self.busy(inner).steps).astype(np.float64)
        unsure = {node.axis for node in self._flow.nest.nodes if isinstance(node, Par) and node.loop in several}
        # Parameters that are missing are 1 in these.
        tiles = self._flow.tiles(inner.columns, inner.count)
        smallest = self.counts.by_tiles(tiles, inner.count)
        for memory in self._hierarchy.memories:
            if memory.read is None and memory.write is None:
                continue
            copies: Column = np.ones(inner.count, np.int64)
            for axis in self._hierarchy.axes_outside(memory.name):
                used = axis.size if axis.name in unsure else fastest.elements(axis.name)
                copies = copies * np.minimum(used, axis.size)
            moved = np.maximum(*self._prices.shared_port_cycles(memory, events)) / copies
            if self._prices.overlaps(memory):
                overlapped = np.maximum(overlapped, moved)
                serial = serial + self._prices.ramp_cycles(memory, smallest)
            else:
                serial = serial + moved
        return overlapped, serial

    def _open_cuts(self, inner: Candidates) -> tuple[int, ...]:
        """The nodes whose tiles parameters have a say in that are not decided."""
        return cut_by(self._flow, frozenset(self._values.parameters).difference(inner.columns))

    def _uneven(self, inner: Candidates, open_cuts: tuple[int, ...]) -> tuple[frozenset[int], Flags]:
        """Nodes inside of open cuts whose tiles are no whole numbers of later ones, and for which candidates."""
        places: set[int] = set()
        among = np.zeros(inner.count, np.bool_)
        pairs = self._shifts.uneven(open_cuts) if self._hierarchy.nested else ()
        tiles = self._flow.tiles(inner.columns, inner.count) if pairs else []
        for outer, further in pairs:
            cuts = (tiles[further] < tiles[outer]) & (tiles[outer] < self._flow.problem.extents[self._flow.loop(outer)])
            found = cuts & (tiles[outer] % tiles[further] > 0)
            among |= found
            if found.any():
                places.add(outer)
        return frozenset(places), among

    def _without(
        self, inner: Candidates, cuts: Iterable[int], laid: int | None = None, whole: Collection[int] = ()
    ) -> Counts:
        """Counts with loops whole at some cuts, or, on an axis, in tiles of `laid`, which those of `whole` are not."""
        tiles = self._flow.tiles(inner.columns, inner.count)
        for place in {*cuts, *whole}:
            node = self._flow.nest.nodes[place]
            assert not isinstance(node, Store)
            extent = self._flow.problem.extents[node.loop]
            tile = extent if laid is None or isinstance(node, For) or place in whole else laid
            tiles[place] = one_number(tile)
        return self.counts.by_tiles(tiles, inner.count)

    def _outermost_bound(self, some: Candidates, alike: int = 0) -> tuple[Values, Values] | None:
        """Lower bounds of the outermost memory's energy and time: of each combination of tiles that decide them.

        Outer parameters may be decided, if all those before them are, too. None if fewer than so many candidates for
        every combination that is not known are `alike`: then it takes longer than what it saves.
        """
        flow = self._flow.flow
        decided = frozenset(some.columns)
        is_open = frozenset(flow.outer) - decided
        tied = {
            place: tile.names
            for place, tile in enumerate(self._flow.expressions[: self._flow.seam])
            if tile.names & {*flow.inner, *flow.outer} and not tile.names & is_open
        }
        # What is reserved outside is decided by parameters themselves, not by tiles.
        reserving = {name for each in self._fit.memories_outside for name in flow.reserves[each.name].names}
        reserving |= self._beside_reserving(is_open)
        reserving &= decided
        names = decided & reserving.union(*tied.values())
        tiles = self._flow.tiles(some.columns, some.count)
        columns = [*(tiles[place] for place in tied), *(some.columns[name] for name in sorted(reserving))]
        index, inverse = distinct_rows(columns, some.count)
        # The same few combinations come again and again.
        cuts = tuple(place for place, used in tied.items() if not used <= decided)
        known = self._outside.setdefault((is_open, names, cuts), {})
        wide = (np.broadcast_to(column, (some.count,))[index].tolist() for column in columns)
        keys = [*zip(*wide, strict=True)] if columns else [()] * len(index)
        anew = [place for place, key in enumerate(keys) if key not in known]
        if len(anew) * alike > some.count:
            return None
        if anew:
            distinct = some.take(index[anew]).without(name for name in decided if name not in names)
            energies, times = self._outermost_of(distinct, decided, cuts)
            found = zip(energies.tolist(), times.tolist(), strict=True)
            known.update(zip((keys[place] for place in anew), found, strict=True))
        energy, cycles = np.array([known[key] for key in keys]).reshape(-1, 2).T
        return energy[inverse], cycles[inverse]

    def _outermost_of(
        self, distinct: Candidates, decided: Collection[str], cuts: tuple[int, ...]
    ) -> tuple[Values, Values]:
        """The same of candidates, with all outer parameters that are not decided, and the loops of some cuts whole."""
        candidates = distinct.beside(_ROW, np.arange(distinct.count))
        candidates = self._growth.with_outer(candidates, self._fit.fit_outside, decided=decided)
        energy = np.full(distinct.count, np.inf)
        cycles = np.zeros(distinct.count) if self._passing else energy.copy()
        whole = {*cuts, *(place for place in self._shifts.further(cuts) if place < self._flow.seam)}
        for chunk in candidates.chunks():
            counts = self.counts.of(chunk, self.counts.outside, whole)
            outside = {event: times for event, times in counts.events.items() if event.startswith(self._outermost)}
            np.minimum.at(energy, chunk.columns[_ROW], _priced(outside, self._outer_costs, chunk.count))
            if self._values.timed and not self._passing:
                moved = self._prices.shared_port_cycles(self._hierarchy.memories[0], counts.events)
                np.minimum.at(cycles, chunk.columns[_ROW], np.maximum(*moved))
        return energy, cycles

    def _find_deciding(self) -> frozenset[str]:
        """The events that have a price by which values or bounds are compared, and those that take time."""
        costs = (self._costs, self._cheapest, self._outer_costs)
        is_priced = self._objective is not Objective.LATENCY
        priced = {event for each in costs if is_priced for event, cost in each.items() if cost}
        return frozenset(priced | (self._prices.timed_events if self._values.timed else set[str]()))

    def _find_beside_reserving(self, is_open: frozenset[str]) -> frozenset[str]:
        """Parameters that make a tile larger in place of open ones which decide other tiles or reserves, too."""
        flow = self._flow.flow
        left = self._flow.expressions[: self._flow.seam]
        counted = Counter(name for tile in left for name in tile.names)
        reserved = {name for each in self._fit.memories_outside for name in flow.reserves[each.name].names}
        outer = {name for name in is_open if counted[name] > 1 or name in reserved}
        others = frozenset((*flow.inner, *flow.outer)) - is_open
        return frozenset(name for tile in left if tile.names & outer for name in tile.names & others)

    def _less_what_is_saved(self, costs: Mapping[str, float]) -> Mapping[str, float]:
        """Prices with which the outermost memory's energy may be added to that of a nest without outer cuts.

        With a sum that arrives there once more, or meets others on its way, an addition less is made in the memory
        inside, or on the way to it.
        """
        outer = cut_by(self._flow, frozenset(self._flow.flow.outer))
        stores = self._flow.nest.stores(Operand.OUTPUT)
        if not stores:
            return costs
        outermost, inside = self._hierarchy.memories[0].name, stores[0][1].memory
        saved = max(costs.get(f"{inside}.output.{event}", 0.0) for event in ("add", "hop"))
        sends = self._sends_sums(outer, stores[0][0])
        # Of sums that leave together all but one meet others, whatever lays their loops.
        places = range(len(self._flow.nest.nodes)) if sends else outer
        lowered = [f"{outermost}.output.add"] if sends else []
        lowered += [f"{outermost}.output.hop"] if outermost in meeting(self._flow, self._hierarchy, places) else []
        return {**costs, **{event: costs.get(event, 0.0) - saved for event in lowered}}

    def _sends_sums(self, outer: tuple[int, ...], store: int) -> bool:
        """Whether outer cuts make sums leave that would stay: by cutting the loops that add, or others inside those."""
        problem = self._flow.problem
        cuts = [(place, self._flow.loop(place)) for place in outer if place < self._flow.seam]
        if any(problem.loops[loop].kind is LoopKind.KS for _, loop in cuts):
            return True
        nodes = enumerate(self._flow.nest.nodes[:store])
        adding = [at for at, node in nodes if isinstance(node, For) and problem.loops[node.loop].kind is LoopKind.KS]
        return any(
            place < store and problem.is_relevant(Operand.OUTPUT, loop)
            for place, loop in cuts
            if place > min(adding, default=store)
        )

    def _turns_outside(self) -> bool:
        """Whether turns left of the bar say at least how often results leave: if they do in tiles, and none is laid."""
        left = self._flow.nest.nodes[: self._flow.seam]
        return bool(self._flow.nest.stores(Operand.OUTPUT)) and not any(isinstance(node, Par) for node in left)

    @property
    def _work(self) -> float:
        return self._prices.work(self._flow.problem.operations)


def search_costs(prices: Prices) -> Mapping[str, float]:
    """The prices by which a search in a dataflow compares mappings: as weighed there."""
    dataflow = prices.hierarchy.dataflow
    weigh = dataflow.weigh if dataflow and prices.objective is not Objective.TRAFFIC else {}
    return {event: price * weigh.get(event, 1.0) for event, price in prices.of.items()}


def _priced(events: Mapping[str, Column], costs: Mapping[str, float], count: int) -> Values:
    """The energy of some events of so many candidates."""
    total: Values = np.zeros(count)
    for event, cost in costs.items():
        if event in events:
            total = total + cost * events[event]
    return total
