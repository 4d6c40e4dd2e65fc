"""The search's closed forms over parameters: events and prices equal to the cost model's, bounds below every value."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dialects.array_machine import Machine
from dialects.events import EVENTS, LEVELS, Counts
from dialects.gconv import PASS, Dim, GConv, Reduce
from dialects.schedule import Objective
from passes.mapping.column_costs import DENSE, ColumnCosts
from passes.mapping.columns import Column, Columns, halvings
from passes.mapping.cost import extra_words, predict, price
from passes.mapping.data_events import Sparsity
from passes.mapping.fit import buffer_tiles
from passes.mapping.lookups import IN_PLACE, Lookups
from passes.mapping.ranking import columns_of
from passes.mapping.roles import assign_roles
from passes.mapping.row_stationary import Parameters, build_mapping, extent, fold
from passes.mapping.tiling import Tiling
from tests.examples import examples
from tests.passes.mapping.drawing import Shape, links, lookups, post_operands, window_links
from tests.passes.mapping.machines import EYERISS, ODD, machine_like_eyeriss
from tests.passes.mapping.walk import Walk

UNPRICED = {"operation.mac", "operation.other", "operation.post"}
PRICED = [name for name in EVENTS if name not in UNPRICED]


@cache
def charging(event: str, padding_in_buffer: bool) -> Machine:
    """Eyeriss, but only one event costs anything: the energy is its count."""
    free = dict.fromkeys(("dram", "glb", "array", "spad", "operation"), 0)
    counting = {level: [] for level in LEVELS} | {"glb": [event], "padding_in_buffer": padding_in_buffer}
    return machine_like_eyeriss(energy={**free, "glb": 1, "picojoules": 1}, counting=counting)


SLOW = machine_like_eyeriss(links={"dram": 0.3, "input_bus": 0.5, "kernel_bus": 1.5, "output_bus": 0.75})
COUNTED = {"dram": ["dram.input.read", "dram.input.padding", "dram.extra.read"], "padding_in_buffer": False}
PIPELINED = machine_like_eyeriss(
    pipeline={"stages": 3}, links={"dram": 0.3, "input_bus": 0.7}, counting=COUNTED, energy={"static_mw": 30}
)
UNLIKE = ODD.model_copy(update={"array": EYERISS.array})
"""Other prices than those of Eyeriss on its array, which decides how sets fold."""
PRICING = (EYERISS, SLOW, PIPELINED, UNLIKE)
Candidate = tuple[GConv, Shape, Parameters, tuple[Shape, ...], Lookups]


@st.composite
def candidates(draw: st.DrawFn) -> Candidate:
    """A link, parameters as the search has them, good or bad, with sets that fit the array, and what else it reads."""
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
    whole_passes = [*range(p * t, count("filters"), p * t), count("filters")]
    x = Parameters(
        m=draw(st.sampled_from(whole_passes) | st.integers(1, count("filters"))),
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
    return spec, shape, x, draw(post_operands(spec)), draw(lookups(spec, shape))


def has_whole_passes(candidate: Candidate) -> bool:
    """Whether a tile of filters in the buffer is cut into whole passes."""
    spec, _, x, *_ = candidate
    filters = extent(spec, assign_roles(spec).filters)
    return x.m == filters or x.m % (x.p * x.t) == 0


def costs(
    candidate: Candidate, machine: Machine, data: Sparsity = DENSE, whole: bool | None = None
) -> tuple[ColumnCosts, Columns, Column]:
    """The candidate as columns of one row, priced as having whole passes if it does, or as is said."""
    spec, shape, x, extras, indices = candidate
    whole = has_whole_passes(candidate) if whole is None else whole
    one = ColumnCosts(spec, shape, assign_roles(spec), machine, data, extras, indices, whole)
    return one, *columns_of([x])


def predicted(candidate: Candidate, machine: Machine) -> Counts:
    """What the cost model counts for the mapping that the candidate stands for."""
    spec, shape, x, extras, indices = candidate
    return predict(spec, shape, build_mapping(spec, assign_roles(spec), x, machine), machine, extras, indices)


def prices_of(counts: Counts, machine: Machine) -> dict[Objective, float]:
    """Energy in units of the machine, cycles, both multiplied, and words on the off-chip link."""
    total = price(counts, machine)
    energy = total.total_energy / machine.energy.picojoules
    moved = [
        f"dram.{name}"
        for name in ("kernel.read", "input.read", "index.read", "extra.read", "output.read", "output.write")
    ]
    moved += ["dram.input.padding"] if machine.counting.padding_in_dram else []
    return {
        Objective.ENERGY: energy,
        Objective.LATENCY: total.cycles,
        Objective.EDP: energy * total.cycles,
        Objective.TRAFFIC: counts.charged(moved),
    }


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "unpadded"])
@settings(max_examples=examples(100), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(candidate=candidates())
def test_every_event_is_the_cost_models(padded: bool, candidate: Candidate) -> None:
    machines = {event: charging(event, padded) for event in PRICED}
    expected = predicted(candidate, machines["dram.input.read"])
    for event, machine in machines.items():
        one, columns, m = costs(candidate, machine)
        assert one.value(Objective.ENERGY, columns, m)[0] == expected.events[event], (event, candidate)


@settings(max_examples=examples(300), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(candidates(), st.sampled_from(PRICING))
def test_every_price_is_the_cost_models(candidate: Candidate, machine: Machine) -> None:
    one, columns, m = costs(candidate, machine)
    for objective, expected in prices_of(predicted(candidate, machine), machine).items():
        assert one.value(objective, columns, m)[0] == pytest.approx(expected, rel=1e-12), objective
        assert one.quick(objective, columns, m)[0] <= one.value(objective, columns, m)[0]
        general, *_ = costs(candidate, machine, whole=False)
        assert general.value(objective, columns, m)[0] == one.value(objective, columns, m)[0]


@settings(max_examples=examples(60), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(candidates(), st.sampled_from(PRICING))
def test_every_price_is_that_of_a_walk_through_the_loops(candidate: Candidate, machine: Machine) -> None:
    spec, shape, x, extras, _ = candidate
    assume(spec.trips <= 400)
    one, columns, m = costs((spec, shape, x, extras, IN_PLACE), machine)
    walk = Walk(spec, shape, build_mapping(spec, assign_roles(spec), x, machine), machine, extras)
    for objective, expected in prices_of(walk.counts, machine).items():
        assert one.value(objective, columns, m)[0] == pytest.approx(expected, rel=1e-12), objective


def test_prices_of_many_candidates_are_those_of_each() -> None:
    """Rows of which some cut a loop evenly and others do not."""
    window = {"opc": 13, "ks": 3, "pad": 1}
    spec = GConv((Dim("N", opc=3), Dim("C", op=20, ks=10), Dim("H", **window), Dim("W", **window)), "mul", Reduce.ADD)
    shape, extras = (3, 10, 13, 13), ((1, 20, 1, 1), (3, 20, 13, 13))
    several = [
        Parameters(m=20, n=n, e=e, p=p, q=q, r=r, t=t, slide=13, kernel_rows=3, kernel_cols=3)
        for n, e, p, q, r, t in [(1, 13, 5, 2, 1, 2), (2, 7, 8, 3, 2, 1), (3, 4, 6, 4, 1, 3), (3, 13, 7, 1, 3, 1)]
    ]
    singles = [costs((spec, shape, x, extras, IN_PLACE), SLOW) for x in several]
    one = singles[0][0]
    columns, m = columns_of(several)
    for objective in Objective:
        together = one.value(objective, columns, m)
        assert together.tolist() == [each.value(objective, c, m)[0] for each, c, m in singles]


def test_passes_that_are_not_alike_wait_for_their_own_longest_part() -> None:
    """Of passes with 3 channels and with 1, one takes as long as its work, the other as long as its sums are sent."""
    spec = GConv((Dim("C", op=2, ks=4), Dim("W", opc=10)), "mul", Reduce.ADD)
    x = Parameters(m=2, p=2, q=3, rows=10)
    machine = machine_like_eyeriss(links={"dram": 1e9, "input_bus": 2.0, "kernel_bus": 8.0, "output_bus": 0.5})
    one, columns, m = costs((spec, (4, 10), x, (), IN_PLACE), machine)
    # Passes of 60 and 20 products send 20 sums each, in 40 cycles; two loads of kernels take 1 each, the features 1.
    assert one.value(Objective.LATENCY, columns, m)[0] == 60 + 40 + 2 + 1
    assert one.quick(Objective.LATENCY, columns, m)[0] == pytest.approx(60 + 20 + 1 + 1)


@settings(max_examples=examples(100), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(candidates(), st.sampled_from(PRICING))
def test_passes_and_sizes_are_those_of_the_mapping(candidate: Candidate, machine: Machine) -> None:
    spec, _, x, *_ = candidate
    roles = assign_roles(spec)
    mapping = build_mapping(spec, roles, x, machine)
    one, columns, m = costs(candidate, machine)
    assert one.passes(columns, m)[0] == predicted(candidate, machine).passes
    tiles = list(buffer_tiles(spec, mapping).values())
    inputs, outputs = one.buffer_words(columns)
    assert [int(inputs[0]), int(outputs[0]) * min(x.m, extent(spec, roles.filters))] == tiles
    assert one.input_scratchpad(columns)[0] == Tiling(spec, mapping).scratchpad_words()["input"]


@settings(max_examples=examples(60), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(candidates())
def test_zeros_make_words_on_the_link_and_operations_cheaper(candidate: Candidate) -> None:
    spec, _, x, extras, _ = candidate
    gating = machine_like_eyeriss(energy={"gating": 0.5})
    weights = (0.75, 0.5)[: len(extras)]
    one, columns, m = costs(candidate, gating, Sparsity(input=0.25, output=0.5, gated=0.4, extras=weights))
    counts = predicted(candidate, gating)
    energy = price(counts, gating).energy
    spent = 1 if spec.main == PASS else 1 - 0.5 * 0.4
    mapping = build_mapping(spec, assign_roles(spec), x, gating)
    extra = sum((1 - each) * extra_words(spec, mapping, of) for each, of in zip(weights, extras, strict=True))
    saved = 200 * 2 * (0.75 * counts.events["dram.input.read"] + 0.5 * counts.events["dram.output.write"] + extra)
    expected = sum(energy.values()) - saved - (1 - spent) * (energy["spad"] + energy["operation"])
    assert one.value(Objective.ENERGY, columns, m)[0] * 2 == pytest.approx(expected)


@settings(max_examples=examples(300), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(candidates(), st.sampled_from(PRICING), st.sampled_from(Objective))
def test_bounds_are_below_the_value_whatever_filters_and_images_are_in_the_buffer(
    candidate: Candidate, machine: Machine, objective: Objective
) -> None:
    spec = candidate[0]
    one, columns, m = costs(candidate, machine)
    assert one.floor(objective, columns, m)[0] <= one.value(objective, columns, m)[0]
    assume(has_whole_passes(candidate))
    # Bounds are asked for with all images, before their number is chosen.
    images = replace(columns, n=np.array([extent(spec, assign_roles(spec).images)], np.int64))
    value = one.value(objective, columns, m)[0]
    assert one.bound(objective, images, m)[0] <= value
    assert one.floor(objective, images)[0] <= value


def test_halvings() -> None:
    assert halvings(1) == [1]
    assert halvings(13) == [1, 2, 4, 7, 13]
    assert halvings(64) == [1, 2, 4, 8, 16, 32, 64]
