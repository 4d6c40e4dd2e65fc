"""Several links whose searches are begun together; that they find the same is in `test_nests_of_groups`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dialects.gconv import Dim, GConv, Reduce
from dialects.hierarchy import Hierarchy
from dialects.schedule import Objective, Operand
from dialects.soundness import parse_hierarchy
from passes.mapper.alike import Alike, AlikeBest, AlikeBounds, AlikeTree, apart_by_problem, first_of_each
from passes.mapper.begun import Begun, begun_together
from passes.mapper.bounds import Bounds
from passes.mapper.effort import Effort
from passes.mapper.free import assignments, mapping_for
from passes.mapper.moves import Moves
from passes.mapper.partial import Parts
from passes.mapper.pricing import Prices, Values
from passes.mapper.problem import Problem
from passes.mapper.stages import stages_of

MACHINE: Hierarchy = parse_hierarchy(
    {
        "name": "small",
        "summary": "",
        "levels": {
            "dram": {"kind": "memory"},
            "pe": {"kind": "axis", "size": 4, "multicast": ["I"]},
            "rf": {"kind": "memory", "operands": ["I", "K"], "words": 12},
        },
        "accesses": {"dram": {"energy": 20, "events": {"dram.input.read": 1, "dram.kernel.read": 1}}},
    }
)


def convolution(outputs: int, filters: int) -> Problem:
    return Problem.of(GConv((Dim("A", opc=outputs, ks=3), Dim("B", op=filters)), "mul", Reduce.ADD))


PROBLEMS = (convolution(9, 4), convolution(20, 6), convolution(5, 30))


def alike_tree(problem: Alike) -> AlikeTree:
    prices = Prices(MACHINE)
    bounds = [Bounds(each, prices, next(assignments(each, MACHINE))) for each in problem.each]
    moves = Moves(problem, MACHINE, stages_of(MACHINE), Effort(), values=6)

    def combined(parts: Parts, energy: Values, cycles: Values) -> Values:
        return prices.combined(energy, cycles, problem.operations_of(parts.tiles))

    def price(parts: Parts) -> Values:
        raise NotImplementedError

    return AlikeTree(MACHINE, moves, AlikeBounds.all_of(problem, bounds), combined, price)


def test_parts_of_several_problems_are_bounded_as_those_of_each() -> None:
    problem = Alike.all_of(PROBLEMS)
    prices = Prices(MACHINE)
    together = alike_tree(problem).bound(0, Parts.empty(problem)).tolist()
    alone: list[float] = []
    for each in PROBLEMS:
        bounds = Bounds(each, prices, next(assignments(each, MACHINE)))
        moves = Moves(each, MACHINE, stages_of(MACHINE), Effort())
        tree = replace(alike_tree(problem), bounds=bounds, moves=moves)
        alone.append(tree.root_bound(0, Parts.empty(each)))
    assert together == alone
    assert len({*together}) == len(PROBLEMS)


def test_parts_of_each_problem_are_those_that_were_led_together() -> None:
    problem = Alike.all_of(PROBLEMS)
    parts = Parts.empty(problem).take(np.array([2, 0, 2, 1]))
    cut = parts.cut([0], np.array([[5, 3, 2, 4]]), np.arange(4))
    bounds = np.array([8.0, 7.0, 9.0, 6.0])
    of_each = apart_by_problem([(cut, bounds), (parts.take(np.array([1])), bounds[:1])], problem)
    assert [[some.tiles[0].tolist() for some, _ in each] for each in of_each] == [[[3], [1]], [[4]], [[5, 2]]]
    assert [[some.tolist() for _, some in each] for each in of_each] == [[[7.0], [8.0]], [[6.0]], [[8.0, 9.0]]]
    for number, each in enumerate(of_each):
        for some, _ in each:
            assert some.problem is PROBLEMS[number]
            assert some.tiles.shape[0] == some.links[0].own.shape[0] == len(PROBLEMS[number].extents)
            assert some.turns((0,)).tolist() == (-(-PROBLEMS[number].extents[0] // some.tiles[0])).tolist()


def test_problems_whose_parts_might_come_in_another_order_alone_are_doubtful() -> None:
    problem = Alike.all_of(PROBLEMS[:2])
    begun = Parts.empty(problem)
    stored = begun.stored(MACHINE, "rf", Operand.INPUT, frozenset())
    tree = alike_tree(problem)
    tree.several(0, [begun, stored])
    assert not tree.doubtful
    first, second = (begun.take(np.array([row])) for row in range(2))
    # parts of the second problem that have nothing in a memory yet come last, if it is alone
    tree.several(0, [first, stored, second])
    assert tree.doubtful == {2}
    # but not if they are too dear to stay
    tree.doubtful.clear()
    tree.several(0, [first, stored, second], AlikeBest(values=np.array([0.0, np.inf, 0.0])))
    assert not tree.doubtful


def test_the_first_of_those_that_tie_are_taken_of_each_number() -> None:
    numbers, ranks = np.array([1, 2, 1, 1, 2, 1]), np.array([3.0, 1.0, 2.0, 2.0, 1.0, 2.0])
    assert first_of_each(numbers, ranks, 2).tolist() == [False, True, True, True, True, False]


@pytest.mark.parametrize(
    ("effort", "begins"),
    [(Effort(), True), (Effort(400), False), (Effort(should_stop=lambda: True), False)],
    ids=["enough", "too-little", "stopped"],
)
def test_what_takes_too_much_effort_is_not_begun(effort: Effort, *, begins: bool) -> None:
    begun = begun_together(PROBLEMS, MACHINE, Objective.ENERGY, effort)
    assert [each.led.done > 0 for each in begun if each is not None] == [begins] * len(PROBLEMS)
    assert all(each is not None and (each.led.effort > 0) == begins for each in begun)


def test_what_takes_too_much_effort_together_is_begun_by_halves() -> None:
    def effort_of(begun: list[Begun | None]) -> int:
        return sum(each.led.effort + 1 for each in begun if each is not None)

    problems = (*PROBLEMS, convolution(7, 12))
    together = begun_together(problems, MACHINE, Objective.ENERGY, Effort())
    halves = (begun_together(some, MACHINE, Objective.ENERGY, Effort()) for some in (problems[:2], problems[2:]))
    enough = max(map(effort_of, halves))
    assert enough < effort_of(together) - len(problems)
    by_halves = begun_together(problems, MACHINE, Objective.ENERGY, Effort(enough))
    assert [each.led.done for each in by_halves if each is not None] == [1] * len(problems)
    for one, other in zip(together, by_halves, strict=True):
        assert one is not None
        assert other is not None
        assert one.ended("", Effort()) == other.ended("", Effort())


@pytest.mark.parametrize("effort", [3_000, 6_000, 12_000, 24_000, 48_000, 96_000])
def test_with_little_effort_each_link_finds_what_it_finds_alone(effort: int) -> None:
    """Where dives end too early differs from one link to another, and what others take must not matter."""
    levels = {
        "dram": {"kind": "memory"},
        "l1": {"kind": "memory", "operands": ["I", "K", "O"], "bypass": ["I", "K"], "words": 80},
        "pe": {"kind": "axis", "size": 4, "multicast": ["I"]},
        "rf": {"kind": "memory", "operands": ["I", "K"], "bypass": ["K"], "words": 12},
    }
    accesses = {
        "dram": {"energy": 20, "events": {"dram.input.read": 1, "dram.kernel.read": 1, "dram.output.update": 1}},
        "l1": {"energy": 3, "events": {"l1.input.read": 1, "l1.kernel.read": 1, "l1.output.add": 1}},
    }
    machine: Hierarchy = parse_hierarchy({"name": "bypassed", "summary": "", "levels": levels, "accesses": accesses})
    problems = [
        Problem.of(GConv((Dim("A", opc=outputs, ks=3), Dim("B", op=filters, ks=reduced)), "mul", Reduce.ADD))
        for outputs, filters, reduced in ((29, 24, 12), (31, 30, 8), (60, 18, 16))
    ]
    begun = begun_together(problems, machine, Objective.EDP, Effort(effort))
    for problem, each in zip(problems, begun, strict=True):
        assert each is not None
        alone = mapping_for(problem, machine, "", Objective.EDP, Effort(effort), brief=True)
        assert each.ended("", Effort(effort)) == alone


def test_links_with_other_windows_are_not_begun_together() -> None:
    strided = Problem.of(GConv((Dim("A", opc=9, ks=3, stride=2), Dim("B", op=4)), "mul", Reduce.ADD))
    matrix = Problem.of(GConv((Dim("A", opc=9), Dim("B", op=4)), "mul", Reduce.ADD))
    found = begun_together([*PROBLEMS[:2], strided, matrix], MACHINE, Objective.ENERGY, Effort())
    assert [each and each.led.done for each in found] == [1, 1, None, None]
