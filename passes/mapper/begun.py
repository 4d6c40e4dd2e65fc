"""Brief searches of links that are alike, whose first dives are made together (`passes.mapper.alike`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dialects.hierarchy import Hierarchy
from passes.mapper.alike import Alike, AlikeBounds, AlikeDive, AlikeTree, apart_by_problem
from passes.mapper.effort import Effort, SpentError
from passes.mapper.free import QUICK, Best, Led, Roots, Search, require_nested
from passes.mapper.partial import Parts
from passes.mapper.pricing import Objective, Prices
from passes.mapper.problem import Problem
from passes.mapper.tree import TOGETHER, Incumbent

_MOST = 40
"""How many links are searched at a time."""


@dataclass(frozen=True)
class Begun:
    """A search of which the first dive is made."""

    search: Search
    led: Led

    def ended(self, node: str, effort: Effort) -> Best:
        """As `passes.mapper.free.mapping_for` of a brief search. Raises `CatenaError` as that does."""
        return self.search.required(*self.search.dive(effort, self.led), node)


def begun_together(
    problems: Sequence[Problem], hierarchy: Hierarchy, objective: Objective, effort: Effort
) -> list[Begun | None]:
    """Brief searches of links on a machine, each with such an effort; None of those that are not alike to others.

    They end as on their own, but that each counts an equal share of the effort so far. Raises `CatenaError` (CAT-C003)
    if tiles of the machine are not nested.
    """
    require_nested(hierarchy)
    prices = Prices(hierarchy, objective)
    found: list[Begun | None] = [None] * len(problems)
    alike: dict[str, list[tuple[int, Search, Roots]]] = {}
    for number, problem in enumerate(problems):
        search = Search(problem, prices)
        if search.is_simple:
            roots = search.roots(Effort(should_stop=effort.should_stop))
            assignment = roots.trees[0][1].bounds.assignment
            key = repr((problem.loop_kinds, problem.windows, problem.operands, assignment))
            alike.setdefault(key, []).append((number, search, roots))
    for several in alike.values():
        for some in (several[start : start + _MOST] for start in range(0, len(several), _MOST)):
            if len(some) > 1:
                led = _led([(search, roots) for _, search, roots in some], effort.share(1.0))
                for number, (place, search, _) in enumerate(some):
                    if number in led:
                        found[place] = Begun(search, led[number])
    return found


def _led(searches: Sequence[tuple[Search, Roots]], effort: Effort) -> dict[int, Led]:
    """Where the dives of searches end, by number; of none if that takes more effort than one may make."""
    problem = Alike.all_of([search.problem for search, _ in searches])
    try:
        groups, doubtful = _dive(problem, searches, effort)
    except SpentError:
        return {}
    share = effort.spent // len(searches)
    return {
        number: Led(roots, parts, share)
        for number, ((_, roots), parts) in enumerate(zip(searches, apart_by_problem(groups, problem), strict=True))
        if number + 1 not in doubtful
    }


def _dive(problem: Alike, searches: Sequence[tuple[Search, Roots]], effort: Effort) -> tuple[list[Parts], set[int]]:
    """What the dives come to, and the numbers of problems that might come to something else on their own."""
    trees = [roots.trees[0][1] for _, roots in searches]
    search, one = searches[0][0], trees[0]
    bounds = AlikeBounds.all_of(problem, [tree.bounds for tree in trees])
    moves = search.moves(effort, larger=False, values=QUICK.values, mixed=(), problem=problem)
    tree = AlikeTree(one.hierarchy, moves, bounds, one.value, one.price, TOGETHER * len(searches))
    dive = AlikeDive(tree, Incumbent(), QUICK.width, QUICK.step)
    return dive.led(Parts.empty(problem)), tree.doubtful
