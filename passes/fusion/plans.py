"""Plans of groups that are alike, made once: networks have the same blocks again, and several passes ask for them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from dialects.diagnostics import CatenaError
from dialects.fused_mapping import FusedMapping
from dialects.hierarchy import Hierarchy
from passes.fusion.canonical import Alike, as_read, numbered
from passes.fusion.group import Group
from passes.fusion.holds import GroupPlan, Step, plan_anew, plan_group, refused
from passes.fusion.pieces import has_pieces

_KEPT = 256
"""Plans that are kept: more than the groups of a network."""


def known_plan(group: Group, mapping: FusedMapping, hierarchy: Hierarchy, stage: str, node: str) -> GroupPlan:
    """The plan of a group, as `plan_group` makes it and with its errors."""
    # What comes in pieces depends on the nests, too.
    if not has_pieces(group, mapping) and not any(True for _ in refused(group, mapping, hierarchy)):
        without_nests = replace(mapping, branches=()) if mapping.branches else mapping
        plan = _plan_by_name(group, without_nests, hierarchy.memories[0].name)
        if plan is not None:
            return plan
    # What is wrong is said in the group's own names.
    return plan_group(group, mapping, hierarchy, stage, node)


@lru_cache(_KEPT)
def _plan_by_name(group: Group, mapping: FusedMapping, outermost: str) -> GroupPlan | None:
    """The plan of a group in its own names, None if none can be made."""
    # Groups of a network list their tensors in the network's order.
    alike = numbered(as_read(group))
    plan = _plan(alike.group, alike.mapping(mapping), outermost)
    return None if plan is None else _named(plan, group, alike)


@lru_cache(_KEPT)
def _plan(group: Group, mapping: FusedMapping, outermost: str) -> GroupPlan | None:
    """The plan of a numbered group, None if none can be made."""
    try:
        return plan_anew(group, mapping, outermost, "", "")
    except CatenaError:
        return None


def _named(plan: GroupPlan, group: Group, alike: Alike) -> GroupPlan:
    """The plan of a numbered group as one of the group that it is alike."""
    tensors = {number: name for name, number in alike.names.items()}
    links = {mine.name: other.name for mine, other in zip(alike.group.links, group.links, strict=True)}

    def steps(of_depths: tuple[tuple[Step, ...], ...]) -> tuple[tuple[Step, ...], ...]:
        return tuple(tuple(replace(step, link=links[step.link]) for step in steps) for steps in of_depths)

    holds = tuple(
        replace(hold, tensor=tensors[hold.tensor], link=None if hold.link is None else links[hold.link])
        for hold in plan.holds
    )
    keeps = {(links[link], role): number for (link, role), number in plan.keeps.items()}
    return GroupPlan(plan.turns, holds, keeps, steps(plan.before), steps(plan.after))
