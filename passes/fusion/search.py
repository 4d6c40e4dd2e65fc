"""The best mappings of a fused group: its Pareto front of capacity, off-chip traffic and operations over `Space`.

Mappings are built from the outside in: a tensor gets a place below the loops that stand already, or one more loop is
cut. What a place holds, what it moves and what is made for it depend only on the loops above it and on the places that
stand already; so a part of a mapping has exact costs. What has no place yet will move no less and take no fewer
operations than with a place right here, and no less room than its smallest tile. Parts that are, with these bounds, no
better than a whole mapping that is known are given up, and so are parts that have the same future as others and cost no
less. What is proved besides:
- a tensor from off-chip has its place above a loop that makes the place no smaller;
- once only such tensors are left, no loop is cut that makes none of their places smaller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from dialects.fused_mapping import FusedMapping, Retention
from dialects.gconv.spec import LoopKind
from dialects.schedule import Temporal
from passes.fusion.columns import PIECE, Pricing, Within, depth_of, dot
from passes.fusion.cut_traffic import CutTraffic
from passes.fusion.factors import GroupTables, Ids, Mask, Ratios
from passes.fusion.front import Costs, Objective
from passes.fusion.group import Group
from passes.fusion.own_nests import OwnNests
from passes.fusion.rows import WITHIN, Numbers, Rows, Small, worse
from passes.fusion.space import Space
from passes.mapper.effort import Effort, SpentError

AT_ONCE = 1 << 14
"""Rows that are worked on together, at most."""
FIRST = 1 << 8
"""Rows that are worked on together first, where it is the least traffic that is wanted."""
WAITING = 1 << 18
"""With more rows than these in waiting, those that wait are looked at first: about 100 bytes each, per loop cut."""
NO_LIMIT = np.iinfo(np.int64).max
"""More than anything costs."""


@dataclass(frozen=True)
class Limits:
    """Costs that are of no use if larger; words, words, operations of the whole group."""

    capacity: int | None = None
    traffic: int | None = None
    operations: int | None = None


@dataclass(frozen=True)
class Point:
    """A mapping and its costs: words of the buffer, words over the off-chip link, operations of all links."""

    capacity: int
    traffic: int
    operations: int
    mapping: FusedMapping


class GroupSearch:
    """A search over the mappings of one group, whose front so far is there at any time.

    `memory` is the buffer that all places are in. The tensors named as `resident` are there, all of them, before the
    group begins or after it ends: inputs, the head's result, and others that are wanted outside. `tables` are those of
    the group and space, if they are at hand from an earlier search.
    """

    def __init__(
        self,
        group: Group,
        memory: str,
        space: Space | None = None,
        limits: Limits | None = None,
        effort: Effort | None = None,
        objective: Objective = Objective.FRONT,
        resident: Collection[str] = (),
        tables: GroupTables | None = None,
    ):
        space, limits = space or Space(), limits or Limits()
        self.group, self.memory, self.space, self.effort = group, memory, space, effort or Effort()
        self.objective = objective
        self.exact = False
        """Whether the front is that of the whole space: the search came to its end, and gave up nothing better."""
        tables = tables or GroupTables(group, space)
        self.loops, self._factors = tables.loops, tables.factors
        self._names = [tensor.name for tensor in group.tensors]
        bounds = (limits.capacity, limits.traffic, limits.operations)
        self._limits = [NO_LIMIT if each is None else each for each in bounds]
        self._result = self._names.index(group.head.result)
        self._factor_of = {loop: i for i, factor in enumerate(self._factors) for loop in factor.loops}
        self._resident = {self._names.index(name) for name in resident}
        own = OwnNests.of(group) if space.pieces else None
        self._pricing = Pricing(
            tables.tabulation, self._factors, space.stages, self._mapping, self._resident, self.loops, own
        )
        self._outside = [i for i in range(len(self._names)) if i not in self._pricing.intermediates]
        self._first = self._loops_of_twins()
        self._bits = 1 << np.arange(len(self._pricing.intermediates), dtype=np.int64)
        self._given_up = np.empty((0, 3), np.int64)
        """What parts of mappings that were given up cost at least, those that are wanted of them."""
        self._best: Rows | None = None
        self._above: Rows
        """Those that have a loop less than the ones at work."""
        self._costs = np.empty((0, 3), np.int64)
        self._bound = objective.bound(self._costs)

    # The front --------------------------------------------------------------------------------------------------------

    @property
    def costs(self) -> Costs:
        """Capacity, traffic and operations of the front's points, by rising capacity."""
        return self._costs

    @property
    def front(self) -> list[Point]:
        """The front so far, by rising capacity."""
        return [
            Point(capacity, traffic, operations, self.mapping(index))
            for index, (capacity, traffic, operations) in enumerate(self.costs.tolist())
        ]

    def mapping(self, point: int) -> FusedMapping:
        """The mapping of a point of the front, by its index in `costs`."""
        assert self._best is not None
        mapping = self._mapping(self._best, point, False)
        row = self._best.where(np.array([point]))
        pieces = self._pricing.pieces
        if pieces is None:
            return mapping.in_order
        open_ = np.array([[each.level is None for each in mapping.retentions]])
        row.levels[:, self._outside] = WITHIN
        one_by_one = not self._pricing.product(row).all()
        within = self._pricing.within_one_by_one(row) if one_by_one else self._pricing.within(row)
        by_result, by_input = pieces.possible(within.saved, open_)[0]
        return pieces.own.on(mapping, by_result=by_result >= by_input).in_order

    def _mapping(self, rows: Rows, row: int, placed: bool) -> FusedMapping:
        """The mapping of a row; tensors without a place are within the links or, if `placed`, below all loops."""
        positions, levels = rows.positions[row].tolist(), rows.levels[row].tolist()
        tiles: dict[int, int] = {}
        for placed_, state in zip(self._factors, rows.states[row].tolist(), strict=True):
            tiles |= {placed_.loops[loop]: tile for loop, tile in placed_.factor.tiles(state).items()}
        order = sorted(tiles, key=lambda loop: positions[loop])
        loops = tuple(Temporal(self.loops[loop], tiles[loop]) for loop in order)
        retentions: list[Retention] = []
        for index, (name, level) in enumerate(zip(self._names, levels, strict=True)):
            if level != WITHIN:
                retentions.append(Retention(name, self.memory, level, resident=index in self._resident))
            elif index in self._outside:
                retentions.append(Retention(name, self.memory, len(loops) if placed else None))
            else:
                retentions.append(Retention(name, self.memory, len(loops), reuse=False))
        return FusedMapping(loops, tuple(retentions), self.space.stages)

    # The walk ---------------------------------------------------------------------------------------------------------

    def run(self) -> GroupSearch:
        """Search to the end, or until the effort is spent."""
        for _ in self.improving():
            pass
        return self

    def improving(self) -> Iterator[Costs]:
        """Search, with the costs of the front so far after every set of loops."""
        # parts at work get numbers in place, and are none of those above
        root, self._above = (Rows.root(len(self._factors), len(self._names), len(self.loops)) for _ in range(2))
        most = len(self.loops) if self.space.most_loops is None else min(self.space.most_loops, len(self.loops))
        try:
            yield from self._deepen({frozenset(): list(self._placed(root, None, most == 0))}, most)
            self.exact = not self._hopeful(self._given_up).any()
        except SpentError:
            pass
        yield self.costs

    def _deepen(self, open_rows: dict[frozenset[int], list[Rows]], more: int) -> Iterator[Costs]:
        """Cut up to so many `more` loops in open rows, given by the loops that they cut.

        Rows with as many loops are looked at together, unless there are too many of them.
        """
        yield self.costs
        if not more:
            return
        further: dict[frozenset[int], list[Rows]] = {}
        waiting = 0
        for cut, parts in open_rows.items():
            rows = self._of_use(Rows.all_of(parts)) if parts else None
            parts.clear()
            for start in range(0, len(rows) if rows else 0, AT_ONCE):
                assert rows is not None
                some = rows.where(np.arange(start, min(start + AT_ONCE, len(rows))))
                for loop in self._further(cut):
                    longer = list(self._cut(some, loop, more == 1))
                    further.setdefault(cut | {loop}, []).extend(longer)
                    waiting += sum(len(each) for each in longer)
                if waiting > WAITING:
                    yield from self._deepen(further, more - 1)
                    further, waiting = {}, 0
        yield from self._deepen(further, more - 1)

    def _loops_of_twins(self) -> dict[int, frozenset[int]]:
        """For loops of a factor that is like one before it: the loops of that one."""
        before: dict[int, frozenset[int]] = {}
        for index, placed in enumerate(self._factors):
            for other in self._factors[:index]:
                if other.factor is placed.factor:
                    before |= dict.fromkeys(placed.loops, frozenset(other.loops))
        return before

    def _further(self, cut: frozenset[int]) -> list[int]:
        """Loops that may be cut next: if dimensions are alike, those of the first one first."""
        if self.space.schedule is not None:
            following = self.space.schedule[len(cut) : len(cut) + 1]
            return [self.loops.index(loop) for loop in following if loop in self.loops]
        if not self.space.unfinished and any(self.loops[loop].kind is LoopKind.KS for loop in cut):
            return []
        return [
            loop
            for loop in range(len(self.loops))
            if loop not in cut and (loop not in self._first or cut & self._first[loop])
        ]

    def _of_use(self, rows: Rows) -> Rows:
        """Rows that may still become points of the front and that no other row with the same future is as good as."""
        open_ = rows.levels == WITHIN
        kept = np.flatnonzero(self._hopeful(rows.costs + self._pricing.further(rows.moved, rows.worked, open_)))
        if len(kept) < len(rows):
            rows, open_ = rows.where(kept), open_[kept]
        if not len(rows):
            return rows
        futures: list[Ids] = [open_ @ (1 << np.arange(len(self._names)))]
        for index, placed in enumerate(self._factors):
            states, factor = rows.states[:, index], placed.factor
            complete = factor.complete(states)
            futures.append(np.where(complete, factor.same[states], states))
            if len(placed.loops) > 1:
                begun = ~complete & (rows.positions[:, list(placed.loops)] >= 0).any(axis=1)
                futures += [np.where(begun, rows.positions[:, loop], -1) for loop in range(len(self.loops))]
        costs = np.concatenate([rows.costs.astype(np.float64), np.where(open_, rows.moved, 0)], axis=1)
        return rows.where(~worse(np.stack(futures, axis=1), costs))

    def _cut(self, rows: Rows, loop: int, last: bool) -> Iterator[Rows]:
        """Rows with one more loop, innermost, in tiles of every size, and with some more places below it."""
        if not self.space.unfinished and self.loops[loop].kind is LoopKind.KS:
            rows = rows.where(np.flatnonzero(rows.levels[:, self._result] != WITHIN))
        pricing, index = self._pricing, self._factor_of[loop]
        factor, inner = self._factors[index].factor, self._factors[index].loops.index(loop)
        # Sizes that may lead to a point of the front, by what the first turn needs; with them loops move no less.
        open_ = rows.levels == WITHIN
        lower = rows.costs + pricing.further(rows.moved, rows.worked, open_)
        hopeful = np.flatnonzero(self._hopeful(lower))
        if not len(hopeful):
            return
        if len(hopeful) < len(rows):
            rows, lower, open_ = rows.where(hopeful), lower[hopeful], open_[hopeful]
        placed = ~open_[:, pricing.intermediates] @ self._bits
        states = factor.extended(rows.states[:, index], placed, inner)
        least = pricing.least(rows, self._to_come(last), index) * open_
        sizes = states.shape[1]
        if last or len(factor.cuts) == 1:
            # what the first turn needs in tiles of one loop does not depend on stances
            parts = factor.first[states[0]] if len(factor.cuts) == 1 else None
            of, size = self._sizes_of_use(lower, least, factor.first, states, parts)
        else:
            rooms = pricing.room(least * pricing.minimal[index])
            found = np.flatnonzero(self._has_room(lower, rooms))
            numbers = np.arange(sizes, dtype=np.int64)
            of, size = np.tile(found, sizes), np.repeat(numbers, len(found))
        self._above = rows
        level, traffic = depth_of(rows), CutTraffic.of(pricing, rows, index)
        for part in self._batches(lower[of]):
            if traffic is not None:
                part = self._of_little_traffic(
                    part, lower[of[part]], traffic.words(of[part], states[of[part], size[part]])
                )
                if not len(part):
                    continue
            longer = rows.without_numbers(of[part])
            longer.states[:, index] = states[of[part], size[part]]
            longer.positions[:, loop] = level
            yield from self._placed(longer, loop, last)

    def _of_little_traffic(self, part: Ids, lower: Costs, words: Numbers) -> Ids:
        """A part without what moves too much, which is looked at so; `lower` has what it costs at least otherwise."""
        lower[:, 1] = np.maximum(lower[:, 1], words)
        hopeful = self._hopeful(lower)
        self.effort.spend(len(part) - int(np.count_nonzero(hopeful)))
        return part[hopeful]

    def _batches(self, lower: Costs) -> Iterator[Ids]:
        """Rows that cost this at least, some at a time; those that what was found meanwhile makes useless never come.

        If it is traffic that counts, those that may move least come first, few at a time.
        """
        waiting, at_once = np.arange(len(lower)), AT_ONCE
        if self.objective is Objective.TRAFFIC:
            waiting, at_once = np.argsort(lower[:, 1], kind="stable"), FIRST
        while len(waiting):
            yield waiting[:at_once]
            waiting, at_once = waiting[at_once:], min(4 * at_once, AT_ONCE)
            waiting = waiting[self._hopeful(lower[waiting])]

    def _sizes_of_use(
        self, lower: Costs, least: Numbers, first: Ratios, states: Ids, parts: Ratios | None
    ) -> tuple[Ids, Ids]:
        """Rows and tile sizes, size by size, in which what the first turn needs leaves a point of the front possible.

        `first` are parts of what places hold at `least`, by state; `parts` by tile size, if these are all that counts.
        """
        rows, sizes = states.shape
        of, size = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        at_once = max(AT_ONCE // rows, 1)
        for start in range(0, sizes, at_once):
            if parts is not None:
                rooms = self._pricing.room_of_parts(least, parts[start : start + at_once])
            else:
                some = states[:, start : start + at_once].T
                rooms = self._pricing.room((least * first[some]).reshape(-1, least.shape[1]))
            found = np.flatnonzero(self._has_room(lower, rooms))
            of.append(found % rows)
            size.append(found // rows + start)
        return np.concatenate(of), np.concatenate(size)

    def _to_come(self, last: bool) -> set[int]:
        """The factors of which further loops may be cut."""
        return set[int]() if last else set(range(len(self._factors)))

    def _placed(self, rows: Rows, loop: int | None, last: bool) -> Iterator[Rows]:
        """Rows with any of the tensors without a place put below the loops; those that are still open."""
        if self.space.one_level:
            yield from self._placed_together(rows, loop, last)
            return
        for index in reversed(range(len(self._pricing.intermediates))):
            put = self._with_intermediate(rows, index, loop, of_use_only=last)
            is_resident = loop is None and self._pricing.intermediates[index] in self._resident
            rows = put if is_resident else Rows.all_of([rows, put])
        product = self._pricing.product(rows)
        if product.all():
            yield self._priced(rows, loop, False, last)
            return
        for some, one_by_one in self._apart(rows, product, last):
            yield self._priced(some, loop, one_by_one, last)

    def _apart(self, rows: Rows, product: Mask, last: bool) -> Iterator[tuple[Rows, bool]]:
        """Rows whose numbers are products, and, if they are not given up, those that are priced one by one.

        Those with loops that are given up because of their turns are left out.
        """
        one_by_one = ~product & ~self._pricing.too_large(rows) & self.space.all_joins
        self._give_up(rows.where(~product & ~one_by_one), last)
        for which, each in ((product, False), (one_by_one, True)):
            if which.any():
                yield rows.where(which), each

    def _give_up(self, rows: Rows, last: bool) -> None:
        """Do without rows, which have the numbers of places above their last loop: they cost at least as much."""
        if not len(rows):
            return
        open_, pricing = rows.levels == WITHIN, self._pricing
        lower = rows.costs + pricing.further(self._above.moved[rows.above], self._above.worked[rows.above], open_)
        lower[:, 0] += pricing.room(pricing.least(rows, self._to_come(last)) * open_).astype(np.int64)
        every = np.concatenate([self._given_up, lower[self._hopeful(lower)]])
        self._given_up = every[self.objective.best(every)]

    def _placed_together(self, rows: Rows, loop: int | None, last: bool) -> Iterator[Rows]:
        """Rows as they are, of which more loops may be cut; the front gets those with all tensors below the loops."""
        assert not self._resident, "tensors that stay are above all loops"
        pricing, every = self._pricing, range(len(self._names))
        put = rows
        for index in range(len(pricing.intermediates)):
            put = self._with_intermediate(put, index, loop)
        for some, one_by_one in self._apart(put, pricing.product(put), True):
            self._number(some, one_by_one)
            costs = sum((pricing.place(some, tensor) for tensor in every), np.zeros_like(some.costs))
            within = self._within_one_by_one(some, np.arange(len(some))) if one_by_one else pricing.within(some)
            some.costs, some.levels = costs, np.full_like(some.levels, depth_of(some))
            self._finish(some, within)
        for some, one_by_one in self._apart(rows, pricing.product(rows), last) if not last else ():
            self._number(some, one_by_one)
            yield some.where(self._hopeful(pricing.further(some.moved, some.worked, some.levels == WITHIN)))

    def _with_intermediate(self, rows: Rows, index: int, loop: int | None, of_use_only: bool = False) -> Rows:
        """Rows with the place of an intermediate below all loops; only those that cost something else, if asked to."""
        tensor = self._pricing.intermediates[index]
        which = np.flatnonzero(rows.levels[:, tensor] == WITHIN)
        if loop is None:
            put = rows.where(which)
        else:
            number = self._factor_of[loop]
            factor, before = self._factors[number].factor, rows.states[which, number]
            states = factor.slid(before, index)
            if of_use_only and self._pricing.pieces is None:
                # With nothing there from the turn before, a tensor is made anew in a place as large. What it takes to
                # make it, whose places are put after its own, is the same then.
                others = np.flatnonzero(factor.same[states] != factor.same[before])
                which, states = which[others], states[others]
            put = rows.where(which)
            put.states[:, number] = states
        put.levels[:, tensor] = depth_of(rows)
        return put

    def _priced(self, rows: Rows, loop: int | None, one_by_one: bool, last: bool) -> Rows:
        """Rows with their costs, and with any of the tensors from off-chip put below the loops; those still open."""
        pricing, level = self._pricing, depth_of(rows)
        rows = self._numbered(rows, one_by_one)
        if not len(rows):
            return rows
        smaller = rows.held < self._above.held[rows.above]
        for tensor in pricing.intermediates:
            rows.costs += pricing.place(rows, tensor) * (rows.levels[:, [tensor]] == level)
        for tensor in self._resident.intersection(self._outside) if loop is None else ():
            rows.costs += pricing.place(rows, tensor)
            rows.levels[:, tensor] = level
        open_ = rows.levels == WITHIN
        lower = rows.costs + pricing.further(rows.moved, rows.worked, open_)
        kept = np.flatnonzero(self._hopeful(lower))
        if len(kept) < len(rows):
            rows, lower, smaller = rows.where(kept), lower[kept], smaller[kept]
        if not one_by_one:
            least = pricing.least(rows, self._to_come(last))
        else:
            least = rows.held if last else np.zeros_like(rows.held)

        of = np.arange(len(rows)) if loop is None else self._of_a_use(rows, loop, smaller)
        levels, lower = rows.levels[of], lower[of]
        further = list(self._outside)
        while True:
            open_ = levels == WITHIN
            kept = np.flatnonzero(self._has_room(lower, pricing.room(least[of] * open_)))
            if len(kept) < len(of):
                of, levels, lower, open_ = of[kept], levels[kept], lower[kept], open_[kept]
            if not further or not len(of):
                break
            # one tensor at least, and as many as make no large tables
            count = max(1, (AT_ONCE // len(of)).bit_length() - 1)
            some, further = further[:count], further[count:]
            of, levels, lower = self._with_outside(rows, of, levels, lower, smaller, some)
            kept = np.flatnonzero(self._hopeful(lower))
            if len(kept) < len(of):
                of, levels, lower = of[kept], levels[kept], lower[kept]
        numbered, rows = rows, rows.where(of)
        rows.levels, rows.costs = levels, lower - pricing.further(rows.moved, rows.worked, open_)
        if len(rows):
            self._finish(rows, self._within_one_by_one(numbered, of) if one_by_one else pricing.within(rows))
        still = np.flatnonzero(open_.any(axis=1)) if not last else of[:0]
        return rows.where(still)

    def _with_outside(
        self, rows: Rows, of: Ids, levels: Small, lower: Costs, smaller: Mask, tensors: list[int]
    ) -> tuple[Ids, Small, Costs]:
        """Candidates, which are rows `of` with these levels, and those with any of some tensors put below.

        These are tensors from off-chip without a place of which the place gets `smaller`. They move what was taken for
        granted before, so that of what candidates cost at least (`lower`) only the room grows.
        """
        bits = 1 << np.arange(len(tensors))
        may_be = ((levels[:, tensors] == WITHIN) & smaller[of][:, tensors]) @ bits
        which = np.arange(1 << len(tensors))
        some, where = np.nonzero((may_be & which[:, np.newaxis]) == which[:, np.newaxis])
        put = (some[:, np.newaxis] & bits) > 0
        of, levels, lower = of[where], levels[where], lower[where]
        levels[:, tensors] = np.where(put, depth_of(rows), levels[:, tensors])
        lower[:, 0] += dot(rows.held[:, tensors][of], put.astype(np.float64)).astype(np.int64)
        return of, levels, lower

    def _number(self, rows: Rows, one_by_one: bool) -> None:
        """Give rows the numbers of places below all of their loops."""
        self.effort.spend(len(rows) * (PIECE if one_by_one else 1))
        columns = self._pricing.columns_one_by_one(rows) if one_by_one else self._pricing.columns(rows)
        rows.held, rows.moved, rows.worked = columns.held, columns.moved, columns.worked

    def _numbered(self, rows: Rows, one_by_one: bool) -> Rows:
        """Rows with these numbers, without those that take too many operations, of which no more is looked at."""
        if one_by_one or self._limits[2] == NO_LIMIT:
            self._number(rows, one_by_one)
            return rows
        self.effort.spend(len(rows))
        worked = self._pricing.worked(rows)
        here = (rows.levels == WITHIN) | (rows.levels == depth_of(rows)) | self._pricing.late
        kept = np.flatnonzero(rows.costs[:, 2] + dot(worked, here.astype(np.float64)) <= self._limits[2])
        if len(kept) < len(rows):
            rows, worked = rows.where(kept), worked[kept]
        columns = self._pricing.columns(rows, worked)
        rows.held, rows.moved, rows.worked = columns.held, columns.moved, columns.worked
        return rows

    def _of_a_use(self, rows: Rows, loop: int, smaller: Mask) -> Ids:
        """Rows where the last loop makes a place of a tensor without one smaller, or may still do with other loops."""
        if len(self._factors[self._factor_of[loop]].loops) > 1:
            return np.arange(len(rows))
        open_ = rows.levels == WITHIN
        unsettled = open_[:, self._pricing.intermediates].any(axis=1)
        return np.flatnonzero((open_ & smaller).any(axis=1) | unsettled | ~open_.any(axis=1))

    def _within_one_by_one(self, rows: Rows, of: Ids) -> Within:
        """The numbers of rows `of` for tensors within the links, looked at once for all that are the same row."""
        base, where = np.unique(of, return_inverse=True)
        kept = rows.where(base)
        kept.levels[:, self._outside] = WITHIN
        within = self._pricing.within_one_by_one(kept)
        return Within(within.moved[where], within.used[where], within.saved[where])

    def _finish(self, rows: Rows, within: Within) -> None:
        """Take rows as whole mappings into the front."""
        whole = self._pricing.finished(rows, within)
        good = np.flatnonzero(self._hopeful(whole))
        if not len(good):
            return
        good = good[self.objective.best(whole[good])]
        found = rows.where(good)
        found.costs = whole[good]
        every = found if self._best is None else Rows.all_of([self._best, found])
        self._best = every.where(self.objective.best(every.costs))
        self._costs = self._best.costs
        self._bound = self.objective.bound(self._costs)

    def _has_room(self, costs: Costs, rooms: Numbers) -> Mask:
        """Whether what is hopeful still is if it costs so much more room, all of it again for further rooms."""
        if not len(costs):
            return np.zeros(len(rooms), np.bool_)
        if self.objective is Objective.TRAFFIC:  # room decides nothing else
            roomy: Mask = (costs[:, 0] + rooms.astype(np.int64).reshape(-1, len(costs))).ravel() <= self._limits[0]
            return roomy
        costs = np.tile(costs, (len(rooms) // len(costs), 1))
        costs[:, 0] += rooms.astype(np.int64)
        return self._hopeful(costs)

    def _hopeful(self, costs: Costs) -> Mask:
        """Whether parts of mappings that cost this at least may become points of the front."""
        capacity, traffic, operations = costs.T
        most, most_traffic, most_operations = self._limits
        hopeful: Mask = capacity <= most
        hopeful &= traffic <= most_traffic
        hopeful &= operations <= most_operations
        hopeful &= ~self._bound.beats(capacity, traffic, operations)
        return hopeful
