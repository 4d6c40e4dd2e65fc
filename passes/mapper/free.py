"""The best of all mappings of a link on a machine.

The space: operands may lie in the memories that take them, or pass by; in every memory they get their places in any
order, with loops cut between them; any loops are laid along any axis that takes them; every tile is a whole number of
those inside it, the last one of a loop being smaller. `passes.mapper.moves` says which of these need not be tried.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import GConv
from dialects.hierarchy import Hierarchy
from dialects.schedule import Mapping, Operand
from passes.mapper.bounds import Assignment, Bounds
from passes.mapper.counts import Counts
from passes.mapper.moves import Moves
from passes.mapper.nest import mapping_of
from passes.mapper.partial import Parts
from passes.mapper.pricing import Objective, Prices
from passes.mapper.problem import Problem
from passes.mapper.tree import Effort, Incumbent, Tree, outer_bounds, stages_of


@dataclass(frozen=True)
class Best:
    """The best mapping found; no mapping has a value below `bound`.

    `value` is what the search made least: energy without operations, cycles, their product, or words.
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
        return max(0.0, 1 - self.bound / self.value) if self.value else 0.0


def best_mapping(
    spec: GConv,
    hierarchy: Hierarchy,
    node: str = "",
    objective: Objective = Objective.ENERGY,
    effort: Effort | None = None,
) -> Best:
    """The mapping with the least value, or, once the effort is spent, the best one found until then.

    Half of a limited effort goes to mappings without tiles that are larger than they need be, among which the best one
    nearly always is. Where sums are cheaper to add up further out, there is no bound but 0.

    Raises `CatenaError`: CAT-F001 if none fits or none was found, CAT-C003 if tiles of the machine are not nested.
    """
    if not hierarchy.nested:
        raise CatenaError(
            Diagnostic("CAT-C003", "only the search in a dataflow counts tiles as if they were not nested", "target")
        )
    problem = Problem.of(spec)
    prices = Prices(hierarchy, objective)
    effort = effort or Effort()
    best = Incumbent()
    nothing = Parts.empty(problem)
    narrow, wide = (
        [_tree(problem, prices, assignment, larger) for assignment in assignments(problem, hierarchy)]
        for larger in (False, True)
    )
    for tree in sorted(narrow, key=lambda each: each.root_bound(0, nothing)):
        if tree.root_bound(0, nothing) < best.value:
            tree.dive(0, nothing, best)
    first = Effort(effort.parts / 2, effort.should_stop)
    for tree in narrow:
        tree.search(0, nothing, best, first)
    bound = min(tree.search(0, nothing, best, effort) for tree in wide)
    if best.parts is None:
        raise CatenaError(Diagnostic("CAT-F001", f"no mapping of this link on {hierarchy.name} fits", "mapped", node))
    if not prices.additions_cost_less_inside:
        bound = 0.0
    return _described(problem, prices, best.parts, min(bound, best.value))


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


def _tree(problem: Problem, prices: Prices, assignment: Assignment, larger: bool) -> Tree:
    hierarchy = prices.hierarchy
    stages = stages_of(hierarchy)
    bounds = Bounds(problem, prices, assignment)
    moves = Moves(problem, hierarchy, larger=larger)

    def outside(outer: tuple[float, ...]) -> Tree:
        return Tree(hierarchy, moves, bounds, stages, outer, lambda energy, _: energy, bounds.energy)

    outer = outer_bounds(outside, stages, replace(Parts.empty(problem), links=()))
    outer = tuple(each + bounds.constant for each in outer)
    return Tree(
        hierarchy,
        moves,
        bounds,
        stages,
        outer,
        prices.objective.of,
        lambda parts: prices.value(_counts(prices, parts)),
    )


def _counts(prices: Prices, parts: Parts) -> Counts:
    nest, tiles = parts.nest()
    return Counts(parts.problem, prices.hierarchy, nest, tiles)


def _described(problem: Problem, prices: Prices, parts: Parts, bound: float) -> Best:
    nest, tiles = parts.nest()
    counts = Counts(problem, prices.hierarchy, nest, tiles)
    elements = 1
    for axis in prices.hierarchy.axes:
        elements *= int(counts.elements(axis.name)[0])
    return Best(
        mapping_of(problem, nest, tiles, 0),
        float(prices.value(counts)[0]),
        bound,
        float(prices.energy(counts)[0]),
        float(prices.cycles(counts)[0]),
        {event: int(column[0]) for event, column in counts.events.items()},
        elements,
        int(counts.steps[0]),
    )
