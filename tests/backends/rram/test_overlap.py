"""Cores that overlap turns: the same results at any pace, time as predicted, and races between their own units."""

from __future__ import annotations

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from backends.generic.nest import NestLayer
from backends.rram.isa import What
from backends.rram.races import RaceDetector, RaceFault
from backends.rram.steps import Pace
from backends.rram.streams import Action, Do, Task
from backends.spatial.codes import Fold
from dialects.diagnostics import CatenaError
from dialects.multicore import LoadOp, RunOp, StreamOp, WaitOp, whole
from dialects.spatial import BufferOp, LayerOp, integer
from passes.multicore.tokens import waited
from passes.prove_order import ProveOrderPass
from tests.backends.rram.quantized import SMALL, Network, one_layer, placed, ready, residual

OVERLAP = {**SMALL, "cores.overlap": "true"}
LONG = {**OVERLAP, "crossbar.mvm_cycles": "1400"}


@pytest.mark.parametrize(
    ("scheme", "pipelined"),
    [
        ("cyclic", "true"),
        ("cyclic", "false"),
        *(pytest.param(scheme, "true", marks=pytest.mark.exhaustive) for scheme in ("sequential", "linear")),
    ],
)
def test_networks_at_any_pace(scheme: str, pipelined: str) -> None:
    copies = {"cores.count": "144", "schedule.duplicate": "true"} if pipelined == "true" else {}
    settings = {**OVERLAP, **copies, "schedule.scheme": scheme, "schedule.pipelined": pipelined}
    made = ready(residual(20, 4), settings)
    emulator = made.emulate()
    assert not made.differences(emulator)
    assert made.emulate("steps").timeline == emulator.timeline
    assert not made.differences(made.emulate("steps", Pace(1)), but="cycles")


def test_a_core_takes_the_time_of_its_slowest_unit() -> None:
    """The first input comes before all products, what follows the last product after them."""
    made = ready(one_layer(21, 8, 4, 1, 5), {**LONG, "bus.width_bytes": "4", "cores.lanes": "4"})
    emulator = made.emulate()
    assert not made.differences(emulator)
    constants, load, store = (4 + 4) * 4 // 4, 2, 1
    activated = made.program.layers[0].predicted["operation.post"] // 25 // 4
    assert emulator.timeline.end == constants + load + 25 * 1400 + activated + store


@pytest.mark.parametrize("scheme", ["linear", "cyclic"])
def test_rings_are_as_fast_as_they_can_be(scheme: str) -> None:
    """Inputs, sums and signals hide behind products, which leaves the start and the end of the ring."""
    model, chip = one_layer(22, 64, 16, 1, 7), {**LONG, "crossbar.columns": "64", "schedule.scheme": scheme}
    alone = ready(model, {**chip, "schedule.scheme": "sequential"}).emulate()
    made = ready(model, chip)
    ring = made.emulate()
    assert 0.99 * 4 < alone.timeline.end / ring.timeline.end <= 4
    assert ring.timeline.end == pytest.approx(made.alone[0], rel=0.01)
    assert ring.timeline.end < ready(model, {**chip, "cores.overlap": "false"}).emulate().timeline.end
    assert max(ring.timeline.working) <= ring.timeline.end


@pytest.mark.parametrize("overlap", ["false", "true"])
def test_results_over_inputs_are_refused_where_turns_overlap(overlap: str) -> None:
    module = placed(one_layer(23, 12, 4, 1, 3), {**OVERLAP, "cores.overlap": overlap})
    layer = next(op for op in module.walk() if isinstance(op, LayerOp))
    source, target = (tensor.owner for tensor in (layer.input, layer.output))
    assert isinstance(source, BufferOp)
    assert isinstance(target, BufferOp)
    target.properties["address"] = source.address
    if overlap == "false":
        _prove(module)
        return
    with pytest.raises(CatenaError, match="as turns overlap") as raised:
        _prove(module)
    assert raised.value.diagnostics[0].node


@pytest.mark.parametrize("overlap", ["false", "true"])
def test_waits_behind_sums_say_nothing_of_inputs_where_turns_overlap(overlap: str) -> None:
    """A wait for what the next turn reads stands at the end of a turn: in order that is early enough."""
    network = Network(np.random.default_rng(25))
    result = network.conv(network.conv("x", 4, 4, 1), 4, 4, 1)
    settings = {**OVERLAP, "cores.overlap": overlap, "schedule.pipelined": "true"}
    module = placed(network.model((1, 4, 4, 4), result), settings)
    wait = next(op for op in module.walk() if isinstance(op, WaitOp) and isinstance(op.parent_op(), RunOp))
    run = wait.parent_op()
    assert isinstance(run, RunOp)
    assert integer(wait.step)
    first = wait.clone()
    first.properties["most"] = whole(int(waited(wait, 1)[0]))
    wait.detach()
    run.body.block.add_op(wait)
    wait.properties["start"] = whole(integer(wait.start) + 1)
    stream = run.parent_op()
    assert isinstance(stream, StreamOp)
    stream.body.block.insert_op_before(first, next(op for op in stream.body.block.ops if isinstance(op, LoadOp)))
    if overlap == "false":
        _prove(module)
        return
    with pytest.raises(CatenaError, match="nothing orders two accesses") as raised:
        _prove(module)
    assert raised.value.diagnostics[0].message.count("core ") == 2


def _prove(module: ModuleOp) -> None:
    ProveOrderPass().apply(Context(), module)


def test_units_of_a_core_race_unless_one_follows_the_other() -> None:
    task = Task(0, NestLayer(0, None, Fold.NONE, 0.0, np.dtype(np.int32)))
    load, store = Action(1, Do.LOAD, What.INPUT), Action(3, Do.STORE)
    for follows in (True, False):
        detector = RaceDetector(3, {"memory": 8})
        detector.at(0, task, load, 0)
        detector.seen("memory")(np.array([5]), False)
        detector.ended(0, 0)
        if follows:
            detector.followed(2, 0, 0)
        detector.at(2, task, store, 0)
        if follows:
            detector.seen("memory")(np.array([5]), True)
            continue
        with pytest.raises(RaceFault, match="word 5"):
            detector.seen("memory")(np.array([5]), True)
