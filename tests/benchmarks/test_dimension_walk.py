"""The walk by dimensions against the walk of all loops at once."""

from __future__ import annotations

import sys

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dialects.hierarchy import Hierarchy
from passes.mapper.nest import Nest
from passes.mapper.problem import Problem
from tests.benchmarks.scripts import FOLDER, script
from tests.examples import examples
from tests.passes.mapper.drawing import has_loops, hierarchies, links, nests
from tests.passes.mapper.literal import Literal

if str(FOLDER) not in sys.path:
    sys.path.insert(0, str(FOLDER))
DimensionWalk = script("dimension_walk").DimensionWalk


def same(problem: Problem, machine: Hierarchy, nest: Nest, tiles: list[int]) -> None:
    walked, literal = DimensionWalk(problem, machine, nest, tiles), Literal(problem, machine, nest, tiles)
    events = set(walked.events) | set(literal.events)
    assert {e: walked.events.get(e, 0) for e in events} == {e: literal.events.get(e, 0) for e in events}
    assert walked.occupancy == literal.occupancy
    assert walked.steps == literal.steps
    used = 1
    for axis in machine.axes:
        used *= walked.elements(axis.name)
    assert used == literal.elements


@settings(max_examples=examples(300), derandomize=True, deadline=None)
@given(st.data())
def test_dimensions_walked_by_themselves_move_what_all_loops_together_move(data: st.DataObject) -> None:
    spec = data.draw(links())
    assume(has_loops(spec))
    problem = Problem.of(spec)
    machine = data.draw(hierarchies())
    nest, tiles = data.draw(nests(problem))
    same(problem, machine, nest, tiles)
