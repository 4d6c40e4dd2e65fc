"""What placed layers count on machines of levels; in groups, what runs and what is fetched and sent between runs."""

from __future__ import annotations

from collections.abc import Hashable
from math import inf

from dialects.diagnostics import CatenaError
from dialects.events import Counts
from dialects.groups import FetchOp, RunOp, StepOp
from dialects.locations import describe
from dialects.nest_machine import NestMachine
from dialects.schedule import MappingAttr
from dialects.spatial import LayerOp, integer
from passes.fusion.members import Member, predict_runs
from passes.fusion.placed import NAMES, fetched_role, group_around, hold_of, kept_by, runs_of
from passes.mapper.legality import violations
from passes.mapper.prediction import predict, whole_cycles
from passes.work import work_of


def member_of(layer: LayerOp) -> Member:
    """What a layer of a group runs."""
    assert isinstance(layer.mapping, MappingAttr)
    work = work_of(layer)
    kept = {role: hold.memory.data for role, hold in kept_by(layer).items()}
    return Member(work.spec, layer.mapping.data, kept, work.extra_shapes)


def predict_layer(layer: LayerOp, machine: NestMachine, known: dict[Hashable, Counts]) -> Counts:
    """What a layer counts; `known` has what was found of others, and takes what is found of this one.

    Raises `CatenaError` (CAT-F002) if the machine cannot run the mapping.
    """
    assert isinstance(layer.mapping, MappingAttr)
    if group_around(layer) is not None:
        return predict_member(layer, machine)
    work, mapping = work_of(layer), layer.mapping.data
    spec = work.spec
    alike = spec.bare, spec.post, mapping, work.extra_shapes, work.lookups, work.in_order
    if alike not in known:
        problems = violations(spec, mapping, machine, "program", describe(layer), in_order=work.in_order)
        if problems:
            raise CatenaError(problems)
        known[alike] = predict(spec, mapping, machine, work.extra_shapes, work.lookups)
    return known[alike]


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
