"""What placed layers count on machines of levels; in groups, what runs and what is fetched and sent between runs."""

from __future__ import annotations

from collections.abc import Hashable

from dialects.diagnostics import CatenaError
from dialects.events import Counts
from dialects.groups import FetchOp, RunOp
from dialects.locations import describe
from dialects.nest_machine import NestMachine
from dialects.schedule import MappingAttr, Operand
from dialects.spatial import LayerOp, integer
from passes.fusion.members import Member, Transfer, predict_in_group
from passes.fusion.placed import fetched_role, group_around, hold_of, kept_by, runs_of
from passes.mapper.legality import violations
from passes.mapper.prediction import predict
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
        return predict_member(layer, machine, known)
    work, mapping = work_of(layer), layer.mapping.data
    spec = work.spec
    alike = spec.bare, spec.post, mapping, work.extra_shapes, work.lookups, work.in_order
    if alike not in known:
        problems = violations(spec, mapping, machine, "program", describe(layer), in_order=work.in_order)
        if problems:
            raise CatenaError(problems)
        known[alike] = predict(spec, mapping, machine, work.extra_shapes, work.lookups)
    return known[alike]


def predict_member(layer: LayerOp, machine: NestMachine, known: dict[Hashable, Counts]) -> Counts:
    """What a layer of a group counts in all turns, transfers that count for it included; `known` as for any layer."""
    group = group_around(layer)
    assert group is not None
    number = group.layers.index(layer)
    transfers = [
        Transfer(
            fetched_role(layer, op) if isinstance(op, FetchOp) else Operand.OUTPUT,
            hold_of(op).memory.data,
            op.box.data.total(turns),
            is_fetch=isinstance(op, FetchOp),
        )
        for turns, op in group.steps()
        if not isinstance(op, RunOp) and integer(op.layer) == number
    ]
    member, runs = member_of(layer), runs_of(group, number)
    kept = frozenset(member.kept.items())
    alike = member.spec.bare, member.spec.post, member.mapping, kept, member.extras, (*runs.items(),), (*transfers,)
    if alike not in known:
        known[alike] = predict_in_group(member, machine, runs, transfers)
    return known[alike]
