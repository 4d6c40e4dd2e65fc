"""The cost model: every event of any mapping against a walk of its loop nest, and what events cost."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError
from dialects.events import EVENTS, Counts
from dialects.gconv import PASS, Dim, GConv, LoopKind, Reduce, Step
from dialects.schedule import Axis, Loop, Mapping, Operand, Spatial, Storage, Temporal
from passes.mapping.cost import predict, price
from passes.mapping.fit import buffer_tiles, violations
from passes.mapping.host_cost import host_energy
from passes.mapping.tiling import Tiling
from tests.examples import examples
from tests.passes.mapping.drawing import Shape, links, mappings
from tests.passes.mapping.machines import EYERISS, ROOMY, machine_like_eyeriss
from tests.passes.mapping.walk import Walk

ROOM: dict[str, Any] = {table: getattr(ROOMY, table).model_dump() for table in ("array", "pe", "glb", "limits")}
UNPADDED = machine_like_eyeriss(**ROOM, counting={"padding_in_buffer": False})
FRACTIONS = machine_like_eyeriss(**ROOM, links={"input_bus": 0.7, "kernel_bus": 1.5, "output_bus": 0.3})


def check_walk(spec: GConv, shape: Shape, extras: tuple[Shape, ...], mapping: Mapping, machine: Machine) -> Counts:
    """Every count, every capacity: as the walk found them."""
    assert violations(spec, mapping, machine) == []
    walk = Walk(spec, shape, mapping, machine, extras)
    predicted = predict(spec, shape, mapping, machine, extras)
    assert not predicted.differences(walk.counts), str(mapping)
    assert buffer_tiles(spec, mapping) == walk.peaks.buffer
    words, used = Tiling(spec, mapping).scratchpad_words(), walk.peaks.element
    assert used["output"] == words["output"]
    assert used["input"] <= words["input"]
    if all(dim.dilation == 1 for dim in spec.dims):
        assert used["input"] == words["input"]
    assert spec.main == PASS or used["kernel"] == words["kernel"]
    return predicted


PIPELINED = machine_like_eyeriss(**ROOM, pipeline={"stages": 3}, links={"input_bus": 0.7})


@pytest.mark.parametrize(
    "machine", [ROOMY, UNPADDED, FRACTIONS, PIPELINED], ids=["padded", "unpadded", "slow buses", "pipelined"]
)
@settings(max_examples=examples(150), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_counts_are_those_of_a_walk_through_the_loops(machine: Machine, data: st.DataObject) -> None:
    spec, shape, extras = data.draw(links())
    check_walk(spec, shape, extras, data.draw(mappings(spec)), machine)


def convolution() -> tuple[GConv, Mapping]:
    """1 image, 2 channels of 4 x 4 padded by 1, 3 filters of 3 x 3; two filters at a time, kernel rows up a column."""
    window = {"opc": 4, "ks": 3, "pad": 1}
    spec = GConv(
        (Dim("C", op=3, ks=2), Dim("H", **window), Dim("W", **window)), "mul", Reduce.ADD, post=(Step("relu"),)
    )
    filters, channels = Loop("C", LoopKind.OP), Loop("C", LoopKind.KS)
    rows, taps = Loop("H", LoopKind.OPC), Loop("H", LoopKind.KS)
    return spec, Mapping(
        (
            Temporal(rows, 2),
            Storage("glb", (Operand.OUTPUT,)),
            Temporal(channels, 1),
            Storage("glb", (Operand.INPUT,)),
            Temporal(filters, 2),
            Storage("spad", (Operand.KERNEL,)),
            Spatial(taps, 1, Axis.ROW),
            Spatial(rows, 1, Axis.COL),
        )
    )


def test_counts_of_a_convolution_worked_out_by_hand() -> None:
    spec, mapping = convolution()
    counts = check_walk(spec, (2, 4, 4), (), mapping, ROOMY)
    # 2 strips x 2 channels x 2 filter tiles = 8 passes; a strip has 4 input rows of 6 words, 3 rows of 4 are real.
    trips = 2 * 3 * 4 * 4 * 9
    assert counts.flat() == {
        **Counts().flat(),
        "dram.input.read": 2 * 2 * 3 * 4,
        "dram.input.padding": 2 * 2 * (4 * 6 - 3 * 4),
        "dram.kernel.read": 2 * 54,  # once a strip
        "dram.output.write": 48,
        "glb.input.fill": 2 * 2 * 24,
        "glb.input.read": 8 * 24,
        "glb.output.first": 48,
        "glb.output.read": 48,  # the second channel
        "glb.output.write": 48,
        "glb.output.last": 48,
        "glb.output.drain": 48,
        "array.input.deliver": 8 * 6 * 6,  # 3 x 2 elements, each a row of 6 words
        "array.kernel.deliver": 2 * 54 * 2,  # to both columns
        "array.output.hop": 48 * 2 * 2,  # two hops up a column of three, for each channel
        "array.output.in": 48,
        "array.output.out": 96,
        "spad.input.write": 8 * 6 * 6,
        "spad.input.read": trips,
        "spad.kernel.write": 2 * 54 * 2,
        "spad.kernel.read": trips,
        "spad.output.read": trips,
        "spad.output.write": trips,
        "operation.mac": trips,
        "operation.post": 48,
        # A pass: 24 input words on a bus of one word, as long as two filters x 4 positions x 3 taps; kernels by fours.
        "array.cycles": 4 * (24 + 24) + 4 * (math.ceil(18 / 4) + math.ceil(9 / 4)),
        "array.passes": 8,
        "array.peak_pes": 6,
    }


def test_operations_that_are_no_multiply_accumulate_count_apart() -> None:
    spec, mapping = convolution()
    for other in (GConv(spec.dims, "mul", Reduce.MAX), GConv(spec.dims, "max", Reduce.ADD)):
        events = predict(other, (2, 4, 4), mapping, ROOMY).events
        assert (events["operation.mac"], events["operation.other"]) == (0, spec.trips)


@pytest.mark.parametrize(
    ("extra", "words"),
    [((3, 1, 1), 6), ((1, 1, 1), 2), ((3, 4, 4), 48), ((1, 4, 1), 4), ((1, 1, 4), 8)],
)
def test_post_operands_are_read_once_a_tile_of_outputs(extra: Shape, words: int) -> None:
    spec, mapping = convolution()
    spec = GConv(spec.dims, "mul", Reduce.ADD, post=(Step("add", operand=0),))
    assert check_walk(spec, (2, 4, 4), (extra,), mapping, ROOMY).events["dram.extra.read"] == words


def counts_of(cycles: int = 0, **events: int) -> Counts:
    """Counts with some events (`dram_input_read=3`) and nothing else."""
    counts = Counts(array_cycles=cycles)
    for name, count in events.items():
        counts.events[name.replace("_", ".")] = count
    return counts


def test_energy_charges_what_the_target_says_and_nothing_else() -> None:
    machine = machine_like_eyeriss(
        energy={"picojoules": 0.5, "dram": 200, "glb": 6, "array": 2, "spad": 1, "operation": 3},
        counting={
            "dram": ["dram.output.write"],
            "glb": ["glb.input.read", "glb.output.last"],
            "array": [],
            "spad": ["spad.kernel.read", "spad.kernel.read"],
        },
    )
    numbers = {name: 10**3 + 7 * index for index, name in enumerate(EVENTS)}
    found = price(Counts(numbers), machine)
    assert machine.host is not None
    assert found.energy == {
        "dram": numbers["dram.output.write"] * 200 * 0.5,
        "glb": (numbers["glb.input.read"] + numbers["glb.output.last"]) * 6 * 0.5,
        "array": 0,
        "spad": 2 * numbers["spad.kernel.read"] * 1 * 0.5,
        "operation": (numbers["operation.mac"] + numbers["operation.other"]) * 3 * 0.5,
        "host": host_energy(Counts(numbers), machine.host),
    }
    assert found.total_energy == sum(found.energy.values())


@pytest.mark.parametrize(
    ("counts", "link", "total"),
    [
        # Eyeriss's link moves 1.2 words a cycle.
        (counts_of(1000), 0, 1000),
        (counts_of(1000, dram_kernel_read=600), 500, 1000),  # hidden behind the array
        (counts_of(1000, dram_kernel_read=1800), 1500, 1500),  # the array waits for kernels
        (counts_of(1000, dram_input_read=600), 500, 1500),  # never hidden
        (counts_of(1000, dram_output_write=60, dram_extra_read=60), 100, 1100),
        (counts_of(10, dram_kernel_read=1, dram_input_read=1), 2, 11),  # each rounded up
        (counts_of(10, dram_input_padding=600), 0, 10),  # made up on the chip
    ],
)
def test_latency_hides_kernels_behind_the_array_but_not_feature_maps(counts: Counts, link: int, total: int) -> None:
    found = price(counts, EYERISS)
    assert (found.link_cycles, found.cycles) == (link, total)


CHIP = machine_like_eyeriss(
    dram={"compression": {"run_bits": 5, "pairs": 3, "link_bits": 64}},
    energy={"gating": 0.5, "static_mw": 30},
    counting={"dram": ["dram.input.read", "dram.input.padding", "dram.kernel.read", "dram.output.write"]},
)
STORED = machine_like_eyeriss(counting={"dram": ["dram.input.read", "dram.input.padding"]})


def test_compressed_words_stand_for_those_on_the_link() -> None:
    words = {"dram_input_read": 600, "dram_input_padding": 600, "dram_output_write": 600, "dram_kernel_read": 1200}
    counts = counts_of(1000, **words, dram_input_compressed=120, dram_output_compressed=60)
    found = price(counts, CHIP)
    assert found.energy["dram"] == (1200 + 120 + 60) * 200 * 2
    assert (found.link_cycles, found.cycles) == (1150, 1150)


def test_padding_that_lies_in_memory_takes_time_on_the_link() -> None:
    counts = counts_of(10, dram_input_read=60, dram_input_padding=600)
    assert price(counts, STORED).cycles == 10 + 550
    assert price(counts, STORED).energy["dram"] == 660 * 200 * 2


def test_gated_operations_save_their_share_and_static_power_takes_time() -> None:
    counts = counts_of(200, operation_mac=100, operation_gated=40, spad_input_read=100)
    found = price(counts, CHIP)
    assert found.energy["operation"] == pytest.approx(100 * 2 * (1 - 0.5 * 0.4))
    assert found.energy["spad"] == pytest.approx(100 * 2 * (1 - 0.5 * 0.4))
    assert found.energy["static"] == pytest.approx(30e-3 * 1e-6 * 1e12)  # 200 cycles of 200 MHz are 1 us


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compression": {"run_bits": 6, "pairs": 3, "link_bits": 64}}, "holds its pairs and a bit"),
        ({"compression": {"run_bits": 5, "pairs": 1, "link_bits": 40}}, "is whole words"),
        ({"compression": {"run_bits": 5, "pairs": 3, "link_bits": 64}, "charge_bursts": True}, "not charged in bursts"),
    ],
)
def test_codes_that_do_not_fit_their_words_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CatenaError, match=message):
        machine_like_eyeriss(dram=changes)
