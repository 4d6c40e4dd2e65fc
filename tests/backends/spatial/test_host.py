"""The host core: layers it executes give the same words, and what it counts is what the cost model expects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from backends.spatial.emulator import MODES, SpatialEmulator
from dialects.events import EVENTS, Counts
from dialects.gconv import PASS, Dim, GConv, LinkOp, Reduce, Step, View
from dialects.gconv.function_classes import SPECIAL_FUNCTIONS, FunctionClass, function_class
from dialects.gconv.interpreter import Interpreter
from dialects.gconv.scalar import FUNCTIONS
from dialects.schedule import HostAttr
from passes.mapping.cost import price
from passes.mapping.host_cost import host_energy, host_seconds, predict_offload
from tests.backends.spatial.drawing import layers
from tests.backends.spatial.handmade import Handmade, X
from tests.backends.spatial.layers import MACHINES, Layer, compile_chain
from tests.examples import examples

HOST_EVENTS = [name for name in EVENTS if name.startswith("host.")]
EYERISS = MACHINES["eyeriss"]


def offloaded(layer: Layer) -> Counts:
    """Execute a layer on the host in every mode, check words and counts, and give back the counts."""
    module = layer.module(EYERISS)
    (link,) = (op for op in module.walk() if isinstance(op, LinkOp) and op.tensor and op.tensor.data == "layer")
    link.properties["mapping"] = HostAttr()
    inputs = layer.inputs()
    expected = Interpreter(module).run(inputs)
    program = compile_chain(module)
    found = Counts()
    for mode in MODES:
        emulator = SpatialEmulator(program, mode)
        outputs = emulator.run(inputs)
        for name, array in expected.items():
            np.testing.assert_array_equal(outputs[name], array, err_msg=f"{mode}: {name}")
        for entry in program.layers:
            differences = emulator.counters[entry.name].differences(Counts.of(entry.predicted))
            assert not differences, f"{mode}: {entry.mapping}: (counted, predicted) {differences}"
        (entry,) = (each for each in program.layers if each.mapping == "host")
        assert entry.kind.startswith("host ")
        found = emulator.counters[entry.name]
    assert not any(count for name, count in found.events.items() if name not in HOST_EVENTS)
    assert (found.array_cycles, found.passes, found.peak_pes) == (0, 0, 0)
    return found


@settings(max_examples=examples(150), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(layer=layers())
def test_any_layer_computes_and_counts_what_it_should(layer: Layer) -> None:
    offloaded(layer)


def test_what_a_padded_pool_counts() -> None:
    # 6 x 6 words, windows of 3 x 3 with a step of 2 and a border of 1: no word of the border is read.
    window = Dim("H", opc=3, ks=3, stride=2, pad=1), Dim("W", opc=3, ks=3, stride=2, pad=1)
    pool = GConv(window, PASS, Reduce.MAX, post=(Step("exp"), Step("neg")))
    counts = offloaded(Layer.of(pool, (6, 6)))
    assert [counts.events[name] for name in HOST_EVENTS] == [36, 9, 9 * 8 + 9, 9]


def test_what_is_repeated_is_read_once() -> None:
    dims = (Dim("A", g=4), Dim("B", opc=5))
    layer = Layer.of(GConv(dims, "mul", post=(Step("add", operand=0),)), (4, 5), (1, 5))
    assert offloaded(layer).events["host.read"] == 20 + 4 + 5
    spread = replace(layer, input=replace(layer.input, base=(5,), view=View((4, 5), (0, 1))))
    assert offloaded(spread).events["host.read"] == 5 + 4 + 5


def test_a_reduction_that_is_repeated_is_computed_once() -> None:
    repeated = GConv((Dim("A", op=6, ks=6), Dim("B", opc=2)), PASS, Reduce.ADD, mid=(Step("exp"),), post=(Step("neg"),))
    counts = offloaded(Layer.of(repeated, (6, 2)))
    assert [counts.events[name] for name in HOST_EVENTS] == [12, 12, 2 * 5 + 12, 12]


def test_time_is_that_of_the_slowest_part_and_energy_the_sum() -> None:
    host = EYERISS.host
    assert host is not None
    counts = Counts()
    assert (host_seconds(counts, host, 16), host_energy(counts, host)) == (0.0, 0.0)
    counts.events.update({"host.read": 600, "host.write": 400, "host.simple": 1000, "host.special": 10})
    link = 1000 * 2 / 0.48e9
    assert host_seconds(counts, host, 16) == pytest.approx(link)
    late = host.model_copy(update={"overhead_us": 3.0})
    assert host_seconds(counts, late, 16) == pytest.approx(link + 3e-6)
    slow = host.model_copy(update={"simple_gops": 0.1, "special_gops": 0.001})
    assert host_seconds(counts, slow, 16) == pytest.approx(1000 / 0.1e9 + 10 / 0.001e9)
    crowded = host.model_copy(update={"memory_gbs": 0.01})
    assert host_seconds(counts, crowded, 16) == pytest.approx(1000 * 2 / 0.01e9)
    assert host_energy(counts, host) == pytest.approx(1000 * 25 + 1000 * 8.75 + 10 * 70)
    priced = price(counts, EYERISS)
    assert priced.host_cycles == priced.cycles == 834  # 4.17 us at 200 MHz
    assert priced.energy["host"] == host_energy(counts, host)
    # The accesses to the accelerator's DRAM cost what they cost the accelerator.
    assert priced.energy["dram"] == 1000 * 200 * 2.0


def test_a_prediction_needs_no_machine() -> None:
    spec = GConv((Dim("C", ks=4), Dim("H", opc=3)), "mul", Reduce.ADD)
    counts = predict_offload(spec, [View.dense((4, 3)), View.dense((4, 1)), View.dense((1, 3))])
    assert [counts.events[name] for name in HOST_EVENTS] == [12 + 4, 3, 12 + 9, 0]


def test_every_function_has_a_class() -> None:
    assert set(FUNCTIONS) >= SPECIAL_FUNCTIONS
    assert function_class("exp") is FunctionClass.SPECIAL
    assert function_class("relu") is FunctionClass.SIMPLE


CONFIGURATION = ("layer", "dim", "window", "function", "base", "stride")


def handmade() -> Handmade:
    """The handmade program whose second layer is the host's."""
    made = Handmade()
    relu = [line for line in made.code["relu"] if line.split()[0] in CONFIGURATION]
    return replace(made, code={**made.code, "relu": [*relu, "offload"]})


