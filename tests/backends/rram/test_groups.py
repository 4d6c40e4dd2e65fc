"""Fused groups on cores with crossbars: results to the bit, counts and words of memory as predicted, no race."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from backends.program import HELD
from backends.rram.emulator import MulticoreEmulator
from backends.rram.footprint import memory_words
from backends.rram.isa import ISA, Reuse, Wait
from backends.rram.steps import Pace
from backends.spatial.group_isa import HeldAxis, Hold
from dialects.diagnostics import CatenaError
from tests.backends.rram.quantized import SMALL, Network, Ready, ready, residual

CHIP = {**SMALL, "cores.count": "144", "schedule.pipelined": "true"}


def random_network(seed: int) -> onnx.ModelProto:
    """Up to six links in a row: windows, strides, dilations, channels by themselves, pooling, paths that join again."""
    random = np.random.default_rng(seed)
    network = Network(random)
    images, channels, extent = int(random.choice([1, 1, 2])), 4, int(random.integers(7, 15))
    tensor = network.conv("x", 3, channels, 3, pads=[1, 1, 1, 1])
    for _ in range(int(random.integers(2, 6))):
        match random.integers(6):
            case 0:
                size = int(random.integers(1, 4))
                tensor = network.conv(tensor, channels, channels, size)
            case 1:
                dilation = int(random.integers(1, 3))
                more = {
                    "pads": [dilation] * 4,
                    "dilations": [dilation] * 2,
                    "strides": [int(random.integers(1, 3))] * 2,
                }
                tensor = network.conv(tensor, channels, channels, 3, **more)
            case 2:
                tensor = network.conv(tensor, channels, channels, 3, channels, pads=[1, 1, 1, 1])
            case 3:
                tensor = network.node("MaxPool", [tensor], kernel_shape=[2, 2], strides=[1, 1])
            case _:
                beside = network.conv(tensor, channels, channels, 3, pads=[1, 1, 1, 1])
                if random.integers(2):
                    beside = network.conv(beside, channels, channels, 3, pads=[1, 1, 1, 1])
                tensor = network.add(tensor, beside)
    return network.model((images, 3, extent, extent), tensor)


def _check(seed: int) -> tuple[int, int]:
    """Run a random network with groups and without; the words that it takes of the memory."""
    random = np.random.default_rng(seed)
    chip = {
        **CHIP,
        "schedule.duplicate": str(random.integers(3) == 0).lower(),
        "schedule.scheme": str(random.choice(["linear", "linear", "cyclic"])),
        "schedule.signal_every": str(random.integers(1, 4)),
        "cores.overlap": str(bool(random.integers(2))).lower(),
        "crossbar.rows": str(random.choice([16, 64])),
    }
    model = random_network(seed)
    made, alone = ready(model, chip, fuse=True), ready(model, chip)
    emulator = made.emulate()
    assert not made.differences(emulator)
    assert emulator.shared_words == memory_words(made.program)
    steps = made.emulate("steps")
    assert (steps.timeline, steps.counters) == (emulator.timeline, emulator.counters)
    made.emulate("steps", Pace(seed))
    # Tensors that are read late need nothing but words to themselves.
    return emulator.shared_words, alone.emulate().shared_words


def test_a_random_group_is_exact_and_takes_the_words_that_are_predicted() -> None:
    fused, alone = _check(3)
    assert fused <= alone


@pytest.mark.exhaustive
def test_random_groups_save_words() -> None:
    words = np.array([_check(seed) for seed in range(6)])
    assert (words[:, 0] <= words[:, 1]).all()
    assert (words[:, 0] < 0.8 * words[:, 1]).sum() >= 2


@pytest.mark.exhaustive
@pytest.mark.parametrize("part", range(4))
def test_many_random_groups(part: int) -> None:
    for seed in range(100 + 5 * part, 105 + 5 * part):
        fused, alone = _check(seed)
        assert fused <= alone


def test_a_group_takes_little_room_and_hardly_more_time() -> None:
    fused, alone = (ready(residual(5, 16), CHIP, fuse=fuse).emulate() for fuse in (True, False))
    assert fused.shared_words < 0.5 * alone.shared_words
    assert fused.timeline.end < 1.01 * alone.timeline.end
    of_signals = [sum(each.events["bus.signal.bytes"] for each in one.counters.values()) for one in (fused, alone)]
    moved = [sum(each.events["bus.bytes"] for each in one.counters.values()) for one in (fused, alone)]
    assert moved[0] - of_signals[0] == moved[1] - of_signals[1]
    assert of_signals[0] > of_signals[1]


def test_a_group_runs_alone_as_a_whole() -> None:
    """As when it is verified: with what it reads, and what others signalled before."""
    made = ready(residual(5, 9), CHIP, fuse=True)
    (group,) = made.program.groups
    emulator = MulticoreEmulator(made.program)
    results = emulator.run_layer(group.layers[0], {"x": made.inputs["x"]})
    held = {tensor.name for tensor in made.program.tensors if tensor.memory == HELD}
    assert set(results) == {*group.outputs, *held}
    assert len(held) == 5
    assert set(emulator.counters) == set(group.layers)
    np.testing.assert_array_equal(results["t8"], made.expected["t8"])
    # With something else in the place of what a layer makes, others read that, and what it made is still told.
    zeros = np.zeros_like(results["t0"])
    changed = emulator.run_layer(group.name, {"x": made.inputs["x"], "t0": zeros})
    np.testing.assert_array_equal(changed["t0"], results["t0"])
    assert (changed["t1"] != results["t1"]).any()
    again = emulator.run_layer(group.name, {"x": made.inputs["x"], **{name: results[name] for name in held}})
    assert all((again[name] == results[name]).all() for name in results)


def _altered(made: Ready, kind: type, number: int, **fields: int) -> Ready:
    """The program with one of its instructions changed, or without a wait if there are no fields."""
    places = [
        (core, pc, each)
        for core, code in enumerate(made.program.code)
        for pc, each in enumerate(ISA.decode(code, "code"))
        if isinstance(each, kind)
    ]
    core, at, old = places[number]
    code = list(ISA.decode(made.program.code[core], "code"))
    changed = replace(old, **fields) if fields else Wait(0, 0, 0, 1, 0, 0)  # pyright: ignore[reportArgumentType]
    code[at] = changed
    codes = list(made.program.code)
    codes[core] = ISA.encode(code)
    return replace(made, program=replace(made.program, code=tuple(codes)))


def _at_any_pace(made: Ready) -> None:
    for seed in range(6):
        made.emulate("steps", Pace(seed, 40.0))


def test_every_wait_for_room_is_needed() -> None:
    """Without one, cores race at some pace, or read what was overwritten."""
    made = ready(residual(5, 9), CHIP, fuse=True)
    count = sum(isinstance(each, Reuse) for code in made.program.code for each in ISA.decode(code, "code"))
    assert count > 10
    for number in range(0, count, -(-count // 3)):
        broken = _altered(made, Reuse, number)
        with pytest.raises(CatenaError) as raised:
            _at_any_pace(broken)
        assert raised.value.diagnostics[0].code in ("CAT-E004", "CAT-E002")
        assert raised.value.diagnostics[0].node


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        (Hold, {"address": 0}, "CAT-E001"),
        (Hold, {"address": 1 << 39}, "CAT-E001"),
        (Hold, {"words": 1}, "CAT-E001"),
        (HeldAxis, {"kept": 1}, "CAT-E003"),
        (Reuse, {"base": 1 << 20, "most": 1 << 20}, "CAT-E005"),
    ],
)
def test_what_holds_cannot_be_is_a_fault(kind: type, fields: dict[str, int], code: str) -> None:
    made = ready(residual(5, 9), CHIP, fuse=True)
    with pytest.raises(CatenaError) as raised:
        _altered(made, kind, 0, **fields).emulate()
    assert raised.value.diagnostics[0].code == code
