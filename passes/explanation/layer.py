"""The facts of a layer on a machine of any kind that has mappings of single layers."""

from __future__ import annotations

from dialects.accelerator import Accelerator
from dialects.events import Counts
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmMapping
from dialects.machine_kinds import spatial_machine
from dialects.nest_machine import NestMachine
from dialects.schedule import Mapping
from passes.explanation.facts import Facts
from passes.explanation.on_array import facts_on_array
from passes.explanation.on_levels import facts_on_levels
from passes.explanation.on_products import facts_on_products
from passes.work import Work


def facts_of(work: Work, mapping: Mapping | GemmMapping, machine: Accelerator, counts: Counts | None = None) -> Facts:
    """The facts of a mapped layer; its counts are predicted unless given."""
    if isinstance(mapping, GemmMapping):
        assert isinstance(machine, GemmMachine)
        return facts_on_products(work, mapping, machine, counts)
    if isinstance(machine, NestMachine):
        return facts_on_levels(work, mapping, machine, counts)
    return facts_on_array(work, mapping, spatial_machine(machine, "explain"), counts)
