"""Brief searches of links that are alike, whose dives are made together (`passes.mapper.alike`)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dialects.hierarchy import Hierarchy
from passes.mapper.alike import Alike, AlikeBest, AlikeBounds, AlikeDive, AlikeTree, apart_by_problem, by_number
from passes.mapper.effort import Effort, SpentError
from passes.mapper.free import QUICK, Best, Led, Search, require_nested
from passes.mapper.partial import Parts
from passes.mapper.pricing import Objective, Prices, Values
from passes.mapper.problem import Problem
from passes.mapper.tree import TOGETHER, Incumbent

_MOST = 40
"""How many links are searched at a time."""

_MOST_WAYS = 16
"""How many ways to let operands pass by a link may have: bounds of all of them are kept until its search has ended."""


@dataclass(frozen=True)
class Begun:
    """A search of which some dives are made."""

    search: Search
    led: Led

    def ended(self, node: str, effort: Effort) -> Best:
        """As `passes.mapper.free.mapping_for` of a brief search. Raises `CatenaError` as that does.

        What others took in dives together counts, too. If effort is enough for that, so it is for this one alone; else
        it might end elsewhere alone, and is made again.
        """
        most = effort.share(1.0)
        found = self.search.dive(most, self.led)
        if most.parts < 0 and not effort.should_stop():
            found = self.search.dive(effort)
        return self.search.required(*found, node)

    @property
    def next_dive(self) -> str:
        """What searches must have in common to make the next dive together."""
        problem, (_, tree) = self.search.problem, self.led.roots.trees[self.led.done]
        return repr((problem.loop_kinds, problem.windows, problem.operands, tree.bounds.assignment))

    def after(self, parts: Sequence[tuple[Parts, Values]], effort: int) -> Begun:
        """After one more dive, made with so much effort, that ends with these parts, which have such bounds."""
        led = self.led
        best = replace(led.best)
        led.roots.trees[led.done][1].offer(parts, best)
        return Begun(self.search, Led(led.roots, best, led.done + 1, led.effort + effort))


def begun_together(
    problems: Sequence[Problem], hierarchy: Hierarchy, objective: Objective, effort: Effort
) -> list[Begun | None]:
    """Brief searches of links on a machine, each with such an effort; None of those that cannot be made together.

    Of those that are alike to no others no dive is made. They end as on their own. Raises `CatenaError` (CAT-C003) if
    tiles of the machine are not nested.
    """
    require_nested(hierarchy)
    prices = Prices(hierarchy, objective)
    shapes = [(problem.loop_kinds, problem.windows, problem.operands) for problem in problems]
    begun: dict[int, Begun] = {}
    for number, problem in enumerate(problems):
        search = Search(problem, prices)
        if shapes.count(shapes[number]) > 1 and search.is_simple and search.has_ways(_MOST_WAYS):
            roots = search.roots(Effort(should_stop=effort.should_stop))
            begun[number] = Begun(search, Led(roots, Incumbent(), 0, 0))
    for done in itertools.count():
        alike: dict[str, list[int]] = {}
        for number, each in begun.items():
            if each.led.done == done < len(each.led.roots.trees) and (not done or each.led.best.made is not None):
                alike.setdefault(each.next_dive, []).append(number)
        if not alike:
            break
        for numbers in alike.values():
            for some in (numbers[start : start + _MOST] for start in range(0, len(numbers), _MOST)):
                if len(some) > 1:
                    found = _dived([begun[number] for number in some], effort)
                    begun.update((number, each) for number, each in zip(some, found, strict=True) if each is not None)
    return [begun.get(number) for number in range(len(problems))]


def _dived(several: Sequence[Begun], limit: Effort) -> list[Begun | None]:
    """Searches after one more dive, made together; None of those for which it might be another one on its own.

    If that takes more than its share of the effort that each may make, half of them are led at a time, and so on, down
    to two.
    """
    problem = Alike.all_of([each.search.problem for each in several])
    trees = [each.led.roots.trees[each.led.done][1] for each in several]
    effort = limit.share(1 / len(several[0].led.roots.trees))
    search, one = several[0].search, trees[0]
    bounds = AlikeBounds.all_of(problem, [tree.bounds for tree in trees])
    moves = search.moves(effort, larger=False, values=QUICK.values, mixed=(), problem=problem)
    tree = AlikeTree(one.hierarchy, moves, bounds, one.value, one.price, TOGETHER * len(several))
    known = [each.led.best.value for each in several]
    best = AlikeBest(max(known), values=by_number(known))
    try:
        led = AlikeDive(tree, best, QUICK.width, QUICK.step).led(Parts.empty(problem))
        groups = tree.finished(led, best)
    except SpentError:
        half = len(several) // 2
        if half < 2 or limit.should_stop():
            return [None] * len(several)
        return [*_dived(several[:half], limit), *_dived(several[half:], limit)]
    found: list[Begun | None] = []
    for number, (each, parts) in enumerate(zip(several, apart_by_problem(groups, problem), strict=True), 1):
        found.append(None if number in tree.doubtful else each.after(parts, effort.spent))
    return found
