"""A mapping in fewer turns that moves and works as much: what a link does within a turn has more to reuse then.

Searches find the mapping that needs the least room of those that move least. Room that is left is of more use to the
links within a turn.
"""

from __future__ import annotations

from dataclasses import replace

from dialects.fused_mapping import FusedMapping
from dialects.schedule import Loop
from passes.fusion.group import Group
from passes.fusion.model import FusedCosts


def coarsened(group: Group, mapping: FusedMapping, memory: str, words: int) -> FusedMapping:
    """A mapping with larger tiles, as far as it moves and works the same, in so many words of a memory.

    Turns of one loop after the other, the innermost first, are halved until none can be; two turns become one, and the
    loop goes.
    """
    costs = FusedCosts(group, mapping)
    same = costs.traffic, _operations(costs)
    loops: list[Loop] = [node.loop for node in reversed(mapping.loops)]
    while loops:
        for loop in list(loops):
            larger = _in_half_the_turns(group, mapping, loop)
            if _is_within(FusedCosts(group, larger), memory, words, same):
                mapping = larger
            else:
                loops.remove(loop)
        loops = [loop for loop in loops if any(node.loop == loop for node in mapping.loops)]
    return mapping


def _in_half_the_turns(group: Group, mapping: FusedMapping, loop: Loop) -> FusedMapping:
    place, node = next((place, node) for place, node in enumerate(mapping.loops) if node.loop == loop)
    count = next(dim.count(loop.kind) for dim in group.head.spec.dims if dim.name == loop.dim)
    turns = -(-count // node.tile)
    if turns > 2:
        cut = replace(node, tile=-(-count // (turns // 2)))
        return replace(mapping, loops=(*mapping.loops[:place], cut, *mapping.loops[place + 1 :]))
    retentions = tuple(
        each if each.level is None or each.level <= place else replace(each, level=each.level - 1)
        for each in mapping.retentions
    )
    return replace(mapping, loops=(*mapping.loops[:place], *mapping.loops[place + 1 :]), retentions=retentions)


def _is_within(costs: FusedCosts, memory: str, words: int, same: tuple[int, int]) -> bool:
    return costs.capacity(memory) <= words and (costs.traffic, _operations(costs)) == same


def _operations(costs: FusedCosts) -> int:
    return sum(work.operations for work in costs.work.values())
