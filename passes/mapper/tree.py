"""The tree of moves, from the inside out, level by level, many parts of mappings at a time.

Before every level parts wait in a pool, in which only the cheapest of those stay that differ in cost alone. Rounds lead
the parts with the lowest bounds from pool to pool, so that every round finds mappings, until no bound in any pool is
below the best one; a search that is stopped before knows how far from the best possible one that is at most.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dialects.hierarchy import Axis, Hierarchy, Memory
from dialects.schedule import Operand
from passes.mapper.bounds import Bounds
from passes.mapper.dominance import cheapest
from passes.mapper.effort import GROUP, SpentError
from passes.mapper.finished import Finished
from passes.mapper.moves import Filter, Laying, Moves
from passes.mapper.nest import Column
from passes.mapper.partial import Flags, Parts, Rows, joined, together
from passes.mapper.pricing import Values
from passes.mapper.stages import Place, Stage, axes_of

_DONE, _MOST_DONE = 48, 4096
"""How many parts that are done are priced after a round: twice as many each time that finds nothing better, at most."""

_WIDTHS = (256, 2048)
"""How many parts a round takes from a pool: the first, and those after it."""

_SLICE = 512
"""How many of them are led on at a time; each becomes up to some thousands."""

TOGETHER = 4096
"""Parts of a problem that are bounded together, if there are so many."""

_WAITING = 150_000
"""How many parts wait in a pool, at most: some hundred megabytes, with what is made of them."""

_ONE: Column = np.ones(1, np.int64)

Kind = tuple[object, ...]

Flagged = dict[Kind, Flags]

Chosen = Callable[[Parts, Values], Flags]
"""Which parts to follow, by their bounds."""

Ranking = Callable[[Parts, Values], Values]
"""Which parts to follow first, by their bounds: the lowest."""


@dataclass
class Incumbent:
    """The best mapping found so far, shared by all trees of a search."""

    value: float = np.inf
    made: Finished | None = None

    def limit(self, parts: Parts) -> Values | float:
        """What parts must cost less than to be worth following."""
        return self.value

    def offer(self, parts: Parts, values: Values) -> None:
        """Take the best of some parts that lack nothing, if it is better."""
        row = int(values.argmin())
        if values[row] < self.value:
            self.take(Finished.of(parts, row), float(values[row]))

    def take(self, made: Finished, value: float) -> None:
        """Take a mapping, if it is better."""
        if value < self.value:
            self.value, self.made = value, made


@dataclass
class Pool:
    """Parts before a level, by what they have in common, with their bounds.

    Where there are too many, those with the highest bounds are lost; `floor` is the lowest bound of these. Out of a
    `brief` pool parts are taken once.
    """

    brief: bool = False
    groups: dict[Kind, tuple[Parts, Values]] = field(default_factory=dict[Kind, tuple[Parts, Values]])
    floor: float = math.inf

    def put(self, added: Sequence[tuple[Parts, Values]], chosen: Callable[[Parts], Rows]) -> None:
        """Put parts with their bounds to those that are there, and keep the `chosen` of those of a kind."""
        kinds: dict[Kind, list[tuple[Parts, Values]]] = {}
        for parts, bounds in added:
            if parts.count:
                kinds.setdefault(parts.kind, []).append((parts, bounds))
        for kind, new in kinds.items():
            if kind in self.groups:
                new.append(self.groups[kind])
            merged, bounds = together([parts for parts, _ in new]), np.concatenate([each for _, each in new])
            rows = chosen(merged)
            if len(rows) < merged.count:
                merged, bounds = merged.take(rows), bounds[rows]
            self.groups[kind] = merged if self.brief else merged.being(trail=merged.trail.compact()), bounds
        if (most := _most([bounds for _, bounds in self.groups.values()], _WAITING)) < np.inf:
            for kind, (parts, bounds) in self.groups.items():
                self.floor = min(self.floor, float(bounds[bounds > most].min(initial=np.inf)))
                rows = np.flatnonzero(bounds <= most)
                self.groups[kind] = parts.take(rows), bounds[rows]

    def least(self) -> float:
        """The lowest bound of all that wait."""
        return min((float(bounds.min()) for _, bounds in self.groups.values() if len(bounds)), default=math.inf)

    def take(self, number: int, best: Incumbent, ranked: Ranking = lambda _, bounds: bounds) -> Iterator[Parts]:
        """Take out so many parts, the lowest `ranked` ones; all whose bounds are not below the limit are dropped."""
        for kind, taken in self._lowest(number, ranked).items():
            parts, bounds = self.groups[kind]
            limit = best.limit(parts)
            if not self.brief:
                left = ((bounds < limit) & ~taken).nonzero()[0]
                self.groups[kind] = parts.take(left), bounds[left]
                if not len(left):
                    del self.groups[kind]
            rows = ((bounds < limit) & taken).nonzero()[0]
            if len(rows):
                some = parts.take(rows[np.argsort(bounds[rows], kind="stable")])
                # what grows from these must not keep the trails of all others, where these are many
                yield some if self.brief else some.being(trail=some.trail.compact())

    def _lowest(self, number: int, ranked: Ranking) -> Flagged:
        """Which parts of each kind are among so many that are `ranked` lowest; of those that tie, the first ones."""
        if sum(len(bounds) for _, bounds in self.groups.values()) <= number:
            return {kind: np.ones(len(bounds), np.bool_) for kind, (_, bounds) in self.groups.items()}
        ranks = {kind: ranked(parts, bounds) for kind, (parts, bounds) in self.groups.items()}
        most = _most(list(ranks.values()), number)
        ties = number - sum(int((each < most).sum()) for each in ranks.values())
        found: Flagged = {}
        for kind, each in ranks.items():
            tied = (each == most).nonzero()[0][:ties]
            ties -= len(tied)
            found[kind] = each < most
            found[kind][tied] = True
        return found


def _most(values: Sequence[Values], number: int) -> float:
    """The value up to which there are so many, or some more with the same value."""
    if sum(map(len, values)) <= number:
        return math.inf
    return float(np.partition(np.concatenate(values), number - 1)[number - 1])


@dataclass(frozen=True)
class Tree:
    """The mappings with one assignment of operands to memories.

    `value` combines energy and cycles; `price` says what finished parts cost exactly.
    """

    hierarchy: Hierarchy
    moves: Moves
    bounds: Bounds
    value: Callable[[Parts, Values, Values], Values]
    price: Callable[[Parts], Values]
    together: int = TOGETHER
    """Parts that are bounded together, if there are so many."""

    @property
    def stages(self) -> Sequence[Stage]:
        """Of memories or of axes, from the inside out."""
        return self.moves.stages

    def search(self, parts: Parts, best: Incumbent) -> float:
        """Search all of the tree; a lower bound of what is in it, or the value of the best if that is less.

        What was begun when the effort is spent is not followed, and bounds the result like what still waits.
        """
        while True:
            known = best.value
            bound = self._search(parts, best)
            # with a better mapping to begin with, fewer parts wait, and none may be lost
            if bound >= best.value or best.value == known or self.moves.effort.parts <= 0:
                return bound

    def _search(self, parts: Parts, best: Incumbent) -> float:
        pools = self.pools(parts, best)
        widths = itertools.chain(_WIDTHS, itertools.repeat(_WIDTHS[-1]))
        begun, done = math.inf, _DONE

        def chosen(_: Parts, bounds: Values) -> Flags:
            self.moves.effort.spend(GROUP)
            return bounds < best.value

        try:
            while min(pool.least() for pool in pools) < best.value:
                width, known = next(widths), best.value
                for stage in range(len(self.stages)):
                    taken = list(pools[stage].take(width, best))
                    begun = min((self.root_bound(stage, each) for each in taken), default=math.inf)
                    self.advance(pools, stage, taken, chosen, best)
                    begun = math.inf
                self.finish(pools[-1].take(done, best), best)
                done = _DONE if best.value < known else min(2 * done, _MOST_DONE)
        except SpentError:
            pass
        return min(best.value, begun, *(min(pool.least(), pool.floor) for pool in pools))

    def pools(self, parts: Parts, best: Incumbent, *, brief: bool = False) -> list[Pool]:
        """A pool before every stage, and one for what is done."""
        pools = [Pool(brief) for _ in range(len(self.stages) + 1)]
        self.put(pools, 0, [parts], best)
        return pools

    def advance(
        self,
        pools: list[Pool],
        stage: int,
        taken: Iterable[Parts],
        chosen: Chosen,
        best: Incumbent,
    ) -> None:
        """Lead parts through one stage into the next pool."""
        positions = math.prod(axis.size for axis in axes_of(self.stages[stage]))
        size = min(_SLICE, max(16, _SLICE * 16 // positions))
        grown = (more for each in taken for few in each.slices(size) for more in self.expanded(stage, few, chosen))
        self.put(pools, stage + 1, grown, best)

    def put(self, pools: list[Pool], stage: int, grown: Iterable[Parts], best: Incumbent) -> None:
        """Put parts into the pool before a stage."""
        axes = self.axes(stage)
        is_last = stage == len(self.stages)
        added: list[tuple[Parts, Values]] = []

        def chosen(parts: Parts) -> Rows:
            return np.arange(parts.count) if is_last else cheapest(parts, self.bounds, axes)

        branches: list[Parts] = []
        for each in grown:
            if is_last:
                branches.append(each)
            else:
                branches += (self.bounds.settled(branch, axes).being(held={}) for branch in self.bounds.branched(each))
            if sum(parts.count for parts in branches) > self.together:
                added += self.several(stage, branches, best)
                branches = []
                if sum(parts.count for parts, _ in added) > _WAITING:
                    pools[stage].put(added, chosen)
                    added = []
        pools[stage].put([*added, *self.several(stage, branches, best)], chosen)

    def several(
        self, stage: int, groups: Sequence[Parts], best: Incumbent | None = None, *, storing: bool = False
    ) -> list[tuple[Parts, Values]]:
        """Parts with their bounds, those below the limit or all if none is known, in the order of groups.

        Those that are alike are put together, and bounded at once: a call takes longer than many rows of it.
        """
        alike: dict[object, list[int]] = {}
        for number, parts in enumerate(groups):
            alike.setdefault(parts.order, []).append(number)
        orders = Counter(groups[numbers[0]].kind for numbers in alike.values())
        found: list[tuple[int, Parts, Values]] = []
        for numbers in alike.values():
            some = [groups[number] for number in numbers]
            parts = joined(some) if len(some) > 1 else some[0]
            bounds = self.bound(stage, parts, storing=storing)
            below = np.ones(len(bounds), np.bool_) if best is None else bounds < best.limit(parts)
            ends = [*itertools.accumulate(each.count for each in some)]
            self.noted(parts, below, numbers, ends)
            if orders[parts.kind] == 1:
                rows: Rows = below.nonzero()[0]
                if len(rows):
                    first = numbers[bisect_right(ends, int(rows[0]))]
                    is_all = len(rows) == len(bounds)
                    found.append((first, parts, bounds) if is_all else (first, parts.take(rows), bounds[rows]))
                continue
            # those of a kind with links in another order come in between
            for number, each, end in zip(numbers, some, ends, strict=True):
                own = bounds[end - each.count : end]
                if best is None:
                    found.append((number, each, own))
                else:
                    rows = below[end - each.count : end].nonzero()[0]
                    found.append((number, each.take(rows), own[rows]))
        return [(parts, bounds) for _, parts, bounds in sorted(found, key=lambda each: each[0])]

    def noted(self, parts: Parts, below: Flags, numbers: Sequence[int], ends: Sequence[int]) -> None:
        """Parts of some groups that are put together, up to `ends`, of which those `below` their limit stay."""

    def root_bound(self, stage: int, parts: Parts) -> float:
        """A lower bound of all mappings that some parts before a stage are part of."""
        return float(self.bound(stage, parts).min())

    def expanded(self, stage: int, parts: Parts, chosen: Chosen) -> Iterator[Parts]:
        """The parts after one more stage whose bounds are `chosen`."""
        if axes := axes_of(self.stages[stage]):
            yield self.laid(stage, axes, parts, chosen)
        else:
            yield from self.moves.storing(parts, *self.places(stage), self.promising(stage, chosen))

    def laid(self, stage: int, axes: Sequence[Axis], parts: Parts, chosen: Chosen) -> Parts:
        """The parts after axes whose bounds are `chosen`, on the way and there."""
        is_marked = self.bounds.timed or self.bounds.lays_reading
        begun = parts.marked if is_marked else parts
        laid = self.moves.laying(begun, axes, lambda each, left: chosen(each, self.bound(stage, each, left)))
        return laid.marked if is_marked else laid

    def places(self, stage: int) -> tuple[Sequence[Place], frozenset[Operand]]:
        """The places in the memories of a stage, and the operands that have one in memories further out."""
        own, *further = (
            [(level.name, operand) for level in each for operand in self.bounds.assignment.get(level.name, ())]
            for each in self.stages[stage:]
        )
        return own, frozenset(operand for places in further for _, operand in places)

    def axes(self, stage: int) -> Sequence[Axis]:
        """The axes that are still to be laid along before a stage."""
        return self._axes[stage]

    @cached_property
    def _axes(self) -> list[tuple[Axis, ...]]:
        stages = range(len(self.stages) + 2)
        return [tuple(axis for each in self.stages[stage:] for axis in axes_of(each)) for stage in stages]

    @cached_property
    def _memories(self) -> list[list[str]]:
        """By stage, the memories from it on."""
        stages = range(len(self.stages) + 2)
        each = [[level.name for level in stage if isinstance(level, Memory)] for stage in self.stages]
        return [list(itertools.chain.from_iterable(each[stage:])) for stage in stages]

    def promising(self, stage: int, chosen: Chosen, takes_all: Callable[[Parts], bool] = lambda _: False) -> Filter:
        """Those parts in the middle of memories whose bounds are `chosen`, or all of as many as it `takes_all` of."""

        def promising(some: Parts) -> Parts | None:
            if not some.count:
                return None
            settled = self.bounds.settled(some, self.axes(stage))
            if takes_all(settled):
                return settled
            rows = chosen(settled, self.bound(stage, settled, storing=True)).nonzero()[0]
            if len(rows) == settled.count:
                return settled
            return settled.take(rows) if len(rows) else None

        return promising

    def finish(self, groups: Iterable[Parts], best: Incumbent) -> None:
        """Offer all that becomes of some parts, first what has the lowest bounds: they nearly always are the prices."""
        self.offer(self.finished(groups, best), best)

    def finished(self, groups: Iterable[Parts], best: Incumbent) -> list[tuple[Parts, Values]]:
        """All that becomes of some parts and may be better than the best one, with its bounds."""
        found: list[tuple[Parts, Values]] = []
        for each in (each for group in groups for each in self.moves.finishing(group)):
            bounds = self.bound(len(self.stages), each)
            chosen = (bounds < best.limit(each)).nonzero()[0]
            if len(chosen):
                found.append((each.take(chosen), bounds[chosen]))
        return found

    def offer(self, groups: Iterable[tuple[Parts, Values]], best: Incumbent) -> None:
        """Offer parts that lack nothing, with their bounds."""
        alike: list[tuple[Parts, Rows, Values]] = []
        for some, bounds in groups:
            alike += ((some, rows, bounds[rows]) for rows in some.trail.alike())
        for some, rows, bounds in sorted(alike, key=lambda each: float(each[2].min())):
            chosen = rows[bounds < best.value]
            if len(chosen):
                parts = some.take(chosen)
                best.offer(parts, self.price(parts))

    def bound(self, stage: int, parts: Parts, laying: Laying | None = None, *, storing: bool = False) -> Values:
        """A lower bound for parts before a stage, or in the middle of it.

        In the middle of axes, `laying` says what is left of them; in that of memories (`storing`) some operands may
        have their places there.
        """
        within = laying is not None or storing
        further = self._memories[stage + within]
        memories = self._memories[stage][: -len(further) or None] if storing else []
        axes = self.axes(stage)
        room = self._room(parts, self.axes(stage + 1) if laying else axes)
        if laying:
            room = room * np.minimum(laying.room, parts.turns(laying.loops))
        if self.hierarchy.elements is not None:
            room = np.minimum(room, self.hierarchy.elements // np.multiply.reduce(parts.busy, axis=0))
            room = np.maximum(room, 1)
        again = self.bounds.read_again(parts)
        energy = self.bounds.energy(parts, room, axes, memories) + self.bounds.read_energy(parts, again)
        for memory in further:
            energy = energy + self.bounds.crowded(parts, memory)
        return self.value(parts, energy, self.bounds.cycles(parts, room, again))

    def _room(self, parts: Parts, axes: Sequence[Axis]) -> Column:
        """How many times as many elements may work at most, if axes are still to be laid along."""
        key = ("room", *[axis.name for axis in axes])
        room = parts.known.get(key)
        if room is None:
            room = _ONE
            for axis in axes:
                room = room * np.minimum(axis.size, parts.turns(self._along[axis.name]))
            parts.known[key] = room
        return room

    @cached_property
    def _along(self) -> dict[str, tuple[int, ...]]:
        """The loops that may be laid along each axis."""
        return {axis.name: self.moves.along([axis]) for axis in self.hierarchy.axes}
