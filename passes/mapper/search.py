"""The best mapping of a link in a dataflow: branch and bound over its parameters, as NumPy columns.

Where tiles are products of parameters, every tile is a whole number of those further in, and only the last one of a
loop is smaller. Of the counts that cut a loop into the same number of tiles only the smallest is tried, as it takes
the least room and nothing else differs, unless tiles lie side by side on an axis. Of others, all are
(`passes.mapper.chains`).

Candidates are grown (`flow_growth`), and at last priced, in the order of their bounds (`flow_bounds`), the most
complete first, until no bound is below the best value found. `flow_values` and `flow_fit` say which there are.

Elements side by side do not change what a tile costs, only how many are busy. Unless time counts, sizes that differ in
nothing else are tried for the mappings that cost least, so that the most busy of them is found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import GConv
from dialects.hierarchy import Hierarchy
from dialects.schedule import Mapping as LinkMapping
from dialects.schedule import Objective
from passes.mapper.candidates import CHUNK, Candidates
from passes.mapper.cheap_sums import dear_hops, with_cheap_sums
from passes.mapper.counts import Counts
from passes.mapper.dataflow import BoundFlow, parse_dataflow
from passes.mapper.early import FIRST, Open
from passes.mapper.flow_bounds import FlowBounds, search_costs
from passes.mapper.flow_counts import FlowCounts
from passes.mapper.flow_fit import FlowFit
from passes.mapper.flow_growth import FlowGrowth
from passes.mapper.flow_values import FlowValues
from passes.mapper.nest import Column, mapping_of
from passes.mapper.pricing import Prices
from passes.mapping.roles import Roles, roles_in_nest

Flags = npt.NDArray[np.bool_]

_BATCH, _MOST = 256, 4096
"""Candidates that are priced together: few, as bounds of others may be above a value found then; then more and more."""
_FIRST_BATCH = 8
"""The same as long as there is no such value: one that is found soon saves to price most of the others."""
_GROWN = 1 << 14
"""Candidates that others may become, about, as long as there is no value to compare with."""
_ROW = "#"


@dataclass(frozen=True)
class Found:
    """The best mapping found: its parameters, what it is as a mapping, its value in the search, events, busy elements.

    No mapping of the dataflow has a value below `bound`.
    """

    mapping: LinkMapping
    parameters: dict[str, int]
    value: float
    bound: float
    events: dict[str, int]
    elements: int
    steps: int


def _never() -> bool:
    return False


def best_in_dataflow(
    spec: GConv,
    hierarchy: Hierarchy,
    node: str = "",
    roles: Roles | None = None,
    objective: Objective = Objective.ENERGY,
    should_stop: Callable[[], bool] = _never,
    extras: Sequence[tuple[int, ...]] = (),
) -> Found:
    """The mapping with the least value; ties go to more busy elements.

    `roles` say which loop plays which part of a convolution, if not those that `roles_in_nest` gives; `extras` are the
    shapes of what scalar functions read (`passes.mapper.problem.read_after`). Once there is a mapping, `should_stop`
    is asked whether that is good enough.

    Raises `CatenaError` (CAT-F001) if none fits, CAT-C003 if the dataflow is wrong.
    """
    roles = roles or roles_in_nest(spec)
    flow = parse_dataflow(hierarchy).without_repeats(roles).on(spec, roles, extras)
    found = _Search(flow, hierarchy, objective).best(should_stop)
    if found is None:
        raise CatenaError(
            Diagnostic("CAT-F001", f"no mapping of this link in the dataflow of {hierarchy.name} fits", "mapped", node)
        )
    return found


def least_in_dataflow(
    spec: GConv, hierarchy: Hierarchy, objective: Objective, extras: Sequence[tuple[int, ...]] = ()
) -> float:
    """A lower bound of the value of all mappings, known at once; infinite if it is seen that none fits.

    Raises `CatenaError` (CAT-C003) if the dataflow is wrong.
    """
    roles = roles_in_nest(spec)
    flow = parse_dataflow(hierarchy).without_repeats(roles).on(spec, roles, extras)
    return _Search(flow, hierarchy, objective).least


Choice = Callable[[BoundFlow, list[Column]], Flags]
"""Which candidates of a dataflow may be taken, given the tiles of its nodes."""


def several_in_dataflow(
    spec: GConv,
    hierarchy: Hierarchy,
    count: int,
    objective: Objective = Objective.ENERGY,
    choice: Choice | None = None,
    should_stop: Callable[[], bool] = _never,
    extras: Sequence[tuple[int, ...]] = (),
) -> list[Found]:
    """The mappings with the least values, best first, at most `count`; none if none fits.

    With a `choice` only those that it allows. `should_stop` and `extras` are as for the best one.

    Raises `CatenaError` (CAT-C003) if the dataflow is wrong.
    """
    roles = roles_in_nest(spec)
    flow = parse_dataflow(hierarchy)
    flow = (flow if choice else flow.without_repeats(roles)).on(spec, roles, extras)
    return _Search(flow, hierarchy, objective, choice).several(count, should_stop)


def priced_in_dataflow(
    spec: GConv, hierarchy: Hierarchy, parameters: Mapping[str, int], roles: Roles | None = None
) -> Found | None:
    """What a mapping costs whose parameters are known, None if it does not fit; parameters that are missing are 1.

    Raises `CatenaError` (CAT-C003) if the dataflow is wrong.
    """
    return _Search(parse_dataflow(hierarchy).on(spec, roles or roles_in_nest(spec)), hierarchy).priced(parameters)


def has_mapping(flow: BoundFlow, hierarchy: Hierarchy, most: int) -> bool | None:
    """Whether any mapping of a dataflow fits; None if that is not known after looking at about `most` candidates."""
    return _Search(flow, hierarchy).has_any(most)


class _Search:
    def __init__(
        self,
        flow: BoundFlow,
        hierarchy: Hierarchy,
        objective: Objective = Objective.ENERGY,
        choice: Choice | None = None,
        known: float = np.inf,
    ):
        self._choice = choice
        """Which candidates may be taken, if not all."""
        self._known = known
        """What a mapping is known to cost from the beginning: none that costs more is looked for."""
        self._flow = flow
        timed = objective in (Objective.LATENCY, Objective.EDP)
        self._counts = FlowCounts(flow, hierarchy)
        prices = Prices(hierarchy, objective)
        costs = search_costs(prices)
        self._values = FlowValues(
            flow,
            hierarchy,
            timed=timed,
            ties=choice is None and not timed,
            dear_sums=with_cheap_sums(flow, hierarchy, costs) != costs,
            dear_hops=dear_hops(flow, hierarchy, costs),
        )
        self._fit = FlowFit(flow, hierarchy, self._values, self._counts)
        waits = timed and _has_ramp(hierarchy)
        self._growth = FlowGrowth(flow, hierarchy, self._values, every=waits or bool(self._fit.even))
        self._bounds = FlowBounds(flow, prices, self._values, self._counts, self._fit, self._growth)

    @property
    def least(self) -> float:
        """A lower bound of the value of all mappings."""
        return float(self._bounds.of(Candidates(1, {}), 0)[0])

    def best(self, should_stop: Callable[[], bool]) -> Found | None:
        """The best mapping, or the best one found until it should stop; None if none fits."""
        return next(iter(self.several(1, should_stop)), None)

    def several(self, count: int, should_stop: Callable[[], bool]) -> list[Found]:
        """The best mappings that differ, at most `count`, best first, or the best found until it should stop."""
        names = self._flow.flow.inner
        waiting = [Open(0, Candidates(1, {}), np.zeros(1))]
        found: list[Found] = []
        size = _BATCH
        while waiting:
            level = waiting[-1].level
            if len(found) == count:
                waiting[-1].prefer(found[-1].value, found[-1].elements, found[-1].steps)
            limit = self._limit(found, count)
            most = size if limit < np.inf else _FIRST_BATCH
            batch, bound = waiting[-1].take(limit, most if level == len(names) else None)
            if not batch.count:
                waiting.pop()
            elif found and should_stop():
                least = min(float(bound[0]), *(each.least for each in waiting))
                return [replace(each, bound=min(least, each.value)) for each in found]
            elif level < len(names):
                if limit == np.inf:
                    most = self._growth.as_many(batch, names[level], self._fit.may_fit, _GROWN)
                    if most < batch.count:
                        waiting[-1].put_back(batch.count - most)
                        batch, bound = batch.take(np.arange(most)), bound[:most]
                grown = self._growth.grown(batch.beside(_ROW, np.arange(batch.count)), names[level], self._fit.may_fit)
                inherited, grown = bound[grown.columns[_ROW]], grown.without([_ROW])
                # bounds say nothing where all that waits is grown at once
                if limit < np.inf or not self._are_grown_at_once(grown, names[level + 1 :]):
                    inherited = np.maximum(inherited, self._bounds.of(grown, level + 1, limit))
                busy = self._bounds.busy(grown) if self._choice is None else None
                waiting.append(Open(level + 1, grown, inherited, busy))
            else:
                found = self._better(found, batch, count)
                size = min(2 * size, _MOST) if limit < np.inf else size
        return found

    def _are_grown_at_once(self, candidates: Candidates, names: Sequence[str]) -> bool:
        """Whether all candidates are grown together, and looked at with the first of some further parameters."""
        return (
            len(names) > 0
            and candidates.count <= FIRST
            and candidates.count * self._values.number_of(names[0]) <= _GROWN
        )

    def _limit(self, found: Sequence[Found], count: int) -> float:
        """The value that further mappings must not exceed to be among the best."""
        return min(self._known, found[-1].value) if len(found) == count else self._known

    def _better(self, found: Sequence[Found], inner: Candidates, count: int) -> list[Found]:
        """The best of those found and of those with some inner parameters."""
        limit = self._limit(found, count)

        def within(some: Candidates) -> Flags:
            return self._bounds.may_be_within(some, limit)

        candidates = self._growth.with_outer(
            inner, self._fit.all_fit, every=self._choice is not None, within=within if limit < np.inf else None
        )
        if self._choice is not None:
            tiles = self._flow.tiles(candidates.columns, candidates.count)
            tiles = [np.broadcast_to(tile, (candidates.count,)) for tile in tiles]
            candidates = candidates.take(np.flatnonzero(self._choice(self._flow, tiles)))
        if not candidates.count:
            return [*found]
        counts = self._bounds.counts.of(candidates)
        value = self._bounds.value(counts)
        if self._values.tied:
            best = np.sort(value)[:count][-1]
            tied = candidates.take(np.flatnonzero(value <= min(best, limit)))
            candidates = self._busiest(tied) if count == 1 else self._busier(tied)
            if not candidates.count:
                return [*found]
            counts = self._bounds.counts.of(candidates)
            value = self._bounds.value(counts)
        elements = self._counts.elements(counts)
        known = {each.mapping: each for each in found}
        last = found[-1] if len(found) == count else None
        for row in np.lexsort((counts.steps, -elements, value))[:count]:
            found_now = float(value[row]), -int(elements[row]), int(counts.steps[row])
            if last and found_now >= (last.value, -last.elements, last.steps):
                break
            if value[row] <= limit:
                one = candidates.take(np.array([row]))
                each = self._found(one, self._counts.of(one), (float(value[row]), -int(elements[row])))
                known.setdefault(each.mapping, each)
        return sorted(known.values(), key=lambda each: (each.value, -each.elements, each.steps))[:count]

    def _busiest(self, candidates: Candidates) -> Candidates:
        """As `_busier` of candidates that cost the same, without those of which none can be the most busy one."""
        busy = self._bounds.busy(candidates)
        order = np.lexsort((busy.steps, -busy.elements))
        found = candidates.take(order[:0])
        begun: list[npt.NDArray[np.intp]] = []
        best, size = (0, 0), 1
        while len(order):
            begun.append(order[:size])
            counts = self._counts.of(self._busier(candidates.take(order[:size])))
            if counts.candidates:
                elements = self._counts.elements(counts)
                first = np.lexsort((counts.steps, -elements))[0]
                best = max(best, (int(elements[first]), -int(counts.steps[first])))
            order = order[size:]
            most = busy.elements[order]
            order = order[(most > best[0]) | ((most == best[0]) & (busy.steps[order] <= -best[1]))]
            size *= 2
        return self._busier(candidates.take(np.sort(np.concatenate(begun)))) if begun else found

    def _busier(self, candidates: Candidates) -> Candidates:
        """Candidates, and those that differ from them in busy elements alone."""
        for name in self._flow.flow.inner:
            if name not in self._values.tied:
                continue
            value = candidates.columns[name]
            more = self._values.most_tied(candidates, name) - value + 1
            rows = np.repeat(np.arange(candidates.count), more)
            further = np.arange(len(rows)) - np.repeat(np.cumsum(more) - more, more)
            candidates = candidates.take(rows).beside(name, value[rows] + further)
            candidates = candidates.take(np.flatnonzero(self._fit.all_fit(candidates)))
        return candidates

    def has_any(self, most: int) -> bool | None:
        """Whether a mapping fits, None if that is not known after about `most` candidates: the smallest tiles first."""
        last = len(self._values.parameters) - 1
        stack = [(Candidates(1, {}), 0)]
        while stack:
            if most < 0:
                return None
            candidates, number = stack.pop()
            if number > last:
                if self._fit.all_fit(candidates).any():
                    return True
                continue
            name = self._values.parameters[number]
            grown = self._growth.grown(
                candidates, name, self._fit.may_fit if name in self._flow.flow.inner else self._fit.all_fit
            )
            most -= grown.count
            if grown.count:
                stack += ((chunk, number + 1) for chunk in reversed([*grown.chunks(CHUNK // _BATCH)]))
        return False

    def priced(self, parameters: Mapping[str, int]) -> Found | None:
        """The mapping with these parameters, None if it does not fit."""
        flow = self._flow.flow
        values = {**dict.fromkeys((*flow.inner, *flow.outer), 1), **parameters}
        candidates = Candidates(1, {name: np.array([value], np.int64) for name, value in values.items()})
        if not self._fit.all_fit(candidates).all():
            return None
        counts = self._counts.of(candidates)
        best = float(self._bounds.value(counts)[0]), -int(self._counts.elements(counts)[0])
        return self._found(candidates, counts, best)

    def _found(self, candidates: Candidates, counts: Counts, best: tuple[float, int]) -> Found:
        """The mapping of a single candidate, whose value and idle elements are known."""
        return Found(
            mapping_of(self._flow.problem, self._flow.nest, self._flow.tiles(candidates.columns, candidates.count), 0),
            {name: int(column[0]) for name, column in candidates.columns.items()},
            best[0],
            best[0],
            {event: int(column[0]) for event, column in counts.events.items()},
            -best[1],
            int(counts.steps[0]),
        )


def _has_ramp(hierarchy: Hierarchy) -> bool:
    """Whether the array waits longer for larger first tiles."""
    return any(each.buffers > 1 and (each.read or each.write) is not None for each in hierarchy.memories[1:])
