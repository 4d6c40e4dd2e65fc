"""The best mapping of a link in a dataflow: branch and bound over its parameters, as NumPy columns.

Where tiles are products of parameters, every tile is a whole number of those further in, and only the last one of a
loop is smaller. Of the counts that cut a loop into the same number of tiles only the smallest is tried, as it takes
the least room and nothing else differs, unless tiles lie side by side on an axis. Of others, all are
(`passes.mapper.chains`).

Removing a cut from a nest never makes an event more frequent, but for additions, which it moves inwards, where they
must not cost more. So the inner parameters alone, with all loops whole that outer ones would cut, bound what a mapping
costs inside; the outer parameters that fit with an inner tile of one bound what the outermost memory costs. Energy is
at least the sum of both; time at least the longest of all steps and of what each memory moves. Inner parameters that
are not decided yet are left out as well, where `passes.mapper.early` allows it. Candidates are grown, and at last
priced, in the order of their bounds, the most complete first, until no bound is below the best value found.

Elements side by side do not change what a tile costs, only how many are busy. Unless time counts, sizes that differ in
nothing else are tried for the mappings that cost least, so that the most busy of them is found.

That is not quite so where a memory keeps words while other loops run between two cuts of a loop: one of these left out,
the other may run where it did not. No random nest has shown a mapping that was missed for that.

Inner parameters are dropped if they do not fit with the smallest outer ones that matter. Let these leave m indices of a
loop at the bar. Where every tile right of it that p is in has m indices with the next smaller p, too, that p gives the
same mapping and is tried as well. So p has to fit only where m is more than such a tile (`_least_reach`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import GConv
from dialects.hierarchy import Hierarchy, Memory
from dialects.schedule import Mapping as LinkMapping
from dialects.schedule import Objective, Operand
from passes.mapper.candidates import CHUNK, Candidates, joined
from passes.mapper.chains import counts_tiles, cut_by, moves_inwards, tiles_within
from passes.mapper.counts import OPERAND_NAMES, Counts
from passes.mapper.dataflow import BoundFlow, parse_dataflow
from passes.mapper.early import Early, Open
from passes.mapper.nest import Column, For, Nest, Par, Store, mapping_of
from passes.mapper.pricing import Prices, Values
from passes.mapping.roles import Roles, roles_in_nest

Flags = npt.NDArray[np.bool_]

_BATCH = 256
"""Candidates that are priced together: the bounds of few are below the best value."""
_FIRST_BATCH = 32
"""The same as long as there is no such value: one that is found soon saves to price most of the others."""
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
) -> Found:
    """The mapping with the least value; ties go to more busy elements.

    `roles` say which loop plays which part of a convolution, if not those that `roles_in_nest` gives. Once there is a
    mapping, `should_stop` is asked whether that is good enough.

    Raises `CatenaError` (CAT-F001) if none fits, CAT-C003 if the dataflow is wrong.
    """
    roles = roles or roles_in_nest(spec)
    flow = parse_dataflow(hierarchy).without_repeats(roles).on(spec, roles)
    found = _Search(flow, hierarchy, objective).best(should_stop)
    if found is None:
        raise CatenaError(
            Diagnostic("CAT-F001", f"no mapping of this link in the dataflow of {hierarchy.name} fits", "mapped", node)
        )
    return found


Choice = Callable[[BoundFlow, list[Column]], Flags]
"""Which candidates of a dataflow may be taken, given the tiles of its nodes."""


def several_in_dataflow(
    spec: GConv,
    hierarchy: Hierarchy,
    count: int,
    objective: Objective = Objective.ENERGY,
    choice: Choice | None = None,
    should_stop: Callable[[], bool] = _never,
) -> list[Found]:
    """The mappings with the least values, best first, at most `count`; none if none fits.

    With a `choice` only those that it allows. `should_stop` is as for the best one.

    Raises `CatenaError` (CAT-C003) if the dataflow is wrong.
    """
    roles = roles_in_nest(spec)
    flow = parse_dataflow(hierarchy)
    flow = (flow if choice else flow.without_repeats(roles)).on(spec, roles)
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
    ):
        self._choice = choice
        """Which candidates may be taken, if not all."""
        self._objective = objective
        self._prices = Prices(hierarchy, objective)
        self._flow = flow
        self._hierarchy = hierarchy
        # Words that stay nowhere further in go to elements that may share them: only the whole nest says how often.
        self._passing = [each for each in flow.problem.operands if not flow.nest.stores(each)]
        stored = (each for each in flow.problem.operands if each not in self._passing)
        self._outermost = tuple(f"{hierarchy.memories[0].name}.{OPERAND_NAMES[each]}." for each in stored)
        self._outside = _outside(flow)
        limited = [flow.flow.reserves[each.name] for each in hierarchy.memories if each.words is not None]
        self._shrinking = frozenset(name for each in limited if each.ever[0] is None for name in each.names)
        left = {node.memory for node in flow.nest.nodes[: flow.seam] if isinstance(node, Store)}
        self._memories_outside = tuple(each for each in hierarchy.memories if each.name in left)
        self._left = Nest(flow.nest.nodes[: flow.seam])
        self._cut_outside = cut_by(flow, frozenset(flow.flow.outer))
        self._parameters = (*flow.flow.inner, *flow.flow.outer)
        self._tied = frozenset(self._find_tied()) if choice is None and not self._takes_time else frozenset[str]()
        self._free = frozenset(self._find_free()) - self._tied
        self._counted = frozenset(
            name for name in self._parameters if counts_tiles(flow, name, frozenset(self._parameters))
        )
        keeps = any(each.stays or each.slides for each in hierarchy.memories[1:])
        self._inwards = frozenset(name for name in self._parameters if keeps and moves_inwards(flow, name))
        self._unordered = frozenset(self._find_unordered())
        self._replaceable = self._find_replaceable()
        self._even = [flow.places[part] for part in hierarchy.dataflow.even] if hierarchy.dataflow else []
        weigh = hierarchy.dataflow.weigh if hierarchy.dataflow and objective is not Objective.TRAFFIC else {}
        self._costs = {event: price * weigh.get(event, 1.0) for event, price in self._prices.of.items()}
        early = Early(flow, hierarchy, self._costs)
        self._early = frozenset(name for name in flow.flow.inner if early.may_be_open(name))

    def best(self, should_stop: Callable[[], bool]) -> Found | None:
        """The best mapping, or the best one found until it should stop; None if none fits."""
        return next(iter(self.several(1, should_stop)), None)

    def several(self, count: int, should_stop: Callable[[], bool]) -> list[Found]:
        """The best mappings that differ, at most `count`, best first, or the best found until it should stop."""
        names = self._flow.flow.inner
        waiting = [Open(0, Candidates(1, {}), np.zeros(1))]
        found: list[Found] = []
        while waiting:
            level = waiting[-1].level
            limit = found[-1].value if len(found) == count else np.inf
            most = _BATCH if limit < np.inf else _FIRST_BATCH
            batch, bound = waiting[-1].take(limit, most if level == len(names) else None)
            if not batch.count:
                waiting.pop()
            elif found and should_stop():
                least = min(float(bound[0]), *(each.least for each in waiting))
                return [replace(each, bound=min(least, each.value)) for each in found]
            elif level < len(names):
                grown = self._grown(batch.beside(_ROW, np.arange(batch.count)), names[level], self._may_fit)
                inherited, grown = bound[grown.columns[_ROW]], grown.without([_ROW])
                waiting.append(Open(level + 1, grown, np.maximum(inherited, self._bound(grown, level + 1))))
            else:
                found = self._better(found, batch, count)
        return found

    def _better(self, found: Sequence[Found], inner: Candidates, count: int) -> list[Found]:
        """The best of those found and of those with some inner parameters."""
        limit = found[-1].value if len(found) == count else np.inf
        candidates = self._with_outer(inner, self._fits, every=self._choice is not None, limit=limit)
        if self._choice is not None:
            tiles = self._flow.tiles(candidates.columns, candidates.count)
            candidates = candidates.take(np.flatnonzero(self._choice(self._flow, tiles)))
        if not candidates.count:
            return [*found]
        counts = self._counts(candidates)
        value = self._value(counts)
        if self._tied:
            best = np.sort(value)[:count][-1]
            candidates = self._busier(candidates.take(np.flatnonzero(value <= min(best, limit))))
            if not candidates.count:
                return [*found]
            counts = self._counts(candidates)
            value = self._value(counts)
        elements = self._elements(counts)
        known = {each.mapping: each for each in found}
        for row in np.lexsort((counts.steps, -elements, value))[:count]:
            if value[row] <= limit:
                each = self._found(candidates, counts, int(row), (float(value[row]), -int(elements[row])))
                known.setdefault(each.mapping, each)
        return sorted(known.values(), key=lambda each: (each.value, -each.elements, each.steps))[:count]

    def _busier(self, candidates: Candidates) -> Candidates:
        """Candidates, and those that differ from them in busy elements alone."""
        for name in self._flow.flow.inner:
            if name not in self._tied:
                continue
            left, value = self._left_of(candidates, name), candidates.columns[name]
            tiles = -(-left // value)
            largest = np.where(tiles > 1, (left - 1) // np.maximum(tiles - 1, 1), left)
            more = largest - value + 1
            rows = np.repeat(np.arange(candidates.count), more)
            further = np.arange(len(rows)) - np.repeat(np.cumsum(more) - more, more)
            candidates = candidates.take(rows).beside(name, value[rows] + further)
            candidates = candidates.take(np.flatnonzero(self._fits(candidates)))
        return candidates

    def has_any(self, most: int) -> bool | None:
        """Whether a mapping fits, None if that is not known after about `most` candidates: the smallest tiles first."""
        last = len(self._parameters) - 1
        stack = [(Candidates(1, {}), 0)]
        while stack:
            if most < 0:
                return None
            candidates, number = stack.pop()
            if number > last:
                if self._fits(candidates).any():
                    return True
                continue
            name = self._parameters[number]
            grown = self._grown(candidates, name, self._may_fit if name in self._flow.flow.inner else self._fits)
            most -= grown.count
            if grown.count:
                stack += ((chunk, number + 1) for chunk in reversed([*grown.chunks(CHUNK // _BATCH)]))
        return False

    def priced(self, parameters: Mapping[str, int]) -> Found | None:
        """The mapping with these parameters, None if it does not fit."""
        flow = self._flow.flow
        values = {**dict.fromkeys((*flow.inner, *flow.outer), 1), **parameters}
        candidates = Candidates(1, {name: np.array([value], np.int64) for name, value in values.items()})
        if not self._fits(candidates).all():
            return None
        counts = self._counts(candidates)
        best = float(self._value(counts)[0]), -int(self._elements(counts)[0])
        return self._found(candidates, counts, 0, best)

    def _found(self, candidates: Candidates, counts: Counts, chosen: int, best: tuple[float, int]) -> Found:
        return Found(
            mapping_of(
                self._flow.problem, self._flow.nest, self._flow.tiles(candidates.columns, candidates.count), chosen
            ),
            {name: int(column[chosen]) for name, column in candidates.columns.items()},
            best[0],
            best[0],
            {event: int(column[chosen]) for event, column in counts.events.items()},
            -best[1],
            int(counts.steps[chosen]),
        )

    def _with_outer(
        self,
        candidates: Candidates,
        fits: Callable[[Candidates], Flags],
        *,
        every: bool = False,
        limit: float = np.inf,
    ) -> Candidates:
        """With all values of the outer parameters that fit; of the last one the largest, as less seldom costs less.

        With `every`, all of the last one, too. Those that cost more than `limit` may be missing.
        """
        if not self._flow.flow.outer:
            return candidates.take(np.flatnonzero(fits(candidates)))
        *names, last = self._flow.flow.outer
        for name in names:
            candidates = self._grown(candidates, name, fits)
            if limit < np.inf:
                within = [self._may_be_within(chunk, limit) for chunk in candidates.chunks()]
                candidates = candidates.take(np.flatnonzero(np.concatenate(within)))
        if every or self._even or self._waits or last in self._unordered:
            # The largest that fits need not divide its loop, takes longest to arrive, or is not the best.
            return self._grown(candidates, last, fits)
        return self._smaller_too(self._filled(candidates, last, fits), last)

    def _smaller_too(self, candidates: Candidates, name: str) -> Candidates:
        """With the smaller values of a parameter, too, that may cost less than the largest that fits."""
        most = candidates.columns[name]
        values = [most]
        if name not in self._counted:
            tiles = self._flow.tiles(candidates.columns, candidates.count)
            for place in tiles_within(self._flow, name, timed=self._takes_time) or ():
                tile = tiles[place]
                if self._hierarchy.nested:
                    values.append(np.where(tile <= most, most // tile * tile, most))
                if name in self._inwards and isinstance(self._flow.nest.nodes[place], For):
                    values.append(np.minimum(tile, most))
        elif name in self._inwards:
            values.append(np.ones_like(most))
        if len(values) == 1:
            return candidates
        rows = [np.arange(candidates.count)]
        for number, column in enumerate(values[1:], 1):
            is_new = np.all([column != each for each in values[:number]], axis=0)
            rows.append(np.flatnonzero(is_new))
        return joined([candidates.take(some).beside(name, each[some]) for each, some in zip(values, rows, strict=True)])

    def _grown(self, candidates: Candidates, name: str, fits: Callable[[Candidates], Flags]) -> Candidates:
        """With all values of a further parameter that fit."""
        grown = [Candidates(0, dict.fromkeys((*candidates.columns, name), np.zeros(0, np.int64)))]
        for values, rows in self._values(candidates, name):
            for chunk in candidates.take(rows).chunks(len(values)):
                more = chunk.grown(name, values)
                grown.append(more.take(np.flatnonzero(fits(more))))
        return joined(grown)

    def _filled(self, candidates: Candidates, name: str, fits: Callable[[Candidates], Flags]) -> Candidates:
        """With the largest value of a further parameter that fits, found by bisection, of all candidates at a time."""
        tables: list[Column] = [np.zeros(0, np.int64)]
        first, last = np.zeros(candidates.count, np.int64), np.full(candidates.count, -1)
        length = 0
        for values, rows in self._values(candidates, name):
            tables.append(values)
            first[rows], last[rows] = length, length + len(values) - 1
            length += len(values)
        table = np.concatenate(tables)
        filled = [Candidates(0, dict.fromkeys((*candidates.columns, name), np.zeros(0, np.int64)))]
        for rows in np.array_split(np.arange(candidates.count), max(1, candidates.count // CHUNK)):
            chunk = candidates.take(rows)
            low, high = first[rows] - 1, last[rows]
            while (low < high).any():
                middle = (low + high + 1) // 2
                fit = fits(chunk.beside(name, table[middle]))
                low, high = np.where(fit, middle, low), np.where(fit, high, middle - 1)
            some = np.flatnonzero(low >= first[rows])
            filled.append(chunk.take(some).beside(name, table[low[some]]))
        return joined(filled)

    def _values(self, candidates: Candidates, name: str) -> Iterator[tuple[Column, npt.NDArray[np.intp]]]:
        """The values of a further parameter, ascending, with the candidates that may have them."""
        left = self._left_of(candidates, name)
        for remaining in map(int, np.unique(left)):
            values: Column = np.arange(1, remaining + 1) if name in self._free else _even(remaining)
            yield values, np.flatnonzero(left == remaining)

    def _left_of(self, candidates: Candidates, name: str) -> Column:
        """What a parameter is at most: with more no tile is larger, beside what is decided before it, nor room less."""
        if name in self._shrinking:
            return np.full(candidates.count, self._flow.most_of(name))
        before = frozenset(itertools.takewhile(lambda other: other != name, self._parameters))
        most: Column = np.ones(candidates.count, np.int64)
        for part, others in self._flow.flow.products_of(name):
            done: Column = np.ones(candidates.count, np.int64)
            for other in others & before & candidates.columns.keys():
                done = done * candidates.columns[other]
            most = np.maximum(most, -(-self._flow.values[part] // done))
        return most

    def _find_unordered(self) -> Iterator[str]:
        """Parameters of which any value that fits may cost least."""
        for name in self._parameters:
            laid = any(isinstance(self._flow.nest.nodes[place], Par) for place in cut_by(self._flow, frozenset({name})))
            is_alone = tiles_within(self._flow, name, timed=self._takes_time) is not None
            if name in self._shrinking or laid or not (name in self._counted or is_alone):
                yield name

    def _find_free(self) -> Iterator[str]:
        """Parameters that are to have all values: sizes that cut a loop into equally many tiles differ.

        They do in busy elements, strips, or reserved words, or if that number says not all.
        """
        for name in self._parameters:
            if name in self._flow.flow.laid or not self._counts_alone(name):
                yield name

    def _find_tied(self) -> Iterator[str]:
        """Inner parameters of which sizes that cut a loop into equally many tiles differ in busy elements alone."""
        for name in self._flow.flow.inner:
            if name in self._flow.flow.laid and self._counts_alone(name):
                yield name

    def _counts_alone(self, name: str) -> bool:
        """Whether only the number of tiles matters into which a parameter cuts its loop, but for busy elements."""
        loops = (self._flow.places[part] for part in self._flow.flow.parts_of(name))
        slides = any(loop is not None and self._flow.problem.window_of(loop) is not None for loop in loops)
        strips = not self._hierarchy.nested and slides
        before = frozenset(itertools.takewhile(lambda other: other != name, self._parameters))
        return not strips and name not in self._shrinking and counts_tiles(self._flow, name, before)

    def _fits(self, candidates: Candidates) -> Flags:
        counts = self._counts(candidates)
        fits = self._fits_in(candidates, counts, self._hierarchy.memories) & self._fits_array(candidates, counts)
        return fits & self._is_even(candidates)

    def _is_even(self, candidates: Candidates) -> Flags:
        """Whether the loops that must be cut into equal tiles only are, or may be while parameters are missing."""
        fits = np.ones(candidates.count, np.bool_)
        if any(name not in candidates.columns for name in self._parameters):
            return fits
        tiles = self._flow.tiles(candidates.columns, candidates.count)
        for loop in self._even:
            around: Column = np.full(candidates.count, 1 if loop is None else self._flow.problem.extents[loop])
            for node, tile in zip(self._flow.nest.nodes, tiles, strict=True):
                if not isinstance(node, Store) and node.loop == loop:
                    fits &= (around % tile == 0) | (tile >= around)
                    around = np.minimum(around, tile)
        return fits

    def _fits_outside(self, candidates: Candidates) -> Flags:
        """Whether what is stored left of the bar fits, with the smallest tiles that missing parameters leave."""
        return self._fits_in(candidates, self._counts(candidates, self._left), self._memories_outside)

    def _may_fit(self, candidates: Candidates) -> Flags:
        """Whether inner parameters may fit for some outer ones: with the least tiles left of the bar."""
        tiles = self._flow.tiles(candidates.columns, candidates.count)
        least = self._least_reach(candidates)
        for place in self._cut_outside:
            loop = self._flow.loop(place)
            if loop in least:
                tiles[place] = np.maximum(tiles[place], least[loop])
        counts = Counts(self._flow.problem, self._hierarchy, self._flow.nest, tiles)
        return self._fits_in(candidates, counts, self._hierarchy.memories) & self._fits_array(candidates, counts)

    def _find_replaceable(self) -> dict[str, tuple[int, tuple[int, ...]]]:
        """Inner parameters whose values make no difference but to one loop, right of the bar: with it, and their nodes.

        Outer parameters cut that loop, too. Those that are decided later may have the same values with a smaller one.
        """
        flow, inner = self._flow.flow, self._flow.flow.inner
        reserving = frozenset(name for each in flow.reserves.values() for name in each.names)
        found: dict[str, tuple[int, tuple[int, ...]]] = {}
        for number, name in enumerate(inner):
            places = cut_by(self._flow, frozenset({name}))
            loops = {self._flow.loop(place) for place in places}
            later = flow.factors_of(name) & frozenset(inner[number + 1 :])
            if (
                len(loops) == 1
                and loops <= {self._flow.loop(place) for place in self._cut_outside}
                and places[0] >= self._flow.seam
                and name not in reserving
                and later <= self._free
            ):
                found[name] = loops.pop(), places
        return found

    def _least_reach(self, candidates: Candidates) -> dict[int, Column]:
        """By loop, the indices left of it at the bar with which no smaller parameter gives the same mapping, at least.

        They are more than the least tile that the parameter is in with its next smaller value; with missing parameters,
        at least as many.
        """
        least: dict[int, Column] = {}
        for name, (loop, places) in self._replaceable.items():
            if name not in candidates.columns:
                continue
            column = candidates.columns[name]
            before = candidates.beside(name, self._smaller(candidates, name))
            tiles = self._flow.tiles(before.columns, before.count)
            reach = np.min([tiles[place] for place in places], axis=0) + 1
            reach = np.where(column > 1, reach, 1)
            least[loop] = np.maximum(least.get(loop, 1), reach)
        return least

    def _smaller(self, candidates: Candidates, name: str) -> Column:
        """The value of a parameter that comes before each one."""
        below = np.maximum(candidates.columns[name] - 1, 1)
        left = self._left_of(candidates, name)
        return below if name in self._free else -(-left // -(-left // below))

    def _fits_in(self, candidates: Candidates, counts: Counts, memories: Iterable[Memory]) -> Flags:
        fits = np.ones(candidates.count, np.bool_)
        for memory in memories:
            held = {operand: memory.buffers * words for operand, words in counts.occupancy.get(memory.name, {}).items()}
            for operand, words in held.items():
                fits &= words <= memory.rooms.get(operand, words)
            if memory.words is not None and held:
                bank = memory.bank or 1
                taken = sum(-(-words // bank) * bank for words in held.values())
                fits &= taken <= self._flow.room(memory.name, memory.words, candidates.columns)
        return fits

    def _fits_array(self, candidates: Candidates, counts: Counts) -> Flags:
        """Whether there are as many elements as missing parameters leave busy at least."""
        missing = [name for name in (*self._flow.flow.inner, *self._flow.flow.outer) if name not in candidates.columns]
        # A larger tile lays fewer: one that is not known yet may lay none.
        unknown = cut_by(self._flow, frozenset(missing))
        fits = np.ones(counts.candidates, np.bool_)
        product: Column = np.ones(counts.candidates, np.int64)
        for axis in self._hierarchy.axes:
            elements = counts.elements(axis.name, unknown)
            fits &= elements <= axis.size
            product = product * elements
        return fits if self._hierarchy.elements is None else fits & (product <= self._hierarchy.elements)

    @property
    def _waits(self) -> bool:
        """Whether the array waits longer for larger first tiles, and that matters."""
        memories = self._hierarchy.memories[1:]
        has_ramp = any(each.buffers > 1 and (each.read or each.write) is not None for each in memories)
        return has_ramp and self._takes_time

    @property
    def _takes_time(self) -> bool:
        return self._objective in (Objective.LATENCY, Objective.EDP)

    def _bound(self, inner: Candidates, level: int) -> Values:
        """A lower bound of the value of all candidates with these inner parameters, of which `level` are decided."""
        if not self._early.issuperset(self._flow.flow.inner[level:]):
            return np.zeros(inner.count)
        inside = [self._inner_bound(chunk) for chunk in inner.chunks()]
        energy, cycles = (np.concatenate(column) for column in zip(*inside, strict=True))
        outer_energy, outer_cycles = self._outermost_bound(inner)
        return self._objective.of(energy + outer_energy + self._work, np.maximum(cycles, outer_cycles))

    def _may_be_within(self, candidates: Candidates, limit: float) -> Flags:
        """Whether some values of missing parameters may cost no more than a limit.

        Without their cuts candidates cost least, but where such a cut keeps a loop from running further in, past others
        that then decide what memories keep. So that is compared with cuts as small as they can be, too.
        """
        energy, cycles = self._inner_bound(candidates, outermost=None)
        within = self._objective.of(energy + self._work, cycles) <= limit
        if self._inwards - candidates.columns.keys():
            rows = np.flatnonzero(~within)
            for nest, outermost in ((self._outside, True), (self._flow.nest, None)):
                energy = self._energy(self._counts(candidates.take(rows), nest), outermost=outermost) + self._work
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
        if self._takes_time:
            cycles = fastest.steps.astype(np.float64)
            for memory in self._hierarchy.memories[1:]:
                copies: Column = np.ones(counts.candidates, np.int64)
                for axis in self._hierarchy.axes_outside(memory.name):
                    copies = copies * np.minimum(fastest.elements(axis.name), axis.size)
                cycles = np.maximum(cycles, self._moving(memory, counts) / copies)
        return self._energy(counts, fastest, outermost=outermost), cycles

    def _open_cuts(self, inner: Candidates) -> tuple[int, ...]:
        """The nodes whose tiles parameters have a say in that are not decided."""
        return cut_by(self._flow, frozenset(self._parameters) - inner.columns.keys())

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
        reserving = {name for each in self._memories_outside for name in flow.reserves[each.name].names}
        reserving &= inner.columns.keys()
        names = reserving.union(*tied.values())
        tiles = self._flow.tiles(inner.columns, inner.count)
        columns = [*(tiles[place] for place in tied), *(inner.columns[name] for name in sorted(reserving))]
        keys = np.stack([np.ones(inner.count, np.int64), *columns])
        _, index, inverse = np.unique(keys, axis=1, return_index=True, return_inverse=True)
        distinct = inner.take(index).without(name for name in flow.inner if name not in names)
        candidates = distinct.beside(_ROW, np.arange(distinct.count))
        candidates = self._with_outer(candidates, self._fits_outside)
        energy = np.full(distinct.count, np.inf)
        cycles = np.zeros(distinct.count) if self._passing else energy.copy()
        whole = {place for place, used in tied.items() if not used <= inner.columns.keys()}
        for chunk in candidates.chunks():
            counts = self._counts(chunk, self._outside, whole)
            np.minimum.at(energy, chunk.columns[_ROW], self._energy(counts, outermost=True))
            if self._takes_time and not self._passing:
                moved = self._moving(self._hierarchy.memories[0], counts)
                np.minimum.at(cycles, chunk.columns[_ROW], moved)
        inverse = inverse.reshape(-1)
        return energy[inverse], cycles[inverse]

    def _moving(self, memory: Memory, counts: Counts) -> Values:
        """Cycles in which one copy of a memory would move the words of all copies."""
        return np.maximum(*self._prices.shared_port_cycles(memory, counts))

    def _value(self, counts: Counts) -> Values:
        """What the search makes least."""
        energy = self._energy(counts) + self._work
        return self._objective.of(energy, self._prices.cycles(counts) if self._takes_time else energy)

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

    def _elements(self, counts: Counts) -> Column:
        product: Column = np.ones(counts.candidates, np.int64)
        for axis in self._hierarchy.axes:
            product = product * counts.elements(axis.name)
        return product

    def _counts(self, candidates: Candidates, nest: Nest | None = None, whole: Iterable[int] = ()) -> Counts:
        """The counts of candidates, with the loops of some nodes whole."""
        nest = nest or self._flow.nest
        tiles = self._flow.tiles(candidates.columns, candidates.count)[: len(nest.nodes)]
        for place in whole:
            tiles[place] = np.full(candidates.count, self._flow.problem.extents[self._flow.loop(place)], np.int64)
        missing = [np.ones(candidates.count, np.int64)] * (len(nest.nodes) - len(tiles))
        return Counts(self._flow.problem, self._hierarchy, nest, tiles + missing)


def _outside(flow: BoundFlow) -> Nest:
    """The nest left of the bar, with operands that are brought further in brought there."""
    nodes = flow.nest.nodes[: flow.seam]
    there = {node.operand for node in nodes if isinstance(node, Store)}
    further: dict[Operand, Store] = {}
    for node in flow.nest.nodes[flow.seam :]:
        if isinstance(node, Store) and node.operand not in there:
            further.setdefault(node.operand, node)
    return Nest((*nodes, *further.values()))


def _even(extent: int) -> Column:
    """The smallest tile for every number of tiles that a loop can be cut into."""
    return np.unique(-(-extent // np.arange(1, extent + 1)))
