"""Which mappings of a group mean something: what inference and model take for granted."""

from __future__ import annotations

from dialects.fused_mapping import FusedMapping
from dialects.fused_rules import GroupNames, contradictions, mapping_problems
from passes.fusion.group import Group
from passes.fusion.pieces import piece_problems


def violations(group: Group, mapping: FusedMapping) -> list[str]:
    """Everything that is wrong with a mapping of a group, in words; nothing if it can be priced.

    The rules are those of `dialects.fused_rules`, which groups in IR follow as well, and those of `pieces`.
    """
    if len(group.heads) != 1:
        names = ", ".join(link.name for link in group.heads)
        return [f"the group has {len(group.heads)} links whose results none of them reads ({names}): it needs one"]
    problems = [problem.message for problem in (*contradictions(mapping), *mapping_problems(named(group), mapping))]
    return problems or [message for _, message, _ in piece_problems(group, mapping)]


def named(group: Group) -> GroupNames:
    """What a mapping names of a group with one head."""
    return GroupNames(
        {link.name: link.spec.dims for link in group.links},
        {link.name: link.result for link in group.links},
        group.external,
        group.head.name,
    )
