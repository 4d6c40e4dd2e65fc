"""Bounds of the search of fused groups: what it leaves out or gives up because of them is no better than the front."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import replace

import pytest

from dialects.fused_mapping import Stages
from dialects.gconv.spec import LoopKind
from dialects.schedule import Loop
from passes.fusion import factors, turn_walk
from passes.fusion.axis_tables import Tabulation
from passes.fusion.factors import GroupTables
from passes.fusion.front import Objective
from passes.fusion.group import Group
from passes.fusion.link_walk import Cut
from passes.fusion.search import GroupSearch, Limits
from passes.fusion.space import Space
from passes.fusion.turn_walk import TooLargeError
from passes.mapper.effort import Effort
from tests.examples import examples
from tests.passes.fusion.groups import Builder, random_group, window

BUFFER = "glb"
POINTS = 5
"""Points of a front that are looked for again, at most."""


def _case(rng: random.Random) -> tuple[Group, Space, Collection[str], list[list[int]]]:
    """A random group with a space, tensors that stay, and its front, which is of some points."""
    while True:
        while len((group := random_group(rng)).links) > 3:
            pass
        kind = rng.choice(["usual", "pieces", "finished", "one level", "resident"])
        space = Space(
            every_up_to=99,
            most_loops=rng.randint(1, 2),
            stages=rng.choice(tuple(Stages)),
            pieces=kind == "pieces",
            unfinished=kind != "finished",
            one_level=kind == "one level",
        )
        outside = [*group.external, group.head.result, *sorted(group.exported)]
        resident = rng.sample(outside, rng.randint(1, len(outside))) if kind == "resident" else ()
        search = GroupSearch(group, BUFFER, space, effort=Effort(3_000), resident=resident).run()
        if search.exact and len(search.costs) > 2:
            return group, space, resident, search.costs.tolist()


@pytest.mark.parametrize("objective", list(Objective))
@pytest.mark.parametrize("first", range(0, examples(40), 4))
def test_points_are_found_again_by_searches_that_know_from_the_beginning_what_they_cost(
    first: int, objective: Objective
) -> None:
    """No other search leaves out as much: each bound that is too high shows."""
    for seed in range(first, first + 4):
        rng = random.Random(12_000 + seed)
        group, space, resident, front = _case(rng)
        for point in rng.sample(front, min(len(front), POINTS)):
            search = GroupSearch(group, BUFFER, space, Limits(*point), objective=objective, resident=resident).run()
            assert search.exact
            assert search.costs.tolist() == [point], seed


def _dependent(rng: random.Random) -> tuple[Group, Space, list[list[int]]]:
    """A random group some of whose loops depend on one another, with a space and its front of some points."""
    space = Space(every_up_to=99, most_loops=2, stages=rng.choice(tuple(Stages)), pieces=rng.random() < 0.3)
    while True:
        group = random_group(rng)
        if len(group.links) > 3 or all(len(each.loops) == 1 for each in GroupTables(group, space).factors):
            continue
        search = GroupSearch(group, BUFFER, space, effort=Effort(3_000)).run()
        if search.exact and len(search.costs) > 1:
            return group, space, search.costs.tolist()


@pytest.mark.parametrize("first", range(0, examples(40), 4))
def test_a_front_without_what_was_given_up_is_exact_only_if_it_is_the_whole_one(
    first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables of two loops are too large here for the most part; what costs more than is known may be given up."""
    for seed in range(first, first + 4):
        rng = random.Random(13_000 + seed)
        group, space, front = _dependent(rng)
        with monkeypatch.context() as patched:
            patched.setattr(turn_walk, "_MOST_PLACES", rng.choice([0, 60, 300]))
            patched.setattr(factors, "_MOST_ONE_BY_ONE", 0)
            some = [Limits(*rng.choice(front)[: rng.randint(1, 2)]) for _ in range(3)]
            for limits in (Limits(), *some, Limits(rng.choice(front)[0] - 1)):
                search = GroupSearch(group, BUFFER, space, limits, Effort(6_000)).run()
                within = [
                    point
                    for point in front
                    if point[0] <= (limits.capacity or point[0]) and point[1] <= (limits.traffic or point[1])
                ]
                assert not search.exact or search.costs.tolist() == within, seed


def _convolution(channels: int, rows: int, windows: int) -> Group:
    net = Builder()
    around = windows // 2
    spans = [window(axis, rows, windows, before=around, after=around) for axis in "HW"]
    net.conv(net.external((channels, rows, rows)), channels, spans)
    return net.group()


def test_axes_that_no_loop_moves_make_no_table_too_large() -> None:
    """The kernel has 2**16 indices for its channels, which rows and their windows have nothing to do with."""
    group = _convolution(256, 56, 3)
    cuts = [Cut(Loop("H", LoopKind.OPC), 56, tuple(range(1, 56))), Cut(Loop("H", LoopKind.KS), 3, (1, 2))]
    assert len(Tabulation(group).table(cuts, {}).contents) == 55 * 2


def test_what_is_given_up_and_costs_more_leaves_the_front_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and their windows together have no table. In least room they take too much, with more they move no less."""
    group, space = _convolution(4, 12, 3), Space(kinds=(LoopKind.OPC, LoopKind.KS), most_loops=2)
    whole = GroupSearch(group, BUFFER, space).run().costs.tolist()
    monkeypatch.setattr(turn_walk, "_MOST_PLACES", 1000)
    cuts = [Cut(Loop("H", LoopKind.OPC), 12, (1, 2)), Cut(Loop("H", LoopKind.KS), 3, (1, 2))]
    with pytest.raises(TooLargeError):
        Tabulation(group).table([replace(cut, tiles=tuple(range(1, cut.count))) for cut in cuts], {})

    def within(capacity: int) -> tuple[bool, list[list[int]]]:
        limits = Limits(capacity=capacity)
        search = GroupSearch(group, BUFFER, space, limits, objective=Objective.TRAFFIC).run()
        return search.exact, search.costs.tolist()

    assert within(80) == (True, [])
    assert within(200) == (False, [next(point for point in whole if point[0] == 200)])
    assert within(292) == (True, [whole[-1]])
