"""The closed forms of the mapper against a literal walk of the loop nest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dialects.gconv import Dim, GConv, Reduce
from dialects.hierarchy import Hierarchy
from dialects.schedule import Operand
from dialects.soundness import parse_hierarchy
from passes.mapper.counts import Counts
from passes.mapper.nest import For, Nest, Par, Store
from passes.mapper.problem import Problem
from tests.examples import examples
from tests.passes.mapper.drawing import REPEATED, extras_of, has_loops, hierarchies, links, nests
from tests.passes.mapper.literal import Literal


def both(problem: Problem, machine: Hierarchy, nest: Nest, tiles: list[int]) -> tuple[dict[str, int], dict[str, int]]:
    """Events, occupancy and steps by the closed forms, and by walking."""
    counts = Counts(problem, machine, nest, [np.array([tile]) for tile in tiles])
    literal = Literal(problem, machine, nest, tiles)
    here = {event: int(words[0]) for event, words in counts.events.items()}
    there = {event: literal.events.get(event, 0) for event in here}
    assert set(literal.events) <= set(here)
    for memory, held in counts.occupancy.items():
        for operand, words in held.items():
            here[f"{memory} {operand}"] = int(words[0])
            there[f"{memory} {operand}"] = literal.occupancy[memory, operand]
    return here | {"steps": int(counts.steps[0])}, there | {"steps": literal.steps}


@settings(max_examples=examples(500), derandomize=True, deadline=None)
@given(st.data())
def test_counts_are_what_walking_the_nest_gives(data: st.DataObject) -> None:
    spec = data.draw(links())
    assume(has_loops(spec))
    problem = Problem.of(spec, extras_of(spec, data.draw(REPEATED)))
    machine = data.draw(hierarchies())
    nest, tiles = data.draw(nests(problem))
    closed, walked = both(problem, machine, nest, tiles)
    assert closed == walked


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(st.data())
def test_what_passes_a_memory_by_comes_anew_however_far_in(data: st.DataObject) -> None:
    """Three memories inside one another for one operand, of which the outermost keeps nothing."""
    spec = data.draw(links())
    assume(has_loops(spec))
    problem = Problem.of(spec)
    operand = data.draw(st.sampled_from(problem.operands))
    inner = {name: {"kind": "memory", "slides": data.draw(st.booleans())} for name in ("glb", "rf")}
    nodes: list[For | Store] = []
    tiles: list[int] = []
    for memory in ("sram", "glb", "rf", None):
        for loop in data.draw(st.lists(st.integers(0, len(problem.loops) - 1), min_size=1, max_size=2)):
            nodes.append(For(loop))
            tiles.append(data.draw(st.integers(1, problem.extents[loop])))
        if memory:
            nodes.append(Store(memory, operand))
            tiles.append(1)
    closed, walked = both(problem, machine(sram={"kind": "memory", "stays": False}, **inner), Nest(tuple(nodes)), tiles)
    assert closed == walked


CONV = GConv((Dim("C", op=4, ks=2), Dim("H", opc=5, ks=3)), main="mul", reduce=Reduce.ADD)
OP, CHANNEL, ROW, TAP = range(4)


def machine(**levels: dict[str, object]) -> Hierarchy:
    return parse_hierarchy({"name": "m", "summary": "", "levels": {"dram": {"kind": "memory"}, **levels}})


def test_a_sliding_memory_takes_every_word_once() -> None:
    nest = Nest((For(ROW), Store("rf", Operand.INPUT)))
    tiles = [np.array([1, 2]), np.array([1, 1])]
    for slides, fills in ((False, [2 * 5 * 3, 2 * (4 + 4 + 3)]), (True, [2 * 7, 2 * 7])):
        counts = Counts(Problem.of(CONV), machine(rf={"kind": "memory", "slides": slides}), nest, tiles)
        assert counts.events["rf.input.fill"].tolist() == fills


def test_multicast_sends_a_word_once_to_a_diagonal_of_elements() -> None:
    nest = Nest((Par(ROW, "x"), Par(TAP, "x"), Store("rf", Operand.INPUT)))
    tiles = [np.array([1])] * 3
    axis = {"kind": "axis", "size": 15, "multicast": ["I"], "reduces": True}
    counts = Counts(Problem.of(CONV), machine(x=axis, rf={"kind": "memory"}), nest, tiles)
    assert counts.events["dram.input.read"].tolist() == [2 * 7]
    assert counts.events["rf.input.fill"].tolist() == [2 * 15]
    assert counts.elements("x").tolist() == [15]


@pytest.mark.parametrize(("reduces", "arrive"), [(True, 4 * 5 * 2), (False, 4 * 5 * 2 * 3)])
def test_sums_are_added_on_the_way_or_where_they_arrive(reduces: bool, arrive: int) -> None:
    nest = Nest((For(CHANNEL), Par(TAP, "x"), Store("rf", Operand.OUTPUT)))
    axis = {"kind": "axis", "size": 3, "reduces": reduces}
    counts = Counts(Problem.of(CONV), machine(x=axis, rf={"kind": "memory", "stays": False}), nest, [np.array([1])] * 3)
    assert counts.events["dram.output.update"].tolist() == [arrive]
    assert counts.events["dram.output.add"].tolist() == [arrive - 4 * 5]
    assert counts.events["dram.output.hop"].tolist() == [4 * 5 * 2 * 3 - arrive]


def test_papers_count_tiles_of_the_whole_loop() -> None:
    nest = Nest((For(OP), Store("glb", Operand.KERNEL), For(OP), Store("rf", Operand.INPUT)))
    tiles = [np.array([3]), np.array([1]), np.array([2]), np.array([1])]
    glb, rf = {"kind": "memory"}, {"kind": "memory", "stays": False}
    for nested, visits in ((True, 3), (False, 2)):
        description = {"name": "m", "summary": "", "nested": nested}
        levels = {"dram": {"kind": "memory"}, "glb": glb, "rf": rf}
        counts = Counts(Problem.of(CONV), parse_hierarchy({**description, "levels": levels}), nest, tiles)
        assert counts.events["rf.input.fill"].tolist() == [visits * 2 * 7]


def test_only_events_that_are_asked_for_are_counted() -> None:
    nest = Nest((For(ROW), Store("rf", Operand.INPUT), Store("rf", Operand.OUTPUT), For(CHANNEL)))
    tiles = [np.array([2, 3]), *[np.array([1, 1])] * 3]
    levels = machine(rf={"kind": "memory"})
    every = Counts(Problem.of(CONV), levels, nest, tiles).events
    some = frozenset({"rf.input.fill", "dram.output.add", "rf.output.hop"})
    counted = Counts(Problem.of(CONV), levels, nest, tiles, some).events
    assert counted.keys() == some | {"operation"}
    assert all(counted[event].tolist() == every[event].tolist() for event in counted)
