"""The search against brute force: every parameter, every mapping walked word by word."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce
from dialects.hierarchy import Hierarchy, parse_hierarchy
from passes.mapper.dataflow import BoundFlow, parse_dataflow
from passes.mapper.nest import Store
from passes.mapper.search import best_in_dataflow, priced_in_dataflow
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


def machine(
    nest: str,
    words: int,
    elements: int,
    register: int,
    slides: bool,
    bank: int | None = None,
    rooms: dict[str, int] | None = None,
    even: tuple[str, ...] = (),
) -> Hierarchy:
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
                "glb": {"kind": "memory", "words": words, "bank": bank},
                "pe": {"kind": "axis", "size": 64, "multicast": ["I", "K"], "reduces": True},
                "rf": {"kind": "memory", "words": register, "slides": slides, "stays": False, "rooms": rooms or {}},
            },
            "accesses": {
                "dram": {"energy": 50, "events": dict.fromkeys(events, 1)},
                "glb": {"energy": 6, "events": dict.fromkeys(inside, 1)},
                "array": {"energy": 2, "events": dict.fromkeys(array, 1)},
                "rf": {"energy": 1, "events": {"rf.output.add": 1}},
            },
            "dataflow": {"nest": nest, "even": even},
        }
    )


def cuts_evenly(hierarchy: Hierarchy, flow: BoundFlow, tiles: tuple[int, ...]) -> bool:
    """Whether each tile of a loop that must be cut evenly is a whole part of the one around it."""
    assert hierarchy.dataflow is not None
    for part in hierarchy.dataflow.even:
        loop = flow.places[part]
        around = 1 if loop is None else flow.problem.extents[loop]
        for node, tile in zip(flow.nest.nodes, tiles, strict=True):
            if not isinstance(node, Store) and node.loop == loop and tile < around:
                if around % tile:
                    return False
                around = tile
    return True


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
        is_in_room = True
        for (memory, operand), words in walk.occupancy.items():
            bank = hierarchy.memory(memory).bank or 1
            held[memory] += -(-words // bank) * bank
            is_in_room &= words <= hierarchy.memory(memory).rooms.get(operand, words)
        if not is_in_room or not cuts_evenly(hierarchy, flow, tiles):
            continue
        if any(held[memory.name] > (memory.words or 0) for memory in hierarchy.memories[1:]):
            continue
        if hierarchy.elements is not None and walk.elements > hierarchy.elements:
            continue
        cost = sum(a.energy * n * walk.events.get(e, 0) for a in hierarchy.accesses for e, n in a.events.items())
        best = cost if best is None else min(best, cost)
    return best


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.data())
def test_the_best_mapping_is_what_brute_force_finds(data: st.DataObject) -> None:
    size = st.integers(1, 4)
    channels = Dim("C", op=data.draw(st.integers(1, 5)), ks=data.draw(size))
    stride = data.draw(st.integers(1, 2))
    spec = GConv((channels, Dim("H", opc=data.draw(size), ks=data.draw(size), stride=stride)), "mul", Reduce.ADD)
    assume(1 < spec.trips <= 48)
    nest = data.draw(st.sampled_from([ROW_STATIONARY, OUTPUT_STATIONARY]))
    words, elements = data.draw(st.integers(4, 80)), data.draw(st.integers(1, 8))
    limits = {
        "bank": data.draw(st.sampled_from([None, 3, 8])),
        "rooms": data.draw(st.dictionaries(st.sampled_from("IKO"), st.integers(1, 8))),
        "even": data.draw(st.sampled_from([(), ("filters",), ("filters", "channels")])),
    }
    hierarchy = machine(nest, words, elements, data.draw(st.integers(1, 30)), data.draw(st.booleans()), **limits)
    expected = brute_force(spec, hierarchy)
    if expected is None:
        with pytest.raises(CatenaError) as caught:
            best_in_dataflow(spec, hierarchy)
        assert caught.value.diagnostics[0].code == "CAT-F001"
        return
    found = best_in_dataflow(spec, hierarchy)
    assert found.value == pytest.approx(expected)
    assert priced_in_dataflow(spec, hierarchy, found.parameters) == found


def test_what_does_not_fit_has_no_price() -> None:
    spec = GConv((Dim("C", op=4, ks=4), Dim("H", opc=4, ks=1)), "mul", Reduce.ADD)
    hierarchy = machine(ROW_STATIONARY, 80, 8, 12, slides=True, even=("filters",))
    assert priced_in_dataflow(spec, hierarchy, {"p": 2}) is not None
    assert priced_in_dataflow(spec, hierarchy, {"p": 3}) is None
    assert priced_in_dataflow(spec, hierarchy, {"q": 4, "p": 4}) is None


def test_a_part_to_cut_evenly_is_one_of_a_convolution() -> None:
    with pytest.raises(CatenaError, match="no part 'filter'"):
        parse_dataflow(machine(ROW_STATIONARY, 80, 8, 30, slides=True, even=("filter",)))
