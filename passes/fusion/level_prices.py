"""What fused groups cost on a machine of levels, with the nests that their links get: energy and cycles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dialects.diagnostics import CatenaError
from dialects.events import Counts
from dialects.fused_mapping import FusedMapping
from dialects.nest_machine import NestMachine
from dialects.schedule import Mapping as LinkMapping
from dialects.schedule import Operand
from passes.fusion.group import Group, GroupLink
from passes.fusion.holds import Fetch, GroupPlan, Run, addresses, role_of
from passes.fusion.least_prices import LeastPrices
from passes.fusion.members import Member, Transfer, predict_in_group
from passes.fusion.plans import known_plan
from passes.fusion.staying import Staying
from passes.fusion.turns import kept_by, runs_of
from passes.pricing import price
from passes.searching.nests_of_groups import NestsOfGroups
from passes.searching.parts import part_in
from passes.searching.task import Deadline, Task

Settle = Callable[[Group, FusedMapping, int], FusedMapping | None]
"""What becomes of a mapping beside so many words that stay; None if no code can be made of it."""


@dataclass(frozen=True)
class Priced:
    """A mapping with a nest for every link, and what the group costs by it: energy in pJ, cycles."""

    mapping: FusedMapping
    energy: float
    cycles: int


class LevelPrices(LeastPrices):
    """Exact prices of groups, and lower bounds of them. Nests are those that searches for links of groups find."""

    def __init__(self, machine: NestMachine, buffer: str, nests: NestsOfGroups, settle: Settle):
        super().__init__(machine, buffer)
        self._machine_of_nests, self._settle, self._nests = machine, settle, nests
        self._found: dict[str, LinkMapping | None] = {}

    def of_mapping(self, group: Group, mapping: FusedMapping, passing: int) -> Priced | None:
        """The price of a mapping as it is settled beside so many words that stay; None if it cannot be run."""
        settled = self._settle(group, mapping, passing)
        return None if settled is None else self.in_place(group, settled, Staying({}, {self._buffer: passing}))

    def in_place(self, group: Group, mapping: FusedMapping, staying: Staying) -> Priced | None:
        """The price of a mapping beside what stays, with the nests that its links find there."""
        machine = self._machine_of_nests
        try:
            plan = known_plan(group, mapping, machine, "mapped", "")
        except CatenaError:
            return None
        placed = addresses(plan.holds, tuple(link.name for link in group.links), machine, staying)
        nests: list[tuple[str, LinkMapping]] = []
        energy, cycles = 0.0, 0
        for link in group.links:
            part = part_in(link, plan, placed, "", staying)
            nest = self._nest(self._nests.task(part))
            if nest is None:
                return None
            nests.append((link.name, nest))
            cost = price(_counts(link, plan, nest, machine), machine)
            energy, cycles = energy + cost.total_energy, cycles + cost.cycles
        return Priced(replace(mapping, branches=tuple(nests)), energy, cycles)

    @property
    def searched(self) -> int:
        """Searches for nests that were made."""
        return len(self._found)

    def _nest(self, task: Task) -> LinkMapping | None:
        key = repr(task.signature)
        if key not in self._found:
            try:
                nest = task.look(Deadline()).mapping
            except CatenaError:
                self._found[key] = None
            else:
                self._found[key] = None if task.violations(nest) else nest
        return self._found[key]


def _counts(link: GroupLink, plan: GroupPlan, nest: LinkMapping, machine: NestMachine) -> Counts:
    """What a link counts in all turns of its group."""
    kept = kept_by(plan, link.name)
    roles: dict[int, str] = {}
    for role in reversed([role_of(link, each) for each in link.operands]):
        if role in kept:
            roles[kept[role]] = role
    transfers = [
        Transfer(
            roles[step.hold] if isinstance(step, Fetch) else Operand.OUTPUT,
            plan.holds[step.hold].memory,
            step.box.total(plan.turns[:depth]),
            is_fetch=isinstance(step, Fetch),
        )
        for depth, step in plan.steps
        if not isinstance(step, Run) and step.link == link.name
    ]
    memories = {role: plan.holds[number].memory for role, number in kept.items()}
    member = Member(link.spec, nest, memories, link.extra_shapes)
    return predict_in_group(member, machine, runs_of(plan, link), transfers)
