"""What candidates of a dataflow cost, and at least while parameters are missing.

Removing a cut from a nest never makes an event more frequent, but for additions, which it moves inwards, where they
must not cost more. So the inner parameters alone, with all loops whole that outer ones would cut, bound what a mapping
costs inside; the outer parameters that fit with an inner tile of one bound what the outermost memory costs. Energy is
at least the sum of both; time at least the longest of all steps and of what each memory moves. Inner parameters that
are not decided yet are left out as well, where `passes.mapper.early` allows it.

That is not quite so where a memory keeps words while other loops run between two cuts of a loop: one of these left out,
the other may run where it did not. No random nest has shown a mapping that was missed for that.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dialects.hierarchy import Memory
from dialects.schedule import Objective
from passes.mapper.candidates import Candidates
from passes.mapper.chains import cut_by
from passes.mapper.counts import OPERAND_NAMES, Counts
from passes.mapper.dataflow import BoundFlow
from passes.mapper.early import Early
from passes.mapper.flow_counts import FlowCounts
from passes.mapper.flow_fit import FlowFit
from passes.mapper.flow_growth import FlowGrowth
from passes.mapper.flow_values import FlowValues
from passes.mapper.nest import Column, For, Par, Store
from passes.mapper.pricing import Prices, Values

Flags = npt.NDArray[np.bool_]

_ROW = "#"


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
        self._flow, self._prices, self._counts, self._fit, self._growth = flow, prices, counts, fit, growth
        self._values = values
        hierarchy = self._hierarchy = prices.hierarchy
        self._objective = prices.objective
        # Words that stay nowhere further in go to elements that may share them: only the whole nest says how often.
        self._passing = [each for each in flow.problem.operands if not flow.nest.stores(each)]
        stored = (each for each in flow.problem.operands if each not in self._passing)
        self._outermost = tuple(f"{hierarchy.memories[0].name}.{OPERAND_NAMES[each]}." for each in stored)
        weigh = hierarchy.dataflow.weigh if hierarchy.dataflow and self._objective is not Objective.TRAFFIC else {}
        self._costs = {event: price * weigh.get(event, 1.0) for event, price in prices.of.items()}
        early = Early(flow, hierarchy, self._costs)
        self._early = frozenset(name for name in flow.flow.inner if early.may_be_open(name))

    def of(self, inner: Candidates, level: int) -> Values:
        """A lower bound of the value of all candidates with these inner parameters, of which `level` are decided."""
        if not self._early.issuperset(self._flow.flow.inner[level:]):
            return np.zeros(inner.count)
        inside = [self._inner_bound(chunk) for chunk in inner.chunks()]
        energy, cycles = (np.concatenate(column) for column in zip(*inside, strict=True))
        outer_energy, outer_cycles = self._outermost_bound(inner)
        return self._objective.of(energy + outer_energy + self._work, np.maximum(cycles, outer_cycles))

    def value(self, counts: Counts) -> Values:
        """What the search makes least."""
        energy = self._energy(counts) + self._work
        return self._objective.of(energy, self._prices.cycles(counts) if self._values.timed else energy)

    def may_be_within(self, candidates: Candidates, limit: float) -> Flags:
        """Whether some values of missing parameters may cost no more than a limit.

        Without their cuts candidates cost least, but where such a cut keeps a loop from running further in, past others
        that then decide what memories keep. So that is compared with cuts as small as they can be, too.
        """
        energy, cycles = self._inner_bound(candidates, outermost=None)
        within = self._objective.of(energy + self._work, cycles) <= limit
        if self._values.inwards - candidates.columns.keys():
            rows = np.flatnonzero(~within)
            for nest, outermost in ((self._counts.outside, True), (self._flow.nest, None)):
                energy = self._energy(self._counts.of(candidates.take(rows), nest), outermost=outermost) + self._work
                rows = rows[self._objective.of(energy, cycles[rows]) <= limit]
            within[rows] = True
        return within

    def _inner_bound(self, inner: Candidates, *, outermost: bool | None = False) -> tuple[Values, Values]:
        """Lower bounds of what all memories cost, the outermost one as well if `outermost` is None, and of the time."""
        counts = self._without_open_cuts(inner)
        # An axis that open parameters may lay a loop along takes all of it in the least time, and may share words.
        is_laid = any(isinstance(self._flow.nest.nodes[place], Par) for place in self._open_cuts(inner))
        fastest = self._without_open_cuts(inner, laid=1) if is_laid else counts
        cycles: Values = np.zeros(counts.candidates)
        if self._values.timed:
            cycles = fastest.steps.astype(np.float64)
            for memory in self._hierarchy.memories[1:]:
                copies: Column = np.ones(counts.candidates, np.int64)
                for axis in self._hierarchy.axes_outside(memory.name):
                    copies = copies * np.minimum(fastest.elements(axis.name), axis.size)
                cycles = np.maximum(cycles, self._moving(memory, counts) / copies)
        return self._energy(counts, fastest, outermost=outermost), cycles

    def _open_cuts(self, inner: Candidates) -> tuple[int, ...]:
        """The nodes whose tiles parameters have a say in that are not decided."""
        return cut_by(self._flow, frozenset(self._values.parameters) - inner.columns.keys())

    def _without_open_cuts(self, inner: Candidates, laid: int | None = None) -> Counts:
        """Counts with all loops whole that open parameters cut, or, on an axis, in tiles of `laid`."""
        tiles = self._flow.tiles(inner.columns, inner.count)
        for place in self._open_cuts(inner):
            node = self._flow.nest.nodes[place]
            assert not isinstance(node, Store)
            whole = self._flow.problem.extents[node.loop]
            tile = whole if laid is None or isinstance(node, For) else laid
            tiles[place] = np.full(inner.count, tile, np.int64)
        return Counts(self._flow.problem, self._hierarchy, self._flow.nest, tiles)

    def _outermost_bound(self, inner: Candidates) -> tuple[Values, Values]:
        """Lower bounds of the outermost memory's energy and time: of each combination of tiles that decide them."""
        flow = self._flow.flow
        tied = {
            place: tile.names
            for place, tile in enumerate(self._flow.expressions[: self._flow.seam])
            if tile.names & frozenset(flow.inner) and not tile.names & frozenset(flow.outer)
        }
        # What is reserved outside is decided by parameters themselves, not by tiles.
        reserving = {name for each in self._fit.memories_outside for name in flow.reserves[each.name].names}
        reserving &= inner.columns.keys()
        names = reserving.union(*tied.values())
        tiles = self._flow.tiles(inner.columns, inner.count)
        columns = [*(tiles[place] for place in tied), *(inner.columns[name] for name in sorted(reserving))]
        keys = np.stack([np.ones(inner.count, np.int64), *columns])
        _, index, inverse = np.unique(keys, axis=1, return_index=True, return_inverse=True)
        distinct = inner.take(index).without(name for name in flow.inner if name not in names)
        candidates = distinct.beside(_ROW, np.arange(distinct.count))
        candidates = self._growth.with_outer(candidates, self._fit.fit_outside)
        energy = np.full(distinct.count, np.inf)
        cycles = np.zeros(distinct.count) if self._passing else energy.copy()
        whole = {place for place, used in tied.items() if not used <= inner.columns.keys()}
        for chunk in candidates.chunks():
            counts = self._counts.of(chunk, self._counts.outside, whole)
            np.minimum.at(energy, chunk.columns[_ROW], self._energy(counts, outermost=True))
            if self._values.timed and not self._passing:
                moved = self._moving(self._hierarchy.memories[0], counts)
                np.minimum.at(cycles, chunk.columns[_ROW], moved)
        inverse = inverse.reshape(-1)
        return energy[inverse], cycles[inverse]

    def _moving(self, memory: Memory, counts: Counts) -> Values:
        """Cycles in which one copy of a memory would move the words of all copies."""
        return np.maximum(*self._prices.shared_port_cycles(memory, counts))

    @property
    def _work(self) -> float:
        return self._prices.work(self._flow.problem.operations)

    def _energy(self, *several: Counts, outermost: bool | None = None) -> Values:
        """The energy of events, of each as few as in any of several counts."""
        total: Values = np.zeros(several[0].candidates)
        for event, cost in self._costs.items():
            if event in several[0].events and outermost in (None, event.startswith(self._outermost)):
                times = several[0].events[event]
                for others in several[1:]:
                    times = np.minimum(times, others.events[event])
                total = total + cost * times
        return total