def test_an_offloaded_layer_of_a_program_by_hand() -> None:
    for mode in MODES:
        np.testing.assert_array_equal(handmade().run(mode), Handmade().run(mode))


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"offload": "loop dim=0, kind=opc, tile=3\noffload\nend"}, "CAT-E003", "offloaded inside a loop"),
        ({"layer index=1, main=0, fold=none, padding=0.0": "layer index=1, main=103, fold=none, padding=0.0"},
         "CAT-E003", "KERNEL has no address"),
        ({"dim dim=0, g=1, op=1, opc=8, ks=1": "dim dim=0, g=1, op=1, opc=4, ks=5"}, "CAT-E003", "need a reduction"),
        ({"base tensor=input, address=27": "base tensor=input, address=30"}, "CAT-E002", "never written"),
        ({"base tensor=output, address=35": "base tensor=output, address=0"}, "CAT-E003", "of DRAM are written"),
        ({"base tensor=output, address=35": "base tensor=output, address=99"}, "CAT-E001", "outside of DRAM"),
    ],
)  # fmt: skip
def test_what_the_host_cannot_do_stops_it(change: dict[str, str], code: str, message: str) -> None:
    found = handmade().edited(change).fault()
    assert found.code == code
    assert message in found.message
    assert "relu" in found.node.lower()


def test_a_machine_without_a_host_cannot_offload() -> None:
    made = handmade()
    found = replace(made, machine=made.machine.model_copy(update={"host": None})).fault()
    assert (found.code, found.message) == ("CAT-E003", "a layer is offloaded by a machine without a host")
    assert X.shape == (3, 5)
