"""What a plan of a group says of one of its links: where its tensors lie, what room is left, how large its runs are."""

from __future__ import annotations

from passes.fusion.group import GroupLink
from passes.fusion.holds import GroupPlan, Run
from passes.fusion.shapes import RunKind, Shape, kinds_of
from passes.fusion.staying import ALONE, Staying


def kept_by(plan: GroupPlan, link: str) -> dict[str, int]:
    """The holds of a link's tensors, by role."""
    return {role: number for (of, role), number in plan.keeps.items() if of == link}


def taken_by(plan: GroupPlan, addresses: tuple[int, ...], link: str, staying: Staying = ALONE) -> dict[str, int]:
    """By memory, the words up to which holds lie while a link runs, and what stays meanwhile."""
    found = dict(staying.end)
    for hold, address in zip(plan.holds, addresses, strict=True):
        if hold.link in (None, link):
            found[hold.memory] = max(found.get(hold.memory, 0), address + hold.words)
    return found


def runs_of(plan: GroupPlan, link: GroupLink) -> dict[RunKind, int]:
    """The kinds of runs that a link has, and how often."""
    found: dict[RunKind, int] = {}
    for depth, step in plan.steps:
        if isinstance(step, Run) and step.link == link.name:
            for kind, times in kinds_of(step.box, plan.turns[:depth], link.spec.dims):
                found[kind] = found.get(kind, 0) + times
    return found


def shapes_of(plan: GroupPlan, link: str) -> dict[Shape, int]:
    """What a link's runs are as large as, and how often."""
    found: dict[Shape, int] = {}
    for depth, step in plan.steps:
        if isinstance(step, Run) and step.link == link:
            for shape, times in step.box.shapes(plan.turns[:depth]):
                found[shape] = found.get(shape, 0) + times
    return found
