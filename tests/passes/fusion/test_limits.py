"""What searches of networks do not look at: points that move too many words, and tensors beyond those that may stay."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from dialects.fused_mapping import FusedMapping
from dialects.gconv.spec import Dim
from dialects.schedule import Objective
from passes.fusion.group import Group
from passes.fusion.level_prices import Priced
from passes.fusion.model import FusedCosts
from passes.fusion.network import GroupSearches, Network, NetworkSpace
from passes.fusion.priced_network import AloneCost, PricedSearch
from passes.fusion.search import GroupSearch, Point
from passes.fusion.space import Space
from passes.fusion.stretches import parts_of
from tests.passes.fusion.groups import Builder, window

BUFFER = "glb"
EVERY = Space(every_up_to=99, most_loops=2)
SPACE = NetworkSpace(longest=1, staying=0, groups=EVERY, singles=EVERY, parts=10**6, most_work=None)


class Words:
    """A picojoule for each word, and one cycle for each group."""

    def of(
        self, group: Group, words: Mapping[str, int], operations: int, more: int = 0, turns: int | None = None
    ) -> tuple[float, float]:
        return float(sum(words.values()) + more), 1.0

    def of_mapping(self, group: Group, mapping: FusedMapping, passing: int) -> Priced:
        return Priced(mapping, float(FusedCosts(group, mapping).traffic), 1)


class Asked(GroupSearches):
    """Searches that keep how many words points of fronts were to move at most."""

    def __init__(self) -> None:
        super().__init__(BUFFER, SPACE)
        self.limits: list[int | None] = []

    def front(
        self, group: Group, resident: frozenset[str], capacity: int, traffic: int | None
    ) -> tuple[list[Point], bool]:
        self.limits.append(traffic)
        return super().front(group, resident, capacity, traffic)


@pytest.mark.parametrize(
    ("objective", "elsewhere"),
    [(Objective.ENERGY, (0.0, 0.0)), (Objective.EDP, (0.0, 0.0)), (Objective.EDP, (7.0, 3.0))],
)
def test_fronts_have_all_points_that_cost_less_than_what_is_known_and_no_others(
    objective: Objective, elsewhere: tuple[float, float]
) -> None:
    """A link that costs alone a little more than the best group of it, as much, or less than any group can."""
    net = Builder()
    net.conv(net.external((2, 6, 6)), 3, [window(axis, 6, 3) for axis in "HW"])
    group = net.group()
    points = GroupSearch(group, BUFFER, EVERY).run().front
    least = min(point.traffic for point in points)
    capacity, best = next((each.capacity, each.traffic) for each in reversed(points) if each.traffic > least)
    for alone, limits in ((best + 1, [best]), (best, [best - 1]), (least + 1, [least]), (least, [])):
        searches = Asked()
        search = PricedSearch(
            *(Network(group), capacity, searches, Words(), objective, [AloneCost(alone, float(alone), 1.0)]),
            elsewhere=elsewhere,
        )
        plan = search.run()
        assert plan is not None
        assert searches.limits == limits
        assert plan.energy == min(alone, best)
        assert [part.mapping is None for part in plan.parts] == [alone <= best]


@pytest.mark.parametrize(
    ("capacity", "staying", "expected"),
    [
        (1000, 2, [[], ["a"], ["b"], ["a", "b"]]),
        (30, 2, [[], ["a"], ["b"]]),
        (20, 2, [[], ["a"]]),
        (1000, 1, [[], ["a"]]),
        (1000, 0, [[]]),
    ],
)
def test_the_smallest_tensors_may_stay_at_a_cut_so_many_as_are_told(
    capacity: int, staying: int, expected: list[list[str]]
) -> None:
    """Of `a`, `b` and `c`, of 12, 24 and 36 words, which are made before the cut and read behind it."""
    net = Builder()
    dims = [Dim("H", opc=6), Dim("W", opc=2)]
    x = net.external((1, 6, 2))
    c, a, b = (net.conv(x, channels, dims, name=name) for name, channels in (("c", 3), ("a", 1), ("b", 2)))
    first = net.conv(c, 1, dims)
    net.conv(a, 1, dims, posts=[net.conv(b, 1, dims, posts=[first])])
    space = NetworkSpace(longest=1, staying=staying)
    parts = parts_of(Network(net.group()), capacity, space)
    found = {part.stretch.behind for part in parts if part.stretch.end == 3}
    assert sorted(sorted(each) for each in found) == sorted([f"{name}.out" for name in names] for names in expected)
