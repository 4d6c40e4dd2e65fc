"""What placed groups count on a machine of rows and columns."""

from __future__ import annotations

import math
from collections.abc import Hashable

from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError
from dialects.events import BURSTS, COMPRESSED, Counts
from dialects.groups import FetchOp, RunOp, SendOp
from dialects.locations import describe
from dialects.schedule import MappingAttr, Operand
from dialects.spatial import LayerOp, integer
from passes.fusion.array_members import ArrayMember, predict_places, transfer_events
from passes.fusion.placed import fetched_role, group_around, hold_of, kept_by
from passes.mapping.bursts import words_of_bursts
from passes.mapping.data_events import expected_link_words
from passes.mapping.fit import violations
from passes.mapping.prediction import predict_on_array
from passes.work import Work, work_of


def predict_layer(layer: LayerOp, machine: Machine, known: dict[Hashable, Counts]) -> Counts:
    """What a layer counts, in a group or not; as `known` of one like it.

    Raises `CatenaError` if its nest breaks a rule of the machine.
    """
    assert isinstance(layer.mapping, MappingAttr)
    if group_around(layer) is not None:
        return predict_member_on_array(layer, machine)
    work, mapping = work_of(layer), layer.mapping.data
    spec = work.spec
    minds_data = machine.dram.compression is not None or machine.energy.gating is not None
    of_data = (work.zeros, work.compressed, spec.padding) if minds_data else ()
    alike = (spec.bare, len(spec.post), mapping, work.views, work.lookups, work.in_order, of_data)
    if alike in known:
        return known[alike]
    problems = violations(spec, mapping, machine, "program", describe(layer), in_order=work.in_order)
    if problems:
        raise CatenaError(problems)
    known[alike] = predict_on_array(work, mapping, machine)
    return known[alike]


def predict_member_on_array(layer: LayerOp, machine: Machine) -> Counts:
    """What a layer of a group counts in all turns, transfers that count for it included."""
    group = group_around(layer)
    assert group is not None
    assert isinstance(layer.mapping, MappingAttr)
    number, work = group.layers.index(layer), work_of(layer)
    member = ArrayMember(work, layer.mapping.data, frozenset(kept_by(layer)))
    places = (
        place
        for turns, op in group.steps()
        if isinstance(op, RunOp) and integer(op.layer) == number
        for place in op.box.data.places(turns)
    )
    counts = predict_places(member, machine, places)
    for turns, op in group.steps():
        if not isinstance(op, RunOp) and integer(op.layer) == number:
            for event, count in _transfer_counts(layer, op, turns, work, machine).items():
                counts.events[event] = counts.events.get(event, 0) + count
    return counts


def _transfer_counts(
    layer: LayerOp, op: FetchOp | SendOp, turns: tuple[int, ...], work: Work, machine: Machine
) -> dict[str, int]:
    """What a transfer counts in all turns on a machine of rows and columns."""
    role = Operand.OUTPUT if isinstance(op, SendOp) else fetched_role(layer, op)
    outer, inner = transfer_events(role)
    shapes = list(op.box.data.shapes(turns))
    words = sum(math.prod(shape) * times for shape, times in shapes)
    strides = [axis.pitch * of.step for axis, of in zip(hold_of(op).axes.data, op.box.data.axes, strict=True)]
    bursts = sum(
        times * words_of_bursts(list(zip(strides, shape, strict=True)), machine.dram.burst_words)
        for shape, times in shapes
        if machine.dram.burst_words
    )
    found = {outer: words, inner: words, BURSTS[outer]: bursts}
    compression = machine.dram.compression
    if compression is not None and outer in COMPRESSED:
        zeros = {"I": work.zeros.input, "O": work.zeros.output}.get(role, 0.0)
        if work.compressed[_place_of(role, work)]:
            code = compression.code(machine.word_bits)
            link = sum(times * expected_link_words(math.prod(shape), code, zeros) for shape, times in shapes)
            words = round(link * code.link_bits / code.word_bits)
        found[COMPRESSED[outer]] = words
    return found


def _place_of(role: str, work: Work) -> int:
    """Where a tensor stands among those of a layer."""
    known = {"I": 0, "K": 1, "O": -1}
    return known[role] if role in known else int(role[1:]) + (2 if work.has_kernel else 1)
