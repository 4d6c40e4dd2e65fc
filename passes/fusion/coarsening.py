"""A mapping in fewer turns that moves and works as much: what a link does within a turn has more to reuse then.

Searches find the mapping that needs the least room of those that move least. Room that is left is of more use to the
links within a turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dialects.fused_mapping import FusedMapping
from passes.fusion.group import Group
from passes.fusion.model import FusedCosts

Known = Callable[[FusedMapping], tuple[int, int, int] | None]
"""Words of the buffer, words off-chip and operations of a mapping, if that is known without walking its turns."""


def coarsened(
    group: Group, mapping: FusedMapping, memory: str, words: int, known: Known = lambda _: None
) -> FusedMapping:
    """A mapping with larger tiles, as far as it moves and works the same, in so many words of a memory.

    Turns of one loop after the other, the innermost first, are halved until none can be.
    """
    counts = {dim.name: dim for dim in group.head.spec.dims}
    costs = known(mapping)
    same = costs[1:] if costs else _moved(FusedCosts(group, mapping))
    loops = list(reversed(range(len(mapping.loops))))
    while loops:
        for loop in list(loops):
            node = mapping.loops[loop]
            count = counts[node.loop.dim].count(node.loop.kind)
            turns = -(-count // node.tile)
            # a loop of one turn would be none
            tile = -(-count // max(turns // 2, 2))
            cut = (*mapping.loops[:loop], replace(node, tile=tile), *mapping.loops[loop + 1 :])
            larger = replace(mapping, loops=cut)
            if turns > 2 and _is_within(group, larger, memory, words, same, known):
                mapping = larger
            else:
                loops.remove(loop)
    return mapping


def _is_within(
    group: Group, mapping: FusedMapping, memory: str, words: int, same: tuple[int, int], known: Known
) -> bool:
    if costs := known(mapping):
        return costs[0] <= words and costs[1:] == same
    walked = FusedCosts(group, mapping)
    return walked.capacity(memory) <= words and _moved(walked) == same


def _moved(costs: FusedCosts) -> tuple[int, int]:
    """Words off-chip, and operations."""
    return costs.traffic, sum(work.operations for work in costs.work.values())
