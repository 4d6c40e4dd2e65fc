"""What a layer of a placed group has in memories beside what the group holds: the tiles of its largest turn."""

from __future__ import annotations

from dataclasses import replace

from dialects.accelerator import Accelerator
from dialects.array_machine import Machine
from dialects.nest_machine import NestMachine
from dialects.schedule import MappingAttr
from dialects.spatial import LayerOp
from passes.explanation.facts import Held
from passes.explanation.on_array import held_in_elements
from passes.explanation.on_levels import held_on_levels
from passes.fusion.placed import group_around, runs_of
from passes.fusion.placed_on_levels import member_of
from passes.fusion.shapes import largest, part_of
from passes.mapper.held import HeldCounts
from passes.mapper.nest import nest_of
from passes.mapper.problem import Problem
from passes.work import work_of


def held_in_turns(layer: LayerOp, machine: Accelerator) -> tuple[Held, ...]:
    """Nothing of layers that are in no group, or whose mapping is no nest of memories that it says.

    On machines of rows and columns what elements have; the buffer's share is not told apart from the group's.
    """
    group = group_around(layer)
    if group is None or not isinstance(layer.mapping, MappingAttr):
        return ()
    shapes = [kind.shape for kind in runs_of(group, group.layers.index(layer))]
    if not shapes:
        return ()
    mapping = layer.mapping.data
    part = part_of(layer.spec, largest(shapes))
    if isinstance(machine, NestMachine):
        problem = Problem.of(part)
        counted = HeldCounts(problem, machine, *nest_of(problem, mapping), member_of(layer).held)
        return held_on_levels(machine, counted)
    if isinstance(machine, Machine):
        return held_in_elements(replace(work_of(layer), spec=part), mapping, machine)
    return ()
