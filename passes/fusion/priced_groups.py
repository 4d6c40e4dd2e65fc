"""What groups cost by nests that their links find in the room that holds leave: energy and cycles, on any machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from dialects.diagnostics import CatenaError
from dialects.fused_mapping import FusedMapping
from dialects.gconv.view import View
from dialects.gemm_mapping import Nest
from dialects.hierarchy import Hierarchy
from dialects.schedule import Operand
from passes.fusion.array_members import Place
from passes.fusion.group import Group, GroupLink, Role
from passes.fusion.holds import Fetch, GroupPlan, Run, addresses, misfits, role_of
from passes.fusion.members import Transfer
from passes.fusion.plans import known_plan
from passes.fusion.staying import Staying
from passes.fusion.turns import kept_by
from passes.mapping.cost import Price
from passes.searching.parts import Part, part_in
from passes.work import Work

NestT = TypeVar("NestT", bound=Nest)


@dataclass(frozen=True)
class Priced:
    """A mapping with a nest for every link, and what the group costs by it: energy in pJ, cycles."""

    mapping: FusedMapping
    energy: float
    cycles: int


def priced_in_place(
    group: Group,
    mapping: FusedMapping,
    hierarchy: Hierarchy,
    staying: Staying,
    nest_of: Callable[[Part], NestT | None],
    price_of: Callable[[GroupLink, GroupPlan, NestT], Price],
) -> Priced | None:
    """The price of a mapping beside what stays; None if its tensors find no place there, or a link no nest."""
    try:
        plan = known_plan(group, mapping, hierarchy, "mapped", "")
    except CatenaError:
        return None
    placed = addresses(plan.holds, tuple(link.name for link in group.links), hierarchy, staying)
    if any(misfits(plan, placed, hierarchy, "mapped", "")):
        return None
    nests: list[tuple[str, Nest]] = []
    energy, cycles = 0.0, 0
    for link in group.links:
        nest = nest_of(part_in(link, plan, placed, "", staying))
        if nest is None:
            return None
        nests.append((link.name, nest))
        cost = price_of(link, plan, nest)
        energy, cycles = energy + cost.total_energy, cycles + cost.cycles
    return Priced(replace(mapping, branches=tuple(nests)), energy, cycles)


def transfers_of(plan: GroupPlan, link: GroupLink) -> Iterator[Transfer]:
    """The transfers that count for a link, each in all turns; what it fetches in several roles is for the first."""
    kept = kept_by(plan, link.name)
    roles = {kept[role]: role for role in reversed([role_of(link, each) for each in link.operands]) if role in kept}
    for depth, step in plan.steps:
        if not isinstance(step, Run) and step.link == link.name:
            is_fetch = isinstance(step, Fetch)
            role = roles[step.hold] if is_fetch else Operand.OUTPUT
            yield Transfer(role, plan.holds[step.hold].memory, step.box.total(plan.turns[:depth]), is_fetch=is_fetch)


def places_of(plan: GroupPlan, link: GroupLink) -> Iterator[tuple[Place, int]]:
    """Where the runs of a link are, and how often."""
    for depth, step in plan.steps:
        if isinstance(step, Run) and step.link == link.name:
            yield from step.box.places(plan.turns[:depth])


def work_of_link(link: GroupLink) -> Work:
    """All of a link's work, of dense tensors of whose data nothing is known."""
    kernel = [link.spec.kernel_shape] if any(each.role is Role.KERNEL for each in link.operands) else []
    shapes = (link.input.shape, *kernel, *link.extra_shapes, link.spec.output_shape)
    return Work(link.spec, tuple(map(View.dense, shapes)), (False,) * len(shapes))
