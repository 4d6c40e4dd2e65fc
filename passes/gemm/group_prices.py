"""What fused groups cost on a machine of matrix products, by the mappings that their links get; and at least."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dialects.diagnostics import CatenaError
from dialects.fused_mapping import FusedMapping
from dialects.gconv import GConv
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmMapping
from dialects.schedule import Objective
from passes.fusion.group import Group, GroupLink
from passes.fusion.holds import GroupPlan
from passes.fusion.least_of_groups import LeastOfGroups
from passes.fusion.memories import levels_of
from passes.fusion.priced_groups import Priced, places_of, priced_in_place, transfers_of, work_of_link
from passes.fusion.staying import ALONE, Staying
from passes.fusion.turns import kept_by
from passes.gemm.groups import in_memories
from passes.gemm.members import Runs, member_mapping, transfer_events
from passes.gemm.pricing import price_of_products
from passes.mapping.cost import Price
from passes.searching.parts import Part


class ProductPrices(LeastOfGroups):
    """Exact prices of groups, and lower bounds of them, where kernels lie dense and nothing is known of zeros."""

    def __init__(self, machine: GemmMachine, objective: Objective):
        super().__init__(machine.energy.picojoules)
        self._machine, self._hierarchy, self._objective = machine, levels_of(machine), objective
        self._found: dict[str, GemmMapping | None] = {}

    def of_mapping(self, group: Group, mapping: FusedMapping, passing: int) -> Priced | None:
        """The price of a mapping, with its tensors in the memories of their own, if it runs; nothing may stay."""
        assert not passing
        return self.in_place(group, mapping, ALONE)

    def in_place(self, group: Group, mapping: FusedMapping, staying: Staying) -> Priced | None:
        """The price of a mapping beside what stays. It has no nests: those are found again, with how sums lose bits."""
        placed = in_memories(group, mapping)
        priced = priced_in_place(group, placed, self._hierarchy, staying, self._nest, self._price)
        return None if priced is None else replace(priced, mapping=placed)

    def _nest(self, part: Part) -> GemmMapping | None:
        key = repr((part.spec.bare, sorted(part.kept.items()), sorted(part.taken.items()), sorted(part.shapes)))
        if key not in self._found:
            try:
                self._found[key] = member_mapping(part, self._machine, self._objective)
            except CatenaError:
                self._found[key] = None
        return self._found[key]

    def _price(self, link: GroupLink, plan: GroupPlan, nest: GemmMapping) -> Price:
        """What a link costs in all turns of its group."""
        runs = Runs(work_of_link(link), nest, self._machine, frozenset(kept_by(plan, link.name)))
        total = runs.total(places_of(plan, link))
        moved = list(transfers_of(plan, link))
        for transfer in moved:
            for event in transfer_events(transfer.role):
                total.events[event] = total.events.get(event, 0) + transfer.words
        total.cycles = (total.cycles or 0) + self._machine.dram.cycles(sum(each.words for each in moved))
        return price_of_products(total, self._machine)

    # At least ---------------------------------------------------------------------------------------------------------

    def _cycles(self, group: Group, words: Mapping[str, int], more: int, operations: int) -> float:
        """Transfers for holds are not hidden behind work."""
        machine, moved = self._machine, sum(words.values()) + more
        return operations / (machine.array.rows * machine.array.cols) + moved / machine.dram.words_per_cycle

    def _of_word(self, group: Group, tensor: str) -> float:
        return self._machine.energy.dram + self._machine.energy.sram

    def _of_operation(self, spec: GConv) -> float:
        return self._machine.energy.operation + 2 * self._machine.energy.result
