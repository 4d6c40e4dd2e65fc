"""The search against brute force: every parameter, every mapping walked word by word."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from compiler.targets import select_target
from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce
from dialects.hierarchy import Hierarchy
from dialects.schedule import Objective
from dialects.soundness import parse_hierarchy
from passes.mapper.counts import Counts
from passes.mapper.dataflow import BoundFlow, parse_dataflow
from passes.mapper.nest import Store
from passes.mapper.pricing import Prices
from passes.mapper.room import too_small_for_flow
from passes.mapper.search import best_in_dataflow, least_in_dataflow, priced_in_dataflow
from passes.mapping.roles import roles_in_nest
from tests.examples import examples
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

# Statements between which a bar may stand: right of it are memories whose tiles parameters left of it cut.
STATEMENTS = (
    ("for filters p", "store glb [K]", "for rows_out r", "store rf [O]"),
    ("for filters f*p", "for rows_out r", "store glb [I]", "par filters p on pe", "store rf [O]"),
    ("for channels c", "store glb [I]", "for filters f*p", "store glb [K]", "par filters p on pe", "store rf [O]"),
    ("par filters p on pe", "for channels c", "store rf [K, I]", "for rows_out r", "store rf [O]"),
)


RATES = st.sampled_from([None, 0.25, 1.0, 3.0])


def machine(
    nest: str,
    words: int,
    elements: int,
    register: int,
    slides: bool,
    bank: int | None = None,
    rooms: dict[str, int] | None = None,
    even: tuple[str, ...] = (),
    buffers: int = 1,
    rates: tuple[float | None, float | None] = (None, None),
    reserve: str = "0",
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
                "dram": {"kind": "memory", "read": rates[0]},
                "glb": {
                    "kind": "memory",
                    "words": words,
                    "bank": bank,
                    "buffers": buffers,
                    "write": rates[1],
                    "reserve": reserve,
                },
                "pe": {"kind": "axis", "size": 64, "multicast": ["I", "K"], "reduces": True},
                "rf": {
                    "kind": "memory",
                    "words": register,
                    "slides": slides,
                    "stays": False,
                    "rooms": rooms or {},
                    "read": rates[1],
                },
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


def brute_force(spec: GConv, hierarchy: Hierarchy, objective: Objective) -> float | None:
    """The least value over every value of every parameter, each mapping walked."""
    flow = parse_dataflow(hierarchy).on(spec, roles_in_nest(spec))
    names = (*flow.flow.inner, *flow.flow.outer)
    best: float | None = None
    seen: set[tuple[tuple[int, ...], int]] = set()
    ranges = (range(1, flow.most_of(name) + 1) for name in names)
    for values in itertools.product(*ranges):
        parameters = dict(zip(names, values, strict=True))
        environment = {**flow.values, **parameters}
        tiles = tuple(int(tile(environment)) for tile in flow.expressions)
        extents = [1 if isinstance(node, Store) else flow.problem.extents[node.loop] for node in flow.nest.nodes]
        tiles = tuple(map(min, tiles, extents))
        reserved = int(flow.flow.reserves["glb"](environment))
        if (tiles, reserved) in seen or reserved < 0:
            continue
        seen.add((tiles, reserved))
        walk = Literal(flow.problem, hierarchy, flow.nest, list(tiles))
        held = {"glb": reserved, "rf": 0}
        is_in_room = True
        for (memory, operand), words in walk.occupancy.items():
            place = hierarchy.memory(memory)
            words *= place.buffers
            held[memory] += place.whole_banks(words)
            is_in_room &= words <= place.rooms.get(operand, words)
        if not is_in_room or not cuts_evenly(hierarchy, flow, tiles):
            continue
        if any(held[memory.name] > (memory.words or 0) for memory in hierarchy.memories[1:]):
            continue
        if hierarchy.elements is not None and walk.elements > hierarchy.elements:
            continue
        cost = sum(a.energy * n * walk.events.get(e, 0) for a in hierarchy.accesses for e, n in a.events.items())
        if objective is not Objective.ENERGY:
            counts = Counts(flow.problem, hierarchy, flow.nest, [np.array([tile]) for tile in tiles])
            cost = float(Prices(hierarchy, objective).value(counts)[0])
        best = cost if best is None else min(best, cost)
    return best


def is_sound(hierarchy: Hierarchy) -> bool:
    """Whether something is left beside what is reserved."""
    try:
        parse_dataflow(hierarchy)
    except CatenaError:
        return False
    return True


@settings(max_examples=examples(150), derandomize=True, deadline=None)
@given(st.data())
def test_the_best_mapping_is_what_brute_force_finds(data: st.DataObject) -> None:
    size = st.integers(1, 4)
    channels = Dim("C", op=data.draw(st.integers(1, 5)), ks=data.draw(size))
    stride = data.draw(st.integers(1, 2))
    spec = GConv((channels, Dim("H", opc=data.draw(size), ks=data.draw(size), stride=stride)), "mul", Reduce.ADD)
    assume(1 < spec.trips <= 48)
    nest = data.draw(st.sampled_from([ROW_STATIONARY, OUTPUT_STATIONARY]))
    bank = data.draw(st.sampled_from([None, 3, 8]))
    words = data.draw(st.integers(4, 80)) if bank is None else bank * data.draw(st.integers(1, 80 // bank))
    register, elements = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 8))
    limits = {
        "bank": bank,
        "rooms": data.draw(st.dictionaries(st.sampled_from("IKO"), st.integers(1, min(8, register)))),
        "even": data.draw(st.sampled_from([(), ("filters",), ("filters", "channels")])),
        "buffers": data.draw(st.integers(1, 2)),
        "rates": (data.draw(RATES), data.draw(RATES)),
    }
    reserves = ("0", "0", "p", "2*m*p - p", "9 - m", "12 - 5*p", "6*p*f - 3*m", "40 - 9*m*f")
    limits["reserve"] = data.draw(st.sampled_from(reserves))
    objective = data.draw(st.sampled_from(Objective))
    hierarchy = machine(nest, words, elements, register, data.draw(st.booleans()), **limits)
    assume(is_sound(hierarchy))
    expected = brute_force(spec, hierarchy, objective)
    if expected is None:
        with pytest.raises(CatenaError) as caught:
            best_in_dataflow(spec, hierarchy, objective=objective)
        assert caught.value.diagnostics[0].code == "CAT-F001"
        return
    found = best_in_dataflow(spec, hierarchy, objective=objective)
    assert found.value == pytest.approx(expected)
    assert found.bound == found.value
    if objective is Objective.ENERGY:
        assert priced_in_dataflow(spec, hierarchy, found.parameters) == found
    # Stopped as early as possible, it still has a mapping, and a bound that holds.
    stopped = best_in_dataflow(spec, hierarchy, objective=objective, should_stop=lambda: True)
    assert stopped.bound <= expected * (1 + 1e-9)
    assert least_in_dataflow(spec, hierarchy, objective) <= expected * (1 + 1e-9)
    assert stopped.value >= expected * (1 - 1e-9)


def check_a_bar(data: st.DataObject) -> None:
    """Where the bar stands changes no value."""
    size = st.integers(1, 4)
    channels = Dim("C", op=data.draw(st.integers(1, 6)), ks=data.draw(size))
    spec = GConv((channels, Dim("H", opc=data.draw(size), ks=data.draw(st.integers(1, 2)))), "mul", Reduce.ADD)
    assume(1 < spec.trips <= 48)
    statements = data.draw(st.sampled_from(STATEMENTS))
    bar = data.draw(st.integers(1, len(statements)))
    nest = f"{', '.join(statements[:bar])} | {', '.join(statements[bar:])}"
    words, register, elements = (data.draw(st.integers(*each)) for each in ((2, 40), (1, 16), (1, 8)))
    rates = data.draw(RATES), data.draw(RATES)
    hierarchy = machine(nest, words, elements, register, data.draw(st.booleans()), rates=rates)
    objective = data.draw(st.sampled_from(Objective))
    expected = brute_force(spec, hierarchy, objective)
    if expected is None:
        with pytest.raises(CatenaError):
            best_in_dataflow(spec, hierarchy, objective=objective)
        return
    found = best_in_dataflow(spec, hierarchy, objective=objective)
    assert found.value == pytest.approx(expected)
    stopped = best_in_dataflow(spec, hierarchy, objective=objective, should_stop=lambda: True)
    assert stopped.bound <= expected * (1 + 1e-9)


SHARED = (
    "for rows_out t, for rows_kernel t, store glb [I, K, O]",
    "for rows_out a*c, for filters c, for channels a, store glb [I, K, O]",
    "for filters a*c, store glb [I, K], for rows_out a + c, store glb [O]",
    "for rows_out t | for filters t*t, store glb [I, K, O]",
)
"""Nests with parameters that are in tiles of several loops: one may have to be larger than another can use."""


@settings(max_examples=examples(80), derandomize=True, deadline=None)
@given(
    st.sampled_from(SHARED),
    st.tuples(*[st.integers(1, 5)] * 4),
    st.integers(3, 60),
    st.sampled_from(["0", "c", "9 - c"]),
    st.sampled_from(list(Objective)),
)
def test_a_parameter_of_several_loops_is_as_large_as_any_needs(
    nest: str, sizes: tuple[int, ...], words: int, reserve: str, objective: Objective
) -> None:
    filters, channels, rows, taps = sizes
    spec = GConv((Dim("C", op=filters, ks=channels), Dim("H", opc=rows, ks=taps)), "mul", Reduce.ADD)
    assume(1 < spec.trips <= 120)
    hierarchy = machine(nest, words, 1, 1, False, reserve=reserve if "c" in nest.split("store")[0] else "0")
    expected = brute_force(spec, hierarchy, objective)
    if expected is None:
        with pytest.raises(CatenaError):
            best_in_dataflow(spec, hierarchy, objective=objective)
    else:
        assert best_in_dataflow(spec, hierarchy, objective=objective).value == pytest.approx(expected)


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(st.data())
def test_where_the_bar_stands_changes_no_value(data: st.DataObject) -> None:
    check_a_bar(data)


@pytest.mark.exhaustive
def test_where_the_bar_stands_changes_no_value_often() -> None:
    settings(max_examples=examples(250), deadline=None)(given(st.data())(check_a_bar))()


@pytest.mark.parametrize("bar", ["|", ","])
def test_a_tile_right_of_the_bar_fits_where_one_left_of_it_is_small(bar: str) -> None:
    spec = GConv((Dim("C", op=8, ks=2), Dim("H", opc=3)), "mul", Reduce.ADD)
    hierarchy = machine(
        f"for filters p, store glb [K] {bar} for slide s, for rows_out s, store rf [O]", 80, 1, 2, False
    )
    found = best_in_dataflow(spec, hierarchy)
    assert found.value == pytest.approx(brute_force(spec, hierarchy, Objective.ENERGY))


@pytest.mark.parametrize("bar", ["|", ","])
def test_an_axis_left_of_the_bar_takes_larger_tiles_where_it_is_short(bar: str) -> None:
    spec = GConv((Dim("C", op=8, ks=2), Dim("H", opc=3)), "mul", Reduce.ADD)
    nest = f"par filters p on pe, store rf [K] {bar} for rows_out 1, store rf [O]"
    hierarchy = machine(nest, 80, 2, 12, slides=False)
    assert best_in_dataflow(spec, hierarchy).parameters == {"p": 4}
    flow = parse_dataflow(hierarchy).on(spec, roles_in_nest(spec))
    assert not too_small_for_flow(flow, hierarchy)


def test_what_does_not_fit_has_no_price() -> None:
    spec = GConv((Dim("C", op=4, ks=4), Dim("H", opc=4, ks=1)), "mul", Reduce.ADD)
    hierarchy = machine(ROW_STATIONARY, 80, 8, 12, slides=True, even=("filters",))
    assert priced_in_dataflow(spec, hierarchy, {"p": 2}) is not None
    assert priced_in_dataflow(spec, hierarchy, {"p": 3}) is None
    assert priced_in_dataflow(spec, hierarchy, {"q": 4, "p": 4}) is None


def test_a_part_to_cut_evenly_is_one_of_a_convolution() -> None:
    with pytest.raises(CatenaError, match="no part 'filter'"):
        parse_dataflow(machine(ROW_STATIONARY, 80, 8, 30, slides=True, even=("filter",)))


def delivered(name: str) -> Hierarchy:
    """A machine that comes with Catena."""
    found = select_target(name).machine
    assert isinstance(found, Hierarchy)
    return found


def test_a_large_layer_may_be_stopped_at_any_time() -> None:
    """A fully connected layer that has some millions of candidates: the question comes again and again."""
    spec = GConv((Dim("C", op=4096, ks=9216),), "mul", Reduce.ADD)
    hierarchy = delivered("isca16-rs")
    asked = 0

    def stop_after(most: int) -> bool:
        nonlocal asked
        asked += 1
        return asked > most

    best = best_in_dataflow(spec, hierarchy)
    assert best.bound == best.value
    questions: list[int] = []
    values: list[float] = []
    for most in (0, 2, 10_000):
        asked = 0
        stopped = best_in_dataflow(spec, hierarchy, should_stop=lambda most=most: stop_after(most))
        assert stopped.bound <= best.value <= stopped.value <= 1.2 * best.value
        assert (stopped.bound < stopped.value) == (asked > most)
        questions.append(asked)
        values.append(stopped.value)
    assert values == sorted(values, reverse=True)
    assert questions[:2] == [1, 3]
    assert questions[2] >= 3


@pytest.mark.parametrize("name", ["isca16-nlr", "isca16-osa"])
def test_a_loop_that_plays_two_parts_is_not_cut_twice_in_a_row(name: str) -> None:
    """Rows and sliding positions of a kernel of one element are one loop: some ten million pairs of tiles."""
    spec = GConv((Dim("C", op=64, ks=16), Dim("HW", opc=3136)), "mul", Reduce.ADD)
    best = best_in_dataflow(spec, delivered(name))
    assert "e" not in best.parameters
    assert best.bound == best.value
