"""What is said never to happen never does, on random machines and in random nests."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dialects.gconv import GConv
from dialects.happening import why_never
from dialects.hierarchy import Hierarchy
from passes.mapper.counts import Counts
from passes.mapper.nest import Store
from passes.mapper.problem import Problem
from tests.examples import examples
from tests.passes.mapper.drawing import has_loops, hierarchies, links, nests


@settings(max_examples=examples(300), deadline=None)
@given(data=st.data(), spec=links(), hierarchy=hierarchies())
def test_what_never_happens_is_never_counted(data: st.DataObject, spec: GConv, hierarchy: Hierarchy) -> None:
    assume(has_loops(spec))
    problem = Problem.of(spec)
    nest, tiles = data.draw(nests(problem))
    stored = {(node.memory, node.operand) for node in nest.nodes if isinstance(node, Store)}
    counts = Counts(problem, hierarchy, nest, [np.array([tile]) for tile in tiles])
    for event, words in counts.events.items():
        if int(words[0]) and event != "operation":
            assert not why_never(hierarchy, event, hierarchy.kept(stored)), event
