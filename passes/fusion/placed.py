"""What placed groups count: the runs of their layers, and what is fetched and sent between them."""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import cast

from dialects.events import Counts
from dialects.groups import FetchOp, GroupOp, HoldOp, KeepOp, RunOp, StepOp
from dialects.schedule import MappingAttr
from dialects.spatial import LayerOp, integer
from dialects.target import NestMachine
from passes.fusion.members import Member, Shape, predict_runs
from passes.mapper.prediction import whole_cycles
from passes.work import work_of

NAMES = {"I": "input", "K": "kernel"}
"""What events call the roles of tensors that are fetched; others are extra."""


def group_around(layer: LayerOp) -> GroupOp | None:
    """The group that a layer is part of."""
    parent = layer.parent_op()
    return parent if isinstance(parent, GroupOp) else None


def kept_by(layer: LayerOp) -> dict[str, HoldOp]:
    """The holds of a layer's tensors, by role."""
    return {op.tensor.data: cast("HoldOp", op.hold.owner) for op in layer.walk() if isinstance(op, KeepOp)}


def runs_of(group: GroupOp, number: int) -> Counter[Shape]:
    """How often a layer of a group is run on ranges of which sizes."""
    found: Counter[Shape] = Counter()
    for turns, op in group.steps():
        if isinstance(op, RunOp) and integer(op.layer) == number:
            for shape, times in op.box.data.shapes(turns):
                found[shape] += times
    return found


def member_of(layer: LayerOp) -> Member:
    """What a layer of a group runs."""
    assert isinstance(layer.mapping, MappingAttr)
    work = work_of(layer)
    kept = {role: hold.memory.data for role, hold in kept_by(layer).items()}
    return Member(work.spec, layer.mapping.data, kept, work.extra_shapes)


def predict_member(layer: LayerOp, machine: NestMachine) -> Counts:
    """What a layer of a group counts in all turns, transfers that count for it included."""
    group = group_around(layer)
    assert group is not None
    number = group.layers.index(layer)
    counts = predict_runs(member_of(layer), machine, runs_of(group, number))
    cycles = 0.0
    for turns, op in group.steps():
        if not isinstance(op, RunOp) and integer(op.layer) == number:
            words = op.box.data.total(turns)
            for event in _transfer_events(layer, op, machine):
                counts.events[event] = counts.events.get(event, 0) + words
            cycles += words / _rate(op, machine)
    counts.cycles = (counts.cycles or 0) + whole_cycles(cycles)
    return counts


def fetched_role(layer: LayerOp, op: FetchOp) -> str:
    """What is fetched to a layer: what it reads first of the hold."""
    kept, hold = kept_by(layer), hold_of(op)
    order = ("I", "K", *(f"P{number}" for number in range(len(layer.extras))))
    return next(role for role in order if kept.get(role) is hold)


def hold_of(op: StepOp) -> HoldOp:
    """The hold of a transfer."""
    assert not isinstance(op, RunOp)
    return cast("HoldOp", op.hold.owner)


def _transfer_events(layer: LayerOp, op: StepOp, machine: NestMachine) -> tuple[str, str]:
    outer, hold = machine.memories[0].name, hold_of(op)
    if not isinstance(op, FetchOp):
        return f"{hold.memory.data}.output.send", f"{outer}.output.update"
    name = NAMES.get(fetched_role(layer, op), "extra")
    return f"{outer}.{name}.read", f"{hold.memory.data}.{name}.fill"


def _rate(op: StepOp, machine: NestMachine) -> float:
    """Words in a cycle of a transfer, of which the slower memory decides."""
    outer, inner = machine.memories[0], machine.memory(hold_of(op).memory.data)
    rates = (outer.read, inner.write) if isinstance(op, FetchOp) else (inner.read, outer.write)
    return min((rate for rate in rates if rate is not None), default=inf)
