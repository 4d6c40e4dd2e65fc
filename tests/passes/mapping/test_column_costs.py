"""The search's closed forms over parameters: every event equal to the cost model's, bounds below every value."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dialects.array_machine import Machine
from dialects.events import EVENTS, LEVELS
from dialects.gconv import PASS, GConv
from dialects.schedule import Objective
from passes.mapping.column_costs import DENSE, Column, ColumnCosts, Columns, Window, halvings
from passes.mapping.cost import predict, price
from passes.mapping.data_events import Sparsity
from passes.mapping.fit import buffer_tiles
from passes.mapping.roles import assign_roles
from passes.mapping.row_stationary import Parameters, build_mapping, extent, fold
from passes.mapping.tiling import Tiling
from tests.examples import examples
from tests.passes.mapping.drawing import Shape, links, window_links
from tests.passes.mapping.latency import latency_of
from tests.passes.mapping.machines import EYERISS, ODD, machine_like_eyeriss
from tests.passes.mapping.walk import Walk

UNPRICED = {"dram.extra.read", "operation.mac", "operation.other", "operation.post"}
PRICED = [name for name in EVENTS if name not in UNPRICED]


@cache
def charging(event: str, padding_in_buffer: bool) -> Machine:
    """Eyeriss, but only one event costs anything: the energy is its count."""
    free = dict.fromkeys(("dram", "glb", "array", "spad", "operation"), 0)
    counting = {level: [] for level in LEVELS} | {"glb": [event], "padding_in_buffer": padding_in_buffer}
    return machine_like_eyeriss(energy={**free, "glb": 1, "picojoules": 1}, counting=counting)


FAST = machine_like_eyeriss(links=dict.fromkeys(("dram", "input_bus", "kernel_bus", "output_bus"), 1e12))
SLOW = machine_like_eyeriss(links={"dram": 0.3, "input_bus": 0.5, "kernel_bus": 1.5, "output_bus": 0.75})
COUNTED = {"dram": ["dram.input.read", "dram.input.padding"]}
PIPELINED = machine_like_eyeriss(
    pipeline={"stages": 3}, links={"dram": 0.3, "input_bus": 0.5}, counting=COUNTED, energy={"static_mw": 30}
)


@st.composite
def candidates(draw: st.DrawFn) -> tuple[GConv, Shape, Parameters]:
    """A link and parameters as the search has them, good or bad; sets that fit the array."""
    if draw(st.booleans()):
        spec, shape = draw(window_links())
    else:
        spec, shape, _ = draw(links(most_trips=2000, largest=9))
    roles = assign_roles(spec)

    def count(part: str) -> int:
        return extent(spec, getattr(roles, part))

    def tile(most: int) -> int:
        """The whole loop as often as an even share of it."""
        return most if draw(st.booleans()) else -(-most // draw(st.integers(1, most)))

    shared = roles.slide is not None and roles.slide == roles.rows_out
    rows = tile(count("rows_out"))
    p, q, groups = tile(count("filters")), tile(count("channels")), tile(count("groups"))
    t = tile(-(-count("filters") // p))
    whole_passes = range(p * t, count("filters"), p * t)
    x = Parameters(
        m=draw(st.sampled_from([*whole_passes, count("filters")])),
        n=draw(st.sampled_from(halvings(count("images")))),
        e=tile(-(-count("rows_out") // rows)),
        p=p,
        q=q,
        r=tile(-(-count("channels") // q)),
        t=t,
        rows=rows,
        slide=1 if shared else tile(count("slide")),
        kernel_rows=tile(count("rows_kernel")),
        kernel_cols=tile(count("slide_kernel")),
        groups=groups,
        group_sets=tile(-(-count("groups") // groups)),
        whole_windows=draw(st.booleans()),
    )
    assume(fold(x.e, x.kernel_rows * x.r, x.t, x.group_sets, EYERISS).fits)
    return spec, shape, x


def costs(
    spec: GConv, shape: Shape, x: Parameters, machine: Machine, data: Sparsity = DENSE
) -> tuple[ColumnCosts, Columns, Column]:
    """The candidate as columns of one row."""
    window = Window(x.slide, x.kernel_rows, x.kernel_cols, x.whole_windows)
    names = ("n", "e", "rows", "p", "q", "r", "t", "groups", "group_sets")
    columns = Columns(*(np.array([getattr(x, name)], np.int64) for name in names))
    return ColumnCosts(spec, shape, assign_roles(spec), machine, window, data), columns, np.array([x.m], np.int64)


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "unpadded"])
@settings(max_examples=examples(100), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(candidate=candidates())
def test_every_event_is_the_cost_models(padded: bool, candidate: tuple[GConv, Shape, Parameters]) -> None:
    spec, shape, x = candidate
    mapping = build_mapping(spec, assign_roles(spec), x, EYERISS)
    machines = {event: charging(event, padded) for event in PRICED}
    expected = predict(spec, shape, mapping, machines["dram.input.read"])
    for event, machine in machines.items():
        one, columns, m = costs(spec, shape, x, machine)
        assert one.value(Objective.ENERGY, columns, m)[0] == expected.events[event], (event, str(mapping))


@settings(max_examples=examples(100), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(candidates(), st.sampled_from((EYERISS, ODD)))
def test_energy_passes_and_sizes_are_those_of_the_mapping(
    candidate: tuple[GConv, Shape, Parameters], machine: Machine
) -> None:
    spec, shape, x = candidate
    roles = assign_roles(spec)
    # The array decides how sets fold, and with it the mapping.
    machine = machine.model_copy(update={"array": EYERISS.array})
    mapping = build_mapping(spec, roles, x, machine)
    counts = predict(spec, shape, mapping, machine)
    one, columns, m = costs(spec, shape, x, machine)
    energy = price(counts, machine).total_energy / machine.energy.picojoules
    assert one.value(Objective.ENERGY, columns, m)[0] == pytest.approx(energy, rel=1e-12)
    assert one.passes(columns, m)[0] == counts.passes
    tiles = list(buffer_tiles(spec, mapping).values())
    inputs, outputs = one.buffer_words(columns)
    assert [int(inputs[0]), int(outputs[0]) * min(x.m, extent(spec, roles.filters))] == tiles
    assert one.input_scratchpad(columns)[0] == Tiling(spec, mapping).scratchpad_words()["input"]


@settings(max_examples=examples(60), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(candidates())
def test_compute_cycles_are_those_of_the_busiest_elements(candidate: tuple[GConv, Shape, Parameters]) -> None:
    spec, shape, x = candidate
    assume(spec.trips <= 400)
    one, columns, m = costs(spec, shape, x, FAST)
    walk = Walk(spec, shape, build_mapping(spec, assign_roles(spec), x, FAST), FAST)
    assert one.value(Objective.LATENCY, columns, m)[0] == pytest.approx(walk.compute_cycles, rel=1e-6)


@settings(max_examples=examples(60), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(candidates())
def test_latency_has_the_beginnings_and_ends_of_passes(candidate: tuple[GConv, Shape, Parameters]) -> None:
    spec, shape, x = candidate
    assume(spec.trips <= 400)
    one, columns, m = costs(spec, shape, x, PIPELINED)
    latency = one.value(Objective.LATENCY, columns, m)[0]
    walk = Walk(spec, shape, build_mapping(spec, assign_roles(spec), x, PIPELINED), PIPELINED)
    begins = walk.first_words / PIPELINED.links.input_bus
    assert latency == pytest.approx(latency_of(walk.counts, walk.compute_cycles + begins, PIPELINED, walk.end_cycles))
    assert latency <= price(walk.counts, PIPELINED).cycles * (1 + 1e-6)
    for objective in Objective:
        value = one.value(objective, columns, m)[0] * (1 + 1e-9)
        assert one.bound(objective, columns)[0] <= value
        assert one.floor(objective, columns)[0] <= value
    energy = price(replace(walk.counts, array_cycles=0), machine_like_eyeriss(counting=COUNTED)).total_energy
    static = 30e3 / PIPELINED.clock_mhz * latency
    expected = (energy + static) / PIPELINED.energy.picojoules
    assert one.value(Objective.ENERGY, columns, m)[0] == pytest.approx(expected)


@settings(max_examples=examples(60), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(candidates())
def test_zeros_make_words_on_the_link_and_operations_cheaper(candidate: tuple[GConv, Shape, Parameters]) -> None:
    spec, shape, x = candidate
    gating = machine_like_eyeriss(energy={"gating": 0.5})
    one, columns, m = costs(spec, shape, x, gating, Sparsity(input=0.25, output=0.5, gated=0.4))
    counts = predict(spec, shape, build_mapping(spec, assign_roles(spec), x, gating), gating)
    energy = price(counts, gating).energy
    spent = 1 if spec.main == PASS else 1 - 0.5 * 0.4
    saved = 200 * 2 * (0.75 * counts.events["dram.input.read"] + 0.5 * counts.events["dram.output.write"])
    expected = sum(energy.values()) - saved - (1 - spent) * (energy["spad"] + energy["operation"])
    assert one.value(Objective.ENERGY, columns, m)[0] * 2 == pytest.approx(expected)


@settings(max_examples=examples(100), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(candidates(), st.sampled_from((EYERISS, SLOW)))
def test_latency_is_that_of_all_passes_taken_together(
    candidate: tuple[GConv, Shape, Parameters], machine: Machine
) -> None:
    spec, shape, x = candidate
    counts = predict(spec, shape, build_mapping(spec, assign_roles(spec), x, machine), machine)
    one, columns, m = costs(spec, shape, x, machine)
    fast, _, _ = costs(spec, shape, x, FAST)
    compute = fast.value(Objective.LATENCY, columns, m)[0]
    latency = one.value(Objective.LATENCY, columns, m)[0]
    assert latency == pytest.approx(latency_of(counts, compute, machine), rel=1e-6)
    # Passes wait for their own longest part, and every load takes whole cycles.
    assert latency <= price(counts, machine).cycles * (1 + 1e-6)
    energy = one.value(Objective.ENERGY, columns, m)[0]
    assert one.value(Objective.EDP, columns, m)[0] == pytest.approx(energy * latency, rel=1e-12)


@settings(max_examples=examples(150), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(candidates(), st.sampled_from((EYERISS, ODD)), st.sampled_from(Objective))
def test_bounds_are_below_the_value_whatever_filters_and_images_are_in_the_buffer(
    candidate: tuple[GConv, Shape, Parameters], machine: Machine, objective: Objective
) -> None:
    spec, shape, x = candidate
    one, columns, m = costs(spec, shape, x, machine)
    # Bounds are asked for with all images, before their number is chosen.
    images = replace(columns, n=np.array([extent(spec, assign_roles(spec).images)], np.int64))
    value = one.value(objective, columns, m)[0]
    assert one.bound(objective, images)[0] <= value
    assert one.floor(objective, images)[0] <= value


def test_halvings() -> None:
    assert halvings(1) == [1]
    assert halvings(13) == [1, 2, 4, 7, 13]
    assert halvings(64) == [1, 2, 4, 8, 16, 32, 64]
