"""The facts of a layer on a machine of either kind."""

from __future__ import annotations

from dialects.accelerator import Accelerator
from dialects.events import Counts
from dialects.machine_kinds import spatial_machine
from dialects.nest_machine import NestMachine
from dialects.schedule import Mapping
from passes.explanation.facts import Facts
from passes.explanation.on_array import facts_on_array
from passes.explanation.on_levels import facts_on_levels
from passes.work import Work


def facts_of(work: Work, mapping: Mapping, machine: Accelerator, counts: Counts | None = None) -> Facts:
    """The facts of a mapped layer; its counts are predicted unless given."""
    if isinstance(machine, NestMachine):
        return facts_on_levels(work, mapping, machine, counts)
    return facts_on_array(work, mapping, spatial_machine(machine, "explain"), counts)
