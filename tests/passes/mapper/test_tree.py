"""The parts of mappings that a search follows: what is said of their costs, and which are left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dialects.gconv import Dim, GConv, Reduce
from dialects.hierarchy import Axis, Hierarchy
from dialects.schedule import Objective
from dialects.soundness import parse_hierarchy
from passes.mapper.bounds import Bounds
from passes.mapper.choices import Tried, even, sampled
from passes.mapper.counts import Counts
from passes.mapper.dive import Dive, apart
from passes.mapper.dominance import cheapest
from passes.mapper.effort import Effort
from passes.mapper.free import assignments, best_mapping
from passes.mapper.moves import Made, Moves
from passes.mapper.partial import Parts, together
from passes.mapper.pricing import Prices, Values
from passes.mapper.problem import Problem
from passes.mapper.stages import stages_of
from passes.mapper.tree import Incumbent, Pool, Tree
from tests.examples import examples
from tests.passes.mapper.free_nests import OUTERMOST, small_links, small_machines

MOST = 400
"""Mappings of a case that are priced, at most."""


def tree_of(spec: GConv, hierarchy: Hierarchy, objective: Objective = Objective.ENERGY) -> Tree:
    # As the search bounds parts, where sums may be cheaper to add further out.
    problem, prices = Problem.of(spec), Prices(hierarchy, objective).evened
    bounds = Bounds(problem, prices, next(assignments(problem, hierarchy)))
    moves = Moves(problem, hierarchy, stages_of(hierarchy), Effort())

    def price(parts: Parts) -> Values:
        return prices.value(Counts(problem, hierarchy, *parts.nest()))

    def combined(_: Parts, energy: Values, cycles: Values) -> Values:
        return prices.combined(energy, cycles, problem.operations)

    return Tree(hierarchy, moves, bounds, combined, price)


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(spec=small_links(), hierarchy=small_machines())
def test_sure_parts_cost_what_is_said(spec: GConv, hierarchy: Hierarchy) -> None:
    """Others are replaced by them, so they must not cost more, when everything ends; some links may go on."""
    tree = tree_of(spec, hierarchy)
    assume(tree.bounds.exact)
    nothing, best = Parts.empty(Problem.of(spec)), Incumbent()
    pools = tree.pools(nothing, best)
    for stage in range(len(tree.stages)):
        taken = pools[stage].take(MOST, Incumbent())
        tree.advance(pools, stage, taken, lambda _, bounds: np.ones(len(bounds), np.bool_), best)
    finished = list(pools[-1].take(MOST, Incumbent()))
    assume(finished)
    for group in finished:
        for each in tree.moves.finishing(group.take(np.arange(min(group.count, 20)))):
            ended = replace(each, links=tuple(link.ended for link in each.links))
            said = tree.bounds.energy(ended, 1, ()) + tree.bounds.constant
            for rows in each.trail.alike():
                found = tree.price(each.take(rows))
                assert (found <= said[rows] * (1 + 1e-9) + 1e-6)[each.sure[rows]].all()


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(spec=small_links(), hierarchy=small_machines())
def test_steps_are_those_of_the_slowest_element(spec: GConv, hierarchy: Hierarchy) -> None:
    """Also where a last tile is smaller, and leaves elements without work."""
    problem = Problem.of(spec)
    tree = tree_of(spec, hierarchy, Objective.LATENCY)
    pools = tree.pools(Parts.empty(problem, tree.bounds.flows), best := Incumbent())
    for stage in range(len(tree.stages)):
        taken = pools[stage].take(MOST, Incumbent())
        tree.advance(pools, stage, taken, lambda _, bounds: np.ones(len(bounds), np.bool_), best)
    for group in pools[-1].take(MOST, Incumbent()):
        for each in group.alike():
            assert each.steps.tolist() == Counts(problem, hierarchy, *each.nest()).steps.tolist()


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(spec=small_links(), hierarchy=small_machines())
def test_bounds_are_the_same_whatever_is_known(spec: GConv, hierarchy: Hierarchy) -> None:
    """Of parts that were taken from others, cut, or are bounded together with others, as of parts looked at afresh."""
    tree = tree_of(spec, hierarchy, Objective.EDP)
    pools = tree.pools(Parts.empty(Problem.of(spec), tree.bounds.flows), best := Incumbent())
    for stage in range(len(tree.stages)):
        taken = list(pools[stage].take(MOST, Incumbent()))
        alone = [tree.bound(stage, each).tolist() for each in taken]
        twice = tree.several(stage, [*taken, *taken])
        assert [bounds.tolist() for _, bounds in twice] == [2 * bounds for bounds in alone]
        limit = float(np.median(np.concatenate([*map(np.array, alone), [np.inf]])))
        # with links in another order they are not put together, and stay where they were
        turned = [replace(each, links=each.links[::-1]) for each in taken]
        for parts, bounds in [*twice, *tree.several(stage, [*taken, *turned, *taken], Incumbent(limit))]:
            assert np.allclose(tree.bound(stage, parts), bounds, rtol=1e-12)
        below = [parts.tiles[:, bounds < limit] for parts, bounds in zip(taken, map(np.array, alone), strict=True)]
        found = [parts.tiles for parts, _ in tree.several(stage, [*taken, *taken], Incumbent(limit))]
        expected = [np.concatenate([tiles, tiles], axis=1) for tiles in below if tiles.shape[1]]
        assert [tiles.tolist() for tiles in found] == [tiles.tolist() for tiles in expected]
        for each in taken:
            some = each.take(np.arange(each.count)[::-2])
            afresh = replace(some, links=tuple(replace(link) for link in some.links))
            assert tree.bound(stage, some).tolist() == tree.bound(stage, afresh).tolist()
        tree.advance(pools, stage, taken, lambda _, bounds: np.ones(len(bounds), np.bool_), best)


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(spec=small_links(), hierarchy=small_machines(), objective=st.sampled_from(Objective), width=st.integers(1, 24))
def test_dives_end_the_same_if_all_they_follow_is_bounded(
    spec: GConv, hierarchy: Hierarchy, objective: Objective, width: int
) -> None:
    """Where all parts are followed, or were found to be promising before, their bounds are not asked for."""
    tree = tree_of(spec, hierarchy, objective)
    nothing = Parts.empty(Problem.of(spec), tree.bounds.flows)
    found: list[tuple[float, str | None]] = []
    for all_bounded in (False, True):
        # the second dive knows what the first one found
        best = Incumbent()
        with pytest.MonkeyPatch.context() as patch:
            if all_bounded:
                patch.setattr(Dive, "_takes_all", lambda self, count: False)
                patch.setattr(Made, "is_promising", lambda self, some: False)
            for number in (1, width):
                Dive(tree, best, number, 0.03).run(nothing)
                found.append((best.value, best.made and str(best.made.mapping)))
    assert found[:2] == found[2:]


def test_values_of_many_keys_are_those_of_each() -> None:
    values = {3: [1, 3], 5: [5], 9: [1, 4, 9]}
    tried = Tried()
    for keys, new in (([3, 3, 5], [3, 5]), ([5] * 200 + [9] * 200, [9])):
        column = np.array(keys)
        assert tried.missing(column) == new
        for key in new:
            tried.add(key, np.array(values[key]))
        rows, found = tried.each(column)
        pairs = [(row, value) for row, key in enumerate(keys) for value in values[key]]
        assert list(zip(rows.tolist(), found.tolist(), strict=True)) == pairs


@pytest.fixture
def machine() -> Hierarchy:
    return parse_hierarchy(
        {
            "name": "small",
            "summary": "",
            "levels": {"dram": {"kind": "memory"}, "glb": {"kind": "memory", "words": 100}},
            "accesses": {"dram": {"energy": 10, "events": {"dram.input.read": 1, "dram.kernel.read": 1}}},
        }
    )


def test_of_equal_parts_the_cheapest_stays(machine: Hierarchy) -> None:
    spec = GConv((Dim("A", opc=4), Dim("B", op=4, ks=4)), main="mul", reduce=Reduce.ADD)
    problem = Problem.of(spec)
    bounds = Bounds(problem, Prices(machine), next(assignments(problem, machine)))
    part = Parts.empty(problem)
    costs = [5.0, 3.0, 4.0]
    several = together([replace(part, sunk=np.array([cost])) for cost in costs])
    assert cheapest(several, bounds, ()).tolist() == [1]
    # one that may cost more than it says replaces nothing
    doubtful = replace(several, sure=np.array([True, False, True]))
    assert cheapest(doubtful, bounds, ()).tolist() == [1, 2]
    # others go on differently
    tiles = several.tiles.copy()
    tiles[0, 0] = 2
    assert cheapest(replace(several, tiles=tiles), bounds, ()).tolist() == [0, 1]


def test_a_pool_gives_so_many_parts_and_no_more() -> None:
    part = Parts.empty(Problem.of(GConv((Dim("A", opc=4),), main="mul", reduce=Reduce.ADD)))
    pool = Pool()
    pool.put([(together([part] * 6), np.array([3.0, 1.0, 3.0, 3.0, 2.0, 9.0]))], lambda parts: np.arange(parts.count))
    assert [some.count for some in pool.take(4, Incumbent(9.0))] == [4]
    # one of three alike is left; what is not below the limit is gone
    assert pool.least() == 3.0
    assert [some.count for some in pool.take(4, Incumbent(9.0))] == [1]
    assert pool.least() == np.inf


def test_a_dive_prefers_parts_that_use_the_elements_in_other_ways() -> None:
    part = Parts.empty(Problem.of(GConv((Dim("A", opc=4),), main="mul", reduce=Reduce.ADD)))
    several = replace(together([part] * 4), busy=np.array([[1, 1, 1, 4]]))
    ranks = apart(several, np.array([12.0, 10.0, 11.0, 11.5]))
    assert ranks.argsort().tolist() == [1, 3, 2, 0]
    assert ranks[[1, 3]].tolist() == [10.0, 11.5]


@pytest.mark.parametrize(("number", "expected"), [(1, [1]), (3, [1, 3, 12]), (6, [1, 2, 3, 4, 6, 12])])
def test_tiles_that_divide_a_loop_are_tried_first(number: int, expected: list[int]) -> None:
    assert sampled(even(12), 12, number).tolist() == expected
    # 13 has no other divisors; few others are spread over those that there are
    assert sampled(even(13), 13, 4).tolist() == [1, 2, 7, 13]


def test_trails_are_compact_and_tell_what_was_made_alike() -> None:
    problem = Problem.of(GConv((Dim("A", opc=4), Dim("B", op=4, ks=4)), main="mul", reduce=Reduce.ADD))
    part = Parts.empty(problem)
    one = part.cut((0,), np.array([[2]]), np.array([0]))
    other = part.cut((1,), np.array([[4]]), np.array([0]))
    both = together([one, other])
    assert [each.nest()[0].nodes[-1] for each in both.alike()] == [one.nest()[0].nodes[-1], other.nest()[0].nodes[-1]]
    last = both.take(np.array([1]))
    compact = last.trail.compact()
    assert len(compact.inside) == 1
    assert compact.made() == other.trail.made()


def test_steps_along_many_axes_take_no_longer_than_along_few() -> None:
    """With a part of the steps for every axis, not for every choice of some."""
    problem = Problem.of(GConv((Dim("A", opc=2**20 - 1), Dim("B", opc=3)), main="mul", reduce=Reduce.ADD))
    axis = Axis(kind="axis", name="x", size=2)
    parts = Parts.empty(problem)
    for _ in range(20):
        parts = parts.marked.laid(axis, 0, np.array([2]), np.array([0])).marked
    assert parts.steps.tolist() == [3]


def test_parts_that_are_done_are_priced_many_at_a_time_once_none_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line buffer's time to fill at first is in no bound, so that thousands of parts are below the best one."""
    levels = {
        "ddr": {"kind": "memory", "read": 3, "write": 1.5},
        "lines": {"kind": "memory", "words": 600, "operands": ["I", "O"], "read": 9},
        "tree": {"kind": "axis", "size": 27, "reduces": True, "loops": ["ks"]},
        "copies": {"kind": "axis", "size": 5, "multicast": ["I"], "loops": ["op"]},
    }
    accesses = {
        "ddr": {"energy": 150, "events": {f"ddr.{event}": 1 for event in OUTERMOST[:4]}},
        "lines": {"energy": 4, "events": {"lines.input.read": 1, "lines.output.update": 1, "lines.output.add": 2}},
    }
    machine = parse_hierarchy({"name": "tree", "summary": "", "levels": levels, "accesses": accesses})
    spec = GConv((Dim("C", op=64, ks=64), Dim("H", opc=4), Dim("W", opc=4)), "mul", Reduce.ADD)
    finished: list[int] = []
    finish = Tree.finish

    def counted(tree: Tree, groups: Iterable[Parts], best: Incumbent) -> None:
        some = list(groups)
        finished.append(sum(parts.count for parts in some))
        finish(tree, some, best)

    monkeypatch.setattr(Tree, "finish", counted)
    assert best_mapping(spec, machine, "", Objective.EDP).gap == 0
    assert sum(finished) > 2000
    assert len(finished) < 40


def test_parts_of_a_link_without_loops_are_all_alike(machine: Hierarchy) -> None:
    """A link of one operation: of equal parts the cheapest stays here, too."""
    problem = Problem.of(GConv((Dim("A"),), main="mul", reduce=Reduce.ADD))
    assert not problem.extents
    bounds = Bounds(problem, Prices(machine), next(assignments(problem, machine)))
    costs = [5.0, 3.0, 4.0]
    several = together([replace(Parts.empty(problem), sunk=np.array([cost])) for cost in costs])
    assert cheapest(several, bounds, ()).tolist() == [1]
