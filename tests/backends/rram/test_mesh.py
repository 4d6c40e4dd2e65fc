"""Cores on a mesh: the bits of the bus, counts of every link as predicted, and time with contention."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from backends.rram.steps import Pace
from compiler.compilation import CompileOptions, compile_model
from compiler.targets import select_target
from dialects.machine_kinds import of_kind
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import CrossbarsAttr
from passes.multicore.matrix import Grid, Matrix
from passes.placing import links_of
from passes.pricing import price
from tests.backends.rram.quantized import SMALL, one_layer, ready, residual

MESH = {
    **SMALL,
    "bus.mesh.rows": "7",
    "bus.mesh.columns": "6",
    "bus.mesh.ports": "[[0, 2], [6, 3]]",
    "bus.width_bytes": "16",
    "bus.latency": "2",
    "energies.hop_byte": "1.5",
}


@pytest.mark.parametrize(
    ("scheme", "pipelined", "overlap"),
    [
        ("cyclic", 0, 1),
        pytest.param("linear", 1, 0, marks=pytest.mark.exhaustive),
        pytest.param("sequential", 0, 0, marks=pytest.mark.exhaustive),
    ],
)
def test_links_are_taken_as_predicted_and_bits_are_those_of_the_bus(scheme: str, pipelined: int, overlap: int) -> None:
    how = {"schedule.scheme": scheme, "schedule.pipelined": str(bool(pipelined)).lower()}
    how["cores.overlap"] = str(bool(overlap)).lower()
    made = ready(residual(5, 5), {**MESH, **how}, 5)
    emulator = made.emulate()
    assert made.differences(emulator) == {}
    assert all(
        layer.predicted[name] == emulator.counters[layer.name].flat()[name] > 0
        for layer in made.program.layers
        for name in ("mesh.byte_hops", "mesh.link_cycles")
    )
    assert made.emulate("steps").timeline == emulator.timeline
    on_bus = ready(residual(5, 5), {**SMALL, **how}, 5)
    for name, expected in on_bus.expected.items():
        np.testing.assert_array_equal(made.expected[name], expected)


def test_what_crosses_links_is_counted_on_each() -> None:
    """With a byte a cycle, links are taken for as many cycles as bytes hop."""
    made = ready(residual(6, 4), {**MESH, "bus.width_bytes": "1"}, 6)
    emulator = made.emulate()
    hops = sum(counts.events["mesh.byte_hops"] for counts in emulator.counters.values())
    assert sum(emulator.timeline.links.values()) == hops
    assert emulator.occupancy.links == emulator.timeline.links
    assert emulator.occupancy.bus == max(emulator.timeline.links.values())
    through = sum(cycles for name, cycles in emulator.timeline.links.items() if name.startswith("port"))
    into = sum(cycles for name, cycles in emulator.timeline.links.items() if "-> port" in name)
    signals = sum(counts.events["bus.signal.bytes"] for counts in emulator.counters.values())
    assert through + into + signals == sum(counts.events["bus.bytes"] for counts in emulator.counters.values())
    for name, counts in emulator.counters.items():
        machine = emulator.machine
        assert price(counts, machine).energy["mesh"] == 1.5 * counts.events["mesh.byte_hops"], name


def test_one_transfer_by_hand() -> None:
    """A core alone, five links from its port: each load asks and is answered, each store is told that it is there."""
    far = {"bus.mesh.rows": "1", "bus.mesh.columns": "4", "bus.mesh.ports": "[[0, 3]]", "bus.width_bytes": "8"}
    chip = {**SMALL, **far, "cores.count": "1", "bus.latency": "3", "crossbar.mvm_cycles": "100", "cores.lanes": "4096"}
    made = ready(one_layer(3, 16, 4, 1, 2), {**chip, "cores.crossbars": "4"})
    emulator = made.emulate()
    around = 2 * 5 * 3
    # Four constants of 4 bytes (biases) and 4 of scales; then vectors of 16 bytes in, and 4 out.
    constants = [counts.events["memory.extra.read"] for counts in emulator.counters.values()]
    turn = (around + 2) + 100 + 1 + (around + 1)
    assert len(constants) == 1
    loaded = emulator.timeline.end - 4 * turn
    assert loaded == around + -(-_bytes(made.program.layers[0].predicted) // 8)


def _bytes(counts: object) -> int:
    """What is left of all bytes when those of four vectors are taken off."""
    assert isinstance(counts, dict)
    return int(counts["bus.bytes"]) - 4 * (16 + 4)


def test_links_that_many_want_hold_them_back() -> None:
    """All cores bring inputs from one port: they have its link one after another."""
    narrow = {"bus.width_bytes": "1", "bus.mesh.ports": "[[3, 3]]", "crossbar.mvm_cycles": "1", "bus.latency": "0"}
    model = one_layer(7, 16, 48, 1, 6)
    made = ready(model, {**MESH, **narrow}, 7)
    emulator = made.emulate()
    (layer,) = made.program.layers
    busiest = max(emulator.timeline.links, key=lambda name: emulator.timeline.links[name])
    assert busiest.startswith("port 0 ->")
    assert 0.8 * emulator.timeline.end < emulator.timeline.links[busiest] == layer.predicted["mesh.link_cycles"]
    assert layer.predicted["cycles"] == emulator.timeline.end
    assert made.emulate("steps").timeline == emulator.timeline
    free = ready(model, {**MESH, **narrow, "bus.width_bytes": "64"}, 7).emulate()
    assert free.timeline.end < emulator.timeline.end / 4


@pytest.mark.parametrize("seed", [0, *(pytest.param(each, marks=pytest.mark.exhaustive) for each in (1, 2))])
def test_any_pace_gives_the_same_bits(seed: int) -> None:
    made = ready(residual(seed, 4), {**MESH, "schedule.scheme": ("linear", "cyclic")[seed % 2]}, seed)
    for pace in range(2):
        made.emulate("steps", Pace(pace))


def test_neighbours_of_a_ring_are_neighbours_on_the_mesh() -> None:
    """On a bus the next free core is taken, which on a mesh may be a row away."""
    target = select_target("rram", MESH)
    machine = of_kind(MulticoreMachine, target.machine, "test")
    assert machine.bus.mesh is not None
    mesh, lengths = machine.bus.mesh, list[int]()
    module = compile_model(one_layer(8, 20, 12, 3, 4), target, CompileOptions(stop="mapped")).module
    for link in links_of(module):
        assert isinstance(link.mapping, CrossbarsAttr)
        mapping = link.mapping.data
        assert len(set(mapping.cores)) == len(mapping.cores)
        for part in Grid.of(Matrix.of(link.spec), mapping, machine).parts():
            ring = [mapping.cores[number] for number in part.ring]
            lengths += [mesh.links_between(*pair) - 2 for pair in pairwise(ring)]
    assert len(lengths) > 30
    assert sum(lengths) <= 1.2 * len(lengths)
