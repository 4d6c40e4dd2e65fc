"""Several links at once: problems with the same loops, windows and operands that differ in extents alone.

Searches of such links go the same way, and with few parts each a call takes longer than its rows. So parts of all of
them are led through the levels together. All that has a row for every loop has one more, which says of which problem a
part is: it is a loop that has as many indices as the number of its problem, from 1, all in one tile from the beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dialects.gconv import LoopKind
from dialects.schedule import Operand
from passes.mapper.bounds import Bounds
from passes.mapper.dive import Dive, apart, tied
from passes.mapper.effort import GROUP
from passes.mapper.estimates import Estimates
from passes.mapper.footprint import Moved
from passes.mapper.nest import Column
from passes.mapper.partial import Flags, Parts, Rows
from passes.mapper.pricing import Values
from passes.mapper.problem import Problem, Window
from passes.mapper.tree import Flagged, Incumbent, Kind, Pool, Ranking, Tree


@dataclass(frozen=True)
class Alike(Problem):
    """Problems that differ in extents alone; what is said of extents is that of the first one."""

    each: tuple[Problem, ...] = ()

    @classmethod
    def all_of(cls, problems: Sequence[Problem]) -> Alike:
        """Of several problems with the same loops and operands."""
        first = problems[0]
        return cls(first.loops, first.extents, first.windows, first.operands, first.extras, tuple(problems))

    @cached_property
    def beginning(self) -> Column:
        """One index of every loop, of every problem."""
        rows: Column = np.ones((len(self.extents) + 1, len(self.each)), np.int64)
        rows[-1] = np.arange(1, len(self.each) + 1)
        return rows

    @cached_property
    def _all(self) -> Column:
        """The extents, a column for every problem; in the first one nothing."""
        extents = np.array([(*each.extents, number) for number, each in enumerate(self.each, 1)], np.int64).T
        return np.concatenate([np.zeros((len(extents), 1), np.int64), extents], axis=1)

    def extent(self, loop: int, tiles: Column) -> Column:
        """The indices of a loop in the problem of each tile."""
        return self._all[loop][tiles[-1]]

    def extents_of(self, tiles: Column) -> Column:
        """The same of all loops."""
        return self._all.take(tiles[-1], axis=1)

    def turns(self, tiles: Column) -> Column:
        """How many tiles of every loop there are to run over."""
        return -(-self.extents_of(tiles) // tiles)

    def full_turns(self, tiles: Column) -> Column:
        """As `turns`, without last tiles that are smaller."""
        return self.extents_of(tiles) // tiles

    def turns_of(self, loop: int, tiles: Column) -> Column:
        """How many tiles of one loop there are."""
        return -(-self.extent(loop, tiles) // tiles[loop])

    def product(self, numbers: Column) -> Column:
        """The product over all loops."""
        return np.multiply.reduce(numbers[:-1], axis=0)

    def operations_of(self, tiles: Column) -> Column:
        """Main operations of the problem of each tile."""
        return self._operations[tiles[-1]]

    @cached_property
    def _operations(self) -> Column:
        return by_number([each.operations for each in self.each])


def by_number(values: Sequence[float] | Column) -> Column:
    """Values of problems, by their numbers."""
    return np.concatenate([[0], values])


class AlikeMoved(Moved):
    """Words of operands of several problems; each of them must have tables of its windows (`tabulated`)."""

    def __init__(self, problem: Alike, each: Sequence[Moved]):
        super().__init__(problem)
        self._each = each
        self._words_of = {
            operand: by_number([one.words(operand) for one in problem.each]) for operand in problem.operands
        }
        self._stacked: dict[object, tuple[Column, Column, Column]] = {}

    def _plain(self, operand: Operand, tiles: Column) -> Column:
        return self._words_of[operand][tiles[-1]]

    def _positions(self, number: int, window: Window, tiles: Column) -> Column:
        if number not in self._stacked:
            self._stacked[number] = _stacked([each.tables[number] for each in self._each])
        return _entries(self._stacked[number], window, tiles)

    def _gain(self, number: int, window: Window, kinds: frozenset[LoopKind], tiles: Column) -> Column:
        if (number, kinds) not in self._stacked:
            self._stacked[number, kinds] = _stacked([each.gains(number, kinds) for each in self._each])
        return _entries(self._stacked[number, kinds], window, tiles)


def _stacked(tables: Sequence[Column | None]) -> tuple[Column, Column, Column]:
    """Tables of two columns in one of one; by number of a problem, where its own begins, and how wide it is."""
    known = [each for each in tables if each is not None]
    sizes = [each.size for each in known]
    begins = np.cumsum([0, *sizes[:-1]])
    return np.concatenate([each.ravel() for each in known]), by_number(begins), by_number([x.shape[1] for x in known])


def _entries(stacked: tuple[Column, Column, Column], window: Window, tiles: Column) -> Column:
    table, begins, widths = stacked
    numbers = tiles[-1]
    return table[begins[numbers] + tiles[window.outputs] * widths[numbers] + tiles[window.kernels]]


class AlikeBounds(Estimates):
    """What parts of mappings of several problems may cost as a rule, on one machine with one assignment."""

    @classmethod
    def all_of(cls, problem: Alike, each: Sequence[Bounds]) -> AlikeBounds:
        """Of the bounds of every problem."""
        bounds = cls.__new__(cls)
        bounds.__dict__.update(each[0].__dict__)
        bounds._problem = problem
        bounds.moved = AlikeMoved(problem, [one.moved for one in each])
        bounds._floors_of = {}
        bounds._constants = by_number([one.constant for one in each])
        bounds._words_of = {operand: by_number([one.least[operand] for one in each]) for operand in problem.operands}
        return bounds

    _constants: Values
    _words_of: dict[Operand, Column]

    def _constant_of(self, parts: Parts) -> Values:
        return self._constants[parts.tiles[-1]]

    def _words(self, operand: Operand, tiles: Column) -> Column:
        return self._words_of[operand][tiles[-1]]

    def _floors(self, memory: str, waiting: tuple[Operand, ...], tiles: Column) -> tuple[Values, Values]:
        assert isinstance(self._problem, Alike)
        least, others = super()._floors(memory, waiting, self._problem.beginning)
        numbers = tiles[-1] - 1
        return least[:, numbers], others[:, numbers]


@dataclass(frozen=True)
class AlikeTree(Tree):
    """The mappings of several problems."""

    doubtful: set[int] = field(default_factory=set[int])
    """The numbers of problems whose parts might come in another order on their own: where parts tie, the first win."""
    first: dict[Kind, Column] = field(default_factory=dict[Kind, Column])
    """By kind of parts that are bounded, the first group of every problem with some that stay."""

    def several(
        self, stage: int, groups: Sequence[Parts], best: Incumbent | None = None, *, storing: bool = False
    ) -> list[tuple[Parts, Values]]:
        """As that of one problem."""
        self.first.clear()
        found = super().several(stage, groups, best, storing=storing)
        last: Column = np.full(self._count, -1)
        for places in sorted(self.first.values(), key=lambda each: int(each.min())):
            there = places < len(groups)
            self.doubtful.update((there & (places < last)).nonzero()[0].tolist())
            last = np.where(there, places, last)
        return found

    def noted(self, parts: Parts, below: Flags, numbers: Sequence[int], ends: Sequence[int]) -> None:
        """Note where the parts of every problem come first."""
        rows = below.nonzero()[0]
        first = self.first.setdefault(parts.kind, np.full(self._count, np.iinfo(np.int64).max))
        places = np.array(numbers)[np.searchsorted(ends, rows, side="right")]
        np.minimum.at(first, parts.tiles[-1][rows], places)

    @property
    def _count(self) -> int:
        """How many numbers of problems there are, from 0, which none has."""
        problem = self.moves.problem
        assert isinstance(problem, Alike)
        return len(problem.each) + 1


class AlikePool(Pool):
    """A pool out of which so many parts of every problem are taken."""

    def _lowest(self, number: int, ranked: Ranking) -> Flagged:
        numbers = [parts.tiles[-1] for parts, _ in self.groups.values()]
        if not numbers or len(together := np.concatenate(numbers)) <= number:
            return super()._lowest(number, ranked)
        ranks = np.concatenate([ranked(parts, bounds) for parts, bounds in self.groups.values()])
        taken = first_of_each(together, ranks, number)
        ends = np.cumsum([len(each) for each in numbers])[:-1]
        return dict(zip(self.groups, np.split(taken, ends), strict=True))


def first_of_each(numbers: Column, ranks: Values, count: int) -> Flags:
    """Which are the so many of every number with the lowest ranks; of those that tie, the first ones."""
    order = np.lexsort((ranks, numbers))
    taken = np.zeros(len(order), np.bool_)
    taken[order] = _places(numbers[order]) < count
    return taken


def _places(ordered: Column) -> Rows:
    """The place of each number among those that are the same, where these are in a row."""
    return np.arange(len(ordered)) - np.searchsorted(ordered, ordered)


def _places_of(numbers: Column) -> Rows:
    """The place of each number among those that are the same."""
    order = np.argsort(numbers, kind="stable")
    places = np.empty(len(order), np.intp)
    places[order] = _places(numbers[order])
    return places


@dataclass
class AlikeBest(Incumbent):
    """What the best mapping of each problem costs that is known: all of them know one, or none does."""

    values: Values = field(default_factory=lambda: np.zeros(0))
    """By number of a problem."""

    def limit(self, parts: Parts) -> Values:
        """What parts must cost less than to be worth following."""
        return self.values[parts.tiles[-1]]


@dataclass(frozen=True)
class AlikeDive(Dive):
    """A dive that follows `width` parts of every problem as one of this problem alone would.

    It is to be `led` only: what is finished is priced for each problem on its own (`apart_by_problem`).
    """

    def _pool(self) -> Pool:
        return AlikePool(brief=True)

    def _ranked(self, parts: Parts, bounds: Values) -> Values:
        return apart(parts, self._blurred_of(parts, bounds), parts.tiles[-1:])

    def _takes_all(self, parts: Parts) -> bool:
        if self.best.value < np.inf or np.bincount(parts.tiles[-1]).max(initial=0) > self.width:
            return False
        self.tree.moves.effort.spend(GROUP)
        return True

    def _followed(self, parts: Parts, bounds: Values) -> Flags:
        followed = self._lowest(parts, bounds)
        if self.best.value < np.inf:
            return followed
        return followed | (np.bincount(parts.tiles[-1]) <= self.width)[parts.tiles[-1]]

    def _lowest(self, parts: Parts, bounds: Values) -> Flags:
        self.tree.moves.effort.spend(GROUP)
        is_below = bounds < self.best.limit(parts)
        if len(bounds) <= self.width:
            return is_below
        return first_of_each(parts.tiles[-1], self._blurred_of(parts, bounds), self.width) & is_below

    def _blurred_of(self, parts: Parts, bounds: Values) -> Values:
        """As `_blurred` of the parts of every problem."""
        return tied(bounds, self.step, _places_of(parts.tiles[-1])) if self.step else bounds


def apart_by_problem(groups: Sequence[tuple[Parts, Values]], problem: Alike) -> list[list[tuple[Parts, Values]]]:
    """Parts of several problems with their bounds, those of each on their own, in their order."""
    found: list[list[tuple[Parts, Values]]] = [[] for _ in problem.each]
    for parts, bounds in groups:
        numbers = parts.tiles[-1]
        there: list[int] = np.unique(numbers).tolist()
        for number in there:
            rows = (numbers == number).nonzero()[0]
            found[number - 1].append((parts.of_one(problem.each[number - 1], rows), bounds[rows]))
    return found
