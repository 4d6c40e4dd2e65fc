"""The search against brute force: every parameter, every mapping walked word by word."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce
from dialects.hierarchy import Hierarchy, parse_hierarchy
from passes.mapper.dataflow import parse_dataflow
from passes.mapper.nest import Store
from passes.mapper.search import best_in_dataflow
from passes.mapping.roles import assign_roles
from tests.passes.mapper.literal import Literal

ROW_STATIONARY = """
for filters m*p*t, for rows_out f*e, store glb [O], for channels q*r, store glb [I] |
for filters p*t, for channels q*r, par rows_kernel 1 on pe, par channels q on pe, par filters p on pe,
store rf [K], for rows_out f, store rf [I, O]
"""
OUTPUT_STATIONARY = """
for filters m*p, store glb [K], for rows_out f, store glb [I], for filters p, par filters 1 on pe,
par rows_out 1 on pe, store rf [O] |
"""


def machine(nest: str, words: int, elements: int, register: int, slides: bool) -> Hierarchy:
    events = ("dram.input.read", "dram.kernel.read", "dram.output.update", "dram.output.add")
    inside = ("glb.input.read", "glb.kernel.read", "glb.output.add")
    array = ("rf.input.fill", "rf.kernel.fill", "glb.output.hop", "operation.input.fill", "operation.kernel.fill")
    return parse_hierarchy(
        {
            "name": "small",
            "summary": "",
            "elements": elements,
            "levels": {
                "dram": {"kind": "memory"},
                "glb": {"kind": "memory", "words": words},
                "pe": {"kind": "axis", "size": 64, "multicast": ["I", "K"], "reduces": True},
                "rf": {"kind": "memory", "words": register, "slides": slides, "stays": False},
            },
            "accesses": {
                "dram": {"energy": 50, "events": dict.fromkeys(events, 1)},
                "glb": {"energy": 6, "events": dict.fromkeys(inside, 1)},
                "array": {"energy": 2, "events": dict.fromkeys(array, 1)},
                "rf": {"energy": 1, "events": {"rf.output.add": 1}},
            },
            "dataflow": {"nest": nest},
        }
    )


def brute_force(spec: GConv, hierarchy: Hierarchy) -> float | None:
    """The least energy over every value of every parameter, each mapping walked."""
    flow = parse_dataflow(hierarchy).on(spec, assign_roles(spec))
    names = (*flow.flow.inner, *flow.flow.outer)
    best: float | None = None
    seen: set[tuple[int, ...]] = set()
    ranges = (range(1, flow.values[flow.flow.part_of(name)] + 1) for name in names)
    for values in itertools.product(*ranges):
        environment = {**flow.values, **dict(zip(names, values, strict=True))}
        tiles = tuple(int(tile(environment)) for tile in flow.expressions)
        extents = [1 if isinstance(node, Store) else flow.problem.extents[node.loop] for node in flow.nest.nodes]
        tiles = tuple(map(min, tiles, extents))
        if tiles in seen:
            continue
        seen.add(tiles)
        walk = Literal(flow.problem, hierarchy, flow.nest, list(tiles))
        held = {"glb": 0, "rf": 0}
        for (memory, _), words in walk.occupancy.items():
            held[memory] += words
        if any(held[memory.name] > (memory.words or 0) for memory in hierarchy.memories[1:]):
            continue
        if hierarchy.elements is not None and walk.elements > hierarchy.elements:
            continue
        cost = sum(a.energy * n * walk.events.get(e, 0) for a in hierarchy.accesses for e, n in a.events.items())
        best = cost if best is None else min(best, cost)
    return best


@settings(max_examples=25, derandomize=True, deadline=None)
@given(st.data())
def test_the_best_mapping_is_what_brute_force_finds(data: st.DataObject) -> None:
    size = st.integers(1, 4)
    channels = Dim("C", op=data.draw(st.integers(1, 5)), ks=data.draw(size))
    stride = data.draw(st.integers(1, 2))
    spec = GConv((channels, Dim("H", opc=data.draw(size), ks=data.draw(size), stride=stride)), "mul", Reduce.ADD)
    assume(1 < spec.trips <= 48)
    nest = data.draw(st.sampled_from([ROW_STATIONARY, OUTPUT_STATIONARY]))
    words, elements = data.draw(st.integers(4, 80)), data.draw(st.integers(1, 8))
    hierarchy = machine(nest, words, elements, data.draw(st.integers(1, 30)), data.draw(st.booleans()))
    expected = brute_force(spec, hierarchy)
    if expected is None:
        with pytest.raises(CatenaError) as caught:
            best_in_dataflow(spec, hierarchy)
        assert caught.value.diagnostics[0].code == "CAT-F001"
        return
    found = best_in_dataflow(spec, hierarchy)
    assert found.value == pytest.approx(expected)
