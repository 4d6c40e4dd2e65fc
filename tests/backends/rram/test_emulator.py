"""Cores with crossbars: results to the bit for every scheme, chip and pace; counts as predicted."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from backends.program import target_digest
from backends.rram.emulator import MulticoreEmulator
from backends.rram.isa import ISA, Mvm, Program, Signal, Store, Vectors, Wait
from backends.rram.steps import Pace
from dialects.diagnostics import CatenaError
from dialects.gconv.interpreter import main_function
from dialects.multicore_mapping import Scheme
from dialects.target import require_multicore
from passes.multicore.accesses import placed_layers
from passes.multicore.counts import predict
from tests.backends.rram.quantized import SMALL, Network, Ready, one_layer, placed, ready, residual

CHIPS = {
    "one crossbar a core": SMALL,
    "wide crossbars": {"cores.crossbars": "2", "crossbar.rows": "8", "crossbar.columns": "64"},
    "reprogrammed": {**SMALL, "cores.count": "7", "crossbar.write_cycles": "3"},
    "large cores": {},
}


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("scheme", Scheme)
def test_layers_are_exact_and_count_as_predicted(scheme: Scheme, chip: str) -> None:
    layers = (
        one_layer(0, 12, 10, 3, 7, pads=[1, 1, 1, 1]),
        one_layer(1, 8, 8, 3, 6, 8, strides=[2, 2], pads=[1, 0, 0, 1]),
        one_layer(2, 12, 20, 2, 5, 2),
    )
    for model in layers:
        made = ready(model, {**CHIPS[chip], "schedule.scheme": scheme})
        assert not made.differences(made.emulate())


@pytest.mark.parametrize("scheme", Scheme)
def test_cycles_of_layers_alone_are_predicted_where_the_bus_is_free(scheme: Scheme) -> None:
    made = ready(one_layer(3, 24, 12, 3, 9), {**SMALL, "cores.crossbars": "3", "schedule.scheme": scheme})
    counted = sum(counts.cycles or 0 for counts in made.emulate().counters.values())
    assert counted == pytest.approx(sum(made.alone), rel=0.05)


@pytest.mark.parametrize("vectors", [1, *(pytest.param(count, marks=pytest.mark.exhaustive) for count in (2, 3)), 7])
def test_rings_longer_than_their_vectors_end(vectors: int) -> None:
    for scheme in Scheme:
        model = one_layer(4, 90, 3, 1, vectors)
        made = ready(model, {**SMALL, "crossbar.rows": "5", "schedule.scheme": scheme, "cores.count": "40"})
        made.emulate()
        made.emulate("steps", Pace(vectors))


@pytest.mark.parametrize("pipelined", [pytest.param("false", marks=pytest.mark.exhaustive), "true"])
@pytest.mark.parametrize("scheme", Scheme)
def test_whole_networks_at_any_pace(scheme: Scheme, pipelined: str) -> None:
    settings = {**SMALL, "schedule.scheme": scheme, "schedule.pipelined": pipelined, "schedule.signal_every": "2"}
    made = ready(residual(5), settings)
    assert not made.differences(made.emulate())
    for seed in range(2):
        assert not made.differences(made.emulate("steps", Pace(seed)), but="cycles")


def test_engines_take_the_same_time() -> None:
    made = ready(residual(6), {**SMALL, "schedule.pipelined": "true"})
    blocks, steps = made.emulate(), made.emulate("steps")
    assert blocks.timeline == steps.timeline
    assert blocks.counters == steps.counters


def test_copies_and_pipelines_are_faster() -> None:
    model, chip = residual(7, 8), {**SMALL, "cores.count": "144"}
    times = [
        ready(model, {**chip, "schedule.pipelined": pipelined, "schedule.duplicate": copies}).emulate().timeline.end
        for pipelined, copies in (("false", "false"), ("true", "false"), ("true", "true"))
    ]
    assert times[0] > times[1] > times[2]


ABREAST = {"cores.count": "30", "cores.crossbars": "9", "crossbar.rows": "16", "crossbar.columns": "32"}
"""A chip whose cores have room for several copies of a part."""


@pytest.mark.parametrize(
    ("scheme", "pipelined"),
    [
        ("cyclic", "true"),
        *(pytest.param(*each, marks=pytest.mark.exhaustive) for each in (("sequential", "true"), ("linear", "true"))),
        pytest.param("cyclic", "false", marks=pytest.mark.exhaustive),
    ],
)
def test_copies_within_cores_and_beside_them(scheme: str, pipelined: str) -> None:
    """Several vectors in a turn, the last one with fewer, rows by turns; and crossbars with physics that are ideal."""
    chip = {**ABREAST, "schedule.scheme": scheme, "schedule.pipelined": pipelined, "schedule.duplicate": "true"}
    made = ready(residual(12, 9), chip)
    vectors = [each for code in made.program.code for each in ISA.decode(code, "code") if isinstance(each, Vectors)]
    assert any(each.abreast > 1 for each in vectors)
    assert any(each.step > each.stretch for each in vectors)
    emulator = made.emulate()
    assert not made.differences(emulator)
    assert made.emulate("steps").timeline == emulator.timeline
    made.emulate("steps", Pace(3))
    emulator.set_physics({}, "nowhere")
    for name, result in emulator.run(made.inputs).items():
        np.testing.assert_array_equal(result, made.expected[name])


def test_a_pipeline_overlaps_layers_row_by_row() -> None:
    """Every layer begins before the one that it reads from is over, pooling and joining among them."""
    made = ready(residual(13, 12), {**SMALL, "cores.count": "144", "schedule.pipelined": "true"})
    timeline = made.emulate().timeline
    longest = max(end - begin for begin, end in timeline.tasks.values())
    assert timeline.end < 1.5 * longest


def test_a_layer_alone_gives_what_it_gives_in_the_network() -> None:
    made = ready(residual(8), SMALL)
    emulator = MulticoreEmulator(made.program)
    layer = made.program.layers[0]
    results = emulator.run_layer(layer.name, {layer.inputs[0]: made.inputs["x"]})
    assert results.keys() == set(layer.outputs)
    assert emulator.counters.keys() == {layer.name}


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_what_windows_leave_out_is_not_brought(stride: int) -> None:
    """Windows of 3 x 3 at distance 6 reach over 169 words, which a buffer of 120 bytes does not hold, and touch 9."""
    network = Network(np.random.default_rng(16))
    pooled = network.node("MaxPool", ["x"], kernel_shape=[3, 3], dilations=[6, 6], strides=[stride] * 2, pads=[3] * 4)
    made = ready(network.model((1, 2, 14, 14), pooled), {"cores.buffer_bytes": "120", "cores.count": "3"})
    emulator = made.emulate()
    assert not made.differences(emulator)
    assert max(emulator.buffers.values()) <= 120


def test_turns_that_do_not_fit_the_buffer_of_a_core() -> None:
    """40 x 9 inputs in parts of 16 rows, 4 results of 4 bytes each: refused, and found when it is executed."""
    model, chip = one_layer(15, 40, 4, 3, 4), {**SMALL, "cores.count": "144"}
    made = ready(model, chip)
    emulator = made.emulate()
    # A core that fetches: 4 sums, as many of the core before; the last one has biases and scales of 4 results, too.
    assert max(emulator.buffers.values()) == 2 * 4 * 4 + 2 * 4 * 4
    assert min(emulator.buffers.values()) == 16 + 4 * 4
    with pytest.raises(CatenaError, match="does not fit the buffer of a core") as raised:
        placed(model, {**chip, "cores.buffer_bytes": "63"})
    (found,) = raised.value.diagnostics
    assert (found.code, found.stage, found.expected, found.found) == ("CAT-F002", "placed", "63 bytes", "64 bytes")
    assert "QLinearConv.t0" in found.node
    module = placed(model, chip)
    machine = require_multicore(module, "program")
    narrow = machine.model_copy(update={"cores": machine.cores.model_copy(update={"buffer_bytes": 63})})
    with pytest.raises(CatenaError, match="does not fit the buffer of a core") as raised:
        predict(placed_layers(main_function(module)), narrow)
    assert raised.value.diagnostics[0].stage == "program"
    metadata = made.program.metadata
    description = dict(metadata.description)
    description["cores"] = {**description["cores"], "buffer_bytes": 63}
    changed = replace(metadata, description=description, target_sha256=target_digest(description))
    with pytest.raises(CatenaError, match="the buffer of a core overflows"):
        replace(made, program=replace(made.program, metadata=changed)).emulate()


# Programs that were tampered with ------------------------------------------------------------------------------------


def _changed(made: Ready, core: int, change: dict[int, object] | None = None, drop: int | None = None) -> Ready:
    """The program with instructions of a core changed, or one left out."""
    code = list(ISA.decode(made.program.code[core], "code"))
    for pc, instruction in (change or {}).items():
        code[pc] = instruction  # pyright: ignore[reportArgumentType]
    if drop is not None:
        code[drop] = Wait(0, 0, 0, 1, 0, 0)
    codes = list(made.program.code)
    codes[core] = ISA.encode(code)
    return replace(made, program=replace(made.program, code=tuple(codes)))


def _places(made: Ready, kind: type) -> list[tuple[int, int]]:
    """Core and address of every instruction of a kind."""
    return [
        (core, pc)
        for core, code in enumerate(made.program.code)
        for pc, each in enumerate(ISA.decode(code, "code"))
        if isinstance(each, kind)
    ]


def _few(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """A few of them, from the first on, at equal distances."""
    return places[:: -(-len(places) // 3)]


def _emulated(made: Ready) -> None:
    """Several times, at different paces."""
    for seed in range(4):
        made.emulate("steps", Pace(seed))


def test_every_wait_is_needed() -> None:
    """Without any one of them, cores race, and the emulator says who for what."""
    made = ready(residual(9, 4), {**SMALL, "schedule.scheme": "cyclic"})
    waits = _places(made, Wait)
    assert len(waits) > 20
    for core, pc in _few(waits):
        broken = _changed(made, core, drop=pc)
        with pytest.raises(CatenaError) as raised:
            _emulated(broken)
        found = raised.value.diagnostics[0]
        assert found.node
        # What was never written has no other core to name yet.
        if found.code != "CAT-E002":
            assert found.code == "CAT-E004"
            assert found.message.count("of core") == 2


@pytest.mark.parametrize("mode", ["blocks", "steps"])
def test_signals_that_never_come_are_waited_for_for_ever(mode: str) -> None:
    made = ready(residual(10, 4), SMALL)
    for core, pc in _few(_places(made, Signal)):
        with pytest.raises(CatenaError) as raised:
            _changed(made, core, drop=pc).emulate(mode)
        assert raised.value.diagnostics[0].code == "CAT-E005"


@pytest.mark.parametrize("mode", ["blocks", "steps"])
def test_a_deadlock_names_who_waits_and_who_should_signal(mode: str) -> None:
    made = ready(residual(10, 4), SMALL)
    for core, pc in _few(_places(made, Wait)):
        wait = list(ISA.decode(made.program.code[core], "code"))[pc]
        assert isinstance(wait, Wait)
        with pytest.raises(CatenaError) as raised:
            _changed(made, core, {pc: Wait(wait.register, 60000, 0, 1, 0, 60000)}).emulate(mode)
        found = raised.value.diagnostics[0]
        waiting, sending = (
            re.match(r"core (\d+) waits", found.message),
            re.search(r"; core (\d+), inst", str(found.found)),
        )
        assert waiting is not None
        assert sending is not None
        signals = list(ISA.decode(made.program.code[int(sending[1])], "code"))
        assert any(isinstance(each, Signal) and each.core == int(waiting[1]) for each in signals)
        entries = [e.layer for e in made.program.debug if e.core == int(sending[1])]
        nodes = {node for layer in made.program.layers if layer.name in entries for node in layer.nodes}
        assert nodes & set(found.node.split(" + "))


@pytest.mark.parametrize("kind", [Wait, Signal])
def test_registers_that_the_machine_has_not(kind: type[Wait | Signal]) -> None:
    made = ready(residual(10, 4), {**SMALL, "cores.registers": "64"})
    core, pc = _places(made, kind)[3]
    token = list(ISA.decode(made.program.code[core], "code"))[pc]
    assert isinstance(token, Wait | Signal)
    with pytest.raises(CatenaError, match="register 64 of core") as raised:
        _changed(made, core, {pc: replace(token, register=64)}).emulate()
    found = raised.value.diagnostics[0]
    assert (found.code, found.expected) == ("CAT-E001", "below cores.registers = 64")
    assert found.where.startswith(f"core {core}, instruction {pc}")


def test_crossbars_hold_what_was_written_last() -> None:
    made = ready(one_layer(11, 40, 4, 1, 3), {**SMALL, "cores.count": "1"})
    places = _places(made, Program)
    core, pc = places[-1]
    assert [each for each, _ in places].count(core) > 1
    with pytest.raises(CatenaError, match="multiply without weights"):
        _changed(made, core, drop=pc).emulate()


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (Program, {"first": 3000}, "crossbars that the core does not have"),
        (Program, {"count": 1, "shift": 9000}, "beyond what cells can hold"),
        (Signal, {"core": 4000}, "which is not there"),
        (Mvm, None, "sums are wanted that nothing has made"),
        (Store, None, "CAT-E00"),
    ],
)
def test_what_hardware_cannot_do_is_a_fault(kind: type, change: dict[str, int] | None, message: str) -> None:
    made = ready(one_layer(12, 40, 4, 1, 3), SMALL)
    core, pc = _places(made, kind)[0]
    old = next(each for at, each in enumerate(ISA.decode(made.program.code[core], "code")) if at == pc)
    broken = _changed(made, core, drop=pc) if change is None else _changed(made, core, {pc: replace(old, **change)})
    with pytest.raises(CatenaError, match=message):
        broken.emulate()


def test_what_is_done_once_cannot_stand_in_a_run() -> None:
    """An instruction of the run has its place."""
    made = ready(one_layer(12, 40, 4, 1, 3), SMALL)
    core = next(core for core, code in enumerate(made.program.code) if _fixed(code))
    code = list(ISA.decode(made.program.code[core], "code"))
    (fixed,) = _fixed(made.program.code[core])
    mvm = next(at for at, each in enumerate(code) if isinstance(each, Mvm))
    broken = _changed(made, core, {fixed: code[mvm + 1], mvm + 1: code[fixed]})
    with pytest.raises(CatenaError, match="done once for all vectors stands in a run"):
        broken.emulate()


def _fixed(code: bytes | memoryview) -> list[int]:
    return [at for at, each in enumerate(ISA.decode(code, "code")) if ISA.format(each) == "load what=fixed"]


def test_code_for_other_chips_is_refused() -> None:
    made = ready(one_layer(13, 4, 4, 1, 3), SMALL)
    with pytest.raises(CatenaError) as raised:
        MulticoreEmulator(replace(made.program, code=made.program.code[:3]))
    assert raised.value.diagnostics[0].code == "CAT-P001"


def test_weights_with_a_zero_point_fit_the_same_cells() -> None:
    network = Network(np.random.default_rng(14))
    weights = network.constant(network.random.integers(0, 256, (6, 9)).astype(np.uint8))
    result = network.node(
        "MatMulInteger", ["x", weights, network.constant(np.uint8(7)), network.constant(np.uint8(201))]
    )
    made = ready(network.model((4, 6), result), SMALL)
    assert all(counts.events["crossbar.mvm"] for counts in made.emulate().counters.values())
    assert any(each.shift for each in ISA.decode(made.program.code[0], "code") if isinstance(each, Program))
