"""The best of all mappings of a link on a machine.

The space: operands may lie in the memories that take them, or pass by; they get their places in any order in which each
goes from the outside in, with loops cut between them; any loops are laid along any axis that takes them, once each, in
any order where no memory lies between axes; every tile is a whole number of those inside it, the last one of a loop
being smaller. `passes.mapper.moves` says which of these need not be tried.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import NamedTuple

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import GConv
from dialects.hierarchy import Axis, Hierarchy, Memory
from dialects.schedule import Mapping, Operand
from passes.mapper.bounds import Bounds
from passes.mapper.counts import Counts
from passes.mapper.dive import Dive
from passes.mapper.effort import Effort, SpentError
from passes.mapper.estimates import Estimates
from passes.mapper.finished import Finished
from passes.mapper.footprint import Moved
from passes.mapper.greedy import greedy
from passes.mapper.local_search import LocalSearch
from passes.mapper.moves import Moves
from passes.mapper.nest import Column, Nest
from passes.mapper.partial import Parts
from passes.mapper.paths import Assignment
from passes.mapper.pricing import Objective, Prices, Values
from passes.mapper.problem import Problem
from passes.mapper.several import Several
from passes.mapper.stages import stages_of
from passes.mapper.tree import Incumbent, Tree


class Breadth(NamedTuple):
    """How many parts a dive follows, how many tiles of a loop it tries at a time, and the `step` of its bounds."""

    width: int
    values: int
    step: float = 0.0


_DIVES = (Breadth(48, 16), Breadth(192, 16), Breadth(768, 16))
"""Dives, one after the other: of these the first always."""

_WIDER = 8
"""A wider dive begins if as many times as much effort is left as the one before it took."""

_FIRST_DIVE = 0.75
"""The share of a limited effort that the first dive may take."""

_CHEAP = Breadth(16, 4, 0.03)
"""What is tried if the first dive does not come to its end."""

_ROUGH = Breadth(48, 4, 0.03)
"""What is tried as well where bounds of parts say little."""

_LOOSE = 1.03
"""They say little if the best mapping is so many times as dear as the bound."""

QUICK = Breadth(24, 6, 0.03)
"""The only dive of a quick search."""

_FAR = 1.3
"""If the best one is so many times as dear as the bound, a slower dive mixes places in neighbouring memories."""

_HURRIED = (Breadth(4, 2), Breadth(48, 1))
"""The same of dives that only look for any mapping, one after the other until there is one."""

_GRACE = 0.3
"""Seconds for which these may go on, though the time is over; if there is no mapping, as many as it took until then."""

_ASSIGNMENTS = 4096
"""In how many ways operands may lie in memories or pass by, at most; with more, no bound is known."""

_FIRST = 0.4
"""The share of a limited effort that goes to mappings without tiles that are larger for the sake of other operands."""


@dataclass(frozen=True)
class Best:
    """The best mapping found; no mapping has a value below `bound`.

    `value` is what the search made least: energy without operations, cycles, energy times cycles, or words.
    """

    mapping: Mapping
    value: float
    bound: float
    energy: float
    cycles: float
    events: dict[str, int]
    elements: int
    steps: int

    @property
    def gap(self) -> float:
        """How far the value is above the bound, at most, as a share of the value."""
        return max(0.0, 1 - max(0.0, self.bound) / self.value) if self.value else 0.0


def best_mapping(
    spec: GConv,
    hierarchy: Hierarchy,
    node: str = "",
    objective: Objective = Objective.ENERGY,
    effort: Effort | None = None,
    extras: Sequence[tuple[int, ...]] = (),
) -> Best:
    """The mapping with the least value, or, once the effort is spent, the best one found until then.

    `extras` are the shapes of what scalar functions read (`passes.mapper.problem.read_after`).

    A limited effort goes to a dive, then to mappings without tiles that are larger than they need be, among which the
    best one nearly always is, then to all. If there is no mapping when it is spent, one is looked for in as much time
    again, and made without a search if there is none then. Without a limit these two come first: then all that time
    decides is how far the search gets in a row of steps that is always the same, and more of it is never worse. Where
    sums are cheaper to add up further out, the bound is that of a machine on which they are not (`Prices.evened`).
    Where there was no time to bound all ways to let operands pass by, there is no bound but 0.

    Raises `CatenaError`: CAT-F001 if none fits or none was found, CAT-C003 if tiles of the machine are not nested.
    """
    return mapping_for(Problem.of(spec, extras), hierarchy, node, objective, effort)


def good_mapping(
    spec: GConv,
    hierarchy: Hierarchy,
    node: str = "",
    objective: Objective = Objective.ENERGY,
    effort: Effort | None = None,
    extras: Sequence[tuple[int, ...]] = (),
) -> Best:
    """What one dive finds: in a fifth of the time that `best_mapping` usually takes, and rarely a percent worse.

    Raises `CatenaError` as that does.
    """
    return mapping_for(Problem.of(spec, extras), hierarchy, node, objective, effort, brief=True)


def mapping_for(
    problem: Problem,
    hierarchy: Hierarchy,
    node: str = "",
    objective: Objective = Objective.ENERGY,
    effort: Effort | None = None,
    *,
    brief: bool = False,
) -> Best:
    """As `best_mapping` for a problem as it stands, or as `good_mapping` if the search is to be `brief`."""
    search = _search(problem, hierarchy, objective)
    find = search.dive if brief else search.run
    return search.required(*find(effort or Effort()), node)


def _search(problem: Problem, hierarchy: Hierarchy, objective: Objective) -> Search:
    require_nested(hierarchy)
    return Search(problem, Prices(hierarchy, objective))


def best_mappings(
    spec: GConv,
    hierarchy: Hierarchy,
    count: int,
    effort: Effort,
    objective: Objective = Objective.ENERGY,
    extras: Sequence[tuple[int, ...]] = (),
) -> list[Best]:
    """The mappings with the least values that a search comes by, best first; at most `count`, none if it finds none.

    The first is the one that `best_mapping` finds, or a better one; of those that follow, others may lie in between.

    Raises `CatenaError` (CAT-C003) if tiles of the machine are not nested.
    """
    search = _search(Problem.of(spec, extras), hierarchy, objective)
    best = Several(count=count)
    _, bound = search.run(effort, best)
    return [search.described(made, bound) for _, made in best.found.values()]


def require_nested(hierarchy: Hierarchy) -> None:
    """Raise `CatenaError` (CAT-C003) if tiles of a machine are not nested."""
    if not hierarchy.nested:
        raise CatenaError(
            Diagnostic("CAT-C003", "only the search in a dataflow counts tiles as if they were not nested", "target")
        )


def assignments(problem: Problem, hierarchy: Hierarchy) -> Iterator[Assignment]:
    """All ways to let operands lie in memories or pass by; first that in which none passes by."""
    memories = hierarchy.memories[1:]
    choices: list[list[tuple[Operand, ...]]] = []
    for memory in memories:
        taken = [each for each in problem.operands if each in memory.operands]
        passing = [each for each in taken if each in memory.bypass]
        gone = (set(some) for number in range(len(passing) + 1) for some in itertools.combinations(passing, number))
        choices.append([tuple(each for each in taken if each not in some) for some in gone])
    for combination in itertools.product(*choices):
        yield dict(zip((memory.name for memory in memories), combination, strict=True))


def _too_small(problem: Problem, hierarchy: Hierarchy) -> str:
    """Which memories cannot hold a word of every operand."""
    small: list[str] = []
    for memory in hierarchy.memories[1:]:
        staying = [each for each in problem.operands if each in memory.operands and each not in memory.bypass]
        need = memory.whole_banks(memory.buffers) * len(staying)
        if memory.words is not None and memory.words < need:
            small.append(f"{memory.name} has {memory.words} of {need}")
    return ", ".join(small)


class Roots(NamedTuple):
    """Bounds and trees of ways to let operands pass by, lowest first; whether they bound all mappings."""

    trees: list[tuple[float, Tree]]
    bound_all: bool


class Led(NamedTuple):
    """The best mapping that dives in the first trees found, so many of which are `done`, and their effort at most."""

    roots: Roots
    best: Incumbent
    done: int
    effort: int


class Search:
    """The search of one link. It bounds parts, and says which need not be tried, by `evened` prices.

    These are the prices themselves, or else no mapping costs less by them than `least`: the least that one did.
    """

    def __init__(self, problem: Problem, prices: Prices):
        self.problem = problem
        self._prices = prices
        self._evened = prices.evened
        self._least = math.inf
        self._moved = Moved(problem)
        self._nothing = Parts.empty(problem, Bounds(problem, prices, {}, self._moved).flows)

    def run(self, effort: Effort, best: Incumbent | None = None) -> tuple[Finished | None, float]:
        """The best mapping found, which is offered to `best`, and what no mapping is better than."""
        start = monotonic()
        best = best or Incumbent()
        if math.isinf(effort.parts):
            self._begin(best, effort)
        roots, has_all = self.roots(effort)
        trees = [tree for _, tree in roots]
        self._begin_diving(trees, best, effort)
        if best.made is None:
            with suppress(SpentError):
                self._dive(trees, best, effort, _CHEAP)
        if best.value > _LOOSE * roots[0][0]:
            with suppress(SpentError):
                self._dive(trees, best, effort, _ROUGH)
        if best.value > _FAR * roots[0][0] and self._has_neighbours:
            with suppress(SpentError):
                self._dive(trees, best, effort, _DIVES[0], mixed=(Memory,))
        if best.made is None:
            self._hurry(trees, best, effort, max(_GRACE, monotonic() - start))
        first = effort.share(_FIRST)
        for tree in trees:
            if not effort.should_stop():
                self._with(tree, first, larger=False, mixed=(Memory,)).search(self._nothing, best)
        effort = Effort(effort.parts * (1 - _FIRST) + max(first.parts, 0.0), effort.should_stop)
        bound = min(
            root if effort.should_stop() else self._with(tree, effort).search(self._nothing, best)
            for root, tree in roots
        )
        return best.made, min(bound, best.value, self._least) if has_all else 0.0

    def dive(self, effort: Effort, led: Led | None = None) -> tuple[Finished | None, float]:
        """The best mapping that one dive in every tree finds, and what no mapping is better than.

        Dives in the first trees may have `led` to what is known of them.
        """
        start = monotonic()
        roots, has_all = self.roots(effort) if led is None else led.roots
        trees = [tree for _, tree in roots]
        best = Incumbent() if led is None else replace(led.best)
        with suppress(SpentError):
            if led is not None:
                effort.spend(led.effort)
            self._dive(trees if led is None else trees[led.done :], best, effort, QUICK)
        if best.made is None:
            self._hurry(trees, best, effort, max(_GRACE, monotonic() - start))
        return best.made, min(roots[0][0], best.value, self._least) if has_all else 0.0

    def roots(self, effort: Effort) -> Roots:
        """All ways to let operands pass by, as far as effort allows."""
        every = assignments(self.problem, self._hierarchy)
        roots: list[tuple[float, Tree]] = []
        for assignment in itertools.islice(every, _ASSIGNMENTS):
            tree = self._tree(assignment)
            roots.append((tree.root_bound(0, self._nothing), tree))
            if effort.should_stop():
                break
        roots.sort(key=lambda each: each[0])
        return Roots(roots, next(every, None) is None)

    def _begin(self, best: Incumbent, effort: Effort) -> None:
        """Offer a mapping made without a search, and one that a hurried dive finds, whatever time is left."""
        ways = [*itertools.islice(assignments(self.problem, self._hierarchy), _ASSIGNMENTS)]
        for assignment in ways:
            if self._offer_greedy(assignment, best):
                break
        end = monotonic() + _GRACE
        hurried = Effort(should_stop=lambda: effort.should_stop() and monotonic() >= end)
        found = Incumbent()
        with suppress(SpentError):
            for breadth, assignment in itertools.product(_HURRIED, ways):
                if found.made is None:
                    self._dive_in(self._tree(assignment), found, hurried, breadth)
        if found.made is not None:
            best.take(found.made, found.value)

    def _offer_greedy(self, assignment: Assignment, best: Incumbent) -> bool:
        """Offer a mapping that is made without a search; whether there is one."""
        parts = greedy(self.problem, self._hierarchy, assignment, self._nothing)
        if parts is not None:
            best.offer(parts, self._price(parts))
        return parts is not None

    def _hurry(self, trees: Sequence[Tree], best: Incumbent, effort: Effort, seconds: float) -> None:
        """Find any mapping, in so many seconds if the time is over; without a search if that finds none."""
        end = monotonic() + seconds if effort.should_stop() else math.inf
        try:
            for breadth in _HURRIED:
                for tree in trees:
                    if best.made is None:
                        self._dive_in(tree, best, Effort(should_stop=lambda: monotonic() >= end), breadth)
        except SpentError:
            pass
        for tree in trees:
            if best.made is None:
                self._offer_greedy(tree.bounds.assignment, best)

    def _begin_diving(self, trees: Sequence[Tree], best: Incumbent, effort: Effort) -> None:
        """Dive, the wider the more effort is left; some is, whatever becomes of the first dive."""
        first, *wider = _DIVES
        share = effort.share(_FIRST_DIVE)
        with suppress(SpentError):
            self._dive(trees, best, share, first)
        effort.parts = effort.parts * (1 - _FIRST_DIVE) + max(share.parts, 0.0)
        taken = share.spent
        for breadth in wider:
            if effort.parts < _WIDER * taken:
                break
            before = effort.spent
            try:
                self._dive(trees, best, effort, breadth)
            except SpentError:
                break
            taken = effort.spent - before

    def _dive(
        self,
        trees: Sequence[Tree],
        best: Incumbent,
        effort: Effort,
        breadth: Breadth,
        mixed: Collection[type[Memory | Axis]] = (),
    ) -> None:
        """Look for a good mapping in all trees, and for a better one near it. Raises `SpentError` as `_dive_in`."""
        for tree in trees:
            self._dive_in(tree, best, effort, breadth, mixed)
        self._improve(best, effort)

    def _improve(self, best: Incumbent, effort: Effort) -> None:
        """Offer what is better near the best mapping. Raises `SpentError` if the effort is spent."""
        if best.made is not None:
            prices = self._prices
            search = LocalSearch(self.problem, self._hierarchy, prices.value, effort, prices.wanted)
            made = search.improved(best.made, best.value)
            if made is not best.made:
                best.take(made, float(self._priced(made.nest, made.tiles)[0]))

    def _dive_in(
        self,
        tree: Tree,
        best: Incumbent,
        effort: Effort,
        breadth: Breadth,
        mixed: Collection[type[Memory | Axis]] = (),
    ) -> None:
        """Look for a good mapping in a tree. Raises `SpentError` if the effort is spent."""
        Dive(self._diving(tree, effort, breadth, mixed), best, breadth.width, breadth.step).run(self._nothing)

    def _diving(
        self, tree: Tree, effort: Effort, breadth: Breadth, mixed: Collection[type[Memory | Axis]] = ()
    ) -> Tree:
        """A tree as dives see it."""
        estimated = replace(tree, bounds=Estimates.by(tree.bounds))
        return self._with(estimated, effort, larger=False, values=breadth.values, mixed=mixed)

    @property
    def is_simple(self) -> bool:
        """Whether nothing that is said of all loops, or of ports, decides what a dive finds.

        Only then others can be made together with it.
        """
        has_tables = all(table is not None for table in self._moved.tables)
        return has_tables and not self.problem.rereading and not len(self._nothing.flows)

    def has_ways(self, most: int) -> bool:
        """Whether there are at most so many ways to let operands pass by."""
        return next(itertools.islice(assignments(self.problem, self._hierarchy), most, None), None) is None

    def required(self, best: Finished | None, bound: float, node: str) -> Best:
        """The best mapping with what it costs. Raises `CatenaError` (CAT-F001) if there are none."""
        if best is not None:
            return self.described(best, bound)
        raise CatenaError(
            Diagnostic(
                "CAT-F001",
                f"no mapping of this link on {self._hierarchy.name} fits",
                "mapped",
                node,
                expected="a word of every operand that stays, for every buffer, in whole banks",
                hint=_too_small(self.problem, self._hierarchy),
            )
        )

    def described(self, made: Finished, bound: float) -> Best:
        """A mapping with what it costs."""
        counts = Counts(self.problem, self._hierarchy, made.nest, made.tiles)
        return Best(
            made.mapping,
            float(self._prices.value(counts)[0]),
            bound,
            float(self._prices.energy(counts)[0]),
            float(self._prices.cycles(counts)[0]),
            {event: int(column[0]) for event, column in counts.events.items()},
            math.prod(int(counts.elements(axis.name)[0]) for axis in self._hierarchy.axes),
            int(counts.steps[0]),
        )

    @property
    def _has_neighbours(self) -> bool:
        """Whether there are memories without an axis in between."""
        return stages_of(self._hierarchy, (Memory,)) != stages_of(self._hierarchy, ())

    @property
    def _hierarchy(self) -> Hierarchy:
        return self._prices.hierarchy

    def _tree(self, assignment: Assignment) -> Tree:
        bounds = Bounds(self.problem, self._evened, assignment, self._moved)
        moves = self.moves(Effort())
        return Tree(self._hierarchy, moves, bounds, self._combined, self._price)

    def _with(
        self,
        tree: Tree,
        effort: Effort,
        *,
        larger: bool = True,
        values: int | None = None,
        mixed: Collection[type[Memory | Axis]] = (Memory, Axis),
    ) -> Tree:
        """A tree with other moves."""
        return replace(tree, moves=self.moves(effort, larger, values, mixed))

    def moves(
        self,
        effort: Effort,
        larger: bool = True,
        values: int | None = None,
        mixed: Collection[type[Memory | Axis]] = (Memory, Axis),
        problem: Problem | None = None,
    ) -> Moves:
        """The moves of the problem, or of another one, on the machine."""
        stages = stages_of(self._hierarchy, mixed)
        meets = self._prices.meets
        sends = meets or self._evened is not self._prices
        return Moves(
            problem or self.problem,
            self._hierarchy,
            stages,
            effort,
            larger=larger,
            values=values,
            sends=sends,
            meets=meets,
        )

    def _combined(self, parts: Parts, energy: Values, cycles: Values) -> Values:
        return self._prices.combined(energy, cycles, parts.problem.operations_of(parts.tiles))

    def _price(self, parts: Parts) -> Values:
        return self._priced(*parts.nest())

    def _priced(self, nest: Nest, tiles: list[Column]) -> Values:
        counts = Counts(self.problem, self._hierarchy, nest, tiles, self._prices.wanted | self._evened.wanted)
        if self._evened is not self._prices:
            self._least = min(self._least, float(self._evened.value(counts).min()))
        return self._prices.value(counts)
